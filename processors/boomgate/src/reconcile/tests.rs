//! Whole days on disk: bills as WeChat Pay writes them, payments with everything wrong, and what is told of them.

use super::*;
use schema::statement::{Age, LineKind};
use std::{collections::BTreeMap, io::Write};

const DAY: &str = "2026-11-23";
const HEAD: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,\
商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
const SUMMARY: &str = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";

/// A bill and payments, while they are written.
#[derive(Default)]
struct Files {
    rows: Vec<String>,
    payments: Vec<String>,
    paid: i64,
    back: i64,
}

fn yuan(fen: i64) -> String {
    schema::Money::new(fen, schema::Currency::Cny).number()
}

impl Files {
    fn trade(&mut self, transaction: &str, number: &str, fen: i64) {
        self.paid += fen;
        let amount = yuan(fen);
        self.rows.push(format!(
            "`{DAY} 08:00:00,`wx1,`1900000109,`0,`,`{transaction},`{number},`o,`NATIVE,`SUCCESS,`OTHERS,`CNY,`{amount},`0.00,`0,`0,`0.00,`0.00,`,`,`停车费,`,`0.00000,`0.60%,`{amount},`0.00,`"
        ));
    }

    fn refund(&mut self, transaction: &str, number: &str, refund: &str, fen: i64) {
        self.back += fen;
        let amount = yuan(fen);
        self.rows.push(format!(
            "`{DAY} 09:00:00,`wx1,`1900000109,`0,`,`{transaction},`{number},`o,`NATIVE,`REFUND,`OTHERS,`CNY,`0.00,`0.00,`5{refund},`{refund},`{amount},`0.00,`ORIGINAL,`SUCCESS,`停车费,`,`0.00000,`0.60%,`0.00,`{amount},`"
        ));
    }

    fn booked(&mut self, row: &str) {
        self.payments.push(row.to_owned());
    }

    fn pay(&mut self, transaction: &str, number: &str, fen: i64) {
        self.booked(&format!("{number},wechat,{transaction},{},{DAY} 08:00:01,1900000109,trade,,,", yuan(fen)));
    }

    fn bill(&self) -> Vec<u8> {
        let [paid, back] = [self.paid, self.back].map(yuan);
        let lines = self.rows.iter().map(|row| format!("{row}\r\n")).collect::<Vec<_>>().concat();
        format!("\u{feff}{HEAD}\r\n{lines}{SUMMARY}\r\n`{}.0,`{paid},`{back},`0.00,`0.00000,`{paid},`{back}\r\n", self.rows.len()).into_bytes()
    }

    fn csv(&self) -> String {
        let lines = self.payments.iter().map(|row| format!("{row}\n")).collect::<Vec<_>>().concat();
        format!("order_id,channel,channel_transaction,amount,time,merchant,kind,refund_id,status,attempt\n{lines}")
    }

    /// Everything of it in a folder, and what is wanted of it.
    fn put(&self, folder: &Path) -> Wanted {
        let [file, against] = ["bill.csv", "payments.csv"].map(|name| folder.join(name));
        fs::write(&file, self.bill()).expect("it can be written");
        fs::write(&against, self.csv()).expect("it can be written");
        let (channel, day) = ("wechat".to_owned(), DAY.parse().expect("a day"));
        Wanted { channel, day, file, against, merchant: None, sha1: None, as_of: None, json: None, out: folder.join("out") }
    }
}

/// A day on which everything happens that can, among payments that agree.
fn day(agreeing: usize) -> Files {
    let mut files = Files::default();
    for number in 0..agreeing {
        let (transaction, attempt) = (format!("T{number:06}"), format!("O{number:06}"));
        files.trade(&transaction, &attempt, 500);
        files.pay(&transaction, &attempt, 500);
    }
    files.trade("Tsurplus", "Osurplus", 100);
    files.pay("Tshortage", "Oshortage", 200);
    files.trade("Tamount", "Oamount", 300);
    files.pay("Tamount", "Oamount", 330);
    files.trade("Tstatus", "Ostatus", 400);
    files.booked(&format!("Ostatus,wechat,Tstatus,4.00,{DAY} 08:00:01,1900000109,trade,,failed,"));
    files.trade("Ttwice", "Otwice", 500);
    files.trade("Ttwice", "Otwice", 500);
    files.pay("Ttwice", "Otwice", 500);
    files.refund("Tback", "Oback", "Rback", 50);
    files.refund("Tother", "Oother", "Rother", 60);
    files.booked(&format!("Oother,wechat,Tother,0.70,{DAY} 09:00:01,1900000109,refund,Rother,done,"));
    files.refund("Tsame", "Osame", "Rsame", 80);
    files.booked(&format!("Osame,wechat,Tsame,0.80,{DAY} 09:00:01,1900000109,refund,Rsame,,"));
    files.trade("Tnumber", "Onumber01", 900);
    files.booked(&format!("Onumber,wechat,,9.00,{DAY} 08:00:01,1900000109,,,,Onumber01"));
    files.booked("Olate,wechat,Tlate,9.00,2026-11-22 23:59:59,1900000109,,,,");
    files.booked(&format!("Oali,alipay,Tali,9.00,{DAY} 08:00:01,2088,,,,"));
    files
}

fn counts(report: &Report) -> BTreeMap<&'static str, u64> {
    report.categories.iter().map(|category| (category.difference.as_str(), category.count)).collect()
}

fn all_of(report: &Report) -> (u64, u64, u64, u64) {
    (report.exceptions, report.listed, report.of_other_days, report.strangers)
}

const SMALL: Means = Means { threads: 1, records_max: 4_000, listed_max: 1_000 };

#[test]
fn every_exception_is_told_with_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let wanted = day(40).put(folder.path());
    let report = reconcile(&wanted, Means::all()).expect("it can be reconciled");
    let expected = [
        ("amount_differs", 1),
        ("duplicate_line", 1),
        ("matched", 43),
        ("refund_differs", 2),
        ("shortage", 1),
        ("status_differs", 1),
        ("surplus", 1),
    ];
    assert_eq!(counts(&report), expected.into());
    assert_eq!(all_of(&report), (7, 7, 1, 1));
    let gaps: i64 = report.categories.iter().map(|category| category.gap_minor).sum();
    assert_eq!(report.ours_minor + gaps, report.theirs_minor);
    assert_eq!(report.theirs_minor, 40 * 500 + 100 + 300 + 400 + 1_000 - 50 - 60 - 80 + 900);
    let text = fs::read_to_string(wanted.out.join("exceptions.csv")).expect("it was written");
    let mut csv = csv::Reader::from_reader(text.strip_prefix('\u{feff}').expect("a mark").as_bytes());
    let rows: Vec<Vec<String>> = csv.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect();
    let short: Vec<String> = rows.iter().map(|row| [0, 4, 5, 6, 9, 12, 13, 15].map(|column| row[column].as_str()).join("|")).collect();
    assert_eq!(
        short,
        [
            "surplus|1.00|42|Tsurplus|1.00|||",
            "amount_differs|-0.30|43|Tamount|3.00|43|Oamount|3.30",
            "status_differs|4.00|44|Tstatus|4.00|44|Ostatus|4.00",
            "duplicate_line|5.00|46|Ttwice|5.00|||",
            "refund_differs|-0.50|47|Tback|0.50|||",
            "refund_differs|0.10|48|Tother|0.60|46|Oother|0.70",
            "shortage|-2.00||||42|Oshortage|2.00",
        ]
    );
    assert!(rows.iter().all(|row| row[3] == Age::T1.as_str() && LineKind::of(&row[2]).is_some()));
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let wanted = day(9_000).put(folder.path());
    let read = |name: &str| fs::read(wanted.out.join(name)).expect("it was written");
    let mut seen = None;
    for means in [Means::all(), SMALL, Means { threads: 7, records_max: 100_000, listed_max: 1_000 }] {
        let report = reconcile(&wanted, means).expect("it can be reconciled");
        assert_eq!((report.exceptions, report.lines), (7, 9_009));
        let written = (report, read("exceptions.csv"), read("report.html"));
        assert_eq!(seen.get_or_insert_with(|| written.clone()), &written);
    }
}

#[test]
fn a_packed_bill_is_told_of_as_a_plain_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = day(3_000);
    let mut wanted = files.put(folder.path());
    let plain = reconcile(&wanted, Means::all()).expect("it can be reconciled");
    let told = fs::read(wanted.out.join("exceptions.csv")).expect("it was written");
    wanted.file = folder.path().join("bill.csv.gz");
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&wanted.file).expect("a file"), flate2::Compression::default());
    encoder.write_all(&files.bill()).expect("it can be written");
    encoder.finish().expect("it can be written");
    wanted.sha1 = Some(plain.sha1.to_uppercase());
    let packed = reconcile(&wanted, Means::all()).expect("it can be reconciled");
    assert_eq!((&packed.categories, &packed.sha1), (&plain.categories, &plain.sha1));
    assert_eq!(fs::read(wanted.out.join("exceptions.csv")).expect("it was written"), told);
}

#[test]
fn nothing_is_reported_of_a_statement_that_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = day(40);
    let wanted = files.put(folder.path());
    let refused = |wanted: &Wanted| {
        let error = reconcile(wanted, Means::all()).expect_err("it is refused");
        assert!(!wanted.out.join("exceptions.csv").exists() && !wanted.out.join("report.html").exists());
        format!("{error:#}").replace(&folder.path().display().to_string(), "")
    };
    let with = |change: &dyn Fn(&mut Wanted)| {
        let mut wanted = wanted.clone();
        change(&mut wanted);
        refused(&wanted)
    };
    assert_eq!(
        with(&|wanted| wanted.day = "2026-11-24".parse().expect("a day")),
        "/bill.csv, line 2, column 交易时间: it is of 2026-11-23, and not of 2026-11-24"
    );
    let strange = "/bill.csv, line 2, column 商户号: it is of the merchant 1900000109, and not of 1900000110";
    assert_eq!(with(&|wanted| wanted.merchant = Some("1900000110".into())), strange);
    assert!(with(&|wanted| wanted.sha1 = Some("0".repeat(40))).starts_with("/bill.csv: its SHA-1 is "));
    assert_eq!(with(&|wanted| wanted.sha1 = Some("0".into())), "\"0\" is no SHA-1: it has 40 hexadecimal digits");
    assert!(
        with(&|wanted| wanted.channel = "cash".into()).starts_with("there is no channel cash with statements, there are wechat, alipay, etc, points")
    );
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("it can be written");
    let bill = String::from_utf8(files.bill()).expect("UTF-8");
    write("bill.csv", bill.replace("`49.0,", "`50.0,"));
    assert_eq!(refused(&wanted), "/bill.csv, line 52, column 总交易单数: it says 50.0 rows, and there are 49");
    write("bill.csv", bill.replacen("`5.00,`0.00,`0,`0", "`5.00,`0.00,`0", 1));
    assert_eq!(refused(&wanted), "/bill.csv, line 2: it has 26 values, and there are 27 columns");
    write("payments.csv", files.csv().replace("Oshortage,wechat,Tshortage,2.00", "Oshortage,wechat,Tshortage,2.001"));
    assert_eq!(refused(&wanted), "/payments.csv, line 42, column amount: \"2.001\" has more decimals than the currency");
    write("payments.csv", files.csv().replacen("1900000109", "1900000110", 1));
    let several = "/payments.csv has payments of several merchants (1900000109, 1900000110): name one with --merchant";
    assert_eq!(refused(&wanted), several);
}

#[test]
fn a_statement_of_another_system_is_told_up_to_a_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Files::default();
    for number in 0..2_500 {
        files.trade(&format!("T{number}"), &format!("O{number}"), 100);
        files.pay(&format!("X{number}"), &format!("Y{number}"), 100);
    }
    let wanted = files.put(folder.path());
    for threads in [1, 3] {
        let report = reconcile(&wanted, Means { threads, ..SMALL }).expect("it can be reconciled");
        assert_eq!((report.exceptions, report.listed), (5_000, 1_000));
        let text = fs::read_to_string(wanted.out.join("exceptions.csv")).expect("it was written");
        assert_eq!(text.lines().skip(1).filter(|row| row.starts_with("surplus,")).count(), 1_000);
        assert!(text.lines().nth(1).is_some_and(|row| row.contains(",T0,O0,")));
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = day(40);
    files.trade("T<script>", "O&\"x", 100);
    let wanted = files.put(folder.path());
    reconcile(&wanted, Means::all()).expect("it can be reconciled");
    let page = fs::read_to_string(wanted.out.join("report.html")).expect("it was written");
    assert_eq!(page.matches("<svg").count(), 2);
    for there in ["长款", "短款", "surplus", "shortage", "our total", "T&lt;script&gt;", "O&amp;&quot;x", "T+1"] {
        assert!(page.contains(there), "{there}");
    }
    for elsewhere in ["<script", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let same = Files { payments: Vec::new(), ..Files::default() }.put(folder.path());
    fs::write(&same.file, r#"{"code":"NO_STATEMENT_EXIST"}"#).expect("it can be written");
    assert_eq!(reconcile(&same, Means::all()).map(|report| report.exceptions).ok(), Some(0));
    assert!(fs::read_to_string(wanted.out.join("report.html")).is_ok_and(|page| page.contains("全部相符")));
}

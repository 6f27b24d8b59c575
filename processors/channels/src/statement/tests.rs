//! Genuine files, files as the other channels write them, and everything that can be wrong with one.

use super::*;
use encoding_rs::GBK;
use std::{fmt::Write, path::Path};

const ALL: &str = "wechat_trade_ALL_2021-01-28.csv";
/// What WeChat Pay's API gave for that file.
const SHA1: &str = "dcd7ceb3d382a1181798368bb15d8437de46c00f";

fn bill(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/statements").join(name);
    std::fs::read(path).expect("a sample")
}

fn wanted(day: &str) -> Wanted {
    Wanted { day: day.parse().expect("a day"), merchant: None }
}

fn lines(form: &Form, wanted: &Wanted, file: &[u8], sha1: Option<&str>, size: usize) -> Result<(Verified, Vec<StatementLine>), Refusal> {
    let mut lines = Vec::new();
    let mut cutter = Cutter::new(file).hashed(sha1).in_chunks_of(size);
    let verified = read(form, wanted, &mut cutter, |line| lines.push(line.in_full()))?;
    Ok((verified, lines))
}

#[track_caller]
fn refused(form: &Form, wanted: &Wanted, file: &[u8]) -> Refusal {
    lines(form, wanted, file, None, cut::CHUNK).expect_err("it is refused")
}

/// Lines of a file in short: kind, standing, transaction, number, refund, amount, fee.
fn short(lines: &[StatementLine]) -> Vec<(&str, &str, &str, &str, &str, i64, i64)> {
    let short = |line: &'_ StatementLine| (line.kind.as_str(), line.standing.as_str(), line.amount.minor, line.fee_milli);
    lines
        .iter()
        .map(|line| {
            let (kind, standing, amount, fee) = short(line);
            (kind, standing, &*line.transaction, &*line.number, &*line.refund, amount, fee)
        })
        .collect()
}

#[test]
fn genuine_files_are_read() {
    let merchant = Some("1601959334".to_owned());
    let (verified, all) = lines(&wechat::FORM, &wanted("2021-01-28"), &bill(ALL), Some(SHA1), cut::CHUNK).expect("it is genuine");
    assert_eq!(verified, Verified { rows: 3, merchant: merchant.clone(), fee_milli: 0, tells_fees: true });
    assert_eq!(short(&all)[0], ("trade", "done", "4200000925202101284997714292", "S20210128170702357723", "", 1, 0));
    assert_eq!((all[0].line, all[2].line, all[0].happened_at.to_string().as_str()), (2, 4, "2021-01-28T09:07:11Z"));
    for day in ["2021-02-01", "2021-01-24"] {
        let (verified, refunds) =
            lines(&wechat::FORM, &wanted(day), &bill("wechat_trade_REFUND_2021-01-24.csv"), None, cut::CHUNK).expect("it is genuine");
        assert_eq!((verified.rows, refunds.len()), (2, 2));
        let expected = ("refund", "done", "4200000844202101245866928772", "S20210124161554311546", "S20210201143320649393", 1, 0);
        assert_eq!(short(&refunds)[0], expected);
        assert_eq!(refunds[0].happened_at.to_string(), "2021-02-01T06:33:24Z");
    }
    let (verified, paid) =
        lines(&wechat::FORM, &wanted("2021-02-01"), &bill("wechat_trade_SUCCESS_2021-02-01.csv"), None, cut::CHUNK).expect("it is genuine");
    assert_eq!((verified.rows, verified.merchant, short(&paid)[0].5), (1, merchant, 1));
}

#[test]
fn each_malformed_file_has_its_own_reason() {
    let amount = |text: &str| Reason::Amount(text.into());
    for (name, day, line, column, reason) in [
        ("wechat_malformed_bad_row.csv", "2021-01-28", 4, "申请退款金额", amount("a0.00")),
        ("wechat_malformed_bad_refund.csv", "2021-02-01", 3, "申请退款金额", amount("a0.01")),
        ("wechat_malformed_bad_backtick.csv", "2021-02-01", 2, "订单金额", amount("a0.01")),
        ("wechat_malformed_bad_summary_count.csv", "2021-01-28", 6, "总交易单数", amount("a3")),
        ("wechat_malformed_bad_summary_amount.csv", "2021-01-28", 6, "申请退款总金额", amount("a0.00")),
        ("wechat_malformed_bad_fundflow_row.csv", "2021-02-01", 3, "收支金额(元)", amount("a0.01")),
        ("wechat_malformed_bad_fundflow_summary.csv", "2021-02-01", 5, "支出金额", amount("a0.02")),
        ("wechat_fundflow_BASIC_2021-02-01.csv", "2021-02-01", 5, "资金流水总笔数", Reason::Count { said: "3".into(), found: "2".into() }),
    ] {
        assert_eq!(refused(&wechat::FORM, &wanted(day), &bill(name)), Refusal::at(line, column, reason), "{name}");
    }
}

/// A genuine bill with one thing changed.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bill(ALL)).expect("UTF-8");
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn a_changed_bill_is_refused_where_it_was_changed() {
    let said = |said: &str, found: &str| Reason::Sum { said: said.into(), found: found.into() };
    let summary = "`3,`0.03,`0.00,`0.00,`0.00000,`0.03,`0.00";
    for (from, to, line, column, reason) in [
        ("`0.01,`0.00,`\r\n`2021-01-28 15", "`0.02,`0.00,`\r\n`2021-01-28 15", 6, "订单总金额", said("0.03", "0.04")),
        ("`0.01,`0.00,`0,`0", "`0.02,`0.00,`0,`0", 6, "应结订单总金额", said("0.03", "0.04")),
        ("`0.00000,`1.00%", "`0.00001,`1.00%", 6, "手续费总金额", said("0.00000", "0.00001")),
        (summary, "`4,`0.03,`0.00,`0.00,`0.00000,`0.03,`0.00", 6, "总交易单数", Reason::Count { said: "4".into(), found: "3".into() }),
        (summary, "`3,`0.03,`0.00,`0.00,`0.00000,`0.03,0.00", 6, "", Reason::Backtick),
        (summary, "`3,`0.03,`0.00,`0.00,`0.00000", 6, "", Reason::Columns { found: 5, columns: 7 }),
        (summary, "", 6, "", Reason::NotARow),
        ("总交易单数", "总笔数", 5, "", Reason::NotARow),
        ("应结订单总金额", "总收入", 5, "总收入", Reason::Word("总收入".into())),
        ("`2021-01-28 15:35:18", "`2021-01-27 15:35:18", 3, "交易时间", Reason::Day { found: "2021-01-27".into(), wanted: "2021-01-28".into() }),
        ("`2021-01-28 15:35:18", "`2021-01-28 25:35:18", 3, "交易时间", Reason::Time("2021-01-28 25:35:18".into())),
        (
            "`1601959334,`0,`,`4200000910",
            "`1601959335,`0,`,`4200000910",
            3,
            "商户号",
            Reason::Merchant { found: "1601959335".into(), wanted: "1601959334".into() },
        ),
        ("`CNY", "`HKD", 2, "货币种类", Reason::Currency("HKD".into())),
        ("`SUCCESS", "`PAID", 2, "交易状态", Reason::Word("PAID".into())),
        ("`4200000925202101284997714292", "`", 2, "微信订单号", Reason::Empty),
        ("`0.01,`0.00,`0,`0", "`0.010,`0.00,`0,`0", 2, "应结订单金额", Reason::Decimals("0.010".into())),
        ("`0.01,`0.00,`0,`0", "`-0.01,`0.00,`0,`0", 2, "应结订单金额", Reason::Amount("-0.01".into())),
        (",`NATIVE", ",NATIVE", 2, "", Reason::Backtick),
        (",`NATIVE", "", 2, "", Reason::Columns { found: 26, columns: 27 }),
        (",商户订单号", ",商户单号", 1, "商户订单号", Reason::NoColumn),
    ] {
        assert_eq!(refused(&wechat::FORM, &wanted("2021-01-28"), &changed(from, to)), Refusal::at(line, column, reason), "{from} -> {to}");
    }
    let more = [bill(ALL), b"`more".to_vec()].concat();
    assert_eq!(refused(&wechat::FORM, &wanted("2021-01-28"), &more), Refusal::at(7, "", Reason::AfterSummary));
    let other = Wanted { merchant: Some("1".into()), ..wanted("2021-01-28") };
    let reason = Reason::Merchant { found: "1601959334".into(), wanted: "1".into() };
    assert_eq!(refused(&wechat::FORM, &other, &bill(ALL)), Refusal::at(2, "商户号", reason));
    let hash = lines(&wechat::FORM, &wanted("2021-01-28"), &bill(ALL), Some(&SHA1.replace('d', "e")), cut::CHUNK).expect_err("it is refused");
    assert!(matches!(hash.reason, Reason::Hash { found, .. } if found == SHA1));
    let refunds = "wechat_trade_REFUND_2021-01-24.csv";
    let reason = Reason::Day { found: "other days".into(), wanted: "2021-01-25".into() };
    assert_eq!(refused(&wechat::FORM, &wanted("2021-01-25"), &bill(refunds)), Refusal::at(2, "交易时间", reason));
}

#[test]
fn what_genuine_bills_have_of_oddities_is_read() {
    for (from, to) in [
        ("`3,`0.03", "`3.0,`0.03"),
        ("`for testing", "`for, testing"),
        ("`for testing", "`for `testing`"),
        ("`for testing", "`停车，费"),
        // Transactions twice are a matter of what they match.
        ("4200000910202101282955148400", "4200000925202101284997714292"),
        ("`0.01,`0.00,`0,`0", "`0.01,`0,`0,`0"),
    ] {
        let read = lines(&wechat::FORM, &wanted("2021-01-28"), &changed(from, to), None, cut::CHUNK);
        assert_eq!(read.map(|(verified, _)| verified.rows), Ok(3), "{from} -> {to}");
    }
}

#[test]
fn a_bill_of_before_2018_is_read() {
    let head = "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,总金额,代金券或立减优惠金额,\
                微信退款单号,商户退款单号,退款金额,代金券或立减优惠退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率";
    let row = "`2015-06-01 10:00:00,`wx1,`10000100,`0,`1000,`1001,`n1,`o,`MICROPAY,`SUCCESS,`CFT,`CNY,`1.00,`0.0,`0,`0,`0,`0,`,`,`被扫支付,`,`0.00600,`0.60%";
    let back = "`2015-06-01 11:00:00,`wx1,`10000100,`0,`1000,`1001,`n1,`o,`MICROPAY,`REFUND,`CFT,`CNY,`0.00,`0.0,`2001,`r1,`0.40,`0,`ORIGINAL,`SUCCESS,`被扫支付,`,`-0.00240,`0.60%";
    let file = format!(
        "\u{feff}{head}\r\n{row}\r\n{back}\r\n总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额\r\n`2,`1.00,`0.40,`0.0,`0.00360\r\n"
    );
    let (verified, read) = lines(&wechat::FORM, &wanted("2015-06-01"), file.as_bytes(), None, cut::CHUNK).expect("it is a bill");
    assert_eq!(verified, Verified { rows: 2, merchant: Some("10000100".into()), fee_milli: 360, tells_fees: true });
    assert_eq!(short(&read), [("trade", "done", "1001", "n1", "", 100, 600), ("refund", "done", "1001", "n1", "r1", 40, -240)]);
}

/// Details as Alipay prints them: two trades and a refund with its sign, and a footer.
fn details(refund: &str, footer: &str) -> Vec<u8> {
    let row = |transaction: &str, number: &str, kind: &str, amount: &str, refund: &str, fee: &str| {
        format!(
            "{transaction}\t,{number}\t,{kind}\t,停车费,2026-06-05 15:59:59,2026-06-05 16:01:38,\t,\t,\t,\t,**博\t,{amount},{amount},0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,{refund}\t,{fee},0.00,"
        )
    };
    let text = [
        "#支付宝业务明细查询",
        "#账号：[20887226827483540156]",
        "#起始日期：[2026年06月05日 00:00:00]   终止日期：[2026年06月06日 00:00:00]",
        "#-----------------------------------------业务明细列表----------------------------------------",
        "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,\
         商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注",
        &row("2026001", "n1", "交易", "0.01", "", "0.00"),
        &row("2026002", "n2", "交易", "9.90", "", "-0.06"),
        &row("2026002", "n2", "退款", refund, "r1", "0.00"),
        "#-----------------------------------------业务明细列表结束------------------------------------",
        footer,
        "#导出时间：[2026年06月06日 10:00:00]",
        "",
    ];
    GBK.encode(&text.join("\r\n")).0.into_owned()
}

const ALL_ROWS: &str = "#交易合计：3笔，商家实收共9.93元，商家优惠共0.00元";
const APART: &str = "#交易合计：2笔，商家实收共9.91元，商家优惠共0.00元\r\n#退款合计：1笔，商家实收退款共-0.02元，商家优惠退款共0.00元";

#[test]
fn details_of_either_footer_and_sign_are_read() {
    let day = Wanted { merchant: Some("2088722682748354".into()), ..wanted("2026-06-05") };
    for (refund, footer) in [("0.02", ALL_ROWS), ("-0.02", "#交易合计：3笔，商家实收共9.89元，商家优惠共0.00元"), ("-0.02", APART), ("0.02", APART)]
    {
        let (verified, read) = lines(&alipay::FORM, &day, &details(refund, footer), None, cut::CHUNK).expect("it is a statement");
        assert_eq!(verified, Verified { rows: 3, merchant: Some("2088722682748354".into()), fee_milli: 6_000, tells_fees: true });
        let expected = [
            ("trade", "done", "2026001", "n1", "", 1, 0),
            ("trade", "done", "2026002", "n2", "", 990, 6_000),
            ("refund", "done", "2026002", "n2", "r1", 2, 0),
        ];
        assert_eq!(short(&read), expected, "{refund} {footer}");
    }
}

#[test]
fn wrong_details_are_refused() {
    let day = wanted("2026-06-05");
    let sum = |said: &str, found: &str| Reason::Sum { said: said.into(), found: found.into() };
    let count = |said: &str, found: &str| Reason::Count { said: said.into(), found: found.into() };
    for (refund, footer, line, column, reason) in [
        ("0.02", "#交易合计：3笔，商家实收共9.91元，商家优惠共0.00元", 10, "交易合计", sum("9.91", "9.93")),
        ("0.02", "#交易合计：4笔，商家实收共9.93元，商家优惠共0.00元", 10, "交易合计", count("4", "3")),
        ("-0.02", &APART.replace("-0.02", "-0.03"), 11, "退款合计", sum("0.03", "0.02")),
        ("0.02", "#没有", 12, "交易合计", Reason::NoSummary),
        ("0.02", "更多", 10, "", Reason::AfterSummary),
        ("0.002", ALL_ROWS, 8, "订单金额（元）", Reason::Decimals("0.002".into())),
    ] {
        assert_eq!(refused(&alipay::FORM, &day, &details(refund, footer)), Refusal::at(line, column, reason), "{footer}");
    }
    let text = GBK.decode(&details("0.02", ALL_ROWS)).0.into_owned();
    let other_day = Reason::Day { found: "2026年06月05日 00:00:00".into(), wanted: "2026-06-06".into() };
    assert_eq!(refused(&alipay::FORM, &wanted("2026-06-06"), &details("0.02", ALL_ROWS)), Refusal::at(3, "起始日期", other_day));
    for (from, to, line, column, reason) in [
        ("\t,交易\t", "\t,充值\t", 6, "业务类型", Reason::Word("充值".into())),
        ("05 16:01:38", "06 16:01:38", 6, "完成时间", Reason::Day { found: "2026-06-06".into(), wanted: "2026-06-05".into() }),
        ("2026002\t", "\t", 7, "支付宝交易号", Reason::Empty),
        ("停车费", "停车,费", 6, "", Reason::Columns { found: 26, columns: 25 }),
        ("业务类型", "类型", 5, "业务类型", Reason::NoColumn),
    ] {
        let file = GBK.encode(&text.replacen(from, to, 1)).0.into_owned();
        assert_eq!(refused(&alipay::FORM, &day, &file), Refusal::at(line, column, reason), "{from} -> {to}");
    }
    let stranger = Wanted { merchant: Some("2088000000000000".into()), ..day };
    let reason = Reason::Merchant { found: "20887226827483540156".into(), wanted: "2088000000000000".into() };
    assert_eq!(refused(&alipay::FORM, &stranger, &details("0.02", ALL_ROWS)), Refusal::at(2, "账号", reason));
}

#[test]
fn a_day_on_which_nothing_happened_is_no_error() {
    let answer =
        br#"{"alipay_data_dataservice_bill_downloadurl_query_response":{"code":"40004","sub_code":"isp.bill_not_exist","sub_msg":"BILL_NOT_EXIST"}}"#;
    for (form, file) in [
        (&alipay::FORM, answer.to_vec()),
        (&wechat::FORM, br#"{"code":"NO_STATEMENT_EXIST","message":"none"}"#.to_vec()),
        (&etc::FORM, b"#clearing,1,2026-06-05,\ntime,kind,transaction,number,amount,disposition\n#total,0,0.00,0.00\n".to_vec()),
    ] {
        let (verified, lines) = lines(form, &wanted("2026-06-05"), &file, None, cut::CHUNK).expect("nothing happened");
        assert_eq!((verified.rows, lines.len()), (0, 0));
    }
    assert_eq!(refused(&alipay::FORM, &wanted("2026-06-05"), br#"{"code":"ACCESS_DENIED"}"#).reason, Reason::NoColumn);
}

const CLEARING: &str = "#clearing,1,2026-11-23,M1
time,kind,transaction,number,amount,disposition,fee,plate
2026-11-21 08:00:00,debit,T1,N1,12.30,posted,0.05,粤B12345
2026-11-21 08:00:01,debit,T2,N2,1.00,duplicate,0.00,
2026-11-21 08:00:01,debit,T3,N3,1.00,invalid tag or plate,0.00,
2026-11-21 08:00:01,debit,T4,N4,1.00,not posted,0.00,
2026-11-21 08:00:01,debit,T5,N5,1.00,system,0.00,
2026-11-21 08:00:01,debit,T6,N6,1.00,content,0.00,
2026-11-21 08:00:01,debit,T7,N7,1.00,not on file,0.00,
2026-11-21 08:00:01,debit,T8,N8,1.00,too old,0.00,
2026-11-23 08:00:00,refund,T1,R1,2.00,posted,0.01,
#total,9,12.30,2.00
";

#[test]
fn a_clearing_file_is_read_and_checked() {
    let (verified, read) = lines(&etc::FORM, &wanted("2026-11-23"), CLEARING.as_bytes(), None, cut::CHUNK).expect("it is a clearing file");
    assert_eq!(verified, Verified { rows: 9, merchant: Some("M1".into()), fee_milli: 4_000, tells_fees: true });
    assert_eq!(short(&read)[0], ("trade", "done", "T1", "N1", "", 1_230, 5_000));
    assert!(read[1..8].iter().all(|line| line.standing == Standing::Failed));
    // The column of fees may lack.
    let without = CLEARING.replace(",fee", ",remark");
    let (verified, _) = lines(&etc::FORM, &wanted("2026-11-23"), without.as_bytes(), None, cut::CHUNK).expect("it is a clearing file");
    assert_eq!((verified.fee_milli, verified.tells_fees), (0, false));
    assert_eq!(short(&read)[8], ("refund", "done", "T1", "", "R1", 200, -1_000));
    let day = |found: &str| Reason::Day { found: found.into(), wanted: "2026-11-23".into() };
    for (from, to, line, column, reason) in [
        ("#clearing,1,", "#clearing,2,", 1, "version", Reason::Version("2".into())),
        ("#clearing,1,", "#clear,1,", 1, "#clearing", Reason::NoColumn),
        ("2026-11-23,M1", "2026-11-24,M1", 1, "day", day("2026-11-24")),
        ("disposition,fee", "outcome,fee", 2, "disposition", Reason::NoColumn),
        ("debit,T2", "credit,T2", 4, "kind", Reason::Word("credit".into())),
        ("duplicate", "doubled", 4, "disposition", Reason::Word("doubled".into())),
        ("12.30,posted", "12.305,posted", 3, "amount", Reason::Decimals("12.305".into())),
        ("12.30,posted", "-12.30,posted", 3, "amount", Reason::Amount("-12.30".into())),
        ("12.30,posted", "12.31,posted", 12, "debits", Reason::Sum { said: "12.30".into(), found: "12.31".into() }),
        ("2.00,posted", "2.01,posted", 12, "refunds", Reason::Sum { said: "2.00".into(), found: "2.01".into() }),
        ("#total,9", "#total,8", 12, "count", Reason::Count { said: "8".into(), found: "9".into() }),
        ("#total,9,12.30,2.00\n", "", 12, "#total", Reason::NoSummary),
        ("#total", "#sum", 12, "", Reason::NotARow),
    ] {
        let file = CLEARING.replacen(from, to, 1);
        assert_eq!(refused(&etc::FORM, &wanted("2026-11-23"), file.as_bytes()), Refusal::at(line, column, reason), "{from} -> {to}");
    }
}

/// A bill of many rows with its summary.
pub fn long_bill(rows: u32) -> Vec<u8> {
    let genuine = String::from_utf8(bill(ALL)).expect("UTF-8");
    let mut parts = genuine.split_inclusive("\r\n");
    let (head, row) = (parts.next().expect("a head"), parts.next().expect("a row"));
    let mut file = head.to_owned();
    for number in 0..rows {
        file.push_str(&row.replace("4200000925202101284997714292", &format!("42000009252021012849{number:08}")));
    }
    let sum = cell::sum(rows.into(), 2);
    file.push_str("总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n");
    write!(file, "`{rows}.0,`{sum},`0.00,`0.00,`0.00000,`{sum},`0.00\r\n").expect("a string takes all that is written");
    file.into_bytes()
}

#[test]
fn where_a_file_is_cut_changes_nothing() {
    let file = long_bill(400);
    let whole = lines(&wechat::FORM, &wanted("2021-01-28"), &file, None, file.len() * 2).expect("it is a bill");
    assert_eq!(whole.1.len(), 400);
    for size in [0, 20_001, 33_333, 50_000] {
        assert_eq!(lines(&wechat::FORM, &wanted("2021-01-28"), &file, None, size).as_ref(), Ok(&whole));
    }
    let early = String::from_utf8(file).expect("UTF-8").replacen("`SUCCESS", "\r\n`SUCCESS", 1);
    assert_eq!(refused(&wechat::FORM, &wanted("2021-01-28"), early.as_bytes()).line, 2);
}

#[test]
fn a_summary_in_the_midst_is_refused() {
    let file = String::from_utf8(long_bill(400)).expect("UTF-8");
    let summary = file.lines().rev().take(2).collect::<Vec<_>>();
    let early = file.replacen("`2021-01-28", &format!("{}\r\n{}\r\n`2021-01-28", summary[1], summary[0]), 1);
    let refused = lines(&wechat::FORM, &wanted("2021-01-28"), early.as_bytes(), None, 0).expect_err("it is refused");
    assert_eq!(refused, Refusal::at(2, "", Reason::NotARow));
}

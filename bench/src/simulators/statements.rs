//! What channels say of a day in files: one row for each payment that was captured and for each refund that went back.
//!
//! WeChat Pay's trade bill has 27 columns, a byte order mark, CRLF, a backtick before each value, and a summary of two lines ("交易账单"). There is no public
//! layout of a clearing house's file: that of ETC is our own (`schema/etc-clearing.md`). Alipay's are two files in GBK, in an archive; lines with `#` say what they are, and a tab follows
//! what a spreadsheet would take for a number ("业务明细").
//!
//! Invariants
//! 1. A file's summary is the sum of its rows   (`tests::a_bill_is_as_it_is_published`).

use super::{
    alipay, archive,
    book::{Return, Standing, Trade},
    clock, wechat,
};
use schema::{Currency, Money};
use std::fmt::Write;

/// The columns of WeChat Pay's trade bill.
const WECHAT: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,\
商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
/// The columns of its summary.
const WECHAT_SUMMARY: &str = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";
/// The columns of Alipay's details.
const ALIPAY: &str = "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,\
支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注";
/// The columns of its summary.
const ALIPAY_SUMMARY: &str = "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,\
分润（元）,实收净额（元）";
/// The fee of WeChat Pay and Alipay, of ten thousand.
const FEE: i64 = 60;

/// Fen as yuan with two decimals.
pub fn yuan(fen: i64) -> String {
    Money::new(fen, Currency::Cny).number()
}

/// The fee of an amount in fen, rounded to fen half up.
const fn fee(fen: i64) -> i64 {
    (fen * FEE + 5_000) / 10_000
}

/// Whether money moved on that day, in China.
fn is_on(day: &str, moment: schema::Moment) -> bool {
    clock::day(moment) == day
}

/// WeChat Pay's trade bill of a day; none where nothing happened.
pub fn wechat<'a>(trades: impl Iterator<Item = &'a Trade>, day: &str) -> Option<Vec<u8>> {
    let mut rows = Vec::new();
    let (mut orders, mut back, mut fees) = (0, 0, 0);
    for trade in trades.filter(|trade| trade.standing == Standing::Paid) {
        let head = |at| {
            format!(
                "`{},`{},`{},`0,`,`{},`{},`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`NATIVE",
                clock::local(at),
                wechat::APP,
                wechat::MERCHANT,
                trade.transaction,
                trade.attempt
            )
        };
        let tail = |fee: i64, order: i64, wanted: i64| format!("`{},`,`{}000,`0.60%,`{},`{},`", trade.subject, yuan(fee), yuan(order), yuan(wanted));
        if is_on(day, trade.since) {
            let (amount, fee) = (trade.amount, fee(trade.amount));
            (orders, fees) = (orders + amount, fees + fee);
            let middle = format!("`SUCCESS,`OTHERS,`CNY,`{},`0.00,`0,`0,`0.00,`0.00,`,`", yuan(amount));
            rows.push((trade.since, format!("{},{middle},{}", head(trade.since), tail(fee, amount, 0))));
        }
        for refund in trade.refunds.iter().filter(|refund| refund.standing == Return::Done && is_on(day, refund.since)) {
            let (amount, fee) = (refund.amount, fee(refund.amount));
            (back, fees) = (back + amount, fees - fee);
            let numbers = format!("`{},`{}", wechat::refund_number(refund), refund.number);
            let middle = format!("`REFUND,`OTHERS,`CNY,`0.00,`0.00,{numbers},`{},`0.00,`ORIGINAL,`SUCCESS", yuan(amount));
            rows.push((refund.since, format!("{},{middle},{}", head(refund.since), tail(-fee, 0, amount))));
        }
    }
    if rows.is_empty() {
        return None;
    }
    // The last comes first.
    rows.sort();
    rows.reverse();
    let mut file = format!("\u{feff}{WECHAT}\r\n");
    for (_, row) in &rows {
        file.push_str(row);
        file.push_str("\r\n");
    }
    let summary = [rows.len().to_string(), yuan(orders), yuan(back), "0.00".to_owned(), format!("{}000", yuan(fees)), yuan(orders), yuan(back)];
    write!(file, "{WECHAT_SUMMARY}\r\n`{}\r\n", summary.join(",`")).expect("a string takes all that is written");
    Some(file.into_bytes())
}

/// Alipay's files of a day, by their names: details and summary; none where nothing happened.
pub fn alipay<'a>(trades: impl Iterator<Item = &'a Trade>, day: &str) -> Vec<(String, Vec<u8>)> {
    let mut rows = Vec::new();
    let (mut paid, mut back) = ((0, 0), (0, 0));
    for trade in trades.filter(|trade| trade.standing == Standing::Paid) {
        let row = |at, kind: &str, amount: i64, number: &str, fee: i64| {
            let (created, done, amount) = (clock::local(trade.opened_at), clock::local(at), yuan(amount));
            let head =
                format!("{}\t,{}\t,{kind}\t,{},{created},{done},\t,\t,\t,\t,**博(159******20)\t", trade.transaction, trade.attempt, trade.subject);
            (at, format!("{head},{amount},{amount},0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,{number}\t,{},0.00,", yuan(fee)))
        };
        if is_on(day, trade.since) {
            paid = (paid.0 + 1, paid.1 + trade.amount);
            rows.push(row(trade.since, "交易", trade.amount, "", -fee(trade.amount)));
        }
        for refund in trade.refunds.iter().filter(|refund| refund.standing == Return::Done && is_on(day, refund.since)) {
            back = (back.0 + 1, back.1 - refund.amount);
            rows.push(row(refund.since, "退款", -refund.amount, &refund.number, fee(refund.amount)));
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    rows.sort();
    let lines: Vec<&str> = rows.iter().map(|(_, row)| row.as_str()).collect();
    let (paid_sum, back_sum, net) = (yuan(paid.1), yuan(back.1), yuan(paid.1 + back.1));
    let framed = |title: &str, columns: &str, lines: &[&str], totals: &[String]| {
        let account = format!("#账号：[{}]", alipay::ACCOUNT);
        let period = format!("#日期：[{day}]");
        let [begin, end] = ["", "结束"].map(|word| format!("#{:-<41}{title}列表{word}{:-<40}", "", ""));
        let all = [
            &[format!("#支付宝{title}查询"), account, period, begin, columns.to_owned()][..],
            &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(),
            &[end],
            totals,
        ]
        .concat();
        archive::gbk(&(all.join("\r\n") + "\r\n"))
    };
    let totals = [
        format!("#交易合计：{}笔，商家实收共{paid_sum}元，商家优惠共0.00元", paid.0),
        format!("#退款合计：{}笔，商家实收退款共{back_sum}元，商家优惠退款共0.00元", back.0),
    ];
    let summary = format!("\t,\t,{},{},{net},{net},0.00,0.00,0.00,0.00,0.00,{net}", paid.0, back.0);
    let name = format!("{}_{}", alipay::ACCOUNT, day.replace('-', ""));
    vec![
        (format!("{name}_业务明细(汇总).csv"), framed("业务汇总", ALIPAY_SUMMARY, &[&summary], &[])),
        (format!("{name}_业务明细.csv"), framed("业务明细", ALIPAY, &lines, &totals)),
    ]
}

/// The clearing file of a channel that has none of its own, of a day: what was cleared, what was not, and what went back; none where nothing happened.
///
/// As `schema/etc-clearing.md` says: a line each with time, kind (`debit` or `refund`), transaction, attempt or refund number, amount in yuan, disposition. Then
/// `#total`, the lines, what came and what went back.
pub fn clearing<'a>(trades: impl Iterator<Item = &'a Trade>, day: &str) -> Option<Vec<u8>> {
    let mut rows = Vec::new();
    let (mut came, mut back) = (0, 0);
    for trade in trades {
        let mut row = |at, kind: &str, number: &str, amount: i64, disposition: &str| {
            rows.push((at, format!("{},{kind},{},{number},{},{disposition}\n", clock::local(at), trade.transaction, yuan(amount))));
        };
        match trade.standing {
            Standing::Paid if is_on(day, trade.since) => {
                came += trade.amount;
                row(trade.since, "debit", &trade.attempt, trade.amount, "posted");
            }
            Standing::Failed if is_on(day, trade.since) => row(trade.since, "debit", &trade.attempt, trade.amount, "not posted"),
            Standing::Open | Standing::Held | Standing::Paid | Standing::Failed | Standing::Closed => {}
        }
        for refund in trade.refunds.iter().filter(|refund| refund.standing == Return::Done && is_on(day, refund.since)) {
            back += refund.amount;
            row(refund.since, "refund", &refund.number, refund.amount, "posted");
        }
    }
    if rows.is_empty() {
        return None;
    }
    rows.sort();
    let lines: String = rows.iter().map(|(_, row)| row.as_str()).collect();
    Some(
        format!("#clearing,1,{day},\ntime,kind,transaction,number,amount,disposition\n{lines}#total,{},{},{}\n", rows.len(), yuan(came), yuan(back))
            .into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulators::book::{Book, Named, Refund};
    use schema::{Moment, time::SECOND};

    const AT: Moment = Moment(1_795_399_200 * SECOND);

    /// Two payments, a refund, and one of the day after.
    fn book() -> Book {
        let mut book = Book::default();
        let mut pay = |attempt: &str, amount, at| drop(book.take(Trade::new("wechat", attempt, amount, at), at, Standing::Paid).expect("it is new"));
        pay("a", 2_990, AT);
        pay("b", 600, AT.plus(SECOND));
        pay("c", 100, AT.plus(86_400 * SECOND));
        let refund = Refund { number: "r".into(), amount: 600, standing: Return::Processing, asked_at: AT, since: AT, notify_url: None };
        book.refund(Named::Attempt("b"), refund, 0).expect("it is paid");
        book.returned("r", AT.plus(2 * SECOND), Return::Done).expect("it was taken on");
        book
    }

    #[test]
    fn a_bill_is_as_it_is_published() {
        let file = String::from_utf8(wechat(book().trades(), &clock::day(AT)).expect("something happened")).expect("UTF-8");
        let lines: Vec<&str> = file.strip_prefix('\u{feff}').expect("a mark").split_terminator("\r\n").collect();
        assert_eq!((lines.len(), lines[0].split(',').count(), lines[4].split(',').count()), (6, 27, 7));
        let cells = |line: &str| line.split(',').map(|cell| cell.strip_prefix('`').expect("a backtick").to_owned()).collect::<Vec<_>>();
        let rows: Vec<_> = lines[1..4].iter().map(|line| cells(line)).collect();
        assert!(rows.iter().all(|row| row.len() == 27), "{rows:?}");
        let of = |name: &str| lines[0].split(',').position(|column| column == name).expect("a column");
        let column = |name: &str| rows.iter().map(|row| row[of(name)].as_str()).collect::<Vec<_>>();
        assert_eq!(column("应结订单金额"), ["0.00", "6.00", "29.90"]);
        assert_eq!(column("订单金额"), ["0.00", "6.00", "29.90"]);
        assert_eq!(column("退款金额"), ["6.00", "0.00", "0.00"]);
        assert_eq!(column("手续费"), ["-0.04000", "0.04000", "0.18000"]);
        assert_eq!(column("交易状态"), ["REFUND", "SUCCESS", "SUCCESS"]);
        assert_eq!(column("商户退款单号"), ["r", "0", "0"]);
        assert_eq!(cells(lines[5]), ["3", "35.90", "6.00", "0.00", "0.18000", "35.90", "6.00"]);
        assert_eq!(wechat(book().trades(), "2026-01-01"), None);
    }

    #[test]
    fn alipays_files_are_in_gbk_and_say_their_sums() {
        let files = alipay(book().trades(), &clock::day(AT));
        let texts: Vec<String> = files.iter().map(|(_, file)| encoding_rs::GBK.decode(file).0.into_owned()).collect();
        assert!(files[0].0.ends_with("_20261123_业务明细(汇总).csv") && files[1].0.ends_with("_20261123_业务明细.csv"));
        let lines: Vec<&str> = texts[1].split_terminator("\r\n").collect();
        let rows: Vec<Vec<&str>> = lines
            .iter()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(',').map(|cell| cell.trim_end_matches('\t')).collect())
            .collect();
        assert!(rows.len() == 4 && rows.iter().all(|row| row.len() == 25), "{rows:?}");
        let of = |name: &str| rows[0].iter().position(|column| *column == name).expect("a column");
        let column = |name: &str| rows[1..].iter().map(|row| row[of(name)]).collect::<Vec<_>>();
        assert_eq!(column("业务类型"), ["交易", "交易", "退款"]);
        assert_eq!(column("商家实收（元）"), ["29.90", "6.00", "-6.00"]);
        assert_eq!(column("退款批次号/请求号"), ["", "", "r"]);
        assert!(lines.contains(&"#交易合计：2笔，商家实收共35.90元，商家优惠共0.00元"), "{lines:?}");
        assert!(lines.contains(&"#退款合计：1笔，商家实收退款共-6.00元，商家优惠退款共0.00元"), "{lines:?}");
        assert!(texts[0].contains(",2,1,29.90,29.90,"), "{}", texts[0]);
        assert_eq!(alipay(book().trades(), "2026-01-01"), []);
    }

    #[test]
    fn a_clearing_file_tells_what_was_not_posted_too() {
        let mut book = book();
        book.take(Trade::new("etc", "d", 300, AT), AT, Standing::Held).expect("it is new");
        book.settle("d", AT.plus(3 * SECOND), false).expect("it was held");
        let file = String::from_utf8(clearing(book.trades(), &clock::day(AT)).expect("something happened")).expect("UTF-8");
        let lines: Vec<&str> = file.lines().collect();
        assert_eq!(lines[0], format!("#clearing,1,{},", clock::day(AT)));
        assert!(lines[5].ends_with(",d,3.00,not posted") && lines[4].ends_with(",r,6.00,posted"), "{file}");
        assert_eq!(lines[6], "#total,4,35.90,6.00");
    }
}

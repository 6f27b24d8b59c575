//! A seeded day: a statement in WeChat Pay's form, our payments as a CSV, and what differs between them.
//!
//! A payment is a function of seed and number, so nothing is kept while files are written: the statement has the last first, as the channel's do, and the payments
//! are in an order of their own.
//!
//! Invariants
//! 1. The same seed gives the same files   (`tests::the_same_seed_gives_the_same_files`).
//! 2. Differences of every kind are planted, as many as were asked for   (`tests::every_kind_is_planted`).

use anyhow::{Context, Result, ensure};
use schema::{Currency, Money};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::PathBuf,
};

/// The day.
pub const DAY: &str = "2026-11-23";
/// The day before, of which the statement does not tell.
const EVE: &str = "2026-11-22";
const MERCHANT: &str = "1900000109";
const COLUMNS: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,\
商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
const SUMMARY: &str = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What is wanted.
#[derive(clap::Args, Clone, Debug)]
pub struct Wanted {
    /// How many payments there are; about as many lines has the statement.
    #[arg(long, default_value_t = 2_000_000)]
    pub lines: u64,
    /// How many differences are planted, of every kind.
    #[arg(long, default_value_t = 400)]
    pub planted: u64,
    /// The seed of everything.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the files go.
    #[arg(long, default_value = "target/bench/statements")]
    pub out: PathBuf,
}

/// The files.
#[derive(Clone, Debug)]
pub struct Made {
    /// The channel's.
    pub statement: PathBuf,
    /// Ours.
    pub payments: PathBuf,
    /// What differs: `difference,number`.
    pub planted: PathBuf,
}

/// What becomes of a payment on its way into the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Trade,
    Refund,
    /// We never heard its transaction, but its number.
    Nameless,
    /// It is of the day before, and no difference.
    OfTheEve,
    /// It is of another channel, and no difference.
    Elsewhere,
    Surplus,
    Shortage,
    OtherAmount,
    OtherStatus,
    OtherOrder,
    Twice,
    RefundUnbooked,
    RefundUnmade,
    RefundOther,
}

/// What is planted, in turn.
const PLANTED: [Fate; 9] = [
    Fate::Surplus,
    Fate::Shortage,
    Fate::OtherAmount,
    Fate::OtherStatus,
    Fate::OtherOrder,
    Fate::Twice,
    Fate::RefundUnbooked,
    Fate::RefundUnmade,
    Fate::RefundOther,
];

impl Fate {
    const fn is_refund(self) -> bool {
        matches!(self, Self::Refund | Self::RefundUnbooked | Self::RefundUnmade | Self::RefundOther)
    }

    /// The difference that is to be found.
    const fn difference(self) -> Option<&'static str> {
        match self {
            Self::Trade | Self::Refund | Self::Nameless | Self::OfTheEve | Self::Elsewhere => None,
            Self::Surplus => Some("surplus"),
            Self::Shortage => Some("shortage"),
            Self::OtherAmount => Some("amount_differs"),
            Self::OtherStatus | Self::OtherOrder => Some("status_differs"),
            Self::Twice => Some("duplicate_line"),
            Self::RefundUnbooked | Self::RefundUnmade | Self::RefundOther => Some("refund_differs"),
        }
    }
}

/// A number that looks like chance (`SplitMix64`).
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A payment.
struct Payment {
    fate: Fate,
    fen: u64,
    second: u64,
    transaction: String,
    attempt: String,
    refund: String,
    chance: u64,
}

fn yuan(fen: u64) -> String {
    Money::new(i64::try_from(fen).unwrap_or(i64::MAX), Currency::Cny).number()
}

fn letters(mut chance: u64, length: usize) -> String {
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        if chance < 62 {
            chance = mixed(chance);
        }
        text.push(char::from(LETTERS[usize::try_from(chance % 62).unwrap_or_default()]));
        chance /= 62;
    }
    text
}

impl Wanted {
    fn payment(&self, number: u64) -> Payment {
        let chance = mixed(self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ number);
        let step = self.lines / self.planted.max(1);
        let turn = number / step.max(1);
        // Spread over the day: in the middle of each stretch.
        let is_planted = self.planted > 0 && number % step == step / 2 && turn < self.planted;
        let fate = if is_planted {
            PLANTED[usize::try_from(turn % PLANTED.len() as u64).unwrap_or_default()]
        } else {
            match chance % 1_000 {
                0..=9 => Fate::Refund,
                10..=11 => Fate::Nameless,
                12 => Fate::OfTheEve,
                13 => Fate::Elsewhere,
                _ => Fate::Trade,
            }
        };
        let place = format!("4426112{:02}", number % 64 / 7 * 7 % 64);
        Payment {
            fate,
            fen: 100 * (1 + chance / 7 % 60) + 50 * (chance / 11 % 2),
            second: 86_399 - number.saturating_mul(86_400) / self.lines.max(1),
            transaction: format!("4200{:010}20261123{:06}", mixed(chance) % 10_000_000_000, number % 1_000_000),
            attempt: format!("O{place}{}{:010}01", letters(chance, 7), number),
            refund: format!("R{place}{}{:010}", letters(chance ^ 1, 7), number),
            chance,
        }
    }
}

/// Sums of a statement, in fen; the fee in thousandths.
#[derive(Default)]
struct Sums {
    rows: u64,
    paid: u64,
    back: u64,
    fee: i64,
}

/// The fee of an amount in fen at 0.60 %, rounded to fen half up.
const fn fee(fen: u64) -> u64 {
    (fen * 60 + 5_000) / 10_000
}

fn row(out: &mut impl Write, payment: &Payment, sums: &mut Sums) -> Result<()> {
    let Payment { fate, fen, second, transaction, attempt, refund, chance } = payment;
    let fen = if matches!(fate, Fate::OtherAmount | Fate::RefundOther) { fen + 10 } else { *fen };
    let (amount, charged) = (yuan(fen), fee(fen));
    let (clock, lot) = ([second / 3_600, second / 60 % 60, second % 60], chance % 700);
    let attempt = if *fate == Fate::OtherOrder { attempt.replace('O', "Q") } else { attempt.clone() };
    sums.rows += 1;
    write!(out, "`{DAY} {:02}:{:02}:{:02},`wx8f2a61c0d35b7e94,`{MERCHANT},`0,`lane-{:03},", clock[0], clock[1], clock[2], chance % 400)?;
    write!(out, "`{transaction},`{attempt},`oUpF8u{},`NATIVE,", letters(*chance, 22))?;
    let what = format!("`停车费 lot-{lot:03} 出口 {},`session=S{} plate=粤B{:05}", chance % 4, &attempt[1..27.min(attempt.len())], chance % 99_999);
    if fate.is_refund() {
        sums.back += fen;
        sums.fee -= i64::try_from(charged * 1_000).unwrap_or_default();
        write!(out, "`REFUND,`OTHERS,`CNY,`0.00,`0.00,`5030{:024},`{refund},`{amount},`0.00,`ORIGINAL,`SUCCESS,", chance % 10_u64.pow(15))?;
        write!(out, "{what},`-{}000,`0.60%,`0.00,`{amount},`\r\n", yuan(charged))?;
    } else {
        sums.paid += fen;
        sums.fee += i64::try_from(charged * 1_000).unwrap_or_default();
        write!(out, "`SUCCESS,`OTHERS,`CNY,`{amount},`0.00,`0,`0,`0.00,`0.00,`,`,{what},`{}000,`0.60%,`{amount},`0.00,`\r\n", yuan(charged))?;
    }
    Ok(())
}

fn booked(out: &mut impl Write, payment: &Payment) -> Result<()> {
    let Payment { fate, fen, second, transaction, attempt, refund, .. } = payment;
    let amount = yuan(*fen);
    let (day, channel) = (if *fate == Fate::OfTheEve { EVE } else { DAY }, if *fate == Fate::Elsewhere { "alipay" } else { "wechat" });
    let (kind, refund) = if fate.is_refund() { ("refund", refund.as_str()) } else { ("trade", "") };
    let status = if *fate == Fate::OtherStatus { "failed" } else { "done" };
    let transaction = if *fate == Fate::Nameless { "" } else { transaction };
    let order = &attempt[..attempt.len() - 2];
    let clock = [second / 3_600, second / 60 % 60, second % 60];
    writeln!(
        out,
        "{order},{channel},{transaction},{amount},{day} {:02}:{:02}:{:02},{MERCHANT},{attempt},{kind},{refund},{status}",
        clock[0], clock[1], clock[2]
    )?;
    Ok(())
}

/// Writes the files.
pub fn make(wanted: &Wanted) -> Result<Made> {
    let Wanted { lines, planted, out, .. } = wanted;
    ensure!(*lines > 0 && planted * 2 <= *lines && *lines < 10_u64.pow(10), "--lines is at least 1 and twice --planted");
    fs::create_dir_all(out).with_context(|| format!("no folder {}", out.display()))?;
    let made = Made { statement: out.join("statement.csv"), payments: out.join("payments.csv"), planted: out.join("planted.csv") };
    let create = |path: &PathBuf| {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok::<_, anyhow::Error>(BufWriter::with_capacity(1 << 20, file))
    };
    let (mut statement, mut list) = (create(&made.statement)?, create(&made.planted)?);
    let mut sums = Sums::default();
    write!(statement, "\u{feff}{COLUMNS}\r\n")?;
    writeln!(list, "difference,number")?;
    for number in 0..*lines {
        let payment = wanted.payment(number);
        let copies = match payment.fate {
            Fate::Shortage | Fate::RefundUnmade | Fate::OfTheEve | Fate::Elsewhere => 0,
            Fate::Twice => 2,
            _ => 1,
        };
        for _ in 0..copies {
            row(&mut statement, &payment, &mut sums)?;
        }
        if let Some(difference) = payment.fate.difference() {
            writeln!(list, "{difference},{}", if payment.fate.is_refund() { &payment.refund } else { &payment.transaction })?;
        }
    }
    let Sums { rows, paid, back, fee } = sums;
    let fees = Money::new(fee / 1_000, Currency::Cny).number();
    let (paid, back) = (yuan(paid), yuan(back));
    write!(statement, "{SUMMARY}\r\n`{rows}.0,`{paid},`{back},`0.00,`{fees}000,`{paid},`{back}\r\n")?;
    statement.flush()?;
    list.flush()?;
    let mut payments = create(&made.payments)?;
    writeln!(payments, "order_id,channel,channel_transaction,amount,time,merchant,attempt,kind,refund_id,status")?;
    let stride = stride(*lines);
    for place in 0..*lines {
        let number = u64::try_from(u128::from(place) * u128::from(stride) % u128::from(*lines)).unwrap_or_default();
        let payment = wanted.payment(number);
        if !matches!(payment.fate, Fate::Surplus | Fate::RefundUnbooked) {
            booked(&mut payments, &payment)?;
        }
    }
    payments.flush()?;
    Ok(made)
}

/// A step that comes by every number below a bound once: it shares no divisor with it.
fn stride(bound: u64) -> u64 {
    const fn divisor(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    (bound * 6 / 10 + 1..=2 * bound).find(|step| divisor(*step, bound) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn files(seed: u64) -> [String; 3] {
        let folder = tempfile::tempdir().expect("a folder");
        let made = make(&Wanted { lines: 5_000, planted: 45, seed, out: folder.path().to_owned() }).expect("it can be made");
        [made.statement, made.payments, made.planted].map(|path| fs::read_to_string(path).expect("it was written"))
    }

    #[test]
    fn the_same_seed_gives_the_same_files() {
        assert_eq!(files(1), files(1));
        assert_ne!(files(1), files(2));
    }

    #[test]
    fn every_kind_is_planted() {
        let [statement, payments, planted] = files(3);
        let list: Vec<&str> = planted.lines().skip(1).collect();
        let kinds: BTreeSet<_> = list.iter().filter_map(|line| line.split(',').next()).collect();
        assert_eq!((list.len(), kinds.len()), (45, 6));
        for fate in PLANTED {
            assert!(fate.difference().is_some_and(|difference| kinds.contains(difference)));
        }
        let rows: Vec<&str> = statement.lines().skip(1).take_while(|line| line.starts_with('`')).collect();
        assert!(rows.iter().all(|row| row.split(",`").count() == 27));
        let length = rows.iter().map(|row| row.len() + 2).sum::<usize>() / rows.len();
        assert!((330..=370).contains(&length), "{length}");
        let numbers: BTreeSet<_> = payments.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        assert_eq!(numbers.len(), payments.lines().count() - 1);
    }
}

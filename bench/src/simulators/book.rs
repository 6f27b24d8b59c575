//! What a channel truly knows: payments, and what was given back of them.
//!
//! Invariants
//! 1. A number is paid once, and a closed or failed one never   (`tests::a_number_is_paid_once_and_a_closed_one_never`).
//! 2. What was given back, or is on its way, is never more than what was captured   (`tests::no_more_goes_back_than_came`).
//! 3. The same refund number refunds once   (`tests::the_same_number_refunds_once`).
//!
//! Not here: how a channel says it (`wechat`, `alipay`, `signed`), what goes wrong (`faults`).

use super::keys;
use schema::Moment;
use std::collections::BTreeMap;

/// The most refunds of one payment (WeChat Pay's documentation of "申请退款").
const REFUNDS_MAX: usize = 50;

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It can be paid.
    Open,
    /// It is accepted or held, and nothing is captured yet.
    Held,
    /// It is captured.
    Paid,
    /// What had been held is not paid after all.
    Failed,
    /// Nobody can pay it any more.
    Closed,
}

/// How a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Return {
    /// The money is on its way.
    Processing,
    /// The money went back.
    Done,
    /// It cannot be made.
    Abnormal,
}

/// Why a channel does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It knows no such number.
    Unknown,
    /// It is paid already, or held.
    Taken,
    /// It is closed, has failed, or its time is over.
    Over,
    /// It is known with another amount.
    OtherAmount,
    /// It is not paid.
    NotPaid,
    /// More would go back than came.
    TooMuch,
    /// It was refunded too often.
    TooMany,
    /// The refund before it was too short a time ago.
    TooSoon,
    /// It is too late to give anything back.
    TooLate,
    /// The merchant's account has not enough; later it may.
    NoMoney,
    /// Nothing happened on that day.
    NoBill,
    /// Nobody answers.
    Silent,
}

/// One payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The merchant's number (`out_trade_no`).
    pub attempt: String,
    /// The channel's number.
    pub transaction: String,
    /// In fen.
    pub amount: i64,
    /// What it is for.
    pub subject: String,
    /// Where the merchant wants to be told; none where it has not said so.
    pub notify_url: Option<String>,
    /// When it was made.
    pub opened_at: Moment,
    /// Until when it can be paid.
    pub expires_at: Option<Moment>,
    /// Whether a driver has looked at it.
    pub scanned: bool,
    /// How it stands.
    pub standing: Standing,
    /// Since when it stands so.
    pub since: Moment,
    /// What the merchant has said of the parking stay, of a deduction of WeChat Pay's parking product.
    pub parking: Option<serde_json::Value>,
    /// What was given back, in order.
    pub refunds: Vec<Refund>,
}

/// Money that goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The merchant's number (`out_refund_no`).
    pub number: String,
    /// In fen.
    pub amount: i64,
    /// How it stands.
    pub standing: Return,
    /// When it was asked for.
    pub asked_at: Moment,
    /// Since when it stands so.
    pub since: Moment,
    /// Where the merchant wants to be told.
    pub notify_url: Option<String>,
}

impl Trade {
    /// A payment that can be made.
    pub fn new(channel: &str, attempt: &str, amount: i64, at: Moment) -> Self {
        Self {
            attempt: attempt.to_owned(),
            transaction: transaction(channel, attempt),
            amount,
            subject: "parking".to_owned(),
            notify_url: None,
            opened_at: at,
            expires_at: None,
            scanned: false,
            standing: Standing::Open,
            since: at,
            parking: None,
            refunds: Vec::new(),
        }
    }

    /// What was captured, in fen.
    pub fn captured(&self) -> i64 {
        if self.standing == Standing::Paid { self.amount } else { 0 }
    }

    /// What went back, in fen.
    pub fn refunded(&self) -> i64 {
        self.refunds.iter().filter(|refund| refund.standing == Return::Done).map(|refund| refund.amount).sum()
    }

    /// What went back or is to go back, in fen.
    fn promised(&self) -> i64 {
        self.refunds.iter().map(|refund| refund.amount).sum()
    }
}

/// The channel's number of a payment: digits, as the channels' own are, that the merchant's number determines.
fn transaction(channel: &str, attempt: &str) -> String {
    format!("42{:020}{:06}", keys::number(&[channel, attempt]), keys::number(&[attempt, channel]) % 1_000_000)
}

/// By which number a payment is named.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// The merchant's.
    Attempt(&'a str),
    /// The channel's.
    Transaction(&'a str),
}

/// All payments of one channel.
#[derive(Debug, Default)]
pub struct Book {
    trades: BTreeMap<String, Trade>,
    attempts: BTreeMap<String, String>,
    refunds: BTreeMap<String, String>,
    calls: BTreeMap<String, u32>,
    /// How often more was to go back than had come: a merchant that keeps its books never asks for that.
    pub too_much: u64,
}

impl Book {
    /// Every payment, by the merchant's number.
    pub fn trades(&self) -> impl Iterator<Item = &Trade> {
        self.trades.values()
    }

    /// A payment.
    pub fn find(&self, named: Named<'_>) -> Option<&Trade> {
        match named {
            Named::Attempt(attempt) => self.trades.get(attempt),
            Named::Transaction(transaction) => self.trades.get(self.attempts.get(transaction)?),
        }
    }

    /// A refund and its payment.
    pub fn find_refund(&self, number: &str) -> Option<(&Trade, &Refund)> {
        let trade = self.trades.get(self.refunds.get(number)?)?;
        Some((trade, trade.refunds.iter().find(|refund| refund.number == number)?))
    }

    /// How often this has been asked for, this time included.
    pub fn count_call(&mut self, number: &str) -> u32 {
        let calls = self.calls.entry(number.to_owned()).or_default();
        *calls += 1;
        *calls
    }

    fn put(&mut self, trade: Trade) {
        self.attempts.insert(trade.transaction.clone(), trade.attempt.clone());
        self.trades.insert(trade.attempt.clone(), trade);
    }

    fn named_mut(&mut self, attempt: &str) -> Result<&mut Trade, Refusal> {
        self.trades.get_mut(attempt).ok_or(Refusal::Unknown)
    }

    /// Opens a payment; the same again is the same.
    pub fn open(&mut self, trade: Trade) -> Result<Trade, Refusal> {
        match self.trades.get(&trade.attempt) {
            None => {
                self.put(trade.clone());
                Ok(trade)
            }
            Some(known) => match known.standing {
                Standing::Held | Standing::Paid => Err(Refusal::Taken),
                Standing::Closed | Standing::Failed => Err(Refusal::Over),
                Standing::Open if known.expires_at.is_some_and(|until| trade.opened_at >= until) => Err(Refusal::Over),
                Standing::Open if known.amount != trade.amount => Err(Refusal::OtherAmount),
                Standing::Open => Ok(known.clone()),
            },
        }
    }

    /// A driver looks at what is open.
    pub fn scan(&mut self, attempt: &str) -> Result<Trade, Refusal> {
        let trade = self.named_mut(attempt)?;
        trade.scanned = true;
        Ok(trade.clone())
    }

    /// A driver pays, or what he pays is held; what nobody has opened is made with what he pays.
    pub fn take(&mut self, trade: Trade, at: Moment, standing: Standing) -> Result<Trade, Refusal> {
        let attempt = trade.attempt.clone();
        let known = self.open(Trade { opened_at: at, ..trade })?;
        if known.expires_at.is_some_and(|until| at >= until) {
            return Err(Refusal::Over);
        }
        let trade = self.named_mut(&attempt)?;
        trade.scanned = true;
        (trade.standing, trade.since) = (standing, at);
        Ok(trade.clone())
    }

    /// What was held is captured, or fails; said again, it is as it was.
    pub fn settle(&mut self, attempt: &str, at: Moment, captures: bool) -> Result<Trade, Refusal> {
        let trade = self.named_mut(attempt)?;
        let wanted = if captures { Standing::Paid } else { Standing::Failed };
        match trade.standing {
            Standing::Held => (trade.standing, trade.since) = (wanted, at),
            known if known == wanted => {}
            Standing::Paid => return Err(Refusal::Taken),
            Standing::Open => return Err(Refusal::NotPaid),
            Standing::Failed | Standing::Closed => return Err(Refusal::Over),
        }
        Ok(trade.clone())
    }

    /// Closes what is open.
    pub fn close(&mut self, attempt: &str, at: Moment) -> Result<Trade, Refusal> {
        let trade = self.named_mut(attempt)?;
        match trade.standing {
            Standing::Open => (trade.standing, trade.since) = (Standing::Closed, at),
            Standing::Closed | Standing::Failed => {}
            Standing::Held | Standing::Paid => return Err(Refusal::Taken),
        }
        Ok(trade.clone())
    }

    /// Takes on a refund, `gap` microseconds after the last one of its payment at the earliest. Says whether it is a new one.
    pub fn refund(&mut self, named: Named<'_>, refund: Refund, gap: i64) -> Result<(Trade, Refund, bool), Refusal> {
        if let Some((trade, known)) = self.find_refund(&refund.number) {
            return if known.amount == refund.amount { Ok((trade.clone(), known.clone(), false)) } else { Err(Refusal::OtherAmount) };
        }
        let attempt = self.find(named).ok_or(Refusal::Unknown)?.attempt.clone();
        let trade = self.named_mut(&attempt)?;
        if trade.standing != Standing::Paid {
            return Err(Refusal::NotPaid);
        }
        if refund.amount <= 0 || trade.promised() + refund.amount > trade.amount {
            self.too_much += 1;
            return Err(Refusal::TooMuch);
        }
        if trade.refunds.len() >= REFUNDS_MAX {
            return Err(Refusal::TooMany);
        }
        if trade.refunds.last().is_some_and(|last| refund.asked_at.since(last.asked_at) < gap) {
            return Err(Refusal::TooSoon);
        }
        trade.refunds.push(refund.clone());
        let trade = trade.clone();
        self.refunds.insert(refund.number.clone(), attempt);
        Ok((trade, refund, true))
    }

    /// What was on its way has come, or cannot.
    pub fn returned(&mut self, number: &str, at: Moment, standing: Return) -> Option<(Trade, Refund)> {
        let attempt = self.refunds.get(number)?.clone();
        let trade = self.trades.get_mut(&attempt)?;
        let refund = trade.refunds.iter_mut().find(|refund| refund.number == number)?;
        if refund.standing == Return::Processing {
            (refund.standing, refund.since) = (standing, at);
        }
        let refund = refund.clone();
        Some((trade.clone(), refund))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment(1_795_399_200_000_000);

    fn trade(attempt: &str, amount: i64) -> Trade {
        Trade::new("wechat", attempt, amount, AT)
    }

    fn refund(number: &str, amount: i64, asked_at: Moment) -> Refund {
        Refund { number: number.to_owned(), amount, standing: Return::Processing, asked_at, since: asked_at, notify_url: None }
    }

    #[test]
    fn a_number_is_paid_once_and_a_closed_one_never() {
        let mut book = Book::default();
        assert!(book.open(trade("a", 500)).is_ok() && book.open(trade("a", 500)).is_ok());
        assert_eq!(book.open(trade("a", 600)), Err(Refusal::OtherAmount));
        assert_eq!(book.take(trade("a", 500), AT, Standing::Paid).map(|trade| trade.captured()), Ok(500));
        assert_eq!(book.take(trade("a", 500), AT, Standing::Paid), Err(Refusal::Taken));
        assert_eq!(book.close("a", AT), Err(Refusal::Taken));
        assert!(book.open(trade("b", 500)).is_ok() && book.close("b", AT).is_ok() && book.close("b", AT).is_ok());
        assert_eq!(book.open(trade("b", 500)), Err(Refusal::Over));
        assert_eq!(book.take(trade("b", 500), AT, Standing::Paid), Err(Refusal::Over));
        // What nobody has opened can be paid as well, and what is over in time cannot.
        assert!(book.take(trade("c", 700), AT, Standing::Paid).is_ok());
        assert!(book.open(Trade { expires_at: Some(AT.plus(1)), ..trade("d", 1) }).is_ok());
        assert_eq!(book.take(trade("d", 1), AT.plus(1), Standing::Paid), Err(Refusal::Over));
        assert_eq!(book.close("nobody", AT), Err(Refusal::Unknown));
    }

    #[test]
    fn what_is_held_is_captured_or_fails_and_stays_so() {
        let mut book = Book::default();
        for (attempt, captures) in [("a", true), ("b", false)] {
            assert_eq!(book.take(trade(attempt, 500), AT, Standing::Held).map(|trade| trade.captured()), Ok(0));
            let settled = book.settle(attempt, AT, captures).expect("it was held");
            assert_eq!(settled.captured(), if captures { 500 } else { 0 });
            assert_eq!(book.settle(attempt, AT.plus(1), captures), Ok(settled));
            assert!(book.settle(attempt, AT, !captures).is_err());
        }
    }

    #[test]
    fn no_more_goes_back_than_came() {
        let mut book = Book::default();
        book.take(trade("a", 500), AT, Standing::Paid).expect("it is new");
        let by = book.find(Named::Attempt("a")).expect("it is there").transaction.clone();
        let mut back = |number: &str, amount| book.refund(Named::Transaction(&by), refund(number, amount, AT), 0).map(|(_, _, is_new)| is_new);
        assert_eq!(
            (back("r1", 300), back("r2", 300), back("r3", 200), back("r4", 1)),
            (Ok(true), Err(Refusal::TooMuch), Ok(true), Err(Refusal::TooMuch))
        );
        assert_eq!(back("r5", 0), Err(Refusal::TooMuch));
        assert_eq!(book.too_much, 3);
        assert_eq!(book.trades().map(Trade::refunded).sum::<i64>(), 0, "it is on its way");
        for number in ["r1", "r3"] {
            book.returned(number, AT, Return::Done).expect("it was taken on");
        }
        assert_eq!(book.trades().map(Trade::refunded).sum::<i64>(), 500);
    }

    #[test]
    fn the_same_number_refunds_once() {
        let mut book = Book::default();
        book.take(trade("a", 500), AT, Standing::Paid).expect("it is new");
        let mut back = |amount, at| book.refund(Named::Attempt("a"), refund("r1", amount, at), 0).map(|(_, _, is_new)| is_new);
        assert_eq!((back(100, AT), back(100, AT.plus(5)), back(200, AT)), (Ok(true), Ok(false), Err(Refusal::OtherAmount)));
        assert_eq!(book.find(Named::Attempt("a")).map(|trade| trade.refunds.len()), Some(1));
        assert_eq!(book.refund(Named::Attempt("b"), refund("r2", 100, AT), 0), Err(Refusal::Unknown));
    }

    #[test]
    fn refunds_of_a_payment_are_at_most_fifty_and_apart() {
        let mut book = Book::default();
        book.take(trade("a", 500), AT, Standing::Paid).expect("it is new");
        let mut back = |n: i64, at: Moment| book.refund(Named::Attempt("a"), refund(&format!("r{n}"), 1, at), 60).err();
        assert_eq!((back(0, AT), back(1, AT.plus(59)), back(1, AT.plus(60))), (None, Some(Refusal::TooSoon), None));
        for n in 2..50 {
            assert_eq!(back(n, AT.plus(60 * n)), None);
        }
        assert_eq!(back(50, AT.plus(10_000)), Some(Refusal::TooMany));
    }

    #[test]
    fn a_number_determines_the_channels_own() {
        assert_eq!(transaction("wechat", "a"), transaction("wechat", "a"));
        assert_ne!(transaction("wechat", "a"), transaction("alipay", "a"));
        assert_eq!(transaction("wechat", "a").len(), 28);
    }
}

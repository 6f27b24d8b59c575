//! Payments of an older system, brought in by the inbox of channels, so that the first day can be compared.
//!
//! An order of an older system is no id of ours: it is given one that follows from its merchant, its number and the day of its payment, in the province of its merchant
//! and the partition of its number at the channel, which is where a statement's line of it is looked for. The file is read to its end before anything of it is published.
//!
//! Invariants
//! 1. A file that cannot be read changes nothing   (`tests::a_file_that_cannot_be_read_changes_nothing`).
//! 2. What is brought in twice is there once   (`tests::what_is_brought_in_twice_is_there_once`).
//! 3. What cannot be taken is counted by why   (`tests::what_cannot_be_taken_is_counted_by_why`).
//!
//! Not here: the form of the file (`channels::statement::payments`), what becomes of a payment (`rules::payment`: it pays its order, is in nobody's ledger here, and is not
//! given back by us).

use anyhow::{Context, Result};
use channels::statement::{
    Cutter, Refusal, body,
    payments::{Payment, Payments},
};
use futures_util::{StreamExt, stream};
use schema::{
    ChannelEvent, ChannelFact, Currency, Id, Moment, Money, Partition,
    exception::day_of,
    id::{self, Kind, Place, Province},
    statement::{LineKind, Standing},
    time::SECOND,
    wire::{self, Format},
};
use serde::Serialize;
use std::{collections::BTreeMap, fs::File, path::Path, sync::Arc};
use streams::{Bus, Message};

/// How many are published at once.
const UNDER_WAY_MAX: usize = 64;
/// The longest number and transaction, in bytes.
const NAME_MAX: usize = 64;

/// What came of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Of those, brought in; again, where they were there already.
    pub taken: u64,
    /// Of those, the fen that they are.
    pub taken_minor: i64,
    /// Of those, not taken, by why.
    pub left: BTreeMap<&'static str, u64>,
}

/// The id of an order of an older system.
pub fn order_of(merchant: &str, order: &str, number: &str, paid_at: Moment, province: Province) -> Id {
    let place = Place { province, day: day_of(paid_at), partition: Partition::of_lot(number) };
    id::derive(Kind::Order, place, &["imported", merchant, order])
}

/// A row as a fact, or why it is none.
fn fact(row: &Payment<'_>, province: impl Fn(&str) -> Option<Province>) -> Result<ChannelEvent, &'static str> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "not UTF-8");
    let (merchant, order, number) = (text(row.merchant)?, text(row.order)?, text(row.number())?);
    let (channel, transaction): (String, Arc<str>) = (text(row.channel)?, text(row.transaction)?.into());
    if row.kind == LineKind::Refund {
        return Err("a refund: its older system gives money back");
    }
    if row.standing != Standing::Done {
        return Err("not paid");
    }
    if row.amount <= 0 {
        return Err("no amount");
    }
    if transaction.is_empty() {
        return Err("no transaction");
    }
    if [&*transaction, &*order, &*number].iter().any(|text| text.len() > NAME_MAX) {
        return Err("a number is too long");
    }
    if channel.parse::<schema::Token<32>>().is_err() {
        return Err("the channel is no word");
    }
    if id::place(&number).is_some() {
        return Err("a number of ours: it is here already, or its exception is repaired");
    }
    let province = province(&merchant).ok_or("the province of its merchant is not set")?;
    let happened_at = Moment(row.at.saturating_mul(SECOND));
    let order = order_of(&merchant, &order, &number, happened_at, province);
    let fact = ChannelFact::Imported { order, number: number.into(), transaction, amount: Money::new(row.amount, Currency::Cny) };
    Ok(ChannelEvent { channel: channel.into(), happened_at, fact })
}

fn message(event: &ChannelEvent) -> Option<Message> {
    let headers =
        BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), Format::Json.content_type().to_owned()), (streams::MESSAGE_ID.to_owned(), event.key())]);
    Some(Message { subject: event.subject()?, payload: wire::encode(Format::Json, event).into(), headers })
}

/// A file that is gone through chunk by chunk.
struct Rows<'p> {
    path: &'p Path,
    cutter: Cutter<File>,
    begun: Option<(Payments, usize, u32)>,
}

impl<'p> Rows<'p> {
    fn open(path: &'p Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, cutter: Cutter::new(file), begun: None })
    }

    /// What the rows of the next chunk are; none at the end.
    fn next(&mut self, province: impl Fn(&str) -> Option<Province>) -> Result<Option<Vec<Result<ChannelEvent, &'static str>>>> {
        let named = |refusal: Refusal| refusal.in_file(self.path.display().to_string());
        let Some(piece) = self.cutter.next(Vec::new()).map_err(named)? else { return Ok(None) };
        let (columns, bytes, lines) = match &self.begun {
            Some(begun) => begun,
            None => self.begun.insert(Payments::begin(&piece).map_err(named)?),
        };
        let mut read = Vec::new();
        columns.read(body(&piece, (*bytes, *lines)), &mut |row| read.push(fact(row, &province))).map_err(named)?;
        Ok(Some(read))
    }
}

/// Brings a file in.
pub async fn import(bus: Arc<dyn Bus>, path: &Path, province: impl Fn(&str) -> Option<Province>) -> Result<Counts> {
    // Once to see that all of it can be read, and once to publish it.
    let mut rows = Rows::open(path)?;
    while rows.next(&province)?.is_some() {}
    let (mut counts, mut rows) = (Counts::default(), Rows::open(path)?);
    while let Some(read) = rows.next(&province)? {
        let mut messages = Vec::new();
        for row in read {
            counts.rows = counts.rows.saturating_add(1);
            match row {
                Ok(event) => {
                    if let ChannelFact::Imported { amount, .. } = &event.fact {
                        counts.taken_minor = counts.taken_minor.saturating_add(amount.minor);
                    }
                    counts.taken = counts.taken.saturating_add(1);
                    messages.extend(message(&event));
                }
                Err(why) => {
                    let left = counts.left.entry(why).or_default();
                    *left = left.saturating_add(1);
                }
            }
        }
        let mut published = stream::iter(messages).map(|message| bus.publish(message)).buffer_unordered(UNDER_WAY_MAX);
        while let Some(stored) = published.next().await {
            stored.context("the broker took a part of the file: bring it in once more, what is there stays once")?;
        }
    }
    Ok(counts)
}

/// Prints them for a person.
pub fn print(counts: &Counts) {
    println!("{} rows, {} brought in: {}", counts.rows, counts.taken, Money::new(counts.taken_minor, Currency::Cny));
    for (why, count) in &counts.left {
        println!("  {count} not taken: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        replica::Readiness,
        run::run,
        trial::{self, START},
    };
    use schema::{Entity, Table};
    use std::time::Duration;
    use store::{Sqlite, Store};
    use streams::Memory;
    use tokio::sync::watch;

    const HEAD: &str = "order_id,channel,channel_transaction,amount,time,merchant,kind,refund_id,status\n";

    fn province(merchant: &str) -> Option<Province> {
        (merchant == "m").then_some(Province(44))
    }

    async fn brought(bus: &Arc<dyn Bus>, text: &str) -> Result<Counts> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("payments.csv");
        std::fs::write(&path, text).expect("it can be written");
        import(bus.clone(), &path, province).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_brought_in_twice_is_there_once() {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
        let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory());
        let with = trial::with(bus.clone(), store.clone());
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(run(rules::ALL.to_vec(), with, Arc::new(Readiness::default()), stopped));
        let text = format!("{HEAD}A-1,wechat,42-1,5.00,2026-11-22 08:00:00,m,,,\nA-2,wechat,42-2,7.00,2026-11-22 23:59:59,m,trade,,done\n");
        for _ in 0..2 {
            let counts = brought(&bus, &text).await.expect("it is taken");
            assert_eq!((counts.rows, counts.taken, counts.taken_minor), (2, 2, 1_200));
            crate::clock::wait(Duration::from_secs(300)).await;
        }
        let kinds = async |stream: &str| {
            let stored = bus.scan(stream, 1, 100).await.expect("the bus is in memory");
            stored.iter().filter_map(|stored| stored.subject.rsplit('.').next().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(kinds("PAYMENT").await, ["imported", "imported"], "an answer that is known is given again, and appends nothing");
        assert_eq!((kinds("ORDER").await.len(), kinds("LEDGER").await.len()), (0, 0), "it is nobody's business but that of statements");
        let order = order_of("m", "A-1", "A-1", Moment(1_795_305_600_000_000), Province(44));
        let key = schema::Key::of(Table::Payments, order).expect("an id of ours");
        let rows = store.load(vec![key]).await.expect("the store is there");
        let Some(Entity::Payment(payment)) = rows[0].as_ref().map(|row| row.entity.clone()) else { panic!("it is saved") };
        assert_eq!((payment.imported.as_deref(), payment.is_open(), payment.is_paid()), (Some("A-1"), false, true));
        stop.send_replace(true);
        running.await.expect("it ends well");
    }

    #[tokio::test]
    async fn what_cannot_be_taken_is_counted_by_why() {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
        let ours =
            id::attempt(id::derive(Kind::Order, Place { province: Province(44), day: schema::Day(261_122), partition: Partition(7) }, &["o"]), 1);
        let rows = [
            "A-1,wechat,42-1,5.00,2026-11-22 08:00:00,m,,,".to_owned(),
            "A-1,wechat,42-1,5.00,2026-11-22 08:00:00,m,refund,R1,".to_owned(),
            "A-2,wechat,,5.00,2026-11-22 08:00:00,m,,,".to_owned(),
            "A-3,wechat,42-3,0.00,2026-11-22 08:00:00,m,,,".to_owned(),
            "A-4,wechat,42-4,5.00,2026-11-22 08:00:00,other,,,".to_owned(),
            "A-5,wechat,42-5,5.00,2026-11-22 08:00:00,m,,,failed".to_owned(),
            "A-6,we.chat,42-6,5.00,2026-11-22 08:00:00,m,,,".to_owned(),
            format!("{ours},wechat,42-7,5.00,2026-11-22 08:00:00,m,,,"),
        ];
        let counts = brought(&bus, &format!("{HEAD}{}\n", rows.join("\n"))).await.expect("it can be read");
        assert_eq!((counts.rows, counts.taken, counts.left.len()), (8, 1, 7), "{counts:?}");
        assert!(counts.left.values().all(|count| *count == 1));
        print(&counts);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_changes_nothing() {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
        let good = "A-1,wechat,42-1,5.00,2026-11-22 08:00:00,m,,,\n";
        for bad in ["A-2,wechat,42-2,five,2026-11-22 08:00:00,m,,,\n", "A-2,wechat,42-2,5.001,2026-11-22 08:00:00,m,,,\n", "A-2\n"] {
            let refused = format!("{:#}", brought(&bus, &format!("{HEAD}{good}{bad}")).await.expect_err("it is refused"));
            assert!(refused.contains("payments.csv"), "{refused}");
        }
        assert!(brought(&bus, "order_id\n").await.is_err());
        assert_eq!(bus.look("CHANNEL").await.expect("the bus is in memory").last, 0);
    }
}

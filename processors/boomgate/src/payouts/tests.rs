use super::*;
use crate::{
    replica::Readiness,
    run::run,
    trial::{self, START},
};
use schema::{
    Event, Journal,
    exception::{DifferenceSum, PieceAt},
    ledger::{Account, LedgerEvent},
    statement::Difference,
    wire,
};
use store::Sqlite;
use streams::Memory;
use tokio::sync::watch;

const HEAD_LINE: &str = "channel,merchant,day,amount,reference,booked_at\n";

fn province(merchant: &str) -> Option<Province> {
    (merchant != "nobody").then_some(Province(44))
}

fn told(rows: &str) -> Result<Vec<StatementEvent>> {
    read(&format!("{HEAD_LINE}{rows}"), "lin".parse().expect("a name"), province)
}

/// All processors on a bus in memory.
struct Office {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl Office {
    fn open() -> Self {
        let (bus, store): (Arc<dyn Bus>, Arc<dyn Store>) = (Arc::new(Memory::new(START)), Arc::new(Sqlite::in_memory()));
        let with = trial::with(bus.clone(), store.clone());
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(run(rules::ALL.to_vec(), with, Arc::new(Readiness::default()), stopped));
        Self { bus, store, stop, running }
    }

    async fn brings(&self, rows: &str) -> Vec<Came> {
        let told = told(rows).expect("it can be read");
        let came = import(&*self.bus, &*self.store, &told).await.expect("the bus takes it");
        clock::wait(Duration::from_secs(5)).await;
        print(&told, &came);
        came
    }

    async fn shown(&self) -> Found {
        find(&*self.store, &Asked::default()).await.expect("the store is there")
    }

    /// The last tokens of a journal's subjects.
    async fn kinds(&self, journal: Journal) -> Vec<String> {
        let stored = self.bus.scan(journal.stream(), 1, 1_000).await.expect("the bus is in memory");
        stored.iter().filter_map(|stored| stored.subject.rsplit('.').next().map(str::to_owned)).collect()
    }

    /// What the ledger holds on an account.
    async fn holds(&self, account: Account) -> i64 {
        let mut net = 0;
        for stored in self.bus.scan("LEDGER", 1, 1_000).await.expect("the bus is in memory") {
            let content_type = stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
            let recorded = wire::decode_recorded(Journal::Ledger, content_type, &stored.payload).expect("a journal is read");
            if let Event::Ledger(LedgerEvent::Posted { entries, .. }) = recorded.event {
                net += entries.iter().filter(|entry| entry.account == account).map(|entry| entry.debit - entry.credit).sum::<i64>();
            }
        }
        net
    }

    async fn close(self) {
        self.stop.send_replace(true);
        self.running.await.expect("it ends well");
    }
}

/// A piece of a day is compared: its lines add up to so much, and the channel keeps so much of it.
fn compared(day: u32, partition: u8, term: Term, (theirs, fees): (i64, i64)) -> StatementEvent {
    let piece = PieceAt { channel: "wechat".into(), merchant: "m".into(), day: Day(day), province: Province(44), partition: Partition(partition) };
    let sums = vec![DifferenceSum { difference: Difference::Matched, count: 1, ours: theirs, theirs }];
    let (fees, hash) = (Some(Money::new(fees, Currency::Cny)), format!("{theirs:064}").into());
    StatementEvent { piece, run: None, fact: StatementFact::Matched { term, sums, fees, stays: None, hash } }
}

#[tokio::test(start_paused = true)]
async fn a_payout_is_booked_once() {
    let office = Office::open();
    // One of two days, and one whose reference another channel has, too.
    let rows = "wechat,m,2026-11-22,3.00,B-1,2026-11-23 10:30:00\nalipay,m,2026-11-21,1.00,B-1,2026-11-22T02:30:00Z\n\
                wechat,m,2026-11-21,2.00,B-1,2026-11-23 10:30:00\n";
    for _ in 0..2 {
        assert_eq!(office.brings(rows).await, [Came::Booked, Came::Booked]);
        clock::wait(Duration::from_secs(300)).await;
        assert_eq!(office.kinds(Journal::Recon).await, ["paid_out", "paid_out"], "what is known is answered, and appends nothing");
        assert_eq!(office.kinds(Journal::Ledger).await.iter().filter(|kind| *kind == "posted").count(), 2);
        assert_eq!((office.holds(Account::Bank).await, office.holds(Account::ChannelReceivable).await), (600, -600));
    }
    let booked = Money::new(500, Currency::Cny);
    assert_eq!(office.brings("wechat,m,2026-11-22,5.01,B-1,2026-11-23 10:30:00\n").await, [Came::Refused(booked)]);
    assert_eq!(office.brings("wechat,m,2026-11-22,5.00,B-1,2026-11-23 10:30:00\n").await, [Came::Refused(booked)], "it is of other days");
    assert_eq!(office.holds(Account::Bank).await, 600);
    let found = office.shown().await;
    assert_eq!(found.payouts.iter().map(|payout| payout.refused.len()).collect::<Vec<_>>(), [0, 2]);
    let mut out = Vec::new();
    write(&found, settle::Format::Table, &mut out).expect("a Vec takes all that is written");
    let text = String::from_utf8(out).expect("it is text");
    assert_eq!(text.matches("refused: wechat m B-1").count(), 2, "{text}");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_remains_is_shown() {
    let office = Office::open();
    for event in [
        compared(261_121, 1, Term::Next, (1_000, 6)),
        compared(261_121, 2, Term::Next, (500, 3)),
        // T+2 has a line of the day after, too.
        compared(261_121, 1, Term::After, (1_700, 6)),
        compared(261_122, 1, Term::After, (700, 0)),
    ] {
        office.bus.publish(finding(&event.checked().expect("it is sound"))).await.expect("the bus takes it");
    }
    let rows = "wechat,m,2026-11-21,9.91,B-1,2026-11-23 10:30:00\nwechat,m,2026-11-22,7.00,B-2,2026-11-23 10:30:00\n\
                wechat,m,2026-11-20,1.00,B-1,2026-11-23 10:30:00\n";
    assert_eq!(office.brings(rows).await, [Came::Booked, Came::Booked]);
    clock::wait(Duration::from_secs(60)).await;
    let found = office.shown().await;
    let days: Vec<_> = found.days.iter().map(|line| (line.day.0, line.stated, line.fees, line.paid_out, line.remains)).collect();
    assert_eq!(
        days,
        [(261_120, None, 0, 100, None), (261_121, Some(1_500), 9, 991, Some(500)), (261_122, Some(700), 0, 700, Some(0))],
        "nobody has compared the first"
    );
    let asked = Asked { day: "2026-11-22".parse().ok(), channel: Some("wechat".into()), ..Asked::default() };
    let one = find(&*office.store, &asked).await.expect("the store is there");
    assert_eq!((one.days.len(), one.payouts.len(), &one.days[0]), (1, 1, &found.days[2]));
    let other = find(&*office.store, &Asked { merchant: Some("n".into()), ..Asked::default() }).await.expect("the store is there");
    assert_eq!(other, Found::default());
    for (format, part) in [(settle::Format::Csv, "wechat,m,261121,CNY,15.00,0.09,9.91,5.00\n"), (settle::Format::Json, "\"remains\": 500")] {
        let mut out = Vec::new();
        write(&found, format, &mut out).expect("a Vec takes all that is written");
        let text = String::from_utf8(out).expect("it is text");
        assert!(text.contains(part), "{text}");
    }
    office.close().await;
}

#[test]
fn a_file_that_cannot_be_read_changes_nothing() {
    let good = "wechat,m,2026-11-22,3.00,B-1,2026-11-23 10:30:00\n";
    assert_eq!(told(good).expect("it can be read").len(), 1);
    let (twice, other) = (format!("{good}{good}"), format!("{good}wechat,m,2026-11-21,3.00,B-1,2026-11-23 10:31:00\n"));
    for (bad, part) in [
        ("", "no payout"),
        ("wechat,m,2026-11-31,3.00,B-1,2026-11-23 10:30:00\n", "no day"),
        ("wechat,m,2026-11-22,3.001,B-1,2026-11-23 10:30:00\n", "two decimals"),
        ("wechat,m,2026-11-22,three,B-1,2026-11-23 10:30:00\n", "two decimals"),
        ("wechat,m,2026-11-22,-3.00,B-1,2026-11-23 10:30:00\n", "above zero"),
        ("wechat,m,2026-11-22,3.00,B-1,soon\n", "no time"),
        ("wechat,m,2026-11-22,3.00,,2026-11-23 10:30:00\n", "reference"),
        ("we chat,m,2026-11-22,3.00,B-1,2026-11-23 10:30:00\n", "a word"),
        ("wechat,nobody,2026-11-22,3.00,B-1,2026-11-23 10:30:00\n", "[reconcile]"),
        ("wechat,m,2026-11-22\n", "CSV"),
        (twice.as_str(), "twice"),
        (other.as_str(), "another operator or booking"),
    ] {
        let refused = format!("{:#}", told(bad).expect_err(bad));
        assert!(refused.contains(part), "{bad:?}: {refused}");
    }
    let no_column = read("channel,merchant\n", "lin".parse().expect("a name"), province).expect_err("it lacks columns");
    assert!(format!("{no_column:#}").contains("no column day"), "{no_column:#}");
}

#[test]
fn a_row_says_when_and_how_much() {
    let text = "booked_at,reference,operator,amount,day,merchant,channel,remark\n\
                2026-11-24 10:30:00,B-1,city,3.5,2026-11-23,m,wechat,x\n2026-11-24T02:30:00Z,B-1,city,-0.50,2026-11-22,m,wechat,y\n";
    let told = read(text, "lin".parse().expect("a name"), province).expect("it can be read");
    let [event] = &told[..] else { panic!("{told:?}") };
    let paid = paid(event).expect("it is a payout");
    // 2026-11-24T02:30:00Z.
    assert_eq!((paid.booked_at, paid.amount.minor), (Moment(1_795_487_400_000_000), 300));
    assert_eq!(paid.days.iter().map(|part| (part.day.0, part.minor)).collect::<Vec<_>>(), [(261_122, -50), (261_123, 350)]);
    assert_eq!((paid.operator.map(|operator| operator.to_string()), event.piece.day), (Some("city".into()), Day(261_122)));
    for (text, minor) in [("0", 0), ("12", 1_200), ("12.3", 1_230), ("-12.34", -1_234), ("0.05", 5)] {
        assert_eq!(fen(text).expect("an amount"), minor);
    }
    for text in ["", "-", ".5", "5.", "1.234", "+1", "1,000", "1 000", "1234567890123"] {
        assert!(fen(text).is_err(), "{text}");
    }
}

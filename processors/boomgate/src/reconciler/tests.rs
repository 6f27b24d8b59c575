use super::{ask::Wanted, *};
use crate::{
    exceptions,
    replica::Readiness,
    run::run as run_processors,
    trial::{self, START},
};
use schema::{
    ChannelEvent, ChannelFact, Currency, Journal, Money,
    exception::Term,
    id::{self, Kind, Place},
    statement::Difference,
};
use std::{fmt::Write, path::Path};
use store::Sqlite;
use streams::Memory;

const DAY_OF: Day = Day(261_122);
const PLACE: Place = Place { province: Province(44), day: DAY_OF, partition: Partition(7) };

/// Payment and reconciliation on a bus in memory, with one worker in front of them.
struct Office {
    shared: Shared,
    reconciler: Arc<Reconciler>,
    folder: tempfile::TempDir,
    stop: watch::Sender<bool>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

impl Office {
    fn open() -> Self {
        let memory = Memory::new(START);
        let (bus, buckets): (Arc<dyn Bus>, Arc<dyn Buckets>) = (Arc::new(memory.clone()), Arc::new(memory));
        let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory());
        let with = trial::with(bus.clone(), store.clone());
        let (stop, stopped) = watch::channel(false);
        let processors = vec![&rules::payment::RULES, &rules::exceptions::RULES];
        let running = vec![tokio::spawn(run_processors(processors, with, Arc::new(Readiness::default()), stopped))];
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            folder: folder.path().join("statements"),
            spool: folder.path().join("spool"),
            sites: BTreeMap::new(),
            sources: Sources::default(),
            provinces: BTreeMap::new(),
            province: Province(11),
            days_back: 2,
            due_after: 0,
            workers: 1,
        };
        std::fs::create_dir_all(settings.folder.join("points")).expect("a folder");
        let reconciler = Arc::new(Reconciler {
            bus: bus.clone(),
            buckets: buckets.clone(),
            store: store.clone(),
            settings,
            replica: "one".into(),
            shutdown: stop.subscribe(),
            past: Mutex::default(),
        });
        Self { shared: Shared { bus, buckets, store }, reconciler, folder, stop, running }
    }

    /// Lets a worker run beside.
    fn hire(&mut self) {
        self.running.push(tokio::spawn(self.reconciler.clone().work(0, self.stop.subscribe())));
    }

    /// Money comes by the channel, at eight in the morning.
    async fn pays(&self, name: &str, amount: i64) {
        let happened_at = begins(DAY_OF).expect("a day").plus(DAY / 3);
        let fact =
            ChannelFact::Succeeded { attempt: attempt(name), transaction: format!("42-{name}").into(), amount: Money::new(amount, Currency::Cny) };
        let event = ChannelEvent { channel: "points".into(), happened_at, fact };
        let payload = wire::encode(Format::Json, &event).into();
        let subject = event.subject().expect("an order of ours");
        self.shared.bus.publish(Message { subject, payload, headers: BTreeMap::new() }).await.expect("the bus takes it");
    }

    /// The statement of a day has come.
    fn comes(&self, date: &str, text: &str) {
        self.comes_as(&format!("clearing-{date}.csv"), text);
    }

    /// A file has come, and lies there for a while.
    fn comes_as(&self, name: &str, text: &str) {
        let path = self.folder.path().join("statements/points").join(name);
        std::fs::write(&path, text).expect("it can be written");
        let file = std::fs::File::options().append(true).open(&path).expect("it is there");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("a file has a time");
    }

    fn day(term: Term) -> DayWork {
        let asked = "by-hand".parse().expect("a token");
        DayWork { channel: "points".into(), merchant: "m".into(), day: DAY_OF, term, asked, file: None }
    }

    /// How the day stands.
    async fn standing(&self, term: Term) -> Option<Standing> {
        let entry = self.shared.buckets.entry(table::RECONCILE, &Self::day(term).key()).await.expect("the bus is in memory");
        entry.map(|entry| serde_json::from_slice(&entry.value).expect("it is JSON"))
    }

    /// What is said of the day's exceptions in a piece, as far as it is saved: how they differ, and why they are closed.
    async fn exceptions(&self, province: Province, bucket: Partition) -> Vec<(Difference, Option<schema::exception::Closing>)> {
        let rows = self.shared.store.scan(Part { table: Table::Exceptions, province, day: DAY_OF, bucket }).await.expect("the store is there");
        let told = rows.into_iter().filter_map(|row| if let Entity::Exception(one) = row.entity { Some((one.difference, one.closed)) } else { None });
        told.collect()
    }

    /// The next work of the queue, as it is handed out.
    async fn next(intake: &mut Box<dyn streams::Intake>) -> (Delivery, Work) {
        let delivery = intake.fetch(1, Duration::from_secs(5)).await.expect("the bus is in memory").remove(0);
        let work = wire::decode(Some("application/json"), &delivery.stored.payload).expect("it is work");
        (delivery, work)
    }

    /// A day is split by a worker who does nothing else; gives the work of its only piece, and what to ack.
    async fn only_split(&self) -> (Delivery, PieceWork) {
        self.shared.bus.publish(message(&Work::Day(Self::day(Term::Next)))).await.expect("the bus takes it");
        let mut intake = self.shared.bus.consume(table::worker()).await.expect("the bus is in memory");
        let (day, _) = Self::next(&mut intake).await;
        self.reconciler.handle(0, &day).await;
        let (delivery, work) = Self::next(&mut intake).await;
        let Work::Piece(piece) = work else { panic!("it is a piece") };
        (delivery, piece)
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    async fn said(&self) -> Vec<(String, Vec<u8>)> {
        let stored = self.shared.bus.scan("STATEMENT", 1, 1_000).await.expect("the bus is in memory");
        stored.into_iter().map(|stored| (stored.headers[streams::MESSAGE_ID].clone(), stored.payload.to_vec())).collect()
    }

    async fn journal(&self) -> usize {
        self.shared.bus.scan(Journal::Recon.stream(), 1, 1_000).await.expect("the bus is in memory").len()
    }

    async fn close(self) {
        self.stop.send_replace(true);
        for running in self.running {
            running.await.expect("it ends well");
        }
    }
}

fn attempt(name: &str) -> Id {
    id::attempt(id::derive(Kind::Order, PLACE, &[name]), 1)
}

/// A clearing file of that date with these debits.
fn statement(date: &str, debits: &[(&str, i64)]) -> String {
    let yuan = |fen: i64| format!("{}.{:02}", fen / 100, fen % 100);
    let mut text = format!("#clearing,1,{date},m\ntime,kind,transaction,number,amount,disposition,fee\n");
    for (name, fen) in debits {
        writeln!(text, "{date} 08:00:00,debit,42-{name},{},{},posted,0.00", attempt(name), yuan(*fen)).expect("a text takes all");
    }
    let sum: i64 = debits.iter().map(|(_, fen)| fen).sum();
    text + &format!("#total,{},{},0.00\n", debits.len(), yuan(sum))
}

fn counts(report: &ask::Report) -> Vec<(Difference, u64)> {
    report.sums.iter().map(|sum| (sum.difference, sum.count)).collect()
}

fn wanted(file: Option<&Path>, term: Term) -> Wanted {
    let (day, file) = (jiff::civil::date(2026, 11, 22), file.map(|file| file.display().to_string()));
    Wanted { channel: "points".into(), merchant: "m".into(), day, term, file, wait: Duration::from_secs(5) }
}

#[tokio::test(start_paused = true)]
async fn a_day_is_asked_for_and_shown() {
    use Difference::{AmountDiffers, Matched, Shortage, Surplus};
    let mut office = Office::open();
    for (name, amount) in [("a", 500), ("b", 500), ("c", 500), ("late", 500)] {
        office.pays(name, amount).await;
    }
    clock::wait(Duration::from_secs(3)).await;
    assert!(ask::ask(&office.shared, &wanted(None, Term::Next)).await.is_err(), "nobody works yet");
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500), ("b", 400), ("lost", 700)]));
    office.hire();
    let report = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    assert_eq!(counts(&report), [(Matched, 1), (Surplus, 1), (Shortage, 2), (AmountDiffers, 1)]);
    assert_eq!((report.lines, report.exceptions.len()), (3, 4));
    assert!(!ask::print(&report));
    let said = office.said().await.len();
    // The lost notification is made up for, and the statement of the next day tells of what it had not told.
    let lost = report.exceptions.iter().find(|one| one.difference == Surplus).expect("it is lost").exception;
    let repair = exceptions::What::Repair(exceptions::Said::by(lost, "lin", "it was lost"));
    assert!(exceptions::run(&repair, office.shared.bus.clone(), office.shared.store.clone()).await.expect("it is decided"));
    clock::wait(Duration::from_secs(3)).await;
    office.comes("2026-11-23", &statement("2026-11-23", &[("late", 500), ("of the day after", 900)]));
    let report = ask::ask(&office.shared, &wanted(None, Term::After)).await.expect("it is compared");
    assert_eq!(counts(&report), [(Matched, 3), (Shortage, 1), (AmountDiffers, 1)]);
    let open: Vec<_> = report.exceptions.iter().map(|one| one.difference).collect();
    assert_eq!(open.len(), 2, "{open:?}: what crossed midnight is explained");
    assert!(office.said().await.len() > said);
    // Comparing the same once more changes nothing.
    let again = ask::ask(&office.shared, &wanted(None, Term::After)).await.expect("it is compared");
    assert_eq!((counts(&again), again.exceptions), (counts(&report), report.exceptions));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_day_is_written_as_a_report() {
    let mut office = Office::open();
    for (name, amount) in [("a", 500), ("b", 500), ("c", 500)] {
        office.pays(name, amount).await;
    }
    clock::wait(Duration::from_secs(3)).await;
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500), ("b", 400), ("lost", 700)]));
    office.hire();
    let report = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    let out = office.folder.path().join("report");
    ask::tell(&report, &out).expect("it can be written");
    let csv = std::fs::read_to_string(out.join("exceptions.csv")).expect("it was written");
    let told: Vec<&str> = csv.lines().skip(1).filter_map(|row| row.split(',').next()).collect();
    assert_eq!(told, ["surplus", "shortage", "amount_differs"], "the largest first, for all are of one day");
    let page = std::fs::read_to_string(out.join("report.html")).expect("it was written");
    assert!(report.exceptions.iter().all(|one| page.contains(one.exception.as_str()) && csv.contains(one.exception.as_str())));
    // Both totals, and the age that RECON tells.
    for there in ["15.00", "16.00", "T+1", "账龄 · Ages on 2026-11-23", "3 笔差异"] {
        assert!(page.contains(there), "{there}");
    }
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn stays_without_their_money_are_told_of_by_themselves() {
    let mut office = Office::open();
    let order = |name: &str| id::derive(Kind::Order, PLACE, &[name]);
    let payments = ["a", "b"].map(|name| {
        let payment = stays::tests::paid(order(name), ("points", format!("42-{name}").as_str()), 8);
        let key = Key::of(Table::Payments, payment.order).expect("an id of ours");
        store::Row { key, at: START, entity: Entity::Payment(Box::new(payment)) }
    });
    // One car was paid for yesterday morning and has not left; the other one's stay is over.
    let stays = [("a", false), ("b", true)].map(|(name, gone)| {
        let session = stays::tests::inside(PLACE, name, &[order(name)]);
        let key = Key::of(Table::Sessions, session.stay.session).expect("an id of ours");
        store::Row { key, at: START, entity: Entity::Session(Box::new(schema::entity::Session { gone, ..session })) }
    });
    let session = stays[0].key.id;
    office.shared.store.save([payments.to_vec(), stays.to_vec()].concat()).await.expect("the store is there");
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500), ("b", 500)]));
    office.hire();
    let due = DayWork { asked: DayWork::schedule(), ..Office::day(Term::Next) };
    office.shared.bus.publish(message(&Work::Day(due))).await.expect("the bus takes it");
    clock::wait(Duration::from_secs(5)).await;
    let row = office.shared.store.load(vec![ask::at(&Office::day(Term::Next), (PLACE.province, PLACE.partition)).key(Term::Next)]).await;
    let Some(Entity::Piece(row)) = row.expect("the store is there").remove(0).map(|row| row.entity) else { panic!("it is compared") };
    assert_eq!((row.count(Difference::Matched), row.sums.len()), (2, 1), "the statement and our payments agree");
    let told = *row.stays.expect("a car that was paid for is inside still");
    assert_eq!((told.paid_and_inside.first, told.left_and_unpaid.count), (vec![session], 0));
    // Once it has left, the next comparison says so.
    let [inside, _] = stays;
    let Entity::Session(session) = inside.entity else { panic!("it is a session") };
    let left = Entity::Session(Box::new(schema::entity::Session { stage: schema::entity::Stage::Closed, ..*session }));
    office.shared.store.save(vec![store::Row { at: START.plus(1), entity: left, ..inside }]).await.expect("the store is there");
    let report = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    assert!(report.stays.is_none() && report.exceptions.is_empty(), "{report:?}");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_comparison_asked_for_again_is_the_second() {
    use Difference::{AmountDiffers, Matched, Shortage};
    let mut office = Office::open();
    office.pays("a", 500).await;
    office.pays("late", 500).await;
    clock::wait(Duration::from_secs(3)).await;
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500)]));
    office.comes("2026-11-23", &statement("2026-11-23", &[("late", 400)]));
    office.hire();
    let first = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    assert_eq!((counts(&first), &*first.term), (vec![(Matched, 1), (Shortage, 1)], "T+1"));
    let second = ask::ask(&office.shared, &wanted(None, Term::After)).await.expect("it is compared");
    assert_eq!((counts(&second), second.exceptions.len()), (vec![(Matched, 1), (AmountDiffers, 1)], 1));
    let again = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    assert_eq!((counts(&again), &*again.term, again.exceptions), (counts(&second), "T+2", second.exceptions));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_right_statement_undoes_what_a_wrong_one_did() {
    let mut office = Office::open();
    office.pays("a", 500).await;
    clock::wait(Duration::from_secs(3)).await;
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400)]));
    let wrong = office.folder.path().join("wrong.csv");
    std::fs::write(&wrong, statement("2026-11-22", &[("a", 500)])).expect("it can be written");
    office.hire();
    let mut open = Vec::new();
    for file in [None, Some(&*wrong), None, Some(&*wrong), None] {
        let report = ask::ask(&office.shared, &wanted(file, Term::Next)).await.expect("it is compared");
        open.push((counts(&report), report.exceptions.len()));
    }
    let (right, wrong) = ((vec![(Difference::AmountDiffers, 1)], 1), (vec![(Difference::Matched, 1)], 0));
    assert_eq!(open, [right.clone(), wrong.clone(), right.clone(), wrong, right]);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_second_comparison_waits_for_the_first() {
    let mut office = Office::open();
    office.pays("late", 500).await;
    clock::wait(Duration::from_secs(3)).await;
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 700)]));
    office.comes("2026-11-23", &statement("2026-11-23", &[("late", 500)]));
    let bus = office.shared.bus.clone();
    for term in Term::ALL {
        bus.publish(message(&Work::Day(Office::day(term)))).await.expect("the bus takes it");
    }
    let mut intake = bus.consume(table::worker()).await.expect("the bus is in memory");
    let first = intake.fetch(1, FETCH_WAIT).await.expect("the bus is in memory");
    let second = intake.fetch(1, FETCH_WAIT).await.expect("the bus is in memory");
    office.reconciler.handle(0, &second[0]).await;
    let standing = office.standing(Term::After).await.expect("it is told");
    assert!(standing.waits.is_some_and(|what| what.contains("T+1")) && standing.pieces.is_empty());
    office.reconciler.handle(0, &first[0]).await;
    office.hire();
    clock::wait(MISSING_WAIT * 3).await;
    let standing = office.standing(Term::After).await.expect("it is told");
    assert_eq!((standing.waits, standing.pieces.len()), (None, 1));
    let part = Part { table: Table::Exceptions, province: PLACE.province, day: DAY_OF, bucket: PLACE.partition };
    let rows = office.shared.store.scan(part).await.expect("the store is there");
    let mut told: Vec<_> = rows
        .into_iter()
        .filter_map(|row| if let Entity::Exception(one) = row.entity { Some((one.difference, one.closed.is_some())) } else { None })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(Difference::Surplus, false), (Difference::Shortage, true)], "what crossed midnight was found, and then explained");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_too_long_is_found_still() {
    let mut office = Office::open();
    let (one, other) = ("x".repeat(80), "x".repeat(81));
    office.comes("2026-11-22", &statement("2026-11-22", &[(one.as_str(), 700), (other.as_str(), 700)]));
    office.hire();
    let report = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    assert_eq!(counts(&report), [(Difference::Surplus, 2)]);
    assert_eq!(report.exceptions.len(), 2);
    assert!(report.exceptions.iter().all(|one| one.transaction().len() <= StatementEvent::NAME_MAX));
    let left = office.shared.bus.look("WORK").await.expect("the bus is in memory");
    assert_eq!(left.messages, 0, "nothing is tried for ever");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_piece_whose_worker_died_is_done_again_and_says_the_same() {
    let office = Office::open();
    office.pays("a", 500).await;
    clock::wait(Duration::from_secs(3)).await;
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400), ("b", 700)]));
    let bus = &office.shared.bus;
    bus.publish(message(&Work::Day(Office::day(Term::Next)))).await.expect("the bus takes it");
    let mut intake = bus.consume(table::worker()).await.expect("the bus is in memory");
    let day = intake.fetch(1, FETCH_WAIT).await.expect("the bus is in memory");
    office.reconciler.handle(0, &day[0]).await;
    // One worker says everything and dies before it acks.
    let piece = intake.fetch(1, FETCH_WAIT).await.expect("the bus is in memory");
    let Ok(Work::Piece(work)) = wire::decode(Some("application/json"), &piece[0].stored.payload) else { panic!("it is a piece") };
    assert!(matches!(office.reconciler.piece(0, &work, START).await, Ok(Ended::Done)));
    clock::wait(Duration::from_secs(3)).await;
    let (said, journal) = (office.said().await, office.journal().await);
    assert_eq!(said.len(), 3, "two differences and the result");
    // Its piece comes to another one, who has no lines of it, long after the broker has forgotten the messages' ids.
    clock::wait(table::DEDUPE_WINDOW * 2).await;
    std::fs::remove_dir_all(office.folder.path().join("spool")).expect("there are lines");
    let again = intake.fetch(1, FETCH_WAIT).await.expect("the bus is in memory");
    assert_eq!((again[0].stored.sequence, again[0].deliveries > 1), (piece[0].stored.sequence, true));
    office.reconciler.handle(1, &again[0]).await;
    clock::wait(Duration::from_secs(3)).await;
    let twice = office.said().await;
    assert_eq!((&twice[..3], &twice[3..]), (&said[..], &said[..]), "the same bytes under the same keys");
    assert_eq!(office.journal().await, journal, "and nothing came of them");
    assert_eq!(bus.look("WORK").await.expect("the bus is in memory").messages, 0, "what is done is gone");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_a_statement_that_is_refused() {
    let mut office = Office::open();
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400), ("b", 700)]).replace("#total,2", "#total,3"));
    office.hire();
    let refused = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect_err("its count is wrong").to_string();
    assert!(refused.contains("refused"), "{refused}");
    assert!(office.said().await.is_empty());
    let left = office.shared.bus.look("WORK").await.expect("the bus is in memory");
    assert_eq!((left.messages, left.last), (0, 1), "no piece was ever enqueued");
    assert!(std::fs::read_dir(office.folder.path().join("spool")).expect("a folder").flatten().all(|file| file.file_name() == "unfinished-one-0"));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_due_waits_for_another_file_where_one_is_refused() {
    let mut office = Office::open();
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400)]).replace("#total,1", "#total,2"));
    office.hire();
    let due = DayWork { asked: DayWork::schedule(), ..Office::day(Term::Next) };
    office.shared.bus.publish(message(&Work::Day(due))).await.expect("the bus takes it");
    clock::wait(Duration::from_secs(5)).await;
    assert!(office.standing(Term::Next).await.expect("it is told").refused);
    // The refused one is the last by name still.
    office.comes_as("clearing-2026-11-22-again.csv", &statement("2026-11-22", &[("a", 400)]));
    clock::wait(REFUSED_WAIT * 2).await;
    let standing = office.standing(Term::Next).await.expect("it is told");
    assert_eq!((standing.refused, standing.waits, standing.lines), (false, None, 1));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_day_waits_for_its_statement() {
    let mut office = Office::open();
    office.hire();
    office.shared.bus.publish(message(&Work::Day(Office::day(Term::Next)))).await.expect("the bus takes it");
    clock::wait(Duration::from_secs(5)).await;
    let standing = office.standing(Term::Next).await.expect("it is told");
    assert!(standing.waits.is_some_and(|what| what.contains("2026-11-22")) && !standing.refused);
    office.comes("2026-11-22", &statement("2026-11-22", &[]));
    clock::wait(MISSING_WAIT * 2).await;
    let standing = office.standing(Term::Next).await.expect("it is told");
    assert_eq!((standing.waits, standing.pieces, standing.lines), (None, vec![], 0), "an empty day has no pieces");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_day_without_a_statement_is_given_up() {
    let mut office = Office::open();
    let due = |term, day| DayWork { asked: DayWork::schedule(), term, day, ..Office::day(term) };
    let (late, recent) = (due(Term::Next, Day(261_022)), due(Term::Next, DAY_OF));
    office.hire();
    for work in [&late, &due(Term::After, Day(261_022)), &recent] {
        office.shared.bus.publish(message(&Work::Day(work.clone()))).await.expect("the bus takes it");
    }
    clock::wait(MISSING_WAIT * 2).await;
    let queued = ask::queued(&*office.shared.bus).await.expect("the bus is in memory");
    assert_eq!(queued, [Work::Day(recent)], "a month is too long");
    let standing = office.reconciler.standing(&late).await.expect("it can be read").expect("it is told");
    assert!(standing.waits.is_some_and(|what| what.contains("given up") && what.contains("2026-10-22")));
    // One that is asked for by hand is as old as the asking.
    let asked = DayWork { day: Day(261_022), ..Office::day(Term::Next) };
    let ended = office.reconciler.day(1, &asked, START).await;
    assert!(matches!(ended, Ok(Ended::Again(_))));
    let ended = office.reconciler.day(1, &asked, START.plus(-40 * DAY)).await;
    assert!(matches!(ended, Ok(Ended::Done)));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_statement_is_waited_out() {
    let office = Office::open();
    office.comes("2026-10-22", &statement("2026-10-22", &[("a", 400)]).replace("#total,1", "#total,2"));
    let late = DayWork { asked: DayWork::schedule(), day: Day(261_022), ..Office::day(Term::Next) };
    assert!(matches!(office.reconciler.day(0, &late, START).await, Ok(Ended::Done)));
    let standing = office.reconciler.standing(&late).await.expect("it can be read").expect("it is told");
    assert!(standing.refused && standing.waits.is_some_and(|what| what.contains("given up")));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_piece_whose_statement_is_gone_is_given_up() {
    let office = Office::open();
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400)]));
    let (_, piece) = office.only_split().await;
    std::fs::remove_dir_all(office.spool()).expect("there are lines");
    std::fs::remove_file(office.folder.path().join("statements/points/clearing-2026-11-22.csv")).expect("it is there");
    assert!(matches!(office.reconciler.piece(0, &piece, START).await, Ok(Ended::Again(_))), "it may come back");
    assert_eq!(office.standing(Term::Next).await.expect("it is told").waits, None);
    assert!(matches!(office.reconciler.piece(0, &piece, START.plus(-2 * LACKING_MAX)).await, Ok(Ended::Done)));
    assert!(office.standing(Term::Next).await.expect("it is told").waits.is_some_and(|what| what.contains("44-7")));
    assert!(office.said().await.is_empty(), "nothing is said of lines that nobody has");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_replaced_meanwhile_is_compared_anew() {
    let mut office = Office::open();
    office.pays("a", 500).await;
    clock::wait(Duration::from_secs(3)).await;
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400)]));
    let shared = office.shared.clone();
    let wanted = wanted(None, Term::Next);
    let mut intake = shared.bus.consume(table::worker()).await.expect("the bus is in memory");
    let (asked, ()) = tokio::join!(ask::ask(&shared, &wanted), async {
        let (day, _) = Office::next(&mut intake).await;
        office.reconciler.handle(0, &day).await;
        // Who asked sees that it is split.
        clock::wait(Duration::from_secs(1)).await;
        office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500)]));
        std::fs::remove_dir_all(office.spool()).expect("there are lines");
        office.hire();
    });
    let why = asked.expect_err("what it waited for is not compared").to_string();
    assert!(why.contains("compared anew"), "{why}");
    clock::wait(Duration::from_secs(5)).await;
    assert_eq!(shared.bus.look("WORK").await.expect("the bus is in memory").messages, 0, "nothing waits for ever");
    let row = shared.store.load(vec![ask::at(&Office::day(Term::Next), (PLACE.province, PLACE.partition)).key(Term::Next)]).await;
    let Some(Entity::Piece(row)) = row.expect("the store is there").remove(0).map(|row| row.entity) else { panic!("it is compared") };
    assert_eq!((row.count(Difference::Matched), row.sums.len()), (1, 1), "the new statement alone is compared");
    assert_eq!(office.exceptions(PLACE.province, PLACE.partition).await, []);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn reconcilers_with_different_files_do_not_ask_one_another_for_ever() {
    let office = Office::open();
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400)]));
    let (_, piece) = office.only_split().await;
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500)]));
    std::fs::remove_dir_all(office.spool()).expect("there are lines");
    let days = async || {
        let queued = ask::queued(&*office.shared.bus).await.expect("the bus is in memory");
        queued.into_iter().filter_map(|work| if let Work::Day(day) = work { Some(day) } else { None }).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert!(matches!(office.reconciler.piece(0, &piece, START).await, Ok(Ended::Done)));
    }
    let asked = days().await;
    assert_eq!(asked.len(), 1, "once for all pieces of the day");
    let again = PieceWork { of: asked[0].clone(), ..piece };
    clock::wait(table::DEDUPE_WINDOW * 2).await;
    assert!(matches!(office.reconciler.piece(0, &again, START).await, Ok(Ended::Done)));
    assert_eq!(days().await, asked);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn asking_ends_where_nobody_compares() {
    let office = Office::open();
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400)]));
    let wanted = wanted(None, Term::Next);
    let mut intake = office.shared.bus.consume(table::worker()).await.expect("the bus is in memory");
    let (asked, ()) = tokio::join!(ask::ask(&office.shared, &wanted), async {
        let (day, _) = Office::next(&mut intake).await;
        office.reconciler.handle(0, &day).await;
    });
    let why = asked.expect_err("nobody takes its piece").to_string();
    assert!(why.contains("1 pieces wait") && why.contains("44-7"), "{why}");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_correction_leaves_out_is_explained() {
    use schema::exception::Closing;
    let mut office = Office::open();
    office.pays("a", 500).await;
    clock::wait(Duration::from_secs(3)).await;
    // A stranger's line lies where nothing else does.
    let (province, partition) = (Province(11), Partition::of_lot("stranger"));
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500), ("s", 700)]).replace(attempt("s").as_str(), "stranger"));
    office.hire();
    let report = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    assert_eq!(counts(&report), [(Difference::Matched, 1), (Difference::Surplus, 1)]);
    assert_eq!(office.exceptions(province, partition).await, [(Difference::Surplus, None)]);
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 500)]));
    let report = ask::ask(&office.shared, &wanted(None, Term::Next)).await.expect("it is compared");
    assert_eq!((counts(&report), report.pieces), (vec![(Difference::Matched, 1)], 2), "the stranger's piece is compared, too");
    assert_eq!(office.exceptions(province, partition).await, [(Difference::Surplus, Some(Closing::Explained))]);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn lines_are_swept_once_nobody_needs_them() {
    let office = Office::open();
    office.comes("2026-11-22", &statement("2026-11-22", &[("a", 400)]));
    let (delivery, piece) = office.only_split().await;
    let lines = office.spool().join(piece.run.as_str());
    let folder = std::fs::File::open(&lines).expect("it is there");
    folder.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("a folder has a time");
    office.reconciler.swept().await.expect("the bus is in memory");
    assert!(lines.exists(), "a piece in the queue needs them");
    office.reconciler.handle(0, &delivery).await;
    office.reconciler.swept().await.expect("the bus is in memory");
    assert!(!lines.exists(), "a process that runs for months sweeps, too");
    office.close().await;
}

#[test]
fn a_channel_without_statements_is_due_nothing() {
    let config = Config::parse("[channels.cash]\n[channels.unionpay]\n[channels.wechat]\nmerchant = 'm'").expect("valid");
    assert_eq!(Settings::of(&config).sites.into_keys().collect::<Vec<_>>(), ["wechat"]);
}

use super::{
    super::{Ended, Settings, Standing, ask},
    *,
};
use bench::simulators::{Faults, Settings as Behaviour, Simulators};
use schema::{
    Day, Partition,
    id::{Kind, Place, Province},
};
use std::sync::Mutex;
use store::Sqlite;
use streams::{Bus, Memory};
use tokio::sync::watch;

const DAY_OF: Day = Day(261_122);
const CHANNELS: [&str; 4] = ["wechat", "alipay", "etc", "points"];
const NAME: &str = "0-fetched-2026-11-22";

/// Channels as servers, and a reconciler who fetches their statements; the files that it splits are those.
struct Town {
    simulators: Simulators,
    reconciler: Reconciler,
    memory: Memory,
    folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

impl Town {
    async fn open(faults: Faults, hours: i64) -> Self {
        Self::with(faults, hours, |text| text).await
    }

    /// So many hours after the statement of the day was due, with the channels of a configuration that may be changed.
    async fn with(faults: Faults, hours: i64, change: impl FnOnce(String) -> String) -> Self {
        let behaviour = Behaviour { faults, hang: Duration::from_millis(200), ..Behaviour::default() };
        let simulators = Simulators::start(behaviour).await.expect("free ports");
        let folder = tempfile::tempdir().expect("a folder");
        let channels = change(simulators.configure(folder.path()).expect("a writable folder"));
        let [statements, spool] = ["statements", "spool"].map(|name| folder.path().join(name).display().to_string());
        let reconcile = format!("[reconcile]\nfolder = {statements:?}\nspool = {spool:?}\nfetch = {CHANNELS:?}\ndue_min = 0\n");
        let config = Config::parse(&format!("{channels}\n{reconcile}")).expect("valid");
        let mut settings = Settings::of(&config).fetching(&config).expect("the keys are sound");
        settings.sources.again = 0;
        let memory = Memory::new(Self::first().plus(DAY).plus(hours * 60 * MINUTE));
        let (stop, shutdown) = watch::channel(false);
        let reconciler = Reconciler {
            bus: Arc::new(memory.clone()),
            buckets: Arc::new(memory.clone()),
            store: Arc::new(Sqlite::in_memory()),
            settings,
            replica: "one".into(),
            shutdown,
            past: Mutex::default(),
        };
        Self { simulators, reconciler, memory, folder, _stop: stop }
    }

    fn first() -> Moment {
        begins(DAY_OF).expect("a day")
    }

    fn pay(&self, channel: &str, number: u32) {
        let place = Place { province: Province(44), day: DAY_OF, partition: Partition(7) };
        let attempt = id::attempt(id::derive(Kind::Order, place, &[&number.to_string()]), 1);
        self.simulators.pay(channel, attempt.as_str(), 500, Self::first().plus(DAY / 3)).expect("it is new");
    }

    fn work(&self, channel: &str) -> DayWork {
        let merchant = self.simulators.access(channel).merchant.into();
        DayWork { channel: channel.into(), merchant, day: DAY_OF, term: Term::Next, asked: DayWork::schedule(), file: None }
    }

    /// Works on the day once: whether it is done.
    async fn works(&self, channel: &str) -> bool {
        let ended = self.reconciler.day(0, &self.work(channel), self.memory.now()).await;
        matches!(ended.expect("nothing of ours is away"), Ended::Done)
    }

    async fn standing(&self, channel: &str) -> Standing {
        self.reconciler.standing(&self.work(channel)).await.expect("the bus is in memory").expect("it is told")
    }

    /// What lies in a channel's folder.
    fn files(&self, channel: &str) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.folder.path().join("statements").join(channel)) else { return Vec::new() };
        let mut names: Vec<String> = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn name(end: &str) -> String {
    format!("{NAME}{end}")
}

#[tokio::test]
async fn a_days_statement_is_fetched_verified_and_split() {
    let town = Town::open(Faults::default(), 1).await;
    for channel in CHANNELS {
        (1..=3).for_each(|number| town.pay(channel, number));
        assert!(town.works(channel).await, "{channel}");
        let Standing { lines, waits, refused, pieces, .. } = town.standing(channel).await;
        assert_eq!((lines, waits, refused), (3, None, false), "{channel}");
        assert_eq!(pieces, [(Province(44), Partition(7))], "{channel}");
        assert_eq!(town.files(channel), [name(""), name(".sha1")], "{channel}");
        assert_eq!(town.simulators.counts(channel).not_signed.get(), 0, "{channel}");
    }
    let queued = ask::queued(&town.memory).await.expect("the bus is in memory");
    assert_eq!(queued.len(), CHANNELS.len(), "a piece of each");
}

#[tokio::test]
async fn what_is_not_there_yet_is_asked_for_again() {
    let town = Town::open(Faults { statement_late: 1_000, ..Faults::default() }, 1).await;
    for channel in CHANNELS {
        town.pay(channel, 1);
        for _ in 0..2 {
            assert!(!town.works(channel).await, "{channel}");
            let waits = town.standing(channel).await.waits.expect("it waits");
            assert!(waits.contains("no statement of 2026-11-22") && waits.contains(&format!("{channel} is asked for it")), "{waits}");
            assert!(town.files(channel).is_empty(), "{channel}");
        }
        assert!(town.works(channel).await, "{channel}");
    }
}

#[tokio::test]
async fn a_download_that_is_cut_off_is_tried_again() {
    let town = Town::open(Faults { statement_cut: 1_000, ..Faults::default() }, 1).await;
    for channel in CHANNELS {
        (1..=3).for_each(|number| town.pay(channel, number));
        assert!(!town.works(channel).await, "{channel}");
        assert!(town.files(channel).is_empty(), "{channel}: nothing is left of it");
        assert!(town.works(channel).await, "{channel}");
        assert_eq!(town.standing(channel).await.lines, 3, "{channel}");
    }
}

#[tokio::test]
async fn a_file_with_another_hash_is_refused_whole() {
    let town = Town::open(Faults { statement_damaged: 1_000, ..Faults::default() }, 1).await;
    for channel in CHANNELS {
        (1..=3).for_each(|number| town.pay(channel, number));
        let queued = ask::queued(&town.memory).await.expect("the bus is in memory").len();
        assert!(!town.works(channel).await, "{channel}");
        let waits = town.standing(channel).await.waits.expect("it waits");
        assert!(waits.contains("refused"), "{waits}");
        assert_eq!(town.files(channel), [name(".refused")], "{channel}: it has no name that is looked for");
        assert_eq!(ask::queued(&town.memory).await.expect("the bus is in memory").len(), queued, "{channel}: nothing of it is enqueued");
        assert!(town.works(channel).await, "{channel}");
        assert_eq!(town.files(channel), [name(""), name(".refused"), name(".sha1")], "{channel}");
    }
    assert_eq!(town.memory.look("STATEMENT").await.expect("the bus is in memory").messages, 0, "nothing is said of it");
}

/// The channels' addresses by another name of this machine, which is not the one that they say their files are at.
fn by_another_name(text: &str) -> String {
    text.replace("base_url = \"http://127.0.0.1:", "base_url = \"http://localhost:")
}

#[tokio::test]
async fn a_statement_that_is_elsewhere_is_not_fetched() {
    let town = Town::with(Faults::default(), 1, |text| by_another_name(&text)).await;
    town.pay("wechat", 1);
    assert!(!town.works("wechat").await);
    let waits = town.standing("wechat").await.waits.expect("it waits");
    assert!(waits.contains("is at http://127.0.0.1:"), "{waits}");
    assert!(town.files("wechat").is_empty());
    // Whoever runs this system may name that host.
    let named = |text: String| {
        let own = text.split("[channels.wechat]").nth(1).and_then(|rest| rest.split("http://127.0.0.1:").nth(1));
        let port = own.and_then(|rest| rest.split('"').next()).expect("a port").to_owned();
        let hosts = format!("[channels.wechat]\ndownload_hosts = [\"127.0.0.1:{port}\"]\n");
        by_another_name(&text).replace("[channels.wechat]\n", &hosts)
    };
    let town = Town::with(Faults::default(), 1, named).await;
    town.pay("wechat", 1);
    assert!(town.works("wechat").await);
}

#[tokio::test]
async fn that_nothing_happened_is_believed_once_it_would_be_known() {
    for (hours, is_believed) in [(1, false), (3, true)] {
        let town = Town::open(Faults::default(), hours).await;
        for channel in CHANNELS {
            assert_eq!(town.works(channel).await, is_believed, "{channel} {hours}");
            let standing = town.standing(channel).await;
            assert_eq!((standing.waits.is_none(), standing.lines, standing.pieces.len()), (is_believed, 0, 0), "{channel} {hours}");
        }
    }
}

#[tokio::test]
async fn that_nothing_happened_is_asked_once_more_a_day_later() {
    let town = Town::open(Faults::default(), 3).await;
    assert!(town.works("etc").await);
    let folder = town.folder.path().join("statements/etc");
    let day = split::date(DAY_OF).expect("a date");
    assert_eq!([Term::Next, Term::After].map(|term| is_laid(&folder, day, term)), [true, false]);
    // What a person lays there counts, whatever its name is, and nobody is asked any more.
    fs::write(folder.join("#2026-11-22.csv"), NOTHING).expect("it can be written");
    assert!(is_laid(&folder, day, Term::After));
}

#[tokio::test]
async fn nothing_is_fetched_where_a_file_lies() {
    let town = Town::open(Faults::default(), 1).await;
    let folder = town.folder.path().join("statements/etc");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("etc_2026-11-22.csv"), "whatever it is").expect("it can be written");
    town.pay("etc", 1);
    assert_eq!(town.reconciler.fetched(0, &town.work("etc")).await, None);
    assert_eq!(town.files("etc"), ["etc_2026-11-22.csv"]);
    // Nor for another merchant than the one whose keys we have.
    let strange = DayWork { merchant: "another".into(), ..town.work("wechat") };
    assert_eq!((town.reconciler.fetched(0, &strange).await, town.files("wechat").len()), (None, 0));
}

#[tokio::test]
async fn nobody_is_asked_before_a_day_is_due() {
    let town = Town::open(Faults::default(), -1).await;
    town.pay("etc", 1);
    assert!(town.reconciler.fetched(0, &town.work("etc")).await.is_some_and(|why| why.contains("due")));
    assert!(town.files("etc").is_empty());
}

#[tokio::test]
async fn one_asks_at_a_time() {
    let town = Town::open(Faults::default(), 1).await;
    let (work, now) = (town.work("wechat"), town.memory.now());
    let day = split::date(DAY_OF).expect("a date");
    let turn = async |writer: &str, now: Moment| town.reconciler.turn(&work, day, now, writer).await.expect("the bus is in memory");
    let first = turn("one", now).await.expect("it is nobody's");
    assert!(turn("two", now).await.is_err_and(|why| why.contains("one")));
    // Who has it may die.
    let later = now.plus(micros(TURN));
    let second = turn("two", later).await.expect("it is over");
    assert_eq!((second.turn.by.as_str(), second.turn.tries), ("two", 2));
    // And may be only slow: then it hands back nothing that is another one's.
    town.reconciler.hand_back(first, &Missed::new("cut_off", "it was slow")).await.expect("the bus is in memory");
    assert!(turn("three", later).await.is_err_and(|why| why.contains("two")));
    town.reconciler.hand_back(second, &Missed::new("not_yet", "it is being made")).await.expect("the bus is in memory");
    assert_eq!(turn("three", later).await.map(|mine| mine.turn.tries), Ok(3), "a day in vain is not forgotten");
}

#[test]
fn who_asks_in_vain_asks_ever_more_seldom() {
    for (tries, minutes) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (100, 60), (u32::MAX, 60)] {
        assert_eq!(again(micros(MISSING_WAIT), tries), minutes * MINUTE, "{tries}");
    }
}

#[test]
fn what_was_begun_and_left_is_swept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for name in [".fetching-2026-11-22-dead-0.part", ".fetching-2026-11-23-live-0.part", "clearing-2026-11-22.csv"] {
        fs::write(path(name), "x").expect("it can be written");
    }
    for name in [".fetching-2026-11-22-dead-0.part", "clearing-2026-11-22.csv"] {
        let opened = fs::File::options().append(true).open(path(name)).expect("it is there");
        opened.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("a file has a time");
    }
    sweep(folder.path(), Duration::from_secs(3_600));
    let mut left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.file_name()).collect();
    left.sort();
    assert_eq!(left, [".fetching-2026-11-23-live-0.part", "clearing-2026-11-22.csv"]);
}

use super::*;
use crate::{
    config::Config,
    connect::{self, Parts},
    trial,
};
use async_nats::connection::State;
use futures_util::{FutureExt, StreamExt};
use schema::{
    ChannelEvent, ChannelFact, GateKind, Journal, LaneCommand, Money, Partition, Reference, Verdict, id,
    wire::{self, Format},
};
use std::{sync::Arc, time::Duration};
use streams::{Beat, Buckets, Bus, JetStream};
use tokio::sync::{mpsc, watch};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn device(lot: &str, lane: &str) -> Device {
    Device { lot: lot.parse().expect("a name"), lane: lane.parse().expect("a name") }
}

/// In the order of the flow.
const PROCESSORS: [User; 5] = [User::Entry, User::Pricing, User::Payment, User::Settlement, User::Reconciliation];

/// The lanes of the trial's lot, and one of another.
fn devices() -> [Device; 3] {
    [device("small", "in"), device("small", "out"), device("other", "in")]
}

/// Broker and store in a folder, where nobody does anything without a key.
struct Site {
    folder: tempfile::TempDir,
    config: Config,
    parts: Parts,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        write(&folder.path().join("auth"), 1, devices()).expect("the folder can be written");
        let text = format!(
            "[loop]\ngroups = 1\nkeep_inputs = true\n[nats]\nfolder = {:?}\nauth = {:?}\n[store]\nlocation = {:?}\n",
            path("nats"),
            path("auth"),
            format!("sqlite:{}", path("boomgate.db"))
        );
        let config = Config::parse(&text).expect("it is valid");
        let parts = connect::connect(&config, User::Entry, "entry").await.expect("our own seeds open our own server");
        Self { folder, config, parts }
    }

    fn auth(&self) -> PathBuf {
        self.folder.path().join("auth")
    }

    async fn url(&self) -> String {
        self.parts.server.as_ref().expect("it is our own").lock().await.url()
    }

    async fn bus(&self, user: User) -> Arc<JetStream> {
        Arc::new(JetStream::connect(&self.url().await, connect::options(&self.config, user, user.name())).await.expect("its seed is known"))
    }

    async fn device(&self, device: &Device) -> Client {
        Client::open(&self.url().await, &device.seed(&self.auth()), &device.inbox()).await.expect("its seed is known")
    }

    async fn user(&self, user: User) -> Client {
        Client::open(&self.url().await, &user.seed(&self.auth()), &user.inbox()).await.expect("its seed is known")
    }

    /// The last sequences of all streams, as the auditor reads them.
    async fn ends(&self) -> Vec<(&'static str, u64)> {
        let auditor = self.bus(User::Auditor).await;
        let mut ends = Vec::new();
        for stream in &table::STREAMS {
            ends.push((stream.name, auditor.look(stream.name).await.expect("an auditor reads").last));
        }
        ends
    }
}

/// A plain client with a seed, as a device's maker would write it.
struct Client {
    client: async_nats::Client,
    told: mpsc::UnboundedReceiver<String>,
}

impl Client {
    async fn open(url: &str, seed: &Path, inbox: &str) -> Result<Self, async_nats::ConnectError> {
        let (say, told) = mpsc::unbounded_channel();
        let seed = fs::read_to_string(seed).expect("it was written").trim().to_owned();
        let options = async_nats::ConnectOptions::with_nkey(seed).custom_inbox_prefix(inbox).event_callback(move |event| {
            let _gone = say.send(event.to_string().to_lowercase());
            async {}
        });
        Ok(Self { client: options.connect(url).await?, told })
    }

    /// Waits until the server says that it refuses this.
    async fn refused(&mut self, doing: &str, subject: &str) {
        let said = async {
            while let Some(text) = self.told.recv().await {
                if text.contains("permissions violation") && text.contains(&format!("{doing} to \"{}\"", subject.to_lowercase())) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("{doing} to {subject} was not refused"));
    }

    async fn may_not_publish(&mut self, subjects: &[&str]) {
        for subject in subjects {
            self.client.publish((*subject).to_owned(), "{}".into()).await.expect("it is connected");
            self.client.flush().await.expect("it is connected");
            self.refused("publish", subject).await;
        }
    }

    /// Of the JetStream API under either of its names.
    async fn may_not_ask(&mut self, subjects: &[&str]) {
        let elsewhere = subjects.iter().filter_map(|subject| subject.strip_prefix(API)).map(|call| format!("{API_ELSEWHERE}{call}"));
        self.may_not_publish(subjects).await;
        self.may_not_publish(&elsewhere.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    async fn may_not_hear(&mut self, subjects: &[&str]) {
        for subject in subjects {
            let _deaf = self.client.subscribe((*subject).to_owned()).await.expect("it is connected");
            self.client.flush().await.expect("it is connected");
            self.refused("subscription", subject).await;
        }
    }

    async fn listen(&self, subject: &str) -> async_nats::Subscriber {
        let ear = self.client.subscribe(subject.to_owned()).await.expect("it is connected");
        self.client.flush().await.expect("it is connected");
        ear
    }

    /// Publishes as a device does, again until JetStream has it, and gives its word. While nats-server reads its configuration again nobody answers.
    async fn send(&self, subject: &str, payload: Vec<u8>) -> String {
        let stored = async {
            loop {
                match self.client.request(subject.to_owned(), payload.clone().into()).await {
                    Ok(answer) => return String::from_utf8(answer.payload.to_vec()).expect("JSON is text"),
                    Err(_) => crate::clock::wait(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, stored).await.expect("it is stored")
    }
}

async fn heard(ear: &mut async_nats::Subscriber) -> async_nats::Message {
    tokio::time::timeout(PATIENCE, ear.next()).await.expect("it is told").expect("it is connected")
}

async fn command(ear: &mut async_nats::Subscriber) -> LaneCommand {
    wire::decode(None, &heard(ear).await.payload).expect("we wrote it")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_kept_to_its_lane() {
    let site = Site::start().await;
    let mut client = site.device(&device("small", "in")).await;
    client
        .may_not_publish(&[
            "gate.small.out.entry",
            "gate.other.in.entry",
            "gate.small.in",
            "gate.small.in.entry.more",
            "GATE.1.small.in.entry",
            "SESSION.44.1.opened",
            "ORDER.44.1.paid",
            "PAYMENT.44.1.applied",
            "LEDGER.44.1.posted",
            "CHANNEL.1.wechat.succeeded",
            "DEAD.GATE.1",
            "lane.small.in",
            "lane.small.out",
            "alive.small.out",
            "alive.other.in",
            "alive.small.in.more",
            "refund.wechat",
            "call.wechat",
            "notice.wechat",
            "desk.small.stated",
            "DESK.1.small.stated",
            "$KV.members.entry.x",
            "$KV.reference.manifest",
            "$JS.API.INFO",
            "$JS.API.STREAM.LIST",
            "$JS.API.STREAM.CREATE.MINE",
            "$JS.API.STREAM.DELETE.GATE",
            "$JS.API.STREAM.PURGE.SESSION",
            "$JS.API.STREAM.MSG.GET.GATE",
            "$JS.API.STREAM.MSG.DELETE.GATE",
            "$JS.API.STREAM.SNAPSHOT.GATE",
            "$JS.API.DIRECT.GET.SESSION",
            "$JS.API.DIRECT.GET.SESSION.SESSION.44.1.opened",
            "$JS.API.CONSUMER.CREATE.GATE",
            "$JS.API.CONSUMER.CREATE.GATE.entry-GATE-0of1",
            "$JS.API.CONSUMER.DELETE.GATE.entry-GATE-0of1",
            "$JS.API.CONSUMER.MSG.NEXT.GATE.entry-GATE-0of1",
            "$JS.ACK.GATE.entry-GATE-0of1.1.1.1.1.0",
            "$SYS.REQ.SERVER.PING",
            "$SYS.REQ.ACCOUNT.BOOMGATE.CONNZ",
            "_INBOX.boomgate.1",
            "_INBOX.device.small.out.1",
        ])
        .await;
    client
        .may_not_hear(&[
            ">",
            "*",
            "*.*.*",
            "*.small.in",
            "gate.>",
            "gate.small.in.*",
            "GATE.>",
            "SESSION.>",
            "lane.>",
            "lane.*.*",
            "lane.*.in",
            "lane.small.*",
            "lane.small.>",
            "lane.small.out",
            "lane.other.in",
            "refund.>",
            "call.>",
            "notice.>",
            "_INBOX.>",
            "_INBOX.*.small.in.>",
            "_INBOX.device.>",
            "_INBOX.device.small.out.>",
            "_INBOX.boomgate.>",
            "$JS.>",
            "$JS.EVENT.ADVISORY.>",
            "$KV.>",
            "$SYS.>",
        ])
        .await;
    assert!(site.ends().await.iter().all(|(_, last)| *last == 0), "nothing of all that was stored");
    // It was kept out of all this by its permissions and not by a broken connection.
    assert!(client.send("gate.small.in.entry", b"{}".to_vec()).await.contains(r#""stream":"GATE","seq":1"#));
    site.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_tells_that_it_lives() {
    let site = Site::start().await;
    let mut heard = site.parts.bus.listen(crate::silence::ALIVE).await.expect("processors hear it");
    let client = site.device(&device("small", "in")).await;
    client.client.publish("alive.small.in", "".into()).await.expect("it is connected");
    client.client.flush().await.expect("it is connected");
    let told = tokio::time::timeout(PATIENCE, heard.next()).await.expect("it is heard").expect("the connection is there");
    assert_eq!(told.subject, "alive.small.in");
    assert_eq!(site.ends().await.iter().map(|(_, last)| last).sum::<u64>(), 0, "nothing of it is stored");
    site.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_subject_reaches_nobody_else() {
    let site = Site::start().await;
    let client = site.device(&device("small", "in")).await;
    let other = site.device(&device("small", "out")).await;
    let (mut lane, mut inbox) = (other.listen("lane.small.out").await, other.listen("_INBOX.device.small.out.7").await);
    let world = site.user(User::World).await;
    let mut answers = world.listen("_INBOX.world.7").await;
    let replies = [
        "SESSION.44.1.opened",
        "CHANNEL.1.wechat.succeeded",
        "DEAD.GATE.1",
        "gate.small.out.entry",
        "gate.other.in.entry",
        "lane.small.out",
        "refund.wechat",
        "desk.small.stated",
        "_INBOX.device.small.out.7",
        "_INBOX.world.7",
        "$KV.reference.manifest",
        "$JS.API.STREAM.PURGE.SESSION",
        "$JS.API.STREAM.INFO.GATE",
        "$JS.ACK.GATE.entry-GATE-0of1.1.1.1.1.0",
    ];
    for reply in replies {
        client.client.publish_with_reply("gate.small.in.entry", reply, "{}".into()).await.expect("it is connected");
    }
    let sent = u64::try_from(replies.len()).expect("a few") + 1;
    assert!(client.send("gate.small.in.entry", b"{}".to_vec()).await.contains("GATE"), "all before it was handled");
    let ends = site.ends().await;
    // A reply that the server reserves for itself is refused whole, and what was sent with it.
    assert!(ends.iter().all(|(stream, last)| if *stream == "GATE" { *last <= sent && *last > 1 } else { *last == 0 }), "{ends:?}");
    let gate = site.bus(User::Auditor).await.scan("GATE", 1, 100).await.expect("an auditor reads");
    assert!(gate.iter().all(|stored| stored.subject.ends_with(".small.in.entry")), "{gate:?}");
    assert_eq!(site.parts.jetstream.keys(REFERENCE).await.expect("we read it"), Vec::<String>::new());
    // Whoever listens hears what it should, and had heard nothing before.
    let told = streams::Told { subject: "lane.small.out".into(), payload: "marker".into() };
    site.parts.bus.tell(told).await.expect("we tell lanes");
    assert_eq!(heard(&mut lane).await.payload, "marker");
    assert!(inbox.next().now_or_never().is_none() && answers.next().now_or_never().is_none());
    site.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_answered_end_to_end() {
    let site = Site::start().await;
    let (stop, stopped) = watch::channel(false);
    let reference: crate::reference::InForce = Arc::new(Reference::resolve(trial::declared()).expect("valid reference data")).into();
    let (parts, config) = (site.parts.clone(), site.config.clone());
    // Each processor connects by its own key.
    let running = tokio::spawn(async move { parts.run(&config, rules::ALL.to_vec(), reference, Arc::default(), stopped).await });
    let (way_in, way_out) = (site.device(&device("small", "in")).await, site.device(&device("small", "out")).await);
    let (mut at_in, mut at_out) = (way_in.listen("lane.small.in").await, way_out.listen("lane.small.out").await);
    let now = site.bus(User::Auditor).await.look("GATE").await.expect("an auditor reads").now;
    let seen = |kind, minutes: i64| schema::GateEvent { seen_at: now.plus(minutes * schema::time::MINUTE), ..trial::gate(kind, "B12345", minutes) };
    let entry = seen(GateKind::Entry, -90);
    let stored = way_in.send(&entry.subject(), wire::encode(Format::Json, &entry)).await;
    assert_eq!(stored.trim(), r#"{"stream":"GATE","seq":1}"#);
    let opened = command(&mut at_in).await;
    assert_eq!((opened.verdict, opened.answers), (Verdict::Open, Some(entry.id)));
    let exit = seen(GateKind::Exit, 0);
    way_out.send(&exit.subject(), wire::encode(Format::MessagePack, &exit)).await;
    let asked = command(&mut at_out).await;
    assert_eq!((asked.verdict, asked.due.map(|due| due.minor)), (Verdict::Ask, Some(1_000)));
    let order = asked.order.expect("there is one to pay");
    let amount = Money::new(1_000, schema::Currency::Cny);
    let fact = ChannelFact::Succeeded { attempt: id::attempt(order, 1), transaction: "1".into(), amount };
    let paid = ChannelEvent { channel: "wechat".into(), happened_at: now, fact };
    let message = streams::Message {
        subject: paid.subject().expect("the order is ours"),
        payload: wire::encode(Format::MessagePack, &paid).into(),
        headers: std::collections::BTreeMap::new(),
    };
    site.bus(User::World).await.publish(message).await.expect("a channel's success comes in");
    let opened = command(&mut at_out).await;
    assert_eq!((opened.verdict, opened.answers), (Verdict::Open, Some(exit.id)));
    assert!(at_in.next().now_or_never().is_none(), "nobody hears another lane's commands");
    crate::clock::wait(Duration::from_secs(2)).await;
    stop.send_replace(true);
    running.await.expect("it ends well").expect("each processor's seed is known");
    let report = crate::verify::verify(&*site.bus(User::Auditor).await, &*site.parts.store).await.expect("an auditor reads");
    assert!(report.clean, "{report:?}");
    site.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_ourselves_may_do_its_own() {
    let site = Site::start().await;
    let partition = Partition(1);
    // What a processor does beside handling inputs, which `a_device_is_answered_end_to_end` has all of.
    let (bus, payment) = (&site.parts.jetstream, site.bus(User::Payment).await);
    let me = || Beat { room: "entry".into(), replica: "one".into() };
    bus.beat(me()).await.expect("a processor says that it lives");
    assert_eq!(bus.members("entry").await.expect("it sees the others"), ["one"]);
    bus.leave(me()).await.expect("it leaves");
    bus.trim_answered("GATE").await.expect("it trims what is answered");
    bus.trim(Journal::Session, partition, 1).await.expect("it trims its journal");
    bus.head(Journal::Session, partition).await.expect("it reads");
    payment.trim_answered("CHANNEL").await.expect("another trims another inbox");
    for user in [PROCESSORS.as_slice(), &[User::Operator]].concat() {
        let bus = site.bus(user).await;
        let revision = bus.put(REFERENCE, "x", "1".into(), None).await.expect("it writes reference data");
        let seen = bus.change(REFERENCE, "x", 0, Duration::from_secs(1)).await.expect("it watches it");
        assert_eq!(seen.map(|entry| entry.revision), Some(revision));
        bus.forget(REFERENCE, "x", u64::MAX).await.expect("it forgets what is old");
    }
    site.bus(User::Operator).await.provision(&connect::declared(&site.config)).await.expect("an operator makes streams");
    let world = site.bus(User::World).await;
    let entry = trial::gate(GateKind::Entry, "A", 0);
    assert_eq!(world.publish(trial::message(&entry)).await.expect("the front doors write the inboxes"), 1);
    world.scan("SESSION", 1, 10).await.expect("and read");
    // Who calls channels hears what is asked for, says what came of it, and shares the work with others of its kind.
    let caller = site.bus(User::Caller).await;
    let mut asked = caller.listen("refund.*").await.expect("it listens");
    caller.listen("call.*").await.expect("it listens");
    caller.listen("notice.*").await.expect("it listens");
    for (teller, subject) in [(&payment, "refund.wechat"), (&payment, "call.wechat"), (bus, "notice.wechat")] {
        teller.tell(streams::Told { subject: subject.into(), payload: "{}".into() }).await.expect("a processor asks");
    }
    assert_eq!(tokio::time::timeout(PATIENCE, asked.next()).await.expect("in time").expect("it is connected").subject, "refund.wechat");
    let me = || Beat { room: "caller".into(), replica: "one".into() };
    caller.beat(me()).await.expect("it says that it lives");
    assert_eq!(caller.members("caller").await.expect("it sees the others"), ["one"]);
    caller.leave(me()).await.expect("it leaves");
    let answered = streams::Message { subject: "CHANNEL.1.wechat.refund_answered".into(), payload: "{}".into(), headers: [].into() };
    caller.publish(answered).await.expect("it says what a channel answered");
    let doors = site.bus(User::Gateway).await;
    let mut lives = bus.listen("alive.*.*").await.expect("a processor hears who lives");
    doors.tell(streams::Told { subject: "alive.small.in".into(), payload: "".into() }).await.expect("they say that a device lives that speaks HTTP");
    assert_eq!(tokio::time::timeout(PATIENCE, lives.next()).await.expect("in time").expect("it is connected").subject, "alive.small.in");
    doors.put(KEYS, "k", "1".into(), Some(0)).await.expect("the front doors keep idempotency keys");
    assert!(doors.entry(KEYS, "k").await.expect("and read them").is_some());
    doors.change(REFERENCE, "x", 0, Duration::from_millis(10)).await.expect("they watch reference data");
    let said = streams::Message { subject: "desk.small.stated".into(), payload: "{}".into(), headers: std::collections::BTreeMap::new() };
    assert_eq!(doors.publish(said).await.expect("they speak for people at desks"), 1);
    assert!(doors.look("DESK").await.expect("they read").last >= 1);
    doors.tail(Journal::Payment, partition, streams::From::Sequence(1)).await.expect("they read journals");
    let ends = site.ends().await;
    let writes_inboxes = ["gate.small.in.entry", "CHANNEL.1.wechat.succeeded"];
    let writes_journals = ["SESSION.44.1.opened", "ORDER.44.1.paid", "PAYMENT.44.1.applied", "LEDGER.44.1.posted"];
    let makes_streams = ["$JS.API.STREAM.CREATE.MORE", "$JS.API.STREAM.UPDATE.GATE", "$JS.API.STREAM.DELETE.GATE", "$JS.API.CONSUMER.DELETE.GATE.x"];
    let forgets = ["$JS.API.STREAM.PURGE.SESSION", "$JS.API.STREAM.MSG.DELETE.SESSION"];
    let consumes = ["$JS.API.CONSUMER.CREATE.GATE.x", "$JS.API.CONSUMER.MSG.NEXT.GATE.entry-GATE-0of1", "$JS.ACK.GATE.entry-GATE-0of1.1.1.1.1.0"];
    let tells = ["lane.small.in", "refund.wechat", "call.wechat", "notice.wechat", "settle.44.small.wechat"];
    let writes_gate = ["gate.small.in.entry"];
    let reads = ["$JS.API.STREAM.MSG.GET.PAYMENT", "$JS.API.DIRECT.GET.PAYMENT", "$KV.members.entry.x"];
    let refers = ["$KV.reference.x"];
    let speaks = ["desk.small.stated"];
    let keeps = ["$KV.keys.x"];
    let finds = ["STATEMENT.1.wechat.compared"];
    let may_not: [(User, &[&[&str]]); 5] = [
        (User::Gateway, &[&finds, &writes_journals, &makes_streams, &forgets, &consumes, &tells, &refers, &["$JS.API.STREAM.PURGE.KV_keys"]]),
        (User::Auditor, &[&writes_inboxes, &writes_journals, &makes_streams, &forgets, &consumes, &tells, &refers, &speaks, &keeps]),
        (User::World, &[&finds, &speaks, &keeps, &writes_journals, &makes_streams, &forgets, &consumes, &tells, &refers]),
        (User::Caller, &[&speaks, &keeps, &writes_gate, &writes_journals, &makes_streams, &forgets, &consumes, &tells, &refers, &reads]),
        (User::Operator, &[&writes_journals, &tells]),
    ];
    for (user, lists) in may_not {
        site.user(user).await.may_not_ask(&lists.concat()).await;
    }
    site.user(User::Auditor).await.may_not_hear(&[">", "lane.>", "SESSION.>", "_INBOX.>", "_INBOX.boomgate.>"]).await;
    site.user(User::Caller).await.may_not_hear(&[">", "lane.>", "CHANNEL.>", "_INBOX.>", "$KV.members.>"]).await;
    assert_eq!(site.ends().await, ends, "nothing of what was refused was stored");
    site.parts.stop().await;
}

/// What is a processor's own.
struct Own {
    user: User,
    /// What it appends to.
    journal: &'static str,
    /// What it reads beside that.
    reads: &'static [&'static str],
    may_tell: &'static [&'static str],
    /// The inboxes that it writes.
    may_say: &'static [&'static str],
    /// The inboxes that it trims.
    trims: &'static [&'static str],
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_is_kept_to_its_own() {
    let site = Site::start().await;
    let ends = site.ends().await;
    let all = [
        Own {
            user: User::Entry,
            journal: "SESSION",
            reads: &["GATE", "DESK", "ORDER", "CHANNEL"],
            may_tell: &["lane.small.in", "notice.wechat"],
            may_say: &[],
            trims: &["GATE", "DESK"],
        },
        Own { user: User::Pricing, journal: "ORDER", reads: &["SESSION", "PAYMENT"], may_tell: &["lane.small.in"], may_say: &[], trims: &[] },
        Own {
            user: User::Payment,
            journal: "PAYMENT",
            reads: &["CHANNEL", "DESK", "ORDER"],
            may_tell: &["refund.wechat", "call.wechat"],
            may_say: &[],
            trims: &["CHANNEL"],
        },
        Own {
            user: User::Settlement,
            journal: "LEDGER",
            reads: &["PAYMENT", "ORDER", "RECON"],
            may_tell: &["settle.44.small.wechat"],
            may_say: &[],
            trims: &[],
        },
        Own {
            user: User::Reconciliation,
            journal: "RECON",
            reads: &["STATEMENT", "DESK"],
            may_tell: &["call.wechat"],
            may_say: &["CHANNEL.1.wechat.succeeded"],
            trims: &["STATEMENT"],
        },
    ];
    let tells = ["lane.small.in", "refund.wechat", "call.wechat", "notice.wechat", "settle.44.small.wechat", "alive.small.in"];
    let says = ["gate.small.in.entry", "CHANNEL.1.wechat.succeeded", "desk.small.stated", "STATEMENT.1.wechat.compared", "WORK.1.wechat.day"];
    for Own { user, journal, reads, may_tell, may_say, trims } in all {
        let mut may_not: Vec<String> = Vec::new();
        let mut never = |subject: String| may_not.push(subject);
        for subject in tells.iter().chain(&says).filter(|subject| !may_tell.contains(subject) && !may_say.contains(subject)) {
            never((*subject).to_owned());
        }
        for name in table::STREAMS.map(|stream| stream.name) {
            // Its own journal, too, is nobody's to make, change or delete, and is forgotten below the mark alone.
            for call in ["STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.MSG.DELETE", "STREAM.SNAPSHOT", "STREAM.LEADER.STEPDOWN"] {
                never(format!("{API}.{call}.{name}"));
            }
            for durable in ["billing".to_owned(), format!("{}-{name}-0of1", user.name())] {
                never(format!("{API}.CONSUMER.CREATE.{name}.{durable}"));
                never(format!("{API}.CONSUMER.DURABLE.CREATE.{name}.{durable}"));
                never(format!("{API}.CONSUMER.DELETE.{name}.{durable}"));
            }
            if name != journal && !trims.contains(&name) {
                never(format!("{API}.STREAM.PURGE.{name}"));
            }
            if name != journal && !reads.contains(&name) {
                never(format!("{API}.STREAM.MSG.GET.{name}"));
                never(format!("{API}.DIRECT.GET.{name}"));
                never(format!("DEAD.{name}.1"));
            }
        }
        for other in Journal::ALL.into_iter().map(Journal::stream).filter(|other| *other != journal) {
            never(format!("{other}.44.1.opened"));
        }
        for reader in table::all_readers(1).iter().filter(|reader| !reader.durable.starts_with(&format!("{}-", user.name()))) {
            let one = format!("{}.{}", reader.stream, reader.durable);
            never(format!("{API}.CONSUMER.MSG.NEXT.{one}"));
            never(format!("{ACKS}.{one}.1.1.1.1.0"));
            never(format!("{ACKS}.hub.account.{one}.1.1.1.1.0"));
        }
        for other in PROCESSORS.into_iter().filter(|other| *other != user) {
            never(format!("$KV.{MEMBERS}.{}.x", other.name()));
        }
        for key in [KEYS, RECONCILE] {
            never(format!("$KV.{key}.x"));
        }
        let mut client = site.user(user).await;
        client.may_not_ask(&may_not.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let inbox = |other: User| format!("{}.>", other.inbox());
        let others = PROCESSORS.into_iter().filter(|other| *other != user).map(inbox).collect::<Vec<_>>();
        let hears = [">", "_INBOX.>", "lane.>", "refund.>", "call.>", "gate.>", "$JS.>", "JS.>", "$KV.members.>", "$KV.keys.>"];
        client.may_not_hear(&hears.into_iter().chain(others.iter().map(String::as_str)).collect::<Vec<_>>()).await;
    }
    assert_eq!(site.ends().await, ends, "nothing of what was refused was stored");
    site.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_subject_reaches_no_journal() {
    let site = Site::start().await;
    let (entry, device) = (site.user(User::Entry).await, site.device(&device("small", "in")).await);
    let (caller, payment, world) = (site.user(User::Caller).await, site.user(User::Payment).await, site.user(User::World).await);
    let mut ears = [
        device.listen("lane.small.in").await,
        caller.listen("refund.*").await,
        payment.listen("_INBOX.payment.7").await,
        world.listen("refund.*").await,
        world.listen("lane.*.*").await,
    ];
    // What entry may read is its own words, and what its own device says.
    entry.send("SESSION.44.1.opened", b"{}".to_vec()).await;
    let replies = [
        "ORDER.44.1.paid",
        "PAYMENT.44.1.applied",
        "LEDGER.44.1.posted",
        "RECON.44.1.matched",
        "CHANNEL.1.wechat.succeeded",
        "desk.small.stated",
        "STATEMENT.1.wechat.compared",
        "DEAD.PAYMENT.1",
        "lane.small.in",
        "refund.wechat",
        "_INBOX.payment.7",
        "$KV.keys.x",
        "$KV.members.payment.x",
        "$JS.API.STREAM.PURGE.PAYMENT",
        "JS.API.STREAM.PURGE.PAYMENT",
    ];
    for reply in replies {
        device.send("gate.small.in.entry", b"{}".to_vec()).await;
        for (asked, payload) in [
            ("SESSION.44.1.opened", "{}"),
            ("JS.API.DIRECT.GET.SESSION", r#"{"seq":1,"next_by_subj":">","batch":1}"#),
            ("JS.API.STREAM.MSG.GET.SESSION", r#"{"seq":1}"#),
            ("JS.API.CONSUMER.MSG.NEXT.GATE.entry-GATE-0of1", r#"{"batch":1,"no_wait":true}"#),
        ] {
            entry.client.publish_with_reply(asked, reply, payload.into()).await.expect("it is connected");
        }
    }
    entry.send("SESSION.44.1.opened", b"{}".to_vec()).await;
    let sent = u64::try_from(replies.len()).expect("a few");
    for (stream, last) in site.ends().await {
        let expected = match stream {
            "SESSION" => sent + 2,
            "GATE" => sent,
            _ => 0,
        };
        assert_eq!(last, expected, "{stream}");
    }
    // What is heard is what was told, and nothing before it.
    let told = streams::Told { subject: "lane.small.in".into(), payload: "marker".into() };
    site.parts.bus.tell(told).await.expect("entry tells lanes");
    assert_eq!(heard(&mut ears[0]).await.payload, "marker");
    assert_eq!(heard(&mut ears[4]).await.payload, "marker");
    assert!(ears.iter_mut().all(|ear| ear.next().now_or_never().is_none()));
    let operator = site.bus(User::Operator).await;
    assert_eq!(operator.keys(KEYS).await.expect("an operator reads"), Vec::<String>::new());
    assert_eq!(operator.members("payment").await.expect("an operator reads"), Vec::<String>::new());
    site.parts.stop().await;
}

#[test]
fn a_processors_user_has_its_name() {
    for (rules, user) in rules::ALL.into_iter().zip(PROCESSORS) {
        assert_eq!((User::of(rules), rules.name, user.account()), (user, user.name(), user.name()));
        assert!(table::processor(user.name()).is_some_and(|processor| processor.journal == rules.journal), "{user:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_tries_a_dead_letter_of_any_inbox_again() {
    let site = Site::start().await;
    let operator = site.bus(User::Operator).await;
    let speakers = [
        (User::World, "gate.small.in.entry", User::Entry),
        (User::World, "CHANNEL.1.wechat.succeeded", User::Payment),
        (User::Gateway, "desk.small.stated", User::Entry),
        (User::Reconciler, "STATEMENT.1.wechat.compared", User::Reconciliation),
        (User::Reconciler, "WORK.1.wechat.day", User::Reconciler),
    ];
    for (speaker, subject, reader) in speakers {
        let (stream, _) = streams::subject::stored_as(subject).expect("a stream listens");
        let malformed = streams::Message { subject: subject.into(), payload: r#"{"id":7}"#.into(), headers: [].into() };
        site.bus(speaker).await.publish(malformed).await.expect("it may say so");
        let stored = operator.scan(stream.name, 1, 1).await.expect("an operator reads").remove(0);
        let partition = streams::subject::partition_of_subject(stream.name, &stored.subject).expect("an inbox tells the partition");
        let letter = streams::DeadLetter { stream: stream.name.into(), partition, reason: "malformed".into(), stored: stored.clone() };
        let sequence = site.bus(reader).await.dead_letter(letter).await.expect("whoever read it writes it");
        crate::deadletter::replay(&*operator, sequence).await.unwrap_or_else(|error| panic!("{subject}: {error:#}"));
        let again = operator.scan(stream.name, 2, 1).await.expect("an operator reads").remove(0);
        assert_eq!((again.subject, again.payload), (stored.subject, stored.payload));
    }
    site.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_known_key_there_is_nothing() {
    let site = Site::start().await;
    let url = site.url().await;
    assert!(async_nats::connect(&url).await.is_err(), "nobody without a key");
    let stranger = site.folder.path().join("stranger.seed");
    fs::write(&stranger, KeyPair::new_user().seed().expect("a new pair has one")).expect("it is written");
    assert!(Client::open(&url, &stranger, "_INBOX").await.is_err(), "nobody with a key of its own making");
    let plain = async_nats::ConnectOptions::with_user_and_password("boomgate".into(), "boomgate".into()).connect(&url).await;
    assert!(plain.is_err(), "nobody with a password");
    site.parts.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_has_no_access() {
    let site = Site::start().await;
    let (gone, stays) = (device("small", "in"), device("small", "out"));
    let (removed, kept) = (site.device(&gone).await, site.device(&stays).await);
    removed.send("gate.small.in.entry", b"{}".to_vec()).await;
    let new = device("new", "in");
    let written = write(&site.auth(), 1, [stays, device("other", "in"), new]).expect("the folder can be written");
    assert_eq!((written.made.as_slice(), written.dropped.as_slice()), (["new/in".to_owned()].as_slice(), ["small/in".to_owned()].as_slice()));
    let server = site.parts.server.clone().expect("it is our own");
    assert!(server.lock().await.reload_if_changed().await.expect("the folder is there"));
    let out = async {
        while removed.client.connection_state() == State::Connected {
            crate::clock::wait(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, out).await.expect("it is disconnected");
    assert!(Client::open(&site.url().await, &gone.seed(&site.auth()), &gone.inbox()).await.is_err(), "and not let in again");
    kept.send("gate.small.out.exit", b"{}".to_vec()).await;
    site.device(&new).await.send("gate.new.in.entry", b"{}".to_vec()).await;
    site.parts.stop().await;
}

#[test]
fn seeds_are_kept_and_kept_secret() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("auth");
    let all = devices().len() + User::ALL.len();
    let first = write(&path, 1, devices()).expect("it can be written");
    assert_eq!((first.kept, first.made.len(), first.dropped.len()), (0, all, 0));
    let text = fs::read(config(&path)).expect("it was written");
    let second = write(&path, 1, devices()).expect("it can be written again");
    assert_eq!((second.kept, second.made.len(), second.dropped.len()), (all, 0, 0));
    assert_eq!(fs::read(config(&path)).expect("it was written"), text, "the same lanes are the same text");
    let seed = devices()[0].seed(&path);
    assert_eq!(fs::metadata(&seed).expect("it was written").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.join("devices")).expect("it was made").permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o640)).expect("it is ours");
    let error = format!("{:#}", write(&path, 1, devices()).expect_err("others can read it"));
    assert!(error.contains("chmod 600") && error.contains("in.seed"), "{error}");
    assert_eq!(fs::read(config(&path)).expect("it was written"), text, "and nothing was changed");
}

#[test]
fn a_seed_is_in_its_own_file_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), 1, devices()).expect("it can be written");
    let text = fs::read_to_string(config(folder.path())).expect("it was written");
    let seeds =
        devices().iter().map(|device| device.seed(folder.path())).chain(User::ALL.iter().map(|user| user.seed(folder.path()))).collect::<Vec<_>>();
    for path in &seeds {
        let seed = fs::read_to_string(path).expect("it was written");
        assert!(seed.starts_with("SU") && !text.contains(seed.trim()), "{}", path.display());
        // One that is damaged by a character is not printed either.
        let damaged = format!("{}A", seed.trim());
        fs::write(path, &damaged).expect("it is ours");
        let error = format!("{:?}", write(folder.path(), 1, devices()).expect_err("it is damaged"));
        assert!(!error.contains(seed.trim()) && error.contains("holds no user's seed"), "{error}");
        fs::write(path, &seed).expect("it is ours");
    }
}

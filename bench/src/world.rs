//! The world as it runs: devices send what a city plans, lanes listen, drivers pay, channels refund.
//!
//! Invariants
//! 1. What was not acknowledged is sent again   (`tests::what_is_not_acknowledged_is_sent_again`).
//! 2. On one thread with paused time the same city makes the same messages in the same order: no map without order, no clock
//!    but tokio's, no dice but the city's   (`simulation` in `boomgate`).
//! 3. A world that has settled has nothing left that could still be answered   (`tests::a_world_settles_when_all_is_answered`).
//!
//! Not here: what to send (`city`), whether the answers are right (`oracle`).

mod booths;
mod channels;
mod lanes;
mod sender;
mod settle;
mod stats;

pub use lanes::Lanes;
pub use sender::send;
pub use settle::{Unsettled, settle};
pub use stats::{Count, Latency, Sample, Stats, histogram, micros};

use crate::{
    city::{Action, Fate, Payer, Plan, Step},
    simulators::Simulators,
};
use booths::{Booths, Deed};
use schema::{
    ChannelCall, DeskEvent, EntryNotice, Event, EventId, GateKind, Id, Journal, Moment, Recorded, RefundCall,
    journal::{OrderEvent, PaymentEvent},
    time::{MINUTE, SECOND},
    wire::{self, Format},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use streams::{Bus, Error, Message, Reader};
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

/// How long who has left unpaid owes it, in event time: long enough to come again meanwhile.
const OWES_FOR: i64 = 200 * SECOND;
/// How long that may take: an order that is read is paid before it is read again.
const OWES_MOST: Duration = Duration::from_secs(25);
/// How long who settles a debt owes it, in event time: it is turned away meanwhile, and comes once more after that.
const SETTLES_AFTER: i64 = 25 * MINUTE;
/// How long after it was read an order is read again, unless it was paid.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(30);
const _: () = assert!(OWES_MOST.as_secs() < READ_AGAIN_AFTER.as_secs());

/// How the world runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Seconds of event time in one second.
    pub speed: f64,
    /// Whether drivers pay what is asked; if not, somebody else does.
    pub pays: bool,
    /// How long a driver takes to pay; who has left unpaid takes longer.
    pub pay_after: Duration,
    /// How many messages may be under way before the next one waits.
    pub under_way_max: usize,
    /// How long at most who settles a debt takes to do so.
    pub settles_most: Duration,
    /// Whether drivers pay at booths, too, because shifts have begun there (`City::shifts`); if not, they pay by phone.
    pub booths: bool,
    /// Whether every answered event is kept, for a plot.
    pub traced: bool,
    /// The durable name under which orders are read.
    pub reader: String,
}

impl Default for Pace {
    fn default() -> Self {
        let (pay_after, settles_most) = (Duration::from_millis(50), Duration::from_secs(240));
        Self { speed: 600.0, pays: true, pay_after, under_way_max: 2_000, settles_most, booths: false, traced: false, reader: "world".into() }
    }
}

impl Pace {
    /// How long event time takes.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval, far below 2^53 µs")]
    fn lasts(&self, event_us: i64) -> Duration {
        Duration::from_micros((event_us.max(0) as f64 / self.speed) as u64)
    }

    /// How long it takes until somebody pays because of an event; a debt that is settled late is paid as late as it takes to be turned away for it.
    fn pays_after(&self, event: &Event, is_late: bool) -> Duration {
        if is_late {
            return self.lasts(SETTLES_AFTER).min(self.settles_most);
        }
        let has_left = matches!(event, Event::Order(OrderEvent::Priced { departure, .. }) if departure.local);
        if has_left { self.pay_after.max(self.lasts(OWES_FOR).min(OWES_MOST)) } else { self.pay_after }
    }
}

/// A running world. What it started ends when it is dropped.
pub struct World {
    shared: Arc<Shared>,
    pace: Pace,
    background: JoinSet<()>,
}

/// What all parts of the world see.
struct Shared {
    bus: Arc<dyn Bus>,
    stats: Arc<Stats>,
    lanes: Lanes,
    /// The channels, where they are servers; otherwise what they would say is said straight into CHANNEL.
    simulators: Option<Arc<Simulators>>,
    start: Instant,
    started_at: Moment,
    /// Entries that are under way: their exits wait for them.
    entries: Mutex<BTreeMap<u64, Arc<Notify>>>,
    /// What is paid at booths.
    booths: Booths,
    /// Orders whose drivers settle them late, should they become debts.
    late: Mutex<BTreeSet<Id>>,
}

impl Shared {
    /// The broker's time, as far as the world knows it.
    fn now(&self) -> Moment {
        self.started_at.plus(i64::try_from(micros(self.start.elapsed())).unwrap_or(i64::MAX))
    }

    /// Whether an event tells of a debt whose driver settles it late. Of an order it is remembered when its price is told.
    fn is_late(&self, event: &Event) -> bool {
        let mut late = self.late.lock().expect("nobody panics while holding it");
        match event {
            Event::Order(OrderEvent::Priced { order, departure, inside: None, .. }) if channels::payer(departure) == Payer::SettlesDebt => {
                late.insert(*order);
                false
            }
            Event::Order(OrderEvent::Reopened { order, .. }) => late.contains(order),
            _ => false,
        }
    }

    /// Somebody at a booth says something, or a driver pays there by phone.
    async fn carry_out(&self, deed: Deed) {
        match deed {
            Deed::Says(event) => {
                send(&self.bus, &self.stats, at_a_desk(&event)).await;
            }
            Deed::Pays { channel, attempt, amount, at } => {
                let at = at.unwrap_or_else(|| self.now());
                if let Some(simulators) = &self.simulators {
                    let is_new = simulators.pay(channel, attempt.as_str(), amount.minor, at).is_ok();
                    self.stats.payments.add(u64::from(is_new));
                } else {
                    self.stats.payments.add(1);
                    send(&self.bus, &self.stats, channels::paid(channel, attempt, amount, at)).await;
                }
            }
        }
    }
}

/// What is said at a desk, as its message.
fn at_a_desk(event: &DeskEvent) -> Message {
    let headers = BTreeMap::from([(wire::CONTENT_TYPE.into(), Format::MessagePack.content_type().into())]);
    Message { subject: event.subject(), payload: wire::encode(Format::MessagePack, event).into(), headers }
}

impl World {
    /// Opens the world's ears: from here on lane commands are heard, orders paid and refunds made.
    pub async fn open(bus: Arc<dyn Bus>, pace: Pace) -> Result<Self, Error> {
        Self::with(bus, pace, None).await
    }

    /// The same with channels that are servers: they are paid and called over HTTP, and nobody speaks for them here.
    pub async fn with(bus: Arc<dyn Bus>, pace: Pace, simulators: Option<Arc<Simulators>>) -> Result<Self, Error> {
        let started_at = bus.look("GATE").await?.now;
        let start = Instant::now();
        let stats = Arc::new(Stats::default());
        let lanes = Lanes::new(stats.clone(), start, started_at, pace.traced);
        let has_servers = simulators.is_some();
        let (entries, booths, late) = (Mutex::default(), Booths::default(), Mutex::default());
        let shared = Arc::new(Shared { bus, stats, lanes, simulators, start, started_at, entries, booths, late });
        let mut background = JoinSet::new();
        // What is told before anybody listens is lost, so the first listening starts here and not in the task.
        let mut commands = shared.bus.listen("lane.>").await?;
        let mut refunds = shared.bus.listen("refund.>").await?;
        let mut notices = shared.bus.listen("notice.>").await?;
        let mut calls = shared.bus.listen("call.>").await?;
        let part = shared.clone();
        background.spawn(async move {
            loop {
                while let Some(told) = commands.next().await {
                    part.lanes.take(&told.payload);
                }
                commands = listen_again(&part.bus, "lane.>").await;
            }
        });
        if !has_servers {
            let part = shared.clone();
            background.spawn(async move {
                let mut answers = JoinSet::new();
                loop {
                    while let Some(told) = refunds.next().await {
                        while answers.try_join_next().is_some() {}
                        answers.spawn(answer_refund(part.clone(), told.payload));
                    }
                    refunds = listen_again(&part.bus, "refund.>").await;
                }
            });
            let part = shared.clone();
            background.spawn(async move {
                loop {
                    while let Some(told) = notices.next().await {
                        let Ok(notice) = wire::decode::<EntryNotice>(None, &told.payload) else { continue };
                        send(&part.bus, &part.stats, channels::note(&notice, part.now())).await;
                    }
                    notices = listen_again(&part.bus, "notice.>").await;
                }
            });
            let part = shared.clone();
            background.spawn(async move {
                loop {
                    while let Some(told) = calls.next().await {
                        let Ok(call) = wire::decode::<ChannelCall>(None, &told.payload) else { continue };
                        for message in channels::answer(&call, part.now()) {
                            send(&part.bus, &part.stats, message).await;
                        }
                    }
                    calls = listen_again(&part.bus, "call.>").await;
                }
            });
        }
        if pace.pays {
            background.spawn(pay_orders(shared.clone(), pace.clone(), Journal::Order, &["priced", "reopened"]));
            let told: &[&str] = if pace.booths { &["reversed", "expected", "attempt_stood", "refund_stood"] } else { &["reversed"] };
            background.spawn(pay_orders(shared.clone(), pace.clone(), Journal::Payment, told));
        }
        Ok(Self { shared, pace, background })
    }

    /// What the world sees.
    pub fn stats(&self) -> Arc<Stats> {
        self.shared.stats.clone()
    }

    /// The broker's time when the world was opened, and the world's own then.
    pub fn started(&self) -> (Moment, Instant) {
        (self.shared.started_at, self.shared.start)
    }

    /// How many live events no lane command has answered yet.
    pub fn unheard(&self) -> usize {
        self.shared.lanes.waiting()
    }

    /// How many of the world's own parts have ended, which none should.
    pub fn ended(&mut self) -> usize {
        std::iter::from_fn(|| self.background.try_join_next()).count()
    }

    /// Says things at desks, each stored before the next is said.
    pub async fn say(&self, events: Vec<DeskEvent>) -> Result<(), Error> {
        for event in events {
            self.shared.bus.publish(at_a_desk(&event)).await?;
        }
        Ok(())
    }

    /// Sends a plan at its pace, `from` being now, until it ends or `stop` says so; then waits until all that was sent is acknowledged.
    pub async fn run(&self, plan: Plan<'_>, from: Moment, stop: &mut watch::Receiver<bool>) {
        let begin = Instant::now();
        let room = Arc::new(Semaphore::new(self.pace.under_way_max));
        let mut sends = JoinSet::new();
        for action in plan {
            let due = begin + self.pace.lasts(action.send_at.since(from));
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep_until(due) => {}
            }
            let permit = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                permit = room.clone().acquire_owned() => permit.expect("nobody closes it"),
            };
            while sends.try_join_next().is_some() {}
            let fired = self.fire(action, due);
            sends.spawn(async move {
                fired.await;
                drop(permit);
            });
        }
        while sends.join_next().await.is_some() {}
    }

    /// Sends one action, which was meant to be sent at `intended`. An exit waits for its entry, and is none if that was refused; only who was turned
    /// away comes once more.
    pub fn fire(&self, action: Action, intended: Instant) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.shared.clone();
        let entered = (action.step == Step::Entry && action.copy == 0).then(|| {
            let notify = Arc::new(Notify::new());
            shared.entries.lock().expect("nobody panics while holding it").insert(action.visit, notify.clone());
            notify
        });
        async move {
            let late_entry = action.fate() == Fate::LateEntry;
            if matches!(action.step, Step::Exit | Step::ReadAgain | Step::Returns) && !late_entry {
                let before = shared.entries.lock().expect("nobody panics while holding it").get(&action.visit).cloned();
                if let Some(before) = before {
                    before.notified().await;
                    before.notify_one();
                }
                if refused(&shared, &action) || !returns(&shared, &action) {
                    return;
                }
            }
            let stats = &shared.stats;
            stats.gate_events.add(u64::from(action.says.is_none()));
            stats.copies.add(u64::from(action.copy > 0));
            stats.late.add(u64::from(action.is_late()));
            if action.is_live() {
                let is_entry = action.event.kind == GateKind::Entry;
                shared.lanes.expect(action.event.lot, action.event.id, intended, is_entry);
            }
            let acked = send(&shared.bus, stats, action.message()).await;
            stats.gate_acked.add(u64::from(acked.is_some() && action.says.is_none()));
            if let Some(entered) = entered {
                shared.entries.lock().expect("nobody panics while holding it").remove(&action.visit);
                entered.notify_one();
            }
        }
    }

    /// Waits until everything that was said has been answered, paid and refunded, for at most `bound`; gives the logs.
    pub async fn settle(&self, bound: Duration) -> Result<crate::Logs, Unsettled> {
        let stats = &self.shared.stats;
        let simulators = self.shared.simulators.as_deref();
        settle(&self.shared.bus, crate::Logs::default(), bound, || stats.under_way.get() + simulators.map_or(0, Simulators::under_way)).await
    }

    /// The same; then cashiers count their drawers and go, and that is waited for as long again.
    pub async fn end(&self, bound: Duration) -> Result<crate::Logs, Unsettled> {
        let logs = self.settle(bound).await?;
        for event in booths::counted(&logs) {
            send(&self.shared.bus, &self.shared.stats, at_a_desk(&event)).await;
        }
        settle(&self.shared.bus, logs, bound, || self.shared.stats.under_way.get()).await
    }
}

/// Whether a car was not let in, so that it cannot leave.
fn refused(shared: &Shared, action: &Action) -> bool {
    let entries = [("-x-", "-e-"), ("-r-", "-e-"), ("-t-", "-e-"), ("-y-", "-b-"), ("-w-", "-o-"), ("-z-", "-c-")];
    let entry = entries.into_iter().fold(action.event.id.to_string(), |id, (letter, entry)| id.replacen(letter, entry, 1));
    entry.parse().is_ok_and(|entry| shared.lanes.was_refused(&entry))
}

/// Whether a car comes, or leaves: who settles a debt comes once more only where it was turned away.
fn returns(shared: &Shared, action: &Action) -> bool {
    let id = action.event.id.as_str();
    let Some(letter) = ["-c-", "-z-"].into_iter().find(|letter| id.contains(letter)) else { return true };
    id.replacen(letter, "-o-", 1).parse::<EventId>().is_ok_and(|before| shared.lanes.was_refused(&before))
}

async fn listen_again(bus: &Arc<dyn Bus>, subject: &str) -> Box<dyn streams::Listening> {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Ok(listening) = bus.listen(subject).await {
            return listening;
        }
    }
}

async fn answer_refund(shared: Arc<Shared>, payload: bytes::Bytes) {
    let Ok(call) = wire::decode::<RefundCall>(None, &payload) else { return };
    let (message, succeeded) = channels::refund(&call, shared.now());
    shared.stats.refund_calls.add(1);
    shared.stats.refunds_refused.add(u64::from(!succeeded));
    send(&shared.bus, &shared.stats, message).await;
}

/// What drivers pay because of an event.
fn payments(event: &Event, now: Moment) -> Vec<Message> {
    match event {
        Event::Order(OrderEvent::Reopened { order, amount, .. }) => vec![channels::pay_debt(*order, *amount, now)],
        Event::Order(order) => channels::pay(order, now),
        // It had failed before it could pay anything: its driver still stands there. Points that are let go were a part of what he pays.
        Event::Payment(PaymentEvent::Reversed { bill, source, amount, applied: false }) if &*source.channel != channels::POINTS => {
            vec![channels::pay_debt(bill.order, *amount, now)]
        }
        _ => Vec::new(),
    }
}

/// The same by channels that are servers; gives how many were made.
fn payments_at(simulators: &Simulators, event: &Event, now: Moment) -> u64 {
    match event {
        Event::Order(OrderEvent::Reopened { order, amount, .. }) => channels::pay_debt_at(simulators, *order, *amount, now),
        Event::Order(order) => channels::pay_at(simulators, order, now),
        Event::Payment(PaymentEvent::Reversed { bill, source, amount, applied: false }) if &*source.channel != channels::POINTS => {
            channels::pay_debt_at(simulators, bill.order, *amount, now)
        }
        _ => 0,
    }
}

/// What drivers and cashiers do because of what is recorded.
async fn pay(shared: &Shared, pace: &Pace, recorded: &Recorded, is_late: bool) {
    let served = if pace.booths { shared.booths.deeds(recorded) } else { None };
    if let Some(deeds) = served {
        if !deeds.is_empty() {
            tokio::time::sleep(pace.pay_after).await;
        }
        for deed in deeds {
            shared.carry_out(deed).await;
        }
        return;
    }
    let event = &recorded.event;
    if let Some(simulators) = &shared.simulators {
        tokio::time::sleep(pace.pays_after(event, is_late)).await;
        shared.stats.payments.add(payments_at(simulators, event, shared.now()));
        return;
    }
    if !payments(event, shared.now()).is_empty() {
        tokio::time::sleep(pace.pays_after(event, is_late)).await;
    }
    for message in payments(event, shared.now()) {
        shared.stats.payments.add(1);
        send(&shared.bus, &shared.stats, message).await;
    }
}

async fn pay_orders(shared: Arc<Shared>, pace: Pace, journal: Journal, kinds: &[&str]) {
    let reader = Reader {
        stream: journal.stream().into(),
        durable: pace.reader.clone(),
        filters: kinds.iter().map(|kind| format!("{}.*.*.{kind}", journal.stream())).collect(),
        ack_wait: READ_AGAIN_AFTER,
        ack_pending_max: 2_000,
    };
    let pace = Arc::new(pace);
    let mut paying = JoinSet::new();
    loop {
        let Ok(mut intake) = shared.bus.consume(reader.clone()).await else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        };
        // An error of a fetch is a broker that went away: open the consumer again.
        while let Ok(deliveries) = intake.fetch(200, Duration::from_secs(2)).await {
            while paying.try_join_next().is_some() {}
            for delivery in deliveries {
                let (shared, pace) = (shared.clone(), pace.clone());
                paying.spawn(async move {
                    let content_type = delivery.stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
                    let recorded = wire::decode_recorded(journal, content_type, &delivery.stored.payload);
                    let is_late = recorded.as_ref().is_ok_and(|recorded| shared.is_late(&recorded.event));
                    // What is paid long after is read before that, and not again.
                    if is_late {
                        let _ = shared.bus.ack(&delivery).await;
                    }
                    if let Ok(recorded) = &recorded {
                        pay(&shared, &pace, recorded, is_late).await;
                    }
                    // A lost ack brings the order again, and the same transactions with it.
                    if !is_late {
                        let _ = shared.bus.ack(&delivery).await;
                    }
                });
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[cfg(test)]
mod tests;

//! What lanes are told, heard once for all who wait for it.
//!
//! A lane's command is a message without storage. Whoever comes over HTTP has no subscription of its own: one ear hears all lanes, tells those who wait,
//! and keeps the newest command of each event for a while, for an event that comes again.
//!
//! Invariants
//! 1. Who waits hears the command that answers its event, and no other   (`tests::who_waits_hears_its_own_command`).
//! 2. A command that came before somebody asked again is known still, unless it has expired
//!    (`tests::a_command_is_known_for_a_while`).
//! 3. Who waits and what is kept are bounded in number   (`tests::waiting_and_keeping_are_bounded`).
//!
//! Not here: what is decided (`rules`), who may ask (`device`, `pay`).

use schema::{EventId, Id, LaneCommand, LaneId, LotId, Moment, wire};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use streams::Bus;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

/// The subjects on which lanes are told.
const COMMANDS: &str = "lane.*.*";
/// How many commands are kept, some 300 bytes each.
const KEPT_MAX: usize = 16_384;
/// How long a broker that does not let us listen is left alone.
const AGAIN: Duration = Duration::from_secs(1);

/// What a command answers: an event of a lane.
pub type Asked = (LotId, LaneId, EventId);

/// The ear. A clone is the same one.
#[derive(Clone)]
pub struct Ear(Arc<Inner>);

struct Inner {
    heard: Mutex<Heard>,
    room: Arc<Semaphore>,
    kept_max: usize,
    clock: fn() -> Moment,
}

#[derive(Default)]
struct Heard {
    /// Who waits, by what for; how many of them, and by what they are told.
    waiting: BTreeMap<Asked, (usize, watch::Sender<Option<LaneCommand>>)>,
    /// The newest command of each event, and the events in the order in which they were first answered.
    kept: BTreeMap<Asked, LaneCommand>,
    order: VecDeque<Asked>,
}

/// A place among those who wait: taken before the event is published, so that no answer is missed.
pub struct Waiting {
    ear: Ear,
    asked: Asked,
    told: watch::Receiver<Option<LaneCommand>>,
    _room: OwnedSemaphorePermit,
}

impl Ear {
    /// One that lets so many wait at once, by this clock. It hears nothing before [`Ear::hear`].
    pub fn new(waiting_max: usize, clock: fn() -> Moment) -> Self {
        Self::bounded(waiting_max, KEPT_MAX, clock)
    }

    fn bounded(waiting_max: usize, kept_max: usize, clock: fn() -> Moment) -> Self {
        Self(Arc::new(Inner { heard: Mutex::default(), room: Arc::new(Semaphore::new(waiting_max)), kept_max, clock }))
    }

    /// Hears until `shutdown`; begins again where the broker was away.
    pub async fn hear(self, bus: Arc<dyn Bus>, mut shutdown: watch::Receiver<bool>) {
        let hears = async {
            loop {
                match bus.listen(COMMANDS).await {
                    Ok(mut listening) => {
                        while let Some(told) = listening.next().await {
                            // Whoever tells a lane what is no command tells nothing to those who wait here.
                            if let Ok(command) = wire::decode::<LaneCommand>(None, &told.payload) {
                                self.tell(command);
                            }
                        }
                    }
                    Err(error) => tracing::warn!(%error, "cannot hear what lanes are told; trying again"),
                }
                timeout(AGAIN, std::future::pending::<()>()).await.ok();
            }
        };
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = hears => {}
        }
    }

    /// A place to wait for the command that answers an event; none where as many wait as may.
    pub fn wait_for(&self, asked: Asked) -> Option<Waiting> {
        let room = self.0.room.clone().try_acquire_owned().ok()?;
        let mut heard = self.lock();
        let (count, tells) = heard.waiting.entry(asked).or_insert_with(|| (0, watch::Sender::new(None)));
        *count += 1;
        let told = tells.subscribe();
        drop(heard);
        Some(Waiting { ear: self.clone(), asked, told, _room: room })
    }

    fn tell(&self, command: LaneCommand) {
        let Some(event) = command.answers else { return };
        let asked = (command.lot, command.lane, event);
        let mut heard = self.lock();
        if let Some((_, tells)) = heard.waiting.get(&asked) {
            tells.send_replace(Some(command.clone()));
        }
        if heard.kept.insert(asked, command).is_none() {
            heard.order.push_back(asked);
        }
        while heard.order.len() > self.0.kept_max {
            if let Some(oldest) = heard.order.pop_front() {
                heard.kept.remove(&oldest);
            }
        }
    }

    fn kept(&self, asked: &Asked) -> Option<LaneCommand> {
        let now = (self.0.clock)();
        self.lock().kept.get(asked).filter(|command| command.expires_at > now).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        // What is in there is whole after each line, whoever ended in between.
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The command that answers the event, if it comes in time: one that was kept, or the next. With `after`, one of another id than that.
    pub async fn command(&mut self, after: Option<Id>, within: Duration) -> Option<LaneCommand> {
        let is_new = |command: &LaneCommand| Some(command.id) != after;
        if let Some(command) = self.ear.kept(&self.asked).filter(is_new) {
            return Some(command);
        }
        let comes = self.told.wait_for(|told| told.as_ref().is_some_and(is_new));
        timeout(within, comes).await.ok()?.ok()?.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut heard = self.ear.lock();
        if let Some((count, _)) = heard.waiting.get_mut(&self.asked) {
            *count -= 1;
            if *count == 0 {
                heard.waiting.remove(&self.asked);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Verdict, wire::Format};
    use streams::{Memory, Told};

    const NOW: Moment = Moment(1_795_399_200_000_000);

    fn clock() -> Moment {
        NOW
    }

    fn command(number: usize, answers: &str, lives: i64) -> LaneCommand {
        LaneCommand {
            id: format!("C44261123070000000000000{number:04}").parse().expect("a name"),
            lot: "small".parse().expect("a name"),
            lane: "in".parse().expect("a name"),
            answers: Some(answers.parse().expect("a name")),
            verdict: Verdict::Open,
            reason: "welcome".into(),
            due: None,
            order: None,
            expires_at: NOW.plus(lives),
        }
    }

    fn asked(event: &str) -> Asked {
        ("small".parse().expect("a name"), "in".parse().expect("a name"), event.parse().expect("a name"))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_its_own_command() {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(NOW));
        let ear = Ear::new(8, clock);
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(ear.clone().hear(bus.clone(), stopped));
        let (mut one, mut same, mut other) = (ear.wait_for(asked("e1")), ear.wait_for(asked("e1")), ear.wait_for(asked("e2")));
        tokio::task::yield_now().await;
        bus.tell(Told { subject: "lane.small.in".into(), payload: "no command".into() }).await.expect("the bus is in memory");
        let told = wire::encode(Format::MessagePack, &command(1, "e1", 1));
        bus.tell(Told { subject: "lane.small.in".into(), payload: told.into() }).await.expect("the bus is in memory");
        for waits in [&mut one, &mut same] {
            let heard = waits.as_mut().expect("there is room").command(None, LONG).await;
            assert_eq!(heard, Some(command(1, "e1", 1)));
        }
        assert_eq!(other.as_mut().expect("there is room").command(None, LONG).await, None);
        // It moves on: what is known already is not told again, and what follows is.
        let known = Some(command(1, "e1", 1).id);
        let mut one = one.expect("there is room");
        assert_eq!(one.command(known, LONG).await, None);
        ear.tell(command(2, "e1", 1));
        assert_eq!(one.command(known, LONG).await, Some(command(2, "e1", 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_known_for_a_while() {
        let ear = Ear::new(8, clock);
        ear.tell(command(1, "e1", 1));
        ear.tell(command(1, "e2", 0));
        assert_eq!(ear.wait_for(asked("e1")).expect("there is room").command(None, LONG).await, Some(command(1, "e1", 1)));
        assert_eq!(ear.wait_for(asked("e2")).expect("there is room").command(None, LONG).await, None, "it has expired");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_and_keeping_are_bounded() {
        let ear = Ear::bounded(2, 3, clock);
        let (one, two) = (ear.wait_for(asked("a")), ear.wait_for(asked("a")));
        assert!(one.is_some() && two.is_some() && ear.wait_for(asked("b")).is_none());
        drop((one, two));
        assert!(ear.lock().waiting.is_empty(), "nothing is kept of who has gone");
        assert!(ear.wait_for(asked("b")).is_some());
        for number in 0..10 {
            ear.tell(command(number, &format!("e{number}"), 1));
        }
        assert_eq!(ear.lock().kept.len(), 3);
        assert_eq!(ear.lock().order.len(), 3);
        assert!(ear.wait_for(asked("e9")).expect("there is room").command(None, LONG).await.is_some());
    }
}

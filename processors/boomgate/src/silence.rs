//! Devices that fall silent: each tells on `alive.<lot>.<lane>` that it lives, and whoever does not within its time raises an alarm.
//!
//! Nothing of this is stored: that a device lives is true for seconds. Every replica of `entry` hears all of them, so one that is there is enough.
//!
//! Invariants
//! 1. A lane that is silent beyond its time is told once, and once more when it is heard again   (`tests::a_silent_lane_is_told_once`).
//! 2. What is remembered is bounded by the lanes that are declared   (`tests::a_stranger_is_not_remembered`).
//!
//! Not here: what a device sends (`schema/device.md`), who may send it (`auth`).

use crate::{clock, reference::InForce};
use metrics::gauge;
use schema::{LaneId, LotId, Reference};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use streams::Bus;
use tokio::{sync::watch, time::Instant};

/// The subjects on which devices tell that they live.
pub const ALIVE: &str = "alive.*.*";
/// How often the silent ones are looked for.
const EVERY: Duration = Duration::from_secs(1);

type Lane = (LotId, LaneId);

/// When each lane was heard, and whether it is known to be silent.
#[derive(Debug, Default)]
struct Heard {
    lanes: BTreeMap<Lane, (Instant, bool)>,
}

/// What has changed with a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It is silent, for longer than it may.
    Silent(Lane),
    /// It is heard again, or need not be any more.
    Well(Lane),
}

impl Heard {
    fn alive(&mut self, lane: Lane, now: Instant) {
        if let Some((heard, _)) = self.lanes.get_mut(&lane) {
            *heard = now;
        }
    }

    /// Looks at all lanes that are to tell that they live. One that is new has its whole time.
    fn look(&mut self, reference: &Reference, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut self.lanes);
        for lot in reference.lots() {
            for lane in &lot.declared.lanes {
                let Some(within) = lane.heartbeat_s else { continue };
                let name = (lot.declared.lot, lane.lane);
                let (heard, was_silent) = before.remove(&name).unwrap_or((now, false));
                let is_silent = now.saturating_duration_since(heard) > Duration::from_secs(u64::from(within));
                match (was_silent, is_silent) {
                    (false, true) => changes.push(Change::Silent(name)),
                    (true, false) => changes.push(Change::Well(name)),
                    _ => {}
                }
                self.lanes.insert(name, (heard, is_silent));
            }
        }
        changes.extend(before.into_iter().filter(|(_, (_, was_silent))| *was_silent).map(|(name, _)| Change::Well(name)));
        changes
    }
}

/// The lane that a subject names.
fn lane(subject: &str) -> Option<Lane> {
    let mut tokens = subject.strip_prefix("alive.")?.split('.');
    Some((tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?))
}

/// Hears devices until `shutdown`, and tells of those that fall silent: in the log, and as `boomgate_lane_silent{lot,lane}`.
pub async fn watch(bus: Arc<dyn Bus>, reference: InForce, shutdown: watch::Receiver<bool>) {
    hear(bus, reference, shutdown, tell).await;
}

async fn hear(bus: Arc<dyn Bus>, reference: InForce, mut shutdown: watch::Receiver<bool>, mut tell: impl FnMut(Change)) {
    let hears = async {
        let mut heard = Heard::default();
        loop {
            if let Ok(mut listening) = bus.listen(ALIVE).await {
                let mut look = clock::every(EVERY);
                loop {
                    tokio::select! {
                        told = listening.next() => match told {
                            Some(told) => lane(&told.subject).into_iter().for_each(|lane| heard.alive(lane, clock::now())),
                            None => break,
                        },
                        _ = look.tick() => heard.look(&reference.now(), clock::now()).into_iter().for_each(&mut tell),
                    }
                }
            }
            clock::wait(EVERY).await;
        }
    };
    tokio::select! {
        biased;
        _ = shutdown.wait_for(|stop| *stop) => {}
        () = hears => {}
    }
}

fn tell(change: Change) {
    let (lot, lane) = match change {
        Change::Silent((lot, lane)) => {
            tracing::warn!(%lot, %lane, "the device is silent: nobody knows what happens at this lane");
            (lot, lane)
        }
        Change::Well((lot, lane)) => {
            tracing::info!(%lot, %lane, "the device is heard again, or need not be");
            (lot, lane)
        }
    };
    let is_silent = matches!(change, Change::Silent(_));
    gauge!("boomgate_lane_silent", "lot" => lot.to_string(), "lane" => lane.to_string()).set(f64::from(u8::from(is_silent)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::declared;
    use schema::reference::{Declared, LaneDeclared};

    fn reference(heartbeat_s: Option<u16>) -> Reference {
        let mut declared: Declared = declared();
        let name = declared.lots[0].lanes[0].lane;
        declared.lots[0].lanes[0] = LaneDeclared { heartbeat_s, ..LaneDeclared::named(name) };
        Reference::resolve(declared).expect("valid reference data")
    }

    fn name(subject: &str) -> Lane {
        lane(subject).expect("it names a lane")
    }

    #[test]
    fn a_silent_lane_is_told_once() {
        let (thirty, never) = (reference(Some(30)), reference(None));
        let begun = clock::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let lane = name("alive.small.in");
        let mut heard = Heard::default();
        for (seconds, is_heard, reference, told) in [
            (0, false, &thirty, vec![]),
            (30, false, &thirty, vec![]),
            (31, false, &thirty, vec![Change::Silent(lane)]),
            (60, false, &thirty, vec![]),
            (61, true, &thirty, vec![Change::Well(lane)]),
            (90, true, &thirty, vec![]),
            (120, false, &thirty, vec![]),
            (121, false, &thirty, vec![Change::Silent(lane)]),
            (122, false, &never, vec![Change::Well(lane)]),
            (123, false, &thirty, vec![]),
        ] {
            if is_heard {
                heard.alive(lane, at(seconds));
            }
            assert_eq!(heard.look(reference, at(seconds)), told, "at {seconds} s");
        }
    }

    #[test]
    fn a_stranger_is_not_remembered() {
        let mut heard = Heard::default();
        heard.look(&reference(Some(30)), clock::now());
        for subject in ["alive.small.out", "alive.elsewhere.in"] {
            heard.alive(name(subject), clock::now());
        }
        assert_eq!(heard.lanes.len(), 1, "the one lane that is to tell that it lives");
        for subject in ["alive.small", "alive", "gate.small.in.entry", "alive.a lot.in"] {
            assert_eq!(lane(subject), None, "{subject}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_is_heard_on_the_bus() {
        let bus: Arc<dyn Bus> = Arc::new(streams::Memory::new(crate::trial::START));
        let (stop, stopped) = watch::channel(false);
        let (says, mut said) = tokio::sync::mpsc::unbounded_channel();
        let tell = move |change| says.send(change).expect("the test listens");
        let watching = tokio::spawn(hear(bus.clone(), Arc::new(reference(Some(30))).into(), stopped, tell));
        let lives = async |times, every| {
            for _ in 0..times {
                clock::wait(Duration::from_secs(every)).await;
                bus.tell(streams::Told { subject: "alive.small.in".into(), payload: Vec::new().into() }).await.expect("in memory");
            }
        };
        lives(5, 20).await;
        assert!(said.is_empty(), "it has told in time");
        lives(1, 40).await;
        clock::wait(EVERY * 2).await;
        stop.send_replace(true);
        watching.await.expect("it ends");
        let told: Vec<Change> = std::iter::from_fn(|| said.try_recv().ok()).collect();
        let lane = name("alive.small.in");
        assert_eq!(told, [Change::Silent(lane), Change::Well(lane)]);
    }
}

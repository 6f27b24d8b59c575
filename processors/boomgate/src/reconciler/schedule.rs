//! Which days are due: each channel's, once, whoever was down meanwhile.
//!
//! Invariants
//! 1. A day that was missed is asked for when somebody is back, and once   (`tests::a_day_that_was_missed_is_asked_for_once`).
//!
//! Not here: what is done about a day (`super`). T+0 is not either: `payment` asks its channels itself about attempts without an outcome.

use super::{Settings, Site, message};
use crate::clock;
use anyhow::{Context, Result};
use schema::{
    Day, Moment,
    exception::{Term, begins, day_of},
    time::DAY,
    work::{DayWork, Work},
};
use std::{sync::Arc, time::Duration};
use streams::{Buckets, Bus, table};
use tokio::sync::watch;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The most days that are made up for at once; whoever was away for longer asks by hand.
const DAYS_MAX: i64 = 31;

/// Looks until `shutdown`.
pub async fn watch(bus: Arc<dyn Bus>, buckets: Arc<dyn Buckets>, settings: Settings, mut shutdown: watch::Receiver<bool>) {
    let mut every = clock::every(LOOK_EVERY);
    loop {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => return,
            _ = every.tick() => {}
        }
        for (channel, site) in &settings.sites {
            if let Err(error) = look(&*bus, &*buckets, (channel.as_str(), site), settings.due_after).await {
                tracing::warn!(channel, error = format!("{error:#}"), "cannot look which days are due");
            }
        }
    }
}

/// The days whose statement is due and was not asked for: after the last one, up to the newest.
fn due(last: Option<Day>, now: Moment, due_after: i64) -> Vec<Day> {
    let newest = day_of(now.plus(due_after.saturating_neg()).plus(-DAY));
    let Some(end) = begins(newest) else { return Vec::new() };
    // Who never asked begins with the newest.
    let Some(last) = last.and_then(begins) else { return vec![newest] };
    let from = last.plus(DAY).max(end.plus(DAYS_MAX.saturating_mul(-DAY)));
    let mut days = Vec::new();
    let mut at = from;
    while at <= end {
        days.push(day_of(at));
        at = at.plus(DAY);
    }
    days
}

/// Asks for what is due of one channel, and only then says so: whoever dies in between asks again under the same ids.
async fn look(bus: &dyn Bus, buckets: &dyn Buckets, (channel, site): (&str, &Site), due_after: i64) -> Result<()> {
    let key = format!("mark.{channel}");
    let entry = buckets.entry(table::RECONCILE, &key).await?;
    let last = entry.as_ref().filter(|entry| !entry.value.is_empty()).map(|entry| serde_json::from_slice::<Day>(&entry.value)).transpose();
    let last = last.with_context(|| format!("{key} is no day"))?;
    let days = due(last, bus.look("WORK").await?.now, due_after);
    let Some(newest) = days.last() else { return Ok(()) };
    for day in &days {
        // The day before is compared again, with what this day's statement tells of it.
        let before = begins(*day).map(|first| (day_of(first.plus(-DAY)), Term::After));
        for (day, term) in [(*day, Term::Next)].into_iter().chain(before) {
            let work = DayWork { channel: channel.into(), merchant: site.merchant.clone(), day, term, asked: DayWork::schedule(), file: None };
            bus.publish(message(&Work::Day(work))).await?;
        }
    }
    let expected = entry.map_or(0, |entry| entry.revision);
    match buckets.put(table::RECONCILE, &key, serde_json::to_vec(newest)?.into(), Some(expected)).await {
        // Another replica has asked for the same.
        Err(error) if error.kind == streams::Kind::Stale => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use streams::Memory;

    fn at(day: u32, hours: i64) -> Moment {
        begins(Day(day)).expect("a day").plus(hours * DAY / 24)
    }

    #[test]
    fn a_statement_is_due_the_day_after() {
        let ten = 10 * DAY / 24;
        let days = |last: Option<u32>, now| due(last.map(Day), now, ten).iter().map(|day| day.0).collect::<Vec<_>>();
        for (last, now, expected) in [
            (None, at(261_123, 9), &[261_121][..]),
            (None, at(261_123, 10), &[261_122]),
            (Some(261_122), at(261_123, 23), &[]),
            (Some(261_122), at(261_124, 11), &[261_123]),
            (Some(261_128), at(261_203, 11), &[261_129, 261_130, 261_201, 261_202]),
            (Some(261_130), at(261_123, 11), &[]),
        ] {
            assert_eq!(days(last, now), expected, "{last:?} {now}");
        }
        assert_eq!(days(Some(251_101), at(261_123, 11)).len(), 32, "a year is not made up for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_that_was_missed_is_asked_for_once() {
        let bus = Memory::new(at(261_123, 11));
        let site = Site { merchant: "m".into() };
        let asked = async || bus.scan("WORK", 1, 100).await.expect("the bus is in memory").len();
        for _ in 0..3 {
            look(&bus, &bus, ("wechat", &site), 0).await.expect("the bus is in memory");
        }
        assert_eq!(asked().await, 2, "the newest day, and the one before it again");
        // Somebody else, who saw the old mark, asks for the same under the same ids.
        buckets_forget(&bus).await;
        look(&bus, &bus, ("wechat", &site), 0).await.expect("the bus is in memory");
        assert_eq!(asked().await, 2);
        bus.put(table::RECONCILE, "mark.wechat", "261119".into(), None).await.expect("the bus is in memory");
        look(&bus, &bus, ("wechat", &site), 0).await.expect("the bus is in memory");
        assert_eq!(asked().await, 2 + 4, "261120 and 261121 at both terms, 261119 again, and 261122 is there already");
    }

    async fn buckets_forget(bus: &Memory) {
        let revision = bus.entry(table::RECONCILE, "mark.wechat").await.expect("the bus is in memory").expect("it is there").revision;
        bus.forget(table::RECONCILE, "mark.wechat", revision + 1).await.expect("the bus is in memory");
    }
}

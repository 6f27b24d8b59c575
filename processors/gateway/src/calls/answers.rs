//! From what a channel answered to the facts that `payment` reads.
//!
//! Invariants
//! 1. Every call that was made, or cannot be, has at least one fact   (`tests::every_answer_is_a_fact`).
//! 2. What nobody knows is told as unknown; "not done" is said only where nothing was sent, or the channel says so   (`tests::every_answer_is_a_fact`).
//!
//! Not here: what `payment` makes of it (`rules::payment`).

use super::{pace::Health, queue::Job};
use channels::{Call, Heard, Parked};
use schema::{
    ChannelCall, ChannelEvent, ChannelFact, EntryNotice, Moment, RefundCall,
    channel::{Act, Outcome, Standing},
    gate::Colour,
};
use std::sync::Arc;

/// So often a refund is asked about in vain, a quarter of an hour by the usual limits; then a person must find out. Until then the channel may notify.
const ASKED_IN_VAIN_MAX: u32 = 8;

/// So often a car's entry is told; then its driver pays like any other.
const TOLD_TRIES_MAX: u32 = 3;

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// The channel answered, and this is what it says.
    Heard(Heard),
    /// It was sent, or may have been, and nobody knows what came of it.
    Unknown,
    /// Nothing was sent.
    NotSent,
    /// The channel has no such call, or is not configured here.
    Impossible,
}

/// The call as the channel's port takes it. `subject` is what a driver reads before the lot's name.
/// None where no channel has such a thing: what is deducted by the plate cannot be taken back.
pub fn call(job: &Job, subject: &str) -> Option<Call> {
    Some(match job {
        Job::Refund(call) => Call::Refund(call.clone()),
        Job::Attempt(ChannelCall { attempt, act, amount, until, lot, deducts, by_plate, .. }) => {
            let name = lot.as_ref().map_or("", |lot| lot.as_str());
            let subject = || if name.is_empty() { subject.into() } else { format!("{subject} {name}").into() };
            match (act, deducts) {
                (Act::Open, None) => Call::Open { attempt: *attempt, amount: *amount, subject: subject(), expires_at: *until },
                (Act::Open, Some(stay)) => {
                    let (plate, colour) = (stay.plate.text.clone(), stay.plate.colour.unwrap_or(Colour::Blue));
                    let parked = Parked { session: stay.session, plate, colour, entered_at: stay.entered_at, lot: name.into() };
                    let parking = stay.parking.clone();
                    Call::Deduct { attempt: *attempt, amount: *amount, subject: subject(), parking, parked, left_at: stay.left_at }
                }
                (Act::Settle, _) => Call::Settle { attempt: *attempt },
                (Act::Close, None) => Call::Close { attempt: *attempt },
                (Act::Close, Some(_)) => return None,
                (Act::Query, None) if !*by_plate => Call::Query { attempt: *attempt },
                (Act::Query, _) => Call::Deduction { attempt: *attempt },
            }
        }
        Job::Notice(notice, _) => {
            let EntryNotice { session, plate, colour, entered_at, lot, free_min, .. } = notice;
            let parked = Parked { session: *session, plate: plate.clone(), colour: *colour, entered_at: *entered_at, lot: lot.as_str().into() };
            Call::Enter { parked, free_s: i64::from(*free_min) * 60 }
        }
    })
}

/// What is to be tried once more: a car's entry of which nobody knows whether it was heard.
pub fn again(job: &Job, came: &Came) -> Option<Job> {
    let Job::Notice(notice, tries) = job else { return None };
    let unheard = matches!(came, Came::Unknown | Came::NotSent | Came::Heard(Heard::Later));
    (unheard && *tries < TOLD_TRIES_MAX).then(|| Job::Notice(notice.clone(), tries.saturating_add(1)))
}

/// The facts of what came of a call that is not made again.
pub fn facts(job: &Job, came: Came, at: Moment) -> Vec<ChannelEvent> {
    let told = |fact| vec![ChannelEvent { channel: job.channel().clone(), happened_at: at, fact }];
    match (job, came) {
        (_, Came::Heard(Heard::Facts(facts))) if !facts.is_empty() => facts.into_iter().map(|event| counted(job, event)).collect(),
        (Job::Refund(call), came) => {
            let RefundCall { refund, order, tries, asks, .. } = *call;
            let standing = match came {
                Came::NotSent | Came::Heard(Heard::Refused) if !asks => None,
                Came::Impossible if !asks || tries > ASKED_IN_VAIN_MAX => Some(Standing::Abnormal),
                Came::Heard(_) | Came::Unknown | Came::NotSent | Came::Impossible => Some(Standing::Unknown),
            };
            told(ChannelFact::RefundAnswered { refund, order, succeeded: false, tries, standing })
        }
        (Job::Notice(notice, _), came) => {
            let parking = if let Came::Heard(Heard::Entered(number)) = came { Some(number.into()) } else { None };
            told(ChannelFact::Parked { session: notice.session, lot: notice.lot, parking })
        }
        (Job::Attempt(call), came) => {
            let ChannelCall { attempt, act, tries, .. } = *call;
            let (outcome, code) = match came {
                Came::Heard(Heard::Opened(code)) => (Outcome::Opened, code.map(Arc::from)),
                Came::Heard(Heard::Settled) => (Outcome::Settled, None),
                Came::Heard(Heard::Closed) => (Outcome::Closed, None),
                Came::Heard(Heard::Unpaid) => (Outcome::Unpaid, None),
                Came::Heard(Heard::Refused) => (Outcome::Refused, None),
                // What was not opened is not open. That it was not closed says nothing of how it stands.
                Came::NotSent if act == Act::Open => (Outcome::Refused, None),
                Came::Heard(Heard::Facts(_) | Heard::Entered(_) | Heard::Later) | Came::Unknown | Came::NotSent => (Outcome::Unknown, None),
                Came::Impossible => (Outcome::Impossible, None),
            };
            told(ChannelFact::CallAnswered { attempt, act, tries, outcome, code })
        }
    }
}

/// What a channel says of the refund that was asked for, as the answer to all that was asked of it by now.
fn counted(job: &Job, mut event: ChannelEvent) -> ChannelEvent {
    if let ChannelFact::RefundAnswered { refund, tries, .. } = &mut event.fact
        && *refund == job.number()
    {
        *tries = job.tries();
    }
    event
}

/// What became of it in a word, and what that tells of the channel.
pub fn judge(job: &Job, came: &Came, facts: &[ChannelEvent]) -> (&'static str, Health) {
    let word = match facts.first().map(|event| &event.fact) {
        Some(ChannelFact::Succeeded { .. }) => "paid",
        Some(ChannelFact::Accepted { .. }) => "held",
        Some(ChannelFact::Failed { .. }) => "released",
        Some(ChannelFact::CallAnswered { outcome, .. }) => outcome.as_str(),
        Some(ChannelFact::Parked { parking, .. }) => {
            if parking.is_some() {
                "noted"
            } else {
                "not_noted"
            }
        }
        Some(ChannelFact::RefundAnswered { succeeded: true, .. }) => "refunded",
        Some(ChannelFact::RefundAnswered { standing, .. }) => match standing {
            None => "refused",
            Some(Standing::Accepted) => "accepted",
            Some(Standing::Unknown) => "unknown",
            Some(Standing::NotFound) => "not_found",
            Some(Standing::Abnormal) => "abnormal",
        },
        // Nobody is called for what an older system was paid.
        Some(ChannelFact::Imported { .. }) | None => "nothing",
    };
    let health = match came {
        Came::Unknown | Came::NotSent | Came::Heard(Heard::Later) => Health::Silent,
        Came::Impossible => Health::Good,
        Came::Heard(_) => match word {
            "refused" | "abnormal" | "not_found" | "unknown" if matches!(job, Job::Refund(call) if !call.asks) => Health::Refused,
            _ => Health::Good,
        },
    };
    (word, health)
}

#[cfg(test)]
mod tests {
    use super::{super::queue::tests, *};

    #[test]
    fn every_answer_is_a_fact() {
        let code = || Heard::Opened(Some("weixin://x".into()));
        let [open, settle, close, query] = [Act::Open, Act::Settle, Act::Close, Act::Query].map(|act| tests::attempt(1, act, 2));
        let [refund, asked] = [false, true].map(|asks| tests::refund(1, 2, asks));
        let late = tests::refund(1, 9, true);
        let heard = Came::Heard;
        for (job, came, word, health) in [
            (&open, heard(code()), "opened", Health::Good),
            (&open, heard(Heard::Refused), "refused", Health::Good),
            (&open, heard(Heard::Later), "unknown", Health::Silent),
            (&open, heard(Heard::Facts(Vec::new())), "unknown", Health::Good),
            (&open, Came::Unknown, "unknown", Health::Silent),
            (&open, Came::NotSent, "refused", Health::Silent),
            (&open, Came::Impossible, "impossible", Health::Good),
            (&settle, heard(Heard::Settled), "settled", Health::Good),
            (&settle, Came::NotSent, "unknown", Health::Silent),
            (&close, heard(Heard::Closed), "closed", Health::Good),
            (&close, Came::NotSent, "unknown", Health::Silent),
            (&query, heard(Heard::Unpaid), "unpaid", Health::Good),
            (&refund, heard(Heard::Later), "unknown", Health::Silent),
            (&refund, heard(Heard::Unpaid), "unknown", Health::Refused),
            (&refund, heard(Heard::Refused), "refused", Health::Refused),
            (&refund, Came::Unknown, "unknown", Health::Silent),
            (&refund, Came::NotSent, "refused", Health::Silent),
            (&refund, Came::Impossible, "abnormal", Health::Good),
            (&asked, heard(Heard::Refused), "unknown", Health::Good),
            (&asked, Came::NotSent, "unknown", Health::Silent),
            (&asked, Came::Impossible, "unknown", Health::Good),
            (&late, Came::Impossible, "abnormal", Health::Good),
        ] {
            let facts = facts(job, came.clone(), Moment(7));
            assert_eq!(facts.len(), 1, "{job:?} {came:?}");
            assert_eq!((&*facts[0].channel, facts[0].happened_at), ("wechat", Moment(7)));
            assert_eq!(judge(job, &came, &facts), (word, health), "{job:?} {came:?}");
            match (&facts[0].fact, job) {
                (ChannelFact::CallAnswered { attempt, tries: 2, act, code, .. }, Job::Attempt(call)) => {
                    assert_eq!((*attempt, *act, code.as_deref()), (call.attempt, call.act, (word == "opened").then_some("weixin://x")));
                }
                (ChannelFact::RefundAnswered { refund, succeeded: false, tries, .. }, Job::Refund(call)) => {
                    assert_eq!((*refund, *tries), (call.refund, call.tries));
                }
                other => panic!("{other:?}"),
            }
        }
        let said = facts(&refund, Came::Unknown, Moment(1));
        assert_eq!(facts(&refund, heard(Heard::Facts(said.clone())), Moment(7)), said, "what the channel says itself stays as it is");
    }

    #[test]
    fn a_driver_reads_what_the_payment_is_for() {
        let Job::Attempt(call) = tests::attempt(1, Act::Open, 1) else { panic!("it is about an attempt") };
        let job = Job::Attempt(ChannelCall { lot: Some("lot-1".parse().expect("a name")), ..call });
        assert!(matches!(super::call(&job, "停车费"), Some(Call::Open { subject, .. }) if &*subject == "停车费 lot-1"));
    }

    #[test]
    fn what_is_deducted_by_the_plate_has_calls_of_its_own() {
        let Job::Attempt(call) = tests::attempt(1, Act::Open, 1) else { panic!("it is about an attempt") };
        let deducts = Some(Box::new(tests::deducted()));
        let of = |act| super::call(&Job::Attempt(ChannelCall { act, deducts: deducts.clone(), ..call.clone() }), "停车费");
        assert!(matches!(of(Act::Open), Some(Call::Deduct { parking, .. }) if &*parking == "P1"));
        assert!(matches!(of(Act::Query), Some(Call::Deduction { .. })));
        assert_eq!(of(Act::Close), None);
        let asked = ChannelCall { act: Act::Query, by_plate: true, ..call.clone() };
        assert!(matches!(super::call(&Job::Attempt(asked), "停车费"), Some(Call::Deduction { .. })));
    }

    #[test]
    fn a_cars_entry_is_told_until_it_is_heard() {
        let told = |tries| Job::Notice(tests::notice(), tries);
        let heard = |heard| Came::Heard(heard);
        for (came, again, parking) in [
            (heard(Heard::Entered("P1".into())), false, Some("P1")),
            (heard(Heard::Refused), false, None),
            (heard(Heard::Later), true, None),
            (Came::Unknown, true, None),
            (Came::NotSent, true, None),
            (Came::Impossible, false, None),
        ] {
            assert_eq!(super::again(&told(1), &came), again.then(|| told(2)), "{came:?}");
            assert_eq!(super::again(&told(TOLD_TRIES_MAX), &came), None, "{came:?}");
            let facts = facts(&told(TOLD_TRIES_MAX), came, Moment(7));
            let [ChannelEvent { fact: ChannelFact::Parked { parking: said, .. }, .. }] = &facts[..] else { panic!("{facts:?}") };
            assert_eq!(said.as_deref(), parking);
        }
        assert!(matches!(super::call(&told(1), "停车费"), Some(Call::Enter { free_s: 900, .. })));
    }
}

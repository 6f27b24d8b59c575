//! Dead letters as messages: the original's bytes, the original's headers under a prefix, and why it is dead.
//!
//! Invariants
//! 1. A dead letter tells all that is needed to try it again   (`tests::a_dead_letter_is_read_back_as_it_was`).
//! 2. The same letter twice is stored once, while the server remembers   (`conformance::inbox::a_dead_letter_keeps_bytes_and_headers`).

use crate::{DeadLetter, MESSAGE_ID, Message, Stored, subject};
use schema::Moment;
use std::collections::BTreeMap;

const REASON: &str = "Boomgate-Reason";
const STREAM: &str = "Boomgate-Stream";
const SEQUENCE: &str = "Boomgate-Sequence";
const TIME: &str = "Boomgate-Time";
const SUBJECT: &str = "Boomgate-Subject";
const ORIGINAL: &str = "Original-";
/// The longest reason that is kept, in characters.
const REASON_MAX: usize = 500;

impl DeadLetter {
    /// The message under which it is stored.
    pub(crate) fn message(&self) -> Message {
        // A header is one line.
        let reason: String = self.reason.chars().take(REASON_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut headers: BTreeMap<String, String> =
            self.stored.headers.iter().map(|(name, value)| (format!("{ORIGINAL}{name}"), value.clone())).collect();
        for (name, value) in [
            (REASON, reason),
            (STREAM, self.stream.clone()),
            (SEQUENCE, self.stored.sequence.to_string()),
            (TIME, self.stored.time.0.to_string()),
            (SUBJECT, self.stored.subject.clone()),
            (MESSAGE_ID, format!("dead-{}-{}", self.stream, self.stored.sequence)),
        ] {
            headers.insert(name.to_owned(), value);
        }
        Message { subject: format!("DEAD.{}.{}", self.stream, self.partition), payload: self.stored.payload.clone(), headers }
    }

    /// Reads a message of the stream DEAD; none where it was not written by [`crate::Bus::dead_letter`].
    pub fn read(dead: &Stored) -> Option<Self> {
        let header = |name: &str| dead.headers.get(name).cloned();
        let original = |(name, value): (&String, &String)| Some((name.strip_prefix(ORIGINAL)?.to_owned(), value.clone()));
        Some(Self {
            stream: header(STREAM)?,
            partition: subject::partition_of_subject("DEAD", &dead.subject)?,
            reason: header(REASON)?,
            stored: Stored {
                subject: header(SUBJECT)?,
                sequence: header(SEQUENCE)?.parse().ok()?,
                time: Moment(header(TIME)?.parse().ok()?),
                payload: dead.payload.clone(),
                headers: dead.headers.iter().filter_map(original).collect(),
            },
        })
    }

    /// The message to publish to try it again, without its old id, which the inbox may still know and would drop.
    pub fn again(&self) -> Message {
        let mut headers = self.stored.headers.clone();
        headers.remove(MESSAGE_ID);
        // What was stored under a transform goes in again where its sender published it.
        Message { subject: subject::published_as(&self.stored.subject), payload: self.stored.payload.clone(), headers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use schema::Partition;

    #[test]
    fn a_dead_letter_is_read_back_as_it_was() {
        let headers = BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned()), (MESSAGE_ID.to_owned(), "7".to_owned())]);
        let stored =
            Stored { subject: "GATE.3.lot.lane.entry".into(), sequence: 9, time: Moment(77), payload: Bytes::from_static(b"\0bytes"), headers };
        let letter = DeadLetter { stream: "GATE".into(), partition: Partition(3), reason: "two\nlines".into(), stored };
        let message = letter.message();
        let dead = Stored { subject: message.subject, sequence: 1, time: Moment(0), payload: message.payload, headers: message.headers };
        assert_eq!(DeadLetter::read(&dead), Some(DeadLetter { reason: "two lines".into(), ..letter.clone() }));
        let again = letter.again();
        assert_eq!(again.subject, "gate.lot.lane.entry");
        assert_eq!(again.headers.keys().collect::<Vec<_>>(), ["Content-Type"]);
        let said = Stored { subject: "DESK.44.a.stated".into(), ..letter.stored.clone() };
        assert_eq!(DeadLetter { stream: "DESK".into(), stored: said, ..letter }.again().subject, "desk.a.stated");
    }
}

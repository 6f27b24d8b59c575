//! Subjects: how they are built, read and matched.
//!
//! Invariants
//! 1. A partition is always named by the same text, since a cluster tells appends in flight apart by it   (`tests::a_partition_has_one_name`).
//! 2. What a device publishes is stored under the partition of its lot   (`tests::a_gate_subject_is_stored_under_its_lots_partition`).
//! 3. What was published is found again by the subject under which it is stored   (`tests::a_stored_subject_tells_what_was_published`).

use crate::table;
use schema::{Journal, Partition, id::Province};

/// The subject of a journal's message: `<STREAM>.<province>.<partition>.<type>`.
pub fn journal_subject(journal: Journal, province: Province, partition: Partition, kind: &str) -> String {
    format!("{journal}.{province}.{partition}.{kind}")
}

/// All of a partition: `SESSION.*.17.>`. It is the condition of every append, letter by letter.
pub fn partition_wildcard(journal: Journal, partition: Partition) -> String {
    format!("{journal}.*.{partition}.>")
}

/// All of a partition of any stream, as its subjects are stored: `GATE.17.>`, `SESSION.*.17.>`, `DEAD.*.17`; none where there is no such stream.
pub fn stored_wildcard(stream: &str, partition: Partition) -> Option<String> {
    let table = table::stream(stream)?;
    let before = ".*".repeat(table.partition_token.checked_sub(1)?);
    // The partition is the last token of a dead letter.
    let rest = if table.role == table::Role::Dead { "" } else { ".>" };
    Some(format!("{stream}{before}.{partition}{rest}"))
}

/// The partition that a stored subject tells; none where it is no subject of that stream.
pub fn partition_of_subject(stream: &str, subject: &str) -> Option<Partition> {
    let table = table::stream(stream)?;
    let mut tokens = subject.split('.');
    tokens.next().filter(|first| *first == stream)?;
    partition_token(tokens.nth(table.partition_token.checked_sub(1)?)?)
}

/// Reads a partition as it is written in a subject: without leading zeros, as every filter says it.
fn partition_token(token: &str) -> Option<Partition> {
    let partition = Partition(token.parse().ok().filter(|number| *number < Partition::COUNT)?);
    (partition.to_string() == token).then_some(partition)
}

/// Under which stream and subject a published subject is stored; none where no stream listens to it.
pub fn stored_as(subject: &str) -> Option<(&'static table::Stream, String)> {
    let stream = table::STREAMS.iter().find(|stream| matches(stream.listens, subject))?;
    let stored = match (stream.transform, subject.split('.').collect::<Vec<_>>().as_slice()) {
        (Some(_), [_, lot, rest @ ..]) => format!("{}.{}.{lot}.{}", stream.name, Partition::of_lot(lot), rest.join(".")),
        _ => subject.to_owned(),
    };
    Some((stream, stored))
}

/// On what it was published, by the subject under which it is stored: where its stream transforms subjects, that is undone.
pub fn published_as(stored: &str) -> String {
    let mut tokens = stored.splitn(3, '.');
    let stream = tokens.next().and_then(table::stream).filter(|stream| stream.transform.is_some());
    let (Some(stream), Some(_), Some(rest)) = (stream, tokens.next(), tokens.next()) else { return stored.to_owned() };
    let speaks = stream.listens.split('.').next().unwrap_or(stream.name);
    format!("{speaks}.{rest}")
}

/// Whether a filter with wildcards (`*` one token, `>` the rest, at least one) takes a subject.
pub fn matches(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
}

/// Whether a text can be one token of a subject and part of a name: not empty, letters, digits, `-` and `_` alone.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_one_name() {
        assert_eq!(partition_wildcard(Journal::Session, Partition(7)), "SESSION.*.7.>");
        let subject = journal_subject(Journal::Session, Province(44), Partition(7), "opened");
        assert_eq!(subject, "SESSION.44.7.opened");
        assert!(matches(&partition_wildcard(Journal::Session, Partition(7)), &subject));
        for (stream, subject, partition) in [
            ("SESSION", "SESSION.44.7.opened", Some(Partition(7))),
            ("SESSION", "SESSION.44.07.opened", None),
            ("SESSION", "SESSION.44.64.opened", None),
            ("SESSION", "ORDER.44.7.priced", None),
            ("GATE", "GATE.63.lot.lane.entry", Some(Partition(63))),
            ("CHANNEL", "CHANNEL.0.wechat.succeeded", Some(Partition(0))),
            ("DESK", "DESK.9.lot.stated", Some(Partition(9))),
            ("DEAD", "DEAD.GATE.9", Some(Partition(9))),
            ("OTHER", "OTHER.1.2", None),
        ] {
            assert_eq!(partition_of_subject(stream, subject), partition, "{subject}");
        }
    }

    #[test]
    fn the_wildcard_of_a_partition_takes_its_subjects_alone() {
        for (stream, wildcard, inside, outside) in [
            ("GATE", "GATE.7.>", "GATE.7.lot.lane.entry", "GATE.8.7.7.7"),
            ("CHANNEL", "CHANNEL.7.>", "CHANNEL.7.wechat.succeeded", "CHANNEL.8.7.7"),
            ("SESSION", "SESSION.*.7.>", "SESSION.44.7.opened", "SESSION.7.44.opened"),
            ("DEAD", "DEAD.*.7", "DEAD.GATE.7", "DEAD.GATE.8"),
        ] {
            assert_eq!(stored_wildcard(stream, Partition(7)).as_deref(), Some(wildcard));
            assert!(matches(wildcard, inside) && !matches(wildcard, outside), "{wildcard}");
            assert_eq!(partition_of_subject(stream, inside), Some(Partition(7)));
        }
        for journal in Journal::ALL {
            assert_eq!(stored_wildcard(journal.stream(), Partition(7)), Some(partition_wildcard(journal, Partition(7))));
        }
        assert_eq!(stored_wildcard("OTHER", Partition(7)), None);
    }

    #[test]
    fn a_gate_subject_is_stored_under_its_lots_partition() {
        let stored = |subject| stored_as(subject).map(|(stream, subject)| (stream.name, subject));
        let partition = Partition::of_lot("lot1");
        assert_eq!(stored("gate.lot1.lane1.entry"), Some(("GATE", format!("GATE.{partition}.lot1.lane1.entry"))));
        assert_eq!(stored("CHANNEL.3.wechat.succeeded"), Some(("CHANNEL", "CHANNEL.3.wechat.succeeded".to_owned())));
        assert_eq!(stored("gate.lot1.lane1"), None);
        assert_eq!(stored("lane.lot1.lane1"), None);
    }

    #[test]
    fn a_stored_subject_tells_what_was_published() {
        let published =
            ["gate.lot1.lane1.entry", "CHANNEL.3.wechat.succeeded", "desk.lot1.stated", "STATEMENT.3.wechat.compared", "WORK.3.wechat.day"];
        let listens = table::STREAMS.iter().filter(|stream| matches!(stream.role, table::Role::Inbox | table::Role::Work));
        assert_eq!(listens.count(), published.len(), "one of each that can be published to");
        for subject in published {
            let (stream, stored) = stored_as(subject).expect("a stream listens");
            assert_eq!(stored.starts_with(&format!("{}.", stream.name)).then(|| published_as(&stored)).as_deref(), Some(subject));
        }
        assert_eq!(published_as("SESSION.44.3.opened"), "SESSION.44.3.opened");
        assert_eq!(published_as("OTHER"), "OTHER");
    }

    #[test]
    fn wildcards_take_whole_tokens() {
        for (filter, subject, taken) in [
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a.b", "a.b", true),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(matches(filter, subject), taken, "{filter} {subject}");
        }
    }
}

//! The one table: every stream, subject, transform, durable consumer and limit. Manifests, provisioning, the loop and the tests read it from here.
//!
//! Invariants
//! 1. The groups of a processor share its inputs: each stored subject has exactly one reader   (`tests::every_partition_has_one_reader`).
//! 2. A journal has one writer   (`tests::a_journal_has_one_writer`).
//! 3. Limits that depend on each other are tied by const asserts, below.
//!
//! Not here: how a server is brought to it (`provision`), how subjects are built and read (`subject`).

use crate::{Append, BEAT_TTL, Reader};
use schema::{Journal, Partition, wire};
use serde_json::{Value, json};
use std::time::Duration;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What the world says; trimmed below what is answered.
    Inbox,
    /// What one processor decided; written by conditional appends alone; trimmed below the mark.
    Journal,
    /// What could not be handled; kept until a person has looked at it.
    Dead,
    /// What is to be done once, by whichever worker takes it; gone once it is acked.
    Work,
}

/// One stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name, the first token of its stored subjects.
    pub name: &'static str,
    /// What it is for.
    pub role: Role,
    /// The subjects it listens to.
    pub listens: &'static str,
    /// Under what it stores them, where that differs; in nats-server's own words.
    pub transform: Option<&'static str>,
    /// Which token of a stored subject is the partition, counted from 0.
    pub partition_token: usize,
    /// The longest message, headers included, in bytes.
    pub message_bytes_max: usize,
    /// Its part of the storage, in percent.
    pub share_percent: u8,
}

/// The most bytes of one message on any connection (`max_payload` of the server).
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// The longest journal message, in bytes.
pub const JOURNAL_BYTES_MAX: usize = 256 * 1024;
/// The longest dead letter, in bytes: a message of any stream and why it is dead.
pub const DEAD_BYTES_MAX: usize = 512 * 1024;
/// The most messages of an atomic batch, as nats-server limits it.
pub const BATCH_MESSAGES_MAX: usize = 1_000;
/// How long an inbox knows a message id. It saves work and is no promise.
pub const DEDUPE_WINDOW: Duration = Duration::from_secs(120);
/// After how long a message that was not acked comes again.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// How many messages of one consumer may be handed out and not acked.
pub const ACK_PENDING_MAX: usize = 4096;
/// The storage of all streams together where nothing else is said, in bytes.
pub const STORAGE_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// The bucket in which replicas say that they live.
pub const MEMBERS: &str = "members";
/// The bucket of the operator's reference data.
pub const REFERENCE: &str = "reference";
/// The bucket of reconciliations: which day of a channel was asked for last, and how far each is.
pub const RECONCILE: &str = "reconcile";
/// The least room of that bucket, in bytes.
pub const RECONCILE_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// How many pieces of work may be handed out and not done.
pub const WORK_PENDING_MAX: usize = 256;
/// The bucket of idempotency keys: what the operator API was asked for, and what it answered.
pub const KEYS: &str = "keys";
/// The least room of the bucket of idempotency keys, in bytes.
pub const KEYS_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// The least room of the bucket of reference data, in bytes: 20,000 lots, in force and about to be.
pub const REFERENCE_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// The longest value of a bucket, in bytes.
pub const VALUE_BYTES_MAX: usize = 512 * 1024;
/// The header by which a write says which revision of its key it has seen.
pub(crate) const EXPECTED_REVISION: &str = "Nats-Expected-Last-Subject-Sequence";

/// Every stream.
pub const STREAMS: [Stream; 11] = [
    Stream {
        name: "GATE",
        role: Role::Inbox,
        listens: "gate.*.*.*",
        transform: Some("GATE.{{partition(64,1)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}"),
        partition_token: 1,
        message_bytes_max: wire::INBOX_BYTES_MAX,
        share_percent: 14,
    },
    Stream {
        name: "CHANNEL",
        role: Role::Inbox,
        listens: "CHANNEL.*.*.*",
        transform: None,
        partition_token: 1,
        message_bytes_max: wire::INBOX_BYTES_MAX,
        share_percent: 10,
    },
    Stream {
        name: "DESK",
        role: Role::Inbox,
        listens: "desk.*.*",
        transform: Some("DESK.{{partition(64,1)}}.{{wildcard(1)}}.{{wildcard(2)}}"),
        partition_token: 1,
        message_bytes_max: wire::INBOX_BYTES_MAX,
        share_percent: 2,
    },
    Stream {
        name: "STATEMENT",
        role: Role::Inbox,
        listens: "STATEMENT.*.*.*",
        transform: None,
        partition_token: 1,
        message_bytes_max: wire::INBOX_BYTES_MAX,
        share_percent: 1,
    },
    Stream {
        name: "WORK",
        role: Role::Work,
        listens: "WORK.*.*.*",
        transform: None,
        partition_token: 1,
        message_bytes_max: wire::INBOX_BYTES_MAX,
        share_percent: 1,
    },
    journal("SESSION", "SESSION.*.*.*", 18),
    journal("ORDER", "ORDER.*.*.*", 15),
    journal("PAYMENT", "PAYMENT.*.*.*", 15),
    journal("LEDGER", "LEDGER.*.*.*", 15),
    journal("RECON", "RECON.*.*.*", 2),
    Stream {
        name: "DEAD",
        role: Role::Dead,
        listens: "DEAD.*.*",
        transform: None,
        partition_token: 2,
        message_bytes_max: DEAD_BYTES_MAX,
        share_percent: 7,
    },
];

const fn journal(name: &'static str, listens: &'static str, share_percent: u8) -> Stream {
    Stream { name, role: Role::Journal, listens, transform: None, partition_token: 2, message_bytes_max: JOURNAL_BYTES_MAX, share_percent }
}

/// What a processor reads: all of a stream, or some types of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The stream.
    pub stream: &'static str,
    /// The types, as the last token of the subject; empty means all.
    pub kinds: &'static [&'static str],
}

/// A processor: one writer of one journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Its name.
    pub name: &'static str,
    /// What it writes.
    pub journal: Journal,
    /// What it reads.
    pub sources: &'static [Source],
}

/// Every processor, in the order of the flow.
pub const PROCESSORS: [Processor; 5] = [
    Processor {
        name: "entry",
        journal: Journal::Session,
        sources: &[
            Source { stream: "GATE", kinds: &[] },
            Source { stream: "DESK", kinds: &["stated", "validated", "let_through", "corrected", "lost", "stock"] },
            Source { stream: "ORDER", kinds: &["free", "waived", "paid", "owed"] },
            Source { stream: "CHANNEL", kinds: &["parked"] },
        ],
    },
    Processor {
        name: "pricing",
        journal: Journal::Order,
        sources: &[
            Source { stream: "SESSION", kinds: &["asked", "leaving", "gone"] },
            Source { stream: "PAYMENT", kinds: &["applied", "withdrawn", "reversed"] },
        ],
    },
    Processor {
        name: "payment",
        journal: Journal::Payment,
        sources: &[
            Source { stream: "CHANNEL", kinds: &[] },
            Source { stream: "DESK", kinds: &["refund", "refund_shared", "approved", "declined", "refund_settled", "pay", "cash", "shift"] },
            Source { stream: "ORDER", kinds: &["priced", "withdrawn", "overpaid"] },
        ],
    },
    Processor {
        name: "settlement",
        journal: Journal::Ledger,
        sources: &[
            Source {
                stream: "PAYMENT",
                kinds: &["held", "applied", "settled", "passed_over", "reversed", "refund_requested", "refunded", "shift_closed"],
            },
            Source { stream: "ORDER", kinds: &["waived", "owed", "cleared"] },
            Source { stream: "RECON", kinds: &["matched", "exception_opened", "exception_closed", "write_off_undone", "paid_out"] },
        ],
    },
    Processor {
        name: "reconciliation",
        journal: Journal::Recon,
        sources: &[Source { stream: "STATEMENT", kinds: &[] }, Source { stream: "DESK", kinds: &["exception"] }],
    },
];

const _: () = {
    assert!(wire::INBOX_BYTES_MAX < JOURNAL_BYTES_MAX, "an event holds what its input said");
    assert!(JOURNAL_BYTES_MAX * 2 <= DEAD_BYTES_MAX, "a dead letter holds any message with its headers");
    assert!(DEAD_BYTES_MAX < PAYLOAD_BYTES_MAX, "every message fits the connection");
    assert!(VALUE_BYTES_MAX * 3 / 2 < PAYLOAD_BYTES_MAX, "a value fits the connection as base64, as the leader gives it");
    assert!(Append::MESSAGES_MAX <= BATCH_MESSAGES_MAX, "an append is one batch");
    assert!(BEAT_TTL.as_secs() < ACK_WAIT.as_secs(), "a dead replica is known before its messages come again");
    assert!(DEDUPE_WINDOW.as_secs() > ACK_WAIT.as_secs(), "a device that tries again at once costs nothing");
    let mut at = 0;
    let mut percent = 0;
    while at < STREAMS.len() {
        percent += STREAMS[at].share_percent;
        at += 1;
    }
    assert!(percent == 100, "the shares are the whole storage");
};

/// What of the table an installation chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Copies of every stream: 1, or 3 on a cluster.
    pub replicas: u8,
    /// Into how many groups each processor's partitions are split: 1 to 64.
    pub groups: u8,
    /// The storage of all streams together, in bytes.
    pub storage_bytes: u64,
}

impl Default for Declared {
    fn default() -> Self {
        Self { replicas: 1, groups: 1, storage_bytes: STORAGE_BYTES }
    }
}

impl Stream {
    /// The most bytes it keeps; past them it refuses.
    pub fn bytes_max(&self, declared: &Declared) -> u64 {
        declared.storage_bytes / 100 * u64::from(self.share_percent)
    }

    /// Its settings as the JetStream API has them; what is not named here is the server's default and nobody's business.
    pub fn settings(&self, declared: &Declared) -> Value {
        let mut settings = json!({
            "name": self.name,
            "subjects": [self.listens],
            "retention": if self.role == Role::Work { "workqueue" } else { "limits" },
            "discard": "new",
            "storage": "file",
            "num_replicas": declared.replicas,
            "max_bytes": self.bytes_max(declared),
            "max_msg_size": self.message_bytes_max,
            "max_age": 0,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": nanos(DEDUPE_WINDOW),
            "allow_direct": true,
            "allow_atomic": self.role == Role::Journal,
            "deny_delete": false,
            "deny_purge": false,
        });
        if let (Some(transform), Some(map)) = (self.transform, settings.as_object_mut()) {
            map.insert("subject_transform".to_owned(), json!({ "src": self.listens, "dest": transform }));
        }
        settings
    }
}

/// The most bytes of the bucket of reference data, beside the storage of the streams: a thirty-second part of that.
pub fn reference_bytes_max(declared: &Declared) -> u64 {
    REFERENCE_BYTES_MIN.max(declared.storage_bytes / 32)
}

/// The most bytes of the bucket of idempotency keys, beside the storage of the streams: a thirty-second part of that. A kilobyte holds one.
pub fn keys_bytes_max(declared: &Declared) -> u64 {
    KEYS_BYTES_MIN.max(declared.storage_bytes / 32)
}

/// The settings of the bucket of reference data: the newest revision of each key, for ever.
pub fn reference_settings(declared: &Declared) -> Value {
    lasting(REFERENCE, reference_bytes_max(declared), declared)
}

/// The settings of the bucket of idempotency keys: the same, for a key counts as long as the ledger lives.
pub fn keys_settings(declared: &Declared) -> Value {
    lasting(KEYS, keys_bytes_max(declared), declared)
}

/// The most bytes of the bucket of reconciliations, beside the storage of the streams.
pub fn reconcile_bytes_max(declared: &Declared) -> u64 {
    RECONCILE_BYTES_MIN.max(declared.storage_bytes / 256)
}

/// The settings of the bucket of reconciliations.
pub fn reconcile_settings(declared: &Declared) -> Value {
    lasting(RECONCILE, reconcile_bytes_max(declared), declared)
}

/// A bucket that keeps the newest revision of each key for ever, and refuses when it is full.
fn lasting(bucket: &str, bytes_max: u64, declared: &Declared) -> Value {
    json!({
        "name": format!("KV_{bucket}"),
        "subjects": [format!("$KV.{bucket}.>")],
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "num_replicas": declared.replicas,
        "max_bytes": bytes_max,
        // A condition travels as a header and counts.
        "max_msg_size": VALUE_BYTES_MAX + 1024,
        "max_age": 0,
        "max_msgs_per_subject": 1,
        "duplicate_window": nanos(DEDUPE_WINDOW),
        "allow_direct": true,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "deny_purge": false,
    })
}

/// The settings of the bucket of members. It lies on disk: a stream in memory is gone, settings and all, once its server was restarted.
pub fn members_settings(declared: &Declared) -> Value {
    json!({
        "name": format!("KV_{MEMBERS}"),
        "subjects": [format!("$KV.{MEMBERS}.>")],
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "num_replicas": declared.replicas,
        "max_bytes": 1024 * 1024,
        "max_age": nanos(BEAT_TTL),
        "max_msgs_per_subject": 1,
        "duplicate_window": nanos(BEAT_TTL),
        "allow_direct": true,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "deny_purge": false,
    })
}

/// The settings of a durable consumer as the JetStream API has them.
pub fn consumer_settings(reader: &Reader) -> Value {
    let mut settings = json!({
        "name": reader.durable,
        "durable_name": reader.durable,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "max_deliver": -1,
        "ack_wait": nanos(reader.ack_wait),
        "max_ack_pending": reader.ack_pending_max,
    });
    if let (false, Some(map)) = (reader.filters.is_empty(), settings.as_object_mut()) {
        // One filter has a field of its own in the server's answer.
        if let [filter] = reader.filters.as_slice() {
            map.insert("filter_subject".to_owned(), json!(filter));
        } else {
            map.insert("filter_subjects".to_owned(), json!(reader.filters));
        }
    }
    settings
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("the durations of this table are below 500 years")
}

/// A stream by its name.
pub fn stream(name: &str) -> Option<&'static Stream> {
    STREAMS.iter().find(|stream| stream.name == name)
}

/// A processor by its name.
pub fn processor(name: &str) -> Option<&'static Processor> {
    PROCESSORS.iter().find(|processor| processor.name == name)
}

/// The partitions of a group: those with `partition % groups == group`.
pub fn partitions(groups: u8, group: u8) -> impl Iterator<Item = Partition> {
    Partition::all().filter(move |partition| partition.0 % groups.max(1) == group)
}

/// The durable consumers of one group of a processor, one per source; none for a processor or group that is not there.
pub fn readers(processor: &str, groups: u8, group: u8) -> Vec<Reader> {
    let sources = self::processor(processor).map_or(&[][..], |processor| processor.sources);
    let sources = if group < groups && groups <= Partition::COUNT { sources } else { &[] };
    sources.iter().map(|source| reader(processor, source, groups, group)).collect()
}

/// The durable consumers of all processors and groups, and of the workers.
pub fn all_readers(groups: u8) -> Vec<Reader> {
    let processors = PROCESSORS.iter().flat_map(|processor| (0..groups).flat_map(|group| readers(processor.name, groups, group)));
    processors.chain([worker()]).collect()
}

/// The one durable consumer of the queue of work, which all workers share.
pub fn worker() -> Reader {
    let (stream, durable, filters) = ("WORK".to_owned(), "reconciler-WORK".to_owned(), vec!["WORK.>".to_owned()]);
    Reader { stream, durable, filters, ack_wait: ACK_WAIT, ack_pending_max: WORK_PENDING_MAX }
}

fn reader(processor: &str, source: &Source, groups: u8, group: u8) -> Reader {
    let stream = source.stream;
    let journal = self::stream(stream).is_some_and(|stream| stream.role == Role::Journal);
    let of = |partition: &str| -> Vec<String> {
        let head = if journal { format!("{stream}.*.{partition}") } else { format!("{stream}.{partition}") };
        // In an inbox whoever speaks stands between the partition and the kind.
        let speaker = if journal { "" } else { ".*" };
        if source.kinds.is_empty() { vec![format!("{head}.>")] } else { source.kinds.iter().map(|kind| format!("{head}{speaker}.{kind}")).collect() }
    };
    let filters = match (groups, source.kinds) {
        (1, []) => vec![format!("{stream}.>")],
        (1, _) => of("*"),
        _ => partitions(groups, group).flat_map(|partition| of(&partition.to_string())).collect(),
    };
    let durable = format!("{processor}-{stream}-{group}of{groups}");
    Reader { stream: stream.to_owned(), durable, filters, ack_wait: ACK_WAIT, ack_pending_max: ACK_PENDING_MAX }
}

/// The processor, group and number of groups that a durable name of ours tells; none for somebody else's.
pub fn owner_of(stream: &str, durable: &str) -> Option<(&'static Processor, u8, u8)> {
    let processor = PROCESSORS.iter().find(|p| durable.strip_prefix(p.name).is_some_and(|rest| rest.starts_with('-')))?;
    let (of, groups) = durable.strip_prefix(&format!("{}-{stream}-", processor.name))?.split_once("of")?;
    let (group, groups) = (of.parse().ok()?, groups.parse().ok()?);
    let ours = readers(processor.name, groups, group).iter().any(|reader| reader.stream == stream && reader.durable == durable);
    ours.then_some((processor, group, groups))
}

/// The processors that read a stream.
pub fn readers_of(stream: &str) -> impl Iterator<Item = &'static Processor> {
    PROCESSORS.iter().filter(move |processor| processor.sources.iter().any(|source| source.stream == stream))
}

/// The one processor that trims an inbox: the one that reads all of it, or else the first that reads some of it.
pub fn trimmer_of(inbox: &str) -> Option<&'static Processor> {
    let reads_all = |processor: &&Processor| processor.sources.iter().any(|source| source.stream == inbox && source.kinds.is_empty());
    readers_of(inbox).find(reads_all).or_else(|| readers_of(inbox).next())
}

/// Up to where all processors that read a stream have answered it, from the floor of each consumer; or the processor that lacks a consumer.
///
/// A processor has answered what one whole set of its groups has acked. While it is regrouped there are two sets; what the one has acked
/// the other finds answered, so the further one counts, and a set that nobody reads any more holds back nothing.
pub(crate) fn answered(stream: &str, floors: &[(String, u64)]) -> Result<u64, &'static str> {
    let owned: Vec<_> = floors.iter().filter_map(|(durable, floor)| Some((owner_of(stream, durable)?, *floor))).collect();
    let mut answered = u64::MAX;
    for processor in readers_of(stream) {
        let floor_of = |group, groups| owned.iter().find(|(owner, _)| *owner == (processor, group, groups)).map(|(_, floor)| *floor);
        let set = |groups: u8| (0..groups).map(|group| floor_of(group, groups)).min().flatten();
        let furthest = (1..=Partition::COUNT).filter_map(set).max().ok_or(processor.name)?;
        answered = answered.min(furthest);
    }
    Ok(if answered == u64::MAX { 0 } else { answered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject;

    #[test]
    fn every_partition_has_one_reader() {
        for groups in [1, 2, 7, 16, 64] {
            for partition in Partition::all() {
                let taken = |stream: &str, subject: &str| {
                    let readers = all_readers(groups).into_iter().filter(|r| r.stream == stream);
                    readers.flat_map(|r| r.filters).filter(|filter| subject::matches(filter, subject)).count()
                };
                assert_eq!(taken("GATE", &format!("GATE.{partition}.lot.lane.entry")), 1, "{groups} groups, partition {partition}");
                assert_eq!(taken("ORDER", &format!("ORDER.44.{partition}.priced")), 1, "payment reads it");
                assert_eq!(taken("ORDER", &format!("ORDER.44.{partition}.free")), 1, "entry reads it");
                assert_eq!(taken("ORDER", &format!("ORDER.44.{partition}.paid")), 1, "entry reads it");
                assert_eq!(taken("ORDER", &format!("ORDER.44.{partition}.noted")), 0, "nobody reads it");
            }
        }
    }

    #[test]
    fn a_journal_has_one_writer() {
        for journal in Journal::ALL {
            assert_eq!(PROCESSORS.iter().filter(|p| p.journal == journal).count(), 1, "{journal}");
            assert_eq!(stream(journal.stream()).map(|s| s.role), Some(Role::Journal));
        }
    }

    #[test]
    fn an_inbox_has_one_trimmer() {
        for (inbox, trimmer) in
            [("GATE", Some("entry")), ("CHANNEL", Some("payment")), ("DESK", Some("entry")), ("STATEMENT", Some("reconciliation")), ("WORK", None)]
        {
            assert_eq!(trimmer_of(inbox).map(|processor| processor.name), trimmer, "{inbox}");
        }
    }

    #[test]
    fn the_filters_of_a_group_name_its_partitions() {
        let filters = |processor, groups, group| readers(processor, groups, group).into_iter().map(|r| (r.durable, r.filters)).collect::<Vec<_>>();
        let strings = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let desk = ["stated", "validated", "let_through", "corrected", "lost", "stock"].map(|kind| format!("DESK.*.*.{kind}"));
        assert_eq!(
            filters("entry", 1, 0),
            [
                ("entry-GATE-0of1".to_owned(), strings(&["GATE.>"])),
                ("entry-DESK-0of1".to_owned(), desk.to_vec()),
                ("entry-ORDER-0of1".to_owned(), strings(&["ORDER.*.*.free", "ORDER.*.*.waived", "ORDER.*.*.paid", "ORDER.*.*.owed"])),
                ("entry-CHANNEL-0of1".to_owned(), strings(&["CHANNEL.*.*.parked"]))
            ]
        );
        assert_eq!(filters("payment", 32, 17)[0], ("payment-CHANNEL-17of32".to_owned(), strings(&["CHANNEL.17.>", "CHANNEL.49.>"])));
        assert_eq!(
            filters("payment", 64, 17)[1].1,
            strings(
                &["refund", "refund_shared", "approved", "declined", "refund_settled", "pay", "cash", "shift"]
                    .map(|kind| format!("DESK.17.*.{kind}"))
                    .each_ref()
                    .map(String::as_str)
            )
        );
        assert_eq!(filters("payment", 64, 17)[2].1, strings(&["ORDER.*.17.priced", "ORDER.*.17.withdrawn", "ORDER.*.17.overpaid"]));
        assert!(filters("entry", 4, 4).is_empty());
        assert!(filters("nobody", 1, 0).is_empty());
    }

    #[test]
    fn an_inbox_is_answered_up_to_its_slowest_reader() {
        let floors = |list: &[(&str, u64)]| list.iter().map(|(name, floor)| ((*name).to_owned(), *floor)).collect::<Vec<_>>();
        for (list, expected) in [
            (&[("entry-GATE-0of1", 9)][..], Ok(9)),
            (&[("entry-GATE-0of2", 9), ("entry-GATE-1of2", 4)], Ok(4)),
            (&[("entry-GATE-0of2", 9)], Err("entry")),
            (&[("entry-GATE-0of2", 9), ("entry-GATE-0of1", 3)], Ok(3)),
            (&[("entry-GATE-0of2", 9), ("entry-GATE-1of2", 8), ("entry-GATE-0of1", 3)], Ok(8)),
            (&[("entry-GATE-0of1", 9), ("billing", 3)], Ok(9)),
            (&[], Err("entry")),
        ] {
            assert_eq!(answered("GATE", &floors(list)), expected, "{list:?}");
        }
    }

    #[test]
    fn a_durable_name_tells_its_owner() {
        let owner = |stream, durable| owner_of(stream, durable).map(|(p, group, groups)| (p.name, group, groups));
        assert_eq!(owner("GATE", "entry-GATE-3of16"), Some(("entry", 3, 16)));
        assert_eq!(owner("GATE", "entry-GATE-16of16"), None);
        assert_eq!(owner("GATE", "entry-GATE-03of16"), None);
        assert_eq!(owner("GATE", "billing"), None);
        assert_eq!(owner("ORDER", "entry-GATE-0of1"), None);
    }
}

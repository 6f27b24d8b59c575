//! The promises of the Bus, as plain functions over the port, called for every implementation: in memory, on one server, on three.
//!
//! On three servers they run one after the other in one test, since a cluster takes its time to start.

mod bucket;
mod inbox;
mod jetstream;
mod journal;
mod production;

use crate::{Append, Buckets, Bus, Declared, Memory, Message, Reader, Stored, subject};
use schema::{Journal, Moment, Partition, id::Province};
use std::{collections::BTreeMap, time::Duration};

/// Two connections to one fresh broker.
struct Bed {
    one: Box<dyn Broker>,
    two: Box<dyn Broker>,
}

/// All that a broker is.
trait Broker: Bus + Buckets {}

impl<T: Bus + Buckets> Broker for T {}

/// Small limits, so that a stream can be filled.
const DECLARED: Declared = Declared { replicas: 1, groups: 1, storage_bytes: 20 * 1024 * 1024 };

/// One test per promise and implementation; a function cannot make tests that have names.
macro_rules! promises {
    ($($file:ident: $($promise:ident)*;)*) => {
        mod memory {
            $($(#[tokio::test(start_paused = true)]
            async fn $promise() {
                super::$file::$promise(&super::in_memory()).await;
            })*)*
        }

        mod one_server {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let host = super::jetstream::Host::start().await;
                super::in_time(super::$file::$promise(&host.bed().await)).await;
            })*)*
        }

        /// All of them, each on streams made anew.
        async fn every_promise(cluster: &production::Host) {
            $($(
                eprintln!("{}", stringify!($promise));
                in_time($file::$promise(&cluster.bed().await)).await;
            )*)*
        }
    };
}

promises! {
    bucket:
        what_was_put_is_read_by_all
        racing_writers_one_wins
        a_change_is_seen_at_once
        what_is_written_anew_is_not_forgotten
        a_full_bucket_refuses_and_forgets_nothing
        a_put_that_is_none_is_refused;
    inbox:
        acknowledged_means_stored
        a_message_with_a_known_id_is_stored_once
        the_servers_partition_is_the_schemas
        a_message_arrives_at_once
        an_unacked_message_comes_again_after_ack_wait
        progress_keeps_a_message
        a_message_handed_back_comes_again_after_its_delay
        readers_of_one_name_share_its_messages
        what_is_handed_out_is_numbered
        a_dropped_fetch_loses_nothing
        a_drain_leaves_no_stuck_message
        a_full_inbox_refuses_and_forgets_nothing
        what_is_too_large_is_refused
        only_what_is_answered_is_trimmed
        a_dead_letter_keeps_bytes_and_headers
        a_dead_letter_of_any_inbox_goes_in_again
        what_is_told_is_heard
        members_come_and_go;
    journal:
        a_stale_append_is_refused
        an_append_of_several_messages_is_atomic
        a_stale_partition_leaves_the_others_of_its_batch_appended
        many_partitions_append_at_once
        racing_writers_leave_a_contiguous_journal
        an_append_whose_answer_was_lost_is_found_by_catching_up
        an_append_that_is_none_is_refused
        a_full_journal_refuses_and_forgets_nothing
        a_tail_is_all_from_there_on
        trimming_keeps_what_a_reader_has_not_answered
        trimming_never_empties_a_partition;
}

/// A promise that is not kept must not look like a slow machine.
async fn in_time(promise: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(90), promise).await.expect("it takes seconds");
}

fn in_memory() -> Bed {
    let bus = Memory::declared(Moment(1_795_451_400_000_000), &DECLARED);
    Bed { one: Box::new(bus.clone()), two: Box::new(bus) }
}

fn gate(lot: &str, payload: &str) -> Message {
    Message { subject: format!("gate.{lot}.lane1.entry"), payload: payload.to_owned().into(), headers: BTreeMap::new() }
}

fn reader(durable: &str) -> Reader {
    Reader { stream: "GATE".into(), durable: durable.into(), filters: vec!["GATE.>".into()], ack_wait: Duration::from_secs(1), ack_pending_max: 100 }
}

/// An append to SESSION with these payloads.
fn append(partition: u8, expected: u64, payloads: &[&str]) -> Append {
    let subject = subject::journal_subject(Journal::Session, Province(44), Partition(partition), "opened");
    let message = |payload: &&str| Message { subject: subject.clone(), payload: (*payload).to_owned().into(), headers: BTreeMap::new() };
    Append { journal: Journal::Session, partition: Partition(partition), expected, messages: payloads.iter().map(message).collect() }
}

fn payloads(stored: &[Stored]) -> Vec<String> {
    stored.iter().map(|stored| String::from_utf8_lossy(&stored.payload).into_owned()).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test waits for what takes time")]
async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

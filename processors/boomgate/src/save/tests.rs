use super::*;
use schema::{Journal, time::MINUTE};

fn mark(minute: i64, sequence: u64) -> Mark {
    Mark { journal: Journal::Session, partition: Partition(3), at: Moment(minute * MINUTE), sequence }
}

#[test]
fn trimming_stays_below_the_mark() {
    let mut trimmer = Trimmer::default();
    for minute in 0..100 {
        trimmer.marked(&mark(minute, u64::try_from(minute).expect("a minute") * 10 + 10));
    }
    let hour = Duration::from_secs(60 * 60);
    // The newest mark is of minute 99: what is older than an hour is below the mark of minute 38.
    assert_eq!(trimmer.jobs(hour), [(Partition(3), 390)]);
    assert_eq!(trimmer.jobs(hour), [], "nothing new is old enough");
}

#[test]
fn marks_of_the_same_minute_are_one_sample() {
    let mut trimmer = Trimmer::default();
    for sequence in 1..1_000 {
        trimmer.marked(&mark(5, sequence));
    }
    assert_eq!(trimmer.samples[&Partition(3)].len(), 1);
}

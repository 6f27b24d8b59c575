//! Dead letters: what could not be handled, shown to a person and tried again.
//!
//! Invariants
//! 1. What is shown is all that came   (`tests::a_letter_is_listed_and_shown`).
//! 2. What is tried again is not taken for what came before   (`tests::a_letter_is_tried_again_without_its_old_id`).
//!
//! Not here: what makes an input a dead letter (`input`, `turn`).

use anyhow::{Context, bail};
use std::fmt::Write;
use streams::{Bus, DeadLetter, Stored};

/// How many messages are read at once.
const SCAN_MOST: usize = 500;

/// All letters, with their sequence in DEAD.
async fn all(bus: &dyn Bus) -> anyhow::Result<Vec<Stored>> {
    let (mut letters, mut next) = (Vec::new(), 1);
    loop {
        let read = bus.scan("DEAD", next, SCAN_MOST).await?;
        let Some(last) = read.last() else { return Ok(letters) };
        next = last.sequence.saturating_add(1);
        letters.extend(read);
    }
}

fn read(stored: &Stored) -> anyhow::Result<DeadLetter> {
    DeadLetter::read(stored).with_context(|| format!("DEAD {} was not written by boomgate", stored.sequence))
}

async fn one(bus: &dyn Bus, sequence: u64) -> anyhow::Result<DeadLetter> {
    match bus.scan("DEAD", sequence, 1).await?.first() {
        Some(stored) if stored.sequence == sequence => read(stored),
        _ => bail!("there is no dead letter {sequence}: `boomgate deadletter list` shows those there are"),
    }
}

/// Prints one line for each letter.
pub async fn list(bus: &dyn Bus) -> anyhow::Result<()> {
    print!("{}", listed(bus).await?);
    Ok(())
}

async fn listed(bus: &dyn Bus) -> anyhow::Result<String> {
    let letters = all(bus).await?;
    let mut text = format!("{:>8}  {:<8} {:>9} {:>9}  reason\n", "letter", "stream", "sequence", "partition");
    for stored in &letters {
        let letter = read(stored)?;
        writeln!(text, "{:>8}  {:<8} {:>9} {:>9}  {}", stored.sequence, letter.stream, letter.stored.sequence, letter.partition, letter.reason)?;
    }
    writeln!(text, "{} dead letters", letters.len())?;
    Ok(text)
}

/// Prints a letter whole: why, where from, headers and bytes.
pub async fn show(bus: &dyn Bus, sequence: u64) -> anyhow::Result<()> {
    print!("{}", shown(bus, sequence).await?);
    Ok(())
}

async fn shown(bus: &dyn Bus, sequence: u64) -> anyhow::Result<String> {
    let letter = one(bus, sequence).await?;
    let mut text = format!(
        "reason    {}\nfrom      {} {} ({})\nstored    {}\n",
        letter.reason, letter.stream, letter.stored.sequence, letter.stored.subject, letter.stored.time
    );
    for (name, value) in &letter.stored.headers {
        writeln!(text, "header    {name}: {value}")?;
    }
    writeln!(text, "payload   {} bytes\n{}", letter.stored.payload.len(), letter.stored.payload.escape_ascii())?;
    Ok(text)
}

/// Publishes a letter's message to its inbox again, without its old message id. The letter stays: it says what happened.
pub async fn replay(bus: &dyn Bus, sequence: u64) -> anyhow::Result<()> {
    let letter = one(bus, sequence).await?;
    let stored = bus.publish(letter.again()).await?;
    println!("dead letter {sequence} is {} {stored} now", letter.stream);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::START;
    use std::collections::BTreeMap;
    use streams::{MESSAGE_ID, Memory, Message, subject};

    const MALFORMED: &[u8] = b"{\"id\":7}\xff";

    /// A broker with a message at a desk that nobody can read, and the sequence of its letter.
    async fn with_a_letter() -> (Memory, u64) {
        let bus = Memory::new(START);
        let headers = BTreeMap::from([(MESSAGE_ID.to_owned(), "d-7".to_owned()), ("Content-Type".to_owned(), "application/json".to_owned())]);
        bus.publish(Message { subject: "desk.a.stated".into(), payload: MALFORMED.into(), headers }).await.expect("the bus is in memory");
        let stored = bus.scan("DESK", 1, 1).await.expect("the bus is in memory").remove(0);
        let partition = subject::partition_of_subject("DESK", &stored.subject).expect("it tells its partition");
        let letter = DeadLetter { stream: "DESK".into(), partition, reason: "malformed: 停".into(), stored };
        let sequence = bus.dead_letter(letter).await.expect("the bus is in memory");
        (bus, sequence)
    }

    #[tokio::test(start_paused = true)]
    async fn a_letter_is_listed_and_shown() {
        let (bus, sequence) = with_a_letter().await;
        let text = listed(&bus).await.expect("we wrote it");
        let [_, line, count] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(line.trim_start().starts_with(&format!("{sequence}  DESK")) && line.ends_with("malformed: 停"), "{text}");
        assert_eq!(count, "1 dead letters");
        let text = shown(&bus, sequence).await.expect("we wrote it");
        for part in ["reason    malformed: 停", "from      DESK 1 (DESK.", "header    Nats-Msg-Id: d-7", "payload   9 bytes", r#"{\"id\":7}\xff"#] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let error = shown(&bus, 8).await.expect_err("there is one alone").to_string();
        assert!(error.contains("no dead letter 8"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_letter_is_tried_again_without_its_old_id() {
        let (bus, sequence) = with_a_letter().await;
        for count in 2..4 {
            replay(&bus, sequence).await.expect("it goes in again");
            let stored = bus.scan("DESK", 1, 10).await.expect("the bus is in memory");
            assert_eq!(stored.len(), count, "the inbox knows its old id still, and would have dropped it");
            let [first, .., again] = &stored[..] else { panic!("{stored:?}") };
            assert_eq!((&again.subject, &again.payload), (&first.subject, &first.payload));
            assert_eq!(again.headers.keys().collect::<Vec<_>>(), ["Content-Type"]);
        }
        assert_eq!(all(&bus).await.expect("the bus is in memory").len(), 1, "the letter stays");
    }
}

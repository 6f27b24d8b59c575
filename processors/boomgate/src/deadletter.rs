//! Dead letters: what could not be handled, shown to a person and tried again.

use anyhow::{Context, bail};
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
    let letters = all(bus).await?;
    println!("{:>8}  {:<8} {:>9} {:>9}  reason", "letter", "stream", "sequence", "partition");
    for stored in &letters {
        let letter = read(stored)?;
        println!("{:>8}  {:<8} {:>9} {:>9}  {}", stored.sequence, letter.stream, letter.stored.sequence, letter.partition, letter.reason);
    }
    println!("{} dead letters", letters.len());
    Ok(())
}

/// Prints a letter whole: why, where from, headers and bytes.
pub async fn show(bus: &dyn Bus, sequence: u64) -> anyhow::Result<()> {
    let letter = one(bus, sequence).await?;
    println!(
        "reason    {}\nfrom      {} {} ({})\nstored    {}",
        letter.reason, letter.stream, letter.stored.sequence, letter.stored.subject, letter.stored.time
    );
    for (name, value) in &letter.stored.headers {
        println!("header    {name}: {value}");
    }
    println!("payload   {} bytes\n{}", letter.stored.payload.len(), letter.stored.payload.escape_ascii());
    Ok(())
}

/// Publishes a letter's message to its inbox again, under a new message id. The letter stays: it says what happened.
pub async fn replay(bus: &dyn Bus, sequence: u64) -> anyhow::Result<()> {
    let letter = one(bus, sequence).await?;
    let stored = bus.publish(letter.again()).await?;
    println!("dead letter {sequence} is {} {stored} now", letter.stream);
    Ok(())
}

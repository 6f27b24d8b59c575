//! What a message must be before it is sent: the same for every broker, so that a test in memory refuses what production refuses.

use crate::{Append, Beat, Error, Kind, Message, subject, table};

/// The stream and stored subject of a message that may be published to an inbox.
pub(crate) fn publishable(message: &Message) -> Result<(&'static table::Stream, String), Error> {
    let doing = || format!("publish on {}", message.subject);
    let (stream, stored) = subject::stored_as(&message.subject).ok_or_else(|| Error::new(Kind::NotProvisioned, doing()))?;
    // Whoever writes a journal without its condition breaks the fence of everybody.
    if stream.role == table::Role::Journal {
        return Err(Error::caused(Kind::Malformed, doing(), "a journal is appended to"));
    }
    if matches!(stream.role, table::Role::Inbox | table::Role::Work) && subject::partition_of_subject(stream.name, &stored).is_none() {
        return Err(Error::caused(Kind::Malformed, doing(), "the subject tells no partition"));
    }
    fits(stream, message)?;
    Ok((stream, stored))
}

/// Whether an append is one: not empty, not too long, of its own partition alone.
pub(crate) fn appendable(append: &Append) -> Result<(), Error> {
    let (journal, partition) = (append.journal, append.partition);
    let malformed = |why: &'static str| Err(Error::caused(Kind::Malformed, format!("append to {journal} partition {partition}"), why));
    let stream = table::stream(journal.stream()).expect("every journal has its line in the table");
    if append.messages.is_empty() || append.messages.len() > Append::MESSAGES_MAX {
        return malformed("an append has 1 to 500 messages");
    }
    for message in &append.messages {
        let own = subject::partition_of_subject(stream.name, &message.subject) == Some(partition);
        if !own || !subject::matches(stream.listens, &message.subject) {
            return malformed("a subject is not of this partition");
        }
        // A known id would be answered as stored without being stored.
        if message.headers.contains_key(crate::MESSAGE_ID) {
            return malformed("a journal's message has no id header");
        }
        fits(stream, message)?;
    }
    Ok(())
}

/// Whether a bucket and a key have names that can be part of a subject, and a value is short enough.
pub(crate) fn keyable(bucket: &str, key: &str, value: usize) -> Result<(), Error> {
    if !subject::is_token(bucket) || !key.split('.').all(subject::is_token) {
        let why = "a name is letters, digits, `-` and `_`; a key may have dots between names";
        return Err(Error::caused(Kind::Malformed, format!("name {key:?} in the bucket {bucket:?}"), why));
    }
    let too_large = || Error::new(Kind::TooLarge, format!("write {value} bytes to {key} of the bucket {bucket}"));
    if value > table::VALUE_BYTES_MAX { Err(too_large()) } else { Ok(()) }
}

/// Whether a replica and its room have names that can be part of a key.
pub(crate) fn nameable(beat: &Beat) -> Result<(), Error> {
    let named = subject::is_token(&beat.room) && subject::is_token(&beat.replica);
    let malformed =
        || Error::caused(Kind::Malformed, format!("name {:?} in {:?}", beat.replica, beat.room), "a name is letters, digits, `-` and `_`");
    named.then_some(()).ok_or_else(malformed)
}

fn fits(stream: &table::Stream, message: &Message) -> Result<(), Error> {
    let too_large = bytes_of(message) > stream.message_bytes_max;
    if too_large { Err(Error::new(Kind::TooLarge, format!("store {} bytes on {}", bytes_of(message), message.subject))) } else { Ok(()) }
}

/// The bytes of a message as the server counts them for its limit: headers as they travel, and payload.
pub(crate) fn bytes_of(message: &Message) -> usize {
    let each = message.headers.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum::<usize>();
    let headers = if message.headers.is_empty() { 0 } else { "NATS/1.0\r\n\r\n".len() + each };
    headers + message.payload.len()
}

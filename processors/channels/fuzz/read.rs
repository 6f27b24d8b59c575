//! What holds of every file, however it was made: it is read or refused, never both in part, and cutting it elsewhere changes nothing.

use channels::statement::{self, Cutter, Refusal, Verified, Wanted};

/// What is read of a statement: what it says as a whole, and how many lines it has with their amounts.
fn once(channel: &str, day: &str, file: &[u8], size: usize) -> Result<(Verified, u64, i128), Refusal> {
    let (_, form) = channels::form(channel).expect("it has statements");
    let wanted = Wanted { day: day.parse().expect("a day"), merchant: None };
    let (mut lines, mut sum) = (0, 0);
    let mut cutter = Cutter::new(file).hashed(None).in_chunks_of(size);
    let verified = statement::read(&form, &wanted, &mut cutter, |line| {
        assert!(line.amount >= 0 && !line.transaction.is_empty());
        assert_eq!(line.refund.is_empty(), line.kind == schema::statement::LineKind::Trade);
        let owned = line.in_full();
        assert_eq!(owned.amount.minor, line.amount);
        lines += 1;
        sum += i128::from(line.amount);
    })?;
    Ok((verified, lines, sum))
}

/// Reads a statement, whole and in small chunks.
pub fn statement(channel: &str, day: &str, file: &[u8]) {
    let whole = once(channel, day, file, 1 << 20);
    if let Ok((verified, lines, _)) = &whole {
        assert_eq!(verified.rows, *lines);
    }
    let cut = once(channel, day, file, 0);
    // A summary longer than the last chunk is refused in small chunks alone.
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(_), Ok(_)) => panic!("only when cut it is read"),
        (Ok(_) | Err(_), Err(_)) => {}
    }
}

//! A file read on one thread and looked at on others, chunk by chunk.
//!
//! Invariants
//! 1. Of all that is wrong, what comes first in the file is named, whoever found what first   (`tests::the_first_refusal_is_named`).
//! 2. No more chunks are in memory than a few for each thread   (the channel's bound).

use channels::statement::{Cutter, Piece, Refusal};
use std::{
    io::Read,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

/// How many chunks wait for a thread, for each of them.
const WAITING: usize = 3;

/// Cuts the rest of a file behind its first piece, and has each piece looked at by one of some threads, each with a state of its own.
///
/// Pieces come in any order; `each` is told of one and returns it, so that its room is used again.
pub fn scan<R: Read, T: Send>(
    cutter: &mut Cutter<R>,
    first: Piece,
    threads: usize,
    begin: impl Fn() -> T + Sync,
    each: impl Fn(&mut T, &Piece) -> Result<(), Refusal> + Sync,
    mut progress: impl FnMut(u64),
) -> Result<Vec<T>, Refusal> {
    let (pieces, waiting) = sync_channel::<Piece>(threads * WAITING);
    let (empty, rooms) = sync_channel::<Vec<u8>>(threads * (WAITING + 2));
    let (waiting, stopped) = (Mutex::new(waiting), AtomicBool::new(false));
    let work = || {
        let mut state = begin();
        while let Some(piece) = next(&waiting) {
            if let Err(refusal) = each(&mut state, &piece) {
                stopped.store(true, Relaxed);
                // Others may wait to hand over a piece: they are taken and left unread.
                while next(&waiting).is_some() {}
                return Err(refusal);
            }
            empty.try_send(piece.bytes).ok();
        }
        Ok(state)
    };
    let (states, cut) = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut piece = Ok(Some(first));
        let cut = loop {
            match piece {
                Ok(Some(cut)) if !stopped.load(Relaxed) => {
                    progress(cut.bytes.len() as u64);
                    pieces.send(cut).expect("a thread that refuses goes on taking");
                }
                Ok(_) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
            piece = cutter.next(rooms.try_recv().unwrap_or_default());
        };
        drop(pieces);
        let states: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
        (states, cut)
    });
    // Every piece before one that is refused was looked at, so the first refusal is among those that were found.
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    for state in states {
        match state {
            Ok(state) => good.push(state),
            Err(refusal) => refused.push(refusal),
        }
    }
    match refused.into_iter().min_by_key(|refusal| refusal.line) {
        Some(refusal) => Err(refusal),
        None => cut.map(|()| good),
    }
}

fn next(waiting: &Mutex<Receiver<Piece>>) -> Option<Piece> {
    waiting.lock().expect("no thread panics while it takes a piece").recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use channels::statement::Reason;

    /// Lines of a file, of which some are wrong.
    fn look(wrong: &[u32]) -> Result<u32, Refusal> {
        let text = (1..=30_000).map(|line| format!("line {line} of a long file\n")).collect::<Vec<_>>().concat();
        let mut cutter = Cutter::new(text.as_bytes()).in_chunks_of(0);
        let first = cutter.next(Vec::new())?.expect("a piece");
        let each = |count: &mut u32, piece: &Piece| {
            let lines = u32::try_from(piece.bytes.split(|byte| *byte == b'\n').count() - 1).expect("few");
            *count += lines;
            let here = piece.first_line..piece.first_line + lines;
            match wrong.iter().find(|line| here.contains(line)) {
                Some(line) => Err(Refusal::at(*line, "", Reason::NotARow)),
                None => Ok(()),
            }
        };
        Ok(scan(&mut cutter, first, 3, || 0, each, |_| {})?.into_iter().sum())
    }

    #[test]
    fn the_first_refusal_is_named() {
        assert_eq!(look(&[]), Ok(30_000));
        for _ in 0..20 {
            assert_eq!(look(&[12_000, 12_900, 13_500, 29_000]), Err(Refusal::at(12_000, "", Reason::NotARow)));
        }
    }
}

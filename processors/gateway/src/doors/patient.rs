//! A connection whose client takes what waits for it at a pace of its own, but at a pace.
//!
//! Invariants
//! 1. Who takes nothing is cut off   (`doors::tests::who_does_not_read_is_cut_off_and_the_next_one_is_served`).
//! 2. Who takes too little is cut off, however often it takes something   (`tests::who_reads_by_drops_is_cut_off`).
//! 3. Who is slow, and not too slow, gets all of it, however long that takes   (`tests::who_is_slow_and_not_too_slow_gets_all_of_it`).
//! 4. Who has taken all there is is not hurried: what is followed live may rest   (`tests::who_has_taken_all_there_is_is_not_hurried`).
//!
//! So an answer of a size takes its client at most that size by the pace, and how much of a live stream may wait for one who does not read is what the
//! kernel takes of it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How slow a client may be that has not taken all there is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Over each span of this length …
    pub wait: Duration,
    /// … it takes so many bytes at least.
    pub bytes_min: usize,
}

/// The connection.
pub struct Patient<S> {
    stream: S,
    pace: Pace,
    /// Since something waits for the client: the span that it is in.
    behind: Option<Span>,
}

struct Span {
    taken: usize,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S> Patient<S> {
    /// A connection whose client keeps a pace, or is cut off.
    pub fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, behind: None }
    }

    fn written(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            if let (Some(span), Ok(bytes)) = (&mut self.behind, &written) {
                span.taken = span.taken.saturating_add(*bytes);
            }
            return Poll::Ready(written);
        }
        let Pace { wait, bytes_min } = self.pace;
        loop {
            let span = self.behind.get_or_insert_with(|| Span { taken: 0, over: Box::pin(patience(wait)) });
            ready!(span.over.as_mut().poll(context));
            let is_too_slow = span.taken < bytes_min;
            // The next span, which wakes us at its end.
            self.behind = None;
            if is_too_slow {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
    }
}

async fn patience(wait: Duration) {
    tokio::time::timeout(wait, std::future::pending::<()>()).await.ok();
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It is flushed once all there is has been written: nothing waits for the client then.
        self.behind = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::timeout,
    };

    const PACE: Pace = Pace { wait: Duration::from_secs(10), bytes_min: 1_000 };

    /// What takes 64 bytes of itself, and its client.
    fn pair() -> (Patient<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (Patient::new(ours, PACE), theirs)
    }

    /// Reads so much every so often, until the end; gives how much it was.
    async fn read_by(mut client: DuplexStream, bytes: usize, every: Duration) -> usize {
        let (mut all, mut buffer) = (0, vec![0; bytes]);
        loop {
            patience(every).await;
            match client.read(&mut buffer).await {
                Ok(0) | Err(_) => return all,
                Ok(read) => all += read,
            }
        }
    }

    /// How writing so much ends for a client of that kind, and what it got.
    async fn written_to(bytes: usize, at_once: usize, every: Duration) -> (Result<(), io::ErrorKind>, usize) {
        let (mut ours, theirs) = pair();
        let reads = tokio::spawn(read_by(theirs, at_once, every));
        let written = ours.write_all(&vec![b'a'; bytes]).await;
        drop(ours);
        (written.map_err(|error| error.kind()), reads.await.expect("it ends"))
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_by_drops_is_cut_off() {
        let (ended, read) = written_to(100_000, 1, Duration::from_secs(1)).await;
        assert_eq!(ended, Err(io::ErrorKind::TimedOut));
        assert!(read < 200, "{read} bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_and_not_too_slow_gets_all_of_it() {
        // For twenty minutes and more.
        let all = written_to(160_000, 64, Duration::from_millis(500)).await;
        assert_eq!(all, (Ok(()), 160_000));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_taken_all_there_is_is_not_hurried() {
        let (mut ours, mut theirs) = pair();
        for _ in 0..5 {
            // A little more than fits, so that it waits for its client.
            let said = async {
                ours.write_all(&[b'a'; 100]).await?;
                ours.flush().await
            };
            let mut heard = [0; 100];
            let (said, _) = tokio::join!(said, async {
                patience(PACE.wait / 2).await;
                theirs.read_exact(&mut heard).await
            });
            said.expect("its client has taken all of it");
            patience(PACE.wait * 3).await;
        }
        let deaf = timeout(PACE.wait * 2, ours.write_all(&[b'a'; 100])).await;
        assert_eq!(deaf.expect("it ends").expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
    }
}

//! Work that nobody at a lane waits for: it takes the processor when nothing else wants it.
//!
//! Invariants
//! 1. Such work runs at a low priority, and whoever waits for it does not   (`tests::background_work_alone_has_a_low_priority`).
//! 2. What it starts has that priority, too   (`tests::what_background_work_starts_has_its_priority`).
//!
//! Not here: which work that is (`reconciler`, and `boomgate reconcile --background`).

use tokio::task::JoinError;

/// Does it on a thread of its own, which ends with it: a priority once lowered cannot be raised again, and the runtime's threads come to do other work. The runtime
/// knows of it as of all work that blocks, and a panic goes on as there.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    let ended = tokio::task::spawn_blocking(move || {
        let thread = std::thread::spawn(move || {
            lower();
            work()
        });
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    ended.await
}

/// Lowers the priority of this thread, and so of every thread that it starts from here on. Linux alone has one for each thread; where it cannot be lowered the work
/// is done all the same.
#[cfg(target_os = "linux")]
pub fn lower() {
    use rustix::process::{getpriority_process, setpriority_process};

    /// From -20, which comes first, to 19.
    const NICE: i32 = 15;
    let lowered = getpriority_process(None).and_then(|nice| if nice < NICE { setpriority_process(None, NICE) } else { Ok(()) });
    if let Err(error) = lowered {
        tracing::warn!(%error, "background work has the priority of all other work");
    }
}

/// Elsewhere a priority is the whole process's, and stays as it is.
#[cfg(not(target_os = "linux"))]
pub fn lower() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[tokio::test]
    async fn background_work_alone_has_a_low_priority() {
        let nice = || getpriority_process(None).expect("a thread has a priority");
        let before = nice();
        assert_eq!(run(nice).await.expect("it ends well"), before.max(15));
        assert_eq!((nice(), tokio::task::spawn_blocking(nice).await.expect("it ends well")), (before, before));
    }

    #[tokio::test]
    async fn what_background_work_starts_has_its_priority() {
        let nice = || getpriority_process(None).expect("a thread has a priority");
        let started = run(move || std::thread::scope(|scope| scope.spawn(nice).join().expect("it ends well"))).await;
        assert_eq!(started.expect("it ends well"), nice().max(15));
    }

    #[tokio::test]
    async fn what_fails_fails_for_whoever_waits() {
        let failed = run::<()>(|| panic!("it fails")).await;
        assert!(failed.is_err_and(|error| error.is_panic()));
    }
}

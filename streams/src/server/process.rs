//! Processes of servers: whose they are, and how they are ended.

use super::{CONFIG, Error, STOP_WAIT};
use std::{fs, io, path::Path, time::Duration};
use tokio::process::Command;

const PID: &str = "nats-server.pid";

/// Writes down which process serves a folder, and whose child it is.
pub(super) fn write(folder: &Path, pid: u32) -> io::Result<()> {
    fs::write(folder.join(PID), format!("{pid} {}\n", std::process::id()))
}

/// Forgets the process of a folder: it has ended.
pub(super) fn forget(folder: &Path) {
    let _gone = fs::remove_file(folder.join(PID));
}

/// Ends the folder's server if it outlived its parent; an error if the parent lives.
pub(super) async fn end_orphan(binary: &Path, folder: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(folder.join(PID)).unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
    let (Some(pid), Some(parent)) = (numbers.next(), numbers.next()) else { return Ok(()) };
    // The number may be another process by now; ours runs with this folder's configuration.
    let ours = || async move { arguments(pid).await.is_some_and(|text| text.contains(&*folder.join(CONFIG).to_string_lossy())) };
    if !ours().await {
        return Ok(());
    }
    if parent_of(pid).await == Some(parent) {
        return Err(Error::InUse { folder: folder.to_owned(), pid });
    }
    tracing::warn!(pid, folder = %folder.display(), "a nats-server outlived its parent; it is ended and started anew");
    signal(binary, "term", pid).await;
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while ours().await {
        if waited == STOP_WAIT {
            signal(binary, "stop", pid).await;
        }
        pause(step).await;
        waited += step;
    }
    Ok(())
}

/// Signals a server by its own program (`stop` is SIGKILL there, `term` is SIGTERM).
pub(super) async fn signal(binary: &Path, signal: &str, pid: u32) {
    let sent = Command::new(binary).arg("--signal").arg(format!("{signal}={pid}")).output().await;
    if let Err(error) = sent {
        tracing::warn!(pid, signal, %error, "a nats-server could not be signalled");
    }
}

/// The command line of a process; none where there is no such process.
async fn arguments(pid: u32) -> Option<String> {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).replace('\0', " ")).filter(|text| !text.is_empty()),
        Err(_) => ask("args=", pid).await,
    }
}

async fn parent_of(pid: u32) -> Option<u32> {
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(text) => text.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()),
        Err(_) => ask("ppid=", pid).await?.trim().parse().ok(),
    }
}

/// For systems without `/proc`.
async fn ask(what: &str, pid: u32) -> Option<String> {
    let output = Command::new("ps").args(["-o", what, "-p", &pid.to_string()]).output().await.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned()).filter(|text| !text.trim().is_empty())
}

#[expect(clippy::disallowed_methods, reason = "a process of the operating system starts and ends at its own pace")]
pub(super) async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}

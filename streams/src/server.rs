//! A nats-server of our own: the child of one machine's boomgate, with JetStream in a folder.
//!
//! A server that outlived its parent (the parent was killed) is ended and started anew, so that there is always one parent who watches and stops it.
//! One whose parent still lives is left alone, and the folder is refused.
//!
//! Invariants
//! 1. Started again on its folder it has what it acknowledged, on the same port   (`conformance::jetstream::a_killed_server_loses_nothing_acknowledged`).
//! 2. A server that outlived its parent is ended, one in use is not   (`tests::a_server_that_outlived_its_parent_is_ended`).
//! 3. Who may do what is a file of somebody else's; it is in force from the start on, and anew once it has changed
//!    (`tests::a_changed_authorization_is_put_in_force`).
//!
//! Not here: streams (`provision`), when to restart (whoever watches it), who may do what (whoever writes the authorization).

mod binary;
mod process;

pub use binary::find;

use crate::table::PAYLOAD_BYTES_MAX;
use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// What can go wrong with a server of our own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no server program that is new enough.
    #[error("{0}")]
    NoBinary(String),
    /// The folder belongs to a running boomgate.
    #[error("the folder {folder} is in use: its nats-server {pid} has a living parent; stop that boomgate, or choose another folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The server's process.
        pid: u32,
    },
    /// The file that says who may do what cannot be read.
    #[error("the authorization {0} cannot be read; write it with `boomgate provision --auth`")]
    Authorization(PathBuf, #[source] io::Error),
    /// It did not take a changed configuration; the one before is in force.
    #[error("nats-server did not take its changed configuration, the one before is in force; see {log}: {tail}")]
    NotReloaded {
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// The folder cannot be used.
    #[error("the folder {0} cannot be used; check that it exists on a disk with space and may be written")]
    Folder(PathBuf, #[source] io::Error),
    /// The server ended or did not become ready.
    #[error("nats-server did not start; the end of {log}:\n{tail}")]
    NotReady {
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
}

/// How many flushes may run at once for each core.
const FLUSHES_PER_CORE: usize = 4;
/// How long a server may take to be ready: it reads its streams first.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How long it may take to stop before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// How often a port that was taken in between is replaced.
const PORTS_MAX: u32 = 5;

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    cluster: Option<Cluster>,
    authorization: Option<Authorization>,
    child: Child,
}

/// Who may do what, in nats-server's own words.
#[derive(Clone, Debug)]
struct Authorization {
    path: PathBuf,
    /// When what is in force was written.
    written: SystemTime,
}

/// A server's place among several.
#[derive(Clone, Debug)]
struct Cluster {
    name: String,
    port: u16,
    routes: Vec<u16>,
}

impl Server {
    /// Starts a server on a folder, which is made if need be, on a free port of this machine; gives it once it takes connections.
    pub async fn start(folder: &Path) -> Result<Self, Error> {
        Self::start_guarded(folder, None).await
    }

    /// The same, where a file says who may do what: a part of a configuration in nats-server's own words. Without one everybody may do everything.
    pub async fn start_guarded(folder: &Path, authorization: Option<&Path>) -> Result<Self, Error> {
        let binary = binary::find(Path::new("."))?;
        for _ in 1..PORTS_MAX {
            match Self::launch(&binary, folder, free_port(folder)?, None, authorization).await {
                Err(Error::NotReady { tail, .. }) if tail.contains("address already in use") => {}
                other => return other,
            }
        }
        Self::launch(&binary, folder, free_port(folder)?, None, authorization).await
    }

    /// Starts three servers, one cluster, in folders `1` to `3` of this one.
    pub async fn cluster(folder: &Path) -> Result<[Self; 3], Error> {
        let binary = binary::find(Path::new("."))?;
        let folders = ["1", "2", "3"].map(|name| folder.join(name));
        // All six are held open at once, so that they differ.
        let held: Result<Vec<TcpListener>, _> = (0..6).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let ports = held.and_then(|held| held.iter().map(|one| one.local_addr().map(|address| address.port())).collect::<Result<Vec<_>, _>>());
        let ports = ports.map_err(|error| Error::Folder(folder.to_owned(), error))?;
        let start = |at: usize| {
            let cluster = Cluster { name: format!("boomgate-{}", ports[0]), port: ports[at + 3], routes: ports[3..].to_vec() };
            Self::launch(&binary, &folders[at], ports[at], Some(cluster), None)
        };
        let (one, two, three) = tokio::try_join!(start(0), start(1), start(2))?;
        Ok([one, two, three])
    }

    async fn launch(binary: &Path, folder: &Path, port: u16, cluster: Option<Cluster>, authorization: Option<&Path>) -> Result<Self, Error> {
        let unusable = |error| Error::Folder(folder.to_owned(), error);
        fs::create_dir_all(folder).map_err(unusable)?;
        let folder = fs::canonicalize(folder).map_err(unusable)?;
        process::end_orphan(binary, &folder).await?;
        let config = folder.join(CONFIG);
        let (authorization, guarded) = authorization.map(read).transpose()?.unzip();
        fs::write(&config, settings(&folder, port, cluster.as_ref(), guarded.as_deref())).map_err(unusable)?;
        // What the last one said is kept once, for whoever asks why it ended.
        let _none = fs::rename(folder.join(LOG), folder.join(format!("{LOG}.before")));
        let log = fs::File::create(folder.join(LOG)).map_err(unusable)?;
        let errors = log.try_clone().map_err(unusable)?;
        let mut command = Command::new(binary);
        command.arg("--config").arg(&config).stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
        // Every flushed write holds one of Go's processors until the disk has answered; with as many as there are cores the others wait idle.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        command.env("GOMAXPROCS", (cores * FLUSHES_PER_CORE).to_string());
        // Of a group of its own, so that Ctrl-C reaches boomgate alone, which drains first and stops the server last.
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(|error| Error::NoBinary(format!("{} cannot be run: {error}", binary.display())))?;
        let mut server = Self { binary: binary.to_owned(), folder, port, cluster, authorization, child };
        process::write(&server.folder, server.pid()).map_err(|error| Error::Folder(server.folder.clone(), error))?;
        server.ready().await?;
        tracing::info!(pid = server.pid(), url = server.url(), folder = %server.folder.display(), "nats-server started");
        Ok(server)
    }

    /// Waits until the server greets on its port, under its own name: another one may have taken the port.
    async fn ready(&mut self) -> Result<(), Error> {
        let name = name(self.port);
        let greeted = async {
            loop {
                if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await {
                    let mut greeting = String::new();
                    let read = BufReader::new(stream).read_line(&mut greeting).await;
                    if read.is_ok() && greeting.contains(&format!("\"{name}\"")) {
                        return;
                    }
                }
                process::pause(Duration::from_millis(10)).await;
            }
        };
        let ended = tokio::select! {
            () = greeted => false,
            _ = self.child.wait() => true,
            () = process::pause(READY_WAIT) => true,
        };
        if !ended {
            return Ok(());
        }
        let log = self.folder.join(LOG);
        Err(Error::NotReady { tail: tail(&log), log })
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The folder of its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process; 0 once it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Whether its process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it at once, as a power failure would, and waits until it is gone.
    pub async fn kill(&mut self) {
        let _gone = self.child.kill().await;
        process::forget(&self.folder);
    }

    /// Ends it in order: it stops taking connections and closes its files. Past ten seconds it is killed.
    pub async fn stop(&mut self) {
        if self.is_running() {
            process::signal(&self.binary, "term", self.pid()).await;
            let _late = tokio::time::timeout(STOP_WAIT, self.child.wait()).await;
        }
        self.kill().await;
    }

    /// Ends it if it still runs and starts it again, on the same folder and port. After a full disk this is what brings it back.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await;
        let (binary, folder) = (self.binary.clone(), self.folder.clone());
        let authorization = self.authorization.as_ref().map(|authorization| authorization.path.clone());
        *self = Self::launch(&binary, &folder, self.port, self.cluster.clone(), authorization.as_deref()).await?;
        Ok(())
    }

    /// Puts the authorization in force anew if its file has changed since; gives whether it has. Whoever may not any more is disconnected.
    pub async fn reload_if_changed(&mut self) -> Result<bool, Error> {
        let Some(Authorization { path, written }) = &self.authorization else { return Ok(false) };
        let changed = fs::metadata(path).and_then(|metadata| metadata.modified()).map_err(|error| Error::Authorization(path.clone(), error))?;
        if changed == *written {
            return Ok(false);
        }
        let (authorization, guarded) = read(path)?;
        let text = settings(&self.folder, self.port, self.cluster.as_ref(), Some(&guarded));
        fs::write(self.folder.join(CONFIG), text).map_err(|error| Error::Folder(self.folder.clone(), error))?;
        // At the first reload an account that is new hears what it imports, but what it publishes reaches nobody: nats-server 2.15 subscribes for
        // the service imports of those accounts alone that it had before. By the second it had them all.
        for _ in 0..2 {
            self.reload().await?;
        }
        tracing::info!(authorization = %authorization.path.display(), "who may do what has changed: nats-server has read it again");
        self.authorization = Some(authorization);
        Ok(true)
    }

    /// Has the server read its configuration again, and waits until it says that it has.
    async fn reload(&self) -> Result<(), Error> {
        let log = self.folder.join(LOG);
        let said = |what: &str| fs::read_to_string(&log).unwrap_or_default().matches(what).count();
        let (done, failed) = (said(RELOADED), said(NOT_RELOADED));
        process::signal(&self.binary, "reload", self.pid()).await;
        let answered = async {
            while said(RELOADED) == done && said(NOT_RELOADED) == failed {
                process::pause(Duration::from_millis(10)).await;
            }
        };
        let answered = tokio::time::timeout(READY_WAIT, answered).await;
        if answered.is_ok() && said(NOT_RELOADED) == failed {
            return Ok(());
        }
        Err(Error::NotReloaded { tail: tail(&log), log })
    }
}

/// An authorization, and when it was written. The time is looked at first, so that what is written meanwhile is read the next time.
fn read(path: &Path) -> Result<(Authorization, String), Error> {
    let unreadable = |error| Error::Authorization(path.to_owned(), error);
    let written = fs::metadata(path).and_then(|metadata| metadata.modified()).map_err(unreadable)?;
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok((Authorization { path: path.to_owned(), written }, text))
}

const CONFIG: &str = "nats-server.conf";
const LOG: &str = "nats-server.log";
/// What nats-server says of a reload.
const RELOADED: &str = "] Reloaded server configuration";
const NOT_RELOADED: &str = "] Failed to reload server configuration";

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

fn free_port(folder: &Path) -> Result<u16, Error> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| Error::Folder(folder.to_owned(), error))
}

fn name(port: u16) -> String {
    format!("boomgate-{port}")
}

/// Its configuration. Every acknowledged message is on the disk: nats-server's own default leaves it two minutes in memory.
fn settings(folder: &Path, port: u16, cluster: Option<&Cluster>, authorization: Option<&str>) -> String {
    // A JSON text is a text of this format, too, so no folder's name can break out of it.
    let store = serde_json::Value::from(folder.to_string_lossy()).to_string();
    let cluster = cluster.map_or_else(String::new, |Cluster { name, port, routes }| {
        let routes: Vec<String> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        format!("cluster {{\n  name: \"{name}\"\n  listen: \"127.0.0.1:{port}\"\n  routes: [{}]\n}}\n", routes.join(", "))
    });
    format!(
        "# Written by boomgate at every start.\nserver_name: \"{}\"\nlisten: \"127.0.0.1:{port}\"\nmax_payload: {PAYLOAD_BYTES_MAX}\n\
         jetstream {{\n  store_dir: {store}\n  sync_interval: always\n}}\n{cluster}{}",
        name(port),
        authorization.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_outlived_its_parent_is_ended() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut server = Server::start(folder.path()).await.expect("it starts");
        let in_use = Server::start(folder.path()).await.expect_err("its parent lives");
        assert!(matches!(in_use, Error::InUse { pid, .. } if pid == server.pid()), "{in_use}");
        // As if another process had started it, which was killed since.
        fs::write(server.folder.join("nats-server.pid"), format!("{} 1\n", server.pid())).expect("it is written");
        let next = Server::start(folder.path()).await.expect("the orphan is ended");
        let _ended = server.child.wait().await.expect("it ended");
        assert!(!server.is_running());
        assert_ne!(next.pid(), 0);
    }

    #[tokio::test]
    async fn a_server_keeps_its_port_when_it_is_started_again() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut server = Server::start(folder.path()).await.expect("it starts");
        let (url, pid) = (server.url(), server.pid());
        server.restart().await.expect("it starts again");
        assert_eq!(server.url(), url);
        assert_ne!(server.pid(), pid);
        server.stop().await;
        assert!(!server.is_running());
    }

    #[tokio::test]
    async fn a_server_that_cannot_start_shows_its_log() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("jetstream"), "no folder").expect("it is written");
        let error = Server::start(folder.path()).await.expect_err("its store is a file");
        assert!(error.to_string().contains("storage directory is not a directory"), "{error}");
    }

    #[tokio::test]
    async fn a_changed_authorization_is_put_in_force() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("auth.conf");
        let allow =
            |name: &str| fs::write(&path, format!("authorization {{ users: [{{user: {name}, password: {name}}}] }}\n")).expect("it is written");
        allow("anna");
        let mut server = Server::start_guarded(&folder.path().join("nats"), Some(&path)).await.expect("it starts");
        let url = server.url();
        let may = async |name: &str| async_nats::ConnectOptions::with_user_and_password(name.into(), name.into()).connect(&url).await.is_ok();
        assert!(may("anna").await && !may("bert").await);
        assert!(!server.reload_if_changed().await.expect("it is there"), "nothing has changed");
        // A file system may keep its times coarsely.
        process::pause(Duration::from_millis(20)).await;
        allow("bert");
        assert!(server.reload_if_changed().await.expect("it is there"), "it has changed");
        assert!(may("bert").await && !may("anna").await);
        process::pause(Duration::from_millis(20)).await;
        fs::write(&path, "authorization { users: 7 }\n").expect("it is written");
        let error = server.reload_if_changed().await.expect_err("that means nothing");
        assert!(matches!(error, Error::NotReloaded { .. }) && may("bert").await, "{error}");
        allow("bert");
        server.restart().await.expect("it starts again");
        assert!(may("bert").await && !may("anna").await, "it is still in force after a restart");
        fs::remove_file(&path).expect("it is there");
        assert!(server.restart().await.is_err(), "a server whose authorization is gone does not start open to everybody");
    }
}

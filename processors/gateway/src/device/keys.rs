//! Which token is whose: the file that `gateway.devices_file` names.
//!
//! Tokens are made and kept as those of persons are (`tokens`), and there may be as many as lanes: so they are looked up. How long that takes tells something
//! of a hash, which nobody can choose, and nothing of a token.
//!
//! Invariants
//! 1. A file that names a token or a lane twice is refused whole   (`tests::what_contradicts_itself_is_refused`).
//! 2. A token is known by its hash alone   (`tests::a_device_is_found_by_its_token`).
//! 3. A device that is taken out of the file is out within seconds, and a file that is damaged while we run changes nothing
//!    (`tests::a_file_is_read_again`).

use crate::tokens::{self, Made, READ_EVERY, read_kept};
use schema::{LaneId, LotId};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::{sync::watch, time::timeout};

/// A lane's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its lot.
    pub lot: LotId,
    /// Its lane.
    pub lane: LaneId,
}

/// All devices that come over HTTP, by the SHA-256 of their tokens.
#[derive(Clone, Debug, Default)]
pub struct Devices(BTreeMap<[u8; 32], Device>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    device: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    lot: LotId,
    lane: LaneId,
    /// 64 hexadecimal digits.
    sha256: String,
}

impl std::str::FromStr for Device {
    type Err = String;

    /// `LOT/LANE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (lot, lane) = text.split_once('/').ok_or("a device is named LOT/LANE")?;
        let name = |text: &str| text.parse().map_err(|error| format!("{error}"));
        Ok(Self { lot: name(lot)?, lane: name(lane)? })
    }
}

impl Devices {
    /// Reads a file's text: `[[device]]` with `lot`, `lane` and `sha256`. A lane may have two, while its token is changed.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The text of a syntax error would quote the file.
        let File { device } = toml::from_str(text).map_err(|error| format!("it is no file of devices: {}", error.message()))?;
        let mut all = BTreeMap::new();
        for Line { lot, lane, sha256 } in device {
            let hash = tokens::unhex(&sha256).ok_or_else(|| format!("{lot}/{lane}: sha256 has 64 hexadecimal digits"))?;
            if all.insert(hash, Device { lot, lane }).is_some() {
                return Err(format!("{lot}/{lane}: its token is another line's, too; each device has its own"));
            }
        }
        Ok(Self(all))
    }

    /// Reads a file, and goes on reading it until `shutdown`. An error where it is not there, not sound, or where others can read it.
    pub fn open(path: PathBuf, shutdown: watch::Receiver<bool>) -> Result<watch::Receiver<Arc<Self>>, String> {
        let text = read_kept(&path)?
            .ok_or_else(|| format!("there is no file {}: `boomgate token --device LOT/LANE` prints its first lines", path.display()))?;
        let devices = Self::parse(&text).map_err(|wrong| format!("{}: {wrong}", path.display()))?;
        let (tells, told) = watch::channel(Arc::new(devices));
        tokio::spawn(follow(path, text, tells, shutdown));
        Ok(told)
    }

    /// Makes a token for a device, and its lines for the file.
    pub fn make(Device { lot, lane }: Device) -> Result<Made, String> {
        let token = tokens::random()?;
        let hash = tokens::hex_of(token.as_bytes());
        Ok(Made { lines: format!("[[device]]\nlot = \"{lot}\"\nlane = \"{lane}\"\nsha256 = \"{hash}\"\n"), token })
    }

    /// The device that has a token.
    pub fn find(&self, token: &str) -> Option<Device> {
        self.0.get(&tokens::sha256(token)).copied()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Reads the file again and again; what is wrong with it is told once.
async fn follow(path: PathBuf, text: String, tells: watch::Sender<Arc<Devices>>, mut shutdown: watch::Receiver<bool>) {
    let mut seen = Ok(Some(text));
    while timeout(READ_EVERY, shutdown.wait_for(|stop| *stop)).await.is_err() {
        let read = read_kept(&path);
        if read == seen {
            continue;
        }
        // A file that is gone lets nobody in.
        match read.clone().and_then(|text| Devices::parse(&text.unwrap_or_default())) {
            Ok(devices) => {
                tracing::info!(devices = devices.count(), "the file of devices was read again");
                tells.send_replace(Arc::new(devices));
            }
            Err(wrong) => tracing::error!(wrong, "the file of devices is refused and changes nothing"),
        }
        seen = read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// The SHA-256 of `abc` (FIPS 180-4).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn line(lane: &str, hash: &str) -> String {
        format!("[[device]]\nlot = 'small'\nlane = '{lane}'\nsha256 = '{hash}'\n")
    }

    #[test]
    fn a_token_that_was_made_is_let_in() {
        let device: Device = "small/in".parse().expect("a device");
        let Made { token, lines } = Devices::make(device).expect("there is chance");
        assert_eq!(Devices::parse(&lines).expect("its lines are sound").find(&token), Some(device));
        assert!("small".parse::<Device>().is_err() && "small/in lane".parse::<Device>().is_err());
    }

    #[test]
    fn a_device_is_found_by_its_token() {
        let devices = Devices::parse(&line("in", ABC)).expect("it can be read");
        let device = Device { lot: "small".parse().expect("a name"), lane: "in".parse().expect("a name") };
        assert_eq!((devices.find("abc"), devices.find("abd"), devices.find(ABC), devices.count()), (Some(device), None, None, 1));
        assert_eq!(Devices::parse("").expect("nobody").count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("devices.toml");
        let write = |text: &str| {
            std::fs::write(&path, text).expect("a writable folder");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        };
        let later = async || timeout(READ_EVERY * 2, std::future::pending::<()>()).await.ok();
        let (_stop, stopped) = watch::channel(false);
        assert!(Devices::open(path.clone(), stopped.clone()).expect_err("it is not there").contains("there is no file"));
        write(&line("in", ABC));
        let devices = Devices::open(path.clone(), stopped.clone()).expect("it is sound");
        let knows = || devices.borrow().find("abc").is_some();
        assert!(knows());
        write("[[device]]");
        later().await;
        assert!(knows(), "what is damaged changes nothing");
        write("");
        later().await;
        assert!(!knows(), "who is taken out is out");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("it is ours");
        assert!(Devices::open(path.clone(), stopped).expect_err("others can read it").contains("mode 640"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let other = ABC.replace('b', "c");
        assert_eq!(Devices::parse(&(line("in", ABC) + &line("in", &other))).expect("a token is being changed").count(), 2);
        for (text, said) in [
            (line("in", ABC) + &line("out", ABC), "each device has its own"),
            (line("in", &ABC[1..]), "64 hexadecimal digits"),
            (line("in", &ABC.replace('b', "x")), "64 hexadecimal digits"),
            (line("in lane", ABC), "a name has"),
            (line("in", ABC) + "token = 'abc'", "unknown field"),
        ] {
            let refused = Devices::parse(&text).expect_err(said);
            assert!(refused.contains(said), "{said}: {refused}");
        }
    }
}

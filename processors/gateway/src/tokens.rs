//! Who may use the operator API: persons with a role each, known by a token of theirs.
//!
//! A file names person, role and the SHA-256 of the token (`boomgate token PERSON --role ROLE` makes one). A plain hash suffices: a token is 256 bits
//! of chance, not a word that somebody chose, so there is nothing to try. Salt and slow hashes make trying dear; they would make every request dear
//! here, and buy nothing. Whoever reads the file can do nothing with it; it is kept from others all the same, for it says who is who.
//!
//! Invariants
//! 1. A token that is not in the file any more is out within [`READ_EVERY`]   (`tests::a_revoked_token_is_out_within_seconds`).
//! 2. A file that others can read is refused   (`tests::a_file_that_others_can_read_is_refused`).
//! 3. A file that is damaged while we run changes nothing; one that is gone lets nobody in   (`tests::a_damaged_file_changes_nothing`).
//! 4. How long a comparison takes does not tell how near a token is   (`Known::who` looks at all of all hashes).
//!
//! Not here: what a role may do (`api::routes`).

use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use schema::desk::AuthorId;
use serde::{Deserialize, Serialize};
use std::{fmt, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path, path::PathBuf, sync::Arc, time::Duration};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::{sync::watch, time::timeout};

/// How often the file is read again.
pub const READ_EVERY: Duration = Duration::from_secs(2);
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The longest token, in bytes; ours are shorter.
const TOKEN_BYTES_MAX: usize = 128;
/// What our tokens begin with, so that one that lies about is known for what it is.
const PREFIX: &str = "bg_";

/// What a person may do; which routes that are is said at the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Takes cash and helps at lanes.
    Cashier,
    /// Sends money back.
    Finance,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Cashier, Self::Finance, Self::Admin];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Cashier => "cashier",
            Self::Finance => "finance",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| format!("no role is named {text:?}: name one of {}", names()))
    }
}

/// Somebody with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their name: the author of what they say.
    pub name: AuthorId,
    /// What they may do.
    pub role: Role,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    person: AuthorId,
    role: Role,
    sha256: String,
}

/// The tokens that are known.
#[derive(Clone, Default)]
struct Known(Vec<([u8; 32], Person)>);

/// The tokens of a file, as it is now.
#[derive(Clone)]
pub struct Tokens(watch::Receiver<Arc<Known>>);

/// A new token, and its lines for the file. It is shown once and kept nowhere.
pub struct Made {
    /// The token.
    pub token: String,
    /// What the file says of it.
    pub lines: String,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// A token of 32 random bytes.
pub(crate) fn random() -> Result<String, String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    Ok(format!("{PREFIX}{}", hex(&bytes)))
}

/// Makes a person's token.
pub fn make(person: AuthorId, role: Role) -> Result<Made, String> {
    let token = random()?;
    let lines = format!("[[token]]\nperson = \"{person}\"\nrole = \"{}\"\nsha256 = \"{}\"\n", role.name(), hex(&sha256(&token)));
    Ok(Made { token, lines })
}

/// The hash by which a token is known.
pub fn sha256(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The hash of any bytes, as text.
pub fn hex_of(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of a hash as [`make`] writes it; none where it is not one.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The text of a file of hashes: none where there is no such file; an error where others can read it, or where it is no such file.
pub fn read_kept(path: &Path) -> Result<Option<String>, String> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot look at {}: {error}", path.display())),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{} can be read by others (mode {mode:03o}): chmod 600 it", path.display()));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("{} has {} bytes: at most {FILE_BYTES_MAX}", path.display(), metadata.len()));
    }
    std::fs::read_to_string(path).map(Some).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

impl Known {
    fn parse(text: &str) -> Result<Self, String> {
        // The text of a syntax error would quote the file.
        let file: File = toml::from_str(text).map_err(|error| format!("it is no file of tokens: {}", error.message()))?;
        let known = |line: Line| {
            let hash = unhex(&line.sha256).ok_or_else(|| format!("the sha256 of {} is not 64 hexadecimal digits", line.person))?;
            Ok((hash, Person { name: line.person, role: line.role }))
        };
        file.token.into_iter().map(known).collect::<Result<_, String>>().map(Self)
    }

    /// Whose hash this is. All hashes are looked at, and all of each.
    fn who(&self, hash: &[u8; 32]) -> Option<Person> {
        let mut found = u64::MAX;
        for (at, (known, _)) in self.0.iter().enumerate() {
            found = u64::conditional_select(&found, &u64::try_from(at).unwrap_or(u64::MAX), known.ct_eq(hash));
        }
        self.0.get(usize::try_from(found).ok()?).map(|(_, person)| *person)
    }
}

impl Tokens {
    /// Reads a file, and goes on reading it until `shutdown`. An error where it is not there or not sound.
    pub fn open(path: PathBuf, shutdown: watch::Receiver<bool>) -> Result<Self, String> {
        let text = read_kept(&path)?
            .ok_or_else(|| format!("there is no file {}: `boomgate token PERSON --role admin` prints its first lines", path.display()))?;
        let known = Known::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        let (tell, told) = watch::channel(Arc::new(known));
        tokio::spawn(follow(path, text, tell, shutdown));
        Ok(Self(told))
    }

    /// Whose token this is; none where it is nobody's.
    pub fn who(&self, token: &str) -> Option<Person> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let known = self.0.borrow().clone();
        known.who(&sha256(token))
    }
}

/// Reads the file again and again; what is wrong with it is told once.
async fn follow(path: PathBuf, text: String, tell: watch::Sender<Arc<Known>>, mut shutdown: watch::Receiver<bool>) {
    let mut seen = Ok(Some(text));
    while timeout(READ_EVERY, shutdown.wait_for(|stop| *stop)).await.is_err() {
        let read = read_kept(&path);
        if read == seen {
            continue;
        }
        let known = match &read {
            Ok(Some(text)) => Known::parse(text),
            Ok(None) => {
                tracing::error!(path = %path.display(), "the file of tokens is gone: nobody is let in");
                Ok(Known::default())
            }
            Err(why) => Err(why.clone()),
        };
        match known {
            Ok(known) => {
                tracing::info!(tokens = known.0.len(), "the file of tokens was read again");
                tell.send_replace(Arc::new(known));
            }
            Err(why) => tracing::error!(why, "the file of tokens is refused and changes nothing"),
        }
        seen = read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokens.toml");
        write(&path, text);
        (folder, path)
    }

    fn write(path: &Path, text: &str) {
        fs::write(path, text).expect("a writable folder");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    fn made(name: &str, role: Role) -> Made {
        make(name.parse().expect("a name"), role).expect("there is chance")
    }

    async fn later() {
        timeout(READ_EVERY * 2, std::future::pending::<()>()).await.ok();
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_token_is_out_within_seconds() {
        let (lin, wu) = (made("lin", Role::Cashier), made("wu", Role::Finance));
        assert!(lin.token != wu.token && lin.token.len() == 67 && !format!("{lin:?}").contains(&lin.token));
        let (_folder, path) = file(&format!("{}{}", lin.lines, wu.lines));
        let (_stop, stopped) = watch::channel(false);
        let tokens = Tokens::open(path.clone(), stopped).expect("it is sound");
        let name = |token: &str| tokens.who(token).map(|person| (person.name.to_string(), person.role));
        assert_eq!(name(&lin.token), Some(("lin".into(), Role::Cashier)));
        assert_eq!(name(&wu.token), Some(("wu".into(), Role::Finance)));
        for nobody in ["", "bg_", &lin.token[1..], &hex(&sha256(&lin.token)), &lin.token.repeat(2), &"x".repeat(1_000_000)] {
            assert_eq!(name(nobody), None);
        }
        write(&path, &wu.lines);
        later().await;
        assert_eq!((name(&lin.token), name(&wu.token).map(|(name, _)| name)), (None, Some("wu".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_file_changes_nothing() {
        let lin = made("lin", Role::Admin);
        let (_folder, path) = file(&lin.lines);
        let (_stop, stopped) = watch::channel(false);
        let tokens = Tokens::open(path.clone(), stopped).expect("it is sound");
        write(&path, "[[token]]\nperson = 7");
        later().await;
        assert!(tokens.who(&lin.token).is_some());
        fs::remove_file(&path).expect("it is there");
        later().await;
        assert!(tokens.who(&lin.token).is_none(), "a file that is gone lets nobody in");
        write(&path, &lin.lines);
        later().await;
        assert!(tokens.who(&lin.token).is_some());
    }

    #[tokio::test]
    async fn a_file_that_others_can_read_is_refused() {
        let (_folder, path) = file(&made("lin", Role::Admin).lines);
        let open = |path: &Path| Tokens::open(path.to_owned(), watch::channel(false).1).map(drop).expect_err("it is refused");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
        assert!(open(&path).contains("mode 640"));
        for (text, part) in [
            ("[[token]]\nperson = \"lin\"\nrole = \"king\"\nsha256 = \"\"", "no file of tokens"),
            ("[[token]]\nperson = \"lin\"\nrole = \"admin\"\nsha256 = \"hunter2\"", "sha256 of lin"),
            ("token = \"hunter2", "no file of tokens"),
        ] {
            write(&path, text);
            let error = open(&path);
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
        assert!(open(Path::new("none.toml")).contains("boomgate token"));
    }
}

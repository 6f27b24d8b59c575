//! Why a file is refused: the first thing in it that is not as it should be.

use std::io;

/// Where a file disagrees, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file; empty until somebody who knows its name says so.
    pub file: String,
    /// Which line, from 1; 0 where the file as a whole disagrees.
    pub line: u32,
    /// Which column; empty where the whole line disagrees.
    pub column: String,
    /// How.
    pub reason: Reason,
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.file.is_empty() { "the file" } else { &self.file })?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        if !self.column.is_empty() {
            write!(f, ", column {}", self.column)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What may be wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not a number where an amount belongs.
    #[error("{0:?} is no amount in yuan")]
    Amount(String),
    /// Fractions of a minor unit.
    #[error("{0:?} has more decimals than the currency")]
    Decimals(String),
    /// Not a time.
    #[error("{0:?} is no time")]
    Time(String),
    /// Another currency.
    #[error("{0:?} is not CNY, the one currency of this channel")]
    Currency(String),
    /// A word that no file of the channel has there.
    #[error("{0:?} is not known here")]
    Word(String),
    /// Nothing where something must be.
    #[error("it is empty")]
    Empty,
    /// A number too long to be one.
    #[error("it has more than {0} characters")]
    TooLong(usize),
    /// A value that lacks what begins each value.
    #[error("there is a value without a backtick before it")]
    Backtick,
    /// More or fewer values than columns.
    #[error("it has {found} values, and there are {columns} columns")]
    Columns {
        /// Values.
        found: usize,
        /// Columns.
        columns: usize,
    },
    /// A column that is needed.
    #[error("there is no such column")]
    NoColumn,
    /// Text that is not in the encoding of the file.
    #[error("it is not text in {0}")]
    Encoding(&'static str),
    /// A line that is none of the statement's.
    #[error("it is neither a row nor a summary")]
    NotARow,
    /// Money of another day.
    #[error("it is of {found}, and not of {wanted}")]
    Day {
        /// The day that it names.
        found: String,
        /// The day that was asked for.
        wanted: String,
    },
    /// Another merchant's money.
    #[error("it is of the merchant {found}, and not of {wanted}")]
    Merchant {
        /// The merchant that it names.
        found: String,
        /// The merchant that was asked for.
        wanted: String,
    },
    /// The number of rows disagrees.
    #[error("it says {said} rows, and there are {found}")]
    Count {
        /// What it says.
        said: String,
        /// What there is.
        found: String,
    },
    /// A sum disagrees.
    #[error("it says {said}, and the rows add up to {found}")]
    Sum {
        /// What it says.
        said: String,
        /// What they add up to.
        found: String,
    },
    /// The hash disagrees.
    #[error("its SHA-1 is {found}, and not {wanted}")]
    Hash {
        /// Of the plain file.
        found: String,
        /// What was told.
        wanted: String,
    },
    /// The end is missing.
    #[error("there is no summary: it ends too early")]
    NoSummary,
    /// There is more after the end.
    #[error("something follows the summary")]
    AfterSummary,
    /// A file of another kind.
    #[error("this is {0}")]
    OtherKind(&'static str),
    /// A version of our own form that is not known.
    #[error("it is of the version {0:?}: this reads version 1")]
    Version(String),
    /// A line beyond all measure.
    #[error("it is longer than {0} bytes")]
    LongLine(usize),
    /// An archive that ends too early.
    #[error("the archive ends too early")]
    Truncated,
    /// An archive that is not as it should be.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// An archive that unfolds beyond all measure.
    #[error("it unfolds to more than {0} bytes, which no statement does")]
    Bomb(u64),
    /// An archive without such a file.
    #[error("the archive has no statement among its files: {0}")]
    NoEntry(String),
    /// The operating system could not read it.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// A reason on its way through a [`io::Read`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Stop(pub Reason);

impl Stop {
    /// As an error of reading.
    pub fn with(reason: Reason) -> io::Error {
        io::Error::other(Self(reason))
    }
}

impl Refusal {
    /// At a line and column.
    pub fn at(line: u32, column: &str, reason: Reason) -> Self {
        Self { file: String::new(), line, column: column.to_owned(), reason }
    }

    /// Of the file as a whole.
    pub fn whole(reason: Reason) -> Self {
        Self::at(0, "", reason)
    }

    /// With the name of its file.
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Self {
        Self { file: file.into(), ..self }
    }

    /// With the name of its entry, where the file is an archive.
    #[must_use]
    pub fn in_entry(mut self, entry: Option<&str>) -> Self {
        if let Some(entry) = entry {
            self.file = format!("{} ({entry})", self.file);
        }
        self
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => Reason::Truncated,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Reason::Damaged(error.to_string()),
            _ => match error.downcast::<Stop>() {
                Ok(Stop(reason)) => reason,
                Err(error) => Reason::Unreadable(error.to_string()),
            },
        };
        Self::whole(reason)
    }
}

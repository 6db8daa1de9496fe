//! What can go wrong in a statement, said the same way for both engines.
//!
//! Invariant: a constraint is known by its name (`uq_<table>_<columns>`, `pk_<table>`, `ck_..`), whichever engine refused.
//! Turning a named constraint into a sentence for people is the rule's business, not this file's.

use std::error::Error as StdError;
use std::fmt;

use rusqlite::ffi;

use crate::base::error::Error;

/// A refused or failed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DbError {
    /// A duplicate; the constraint's name, `uq_<table>_<columns>` or `pk_<table>`.
    Unique(String),
    /// A missing or still referenced row; SQLite does not name the constraint.
    ForeignKey(Option<String>),
    /// A NULL where none may be; `table.column`.
    NotNull(String),
    /// A CHECK that did not hold; the constraint's name.
    Check(String),
    /// A trigger said no; its own words.
    Refused(String),
    /// Lost a race or the connection; the same transaction may succeed when run again.
    Retry,
    /// No space left for the database.
    Full,
    /// Anything else; the engine's words, for the log.
    Other(String),
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unique(name) => write!(f, "unique constraint {name} refused the row"),
            Self::ForeignKey(Some(name)) => write!(f, "foreign key {name} refused the row"),
            Self::ForeignKey(None) => f.write_str("a foreign key refused the row"),
            Self::NotNull(column) => write!(f, "{column} may not be NULL"),
            Self::Check(name) => write!(f, "check {name} refused the row"),
            Self::Refused(words) => write!(f, "a trigger refused the statement: {words}"),
            Self::Retry => f.write_str("the transaction lost a race or its connection and may be run again"),
            Self::Full => f.write_str("the disk of the database is full"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl StdError for DbError {}

impl From<DbError> for Error {
    /// A constraint that no rule mapped before is a fault of ours; only Full and Retry are the site's and the moment's.
    fn from(cause: DbError) -> Self {
        match cause {
            DbError::Full => Self::unavailable(
                "disk_full",
                "The disk of the database is full. Nothing was changed; free some space and try again.",
            ),
            DbError::Retry => busy(),
            cause => Self::internal(cause),
        }
    }
}

/// The database had no time for us within the limits.
pub(super) fn busy() -> Error {
    let sentence = "The database has more to do than it can at the moment. Nothing was changed; try again shortly.";
    Error::unavailable("database_busy", sentence).retry_after(1)
}

/// The database's threads have ended.
pub(super) fn closed() -> Error {
    Error::unavailable("database_closed", "The database is closed because the server is stopping. Try again later.")
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(code, message) = &error else { return Self::Other(error.to_string()) };
        let message = message.as_deref().unwrap_or_default();
        match (code.extended_code, code.extended_code & 0xff) {
            (ffi::SQLITE_CONSTRAINT_UNIQUE, _) => Self::Unique(unique_name(message)),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID, _) => {
                Self::Unique(format!("pk_{}", table_of(message)))
            }
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, _) => Self::ForeignKey(None),
            (ffi::SQLITE_CONSTRAINT_NOTNULL, _) => Self::NotNull(subject(message).to_owned()),
            (ffi::SQLITE_CONSTRAINT_CHECK, _) => Self::Check(subject(message).to_owned()),
            (ffi::SQLITE_CONSTRAINT_TRIGGER, _) => Self::Refused(message.to_owned()),
            (_, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => Self::Retry,
            // The wal-index could not grow: that is a full disk too.
            (ffi::SQLITE_IOERR_SHMSIZE, _) | (_, ffi::SQLITE_FULL) => Self::Full,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// What follows the colon of "UNIQUE constraint failed: users.org_id, users.email".
fn subject(message: &str) -> &str {
    message.split_once(": ").map_or(message, |(_, rest)| rest)
}

fn table_of(message: &str) -> &str {
    subject(message).split('.').next().unwrap_or_default()
}

/// SQLite reports columns (or, for an index on an expression, the index): build the name the DDL gave.
fn unique_name(message: &str) -> String {
    let subject = subject(message);
    if let Some(index) = subject.strip_prefix("index '") {
        return index.trim_end_matches('\'').to_owned();
    }
    let columns = subject.split(", ").filter_map(|column| column.split_once('.')).map(|(_, column)| column);
    columns.fold(format!("uq_{}", table_of(message)), |name, column| format!("{name}_{column}"))
}

impl From<postgres::Error> for DbError {
    fn from(error: postgres::Error) -> Self {
        let Some(server) = error.as_db_error() else {
            // Not the server's words: the connection broke, or a value did not fit its column.
            let broken = error.is_closed() || chain(&error).any(<dyn StdError>::is::<std::io::Error>);
            return if broken { Self::Retry } else { Self::Other(words(&error)) };
        };
        let constraint = server.constraint().unwrap_or_default().to_owned();
        match server.code().code() {
            "23505" => Self::Unique(constraint),
            "23503" => Self::ForeignKey(Some(constraint)),
            "23502" => {
                let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
                Self::NotNull(format!("{}.{}", part(server.table()), part(server.column())))
            }
            "23514" => Self::Check(constraint),
            "P0001" => Self::Refused(server.message().to_owned()),
            // Races, lock limits, a server that stops or that forgot a prepared statement (DDL, pooler).
            "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" | "26000" => Self::Retry,
            "0A000" if server.message().contains("cached plan") => Self::Retry,
            "53100" => Self::Full,
            code if code.starts_with("08") => Self::Retry,
            code => Self::Other(format!("{} (SQLSTATE {code})", server.message())),
        }
    }
}

fn chain(error: &postgres::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(StdError::source(error), |&cause| cause.source())
}

/// The error and its causes in one line: the crate's own text names the step only.
pub(super) fn words(error: &postgres::Error) -> String {
    chain(error).fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

//! One state of the whole file, page by page, while others go on writing.
//!
//! Invariant: pages, rows and counts are of the one moment at which it was begun. It keeps the log from being written over,
//! so the log grows until it is dropped.

use std::path::Path;

use super::Session;
use crate::base::error::{Error, Result};
use crate::db::error::DbError;
use crate::db::tx::{Conn, Tx};
use crate::db::val::{Val, ValRef};

/// A state of the file.
pub struct Snapshot {
    session: Session,
}

impl Snapshot {
    pub(in crate::db) fn begin(path: &Path) -> Result<Self> {
        let session = Session::open(path)?.read_only()?;
        session.control("BEGIN")?;
        // SQLite takes the state at the first statement that reads.
        session.each_row("SELECT count(*) FROM schema_migrations", &[], &mut |_| true)?;
        Ok(Self { session })
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// When the database fails.
    pub fn size(&self) -> Result<u64> {
        let mut size = 0;
        for sql in ["PRAGMA page_count", "PRAGMA page_size"] {
            self.session.each_row(sql, &[], &mut |row| {
                let number: i64 = row.get(0).unwrap_or_default();
                let number = u64::try_from(number).unwrap_or_default();
                size = if size == 0 { number } else { size * number };
                true
            })?;
        }
        Ok(size)
    }

    /// Hands every page to `take`, in order: together they are a database file.
    ///
    /// # Errors
    /// Those of `take`, or when the database fails.
    pub fn pages(&self, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut done = Ok(());
        self.session.each_row("SELECT data FROM sqlite_dbpage ORDER BY pgno", &[], &mut |row| {
            done = match row.value(0) {
                Ok(ValRef::Bytes(page)) => take(page),
                Ok(_) => Err(Error::internal("a page of the database is no bytes")),
                Err(cause) => Err(cause.into()),
            };
            done.is_ok()
        })?;
        done
    }

    /// Reads rows of that state.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn read<T>(&self, f: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        f(&mut Tx::new(Conn::Sqlite(&self.session)))
    }

    /// How many rows each table has.
    ///
    /// # Errors
    /// When the database fails.
    pub fn counts(&self) -> Result<std::collections::BTreeMap<String, i64>> {
        let mut names = Vec::new();
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        self.session.each_row(sql, &[], &mut |row| {
            names.extend(row.get::<String>(0));
            true
        })?;
        let mut counts = std::collections::BTreeMap::new();
        for name in names {
            let mut count: std::result::Result<i64, DbError> = Ok(0);
            self.session.each_row(&format!("SELECT count(*) FROM \"{name}\""), &[] as &[Val], &mut |row| {
                count = row.get(0);
                true
            })?;
            counts.insert(name, count?);
        }
        Ok(counts)
    }
}

/// What a look at a whole file found.
pub struct Kept {
    /// What SQLite says is wrong; empty when nothing is.
    pub problems: Vec<String>,
    /// How many rows each table has.
    pub rows: std::collections::BTreeMap<String, i64>,
}

impl Kept {
    pub(in crate::db) fn of(path: &Path) -> Result<Self> {
        let snapshot = Snapshot::begin(path)?;
        let mut problems = Vec::new();
        snapshot.session.each_row("PRAGMA integrity_check(20)", &[], &mut |row| {
            problems.extend(row.get::<String>(0).ok().filter(|text| text != "ok"));
            true
        })?;
        snapshot.session.each_row("PRAGMA foreign_key_check", &[], &mut |row| {
            let table: String = row.get(0).unwrap_or_default();
            problems.push(format!("a row of {table} belongs to one that is not there"));
            problems.len() < 20
        })?;
        let rows = if problems.is_empty() { snapshot.counts()? } else { Default::default() };
        Ok(Self { problems, rows })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.session.roll_back();
    }
}

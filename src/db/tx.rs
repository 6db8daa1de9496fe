//! One transaction, on whichever engine, as the rooms' stores see it.
//!
//! Invariant: both engines behave as the stricter one. After a failed statement nothing runs until the savepoint around
//! it is rolled back, and a transaction that swallowed a failure never commits. BEGIN and COMMIT belong to the engines.

use super::error::DbError;
use super::val::{FromVal, Val, ValRef};
use super::{postgres, sqlite};

/// Runs after the COMMIT.
pub(super) type Hook = Box<dyn FnOnce() + Send>;

/// A transaction in progress. Statements use `$1`, `$2`, .. and every parameter given must be used.
pub struct Tx<'a> {
    conn: Conn<'a>,
    hooks: Vec<Hook>,
    depth: u32,
    /// The last statement failed and no savepoint took it back yet.
    broken: Option<DbError>,
    /// Some statement lost a race: whatever the closure made of it, the transaction must not commit.
    lost_race: bool,
}

pub(super) enum Conn<'a> {
    Sqlite(&'a sqlite::Session),
    Postgres(&'a mut postgres::Session),
}

/// How a closure left its transaction.
pub(super) struct Ended {
    pub hooks: Vec<Hook>,
    pub broken: Option<DbError>,
    pub lost_race: bool,
}

impl<'a> Tx<'a> {
    pub(super) fn new(conn: Conn<'a>) -> Self {
        Self { conn, hooks: Vec::new(), depth: 0, broken: None, lost_race: false }
    }

    pub(super) fn end(self) -> Ended {
        Ended { hooks: self.hooks, broken: self.broken, lost_race: self.lost_race }
    }
}

impl Tx<'_> {
    /// Runs a statement that returns no rows; the number of rows it changed.
    pub fn execute(&mut self, sql: &str, params: &[Val]) -> Result<u64, DbError> {
        self.usable(params)?;
        let done = match &mut self.conn {
            Conn::Sqlite(session) => session.execute(sql, params),
            Conn::Postgres(session) => session.execute(sql, params),
        };
        done.map_err(|error| self.failed(error))
    }

    /// The first row, if there is one.
    pub fn query_row<T>(
        &mut self,
        sql: &str,
        params: &[Val],
        map: impl FnOnce(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Option<T>, DbError> {
        let (mut map, mut found) = (Some(map), None);
        self.each_row(sql, params, &mut |row| {
            if let Some(map) = map.take() {
                found = Some(map(row));
            }
            false
        })?;
        found.transpose()
    }

    /// Every row, in order. Bound the number with LIMIT: all of them are held in memory.
    pub fn query_map<T>(
        &mut self,
        sql: &str,
        params: &[Val],
        mut map: impl FnMut(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        let (mut rows, mut failure) = (Vec::new(), None);
        self.each_row(sql, params, &mut |row| {
            match map(row) {
                Ok(value) => rows.push(value),
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        })?;
        failure.map_or(Ok(rows), Err)
    }

    /// The next id, unique over all nouns of the instance and growing. Gaps mean nothing.
    pub fn next_id(&mut self) -> Result<i64, DbError> {
        if let Conn::Sqlite(session) = self.conn {
            self.usable(&[])?;
            return session.next_id().map_err(|error| self.failed(error));
        }
        let id = self.query_row("SELECT nextval('ids')", &[], |row| row.get(0))?;
        id.ok_or_else(|| DbError::Other("the sequence ids gave nothing".to_owned()))
    }

    /// Runs `f` so that its failure undoes only what it did. Wrap every statement whose failure is handled.
    pub fn savepoint<T, E: From<DbError>>(&mut self, f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let level = self.depth;
        self.control(&format!("SAVEPOINT s{level}"))?;
        let kept_hooks = self.hooks.len();
        self.depth += 1;
        let result = f(self);
        self.depth = level;
        let result = match (result, self.broken.take()) {
            (Ok(_), Some(swallowed)) => Err(swallowed.into()),
            (result, _) => result,
        };
        if result.is_ok() {
            self.control(&format!("RELEASE SAVEPOINT s{level}"))?;
        } else {
            self.hooks.truncate(kept_hooks);
            self.control(&format!("ROLLBACK TO SAVEPOINT s{level}"))?;
            self.control(&format!("RELEASE SAVEPOINT s{level}"))?;
        }
        result
    }

    /// Runs `f` after the durable COMMIT and before the caller has its answer; never when the transaction is undone.
    /// It must be short and must not wait: the connection's thread runs it.
    pub fn after_commit(&mut self, f: impl FnOnce() + Send + 'static) {
        self.hooks.push(Box::new(f));
    }

    /// A SAVEPOINT, RELEASE or ROLLBACK TO.
    fn control(&mut self, sql: &str) -> Result<(), DbError> {
        self.usable(&[])?;
        let done = match &mut self.conn {
            Conn::Sqlite(session) => session.control(sql),
            Conn::Postgres(session) => session.batch(sql),
        };
        done.map_err(|error| self.failed(error))
    }

    /// Statements without parameters, as the engine's own splitter sees them.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        self.usable(&[])?;
        let done = match &mut self.conn {
            Conn::Sqlite(session) => session.batch(sql),
            Conn::Postgres(session) => session.batch(sql),
        };
        done.map_err(|error| self.failed(error))
    }

    fn each_row(&mut self, sql: &str, params: &[Val], visit: &mut dyn FnMut(&Row<'_>) -> bool) -> Result<(), DbError> {
        self.usable(params)?;
        let done = match &mut self.conn {
            Conn::Sqlite(session) => session.each_row(sql, params, visit),
            Conn::Postgres(session) => session.each_row(sql, params, visit),
        };
        done.map_err(|error| self.failed(error))
    }

    fn usable(&mut self, params: &[Val]) -> Result<(), DbError> {
        if let Some(cause) = &self.broken {
            let rule = "a statement ran after a failed one; put what may fail into a savepoint";
            return Err(DbError::Other(format!("{rule} (the failure was: {cause})")));
        }
        params.iter().try_for_each(Val::check).map_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: DbError) -> DbError {
        self.lost_race |= error == DbError::Retry;
        self.broken = Some(error.clone());
        error
    }
}

/// One row of a result, valid while it is being mapped.
pub struct Row<'a>(pub(super) RowOf<'a>);

pub(super) enum RowOf<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a ::postgres::Row),
}

impl Row<'_> {
    /// The column at this position (from 0) as a Rust value; an error when it holds another type or does not exist.
    pub fn get<T: FromVal>(&self, column: usize) -> Result<T, DbError> {
        self.value(column).and_then(T::from_val).map_err(|error| misplaced(column, &error))
    }

    /// The text in this column, if there is one, where it lies.
    pub fn text(&self, column: usize) -> Result<Option<&str>, DbError> {
        match self.value(column) {
            Ok(ValRef::Text(text)) => Ok(Some(text)),
            Ok(ValRef::Null) => Ok(None),
            Ok(other) => String::from_val(other).map(|_| None),
            Err(error) => Err(error),
        }
        .map_err(|error| misplaced(column, &error))
    }

    pub(super) fn value(&self, column: usize) -> Result<ValRef<'_>, DbError> {
        match &self.0 {
            RowOf::Sqlite(row) => sqlite::column(row, column),
            RowOf::Postgres(row) => postgres::column(row, column),
        }
    }
}

fn misplaced(column: usize, error: &DbError) -> DbError {
    DbError::Other(format!("column {column}: {error}"))
}

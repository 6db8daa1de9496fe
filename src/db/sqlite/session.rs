//! One connection: its statements, its ids, and the time at which its running job is interrupted.
//!
//! Invariants: every statement is bound by parameter name, because SQLite numbers `$1` by first appearance. An id is given
//! out once: the block it comes from is durable, or part of the transaction under way and forgotten when that is undone.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement};

use crate::db::JOB_LIMIT;
use crate::db::error::DbError;
use crate::db::tx::{Row, RowOf};
use crate::db::val::{Val, ValRef};

/// How long SQLite itself waits for another process that holds the file.
const FILE_WAIT: Duration = Duration::from_secs(5);
/// Between two attempts to switch the journal while another process holds the file.
const WAL_PAUSE: Duration = Duration::from_millis(20);
/// Prepared statements kept by a connection.
const STATEMENTS: usize = 256;
/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 20_000;
/// Virtual machine steps between two looks of a brief session, and the look at which it gives up: after some hundred rows.
/// A statement's steps are counted on from its last run, so that the first looks tell nothing.
const BRIEF_STEPS: i32 = 2_000;
const BRIEF_LOOKS: u32 = 4;
/// Ids taken from the table at once. What is left of a block is lost when the process ends.
const BLOCK: i64 = 128;

/// A connection and what goes with it; one thread's.
pub(in crate::db) struct Session {
    conn: Connection,
    limit: Arc<Limit>,
    ids: Cell<Ids>,
    /// How many transactions of this connection were committed.
    commits: Arc<AtomicU64>,
    /// Looks of a brief session at the present job.
    looks: Arc<AtomicU32>,
}

/// Ids taken from the table and not given out yet: from `next` to before `end`.
#[derive(Clone, Copy, Default)]
struct Ids {
    next: i64,
    end: i64,
    /// Whether the taking was committed.
    durable: bool,
}

/// Microseconds since `start`; `u64::MAX` means no limit.
struct Limit {
    start: Instant,
    at: AtomicU64,
}

impl Limit {
    fn passed(&self) -> bool {
        let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        now > self.at.load(Ordering::Relaxed)
    }
}

impl Session {
    /// Opens an existing file for reading and writing.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(FILE_WAIT)?;
        use_wal(&conn)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "trusted_schema", false)?;
        // What REPLACE would delete is asked of the triggers on deletion.
        conn.pragma_update(None, "recursive_triggers", true)?;
        // What is deleted is overwritten: a destroyed key must not lie in a free page.
        conn.pragma_update(None, "secure_delete", true)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "cache_size", -16_384)?;
        conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
        // Plans do not depend on what is bound; else SQLite compiles many a statement anew at every call.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Self::around(conn)
    }

    /// Opens an existing file to be read and leaves it, and what is beside it, as it is. A log beside it is read too; without one
    /// nobody has the file open, and SQLite is told that it stands still, or it would make the log's files.
    pub fn look(path: &Path) -> Result<Self, DbError> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let stands_still = !Path::new(&log).exists();
        let escaped = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let name = format!("file:{escaped}?mode=ro&immutable={}", u8::from(stands_still));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(name, flags)?;
        conn.busy_timeout(FILE_WAIT)?;
        conn.pragma_update(None, "query_only", true)?;
        conn.pragma_update(None, "trusted_schema", false)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        Self::around(conn)
    }

    fn around(mut conn: Connection) -> Result<Self, DbError> {
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        let limit = Arc::new(Limit { start: Instant::now(), at: AtomicU64::new(u64::MAX) });
        let watched = Arc::clone(&limit);
        conn.progress_handler(STEPS, Some(move || watched.passed()))?;
        Ok(Self { conn, limit, ids: Cell::default(), commits: Arc::default(), looks: Arc::default() })
    }

    /// Refuses writes from now on.
    pub fn read_only(self) -> Result<Self, DbError> {
        self.conn.pragma_update(None, "query_only", true)?;
        Ok(self)
    }

    /// Gives up jobs that take more than a moment.
    pub fn brief(mut self) -> Result<Self, DbError> {
        let looks = Arc::clone(&self.looks);
        self.conn
            .progress_handler(BRIEF_STEPS, Some(move || looks.fetch_add(1, Ordering::Relaxed) + 1 >= BRIEF_LOOKS))?;
        Ok(self)
    }

    /// Whether the job since this was last asked was given up.
    pub fn cut_short(&self) -> bool {
        self.looks.swap(0, Ordering::Relaxed) >= BRIEF_LOOKS
    }

    /// Bounds the statements of `f`; BEGIN, COMMIT and the like are never interrupted.
    pub fn bounded<T>(&self, f: impl FnOnce() -> T) -> T {
        self.bounded_by(JOB_LIMIT, f).0
    }

    /// The same with another limit; also whether it was over at the end.
    pub fn bounded_by<T>(&self, limit: Duration, f: impl FnOnce() -> T) -> (T, bool) {
        let at = (self.limit.start.elapsed() + limit).as_micros();
        self.limit.at.store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
        let done = f();
        let over = self.limit.passed();
        self.limit.at.store(u64::MAX, Ordering::Relaxed);
        (done, over)
    }

    /// A statement that opens or closes something; kept prepared.
    pub fn control(&self, sql: &str) -> Result<(), DbError> {
        if sql.starts_with("ROLLBACK") {
            self.forget_ids();
        }
        self.conn.prepare_cached(sql)?.raw_execute()?;
        if sql == "COMMIT" {
            self.ids.set(Ids { durable: true, ..self.ids.get() });
            self.commits.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// Something is undone, and perhaps the taking of the ids with it.
    fn forget_ids(&self) {
        if !self.ids.get().durable {
            self.ids.take();
        }
    }

    /// Leaves the connection without a transaction, whatever happened to it.
    pub fn roll_back(&self) {
        self.forget_ids();
        if self.in_transaction()
            && let Err(cause) = self.control("ROLLBACK")
        {
            tracing::error!(%cause, "a rollback failed");
        }
    }

    /// False also when SQLite itself ended the transaction: on a full disk, an I/O error, an interruption.
    pub fn in_transaction(&self) -> bool {
        !self.conn.is_autocommit()
    }

    /// Grows with every commit, before anybody is told of it.
    pub fn commits(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.commits)
    }

    /// Rows changed since the connection was opened, by triggers and foreign keys too.
    pub fn changes(&self) -> u64 {
        self.conn.total_changes()
    }

    /// Statements without parameters.
    pub fn batch(&self, sql: &str) -> Result<(), DbError> {
        Ok(self.conn.execute_batch(sql)?)
    }

    pub fn execute(&self, sql: &str, params: &[Val]) -> Result<u64, DbError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        let changed = statement.raw_execute()?;
        Ok(changed as u64)
    }

    /// Calls `visit` with every row until it says false.
    pub fn each_row(&self, sql: &str, params: &[Val], visit: &mut dyn FnMut(&Row<'_>) -> bool) -> Result<(), DbError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if !visit(&Row(RowOf::Sqlite(row))) {
                break;
            }
        }
        Ok(())
    }

    /// The next id. The table is written once a block, so that a row's id costs no statement.
    pub fn next_id(&self) -> Result<i64, DbError> {
        let mut ids = self.ids.get();
        if ids.next == ids.end {
            let mut statement = self.conn.prepare_cached("UPDATE ids SET last = last + ?1 RETURNING last + 1")?;
            let end = statement.query_row([BLOCK], |row| row.get(0))?;
            ids = Ids { next: end - BLOCK, end, durable: false };
        }
        self.ids.set(Ids { next: ids.next + 1, ..ids });
        Ok(ids.next)
    }
}

/// Switches the journal. SQLite does not wait for others there, whatever the busy timeout is.
fn use_wal(conn: &Connection) -> Result<(), DbError> {
    let latest = Instant::now() + FILE_WAIT;
    loop {
        let done = conn.pragma_update(None, "journal_mode", "WAL").map_err(DbError::from);
        if !matches!(done, Err(DbError::Retry)) || Instant::now() > latest {
            return done;
        }
        std::thread::sleep(WAL_PAUSE);
    }
}

/// Binds by name, and insists that `$1`..`$n` and the parameters match one to one, as PostgreSQL does.
fn bind(statement: &mut Statement<'_>, params: &[Val]) -> Result<(), DbError> {
    let count = statement.parameter_count();
    if count != params.len() {
        return Err(DbError::Other(format!("the statement uses {count} parameters and was given {}", params.len())));
    }
    for index in 1..=count {
        let number = statement.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| params.get(number.checked_sub(1)?));
        let value = value.ok_or_else(|| DbError::Other(format!("parameter {index} is not one of $1..${count}")))?;
        statement.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

impl ToSql for Val {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Bool(truth) => ValueRef::Integer((*truth).into()),
            Self::I64(number) => ValueRef::Integer(*number),
            Self::F64(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

pub(in crate::db) fn column<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<ValRef<'a>, DbError> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => ValRef::Null,
        ValueRef::Integer(number) => ValRef::I64(number),
        ValueRef::Real(number) => ValRef::F64(number),
        ValueRef::Blob(bytes) => ValRef::Bytes(bytes),
        ValueRef::Text(text) => {
            ValRef::Text(std::str::from_utf8(text).map_err(|_| DbError::Other("a text is not UTF-8".into()))?)
        }
    })
}

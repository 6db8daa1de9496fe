//! The SQLite engine: one writer thread that commits jobs in groups, and a few readers.
//!
//! Invariants: nobody is told of success before the COMMIT that holds it is durable (WAL, synchronous=FULL); a job that
//! fails or panics undoes only itself. Every statement is bound by parameter name, because SQLite numbers `$1` by first
//! appearance. What a job means is not known here.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement};
use tokio::sync::mpsc::Receiver;

use super::error::{DbError, busy};
use super::job::{Job, Message, Outcome, run_hooks};
use super::migrate::{self, Migration};
use super::tx::{Conn, Hook, Row, RowOf, Tx};
use super::val::{Val, ValRef};
use super::{Engine, JOB_LIMIT, SharedReceiver};
use crate::base::error::{Error, Result};

/// Jobs in one COMMIT at most: the cost of an fsync is shared by then, and the group's latency stays short.
const GROUP: usize = 256;
/// How long SQLite itself waits for another process that holds the file.
const FILE_WAIT: Duration = Duration::from_secs(5);
/// Between two attempts to switch the journal while another process holds the file.
const WAL_PAUSE: Duration = Duration::from_millis(20);
/// Prepared statements kept by a connection.
const STATEMENTS: usize = 256;
/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 20_000;

/// A connection and the time at which its running job is interrupted.
pub(super) struct Session {
    conn: Connection,
    limit: Arc<Limit>,
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

    /// Bounds the statements of `f`; BEGIN, COMMIT and the like are never interrupted.
    fn bound<T>(&self, f: impl FnOnce() -> T) -> T {
        let at = (self.start.elapsed() + JOB_LIMIT).as_micros();
        self.at.store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
        let done = f();
        self.at.store(u64::MAX, Ordering::Relaxed);
        done
    }
}

/// Opens or creates the file (mode 0600), brings its schema up to date; the writer first, then the readers.
pub(super) fn open(path: &Path, readers: usize, migrations: &[Migration]) -> Result<(Session, Vec<Session>)> {
    create(path)?;
    let writer = connect(path).map_err(|cause| cannot_open(path, &cause.to_string()))?;
    while migrate_one(&writer.conn, migrations)? {}
    let reader = |_| {
        let session = connect(path)?;
        session.conn.pragma_update(None, "query_only", true)?;
        Ok(session)
    };
    let readers = (0..readers).map(reader).collect::<Result<Vec<_>, DbError>>();
    Ok((writer, readers.map_err(|cause| cannot_open(path, &cause.to_string()))?))
}

/// Makes the file for its owner alone. It is closed again before SQLite opens it: closing any descriptor of a file lets go
/// of all the locks that this process holds on it.
fn create(path: &Path) -> Result<()> {
    let file = std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let file = file.map_err(|cause| cannot_open(path, &cause.to_string()).caused_by(cause))?;
    Ok(file.set_permissions(std::fs::Permissions::from_mode(0o600))?)
}

fn cannot_open(path: &Path, why: &str) -> Error {
    let sentence = format!(
        "The database file {} could not be opened: {why}. Check the data directory's owner and free space.",
        path.display()
    );
    Error::unavailable("database_unreachable", sentence)
}

fn connect(path: &Path) -> Result<Session, DbError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(FILE_WAIT)?;
    use_wal(&conn)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let limit = Arc::new(Limit { start: Instant::now(), at: AtomicU64::new(u64::MAX) });
    let watched = Arc::clone(&limit);
    conn.progress_handler(STEPS, Some(move || watched.passed()))?;
    Ok(Session { conn, limit })
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

/// Applies the next outstanding migration in its own transaction; false when there is none.
fn migrate_one(conn: &Connection, migrations: &[Migration]) -> Result<bool> {
    control(conn, "BEGIN IMMEDIATE")?;
    let mut tx = Tx::new(Conn::Sqlite(conn));
    let done = migrate::step(&mut tx, Engine::Sqlite, migrations);
    let done = match done {
        Ok(_) if conn.is_autocommit() => Err(Error::internal("a migration ended its own transaction")),
        Ok(applied) => control(conn, "COMMIT").map(|()| applied).map_err(Error::from),
        Err(error) => Err(error),
    };
    if done.is_err() {
        roll_back(conn);
    }
    done
}

/// The writer's life: wait for a job, take what else is queued, commit them together.
pub(super) fn write_loop(session: &Session, mut queue: Receiver<Message>) {
    let mut open = true;
    while open && let Some(first) = queue.blocking_recv() {
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Run(job) if job.expired() => job.answer(Err(busy())),
                Message::Run(job) => jobs.push(job),
                Message::Close => open = false,
            }
            if open && jobs.len() < GROUP {
                next = queue.try_recv().ok();
            }
        }
        commit(session, jobs);
    }
    let checkpoint = session.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    if let Err(cause) = checkpoint {
        tracing::warn!(%cause, "the last checkpoint of the database failed; the next start will repeat it");
    }
}

/// Commits the jobs together; when the group as a whole fails, each alone, so that only the culprit fails.
fn commit(session: &Session, mut jobs: Vec<Box<dyn Job>>) {
    if jobs.len() < 2 {
        return jobs.into_iter().for_each(|job| commit_alone(session, job));
    }
    match commit_group(session, &mut jobs) {
        Ok(hooks) => {
            for (job, hooks) in jobs.into_iter().zip(hooks) {
                run_hooks(hooks);
                job.answer(Ok(()));
            }
        }
        Err(_) => jobs.into_iter().for_each(|job| commit_alone(session, job)),
    }
}

fn commit_alone(session: &Session, mut job: Box<dyn Job>) {
    let conn = &session.conn;
    if let Err(error) = control(conn, "BEGIN IMMEDIATE") {
        return job.answer(Err(error.into()));
    }
    let verdict = match session.limit.bound(|| job.run(Conn::Sqlite(conn))) {
        Outcome::Keep(hooks) => control(conn, "COMMIT").map(|()| run_hooks(hooks)),
        // The job holds its error.
        Outcome::Undo | Outcome::Again => Ok(()),
    };
    roll_back(conn);
    job.answer(verdict.map_err(Error::from));
}

/// One transaction with a savepoint for each job. `Err` means that none of it is in the database.
fn commit_group(session: &Session, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Vec<Hook>>, DbError> {
    let conn = &session.conn;
    control(conn, "BEGIN IMMEDIATE")?;
    let done = jobs.iter_mut().map(|job| run_in_group(session, job.as_mut())).collect::<Result<Vec<_>, _>>();
    let done = done.and_then(|hooks| control(conn, "COMMIT").map(|()| hooks));
    if done.is_err() {
        roll_back(conn);
    }
    done
}

fn run_in_group(session: &Session, job: &mut dyn Job) -> Result<Vec<Hook>, DbError> {
    let conn = &session.conn;
    control(conn, "SAVEPOINT job")?;
    let outcome = session.limit.bound(|| job.run(Conn::Sqlite(conn)));
    if conn.is_autocommit() {
        // On a full disk, an I/O error or an interruption SQLite itself rolls everything back.
        return Err(DbError::Other("SQLite ended the transaction".into()));
    }
    let hooks = match outcome {
        Outcome::Keep(hooks) => hooks,
        Outcome::Undo | Outcome::Again => {
            control(conn, "ROLLBACK TO job")?;
            Vec::new()
        }
    };
    control(conn, "RELEASE job")?;
    Ok(hooks)
}

/// A reader's life: one job at a time, each on its own snapshot.
pub(super) fn read_loop(session: &Session, queue: &SharedReceiver) {
    while let Some(message) = queue.next() {
        match message {
            Message::Close => break,
            Message::Run(job) if job.expired() => job.answer(Err(busy())),
            Message::Run(job) => read(session, job),
        }
    }
}

fn read(session: &Session, mut job: Box<dyn Job>) {
    let conn = &session.conn;
    if let Err(error) = control(conn, "BEGIN") {
        return job.answer(Err(error.into()));
    }
    let outcome = session.limit.bound(|| job.run(Conn::Sqlite(conn)));
    roll_back(conn);
    if let Outcome::Keep(hooks) = outcome {
        run_hooks(hooks);
    }
    job.answer(Ok(()));
}

/// A statement that opens or closes something; kept prepared.
pub(super) fn control(conn: &Connection, sql: &str) -> Result<(), DbError> {
    Ok(conn.prepare_cached(sql)?.raw_execute().map(drop)?)
}

/// Leaves the connection without a transaction, whatever happened to it.
fn roll_back(conn: &Connection) {
    if !conn.is_autocommit()
        && let Err(cause) = control(conn, "ROLLBACK")
    {
        tracing::error!(%cause, "a rollback failed");
    }
}

pub(super) fn execute(conn: &Connection, sql: &str, params: &[Val]) -> Result<u64, DbError> {
    let mut statement = conn.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let changed = statement.raw_execute()?;
    Ok(changed as u64)
}

/// Calls `visit` with every row until it says false.
pub(super) fn each_row(
    conn: &Connection,
    sql: &str,
    params: &[Val],
    visit: &mut dyn FnMut(&Row<'_>) -> bool,
) -> Result<(), DbError> {
    let mut statement = conn.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if !visit(&Row(RowOf::Sqlite(row))) {
            break;
        }
    }
    Ok(())
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

pub(super) fn column<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<ValRef<'a>, DbError> {
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

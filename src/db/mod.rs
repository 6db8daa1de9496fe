//! The database: `read(|tx| ..)` and `write(|tx| ..)`, one SQL text on SQLite and on PostgreSQL.
//!
//! Invariants: a write is durable before its caller hears of it; a closure is synchronous, so nothing waits for the
//! network inside a transaction; every queue, wait and statement is bounded. Dialects end here: no room asks which
//! engine it is on. SQL of the rooms lives in their `store.rs`.

mod error;
mod job;
pub mod migrate;
mod postgres;
mod sqlite;
mod tables;
mod tx;
mod val;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use error::DbError;
pub use migrate::Migration;
pub use postgres::{Reach, Resolve};
pub use sqlite::{Kept, Snapshot};
pub use tables::Table;
pub use tx::{Row, Tx};
pub use val::{FromVal, Val, ValRef, params};

use crate::base::error::{Error, Result};
use crate::base::tasks::blocking;
use job::{Job, Message, Task};

/// How long a job may wait for its turn.
const WAIT_LIMIT: Duration = Duration::from_secs(10);
/// How long a job's statements may run.
const JOB_LIMIT: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(5);

/// A handle on the open database; clones share it. When the last one is dropped the queues drain and the threads end.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    here: Option<Here>,
    reads: Sender<Message>,
    writes: Sender<Message>,
    threads: Mutex<Vec<Thread>>,
}

/// What there is besides when this process alone has the database.
struct Here {
    path: PathBuf,
    quick: sqlite::Quick,
    commits: Arc<AtomicU64>,
}

/// A database thread and both ends of the queue it serves.
struct Thread {
    handle: JoinHandle<()>,
    queue: Queue,
}

/// Which database stands behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// A file, one process.
    Sqlite,
    /// A server, any number of processes.
    Postgres,
}

/// Sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// SQLite: reading threads. PostgreSQL: connections for reads, and as many for writes. At least 1.
    pub readers: usize,
    /// Jobs that may wait, in each of the two queues. At least 1.
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { readers: processors.clamp(2, 4), queue: 1024 }
    }
}

impl Db {
    /// Opens or creates the SQLite file at `path` (mode 0600, WAL, synchronous=FULL) and brings its schema up to date.
    pub async fn open_sqlite(path: &Path, options: Options) -> Result<Self> {
        Self::open_sqlite_with(path, options, migrate::BUILTIN).await
    }

    /// [`Db::open_sqlite`] with another history of the schema.
    pub async fn open_sqlite_with(path: &Path, options: Options, migrations: &[Migration]) -> Result<Self> {
        let (path, migrations) = (path.to_owned(), migrations.to_vec());
        let own = path.clone();
        let opened = blocking(move || sqlite::open(&path, options.readers.max(1), &migrations));
        let sqlite::Sessions { writer, readers, quick } = opened.await?;
        let (reads, writes) = (bounded(options.queue.max(1)), bounded(options.queue.max(1)));
        let (runtime, here) = (Handle::current(), Here { path: own, quick, commits: writer.commits() });
        let mut threads = Vec::new();
        for reader in readers {
            threads.push(spawn("db-read", &reads, move |queue| sqlite::read_loop(&reader, queue))?);
        }
        threads.push(spawn("db-write", &writes, move |queue| sqlite::write_loop(&writer, queue, &runtime))?);
        Ok(Self::from_parts(Engine::Sqlite, Some(here), reads.0, writes.0, threads))
    }

    /// Connects to PostgreSQL at an address (or `localhost`), without TLS, and brings the schema up to date. A schema
    /// other than `public` comes from the URL: `?options=-csearch_path%3Dname`; it is created when missing.
    pub async fn open_postgres(url: &str, options: Options) -> Result<Self> {
        Self::open_postgres_with(url, options, Reach::default(), migrate::BUILTIN).await
    }

    /// Whether a URL can be used, as far as that is known without a connection: start-up and `config check` ask the same.
    ///
    /// # Errors
    /// `database_url`, saying what is wrong without showing the URL.
    pub fn check_postgres_url(url: &str) -> Result<()> {
        postgres::parse_url(url).map(drop)
    }

    /// The servers that a URL names: host and port, and the path of a Unix socket as the host.
    ///
    /// # Errors
    /// `database_url`.
    pub fn postgres_servers(url: &str) -> Result<Vec<(String, u16)>> {
        postgres::servers(url)
    }

    /// [`Db::open_postgres`] for hosts with names, for TLS (`sslmode=require`), and with another history of the schema.
    pub async fn open_postgres_with(
        url: &str,
        options: Options,
        reach: Reach,
        migrations: &[Migration],
    ) -> Result<Self> {
        let server = Arc::new(postgres::Server::parse(url, reach)?);
        let (first, migrations) = (Arc::clone(&server), migrations.to_vec());
        blocking(move || {
            let mut session = postgres::Session::new(first, 0);
            while session.migrate_one(&migrations)? {}
            Ok(())
        })
        .await?;
        let (reads, writes) = (bounded(options.queue.max(1)), bounded(options.queue.max(1)));
        let mut threads = Vec::new();
        for number in 0..u32::try_from(options.readers.max(1)).unwrap_or(u32::MAX) {
            for (name, queue, write) in [("db-read", &reads, false), ("db-write", &writes, true)] {
                let session = postgres::Session::new(Arc::clone(&server), number);
                threads.push(spawn(name, queue, move |queue| postgres::serve(session, queue, write))?);
            }
        }
        Ok(Self::from_parts(Engine::Postgres, None, reads.0, writes.0, threads))
    }

    /// Opens an existing SQLite file to look at it: nothing is made, brought up to date or changed, and writes are refused.
    ///
    /// # Errors
    /// `database_unreachable`.
    pub async fn look_sqlite(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let session = blocking(move || sqlite::look(&path)).await?;
        let reads = bounded(Options::default().queue);
        let thread = spawn("db-look", &reads, move |queue| sqlite::read_loop(&session, queue))?;
        Ok(Self::from_parts(Engine::Sqlite, None, reads.0, bounded(1).0, vec![thread]))
    }

    /// The same for PostgreSQL.
    ///
    /// # Errors
    /// `database_url`; whether the server can be reached shows at the first read.
    pub fn look_postgres(url: &str, reach: Reach) -> Result<Self> {
        let session = postgres::Session::new(Arc::new(postgres::Server::parse(url, reach)?), 0);
        let reads = bounded(Options::default().queue);
        let thread = spawn("db-look", &reads, move |queue| postgres::serve(session, queue, false))?;
        Ok(Self::from_parts(Engine::Postgres, None, reads.0, bounded(1).0, vec![thread]))
    }

    /// How the schema stands to this build.
    ///
    /// # Errors
    /// `database_newer` and `migration_changed`; those of the database.
    pub async fn standing(&self) -> Result<migrate::Standing> {
        let engine = self.engine();
        self.read_long(move |tx| migrate::standing(tx, engine, migrate::BUILTIN)).await
    }

    /// Every step of the schema that ran: number, name, when in microseconds since 1970.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn migrations(&self) -> Result<Vec<(i64, String, i64)>> {
        self.read_long(|tx| Ok(migrate::list(tx)?)).await
    }

    /// Every table: its name, how many rows and bytes it has, where that can be known within the limits. On PostgreSQL the rows are
    /// its own estimate.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tables(&self) -> Result<Vec<Table>> {
        match self.engine() {
            Engine::Sqlite => tables::of_sqlite(self).await,
            Engine::Postgres => self.read_long(tables::of_postgres).await,
        }
    }

    /// What SQLite says is wrong in a file, at most 20 sentences; None when it takes longer than `limit` to know. Changes nothing.
    ///
    /// # Errors
    /// `database_unreachable`.
    pub async fn damage(path: &Path, limit: Duration) -> Result<Option<Vec<String>>> {
        let path = path.to_owned();
        blocking(move || sqlite::damage(&path, limit)).await
    }

    fn from_parts(
        engine: Engine,
        here: Option<Here>,
        reads: Sender<Message>,
        writes: Sender<Message>,
        threads: Vec<Thread>,
    ) -> Self {
        Self { inner: Arc::new(Inner { engine, here, reads, writes, threads: Mutex::new(threads) }) }
    }

    /// Which engine this is; for diagnostics, not for rules.
    pub fn engine(&self) -> Engine {
        self.inner.engine
    }

    /// A number that is another one after any write that a caller was told of; None where other processes write too.
    pub fn version(&self) -> Option<u64> {
        self.inner.here.as_ref().map(|here| here.commits.load(Ordering::Acquire))
    }

    /// Runs `f` on one consistent snapshot. `f` may run more than once: a short read runs on the caller's thread, and one
    /// that turns out long begins anew on another. Errors: those of `f`; `database_busy` when no turn came within 10 s.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (mut job, answer) = Task::boxed(f, false);
        if self.inner.here.as_ref().is_some_and(|here| here.quick.run(job.as_mut())) {
            job.answer(Ok(()));
            return answer.await.unwrap_or_else(|_| Err(error::closed()));
        }
        ask(&self.inner.reads, WAIT_LIMIT, job, answer).await
    }

    /// [`Db::read`] for what is known to take long: it goes to another thread at once.
    pub async fn read_long<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (job, answer) = Task::boxed(f, false);
        ask(&self.inner.reads, WAIT_LIMIT, job, answer).await
    }

    /// Runs `f` in a transaction: committed when it returns Ok, undone when it returns Err or panics. `f` may run more
    /// than once and must keep nothing from a run that was undone. Errors: those of `f`; `database_busy` when no turn
    /// came within 10 s or every attempt lost a race; `commit_unknown` when PostgreSQL vanished during COMMIT.
    pub async fn write<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (job, answer) = Task::boxed(f, true);
        ask(&self.inner.writes, WAIT_LIMIT, job, answer).await
    }

    /// Whether reads and writes get their turn within 5 s; for readiness.
    pub async fn ping(&self) -> Result<()> {
        let both = async {
            self.read(|tx| Ok(tx.query_row("SELECT 1", &[], |_| Ok(()))?)).await?;
            self.write(|_| Ok(())).await
        };
        tokio::time::timeout(PING_LIMIT, both).await.unwrap_or_else(|_| Err(error::busy()))
    }

    /// Lets the database's files forget what was deleted and overwritten before: SQLite's log holds it until it is written
    /// over. PostgreSQL forgets when it vacuums and recycles its log, which is its own business. Errors: `database_busy` when a
    /// reader kept the log in use for 5 s; it is then forgotten at the next stop.
    pub async fn forget(&self) -> Result<()> {
        let Some(here) = &self.inner.here else { return Ok(()) };
        let path = here.path.clone();
        blocking(move || sqlite::empty_log(&path)).await
    }

    /// One state of the whole database, to be copied while others write. Errors: `backup_postgres` where this process does not
    /// have the database's file.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let Some(here) = &self.inner.here else {
            let sentence = "The database is on PostgreSQL, whose state this version cannot copy. Use pg_dump there.";
            return Err(Error::invalid("backup_postgres", sentence));
        };
        let path = here.path.clone();
        blocking(move || Snapshot::begin(&path)).await
    }

    /// One state of the database in the file at `path`, which a server may be working on.
    ///
    /// # Errors
    /// When it is no database of ours.
    pub async fn snapshot_of(path: &Path) -> Result<Snapshot> {
        let path = path.to_owned();
        blocking(move || Snapshot::begin(&path)).await
    }

    /// Reads all of a file that no server uses, and counts its rows.
    ///
    /// # Errors
    /// When it is no database.
    pub async fn check_file(path: &Path) -> Result<Kept> {
        let path = path.to_owned();
        blocking(move || Kept::of(&path)).await
    }

    /// Finishes what is queued, refuses what comes later (also through clones), writes the WAL back, ends the threads.
    pub async fn close(self) {
        if let Some(here) = &self.inner.here {
            here.quick.close();
        }
        let threads = std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in &threads {
            // An error means that the thread has ended already.
            drop(thread.queue.0.send(Message::Close).await);
        }
        let joined = blocking(move || {
            for Thread { handle, queue } in threads {
                if handle.join().is_err() {
                    tracing::error!("a database thread had panicked");
                }
                shut(&queue.1);
            }
            Ok(())
        });
        if let Err(error) = joined.await {
            tracing::error!(?error, "the database's threads could not be waited for");
        }
    }
}

/// Queues the job, waiting for room at most `limit`, and waits for the answer.
async fn ask<T>(
    queue: &Sender<Message>,
    limit: Duration,
    job: Box<dyn Job>,
    answer: oneshot::Receiver<Result<T>>,
) -> Result<T> {
    match queue.try_send(Message::Run(job)) {
        Ok(()) => {}
        Err(TrySendError::Closed(_)) => return Err(error::closed()),
        Err(TrySendError::Full(message)) => match tokio::time::timeout(limit, queue.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(error::closed()),
            Err(_) => return Err(error::busy()),
        },
    }
    answer.await.unwrap_or_else(|_| Err(error::closed()))
}

type Queue = (Sender<Message>, Receiver<Message>);

/// A thread's end of its queue. When the thread dies, nobody is left waiting for an answer that cannot come.
struct Served(Receiver<Message>);

impl Drop for Served {
    fn drop(&mut self) {
        if std::thread::panicking() {
            shut(&self.0);
        }
    }
}

/// Takes no more, and lets go of what is queued.
fn shut(queue: &Receiver<Message>) {
    queue.close();
    while queue.try_recv().is_ok() {}
}

fn spawn(name: &str, queue: &Queue, life: impl FnOnce(&Receiver<Message>) + Send + 'static) -> Result<Thread> {
    let served = Served(queue.1.clone());
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || life(&served.0))?;
    Ok(Thread { handle, queue: queue.clone() })
}

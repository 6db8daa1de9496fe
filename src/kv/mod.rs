//! Small hot state by namespace and key: sessions, rate buckets, caches, data of plugins.
//!
//! Invariants: a change is durable before its caller hears of it; an `update` happens as a whole or not at all; a
//! namespace never sees another's keys, and its usage is exact. What belongs into a report or a backup belongs into `db`.

mod copy;
mod view;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, DatabaseError, ReadableDatabase, StorageError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::blocking;
pub use copy::{Pause, Snapshot};
pub use view::{Entries, MAX_KEY, MAX_NAMESPACE, MAX_VALUE, View};
use view::{Read, check_name, sweep};

/// Readers at the same time; more wait.
const READERS: usize = 8;
/// How long a caller waits for its turn.
const WAIT_LIMIT: Duration = Duration::from_secs(10);
/// Memory for pages.
const CACHE: usize = 32 << 20;

/// A handle on the store; clones share it.
#[derive(Clone)]
pub struct Kv {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    clock: Clock,
    /// None after an I/O error: redb refuses everything from then on, so the next call opens the file again.
    database: RwLock<Option<Database>>,
    readers: Arc<Semaphore>,
    writer: Arc<Semaphore>,
}

impl Kv {
    /// Opens or creates the file at `path` (mode 0600), which one process uses at a time. Expiry follows `clock`.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let database = RwLock::new(Some(open(&path)?));
            let (readers, writer) = (Arc::new(Semaphore::new(READERS)), Arc::new(Semaphore::new(1)));
            Ok(Self { inner: Arc::new(Inner { path, clock, database, readers, writer }) })
        })
        .await
    }

    /// Whether a process has the file at `path` open: each locks it (flock), and the lock goes with the process.
    pub fn is_in_use(path: &Path) -> bool {
        let Ok(file) = std::fs::File::open(path) else { return false };
        matches!(flock(&file, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK))
    }

    /// The value of `key`, unless it expired.
    pub async fn get(&self, namespace: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let key = key.to_vec();
        self.read(namespace, move |read, name, now| read.get(name, &key, now)).await
    }

    /// Up to `limit` keys that start with `prefix`, in order, with their values.
    pub async fn scan(&self, namespace: &str, prefix: &[u8], limit: usize) -> Result<Entries> {
        let prefix = prefix.to_vec();
        self.read(namespace, move |read, name, now| read.scan(name, &prefix, limit, now)).await
    }

    /// Bytes of keys and values in the namespace; expired ones count until a later write swept them.
    pub async fn usage(&self, namespace: &str) -> Result<u64> {
        self.read(namespace, |read, name, _| read.usage(name)).await
    }

    /// The namespaces that hold something and whose names start with `prefix`.
    pub async fn namespaces(&self, prefix: &str) -> Result<Vec<String>> {
        self.read(prefix, |read, prefix, _| read.namespaces(prefix)).await
    }

    /// Sets `key`, for ever or until `expires`.
    pub async fn put(&self, namespace: &str, key: &[u8], value: &[u8], expires: Option<Time>) -> Result<()> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.update(namespace, move |view| view.put(&key, &value, expires)).await
    }

    /// Removes `key`; whether it was there.
    pub async fn delete(&self, namespace: &str, key: &[u8]) -> Result<bool> {
        let key = key.to_vec();
        self.update(namespace, move |view| view.delete(&key)).await
    }

    /// Removes everything in the namespace.
    pub async fn clear(&self, namespace: &str) -> Result<()> {
        self.update(namespace, |view| {
            view.clear()?;
            Ok(())
        })
        .await
    }

    /// Runs `f` alone on the namespace; kept when it returns Ok, undone when it returns Err or panics. Errors: those of
    /// `f`; `kv_busy` when no turn came within 10 s; `disk_full`.
    pub async fn update<T, F>(&self, namespace: &str, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut View<'_>) -> Result<T> + Send + 'static,
    {
        self.turn(namespace, &self.inner.writer, move |inner, name| {
            inner.with(|database| write(database, name, inner.clock.now(), f))
        })
        .await
    }

    async fn read<T, F>(&self, namespace: &str, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Read, &str, Time) -> Result<T> + Send + 'static,
    {
        self.turn(namespace, &self.inner.readers, move |inner, name| {
            inner.with(|database| {
                let transaction = database.begin_read().map_err(|cause| failed(cause.into()))?;
                f(&Read::new(&transaction)?, name, inner.clock.now())
            })
        })
        .await
    }

    async fn turn<T, F>(&self, namespace: &str, turns: &Arc<Semaphore>, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Inner, &str) -> Result<T> + Send + 'static,
    {
        check_name(namespace)?;
        let turn = tokio::time::timeout(WAIT_LIMIT, Arc::clone(turns).acquire_owned()).await.map_err(|_| busy())?;
        let turn = turn.map_err(Error::internal)?;
        let (inner, name) = (Arc::clone(&self.inner), namespace.to_owned());
        blocking(move || {
            // The turn goes along: a caller that leaves does not let another in beside the running work.
            let _turn = turn;
            f(&inner, &name)
        })
        .await
    }
}

impl Inner {
    fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let mut guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            drop(guard);
            self.reopen()?;
            guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        }
        let result = guard.as_ref().ok_or_else(busy).and_then(f);
        drop(guard);
        if result.as_ref().is_err_and(|error| error.code() == "disk_full" || error.code() == "kv_failed") {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(open(&self.path)?);
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Database> {
    // The mode is set before redb writes the first byte.
    let file =
        std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    drop(file);
    let database = redb::Builder::new().set_cache_size(CACHE).create(path).map_err(|cause| match cause {
        DatabaseError::DatabaseAlreadyOpen => Error::conflict(
            "kv_in_use",
            format!("{} is in use by another process. Stop the other server on this data directory.", path.display()),
        ),
        cause => failed(cause.into()),
    })?;
    view::create_tables(&database)?;
    Ok(database)
}

fn write<T>(database: &Database, name: &str, now: Time, f: impl FnOnce(&mut View<'_>) -> Result<T>) -> Result<T> {
    let transaction = database.begin_write().map_err(|cause| failed(cause.into()))?;
    // A transaction that is dropped while its thread unwinds leaks pages: catch the panic and abort in order.
    let work = AssertUnwindSafe(|| {
        sweep(&transaction, now)?;
        f(&mut View::open(&transaction, name, now)?)
    });
    let result =
        catch_unwind(work).unwrap_or_else(|_| Err(Error::internal("an update of the key-value store panicked")));
    match result {
        Ok(value) => transaction.commit().map(|()| value).map_err(|cause| failed(cause.into())),
        Err(error) => {
            if let Err(cause) = transaction.abort() {
                tracing::warn!(%cause, "an update of the key-value store could not be undone in order");
            }
            Err(error)
        }
    }
}

fn busy() -> Error {
    let sentence =
        "The key-value store has more to do than it can at the moment. Nothing was changed; try again shortly.";
    Error::unavailable("kv_busy", sentence).retry_after(1)
}

/// `kv_failed` and `disk_full` make the next call open the file again.
fn failed(cause: redb::Error) -> Error {
    match cause {
        redb::Error::Io(cause) => match Error::from(cause) {
            full if full.code() == "disk_full" => full,
            other => broken().caused_by(format!("{other:?}")),
        },
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => broken().caused_by(cause),
        cause => Error::internal(cause),
    }
}

fn broken() -> Error {
    let sentence = "The disk failed under the key-value store of the data directory. The next call opens it again; if \
                    this stays, check the disk.";
    Error::unavailable("kv_failed", sentence)
}

fn storage(cause: StorageError) -> Error {
    failed(cause.into())
}

#[cfg(test)]
mod tests;

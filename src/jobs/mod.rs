//! Durable background work: enqueued in the transaction that decides it, done at least once, given up after five attempts.
//!
//! Invariants: a job exists exactly when the transaction that enqueued it committed; a handler that calls [`finish`] in
//! the transaction of its effect has that effect exactly once, whatever crashes; no job is lost silently: what fails for
//! good stays in the table with its error, and the kind's owner is told. What jobs do belongs to the rooms.

mod store;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Notify;

use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::{Db, Tx};

/// How often a job is tried before it is given up.
pub const MAX_ATTEMPTS: i64 = 5;

/// The most bytes a payload may have as JSON: a job names things, it does not carry them.
const PAYLOAD_LIMIT: usize = 16 * 1024;

/// Tells every worker of this process that a job was committed. A hint only: workers also look by themselves.
static ENQUEUED: Notify = Notify::const_new();

/// A claimed job as its handler sees it.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: i64,
    pub payload: Value,
    /// Which attempt this is, from 1.
    pub attempts: i64,
}

impl Job {
    /// Whether the job is given up when this attempt fails too.
    pub fn is_last_attempt(&self) -> bool {
        self.attempts >= MAX_ATTEMPTS
    }

    /// The payload as the type it was enqueued with.
    ///
    /// # Errors
    /// `internal` when it is of another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.payload).map_err(Error::internal)
    }
}

/// Puts a job into the queue as part of the caller's transaction and wakes the workers after the commit; the job's id.
///
/// # Errors
/// When the payload is no JSON or larger than 16 KiB, or the database fails.
pub fn enqueue(tx: &mut Tx<'_>, now: Time, kind: &'static str, payload: &impl Serialize) -> Result<i64> {
    enqueue_at(tx, now, now, kind, payload)
}

/// The same for a job that waits until `due`. After the clock was set back it does not wait longer than it was to: it is
/// done at once, so its handler looks at the time where that matters.
///
/// # Errors
/// As [`enqueue`].
pub fn enqueue_at(tx: &mut Tx<'_>, now: Time, due: Time, kind: &'static str, payload: &impl Serialize) -> Result<i64> {
    let payload = serde_json::to_string(payload).map_err(Error::internal)?;
    if payload.len() > PAYLOAD_LIMIT {
        let size = payload.len();
        return Err(Error::internal(format!(
            "the payload of a {kind} job has {size} bytes; {PAYLOAD_LIMIT} are taken"
        )));
    }
    let id = store::insert(tx, now, due, kind, &payload)?;
    tx.after_commit(|| ENQUEUED.notify_waiters());
    Ok(id)
}

/// Takes a job out of the queue in the transaction of its effect.
///
/// # Errors
/// `job_taken` when the job is no longer there: another worker finished it, or it was withdrawn. The caller's transaction
/// fails with it, so the effect does not happen twice.
pub fn finish(tx: &mut Tx<'_>, job_id: i64) -> Result<()> {
    if store::delete(tx, job_id)? {
        return Ok(());
    }
    Err(Error::conflict(
        "job_taken",
        format!("Job {job_id} was finished or withdrawn by somebody else; nothing was changed."),
    ))
}

/// Takes a job out of the queue whether or not it is still there. A handler at work on it fails at its [`finish`].
///
/// # Errors
/// When the database fails.
pub fn withdraw(tx: &mut Tx<'_>, job_id: i64) -> Result<()> {
    store::delete(tx, job_id)?;
    Ok(())
}

type Done = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
type Handler = Arc<dyn Fn(Job) -> Done + Send + Sync>;
type Mourner = Arc<dyn Fn(Job, Error) -> Done + Send + Sync>;

#[derive(Clone)]
struct Kind {
    concurrency: usize,
    handler: Handler,
    on_dead: Option<Mourner>,
}

/// The workers of this process: filled by the rooms with [`Jobs::handle`], then [`Jobs::start`]ed once.
pub struct Jobs {
    db: Db,
    clock: Clock,
    tasks: Tasks,
    process: String,
    kinds: HashMap<&'static str, Kind>,
}

impl Jobs {
    /// `process` names this run of the program and no other, so that a claim tells whose it is.
    pub fn new(db: Db, clock: Clock, tasks: Tasks, process: String) -> Self {
        Self { db, clock, tasks, process, kinds: HashMap::new() }
    }

    /// Jobs of `kind` go to `handler`, at most `concurrency` (at least 1) at a time. An `Err` is tried again after 2, 8,
    /// 32 and 128 seconds. The future is dropped when the server stops; the job then stays as it was.
    pub fn handle<F, D>(&mut self, kind: &'static str, concurrency: usize, handler: F)
    where
        F: Fn(Job) -> D + Send + Sync + 'static,
        D: Future<Output = Result<()>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |job| Box::pin(handler(job)));
        let on_dead = self.kinds.remove(kind).and_then(|kind| kind.on_dead);
        self.kinds.insert(kind, Kind { concurrency: concurrency.max(1), handler, on_dead });
    }

    /// `mourner` is told of each job of `kind` (registered with [`Jobs::handle`] before) whose last attempt failed, with
    /// the error. It may be told again after a crash.
    pub fn on_dead<F, D>(&mut self, kind: &'static str, mourner: F)
    where
        F: Fn(Job, Error) -> D + Send + Sync + 'static,
        D: Future<Output = Result<()>> + Send + 'static,
    {
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.on_dead = Some(Arc::new(move |job, error| Box::pin(mourner(job, error))));
        }
    }

    /// Takes back what dead processes held (SQLite: at once, as the data directory has one process; PostgreSQL: when
    /// their lease has run out) and starts working until the server stops.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(self) -> Result<()> {
        worker::start(self).await
    }
}

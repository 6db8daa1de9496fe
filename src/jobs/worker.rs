//! The loops that claim jobs, run their handlers, and decide what becomes of a failed one.
//!
//! Invariant: a claimed job ends in exactly one of: finished, given back for later, given up and told. A handler that
//! panics or a process that dies counts as a failed attempt; a server that stops does not.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ENQUEUED, Job, Jobs, Kind, MAX_ATTEMPTS, store};
use crate::base::clock::{Clock, SECOND, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::{Db, Engine};

/// How long a worker trusts that nothing happened: jobs of other processes, and retries, are seen after this at the latest.
const POLL: Duration = Duration::from_secs(1);
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How much of an error's sentence is kept.
const ERROR_LIMIT: usize = 2000;

struct Worker {
    db: Db,
    clock: Clock,
    tasks: Tasks,
    process: String,
    name: &'static str,
    kind: Kind,
    held: Held,
}

/// The jobs this process works on at the moment; only their claims are renewed, so what slips out of our hands (a
/// claim whose answer was lost, an outcome that could not be stored) is free again when its lease has run out.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<BTreeSet<i64>>>);

impl Held {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeSet<i64>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub async fn start(jobs: Jobs) -> Result<()> {
    let Jobs { db, clock, tasks, process, kinds } = jobs;
    let (now, me, alone) = (clock.now(), process.clone(), db.engine() == Engine::Sqlite);
    let taken_back = db
        .write(move |tx| {
            store::clear_dead(tx, now)?;
            if alone { store::reclaim(tx, &me) } else { Ok(0) }
        })
        .await?;
    if taken_back > 0 {
        tracing::info!(jobs = taken_back, "took back the jobs of the process before this one");
    }
    let held = Held::default();
    tasks.spawn_until_stop(renew(db.clone(), clock.clone(), process.clone(), held.clone()));
    for (name, kind) in kinds {
        let worker = Worker {
            db: db.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            process: process.clone(),
            name,
            kind,
            held: held.clone(),
        };
        tasks.spawn(Arc::new(worker).run());
    }
    Ok(())
}

async fn renew(db: Db, clock: Clock, process: String, held: Held) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let ids: Vec<i64> = held.with(|held| held.iter().copied().collect());
        if ids.is_empty() {
            continue;
        }
        let (now, me) = (clock.now(), process.clone());
        if let Err(error) = db.write(move |tx| store::renew(tx, now, &me, &ids)).await {
            tracing::warn!(?error, "the claims on jobs could not be renewed");
        }
    }
}

impl Worker {
    async fn run(self: Arc<Self>) {
        let slots = Arc::new(Semaphore::new(self.kind.concurrency));
        loop {
            let enqueued = ENQUEUED.notified();
            tokio::pin!(enqueued);
            // From here on a commit wakes us, even while we are looking.
            enqueued.as_mut().enable();
            let Some(first) = self.slot(&slots).await else { return };
            match self.claim(&slots, first).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(?error, kind = self.name, "jobs could not be claimed; trying again"),
            }
            tokio::select! {
                () = self.tasks.stopping() => return,
                () = enqueued => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Waits for a free slot; None when the server stops.
    async fn slot(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.tasks.stopping() => None,
            slot = Arc::clone(slots).acquire_owned() => slot.ok(),
        }
    }

    /// Claims as many due jobs as there are free slots and starts them; whether there were any.
    async fn claim(self: &Arc<Self>, slots: &Arc<Semaphore>, first: OwnedSemaphorePermit) -> Result<bool> {
        let (name, now) = (self.name, self.clock.now());
        if self.db.read(move |tx| store::next_due(tx, now, name)).await?.is_none_or(|due| due > now) {
            return Ok(false);
        }
        let mut free = vec![first];
        while let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            free.push(slot);
        }
        let (me, limit) = (self.process.clone(), free.len());
        let claimed = self.db.write(move |tx| store::claim(tx, now, name, &me, limit)).await?;
        let any = !claimed.is_empty();
        for (job, slot) in claimed.into_iter().zip(free) {
            let worker = Arc::clone(self);
            self.tasks.spawn(async move {
                worker.work(job).await;
                drop(slot);
            });
        }
        Ok(any)
    }

    async fn work(&self, job: Job) {
        let id = job.id;
        self.held.with(|held| held.insert(id));
        self.work_held(job).await;
        self.held.with(|held| held.remove(&id));
    }

    async fn work_held(&self, job: Job) {
        let id = job.id;
        let outcome = if store::exhausted(&job) {
            Some(Err(Error::unavailable(
                "job_interrupted",
                format!(
                    "The server ended {MAX_ATTEMPTS} times in the middle of this work, so it is not tried again by itself."
                ),
            )))
        } else {
            let handler = AssertUnwindSafe(async { (self.kind.handler)(job.clone()).await }).catch_unwind();
            tokio::select! {
                done = handler => Some(done.unwrap_or_else(|_| Err(Error::internal(format!("a {} job panicked", self.name))))),
                () = self.tasks.stopping() => None,
            }
        };
        let settled = match outcome {
            None => self.give_back(id).await,
            Some(Ok(())) => self.finished(id).await,
            // Finished by another worker, or withdrawn: nothing is left to decide.
            Some(Err(error)) if error.code() == "job_taken" => Ok(()),
            Some(Err(error)) => self.failed(job, error).await,
        };
        if let Err(error) = settled {
            tracing::error!(
                ?error,
                job = id,
                kind = self.name,
                "the outcome of a job could not be stored; its lease will run out"
            );
        }
    }

    async fn give_back(&self, id: i64) -> Result<()> {
        let me = self.process.clone();
        self.db.write(move |tx| store::release(tx, id, &me)).await
    }

    /// Handlers finish in their own transaction; what one left over is finished here.
    async fn finished(&self, id: i64) -> Result<()> {
        let me = self.process.clone();
        if self.db.read(move |tx| store::holds(tx, id, &me)).await? {
            self.db.write(move |tx| store::delete(tx, id)).await?;
        }
        Ok(())
    }

    async fn failed(&self, job: Job, error: Error) -> Result<()> {
        let (id, me, now) = (job.id, self.process.clone(), self.clock.now());
        let sentence: String = error.to_string().chars().take(ERROR_LIMIT).collect();
        let sentence = sentence.replace('\0', " ");
        if !job.is_last_attempt() {
            tracing::warn!(
                ?error,
                job = id,
                kind = self.name,
                attempt = job.attempts,
                "a job failed and is tried again"
            );
            let run_at = retry_at(now, job.attempts);
            return self.db.write(move |tx| store::retry(tx, now, id, &me, run_at, &sentence)).await;
        }
        tracing::error!(?error, job = id, kind = self.name, "a job failed for the last time");
        if let Some(on_dead) = &self.kind.on_dead {
            let told = AssertUnwindSafe(async { on_dead(job, error).await }).catch_unwind().await;
            told.unwrap_or_else(|_| Err(Error::internal("the one told of a dead job panicked")))?;
        }
        self.db.write(move |tx| store::bury(tx, now, id, &me, &sentence)).await
    }
}

/// 2, 8, 32, 128 seconds after the first, second, third, fourth failure.
pub fn retry_at(now: Time, attempts: i64) -> Time {
    let power = u32::try_from(attempts.clamp(1, MAX_ATTEMPTS) - 1).unwrap_or(0);
    now.plus(2 * 4_i64.pow(power) * SECOND)
}

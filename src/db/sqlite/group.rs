//! The writer: jobs that wait together are committed together.
//!
//! Invariants: nobody is told of success before the COMMIT that holds it is durable; a job that fails or panics undoes only
//! itself. A group is tried as one transaction first. A savepoint for each job costs as much as the job's own rows, so they
//! are set only when a job failed after it had changed something; when that fails too, each job has a transaction of its
//! own, so that only the culprit fails.

use async_channel::Receiver;
use tokio::runtime::Handle;

use super::session::Session;
use crate::base::error::{Error, Result};
use crate::db::error::{DbError, busy};
use crate::db::job::{Job, Message, Outcome, run_hooks};
use crate::db::tx::{Conn, Hook};

/// Jobs in one COMMIT at most: the cost of an fsync is shared by then, and the group's latency stays short.
const GROUP: usize = 256;

/// The writer's life: wait for a job, take what else is queued, commit them together.
pub(in crate::db) fn write_loop(session: &Session, queue: &Receiver<Message>, runtime: &Handle) {
    let mut open = true;
    while open && let Ok(first) = queue.recv_blocking() {
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
        commit(session, jobs, runtime);
    }
    if let Err(cause) = session.each_row("PRAGMA wal_checkpoint(TRUNCATE)", &[], &mut |_| true) {
        tracing::warn!(%cause, "the last checkpoint of the database failed; the next start will repeat it");
    }
}

fn commit(session: &Session, mut jobs: Vec<Box<dyn Job>>, runtime: &Handle) {
    if jobs.len() < 2 {
        return jobs.into_iter().for_each(|job| commit_alone(session, job));
    }
    let hooks =
        commit_group(session, &mut jobs, run_bare).or_else(|_| commit_group(session, &mut jobs, run_in_savepoint));
    match hooks {
        Ok(hooks) => {
            hooks.into_iter().for_each(run_hooks);
            // The runtime is woken once and hands the answers out; waking it for each would cost more than the writes.
            runtime.spawn(async move { jobs.into_iter().for_each(|job| job.answer(Ok(()))) });
        }
        Err(_) => jobs.into_iter().for_each(|job| commit_alone(session, job)),
    }
}

fn commit_alone(session: &Session, mut job: Box<dyn Job>) {
    let verdict = match session.control("BEGIN IMMEDIATE") {
        Err(error) => Err(error),
        Ok(()) => match session.bounded(|| job.run(Conn::Sqlite(session))) {
            Outcome::Keep(hooks) => session.control("COMMIT").map(|()| Some(hooks)),
            // The job holds its error.
            Outcome::Undo | Outcome::Again => Ok(None),
        },
    };
    match verdict {
        Ok(Some(hooks)) => {
            run_hooks(hooks);
            job.answer(Ok(()));
        }
        Ok(None) => {
            session.roll_back();
            job.answer(Ok(()));
        }
        Err(error) => {
            session.roll_back();
            job.answer(Err(Error::from(error)));
        }
    }
}

type Run = fn(&Session, &mut dyn Job) -> Result<Vec<Hook>, DbError>;

/// One transaction for all. `Err` means that none of it is in the database.
fn commit_group(session: &Session, jobs: &mut [Box<dyn Job>], run: Run) -> Result<Vec<Vec<Hook>>, DbError> {
    session.control("BEGIN IMMEDIATE")?;
    let done = jobs.iter_mut().map(|job| run(session, job.as_mut())).collect::<Result<Vec<_>, _>>();
    let done = done.and_then(|hooks| session.control("COMMIT").map(|()| hooks));
    if done.is_err() {
        session.roll_back();
    }
    done
}

/// Fails when the job failed and left something to undo.
fn run_bare(session: &Session, job: &mut dyn Job) -> Result<Vec<Hook>, DbError> {
    let before = session.changes();
    let outcome = run(session, job)?;
    match outcome {
        Outcome::Keep(hooks) => Ok(hooks),
        Outcome::Undo | Outcome::Again if session.changes() == before => Ok(Vec::new()),
        Outcome::Undo | Outcome::Again => Err(DbError::Other("a job of the group is to be undone".into())),
    }
}

fn run_in_savepoint(session: &Session, job: &mut dyn Job) -> Result<Vec<Hook>, DbError> {
    session.control("SAVEPOINT job")?;
    let hooks = match run(session, job)? {
        Outcome::Keep(hooks) => hooks,
        Outcome::Undo | Outcome::Again => {
            session.control("ROLLBACK TO job")?;
            Vec::new()
        }
    };
    session.control("RELEASE job")?;
    Ok(hooks)
}

fn run(session: &Session, job: &mut dyn Job) -> Result<Outcome, DbError> {
    let outcome = session.bounded(|| job.run(Conn::Sqlite(session)));
    if session.in_transaction() { Ok(outcome) } else { Err(DbError::Other("SQLite ended the transaction".into())) }
}

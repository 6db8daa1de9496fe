//! What becomes of a turn that did not come to its commit.
//!
//! Invariant: the tokens it used are added to its run in the transaction that says what went wrong, so that a budget holds
//! over every attempt; and nothing is said about a turn that somebody else stopped or moved on: they have said it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::commit::used;
use super::control::brief;
use super::events::{Level, RunEvent};
use super::step::Payload;
use super::{Record, RunError, RunStatus, Runs, StageStatus, store};
use crate::access::actions::RunExecute;
use crate::access::{Caller, OrgId, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Kind, Result};
use crate::db::Tx;
use crate::jobs::{self, Job};
use crate::projects::{self, ProjectId, ProjectStatus};

/// Tokens that a turn used and that its run does not know of yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Uncounted(Arc<AtomicU64>);

impl Uncounted {
    pub fn set(&self, tokens: u64) {
        self.0.store(tokens, Ordering::Release);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// For whoever counts in place of the turn.
    pub fn shared(&self) -> Arc<AtomicU64> {
        self.0.clone()
    }

    /// Forgets them once the present write, which counts them, is durable.
    pub fn counted_by(&self, tx: &mut Tx<'_>) {
        let own = self.clone();
        tx.after_commit(move || own.set(0));
    }
}

/// A turn that is lost, and what it used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub run: i64,
    pub job: i64,
    /// The place of the stage, and the tokens.
    pub used: Option<(usize, u64)>,
    /// It may have been committed, and nobody was told.
    pub unsure: bool,
}

impl Lost {
    /// A turn that ended with `error` after it used `tokens` in the stage at `place`.
    pub fn new(run: i64, job: &Job, place: usize, tokens: u64, error: &Error) -> Self {
        let used = Some((place, tokens)).filter(|_| tokens > 0);
        Self { run, job: job.id, used, unsure: error.code() == "commit_unknown" }
    }

    /// Locks the run and counts the tokens. The run, while the turn is still its next one.
    fn count(&self, tx: &mut Tx<'_>) -> Result<Option<Record>> {
        let Some(mut record) = store::lock(tx, self.run)? else { return Ok(None) };
        let ours = record.step_job == Some(self.job);
        // A commit that did happen has taken the job along, and counted.
        if let Some((place, tokens)) = self.used.filter(|_| ours || !self.unsure) {
            record.count(place, tokens);
            store::save(tx, &record)?;
        }
        Ok(ours.then_some(record))
    }
}

impl Runs {
    /// Called when the last attempt at a turn ended without its handler: in a panic, or with the server.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn give_up(self, job: Job, error: Error) -> Result<()> {
        let Payload { run } = job.parse()?;
        self.fail(Lost { run, job: job.id, used: None, unsure: false }, &error).await
    }

    /// Decides what becomes of a turn that ended with `error`.
    ///
    /// # Errors
    /// `error` when the turn is to be tried again, or the database's own.
    pub(super) async fn broken(&self, lost: Lost, job: &Job, error: Error) -> Result<()> {
        if error.code() == "job_taken" {
            return self.forget(lost).await;
        }
        // Whoever started it was switched off just now: it ends as all of theirs do, whichever of the two comes first.
        if error.code() == "account_inactive" {
            return self.leave(lost).await;
        }
        if is_final(&error) {
            return self.fail(lost, &error).await;
        }
        if job.is_last_attempt() {
            tracing::error!(?error, run = lost.run, "a turn failed for the last time");
            return self.fail(lost, &error).await;
        }
        self.try_again(lost, &error).await?;
        Err(error)
    }

    async fn forget(&self, lost: Lost) -> Result<()> {
        if lost.used.is_none() {
            return Ok(());
        }
        self.inner.rooms.db.write(move |tx| lost.count(tx).map(drop)).await
    }

    async fn leave(&self, lost: Lost) -> Result<()> {
        let runs = self.clone();
        let work = move |tx: &mut Tx<'_>| match lost.count(tx)?.and_then(|record| record.started_by) {
            Some(person) => runs.cancel_of(tx, UserId(person)).map(drop),
            None => Ok(()),
        };
        self.inner.rooms.db.write(work).await
    }

    async fn try_again(&self, lost: Lost, error: &Error) -> Result<()> {
        let (runs, now, why) = (self.clone(), self.inner.rooms.clock.now(), RunError::of(error));
        let work = move |tx: &mut Tx<'_>| {
            let Some(record) = lost.count(tx)? else { return Ok(()) };
            let then = match record.run.status {
                RunStatus::Paused => "The turn is tried again when the run is resumed.",
                _ => "The turn is tried again.",
            };
            runs.tell_broken(tx, &record, &why, false);
            let (role, text) = (record.role().to_owned(), format!("{} {then}", why.detail));
            let mut events = vec![RunEvent::Message { role, level: Level::Warning, text, at: now }];
            if lost.used.is_some() {
                events.push(used(tx, &runs, &record)?);
            }
            runs.inner.hub.append(tx, lost.run, &events)
        };
        self.inner.rooms.db.write(work).await
    }

    /// Ends the run with what went wrong; people may retry the stage.
    async fn fail(&self, lost: Lost, error: &Error) -> Result<()> {
        let (runs, now) = (self.clone(), self.inner.rooms.clock.now());
        let why = RunError::of(error);
        let work = move |tx: &mut Tx<'_>| {
            let Some(mut record) = lost.count(tx)? else { return Ok(()) };
            jobs::withdraw(tx, lost.job)?;
            let before = brief(&record.run);
            record.step_job = None;
            record.run.status = RunStatus::Failed;
            record.run.error = Some(why.clone());
            record.run.finished_at = Some(now);
            let role = record.role().to_owned();
            let mut events = vec![RunEvent::Message { role, level: Level::Error, text: why.detail.clone(), at: now }];
            if let Some(stage) = record.stage_mut() {
                stage.status = StageStatus::Failed;
                stage.finished_at = Some(now);
                events.push(RunEvent::Stage(stage.clone()));
            }
            store::save(tx, &record)?;
            runs.tell_broken(tx, &record, &why, true);
            runs.tell_end(tx, &record);
            let system = Arc::new(Caller { origin: record.origin.clone(), ..Caller::system() });
            let (permit, project) = (system.permit::<RunExecute>()?, ProjectId(record.run.project_id));
            projects::store::set_status(tx, &permit, project, ProjectStatus::Failed, now)?;
            let event = Event::new(AuditAction::Execute, "run", format!("Run {} failed: {}", lost.run, why.detail));
            let event = event.id(lost.run).org(OrgId(record.run.organization_id)).failed();
            audit::record(tx, now, &system, &event.before(&before).after(&brief(&record.run)))?;
            events.push(RunEvent::Status(Box::new(record.run)));
            runs.inner.hub.append(tx, lost.run, &events)
        };
        self.inner.rooms.db.write(work).await
    }
}

impl RunError {
    fn of(error: &Error) -> Self {
        Self { code: error.code().to_owned(), detail: error.to_string() }
    }
}

/// Whether trying again by itself cannot help.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), Kind::Invalid | Kind::Forbidden | Kind::NotFound | Kind::TooLarge | Kind::Unauthenticated)
        || matches!(error.code(), "quota_exceeded" | "no_model" | "model_not_found" | "context_truncated")
}

/// Whether a call that failed is charged for: one that no server took is not. `heard`: some of the answer came.
pub(super) fn is_charged(error: &Error, heard: bool) -> bool {
    heard || matches!(error.code(), "upstream_timeout" | "upstream_too_large" | "context_truncated")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_took_is_not_charged() {
        let error = |code| Error::upstream(code, "It failed.");
        assert!(is_charged(&error("upstream_cut"), true) && !is_charged(&error("upstream_cut"), false));
        assert!(is_charged(&error("upstream_timeout"), false) && !is_charged(&error("upstream_unreachable"), false));
    }

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        assert!(is_final(&Error::invalid("token_budget_exceeded", "")) && is_final(&Error::not_found("project")));
        assert!(!is_final(&Error::upstream("upstream_cut", "")) && !is_final(&Error::unavailable("disk_full", "")));
    }
}

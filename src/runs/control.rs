//! What people do to a run: start, pause, resume, cancel, do a stage again.
//!
//! Invariant: each is one transaction that locks the run, checks that the run's state allows it, and leaves the new state,
//! the audit entry, the events and at most one job that may move the run on.

use std::sync::Arc;

use super::events::{Hub, RunEvent};
use super::plan::Step;
use super::store::{self, NewRun};
use super::{Record, Run, RunStatus, Runs, StageStatus, StageView, step};
use crate::access::actions::RunExecute;
use crate::access::{Caller, OrgId, Permit, UserId};
use crate::accounts::Deactivated;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::jobs::{self, Job};
use crate::orgs;
use crate::projects::{self, ProjectId, ProjectStatus};

/// What may be done to a run that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Pause,
    /// Past a closed quality gate when true.
    Resume(bool),
    Cancel,
    /// The stage of this name.
    Retry(String),
}

impl Act {
    fn past(&self) -> String {
        match self {
            Self::Pause => "Paused".to_owned(),
            Self::Resume(_) => "Resumed".to_owned(),
            Self::Cancel => "Canceled".to_owned(),
            Self::Retry(stage) => format!("Began stage {} again in", stage.escape_debug()),
        }
    }
}

impl Runs {
    /// Queues a run.
    ///
    /// # Errors
    /// `not_found` when the project is gone; `run_active` when it has a run that has not ended; `organization_suspended`.
    pub(super) async fn start(&self, permit: Permit<RunExecute>, new: NewRun) -> Result<Run> {
        let (hub, now) = (self.inner.hub.clone(), self.inner.rooms.clock.now());
        self.inner
            .rooms
            .db
            .write(move |tx| {
                projects::store::find(tx, &permit, ProjectId(new.project_id))?;
                at_work(tx, new.org)?;
                let mut record = store::insert(tx, &permit, now, &new)?;
                projects::store::set_latest_run(tx, ProjectId(new.project_id), record.run.id)?;
                enqueue(tx, now, &mut record)?;
                let event = Event::new(AuditAction::Execute, "run", format!("Started run {}", record.run.id));
                let event = event.id(record.run.id).org(new.org).after(&brief(&record.run));
                audit::record(tx, now, permit.caller(), &event)?;
                finish(tx, &hub, record)
            })
            .await
    }

    /// Cancels what goes on in an organisation that was closed.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn stop(self, job: Job) -> Result<()> {
        let org = OrgId(job.parse::<orgs::lifecycle::Stop>()?.organization);
        let site = Arc::new(Caller::system()).permit::<RunExecute>()?;
        let db = &self.inner.rooms.db;
        loop {
            let going = db.read(move |tx| store::going_on(tx, org)).await?;
            if going.is_empty() {
                return db.write(move |tx| jobs::finish(tx, job.id)).await;
            }
            for run in going {
                match self.act(site.clone(), run, Act::Cancel).await {
                    // It ended by itself, or its project is gone.
                    Err(error) if matches!(error.code(), "run_state" | "not_found") => {}
                    other => other.map(drop)?,
                }
            }
        }
    }

    /// Does `act` to a run.
    ///
    /// # Errors
    /// `not_found`; `run_state` when the run is not in a state for it; `run_active` when another run of the project goes on;
    /// `organization_suspended` when nobody works there.
    pub(super) async fn act(&self, permit: Permit<RunExecute>, id: i64, act: Act) -> Result<Run> {
        let (runs, hub, now) = (self.clone(), self.inner.hub.clone(), self.inner.rooms.clock.now());
        self.inner
            .rooms
            .db
            .write(move |tx| {
                let mut record = store::lock_for(tx, &permit, id)?;
                let before = brief(&record.run);
                if matches!(act, Act::Resume(_) | Act::Retry(_)) {
                    at_work(tx, OrgId(record.run.organization_id))?;
                }
                let mut passed = None;
                match &act {
                    Act::Pause => pause(&mut record)?,
                    Act::Resume(anyway) if record.run.held.is_some() => {
                        passed = runs.release(tx, &permit, &mut record, *anyway)?;
                    }
                    Act::Resume(_) => resume(tx, now, &mut record)?,
                    Act::Cancel => cancel(tx, &hub, now, &mut record)?,
                    Act::Retry(stage) => retry(tx, now, &mut record, stage)?,
                }
                let status = match &act {
                    Act::Cancel => Some(ProjectStatus::Canceled),
                    Act::Retry(_) => Some(record.phase().project_status()),
                    Act::Resume(_) if record.run.status == RunStatus::Completed => Some(ProjectStatus::Completed),
                    Act::Pause | Act::Resume(_) => None,
                };
                if let Some(status) = status {
                    projects::store::set_status(tx, &permit, ProjectId(record.run.project_id), status, now)?;
                }
                let past = passed.map_or_else(String::new, |why| format!(" past the quality gate: {why}"));
                let event = Event::new(AuditAction::Execute, "run", format!("{} run {id}{past}", act.past()));
                let event =
                    event.id(id).org(OrgId(record.run.organization_id)).before(&before).after(&brief(&record.run));
                audit::record(tx, now, permit.caller(), &event)?;
                runs.tell_end(tx, &record);
                finish(tx, &hub, record)
            })
            .await
    }
}

impl Runs {
    /// Cancels what agents do for a person who is leaving, in the caller's transaction; how many runs that were.
    ///
    /// # Errors
    /// When the database fails.
    pub fn cancel_of(&self, tx: &mut Tx<'_>, person: UserId) -> Result<usize> {
        let (hub, now) = (&self.inner.hub, self.inner.rooms.clock.now());
        let system = Arc::new(Caller::system());
        let permit = system.permit::<RunExecute>()?;
        let runs = store::unfinished_of(tx, person)?;
        for id in &runs {
            let mut record = store::lock_for(tx, &permit, *id)?;
            let before = brief(&record.run);
            cancel(tx, hub, now, &mut record)?;
            let project = ProjectId(record.run.project_id);
            projects::store::set_status(tx, &permit, project, ProjectStatus::Canceled, now)?;
            let words = format!("Canceled run {id}: who started it is leaving");
            let event = Event::new(AuditAction::Execute, "run", words).id(id).org(OrgId(record.run.organization_id));
            audit::record(tx, now, &system, &event.before(&before).after(&brief(&record.run)))?;
            self.tell_end(tx, &record);
            finish(tx, hub, record)?;
        }
        Ok(runs.len())
    }

    /// Cancels what somebody has at work whose account was switched off: nobody may go on with it in that person's name.
    ///
    /// # Errors
    /// When the database fails; the job is then done again.
    pub(super) async fn stop_all_of(self, job: Job) -> Result<()> {
        let Deactivated { user } = job.parse()?;
        let db = self.inner.rooms.db.clone();
        db.write(move |tx| {
            self.cancel_of(tx, UserId(user))?;
            jobs::finish(tx, job.id)
        })
        .await
    }
}

/// Whoever may act over the site may look at an organisation that is closed, but nobody works in it.
///
/// # Errors
/// `organization_suspended`, with the reason.
fn at_work(tx: &mut Tx<'_>, org: OrgId) -> Result<()> {
    match orgs::store::why_closed(tx, org)? {
        Some(why) => Err(Error::conflict("organization_suspended", why)),
        None => Ok(()),
    }
}

fn finish(tx: &mut Tx<'_>, hub: &Hub, record: Record) -> Result<Run> {
    store::save(tx, &record)?;
    hub.append(tx, record.run.id, &[RunEvent::Status(Box::new(record.run.clone()))])?;
    Ok(record.run)
}

fn pause(record: &mut Record) -> Result<()> {
    match record.run.status {
        RunStatus::Queued | RunStatus::Running => record.run.status = RunStatus::Paused,
        _ => return Err(wrong_state(&record.run, "pause", "Only a run that is queued or running can be paused.")),
    }
    Ok(())
}

fn resume(tx: &mut Tx<'_>, now: Time, record: &mut Record) -> Result<()> {
    if record.run.status != RunStatus::Paused {
        return Err(wrong_state(&record.run, "resume", "Only a paused run can be resumed."));
    }
    // The turn that was under way when the run was paused may not have ended: then it goes on by itself.
    record.run.status = RunStatus::Running;
    if record.step_job.is_none() {
        enqueue(tx, now, record)?;
    }
    Ok(())
}

fn cancel(tx: &mut Tx<'_>, hub: &Hub, now: Time, record: &mut Record) -> Result<()> {
    if record.run.status.is_final() {
        return Err(wrong_state(&record.run, "cancel", "It has ended already."));
    }
    if let Some(job) = record.step_job.take() {
        jobs::withdraw(tx, job)?;
        hub.stop_turn(tx, job);
    }
    record.run.status = RunStatus::Canceled;
    record.run.held = None;
    record.run.finished_at = Some(now);
    if let Some(stage) = record.stage_mut().filter(|stage| stage.status == StageStatus::Running) {
        stage.status = StageStatus::Failed;
        stage.finished_at = Some(now);
    }
    Ok(())
}

/// Goes back to `stage`: it and what follows it is to be done anew. Files stay; what is written gets new versions.
fn retry(tx: &mut Tx<'_>, now: Time, record: &mut Record, stage: &str) -> Result<()> {
    let Some(place) = record.plan.place_of(stage) else {
        let known: Vec<&str> = record.plan.stages.iter().map(|stage| stage.name.as_str()).collect();
        return Err(Error::not_found(format!("stage `{}` (there are: {})", stage.escape_debug(), known.join(", "))));
    };
    if !record.run.status.is_final() {
        return Err(wrong_state(&record.run, "retry", "Cancel it first, or wait for its end."));
    }
    let views = &mut record.run.stages;
    if views[place].status == StageStatus::Skipped {
        let sentence = format!("Stage {stage} is left out in run {}. Start a new run to have it done.", record.run.id);
        return Err(Error::conflict("stage_skipped", sentence));
    }
    let is_over = |view: &StageView| matches!(view.status, StageStatus::Done | StageStatus::Skipped);
    if !views[..place].iter().all(is_over) {
        let sentence = format!("Run {} has not come to stage {stage}. Retry the stage it stopped at.", record.run.id);
        return Err(Error::conflict("stage_not_reached", sentence));
    }
    for view in views[place..].iter_mut().filter(|view| view.status != StageStatus::Skipped) {
        view.status = StageStatus::Pending;
        view.started_at = None;
        view.finished_at = None;
    }
    record.step = Step { place, turn: 0 };
    record.run.stage = stage.to_owned();
    record.run.status = RunStatus::Queued;
    record.run.error = None;
    record.run.finished_at = None;
    enqueue(tx, now, record)
}

/// Makes the next turn the only job that may move the run on.
pub(super) fn enqueue(tx: &mut Tx<'_>, now: Time, record: &mut Record) -> Result<()> {
    record.step_job = Some(jobs::enqueue(tx, now, step::KIND, &step::Payload { run: record.run.id })?);
    Ok(())
}

fn wrong_state(run: &Run, verb: &str, rule: &str) -> Error {
    let sentence = format!("Run {} is {}: there is nothing to {verb}. {rule}", run.id, run.status.code());
    Error::conflict("run_state", sentence)
}

/// A run as the audit trail keeps it: without its texts.
pub(super) fn brief(run: &Run) -> serde_json::Value {
    serde_json::json!({
        "project_id": run.project_id,
        "model": run.model,
        "status": run.status,
        "stage": run.stage,
        "workflow": run.workflow,
        "iteration": run.iteration,
        "token_budget": run.token_budget,
        "tokens_used": run.tokens_used,
        "held": run.held,
        "error": run.error,
    })
}

//! All SQL of runs and their stages.
//!
//! Invariant: whoever changes a run locks its row first, loads it, and saves it in the same transaction.

use super::plan::{Plan, Step};
use super::workflow::{AgentRole, agent_name};
use super::{COMPLETED, Record, Run, RunError, RunStatus, StageStatus, StageView};
use crate::access::actions::ProjectRead;
use crate::access::{Action, OrgId, Origin, Permit, UserId};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, params};
use crate::projects::{self, ProjectId};

const COLUMNS: &str = "id, project_id, organization_id, requirement, model, status, stage, role, iteration, max_iterations, \
    skip_ui_design, token_budget, tokens_used, error_code, error_detail, started_by, created_by, created_at, started_at, \
    finished_at, step_job, ip_address, user_agent, held, \
    (SELECT team_id FROM projects WHERE projects.id = runs.project_id), token_id, plan, place";

/// What a new run starts with; checked by the rule that made it.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub project_id: i64,
    pub org: OrgId,
    pub requirement: String,
    pub model: String,
    pub skip_ui_design: bool,
    pub max_iterations: i64,
    pub token_budget: Option<i64>,
    /// Sound.
    pub plan: Plan,
}

/// Makes a run, queued, with all its stages to come.
///
/// # Errors
/// `run_active` when the project has a run that has not ended.
pub fn insert<A: Action>(tx: &mut Tx<'_>, permit: &Permit<A>, now: Time, new: &NewRun) -> Result<Record> {
    let id = tx.next_id()?;
    let caller = permit.caller();
    let (plan, first) = (&new.plan, new.plan.first());
    let own = *plan == Plan::built_in(new.skip_ui_design);
    let kept = if own { None } else { Some(serde_json::to_string(plan).map_err(Error::internal)?) };
    let inserted = tx.savepoint(|tx| {
        tx.execute(
            "INSERT INTO runs (id, project_id, organization_id, requirement, model, status, stage, role, iteration, \
             max_iterations, skip_ui_design, token_budget, tokens_used, started_by, created_by, created_at, last_event, \
             ip_address, user_agent, token_id, plan, place) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, 0, $12, $13, $14, 0, $15, $16, $17, $18, $19)",
            &params![
                id,
                new.project_id,
                new.org.0,
                &new.requirement,
                &new.model,
                RunStatus::Queued.code(),
                &plan.stage(first).name,
                plan.role(first),
                new.max_iterations,
                new.skip_ui_design,
                new.token_budget,
                caller.user.map(|user| user.0),
                &caller.actor.name,
                now,
                caller.origin.ip_address.clone(),
                caller.origin.user_agent.clone(),
                caller.token().filter(|token| token.is_limited()).map(|token| token.id),
                kept.clone(),
                place_of(first)
            ],
        )
    });
    match inserted {
        Err(DbError::Unique(_)) => return Err(active()),
        other => other?,
    };
    for (place, stage) in plan.stages.iter().enumerate() {
        let status = if stage.skipped { StageStatus::Skipped } else { StageStatus::Pending };
        let step = Step { place, turn: 0 };
        tx.execute(
            "INSERT INTO run_stages (run_id, place, stage, role, status, attempts, tokens) VALUES ($1, $2, $3, $4, $5, 0, 0)",
            &params![id, place_of(step), &stage.name, plan.role(step), status.code()],
        )?;
    }
    load(tx, id)?.ok_or_else(|| Error::not_found("run"))
}

/// Another run of the project has not ended.
pub fn active() -> Error {
    Error::conflict(
        "run_active",
        "The project has a run that has not ended. Wait for it, or cancel it, then try again.",
    )
}

/// A run of a project the permit covers.
///
/// # Errors
/// `not_found`, also when it belongs to somebody else.
pub fn get<A: Action>(tx: &mut Tx<'_>, permit: &Permit<A>, id: i64) -> Result<Run> {
    let record = load(tx, id)?.ok_or_else(|| Error::not_found("run"))?;
    permit.require_place(record.place(), "run")?;
    Ok(record.run)
}

/// [`get`] for whoever is about to change it: nobody else can until the transaction ends.
///
/// # Errors
/// `not_found`, also when it belongs to somebody else.
pub fn lock_for<A: Action>(tx: &mut Tx<'_>, permit: &Permit<A>, id: i64) -> Result<Record> {
    let record = lock(tx, id)?.ok_or_else(|| Error::not_found("run"))?;
    permit.require_place(record.place(), "run")?;
    Ok(record)
}

/// Locks and loads a run; None when it is gone.
pub fn lock(tx: &mut Tx<'_>, id: i64) -> Result<Option<Record>> {
    tx.execute("UPDATE runs SET last_event = last_event WHERE id = $1", &params![id])?;
    load(tx, id)
}

/// Runs of the organisation that have not ended, at most 100.
pub fn going_on(tx: &mut Tx<'_>, org: OrgId) -> Result<Vec<i64>> {
    let sql = "SELECT id FROM runs WHERE organization_id = $1 AND status IN ('queued', 'running', 'paused') \
        ORDER BY id LIMIT 100";
    Ok(tx.query_map(sql, &params![org.0], |row| row.get(0))?)
}

/// The runs a person started that have not ended, oldest first.
pub fn unfinished_of(tx: &mut Tx<'_>, person: UserId) -> Result<Vec<i64>> {
    let sql = "SELECT id FROM runs WHERE started_by = $1 AND status IN ('queued', 'running', 'paused') ORDER BY id";
    Ok(tx.query_map(sql, &params![person.0], |row| row.get(0))?)
}

/// Whether the run has ended, or is gone.
pub fn has_ended(tx: &mut Tx<'_>, id: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM runs WHERE id = $1 AND status IN ('queued', 'running', 'paused')";
    Ok(tx.query_row(sql, &params![id], |_| Ok(()))?.is_none())
}

/// A project's runs, newest first.
///
/// # Errors
/// `not_found` when the project is none the permit covers.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<ProjectRead>, project: i64, page: Page) -> Result<Vec<Run>> {
    projects::store::find(tx, permit, ProjectId(project))?;
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE project_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    let records = tx.query_map(&sql, &params![project, page.before, page.fetch()], read)?;
    records.into_iter().map(|record| with_stages(tx, record).map(|record| record.run)).collect()
}

/// Writes everything that changes in a run's life.
pub fn save(tx: &mut Tx<'_>, record: &Record) -> Result<()> {
    let Record { run, step, step_job, .. } = record;
    let saved = tx.savepoint(|tx| {
        tx.execute(
            "UPDATE runs SET status = $2, stage = $3, role = $4, iteration = $5, tokens_used = $6, error_code = $7, \
             error_detail = $8, started_at = $9, finished_at = $10, step_job = $11, held = $12, place = $13 WHERE id = $1",
            &params![
                run.id,
                run.status.code(),
                &run.stage,
                record.role(),
                run.iteration,
                run.tokens_used,
                run.error.as_ref().map(|error| error.code.clone()),
                run.error.as_ref().map(|error| error.detail.clone()),
                run.started_at,
                run.finished_at,
                *step_job,
                run.held.clone(),
                place_of(*step)
            ],
        )
    });
    match saved {
        Err(DbError::Unique(_)) => return Err(active()),
        other => other?,
    };
    for (place, view) in run.stages.iter().enumerate() {
        tx.execute(
            "UPDATE run_stages SET role = $3, status = $4, attempts = $5, tokens = $6, summary = $7, started_at = $8, \
             finished_at = $9 WHERE run_id = $1 AND place = $2",
            &params![
                run.id,
                place_of(Step { place, turn: 0 }),
                &view.role,
                view.status.code(),
                view.attempts,
                view.tokens,
                view.summary.clone(),
                view.started_at,
                view.finished_at
            ],
        )?;
    }
    Ok(())
}

fn load(tx: &mut Tx<'_>, id: i64) -> Result<Option<Record>> {
    let record = tx.query_row(&format!("SELECT {COLUMNS} FROM runs WHERE id = $1"), &params![id], read)?;
    record.map(|record| with_stages(tx, record)).transpose()
}

fn with_stages(tx: &mut Tx<'_>, mut record: Record) -> Result<Record> {
    let sql = "SELECT stage, role, status, attempts, tokens, summary, started_at, finished_at FROM run_stages \
               WHERE run_id = $1 ORDER BY place LIMIT 100";
    record.run.stages = tx.query_map(sql, &params![record.run.id], read_stage)?;
    Ok(record)
}

fn read(row: &Row<'_>) -> Result<Record, DbError> {
    let stage: String = row.get(6)?;
    let plan = plan(row)?;
    let step = step(row, &plan, &stage)?;
    let error: Option<String> = row.get(13)?;
    let detail: Option<String> = row.get(14)?;
    let run = Run {
        id: row.get(0)?,
        project_id: row.get(1)?,
        organization_id: row.get(2)?,
        requirement: row.get(3)?,
        model: row.get(4)?,
        status: code(row, 5, RunStatus::from_code)?,
        stage,
        iteration: row.get(8)?,
        max_iterations: row.get(9)?,
        skip_ui_design: row.get(10)?,
        workflow: plan.workflow.clone(),
        token_budget: row.get(11)?,
        tokens_used: row.get(12)?,
        held: row.get(23)?,
        error: error.map(|code| RunError { code, detail: detail.unwrap_or_default() }),
        created_by: row.get(16)?,
        created_at: row.get(17)?,
        started_at: row.get(18)?,
        finished_at: row.get(19)?,
        stages: Vec::new(),
    };
    let origin = Origin { ip_address: row.get(21)?, user_agent: row.get(22)?, request_id: None };
    let (team, started_by) = (row.get(24)?, row.get(15)?);
    Ok(Record { run, team, plan, step, started_by, token: row.get(25)?, origin, step_job: row.get(20)? })
}

fn read_stage(row: &Row<'_>) -> Result<StageView, DbError> {
    Ok(StageView {
        stage: row.get(0)?,
        role: row.get(1)?,
        status: code(row, 2, StageStatus::from_code)?,
        attempts: row.get(3)?,
        tokens: row.get(4)?,
        summary: row.get(5)?,
        started_at: row.get(6)?,
        finished_at: row.get(7)?,
    })
}

/// What the run began with.
fn plan(row: &Row<'_>) -> Result<Plan, DbError> {
    let Some(kept) = row.get::<Option<String>>(26)? else { return Ok(Plan::built_in(row.get(10)?)) };
    let plan: Result<Plan, _> = serde_json::from_str(&kept);
    plan.ok().filter(Plan::is_sound).ok_or_else(|| DbError::Other("a run holds a plan nobody can keep to".to_owned()))
}

/// Where in its plan the run is.
fn step(row: &Row<'_>, plan: &Plan, stage: &str) -> Result<Step, DbError> {
    let role: String = row.get(7)?;
    let place = match row.get::<Option<i64>>(27)? {
        Some(place) => usize::try_from(place).ok(),
        None if stage == COMPLETED => return Ok(plan.last()),
        None => plan.place_of(stage),
    };
    let step = place.and_then(|place| plan.at(place, &role));
    step.ok_or_else(|| {
        DbError::Other(format!("a run is at stage `{stage}` with role `{role}`, which its plan has not"))
    })
}

fn place_of(step: Step) -> i64 {
    i64::try_from(step.place).unwrap_or(i64::MAX)
}

/// What the agents are called that may have worked for a person: those of the platform, and of plugins in their runs.
///
/// # Errors
/// When the database fails.
pub fn agents_for(tx: &mut Tx<'_>, person: UserId, name: &str) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT run_stages.role FROM run_stages JOIN runs ON runs.id = run_stages.run_id \
        WHERE runs.started_by = $1 ORDER BY run_stages.role";
    let mut roles: Vec<String> = tx.query_map(sql, &params![person.0], |row| row.get(0))?;
    roles.extend(AgentRole::ALL.map(|role| role.code().to_owned()));
    roles.sort();
    roles.dedup();
    Ok(roles.iter().map(|role| agent_name(role, name)).collect())
}

fn code<T>(row: &Row<'_>, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, DbError> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| DbError::Other(format!("a run holds `{text}` in column {column}, which means nothing")))
}

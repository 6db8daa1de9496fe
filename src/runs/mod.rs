//! Runs: agents of seven roles, and those of plugins, turn a requirement into a project's files, stage by stage.
//!
//! Invariant: each turn of a role is one durable job and one commit: the files, what the plugins found in them, the tokens,
//! the audit entry, the events and the next job are there together or not at all. So a run goes on after a crash from the
//! last turn that was committed, and what people see is what there is. One run at a time works on a project.
//!
//! `workflow` is the platform's own stages and roles, `plan` the order a run keeps to, `planning` makes one; `step` does one
//! turn, `colleague` one of a plugin's agent, `commit` makes it last, `fault` is what becomes of one that
//! failed; `gate` holds it; `control` is what people do to a run; `events` is what they see of it; `prompt`, `question`, `reply`, `blocks`
//! and `place` are the conversation with the model; `telling` is what plugins are told.

mod blocks;
mod colleague;
mod commit;
mod control;
pub mod events;
mod fault;
mod gate;
mod place;
mod plan;
mod planning;
mod prompt;
mod question;
mod reply;
pub mod routes;
mod step;
mod store;
mod telling;
mod workflow;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

pub use store::agents_for;
use workflow::Stage;

use crate::access::{Origin, Place};
use crate::accounts::{self, Accounts};
use crate::base::clock::{Clock, Time};
use crate::base::error::Error;
use crate::base::tasks::Tasks;
use crate::db::Db;
use crate::hooks::Hooks;
use crate::jobs::Jobs;
use crate::llm::Llm;
use crate::orgs;
use crate::plugins::Plugins;
use crate::projects::Projects;
use crate::quotas::Quotas;
use events::Hub;
use plan::{Course, Plan, Step};

/// Runs worked on at a time; more wait in the queue.
const AT_WORK: usize = 4;
pub const DEFAULT_ITERATIONS: i64 = 3;
pub const MAX_ITERATIONS: i64 = 10;
/// Where a run is at its end.
const COMPLETED: &str = "completed";
const MAX_REQUIREMENT: usize = 200_000;
/// Event streams at a time.
const SEATS: usize = 1000;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Queued,
    Running,
    /// Stops after the turn under way, until somebody resumes it.
    Paused,
    Completed,
    Failed,
    Canceled,
}

impl RunStatus {
    const ALL: [Self; 6] = [Self::Queued, Self::Running, Self::Paused, Self::Completed, Self::Failed, Self::Canceled];

    pub fn code(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Whether nothing more happens unless somebody asks for it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// How a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    Pending,
    Running,
    Done,
    Skipped,
    Failed,
}

impl StageStatus {
    const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Done, Self::Skipped, Self::Failed];

    pub fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

/// A stage of a run as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// Unlike all others of the run.
    pub stage: String,
    /// Whose turn it is, or was last.
    pub role: String,
    pub status: StageStatus,
    /// How often the stage was begun.
    pub attempts: i64,
    /// Tokens of prompts and answers.
    pub tokens: i64,
    /// What was done, in a sentence; null before.
    pub summary: Option<String>,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunError {
    pub code: String,
    pub detail: String,
}

/// A run as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    pub id: i64,
    pub project_id: i64,
    pub organization_id: i64,
    pub requirement: String,
    pub model: String,
    pub status: RunStatus,
    /// The name of the stage it is in; `completed` at its end.
    pub stage: String,
    /// How often development was begun, from 1.
    pub iteration: i64,
    pub max_iterations: i64,
    pub skip_ui_design: bool,
    /// The plugin whose workflow it keeps to; null: the platform's own order.
    pub workflow: Option<String>,
    /// The most tokens the run may use; null: as many as the organisation's quota allows.
    pub token_budget: Option<i64>,
    pub tokens_used: i64,
    /// Why the quality gate holds it while it is paused; null: it does not.
    pub held: Option<String>,
    /// Why it failed; null otherwise.
    pub error: Option<RunError>,
    pub created_by: String,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    pub stages: Vec<StageView>,
}

/// A run with what only this room needs to know.
#[derive(Debug, Clone)]
struct Record {
    run: Run,
    /// The project's team, if it has one.
    team: Option<i64>,
    /// What it keeps to from its beginning to its end.
    plan: Plan,
    /// The turn under way or next.
    step: Step,
    /// On whose behalf; None: the local operator's.
    started_by: Option<i64>,
    /// The limited token it was started with; its agents are held to it.
    token: Option<i64>,
    /// From where; the request that started it is over.
    origin: Origin,
    /// The only job that may move the run on.
    step_job: Option<i64>,
}

impl Record {
    /// Where a permit must count for whatever is done to it.
    fn place(&self) -> Place {
        Place::of(Some(self.run.organization_id), self.team)
    }

    fn course(&self) -> Course {
        let Run { iteration, max_iterations, .. } = self.run;
        Course { iteration, max_iterations }
    }

    fn role(&self) -> &str {
        self.plan.role(self.step)
    }

    /// The name of the stage it is in.
    fn stage(&self) -> &str {
        &self.plan.stage(self.step).name
    }

    /// Which of the platform's own parts of the work it is in.
    fn phase(&self) -> Stage {
        self.plan.phase(self.step.place)
    }

    /// Adds tokens that the stage at `place` used.
    fn count(&mut self, place: usize, tokens: u64) {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        self.run.tokens_used = self.run.tokens_used.saturating_add(tokens);
        if let Some(view) = self.run.stages.get_mut(place) {
            view.tokens = view.tokens.saturating_add(tokens);
        }
    }

    fn stage_mut(&mut self) -> Option<&mut StageView> {
        self.run.stages.get_mut(self.step.place)
    }
}

/// The room of runs.
#[derive(Clone)]
pub struct Runs {
    inner: Arc<Inner>,
}

/// What the room is built from.
pub struct Rooms {
    pub db: Db,
    pub accounts: Accounts,
    pub llm: Llm,
    pub projects: Projects,
    pub plugins: Plugins,
    pub quotas: Quotas,
    pub hooks: Hooks,
    pub clock: Clock,
    pub tasks: Tasks,
}

struct Inner {
    rooms: Rooms,
    hub: Hub,
    /// One for each reader of events.
    seats: Arc<Semaphore>,
}

impl Runs {
    pub fn new(rooms: Rooms) -> Self {
        Self { inner: Arc::new(Inner { rooms, hub: Hub::default(), seats: Arc::new(Semaphore::new(SEATS)) }) }
    }

    /// Takes on the work of runs.
    pub fn register(&self, jobs: &mut Jobs) {
        let runs = self.clone();
        jobs.handle(step::KIND, AT_WORK, move |job| runs.clone().step(job));
        let runs = self.clone();
        jobs.on_dead(step::KIND, move |job, error| runs.clone().give_up(job, error));
        let runs = self.clone();
        jobs.handle(orgs::lifecycle::STOP, 1, move |job| runs.clone().stop(job));
        let runs = self.clone();
        jobs.handle(accounts::DEACTIVATED, 1, move |job| runs.clone().stop_all_of(job));
    }
}

/// # Errors
/// `run_stopped`: somebody canceled the run, or another server went on with it.
fn no_longer_ours(id: i64) -> Error {
    Error::conflict("job_taken", format!("Run {id} was stopped or moved on by somebody else; nothing was changed."))
}

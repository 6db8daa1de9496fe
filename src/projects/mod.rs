//! Projects: what a team wants built.
//!
//! Invariant: a project belongs to one organisation, or to one team of it, and whatever is done to it asks for a permit
//! that counts there; the quota of projects is counted in the transaction that makes or deletes one.
//!
//! `files` are what a project holds, `path` is what a file may be called, `findings` are what plugins say about files,
//! `analyze` asks them, `quality` asks them for somebody who wants to know, `telling` is what they are told of projects,
//! `together` lets people edit a file at once, `archive` packs a project for taking away, `templates` are what one begins
//! with, `door` is how plugins reach files.

mod analyze;
mod archive;
mod door;
pub mod files;
pub mod findings;
pub mod language;
pub mod path;
pub mod quality;
pub mod routes;
pub mod store;
mod telling;
mod templates;
pub mod together;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::access::{Place, Scope};
use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::blobs::Blobs;
use crate::db::{Db, DbError, FromVal, Val, ValRef};
use crate::hooks::Hooks;
use crate::orgs::settings::QualityGate;
use crate::plugins::Plugins;
use crate::web::Kept;

const MAX_NAME: usize = 200;
const MAX_REQUIREMENTS: usize = 200_000;

/// A project's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct ProjectId(pub i64);

impl From<ProjectId> for Val {
    fn from(id: ProjectId) -> Self {
        Self::I64(id.0)
    }
}

impl FromVal for ProjectId {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        i64::from_val(value).map(Self)
    }
}

/// How far a project is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectStatus {
    /// No run yet.
    Pending,
    Planning,
    Developing,
    Testing,
    Completed,
    Failed,
    Canceled,
}

impl ProjectStatus {
    const ALL: [Self; 7] =
        [Self::Pending, Self::Planning, Self::Developing, Self::Testing, Self::Completed, Self::Failed, Self::Canceled];

    pub fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Planning => "planning",
            Self::Developing => "developing",
            Self::Testing => "testing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    fn from_code(code: &str) -> Result<Self, DbError> {
        Self::ALL
            .into_iter()
            .find(|status| status.code() == code)
            .ok_or_else(|| DbError::Other(format!("projects.status holds `{code}`, which is no status")))
    }
}

/// A project as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    pub id: ProjectId,
    pub organization_id: i64,
    /// The team it belongs to; null: none, so that it takes a role over the whole organisation to see it.
    pub team_id: Option<i64>,
    pub name: String,
    /// What is to be built, in the words of the people who want it.
    pub requirements: String,
    pub status: ProjectStatus,
    /// The name of who made it.
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
    pub file_count: i64,
    /// The newest run; null before the first.
    pub latest_run_id: Option<i64>,
    /// What the project must be like for its runs to go on, beside what its organisation asks for; null: nothing.
    pub quality_gate: Option<QualityGate>,
}

impl Project {
    /// Where a permit must count for whatever is done to it and to what is in it.
    pub fn place(&self) -> Place {
        Place::of(Some(self.organization_id), self.team_id)
    }
}

/// Checks a project's name: 1 to 200 characters, none of them invisible control characters; outer spaces are cut.
///
/// # Errors
/// `invalid_name`.
fn check_name(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let rule = format!("A project's name has 1 to {MAX_NAME} characters in one line. Choose another name.");
        return Err(Error::invalid("invalid_name", rule).field("name"));
    }
    Ok(name.to_owned())
}

/// Checks the requirements: up to 200,000 bytes of text; may be empty.
///
/// # Errors
/// `invalid_requirements`.
fn check_requirements(text: &str) -> Result<()> {
    if text.len() > MAX_REQUIREMENTS || text.contains('\0') {
        let rule = format!("Requirements are text of at most {MAX_REQUIREMENTS} bytes without NUL characters.");
        return Err(Error::invalid("invalid_requirements", rule).field("requirements"));
    }
    Ok(())
}

/// The room of projects.
#[derive(Clone)]
pub struct Projects {
    db: Db,
    blobs: Blobs,
    plugins: Plugins,
    hooks: Hooks,
    clock: Clock,
    downloads: Arc<Semaphore>,
    /// Pages of the list, which everybody looks at first and again.
    pages: Kept<(Scope, store::Filter, Page)>,
}

impl Projects {
    pub fn new(db: Db, blobs: Blobs, plugins: Plugins, hooks: Hooks, clock: Clock) -> Self {
        let downloads = Arc::new(Semaphore::new(archive::AT_WORK));
        Self { db, blobs, plugins, hooks, clock, downloads, pages: Kept::default() }
    }
}

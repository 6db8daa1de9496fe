//! Code quality: what plugins make of a project, and asking them when somebody wants to know.
//!
//! Invariant: what plugins propose becomes a file only by an ordinary edit; scores are about the latest versions.

mod job;
pub mod routes;
pub mod score;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::files::ProjectFile;
use super::findings::SeverityCounts;
use super::{Project, Projects, files};
use crate::access::actions::ProjectUpdate;
use crate::access::{OrgId, Permit};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::orgs;
use crate::plugins::{Analysis, CodeFile, NewFinding, Proposal, Rewrite};

use score::Gate;

/// Files named as the worst of a project.
const MOST_WORST: i64 = 20;

/// How an analysis stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisStatus {
    Running,
    Done,
    Failed,
}

impl AnalysisStatus {
    fn code(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Failed].into_iter().find(|status| status.code() == code)
    }
}

/// An analysis that somebody asked for, as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AnalysisRun {
    pub project_id: i64,
    /// Another one for each that is asked for.
    pub number: i64,
    pub status: AnalysisStatus,
    /// How many files there are to look at.
    pub files: i64,
    pub files_done: i64,
    /// Why it failed; null otherwise.
    pub error: Option<String>,
    pub started_at: Time,
    pub finished_at: Option<Time>,
}

/// A file and what the strictest plugin makes of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FileScore {
    pub file_id: i64,
    pub path: String,
    /// From 0 to 100.
    pub score: f64,
}

/// What plugins make of a project.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Quality {
    /// From 0 to 100: the mean over the files that plugins looked at; null: they looked at none.
    pub score: Option<f64>,
    /// How many files plugins looked at.
    pub files: i64,
    pub findings: SeverityCounts,
    /// At most 20 files, the lowest scores first.
    pub worst: Vec<FileScore>,
    /// Whether runs of the project go on.
    pub gate: Gate,
    /// The latest analysis that somebody asked for; null: nobody did.
    pub analysis: Option<AnalysisRun>,
}

/// What one plugin said.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Opinion {
    /// The plugin's slug.
    pub plugin: String,
    pub findings: Vec<NewFinding>,
    /// Why there are none to be had; null: it looked.
    pub error: Option<String>,
}

/// What plugins say about a version of a file; it is not kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Opinions {
    pub file_id: i64,
    pub version: i64,
    /// In the order of slugs; a plugin that does not lint is not there.
    pub items: Vec<Opinion>,
}

/// Another text for a file. Write it with `PUT /api/files/{id}`, with `version` as its `expected_version`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProposedFile {
    pub file_id: i64,
    /// What it was made of.
    pub version: i64,
    pub content: String,
    pub changed: bool,
    /// In the order in which they were asked.
    pub plugins: Vec<Rewrite>,
}

impl Opinion {
    fn of(Analysis { plugin, outcome, .. }: Analysis) -> Self {
        let (findings, error) = match outcome {
            Ok(findings) => (findings, None),
            Err(sentence) => (Vec::new(), Some(sentence)),
        };
        Self { plugin, findings, error }
    }
}

impl ProposedFile {
    fn new(file: &ProjectFile, before: &str, proposal: Proposal) -> Self {
        let changed = proposal.code != before;
        Self { file_id: file.id, version: file.version, content: proposal.code, changed, plugins: proposal.by }
    }
}

/// A file as plugins are handed it.
struct Asked {
    file: ProjectFile,
    org: OrgId,
    text: String,
}

impl Asked {
    fn code(&self) -> CodeFile {
        let ProjectFile { project_id, path, language, .. } = self.file.clone();
        CodeFile { project_id, path, language, code: self.text.clone() }
    }
}

/// What plugins make of a project.
///
/// # Errors
/// When the database fails.
pub fn of(tx: &mut Tx<'_>, project: &Project) -> Result<Quality> {
    let (files, score) = store::score(tx, project.id)?;
    let score = score.map(|score| (score * 10.0).round() / 10.0);
    let findings = store::findings(tx, project.id)?;
    let organization = orgs::settings::of(tx, OrgId(project.organization_id))?.quality_gate;
    let mut reasons = Vec::new();
    for (whose, gate) in [("the organisation", &organization), ("the project", &project.quality_gate)] {
        reasons.extend(gate.iter().flat_map(|gate| score::reasons(gate, whose, &findings, score)));
    }
    let gate = Gate { organization, project: project.quality_gate.clone(), passed: reasons.is_empty(), reasons };
    let (worst, analysis) = (store::worst(tx, project.id)?, store::latest(tx, project.id)?);
    Ok(Quality { score, files, findings, worst, gate, analysis })
}

impl Projects {
    /// # Errors
    /// `not_found`; `not_text`.
    async fn asked(&self, permit: Permit<ProjectUpdate>, id: i64) -> Result<Asked> {
        let (project, file) = self.db.read(move |tx| files::store::find(tx, &permit, id)).await?;
        let content = self.content(&file.sha256).await?;
        let text = String::from_utf8(content.to_vec()).map_err(|_| {
            Error::invalid("not_text", format!("{} is no UTF-8 text, and plugins look at text only.", file.path))
        })?;
        Ok(Asked { file, org: OrgId(project.organization_id), text })
    }
}

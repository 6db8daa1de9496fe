//! Plugins for code quality, asked when somebody wants to know: lint, format, fix.
//!
//! Invariant: nothing is written here; what plugins propose becomes a file only by an ordinary edit.

pub mod routes;

use serde::Serialize;
use utoipa::ToSchema;

use super::files::ProjectFile;
use super::{Projects, files};
use crate::access::actions::ProjectUpdate;
use crate::access::{OrgId, Permit};
use crate::base::error::{Error, Result};
use crate::plugins::{Analysis, CodeFile, NewFinding, Proposal, Rewrite};

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
    fn of(Analysis { plugin, outcome }: Analysis) -> Self {
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

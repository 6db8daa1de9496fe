//! Templates: files to start a project from, brought by plugins, filled in here.
//!
//! Invariant: applying one is one transaction: all of its files are written, counted and audited, or none; a file that is
//! there and says something else is replaced only when the caller says so.

mod render;
pub mod routes;
mod variables;

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::files::{self, ProjectFile, StagedFile};
use super::path::ProjectPath;
use super::{ProjectId, Projects, analyze, store as projects};
use crate::access::actions::{ProjectRead, ProjectUpdate};
use crate::access::{OrgId, Permit, Place};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::orgs;
use crate::plugins::Template;
use render::Filled;
use variables::Variable;

/// Files named in a conflict.
const MOST_NAMED: usize = 20;

/// A template with what it leaves open.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TemplateDetail {
    #[serde(flatten)]
    template: Template,
    /// In the order of the template.
    variables: Vec<Variable>,
}

/// What became of a file of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Created,
    /// It has a new version.
    Replaced,
    /// It was there and said the same.
    Unchanged,
}

/// A file that a template was applied to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AppliedFile {
    pub file_id: i64,
    pub path: String,
    pub version: i64,
    pub outcome: Outcome,
}

/// What applying a template did.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Applied {
    pub project_id: i64,
    /// The slug of the plugin that brings the template.
    pub plugin: String,
    /// By path.
    pub files: Vec<AppliedFile>,
}

impl Projects {
    /// A template and its variables.
    ///
    /// # Errors
    /// `not_found`; `invalid_template`, `plugin_failed`.
    async fn template(&self, org: OrgId, plugin: &str) -> Result<TemplateDetail> {
        let (template, told) = self.plugins.template(org, plugin).await?;
        let variables = variables::parse(plugin, &told)?;
        Ok(TemplateDetail { template, variables })
    }

    /// What a template makes of `given`.
    ///
    /// # Errors
    /// Those of [`Self::template`], [`variables::fill`] and [`render::fill`].
    async fn filled(
        &self,
        org: OrgId,
        plugin: &str,
        given: &Map<String, Value>,
        project: Option<i64>,
    ) -> Result<Vec<Filled>> {
        let values = variables::fill(&self.template(org, plugin).await?.variables, given)?;
        let (files, plugin) = (self.plugins.template_files(org, plugin, project).await?, plugin.to_owned());
        let fill = tokio::task::spawn_blocking(move || render::fill(&plugin, &files, &values));
        fill.await.map_err(Error::internal)?
    }

    /// Writes the files of a template into a project.
    ///
    /// # Errors
    /// `not_found`; `files_there`, naming them, unless `overwrite`; those of [`Self::filled`] and [`files::store::write`].
    async fn apply_template(
        &self,
        permit: Permit<ProjectUpdate>,
        id: ProjectId,
        plugin: String,
        given: Map<String, Value>,
        overwrite: bool,
    ) -> Result<Applied> {
        let asked = permit.clone();
        let (project, there) =
            self.db.read(move |tx| Ok((projects::find(tx, &asked, id)?, files::store::list_paths(tx, id)?))).await?;
        let filled = self.filled(OrgId(project.organization_id), &plugin, &given, Some(id.0)).await?;
        let there: HashMap<String, ProjectFile> =
            there.into_iter().map(|file| Ok((key_of(&file)?, file))).collect::<Result<_>>()?;
        let mut staged = Vec::with_capacity(filled.len());
        for Filled { path, content } in filled {
            staged.push(self.stage(path, content.into()).await?);
        }
        // Nothing is told to plugins that is refused anyhow.
        refuse_to_replace(staged.iter().filter_map(|file| Some((there.get(file.path.key())?, file))), overwrite)?;
        for file in &staged {
            self.before_write(&permit, &project, file, there.get(file.path.key())).await;
        }
        self.write_all(permit, id, plugin, staged, overwrite).await
    }

    async fn write_all(
        &self,
        permit: Permit<ProjectUpdate>,
        id: ProjectId,
        plugin: String,
        staged: Vec<StagedFile>,
        overwrite: bool,
    ) -> Result<Applied> {
        let (now, hooks) = (self.clock.now(), self.hooks.clone());
        let write = self.db.write(move |tx| {
            let project = projects::find(tx, &permit, id)?;
            let org = OrgId(project.organization_id);
            let mut applied = Vec::with_capacity(staged.len());
            for file in &staged {
                let before = files::store::by_key(tx, id, file.path.key())?;
                refuse_to_replace(before.as_ref().map(|before| (before, file)), overwrite)?;
                let after = files::store::write(tx, (&permit, &hooks), now, &project, file, None)?;
                let outcome = match before {
                    None => Outcome::Created,
                    Some(before) if before.version == after.version => Outcome::Unchanged,
                    Some(_) => Outcome::Replaced,
                };
                if outcome != Outcome::Unchanged {
                    analyze::enqueue(tx, now, org, &after)?;
                }
                applied.push(AppliedFile { file_id: after.id, path: after.path, version: after.version, outcome });
            }
            let words = format!("Applied the template {plugin} to project {}: {} files", project.name, applied.len());
            let event = Event::new(AuditAction::Execute, "project", words).id(id.0).org(org);
            audit::record(tx, now, permit.caller(), &event)?;
            Ok(Applied { project_id: id.0, plugin: plugin.clone(), files: applied })
        });
        write.await
    }

    /// The organisation if the caller sees anything of it.
    ///
    /// # Errors
    /// `not_found`; `organization_missing` when none is named and there is not exactly one.
    async fn organization_asked(&self, permit: &Permit<ProjectRead>, named: Option<i64>) -> Result<OrgId> {
        let only = || permit.only_place().and_then(Place::org);
        let org = named.map(OrgId).or_else(only).ok_or_else(|| {
            Error::invalid("organization_missing", "Say in which organisation: templates are each organisation's own.")
                .field("organization_id")
        })?;
        if !permit.reaches(org) {
            permit.require(org, "such organization")?;
        }
        self.db.read(move |tx| orgs::store::by_id(tx, org)).await?;
        Ok(org)
    }
}

fn key_of(file: &ProjectFile) -> Result<String> {
    Ok(ProjectPath::parse(&file.path)?.key().to_owned())
}

/// # Errors
/// `files_there` when a file is there with another content, unless `overwrite`.
fn refuse_to_replace<'a>(
    there: impl IntoIterator<Item = (&'a ProjectFile, &'a StagedFile)>,
    overwrite: bool,
) -> Result<()> {
    let other = there.into_iter().filter(|(there, file)| there.sha256 != file.sha256);
    let paths: Vec<String> = other.map(|(there, _)| format!("`{}`", there.path)).collect();
    if overwrite || paths.is_empty() {
        return Ok(());
    }
    let more = paths.len().saturating_sub(MOST_NAMED);
    let and = if more == 0 { String::new() } else { format!(" and {more} more") };
    let named = paths[..paths.len().min(MOST_NAMED)].join(", ");
    let sentence = format!(
        "Nothing was written: the project has {named}{and} with another content. Ask to overwrite, or move them away first."
    );
    Err(Error::conflict("files_there", sentence).field("overwrite"))
}

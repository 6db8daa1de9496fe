//! Looking at many files because somebody asked: a chain of jobs, a few files each.
//!
//! Invariant: what a job found, how far the analysis is and the next job are one commit, so after a crash it goes on with
//! the first file that was not looked at. One analysis of a project at a time.

use serde::{Deserialize, Serialize};

use super::{AnalysisRun, store};
use crate::access::actions::ProjectUpdate;
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::plugins::{Analysis, CodeFile};
use crate::projects::files::{self, ProjectFile};
use crate::projects::{ProjectId, Projects, findings, store as projects};

const KIND: &str = "project.analyze";
/// Projects looked at at a time.
const AT_WORK: usize = 2;
/// Files of one job.
const BATCH: usize = 5;
/// Paths and folders of one analysis.
const MAX_PATHS: usize = 500;

#[derive(Serialize, Deserialize)]
struct Payload {
    project: i64,
    org: OrgId,
    /// The analysis.
    number: i64,
}

impl Projects {
    pub(in crate::projects) fn register_quality(&self, jobs: &mut Jobs) {
        let projects = self.clone();
        jobs.handle(KIND, AT_WORK, move |job| projects.clone().look_on(job));
        let projects = self.clone();
        jobs.on_dead(KIND, move |job, error| projects.clone().give_up_looking(job, error));
    }

    /// Begins to have plugins look at a project's files, or at those at `paths`.
    ///
    /// # Errors
    /// `not_found`; `invalid_paths`, `nothing_to_analyze`; `analysis_active`.
    pub(super) async fn begin_analysis(
        &self,
        permit: Permit<ProjectUpdate>,
        id: ProjectId,
        paths: Option<Vec<String>>,
    ) -> Result<AnalysisRun> {
        if paths.as_ref().is_some_and(|paths| paths.is_empty() || paths.len() > MAX_PATHS) {
            let sentence = format!("Name 1 to {MAX_PATHS} paths, or none for the whole project.");
            return Err(Error::invalid("invalid_paths", sentence).field("paths"));
        }
        let now = self.clock.now();
        let write = self.db.write(move |tx| {
            let project = projects::find(tx, &permit, id)?;
            let files = store::wanted(files::store::list_paths(tx, id)?, paths.as_deref());
            if files.is_empty() {
                let sentence =
                    "The project has no file there. Name paths as they are in the project; a folder ends with a slash.";
                return Err(Error::invalid("nothing_to_analyze", sentence).field("paths"));
            }
            let number = tx.next_id()?;
            let listed = paths.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?;
            let count = i64::try_from(files.len()).unwrap_or(i64::MAX);
            let begun = store::begin(tx, now, id, number, listed, count)?;
            let org = OrgId(project.organization_id);
            jobs::enqueue(tx, now, KIND, &Payload { project: id.0, org, number })?;
            let words = format!("Had plugins look at {count} files of project {}", project.name);
            let event = Event::new(AuditAction::Execute, "project", words).id(id.0).org(org);
            audit::record(tx, now, permit.caller(), &event)?;
            Ok(begun)
        });
        write.await
    }

    async fn look_on(self, job: Job) -> Result<()> {
        let Payload { project, org, number } = job.parse()?;
        let id = ProjectId(project);
        let read = self.db.read(move |tx| {
            let Some((paths, last)) = store::under_way(tx, id, number)? else { return Ok(None) };
            let paths: Option<Vec<String>> =
                paths.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::internal)?;
            let mut files = store::wanted(files::store::list_paths(tx, id)?, paths.as_deref());
            files.retain(|file| file.id > last);
            files.sort_by_key(|file| file.id);
            Ok(Some(files))
        });
        let Some(mut files) = read.await? else {
            return self.db.write(move |tx| jobs::finish(tx, job.id)).await;
        };
        let more = files.len() > BATCH;
        files.truncate(BATCH);
        let mut looked = Vec::with_capacity(files.len());
        for file in files {
            let said = self.look_at(org, &file).await?;
            looked.push((file, said));
        }
        let now = self.clock.now();
        let write = self.db.write(move |tx: &mut Tx<'_>| {
            for (file, said) in &looked {
                findings::store::replace(tx, file, said)?;
            }
            let done = i64::try_from(looked.len()).unwrap_or(i64::MAX);
            if let Some((last, _)) = looked.last() {
                store::advance(tx, id, number, done, last.id)?;
            }
            if more {
                jobs::enqueue(tx, now, KIND, &Payload { project, org, number })?;
            } else {
                store::end(tx, now, id, number, None)?;
            }
            jobs::finish(tx, job.id)
        });
        write.await
    }

    /// What plugins say about the latest version of a file; nothing about what is no text.
    async fn look_at(&self, org: OrgId, file: &ProjectFile) -> Result<Vec<Analysis>> {
        let content = self.content(&file.sha256).await?;
        let Ok(code) = String::from_utf8(content.to_vec()) else { return Ok(Vec::new()) };
        let ProjectFile { project_id, path, language, .. } = file.clone();
        Ok(self.plugins.analyze(org, CodeFile { project_id, path, language, code }).await)
    }

    async fn give_up_looking(self, job: Job, error: Error) -> Result<()> {
        let Payload { project, number, .. } = job.parse()?;
        let (now, sentence) = (self.clock.now(), error.to_string());
        self.db.write(move |tx| store::end(tx, now, ProjectId(project), number, Some(&sentence))).await
    }
}

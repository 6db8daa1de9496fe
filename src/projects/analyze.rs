//! Asking the plugins about a file that a person wrote.
//!
//! Invariant: the question is a durable job of the transaction that wrote the version, so no version goes unasked; what
//! plugins answer is kept for that very version. Files of agents are asked about by the run that writes them.

use serde::{Deserialize, Serialize};

use super::files::ProjectFile;
use super::{Projects, findings};
use crate::access::OrgId;
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::plugins::CodeFile;

const KIND: &str = "file.analyze";
/// Files looked at at a time.
const AT_WORK: usize = 2;

#[derive(Serialize, Deserialize)]
struct Payload {
    file: ProjectFile,
    org: OrgId,
}

/// Has this version of the file looked at once the present transaction is durable.
///
/// # Errors
/// When the database fails.
pub fn enqueue(tx: &mut Tx<'_>, now: Time, org: OrgId, file: &ProjectFile) -> Result<()> {
    jobs::enqueue(tx, now, KIND, &Payload { file: file.clone(), org })?;
    Ok(())
}

impl Projects {
    /// Takes on the looking at files.
    pub fn register(&self, jobs: &mut Jobs) {
        let projects = self.clone();
        jobs.handle(KIND, AT_WORK, move |job| projects.clone().analyze(job));
        self.register_quality(jobs);
    }

    async fn analyze(self, job: Job) -> Result<()> {
        let Payload { file, org } = job.parse()?;
        let content = self.content(&file.sha256).await?;
        // Plugins look at text.
        let Ok(code) = String::from_utf8(content.to_vec()) else { return Ok(()) };
        let asked =
            CodeFile { project_id: file.project_id, path: file.path.clone(), language: file.language.clone(), code };
        let analyses = self.plugins.analyze(org, asked).await;
        for analysis in &analyses {
            if let Err(sentence) = &analysis.outcome {
                tracing::warn!(
                    plugin = analysis.plugin,
                    file = file.id,
                    "a plugin could not look at a file: {sentence}"
                );
            }
        }
        let kept = self.db.write(move |tx| {
            findings::store::replace(tx, &file, &analyses)?;
            jobs::finish(tx, job.id)
        });
        kept.await
    }
}

//! A project's files: each a path, a language, and a chain of versions whose contents are blobs.
//!
//! Invariant: a content is durable before a row names it, and a row changes in the transaction of its audit entry; two
//! paths that some file system takes for one are never both there. Versions are never changed, only added to.

pub mod routes;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::findings::SeverityCounts;
use super::path::ProjectPath;
use super::{Project, Projects, language, telling};
use crate::access::{Action, OrgId, Permit};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::tasks::Tasks;
use crate::blobs::Blobs;
use crate::db::Tx;
use crate::hooks::Hook;
use crate::market;
use crate::mirror;

/// The largest file, in bytes.
pub const MAX_SIZE: usize = 8 << 20;
/// The most files of a project.
pub const MAX_FILES: i64 = 5_000;
/// The most versions of a file.
pub const MAX_VERSIONS: i64 = 10_000;

/// Between two looks for contents that no version names: far longer than any upload takes to write down its version.
pub(super) const LOOK: Duration = Duration::from_secs(6 * 3600);

/// A file as it is shown, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectFile {
    pub id: i64,
    pub project_id: i64,
    /// Relative to the project, with `/`.
    pub path: String,
    /// Such as `python`; null when the name says nothing.
    pub language: Option<String>,
    /// Bytes.
    pub size: i64,
    /// Of the latest version, from 1.
    pub version: i64,
    /// Of the content, in lower-case hexadecimal.
    pub sha256: String,
    pub created_at: Time,
    pub updated_at: Time,
    /// Who wrote the latest version.
    pub updated_by: String,
    /// What plugins found in the latest version.
    pub findings: SeverityCounts,
}

/// A version as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileVersion {
    pub version: i64,
    pub size: i64,
    pub sha256: String,
    pub created_at: Time,
    pub created_by: String,
}

/// How a content is written in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// The text itself.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// RFC 4648, section 4, with padding.
    Base64,
}

/// A content that is kept but that no file names yet.
#[derive(Debug, Clone)]
pub struct StagedFile {
    pub path: ProjectPath,
    pub sha256: String,
    pub size: i64,
    pub language: Option<String>,
}

/// Keeps `content` durably, so that a transaction may name it.
///
/// # Errors
/// `file_too_large`, `disk_full`.
pub async fn stage(blobs: &Blobs, path: ProjectPath, content: Bytes) -> Result<StagedFile> {
    if content.len() > MAX_SIZE {
        let sentence = format!("{} has {} bytes; a file has at most {MAX_SIZE}.", path.as_str(), content.len());
        return Err(Error::new(Kind::TooLarge, "file_too_large", sentence).field("content"));
    }
    let size = i64::try_from(content.len()).map_err(Error::internal)?;
    let language = language::of(path.as_str()).map(str::to_owned);
    let sha256 = blobs.put(content).await?;
    Ok(StagedFile { path, sha256, size, language })
}

impl Projects {
    /// [`stage`] where this room keeps contents.
    ///
    /// # Errors
    /// Those of [`stage`].
    pub async fn stage(&self, path: ProjectPath, content: Bytes) -> Result<StagedFile> {
        stage(&self.blobs, path, content).await
    }

    /// Tells plugins that `staged` is about to be written into `project`; `before` is the file it takes the place of.
    pub async fn before_write<A: Action>(
        &self,
        permit: &Permit<A>,
        project: &Project,
        staged: &StagedFile,
        before: Option<&ProjectFile>,
    ) {
        let (hooks, org) = (&self.hooks, OrgId(project.organization_id));
        match before {
            None => {
                let payload = || telling::new_file(project, staged, permit.caller());
                hooks.before(Hook::FileCreateBefore, org, payload).await;
            }
            Some(file) if file.sha256 != staged.sha256 => {
                let payload = || telling::file(project, file, permit.caller());
                hooks.before(Hook::FileUpdateBefore, org, payload).await;
            }
            Some(_) => {}
        }
    }

    /// The content with this hash.
    ///
    /// # Errors
    /// `blob_damaged` when the disk does not give back what was written.
    pub async fn content(&self, sha256: &str) -> Result<Bytes> {
        self.blobs.get(sha256, MAX_SIZE).await
    }

    /// Removes contents of deleted files from the disk from now on, until the server stops.
    pub fn sweep(&self, tasks: &Tasks) {
        let projects = self.clone();
        tasks.spawn_until_stop(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                match projects.remove_unused().await {
                    Ok(removed) => tracing::info!(removed, "contents of deleted files were removed"),
                    Err(error) => {
                        tracing::warn!(
                            ?error,
                            "contents of deleted files could not be removed; trying again in 6 hours"
                        );
                    }
                }
            }
        });
    }

    async fn remove_unused(&self) -> Result<usize> {
        self.blobs.sweep(|digits: String| self.db.read(move |tx| named_contents(tx, &digits))).await
    }
}

/// The contents whose hashes begin with two `digits` and that any room names: nothing else is kept.
///
/// # Errors
/// When the database fails.
pub fn named_contents(tx: &mut Tx<'_>, digits: &str) -> Result<HashSet<String>> {
    let mut named = store::named(tx, digits)?;
    named.extend(mirror::store::named(tx, digits)?);
    named.extend(market::submissions::store::named(tx, digits)?);
    Ok(named)
}

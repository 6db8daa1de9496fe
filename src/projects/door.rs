//! Files of projects, as plugins reach them.
//!
//! Invariant: every path is checked as it is kept, not as the plugin wrote it; a plugin's write is a version like anybody's,
//! counted, audited and looked at. Before it nobody is told of it: the plugin that writes is at work, and would be waited for.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::files::{self, ProjectFile, store};
use super::path::ProjectPath;
use super::{ProjectId, Projects, analyze, store as projects};
use crate::access::OrgId;
use crate::access::actions::{ProjectRead, ProjectUpdate};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::blobs::Blobs;
use crate::db::{Db, Tx};
use crate::hooks::Hooks;
use crate::plugins::{ProjectFiles, Reach};

/// What stands behind the plugins' door: not the room itself, which holds the plugins.
struct Door {
    db: Db,
    blobs: Blobs,
    hooks: Hooks,
    clock: Clock,
}

impl Projects {
    /// The files of projects for plugins.
    pub fn door(&self) -> Arc<dyn ProjectFiles> {
        let Self { db, blobs, hooks, clock, .. } = self.clone();
        Arc::new(Door { db, blobs, hooks, clock })
    }
}

#[async_trait]
impl ProjectFiles for Door {
    async fn paths(&self, reach: &Reach) -> Result<Vec<String>> {
        let (permit, id) = (reach.caller.permit::<ProjectRead>()?, ProjectId(reach.project));
        let paths = self.db.read(move |tx| {
            projects::find(tx, &permit, id)?;
            Ok(store::paths(tx, id)?)
        });
        let mut paths = paths.await?;
        paths.retain(|path| reach.covers(path));
        paths.sort();
        Ok(paths)
    }

    async fn read(&self, reach: &Reach, path: &str) -> Result<Bytes> {
        let (permit, path, asked) = (reach.caller.permit::<ProjectRead>()?, ProjectPath::parse(path)?, reach.clone());
        let file = self.db.read(move |tx| {
            projects::find(tx, &permit, ProjectId(asked.project))?;
            there(tx, &asked, &path)?.ok_or_else(|| missing(&path))
        });
        self.blobs.get(&file.await?.sha256, files::MAX_SIZE).await
    }

    async fn write(&self, reach: &Reach, path: &str, content: Bytes) -> Result<()> {
        let (permit, path) = (reach.caller.permit::<ProjectUpdate>()?, ProjectPath::parse(path)?);
        let (asked, wanted, before) = (reach.clone(), path.clone(), permit.clone());
        // Nothing is put on the disk for what is refused anyhow.
        let may = self.db.read(move |tx| {
            projects::find(tx, &before, ProjectId(asked.project))?;
            there(tx, &asked, &wanted)
        });
        may.await?;
        let staged = files::stage(&self.blobs, path, content).await?;
        let (reach, now, hooks) = (reach.clone(), self.clock.now(), self.hooks.clone());
        let written = self.db.write(move |tx| {
            let project = projects::find(tx, &permit, ProjectId(reach.project))?;
            let before = there(tx, &reach, &staged.path)?;
            let after = store::write(tx, (&permit, &hooks), now, &project, &staged, None)?;
            if before.is_none_or(|before| before.version != after.version) {
                analyze::enqueue(tx, now, OrgId(project.organization_id), &after)?;
            }
            Ok(())
        });
        written.await
    }

    async fn delete(&self, reach: &Reach, path: &str) -> Result<()> {
        let (permit, path) = (reach.caller.permit::<ProjectUpdate>()?, ProjectPath::parse(path)?);
        let (reach, now, hooks) = (reach.clone(), self.clock.now(), self.hooks.clone());
        let deleted = self.db.write(move |tx| {
            projects::find(tx, &permit, ProjectId(reach.project))?;
            let file = there(tx, &reach, &path)?.ok_or_else(|| missing(&path))?;
            store::delete(tx, (&permit, &hooks), now, file.id)
        });
        deleted.await
    }
}

/// The file of that name, if there is one and it was granted, whatever case its name is kept in.
fn there(tx: &mut Tx<'_>, reach: &Reach, path: &ProjectPath) -> Result<Option<ProjectFile>> {
    reach.check(path.as_str())?;
    let file = store::by_key(tx, ProjectId(reach.project), path.key())?;
    if let Some(file) = &file {
        reach.check(&file.path)?;
    }
    Ok(file)
}

fn missing(path: &ProjectPath) -> Error {
    Error::not_found(format!("file {}", path.as_str()))
}

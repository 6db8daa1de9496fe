//! Plugins' folders on their way in and out.
//!
//! Invariant: a folder changes places in one step, so that a crash leaves the old one or the new one; what was in its place
//! is kept aside until the change is made, and comes back when it is not.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::Plugins;
use super::package::{Files, Package};
use crate::base::crypto;
use crate::base::error::Result;
use crate::base::tasks::blocking;

/// Marks folders on their way in or out; what a crash left of them is cleared at start.
const LEFTOVER: &str = ".change-";

/// Marks the folder of a version whose successor is on trial; it lives through a crash.
const BEFORE: &str = ".before-";

/// Whether the name is one of ours for a folder on its way in or out.
pub fn is_leftover(name: &str) -> bool {
    name.starts_with(LEFTOVER)
}

/// Deletes a folder, or a link in a folder's place, that nobody uses any more. Blocks.
pub fn clear(folder: &Path) {
    let link = fs::symlink_metadata(folder).is_ok_and(|found| !found.is_dir());
    if let Err(cause) = if link { fs::remove_file(folder) } else { fs::remove_dir_all(folder) } {
        tracing::warn!("{} could not be deleted: {cause}. Delete it by hand.", folder.display());
    }
}

impl Plugins {
    /// Writes a package next to the others and puts it into its place; what was there is kept aside.
    pub(super) async fn put_in_place(&self, package: Arc<Package>) -> Result<Aside> {
        let dir = self.inner.dir.clone();
        let (new, old) = (dir.join(aside_name()?), dir.join(aside_name()?));
        let target = dir.join(&package.manifest.slug);
        blocking(move || {
            let placed = package.write(&new).and_then(|()| Ok(place(&new, &target, &old)?));
            if placed.is_err() && new.exists() {
                clear(&new);
            }
            fs::File::open(&dir)?.sync_all()?;
            placed
        })
        .await
    }

    /// Writes a package down beside the others, to be there until its successor is known to work.
    pub(super) async fn keep_aside(&self, package: Arc<Package>) -> Result<()> {
        let dir = self.inner.dir.clone();
        let (new, kept) = (dir.join(aside_name()?), dir.join(format!("{BEFORE}{}", package.manifest.slug)));
        blocking(move || {
            if kept.exists() {
                clear(&kept);
            }
            package.write(&new)?;
            fs::rename(&new, &kept)?;
            fs::File::open(&dir)?.sync_all()?;
            Ok(())
        })
        .await
    }

    /// The package that was kept so, if one was.
    pub(super) async fn kept_aside(&self, slug: &str) -> Result<Option<Arc<Package>>> {
        let (kept, trust) = (self.inner.dir.join(format!("{BEFORE}{slug}")), self.inner.trust.clone());
        blocking(move || {
            if !kept.exists() {
                return Ok(None);
            }
            Package::new(Files::read(&kept)?).and_then(|package| trust.admit(package)).map(Arc::new).map(Some)
        })
        .await
    }

    /// Deletes what was kept so.
    ///
    /// # Errors
    /// When the runtime ends.
    pub async fn forget_aside(&self, slug: String) -> Result<()> {
        let kept = self.inner.dir.join(format!("{BEFORE}{slug}"));
        blocking(move || {
            if kept.exists() {
                clear(&kept);
            }
            Ok(())
        })
        .await
    }

    /// Takes what lies under `slug` out of the way, if anything does.
    pub(super) async fn put_aside(&self, slug: &str) -> Result<Aside> {
        let (folder, aside) = (self.inner.dir.join(slug), self.inner.dir.join(aside_name()?));
        blocking(move || match fs::rename(folder, &aside) {
            Ok(()) => Ok(Aside { old: Some(aside) }),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(Aside { old: None }),
            Err(cause) => Err(cause.into()),
        })
        .await
    }
}

/// Renames `new` to `target`. What was there changes places with it in one step, so that a crash leaves one or the other;
/// where the file system cannot do that, it is renamed to `old` first.
fn place(new: &Path, target: &Path, old: &Path) -> std::io::Result<Aside> {
    match rustix::fs::renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Aside { old: Some(new.to_owned()) }),
        Err(Errno::NOENT) => fs::rename(new, target).map(|()| Aside { old: None }),
        Err(_) => {
            fs::rename(target, old)?;
            fs::rename(new, target).or_else(|cause| fs::rename(old, target).and(Err(cause)))?;
            Ok(Aside { old: Some(old.to_owned()) })
        }
    }
}

/// The folder that was in the place of a new one.
pub struct Aside {
    old: Option<PathBuf>,
}

impl Aside {
    /// Deletes it, or puts it back when the change failed. Blocks.
    pub fn settle(self, target: &Path, failed: bool) -> Result<()> {
        if failed && target.exists() {
            clear(target);
        }
        match self.old {
            Some(old) if failed => Ok(fs::rename(old, target)?),
            Some(old) => {
                clear(&old);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn aside_name() -> Result<String> {
    Ok(format!("{LEFTOVER}{}", crypto::hex(&crypto::random_bytes::<8>()?)))
}

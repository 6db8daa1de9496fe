//! How far an upgrade is: one small file that a power cut leaves whole, as it was or as it is.
//!
//! Invariant: `unfinished.json` is there exactly from before the first change until the new version answered or the old one
//! is back. Who works on it holds the lock; a journal that nobody holds belongs to an upgrade that was cut off.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::program::{self, Program};
use super::{Places, at};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::config::secrets::write_private;

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The server is stopped and its data is being copied. Nothing of it has changed.
    Saving,
    /// Files of the program are being replaced, and the new one is started.
    Trying,
    /// The old program and data are being put back.
    Returning,
    /// The new version answered.
    Upgraded,
    /// The old version is back.
    Returned,
}

/// What is kept of an upgrade.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    pub from: String,
    pub to: String,
    pub step: Step,
    pub began_at: Time,
    /// What is replaced.
    pub program: Program,
    /// Whether the server is to run when it is over.
    pub runs: bool,
    /// Where the data of a version that failed goes.
    pub aside: PathBuf,
    /// Why it went back; null while it did not.
    pub why: Option<String>,
}

impl Places {
    fn unfinished(&self) -> PathBuf {
        self.root.join("unfinished.json")
    }

    fn finished(&self) -> PathBuf {
        self.root.join("last.json")
    }

    /// Makes the folder and holds it for this process.
    pub(super) fn hold(&self) -> Result<File> {
        fs::create_dir_all(&self.root).map_err(|cause| at(&self.root, &cause))?;
        let path = self.root.join("lock");
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&path);
        let file = opened.map_err(|cause| at(&path, &cause))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let sentence = "Another upgrade of this site is at work. Wait until it ends.";
            return Err(Error::conflict("upgrade_at_work", sentence));
        }
        Ok(file)
    }

    /// The upgrade that has not come to its end.
    ///
    /// # Errors
    /// `upgrade_journal` when it cannot be read.
    pub(super) fn cut_off(&self) -> Result<Option<Journal>> {
        read(&self.unfinished())
    }

    /// The last one that came to its end.
    pub(super) fn last(&self) -> Result<Option<Journal>> {
        read(&self.finished())
    }

    /// Writes down how far it is, for good.
    pub(super) fn note(&self, journal: &Journal) -> Result<()> {
        let path = self.unfinished();
        let text = serde_json::to_vec_pretty(journal).map_err(Error::internal)?;
        write_private(&path, &text)?;
        if matches!(journal.step, Step::Upgraded | Step::Returned) {
            fs::rename(&path, self.finished()).map_err(|cause| at(&path, &cause))?;
        }
        File::open(&self.root).and_then(|folder| folder.sync_all()).map_err(|cause| at(&self.root, &cause))
    }

    /// Forgets an upgrade that changed nothing.
    pub(super) fn drop_journal(&self) -> Result<()> {
        super::remove(&self.unfinished())
    }
}

fn read(path: &Path) -> Result<Option<Journal>> {
    let text = match fs::read_to_string(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|cause| at(path, &cause))?,
    };
    let journal = serde_json::from_str(&text).map_err(|cause| {
        let sentence = format!("{} cannot be read as the journal of an upgrade: {cause}.", path.display());
        Error::invalid("upgrade_journal", sentence)
    })?;
    Ok(Some(journal))
}

/// Whether a server may start on this data: not while an upgrade of it was cut off.
///
/// # Errors
/// `upgrade_unfinished`, with the command that ends it.
pub fn may_start(data_dir: &Path) -> Result<()> {
    let Ok(places) = Places::beside(data_dir) else { return Ok(()) };
    if !places.unfinished().exists() {
        return Ok(());
    }
    let lock = File::open(places.root.join("lock"));
    if lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err()) {
        // The upgrade itself starts it.
        return Ok(());
    }
    let sentence = format!(
        "An upgrade of {} was cut off, so its program and its data may not belong together. Go back to the version before, \
         then start again: {} upgrade settle --data-dir {}",
        data_dir.display(),
        places.previous().join(program::NAME).display(),
        data_dir.display()
    );
    Err(Error::unavailable("upgrade_unfinished", sentence))
}

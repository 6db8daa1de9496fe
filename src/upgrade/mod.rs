//! Upgrading a site: to a signed bundle, with a rehearsal before and a way back behind it.
//!
//! Invariants: nothing changes before every check passed. From the first change until the new version answers, a journal
//! says how far it is, and whatever fails, the power included, ends with the old program on the old data: `steps` does it,
//! and the old program, which lies beside the data, is the one that brings itself back. Data of a version that failed is
//! moved aside, never deleted.

mod checks;
mod journal;
mod outcome;
mod program;
pub mod rehearsal;
mod saved;
mod service;
mod steps;
mod store;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use checks::{Check, Verdict};
pub use journal::{Journal, Step, may_start};
pub use outcome::record;
pub use program::Program;
pub use service::{Server, Start};
pub use steps::{Options, Prepared, Settled, forget, go_back, last, prepare, settle};

use crate::base::error::{Error, Result};

/// What lies beside the data directory while a site is upgraded and afterwards. On the same disk, so that a whole directory
/// changes place in one step.
#[derive(Debug, Clone)]
pub struct Places {
    pub data_dir: PathBuf,
    root: PathBuf,
}

impl Places {
    /// # Errors
    /// `upgrade_place` when the data directory has no name of its own.
    pub fn beside(data_dir: &Path) -> Result<Self> {
        let named =
            data_dir.file_name().map(|name| data_dir.with_file_name(format!("{}.upgrade", name.to_string_lossy())));
        let root = named.ok_or_else(|| {
            let sentence = format!("{} has no name of its own, so nothing can be put beside it.", data_dir.display());
            Error::invalid("upgrade_place", sentence)
        })?;
        Ok(Self { data_dir: data_dir.to_owned(), root })
    }

    /// The unpacked bundle.
    pub fn bundle(&self) -> PathBuf {
        self.root.join("bundle")
    }

    /// The files of the program that was there before.
    pub fn previous(&self) -> PathBuf {
        self.root.join("previous")
    }

    /// The data as it was before.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where the new version tries itself on a copy of the database.
    fn rehearsal(&self) -> PathBuf {
        self.root.join("rehearsal")
    }
}

/// Whom the data belongs to: the account that the server runs as.
#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn of(data_dir: &Path) -> Result<Self> {
        let found = fs::metadata(data_dir).map_err(|cause| {
            let sentence =
                format!("{} cannot be read: {cause}. Say where the data is with --data-dir.", data_dir.display());
            Error::invalid("upgrade_place", sentence)
        })?;
        Ok(Self { user: found.uid(), group: found.gid() })
    }

    /// Whether what this process makes has to be given away.
    fn is_another(self) -> bool {
        rustix::process::geteuid().is_root() && self.user != 0
    }

    fn give(self, path: &Path) -> Result<()> {
        if self.is_another() {
            std::os::unix::fs::lchown(path, Some(self.user), Some(self.group))?;
        }
        Ok(())
    }

    /// `command`, run with no more rights than the server has.
    fn runs(self, command: &mut Command) -> &mut Command {
        if self.is_another() { command.uid(self.user).gid(self.group) } else { command }
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(cause) => Err(cause),
    };
    match removed {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(at(path, &cause)),
        _ => Ok(()),
    }
}

/// Copies a file that is not there yet, with its mode; shares the bytes where the file system can.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::File::open(from).and_then(|mut source| {
        let mode = source.metadata()?.permissions().mode() & 0o777;
        let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
        if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
            std::io::copy(&mut source, &mut target)?;
        }
        target.set_permissions(fs::Permissions::from_mode(mode))
    });
    copied.map_err(|cause| at(to, &cause))
}

/// What the disk says, and where.
fn at(path: &Path, cause: &std::io::Error) -> Error {
    let sentence = format!("{}: {cause}. Look who may write there and whether the disk has room.", path.display());
    Error::unavailable("upgrade_disk", sentence)
}

/// Puts on the disk what was written below `path`, whatever file it is in.
fn settle_disk(path: &Path) -> Result<()> {
    let synced = fs::File::open(path).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
    synced.map_err(|cause| at(path, &cause))
}

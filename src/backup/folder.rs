//! Where a repository lies: a folder, of this machine or of a share that is mounted.
//!
//! Invariant: a file has its name when all of its bytes are on the disk; names are ours, so none leads out of the folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use crate::base::error::{Error, Result};

/// Files on their way in.
const ASIDE: &str = "tmp";

/// A folder that holds one repository.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// Keeps other processes from changing the repository until it is dropped.
#[derive(Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "closing the file lets go of the lock")] File);

impl Folder {
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder and those of its parts.
    pub fn make(&self, parts: &[&str]) -> Result<()> {
        for part in parts.iter().chain(&[ASIDE]) {
            crate::config::secrets::private_folder(&self.0.join(part))?;
        }
        Ok(())
    }

    /// Whether nothing is there yet, or an empty folder.
    pub fn is_free(&self) -> Result<bool> {
        match fs::read_dir(&self.0) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(true),
            Err(cause) => Err(self.failed("be read", &cause)),
        }
    }

    /// The only one who changes it. Readers need none of this: what they read never changes, it only goes.
    ///
    /// # Errors
    /// `backup_in_use`.
    pub fn hold(&self) -> Result<Held> {
        let path = self.0.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|cause| self.failed("be written", &cause))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let sentence = format!(
                "Another backup, prune or check works in {} at the moment. Try again when it is done.",
                self.0.display()
            );
            Error::conflict("backup_in_use", sentence)
        })?;
        Ok(Held(file))
    }

    /// Writes a file that is on the disk, but has a name that counts only after [`Folder::settle`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let target = self.0.join(name);
        let work = || {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = NamedTempFile::new_in(self.0.join(ASIDE))?;
            file.write_all(bytes)?;
            file.as_file().sync_data()?;
            file.persist(&target).map_err(|refused| refused.error).map(drop)
        };
        work().map_err(|cause: std::io::Error| self.failed("be written", &cause))
    }

    /// Makes the names of all that was written durable.
    pub fn settle(&self) -> Result<()> {
        let disk = File::open(&self.0)?;
        rustix::fs::syncfs(&disk).map_err(|cause| self.failed("be written", &cause.into()))
    }

    /// # Errors
    /// `backup_damaged` when it is absent or has more than `most` bytes.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let file = File::open(self.0.join(name)).map_err(|cause| {
            if cause.kind() == ErrorKind::NotFound {
                self.damaged(name, "is missing")
            } else {
                self.failed("be read", &cause)
            }
        })?;
        let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len().min(most)).unwrap_or_default());
        file.take(most + 1).read_to_end(&mut bytes).map_err(|cause| self.failed("be read", &cause))?;
        if bytes.len() as u64 > most { Err(self.damaged(name, "is larger than any we write")) } else { Ok(bytes) }
    }

    /// Names and sizes of the files in one part, in order; of parts that have folders, those in them too.
    pub fn list(&self, part: &str) -> Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        self.walk(&self.0.join(part), &mut found)?;
        found.sort();
        Ok(found)
    }

    fn walk(&self, folder: &Path, found: &mut Vec<(String, u64)>) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|cause| self.failed("be read", &cause))?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => self.walk(&entry.path(), found)?,
                kind if kind.is_file() => {
                    found.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(self.failed("be written", &cause)),
            _ => Ok(()),
        }
    }

    pub fn damaged(&self, name: &str, how: &str) -> Error {
        let sentence = format!(
            "The backup repository {} is damaged: {name} {how}. Backups that need it cannot be restored; `resoftai backup \
             verify` says which. Copy the file from another copy of the repository, or begin a new one.",
            self.0.display()
        );
        Error::invalid("backup_damaged", sentence)
    }

    fn failed(&self, what: &str, cause: &std::io::Error) -> Error {
        if cause.kind() == ErrorKind::StorageFull {
            let sentence = format!(
                "The disk of the backup repository {} is full. Make room, prune old backups (`resoftai backup prune`), or \
                 choose a larger one. Backups that are complete are not touched.",
                self.0.display()
            );
            return Error::unavailable("backup_disk_full", sentence);
        }
        let sentence = format!(
            "The backup repository {} cannot {what}: {cause}. Is the medium there, and does it belong to the account that \
             runs the server?",
            self.0.display()
        );
        Error::unavailable("backup_unreachable", sentence)
    }
}

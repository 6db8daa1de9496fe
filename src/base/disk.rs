//! How much room there is on the disk that a path lies on.

use std::io;
use std::path::Path;

/// A disk, in bytes, as it is for who has no rights of root's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub free: u64,
    pub size: u64,
    /// How many more files can be made; None where the file system does not count them.
    pub free_files: Option<u64>,
}

impl Disk {
    /// The one of `path` (statvfs(3)).
    ///
    /// # Errors
    /// When the path cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        let [free, size] = [found.f_bavail, found.f_blocks].map(|blocks| blocks.saturating_mul(found.f_frsize));
        Ok(Self { free, size, free_files: (found.f_files > 0).then_some(found.f_favail) })
    }
}

//! Files that a command writes: whole and on the disk, or not at all.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file beside `target`, to become it with [`keep`]; dropped, it is gone. Of `mode` the umask takes away what it must.
///
/// # Errors
/// When the folder cannot be written to.
pub fn begin(target: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)
}

/// Puts the file in the place of `target`.
///
/// # Errors
/// When the disk refuses; what was there stays.
pub fn keep(file: NamedTempFile, target: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(target).map(drop).map_err(|refused| refused.error)
}

/// Writes `target`.
///
/// # Errors
/// As [`begin`] and [`keep`].
pub fn put(target: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = begin(target, mode)?;
    file.write_all(bytes)?;
    keep(file, target)
}

/// Writes `target`, which must not be there yet.
///
/// # Errors
/// As [`put`], and when it is there.
pub fn put_new(target: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = begin(target, mode)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(target).map(drop).map_err(|refused| refused.error)
}

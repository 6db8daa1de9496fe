//! Secrets that the site makes for itself: created once, mode 0600, never defaulted.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::base::crypto::Key;
use crate::base::error::{Error, Result};

/// Makes a folder only its owner may enter, with what is missing above it.
///
/// # Errors
/// When the file system refuses.
pub fn private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|cause| {
        let message = format!("The folder {} cannot be made: {cause}.", path.display());
        Error::unavailable("data_dir", message).caused_by(cause)
    })
}

/// Writes a file that its owner alone may read, whole or not at all: temporary name, fsync, rename, fsync of the folder.
///
/// # Errors
/// `unwritable_secret` and `disk_full`, naming the file.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|cause| {
        if cause.kind() == ErrorKind::StorageFull {
            return cause.into();
        }
        let message = format!(
            "{} cannot be written: {cause}. Give the data directory and all in it to the account that runs the server, or \
             choose another with --data-dir.",
            path.display()
        );
        Error::unavailable("unwritable_secret", message).caused_by(cause)
    })
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    if let Err(cause) = fs::remove_file(&temporary)
        && cause.kind() != ErrorKind::NotFound
    {
        return Err(cause);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The key in `path`, made at the first call.
///
/// # Errors
/// Those of [`load`] and [`write_private`].
pub fn load_or_create(path: &Path) -> Result<Key> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    let key = Key::random()?;
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    write_private(path, key.bytes())?;
    Ok(key)
}

/// The key in `path`; None where there is no such file.
///
/// # Errors
/// `damaged_secret` when the file holds something else than a key, and `unreadable_secret`.
pub fn load(path: &Path) -> Result<Option<Key>> {
    match read_start(path) {
        Ok(bytes) => {
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
                let message = format!(
                    "{} is not a 32-byte key. Restore it from a backup; deleting it loses what it protects.",
                    path.display()
                );
                Error::unavailable("damaged_secret", message)
            })?;
            Ok(Some(Key::from_bytes(bytes)))
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => {
            let message =
                format!("{} cannot be read: {cause}. Let the account that runs the server read it.", path.display());
            Err(Error::unavailable("unreadable_secret", message).caused_by(cause))
        }
    }
}

/// As much of a file as tells a key from something else.
fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(33).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_or_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwt.key");
        // A folder in the way stops root too.
        let (in_the_way, there) = (dir.path().join("jwt.new"), dir.path().join("there.key"));
        fs::create_dir_all(&in_the_way).unwrap();
        fs::create_dir(&there).unwrap();
        for (path, code) in [(path, "unwritable_secret"), (there, "unreadable_secret")] {
            let error = load_or_create(&path).err().unwrap();
            assert_eq!(error.code(), code);
            assert!(error.message().starts_with(path.to_str().unwrap()), "{error}");
        }
    }
}

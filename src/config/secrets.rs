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
/// When the file system refuses.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    if let Err(cause) = fs::remove_file(&temporary)
        && cause.kind() != ErrorKind::NotFound
    {
        return Err(cause.into());
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The key in `path`, made at the first call.
///
/// # Errors
/// `damaged_secret` when the file holds something else than a key.
pub fn load_or_create(path: &Path) -> Result<Key> {
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(33).read_to_end(&mut bytes)?;
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
                let message = format!(
                    "{} is not a 32-byte key. Restore it from a backup; deleting it loses what it protects.",
                    path.display()
                );
                Error::unavailable("damaged_secret", message)
            })?;
            Ok(Key::from_bytes(bytes))
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let key = Key::random()?;
            if let Some(folder) = path.parent() {
                private_folder(folder)?;
            }
            write_private(path, key.bytes())?;
            Ok(key)
        }
        Err(cause) => {
            Err(Error::unavailable("unreadable_secret", format!("{} cannot be read: {cause}.", path.display()))
                .caused_by(cause))
        }
    }
}

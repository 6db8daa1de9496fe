//! A plugin's folder as one tar archive, to be sent to a server.
//!
//! Invariant: the archive holds plain files and folders only and is bounded; links are refused, not followed, so nothing
//! from outside the folder leaves this machine. What makes a good plugin, the server decides.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::size;

const MOST_FILES: usize = 5000;
/// What the files hold together, in bytes; the server takes less.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
const DEEPEST: usize = 32;

/// Packs `folder`, without what editors, version control and Python leave behind.
///
/// # Errors
/// Wrong usage when it is no plugin or holds a link; `plugin_too_large`.
pub fn pack(folder: &Path) -> Result<Vec<u8>> {
    let manifest = folder.join("plugin.json");
    if !manifest.is_file() {
        let detail = format!("{} is not a plugin: there is no {}.", folder.display(), manifest.display());
        return Err(Failure::usage(detail));
    }
    let mut packing = Packing { archive: Builder::new(Vec::new()), files: MOST_FILES, bytes: MOST_BYTES };
    packing.folder(folder, "", 0)?;
    Ok(packing.archive.into_inner()?)
}

struct Packing {
    archive: Builder<Vec<u8>>,
    files: usize,
    bytes: u64,
}

impl Packing {
    fn folder(&mut self, from: &Path, inside: &str, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(Failure::usage(format!("{} is more than {DEEPEST} folders deep.", from.display())));
        }
        let mut entries = fs::read_dir(from).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|cause| {
            Failure::usage(format!("Cannot read {}: {cause}. Make it readable for you.", from.display()))
        })?;
        // The same folder gives the same archive.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type()?);
            let Ok(name) = entry.file_name().into_string() else {
                return Err(Failure::usage(format!("The name {} is not UTF-8. Rename it.", path.display())));
            };
            if name.starts_with('.') || name == "__pycache__" {
                continue;
            }
            let inside = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            if kind.is_dir() {
                self.folder(&path, &inside, depth + 1)?;
            } else if kind.is_file() {
                self.file(&path, &inside)?;
            } else {
                let detail = format!("{} is neither a file nor a folder. Take links out first.", path.display());
                return Err(Failure::usage(detail));
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, inside: &str) -> Result<()> {
        let too_large = || {
            let limits = format!("{MOST_FILES} files or {}", size(MOST_BYTES));
            let detail =
                format!("The folder holds more than {limits}, at {}. Leave out what it does not need.", from.display());
            Failure::new(Exit::Limit, "plugin_too_large", detail)
        };
        self.files = self.files.checked_sub(1).ok_or_else(too_large)?;
        let mut content = Vec::new();
        File::open(from)
            .and_then(|file| file.take(self.bytes + 1).read_to_end(&mut content))
            .map_err(|cause| Failure::usage(format!("Cannot read {}: {cause}.", from.display())))?;
        self.bytes = self.bytes.checked_sub(content.len() as u64).ok_or_else(too_large)?;
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        Ok(self.archive.append_data(&mut header, inside, content.as_slice())?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plugin() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plugin.json"), "{}").unwrap();
        for name in ["lib", ".git", "lib/__pycache__"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("main.py"), name).unwrap();
        }
        folder
    }

    #[test]
    fn the_archive_holds_the_files_and_no_debris() {
        let folder = plugin();
        let long = "a".repeat(120);
        fs::write(folder.path().join(&long), "long").unwrap();
        let bytes = pack(folder.path()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<(String, String)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = String::new();
                entry.read_to_string(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content)
            })
            .collect();
        let expected = [(long.as_str(), "long"), ("lib/main.py", "lib"), ("plugin.json", "{}")];
        assert_eq!(found, expected.map(|(path, content)| (path.to_owned(), content.to_owned())));
        assert_eq!(pack(folder.path()).unwrap(), bytes);
    }

    #[test]
    fn links_and_other_folders_are_refused() {
        let folder = plugin();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("lib/link")).unwrap();
        assert_eq!(pack(folder.path()).unwrap_err().exit(), Exit::Usage);
        assert_eq!(pack(tempfile::tempdir().unwrap().path()).unwrap_err().exit(), Exit::Usage);
    }
}

//! Bringing a plugin's folder into the server's plugins folder.
//!
//! Invariant: the folder appears there whole or not at all, and holds plain files and folders only, within bounds.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::size;

const MOST_FILES: usize = 5000;
const MOST_BYTES: u64 = 256 * 1024 * 1024;
const DEEPEST: usize = 16;
const MANIFEST_LIMIT: u64 = 1024 * 1024;

/// Copies `folder` to `plugins/<slug>` and gives the slug.
///
/// # Errors
/// Wrong usage when it is no plugin; `plugin_folder_exists` when the place is taken and `replace` was not said.
pub fn bring_in(folder: &Path, plugins: &Path, replace: bool) -> Result<String> {
    let slug = slug_of(folder)?;
    let place = plugins.join(&slug);
    if same(folder, &place) {
        return Ok(slug);
    }
    if place.exists() && !replace {
        let detail = format!("{} is there already. Say --replace to put {} in its place.", place.display(), folder.display());
        return Err(Failure::new(Exit::Conflict, "plugin_folder_exists", detail));
    }
    let denied = |cause: std::io::Error| {
        let exit = if cause.kind() == std::io::ErrorKind::PermissionDenied { Exit::NotAllowed } else { Exit::Failed };
        Failure::new(exit, "plugins_folder", format!("Cannot write to {}: {cause}.", plugins.display()))
    };
    // Hidden names are no plugins to the server, so a half-made copy is never loaded.
    let staging = tempfile::Builder::new().prefix(".incoming-").tempdir_in(plugins).map_err(denied)?;
    let new = staging.path().join("new");
    copy(folder, &new, 0, &mut Budget { files: MOST_FILES, bytes: MOST_BYTES })?;
    if place.exists() {
        fs::rename(&place, staging.path().join("old")).map_err(denied)?;
    }
    fs::rename(&new, &place).map_err(denied)?;
    fs::File::open(plugins)?.sync_all()?;
    Ok(slug)
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn slug_of(folder: &Path) -> Result<String> {
    let path = folder.join("plugin.json");
    let mut text = Vec::new();
    let file = fs::File::open(&path)
        .map_err(|cause| Failure::usage(format!("{} is not a plugin: {} cannot be read ({cause}).", folder.display(), path.display())))?;
    file.take(MANIFEST_LIMIT).read_to_end(&mut text)?;
    let manifest: Value = serde_json::from_slice(&text)
        .map_err(|cause| Failure::usage(format!("{} is not valid JSON: {cause}.", path.display())))?;
    let slug = manifest["slug"].as_str().unwrap_or_default();
    let plain = !slug.is_empty()
        && slug.len() <= 100
        && !slug.starts_with('-')
        && slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    if plain {
        return Ok(slug.to_owned());
    }
    Err(Failure::usage(format!(
        "{} has the slug {}; it must be small letters, digits and hyphens.",
        path.display(),
        manifest["slug"]
    )))
}

struct Budget {
    files: usize,
    bytes: u64,
}

fn copy(from: &Path, to: &Path, depth: usize, budget: &mut Budget) -> Result<()> {
    if depth > DEEPEST {
        return Err(Failure::usage(format!("{} is more than {DEEPEST} folders deep.", from.display())));
    }
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&path, &target, depth + 1, budget)?;
        } else if kind.is_file() {
            copy_file(&path, &target, budget)?;
        } else {
            return Err(Failure::usage(format!("{} is neither a file nor a folder. Take links out first.", path.display())));
        }
    }
    Ok(fs::File::open(to)?.sync_all()?)
}

fn copy_file(from: &Path, to: &Path, budget: &mut Budget) -> Result<()> {
    let too_large = || {
        let detail = format!("The folder is larger than {MOST_FILES} files or {}, at {}.", size(MOST_BYTES), from.display());
        Failure::new(Exit::Limit, "plugin_too_large", detail)
    };
    budget.files = budget.files.checked_sub(1).ok_or_else(too_large)?;
    let mut source = fs::File::open(from)?.take(budget.bytes + 1);
    let mut target = fs::File::create_new(to)?;
    let copied = std::io::copy(&mut source, &mut target)?;
    budget.bytes = budget.bytes.checked_sub(copied).ok_or_else(too_large)?;
    target.set_permissions(fs::Permissions::from_mode(0o644))?;
    Ok(target.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(slug: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plugin.json"), format!(r#"{{"slug":"{slug}"}}"#)).unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/main.py"), "pass\n").unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_folder_arrives_whole_and_replaces_on_request_only() {
        let (folder, plugins) = (plugin("scan"), tempfile::tempdir().unwrap());
        assert_eq!(bring_in(folder.path(), plugins.path(), false).unwrap(), "scan");
        assert_eq!(fs::read_to_string(plugins.path().join("scan/lib/main.py")).unwrap(), "pass\n");
        fs::write(folder.path().join("lib/main.py"), "new\n").unwrap();
        assert_eq!(bring_in(folder.path(), plugins.path(), false).unwrap_err().exit(), Exit::Conflict);
        bring_in(folder.path(), plugins.path(), true).unwrap();
        assert_eq!(fs::read_to_string(plugins.path().join("scan/lib/main.py")).unwrap(), "new\n");
        assert_eq!(names(plugins.path()), ["scan"]);
    }

    #[test]
    fn what_lies_in_place_already_is_left_there() {
        let (folder, plugins) = (plugin("scan"), tempfile::tempdir().unwrap());
        bring_in(folder.path(), plugins.path(), false).unwrap();
        assert_eq!(bring_in(&plugins.path().join("scan"), plugins.path(), false).unwrap(), "scan");
    }

    #[test]
    fn slugs_that_leave_the_folder_and_links_are_refused() {
        let plugins = tempfile::tempdir().unwrap();
        for slug in ["", "../up", "a/b", ".hidden", "Big", "-x"] {
            assert_eq!(bring_in(plugin(slug).path(), plugins.path(), false).unwrap_err().exit(), Exit::Usage, "{slug}");
        }
        let linked = plugin("linked");
        std::os::unix::fs::symlink("/etc/passwd", linked.path().join("link")).unwrap();
        assert_eq!(bring_in(linked.path(), plugins.path(), false).unwrap_err().exit(), Exit::Usage);
        assert!(names(plugins.path()).is_empty());
    }
}

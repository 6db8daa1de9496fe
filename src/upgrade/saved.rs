//! The data as it was before: a copy beside it that costs little, and the way back to it.
//!
//! Invariant: what never changes under its name (contents, models) is linked, all else is copied, so that nothing that a new
//! version writes reaches the copy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Owner, Places, at, copy_file, remove, settle_disk};
use crate::base::error::Result;

/// Folders whose files are written once, under a name of their own.
const LINKED: [&str; 2] = ["blobs", "models"];
/// What means nothing to a server that starts; logs are carried over when it comes to that.
const LEFT: [&str; 5] = ["logs", "run", "scratch", "mirror", "upgrade.json"];

/// How many bytes have to be copied.
pub(super) fn bytes(data_dir: &Path) -> Result<u64> {
    let (mut bytes, mut folders) = (0, vec![data_dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|cause| at(&folder, &cause))? {
            let entry = entry.map_err(|cause| at(&folder, &cause))?;
            let kind = entry.metadata().map_err(|cause| at(&entry.path(), &cause))?;
            let name = entry.file_name();
            if folder == *data_dir && LINKED.iter().chain(&LEFT).any(|passed| name == *passed) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                bytes += kind.len();
            }
        }
    }
    Ok(bytes)
}

/// Makes the copy. Nobody may write meanwhile. What it costs grows with the size of the database and the number of contents.
pub(super) fn save(places: &Places, owner: Owner) -> Result<()> {
    let to = places.data();
    remove(&to)?;
    folder(&places.data_dir, &to, owner, false, true)?;
    settle_disk(&to)
}

fn folder(from: &Path, to: &Path, owner: Owner, linked: bool, top: bool) -> Result<()> {
    let mode = fs::metadata(from).map_err(|cause| at(from, &cause))?.permissions().mode() & 0o777;
    fs::create_dir(to).map_err(|cause| at(to, &cause))?;
    fs::set_permissions(to, Permissions::from_mode(mode)).map_err(|cause| at(to, &cause))?;
    owner.give(to)?;
    for entry in fs::read_dir(from).map_err(|cause| at(from, &cause))? {
        let entry = entry.map_err(|cause| at(from, &cause))?;
        let (name, path) = (entry.file_name(), entry.path());
        if top && LEFT.iter().any(|left| name == *left) {
            continue;
        }
        let (kind, target) = (entry.file_type().map_err(|cause| at(&path, &cause))?, to.join(&name));
        if kind.is_dir() {
            folder(&path, &target, owner, linked || (top && LINKED.iter().any(|one| name == *one)), false)?;
        } else if kind.is_symlink() {
            let leads = fs::read_link(&path).map_err(|cause| at(&path, &cause))?;
            std::os::unix::fs::symlink(leads, &target).map_err(|cause| at(&target, &cause))?;
            owner.give(&target)?;
        } else if kind.is_file() {
            let linked = linked && fs::hard_link(&path, &target).is_ok();
            if !linked {
                copy_file(&path, &target)?;
                owner.give(&target)?;
            }
        }
    }
    Ok(())
}

/// The copy takes the place of the data, which is moved to `aside`. May be repeated after a power cut.
pub(super) fn put_back(places: &Places, aside: &Path) -> Result<()> {
    let (data_dir, copy) = (&places.data_dir, places.data());
    if copy.exists() {
        if data_dir.exists() {
            fs::rename(data_dir, aside).map_err(|cause| at(data_dir, &cause))?;
        }
        fs::rename(&copy, data_dir).map_err(|cause| at(data_dir, &cause))?;
    }
    // What the version that failed wrote into its log is what people want to read.
    let (logs, theirs) = (data_dir.join("logs"), aside.join("logs"));
    if theirs.exists() && !logs.exists() {
        fs::rename(&theirs, &logs).map_err(|cause| at(&logs, &cause))?;
    }
    settle_disk(data_dir)
}

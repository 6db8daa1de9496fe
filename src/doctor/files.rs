//! The data directory: whose it is, who else can read it, and whether there is room.
//!
//! Invariant: looks at names, owners and modes only, at a bounded number of them, and opens no file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Check, size};
use crate::base::disk::Disk;
use crate::config::Config;

/// The most files that are looked at.
const MOST: usize = 10_000;
/// Files that are named when something is wrong with several.
const NAMED: usize = 3;
/// With less than this the server says that it is not ready (`/readyz`).
const FLOOR: u64 = 64 << 20;
/// With less than this somebody should look.
const LITTLE: u64 = 2 << 30;
/// With fewer files to be made than this.
const FEW_FILES: u64 = 1000;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let folder = &config.data_dir;
    let mut checks = vec![entry(folder)];
    checks.extend(contents(folder));
    checks.push(room("space_data", folder));
    let logs = folder.join("logs");
    checks.push(room("space_logs", if logs.exists() { &logs } else { folder }));
    checks
}

fn entry(folder: &Path) -> Check {
    const CODE: &str = "data_dir";
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => return Check::fail(CODE, format!("{shown} is no folder."), "Name the right one with --data-dir."),
        Err(cause) => {
            let mend = "Name the right one with --data-dir, or start the server once, which makes it: systemctl start resoftai";
            return Check::fail(CODE, format!("The data directory {shown} cannot be looked at: {cause}."), mend);
        }
    };
    let (mode, owner, own) = (metadata.mode() & 0o7777, metadata.uid(), rustix::process::geteuid().as_raw());
    if mode & 0o077 != 0 {
        let seen = format!("{shown} has mode {mode:04o}: others than its owner get in.");
        return Check::fail(CODE, seen, format!("chmod 700 {shown}"));
    }
    if own != 0 && own != owner {
        let seen = format!("{shown} belongs to user {owner}, and this is run by user {own}.");
        return Check::fail(CODE, seen, "Run this as root or as that user: sudo resoftai doctor");
    }
    Check::pass(CODE, format!("{shown} belongs to user {owner} alone (mode {mode:04o})."))
}

/// What is wrong with the files in it, if the folder can be read at all.
fn contents(folder: &Path) -> Option<Check> {
    const CODE: &str = "data_files";
    let owner = fs::metadata(folder).ok()?.uid();
    let (mut looked, mut strangers, mut open) = (0, Vec::new(), Vec::new());
    let mut left = vec![(folder.to_owned(), 0)];
    while let Some((at, depth)) = left.pop() {
        for entry in fs::read_dir(&at).ok()?.flatten().take(MOST - looked) {
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            looked += 1;
            if metadata.uid() != owner {
                strangers.push(entry.path());
            }
            if is_secret(folder, &entry.path()) && metadata.mode() & 0o077 != 0 {
                open.push(entry.path());
            }
            if metadata.is_dir() && depth < 1 {
                left.push((entry.path(), depth + 1));
            }
        }
    }
    let shown = folder.display();
    if !open.is_empty() {
        let seen = format!("Others than their owner can read {}.", names(&open));
        return Some(Check::fail(CODE, seen, format!("chmod -R go= {shown}")));
    }
    if !strangers.is_empty() {
        let seen = format!(
            "{} of {looked} files do not belong to the folder's owner: {}.",
            strangers.len(),
            names(&strangers)
        );
        return Some(Check::fail(CODE, seen, format!("chown -R --reference={shown} {shown}")));
    }
    Some(Check::pass(CODE, format!("{looked} files looked at belong to the folder's owner.")))
}

/// Keys, the database, and what holds people's data.
fn is_secret(folder: &Path, path: &Path) -> bool {
    let Ok(name) = path.strip_prefix(folder) else { return false };
    name.starts_with("secrets")
        || name == Path::new("tls/key.pem")
        || name == Path::new("resoftai.db")
        || name == Path::new("kv.redb")
}

fn names(paths: &[PathBuf]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    match paths.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Room on the volume of a folder.
pub(super) fn room(code: &'static str, folder: &Path) -> Check {
    let shown = folder.display();
    let disk = match Disk::of(folder) {
        Ok(disk) => disk,
        Err(cause) => {
            let mend = format!("Mount what belongs there, or make the folder: ls -ld {shown}");
            return Check::fail(code, format!("{shown} cannot be looked at: {cause}."), mend);
        }
    };
    let seen = format!("{} of {} are free where {shown} is.", size(disk.free), size(disk.size));
    let mend = format!(
        "Free some space or make the volume larger: df -h {shown}; du -xh --max-depth=2 {shown} | sort -h | tail"
    );
    if disk.free < FLOOR {
        return Check::fail(code, seen, mend);
    }
    if let Some(files) = disk.free_files.filter(|files| *files < FEW_FILES) {
        return Check::fail(code, format!("Only {files} more files can be made where {shown} is."), mend);
    }
    if disk.free < LITTLE { Check::warn(code, seen, mend) } else { Check::pass(code, seen) }
}

//! Putting a backup back: into a folder of its own first, looked at there, and in place in one step.
//!
//! Invariants: the data directory is what it was until the restored one passed its checks; what was there before is kept
//! beside it, never deleted. Nothing is restored into a directory that a server works in.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Progress;
use super::check::{self, Proof};
use super::manifest::{FileEntry, Manifest};
use super::read::Reader;
use super::repository::Repository;
use super::take::{CONFIG, DATABASE, RECORDS};
use crate::access::Caller;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Clock;
use crate::base::disk::Disk;
use crate::base::error::{Error, Result};
use crate::config::secrets::private_folder;
use crate::db::{self, Db};
use crate::kv::Kv;

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    pub backup: super::Summary,
    pub proof: Proof,
    /// Where what was there before lies now; null when nothing was.
    pub before: Option<PathBuf>,
    /// Where the configuration file of the backup lies, for comparison; null when there was none.
    pub config: Option<PathBuf>,
}

/// Puts a backup into `data_dir`. With `replace`, what is there is moved aside first; without, nothing may be there.
///
/// # Errors
/// `restore_in_use`, `restore_not_empty`, `backup_damaged`, `restore_unproven`, `restore_disk_full`.
pub async fn restore(
    repository: Repository,
    id: &str,
    data_dir: &Path,
    replace: bool,
    clock: Clock,
    progress: Progress,
) -> Result<Restored> {
    let manifest = repository.manifest(id)?;
    let _alone = alone(data_dir)?;
    if !replace && !is_free(data_dir)? {
        let sentence = format!(
            "{} holds something already. Restore into another directory, or say --replace: what is there is then moved aside, \
             and kept.",
            data_dir.display()
        );
        return Err(Error::conflict("restore_not_empty", sentence));
    }
    let aside = beside(data_dir, "restoring")?;
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    private_folder(&aside)?;
    check_room(&aside, manifest.summary.bytes)?;
    let proof = match try_out(&repository, &manifest, &aside, &clock, progress).await {
        Ok(proof) => proof,
        Err(error) => {
            fs::remove_dir_all(&aside)?;
            return Err(error);
        }
    };
    if !proof.is_whole() {
        let sentence = format!(
            "Backup {id} was restored to {} and did not pass: {}. The data directory was not changed. Restore an older backup.",
            aside.display(),
            proof.problems.join(" ")
        );
        return Err(Error::invalid("restore_unproven", sentence));
    }
    write_down(&aside, &manifest, &clock).await?;
    give_to_owner_of(data_dir, &aside)?;
    let before = put_in_place(data_dir, &aside, &clock)?;
    let config = Some(data_dir.join(CONFIG)).filter(|path| path.exists());
    Ok(Restored { backup: manifest.summary, proof, before, config })
}

/// The restored site's own trail says that it was restored.
async fn write_down(root: &Path, manifest: &Manifest, clock: &Clock) -> Result<()> {
    let db = Db::open_sqlite(&root.join(DATABASE), db::Options { readers: 1, queue: 16 }).await?;
    let (now, summary) = (clock.now(), manifest.summary.clone());
    let write = db.write(move |tx| {
        let text = format!("Restored from backup {}, which was made at {}", summary.id, summary.made_at);
        let event = Event::new(AuditAction::Create, "restore", text).id(&summary.id).after(&summary);
        audit::record(tx, now, &Caller::system(), &event)
    });
    let done = write.await;
    db.close().await;
    done
}

/// Writes all files of a backup below `target` and looks at what came of it.
///
/// # Errors
/// `backup_damaged`, `restore_disk_full`.
pub(super) async fn try_out(
    repository: &Repository,
    manifest: &Manifest,
    target: &Path,
    clock: &Clock,
    progress: Progress,
) -> Result<Proof> {
    let (own, of, folder) = (repository.clone(), manifest.clone(), target.to_owned());
    let files = tokio::task::spawn_blocking(move || write_all(&own, &of, &folder, &progress));
    let files = files.await.unwrap_or_else(|cause| Err(Error::internal(cause)))?;
    let records = target.join(RECORDS);
    let kv = Kv::open(&target.join("kv.redb"), clock.clone()).await?;
    kv.load(&mut BufReader::new(File::open(&records)?), clock.now()).await?;
    drop(kv);
    fs::remove_file(&records)?;
    check::look(manifest, &files, target, clock).await
}

fn write_all(
    repository: &Repository,
    manifest: &Manifest,
    target: &Path,
    progress: &Progress,
) -> Result<Vec<FileEntry>> {
    let index = repository.index()?;
    let mut reader = Reader::new(repository, &index);
    let files = reader.files(manifest)?;
    progress.expect(manifest.summary.bytes);
    for file in &files {
        let path = target.join(&file.path);
        if let Some(parent) = path.parent() {
            private_folder(parent)?;
        }
        let full = |cause: std::io::Error| no_room(&path, &cause);
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(full)?;
        reader.file(file, &mut |chunk| {
            progress.add(chunk.len() as u64);
            out.write_all(chunk).map_err(full)
        })?;
        out.set_permissions(fs::Permissions::from_mode(file.mode & 0o777))?;
    }
    rustix::fs::syncfs(File::open(target)?).map_err(std::io::Error::from)?;
    Ok(files)
}

/// What root restores belongs to whom the data directory belonged to: the account that the server runs as.
fn give_to_owner_of(data_dir: &Path, restored: &Path) -> Result<()> {
    let Ok(before) = fs::metadata(data_dir) else { return Ok(()) };
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (Some(before.uid()), Some(before.gid()));
    let mut left = vec![restored.to_owned()];
    while let Some(path) = left.pop() {
        std::os::unix::fs::lchown(&path, user, group)?;
        if fs::symlink_metadata(&path)?.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// Two renames; a power cut between them leaves the old directory under its new name, which the error of the next start tells.
fn put_in_place(data_dir: &Path, aside: &Path, clock: &Clock) -> Result<Option<PathBuf>> {
    let mut before = None;
    if data_dir.exists() {
        if is_free(data_dir)? {
            fs::remove_dir(data_dir)?;
        } else {
            let at: String = clock.now().to_string().chars().filter(char::is_ascii_digit).take(14).collect();
            let old = beside(data_dir, &format!("before-{at}"))?;
            rustix::fs::renameat_with(
                rustix::fs::CWD,
                aside,
                rustix::fs::CWD,
                data_dir,
                rustix::fs::RenameFlags::EXCHANGE,
            )
            .map_err(std::io::Error::from)?;
            fs::rename(aside, &old)?;
            before = Some(old);
        }
    }
    if before.is_none() {
        fs::rename(aside, data_dir)?;
    }
    if let Some(parent) = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(before)
}

/// A name in the same folder, so that a rename is one step.
fn beside(data_dir: &Path, what: &str) -> Result<PathBuf> {
    let name = data_dir.file_name().ok_or_else(|| {
        let sentence = format!("{} has no name of its own, so nothing can be put beside it.", data_dir.display());
        Error::invalid("restore_place", sentence)
    })?;
    Ok(data_dir.with_file_name(format!("{}.{what}", name.to_string_lossy())))
}

fn is_free(folder: &Path) -> Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(cause) => Err(cause.into()),
    }
}

/// Makes sure that no server works in the directory: its key-value store has one user at a time.
fn alone(data_dir: &Path) -> Result<Option<redb::Database>> {
    let path = data_dir.join("kv.redb");
    if !path.exists() {
        return Ok(None);
    }
    match redb::Database::open(&path) {
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
            let sentence = format!(
                "A server works in {}. Stop it first (systemctl stop resoftai), restore, and start it again.",
                data_dir.display()
            );
            Err(Error::conflict("restore_in_use", sentence))
        }
        // One that is damaged is a reason to restore.
        other => Ok(other.ok()),
    }
}

fn check_room(folder: &Path, bytes: u64) -> Result<()> {
    let room = Disk::of(folder)?.free;
    if room >= bytes {
        return Ok(());
    }
    let sentence = format!(
        "The backup needs {bytes} bytes and the disk of {} has room for {room}. Nothing was changed; make room first.",
        folder.display()
    );
    Err(Error::unavailable("restore_disk_full", sentence))
}

fn no_room(path: &Path, cause: &std::io::Error) -> Error {
    let sentence = format!("{} cannot be written: {cause}. The data directory was not changed.", path.display());
    Error::unavailable("restore_disk_full", sentence)
}

//! Taking a backup of a site that goes on working.
//!
//! Invariants: database and key-value store are of one moment, which nobody waits for longer than it takes to open two
//! snapshots; contents are immutable and none is removed meanwhile, so what the database of that moment names is copied
//! whenever it is read. Plugins are not installed or removed while their folder is read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::manifest::{FORMAT, FileEntry, Manifest, Summary};
use super::pack::Packer;
use super::read::Reader;
use super::repository::{BACKUPS, Index, MAX_CHUNK, Repository, new_id, unhex};
use super::{Progress, store};
use crate::base::clock::Clock;
use crate::base::crypto::hex;
use crate::base::error::{Error, Result};
use crate::blobs::{Blobs, Hold};
use crate::db::{self, Db};
use crate::kv::{self, Kv};
use crate::plugins::Plugins;

/// A chunk of the database: small, as changes are spread over it.
const PAGES: usize = 64 << 10;
pub(super) const DATABASE: &str = "resoftai.db";
/// The key-value store as records.
pub(super) const RECORDS: &str = "kv.records";
/// The configuration file, which lies elsewhere.
pub(super) const CONFIG: &str = "config.toml";
const BLOBS: &str = "blobs";
/// Folders that are copied as they are; logs, sockets and models are not.
const FOLDERS: [&str; 3] = ["secrets", "tls", "plugins"];

/// What is copied.
#[derive(Clone)]
pub struct Site {
    pub db: Db,
    pub kv: Kv,
    pub blobs: Blobs,
    pub plugins: Plugins,
    pub clock: Clock,
    pub data_dir: PathBuf,
    pub config_file: Option<PathBuf>,
}

/// The moment that is copied.
struct Moment {
    db: db::Snapshot,
    kv: kv::Snapshot,
    _contents: Hold,
    plugins: tokio::sync::OwnedMutexGuard<()>,
}

impl Site {
    async fn moment(&self) -> Result<Moment> {
        let _contents = self.blobs.hold().await?;
        let plugins = self.plugins.hold_still().await;
        let _pause = self.kv.pause().await?;
        Ok(Moment { db: self.db.snapshot().await?, kv: self.kv.snapshot()?, _contents, plugins })
    }

    /// Takes one backup. What it costs grows with the size of the database and with what is new among contents.
    ///
    /// # Errors
    /// `backup_in_use`, `backup_disk_full`, `backup_unreachable`, `backup_postgres`.
    pub async fn take(&self, repository: Repository, progress: Progress) -> Result<Summary> {
        let held = repository.hold()?;
        let moment = self.moment().await?;
        let site = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _held = held;
            site.write(&repository, moment, &progress)
        });
        work.await.unwrap_or_else(|cause| Err(Error::internal(cause)))
    }

    fn write(&self, repository: &Repository, moment: Moment, progress: &Progress) -> Result<Summary> {
        let made_at = self.clock.now();
        let id = new_id(made_at)?;
        let index = repository.index()?;
        let known = known_contents(repository, &index)?;
        let mut copy =
            Copy { packer: Packer::new(repository, &index)?, progress, files: Vec::new(), buffer: Vec::new() };
        let Moment { db, kv, _contents, plugins } = moment;
        progress.expect(db.size()?);
        for folder in FOLDERS {
            copy.folder(&self.data_dir, folder)?;
        }
        if let Some(file) = &self.config_file {
            copy.file(file, CONFIG)?;
        }
        drop(plugins);
        copy.pieces(DATABASE, PAGES, |take| db.pages(take))?;
        copy.pieces(RECORDS, MAX_CHUNK, |take| kv.copy(take))?;
        copy.contents(self.blobs.folder(), &known, &index)?;
        let (rows, (schema, installation_id)) = (db.counts()?, db.read(store::about_site)?);
        drop(db);
        let Copy { mut packer, files, .. } = copy;
        let text = serde_json::to_vec(&files).map_err(Error::internal)?;
        let listing = text.chunks(MAX_CHUNK).map(|part| packer.put(part).map(|name| hex(&name)));
        let listing = listing.collect::<Result<Vec<_>>>()?;
        let summary = Summary {
            id: id.clone(),
            made_at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
            installation_id,
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size).sum(),
            new_bytes: packer.new_bytes,
        };
        packer.finish(&id)?;
        let manifest = Manifest { format: FORMAT, summary: summary.clone(), rows, listing };
        repository.write_json(&format!("{BACKUPS}/{id}"), &manifest)?;
        repository.folder.settle()?;
        Ok(summary)
    }
}

/// The contents of the backup before, by path: what has a hash for its name is the same as long as it has that name.
fn known_contents(repository: &Repository, index: &Index) -> Result<HashMap<String, FileEntry>> {
    let Some(last) = repository.ids()?.pop() else { return Ok(HashMap::new()) };
    let manifest = repository.manifest(&last)?;
    let files = Reader::new(repository, index).files(&manifest)?;
    let contents = files.into_iter().filter(|file| file.path.starts_with("blobs/"));
    Ok(contents.map(|file| (file.path.clone(), file)).collect())
}

struct Copy<'a> {
    packer: Packer<'a>,
    progress: &'a Progress,
    files: Vec<FileEntry>,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    /// A file that comes in pieces of any size, in chunks of `size` bytes.
    fn pieces(
        &mut self,
        path: &str,
        size: usize,
        produce: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let Self { packer, progress, buffer, .. } = self;
        buffer.clear();
        let (mut chunks, mut total) = (Vec::new(), 0_u64);
        produce(&mut |mut piece| {
            total += piece.len() as u64;
            while !piece.is_empty() {
                let (now, later) = piece.split_at(piece.len().min(size - buffer.len()));
                buffer.extend_from_slice(now);
                piece = later;
                if buffer.len() == size {
                    chunks.push(hex(&packer.put(buffer)?));
                    progress.add(size as u64);
                    buffer.clear();
                }
            }
            Ok(())
        })?;
        if !buffer.is_empty() {
            chunks.push(hex(&packer.put(buffer)?));
            progress.add(buffer.len() as u64);
        }
        self.files.push(FileEntry { path: path.to_owned(), mode: 0o600, size: total, chunks });
        Ok(())
    }

    fn folder(&mut self, root: &Path, below: &str) -> Result<()> {
        for name in names(&root.join(below))? {
            let (path, below) = (root.join(below).join(&name), format!("{below}/{name}"));
            let kind = std::fs::symlink_metadata(&path)?;
            if kind.is_dir() {
                self.folder(root, &below)?;
            } else if kind.is_file() {
                self.file(&path, &below)?;
            }
        }
        Ok(())
    }

    /// A file as it is; one that has just gone is left out.
    fn file(&mut self, path: &Path, below: &str) -> Result<()> {
        let mut file = match File::open(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|cause| unreadable(path, &cause))?,
        };
        let mode = file.metadata()?.permissions().mode() & 0o777;
        self.pieces(below, MAX_CHUNK, |take| {
            let mut piece = vec![0; 256 << 10];
            loop {
                match file.read(&mut piece).map_err(|cause| unreadable(path, &cause))? {
                    0 => return Ok(()),
                    count => take(&piece[..count])?,
                }
            }
        })?;
        if let Some(last) = self.files.last_mut() {
            last.mode = mode;
        }
        Ok(())
    }

    /// All contents; those of the backup before are not read again.
    fn contents(&mut self, root: &Path, known: &HashMap<String, FileEntry>, index: &Index) -> Result<()> {
        let pairs = |name: &String| name.len() == 2;
        for outer in names(root)?.into_iter().filter(pairs) {
            for inner in names(&root.join(&outer))?.into_iter().filter(pairs) {
                for hash in names(&root.join(&outer).join(&inner))? {
                    let path = root.join(&outer).join(&inner).join(&hash);
                    let below = format!("{BLOBS}/{outer}/{inner}/{hash}");
                    match known.get(&below).filter(|file| is_whole(file, &path, index)) {
                        Some(file) => self.files.push(file.clone()),
                        None => self.file(&path, &below)?,
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_whole(file: &FileEntry, path: &Path, index: &Index) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.len() == file.size)
        && file.chunks.iter().all(|name| unhex(name).is_some_and(|name| index.contains(&name)))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|cause| unreadable(folder, &cause))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn unreadable(path: &Path, cause: &std::io::Error) -> Error {
    let sentence =
        format!("{} cannot be read for the backup: {cause}. No backup was made; check the disk.", path.display());
    Error::unavailable("backup_unreadable", sentence)
}

//! Contents by their SHA-256: files of projects, packages.
//!
//! Invariants: a content under its final name is whole and durable (written aside, synced, renamed, folders synced), and
//! what is read is what was written, or an error. Contents are never edited, and removed only by [`Blobs::sweep`]. Who may
//! see one is the rooms' business: a hash is not a permission.
//!
//! Reads go through `object_store`, so that another home than a local folder changes this file only. Its local store
//! does not sync what it writes, therefore the writing is done here, into the same layout: `ab/cd/<hash>`.

mod intake;
mod sweep;

pub use intake::Intake;

use std::collections::HashSet;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;

use crate::base::crypto::sha256_hex;
use crate::base::error::{Error, Kind, Result};
use crate::base::tasks::blocking;

/// The largest content, in bytes.
pub const MAX_SIZE: usize = 256 << 20;
/// Contents being written at the same time; more wait.
const WRITERS: usize = 8;
/// Unfinished contents; emptied at start.
const ASIDE: &str = "tmp";

/// A handle on the store; clones share it.
#[derive(Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Box<dyn ObjectStore>,
    folder: PathBuf,
    writers: Arc<Semaphore>,
    /// What nothing named at the last look, and nobody put since.
    unused: Mutex<HashSet<String>>,
    /// Those for whom nothing may be removed at present.
    held: Arc<AtomicUsize>,
}

/// Keeps every content that is there from being removed, until it is dropped.
pub struct Hold(Arc<AtomicUsize>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    fn unused(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs {
    /// Opens or creates the store in `dir` (mode 0700), which one process uses at a time.
    pub async fn open(dir: &Path) -> Result<Self> {
        let folder = dir.to_owned();
        blocking(move || {
            prepare(&folder)?;
            let store: Box<dyn ObjectStore> =
                Box::new(LocalFileSystem::new_with_prefix(&folder).map_err(Error::internal)?);
            let writers = Arc::new(Semaphore::new(WRITERS));
            Ok(Self {
                inner: Arc::new(Inner { store, folder, writers, unused: Mutex::default(), held: Arc::default() }),
            })
        })
        .await
    }

    /// Keeps `content` and returns its SHA-256 in lower-case hexadecimal. It is durable when this returns; keeping the
    /// same content again costs a read and repairs a damaged copy. Errors: `blob_too_large` above [`MAX_SIZE`],
    /// `disk_full`.
    pub async fn put(&self, content: impl Into<Bytes>) -> Result<String> {
        let content = content.into();
        if content.len() > MAX_SIZE {
            return Err(too_large(MAX_SIZE));
        }
        let permit = Arc::clone(&self.inner.writers).acquire_owned().await.map_err(Error::internal)?;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            // The permit goes along: a caller that leaves does not make room for another write.
            let _permit = permit;
            let hash = sha256_hex(&content);
            inner.unused().remove(&hash);
            write(&inner.folder, &hash, &content)?;
            Ok(hash)
        })
        .await
    }

    /// The content with this hash. Errors: `not_found`; `blob_too_large` when it has more than `max` bytes;
    /// `blob_damaged` when the disk does not give back what was written.
    pub async fn get(&self, hash: &str, max: usize) -> Result<Bytes> {
        let found = self.inner.store.get(&key(hash)?).await.map_err(|cause| failed(hash, cause))?;
        if found.meta.size > max as u64 {
            return Err(too_large(max));
        }
        let content = found.bytes().await.map_err(|cause| failed(hash, cause))?;
        let (content, actual) = blocking(move || {
            let actual = sha256_hex(&content);
            Ok((content, actual))
        })
        .await?;
        if actual != hash {
            let sentence = format!(
                "The stored content {hash} is damaged on the disk of the data directory. Restore it from a backup, or \
                 save the same file again."
            );
            return Err(Error::new(Kind::Internal, "blob_damaged", sentence));
        }
        Ok(content)
    }

    /// Keeps every content from being removed from now on: new ones still come in.
    ///
    /// # Errors
    /// None that is known; the store closes with the process.
    pub async fn hold(&self) -> Result<Hold> {
        self.inner.held.fetch_add(1, Ordering::AcqRel);
        let hold = Hold(Arc::clone(&self.inner.held));
        // A removal that is under way has all of the places; behind it none begins.
        drop(self.inner.writers.acquire().await.map_err(Error::internal)?);
        Ok(hold)
    }

    /// Where the contents are, for who copies all of them under a [`Hold`].
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Whether a content with this hash is there, without reading it.
    pub async fn exists(&self, hash: &str) -> Result<bool> {
        match self.inner.store.head(&key(hash)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(failed(hash, cause)),
        }
    }
}

/// Only what [`sha256_hex`] makes is a name: nothing else reaches the file system.
fn key(hash: &str) -> Result<Key> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hash.len() != 64 || !hash.bytes().all(digit) {
        return Err(Error::not_found("stored content with this hash"));
    }
    Ok(Key::from_iter([&hash[..2], &hash[2..4], hash]))
}

fn too_large(max: usize) -> Error {
    Error::new(Kind::TooLarge, "blob_too_large", format!("The content has more than the {max} bytes allowed here."))
}

fn failed(hash: &str, cause: object_store::Error) -> Error {
    match cause {
        object_store::Error::NotFound { .. } => Error::not_found(format!("stored content {hash}")),
        cause => Error::internal(cause),
    }
}

/// Makes the folders and throws away what a crash left unfinished.
fn prepare(folder: &Path) -> Result<()> {
    make_folder(folder)?;
    match std::fs::set_permissions(folder, Permissions::from_mode(0o700)) {
        // The root of a volume that is mounted here may be another's; who may enter it is said where it is mounted.
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {}
        done => done?,
    }
    let aside = folder.join(ASIDE);
    make_folder(&aside)?;
    for left in std::fs::read_dir(&aside)? {
        match std::fs::remove_file(left?.path()) {
            // Another server of the site was faster.
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            done => done?,
        }
    }
    sync_folder(folder)
}

fn write(folder: &Path, hash: &str, content: &[u8]) -> Result<()> {
    let outer = folder.join(&hash[..2]);
    let inner = outer.join(&hash[2..4]);
    let place = inner.join(hash);
    // A copy that is whole stays; one that a failing disk damaged is replaced.
    let present = std::fs::read(&place).is_ok_and(|present| present == content);
    if !present {
        make_folder(&inner)?;
        // Mode 0600; removed again unless it gets its name.
        let mut file = tempfile::NamedTempFile::new_in(folder.join(ASIDE))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&place).map_err(|refused| refused.error)?;
    }
    // Also for a copy that another writer has just renamed and not synced yet.
    [inner.as_path(), &outer, folder].into_iter().try_for_each(sync_folder)
}

fn make_folder(path: &Path) -> Result<()> {
    Ok(DirBuilder::new().recursive(true).mode(0o700).create(path)?)
}

fn sync_folder(path: &Path) -> Result<()> {
    Ok(File::open(path)?.sync_all()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    async fn store() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs")).await.unwrap();
        (dir, blobs)
    }

    fn place(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("blobs/ba/78").join(ABC)
    }

    fn code<T>(result: Result<T>) -> &'static str {
        result.err().unwrap().code()
    }

    #[tokio::test]
    async fn a_content_comes_back_from_its_private_place() {
        let (dir, blobs) = store().await;
        assert!(!blobs.exists(ABC).await.unwrap());
        assert_eq!(code(blobs.get(ABC, 3).await), "not_found");
        for _ in 0..2 {
            assert_eq!(blobs.put("abc").await.unwrap(), ABC);
        }
        assert!(blobs.exists(ABC).await.unwrap());
        assert_eq!(blobs.get(ABC, 3).await.unwrap(), "abc");
        assert_eq!(code(blobs.get(ABC, 2).await), "blob_too_large");
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(place(&dir)), mode(dir.path().join("blobs"))), (0o600, 0o700));
        let empty = blobs.put(Vec::new()).await.unwrap();
        assert_eq!(blobs.get(&empty, 0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn damage_is_noticed_and_repaired_by_saving_again() {
        let (dir, blobs) = store().await;
        blobs.put("abc").await.unwrap();
        for damaged in ["abd", "ab"] {
            std::fs::write(place(&dir), damaged).unwrap();
            assert_eq!(code(blobs.get(ABC, 9).await), "blob_damaged");
            blobs.put("abc").await.unwrap();
            assert_eq!(blobs.get(ABC, 9).await.unwrap(), "abc");
        }
    }

    #[tokio::test]
    async fn names_that_are_not_hashes_reach_no_file() {
        let (dir, blobs) = store().await;
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        let upper = ABC.to_uppercase();
        for name in ["", "../secret", "/etc/passwd", &upper, &ABC[1..], &"é".repeat(32)] {
            assert_eq!(code(blobs.get(name, 9).await), "not_found", "{name}");
            assert_eq!(code(blobs.exists(name).await), "not_found", "{name}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_writers_of_few_contents_leave_only_whole_ones() {
        let (dir, blobs) = store().await;
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..64_u8 {
            let blobs = blobs.clone();
            writers.spawn(async move { (number % 4, blobs.put(vec![number % 4; 70_000]).await.unwrap()) });
        }
        while let Some(written) = writers.join_next().await {
            let (byte, hash) = written.unwrap();
            assert_eq!(blobs.get(&hash, 70_000).await.unwrap(), vec![byte; 70_000]);
        }
        assert_eq!(std::fs::read_dir(dir.path().join("blobs/tmp")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_a_crash_left_unfinished_is_gone_after_the_next_start() {
        let (dir, blobs) = store().await;
        blobs.put("abc").await.unwrap();
        std::fs::write(dir.path().join("blobs/tmp/.tmpX"), "ab").unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs")).await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("blobs/tmp")).unwrap().count(), 0);
        assert_eq!(blobs.get(ABC, 3).await.unwrap(), "abc");
    }
}

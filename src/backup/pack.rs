//! Putting chunks into packs: compressed here, encrypted and written on a thread of its own.
//!
//! Invariant: a chunk that the repository has is not written again; nothing is named by an index before its pack is on the
//! disk.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::repository::{INDEX, Index, IndexFile, MAX_CHUNK, PACK, PackEntry, Repository, pack_path};
use crate::base::crypto::{hex, sha256_hex};
use crate::base::error::{Error, Result};

/// Zstandard's fastest: a disk is slower than better ones.
const LEVEL: i32 = 1;
/// Packs that wait for the writing thread.
const WAITING: usize = 2;

/// A pack before it is encrypted.
struct Open {
    plain: Vec<u8>,
    chunks: Vec<(String, u32, u32)>,
}

/// Takes chunks in. Dropped, what it wrote is garbage for the next prune.
pub(super) struct Packer<'a> {
    repository: &'a Repository,
    index: &'a Index,
    new: HashSet<[u8; 32]>,
    compressor: zstd::bulk::Compressor<'static>,
    open: Open,
    full: Option<SyncSender<Open>>,
    writer: Option<JoinHandle<Result<Vec<PackEntry>>>>,
    /// Compressed bytes that were not there before.
    pub new_bytes: u64,
}

impl<'a> Packer<'a> {
    pub fn new(repository: &'a Repository, index: &'a Index) -> Result<Self> {
        let (full, packs) = sync_channel(WAITING);
        let own = repository.clone();
        let writer = thread::Builder::new().name("backup-write".to_owned()).spawn(move || write(&own, &packs))?;
        Ok(Self {
            repository,
            index,
            new: HashSet::new(),
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            open: Open::empty(),
            full: Some(full),
            writer: Some(writer),
            new_bytes: 0,
        })
    }

    /// Keeps a chunk of at most [`MAX_CHUNK`] bytes and gives its name.
    ///
    /// # Errors
    /// Those of the writing thread.
    pub fn put(&mut self, chunk: &[u8]) -> Result<[u8; 32]> {
        debug_assert!(chunk.len() <= MAX_CHUNK);
        let name = self.repository.keys.name(chunk);
        if self.index.contains(&name) || !self.new.insert(name) {
            return Ok(name);
        }
        let packed = self.compressor.compress(chunk)?;
        self.append(&name, &packed)?;
        Ok(name)
    }

    /// Keeps a chunk that is compressed already, as it lies in another pack.
    pub fn append(&mut self, name: &[u8; 32], packed: &[u8]) -> Result<()> {
        let offset = u32::try_from(self.open.plain.len()).map_err(Error::internal)?;
        let length = u32::try_from(packed.len()).map_err(Error::internal)?;
        self.open.plain.extend_from_slice(packed);
        self.open.chunks.push((hex(name), offset, length));
        self.new_bytes += u64::from(length);
        if self.open.plain.len() >= PACK { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<()> {
        let full = std::mem::replace(&mut self.open, Open::empty());
        let sent = self.full.as_ref().is_some_and(|queue| queue.send(full).is_ok());
        // The thread ends early only when it failed.
        if sent { Ok(()) } else { self.join().map(drop) }
    }

    fn join(&mut self) -> Result<Vec<PackEntry>> {
        self.full = None;
        let Some(writer) = self.writer.take() else { return Err(Error::internal("the packs are written already")) };
        writer.join().unwrap_or_else(|_| Err(Error::internal("the thread that writes packs panicked")))
    }

    /// Writes what is left, and the index of all of it as the file `id`. True when there was something new.
    ///
    /// # Errors
    /// `backup_disk_full`, `backup_unreachable`.
    pub fn finish(mut self, id: &str) -> Result<bool> {
        if !self.open.chunks.is_empty() {
            self.hand_over()?;
        }
        let packs = self.join()?;
        self.repository.folder.settle()?;
        if packs.is_empty() {
            return Ok(false);
        }
        self.repository.write_json(&format!("{INDEX}/{id}"), &IndexFile { packs })?;
        Ok(true)
    }
}

impl Open {
    fn empty() -> Self {
        Self { plain: Vec::with_capacity(PACK + MAX_CHUNK), chunks: Vec::new() }
    }
}

fn write(repository: &Repository, packs: &Receiver<Open>) -> Result<Vec<PackEntry>> {
    let mut written = Vec::new();
    while let Ok(open) = packs.recv() {
        let sealed = repository.keys.seal(&open.plain)?;
        let pack = sha256_hex(&sealed);
        repository.folder.write(&pack_path(&pack), &sealed)?;
        written.push(PackEntry { pack, chunks: open.chunks });
    }
    Ok(written)
}

//! Reading files out of a repository.
//!
//! Invariant: every chunk is compared with its name before it is handed out; a few opened packs are kept, so a file that
//! was written in order is read in order.

use std::collections::VecDeque;
use std::rc::Rc;

use super::manifest::{FileEntry, Manifest};
use super::repository::{Index, Repository, pack_path, unhex};
use crate::base::error::Result;

/// Opened packs that are kept: 16 MiB each.
const KEPT: usize = 4;

/// Reads chunks, one thread's.
pub(super) struct Reader<'a> {
    repository: &'a Repository,
    index: &'a Index,
    packs: VecDeque<(u32, Rc<Vec<u8>>)>,
}

impl<'a> Reader<'a> {
    pub fn new(repository: &'a Repository, index: &'a Index) -> Self {
        Self { repository, index, packs: VecDeque::new() }
    }

    /// The files of a backup.
    ///
    /// # Errors
    /// `backup_damaged`.
    pub fn files(&mut self, manifest: &Manifest) -> Result<Vec<FileEntry>> {
        let mut text = Vec::new();
        for name in &manifest.listing {
            text.extend_from_slice(&self.chunk(name)?);
        }
        let damaged =
            |_| self.repository.folder.damaged(&manifest.summary.id, "has a list of files that cannot be read");
        let files: Vec<FileEntry> = serde_json::from_slice(&text).map_err(damaged)?;
        let plain = |file: &FileEntry| file.path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        match files.iter().find(|file| !plain(file)) {
            Some(file) => Err(self.repository.folder.damaged(&file.path, "leads out of the data directory")),
            None => Ok(files),
        }
    }

    /// Hands all chunks of a file to `take`, in order.
    ///
    /// # Errors
    /// `backup_damaged`, and those of `take`.
    pub fn file(&mut self, file: &FileEntry, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut size = 0;
        for name in &file.chunks {
            let chunk = self.chunk(name)?;
            size += chunk.len() as u64;
            take(&chunk)?;
        }
        if size == file.size { Ok(()) } else { Err(self.repository.folder.damaged(&file.path, "has lost a part")) }
    }

    /// One chunk.
    ///
    /// # Errors
    /// `backup_damaged`.
    pub fn chunk(&mut self, name: &str) -> Result<Vec<u8>> {
        let lost = || self.repository.folder.damaged(name, "is in no pack");
        let bytes = unhex(name).ok_or_else(lost)?;
        let place = self.index.get(&bytes).ok_or_else(lost)?;
        let pack = self.pack(place.pack)?;
        let path = pack_path(&self.index.packs[place.pack as usize]);
        self.repository.chunk(&pack, place, &bytes, &path)
    }

    fn pack(&mut self, number: u32) -> Result<Rc<Vec<u8>>> {
        if let Some((_, pack)) = self.packs.iter().find(|(kept, _)| *kept == number) {
            return Ok(Rc::clone(pack));
        }
        let pack = Rc::new(self.repository.pack(&self.index.packs[number as usize])?);
        if self.packs.len() >= KEPT {
            self.packs.pop_front();
        }
        self.packs.push_back((number, Rc::clone(&pack)));
        Ok(pack)
    }
}

//! Letting go of backups, and of what only they named.
//!
//! Invariant: at every moment each backup that is listed has all of its chunks: manifests go first, packs last, and what a
//! half-empty pack still holds is written anew before that pack goes.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::keep::Keep;
use super::manifest::{Manifest, Summary};
use super::pack::Packer;
use super::read::Reader;
use super::repository::{BACKUPS, INDEX, Index, IndexFile, PACKS, PackEntry, Repository, new_id, pack_path, unhex};
use crate::base::clock::Time;
use crate::base::error::Result;

/// A pack is written anew when less of it than one part in so many is needed.
const HALF: u64 = 2;

/// What a prune did, or would do.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = BackupPruned)]
pub struct Pruned {
    /// Backups that stay, oldest first.
    pub kept: Vec<String>,
    /// Backups that went.
    pub removed: Vec<String>,
    /// Bytes on the disk that this made free.
    pub freed_bytes: u64,
}

impl Repository {
    /// Lets go of what `keep` does not want.
    ///
    /// # Errors
    /// `backup_in_use`, `backup_damaged`, `backup_unreachable`.
    pub fn prune(&self, keep: Keep, now: Time, dry_run: bool) -> Result<Pruned> {
        let _held = self.hold()?;
        let mut manifests = Vec::new();
        for id in self.ids()? {
            manifests.push(self.manifest(&id)?);
        }
        let times: Vec<Time> = manifests.iter().map(|manifest| manifest.summary.made_at).collect();
        let kept_times = keep.choose(&times);
        let (kept, gone): (Vec<_>, Vec<_>) =
            manifests.into_iter().partition(|manifest| kept_times.contains(&manifest.summary.made_at));
        let ids = |of: &[Manifest]| of.iter().map(|manifest| manifest.summary.id.clone()).collect::<Vec<String>>();
        let mut pruned = Pruned { kept: ids(&kept), removed: ids(&gone), freed_bytes: 0 };
        if dry_run {
            return Ok(pruned);
        }
        for id in &pruned.removed {
            self.folder.remove(&format!("{BACKUPS}/{id}"))?;
        }
        self.folder.settle()?;
        pruned.freed_bytes = self.sweep(&self.needed(&kept)?, now)?;
        Ok(pruned)
    }

    fn needed(&self, kept: &[Manifest]) -> Result<HashSet<[u8; 32]>> {
        let index = self.index()?;
        let (mut reader, mut needed) = (Reader::new(self, &index), HashSet::new());
        for manifest in kept {
            let files = reader.files(manifest)?;
            let names = files.iter().flat_map(|file| &file.chunks).chain(&manifest.listing);
            needed.extend(names.filter_map(|name| unhex(name)));
        }
        Ok(needed)
    }

    /// Removes packs that hold nothing needed, and gathers what is left in those that hold little. Bytes freed.
    fn sweep(&self, needed: &HashSet<[u8; 32]>, now: Time) -> Result<u64> {
        let sizes: HashMap<String, u64> = self.folder.list(PACKS)?.into_iter().collect();
        let (mut stay, mut gather) = (Vec::new(), Vec::new());
        let files = self.index_files()?;
        let mut seen = HashSet::new();
        for entry in files.iter().flat_map(|(_, file)| &file.packs) {
            let is_needed = |chunk: &(String, u32, u32)| unhex(&chunk.0).is_some_and(|name| needed.contains(&name));
            let live: u64 = entry.chunks.iter().filter(|chunk| is_needed(chunk)).map(|chunk| u64::from(chunk.2)).sum();
            let all: u64 = entry.chunks.iter().map(|chunk| u64::from(chunk.2)).sum();
            if !sizes.contains_key(&entry.pack) || !seen.insert(entry.pack.clone()) || live == 0 {
                continue;
            }
            if live * HALF < all { gather.push(entry.clone()) } else { stay.push(entry.clone()) }
        }
        let id = new_id(now)?;
        let nothing = Index::default();
        let mut packer = Packer::new(self, &nothing)?;
        for entry in &gather {
            self.gather(entry, needed, &mut packer)?;
        }
        packer.finish(&id)?;
        // From here on the new index names all that is needed, and the old ones may go.
        self.write_json(&format!("{INDEX}/{id}-kept"), &IndexFile { packs: stay })?;
        self.folder.settle()?;
        for (name, _) in &files {
            self.folder.remove(&format!("{INDEX}/{name}"))?;
        }
        self.folder.settle()?;
        self.remove_unnamed(&sizes)
    }

    fn gather(&self, entry: &PackEntry, needed: &HashSet<[u8; 32]>, packer: &mut Packer<'_>) -> Result<()> {
        let pack = self.pack(&entry.pack)?;
        for (name, offset, length) in &entry.chunks {
            let Some(bytes) = unhex(name).filter(|name| needed.contains(name)) else { continue };
            let (from, length) = (*offset as usize, *length as usize);
            let packed = pack.get(from..from + length);
            let packed = packed.ok_or_else(|| self.folder.damaged(&pack_path(&entry.pack), "has lost a part"))?;
            packer.append(&bytes, packed)?;
        }
        Ok(())
    }

    fn remove_unnamed(&self, before: &HashMap<String, u64>) -> Result<u64> {
        let named: HashSet<String> =
            self.index_files()?.into_iter().flat_map(|(_, file)| file.packs).map(|entry| entry.pack).collect();
        let mut freed = 0;
        for (pack, size) in before.iter().filter(|(pack, _)| !named.contains(*pack)) {
            self.folder.remove(&pack_path(pack))?;
            freed += size;
        }
        Ok(freed)
    }

    /// What is told of each backup, newest first.
    ///
    /// # Errors
    /// `backup_damaged`.
    pub fn summaries(&self) -> Result<Vec<Summary>> {
        let mut summaries = Vec::new();
        for id in self.ids()?.iter().rev() {
            summaries.push(self.manifest(id)?.summary);
        }
        Ok(summaries)
    }
}

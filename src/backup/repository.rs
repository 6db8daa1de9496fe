//! A repository: backups of one site, in chunks that are kept once, however many backups name them.
//!
//! ```text
//! repository.json   what this is, and the public key that everything is encrypted to
//! key.age           the secret key, encrypted to a passphrase or to people's keys
//! packs/ab/ab12..   chunks, compressed and encrypted; the name is the file's SHA-256
//! index/ID          where the chunks of the packs are, encrypted
//! backups/ID        a manifest, encrypted
//! ```
//!
//! Invariants: files are written whole and never changed; packs before the index that names them, that before the manifest,
//! so a backup that is listed is complete. What was cut off leaves packs that nothing names, for the next prune.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::folder::{Folder, Held};
use super::manifest::{FORMAT, Manifest};
use super::seal::{KEY_BYTES, Keys, Lock, Opener};
use crate::base::clock::Time;
use crate::base::crypto::{hex, random_bytes, same, sha256_hex};
use crate::base::error::{Error, Result};

const ABOUT: &str = "repository.json";
const KEY: &str = "key.age";
pub(super) const PACKS: &str = "packs";
pub(super) const INDEX: &str = "index";
pub(super) const BACKUPS: &str = "backups";
/// The largest chunk, in bytes.
pub const MAX_CHUNK: usize = 1 << 20;
/// A pack is closed when it has so many bytes.
pub(super) const PACK: usize = 16 << 20;
/// The largest file that we write.
const MAX_FILE: u64 = 1 << 30;

/// `repository.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    pub format: u32,
    pub id: String,
    pub made_at: Time,
    /// Public key of age.
    pub recipient: String,
    /// Who can open it beside the site: `passphrase`, or public keys.
    pub opened_by: Vec<String>,
}

/// Where a chunk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Which of `Index::packs`.
    pub pack: u32,
    pub offset: u32,
    /// Compressed.
    pub length: u32,
}

/// The chunks of some packs, as a file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct IndexFile {
    pub packs: Vec<PackEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PackEntry {
    pub pack: String,
    /// Name, offset and length of each.
    pub chunks: Vec<(String, u32, u32)>,
}

/// Where all chunks are.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub packs: Vec<String>,
    places: HashMap<[u8; 32], Place>,
}

impl Index {
    pub fn add(&mut self, entry: &PackEntry) -> Option<()> {
        let pack = u32::try_from(self.packs.len()).ok()?;
        self.packs.push(entry.pack.clone());
        for (name, offset, length) in &entry.chunks {
            self.places.insert(unhex(name)?, Place { pack, offset: *offset, length: *length });
        }
        Some(())
    }

    pub fn get(&self, name: &[u8; 32]) -> Option<Place> {
        self.places.get(name).copied()
    }

    pub fn contains(&self, name: &[u8; 32]) -> bool {
        self.places.contains_key(name)
    }
}

/// The bytes of a name; None when it is none.
pub(super) fn unhex(name: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if name.len() != 64 || !name.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(name.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A repository that is open.
#[derive(Clone)]
pub struct Repository {
    pub(super) folder: Folder,
    pub(super) keys: Keys,
    about: About,
}

impl Repository {
    /// Makes an empty one in `folder`, which is empty or not there.
    ///
    /// # Errors
    /// `backup_folder_used`, `backup_recipient`, `backup_unreachable`.
    pub fn create(folder: &std::path::Path, lock: &Lock, now: Time) -> Result<Self> {
        let folder = Folder::new(folder);
        if !folder.is_free()? {
            let sentence = format!(
                "{} holds something already. A repository of backups is begun in an empty folder; use one that is there \
                 by naming it.",
                folder.path().display()
            );
            return Err(Error::conflict("backup_folder_used", sentence));
        }
        let keys = Keys::generate();
        let sealed = lock.seal(&keys)?;
        folder.make(&[PACKS, INDEX, BACKUPS])?;
        let opened_by = match lock {
            Lock::Passphrase(_) => vec!["passphrase".to_owned()],
            Lock::Recipients(recipients) => recipients.clone(),
        };
        let id = hex(&random_bytes::<16>()?);
        let about = About { format: FORMAT, id, made_at: now, recipient: keys.public(), opened_by };
        folder.write(KEY, &sealed)?;
        folder.write(ABOUT, &serde_json::to_vec_pretty(&about).map_err(Error::internal)?)?;
        folder.settle()?;
        Ok(Self { folder, keys, about })
    }

    /// Opens one with what its people have.
    ///
    /// # Errors
    /// `backup_no_repository`, `backup_newer`, `backup_passphrase`, `backup_key`, `backup_damaged`.
    pub fn open(folder: &std::path::Path, opener: &Opener) -> Result<Self> {
        let folder = Folder::new(folder);
        let about = read_about(&folder)?;
        let keys = opener.open(&folder.read(KEY, KEY_BYTES)?)?;
        Self::with(folder, about, keys)
    }

    /// Opens one with its key, as the site that writes there has it.
    ///
    /// # Errors
    /// Those of [`Repository::open`].
    pub fn open_with_key(folder: &std::path::Path, secret: &str) -> Result<Self> {
        let folder = Folder::new(folder);
        let about = read_about(&folder)?;
        Self::with(folder, about, Keys::parse(secret)?)
    }

    fn with(folder: Folder, about: About, keys: Keys) -> Result<Self> {
        if !same(keys.public().as_bytes(), about.recipient.as_bytes()) {
            return Err(folder.damaged(KEY, "does not belong to it"));
        }
        Ok(Self { folder, keys, about })
    }

    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its secret key, for whoever writes there without asking people again.
    pub fn secret(&self) -> age::secrecy::SecretString {
        self.keys.secret()
    }

    /// The only one who changes it.
    ///
    /// # Errors
    /// `backup_in_use`.
    pub(super) fn hold(&self) -> Result<Held> {
        self.folder.hold()
    }

    /// The ids of its backups, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn ids(&self) -> Result<Vec<String>> {
        Ok(self.folder.list(BACKUPS)?.into_iter().map(|(name, _)| name).filter(|name| is_id(name)).collect())
    }

    /// # Errors
    /// `not_found`, `backup_damaged`, `backup_newer`.
    pub fn manifest(&self, id: &str) -> Result<Manifest> {
        if !is_id(id) || !self.ids()?.iter().any(|known| known == id) {
            return Err(Error::not_found(format!("backup {id} in {}", self.folder.path().display())));
        }
        let name = format!("{BACKUPS}/{id}");
        let manifest: Manifest = self.read_json(&name)?;
        if manifest.format > FORMAT || manifest.summary.schema > newest_schema() {
            let sentence = format!(
                "Backup {id} was made by version {}, which is newer than this one ({}). Restore it with that version or a \
                 later one.",
                manifest.summary.version,
                env!("CARGO_PKG_VERSION")
            );
            return Err(Error::invalid("backup_newer", sentence));
        }
        Ok(manifest)
    }

    pub(super) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let plain = serde_json::to_vec(value).map_err(Error::internal)?;
        let packed = zstd::bulk::compress(&plain, 3)?;
        self.folder.write(name, &self.keys.seal(&packed)?)
    }

    fn read_json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T> {
        let sealed = self.folder.read(name, MAX_FILE)?;
        let changed = || self.folder.damaged(name, "was changed or cut off");
        let packed = self.keys.open(&sealed, MAX_FILE).ok_or_else(changed)?;
        let mut reader = zstd::Decoder::new(packed.as_slice())?;
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut reader, MAX_FILE), &mut plain)
            .map_err(|_| changed())?;
        serde_json::from_slice(&plain).map_err(|_| changed())
    }

    /// The index files by name.
    pub(super) fn index_files(&self) -> Result<Vec<(String, IndexFile)>> {
        let mut files = Vec::new();
        for (name, _) in self.folder.list(INDEX)? {
            let file = self.read_json(&format!("{INDEX}/{name}"))?;
            files.push((name, file));
        }
        Ok(files)
    }

    /// Where all chunks are; costs about 100 bytes of memory a chunk.
    pub(super) fn index(&self) -> Result<Index> {
        let mut index = Index::default();
        for (name, file) in self.index_files()? {
            for entry in &file.packs {
                index
                    .add(entry)
                    .ok_or_else(|| self.folder.damaged(&format!("{INDEX}/{name}"), "names what is no chunk"))?;
            }
        }
        Ok(index)
    }

    /// A pack, opened. `deep` compares the file with its name, which finds every flipped bit without the key too.
    pub(super) fn pack(&self, name: &str) -> Result<Vec<u8>> {
        let path = pack_path(name);
        let sealed = self.folder.read(&path, MAX_FILE)?;
        if sha256_hex(&sealed) != name {
            return Err(self.folder.damaged(&path, "is not what was written"));
        }
        self.keys.open(&sealed, MAX_FILE).ok_or_else(|| self.folder.damaged(&path, "does not open"))
    }

    /// A chunk out of an opened pack, proven to be the one of that name.
    pub(super) fn chunk(&self, pack: &[u8], place: Place, name: &[u8; 32], path: &str) -> Result<Vec<u8>> {
        let from = place.offset as usize;
        let packed = pack.get(from..from + place.length as usize);
        let plain = packed.and_then(|packed| zstd::bulk::decompress(packed, MAX_CHUNK).ok());
        let plain = plain.filter(|plain| same(&self.keys.name(plain), name));
        plain.ok_or_else(|| self.folder.damaged(path, "holds another chunk than its index says"))
    }
}

pub(super) fn pack_path(name: &str) -> String {
    format!("{PACKS}/{}/{name}", name.get(..2).unwrap_or("00"))
}

fn newest_schema() -> i64 {
    crate::db::migrate::BUILTIN.last().map_or(0, |newest| newest.version)
}

/// `YYYYMMDDTHHMMSS`, microseconds, `Z-` and 8 digits, so names sort by time.
pub(super) fn new_id(at: Time) -> Result<String> {
    let text: String = at.to_string().chars().filter(|c| !matches!(c, '-' | ':' | '.')).collect();
    Ok(format!("{text}-{}", hex(&random_bytes::<4>()?)))
}

/// Names of before had whole seconds.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 25 | 31) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn read_about(folder: &Folder) -> Result<About> {
    let none = || {
        let sentence = format!(
            "{} is no repository of backups: it has no {ABOUT} that can be read. `resoftai backup init` makes one.",
            folder.path().display()
        );
        Error::invalid("backup_no_repository", sentence)
    };
    let bytes =
        folder.read(ABOUT, KEY_BYTES).map_err(|error| if error.code() == "backup_damaged" { none() } else { error })?;
    let about: About = serde_json::from_slice(&bytes).map_err(|_| none())?;
    if about.format > FORMAT {
        let sentence = format!(
            "The repository {} has format {}, and this version knows formats up to {FORMAT}. Use a newer version.",
            folder.path().display(),
            about.format
        );
        return Err(Error::invalid("backup_newer", sentence));
    }
    Ok(about)
}

//! A repository on the connected side: a folder that is a TUF repository, and the keys it is signed with.
//!
//! Invariant: `timestamp.json` is written last and at once, so the folder holds the signed state of before or the new one.
//! What is added or removed counts when it is signed. Times are whole seconds: other implementations take no others.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use bytes::Bytes;
use jiff::Timestamp as Instant;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tough::TargetName;
use tough::editor::signed::SignedRole;
use tough::key_source::KeySource;
use tough::schema::{
    Hashes, KeyHolder, Metafile, Role, RoleKeys, RoleType, Root, Signed, Snapshot, Target, Targets, Timestamp,
};

use super::keys::{Keys, Made};
use super::names::{self, Kind};
use super::verify::{self, Metadata};
use super::{Content, MAX_CONTENTS};
use crate::base::clock::Time;
use crate::base::crypto::{Sha256, sha256_hex};
use crate::base::error::{Error, Kind as Class, Result};
use crate::plugins::package::MAX_TOTAL;
use crate::plugins::{Package, unpack};

/// The version of the specification that is followed.
const SPEC: &str = "1.0.31";
/// What the next signature will list.
const LIST: &str = "contents.json";
const ONLINE: [RoleType; 3] = [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];
/// Seconds.
const DAY: i64 = 24 * 3600;
/// Keys of the root, at most.
pub const MOST_KEYS: u8 = 9;

/// How long what is signed counts.
#[derive(Debug, Clone, Copy)]
pub struct Days {
    pub root: u32,
    /// Targets, snapshot and timestamp.
    pub rest: u32,
}

/// A repository's folder.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    keys: Keys,
}

/// What was signed.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Of the timestamp, and so of the state.
    pub version: u64,
    pub contents: usize,
    pub expires: Time,
}

impl Repository {
    /// Makes a repository with nothing in it: `count` keys of the root, `threshold` of which have to sign a new one, and a
    /// key for every other role.
    ///
    /// # Errors
    /// `mirror_exists` when something is in either folder.
    pub async fn init(folder: &Path, keys: Keys, (count, threshold): (u8, u8), days: Days, now: Time) -> Result<Self> {
        for path in [folder, &keys.root, &keys.online] {
            if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
                let sentence = format!("{} is not empty. Nothing is overwritten: name another folder.", path.display());
                return Err(Error::conflict("mirror_exists", sentence));
            }
        }
        if threshold == 0 || threshold > count || count > MOST_KEYS {
            let sentence = format!(
                "Of {count} keys {threshold} cannot be needed: there are 1 to {MOST_KEYS} keys, and no more are needed than there are."
            );
            return Err(Error::invalid("mirror_threshold", sentence));
        }
        let mut root = Root {
            spec_version: SPEC.to_owned(),
            consistent_snapshot: true,
            version: NonZeroU64::MIN,
            expires: after(now, days.root)?,
            keys: std::collections::HashMap::new(),
            roles: std::collections::HashMap::new(),
            _extra: std::collections::HashMap::new(),
        };
        let made = (0..count).map(|_| keys.make(RoleType::Root)).collect::<Result<Vec<_>>>()?;
        give(&mut root, RoleType::Root, made, threshold)?;
        for role in ONLINE {
            give(&mut root, role, vec![keys.make(role)?], 1)?;
        }
        let repository = Self { folder: folder.to_owned(), keys };
        fs::create_dir_all(repository.metadata_folder())?;
        fs::create_dir_all(repository.targets_folder())?;
        repository.write_root(&root, None).await?;
        repository.write_list(&[])?;
        repository.sign(days.rest, now).await?;
        Ok(repository)
    }

    /// # Errors
    /// `mirror_missing` when there is none in `folder`.
    pub fn open(folder: &Path, keys: Keys) -> Result<Self> {
        let repository = Self { folder: folder.to_owned(), keys };
        repository.root()?;
        Ok(repository)
    }

    fn metadata_folder(&self) -> PathBuf {
        self.folder.join("metadata")
    }

    fn targets_folder(&self) -> PathBuf {
        self.folder.join("targets")
    }

    /// The newest root, as it lies there.
    ///
    /// # Errors
    /// `mirror_missing`.
    pub fn root(&self) -> Result<(Root, Bytes)> {
        let newest = roots(&self.metadata_folder()).into_iter().max_by_key(|(version, _)| *version);
        let Some((_, path)) = newest else {
            let sentence =
                format!("There is no repository in {}. Make one with `resoftai mirror init`.", self.folder.display());
            return Err(Error::new(Class::NotFound, "mirror_missing", sentence));
        };
        let signed: Signed<Root> = read(&path)?;
        Ok((signed.signed, fs::read(path)?.into()))
    }

    /// What the next signature will list, by name.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn contents(&self) -> Result<Vec<Content>> {
        read(&self.folder.join(LIST))
    }

    fn write_list(&self, contents: &[Content]) -> Result<()> {
        write(&self.folder.join(LIST), &serde_json::to_vec_pretty(contents).map_err(Error::internal)?)
    }

    /// Where the bytes of a content lie.
    pub fn place(&self, content: &Content) -> PathBuf {
        self.targets_folder().join(names::place(&content.name, &content.sha256))
    }

    /// Copies a file in. What it is, a packed plugin says itself; of other files the ending does, or `kind`.
    ///
    /// # Errors
    /// `invalid_plugin` when a packed plugin is none; `mirror_kind` when nobody says what it is; `mirror_name`.
    pub fn add(&self, file: &Path, kind: Option<Kind>) -> Result<Content> {
        let mut content = describe(file, kind)?;
        let (copy, sha256, length) = self.copy(file)?;
        (content.sha256, content.length) = (sha256, length);
        let place = self.place(&content);
        place.parent().map(fs::create_dir_all).transpose()?;
        copy.persist(&place).map_err(|refused| refused.error)?;
        let mut contents = self.contents()?;
        contents.retain(|listed| listed.name != content.name);
        if contents.len() >= MAX_CONTENTS {
            let sentence =
                format!("The repository lists {MAX_CONTENTS} contents, the most there may be. Remove some first.");
            return Err(Error::new(Class::Limited, "mirror_too_many", sentence));
        }
        contents.push(content.clone());
        contents.sort_by(|one, other| one.name.cmp(&other.name));
        self.write_list(&contents)?;
        Ok(content)
    }

    fn copy(&self, file: &Path) -> Result<(NamedTempFile, String, u64)> {
        let mut from = File::open(file).map_err(|cause| unreadable(file, cause))?;
        let mut copy = NamedTempFile::new_in(self.targets_folder())?;
        let (mut digest, mut length, mut piece) = (Sha256::default(), 0_u64, vec![0; 256 << 10]);
        loop {
            let count = from.read(&mut piece).map_err(|cause| unreadable(file, cause))?;
            if count == 0 {
                break;
            }
            digest.update(&piece[..count]);
            copy.write_all(&piece[..count])?;
            length += count as u64;
        }
        copy.as_file().sync_all()?;
        Ok((copy, digest.hex(), length))
    }

    /// Takes a content off the list.
    ///
    /// # Errors
    /// `not_found`.
    pub fn remove(&self, name: &str) -> Result<Content> {
        let mut contents = self.contents()?;
        let Some(at) = contents.iter().position(|content| content.name == name) else {
            return Err(Error::not_found(format!("{name} in the list; `resoftai mirror status FOLDER` shows it")));
        };
        let removed = contents.remove(at);
        self.write_list(&contents)?;
        Ok(removed)
    }

    /// Signs the list as a new state that counts for `days`, and deletes files that it does not list.
    ///
    /// # Errors
    /// `mirror_keys` when a key is missing.
    pub async fn sign(&self, days: u32, now: Time) -> Result<Signature> {
        let (contents, (root, _)) = (self.contents()?, self.root()?);
        let (expires, versions) = (after(now, days)?, self.next_versions()?);
        let mut targets = Targets::new(SPEC.to_owned(), versions[0], expires);
        targets.delegations = None;
        for content in &contents {
            targets.add_target(TargetName::new(&content.name).map_err(Error::internal)?, target(content)?);
        }
        let targets = self.signed(targets, &root).await?;
        let mut snapshot = Snapshot::new(SPEC.to_owned(), versions[1], expires);
        snapshot.meta.insert("targets.json".to_owned(), meta(&targets));
        let snapshot = self.signed(snapshot, &root).await?;
        let mut timestamp = Timestamp::new(SPEC.to_owned(), versions[2], expires);
        timestamp.meta.insert("snapshot.json".to_owned(), meta(&snapshot));
        let timestamp = self.signed(timestamp, &root).await?;
        let folder = self.metadata_folder();
        write(&folder.join(targets.signed().signed.filename(true)), targets.buffer())?;
        write(&folder.join(snapshot.signed().signed.filename(true)), snapshot.buffer())?;
        write(&folder.join("timestamp.json"), timestamp.buffer())?;
        self.delete_unlisted(&contents)?;
        Ok(Signature { version: versions[2].get(), contents: contents.len(), expires: Time(expires.as_microsecond()) })
    }

    async fn signed<T: Role + Clone>(&self, role: T, root: &Root) -> Result<SignedRole<T>> {
        let keys = self.keys.of(T::TYPE)?;
        sign_with(role, root, &keys).await
    }

    /// Of targets, snapshot and timestamp: one more than what lies there.
    fn next_versions(&self) -> Result<[NonZeroU64; 3]> {
        let path = self.metadata_folder().join("timestamp.json");
        if !path.exists() {
            return Ok([NonZeroU64::MIN; 3]);
        }
        let timestamp: Signed<Timestamp> = read(&path)?;
        let snapshot = self.snapshot(&timestamp.signed)?;
        let listed = |meta: Option<&Metafile>| meta.map_or(0, |meta| meta.version.get());
        let before = [
            listed(snapshot.meta.get("targets.json")),
            listed(timestamp.signed.meta.get("snapshot.json")),
            timestamp.signed.version.get(),
        ];
        Ok(before.map(|version| NonZeroU64::MIN.saturating_add(version)))
    }

    fn snapshot(&self, timestamp: &Timestamp) -> Result<Snapshot> {
        let version = timestamp.meta.get("snapshot.json").map_or(0, |meta| meta.version.get());
        let signed: Signed<Snapshot> = read(&self.metadata_folder().join(format!("{version}.snapshot.json")))?;
        Ok(signed.signed)
    }

    fn delete_unlisted(&self, contents: &[Content]) -> Result<()> {
        let listed: std::collections::HashSet<PathBuf> = contents.iter().map(|content| self.place(content)).collect();
        let mut folders = vec![self.targets_folder()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !listed.contains(&path) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    /// Gives a role new keys, as many as it had, by a new root; the old ones count no more. Signs the state anew where its
    /// keys changed. The new version of the root.
    ///
    /// # Errors
    /// `mirror_keys` when too few keys of the root are there.
    pub async fn rotate(&self, role: RoleType, days: Days, now: Time) -> Result<u64> {
        let (old, _) = self.root()?;
        let before = old.roles.get(&role).cloned();
        let before =
            before.ok_or_else(|| Error::invalid("mirror_role", format!("The root names no keys for {role}.")))?;
        let old_keys = self.keys.of(RoleType::Root)?;
        let mut new = old.clone();
        new.version = old.version.saturating_add(1);
        new.expires = after(now, days.root)?;
        let made = before.keyids.iter().map(|_| self.keys.make(role)).collect::<Result<Vec<_>>>()?;
        let ids: Vec<_> = made.iter().map(|made| made.id.clone()).collect();
        new.keys.retain(|id, _| !before.keyids.contains(id));
        give(&mut new, role, made, u8::try_from(before.threshold.get()).unwrap_or(MOST_KEYS))?;
        let written = self.write_root(&new, Some((&old, old_keys))).await;
        if written.is_err() {
            ids.iter().try_for_each(|id| self.keys.forget(role, id))?;
        }
        written?;
        before.keyids.iter().try_for_each(|id| self.keys.forget(role, id))?;
        if role != RoleType::Root {
            self.sign(days.rest, now).await?;
        }
        Ok(new.version.get())
    }

    /// Signs a root with its own keys and those of the one before, as both have to.
    async fn write_root(&self, root: &Root, before: Option<(&Root, Vec<Box<dyn KeySource>>)>) -> Result<()> {
        let mut signed = self.signed(root.clone(), root).await?;
        if let Some((before, keys)) = &before {
            let old = sign_with(root.clone(), before, keys).await?;
            signed = signed.add_old_signatures(old.signed().signatures.clone()).map_err(unsigned)?;
            before.verify_role(signed.signed()).map_err(|cause| too_few(&cause))?;
        }
        root.verify_role(signed.signed()).map_err(|cause| too_few(&cause))?;
        write(&self.metadata_folder().join(root.filename(true)), signed.buffer())
    }

    /// The metadata of the signed state, every root included.
    ///
    /// # Errors
    /// When a file is missing.
    pub fn metadata(&self) -> Result<Metadata> {
        let folder = self.metadata_folder();
        let timestamp: Signed<Timestamp> = read(&folder.join("timestamp.json"))?;
        let mut names: Vec<String> =
            roots(&folder).into_iter().map(|(version, _)| format!("{version}.root.json")).collect();
        names.extend(verify::files(&self.snapshot(&timestamp.signed)?, true));
        names.into_iter().map(|name| Ok((name.clone(), fs::read(folder.join(&name))?.into()))).collect()
    }
}

/// Versions of roots in a folder, and their files.
fn roots(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let version = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".root.json")?.parse().ok();
    entries.filter_map(|path| Some((version(&path)?, path))).collect()
}

async fn sign_with<T: Role + Clone>(role: T, root: &Root, keys: &[Box<dyn KeySource>]) -> Result<SignedRole<T>> {
    let random = SystemRandom::new();
    SignedRole::new(role, &KeyHolder::Root(root.clone()), keys, &random).await.map_err(unsigned)
}

fn unsigned(cause: tough::error::Error) -> Error {
    let sentence = format!(
        "It cannot be signed: {cause}. The keys that the root names have to be there; name their folder with --keys."
    );
    Error::invalid("mirror_keys", sentence).caused_by(cause)
}

fn too_few(cause: &tough::schema::Error) -> Error {
    let sentence = format!("Too few keys of the root are there: {cause}. Name their folder with --root-keys.");
    Error::invalid("mirror_keys", sentence)
}

fn give(root: &mut Root, role: RoleType, made: Vec<Made>, threshold: u8) -> Result<()> {
    let threshold = NonZeroU64::new(threshold.into()).ok_or_else(|| Error::internal("a threshold of no keys"))?;
    let keyids = made.iter().map(|made| made.id.clone()).collect();
    root.keys.extend(made.into_iter().map(|made| (made.id, made.public)));
    root.roles.insert(role, RoleKeys { keyids, threshold, _extra: std::collections::HashMap::new() });
    Ok(())
}

fn after(now: Time, days: u32) -> Result<Instant> {
    Instant::from_second(now.unix_seconds() + i64::from(days) * DAY).map_err(Error::internal)
}

fn meta<T: Role + Clone>(signed: &SignedRole<T>) -> Metafile {
    Metafile {
        length: Some(*signed.length()),
        hashes: Some(Hashes { sha256: signed.sha256().to_vec().into(), _extra: std::collections::HashMap::new() }),
        version: signed.signed().signed.version(),
        _extra: std::collections::HashMap::new(),
    }
}

fn target(content: &Content) -> Result<Target> {
    let mut custom = json!({"kind": content.kind, "slug": content.slug, "version": content.version,
        "title": content.title, "description": content.description});
    let custom = custom.as_object_mut().map(std::mem::take).unwrap_or_default();
    let sha256: Result<Vec<u8>, _> = (0..content.sha256.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(content.sha256.get(at..at + 2).unwrap_or("?"), 16))
        .collect();
    Ok(Target {
        length: content.length,
        hashes: Hashes { sha256: sha256.map_err(Error::internal)?.into(), _extra: std::collections::HashMap::new() },
        custom: custom.into_iter().filter(|(_, value)| *value != Value::Null && *value != json!("")).collect(),
        _extra: std::collections::HashMap::new(),
    })
}

/// What a file is, without its bytes.
fn describe(file: &Path, kind: Option<Kind>) -> Result<Content> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let kind = kind.or(match ending {
        Some("rplugin") => Some(Kind::Plugin),
        Some("gguf") => Some(Kind::Model),
        _ => None,
    });
    let Some(kind) = kind else {
        let sentence = format!("What {} is does not show from its name. Say it with --kind.", file.display());
        return Err(Error::invalid("mirror_kind", sentence).field("kind"));
    };
    let (mut title, mut description) = (String::new(), String::new());
    let path = if kind == Kind::Plugin {
        let package = plugin(file)?;
        title = package.manifest.name;
        description = package.manifest.description;
        format!("plugins/{}/{}.rplugin", package.manifest.slug, package.manifest.version)
    } else {
        format!("{}/{name}", kind.folder())
    };
    let parsed = names::parse(&path)?;
    let (slug, version) = (parsed.slug, parsed.version);
    Ok(Content { name: path, kind, slug, version, title, description, sha256: String::new(), length: 0 })
}

fn plugin(file: &Path) -> Result<Package> {
    let mut bytes = Vec::new();
    let most = (MAX_TOTAL + (1 << 20)) as u64;
    File::open(file)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|cause| unreadable(file, cause))?;
    Package::new(unpack(&bytes)?)
}

fn unreadable(file: &Path, cause: std::io::Error) -> Error {
    Error::invalid("unreadable_file", format!("{} cannot be read: {cause}.", file.display())).caused_by(cause)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|cause| unreadable(path, cause))?;
    serde_json::from_slice(&bytes).map_err(|cause| {
        Error::invalid("mirror_unreadable", format!("{} cannot be read: {cause}.", path.display())).caused_by(cause)
    })
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|refused| refused.error)?;
    Ok(File::open(folder)?.sync_all()?)
}

/// A short name for a root, to be read out: the SHA-256 of its file.
pub fn fingerprint(root: &[u8]) -> String {
    sha256_hex(root)
}

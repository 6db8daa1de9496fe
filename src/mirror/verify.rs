//! Asks TUF whether metadata that came from outside may be believed.
//!
//! Invariant: nothing of a repository is believed that `tough` did not verify from a trusted root, against the state of
//! before: signatures and thresholds, versions that only grow, hashes that fit. Time alone is judged elsewhere
//! ([`super::judge`]), by a clock and a setting of the site, and never left out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tough::error::Error as Refused;
use tough::schema::{Role, RoleType, Root, Signed, Snapshot, Target, Targets};
use tough::{
    ExpirationEnforcement, Limits, Repository, RepositoryLoader, TargetName, Transport, TransportError,
    TransportErrorKind, TransportStream,
};
use url::Url;

use super::{Content, Expiry, MAX_CONTENTS, State, names};
use crate::base::clock::Time;
use crate::base::crypto::{hex, sha256_hex};
use crate::base::error::{Error, Result};

/// Metadata files by name, as a repository has them.
pub type Metadata = BTreeMap<String, Bytes>;

/// A root's file, at most, in bytes.
pub const MAX_ROOT: u64 = 256 << 10;
/// What is read of each kind of file, and how many steps a root may have changed by.
const LIMITS: Limits = Limits {
    max_root_size: MAX_ROOT,
    max_targets_size: 32 << 20,
    max_timestamp_size: 64 << 10,
    max_snapshot_size: 4 << 20,
    max_root_updates: 1024,
};
/// What a name or description may have, in characters; more is cut off.
const WORDS: usize = 2_000;
const CURRENT: [&str; 3] = ["timestamp.json", "snapshot.json", "targets.json"];

/// What is believed already.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// The newest root.
    pub root: Bytes,
    /// The files of the state that was imported last, roots included; only roots before the first import.
    pub metadata: Metadata,
}

/// A state that may be believed.
#[derive(Debug)]
pub struct Verified {
    pub state: State,
    pub contents: Vec<Content>,
    /// What has to be kept of it, and nothing else that came.
    pub metadata: Metadata,
}

/// A root that verifies itself.
#[derive(Debug)]
pub struct Pin {
    pub version: u64,
    pub expires: Time,
    pub sha256: String,
}

/// Looks at a root that is to be pinned.
///
/// # Errors
/// `invalid_root`.
pub fn pin(root: &[u8]) -> Result<Pin> {
    let wrong = |why: String| {
        let sentence = format!("This is no root that can be trusted: {why}. Take the root.json of the repository.");
        Error::invalid("invalid_root", sentence).field("root")
    };
    if root.len() as u64 > MAX_ROOT {
        return Err(wrong(format!("it has more than {MAX_ROOT} bytes")));
    }
    let parsed: Signed<Root> = serde_json::from_slice(root).map_err(|cause| wrong(cause.to_string()))?;
    parsed.signed.verify_role(&parsed).map_err(|cause| wrong(cause.to_string()))?;
    let roles = [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];
    if let Some(role) = roles.into_iter().find(|role| parsed.signed.keys(*role).next().is_none()) {
        return Err(wrong(format!("it names no key for {role}")));
    }
    Ok(Pin { version: parsed.signed.version.get(), expires: time(parsed.signed.expires), sha256: sha256_hex(root) })
}

/// Verifies `metadata` from what is trusted. `scratch` holds a few files while it lasts.
///
/// # Errors
/// `mirror_rollback`, `mirror_signature`, `mirror_mixed`, `mirror_incomplete`, `mirror_unreadable`, `mirror_name`.
pub async fn verify(trusted: &Trusted, metadata: Metadata, scratch: &Path) -> Result<Verified> {
    let metadata = Arc::new(metadata);
    let before = tempfile::tempdir_in(scratch)?;
    for (name, bytes) in known(&trusted.metadata) {
        std::fs::write(before.path().join(name), bytes)?;
    }
    let base = Url::parse("file:///").map_err(Error::internal)?;
    let loader = RepositoryLoader::new(&trusted.root, base.clone(), base)
        .transport(InMemory(Arc::clone(&metadata)))
        .limits(LIMITS)
        .datastore(before.path())
        // Judged by the site's own setting and clock.
        .expiration_enforcement(ExpirationEnforcement::Unsafe);
    let repository = loader.load().await.map_err(refused)?;
    Ok(Verified {
        state: state(&repository),
        contents: contents(&repository)?,
        metadata: kept(&repository, &trusted.metadata, &metadata),
    })
}

/// The state of before under the names by which `tough` looks for it.
fn known(metadata: &Metadata) -> impl Iterator<Item = (&'static str, &Bytes)> {
    CURRENT.into_iter().filter_map(|name| {
        let numbered =
            |file: &str| file.split_once('.').is_some_and(|(number, rest)| rest == name && is_number(number));
        let file = metadata.iter().find(|(file, _)| file.as_str() == name || numbered(file))?;
        Some((name, file.1))
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn time(at: Timestamp) -> Time {
    Time(at.as_microsecond())
}

fn state(repository: &Repository) -> State {
    let (root, timestamp) = (&repository.root().signed, &repository.timestamp().signed);
    let (snapshot, targets) = (&repository.snapshot().signed, &repository.targets().signed);
    State {
        root_version: root.version.get(),
        timestamp_version: timestamp.version.get(),
        snapshot_version: snapshot.version.get(),
        targets_version: targets.version.get(),
        expires: Expiry {
            root: time(root.expires),
            timestamp: time(timestamp.expires),
            snapshot: time(snapshot.expires),
            targets: time(earliest(targets)),
        },
    }
}

/// When the first of these targets and those they delegate to expires.
fn earliest(targets: &Targets) -> Timestamp {
    let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
    let below = roles.filter_map(|role| role.targets.as_ref()).map(|targets| earliest(&targets.signed));
    below.fold(targets.expires(), Timestamp::min)
}

fn contents(repository: &Repository) -> Result<Vec<Content>> {
    let mut found: BTreeMap<String, Content> = BTreeMap::new();
    for (name, _) in repository.all_targets() {
        if found.len() >= MAX_CONTENTS {
            let sentence = format!("The repository lists more than the {MAX_CONTENTS} contents that a site takes.");
            return Err(Error::invalid("mirror_too_many", sentence));
        }
        if found.contains_key(name.raw()) {
            continue;
        }
        // Whoever lists it: what counts is what the one says to whom the name was delegated (specification 5.6.7).
        if let Ok(target) = repository.targets().signed.find_target(name, false) {
            found.insert(name.raw().to_owned(), content(name, target)?);
        }
    }
    Ok(found.into_values().collect())
}

fn content(name: &TargetName, target: &Target) -> Result<Content> {
    let parsed = names::parse(name.raw())?;
    let words = |field: &str| -> String {
        let text = target.custom.get(field).and_then(Value::as_str).unwrap_or_default();
        text.chars().filter(|char| !char.is_control()).take(WORDS).collect()
    };
    Ok(Content {
        name: name.raw().to_owned(),
        kind: parsed.kind,
        slug: parsed.slug,
        version: parsed.version,
        title: words("title"),
        description: words("description"),
        sha256: hex(&target.hashes.sha256),
        length: target.length,
    })
}

/// The names under which a repository keeps the metadata of its current state, but for roots.
pub fn files(snapshot: &Snapshot, consistent: bool) -> Vec<String> {
    let of = |version: u64, role: &str| {
        let role = encoded(role);
        if consistent { format!("{version}.{role}.json") } else { format!("{role}.json") }
    };
    let mut names = vec!["timestamp.json".to_owned(), of(snapshot.version.get(), "snapshot")];
    let listed = snapshot.meta.iter();
    names.extend(listed.filter_map(|(file, meta)| Some(of(meta.version.get(), file.strip_suffix(".json")?))));
    names
}

/// A role's name as part of a file's (RFC 3986: all but the unreserved).
fn encoded(role: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte);
    role.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Every root that was trusted, and the files of the new state.
fn kept(repository: &Repository, before: &Metadata, metadata: &Metadata) -> Metadata {
    let root = &repository.root().signed;
    let is_root = |name: &str| {
        let number = name.strip_suffix(".root.json").and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| number <= root.version.get())
    };
    let mut kept: Metadata = before.clone().into_iter().filter(|(name, _)| is_root(name)).collect();
    // What is trusted already is not replaced by other bytes of the same version.
    for (name, bytes) in metadata.iter().filter(|(name, _)| is_root(name)) {
        kept.entry(name.clone()).or_insert_with(|| bytes.clone());
    }
    let first = before.keys().filter_map(|name| name.strip_suffix(".root.json")?.parse::<u64>().ok()).min();
    kept.retain(|name, _| name.strip_suffix(".root.json").and_then(|number| number.parse().ok()) >= first);
    for name in files(&repository.snapshot().signed, root.consistent_snapshot) {
        if let Some(bytes) = metadata.get(&name) {
            kept.insert(name, bytes.clone());
        }
    }
    kept
}

/// What TUF refused, by the name of the attack it keeps off.
fn refused(cause: Refused) -> Error {
    let said = cause.to_string();
    let (code, sentence) = match &cause {
        Refused::OlderMetadata { .. }
        | Refused::OlderSnapshotInTimestamp { .. }
        | Refused::SnapshotRoleRollback { .. }
        | Refused::SnapshotRoleMissing { .. } => {
            ("mirror_rollback", format!("This is an older state than the site has: {said}. Bring a newer bundle."))
        }
        Refused::VerifyMetadata { .. } | Refused::VerifyRoleMetadata { .. } | Refused::VerifyTrustedMetadata { .. } => {
            (
                "mirror_signature",
                format!(
                    "The signatures are not of the repository that this site trusts: {said}. Get the bundle again from where \
                 the trusted root is from."
                ),
            )
        }
        Refused::ParseMetadata { .. } | Refused::ParseTrustedMetadata { .. } => {
            ("mirror_unreadable", format!("The metadata cannot be read: {said}. Get the bundle again."))
        }
        Refused::InvalidPath { source } => (
            "mirror_delegation",
            format!(
                "The repository lists a content under a name that was not delegated to who signed it: {source}. Nothing \
                 of it is taken."
            ),
        ),
        Refused::Transport { source, .. } if source.kind() == TransportErrorKind::FileNotFound => {
            ("mirror_incomplete", format!("A file of the metadata is missing: {said}. Get the bundle again."))
        }
        _ => ("mirror_mixed", format!("The metadata does not fit together: {said}. Get the bundle again.")),
    };
    Error::invalid(code, sentence).caused_by(cause)
}

/// Reads what was brought.
#[derive(Debug, Clone)]
struct InMemory(Arc<Metadata>);

#[async_trait]
impl Transport for InMemory {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path().trim_start_matches('/');
        match self.0.get(name) {
            Some(bytes) => Ok(Box::pin(futures_util::stream::iter([Ok(bytes.clone())]))),
            None => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
        }
    }
}

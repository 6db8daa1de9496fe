//! Finding the metadata of a repository's current state where it lies file by file: in a folder, or at another box.
//!
//! Invariant: nothing is believed here. What is read only says which file to read next; TUF judges all of it afterwards.

use std::collections::btree_map::Entry;

use bytes::Bytes;
use tough::schema::{Root, Signed, Snapshot, Timestamp};

use super::verify::{Metadata, files};
use crate::base::error::{Error, Result};

/// A file of metadata, at most, in bytes.
pub const MAX_FILE: u64 = 32 << 20;
/// How often a root may have changed.
const MOST_ROOTS: u64 = 1024;

/// Every root from version `first` on, and the rest of the state. `fetch` gives a file, or none where there is none.
///
/// # Errors
/// Those of `fetch`; `mirror_missing` when there is no repository.
pub async fn gather(first: u64, mut fetch: impl AsyncFnMut(&str) -> Result<Option<Bytes>>) -> Result<Metadata> {
    let (mut metadata, mut consistent) = (Metadata::new(), true);
    for version in first.max(1)..first.saturating_add(MOST_ROOTS) {
        let name = format!("{version}.root.json");
        let Some(bytes) = fetch(&name).await? else { break };
        consistent = parse::<Signed<Root>>(&name, &bytes)?.signed.consistent_snapshot;
        metadata.insert(name, bytes);
    }
    let missing = |name: &str| {
        let sentence = format!("There is no {name}: this is no repository, or it was not copied whole.");
        Error::new(crate::base::error::Kind::NotFound, "mirror_missing", sentence)
    };
    let name = "timestamp.json".to_owned();
    let bytes = fetch(&name).await?.ok_or_else(|| missing(&name))?;
    let timestamp: Signed<Timestamp> = parse(&name, &bytes)?;
    metadata.insert(name, bytes);
    let version = timestamp.signed.meta.get("snapshot.json").map_or(0, |meta| meta.version.get());
    let mut names = [format!("{version}.snapshot.json"), "snapshot.json".to_owned()];
    if !consistent {
        names.reverse();
    }
    let mut snapshot = None;
    for name in names {
        if let Some(bytes) = fetch(&name).await? {
            snapshot = Some(parse::<Signed<Snapshot>>(&name, &bytes)?);
            // How a file is called shows what the newest root says, also where no root is newer than the site's.
            consistent = name != "snapshot.json";
            metadata.insert(name, bytes);
            break;
        }
    }
    let snapshot = snapshot.ok_or_else(|| missing("snapshot.json"))?;
    for name in files(&snapshot.signed, consistent) {
        if let Entry::Vacant(place) = metadata.entry(name) {
            let bytes = fetch(place.key()).await?.ok_or_else(|| missing(place.key()))?;
            place.insert(bytes);
        }
    }
    Ok(metadata)
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|cause| {
        Error::invalid("mirror_unreadable", format!("{name} cannot be read: {cause}.")).caused_by(cause)
    })
}

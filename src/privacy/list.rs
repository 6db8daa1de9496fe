//! The list of erasures: in the database, and in a file beside it that no restore of the database takes back.
//!
//! Invariant: it holds numbers and times, no names. The file is written whole or not at all, after the commit; a start
//! mends what a crash between the two left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store;
use crate::base::error::{Error, Result};
use crate::config::secrets;
use crate::db::Db;

/// One erasure; times are microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    pub person: i64,
    pub account_created_at: i64,
    pub erased_at: i64,
}

/// Brings the table and the file together; all erasures.
///
/// # Errors
/// `damaged_erasures` when the file is not what was written; when it cannot be read or written.
pub async fn keep(db: &Db, file: &Path) -> Result<BTreeSet<Erasure>> {
    let stored = db.read(store::erasures).await?;
    let path = file.to_owned();
    let merged = tokio::task::spawn_blocking(move || merge(&path, stored));
    merged.await.map_err(Error::internal)?
}

fn merge(path: &PathBuf, stored: Vec<Erasure>) -> Result<BTreeSet<Erasure>> {
    let kept = read(path)?;
    let all: BTreeSet<Erasure> = kept.iter().copied().chain(stored).collect();
    if all.len() > kept.len() {
        let lines: Vec<String> = all.iter().filter_map(|erasure| serde_json::to_string(erasure).ok()).collect();
        secrets::write_private(path, (lines.join("\n") + "\n").as_bytes())?;
    }
    Ok(all)
}

fn read(path: &PathBuf) -> Result<BTreeSet<Erasure>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(cause) => return Err(cause.into()),
    };
    let erasures = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    erasures.map_err(|cause| {
        let message = format!(
            "{} is damaged: {cause}. It lists who was erased, so that a restored backup does not bring them back. Restore the \
             file; without one, remove it and erase by hand whom the database still holds.",
            path.display()
        );
        Error::unavailable("damaged_erasures", message)
    })
}

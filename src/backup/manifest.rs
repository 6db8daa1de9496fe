//! What one backup holds.
//!
//! Invariant: a manifest is written last, so what it names is there; it names everything that a restore needs to know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;

/// Of the repository's files. Grows when an older version could not read them any more.
pub const FORMAT: u32 = 1;

/// The name of a chunk, in lower-case hexadecimal.
pub type ChunkName = String;

/// One file of the site.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileEntry {
    /// Below the data directory, with `/`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// In bytes.
    pub size: u64,
    pub chunks: Vec<ChunkName>,
}

/// One backup: the state of a site at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub summary: Summary,
    /// Rows of each table at that moment.
    pub rows: BTreeMap<String, i64>,
    /// The chunks of the list of files, a JSON array of [`FileEntry`].
    pub listing: Vec<ChunkName>,
}

/// What is told of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupSummary)]
pub struct Summary {
    /// Its name in the repository.
    pub id: String,
    /// The moment whose state it holds.
    pub made_at: Time,
    /// The version of the product that made it.
    pub version: String,
    /// The number of the newest migration in it.
    pub schema: i64,
    /// The site's own id.
    pub installation_id: String,
    pub files: u64,
    /// Of all files together.
    pub bytes: u64,
    /// What was not in the repository before, compressed.
    pub new_bytes: u64,
}

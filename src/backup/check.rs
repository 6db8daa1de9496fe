//! Looking at a restored site before anybody counts on it.
//!
//! Invariant: what is told as proven was opened and read here, out of the restored files alone.

use std::path::Path;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::manifest::{FileEntry, Manifest};
use super::{store, take};
use crate::audit::tree::Logs;
use crate::base::clock::{Clock, Time};
use crate::base::error::Result;
use crate::config::secrets;
use crate::db::{self, Db};

/// Problems that are told; more are one more line.
const TOLD: usize = 20;

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupProof)]
pub struct Proof {
    pub at: Time,
    /// Tables whose rows were counted.
    pub tables: u64,
    pub rows: i64,
    /// Contents that the database names and that were found.
    pub contents: u64,
    /// Entries of the audit trail that were compared with its trees.
    pub audit_entries: u64,
    /// What is wrong, as sentences; empty when nothing is.
    pub problems: Vec<String>,
}

impl Proof {
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }

    /// Of a backup that cannot even be read.
    pub(super) fn damaged(at: Time, problem: &str) -> Self {
        Self { at, tables: 0, rows: 0, contents: 0, audit_entries: 0, problems: vec![problem.to_owned()] }
    }

    fn tell(&mut self, problem: String) {
        match self.problems.len() {
            count if count < TOLD => self.problems.push(problem),
            TOLD => self.problems.push("There is more of it.".to_owned()),
            _ => {}
        }
    }
}

/// Looks at the site below `root`, of which `files` were written.
///
/// # Errors
/// When something cannot be looked at at all.
pub(super) async fn look(manifest: &Manifest, files: &[FileEntry], root: &Path, clock: &Clock) -> Result<Proof> {
    let mut proof = Proof { at: clock.now(), tables: 0, rows: 0, contents: 0, audit_entries: 0, problems: Vec::new() };
    let path = root.join(take::DATABASE);
    let kept = Db::check_file(&path).await?;
    kept.problems.into_iter().for_each(|problem| proof.tell(format!("The database's file is damaged: {problem}.")));
    for (table, rows) in &manifest.rows {
        let found = kept.rows.get(table).copied();
        if found != Some(*rows) {
            proof.tell(format!("Table {table} has {} rows and had {rows}.", found.unwrap_or_default()));
        }
        proof.tables += 1;
        proof.rows += rows;
    }
    if !proof.is_whole() {
        return Ok(proof);
    }
    // From here on as the server opens it, which brings an older one up to date.
    let db = Db::open_sqlite(&path, db::Options { readers: 1, queue: 16 }).await?;
    let named = db.read_long(store::named_contents_of_all).await?;
    let there: std::collections::HashSet<&str> =
        files.iter().filter_map(|file| file.path.strip_prefix("blobs/")?.rsplit('/').next()).collect();
    for hash in &named {
        if there.contains(hash.as_str()) {
            proof.contents += 1;
        } else {
            proof.tell(format!("The content {hash} is named and not there."));
        }
    }
    let key = secrets::load_or_create(&root.join("secrets/audit.key"))?;
    let (checked, findings) = Logs::new(db.clone(), clock.clone(), &key)?.check_all().await?;
    proof.audit_entries = checked;
    findings.into_iter().for_each(|finding| proof.tell(format!("Audit trail: {finding}")));
    db.close().await;
    Ok(proof)
}

//! Merkle logs over the trail, by which an outsider sees that no entry was changed, taken out or put in.
//!
//! There is one log an organisation and one for the site's own entries, so that an organisation's auditor can hold all of its
//! log and learns nothing of others, not even how much they do. Tree hashes are RFC 6962's, tiles C2SP tlog-tiles,
//! checkpoints C2SP tlog-checkpoint, proof files C2SP tlog-proof.
//!
//! Invariants: an entry gets one place in one log, soon after its commit ([`sequencer`]); leaves, tiles and checkpoint of a
//! log change in one transaction, so that every checkpoint that anybody saw is consistent with every later one.

pub mod check;
pub mod hash;
mod leaf;
pub mod note;
pub mod outside;
pub mod path;
pub mod proof;
mod routes;
mod sequencer;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::OrgId;
use crate::base::clock::{Clock, Time};
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::Db;
use note::{Signer, Verifier};

/// A log's number: its organisation's, or 0 for the site's own, which no organisation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub i64);

impl LogId {
    pub const SITE: Self = Self(0);

    /// Where entries of `org` go.
    pub fn of(org: Option<OrgId>) -> Self {
        org.map_or(Self::SITE, |org| Self(org.0))
    }

    /// None for the site's own.
    pub fn org(self) -> Option<OrgId> {
        (self != Self::SITE).then_some(OrgId(self.0))
    }

    /// The log's name for ever, which does not change when the organisation is renamed.
    fn origin(self, signer: &Signer) -> String {
        match self.org() {
            None => format!("{}/audit/site", signer.site()),
            Some(org) => format!("{}/audit/{}", signer.site(), org.0),
        }
    }
}

/// The room of the logs.
#[derive(Clone)]
pub struct Logs {
    db: Db,
    clock: Clock,
    signer: Arc<Signer>,
}

impl Logs {
    /// `seed` is the site's: `secrets/audit.key`, the same for all servers of one database.
    ///
    /// # Errors
    /// When no key pair comes of the seed.
    pub fn new(db: Db, clock: Clock, seed: &Key) -> Result<Self> {
        Ok(Self { db, clock, signer: Arc::new(Signer::new(seed)?) })
    }

    /// Gives entries their places from now on, unless the site's logs are signed with another key than ours.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(&self, tasks: &Tasks) -> Result<()> {
        let (now, signer) = (self.clock.now(), self.signer.clone());
        let key = self.db.write(move |tx| store::open_site(tx, now, &signer)).await?;
        if Verifier::parse(&key).is_ok_and(|kept| kept == self.signer.verifier(kept.origin())) {
            tasks.spawn(sequencer::run(self.clone(), tasks.clone()));
        } else {
            tracing::error!(
                "secrets/audit.key is not the key that this site's audit logs are signed with ({key}). Entries are written \
                 but get no place in their logs here: restore that file from a backup, or copy it from the site's other servers."
            );
        }
        Ok(())
    }
}

impl Logs {
    /// Checks all logs to their ends: how many entries, and what is wrong, in sentences.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_all(&self) -> Result<(u64, Vec<String>)> {
        let (mut entries, mut findings) = (0, Vec::new());
        for id in self.db.read(store::ids).await? {
            let mut cursor = Some(check::Cursor::Leaf(0));
            while let Some(from) = cursor {
                let signer = self.signer.clone();
                let part = self.db.read_long(move |tx| {
                    let log = store::log(tx, id)?.ok_or_else(AuditLog::not_found)?;
                    check::part(tx, id, &log, &signer, from)
                });
                let part = part.await?;
                entries += part.checked;
                findings.extend(part.findings.into_iter().map(|finding| finding.detail));
                cursor = part.next_cursor.as_deref().map(|text| check::Cursor::parse(Some(text))).transpose()?;
            }
        }
        Ok((entries, findings))
    }
}

/// A log and its latest checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditLog {
    /// Null for the site's own entries.
    pub organization_id: Option<i64>,
    /// The log's name, the same for ever.
    pub origin: String,
    /// What checkpoints are verified with, as C2SP signed-note writes it: `name+hash+key`.
    pub verifier_key: String,
    /// How many entries have a place.
    pub tree_size: u64,
    /// C2SP tlog-checkpoint.
    pub checkpoint: String,
    pub checkpoint_at: Time,
}

impl AuditLog {
    fn not_found() -> Error {
        Error::not_found("such audit log")
    }
}

/// That an entry is in its log. `SHA-256(0x00 || leaf)`, combined with `hashes` as RFC 9162 section 2.1.3.2 says, gives the
/// root in `checkpoint`, which is signed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntryProof {
    pub entry_id: i64,
    /// The log's name.
    pub origin: String,
    /// The log's key by the server's word; compare it with the one that you were given.
    pub verifier_key: String,
    /// C2SP tlog-checkpoint of the tree of `tree_size` leaves.
    pub checkpoint: String,
    pub tree_size: u64,
    /// Zero-based.
    pub position: u64,
    /// The entry as it is hashed, byte for byte. Null when retention has dropped it.
    pub leaf: Option<String>,
    /// The leaf's hash in Base64.
    pub leaf_hash: String,
    /// From the leaf's sibling to the root's child, in Base64 (RFC 4648, section 4).
    pub hashes: Vec<String>,
}

/// That a log of `from` leaves is the beginning of the same log with `to` leaves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Consistency {
    pub from: u64,
    pub to: u64,
    /// RFC 6962, section 2.1.2, in Base64.
    pub hashes: Vec<String>,
}

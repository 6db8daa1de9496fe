//! The mirror: plugins, models, advisories and releases that come in on a medium, as a TUF repository (The Update
//! Framework, specification 1.0).
//!
//! Invariant: what the site calls its mirror was verified here, from a root that somebody pinned by hand, and is switched
//! as a whole: whoever pulls the medium or the plug finds the state of before or the one after. What two repositories
//! list, the vendor's and the site's own, never shares a plugin's slug.
//!
//! `repository` makes one on the connected side, `bundle` is how it travels; `verify` asks TUF, `import` brings it in,
//! `serve` passes it on to a second box, `knowledge` is what scans of plugins go by, `watch` tells before
//! it gets too old.

pub mod bundle;
pub mod gather;
mod import;
pub mod keys;
mod knowledge;
pub mod names;
pub mod parts;
pub mod repository;
pub mod routes;
mod serve;
pub mod store;
pub mod verify;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::base::clock::{Clock, DAY, Time};
use crate::base::error::{Error, Result};
use crate::blobs::Blobs;
use crate::config::Expired;
use crate::db::Db;

pub use names::Kind;

/// The kind of the job that is enqueued with every switch to another state; its payload is empty.
pub const SWITCHED: &str = "mirror_switched";
/// Contents that one repository lists, at most.
pub const MAX_CONTENTS: usize = 20_000;

/// Whose repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MirrorOwner)]
pub enum Owner {
    /// What comes from outside.
    Vendor,
    /// What the site packs and signs itself.
    Own,
}

impl Owner {
    pub fn code(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Own => "own",
        }
    }

    /// # Errors
    /// `not_found`.
    pub fn parse(code: &str) -> Result<Self> {
        match code {
            "vendor" => Ok(Self::Vendor),
            "own" => Ok(Self::Own),
            _ => Err(Error::not_found("such repository: there are vendor and own")),
        }
    }
}

/// One thing that a repository lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MirrorContent)]
pub struct Content {
    /// Its name in the repository, such as `plugins/word-counter/1.2.0.rplugin`.
    pub name: String,
    pub kind: Kind,
    /// Of a plugin.
    pub slug: Option<String>,
    /// Of a plugin.
    pub version: Option<String>,
    /// For people; empty when nobody gave one.
    pub title: String,
    pub description: String,
    /// In lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub length: u64,
}

/// When each part of a state stops being trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MirrorExpiry)]
pub struct Expiry {
    pub root: Time,
    pub timestamp: Time,
    pub snapshot: Time,
    pub targets: Time,
}

impl Expiry {
    /// The part that goes first, and when.
    pub fn first(&self) -> (&'static str, Time) {
        let all = [
            ("timestamp", self.timestamp),
            ("snapshot", self.snapshot),
            ("targets", self.targets),
            ("root", self.root),
        ];
        all.into_iter().min_by_key(|(_, at)| *at).unwrap_or(all[0])
    }
}

/// A state of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MirrorState)]
pub struct State {
    pub root_version: u64,
    pub timestamp_version: u64,
    pub snapshot_version: u64,
    pub targets_version: u64,
    pub expires: Expiry,
}

/// What the site's setting makes of a state that expires at `expires`.
///
/// # Errors
/// `mirror_expired`, with what to do; else the warning to be shown, if any.
pub fn judge(expires: &Expiry, policy: Expired, now: Time) -> Result<Option<String>> {
    let (part, at) = expires.first();
    if now <= at {
        return Ok(None);
    }
    let days = (now.0 - at.0) / DAY;
    let expired = format!("The {part} metadata expired on {at}, {days} days ago.");
    let allowed = match policy {
        Expired::Refuse => false,
        Expired::Warn => true,
        Expired::Days(most) => now <= at.plus(i64::from(most) * DAY),
    };
    if allowed {
        return Ok(Some(format!("{expired} It is taken because mirror.expired says {policy}.")));
    }
    let sentence = format!(
        "{expired} Somebody may be holding newer states back. Bring a bundle that was signed lately, or let the site take \
         old ones with the setting mirror.expired, which says {policy}."
    );
    Err(Error::invalid("mirror_expired", sentence))
}

/// What the room is told at start.
#[derive(Debug, Clone)]
pub struct Options {
    pub expired: Expired,
    /// Whether other boxes may read it.
    pub serve: bool,
    /// For what verifying needs beside memory.
    pub scratch: PathBuf,
}

/// A handle on the room; clones share it.
#[derive(Clone)]
pub struct Mirror {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    blobs: Blobs,
    clock: Clock,
    options: Options,
    /// Held by the one import of this process.
    importing: Arc<Mutex<()>>,
}

impl Mirror {
    pub fn new(db: Db, blobs: Blobs, clock: Clock, options: Options) -> Self {
        Self { inner: Arc::new(Inner { db, blobs, clock, options, importing: Arc::default() }) }
    }

    /// When the first part of what the site mirrors expires; None before the first import.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expires(&self) -> Result<Option<Time>> {
        let all = self.inner.db.read(store::all).await?;
        Ok(all.iter().filter_map(|kept| Some(kept.state?.expires.first().1)).min())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn expiry(timestamp: i64) -> Expiry {
        let late = Time(1000 * DAY);
        Expiry { root: late, timestamp: Time(timestamp * DAY), snapshot: late, targets: late }
    }

    #[test]
    fn expired_metadata_is_taken_as_the_setting_says() {
        let now = Time(110 * DAY);
        let judged = |policy, at| judge(&expiry(at), policy, now);
        assert_eq!(judged(Expired::Refuse, 110).unwrap(), None);
        assert_eq!(judged(Expired::Refuse, 109).unwrap_err().code(), "mirror_expired");
        assert!(judged(Expired::Warn, 1).unwrap().unwrap().contains("timestamp metadata expired"));
        assert!(judged(Expired::Days(10), 100).unwrap().is_some());
        let error = judged(Expired::Days(9), 100).unwrap_err();
        assert!(error.message().contains("mirror.expired, which says 9"), "{error}");
    }
}

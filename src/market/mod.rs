//! The marketplace: what the mirror holds of plugins, to be found, understood and installed.
//!
//! Invariant: it lists what the mirror lists and what was published here, and nothing else, and says of a package what the package itself says; which
//! plugins an installation comes to is worked out before anything is touched.
//!
//! `catalogue` reads new packages once, `words` are what they are found by, `look` opens one to show it; `resolve` says
//! what belongs together, `scan` what is found in it, and `install` brings it in. `reviews` are by who has a plugin,
//! `collections` are curated lists, and `submissions` are how plugins of the site's own people get in; `updates` bring in
//! what is newer by itself.

mod catalogue;
pub mod collections;
mod install;
mod look;
mod markdown;
mod resolve;
pub mod reviews;
pub mod routes;
mod scan;
pub mod store;
pub mod submissions;
pub mod updates;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::base::clock::Clock;
use crate::base::crypto::sha256_hex;
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::base::zone::Zone;
use crate::blobs::Blobs;
use crate::db::{Db, DbError};
use crate::mirror::Owner;
use crate::plugins::Plugins;

/// What a package says of itself, as far as others are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub name: String,
    pub description: String,
    pub author: String,
    pub category: String,
    pub tags: Vec<String>,
    /// As in `base-tools >=1.2`.
    pub dependencies: Vec<String>,
    /// A picture of the package.
    pub icon: Option<String>,
    pub screenshots: Vec<String>,
}

/// Where a package comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketSource)]
pub enum Source {
    /// The mirrored repository of the vendor.
    Vendor,
    /// The mirrored repository of the site's own.
    Own,
    /// Somebody of this site handed it in.
    Site,
}

impl Source {
    pub fn code(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Own => "own",
            Self::Site => "site",
        }
    }

    /// Of a column.
    pub fn parse(code: &str) -> Result<Self, DbError> {
        [Self::Vendor, Self::Own, Self::Site]
            .into_iter()
            .find(|source| source.code() == code)
            .ok_or_else(|| DbError::Other(format!("a package comes from {code}")))
    }
}

impl From<Owner> for Source {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Vendor => Self::Vendor,
            Owner::Own => Self::Own,
        }
    }
}

/// A package that is to be listed.
#[derive(Debug, Clone)]
pub struct Listed {
    pub slug: String,
    pub version: String,
    pub source: Source,
    /// In lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub length: i64,
    /// What is said of it beside what the package says.
    pub told: Told,
}

/// What people of the site say of a package that was handed in here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Instead of the package's own.
    pub category: Option<String>,
    /// Instead of the package's own, where there are any.
    pub tags: Vec<String>,
    /// Why nobody installs it any more.
    pub yanked: Option<String>,
}

impl Listed {
    /// Which reading of it this version of the platform makes: another mark, another outcome.
    fn mark(&self) -> Result<String> {
        let told = serde_json::to_vec(&self.told).map_err(Error::internal)?;
        Ok(format!("{} {} {}", env!("CARGO_PKG_VERSION"), self.sha256, sha256_hex(&told)))
    }
}

/// A handle on the room; clones share it.
#[derive(Clone)]
pub struct Market {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    blobs: Blobs,
    plugins: Plugins,
    clock: Clock,
    tasks: Tasks,
    /// Held by whoever brings the catalogue up to date.
    reading: Mutex<()>,
    /// Where the site is, whose nights are good for updates.
    zone: Zone,
    /// Held by whoever updates plugins.
    updating: Mutex<()>,
}

impl Market {
    pub fn new(db: Db, blobs: Blobs, plugins: Plugins, clock: Clock, tasks: Tasks, zone: Zone) -> Self {
        let (reading, updating) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { db, blobs, plugins, clock, tasks, reading, zone, updating }) }
    }
}

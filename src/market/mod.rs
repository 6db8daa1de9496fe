//! The marketplace: what the mirror holds of plugins, to be found, understood and installed.
//!
//! Invariant: it lists what the mirror lists and nothing else, and says of a package what the package itself says; which
//! plugins an installation comes to is worked out before anything is touched.
//!
//! `catalogue` reads new packages once, `words` are what they are found by, `look` opens one to show it; `resolve` says
//! what belongs together and `install` brings it in. `reviews` are by who has a plugin, `collections` are curated lists.

mod catalogue;
pub mod collections;
mod install;
mod look;
mod markdown;
mod resolve;
pub mod reviews;
pub mod routes;
pub mod store;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::base::clock::Clock;
use crate::base::tasks::Tasks;
use crate::blobs::Blobs;
use crate::db::Db;
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

/// A package that the mirror lists.
#[derive(Debug, Clone)]
pub struct Listed {
    pub slug: String,
    pub version: String,
    pub repository: Owner,
    /// In lower-case hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub length: i64,
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
}

impl Market {
    pub fn new(db: Db, blobs: Blobs, plugins: Plugins, clock: Clock, tasks: Tasks) -> Self {
        Self { inner: Arc::new(Inner { db, blobs, plugins, clock, tasks, reading: Mutex::default() }) }
    }
}

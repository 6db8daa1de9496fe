//! Backups: a site's whole state at one moment, encrypted, kept once however often it is the same, and proven by putting it
//! back.
//!
//! Invariant: a backup that is listed is complete and can be restored without this site: its medium and a passphrase or key
//! are enough. `repository` is the format, `take` and `restore` the two ways, `check` looks at what a restore gave, `prune`
//! lets go by the rule in `keep`; `work` does these for the server, when asked or by `schedule`.

mod check;
mod folder;
pub mod keep;
mod manifest;
mod pack;
mod prune;
mod read;
pub mod repository;
pub mod restore;
mod routes;
mod schedule;
mod seal;
mod store;
mod take;
mod work;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use check::Proof;
pub use keep::Keep;
pub use manifest::Summary;
pub use prune::Pruned;
pub use repository::Repository;
pub use schedule::Schedule;
pub use seal::{Lock, Opener};
pub use store::{newest, plan};
pub use take::Site;

use crate::base::clock::Time;
use crate::base::crypto::Key;
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::base::zone::Zone;

/// How far something is, in bytes. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<[AtomicU64; 2]>);

impl Progress {
    fn expect(&self, bytes: u64) {
        self.0[1].fetch_add(bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.0[0].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Done, and expected, which grows while more is found.
    pub fn get(&self) -> (u64, u64) {
        let [done, expected] = &*self.0;
        let done = done.load(Ordering::Relaxed);
        (done, expected.load(Ordering::Relaxed).max(done))
    }
}

/// How a backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BackupStatus)]
pub enum Status {
    Running,
    Done,
    Failed,
    /// It was let go of by the rule of what is kept.
    Pruned,
}

impl Status {
    fn from_code(code: &str) -> Self {
        match code {
            "running" => Self::Running,
            "done" => Self::Done,
            "pruned" => Self::Pruned,
            _ => Self::Failed,
        }
    }
}

/// A backup that was taken here, or tried.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Backup)]
pub struct Record {
    pub id: i64,
    /// Its name in the repository; null until it is complete.
    pub name: Option<String>,
    pub status: Status,
    pub began_at: Time,
    pub finished_at: Option<Time>,
    /// What it holds; null until it is complete.
    pub summary: Option<Summary>,
    /// Why it failed.
    pub error: Option<String>,
    /// What the last trial restore found; null before the first.
    pub proof: Option<Proof>,
}

/// A handle on the room; clones share it.
#[derive(Clone)]
pub struct Backups {
    inner: Arc<Inner>,
}

struct Inner {
    site: Site,
    /// Seals the repository's key.
    key: Key,
    zone: Zone,
    /// Where trial restores are made.
    scratch: PathBuf,
    tasks: Tasks,
    /// What is under way in this process.
    at_work: Mutex<Option<(work::Doing, Progress)>>,
}

impl Backups {
    /// `key` is the site's master key.
    pub fn new(site: Site, key: Key, zone: Zone, tasks: Tasks) -> Self {
        let scratch = site.data_dir.join("scratch");
        Self { inner: Arc::new(Inner { site, key, zone, scratch, tasks, at_work: Mutex::default() }) }
    }

    /// The newest backup that is complete.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest(&self) -> Result<Option<Record>> {
        self.inner.site.db.read(store::newest).await
    }
}

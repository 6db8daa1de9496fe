//! Privacy: what is held about people, handing it out to them, erasing them, and the evidence that auditors ask for.
//!
//! Invariant: what is given out and what is erased goes by the one inventory of the schema. This room stands above all
//! others because a person's data is in all of them.

mod erase;
mod evidence;
mod export;
mod inventory;
mod list;
mod market;
mod page;
mod purposes;
pub mod routes;
mod store;
mod tables;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{Grants, UserId};
use crate::accounts::{Accounts, User};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::config::Config;
use crate::db::{Db, Tx};
use crate::runs::{self, Runs};

pub use erase::Erased;
pub use inventory::Inventory;

/// Archives being made at a time.
const AT_WORK: usize = 4;

/// The room of privacy.
#[derive(Clone)]
pub struct Privacy {
    db: Db,
    clock: Clock,
    accounts: Accounts,
    runs: Runs,
    config: Arc<Config>,
    /// The file beside the database that lists who was erased.
    list: PathBuf,
    turns: Arc<Semaphore>,
}

impl Privacy {
    pub fn new(db: Db, clock: Clock, accounts: Accounts, runs: Runs, config: &Config) -> Self {
        let (list, turns) = (config.data_dir.join("erasures.jsonl"), Arc::new(Semaphore::new(AT_WORK)));
        Self { db, clock, accounts, runs, config: Arc::new(config.clone()), list, turns }
    }

    /// A turn at making an archive.
    fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let message = "Several archives are being made already. Try again shortly.";
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        turn.map_err(|_| Error::unavailable("too_many_exports", message).retry_after(5))
    }
}

/// Whom an export or an erasure is about.
#[derive(Clone)]
struct Person {
    id: UserId,
    name: String,
    email: String,
    /// Their name, and what agents are called that work for them: both stand beside what was made.
    names: Vec<String>,
    grants: Grants,
}

impl Person {
    fn of(tx: &mut Tx<'_>, user: &User) -> Result<Self> {
        let agents = runs::agents_for(tx, UserId(user.id), &user.username)?;
        Ok(Self {
            id: UserId(user.id),
            name: user.username.clone(),
            email: user.email.clone(),
            names: std::iter::once(user.username.clone()).chain(agents).collect(),
            grants: user.grants(),
        })
    }
}

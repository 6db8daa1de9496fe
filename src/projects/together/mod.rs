//! Editing a project's file together, at once.
//!
//! Invariant: what a person was told is kept survives a crash, and becomes a version of the file like any other edit:
//! by somebody's rights, audited, counted, looked at by plugins. What agents and the API write meanwhile is merged, not lost.
//!
//! `draft` is the shared document, `store` keeps it, `live` holds it for those who are there, `session` is one of them,
//! `save` makes versions of it. Servers on one database hear of each other through the table, twice a second.

mod draft;
mod frames;
mod live;
mod routes;
mod save;
mod session;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};

use super::Projects;
use crate::access::{Caller, UserId, Via};
use crate::accounts::Accounts;
use crate::base::clock::{DAY, SECOND};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use live::Live;

/// The most bytes of one message of an editor.
const MAX_MESSAGE: usize = 1 << 20;
/// Editors of one file, files open, and connections, in this process.
const MAX_PEOPLE: usize = 32;
const MAX_OPEN: usize = 256;
const MAX_SEATS: usize = 1024;
/// Messages that may wait for somebody who reads slowly.
const MAX_WAITING: usize = 512;
/// Messages an editor may send in a second, and at once after a pause.
const PACE: u32 = 60;
const BURST: u32 = 240;
/// How long an editor may be silent: its page tells every 15 seconds that it is there, in the background once a minute.
const SILENCE: Duration = Duration::from_secs(150);
/// How long nobody may move before the connection is ended.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// Between two commits of one document.
const BATCH: Duration = Duration::from_millis(200);
/// Between two looks for what other servers, agents and the API did.
const LOOK: Duration = Duration::from_millis(500);
/// Single changes that are kept before they are made one.
const COMPACT_AFTER: i64 = 500;
/// Changes become a version after this many microseconds although people are still at it.
const SAVE_AFTER: i64 = 5 * 60 * SECOND;
/// Documents are forgotten when they rested for this long and their files hold them.
const FORGET_AFTER: i64 = DAY;

/// Somebody who changed a document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Editor {
    name: String,
    /// The account; None: the operator.
    user: Option<UserId>,
    /// The personal token it was done with.
    token: Option<i64>,
}

impl Editor {
    fn of(caller: &Caller) -> Self {
        let token = match &caller.via {
            Via::Token(token) => Some(token.id),
            Via::Session(_) | Via::Socket | Via::Nothing => None,
        };
        Self { name: caller.actor.name.clone(), user: caller.user, token }
    }
}

/// A document that is being opened, or is open.
type Opened = Arc<OnceCell<Arc<Live>>>;

/// The room of documents that are edited together.
#[derive(Clone)]
pub struct Together {
    projects: Projects,
    accounts: Accounts,
    tasks: Tasks,
    open: Arc<Mutex<HashMap<i64, Opened>>>,
    seats: Arc<Semaphore>,
}

impl Together {
    pub fn new(projects: Projects, accounts: Accounts, tasks: Tasks) -> Self {
        let seats = Arc::new(Semaphore::new(MAX_SEATS));
        Self { projects, accounts, tasks, open: Arc::default(), seats }
    }

    fn with_open<T>(&self, f: impl FnOnce(&mut HashMap<i64, Opened>) -> T) -> T {
        f(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The document of a file, opened when nobody has it open here.
    ///
    /// # Errors
    /// `not_text`, `too_many_open`; what keeps the document from being read.
    async fn live(&self, file: i64) -> Result<Arc<Live>> {
        let cell = self.with_open(|open| {
            if open.len() >= MAX_OPEN && !open.contains_key(&file) {
                let sentence = "Too many files are being edited together at the moment. Try again shortly.";
                return Err(Error::unavailable("too_many_open", sentence).retry_after(10));
            }
            Ok(open.entry(file).or_default().clone())
        })?;
        let opened = cell.get_or_try_init(|| self.open(file)).await.cloned();
        if opened.is_err() {
            self.close(file, &cell);
        }
        opened
    }

    async fn open(&self, file: i64) -> Result<Arc<Live>> {
        let live = Arc::new(self.load(file).await?);
        self.tasks.spawn(self.clone().keep(live.clone()));
        Ok(live)
    }

    fn close(&self, file: i64, cell: &Opened) {
        self.with_open(|open| {
            if open.get(&file).is_some_and(|known| Arc::ptr_eq(known, cell)) {
                open.remove(&file);
            }
        });
    }

    /// Takes a document that has ended off the list.
    fn closed(&self, live: &Arc<Live>) {
        self.with_open(|open| {
            open.retain(|_, cell| cell.get().is_none_or(|known| !Arc::ptr_eq(known, live)));
        });
    }

    /// Forgets documents that rest, from now on until the server stops.
    pub fn sweep(&self) {
        let together = self.clone();
        self.tasks.spawn_until_stop(async move {
            loop {
                tokio::time::sleep(super::files::LOOK).await;
                let before = together.projects.clock.now().plus(-FORGET_AFTER);
                let forgotten = together.projects.db.write(move |tx| Ok(store::forget(tx, before)?)).await;
                if let Err(error) = forgotten {
                    tracing::warn!(?error, "documents that rest could not be forgotten; trying again in 6 hours");
                }
            }
        });
    }
}

//! Reads that are over before another thread could be woken for them.
//!
//! Invariant: the caller's thread is held for a bounded number of steps. A read that needs more is undone and left to the
//! reading threads, as is one that finds every connection taken.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::session::Session;
use crate::db::error::DbError;
use crate::db::job::{Job, Outcome, run_hooks};
use crate::db::tx::Conn;

/// Connections for the threads that answer requests.
pub(in crate::db) struct Quick(Mutex<Option<Vec<Session>>>);

impl Quick {
    /// As many connections as threads that may ask at once.
    pub fn open(path: &Path, connections: usize) -> Result<Self, DbError> {
        let sessions = (0..connections).map(|_| Session::open(path)?.read_only()?.brief());
        Ok(Self(Mutex::new(Some(sessions.collect::<Result<_, _>>()?))))
    }

    /// Runs the job on its snapshot, unless it is too long; whether it is done.
    pub fn run(&self, job: &mut dyn Job) -> bool {
        let Some(session) = self.sessions().as_mut().and_then(Vec::pop) else { return false };
        let outcome = session.control("BEGIN").map(|()| job.run(Conn::Sqlite(&session)));
        // Asked first, which also begins the count anew: the rollback must not be given up.
        let cut_short = session.cut_short();
        session.roll_back();
        let done = outcome.is_ok() && !cut_short;
        if let Some(sessions) = self.sessions().as_mut() {
            sessions.push(session);
        }
        if done && let Ok(Outcome::Keep(hooks)) = outcome {
            run_hooks(hooks);
        }
        done
    }

    /// Closes the connections, those in use once their read is over.
    pub fn close(&self) {
        self.sessions().take();
    }

    fn sessions(&self) -> MutexGuard<'_, Option<Vec<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

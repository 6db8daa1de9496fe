//! Reads that are over before another thread could be woken for them.
//!
//! Invariant: the caller's thread is held for a bounded number of steps. A read that needs more is undone and left to the
//! reading threads, as is one that finds every connection taken.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::session::Session;
use crate::db::error::DbError;
use crate::db::job::{Job, Outcome, run_hooks};
use crate::db::tx::Conn;

/// Connections for the threads that answer requests.
pub(in crate::db) struct Quick(Mutex<Vec<Session>>);

impl Quick {
    /// As many connections as threads that may ask at once.
    pub fn open(path: &Path, connections: usize) -> Result<Self, DbError> {
        let sessions = (0..connections).map(|_| Session::open(path)?.read_only()?.brief());
        Ok(Self(Mutex::new(sessions.collect::<Result<_, _>>()?)))
    }

    /// Runs the job on its snapshot, unless it is too long; whether it is done.
    pub fn run(&self, job: &mut dyn Job) -> bool {
        let Some(session) = self.sessions().pop() else { return false };
        let outcome = session.control("BEGIN").map(|()| job.run(Conn::Sqlite(&session)));
        session.roll_back();
        let done = outcome.is_ok() && !session.cut_short();
        self.sessions().push(session);
        if done && let Ok(Outcome::Keep(hooks)) = outcome {
            run_hooks(hooks);
        }
        done
    }

    /// Closes the connections that are not in use; the others when they are given back is up to the last handle.
    pub fn close(&self) {
        self.sessions().clear();
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

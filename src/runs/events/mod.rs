//! What people see of a run while it goes: durable events, numbered from 1, and the model's words as they come.
//!
//! Invariant: an event is written in the transaction of what it tells of, and a run's numbers follow the order of the
//! commits, so a reader who names the last number it saw misses nothing and sees nothing twice. The model's words are not
//! kept: the answer they become is.

pub(super) mod store;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub(super) use stream::stream;

use super::{AgentRole, Run, StageView};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::plugins::Severity;
use crate::projects::files::ProjectFile;
use crate::quotas::Quota;

/// Words that may wait for a slow reader; a slower one misses words, never events.
const LIVE_KEPT: usize = 512;

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// Something that happened in a run. `name` is the event's name in the stream, the fields its data.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum RunEvent {
    /// The run in its new state.
    Status(Box<Run>),
    Stage(StageView),
    /// A role wrote a file.
    File {
        file: Box<ProjectFile>,
        role: AgentRole,
    },
    /// A plugin looked at a file.
    Finding {
        file_id: i64,
        path: String,
        count: usize,
        worst: Option<Severity>,
        plugin: String,
    },
    Tokens {
        tokens_used: i64,
        token_budget: Option<i64>,
        quota: Option<Quota>,
        at: Time,
    },
    Message {
        role: AgentRole,
        level: Level,
        text: String,
        at: Time,
    },
}

impl RunEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Stage(_) => "stage",
            Self::File { .. } => "file",
            Self::Finding { .. } => "finding",
            Self::Tokens { .. } => "tokens",
            Self::Message { .. } => "message",
        }
    }
}

/// What is told to readers of this process at once.
#[derive(Debug, Clone)]
enum Live {
    /// There are new events.
    Committed,
    /// The model said this.
    Words(AgentRole, Arc<str>),
}

/// The readers and the turns under way in this process.
#[derive(Clone, Default)]
pub(super) struct Hub {
    readers: Arc<Mutex<HashMap<i64, broadcast::Sender<Live>>>>,
    turns: Arc<Mutex<HashMap<i64, Arc<CancellationToken>>>>,
}

impl Hub {
    /// Writes events of `run` down and tells the readers after the commit.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append(&self, tx: &mut Tx<'_>, run: i64, events: &[RunEvent]) -> Result<()> {
        for event in events {
            let data = serde_json::to_string(event).map_err(Error::internal)?;
            store::append(tx, run, event.name(), &data)?;
        }
        let hub = self.clone();
        tx.after_commit(move || hub.tell(run, Live::Committed));
        Ok(())
    }

    /// Passes the model's words on.
    pub fn words(&self, run: i64, role: AgentRole, words: &str) {
        self.tell(run, Live::Words(role, words.into()));
    }

    fn tell(&self, run: i64, live: Live) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = readers.get(&run) else { return };
        if sender.send(live).is_err() {
            // The last reader has left.
            readers.remove(&run);
        }
    }

    fn listen(&self, run: i64) -> broadcast::Receiver<Live> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.entry(run).or_insert_with(|| broadcast::channel(LIVE_KEPT).0).subscribe()
    }

    /// Notes that a turn of `run` is under way; the token says when to stop it.
    pub fn turn(&self, run: i64) -> Turn {
        let stop = Arc::new(CancellationToken::new());
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).insert(run, stop.clone());
        Turn { hub: self.clone(), run, stop }
    }

    /// Stops the turn of `run` that is under way in this process, if any, once the present write is durable.
    pub fn stop_turn(&self, tx: &mut Tx<'_>, run: i64) {
        let hub = self.clone();
        tx.after_commit(move || {
            if let Some(stop) = hub.turns.lock().unwrap_or_else(PoisonError::into_inner).get(&run) {
                stop.cancel();
            }
        });
    }
}

/// A turn under way.
pub(super) struct Turn {
    hub: Hub,
    run: i64,
    pub stop: Arc<CancellationToken>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.hub.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // A turn that was stopped may end after the next one has begun.
        if turns.get(&self.run).is_some_and(|stop| Arc::ptr_eq(stop, &self.stop)) {
            turns.remove(&self.run);
        }
    }
}

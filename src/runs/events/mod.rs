//! What people see of a run while it goes: durable events, numbered from 1, and the model's words as they come.
//!
//! Invariant: an event is written in the transaction of what it tells of, and a run's numbers follow the order of the
//! commits, so a reader who names the last number it saw misses nothing and sees nothing twice. The model's words are not
//! kept: the answer they become is.

pub(super) mod store;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub(super) use stream::stream;

use super::{Run, StageView};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::plugins::Severity;
use crate::projects::files::ProjectFile;
use crate::quotas::Quota;

/// Words that may wait for a slow reader; a slower one misses words, never events.
const LIVE_KEPT: usize = 512;

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// Something that happened in a run: `event` is the event's name in the stream, `data` its data.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum RunEvent {
    /// The run in its new state.
    Status(Box<Run>),
    /// A stage in its new state.
    Stage(StageView),
    /// A role wrote a file.
    File { file: Box<ProjectFile>, role: String },
    /// A plugin looked at a file; `worst` is null when it found nothing.
    Finding { file_id: i64, path: String, count: usize, worst: Option<Severity>, plugin: String },
    /// What the run has used, and how the organisation's quota stands.
    Tokens { tokens_used: i64, token_budget: Option<i64>, quota: Option<Quota>, at: Time },
    /// The run has something to say about itself.
    Message { role: String, level: Level, text: String, at: Time },
    /// The model's words as they come. This one alone has no number and is not kept.
    Delta { role: String, text: String },
}

/// An event as the stream names and writes it.
#[derive(Deserialize)]
struct Named {
    event: String,
    data: Value,
}

impl RunEvent {
    /// The event's name, and its data as JSON: taken from the one form that the API's description is made of too.
    fn parts(&self) -> Result<(String, String)> {
        let Named { event, data } =
            serde_json::to_value(self).and_then(serde_json::from_value).map_err(Error::internal)?;
        Ok((event, data.to_string()))
    }
}

/// What is told to readers of this process at once.
#[derive(Debug, Clone)]
enum Live {
    /// There are new events.
    Committed,
    /// The model said this.
    Words(Arc<str>, Arc<str>),
}

/// The readers and the turns under way in this process.
#[derive(Clone, Default)]
pub(super) struct Hub {
    /// By run.
    readers: Arc<Mutex<HashMap<i64, Channel>>>,
    /// By job: a run's next turn may begin while one that was stopped still ends.
    turns: Arc<Mutex<HashMap<i64, Arc<CancellationToken>>>>,
}

/// What goes to the readers of one run, and how many they are.
struct Channel {
    sender: broadcast::Sender<Live>,
    readers: usize,
}

impl Hub {
    /// Writes events of `run` down and tells the readers after the commit.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append(&self, tx: &mut Tx<'_>, run: i64, events: &[RunEvent]) -> Result<()> {
        for event in events {
            let (name, data) = event.parts()?;
            store::append(tx, run, &name, &data)?;
        }
        let hub = self.clone();
        tx.after_commit(move || hub.tell(run, Live::Committed));
        Ok(())
    }

    /// Passes the model's words on.
    pub fn words(&self, run: i64, role: &str, words: &str) {
        self.tell(run, Live::Words(role.into(), words.into()));
    }

    fn tell(&self, run: i64, live: Live) {
        if let Some(channel) = self.readers.lock().unwrap_or_else(PoisonError::into_inner).get(&run) {
            // The last reader may be leaving.
            drop(channel.sender.send(live));
        }
    }

    fn listen(&self, run: i64) -> Ear {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Channel { sender: broadcast::channel(LIVE_KEPT).0, readers: 0 };
        let channel = readers.entry(run).or_insert_with(new);
        channel.readers += 1;
        Ear { hub: self.clone(), run, live: channel.sender.subscribe() }
    }

    /// Notes that the turn of `job` is under way; the token says when to stop it. To be called before the database is
    /// asked whether the turn is still wanted: whoever withdraws it later finds the token.
    pub fn turn(&self, job: i64) -> Turn {
        let stop = Arc::new(CancellationToken::new());
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).insert(job, stop.clone());
        Turn { hub: self.clone(), job, stop }
    }

    /// Stops the turn of `job` that is under way in this process, if any, once the present write is durable.
    pub fn stop_turn(&self, tx: &mut Tx<'_>, job: i64) {
        let hub = self.clone();
        tx.after_commit(move || hub.stop(job));
    }

    fn stop(&self, job: i64) {
        if let Some(stop) = self.turns.lock().unwrap_or_else(PoisonError::into_inner).get(&job) {
            stop.cancel();
        }
    }
}

/// A reader's ear: with the last one of a run the run is forgotten.
struct Ear {
    hub: Hub,
    run: i64,
    live: broadcast::Receiver<Live>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut readers = self.hub.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(channel) = readers.get_mut(&self.run) else { return };
        channel.readers -= 1;
        if channel.readers == 0 {
            readers.remove(&self.run);
        }
    }
}

/// A turn under way.
pub(super) struct Turn {
    hub: Hub,
    job: i64,
    pub stop: Arc<CancellationToken>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.hub.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // A job whose claim ran out may have been begun again in this process.
        if turns.get(&self.job).is_some_and(|stop| Arc::ptr_eq(stop, &self.stop)) {
            turns.remove(&self.job);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_forgotten_with_its_last_reader() {
        let hub = Hub::default();
        let (first, mut second, other) = (hub.listen(1), hub.listen(1), hub.listen(2));
        drop(first);
        hub.words(1, "developer", "still heard");
        assert!(matches!(second.live.try_recv(), Ok(Live::Words(..))));
        drop(second);
        assert_eq!(hub.readers.lock().unwrap().keys().collect::<Vec<_>>(), [&2]);
        drop(other);
        hub.tell(2, Live::Committed);
        assert!(hub.readers.lock().unwrap().is_empty());
    }

    #[test]
    fn a_turn_is_stopped_from_the_moment_it_is_noted_and_the_next_one_is_not() {
        let hub = Hub::default();
        let (stopped, next) = (hub.turn(1), hub.turn(2));
        hub.stop(1);
        assert!(stopped.stop.is_cancelled() && !next.stop.is_cancelled());
        let again = hub.turn(1);
        drop(stopped);
        hub.stop(1);
        assert!(again.stop.is_cancelled(), "the older turn took the newer one's token along");
        drop((again, next));
        assert!(hub.turns.lock().unwrap().is_empty());
    }
}

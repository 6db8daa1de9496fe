//! The trail sent on as it grows: to a syslog server, and as JSON lines into a file.
//!
//! Invariants: what is sent is what has its place in a log, in the order of its places, and at least once: how far a
//! destination has got is kept, and moves on only over what is known to have arrived. Requests never wait for a destination:
//! it reads behind them, as fast as it takes, a bounded batch at a time. Of several servers on one database one sends.
//! What is sent is readable: erasing a person does not reach it.

mod file;
mod follow;
mod line;
mod routes;
mod store;
mod syslog;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AuditEntry;
use super::tree::LogId;
use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::{Db, Tx};
use crate::net;

pub use line::Marks;
pub use syslog::SyslogServer;

/// A kind of destination. There is at most one of each, so that a new address goes on where the one before stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    Syslog,
    File,
}

impl Destination {
    const ALL: [Self; 2] = [Self::Syslog, Self::File];

    fn code(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::File => "file",
        }
    }
}

/// An entry on its way.
pub(super) struct Forwarded {
    pub log: LogId,
    /// The log's name.
    pub origin: String,
    /// Zero-based; of two neighbours of one log that arrive, the numbers are neighbours too, unless retention took what was
    /// between them before it was sent.
    pub position: u64,
    pub entry: AuditEntry,
}

/// How a destination stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForwardStatus {
    pub destination: Destination,
    /// The address or the path.
    pub target: String,
    /// How many entries have a place and were not sent yet.
    pub behind: i64,
    /// How many arrived since forwarding began; those that arrived twice count twice.
    pub sent: i64,
    pub started_at: Option<Time>,
    pub last_sent_at: Option<Time>,
    /// Why it does not go on; null while it does.
    pub last_error: Option<String>,
}

/// Where to send.
#[derive(Debug, Clone)]
pub struct Options {
    pub syslog: Option<SyslogServer>,
    pub marks: Marks,
    pub file: Option<PathBuf>,
}

/// A destination that has not gone on for some minutes.
pub struct Failing<'a> {
    /// The address or the path.
    pub target: &'a str,
    pub since: Time,
    /// Why, in a sentence.
    pub error: &'a str,
}

/// Told of one once, until it works again; people are told a floor above.
pub type Tell = Arc<dyn Fn(&mut Tx<'_>, Time, &Failing<'_>) -> Result<()> + Send + Sync>;

/// The room of forwarding.
#[derive(Clone)]
pub struct Forward {
    db: Db,
    clock: Clock,
    options: Options,
}

impl Forward {
    /// `client` may dial the syslog server from now on.
    pub fn new(db: Db, clock: Clock, options: Options, client: &net::Client) -> Self {
        if let Some(server) = &options.syslog {
            client.allow(&server.host, server.port);
        }
        Self { db, clock, options }
    }

    /// Sends what has its place from now on, or from where a destination stopped, until the server stops. `process` names
    /// this run of the program and no other; `tell` is told of what fails for long.
    pub fn start(&self, tasks: &Tasks, client: net::Client, process: &str, tell: &Tell) {
        let follower = |destination| follow::Follower {
            db: self.db.clone(),
            clock: self.clock.clone(),
            destination,
            process: process.to_owned(),
            target: self.target(destination).unwrap_or_default(),
            tell: tell.clone(),
        };
        if let Some(server) = self.options.syslog.clone() {
            let sink = syslog::Syslog::new(client, server, self.options.marks);
            tasks.spawn_until_stop(follower(Destination::Syslog).run(sink));
        }
        if let Some(path) = self.options.file.clone() {
            tasks.spawn_until_stop(follower(Destination::File).run(file::JsonLines::new(path)));
        }
    }

    fn target(&self, destination: Destination) -> Option<String> {
        match destination {
            Destination::Syslog => self.options.syslog.as_ref().map(ToString::to_string),
            Destination::File => self.options.file.as_ref().map(|path| path.display().to_string()),
        }
    }

    /// How each destination that is set stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&self) -> Result<Vec<ForwardStatus>> {
        let targets: Vec<_> =
            Destination::ALL.into_iter().filter_map(|kind| Some((kind, self.target(kind)?))).collect();
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.db.read(move |tx| {
            let all = targets.iter().map(|(kind, target)| store::status(tx, *kind, target));
            all.collect::<Result<Vec<_>>>()
        });
        read.await
    }
}

/// What takes entries.
pub(super) trait Sink: Send + 'static {
    /// Makes ready to take entries; does nothing when it is.
    fn open(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Takes entries. What was taken is known to have arrived only when it is [`Sink::settled`].
    fn take(&mut self, entries: &[Forwarded]) -> impl Future<Output = Result<()>> + Send;

    /// How many calls of [`Sink::take`] since the last [`Sink::open`] are known to have arrived.
    ///
    /// # Errors
    /// When those behind them are lost.
    fn settled(&mut self) -> impl Future<Output = Result<usize>> + Send;

    /// Lets go of what is open, after a failure.
    fn close(&mut self);
}

/// A failure of a destination.
fn failed(sentence: String) -> Error {
    Error::upstream("audit_forward_failed", sentence)
}

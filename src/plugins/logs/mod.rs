//! The logs of plugins: what they wrote, what was denied them, how they failed.
//!
//! Invariant: writing a line never waits and never grows without bound: lines gather in memory, at most [`MOST_WAITING`],
//! and go to the database in batches, where each plugin keeps the newest [`MOST_KEPT`] of each organisation.

pub mod routes;
mod store;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use resoftai_sandbox::Level;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Plugins;
use crate::access::OrgId;
use crate::base::clock::Time;

/// Lines that wait to be written; more are left out and counted.
const MOST_WAITING: usize = 5_000;
/// Lines of one plugin in one organisation.
const MOST_KEPT: i64 = 1_000;

/// How urgent a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Debug,
    Info,
    /// Also what was denied.
    Warning,
    /// Also failures, with the plugin's own lines.
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warning => Self::Warning,
            Level::Error => Self::Error,
        }
    }
}

/// A line as it waits to be written.
#[derive(Debug, Clone)]
pub struct NewLine {
    /// The plugin's slug.
    pub plugin: String,
    pub org: Option<OrgId>,
    pub at: Time,
    pub level: LogLevel,
    pub text: String,
}

/// A line as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LogLine {
    pub id: i64,
    pub at: Time,
    pub level: LogLevel,
    pub text: String,
    /// Null: what belongs to no organisation.
    pub organization_id: Option<i64>,
}

/// Lines on their way to the database.
#[derive(Debug, Default)]
pub struct Diary(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<NewLine>,
    left_out: usize,
}

impl Diary {
    pub fn write(&self, line: NewLine) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.len() < MOST_WAITING {
            waiting.lines.push(line);
        } else {
            waiting.left_out += 1;
        }
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Plugins {
    /// Writes down the lines that wait. What cannot be written is in the server's log in any case.
    pub(super) async fn write_lines(&self) {
        let Waiting { lines, left_out } = self.inner.doors.diary.take();
        if left_out > 0 {
            tracing::warn!(left_out, "plugins wrote more lines than can be kept");
        }
        if lines.is_empty() {
            return;
        }
        let written = self.inner.db.write(move |tx| {
            let mut places = BTreeSet::new();
            for line in &lines {
                // A plugin or organisation may be gone by now, and its log with it.
                if let Some(plugin) = store::insert(tx, line)? {
                    places.insert((plugin, line.org));
                }
            }
            places.into_iter().try_for_each(|(plugin, org)| store::make_room(tx, plugin, org, MOST_KEPT))
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "lines of plugins' logs could not be kept");
        }
    }
}

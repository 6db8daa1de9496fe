//! Gives committed entries their places, and signs what the logs are then.
//!
//! Invariants: an entry is found by its row in `audit_pending`, written in the entry's own transaction, so it does
//! not matter in which order ids are given out, committed or left out. Reading and hashing happen outside of the write,
//! which holds only when the logs are as they were read: of several servers on one database each grows a log in turn.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hash::Edge;
use super::note::Checkpoint;
use super::store::{self, Growth, Waiting};
use super::{AuditLog, LogId, Logs};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::Tx;

/// Entries in one transaction: some ten milliseconds of the writer's time, which outweigh the commit's.
const BATCH: usize = 8192;
/// How old an entry becomes at most before it is looked for; also what keeps commits of checkpoints few.
const PAUSE: Duration = Duration::from_millis(500);

pub async fn run(logs: Logs, tasks: Tasks) {
    while !tasks.is_stopping() {
        match logs.sequence(&tasks).await {
            Ok(()) => {}
            // Another server was faster; what it left is found at the next look.
            Err(error) if error.code() == LOST => {}
            Err(error) => tracing::warn!(?error, "entries of the audit trail got no place; trying again"),
        }
        tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// What is written next, and what the logs are then.
#[derive(Default)]
struct Batch {
    growths: Vec<Growth>,
    /// The first entry's id; the last one's is where the next batch goes on.
    first: i64,
    /// How many entries.
    count: usize,
    ahead: Ahead,
}

/// Where the batch after one that is being written begins.
#[derive(Default, Clone)]
struct Ahead {
    /// The last entry's id.
    after: Option<i64>,
    logs: BTreeMap<LogId, (AuditLog, Edge)>,
}

impl Logs {
    /// Places what waits. While a batch is written the next one is read and hashed, on the state that the first will leave.
    async fn sequence(&self, tasks: &Tasks) -> Result<()> {
        let mut batch = self.read(Ahead::default()).await?;
        while batch.count > 0 && !tasks.is_stopping() {
            let ahead = batch.ahead.clone();
            batch = if batch.count < BATCH {
                self.write(batch).await?;
                Batch::default()
            } else {
                let (written, next) = tokio::join!(self.write(batch), self.read(ahead));
                written?;
                next?
            };
        }
        Ok(())
    }

    async fn read(&self, ahead: Ahead) -> Result<Batch> {
        let logs = self.clone();
        self.db.read_long(move |tx| logs.batch(tx, ahead.clone())).await
    }

    fn batch(&self, tx: &mut Tx<'_>, mut ahead: Ahead) -> Result<Batch> {
        let waiting = store::waiting(tx, ahead.after, BATCH)?;
        let count = waiting.values().map(Vec::len).sum();
        let entries = || waiting.values().flatten().map(|waiting| waiting.entry);
        let first = entries().min().unwrap_or_default();
        ahead.after = entries().max();
        // Those of the batch that is being written; what came before is in the database.
        let mut under_way = std::mem::take(&mut ahead.logs);
        let mut growths = Vec::new();
        for (id, waiting) in waiting {
            let (log, edge) = match under_way.remove(&id) {
                Some((log, edge)) => (Some(log), edge),
                None => {
                    let log = store::log(tx, id)?;
                    let edge = store::edge(tx, id, log.as_ref().map_or(0, |log| log.tree_size))?;
                    (log, edge)
                }
            };
            let (growth, edge) = self.growth(id, log, edge, &waiting);
            ahead.logs.insert(id, (growth.log.clone(), edge));
            growths.push(growth);
        }
        Ok(Batch { growths, first, count, ahead })
    }

    fn growth(&self, id: LogId, before: Option<AuditLog>, mut edge: Edge, waiting: &[Waiting]) -> (Growth, Edge) {
        let from = edge.size();
        waiting.iter().for_each(|waiting| edge.push(waiting.hash));
        let origin = before.map_or_else(|| id.origin(&self.signer), |log| log.origin);
        let checkpoint = Checkpoint { origin: origin.clone(), size: edge.size(), root: edge.root() };
        let log = AuditLog {
            organization_id: id.org().map(|org| org.0),
            verifier_key: self.signer.verifier(&origin).to_string(),
            checkpoint: self.signer.sign(&checkpoint),
            tree_size: edge.size(),
            checkpoint_at: self.clock.now(),
            origin,
        };
        let entries = waiting.iter().map(|waiting| waiting.entry).collect();
        (Growth { id, from, log, entries, tiles: edge.take_grown() }, edge)
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let done = self.db.write(move |tx| {
            for growth in &batch.growths {
                if !store::grow(tx, growth)? {
                    return Err(lost());
                }
            }
            let last = batch.ahead.after.unwrap_or(batch.first);
            Ok(store::unqueue(tx, batch.first, last, batch.count)?)
        });
        done.await
    }
}

const LOST: &str = "audit_log_grew";

fn lost() -> Error {
    Error::conflict(LOST, "Another server gave these entries their places meanwhile.")
}

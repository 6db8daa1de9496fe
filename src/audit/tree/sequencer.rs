//! Gives committed entries their places, and signs what the logs are then.
//!
//! Invariants: an entry is found by its row in `audit_pending`, which a trigger writes in the entry's own transaction, so it
//! does not matter in which order ids are given out, committed or left out. Reading and hashing happen outside of the write,
//! which holds only when the logs are as they were read: of several servers on one database each grows a log in turn.

use std::time::Duration;

use super::note::Checkpoint;
use super::store::{self, Growth, Waiting};
use super::{AuditLog, LogId, Logs};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::Tx;

/// Entries in one transaction: a few milliseconds of a writer's time.
const BATCH: usize = 4096;
/// How old an entry becomes at most before it is looked for; also what keeps commits of checkpoints few.
const PAUSE: Duration = Duration::from_millis(500);

pub async fn run(logs: Logs, tasks: Tasks) {
    while !tasks.is_stopping() {
        match logs.sequence().await {
            Ok(placed) if placed >= BATCH => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(?error, "entries of the audit trail got no place; trying again"),
        }
        tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

impl Logs {
    /// Places what waits, at most a batch; how many entries that were.
    pub(super) async fn sequence(&self) -> Result<usize> {
        let logs = self.clone();
        let growths = self.db.read(move |tx| {
            let waiting = store::waiting(tx, BATCH)?;
            waiting.into_iter().map(|(log, waiting)| logs.growth(tx, log, &waiting)).collect::<Result<Vec<_>>>()
        });
        let growths = growths.await?;
        let placed = growths.iter().map(|growth| growth.entries.len()).sum();
        if placed == 0 {
            return Ok(0);
        }
        let done = self.db.write(move |tx| {
            for growth in &growths {
                if !store::grow(tx, growth)? {
                    return Err(lost());
                }
            }
            Ok(())
        });
        match done.await {
            Ok(()) => Ok(placed),
            // Another server was faster; what it left is found at the next look.
            Err(error) if error.code() == LOST => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn growth(&self, tx: &mut Tx<'_>, id: LogId, waiting: &[Waiting]) -> Result<Growth> {
        let before = store::log(tx, id)?;
        let from = before.as_ref().map_or(0, |log| log.tree_size);
        let mut edge = store::edge(tx, id, from)?;
        waiting.iter().for_each(|waiting| edge.push(waiting.hash));
        let origin = before.map_or_else(|| id.origin(&self.signer), |log| log.origin);
        let checkpoint = Checkpoint { origin: origin.clone(), size: edge.size(), root: edge.root() };
        Ok(Growth {
            id,
            from,
            log: AuditLog {
                organization_id: id.org().map(|org| org.0),
                verifier_key: self.signer.verifier(&origin).to_string(),
                checkpoint: self.signer.sign(&checkpoint),
                tree_size: edge.size(),
                checkpoint_at: self.clock.now(),
                origin,
            },
            entries: waiting.iter().map(|waiting| waiting.entry).collect(),
            tiles: edge.take_grown(),
        })
    }
}

const LOST: &str = "audit_log_grew";

fn lost() -> Error {
    Error::conflict(LOST, "Another server gave these entries their places meanwhile.")
}

//! Writing use down: group commits, renewal of grants, and giving idle ones back.
//!
//! Invariant: what was taken out of the queue is written before the next batch is; a batch whose commit may or may not
//! have happened is looked up before it is written again. What cannot be written stays granted, and so counts as used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::account::signed;
use super::meter::{LEASE, Meter};
use super::{Told, Usage, store};
use crate::access::OrgId;
use crate::audit;
use crate::base::clock::Time;
use crate::base::error::{Kind, Result};
use crate::db::{Engine, Tx};

/// How long the first record of a batch waits for others.
const LINGER: Duration = Duration::from_millis(100);
const BATCH: usize = 256;
const TICK: Duration = Duration::from_secs(5);
/// A grant nobody took from for this long goes back.
const IDLE: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(60);
/// Attempts to write a batch once the server is stopping.
const LAST_ATTEMPTS: u32 = 5;

/// Use on its way to the database.
pub(super) struct Settlement {
    pub org: OrgId,
    /// What counts; at most what was reserved.
    pub used: u64,
    pub usage: Usage,
    pub told: Option<Told>,
    pub at: Time,
}

/// Settles until the server stops and the last reservation has ended; then gives everything back.
pub(super) async fn run(meter: Arc<Meter>, mut queue: Receiver<Settlement>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut renewed = Instant::now();
    let mut ticked = Instant::now();
    loop {
        if meter.tasks.is_stopping() && queue.is_empty() && queue.capacity() == queue.max_capacity() {
            break;
        }
        collect(&meter, &mut queue, &mut batch).await;
        if !batch.is_empty() {
            write(&meter, std::mem::take(&mut batch)).await;
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            for account in meter.accounts() {
                meter.give_back_idle(&account, IDLE).await;
            }
        }
        if renewed.elapsed() >= RENEW {
            renew(&meter, &mut renewed).await;
        }
    }
    queue.close();
    for account in meter.accounts() {
        meter.give_back_idle(&account, Duration::ZERO).await;
    }
    let process = meter.process.clone();
    if let Err(error) = meter.db.write(move |tx| Ok(store::sweep(tx, &process)?)).await {
        tracing::warn!(?error, "empty quota grants could not be removed; the next start does it");
    }
}

/// Waits for a first record (or a tick, or the stop) and then briefly for more.
async fn collect(meter: &Meter, queue: &mut Receiver<Settlement>, batch: &mut Vec<Settlement>) {
    let first = async {
        if meter.tasks.is_stopping() {
            return timeout(LINGER, queue.recv_many(batch, BATCH)).await.is_ok();
        }
        tokio::select! {
            () = meter.tasks.stopping() => false,
            got = timeout(TICK, queue.recv_many(batch, BATCH)) => got.is_ok(),
        }
    };
    if !first.await {
        return;
    }
    let until = tokio::time::Instant::now() + LINGER;
    while batch.len() < BATCH && !meter.tasks.is_stopping() {
        let room = BATCH - batch.len();
        match tokio::time::timeout_at(until, queue.recv_many(batch, room)).await {
            Ok(more) if more > 0 => {}
            _ => return,
        }
    }
}

async fn write(meter: &Meter, batch: Vec<Settlement>) {
    let batch: Arc<Vec<_>> = Arc::new(batch.into_iter().map(Arc::new).collect());
    match attempt(meter, &batch, false).await {
        Ok(()) => {}
        // Something in the batch cannot be stored: find it, so that it does not hold the others up.
        Err(Kind::Internal) => {
            for one in batch.iter() {
                write_one(meter, one.clone()).await;
            }
        }
        Err(_) => tracing::error!(records = batch.len(), "usage could not be written; it counts at the next start"),
    }
}

async fn write_one(meter: &Meter, one: Arc<Settlement>) {
    let (org, used) = (one.org.0, one.used);
    let one = Arc::new(vec![one]);
    if attempt(meter, &one, false).await.is_ok() {
        return;
    }
    let told = one.iter().filter_map(|one| one.told.as_ref()).map(|(event, _)| event.description.as_str()).next();
    tracing::error!(org, used, told, "a usage record cannot be stored as it is; only its amount is");
    if attempt(meter, &one, true).await.is_err() {
        tracing::error!(org, used, "usage could not be written; it counts at the next start");
    }
}

/// Writes the batch, trying again while the database is busy or full; the kind of what refused it for good.
async fn attempt(meter: &Meter, batch: &Arc<Vec<Arc<Settlement>>>, bare: bool) -> Result<(), Kind> {
    let mut pause = LINGER;
    let mut attempts = 0;
    let first = Arc::new(AtomicI64::new(0));
    loop {
        let (process, batch, mark, again) = (meter.process.clone(), batch.clone(), first.clone(), attempts > 0);
        let written = meter.db.write(move |tx| {
            let known = mark.load(Ordering::Relaxed);
            if again && known != 0 && batch.first().map_or(Ok(true), |one| store::is_recorded(tx, known, one.at))? {
                return Ok(());
            }
            settle(tx, &process, &batch, bare, &mark)
        });
        let Err(error) = written.await else { return Ok(()) };
        attempts += 1;
        if error.kind() == Kind::Internal && error.code() != "commit_unknown" {
            tracing::error!(?error, "a batch of usage records was refused");
            return Err(Kind::Internal);
        }
        if error.code() == "database_closed" || (meter.tasks.is_stopping() && attempts >= LAST_ATTEMPTS) {
            return Err(error.kind());
        }
        tracing::warn!(?error, attempts, "usage waits for the database");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TICK);
    }
}

fn settle(tx: &mut Tx<'_>, process: &str, batch: &[Arc<Settlement>], bare: bool, mark: &AtomicI64) -> Result<()> {
    // Sorted, so that two processes lock the rows in the same order.
    let mut totals: BTreeMap<OrgId, u64> = BTreeMap::new();
    for (index, one) in batch.iter().enumerate() {
        let Settlement { org, used, usage, told, at } = one.as_ref();
        *totals.entry(*org).or_default() += used;
        let record = store::Record {
            org: *org,
            amount: signed(*used),
            user: usage.user,
            project: usage.project,
            model: Some(usage.model.as_str()).filter(|_| !bare),
            source: usage.source,
            at: *at,
        };
        let id = store::record(tx, &record)?;
        if index == 0 {
            mark.store(id, Ordering::Relaxed);
        }
        if let Some((event, caller)) = told.as_ref().filter(|_| !bare) {
            audit::record(tx, *at, caller, event)?;
        }
    }
    for (org, used) in totals {
        store::settle(tx, process, org, signed(used), 0)?;
    }
    Ok(())
}

/// Renews this process's grants and, where others may exist, buries those of the dead. One that could not renew in time
/// must take itself for dead: what it holds was counted as used by another.
async fn renew(meter: &Meter, renewed: &mut Instant) {
    let (process, now) = (meter.process.clone(), meter.clock.now());
    match meter.db.write(move |tx| Ok(store::renew(tx, &process, now)?)).await {
        Ok(_) => *renewed = Instant::now(),
        Err(error) => tracing::warn!(?error, "quota grants could not be renewed"),
    }
    if meter.db.engine() == Engine::Sqlite {
        return;
    }
    if renewed.elapsed() > Duration::from_micros(LEASE.unsigned_abs() / 2) {
        for account in meter.accounts() {
            account.idle(Duration::ZERO);
        }
    } else if let Err(error) = meter.bury(now.plus(-LEASE), false).await {
        tracing::warn!(?error, "quota grants of dead processes could not be counted");
    }
}

//! Writing use down: group commits, renewal of grants, and giving idle ones back.
//!
//! Invariant: what was taken out of the queue is written before the next batch is; a batch whose commit may or may not
//! have happened is looked up before it is written again. What cannot be written stays granted, and so counts as used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::account::signed;
use super::book::Purse;
use super::meter::{LEASE, Meter};
use super::{Told, Usage, counters, store, usage};
use crate::audit;
use crate::base::clock::Time;
use crate::base::error::{Kind, Result};
use crate::db::{Engine, Tx};

/// How long the first record of a batch waits for others.
const LINGER: Duration = Duration::from_millis(100);
const BATCH: usize = 256;
const TICK: Duration = Duration::from_secs(5);
/// How long calls are counted in memory before they are written down together.
const CALLS: Duration = Duration::from_secs(2);
/// How often it is looked whether other processes need what this one holds idle.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// A grant nobody took from for this long goes back.
const IDLE: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(60);
/// Attempts to write a batch once the server is stopping.
const LAST_ATTEMPTS: u32 = 5;

/// Use on its way to the database.
pub(super) struct Settlement {
    pub purse: Arc<Purse>,
    /// What counts; at most what was reserved.
    pub used: u64,
    /// How many calls used it.
    pub records: u64,
    /// Written down one by one; None for requests, which are only counted by day.
    pub usage: Option<Usage>,
    pub told: Option<Told>,
    pub at: Time,
}

/// Settles until the server stops and the last reservation has ended; then gives everything back.
pub(super) async fn run(meter: Arc<Meter>, mut queue: Receiver<Settlement>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut renewed = Instant::now();
    let (mut ticked, mut counted, mut looked) = (Instant::now(), Instant::now(), Instant::now());
    loop {
        if meter.tasks.is_stopping() && queue.is_empty() && queue.capacity() == queue.max_capacity() {
            break;
        }
        collect(&meter, &mut queue, &mut batch).await;
        if counted.elapsed() >= CALLS {
            counted = Instant::now();
            batch.extend(calls(&meter));
        }
        if !batch.is_empty() {
            write(&meter, std::mem::take(&mut batch)).await;
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            meter.share().await;
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            for account in meter.accounts() {
                meter.give_back_idle(&account, IDLE).await;
            }
            meter.forget_empty();
        }
        if renewed.elapsed() >= RENEW {
            renew(&meter, &mut renewed).await;
        }
    }
    queue.close();
    let last: Vec<_> = calls(&meter).collect();
    if !last.is_empty() {
        write(&meter, last).await;
    }
    for account in meter.accounts() {
        meter.give_back(&account, account.recall()).await;
    }
    let process = meter.process.clone();
    if let Err(error) = meter.db.write(move |tx| Ok(counters::store::sweep(tx, &process)?)).await {
        tracing::warn!(?error, "empty quota grants could not be removed; the next start does it");
    }
}

/// The requests since this was asked.
fn calls(meter: &Meter) -> impl Iterator<Item = Settlement> {
    let at = meter.clock.now();
    let settlement =
        move |(purse, count)| Settlement { purse, used: count, records: count, usage: None, told: None, at };
    meter.calls().into_iter().map(settlement)
}

/// Waits for a first record (or a tick, or the stop) and then briefly for more.
async fn collect(meter: &Meter, queue: &mut Receiver<Settlement>, batch: &mut Vec<Settlement>) {
    let first = async {
        if meter.tasks.is_stopping() {
            return timeout(LINGER, queue.recv_many(batch, BATCH)).await.is_ok();
        }
        tokio::select! {
            () = meter.tasks.stopping() => false,
            got = timeout(LOOK, queue.recv_many(batch, BATCH)) => got.is_ok(),
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
    let (org, used) = (one.purse.owner.org.0, one.used);
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
    let number = meter.batch.fetch_add(1, Ordering::Relaxed) + 1;
    loop {
        let (process, batch) = (meter.process.clone(), batch.clone());
        let written = meter.db.write(move |tx| {
            if !counters::store::note_batch(tx, &process, number)? {
                return Ok(());
            }
            let batch: Vec<&Settlement> = batch.iter().map(Arc::as_ref).collect();
            settle(tx, &process, &batch, bare)
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

/// What is settled of one quota in one period.
struct Total {
    /// Amounts, and how many equal uses each is of.
    uses: Vec<(i64, i64)>,
    at: Time,
}

/// Writes use down: records, the day's sums, the counters of every quota it was taken from, and what to tell. `bare`
/// leaves out what may not be storable.
pub(super) fn settle(tx: &mut Tx<'_>, process: &str, batch: &[&Settlement], bare: bool) -> Result<()> {
    // Sorted, so that two processes lock the rows in the same order.
    let mut totals: BTreeMap<(i64, &str, Date), Total> = BTreeMap::new();
    let mut days = usage::Days::default();
    for Settlement { purse, used, records, usage, told, at } in batch {
        let (amount, count) = (signed(*used), signed(*records));
        for account in &purse.accounts {
            let total = totals
                .entry((account.quota, account.period.as_str(), purse.day))
                .or_insert_with(|| Total { uses: Vec::new(), at: *at });
            total.uses.push((amount, count));
            total.at = *at;
        }
        if let Some(usage) = usage {
            usage::record(tx, purse.owner.org, purse.resource, amount, usage, *at, bare)?;
        }
        days.add(purse, usage.as_ref().filter(|_| !bare), amount, count);
        if let Some((event, caller)) = told.as_ref().filter(|_| !bare) {
            audit::record(tx, *at, caller, event)?;
        }
    }
    days.write(tx)?;
    for ((quota, period, day), Total { uses, at }) in totals {
        let used = uses.iter().map(|(amount, _)| amount).sum();
        let settled = counters::store::settle(tx, process, quota, period, used, 0)?;
        // A quota that was deleted in the meantime needs no counting.
        if let (Some(counter), Some(rule)) = (settled, store::by_id(tx, quota)?) {
            if rule.period.name(day) == period {
                counters::told(tx, at, &rule, period, counter, &uses)?;
            } else {
                counters::moved(tx, at, &rule, day, &uses)?;
            }
        }
    }
    Ok(())
}

/// Renews this process's grants and, where others may exist, buries those of the dead. One that could not renew in time
/// must take itself for dead: what it holds was counted as used by another.
async fn renew(meter: &Meter, renewed: &mut Instant) {
    let (process, now) = (meter.process.clone(), meter.clock.now());
    match meter.db.write(move |tx| Ok(counters::store::renew(tx, &process, now)?)).await {
        Ok(_) => *renewed = Instant::now(),
        Err(error) => tracing::warn!(?error, "quota grants could not be renewed"),
    }
    if meter.db.engine() == Engine::Sqlite {
        return;
    }
    if renewed.elapsed() > Duration::from_micros(LEASE.unsigned_abs() / 2) {
        for account in meter.accounts() {
            account.recall();
        }
    } else if let Err(error) = meter.bury(now.plus(-LEASE), false).await {
        tracing::warn!(?error, "quota grants of dead processes could not be counted");
    }
}

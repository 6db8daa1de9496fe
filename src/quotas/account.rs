//! What this process holds of one quota in one period, and reservations of it.
//!
//! Invariant: what is held here, reserved, and on its way to be settled is together what the process's durable grant
//! says, or less. A reservation takes from all quotas that hold or from none; one that ends in any way returns what was
//! not used; use whose transaction failed is settled by itself, for the tokens are gone either way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::oneshot;

use super::book::{Passed, Purse};
use super::meter::Meter;
use super::settle::{self, Settlement};
use super::{Resource, Told, Usage};
use crate::base::error::Result;
use crate::db::Tx;

/// The surplus a first grant asks for, and the most that one asks for.
fn chunks(resource: Resource) -> (u64, u64) {
    match resource {
        Resource::LlmTokens => (8192, 4 << 20),
        _ => (64, 1 << 16),
    }
}

/// Grants closer together than this double the surplus.
const BUSY: Duration = Duration::from_secs(1);

/// How long a call waits for what other processes hold idle, before it is refused; they look twice a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long calls are refused at once after that was in vain.
const RELUCTANCE: Duration = Duration::from_secs(10);

/// A grant of one quota in this process.
pub(super) struct Account {
    pub quota: i64,
    /// The name of the period it is of.
    pub period: String,
    /// A day of that period.
    pub day: Date,
    first_chunk: u64,
    last_chunk: u64,
    state: Mutex<State>,
}

pub(super) struct State {
    /// Granted, not reserved.
    pub held: u64,
    /// Came back from calls that began under limits that hold no more; to be given back durably.
    stale: u64,
    /// Grows with every recall.
    epoch: u64,
    /// A recall came while more was being got.
    recalled: bool,
    pub waiting: VecDeque<Waiter>,
    /// A task is getting more.
    pub extending: bool,
    next_ticket: u64,
    chunk: u64,
    extended_at: Option<Instant>,
    /// When waiting for what other processes hold began last.
    waits_since: Option<Instant>,
    used_at: Instant,
}

pub(super) struct Waiter {
    pub ticket: u64,
    pub amount: u64,
    pub reply: oneshot::Sender<Result<Held>>,
}

/// What the next grant should bring.
pub(super) struct Need {
    /// All that wait, minus what is held.
    pub shortfall: u64,
    /// The smallest single shortfall: less than this helps nobody.
    pub least: u64,
    /// On top, for those to come.
    pub surplus: u64,
    /// Waiters with a ticket below this were counted.
    pub cutoff: u64,
}

impl Account {
    pub fn new(quota: i64, period: String, day: Date, resource: Resource) -> Self {
        let (first_chunk, last_chunk) = chunks(resource);
        let state = State {
            held: 0,
            stale: 0,
            epoch: 0,
            recalled: false,
            waiting: VecDeque::new(),
            extending: false,
            next_ticket: 0,
            chunk: first_chunk,
            extended_at: None,
            waits_since: None,
            used_at: Instant::now(),
        };
        Self { quota, period, day, first_chunk, last_chunk, state: Mutex::new(state) }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `amount` from what is held, or queues for it. True: somebody must start getting more.
    pub fn take(self: &Arc<Self>, amount: u64) -> Result<Held, (oneshot::Receiver<Result<Held>>, bool)> {
        let mut state = self.lock();
        state.used_at = Instant::now();
        if state.waiting.is_empty() && state.held >= amount {
            state.held -= amount;
            return Ok(Held { account: self.clone(), amount, epoch: state.epoch });
        }
        let (reply, answer) = oneshot::channel();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(Waiter { ticket, amount, reply });
        let idle = !state.extending;
        state.extending = true;
        Err((answer, idle))
    }

    /// Serves whom it can; then what is still needed, or None (and no longer extending) when nobody waits.
    pub fn need(self: &Arc<Self>) -> Option<Need> {
        let served = self.serve();
        let mut state = self.lock();
        // Whoever gave up in the meantime returns what it was given, outside of the lock.
        drop(served);
        if state.waiting.is_empty() {
            state.extending = false;
            return None;
        }
        let busy = state.extended_at.is_some_and(|at| at.elapsed() < BUSY);
        if busy {
            state.chunk = (state.chunk * 2).min(self.last_chunk);
        }
        state.extended_at = Some(Instant::now());
        let total: u64 = state.waiting.iter().map(|waiter| waiter.amount).sum();
        let least = state.waiting.iter().map(|waiter| waiter.amount).min().unwrap_or(0);
        Some(Need {
            shortfall: total.saturating_sub(state.held),
            least: least.saturating_sub(state.held).max(1),
            surplus: state.chunk,
            cutoff: state.next_ticket,
        })
    }

    fn serve(self: &Arc<Self>) -> Vec<Result<Held>> {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        let mut unwanted = Vec::new();
        for waiter in waiting {
            if waiter.reply.is_closed() {
                continue;
            }
            if state.held < waiter.amount {
                state.waiting.push_back(waiter);
                continue;
            }
            state.held -= waiter.amount;
            let held = Held { account: self.clone(), amount: waiter.amount, epoch: state.epoch };
            if let Err(back) = waiter.reply.send(Ok(held)) {
                unwanted.push(back);
            }
        }
        drop(state);
        unwanted
    }

    /// Takes `amount` more in, serves whom it suffices for, and returns those before `cutoff` whom it does not.
    pub fn granted(self: &Arc<Self>, amount: u64, cutoff: u64) -> Vec<Waiter> {
        self.lock().held += amount;
        drop(self.serve());
        let mut state = self.lock();
        let (refused, later) = std::mem::take(&mut state.waiting).into_iter().partition(|w: &Waiter| w.ticket < cutoff);
        state.waiting = later;
        Vec::from(refused)
    }

    /// Whether those who wait should go on waiting for what other processes hold idle. Waiting in vain is not repeated at
    /// once: what others hold may be calls under way.
    pub fn waits_for_others(&self) -> bool {
        let mut state = self.lock();
        match state.waits_since.map(|since| since.elapsed()) {
            Some(waited) if waited < PATIENCE => true,
            Some(waited) if waited < PATIENCE + RELUCTANCE => false,
            _ => {
                state.waits_since = Some(Instant::now());
                true
            }
        }
    }

    /// Everything held, when nobody took any for `idle`; it must then be given back durably.
    pub fn idle(&self, idle: Duration) -> Option<u64> {
        let mut state = self.lock();
        if state.held == 0 || state.extending || state.used_at.elapsed() < idle {
            return None;
        }
        state.chunk = self.first_chunk;
        Some(std::mem::take(&mut state.held))
    }

    /// Everything held, though it is too little for those who wait; it must then be given back durably.
    pub fn rest(&self) -> u64 {
        std::mem::take(&mut self.lock().held)
    }

    /// Everything that is not reserved, which must then be given back durably; so must what comes back of calls under way.
    /// For when another limit holds: nothing that was granted under the one before may be reserved again.
    pub fn recall(&self) -> u64 {
        let mut state = self.lock();
        state.epoch += 1;
        state.chunk = self.first_chunk;
        let stale = std::mem::take(&mut state.stale);
        state.recalled = state.extending;
        if state.recalled { stale } else { stale + std::mem::take(&mut state.held) }
    }

    /// Whether a recall could not take everything, since more was being got; asked once that is over.
    pub fn is_recalled(&self) -> bool {
        self.lock().recalled
    }

    /// What must be given back durably.
    pub fn stale(&self) -> u64 {
        std::mem::take(&mut self.lock().stale)
    }

    /// Takes back what could not be given back durably.
    pub fn keep(&self, amount: u64) {
        self.lock().stale += amount;
    }

    fn put_back(&self, amount: u64, epoch: u64) {
        let mut state = self.lock();
        if state.epoch == epoch {
            state.held += amount;
        } else {
            state.stale += amount;
        }
    }

    /// Nothing is held and nobody waits.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.held == 0 && state.stale == 0 && state.waiting.is_empty() && !state.extending
    }
}

/// Taken out of an account; dropping returns it.
pub(super) struct Held {
    account: Arc<Account>,
    amount: u64,
    epoch: u64,
}

impl Held {
    /// Splits what was used off: it no longer returns.
    pub fn consume(&mut self, used: u64) -> u64 {
        let used = used.min(self.amount);
        self.amount -= used;
        used
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.account.put_back(self.amount, self.epoch);
        }
    }
}

/// Tokens set aside for one call. Dropped, it returns all of them.
pub struct Reservation {
    amount: u64,
    /// One of each quota that holds.
    held: Vec<Held>,
    passed: Passed,
    meter: Arc<Meter>,
    /// Its place in the queue of settlements, so that settling never waits.
    slot: Option<OwnedPermit<Settlement>>,
    /// What [`Reservation::settle_in`] wrote, and whether that was committed.
    written: Mutex<Option<Usage>>,
    committed: Arc<AtomicBool>,
    /// Used whatever becomes of the transaction that says so; else only when it is committed.
    spent: bool,
}

impl Reservation {
    pub(super) fn new(
        amount: u64,
        held: Vec<Held>,
        passed: Passed,
        meter: Arc<Meter>,
        slot: OwnedPermit<Settlement>,
    ) -> Self {
        let (slot, written, committed) = (Some(slot), Mutex::new(None), Arc::default());
        Self { amount, held, passed, meter, slot, written, committed, spent: true }
    }

    /// Makes it count only when the transaction that settles it is committed.
    pub(super) fn unless_undone(self) -> Self {
        let mut this = self;
        this.spent = false;
        this
    }

    /// The tokens set aside.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    fn purse(&self) -> &Arc<Purse> {
        &self.passed.purse
    }

    /// Counts `usage` (at most what was set aside), writes it and `told` down with the next group commit, and returns the
    /// rest at once. Does not wait.
    pub fn settle(mut self, usage: Usage, told: Option<Told>) {
        self.queue(usage, told);
    }

    fn consume(&mut self, used: u64) -> u64 {
        self.passed.keep(used);
        self.held.iter_mut().map(|held| held.consume(used)).min().unwrap_or(0)
    }

    fn queue(&mut self, usage: Usage, told: Option<Told>) {
        let used = self.consume(usage.tokens);
        if let Some(slot) = self.slot.take() {
            let at = self.meter.clock.now();
            slot.send(Settlement { purse: self.purse().clone(), used, records: 1, usage: Some(usage), told, at });
        }
    }

    /// Counts `usage` in the caller's own transaction. When that fails, the reservation of what is spent settles by itself
    /// on drop.
    ///
    /// # Errors
    /// When the database fails.
    pub fn settle_in(&self, tx: &mut Tx<'_>, usage: &Usage) -> Result<()> {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(usage.clone());
        let one = Settlement {
            purse: self.purse().clone(),
            used: usage.tokens.min(self.amount),
            records: 1,
            usage: Some(usage.clone()),
            told: None,
            at: self.meter.clock.now(),
        };
        settle::settle(tx, &self.meter.process, &[&one], false)?;
        let committed = self.committed.clone();
        tx.after_commit(move || committed.store(true, Ordering::Release));
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(usage) = self.written.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if self.committed.load(Ordering::Acquire) {
            self.consume(usage.tokens);
        } else if self.spent {
            self.queue(usage, None);
        }
    }
}

/// Amounts as the database counts them.
pub(super) fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

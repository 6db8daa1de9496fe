//! Which quotas hold for whom, kept in memory: an organisation's rules, and for each owner the accounts to take from.
//!
//! Invariant: a purse is of one local day, so what is taken from it counts in the periods of that day, whatever the clock
//! does, and of one set of limits, so it ends with an override; a rule changed in this process counts for the next call,
//! one changed by another server within two seconds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::Resource;
use super::account::Account;
use super::gate::{Gate, Rate, Shut};
use super::rule::{Owner, Rule};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};

/// How long rules are believed where other servers may change them.
const FRESH: Duration = Duration::from_secs(2);

/// An organisation's metered quotas.
pub(super) struct Book {
    pub rules: Vec<Rule>,
    read_at: Instant,
    generation: u64,
    purses: RwLock<HashMap<(Resource, Owner), Arc<Purse>>>,
}

impl Book {
    pub fn new(rules: Vec<Rule>, generation: u64) -> Self {
        Self { rules, read_at: Instant::now(), generation, purses: RwLock::default() }
    }

    pub fn is_fresh(&self, generation: u64, shared: bool) -> bool {
        self.generation == generation && !(shared && self.read_at.elapsed() > FRESH)
    }

    pub fn purse(&self, owner: &Owner, resource: Resource, now: Time) -> Option<Arc<Purse>> {
        let purses = self.purses.read().unwrap_or_else(PoisonError::into_inner);
        purses.get(&(resource, *owner)).filter(|purse| purse.from <= now && now < purse.until).cloned()
    }

    pub fn keep(&self, purse: &Arc<Purse>) {
        let mut purses = self.purses.write().unwrap_or_else(PoisonError::into_inner);
        purses.insert((purse.resource, purse.owner), purse.clone());
    }
}

/// What an owner takes one resource from on one day.
pub(super) struct Purse {
    pub owner: Owner,
    pub resource: Resource,
    pub day: Date,
    from: Time,
    until: Time,
    /// Narrow quotas first.
    pub accounts: Vec<Arc<Account>>,
    gates: Vec<Arc<Gate>>,
    /// Calls that were let through and are not on their way to be settled.
    pub calls: AtomicU64,
}

impl Purse {
    /// Good from the first to before the second of `times`.
    pub fn new(
        owner: Owner,
        resource: Resource,
        day: Date,
        times: (Time, Time),
        accounts: Vec<Arc<Account>>,
        gates: Vec<Arc<Gate>>,
    ) -> Self {
        let (from, until) = times;
        Self { owner, resource, day, from, until, accounts, gates, calls: AtomicU64::new(0) }
    }

    /// Lets `amount` through all gates or none. What is not kept of it goes back.
    pub fn pass(self: &Arc<Self>, amount: u64) -> Result<Passed, (Error, Rate)> {
        let mut passed = Passed { purse: self.clone(), amount, gates: 0, rate: None };
        for gate in &self.gates {
            let rate = gate.pass(amount).map_err(|shut| refusal(self.resource, amount, shut))?;
            passed.gates += 1;
            passed.rate = passed.rate.filter(|other| other.remaining <= rate.remaining).or(Some(rate));
        }
        Ok(passed)
    }

    pub fn take_calls(&self) -> u64 {
        self.calls.swap(0, Ordering::AcqRel)
    }
}

fn refusal(resource: Resource, amount: u64, shut: Shut) -> (Error, Rate) {
    let words = resource.words();
    match shut {
        Shut::For(seconds, rate) => {
            let sentence = format!(
                "More than {} {words} a minute are not allowed. Send this again in {seconds} seconds.",
                rate.limit
            );
            (Error::new(Kind::Limited, "rate_limited", sentence).retry_after(seconds), rate)
        }
        Shut::Never(rate) => {
            let sentence = format!(
                "This may use {amount} {words}, and {} a minute are allowed. Ask for less at once: a shorter prompt, or fewer max_tokens.",
                rate.limit
            );
            (Error::new(Kind::Limited, "rate_limited", sentence), rate)
        }
    }
}

/// What passed the gates of a purse; dropped, it goes back to them.
pub(super) struct Passed {
    pub purse: Arc<Purse>,
    amount: u64,
    gates: usize,
    /// Of the gate with the least room; None where there is none.
    pub rate: Option<Rate>,
}

impl Passed {
    /// What no gate was asked about.
    pub fn free(purse: Arc<Purse>) -> Self {
        Self { purse, amount: 0, gates: 0, rate: None }
    }

    /// Keeps what was used from going back.
    pub fn keep(&mut self, used: u64) {
        self.amount = self.amount.saturating_sub(used);
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.purse.gates.iter().take(self.gates).for_each(|gate| gate.give_back(self.amount));
        }
    }
}

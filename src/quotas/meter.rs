//! Reserving: from memory when the grant suffices, else through one durable extension for all who wait.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit, Sender};

use super::account::{Account, Held, Need, Reservation, Waiter, signed};
use super::settle::{self, Settlement};
use super::{Quota, Resource, exceeded, store};
use crate::access::OrgId;
use crate::base::clock::{Clock, SECOND, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::{Db, Engine, Tx};

/// Calls under way and settlements not yet written, together.
const QUEUE: usize = 16_384;
/// How long a reservation waits for room in the queue.
const BACKLOG_LIMIT: Duration = Duration::from_secs(2);
/// A process that did not renew its grants for this long is dead; where only one process can exist, all others are.
pub(super) const LEASE: i64 = 600 * SECOND;
/// No single call may ask for more; keeps sums far from overflow.
const MOST: u64 = 1 << 40;

/// The meter of the process.
#[derive(Clone)]
pub struct Quotas {
    pub(super) meter: Arc<Meter>,
    queue: Sender<Settlement>,
}

pub(super) struct Meter {
    pub db: Db,
    pub clock: Clock,
    pub tasks: Tasks,
    pub process: String,
    accounts: RwLock<HashMap<OrgId, Arc<Account>>>,
}

impl Quotas {
    /// Starts metering as `process`, a name no other living process has, after counting what dead ones held as used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(db: Db, clock: Clock, tasks: Tasks, process: String) -> Result<Self> {
        let accounts = RwLock::default();
        let meter = Arc::new(Meter { db, clock, tasks: tasks.clone(), process, accounts });
        let alone = meter.db.engine() == Engine::Sqlite;
        meter.bury(if alone { Time(i64::MAX) } else { meter.clock.now().plus(-LEASE) }, true).await?;
        let (queue, settlements) = mpsc::channel(QUEUE);
        tasks.spawn(settle::run(meter.clone(), settlements));
        Ok(Self { meter, queue })
    }

    /// Sets `amount` tokens aside.
    ///
    /// # Errors
    /// `quota_exceeded` with the numbers, `usage_backlog` when settlements pile up, or the database's own.
    pub async fn reserve(&self, org: OrgId, amount: u64) -> Result<Reservation> {
        let slot = self.slot().await?;
        if amount > MOST {
            return Err(exceeded(None, org, Resource::LlmTokens, signed(amount)));
        }
        let account = self.meter.account(org);
        let held = match account.take(amount) {
            Ok(held) => held,
            Err((answer, start)) => {
                if start {
                    self.meter.tasks.spawn(extend(self.meter.clone(), account));
                }
                answer.await.unwrap_or_else(|_| Err(Error::internal("a quota extension ended without an answer")))?
            }
        };
        Ok(Reservation::new(held, self.meter.clone(), slot))
    }

    async fn slot(&self) -> Result<OwnedPermit<Settlement>> {
        let stopping =
            || Error::unavailable("stopping", "The server is stopping. Send the call again shortly.").retry_after(5);
        match self.queue.clone().try_reserve_owned() {
            Ok(slot) => Ok(slot),
            Err(TrySendError::Closed(_)) => Err(stopping()),
            Err(TrySendError::Full(queue)) => match tokio::time::timeout(BACKLOG_LIMIT, queue.reserve_owned()).await {
                Ok(slot) => slot.map_err(|_| stopping()),
                Err(_) => Err(Error::unavailable(
                    "usage_backlog",
                    "Usage is measured faster than the database can write it down. Send the call again shortly.",
                )
                .retry_after(2)),
            },
        }
    }

    /// The organisation's quotas as settled and held now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn view(&self, tx: &mut Tx<'_>, org: OrgId) -> Result<Vec<Quota>> {
        store::list(tx, org)
    }

    /// Gives back what this process holds for `org` beyond calls under way: after a limit was lowered.
    pub fn shed(&self, org: OrgId) {
        let meter = self.meter.clone();
        self.meter.tasks.spawn(async move { meter.give_back_idle(&meter.account(org), Duration::ZERO).await });
    }
}

impl Meter {
    fn account(&self, org: OrgId) -> Arc<Account> {
        if let Some(account) = self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(&org) {
            return account.clone();
        }
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(org).or_insert_with(|| Arc::new(Account::new(org))).clone()
    }

    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Counts as used what processes held that did not renew since `before`, and (`reborn`) one of our own name.
    pub async fn bury(&self, before: Time, reborn: bool) -> Result<()> {
        let (process, now) = (reborn.then(|| self.process.clone()), self.clock.now());
        for (org, amount) in self.db.write(move |tx| store::bury(tx, process.as_deref(), before, now)).await? {
            tracing::warn!(org = org.0, amount, "tokens that a process held when it died are counted as used");
        }
        Ok(())
    }

    /// Gives back durably what nobody took for `idle`.
    pub async fn give_back_idle(&self, account: &Account, idle: Duration) {
        let Some(amount) = account.idle(idle) else { return };
        let (process, org) = (self.process.clone(), account.org);
        let written = self.db.write(move |tx| Ok(store::settle(tx, &process, org, 0, signed(amount))?)).await;
        if let Err(error) = written {
            tracing::warn!(org = org.0, ?error, "an idle quota grant could not be given back");
            if error.code() != "commit_unknown" {
                account.put_back(amount);
            }
        }
    }

    async fn grant(&self, org: OrgId, need: &Need) -> Result<(u64, Option<Quota>)> {
        let (process, now) = (self.process.clone(), self.clock.now());
        let (shortfall, least, surplus) = (signed(need.shortfall), signed(need.least), signed(need.surplus));
        let work = move |tx: &mut Tx<'_>| {
            // Only another process between the look and the grant makes a second round necessary.
            for _ in 0..8 {
                let quota = store::find(tx, org, Resource::LlmTokens)?;
                let amount = match &quota {
                    None => 0,
                    Some(Quota { limit_value: None, .. }) => shortfall + surplus,
                    Some(Quota { limit_value: Some(limit), used, reserved, .. }) => {
                        let room = limit.saturating_sub(*used).saturating_sub(*reserved);
                        // A quarter of what is left at most, so that other processes find some too.
                        let spare = surplus.min((room - shortfall).max(0) / 4);
                        if room < least { 0 } else { (shortfall + spare).min(room) }
                    }
                };
                if amount == 0 || store::grant(tx, &process, org, amount, now)? {
                    return Ok((u64::try_from(amount).unwrap_or(0), quota));
                }
            }
            let sentence = "Other servers keep taking from the organisation's quota. Send the call again shortly.";
            Err(Error::unavailable("quota_busy", sentence).retry_after(1))
        };
        self.db.write(work).await
    }
}

/// Gets what is needed until nobody waits.
async fn extend(meter: Arc<Meter>, account: Arc<Account>) {
    while let Some(need) = account.need() {
        match meter.grant(account.org, &need).await {
            Ok((amount, quota)) => {
                for Waiter { amount, reply, .. } in account.granted(amount, need.cutoff) {
                    let refused = exceeded(quota.as_ref(), account.org, Resource::LlmTokens, signed(amount));
                    answer(reply, refused);
                }
            }
            Err(error) => {
                for Waiter { reply, .. } in account.granted(0, need.cutoff) {
                    let copy = Error::new(error.kind(), error.code(), error.message());
                    answer(reply, copy.retry_after(1).caused_by(format!("{error:?}")));
                }
            }
        }
    }
}

fn answer(reply: tokio::sync::oneshot::Sender<Result<Held>>, error: Error) {
    // Whoever waited may have gone away.
    drop(reply.send(Err(error)));
}

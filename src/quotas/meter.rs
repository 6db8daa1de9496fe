//! Reserving: from memory when the grants suffice, else through one durable extension for all who wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit, Sender};

use super::account::{Account, Held, Need, Reservation, Waiter, signed};
use super::book::{Book, Passed, Purse};
use super::counters::{self, Counter};
use super::gate::{Gate, Rate};
use super::rule::{Mode, Owner, Rule, Scope};
use super::settle::{self, LOOK, Settlement};
use super::{Quota, Resource, exceeded, no_quota, store};
use crate::access::{Caller, OrgId};
use crate::base::clock::{Clock, SECOND, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::base::zone::Zone;
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
    pub zone: Zone,
    /// The number of the last batch of use that was written.
    pub batch: AtomicI64,
    books: RwLock<HashMap<OrgId, Arc<Book>>>,
    /// Grows with every change of a quota, so that no book is used that was read before one.
    generation: AtomicU64,
    /// By quota and period.
    accounts: RwLock<HashMap<(i64, String), Arc<Account>>>,
    /// By quota.
    gates: Mutex<HashMap<i64, Arc<Gate>>>,
    /// Purses that calls are counted in.
    taps: Mutex<Vec<Arc<Purse>>>,
}

/// What an extension brought.
#[derive(Default)]
struct Granted {
    amount: u64,
    /// How the quota stood before; None when it holds no more.
    stood: Option<(Rule, Counter)>,
    /// It was too little, and other processes hold some of it.
    elsewhere: bool,
}

impl Quotas {
    /// Starts metering as `process`, a name no other living process has, after counting what dead ones held as used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(db: Db, clock: Clock, tasks: Tasks, process: String, zone: Zone) -> Result<Self> {
        let meter = Arc::new(Meter {
            db,
            clock,
            tasks: tasks.clone(),
            process,
            zone: zone.clone(),
            batch: AtomicI64::new(0),
            books: RwLock::default(),
            generation: AtomicU64::new(0),
            accounts: RwLock::default(),
            gates: Mutex::default(),
            taps: Mutex::default(),
        });
        meter.db.write(move |tx| store::set_zone(tx, &zone)).await?;
        let alone = meter.db.engine() == Engine::Sqlite;
        meter.bury(if alone { Time(i64::MAX) } else { meter.clock.now().plus(-LEASE) }, true).await?;
        let (queue, settlements) = mpsc::channel(QUEUE);
        tasks.spawn(settle::run(meter.clone(), settlements));
        Ok(Self { meter, queue })
    }

    /// Sets `amount` model tokens aside, in every quota that holds for `owner` and for the team of `project`, or in none.
    ///
    /// # Errors
    /// `quota_exceeded` with the numbers, `rate_limited`, `usage_backlog` when settlements pile up, or the database's own.
    pub async fn reserve(&self, owner: &Owner, project: Option<i64>, amount: u64) -> Result<Reservation> {
        let slot = self.slot().await?;
        let owner = &self.meter.with_team(*owner, project).await?;
        let purse = self.meter.purse(owner, Resource::LlmTokens).await?;
        if amount > MOST || purse.accounts.is_empty() {
            return Err(no_quota(owner.org, Resource::LlmTokens));
        }
        let passed = purse.pass(amount).map_err(|(error, _)| error)?;
        let held = self.meter.hold(&purse, amount).await?;
        Ok(Reservation::new(amount, held, passed, self.meter.clone(), slot))
    }

    /// Sets `amount` aside that was measured elsewhere, whatever the rates.
    ///
    /// # Errors
    /// Those of [`Quotas::reserve`] but `rate_limited`.
    pub(super) async fn reserve_reported(&self, owner: &Owner, resource: Resource, amount: u64) -> Result<Reservation> {
        let slot = self.slot().await?;
        let purse = self.meter.purse(owner, resource).await?;
        if purse.accounts.is_empty() {
            return Err(no_quota(owner.org, resource));
        }
        let held = self.meter.hold(&purse, amount).await?;
        Ok(Reservation::new(amount, held, Passed::free(purse), self.meter.clone(), slot).unless_undone())
    }

    /// Counts a request of `caller` as use of the organisation it is about, where that is named and `caller` belongs to it,
    /// else of the first they belong to. Who acts for the site is not counted.
    /// With the answer's rate limit, where one holds.
    ///
    /// # Errors
    /// `quota_exceeded`, `rate_limited`, or the database's own.
    pub async fn count_call(&self, caller: &Caller, about: Option<OrgId>) -> (Option<Rate>, Result<()>) {
        let own = if caller.grants.site.is_empty() { caller.grants.orgs.as_slice() } else { &[] };
        let named = about.and_then(|about| own.binary_search_by_key(&about, |(org, _)| *org).ok());
        let (Some((org, _)), Some(_)) = (own.get(named.unwrap_or(0)), caller.user) else { return (None, Ok(())) };
        let owner = Owner::org(*org).person(caller.user);
        if self.queue.is_closed() {
            return (None, Err(stopping()));
        }
        let purse = match self.meter.purse(&owner, Resource::ApiCalls).await {
            Ok(purse) => purse,
            Err(error) => return (None, Err(error)),
        };
        let mut passed = match purse.pass(1) {
            Ok(passed) => passed,
            Err((error, rate)) => return (Some(rate), Err(error)),
        };
        match self.meter.hold(&purse, 1).await {
            Ok(mut held) => {
                purse.calls.fetch_add(1, Ordering::AcqRel);
                for held in &mut held {
                    held.consume(1);
                }
                passed.keep(1);
                (passed.rate, Ok(()))
            }
            Err(error) => (passed.rate, Err(error)),
        }
    }

    async fn slot(&self) -> Result<OwnedPermit<Settlement>> {
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

    /// The organisation's quota of a resource as settled and held now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn view(&self, tx: &mut Tx<'_>, org: OrgId, resource: Resource) -> Result<Option<Quota>> {
        store::find(tx, org, resource, self.meter.clock.now())
    }

    /// Has the rules read again once `tx`, which changes one, is durable.
    pub(super) fn forget_rules(&self, tx: &mut Tx<'_>) {
        let meter = self.meter.clone();
        tx.after_commit(move || {
            meter.generation.fetch_add(1, Ordering::AcqRel);
        });
    }

    /// Gives back what this process holds of a quota beyond calls under way: after it was changed.
    pub(super) fn shed_one(&self, quota: i64) {
        self.meter.shed(quota);
    }

    /// The same of all quotas of an organisation, and reads them again: after it moved to another tier.
    pub fn shed(&self, org: OrgId) {
        self.meter.generation.fetch_add(1, Ordering::AcqRel);
        let books = self.meter.books.read().unwrap_or_else(PoisonError::into_inner);
        books.get(&org).iter().flat_map(|book| &book.rules).for_each(|rule| self.meter.shed(rule.id));
    }
}

fn stopping() -> Error {
    Error::unavailable("stopping", "The server is stopping. Send the call again shortly.").retry_after(5)
}

impl Meter {
    async fn purse(self: &Arc<Self>, owner: &Owner, resource: Resource) -> Result<Arc<Purse>> {
        let now = self.clock.now();
        let book = match self.book(owner.org) {
            Some(book) => book,
            None => self.open(owner.org).await?,
        };
        if let Some(purse) = book.purse(owner, resource, now) {
            return Ok(purse);
        }
        let day = self.zone.day(now);
        self.end_overrides(&book, now).await;
        let mut rules: Vec<&Rule> =
            book.rules.iter().filter(|rule| rule.resource == resource && owner.is_within(rule.scope)).collect();
        rules.sort_by_key(|rule| rule.scope);
        let accounts = rules.iter().map(|rule| self.account(rule, day)).collect();
        let gates = rules.iter().filter_map(|rule| self.gate(rule)).collect();
        // A limit ends with an override, and would be another one again were the clock set back.
        let (mut from, mut until) = (self.zone.begins(day), self.zone.begins(day.saturating_add(1.day())));
        for edge in rules.iter().filter_map(|rule| rule.over.as_ref()).map(|over| over.until) {
            if edge > now {
                until = until.min(edge);
            } else {
                from = from.max(edge);
            }
        }
        let purse = Arc::new(Purse::new(*owner, resource, day, (from, until), accounts, gates));
        if resource == Resource::ApiCalls {
            self.taps.lock().unwrap_or_else(PoisonError::into_inner).push(purse.clone());
        }
        book.keep(&purse);
        Ok(purse)
    }

    /// Gives back what was held under overrides that have ended: it may be more than the limit that counts again allows.
    async fn end_overrides(&self, book: &Book, now: Time) {
        let ended = |rule: &&Rule| rule.over.as_ref().is_some_and(|over| over.until <= now);
        for rule in book.rules.iter().filter(ended) {
            for account in self.accounts().iter().filter(|account| account.quota == rule.id) {
                self.give_back(account, account.recall()).await;
            }
        }
    }

    /// The owner with the project's team, which is looked up only where some team has a quota.
    async fn with_team(self: &Arc<Self>, owner: Owner, project: Option<i64>) -> Result<Owner> {
        let Some(project) = project else { return Ok(owner) };
        let book = match self.book(owner.org) {
            Some(book) => book,
            None => self.open(owner.org).await?,
        };
        if !book.rules.iter().any(|rule| matches!(rule.scope, Scope::Team(_))) {
            return Ok(owner);
        }
        Ok(owner.team(self.db.read(move |tx| Ok(store::team_of(tx, project)?)).await?))
    }

    fn book(&self, org: OrgId) -> Option<Arc<Book>> {
        let (generation, shared) = (self.generation.load(Ordering::Acquire), self.db.engine() != Engine::Sqlite);
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        books.get(&org).filter(|book| book.is_fresh(generation, shared)).cloned()
    }

    /// Reads an organisation's rules; what another server changed of them counts from here on.
    async fn open(self: &Arc<Self>, org: OrgId) -> Result<Arc<Book>> {
        let generation = self.generation.load(Ordering::Acquire);
        let mut rules = self.db.read(move |tx| store::all(tx, org)).await?;
        rules.retain(|rule| rule.resource.is_metered());
        let book = Arc::new(Book::new(rules, generation));
        // Organisations that are not there are not kept.
        if !book.rules.is_empty() {
            let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
            let before = books.insert(org, book.clone());
            drop(books);
            for rule in before.iter().flat_map(|book| &book.rules) {
                if !book.rules.contains(rule) {
                    self.shed(rule.id);
                }
            }
        }
        Ok(book)
    }

    fn account(&self, rule: &Rule, day: Date) -> Arc<Account> {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let new = |(quota, period): &(i64, String)| Account::new(*quota, period.clone(), day, rule.resource);
        accounts.entry((rule.id, rule.period.name(day))).or_insert_with_key(|key| Arc::new(new(key))).clone()
    }

    fn gate(&self, rule: &Rule) -> Option<Arc<Gate>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(per_minute) = rule.per_minute.and_then(|rate| u64::try_from(rate).ok()) else {
            gates.remove(&rule.id);
            return None;
        };
        let gate = gates.entry(rule.id).or_insert_with(|| Arc::new(Gate::new(per_minute)));
        gate.set(per_minute);
        Some(gate.clone())
    }

    /// Takes `amount` from every account of the purse, or from none.
    async fn hold(self: &Arc<Self>, purse: &Purse, amount: u64) -> Result<Vec<Held>> {
        let mut all = Vec::with_capacity(purse.accounts.len());
        for account in &purse.accounts {
            let held = match account.take(amount) {
                Ok(held) => held,
                Err((answer, start)) => {
                    if start {
                        self.tasks.spawn(extend(self.clone(), account.clone()));
                    }
                    answer
                        .await
                        .unwrap_or_else(|_| Err(Error::internal("a quota extension ended without an answer")))?
                }
            };
            all.push(held);
        }
        Ok(all)
    }

    /// What this process holds of a quota for those to come.
    pub fn held(&self, quota: i64, period: &str) -> i64 {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.get(&(quota, period.to_owned())).map_or(0, |account| signed(account.lock().held))
    }

    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets accounts of periods that ended, once nothing is left in them.
    pub fn forget_empty(&self) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_empty());
    }

    /// The calls that were let through since this was asked, by purse.
    pub fn calls(&self) -> Vec<(Arc<Purse>, u64)> {
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut calls = Vec::new();
        taps.retain(|purse| {
            // Nobody can count in one that only this list knows.
            let alive = Arc::strong_count(purse) > 1;
            match purse.take_calls() {
                0 => alive,
                count => {
                    calls.push((purse.clone(), count));
                    true
                }
            }
        });
        calls
    }

    /// Gives back what this process holds of a quota beyond calls under way.
    fn shed(self: &Arc<Self>, quota: i64) {
        for account in self.accounts().into_iter().filter(|account| account.quota == quota) {
            let (meter, amount) = (self.clone(), account.recall());
            self.tasks.spawn(async move { meter.give_back(&account, amount).await });
        }
    }

    /// Counts as used what processes held that did not renew since `before`, and (`reborn`) one of our own name.
    pub async fn bury(&self, before: Time, reborn: bool) -> Result<()> {
        let (process, now) = (reborn.then(|| self.process.clone()), self.clock.now());
        for (org, amount) in self.db.write(move |tx| counters::bury(tx, process.as_deref(), before, now)).await? {
            tracing::warn!(org = org.0, amount, "what a process held when it died is counted as used");
        }
        Ok(())
    }

    /// Gives back what is stale, and what this process holds idle of quotas that are nearly used, when other processes take
    /// from them too.
    pub async fn share(&self) {
        for account in self.accounts() {
            self.give_back(&account, account.stale()).await;
        }
        let accounts: Vec<_> = self.accounts().into_iter().filter(|account| account.lock().held > 0).collect();
        if self.db.engine() == Engine::Sqlite || accounts.is_empty() {
            return;
        }
        let (process, now) = (self.process.clone(), self.clock.now());
        match self.db.read(move |tx| Ok(counters::store::scarce(tx, &process, now)?)).await {
            Ok(scarce) => {
                let wanted = |account: &&Arc<Account>| {
                    scarce.iter().any(|(quota, period)| *quota == account.quota && *period == account.period)
                };
                for account in accounts.iter().filter(wanted) {
                    self.give_back(account, account.recall()).await;
                }
            }
            Err(error) => tracing::warn!(?error, "what other servers may need of quotas could not be looked up"),
        }
    }

    /// Gives back durably what nobody took for `idle`.
    pub async fn give_back_idle(&self, account: &Account, idle: Duration) {
        if let Some(amount) = account.idle(idle) {
            self.give_back(account, amount).await;
        }
    }

    pub async fn give_back(&self, account: &Account, amount: u64) {
        if amount == 0 {
            return;
        }
        let (process, quota, period) = (self.process.clone(), account.quota, account.period.clone());
        let written = self
            .db
            .write(move |tx| Ok(counters::store::settle(tx, &process, quota, &period, 0, signed(amount)).map(drop)?))
            .await;
        if let Err(error) = written {
            tracing::warn!(quota, ?error, "an idle quota grant could not be given back");
            if error.code() != "commit_unknown" {
                account.keep(amount);
            }
        }
    }

    async fn grant(&self, account: &Account, need: &Need) -> Result<Granted> {
        let (process, now) = (self.process.clone(), self.clock.now());
        let (quota, period, day, zone) = (account.quota, account.period.clone(), account.day, self.zone.clone());
        let (shortfall, least, surplus) = (signed(need.shortfall), signed(need.least), signed(need.surplus));
        let work = move |tx: &mut Tx<'_>| {
            // Only another process between the look and the grant makes a second round necessary.
            for _ in 0..8 {
                let Some(rule) = store::by_id(tx, quota)? else { return Ok(Granted::default()) };
                if rule.period.name(day) != period {
                    // It counts by other periods since the call began.
                    return Ok(Granted::default());
                }
                counters::begin(tx, &rule, &zone, day)?;
                let counter = counters::store::get(tx, quota, &period)?.unwrap_or_default();
                let amount = match rule.limit(now).filter(|_| rule.mode == Mode::Hard) {
                    None => shortfall + surplus,
                    Some(limit) => {
                        let room = limit.saturating_sub(counter.used).saturating_sub(counter.granted);
                        // A quarter of what is left at most, so that other processes find some too.
                        let spare = surplus.min((room - shortfall).max(0) / 4);
                        if room < least { 0 } else { (shortfall + spare).min(room) }
                    }
                };
                if amount == 0 || counters::store::grant(tx, &process, quota, &period, amount, now)? {
                    let short = amount < shortfall;
                    let elsewhere = short && counters::store::held_elsewhere(tx, &process, quota, &period)?;
                    let amount = u64::try_from(amount).unwrap_or(0);
                    return Ok(Granted { amount, stood: Some((rule, counter)), elsewhere });
                }
            }
            let sentence = "Other servers keep taking from the quota. Send the call again shortly.";
            Err(Error::unavailable("quota_busy", sentence).retry_after(1))
        };
        self.db.write(work).await
    }

    fn refuse(&self, account: &Account, stood: Option<&(Rule, Counter)>, amount: u64) -> Error {
        let now = self.clock.now();
        match stood {
            Some((rule, counter)) => {
                let renews_at = rule.period.renews_at(&self.zone, self.zone.day(now));
                exceeded(rule, *counter, signed(amount), now, renews_at)
            }
            // It was deleted or got other periods while the call was on its way.
            None => Error::unavailable("quota_busy", "The quota just changed. Send the call again.").retry_after(1),
        }
        .caused_by(format!("quota {} in {}", account.quota, account.period))
    }
}

/// Gets what is needed until nobody waits. What is stale is given back first, so that there is room for it.
async fn extend(meter: Arc<Meter>, account: Arc<Account>) {
    while let Some(need) = account.need() {
        meter.give_back(&account, account.stale()).await;
        match meter.grant(&account, &need).await {
            Ok(Granted { amount, elsewhere: true, .. }) if account.waits_for_others() => {
                account.granted(amount, 0);
                // Two that wait for what the other holds would wait in vain.
                meter.give_back(&account, account.rest()).await;
                // No word comes from the other processes: they look, and so does this one.
                tokio::time::sleep(LOOK / 2).await;
            }
            Ok(Granted { amount, stood, .. }) => {
                for Waiter { amount, reply, .. } in account.granted(amount, need.cutoff) {
                    answer(reply, meter.refuse(&account, stood.as_ref(), amount));
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
    if account.is_recalled() {
        meter.give_back(&account, account.recall()).await;
    }
}

fn answer(reply: tokio::sync::oneshot::Sender<Result<Held>>, error: Error) {
    // Whoever waited may have gone away.
    drop(reply.send(Err(error)));
}

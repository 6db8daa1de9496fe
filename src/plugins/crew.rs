//! Who works where: one worker for a plugin and an organisation, each with an instance of its own while it is needed.
//!
//! Invariant: a worker serves one organisation, or what belongs to none, and no other, so state, data, settings and
//! failures never mix; a worker is never edited but replaced when anything about it changes. Instances are made at the
//! first call, let go when nobody calls for a while, and at most [`MOST_WARM`] of them live at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::activations::{self, Activation, Activations};
use super::capabilities::{Decision, Powers};
use super::integration::EVENTS;
use super::live::{Ask, Failed, Learned, Live};
use super::models::Seats;
use super::settings::{self, Settings};
use super::shelf::Entry;
use super::{Plugins, Work, host};
use crate::access::OrgId;
use crate::base::error::Result;
use crate::db::Engine;
use crate::llm::Served;
use crate::orgs;

/// Instances that live at once; beyond it the one that was idle longest goes.
const MOST_WARM: usize = 64;
/// An instance that nobody called for so long is let go.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Looks between two sweeps of what deleted organisations left: an hour.
const SWEEP: u32 = 1800;
/// Between two looks for idle instances, and for changes that other servers made.
const LOOK: Duration = Duration::from_secs(2);

/// One plugin at work in one organisation, or, without one, for what belongs to none.
pub struct Worker {
    pub entry: Arc<Entry>,
    pub org: Option<OrgId>,
    seat: u8,
    /// Its setting of that name: of what an integration is told.
    pub events: Option<Value>,
    /// Of the activation it was made by; None: there was none.
    revision: Option<i64>,
    live: Live,
    used: Mutex<Instant>,
    /// Of those who make a model's answers in its place.
    pub(super) seats: Seats,
    /// As a source of models, once it was one.
    pub(super) served: OnceLock<Served>,
    /// Cancelled when the plugin is switched off here.
    pub(super) gone: CancellationToken,
}

impl Worker {
    /// The plugin's slug.
    pub fn slug(&self) -> &str {
        &self.entry.slug
    }

    /// What it registered when it was loaded last, here if it ever was.
    pub fn registered(&self) -> Option<Arc<Learned>> {
        self.live.known().or_else(|| self.entry.learned())
    }

    /// How long a call of it may take here, waiting included.
    pub fn wall(&self) -> Duration {
        self.live.wall()
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle_since(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who are asked about one organisation.
pub type Team = Arc<Vec<Arc<Worker>>>;

/// Plugin, organisation, and seat: 0, or that of one who makes models' answers.
type Key = (i64, Option<OrgId>, u8);

#[derive(Default)]
pub struct Crew {
    /// Emptied at every change, whose number stands beside.
    teams: RwLock<(u64, HashMap<Option<OrgId>, Team>)>,
    workers: Mutex<HashMap<Key, Arc<Worker>>>,
    activations: RwLock<Arc<Activations>>,
}

impl Crew {
    fn team(&self, org: Option<OrgId>) -> (u64, Option<Team>) {
        let teams = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        (teams.0, teams.1.get(&org).cloned())
    }

    /// Kept unless there was a change since `number` was read.
    fn keep(&self, org: Option<OrgId>, number: u64, team: &Team) {
        let mut teams = self.teams.write().unwrap_or_else(PoisonError::into_inner);
        if teams.0 == number {
            teams.1.insert(org, team.clone());
        }
    }

    fn forget_teams(&self) {
        let mut teams = self.teams.write().unwrap_or_else(PoisonError::into_inner);
        teams.0 += 1;
        teams.1.clear();
    }

    pub(super) fn activations(&self) -> Arc<Activations> {
        self.activations.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn workers(&self) -> Vec<Arc<Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Those whose instance may be let go, the longest idle first.
    fn idle(&self) -> Vec<Arc<Worker>> {
        let mut warm: Vec<_> = self.workers().into_iter().filter(|worker| worker.live.is_warm()).collect();
        warm.sort_by_key(|worker| worker.idle_since());
        warm
    }
}

impl Plugins {
    /// The plugins that work in `org`, or, without one, for what belongs to no organisation; by slug. A look-up while
    /// nothing changes, and nothing is loaded.
    pub(super) fn at_work(&self, org: Option<OrgId>) -> Team {
        let crew = &self.inner.crew;
        let (number, known) = crew.team(org);
        known.unwrap_or_else(|| {
            let activations = crew.activations();
            let entries = self.inner.shelf.all().into_iter();
            let team = entries.filter_map(|entry| self.worker(&entry, (org, 0), &activations)).collect();
            let team = Arc::new(team);
            crew.keep(org, number, &team);
            team
        })
    }

    /// What the plugin registered here, loading it when it never was.
    ///
    /// # Errors
    /// Why it could not be loaded.
    pub(super) async fn learn(&self, worker: &Worker) -> Result<Arc<Learned>, Failed> {
        self.make_room(worker).await;
        let learned = worker.live.learned(&self.inner.runtime).await?;
        worker.entry.has_learned(learned.clone());
        Ok(learned)
    }

    /// Asks a worker with a JSON payload, `about` something, and has an answer `within` that time or none; what `read` makes
    /// of the JSON that comes back.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask<T>(
        &self,
        worker: &Worker,
        ask: &Ask<'_>,
        payload: &str,
        about: &host::About,
        within: Duration,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Failed> {
        self.make_room(worker).await;
        let started = Instant::now();
        let outcome = worker.live.call(&self.inner.runtime, ask, payload, about, within, read).await;
        let (took, memory) = (started.elapsed(), worker.live.memory_bytes());
        worker.entry.counts.figures.called(worker.org, ask.name(), took, outcome.is_ok(), memory);
        worker.touch();
        outcome
    }

    /// Does what must follow when plugins or activations changed: whoever works by what was before is let go.
    pub(super) fn crew_changed(&self) {
        let crew = &self.inner.crew;
        crew.forget_teams();
        self.listen();
        let activations = crew.activations();
        for worker in crew.workers() {
            let key = (worker.entry.id, worker.org, worker.seat);
            if self.is_current(&worker, &activations) {
                continue;
            }
            let mut workers = crew.workers.lock().unwrap_or_else(PoisonError::into_inner);
            if workers.get(&key).is_some_and(|now| Arc::ptr_eq(now, &worker)) {
                workers.remove(&key);
            }
            drop(workers);
            if !self.works_now(&worker, &activations) {
                worker.gone.cancel();
            }
            worker.live.regrant(self.granted_now(&worker, &activations));
            self.inner.tasks.spawn(async move { worker.live.end().await });
        }
    }

    /// Reads the activations anew after one of them changed.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn read_activations(&self) -> Result<()> {
        let vault = self.inner.vault.clone();
        let activations = self.inner.db.read(move |tx| activations::store::all(tx, &vault)).await?;
        *self.inner.crew.activations.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(activations);
        self.crew_changed();
        Ok(())
    }

    /// Lets go of instances that nobody needs, and sees what other servers of the site changed.
    pub(super) async fn look_after_crew(&self) {
        let shared = self.inner.db.engine() != Engine::Sqlite;
        let (mut seen, mut looks) = (None, 0_u32);
        loop {
            if looks.is_multiple_of(SWEEP)
                && let Err(error) = self.forget_gone().await
            {
                tracing::warn!(%error, "what plugins kept for deleted organisations could not be deleted");
            }
            looks = looks.wrapping_add(1);
            tokio::time::sleep(LOOK).await;
            for worker in self.inner.crew.idle() {
                if worker.idle_since().elapsed() > IDLE_LIMIT {
                    worker.live.let_go().await;
                }
            }
            if shared && let Err(error) = self.see_changes(&mut seen).await {
                tracing::warn!(%error, "what other servers changed about plugins could not be read");
            }
        }
    }

    /// Deletes what plugins kept for organisations that are no more.
    async fn forget_gone(&self) -> Result<()> {
        for (name, org) in host::kept_for_organizations(&self.inner.doors.kv).await? {
            match self.inner.db.read(move |tx| orgs::store::by_id(tx, org)).await {
                Err(error) if error.code() == "not_found" => self.inner.doors.kv.clear(&name).await?,
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn is_current(&self, worker: &Worker, activations: &Activations) -> bool {
        let now = self.inner.shelf.get(&worker.entry.slug);
        let activation = worker.org.and_then(|org| activations.get(worker.entry.id, org)).map(Arc::as_ref);
        now.is_some_and(|now| Arc::ptr_eq(&now, &worker.entry))
            && works(&worker.entry, worker.org, activation)
            && worker.revision == activation.map(|activation| activation.revision)
    }

    /// Whether the plugin works where this worker does, however much was changed about it.
    fn works_now(&self, worker: &Worker, activations: &Activations) -> bool {
        let activation = worker.org.and_then(|org| activations.get(worker.entry.id, org)).map(Arc::as_ref);
        self.inner.shelf.get(worker.slug()).is_some_and(|entry| works(&entry, worker.org, activation))
    }

    /// Who makes a model's answers in this seat, for the worker of everything else; None when the plugin is gone.
    pub(super) fn in_seat(&self, worker: &Worker, seat: u8) -> Option<Arc<Worker>> {
        let entry = self.inner.shelf.get(worker.slug())?;
        self.worker(&entry, (worker.org, seat), &self.inner.crew.activations())
    }

    /// What a worker that goes may still do: nothing that its successor may not.
    fn granted_now(&self, worker: &Worker, activations: &Activations) -> Powers {
        let activation = worker.org.and_then(|org| activations.get(worker.entry.id, org));
        let entry = self.inner.shelf.get(&worker.entry.slug);
        let package = entry.as_ref().filter(|entry| works(entry, worker.org, activation.map(Arc::as_ref)));
        let asked = package.and_then(|entry| entry.package.as_ref().ok()).map(|package| &package.manifest.capabilities);
        let decision = activation.map(|activation| activation.decision.clone()).unwrap_or_default();
        asked.map(|asked| asked.under(&decision)).unwrap_or_default()
    }

    fn worker(
        &self,
        entry: &Arc<Entry>,
        (org, seat): (Option<OrgId>, u8),
        activations: &Activations,
    ) -> Option<Arc<Worker>> {
        let package = entry.package.as_ref().ok()?;
        let activation = org.and_then(|org| activations.get(entry.id, org)).map(Arc::as_ref);
        if !works(entry, org, activation) {
            return None;
        }
        let mut workers = self.inner.crew.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = workers.get(&(entry.id, org, seat)).filter(|known| self.is_current(known, activations)) {
            return Some(known.clone());
        }
        let none = (Decision::default(), Settings::new());
        let (decision, own) = activation.map_or(none, |own| (own.decision.clone(), own.config.clone()));
        let config = settings::merged(&entry.config, &own);
        let work = if seat == 0 { Work::Short } else { Work::Long };
        let live = self.live(package, org, (&decision, work), &config, entry.counts.clone());
        let revision = activation.map(|activation| activation.revision);
        let events = config.get(EVENTS).cloned();
        let worker = Worker {
            entry: entry.clone(),
            org,
            events,
            seat,
            revision,
            live,
            used: Mutex::new(Instant::now()),
            seats: Seats::default(),
            served: OnceLock::new(),
            gone: CancellationToken::new(),
        };
        let worker = Arc::new(worker);
        workers.insert((entry.id, org, seat), worker.clone());
        Some(worker)
    }

    /// Before another instance is made.
    async fn make_room(&self, worker: &Worker) {
        worker.touch();
        if worker.live.is_warm() {
            return;
        }
        let idle = self.inner.crew.idle();
        for other in idle.iter().take((idle.len() + 1).saturating_sub(MOST_WARM)) {
            other.live.let_go().await;
        }
    }
}

fn works(entry: &Entry, org: Option<OrgId>, activation: Option<&Activation>) -> bool {
    entry.active
        && match org {
            Some(_) => activations::works(entry.everywhere, activation),
            None => entry.everywhere && entry.site_error.is_none(),
        }
}

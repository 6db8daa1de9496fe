//! Doing updates: one after the other, each proven where the version before worked, or taken back.
//!
//! Invariant: what an update changes is written down before the first file moves, so that one that was cut off is ended by
//! the next run: with the new version where that works, else with the old one.

use std::sync::Arc;

use semver::Version;

use super::judge::{Judged, is_passing, said};
use super::store::{self, End, State, Trial};
use super::{Outcome, Ran, Update, Verdict};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::base::clock::SECOND;
use crate::base::error::{Error, Result};
use crate::db::{Engine, Tx};
use crate::market::resolve::no_plugin;
use crate::market::{self, Market};
use crate::plugins::{Package, Wish};

/// After this an update that another server began is taken for cut off.
const LONGEST_TRIAL: i64 = 15 * 60 * SECOND;
/// What says that a version itself does not work here.
const OWN_FAULTS: [&str; 3] = ["plugin_load_failed", "invalid_config", "invalid_plugin"];

/// How a run is meant.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Somebody asked for it.
    pub by_hand: bool,
    /// Say what would be done.
    pub dry_run: bool,
}

impl How {
    /// As the hour has it.
    pub const BY_ITSELF: Self = Self { by_hand: false, dry_run: false };
}

impl Market {
    /// What could become of every installed plugin for which there is something newer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check_updates(&self) -> Result<Vec<Update>> {
        let state = self.inner.db.read(store::state).await?;
        let mut updates = Vec::new();
        for slug in state.policies.keys() {
            let judged = self.judge(&state, slug, None).await;
            updates.push(judged.map_or_else(|error| unseen(&state, slug, &error), |judged| judged.update));
        }
        updates.retain(|update| update.verdict != Verdict::Current);
        Ok(updates)
    }

    /// The same of one, also when there is nothing newer.
    ///
    /// # Errors
    /// `not_found` when no such plugin is installed; when the database or a package cannot be read.
    pub async fn check_update(&self, slug: &str) -> Result<Update> {
        let state = self.inner.db.read(store::state).await?;
        self.judge(&state, slug, None).await.map(|judged| judged.update)
    }

    /// Updates a plugin to a version that is named, or the one its policy leads to. It goes on to its end, also when the
    /// caller leaves.
    ///
    /// # Errors
    /// `not_found`, `market_no_plugin`, `update_running`; when the disk or the database fails.
    pub async fn update(
        &self,
        permit: Permit<PluginInstall>,
        slug: String,
        named: Option<Version>,
        how: How,
    ) -> Result<Ran> {
        permit.require_site()?;
        let market = self.clone();
        let work = async move {
            let _alone = market.inner.updating.lock().await;
            market.end_trials(&permit).await?;
            let state = market.inner.db.read(store::state).await?;
            market.update_one(&permit, &state, (&slug, named.as_ref()), how).await
        };
        self.inner.plugins.to_the_end(work).await
    }

    /// Updates every plugin as far as its policy leads. One that cannot be seen to now stops no other.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_all(&self, permit: Permit<PluginInstall>, how: How) -> Result<Vec<Ran>> {
        permit.require_site()?;
        let market = self.clone();
        let work = async move {
            let _alone = market.inner.updating.lock().await;
            market.end_trials(&permit).await?;
            let mut ran = Vec::new();
            let slugs = market.inner.db.read(store::state).await?.policies.into_keys();
            for slug in slugs {
                // What came before may have changed what this one needs.
                let state = market.inner.db.read(store::state).await?;
                let one = market.update_one(&permit, &state, (&slug, None), how).await;
                ran.push(one.unwrap_or_else(|error| Ran { update: unseen(&state, &slug, &error), outcome: None }));
            }
            ran.retain(|ran| ran.update.verdict != Verdict::Current);
            Ok(ran)
        };
        self.inner.plugins.to_the_end(work).await
    }

    /// Ends what was cut off, and begins nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn end_cut_off(&self, permit: Permit<PluginInstall>) -> Result<()> {
        let market = self.clone();
        let work = async move {
            let _alone = market.inner.updating.lock().await;
            market.end_trials(&permit).await
        };
        self.inner.plugins.to_the_end(work).await
    }

    async fn update_one(
        &self,
        permit: &Permit<PluginInstall>,
        state: &State,
        (slug, named): (&str, Option<&Version>),
        how: How,
    ) -> Result<Ran> {
        let Judged { mut update, own, changes } = self.judge(state, slug, named).await?;
        let outcome = match update.verdict {
            Verdict::Current | Verdict::Held | Verdict::Failed => None,
            _ if how.dry_run => None,
            Verdict::Ready => {
                let trial = Trial { lead: slug.to_owned(), changes, began_at: self.inner.clock.now() };
                let (outcome, reason) = self.take(permit, trial, how.by_hand).await?;
                update.reason = reason;
                Some(outcome)
            }
            Verdict::Waiting => Some(Outcome::Waiting),
            Verdict::Refused => Some(Outcome::Refused),
        };
        if let (Some(outcome), Some(own)) = (outcome, own.filter(|_| update.verdict != Verdict::Ready)) {
            let (caller, now, reason) = (permit.caller_arc().clone(), self.inner.clock.now(), update.reason.clone());
            let note = move |tx: &mut Tx<'_>| store::note(tx, &caller, now, &own, (outcome, &reason), how.by_hand);
            self.inner.db.write(note).await?;
        }
        Ok(Ran { update, outcome })
    }

    /// Puts new versions in and looks whether they work.
    async fn take(&self, permit: &Permit<PluginInstall>, trial: Trial, by_hand: bool) -> Result<(Outcome, String)> {
        let plugins = &self.inner.plugins;
        let begun = trial.clone();
        self.inner.db.write(move |tx| store::begin(tx, &begun)).await?;
        let (mut before, mut incoming) = (Vec::new(), Vec::new());
        for change in &trial.changes {
            before.push(plugins.keep_version(&change.slug).await?);
            incoming.push((self.open(&change.sha256).await?, Wish::default()));
        }
        match plugins.install_all(permit.clone(), incoming, true).await {
            Ok(_) => self.prove(permit, trial, before, by_hand).await,
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => {
                let failed = OWN_FAULTS.contains(&error.code());
                let outcome = if failed { Outcome::Returned } else { Outcome::Refused };
                self.end(permit, End { trial, outcome, reason: error.to_string(), by_hand, failed }).await
            }
        }
    }

    /// Looks whether what was put in works where the versions before did, and puts those back where it does not.
    async fn prove(
        &self,
        permit: &Permit<PluginInstall>,
        trial: Trial,
        before: Vec<Arc<Package>>,
        by_hand: bool,
    ) -> Result<(Outcome, String)> {
        let mut worse = None;
        for package in &before {
            worse = self.inner.plugins.worse_than(&package.manifest.slug, package).await?;
            if worse.is_some() {
                break;
            }
        }
        let end = match worse {
            None => {
                let reason = "It started wherever the version before was at work.".to_owned();
                End { trial, outcome: Outcome::Updated, reason, by_hand, failed: false }
            }
            Some(reason) => {
                self.inner.plugins.take_back(permit.clone(), before).await?;
                End { trial, outcome: Outcome::Returned, reason, by_hand, failed: true }
            }
        };
        self.end(permit, end).await
    }

    async fn end(&self, permit: &Permit<PluginInstall>, end: End) -> Result<(Outcome, String)> {
        if end.outcome != Outcome::Updated {
            tracing::warn!(plugin = end.trial.lead, "an update did not come in: {}", end.reason);
        }
        let (caller, now, written) = (permit.caller_arc().clone(), self.inner.clock.now(), end.clone());
        self.inner.db.write(move |tx| store::end(tx, &caller, now, &written)).await?;
        for change in end.trial.changes {
            self.inner.plugins.forget_aside(change.slug).await?;
        }
        Ok((end.outcome, end.reason))
    }

    /// Ends every update that was cut off; one that cannot be ended now stops no other.
    async fn end_trials(&self, permit: &Permit<PluginInstall>) -> Result<()> {
        let (now, alone) = (self.inner.clock.now(), self.inner.db.engine() == Engine::Sqlite);
        let cut_off = self.inner.db.read(store::trials).await?.into_iter();
        for trial in cut_off.filter(|trial| alone || trial.began_at.plus(LONGEST_TRIAL) < now) {
            let lead = trial.lead.clone();
            tracing::warn!(plugin = lead, "an update was cut off; it is ended now");
            if let Err(error) = self.end_trial(permit, trial).await {
                tracing::error!(plugin = lead, %error, "an update that was cut off could not be ended; trying again later");
            }
        }
        Ok(())
    }

    async fn end_trial(&self, permit: &Permit<PluginInstall>, trial: Trial) -> Result<()> {
        let mut before = Vec::new();
        for change in &trial.changes {
            let here = self.inner.plugins.installed_version(&change.slug);
            if here == Some(change.to.to_string())
                && let Some(package) = self.inner.plugins.kept_version(&change.slug).await?
            {
                before.push(package);
            }
        }
        if before.is_empty() {
            // It had not come in yet, or somebody has seen to it since.
            return self.inner.db.write(move |tx| store::drop_trial(tx, &trial.lead)).await;
        }
        self.prove(permit, trial, before, false).await.map(drop)
    }

    /// Approves what a version asks for beyond the one here; what would become of the plugin now.
    ///
    /// # Errors
    /// `not_found` when no such plugin is installed; `market_no_plugin`.
    pub async fn approve_update(
        &self,
        permit: Permit<PluginInstall>,
        slug: String,
        version: Version,
    ) -> Result<Update> {
        permit.require_site()?;
        let (asked, now) = (slug.clone(), self.inner.clock.now());
        let write = move |tx: &mut Tx<'_>| {
            let packages = market::store::packages(tx, &asked)?;
            let found = packages.into_iter().find(|package| package.version == version.to_string());
            let found = found.ok_or_else(|| no_plugin(&asked, Some(&version)))?;
            store::approve(tx, &permit, now, (&asked, &version, &found.sha256))?;
            super::work::enqueue(tx, now)?;
            store::state(tx)
        };
        let state = self.inner.db.write(write).await?;
        self.judge(&state, &slug, None).await.map(|judged| judged.update)
    }
}

/// A plugin that cannot be seen to for a reason that may pass.
fn unseen(state: &State, slug: &str, error: &Error) -> Update {
    tracing::warn!(plugin = slug, ?error, "whether the plugin can be updated could not be seen");
    said(state, slug, None, Verdict::Refused, error.to_string()).update
}

/// A version as somebody writes it.
///
/// # Errors
/// `invalid_version`.
pub fn parse(text: &str, field: &str) -> Result<Version> {
    Version::parse(text).map_err(|_| {
        let sentence = format!("{text:?} is no version. Write one as in 1.4.0.");
        Error::invalid("invalid_version", sentence).field(field)
    })
}

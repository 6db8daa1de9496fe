//! Bringing plugins in, changing them, taking them out.
//!
//! Invariant: a change is tried before it is made: the new files, configuration and code are checked and loaded, and only
//! then put in place and written down; a refusal leaves everything as it was. Changes run one after the other and to their
//! end, even when the caller leaves.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::capabilities::{Capabilities, Decision};
use super::crew::Worker;
use super::live::Learned;
use super::manifest;
use super::package::Package;
use super::scanning::{self, Scanned};
use super::settings::{self, Settings};
use super::shelf::{Entry, view};
use super::store::{self, Installed, Kept};
use super::{Plugin, PluginStatus, Plugins, Work, activations, archive, host};
use crate::access::actions::{PluginInstall, PluginManage};
use crate::access::{OrgId, Permit};
use crate::base::error::{Error, Result};
use crate::base::tasks::blocking;

/// Why a version is taken that was at work before, should a scan mind it by now.
const CAME_BACK: &str = "It was at work before an update that failed.";

/// What who installs a plugin says about it.
#[derive(Debug, Default)]
pub struct Wish {
    /// None: what it had, else nothing.
    pub config: Option<Settings>,
    /// Whether it works in organisations that say nothing about it. None: as it was, or, for a new one, when it asks for
    /// nothing that has to be granted.
    pub everywhere: Option<bool>,
    /// Why it is to be taken although a scan says no.
    pub despite: Option<String>,
}

/// What it comes to.
struct Plan {
    config: Settings,
    everywhere: bool,
}

/// A change that was tried and may be made.
struct Proven {
    package: Arc<Package>,
    learned: Arc<Learned>,
}

impl Plugins {
    /// Installs, or installs anew, what lies in the folder under `slug`. Without `config` it keeps what it had.
    ///
    /// # Errors
    /// `plugin_folder_missing`, `invalid_plugin`, `plugin_not_signed`, `plugin_scan_blocked`, `plugin_dependency`,
    /// `invalid_config`, `plugin_load_failed`.
    pub async fn install(&self, permit: Permit<PluginInstall>, slug: String, wish: Wish) -> Result<Plugin> {
        permit.require_site()?;
        if !manifest::is_slug(&slug) {
            let sentence = format!("{slug:?} is no plugin's slug. A slug has 1 to 64 of a-z, 0-9 and -.");
            return Err(Error::invalid("invalid_slug", sentence).field("slug"));
        }
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let package = plugins.read_folder(&slug).await?;
            let scanned = plugins.admit(&package, wish.despite.clone()).await?;
            let plan = plugins.plan_of(&package, wish).await?;
            let proven = plugins.prove(package, &plan).await?;
            let installed = plugins.take_over(permit, vec![(proven, plan, scanned)]).await?;
            installed.into_iter().next().ok_or_else(|| Error::internal("one plugin came in and none came out"))
        })
        .await
    }

    /// Installs the plugin in a tar or zip archive; takes the place of one that is there only when `replace` says so.
    ///
    /// # Errors
    /// `plugin_exists`, `plugin_too_large`, and those of [`Plugins::install`].
    pub async fn upload(
        &self,
        permit: Permit<PluginInstall>,
        archive: Bytes,
        wish: Wish,
        replace: bool,
    ) -> Result<Plugin> {
        permit.require_site()?;
        let package = blocking(move || Package::new(archive::unpack(&archive)?)).await?;
        let installed = self.install_all(permit, vec![(package, wish)], replace).await?;
        installed.into_iter().next().ok_or_else(|| Error::internal("one plugin came in and none came out"))
    }

    /// Installs plugins together, all of them or none; each comes after those it needs. Takes the places of those that are
    /// there only when `replace` says so.
    ///
    /// # Errors
    /// `plugin_exists`, and those of [`Plugins::install`].
    pub async fn install_all(
        &self,
        permit: Permit<PluginInstall>,
        incoming: Vec<(Package, Wish)>,
        replace: bool,
    ) -> Result<Vec<Plugin>> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let trust = plugins.inner.trust.clone();
            let admitted = move |(package, wish)| Ok((Arc::new(trust.admit(package)?), wish));
            let incoming = blocking(move || incoming.into_iter().map(admitted).collect::<Result<Vec<_>>>()).await?;
            let _alone = plugins.inner.changes.lock().await;
            let packages: Vec<Arc<Package>> = incoming.iter().map(|(package, _)| package.clone()).collect();
            if !replace {
                packages.iter().try_for_each(|package| plugins.require_absent(&package.manifest.slug))?;
            }
            plugins.check_needs(&packages)?;
            let mut proven = Vec::new();
            for (package, wish) in incoming {
                let scanned = plugins.admit(&package, wish.despite.clone()).await?;
                let plan = plugins.plan_of(&package, wish).await?;
                proven.push((plugins.load(package, &plan).await?, plan, scanned));
            }
            plugins.put_in(permit, proven).await
        })
        .await
    }

    /// Puts what was proven into its place, all of it or nothing, and lets it work.
    async fn put_in(&self, permit: Permit<PluginInstall>, proven: Vec<(Proven, Plan, Scanned)>) -> Result<Vec<Plugin>> {
        let (mut asides, mut placed) = (Vec::new(), Ok(()));
        for (Proven { package, .. }, ..) in &proven {
            let target = self.inner.dir.join(&package.manifest.slug);
            match self.put_in_place(package.clone()).await {
                Ok(aside) => asides.push((aside, target)),
                Err(error) => {
                    placed = Err(error);
                    break;
                }
            }
        }
        let done = match placed {
            Ok(()) => self.take_over(permit, proven).await,
            Err(error) => Err(error),
        };
        let failed = done.is_err();
        let settle = move || asides.into_iter().try_for_each(|(aside, target)| aside.settle(&target, failed));
        let mended = blocking(settle).await;
        done.and_then(|installed| mended.map(|()| installed))
    }

    /// Puts back what was at work before, whatever a scan says by now, and even where it does not load any more: it is what
    /// people had.
    ///
    /// # Errors
    /// `plugin_not_signed`, when it would not be taken from its folder at a start either; when the disk or the database fails.
    pub async fn take_back(&self, permit: Permit<PluginInstall>, before: Vec<Arc<Package>>) -> Result<()> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let mut proven = Vec::new();
            for package in before {
                let scanned = plugins.admit(&package, Some(CAME_BACK.to_owned())).await?;
                let plan = plugins.plan_of(&package, Wish::default()).await?;
                let loaded = plugins.load(package.clone(), &plan).await.unwrap_or_else(|error| {
                    tracing::warn!(plugin = package.manifest.slug, "comes back as it was: {error}");
                    unlearned(package)
                });
                proven.push((loaded, plan, scanned));
            }
            plugins.put_in(permit, proven).await.map(drop)
        })
        .await
    }

    fn require_absent(&self, slug: &str) -> Result<()> {
        if !self.inner.dir.join(slug).exists() {
            return Ok(());
        }
        let sentence =
            format!("The plugin {slug} is there already. Upload with replace=true to put this one in its place.");
        Err(Error::conflict("plugin_exists", sentence).field("replace"))
    }

    /// Gives a plugin another configuration.
    ///
    /// # Errors
    /// `not_found`, `invalid_config`, `plugin_load_failed`.
    pub async fn configure(&self, permit: Permit<PluginManage>, slug: String, config: Settings) -> Result<Plugin> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let entry = plugins.shelved(&slug)?;
            let plan = Plan { config: entry.unmasked(config), everywhere: entry.everywhere };
            let proven = plugins.prove(usable(&entry)?, &plan).await?;
            let (learned, now, vault) =
                (proven.learned.clone(), plugins.inner.clock.now(), plugins.inner.vault.clone());
            let write = move |tx: &mut crate::db::Tx<'_>| {
                store::configure(tx, &permit, now, &vault, &slug, (&plan.config, &learned))
            };
            let kept = plugins.inner.db.write(write).await?;
            Ok(plugins.replace(kept, Ok(proven.package)))
        })
        .await
    }

    /// Lets a plugin work, from its files as they are now.
    ///
    /// # Errors
    /// `not_found`, `invalid_plugin`, `plugin_scan_blocked`, `plugin_load_failed`.
    pub async fn enable(&self, permit: Permit<PluginManage>, slug: String) -> Result<Plugin> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            plugins.shelved(&slug)?;
            let package = plugins.read_folder(&slug).await?;
            let scanned = plugins.admit(&package, None).await?;
            let plan = plugins.plan_of(&package, Wish::default()).await?;
            let proven = plugins.prove(package, &plan).await?;
            let (learned, now, vault) =
                (proven.learned.clone(), plugins.inner.clock.now(), plugins.inner.vault.clone());
            let state = (PluginStatus::Active, None);
            let write = move |tx: &mut crate::db::Tx<'_>| {
                let kept = store::set_status(tx, &permit, now, &vault, &slug, state, Some(&learned))?;
                scanning::store::keep(tx, kept.id, &scanned)?;
                activations::store::forgive(tx, now, kept.id)?;
                Ok(kept)
            };
            let kept = plugins.inner.db.write(write).await?;
            plugins.shelve(kept, Ok(proven.package)).await
        })
        .await
    }

    /// Keeps a plugin from working.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn disable(&self, permit: Permit<PluginManage>, slug: String) -> Result<Plugin> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let entry = plugins.shelved(&slug)?;
            plugins.check_unneeded(&slug)?;
            plugins.write_count(&entry).await;
            let (now, state, vault) =
                (plugins.inner.clock.now(), (PluginStatus::Disabled, None), plugins.inner.vault.clone());
            let write =
                move |tx: &mut crate::db::Tx<'_>| store::set_status(tx, &permit, now, &vault, &slug, state, None);
            let kept = plugins.inner.db.write(write).await?;
            Ok(plugins.replace(kept, entry.package.clone()))
        })
        .await
    }

    /// Takes a plugin out, with its folder, configuration and data.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn uninstall(&self, permit: Permit<PluginManage>, slug: String) -> Result<()> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            plugins.shelved(&slug)?;
            plugins.check_unneeded(&slug)?;
            // Out of the way first: what is forgotten must not be found again at the next start.
            let aside = plugins.put_aside(&slug).await?;
            let (now, name, vault) = (plugins.inner.clock.now(), slug.clone(), plugins.inner.vault.clone());
            let forgotten = plugins.inner.db.write(move |tx| store::uninstall(tx, &permit, now, &vault, &name)).await;
            let (failed, target) = (forgotten.is_err(), plugins.inner.dir.join(&slug));
            blocking(move || aside.settle(&target, failed)).await?;
            forgotten?;
            plugins.inner.shelf.remove(&slug);
            plugins.forget_aside(slug.clone()).await?;
            plugins.sweep_programs().await;
            plugins.read_activations().await?;
            // A damaged folder's name need not be a slug, and then no plugin of that name ever ran.
            if manifest::is_slug(&slug) {
                host::forget(&plugins.inner.doors.kv, &slug).await?;
            }
            Ok(())
        })
        .await
    }

    /// Turns a plugin off where it failed too often, unless it was changed meanwhile: in the one organisation, or for what
    /// belongs to none.
    pub(super) async fn give_up(&self, worker: &Worker, sentence: String) {
        let (plugins, entry, org) = (self.clone(), worker.entry.clone(), worker.org);
        let work = async move {
            let _alone = plugins.inner.changes.lock().await;
            if !plugins.inner.shelf.get(&entry.slug).is_some_and(|now| Arc::ptr_eq(&now, &entry)) {
                return Ok(());
            }
            tracing::error!(plugin = entry.slug, organization = org.map(|org| org.0), "{sentence}");
            plugins.write_count(&entry).await;
            let (slug, id, now) = (entry.slug.clone(), entry.id, plugins.inner.clock.now());
            if let Some(org) = org {
                let write =
                    move |tx: &mut crate::db::Tx<'_>| activations::store::give_up(tx, now, (id, &slug), org, &sentence);
                plugins.inner.db.write(write).await?;
                return plugins.read_activations().await;
            }
            let permit = Arc::new(crate::access::Caller::system()).permit()?;
            let vault = plugins.inner.vault.clone();
            let write =
                move |tx: &mut crate::db::Tx<'_>| store::set_site_error(tx, &permit, now, &vault, &slug, &sentence);
            let kept = plugins.inner.db.write(write).await?;
            plugins.replace(kept, entry.package.clone());
            Ok(())
        };
        if let Err(error) = self.to_the_end(work).await {
            tracing::error!(%error, "a plugin that fails again and again could not be turned off");
        }
    }

    /// Says whether a plugin works in organisations that said nothing about it.
    ///
    /// # Errors
    /// `not_found`; `plugin_asks` when organisations have to grant it something first.
    pub async fn set_everywhere(&self, permit: Permit<PluginManage>, slug: String, everywhere: bool) -> Result<Plugin> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let entry = plugins.shelved(&slug)?;
            if everywhere {
                may_be_everywhere(&*usable(&entry)?)?;
            }
            let (now, vault) = (plugins.inner.clock.now(), plugins.inner.vault.clone());
            let write =
                move |tx: &mut crate::db::Tx<'_>| store::set_everywhere(tx, &permit, now, &vault, &slug, everywhere);
            let kept = plugins.inner.db.write(write).await?;
            Ok(plugins.replace(kept, entry.package.clone()))
        })
        .await
    }

    pub(super) fn shelved(&self, slug: &str) -> Result<Arc<Entry>> {
        self.inner.shelf.get(slug).ok_or_else(|| Error::not_found("plugin"))
    }

    /// Deletes what lies under `slug`, if anything does.
    pub(super) async fn clear_folder(&self, slug: &str) -> Result<()> {
        let (aside, target) = (self.put_aside(slug).await?, self.inner.dir.join(slug));
        blocking(move || aside.settle(&target, false)).await
    }

    pub(super) async fn read_folder(&self, slug: &str) -> Result<Arc<Package>> {
        let folder = self.inner.dir.join(slug);
        let trust = self.inner.trust.clone();
        blocking(move || Package::read(&folder).and_then(|package| trust.admit(package))).await.map(Arc::new)
    }

    async fn plan_of(&self, package: &Package, wish: Wish) -> Result<Plan> {
        let (slug, vault) = (package.manifest.slug.clone(), self.inner.vault.clone());
        let kept = match self.inner.db.read(move |tx| store::by_slug(tx, &vault, &slug)).await {
            Ok(kept) => Some(kept),
            Err(error) if error.code() == "not_found" => None,
            Err(error) => return Err(error),
        };
        if wish.everywhere == Some(true) {
            may_be_everywhere(package)?;
        }
        let entry = self.inner.shelf.get(&package.manifest.slug);
        let said = wish.config.map(|config| entry.map_or(config.clone(), |entry| entry.unmasked(config)));
        let known = kept.as_ref().map(|kept| kept.everywhere);
        let everywhere = wish.everywhere.or(known).unwrap_or(!package.manifest.capabilities.ask_for_a_grant());
        Ok(Plan { config: said.or(kept.map(|kept| kept.config)).unwrap_or_default(), everywhere })
    }

    /// Loads a plugin that is not installed, without what somebody would set it up with, and lets go of it.
    ///
    /// # Errors
    /// `plugin_load_failed`, `invalid_config`.
    pub async fn try_out(&self, package: Arc<Package>) -> Result<()> {
        let plan = Plan { config: Settings::default(), everywhere: false };
        self.load(package, &plan).await.map(drop)
    }

    /// Whether what it needs is there, and it loads.
    async fn prove(&self, package: Arc<Package>, plan: &Plan) -> Result<Proven> {
        self.check_needs(std::slice::from_ref(&package))?;
        self.load(package, plan).await
    }

    /// Checks the configuration and loads the plugin with it, beside whatever runs. What organisations are to complete may
    /// be incomplete, and what cannot be loaded without the rest is taken as its manifest has it.
    async fn load(&self, package: Arc<Package>, plan: &Plan) -> Result<Proven> {
        let schema = package.manifest.config_schema.as_ref();
        let fits = settings::check(&plan.config, schema);
        let partly = !plan.everywhere && fits.is_err();
        if partly { settings::check_part(&plan.config, schema) } else { fits }?;
        match self.prove_in(&package, None, &plan.config).await {
            Err(error) if partly && error.code() == "plugin_load_failed" => {
                tracing::info!(plugin = package.manifest.slug, "without an organisation's settings: {error}");
                Ok(unlearned(package))
            }
            learned => Ok(Proven { learned: learned?, package }),
        }
    }

    /// Loads the plugin for one organisation, or none, beside whatever runs.
    pub(super) async fn prove_in(
        &self,
        package: &Arc<Package>,
        place: Option<(OrgId, Decision)>,
        config: &Settings,
    ) -> Result<Arc<Learned>> {
        let (org, decision) = place.map_or((None, Decision::default()), |(org, decision)| (Some(org), decision));
        let live = self.live(package, org, (&decision, Work::Short), config, Arc::default());
        let learned = live.prove(&self.inner.runtime).await;
        live.end().await;
        let learned = learned?;
        settings::check(config, learned.config_schema.as_ref())?;
        Ok(learned)
    }

    /// Writes down what was proven, in one transaction, and lets it work.
    async fn take_over(
        &self,
        permit: Permit<PluginInstall>,
        proven: Vec<(Proven, Plan, Scanned)>,
    ) -> Result<Vec<Plugin>> {
        let (mut rows, mut packages) = (Vec::new(), Vec::new());
        for (Proven { package, learned }, plan, scanned) in proven {
            let manifest = &package.manifest;
            let installed = Installed {
                slug: manifest.slug.clone(),
                version: manifest.version.to_string(),
                config: plan.config,
                everywhere: plan.everywhere,
                learned: Some(Learned::clone(&learned)),
                despite: scanned.reason.clone(),
            };
            rows.push((installed, manifest.capabilities.clone(), scanned));
            packages.push(package);
        }
        let (now, vault) = (self.inner.clock.now(), self.inner.vault.clone());
        let write = move |tx: &mut crate::db::Tx<'_>| {
            let install = |(installed, asked, scanned): &(Installed, Capabilities, Scanned)| {
                let kept = store::install(tx, &permit, now, &vault, installed)?;
                scanning::store::keep(tx, kept.id, scanned)?;
                activations::store::forgive(tx, now, kept.id)?;
                activations::store::tell_what_is_asked(tx, now, (kept.id, &kept.slug), asked)?;
                Ok(kept)
            };
            rows.iter().map(install).collect::<Result<Vec<Kept>>>()
        };
        let kept = self.inner.db.write(write).await?;
        let plugins = kept.into_iter().zip(packages).map(|(kept, package)| self.replace(kept, Ok(package))).collect();
        self.read_activations().await?;
        Ok(plugins)
    }

    /// Puts a new entry on the shelf after organisations' rows changed with it.
    async fn shelve(&self, kept: Kept, package: Result<Arc<Package>, String>) -> Result<Plugin> {
        let plugin = self.replace(kept, package);
        self.read_activations().await?;
        Ok(plugin)
    }

    /// Puts a new entry on the shelf and lets go of who works by the old one.
    pub(super) fn replace(&self, kept: Kept, package: Result<Arc<Package>, String>) -> Plugin {
        let counts = self.inner.shelf.get(&kept.slug).map_or_else(Arc::default, |entry| entry.counts.clone());
        let entry = Arc::new(Entry::new(&kept, package, counts));
        self.inner.shelf.put(entry.clone());
        self.crew_changed();
        view(kept, Some(&entry), true)
    }

    /// Runs a change to its end, also when the caller leaves in the middle.
    ///
    /// # Errors
    /// Those of the change.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        self.inner.tasks.spawn(async move { drop(done.send(work.await)) });
        outcome.await.unwrap_or_else(|_| Err(Error::internal("a change of the plugins ended without an outcome")))
    }
}

/// As its manifest has it.
fn unlearned(package: Arc<Package>) -> Proven {
    let learned = Learned { config_schema: package.manifest.config_schema.clone(), ..Learned::default() };
    Proven { package, learned: Arc::new(learned) }
}

fn may_be_everywhere(package: &Package) -> Result<()> {
    if !package.manifest.capabilities.ask_for_a_grant() {
        return Ok(());
    }
    let sentence = format!(
        "{} asks for capabilities, which each organisation grants by itself, so it cannot work everywhere at once. Leave everywhere out.",
        package.manifest.slug
    );
    Err(Error::conflict("plugin_asks", sentence).field("everywhere"))
}

pub(super) fn usable(entry: &Entry) -> Result<Arc<Package>> {
    entry.package.clone().map_err(manifest::wrong)
}

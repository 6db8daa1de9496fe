//! Bringing plugins in, changing them, taking them out.
//!
//! Invariant: a change is tried before it is made: the new files, configuration and code are checked and loaded, and only
//! then put in place and written down; a refusal leaves everything as it was. Changes run one after the other and to their
//! end, even when the caller leaves.

use std::fs;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::capabilities::Decision;
use super::crew::Worker;
use super::live::Learned;
use super::manifest;
use super::package::Package;
use super::settings::{self, Settings};
use super::shelf::{Entry, view};
use super::store::{self, Installed, Kept};
use super::{Plugin, PluginStatus, Plugins, Work, activations, archive, host};
use crate::access::actions::{PluginInstall, PluginManage};
use crate::access::{OrgId, Permit};
use crate::base::crypto;
use crate::base::error::{Error, Result};

/// Marks folders on their way in or out; what a crash left of them is cleared at start.
const LEFTOVER: &str = ".change-";

/// Whether the name is one of ours for a folder on its way in or out.
pub fn is_leftover(name: &str) -> bool {
    name.starts_with(LEFTOVER)
}

/// Deletes a folder, or a link in a folder's place, that nobody uses any more. Blocks.
pub fn clear(folder: &Path) {
    let link = fs::symlink_metadata(folder).is_ok_and(|found| !found.is_dir());
    if let Err(cause) = if link { fs::remove_file(folder) } else { fs::remove_dir_all(folder) } {
        tracing::warn!("{} could not be deleted: {cause}. Delete it by hand.", folder.display());
    }
}

/// What who installs a plugin says about it.
#[derive(Debug, Default)]
pub struct Wish {
    /// None: what it had, else nothing.
    pub config: Option<Settings>,
    /// Whether it works in organisations that say nothing about it. None: as it was, or, for a new one, when it asks for
    /// nothing that has to be granted.
    pub everywhere: Option<bool>,
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
    /// `plugin_folder_missing`, `invalid_plugin`, `plugin_not_signed`, `plugin_dependency`, `invalid_config`,
    /// `plugin_load_failed`.
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
            let plan = plugins.plan_of(&package, wish).await?;
            let proven = plugins.prove(package, &plan).await?;
            plugins.take_over(permit, proven, plan).await
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
        let (plugins, trust) = (self.clone(), self.inner.trust.clone());
        self.to_the_end(async move {
            let package = blocking(move || trust.admit(Package::new(archive::unpack(&archive)?)?)).await?;
            let _alone = plugins.inner.changes.lock().await;
            let slug = package.manifest.slug.clone();
            let target = plugins.inner.dir.join(&slug);
            if !replace && target.exists() {
                let sentence = format!(
                    "The plugin {slug} is there already. Upload with replace=true to put this one in its place."
                );
                return Err(Error::conflict("plugin_exists", sentence).field("replace"));
            }
            let plan = plugins.plan_of(&package, wish).await?;
            let proven = plugins.prove(Arc::new(package), &plan).await?;
            let aside = plugins.put_in_place(proven.package.clone()).await?;
            let done = plugins.take_over(permit, proven, plan).await;
            let failed = done.is_err();
            let mended = blocking(move || aside.settle(&target, failed)).await;
            done.and_then(|plugin| mended.map(|()| plugin))
        })
        .await
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
    /// `not_found`, `invalid_plugin`, `plugin_load_failed`.
    pub async fn enable(&self, permit: Permit<PluginManage>, slug: String) -> Result<Plugin> {
        permit.require_site()?;
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            plugins.shelved(&slug)?;
            let package = plugins.read_folder(&slug).await?;
            let plan = plugins.plan_of(&package, Wish::default()).await?;
            let proven = plugins.prove(package, &plan).await?;
            let (learned, now, vault) =
                (proven.learned.clone(), plugins.inner.clock.now(), plugins.inner.vault.clone());
            let state = (PluginStatus::Active, None);
            let write = move |tx: &mut crate::db::Tx<'_>| {
                let kept = store::set_status(tx, &permit, now, &vault, &slug, state, Some(&learned))?;
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

    /// Checks the configuration and loads the plugin with it, beside whatever runs. What organisations are to complete may
    /// be incomplete, and what cannot be loaded without the rest is taken as its manifest has it.
    async fn prove(&self, package: Arc<Package>, plan: &Plan) -> Result<Proven> {
        self.check_needs(&package)?;
        let schema = package.manifest.config_schema.as_ref();
        let fits = settings::check(&plan.config, schema);
        let partly = !plan.everywhere && fits.is_err();
        if partly { settings::check_part(&plan.config, schema) } else { fits }?;
        match self.prove_in(&package, None, &plan.config).await {
            Err(error) if partly && error.code() == "plugin_load_failed" => {
                tracing::info!(plugin = package.manifest.slug, "without an organisation's settings: {error}");
                let learned = Learned { config_schema: schema.cloned(), ..Learned::default() };
                Ok(Proven { package, learned: Arc::new(learned) })
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

    async fn take_over(&self, permit: Permit<PluginInstall>, proven: Proven, plan: Plan) -> Result<Plugin> {
        let manifest = &proven.package.manifest;
        let installed = Installed {
            slug: manifest.slug.clone(),
            version: manifest.version.to_string(),
            config: plan.config,
            everywhere: plan.everywhere,
            learned: Some(Learned::clone(&proven.learned)),
        };
        let (now, vault, asked) = (self.inner.clock.now(), self.inner.vault.clone(), manifest.capabilities.clone());
        let write = move |tx: &mut crate::db::Tx<'_>| {
            let kept = store::install(tx, &permit, now, &vault, &installed)?;
            activations::store::forgive(tx, now, kept.id)?;
            activations::store::tell_what_is_asked(tx, now, (kept.id, &kept.slug), &asked)?;
            Ok(kept)
        };
        let kept = self.inner.db.write(write).await?;
        self.shelve(kept, Ok(proven.package)).await
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

    /// Writes a package next to the others and puts it into its place; what was there is kept aside.
    async fn put_in_place(&self, package: Arc<Package>) -> Result<Aside> {
        let dir = self.inner.dir.clone();
        let (new, old) = (dir.join(aside_name()?), dir.join(aside_name()?));
        let target = dir.join(&package.manifest.slug);
        blocking(move || {
            let placed = package.write(&new).and_then(|()| Ok(place(&new, &target, &old)?));
            if placed.is_err() && new.exists() {
                clear(&new);
            }
            fs::File::open(&dir)?.sync_all()?;
            placed
        })
        .await
    }

    /// Takes what lies under `slug` out of the way, if anything does.
    async fn put_aside(&self, slug: &str) -> Result<Aside> {
        let (folder, aside) = (self.inner.dir.join(slug), self.inner.dir.join(aside_name()?));
        blocking(move || match fs::rename(folder, &aside) {
            Ok(()) => Ok(Aside { old: Some(aside) }),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(Aside { old: None }),
            Err(cause) => Err(cause.into()),
        })
        .await
    }

    /// Runs a change to its end, also when the caller leaves in the middle.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        self.inner.tasks.spawn(async move { drop(done.send(work.await)) });
        outcome.await.unwrap_or_else(|_| Err(Error::internal("a change of the plugins ended without an outcome")))
    }
}

/// Renames `new` to `target`. What was there changes places with it in one step, so that a crash leaves one or the other;
/// where the file system cannot do that, it is renamed to `old` first.
fn place(new: &Path, target: &Path, old: &Path) -> std::io::Result<Aside> {
    match rustix::fs::renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Aside { old: Some(new.to_owned()) }),
        Err(Errno::NOENT) => fs::rename(new, target).map(|()| Aside { old: None }),
        Err(_) => {
            fs::rename(target, old)?;
            fs::rename(new, target).or_else(|cause| fs::rename(old, target).and(Err(cause)))?;
            Ok(Aside { old: Some(old.to_owned()) })
        }
    }
}

/// The folder that was in the place of a new one.
struct Aside {
    old: Option<std::path::PathBuf>,
}

impl Aside {
    /// Deletes it, or puts it back when the change failed. Blocks.
    fn settle(self, target: &Path, failed: bool) -> Result<()> {
        if failed && target.exists() {
            clear(target);
        }
        match self.old {
            Some(old) if failed => Ok(fs::rename(old, target)?),
            Some(old) => {
                clear(&old);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn aside_name() -> Result<String> {
    Ok(format!("{LEFTOVER}{}", crypto::hex(&crypto::random_bytes::<8>()?)))
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

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.unwrap_or_else(|cause| Err(Error::internal(cause)))
}

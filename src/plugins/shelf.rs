//! All plugins of this process, and the way from the folder on the disk to them.
//!
//! Invariant: an entry is replaced, never edited, so who holds one sees one version of the plugin; counts go with the slug
//! and are written down in batches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;

use super::capabilities::{Capabilities, Decision};
use super::counts::Counts;
use super::depends;
use super::host::PluginHost;
use super::lifecycle::node;
use super::live::{Learned, Live};
use super::manifest;
use super::package::Package;
use super::settings::{self, Settings};
use super::sign::Trust;
use super::store::{self, Installed, Kept};
use super::{MAX_PLUGINS, Plugin, PluginStatus, Plugins, Work, dispatch, place};
use crate::access::{Caller, OrgId};
use crate::base::error::{Error, Result};
use crate::config::secrets::private_folder;

/// How long counts may stay unwritten.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// One plugin as this process knows it.
pub struct Entry {
    pub id: i64,
    pub slug: String,
    /// Its files, or what is wrong with them.
    pub package: Result<Arc<Package>, String>,
    /// Whether the site lets it work.
    pub active: bool,
    /// Whether it works in organisations that said nothing about it.
    pub everywhere: bool,
    /// Why it is not asked about what belongs to no organisation.
    pub site_error: Option<String>,
    /// Of the row it was made by.
    pub revision: i64,
    /// The site's.
    pub config: Settings,
    pub counts: Arc<Counts>,
    /// What it said about itself when it was loaded last, wherever.
    learned: Mutex<Option<Arc<Learned>>>,
    /// Why it could not be loaded at start.
    trouble: Mutex<Option<String>>,
}

impl Entry {
    pub fn new(kept: &Kept, package: Result<Arc<Package>, String>, counts: Arc<Counts>) -> Self {
        Self {
            id: kept.id,
            slug: kept.slug.clone(),
            package,
            active: kept.status == PluginStatus::Active,
            everywhere: kept.everywhere,
            site_error: kept.site_error.clone(),
            revision: kept.revision,
            config: kept.config.clone(),
            counts,
            learned: Mutex::new(kept.learned.clone().map(Arc::new)),
            trouble: Mutex::default(),
        }
    }

    pub fn learned(&self) -> Option<Arc<Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn has_learned(&self, learned: Arc<Learned>) {
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = Some(learned);
    }

    /// JSON Schema of its configuration.
    pub fn schema(&self) -> Option<Value> {
        let manifest = || self.package.as_ref().ok().and_then(|package| package.manifest.config_schema.clone());
        self.learned().and_then(|learned| learned.config_schema.clone()).or_else(manifest)
    }

    /// A configuration for the site in which secrets that came back masked are what they were.
    pub fn unmasked(&self, config: Settings) -> Settings {
        settings::unmasked(config, &self.config, self.schema().as_ref())
    }

    pub fn has_trouble(&self, sentence: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    fn trouble(&self) -> Option<String> {
        self.package
            .as_ref()
            .err()
            .cloned()
            .or_else(|| self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Entries by slug.
#[derive(Default)]
pub struct Shelf(RwLock<BTreeMap<String, Arc<Entry>>>);

impl Shelf {
    pub fn get(&self, slug: &str) -> Option<Arc<Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(slug).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The id and the revision of every entry, by slug.
    pub fn revisions(&self) -> BTreeMap<String, (i64, i64)> {
        self.all().iter().map(|entry| (entry.slug.clone(), (entry.id, entry.revision))).collect()
    }

    /// The entry that was in its place.
    pub fn put(&self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(entry.slug.clone(), entry)
    }

    pub fn remove(&self, slug: &str) -> Option<Arc<Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(slug)
    }
}

/// What `kept` and this process know, as it is shown. `config` only to who may see it.
pub fn view(kept: Kept, entry: Option<&Entry>, with_config: bool) -> Plugin {
    let manifest = entry.and_then(|entry| entry.package.as_ref().ok()).map(|package| &package.manifest);
    let pending = entry.map(|entry| entry.counts.pending()).unwrap_or_default();
    let missing = || Some("This process does not know its folder. Restart the server.".to_owned());
    let trouble = entry.map_or_else(missing, Entry::trouble);
    let (status, error) = match (kept.status, trouble) {
        (PluginStatus::Active, Some(trouble)) => (PluginStatus::Failed, Some(trouble)),
        (PluginStatus::Failed, _) => (PluginStatus::Failed, kept.error),
        (status, _) => (status, kept.site_error.or(pending.error).or(kept.error)),
    };
    let text =
        |of: fn(&manifest::Manifest) -> &String| manifest.map(|manifest| of(manifest).clone()).unwrap_or_default();
    let learned = entry.and_then(Entry::learned);
    let config_schema = entry.and_then(Entry::schema);
    let shown = || settings::masked(&kept.config, config_schema.as_ref());
    let config = if with_config { shown() } else { Settings::new() };
    let hooks = learned.map(|learned| learned.hooks.clone()).unwrap_or_default();
    Plugin {
        id: kept.id,
        name: manifest.map_or_else(|| kept.slug.clone(), |manifest| manifest.name.clone()),
        version: manifest.map(|manifest| manifest.version.to_string()).unwrap_or_default(),
        description: text(|manifest| &manifest.description),
        category: text(|manifest| &manifest.category),
        author: text(|manifest| &manifest.author),
        status,
        error,
        config,
        config_schema,
        everywhere: kept.everywhere,
        capabilities: manifest.map(|manifest| manifest.capabilities.view(&Capabilities::default())).unwrap_or_default(),
        dependencies: manifest.map(needs).unwrap_or_default(),
        warnings: dispatch::warnings(&hooks),
        hooks,
        calls: kept.calls.saturating_add(pending.calls),
        failures: kept.failures.saturating_add(pending.failures),
        cost: entry.map(|entry| entry.counts.cost()).unwrap_or_default(),
        installed_at: kept.installed_at,
        signed_by: entry
            .and_then(|entry| entry.package.as_ref().ok())
            .map(|package| package.signed_by.clone())
            .unwrap_or_default(),
        slug: kept.slug,
    }
}

fn needs(manifest: &manifest::Manifest) -> Vec<String> {
    manifest.needs().unwrap_or_default().iter().map(ToString::to_string).collect()
}

type Found = BTreeMap<String, Result<Arc<Package>, String>>;

impl Plugins {
    /// Puts everything that is kept or lies in the folder on the shelf.
    pub(super) async fn take_in(&self) -> Result<()> {
        let dir = self.inner.dir.clone();
        let trust = self.inner.trust.clone();
        let found = tokio::task::spawn_blocking(move || look(&dir, &trust)).await.map_err(Error::internal)??;
        let vault = self.inner.vault.clone();
        let new = self.new_among(&found).await?;
        let permit = Arc::new(Caller::system()).permit()?;
        let now = self.inner.clock.now();
        let kept = self.inner.db.write(move |tx| {
            store::seal_all(tx, &vault)?;
            let known = store::list(tx, &vault)?;
            for installed in new.iter().filter(|new| known.iter().all(|kept| kept.slug != new.slug)) {
                match tx.savepoint(|tx| store::install(tx, &permit, now, &vault, installed)) {
                    Err(error) if error.code() == "too_many_plugins" => {
                        tracing::error!(slug = installed.slug, "{error}");
                    }
                    other => drop(other?),
                }
            }
            store::list(tx, &vault)
        });
        let kept = kept.await?;
        let whole = kept.iter().filter(|kept| kept.status == PluginStatus::Active);
        let whole =
            whole.filter_map(|kept| Some((kept.slug.clone(), node(&found.get(&kept.slug)?.as_ref().ok()?.manifest))));
        let refused = depends::refused(&whole.collect());
        for kept in kept {
            let missing = || {
                Err(format!(
                    "{} is gone. Copy it back, or uninstall the plugin.",
                    self.inner.dir.join(&kept.slug).display()
                ))
            };
            let package = found.get(&kept.slug).cloned().unwrap_or_else(missing);
            let package = refused.get(&kept.slug).map_or(package, |sentence| Err(sentence.clone()));
            if let Err(sentence) = &package {
                tracing::error!(plugin = kept.slug, "{sentence}");
            }
            self.inner.shelf.put(Arc::new(Entry::new(&kept, package, Arc::default())));
        }
        self.read_activations().await?;
        let (loading, writing, looking, keeping) = (self.clone(), self.clone(), self.clone(), self.clone());
        self.inner.tasks.spawn_until_stop(async move { looking.look_after_crew().await });
        self.inner.tasks.spawn_until_stop(async move { loading.load_all().await });
        self.inner.tasks.spawn(async move { writing.write_counts().await });
        self.inner.tasks.spawn(async move { keeping.keep_figures().await });
        Ok(())
    }

    /// What lies in the folder and is not installed, but for what a scan keeps out. Its scan is kept by the one to come,
    /// which knows the mirror's advisories.
    async fn new_among(&self, found: &Found) -> Result<Vec<Installed>> {
        let vault = self.inner.vault.clone();
        let known = self.inner.db.read(move |tx| store::list(tx, &vault)).await?;
        let mut new = Vec::new();
        for (slug, package) in found.iter().filter(|(slug, _)| known.iter().all(|kept| kept.slug != **slug)) {
            if let Ok(package) = package
                && let Err(error) = self.admit(package, None).await
            {
                tracing::error!(plugin = slug, "{error}");
                continue;
            }
            new.push(introduced(slug, package));
        }
        Ok(new)
    }

    pub(super) fn live(
        &self,
        package: &Arc<Package>,
        org: Option<OrgId>,
        (decision, work): (&Decision, Work),
        settings: &Settings,
        counts: Arc<Counts>,
    ) -> Live {
        let powers = package.manifest.capabilities.under(decision);
        let limits = self.inner.limits_of(&powers.capabilities, work);
        let host = PluginHost::new(package.clone(), org, self.inner.doors.clone(), powers);
        Live::new(host, package.clone(), settings, limits, counts)
    }

    /// Loads what is active once, so that what it registers is known and faults show early.
    async fn load_all(&self) {
        for entry in depends::order(&self.active()).iter().filter_map(|slug| self.inner.shelf.get(slug)) {
            let Ok(package) = entry.package.as_ref() else { continue };
            let live = self.live(package, None, (&Decision::default(), Work::Short), &entry.config, Arc::default());
            let proven = live.prove(&self.inner.runtime).await;
            live.end().await;
            match proven {
                Ok(learned) => {
                    entry.has_learned(learned.clone());
                    self.listen();
                    let id = entry.id;
                    let kept = self.inner.db.write(move |tx| store::learn(tx, id, &learned)).await;
                    entry.has_trouble(kept.err().map(|error| error.to_string()));
                }
                // What organisations complete may not load without them.
                Err(error) if !entry.everywhere && error.code() == "plugin_load_failed" => {
                    tracing::info!(plugin = entry.slug, "without an organisation's settings: {error}");
                }
                Err(error) => {
                    tracing::error!(plugin = entry.slug, "{error}");
                    entry.has_trouble(Some(error.to_string()));
                }
            }
        }
        self.sweep_programs().await;
    }

    /// Forgets compiled programs that no plugin needs any more.
    pub(super) async fn sweep_programs(&self) {
        let packages =
            self.inner.shelf.all().into_iter().filter_map(|entry| entry.package.clone().ok()).collect::<Vec<_>>();
        let plugins = self.clone();
        let swept = tokio::task::spawn_blocking(move || plugins.inner.runtime.keep_only(&packages)).await;
        if let Err(error) = swept.map_err(Error::internal).flatten() {
            tracing::warn!("compiled plugins that nobody needs could not be deleted: {error}");
        }
    }

    async fn write_counts(&self) {
        loop {
            let stopping = tokio::time::timeout(WRITE_EVERY, self.inner.tasks.stopping()).await.is_ok();
            for entry in self.inner.shelf.all() {
                self.write_count(&entry).await;
            }
            self.write_lines().await;
            if stopping {
                return;
            }
        }
    }

    pub(super) async fn write_count(&self, entry: &Entry) {
        let taken = entry.counts.take();
        if taken.calls == 0 && taken.failures == 0 {
            return;
        }
        let (id, counted) = (entry.id, taken.clone());
        if let Err(error) = self.inner.db.write(move |tx| store::count(tx, id, &counted)).await {
            tracing::warn!(plugin = entry.slug, %error, "calls could not be counted; they are kept for the next time");
            entry.counts.put_back(taken);
        }
    }
}

fn introduced(slug: &str, package: &Result<Arc<Package>, String>) -> Installed {
    let version =
        package.as_ref().map_or_else(|_| "(damaged)".to_owned(), |package| package.manifest.version.to_string());
    let everywhere = package.as_ref().map_or(true, |package| !package.manifest.capabilities.ask_for_a_grant());
    Installed { slug: slug.to_owned(), version, config: Settings::new(), everywhere, learned: None, despite: None }
}

/// Every folder, by name, with the plugin in it or what is wrong. Blocks.
fn look(dir: &Path, trust: &Trust) -> Result<Found> {
    private_folder(dir)?;
    let mut found = Found::new();
    for entry in fs::read_dir(dir)?.take(10 * MAX_PLUGINS) {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            tracing::error!("{} has a name that is not UTF-8 and is left out. Rename it.", entry.path().display());
            continue;
        };
        if place::is_leftover(name) {
            place::clear(&entry.path());
        } else if !name.starts_with('.') && !entry.file_type()?.is_file() && found.len() < MAX_PLUGINS {
            found.insert(
                name.to_owned(),
                Package::read(&entry.path())
                    .and_then(|package| trust.admit(package))
                    .map(Arc::new)
                    .map_err(|error| error.to_string()),
            );
        }
    }
    Ok(found)
}

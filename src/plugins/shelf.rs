//! All plugins of this process, and the way from the folder on the disk to them.
//!
//! Invariant: an entry is replaced, never edited, so who holds one sees one version of the plugin; counts go with the slug
//! and are written down in batches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::counts::Counts;
use super::live::Live;
use super::manifest;
use super::package::Package;
use super::settings::Settings;
use super::store::{self, Installed, Kept};
use super::{MAX_PLUGINS, Plugin, PluginStatus, Plugins, install};
use crate::access::Caller;
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
    /// None while it is not active.
    pub live: Option<Live>,
    pub counts: Arc<Counts>,
    /// Why it could not be loaded at start.
    trouble: Mutex<Option<String>>,
}

impl Entry {
    pub fn new(kept: &Kept, package: Result<Arc<Package>, String>, live: Option<Live>, counts: Arc<Counts>) -> Self {
        Self { id: kept.id, slug: kept.slug.clone(), package, live, counts, trouble: Mutex::default() }
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
        (status, _) => (status, pending.error.or(kept.error)),
    };
    let text =
        |of: fn(&manifest::Manifest) -> &String| manifest.map(|manifest| of(manifest).clone()).unwrap_or_default();
    let learned_schema = kept.learned.as_ref().and_then(|learned| learned.config_schema.clone());
    Plugin {
        id: kept.id,
        name: manifest.map_or_else(|| kept.slug.clone(), |manifest| manifest.name.clone()),
        version: manifest.map(|manifest| manifest.version.to_string()).unwrap_or_default(),
        description: text(|manifest| &manifest.description),
        category: text(|manifest| &manifest.category),
        author: text(|manifest| &manifest.author),
        status,
        error,
        config: if with_config { kept.config } else { Settings::new() },
        config_schema: learned_schema.or_else(|| manifest.and_then(|manifest| manifest.config_schema.clone())),
        hooks: kept.learned.map(|learned| learned.hooks).unwrap_or_default(),
        calls: kept.calls.saturating_add(pending.calls),
        failures: kept.failures.saturating_add(pending.failures),
        installed_at: kept.installed_at,
        slug: kept.slug,
    }
}

type Found = BTreeMap<String, Result<Arc<Package>, String>>;

impl Plugins {
    /// Puts everything that is kept or lies in the folder on the shelf.
    pub(super) async fn take_in(&self) -> Result<()> {
        let dir = self.inner.dir.clone();
        let found = tokio::task::spawn_blocking(move || look(&dir)).await.map_err(Error::internal)??;
        let new: Vec<Installed> = found.iter().map(|(slug, package)| introduced(slug, package)).collect();
        let permit = Arc::new(Caller::system()).permit()?;
        let now = self.inner.clock.now();
        let kept = self.inner.db.write(move |tx| {
            let known = store::list(tx)?;
            for installed in new.iter().filter(|new| known.iter().all(|kept| kept.slug != new.slug)) {
                match tx.savepoint(|tx| store::install(tx, &permit, now, installed)) {
                    Err(error) if error.code() == "too_many_plugins" => {
                        tracing::error!(slug = installed.slug, "{error}");
                    }
                    other => drop(other?),
                }
            }
            store::list(tx)
        });
        for kept in kept.await? {
            let missing = || {
                Err(format!(
                    "{} is gone. Copy it back, or uninstall the plugin.",
                    self.inner.dir.join(&kept.slug).display()
                ))
            };
            let package = found.get(&kept.slug).cloned().unwrap_or_else(missing);
            if let Err(sentence) = &package {
                tracing::error!(plugin = kept.slug, "{sentence}");
            }
            let entry = self.entry(&kept, package, Arc::default());
            self.inner.shelf.put(Arc::new(entry));
        }
        let (loading, writing) = (self.clone(), self.clone());
        self.inner.tasks.spawn_until_stop(async move { loading.load_all().await });
        self.inner.tasks.spawn(async move { writing.write_counts().await });
        Ok(())
    }

    pub(super) fn entry(&self, kept: &Kept, package: Result<Arc<Package>, String>, counts: Arc<Counts>) -> Entry {
        let live = match (&package, kept.status) {
            (Ok(package), PluginStatus::Active) => Some(self.live(package, &kept.config, counts.clone())),
            _ => None,
        };
        Entry::new(kept, package, live, counts)
    }

    pub(super) fn live(&self, package: &Arc<Package>, settings: &Settings, counts: Arc<Counts>) -> Live {
        Live::new(package.clone(), settings, self.inner.limits, self.inner.kv.clone(), counts)
    }

    /// Loads what is active, so that the first file to be looked at does not wait, and faults show early.
    async fn load_all(&self) {
        for entry in self.inner.shelf.all() {
            let Some(live) = &entry.live else { continue };
            if let Some(sentence) =
                entry.package.as_ref().ok().and_then(|package| install::unmet(self, &package.manifest))
            {
                tracing::warn!("{sentence}");
            }
            match live.prove(&self.inner.runtime).await {
                Ok(learned) => {
                    let id = entry.id;
                    let kept = self.inner.db.write(move |tx| store::learn(tx, id, &learned)).await;
                    entry.has_trouble(kept.err().map(|error| error.to_string()));
                }
                Err(error) => {
                    tracing::error!(plugin = entry.slug, "{error}");
                    entry.has_trouble(Some(error.to_string()));
                }
            }
        }
    }

    async fn write_counts(&self) {
        loop {
            let stopping = tokio::time::timeout(WRITE_EVERY, self.inner.tasks.stopping()).await.is_ok();
            for entry in self.inner.shelf.all() {
                self.write_count(&entry).await;
            }
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
    Installed { slug: slug.to_owned(), version, config: Settings::new(), learned: None }
}

/// Every folder, by name, with the plugin in it or what is wrong. Blocks.
fn look(dir: &Path) -> Result<Found> {
    private_folder(dir)?;
    let mut found = Found::new();
    for entry in fs::read_dir(dir)?.take(10 * MAX_PLUGINS) {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            tracing::error!("{} has a name that is not UTF-8 and is left out. Rename it.", entry.path().display());
            continue;
        };
        if install::is_leftover(name) {
            install::clear(&entry.path());
        } else if !name.starts_with('.') && !entry.file_type()?.is_file() && found.len() < MAX_PLUGINS {
            found
                .insert(name.to_owned(), Package::read(&entry.path()).map(Arc::new).map_err(|error| error.to_string()));
        }
    }
    Ok(found)
}

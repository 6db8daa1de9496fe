//! What a running plugin reaches: its own files, its own small data, its log. Everything else answers what it is not
//! granted.
//!
//! Invariant: one plugin never sees another's data, keeps no more than its share, and cannot flood the log.

mod files;
mod http;
mod llm;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
pub use files::{ProjectFiles, Reach};
use resoftai_sandbox::{Host, HttpRequest, HttpResponse, Level};

use super::capabilities::Powers;
use super::logs::{Diary, NewLine};
use super::package::Package;
use crate::access::{OrgId, UserId};
use crate::base::clock::Clock;
use crate::base::error::{Error, Kind};
use crate::kv::Kv;
use crate::llm::Llm;
use crate::net::Client;

/// Lines of log that one call may write.
const MAX_LINES: u32 = 100;
const MAX_LINE: usize = 2_000;
/// One more key than a list may hold by the contract: what would be left out is refused, not forgotten.
const MAX_KEYS: usize = 10_001;

/// What a call into a plugin is about.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The project whose files the plugin may reach while the call lasts, as far as it was granted.
    pub project: Option<i64>,
    /// What the call may use of models, for who pays for it; None: only the plugin's own share counts.
    pub meter: Option<Meter>,
    /// How long a request to a host may take; None: as long as for everybody.
    pub patience: Option<Duration>,
    /// What it is told of, so that it may change files in that one's name; None: it is only asked, or some plugin did it.
    pub deed: Option<Deed>,
}

/// Something that was done here.
#[derive(Debug, Clone, Copy)]
pub struct Deed {
    /// The account behind it; None: no person's or program's.
    pub user: Option<UserId>,
}

impl About {
    /// A project, asked about.
    pub fn project(id: i64) -> Self {
        Self { project: Some(id), ..Self::default() }
    }
}

/// The tokens a call may use, and those it used so far.
#[derive(Debug, Clone)]
pub struct Meter {
    pub most: u64,
    pub used: Arc<AtomicU64>,
}

impl Meter {
    fn left(&self) -> u64 {
        self.most.saturating_sub(self.used.load(Ordering::Acquire))
    }
}

pub struct PluginHost {
    package: Arc<Package>,
    org: Option<OrgId>,
    doors: Doors,
    /// What is in force now; it may change while a call lasts.
    powers: RwLock<Powers>,
    /// Of the current call.
    about: Mutex<About>,
    /// Lines written in the current call.
    lines: AtomicU32,
    work: files::Work,
    /// Replies that the current call reads piece by piece.
    replies: Mutex<HashMap<u32, http::Open>>,
}

/// A call into a plugin; what it left open is closed when it ends, whichever way.
pub struct InCall<'a>(&'a PluginHost);

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        self.0.replies().clear();
    }
}

/// What the host reaches for plugins.
#[derive(Clone)]
pub struct Doors {
    pub kv: Kv,
    pub client: Client,
    pub clock: Clock,
    pub diary: Arc<Diary>,
    /// Set once the models are there: their room is opened after this one.
    pub llm: Arc<OnceLock<Llm>>,
    /// The same for the projects.
    pub files: Arc<OnceLock<Arc<dyn ProjectFiles>>>,
}

/// Where a plugin's data lies in the key-value store: a place for each organisation, and one for what belongs to none.
pub fn namespace(slug: &str, org: Option<OrgId>) -> String {
    org.map_or_else(|| format!("plugin/{slug}"), |org| format!("plugin/{slug}/{}", org.0))
}

/// The places of data that plugins keep for organisations.
///
/// # Errors
/// When the disk fails.
pub async fn kept_for_organizations(kv: &Kv) -> crate::base::error::Result<Vec<(String, OrgId)>> {
    let names = kv.namespaces("plugin/").await?.into_iter();
    let of = |name: &String| name.splitn(3, '/').nth(2)?.parse().ok().map(OrgId);
    Ok(names.filter_map(|name| of(&name).map(|org| (name, org))).collect())
}

/// Deletes all of a plugin's data, of every organisation.
///
/// # Errors
/// When the disk fails.
pub async fn forget(kv: &Kv, slug: &str) -> crate::base::error::Result<()> {
    let (own, others) = (namespace(slug, None), format!("plugin/{slug}/"));
    for name in kv.namespaces(&others).await?.into_iter().chain([own]) {
        kv.clear(&name).await?;
    }
    Ok(())
}

impl PluginHost {
    pub fn new(package: Arc<Package>, org: Option<OrgId>, doors: Doors, powers: Powers) -> Self {
        Self {
            package,
            org,
            doors,
            powers: RwLock::new(powers),
            about: Mutex::default(),
            lines: AtomicU32::new(0),
            replies: Mutex::default(),
            work: files::Work::default(),
        }
    }

    #[must_use]
    pub fn begin_call(&self, about: &About) -> InCall<'_> {
        *self.about.lock().unwrap_or_else(PoisonError::into_inner) = about.clone();
        self.lines.store(0, Ordering::Relaxed);
        self.work.begin();
        InCall(self)
    }

    fn replies(&self) -> MutexGuard<'_, HashMap<u32, http::Open>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn regrant(&self, powers: Powers) {
        *self.powers.write().unwrap_or_else(PoisonError::into_inner) = powers;
    }

    fn about(&self) -> About {
        self.about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn powers(&self) -> Powers {
        self.powers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a line into the plugin's log.
    pub fn note(&self, level: Level, text: String) {
        let (plugin, org, at) = (self.slug().to_owned(), self.org, self.doors.clock.now());
        self.doors.diary.write(NewLine { plugin, org, at, level: level.into(), text });
    }

    /// What a plugin is told that wants more than it was granted; its administrators read it in the log.
    fn denied(&self, code: &str, what: &str) -> String {
        let slug = self.slug();
        let sentence = match self.org {
            Some(_) => format!(
                "Denied: {what} is not granted to {slug} here (capability {code}). An administrator of the organisation grants it: resoftai plugin enable {slug} --org ORGANISATION --grant {code}"
            ),
            None => format!(
                "Denied: {what} is not granted to {slug} (capability {code}). Outside of organisations plugins have their own data only."
            ),
        };
        self.log(Level::Warning, &sentence);
        sentence
    }

    fn slug(&self) -> &str {
        &self.package.manifest.slug
    }

    fn share(&self) -> u64 {
        self.powers().capabilities.kv.unwrap_or_default()
    }
}

#[async_trait]
impl Host for PluginHost {
    fn log(&self, level: Level, message: &str) {
        let (plugin, organization) = (self.slug(), self.org.map(|org| org.0));
        let project = self.about().project;
        let written = self.lines.fetch_add(1, Ordering::Relaxed);
        if written == MAX_LINES {
            tracing::warn!(plugin, organization, project, "wrote {MAX_LINES} lines in one call; the rest is left out");
        }
        if written >= MAX_LINES {
            return;
        }
        let line = message[..message.floor_char_boundary(MAX_LINE)].replace(char::is_control, " ");
        self.note(level, line.clone());
        match level {
            Level::Debug => tracing::debug!(plugin, organization, project, "{line}"),
            Level::Info => tracing::info!(plugin, organization, project, "{line}"),
            Level::Warning => tracing::warn!(plugin, organization, project, "{line}"),
            Level::Error => tracing::error!(plugin, organization, project, "{line}"),
        }
    }

    async fn kv_get(&self, key: &str) -> Result<Option<String>, String> {
        let value = self
            .doors
            .kv
            .get(&namespace(self.slug(), self.org), key.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn kv_set(&self, key: &str, value: Option<&str>) -> Result<(), String> {
        let (key, value) = (key.as_bytes().to_vec(), value.map(|text| text.as_bytes().to_vec()));
        let (share, namespace) = (self.share(), namespace(self.slug(), self.org));
        let change = self.doors.kv.update(&namespace, move |view| {
            match value {
                None => view.delete(&key).map(drop)?,
                Some(value) => view.put(&key, &value, None)?,
            }
            if view.usage()? <= share {
                return Ok(());
            }
            let sentence = format!(
                "The plugin's data would take more than its {share} bytes. Delete some, or raise capabilities.kv in plugin.json."
            );
            Err(Error::new(Kind::TooLarge, "plugin_data_full", sentence))
        });
        change.await.map_err(|error| error.to_string())
    }

    async fn kv_list(&self, prefix: &str) -> Result<Vec<String>, String> {
        let namespace = namespace(self.slug(), self.org);
        let found = self.doors.kv.scan(&namespace, prefix.as_bytes(), MAX_KEYS).await;
        let keys = found.map_err(|error| error.to_string())?.into_iter().map(|(key, _)| key);
        Ok(keys.map(|key| String::from_utf8_lossy(&key).into_owned()).collect())
    }

    async fn files_list(&self, pattern: &str) -> Result<Vec<String>, String> {
        self.list_files(pattern).await
    }

    async fn files_read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.read_file(path).await
    }

    async fn files_write(&self, path: &str, content: Vec<u8>) -> Result<(), String> {
        self.write_file(path, content).await
    }

    async fn files_delete(&self, path: &str) -> Result<(), String> {
        self.delete_file(path).await
    }

    async fn http_request(&self, request: HttpRequest) -> Result<HttpResponse, String> {
        self.fetch(request).await
    }

    async fn http_open(&self, request: HttpRequest) -> Result<(u32, HttpResponse), String> {
        self.open(request).await
    }

    async fn http_next(&self, reply: u32) -> Result<Option<Vec<u8>>, String> {
        self.next(reply).await
    }

    fn http_close(&self, reply: u32) {
        self.close(reply);
    }

    async fn llm_complete(&self, request: &str) -> Result<String, String> {
        self.complete(request).await
    }

    fn package_list(&self) -> Vec<String> {
        self.package.paths()
    }

    fn package_read(&self, path: &str) -> Result<Vec<u8>, String> {
        let content = self.package.content(path).map(<[u8]>::to_vec);
        content.ok_or_else(|| format!("The plugin's package has no file {path:?}."))
    }
}

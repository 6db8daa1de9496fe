//! What a running plugin reaches: its own files, its own small data, its log. Everything else answers what it is not
//! granted.
//!
//! Invariant: one plugin never sees another's data, keeps no more than its share, and cannot flood the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use resoftai_sandbox::{Host, HttpRequest, HttpResponse, Level};

use super::package::Package;
use crate::base::error::{Error, Kind};
use crate::kv::{Kv, View};

/// Lines of log that one call may write.
const MAX_LINES: u32 = 100;
const MAX_LINE: usize = 2_000;
/// Bytes a plugin may keep unless its manifest asks for more.
const KV_SHARE: u64 = 1 << 20;
/// The most it may ask for.
const MAX_KV_SHARE: u64 = 16 << 20;

pub struct PluginHost {
    package: Arc<Package>,
    kv: Kv,
    /// Lines written in the current call.
    lines: AtomicU32,
}

/// Where a plugin's data lies in the key-value store.
pub fn namespace(slug: &str) -> String {
    format!("plugin/{slug}")
}

/// Deletes all of a plugin's data.
///
/// # Errors
/// When the disk fails.
pub fn forget(view: &mut View<'_>) -> crate::base::error::Result<()> {
    view.clear()
}

impl PluginHost {
    pub fn new(package: Arc<Package>, kv: Kv) -> Self {
        Self { package, kv, lines: AtomicU32::new(0) }
    }

    pub fn begin_call(&self) {
        self.lines.store(0, Ordering::Relaxed);
    }

    fn slug(&self) -> &str {
        &self.package.manifest.slug
    }

    fn share(&self) -> u64 {
        self.package.manifest.capabilities.kv.unwrap_or(KV_SHARE).min(MAX_KV_SHARE)
    }
}

#[async_trait]
impl Host for PluginHost {
    fn log(&self, level: Level, message: &str) {
        let plugin = self.slug();
        let written = self.lines.fetch_add(1, Ordering::Relaxed);
        if written == MAX_LINES {
            tracing::warn!(plugin, "wrote {MAX_LINES} lines in one call; the rest is left out");
        }
        if written >= MAX_LINES {
            return;
        }
        let line = message[..message.floor_char_boundary(MAX_LINE)].replace(char::is_control, " ");
        match level {
            Level::Debug => tracing::debug!(plugin, "{line}"),
            Level::Info => tracing::info!(plugin, "{line}"),
            Level::Warning => tracing::warn!(plugin, "{line}"),
            Level::Error => tracing::error!(plugin, "{line}"),
        }
    }

    async fn kv_get(&self, key: &str) -> Result<Option<String>, String> {
        let value = self.kv.get(&namespace(self.slug()), key.as_bytes()).await.map_err(|error| error.to_string())?;
        Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn kv_set(&self, key: &str, value: Option<&str>) -> Result<(), String> {
        let (key, value) = (key.as_bytes().to_vec(), value.map(|text| text.as_bytes().to_vec()));
        let (share, namespace) = (self.share(), namespace(self.slug()));
        let change = self.kv.update(&namespace, move |view| {
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

    async fn http_request(&self, request: HttpRequest) -> Result<HttpResponse, String> {
        tracing::info!(plugin = self.slug(), method = request.method, "a request to the network was denied");
        Err("Denied: this server grants plugins no network. Work on what the hook's payload holds.".to_owned())
    }

    async fn llm_complete(&self, _request: &str) -> Result<String, String> {
        Err("Denied: this server grants plugins no language model. Work on what the hook's payload holds.".to_owned())
    }

    fn package_list(&self) -> Vec<String> {
        self.package.paths()
    }

    fn package_read(&self, path: &str) -> Result<Vec<u8>, String> {
        let content = self.package.content(path).map(<[u8]>::to_vec);
        content.ok_or_else(|| format!("The plugin's package has no file {path:?}."))
    }
}

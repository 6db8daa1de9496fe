//! What an instance may reach: the [`Host`] of its plugin and an empty WASI world. Nothing else is linked.
//!
//! Invariant: everything that comes from the guest is bounded before a host sees it.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

pub(crate) mod bindings {
    //! Made from the contract in `plugin-sdk/wit`.
    wasmtime::component::bindgen!({
        path: "../../../plugin-sdk/wit",
        world: "plugin",
        imports: { default: async },
        exports: { default: async },
    });
}

use bindings::resoftai::plugin::host as wit;

const MAX_LOG_BYTES: usize = 16 << 10;
const MAX_KEY_BYTES: usize = 512;
/// One value, request, reply or file of a package.
const MAX_BODY_BYTES: usize = 16 << 20;
const MAX_HEADERS: usize = 100;
/// Handles of WASI streams, clocks and the like; CPython holds about a dozen.
const MAX_HANDLES: usize = 1024;
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// Function references; CPython's own are about ten thousand.
const MAX_TABLE_ELEMENTS: usize = 200_000;

/// How urgent a line of a plugin's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth a line.
    Info,
    /// May need a look.
    Warning,
    /// Something failed.
    Error,
}

/// A request that a plugin wants made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Upper case.
    pub method: String,
    /// As the plugin wrote it: not yet parsed or permitted.
    pub url: String,
    /// At most 100.
    pub headers: Vec<(String, String)>,
    /// At most 16 MiB.
    pub body: Vec<u8>,
    /// Milliseconds the plugin is willing to wait.
    pub timeout_ms: u32,
}

/// The reply handed to the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// In the order received.
    pub headers: Vec<(String, String)>,
    /// At most 16 MiB; larger bodies are refused towards the plugin.
    pub body: Vec<u8>,
}

/// What one plugin may reach. An error is one sentence for the plugin's author: what was refused, and what to do.
///
/// Calls are made while the guest waits; they count towards its wall limit and are dropped when that is reached.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// One line of the plugin's log, at most 16 KiB. Must not block.
    fn log(&self, level: Level, message: &str);
    /// The JSON kept under a key of this plugin.
    async fn kv_get(&self, key: &str) -> Result<Option<String>, String>;
    /// Keeps JSON under a key of this plugin; `None` forgets it.
    async fn kv_set(&self, key: &str, value: Option<&str>) -> Result<(), String>;
    /// Makes a request if the plugin may.
    async fn http_request(&self, request: HttpRequest) -> Result<HttpResponse, String>;
    /// Asks the site's model if the plugin may; JSON to JSON as in the SDK's `resoftai.llm`.
    async fn llm_complete(&self, request: &str) -> Result<String, String>;
    /// Paths of the plugin's package, relative, with `/`.
    fn package_list(&self) -> Vec<String>;
    /// One file of the plugin's package. The path is the guest's: only what `package_list` names may be read.
    fn package_read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// The data of one instance's store.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    host: Arc<dyn Host>,
    pub(crate) memory: Memory,
    /// Steps of computing time left in the current call.
    pub(crate) ticks_left: u64,
}

/// Counts linear memory over all memories of the instance.
pub(crate) struct Memory {
    limit: u64,
    used: u64,
    /// Set when a wish was refused; the current call is then judged by it.
    pub(crate) refused: bool,
}

impl State {
    pub(crate) fn new(host: Arc<dyn Host>, memory_bytes: u64) -> Self {
        let wasi = WasiCtx::builder()
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM_BYTES)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self { wasi, table, host, memory: Memory { limit: memory_bytes, used: 0, refused: false }, ticks_left: 0 }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current) as u64);
        if wanted > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

impl bindings::resoftai::plugin::types::Host for State {}

impl wit::Host for State {
    async fn log(&mut self, level: wit::Level, message: String) {
        let level = match level {
            wit::Level::Debug => Level::Debug,
            wit::Level::Info => Level::Info,
            wit::Level::Warning => Level::Warning,
            wit::Level::Error => Level::Error,
        };
        self.host.log(level, &message[..message.floor_char_boundary(MAX_LOG_BYTES)]);
    }

    async fn kv_get(&mut self, key: String) -> Result<Option<String>, String> {
        bounded("A key", key.len(), MAX_KEY_BYTES)?;
        self.host.kv_get(&key).await
    }

    async fn kv_set(&mut self, key: String, value: Option<String>) -> Result<(), String> {
        bounded("A key", key.len(), MAX_KEY_BYTES)?;
        bounded("A value", value.as_ref().map_or(0, String::len), MAX_BODY_BYTES)?;
        self.host.kv_set(&key, value.as_deref()).await
    }

    async fn http_request(&mut self, request: wit::Request) -> Result<wit::Response, String> {
        bounded("A request's body", request.body.len(), MAX_BODY_BYTES)?;
        if request.headers.len() > MAX_HEADERS {
            return Err(format!("A request may have {MAX_HEADERS} headers; this one has {}.", request.headers.len()));
        }
        let wit::Request { method, url, headers, body, timeout_ms } = request;
        let reply = self
            .host
            .http_request(HttpRequest { method: method.to_ascii_uppercase(), url, headers, body, timeout_ms })
            .await?;
        bounded("A reply's body", reply.body.len(), MAX_BODY_BYTES)?;
        Ok(wit::Response { status: reply.status, headers: reply.headers, body: reply.body })
    }

    async fn llm_complete(&mut self, request: String) -> Result<String, String> {
        bounded("A request", request.len(), MAX_BODY_BYTES)?;
        self.host.llm_complete(&request).await
    }

    async fn package_list(&mut self) -> Vec<String> {
        self.host.package_list()
    }

    async fn package_read(&mut self, path: String) -> Result<Vec<u8>, String> {
        let content = self.host.package_read(&path)?;
        bounded("A file of a package", content.len(), MAX_BODY_BYTES)?;
        Ok(content)
    }
}

fn bounded(what: &str, bytes: usize, limit: usize) -> Result<(), String> {
    if bytes <= limit {
        return Ok(());
    }
    Err(format!("{what} may have {limit} bytes; this one has {bytes}."))
}

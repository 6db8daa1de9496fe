//! What an instance may reach: the [`Host`] of its plugin and an empty WASI world. Nothing else is linked.
//!
//! Invariant: everything that comes from the guest is bounded before a host sees it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc::Sender;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::seat::Seat;

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
/// A path of a project's file, or a pattern for some.
const MAX_PATH_BYTES: usize = 1024;
/// Names in one list.
const MAX_NAMES: usize = 10_000;
/// One value, request, reply or file of a package.
const MAX_BODY_BYTES: usize = 16 << 20;
const MAX_HEADERS: usize = 100;
/// Handles of WASI streams, clocks and the like; CPython holds about a dozen.
const MAX_HANDLES: usize = 1024;
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// Function references; CPython's own are about ten thousand.
const MAX_TABLE_ELEMENTS: usize = 200_000;
/// Core instances, tables and memories of one component each. Every memory reserves gigabytes of address space; CPython
/// has a memory and a dozen instances.
const MAX_PARTS: usize = 100;

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
    /// Keys of this plugin that begin with `prefix`, sorted.
    async fn kv_list(&self, prefix: &str) -> Result<Vec<String>, String>;
    /// Paths of the files of the project that the call is about, sorted; `*`, `?` and `**` as in the contract.
    async fn files_list(&self, pattern: &str) -> Result<Vec<String>, String>;
    /// One file of that project. The path is the guest's: not yet checked or permitted.
    async fn files_read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// Writes one file of that project, at most 16 MiB. The path is the guest's.
    async fn files_write(&self, path: &str, content: Vec<u8>) -> Result<(), String>;
    /// Deletes one file of that project. The path is the guest's.
    async fn files_delete(&self, path: &str) -> Result<(), String>;
    /// Makes a request if the plugin may.
    async fn http_request(&self, request: HttpRequest) -> Result<HttpResponse, String>;
    /// Makes a request if the plugin may, and comes back with the head of the reply and a number to read its body under. A
    /// host that does not override this has no replies to be read piece by piece.
    async fn http_open(&self, _request: HttpRequest) -> Result<(u32, HttpResponse), String> {
        Err("Replies cannot be read piece by piece here: ask for the whole one.".to_owned())
    }
    /// The next bytes of an open reply; None at its end.
    async fn http_next(&self, reply: u32) -> Result<Option<Vec<u8>>, String> {
        Err(format!("There is no open reply {reply}."))
    }
    /// Lets go of an open reply.
    fn http_close(&self, _reply: u32) {}
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
    /// Who reads the answer of the current call as it grows; None in a call that is not streamed.
    pub(crate) reader: Option<Reader>,
    pub(crate) memory: Memory,
    pub(crate) seat: Seat,
    /// Steps of computing time that the current call may still take, this turn's included.
    pub(crate) ticks_left: u64,
    /// Those of this turn.
    pub(crate) turn: u64,
}

/// The far end of a streamed answer.
pub(crate) struct Reader {
    pub(crate) pieces: Sender<String>,
    /// Bytes that still fit into the answer.
    pub(crate) room: usize,
}

/// Counts linear memory over all memories of the instance.
pub(crate) struct Memory {
    limit: u64,
    used: u64,
    /// Set when a wish was refused; the current call is then judged by it.
    pub(crate) refused: bool,
}

impl Memory {
    /// Bytes over all memories of the instance.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

impl State {
    pub(crate) fn new(host: Arc<dyn Host>, seat: Seat, memory_bytes: u64) -> Self {
        let wasi = WasiCtx::builder()
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM_BYTES)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let memory = Memory { limit: memory_bytes, used: 0, refused: false };
        Self { wasi, table, host, reader: None, memory, seat, ticks_left: 0, turn: 0 }
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

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
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

    async fn kv_list(&mut self, prefix: String) -> Result<Vec<String>, String> {
        bounded("A key's beginning", prefix.len(), MAX_KEY_BYTES)?;
        few("keys", self.host.kv_list(&prefix).await?)
    }

    async fn files_list(&mut self, pattern: String) -> Result<Vec<String>, String> {
        bounded("A pattern", pattern.len(), MAX_PATH_BYTES)?;
        few("files", self.host.files_list(&pattern).await?)
    }

    async fn files_read(&mut self, path: String) -> Result<Vec<u8>, String> {
        bounded("A path", path.len(), MAX_PATH_BYTES)?;
        let content = self.host.files_read(&path).await?;
        bounded("A file", content.len(), MAX_BODY_BYTES)?;
        Ok(content)
    }

    async fn files_write(&mut self, path: String, content: Vec<u8>) -> Result<(), String> {
        bounded("A path", path.len(), MAX_PATH_BYTES)?;
        bounded("A file", content.len(), MAX_BODY_BYTES)?;
        self.host.files_write(&path, content).await
    }

    async fn files_delete(&mut self, path: String) -> Result<(), String> {
        bounded("A path", path.len(), MAX_PATH_BYTES)?;
        self.host.files_delete(&path).await
    }

    async fn http_request(&mut self, request: wit::Request) -> Result<wit::Response, String> {
        let reply = self.host.http_request(asked(request)?).await?;
        bounded("A reply's body", reply.body.len(), MAX_BODY_BYTES)?;
        Ok(wit::Response { status: reply.status, headers: reply.headers, body: reply.body })
    }

    async fn http_open(&mut self, request: wit::Request) -> Result<(u32, wit::Response), String> {
        let (number, reply) = self.host.http_open(asked(request)?).await?;
        Ok((number, wit::Response { status: reply.status, headers: reply.headers, body: reply.body }))
    }

    async fn http_next(&mut self, reply: u32) -> Result<Option<Vec<u8>>, String> {
        let piece = self.host.http_next(reply).await?;
        bounded("A piece of a reply", piece.as_ref().map_or(0, Vec::len), MAX_BODY_BYTES)?;
        Ok(piece)
    }

    async fn http_close(&mut self, reply: u32) {
        self.host.http_close(reply);
    }

    async fn llm_complete(&mut self, request: String) -> Result<String, String> {
        bounded("A request", request.len(), MAX_BODY_BYTES)?;
        self.host.llm_complete(&request).await
    }

    async fn emit(&mut self, piece: String) -> Result<(), String> {
        let Some(reader) = &mut self.reader else {
            return Err("Nobody reads this answer piece by piece: return it as a whole.".to_owned());
        };
        bounded("The rest of a streamed answer", piece.len(), reader.room)?;
        reader.room -= piece.len();
        let gone = "Nobody waits for this answer any more: stop here.";
        reader.pieces.send(piece).await.map_err(|_| gone.to_owned())
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

fn asked(request: wit::Request) -> Result<HttpRequest, String> {
    bounded("A request's body", request.body.len(), MAX_BODY_BYTES)?;
    if request.headers.len() > MAX_HEADERS {
        return Err(format!("A request may have {MAX_HEADERS} headers; this one has {}.", request.headers.len()));
    }
    let wit::Request { method, url, headers, body, timeout_ms } = request;
    Ok(HttpRequest { method: method.to_ascii_uppercase(), url, headers, body, timeout_ms })
}

fn few(what: &str, names: Vec<String>) -> Result<Vec<String>, String> {
    if names.len() <= MAX_NAMES {
        return Ok(names);
    }
    Err(format!("{} {what} are more than the {MAX_NAMES} of one answer. Ask for fewer.", names.len()))
}

fn bounded(what: &str, bytes: usize, limit: usize) -> Result<(), String> {
    if bytes <= limit {
        return Ok(());
    }
    Err(format!("{what} may have {limit} bytes; this one has {bytes}."))
}

//! The engine, its one configuration, and the way from compressed bytes to a program that can be instantiated.
//!
//! Invariant: compiler and runtime use the same [`config`], and machine code is only ever mapped from a file that nobody
//! can change any more.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine};

use crate::host::{State, bindings};
use crate::ticker::Ticker;

/// CPython recurses deeply; half a mebibyte, the default, does not even parse nested expressions.
const WASM_STACK_BYTES: usize = 8 << 20;
/// The host's own frames need room beside the guest's.
const FIBER_STACK_BYTES: usize = 10 << 20;

/// Machine code of one program, unpacked; the Python runtime has 54 MB.
const MAX_CODE_BYTES: u64 = 512 << 20;

/// Why a program cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes could not be unpacked into memory.
    #[error(
        "The plugin's program could not be unpacked: {0}. It stays off until the server has the memory or the file is whole."
    )]
    Unpack(#[source] io::Error),
    /// The machine code does not fit this program or this processor, or may not be mapped.
    #[error(
        "The plugin's program could not be started: {0}. It must come from the same build as this server, /proc must be mounted, and executable mappings must be allowed."
    )]
    Start(String),
    /// The component is none of a plugin.
    #[error("It is no component of the plugin contract: {0}.")]
    Contract(String),
}

/// What programs run in; one for a process, cheap to clone. While no call is under way it uses no computing time.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    linker: Linker<State>,
    pub(crate) ticker: Ticker,
    /// Held by calls that compute for long, while they do.
    pub(crate) seats: Arc<Semaphore>,
}

/// The machine code of one component, mapped: what plugins are instances of. Cheap to clone; gone with the last clone.
#[derive(Clone)]
pub struct Program {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pre: bindings::PluginPre<State>,
}

impl Sandbox {
    /// Calls that compute for longer than a blink take turns, `seats` at a time; 0 counts as 1. On a runtime of several
    /// threads they keep nobody else's; on one of a single thread they give way. Short calls run beside them.
    ///
    /// # Errors
    /// When the engine does not fit the processor, or no thread can be started.
    pub fn new(seats: usize) -> Result<Self, Error> {
        let start = |error: wasmtime::Error| Error::Start(format!("{error:#}"));
        let engine = Engine::new(&config()).map_err(start)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(start)?;
        bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(start)?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| Error::Start(error.to_string()))?;
        let seats = Arc::new(Semaphore::new(seats.max(1)));
        Ok(Self { shared: Arc::new(Shared { engine, linker, ticker, seats }) })
    }

    /// Unpacks and maps what `compile` of the same build made. Blocks: 0.2 s for the Python runtime.
    ///
    /// The bytes become machine code of this process: they must be part of the program itself or verified as strictly.
    ///
    /// # Errors
    /// When memory is short, the bytes are damaged or made by another version, executable mappings are forbidden, or the
    /// component asks for what the contract does not have.
    pub fn map(&self, compressed: &[u8]) -> Result<Program, Error> {
        let file = unpack(compressed).map_err(Error::Unpack)?;
        let component = map(&self.shared.engine, &file).map_err(|error| Error::Start(format!("{error:#}")))?;
        let contract = |error: wasmtime::Error| Error::Contract(format!("{error:#}"));
        let pre = self.shared.linker.instantiate_pre(&component).map_err(contract)?;
        let pre = bindings::PluginPre::new(pre).map_err(contract)?;
        Ok(Program { shared: Arc::clone(&self.shared), pre })
    }
}

/// The configuration that machine code depends on: compiler and runtime must agree to the letter.
fn config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(FIBER_STACK_BYTES);
    config
}

/// Compiles a component for any x86-64 and compresses the result for [`Sandbox::map`] with zstd at `level` (1 to 22).
///
/// # Errors
/// When the bytes are no component, or compression fails.
#[cfg(feature = "compile")]
pub fn compile(component: &[u8], level: i32) -> Result<Vec<u8>, Error> {
    let mut config = config();
    // Without a named target the compiler would use whatever the building machine's processor can do.
    config.target("x86_64-unknown-linux-gnu").map_err(|error| Error::Start(format!("{error:#}")))?;
    let code = Engine::new(&config).and_then(|engine| engine.precompile_component(component));
    let code = code.map_err(|error| Error::Contract(format!("{error:#}")))?;
    zstd::bulk::compress(&code, level).map_err(Error::Unpack)
}

/// Decompresses into memory that has a file descriptor, so that instances can share its pages, and seals it.
fn unpack(bytes: &[u8]) -> io::Result<File> {
    let memory = rustix::fs::memfd_create("plugin-program", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memory);
    let mut code = zstd::stream::read::Decoder::new(bytes)?.take(MAX_CODE_BYTES + 1);
    if io::copy(&mut code, &mut file)? > MAX_CODE_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_CODE_BYTES} bytes")));
    }
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

#[allow(unsafe_code, reason = "mapping precompiled machine code is the purpose of this crate")]
fn map(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the bytes were made by `compile` (the contract of `Sandbox::map`), and the seals keep everybody,
    // this process included, from changing them while they are mapped.
    unsafe { Component::deserialize_file(engine, path) }
}

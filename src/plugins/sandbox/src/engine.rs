//! The engine, its one configuration, and the way from compressed bytes to a component that can be instantiated.
//!
//! Invariant: compiler and runtime use the same [`config`], and machine code is only ever mapped from a file that nobody
//! can change any more.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine};

use crate::host::{State, bindings};
use crate::ticker::Ticker;

/// CPython recurses deeply; half a mebibyte, the default, does not even parse nested expressions.
const WASM_STACK_BYTES: usize = 8 << 20;
/// The host's own frames need room beside the guest's.
const FIBER_STACK_BYTES: usize = 10 << 20;

/// Why the runtime cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes could not be unpacked into memory.
    #[error(
        "The plugin runtime could not be unpacked: {0}. Plugins stay off until the server has the memory or the file is whole."
    )]
    Unpack(#[source] io::Error),
    /// The machine code does not fit this program or this processor, or may not be mapped.
    #[error(
        "The plugin runtime could not be started: {0}. It must come from the same build as this program, /proc must be mounted, and executable mappings must be allowed."
    )]
    Start(String),
}

/// The runtime for plugins, cheap to clone. While no call is under way it uses no computing time.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) pre: bindings::PluginPre<State>,
    pub(crate) ticker: Ticker,
}

impl Sandbox {
    /// Unpacks and maps a runtime that `precompile` of the same build made. Blocks for about 0.2 s.
    ///
    /// The bytes become machine code of this process: they must be part of the program itself or verified as strictly.
    ///
    /// # Errors
    /// When memory is short, the bytes are damaged or made by another version, or executable mappings are forbidden.
    pub fn from_compressed(bytes: &[u8]) -> Result<Self, Error> {
        let file = unpack(bytes).map_err(Error::Unpack)?;
        let start = |error: wasmtime::Error| Error::Start(format!("{error:#}"));
        let engine = Engine::new(&config()).map_err(start)?;
        let component = map(&engine, &file).map_err(start)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(start)?;
        bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(start)?;
        let pre = linker.instantiate_pre(&component).map_err(start)?;
        let pre = bindings::PluginPre::new(pre).map_err(start)?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| Error::Start(error.to_string()))?;
        Ok(Self { shared: Arc::new(Shared { engine, pre, ticker }) })
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

/// Compiles a component for any x86-64 and compresses the result for [`Sandbox::from_compressed`].
///
/// # Errors
/// When the bytes are no component, or compression fails.
#[cfg(feature = "compile")]
pub fn precompile(component: &[u8]) -> Result<Vec<u8>, Error> {
    const LEVEL: i32 = 19;
    let start = |error: wasmtime::Error| Error::Start(format!("{error:#}"));
    let mut config = config();
    // Without a named target the compiler would use whatever the building machine's processor can do.
    config.target("x86_64-unknown-linux-gnu").map_err(start)?;
    let code = Engine::new(&config).and_then(|engine| engine.precompile_component(component)).map_err(start)?;
    zstd::bulk::compress(&code, LEVEL).map_err(Error::Unpack)
}

/// Decompresses into memory that has a file descriptor, so that instances can share its pages, and seals it.
fn unpack(bytes: &[u8]) -> io::Result<File> {
    let memory = rustix::fs::memfd_create("plugin-runtime", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memory);
    zstd::stream::copy_decode(bytes, &mut file)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

#[allow(unsafe_code, reason = "mapping precompiled machine code is the purpose of this crate")]
fn map(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the bytes were made by `precompile` (the contract of `from_compressed`), and the seals keep everybody,
    // this process included, from changing them while they are mapped.
    unsafe { Component::deserialize_file(engine, path) }
}

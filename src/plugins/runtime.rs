//! The sandbox and what runs in it: the Python runtime that this program carries, mapped when the first plugin needs it,
//! and the programs of plugins in other languages.
//!
//! Invariant: a site without plugins never pays for it, and a build without it says so instead of failing elsewhere.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use resoftai_sandbox::{Program, Sandbox};
use tokio::sync::OnceCell;

use super::compile::Compiler;
use super::package::Package;
use crate::base::crypto::sha256_hex;
use crate::base::error::{Error, Result};

/// Plugins that compute for long at the same time, at most; fewer where there are fewer processors.
const MAX_SEATS: usize = 4;

/// What a build without the part says.
pub const NO_RUNTIME: &str = "This build of resoftai carries no plugin runtime, so plugins cannot run. Use a release build, or \
                              build with `make plugin-runtime` first.";

pub struct Runtime {
    /// Compressed; empty when this build carries none.
    bytes: &'static [u8],
    sandbox: OnceCell<Sandbox>,
    python: OnceCell<Arc<Program>>,
    compiler: Compiler,
    /// Why the last try to map it failed.
    failure: Mutex<Option<String>>,
    /// Long calls that compute at a time.
    seats: usize,
}

impl Runtime {
    pub fn new(bytes: &'static [u8], compiler: Compiler) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let seats = processors.min(MAX_SEATS);
        Self { bytes, sandbox: OnceCell::new(), python: OnceCell::new(), compiler, failure: Mutex::new(None), seats }
    }

    /// What instances of this plugin are made of. The first Python plugin takes about 0.2 s; a component that was never
    /// seen before is compiled, which takes seconds. A call after a failed one tries again.
    ///
    /// # Errors
    /// `no_plugin_runtime`, `plugin_runtime_failed`, and those of [`Compiler::program`].
    pub async fn program(&self, package: &Package) -> Result<Arc<Program>> {
        let component = package.component();
        if component.is_none() && self.bytes.is_empty() {
            return Err(Error::unavailable("no_plugin_runtime", NO_RUNTIME));
        }
        let sandbox = self.sandbox().await;
        let outcome = match (sandbox, component) {
            (Ok(sandbox), Some(component)) => {
                return self.compiler.program(&sandbox, Bytes::copy_from_slice(component)).await;
            }
            (Ok(sandbox), None) => self.python(sandbox).await,
            (Err(error), _) => Err(error),
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    async fn sandbox(&self) -> Result<Sandbox> {
        let seats = self.seats;
        self.sandbox.get_or_try_init(|| mapping(move || Sandbox::new(seats))).await.cloned()
    }

    async fn python(&self, sandbox: Sandbox) -> Result<Arc<Program>> {
        let bytes = self.bytes;
        self.python.get_or_try_init(|| mapping(move || sandbox.map(bytes).map(Arc::new))).await.cloned()
    }

    /// Forgets what was compiled for components that are none of these plugins. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep_only(&self, packages: &[Arc<Package>]) -> Result<()> {
        let components = packages.iter().filter_map(|package| package.component());
        self.compiler.keep_only(&components.map(sha256_hex).collect::<Vec<_>>())
    }

    /// Whether plugins can run as far as is known, and a few words about it.
    pub fn state(&self) -> (bool, String) {
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return (false, failure);
        }
        let words = match (self.bytes.is_empty(), self.python.initialized()) {
            (true, _) => "this build carries none: plugins are off",
            (false, true) => "in use",
            (false, false) => "not needed yet",
        };
        (true, words.to_owned())
    }
}

async fn mapping<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, resoftai_sandbox::Error> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(f).await.map_err(Error::internal)?;
    done.map_err(|cause| Error::unavailable("plugin_runtime_failed", cause.to_string()).caused_by(cause))
}

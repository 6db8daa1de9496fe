//! The compiled Python runtime that this program carries, mapped when the first plugin needs it.
//!
//! Invariant: a site without plugins never pays for it, and a build without it says so instead of failing elsewhere.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use resoftai_sandbox::Sandbox;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::base::error::{Error, Result};

/// Calls into plugins at the same time, at most; fewer where there are fewer processors.
const MAX_TURNS: usize = 4;

/// What a build without the part says.
pub const NO_RUNTIME: &str = "This build of resoftai carries no plugin runtime, so plugins cannot run. Use a release build, or \
                              build with `make plugin-runtime` first.";

pub struct Runtime {
    /// Compressed; empty when this build carries none.
    bytes: &'static [u8],
    sandbox: OnceCell<Sandbox>,
    /// Why the last try to map it failed.
    failure: Mutex<Option<String>>,
    turns: Semaphore,
}

impl Runtime {
    pub fn new(bytes: &'static [u8]) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Semaphore::new((processors - 1).clamp(1, MAX_TURNS));
        Self { bytes, sandbox: OnceCell::new(), failure: Mutex::new(None), turns }
    }

    /// Waits for a turn. Whoever runs a plugin's code holds one, so that plugins never keep all threads from the others.
    ///
    /// # Errors
    /// Never while the server runs.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.turns.acquire().await.map_err(Error::internal)
    }

    /// The sandbox. The first call takes about 0.2 s; a call after a failed one tries again.
    ///
    /// # Errors
    /// `no_plugin_runtime` and `plugin_runtime_failed`.
    pub async fn get(&self) -> Result<Sandbox> {
        if self.bytes.is_empty() {
            return Err(Error::unavailable("no_plugin_runtime", NO_RUNTIME));
        }
        let bytes = self.bytes;
        let mapped = self.sandbox.get_or_try_init(|| async move {
            let mapping = tokio::task::spawn_blocking(move || Sandbox::from_compressed(bytes));
            mapping
                .await
                .map_err(Error::internal)?
                .map_err(|cause| Error::unavailable("plugin_runtime_failed", cause.to_string()).caused_by(cause))
        });
        let outcome = mapped.await;
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().map(ToString::to_string);
        outcome.cloned()
    }

    /// Whether plugins can run as far as is known, and a few words about it.
    pub fn state(&self) -> (bool, String) {
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return (false, failure);
        }
        let words = match (self.bytes.is_empty(), self.sandbox.initialized()) {
            (true, _) => "this build carries none: plugins are off",
            (false, true) => "in use",
            (false, false) => "not needed yet",
        };
        (true, words.to_owned())
    }
}

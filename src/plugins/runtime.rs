//! The compiled Python runtime that this program carries, mapped when the first plugin needs it.
//!
//! Invariant: a site without plugins never pays for it, and a build without it says so instead of failing elsewhere.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use resoftai_sandbox::{Program, Sandbox};
use tokio::sync::OnceCell;

use crate::base::error::{Error, Result};

/// Plugins that compute for long at the same time, at most; fewer where there are fewer processors.
const MAX_SEATS: usize = 4;

/// What a build without the part says.
pub const NO_RUNTIME: &str = "This build of resoftai carries no plugin runtime, so plugins cannot run. Use a release build, or \
                              build with `make plugin-runtime` first.";

pub struct Runtime {
    /// Compressed; empty when this build carries none.
    bytes: &'static [u8],
    python: OnceCell<Program>,
    /// Why the last try to map it failed.
    failure: Mutex<Option<String>>,
    /// Threads that long calls share.
    seats: usize,
}

impl Runtime {
    pub fn new(bytes: &'static [u8]) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let seats = (processors - 1).clamp(1, MAX_SEATS);
        Self { bytes, python: OnceCell::new(), failure: Mutex::new(None), seats }
    }

    /// What Python plugins are instances of. The first call takes about 0.2 s; a call after a failed one tries again.
    ///
    /// # Errors
    /// `no_plugin_runtime` and `plugin_runtime_failed`.
    pub async fn get(&self) -> Result<Program> {
        if self.bytes.is_empty() {
            return Err(Error::unavailable("no_plugin_runtime", NO_RUNTIME));
        }
        let (bytes, seats) = (self.bytes, self.seats);
        let mapped = self.python.get_or_try_init(|| async move {
            let mapping = tokio::task::spawn_blocking(move || Sandbox::new(seats)?.map(bytes));
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
        let words = match (self.bytes.is_empty(), self.python.initialized()) {
            (true, _) => "this build carries none: plugins are off",
            (false, true) => "in use",
            (false, false) => "not needed yet",
        };
        (true, words.to_owned())
    }
}

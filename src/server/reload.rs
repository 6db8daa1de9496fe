//! Taking in what was changed in the configuration while the server runs: the certificate and what is logged. Connections that
//! are open go on with the certificate that they began with.
//!
//! Invariant: what is wrong changes nothing: the whole configuration and the certificate are read and checked first.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::tls::{self, Tls};
use crate::base::error::Result;
use crate::base::telemetry;
use crate::config::{Config, KEYS};

/// Settings that count without a restart.
const AT_ONCE: [&str; 3] = ["log.level", "server.tls_cert", "server.tls_key"];

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// Of the certificate that new connections get: `SHA256:` and its digest; null over plain HTTP.
    pub fingerprint: Option<String>,
    /// Settings that were changed and count at once.
    pub changed: Vec<&'static str>,
    /// Settings that were changed and count after the next start.
    pub needs_restart: Vec<&'static str>,
}

/// A handle; clones share it.
#[derive(Clone)]
pub struct Reload(Arc<Inner>);

struct Inner {
    config: Mutex<Config>,
    tls: Option<watch::Sender<Tls>>,
}

impl Reload {
    /// Reads the certificate, unless the server speaks plain HTTP.
    ///
    /// # Errors
    /// `certificate`.
    pub fn new(config: &Config) -> Result<Self> {
        let tls = if config.http { None } else { Some(watch::Sender::new(tls::load(config)?)) };
        Ok(Self(Arc::new(Inner { config: Mutex::new(config.clone()), tls })))
    }

    /// The certificate of now and of later.
    pub fn tls(&self) -> Option<watch::Receiver<Tls>> {
        self.0.tls.as_ref().map(watch::Sender::subscribe)
    }

    /// Reads all sources again. Blocks.
    ///
    /// # Errors
    /// Those of [`Config::load`] and of the start; then nothing changed.
    pub fn again(&self) -> Result<Reloaded> {
        let mut config = self.0.config.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Config::load(&config.sources)?;
        super::check(&new)?;
        let tls = if config.http { None } else { Some(tls::load(&new)?) };
        telemetry::set_level(&new.log_level)?;
        let differs = KEYS.iter().filter(|setting| (setting.show)(&config) != (setting.show)(&new));
        let (mut changed, needs_restart): (Vec<_>, Vec<_>) =
            differs.map(|setting| setting.name).partition(|name| AT_ONCE.contains(name));
        let fingerprint = tls.as_ref().map(|tls| tls.fingerprint.clone());
        if let (Some(sender), Some(tls)) = (&self.0.tls, tls)
            && sender.borrow().fingerprint != tls.fingerprint
        {
            if !changed.iter().any(|name| name.starts_with("server.tls")) {
                changed.push("server.tls_cert");
            }
            sender.send_replace(tls);
        }
        config.log_level = new.log_level;
        (config.tls_cert, config.tls_key) = (new.tls_cert, new.tls_key);
        Ok(Reloaded { fingerprint, changed, needs_restart })
    }
}

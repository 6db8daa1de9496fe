//! Outgoing connections: names to addresses, TCP, TLS and Unix sockets, HTTP/1.1 over connections that are kept.
//!
//! Invariant: only hosts that [`Client::allow`] was told of are ever dialled, so an empty list proves zero egress; every
//! wait to connect is bounded; no thread or task outlives a call. What is said over a connection belongs to the rooms.

mod dial;
mod dns;
mod target;
mod tls;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::Uri;

pub use dial::{is_local, is_private};
pub use dns::Dns;
pub use target::{Place, Target, is_tls, server_of};
pub use tls::client_config;
pub use wire::{Endpoint, Reply, ReplyBody};

use crate::base::error::{Error, Kind, Result};

/// Which addresses a server is not dialled at, whatever its name resolves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    Nothing,
    /// Those that only this machine reaches.
    Machine,
    /// Those, and the private ones (RFC 1918, RFC 4193, RFC 6598) of the site.
    Site,
}

/// How the client connects.
#[derive(Debug, Clone)]
pub struct Options {
    /// For name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// PEM files with certificate authorities, besides the system's own file.
    pub ca_files: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), ca_files: Vec::new() }
    }
}

/// What dials; clones share the list of allowed hosts.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    allowed: RwLock<HashSet<(String, u16)>>,
    dns: Dns,
    tls: Arc<rustls::ClientConfig>,
    connect_timeout: Duration,
}

impl Client {
    /// A client that may dial nobody yet.
    ///
    /// # Errors
    /// When a CA file cannot be read or holds no certificate.
    pub fn new(dns: Dns, options: &Options) -> Result<Self> {
        let tls = Arc::new(tls::client_config(&options.ca_files)?);
        let inner = Inner { allowed: RwLock::default(), dns, tls, connect_timeout: options.connect_timeout };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Lets `host` (a name or an address, without brackets) be dialled on `port`. Unix sockets need no leave.
    pub fn allow(&self, host: &str, port: u16) {
        self.inner.allowed.write().unwrap_or_else(PoisonError::into_inner).insert((host.to_ascii_lowercase(), port));
    }

    /// Lets these hosts be dialled and no others any more. Kept connections to others stay until they are idle.
    pub fn allow_only(&self, hosts: impl IntoIterator<Item = (String, u16)>) {
        let hosts = hosts.into_iter().map(|(host, port)| (host.to_ascii_lowercase(), port)).collect();
        *self.inner.allowed.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Whether `host` may be dialled on `port`.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.inner.allowed.read().unwrap_or_else(PoisonError::into_inner).contains(&(host.to_ascii_lowercase(), port))
    }

    /// Another client with the same trust and name servers, that may dial nobody yet.
    #[must_use]
    pub fn sibling(&self) -> Self {
        let Inner { dns, tls, connect_timeout, .. } = &*self.inner;
        let (dns, tls, connect_timeout) = (dns.clone(), tls.clone(), *connect_timeout);
        Self { inner: Arc::new(Inner { allowed: RwLock::default(), dns, tls, connect_timeout }) }
    }

    /// A server at `target`, with a pool of kept connections of its own.
    ///
    /// # Errors
    /// When the host cannot be written into a header.
    pub fn endpoint(&self, target: Target) -> Result<Endpoint> {
        Endpoint::new(self.clone(), target, Fence::Nothing)
    }

    /// The same for a server that is dialled in the network only, never on this machine itself.
    ///
    /// # Errors
    /// When the host cannot be written into a header.
    pub fn fenced_endpoint(&self, target: Target) -> Result<Endpoint> {
        Endpoint::new(self.clone(), target, Fence::Machine)
    }

    /// The same for a server that is dialled outside of the site's own networks only.
    ///
    /// # Errors
    /// When the host cannot be written into a header.
    pub fn outside_endpoint(&self, target: Target) -> Result<Endpoint> {
        Endpoint::new(self.clone(), target, Fence::Site)
    }

    /// The server of an absolute `http` or `https` address, and another client that may dial it and nobody else.
    pub fn towards(&self, uri: &Uri) -> (Self, Target) {
        let (host, port) = server_of(uri);
        let client = self.sibling();
        client.allow(&host, port);
        (client, Target { place: Place::Tcp { host, port, tls: is_tls(uri) }, base: String::new() })
    }

    fn check(&self, host: &str, port: u16) -> Result<()> {
        if self.allows(host, port) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Forbidden,
            "egress_refused",
            format!(
                "{host}:{port} is not among the hosts this site may reach. Configure a model provider there first."
            ),
        ))
    }
}

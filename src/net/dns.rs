//! Names to addresses without the C library: /etc/hosts, then the servers of /etc/resolv.conf.
//!
//! Invariant: no server is ever asked that the site did not configure; without a configuration only addresses,
//! `localhost` and /etc/hosts resolve.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};

use crate::base::error::{Error, Result};

/// The site's resolver; clones share its cache.
#[derive(Clone)]
pub struct Dns(Arc<TokioResolver>);

impl Dns {
    /// Reads the system's files; one that is missing or unreadable counts as empty.
    ///
    /// # Errors
    /// When the resolver cannot be built from what the files say.
    pub fn from_system() -> Result<Self> {
        let provider = TokioRuntimeProvider::default;
        let mut builder = Resolver::builder(provider()).unwrap_or_else(|_| {
            Resolver::builder_with_config(ResolverConfig::from_name_servers(Vec::new()), provider())
        });
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build().map_err(|cause| {
            Error::unavailable("resolver", "The resolver cannot be set up. Check /etc/resolv.conf.").caused_by(cause)
        })?;
        Ok(Self(Arc::new(resolver)))
    }

    /// The addresses of `host`, at least one.
    ///
    /// # Errors
    /// `unknown_host` when nobody who was asked knows it.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let unknown = || {
            Error::upstream(
                "unknown_host",
                format!(
                    "The host name {host} does not resolve. Check it, /etc/hosts and the servers of /etc/resolv.conf."
                ),
            )
        };
        let found = self.0.lookup_ip(host).await.map_err(|cause| unknown().caused_by(cause))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
    }
}

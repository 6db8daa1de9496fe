//! Names to addresses without the C library: /etc/hosts, then the servers of /etc/resolv.conf.
//!
//! Invariant: no server is ever asked that the site did not configure; without a configuration only addresses,
//! `localhost` and /etc/hosts resolve.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, ResolverBuilder, TokioResolver};
use tokio::runtime::Handle;

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
        Self::build(Resolver::builder(provider()).unwrap_or_else(|_| {
            Resolver::builder_with_config(ResolverConfig::from_name_servers(Vec::new()), provider())
        }))
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self> {
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

    /// [`Dns::resolve`] for threads outside the runtime that this is called on; they wait at most `limit`. The runtime
    /// must outlive what is returned.
    pub fn blocking(&self, limit: Duration) -> impl Fn(&str) -> Result<Vec<IpAddr>> + Send + Sync + 'static {
        let (dns, runtime) = (self.clone(), Handle::current());
        move |host| {
            runtime.block_on(async {
                tokio::time::timeout(limit, dns.resolve(host)).await.unwrap_or_else(|_| Err(too_slow(host, limit)))
            })
        }
    }
}

fn too_slow(host: &str, limit: Duration) -> Error {
    let sentence = format!(
        "Nobody told the address of {host} within {} s. Check that the servers of /etc/resolv.conf answer.",
        limit.as_secs_f32()
    );
    Error::upstream("unknown_host", sentence)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::base::tasks::Tasks;

    /// A resolver that asks `server`.
    fn asking(server: &UdpSocket) -> Dns {
        let address = server.local_addr().unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = address.port();
        let mut server = NameServerConfig::udp(address.ip());
        server.connections = vec![connection];
        let config = ResolverConfig::from_name_servers(vec![server]);
        Dns::build(Resolver::builder_with_config(config, TokioRuntimeProvider::default())).unwrap()
    }

    /// Says 192.0.2.7 to every question for an IPv4 address, and that there is none to others (RFC 1035, section 4).
    async fn name_server(socket: UdpSocket) {
        let mut packet = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut packet).await {
            let mut end = 12;
            while packet[end] != 0 {
                end += usize::from(packet[end]) + 1;
            }
            assert!(end + 5 <= length);
            let is_ipv4 = packet[end + 1..end + 3] == [0, 1];
            let mut answer = [&packet[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]].concat();
            answer.extend_from_slice(&packet[12..end + 5]);
            if is_ipv4 {
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            }
            socket.send_to(&answer, asker).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_thread_outside_the_runtime_learns_the_address_of_a_name() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolve = asking(&socket).blocking(Duration::from_secs(30));
        let tasks = Tasks::default();
        tasks.spawn_until_stop(name_server(socket));
        let found = tokio::task::spawn_blocking(move || resolve("db.site.example.")).await.unwrap();
        assert_eq!(found.unwrap(), [IpAddr::from([192, 0, 2, 7])]);
        assert!(tasks.shut_down(Duration::from_secs(30)).await);
    }

    #[tokio::test]
    async fn a_thread_outside_the_runtime_waits_for_a_silent_server_no_longer_than_told() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolve = asking(&silent).blocking(Duration::from_millis(50));
        let found = tokio::task::spawn_blocking(move || resolve("db.site.example.")).await.unwrap();
        let error = found.unwrap_err();
        assert_eq!(error.code(), "unknown_host");
        assert!(error.message().contains("db.site.example. within 0.05 s"), "{error}");
    }
}

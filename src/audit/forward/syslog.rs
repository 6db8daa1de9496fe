//! A syslog server over TLS (RFC 5425), or over plain TCP on this machine (RFC 6587, octet counting).
//!
//! Invariants: nothing crosses a network in the clear. Syslog has no answer that says what arrived, so a batch counts as
//! arrived once the connection has lived on for [`SETTLED_AFTER`]; what the server's machine has not acknowledged within
//! [`UNACKNOWLEDGED`] ends the connection before that. What a server took and lost by itself cannot be seen from here.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::Uri;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::{Forwarded, Marks, Sink, failed, line};
use crate::base::error::{Error, Result};
use crate::net::Client;

const TLS_PORT: u16 = 6514;
const TCP_PORT: u16 = 601;
const SETTLED_AFTER: Duration = Duration::from_secs(10);
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// The longest a server may take nothing of a batch.
const STUCK: Duration = Duration::from_secs(30);

/// A syslog server, as an administrator writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogServer {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl SyslogServer {
    /// Reads `tls://host[:port]`, or `tcp://host[:port]` on this machine.
    ///
    /// # Errors
    /// `invalid_url`, saying what is wrong.
    pub fn parse(url: &str) -> Result<Self> {
        let refused = |why: &str| {
            let sentence =
                format!("`{url}` is not the address of a syslog server: {why}. Write one like tls://logs.site:6514.");
            Error::invalid("invalid_url", sentence).field("audit.syslog")
        };
        let uri: Uri = url.parse().map_err(|_| refused("it is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("tls") => true,
            Some("tcp") => false,
            _ => return Err(refused("it must start with tls:// or tcp://")),
        };
        let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/") && !url.contains(['@', '#', '?']);
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if !bare || host.is_empty() {
            return Err(refused("it has a host and a port and nothing else"));
        }
        let port = match uri.authority().and_then(|authority| authority.as_str().rsplit_once(':')) {
            Some((_, digits)) if !digits.contains(']') => {
                digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| refused("the port is none"))?
            }
            _ if tls => TLS_PORT,
            _ => TCP_PORT,
        };
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !tls && !here {
            return Err(refused("tcp:// is for a server on this machine, as the trail names people; use tls://"));
        }
        Ok(Self { host, port, tls })
    }
}

impl fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "tcp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

pub(super) struct Syslog {
    client: Client,
    server: SyslogServer,
    writer: line::Writer,
    wire: Option<Box<dyn Wire>>,
    /// When batches were sent that did not settle yet.
    sent: VecDeque<Instant>,
}

impl Syslog {
    pub fn new(client: Client, server: SyslogServer, marks: Marks) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { client, server, writer: line::Writer::new(&host, marks), wire: None, sent: VecDeque::new() }
    }

    async fn connect(&self) -> Result<Box<dyn Wire>> {
        let SyslogServer { host, port, tls } = &self.server;
        let found = self.client.resolve(host, *port).await?;
        let tcp = self.client.connect(host, &found, *port).await?;
        let limit = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(&tcp, limit).map_err(std::io::Error::from)?;
        if !tls {
            return Ok(Box::new(tcp));
        }
        Ok(Box::new(self.client.secure(host, *port, tcp).await?))
    }

    fn gone(&self, why: impl fmt::Display) -> Error {
        failed(format!("The connection to the syslog server {} ended: {why}. Check that it runs.", self.server))
    }
}

impl Sink for Syslog {
    async fn open(&mut self) -> Result<()> {
        if self.wire.is_none() {
            self.sent.clear();
            self.wire = Some(self.connect().await?);
        }
        Ok(())
    }

    async fn take(&mut self, entries: &[Forwarded]) -> Result<()> {
        let mut bytes = Vec::with_capacity(entries.len() * 1024);
        entries.iter().try_for_each(|entry| line::syslog(&self.writer, entry, &mut bytes))?;
        let Some(wire) = self.wire.as_mut() else { return Err(self.gone("it is closed")) };
        let write = async {
            wire.write_all(&bytes).await?;
            wire.flush().await
        };
        match tokio::time::timeout(STUCK, write).await {
            Ok(Ok(())) => self.sent.push_back(Instant::now()),
            Ok(Err(cause)) => return Err(self.gone(cause)),
            Err(_) => return Err(self.gone(format!("it took nothing for {} s", STUCK.as_secs()))),
        }
        Ok(())
    }

    async fn settled(&mut self) -> Result<usize> {
        let mut said = [0; 512];
        let heard = match self.wire.as_mut() {
            Some(wire) => wire.read(&mut said).now_or_never(),
            None => None,
        };
        match heard {
            // A server has nothing to say; what it says means nothing.
            None | Some(Ok(1..)) => {}
            Some(Ok(0)) => return Err(self.gone("it closed it")),
            Some(Err(cause)) => return Err(self.gone(cause)),
        }
        let settled = self.sent.iter().take_while(|sent| sent.elapsed() >= SETTLED_AFTER).count();
        self.sent.drain(..settled);
        Ok(settled)
    }

    fn close(&mut self) {
        self.wire = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_written() {
        let shown = |url| SyslogServer::parse(url).unwrap().to_string();
        assert_eq!(shown("tls://Logs.site"), "tls://logs.site:6514");
        assert_eq!(shown("tls://logs.site:1514"), "tls://logs.site:1514");
        assert_eq!(shown("tcp://127.0.0.1"), "tcp://127.0.0.1:601");
        assert_eq!(shown("tcp://[::1]:514"), "tcp://[::1]:514");
        for bad in [
            "",
            "logs.site",
            "udp://logs.site",
            "tls://",
            "tls://u@logs.site",
            "tls://logs.site/x",
            "tls://logs.site:0",
            "tls://logs.site:70000",
            "tcp://logs.site",
            "tcp://10.0.0.1",
        ] {
            assert_eq!(SyslogServer::parse(bad).map_err(|error| error.code()), Err("invalid_url"), "{bad}");
        }
    }
}

//! One connection to a server: name, TCP, TLS or Unix socket, within the connect timeout.
//!
//! Invariant: a fenced server is never one that only this machine reaches, whatever its name resolves to: it is the
//! address dialled that is looked at, so a name that changes its mind after it was checked gains nothing.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::CertificateError;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::target::{Place, Target};
use super::{Client, Fence, Inner};
use crate::base::error::{Error, Kind, Result};

/// A connected byte stream of any kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// Connects to `target`, only at an address that `fence` lets through.
///
/// # Errors
/// `egress_refused`, `unknown_host`, `unreachable` and `tls_failed`, naming the server.
pub(super) async fn dial(client: &Client, target: &Target, fence: Fence) -> Result<Stream> {
    if let Place::Tcp { host, port, .. } = &target.place {
        client.check(host, *port)?;
    }
    let limit = client.inner.connect_timeout;
    match tokio::time::timeout(limit, connect(&client.inner, target, fence)).await {
        Ok(connected) => connected,
        Err(_) => Err(too_slow(target, limit)),
    }
}

fn too_slow(target: impl fmt::Display, limit: Duration) -> Error {
    unreachable(target, &format!("no connection within {} s", limit.as_secs_f32()))
}

fn unreachable(target: impl fmt::Display, why: &str) -> Error {
    let sentence =
        format!("The server at {target} cannot be reached: {why}. Check that it runs and that its address is right.");
    Error::upstream("unreachable", sentence)
}

async fn connect(inner: &Inner, target: &Target, fence: Fence) -> Result<Stream> {
    let (host, port, tls) = match &target.place {
        Place::Unix(_) if fence != Fence::Nothing => return Err(fenced_off(target, "a Unix socket", fence)),
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            return stream.map(Stream::Unix).map_err(|cause| unreachable(target, &words(&cause)).caused_by(cause));
        }
        Place::Tcp { host, port, tls } => (host, *port, *tls),
    };
    let mut addresses = inner.dns.resolve(host).await?;
    if fence != Fence::Nothing {
        let first = addresses.first().copied();
        let inside = |address: IpAddr| is_local(address) || (fence == Fence::Site && is_private(address));
        addresses.retain(|address| !inside(*address));
        if let Some(first) = first.filter(|_| addresses.is_empty()) {
            return Err(fenced_off(target, &first.to_string(), fence));
        }
    }
    let tcp = connect_any(target, &addresses, port).await?;
    if !tls {
        return Ok(Stream::Tcp(tcp));
    }
    secure(inner, target, host, tcp).await.map(|tls| Stream::Tls(Box::new(tls)))
}

/// TLS over a connection to `host`, whose certificate must be valid for that name.
async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    inner: &Inner,
    target: impl fmt::Display,
    host: &str,
    stream: S,
) -> Result<TlsStream<S>> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|cause| tls_failed(&target, &cause.to_string(), MEND_TLS))?;
    let connector = TlsConnector::from(inner.tls.clone());
    connector
        .connect(name, stream)
        .await
        .map_err(|cause| tls_failed(&target, &cause.to_string(), mend_tls(&cause)).caused_by(cause))
}

/// For what speaks another protocol than HTTP: the steps of a connection one by one, so that each can be told of.
impl Client {
    /// The addresses of `host`, when it may be dialled on `port`.
    ///
    /// # Errors
    /// `egress_refused` and `unknown_host`; `unreachable` when nobody answers within the connect timeout.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<IpAddr>> {
        self.check(host, port)?;
        self.in_time(&Name(host, port), self.inner.dns.resolve(host)).await
    }

    /// A connection to the first of `addresses` that takes one, without TLS. `host` is for the words.
    ///
    /// # Errors
    /// `egress_refused` and `unreachable`, naming the server.
    pub async fn connect(&self, host: &str, addresses: &[IpAddr], port: u16) -> Result<TcpStream> {
        self.check(host, port)?;
        let name = Name(host, port);
        self.in_time(&name, connect_any(&name, addresses, port)).await
    }

    /// TLS over a connection to `host`, whose certificate must be valid for that name.
    ///
    /// # Errors
    /// `tls_failed` with what to do; `unreachable` when it takes longer than the connect timeout.
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        port: u16,
        stream: S,
    ) -> Result<TlsStream<S>> {
        let name = Name(host, port);
        self.in_time(&name, secure(&self.inner, &name, host, stream)).await
    }

    async fn in_time<T>(&self, name: &Name<'_>, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.inner.connect_timeout;
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(too_slow(name, limit)))
    }
}

/// A server that is no URL.
struct Name<'a>(&'a str, u16);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]:{}", self.0, self.1) } else { write!(f, "{}:{}", self.0, self.1) }
    }
}

/// Whether `address` belongs to no public network: private use (RFC 1918, RFC 4193), shared (RFC 6598), or an IPv4 address
/// of these in an IPv6 one.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private()
                || v4.is_broadcast()
                || v4.is_multicast()
                || (first == 100 && (64..128).contains(&second))
                || first == 0
        }
        IpAddr::V6(v6) => {
            let translated = || {
                let [.., high, low] = v6.segments();
                let embedded = std::net::Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
                v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
                    && (is_private(embedded.into()) || is_local(embedded.into()))
            };
            v6.is_unique_local() || v6.is_multicast() || translated()
        }
    }
}

fn fenced_off(target: &Target, what: &str, fence: Fence) -> Error {
    if fence == Fence::Site {
        let sentence = format!("The server at {target} is reached at {what}, an address of this site's own network.");
        return Error::new(Kind::Forbidden, "egress_refused", sentence);
    }
    let sentence = format!(
        "The server at {target} is reached at {what}, which only this machine reaches and where other services trust whoever calls, so it is not called for an organisation. Give its address in the network, or ask an administrator of the site to offer it."
    );
    Error::new(Kind::Forbidden, "egress_refused", sentence)
}

/// Whether `address` is loopback, unspecified (which reaches loopback) or link-local (where clouds keep credentials).
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_unspecified() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local(),
    }
}

const MEND_TLS: &str = "Check its certificate and the site's CA file (network.ca_file)";

/// What to do about what rustls does not take.
fn mend_tls(cause: &io::Error) -> &'static str {
    let cause = cause.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let certificate = match cause {
        Some(rustls::Error::InvalidCertificate(certificate)) => certificate,
        Some(rustls::Error::InvalidMessage(_)) => {
            return "It does not speak TLS on this port: check the port, and how TLS begins there";
        }
        _ => return MEND_TLS,
    };
    match certificate {
        // Of webpki's own; rustls has no name for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "Its certificate is an authority's own (CA:TRUE), which no server may show: make one for the server, signed by \
             that authority, and name the authority's in network.ca_file"
        }
        CertificateError::UnknownIssuer => {
            "No authority that this site trusts has signed its certificate: name that one in network.ca_file"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "Its certificate is for another name: use the name that stands in it"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "Its certificate has run out: renew it, and check both clocks"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "Its certificate does not count yet: check both clocks"
        }
        _ => MEND_TLS,
    }
}

fn tls_failed(target: impl fmt::Display, why: &str, mend: &str) -> Error {
    Error::upstream("tls_failed", format!("The TLS connection to {target} failed: {why}. {mend}."))
}

async fn connect_any(target: &impl fmt::Display, addresses: &[IpAddr], port: u16) -> Result<TcpStream> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect((*address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(cause) => last = Some(cause),
        }
    }
    let why = last.as_ref().map_or_else(|| "it has no address".to_owned(), words);
    Err(unreachable(target, &why))
}

/// The operating system's words in the middle of a sentence of ours.
fn words(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::ConnectionRefused => "it refused the connection".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        _ => cause.to_string(),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}

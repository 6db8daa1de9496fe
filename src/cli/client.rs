//! The HTTP client of the commands: JSON calls, lists by page, and bodies that stream.
//!
//! Invariant: every wait and every body has a bound; a reply that is not a success becomes a [`Failure`] with the server's
//! own words. Which server to ask is `login`'s decision.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::http::request;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cli::connect::{self, Trust, unreachable};
use crate::cli::failure::{Exit, Failure, Result};

/// For name look-up, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(10);
/// Until the head of the reply; an installation compiles a plugin meanwhile.
const REPLY: Duration = Duration::from_secs(180);
/// Between two pieces of a body. The event stream sends a comment more often than that.
const PIECE: Duration = Duration::from_secs(90);
/// For the whole of a body that is kept in memory.
const WHOLE: Duration = Duration::from_secs(300);
/// The most of a JSON body that is kept in memory.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// The most pages that one list is followed over.
const PAGES: usize = 200;

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    Unix(PathBuf),
    /// `trust` is absent for plain HTTP.
    Tcp {
        host: String,
        port: u16,
        trust: Option<Trust>,
    },
}

impl Door {
    /// Reads `https://host[:port]`, `http://host[:port]` or `unix:/path`.
    ///
    /// # Errors
    /// Wrong usage, with what an address looks like.
    pub fn parse(url: &str, trust: Trust) -> Result<Self> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let refused = || {
            Failure::usage(format!("\"{url}\" is not a server's address. It looks like https://resoftai.example:8443."))
        };
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let host = uri.host().ok_or_else(refused)?.trim_matches(['[', ']']).to_owned();
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || url.contains('@') {
            return Err(refused());
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self::Tcp { host, port: uri.port_u16().unwrap_or(443), trust: Some(trust) }),
            Some("http") => Ok(Self::Tcp { host, port: uri.port_u16().unwrap_or(80), trust: None }),
            _ => Err(refused()),
        }
    }

    /// Whether the server is on this machine, and its files are at hand.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// Whether a password sent here could be read on the way.
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp { host, trust: None, .. } => {
                host != "localhost" && !host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            _ => false,
        }
    }

    fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { trust, .. } => {
                write!(f, "{}://{}", if trust.is_some() { "https" } else { "http" }, self.authority())
            }
        }
    }
}

/// A part of a list.
#[derive(Debug, Default)]
pub struct Page {
    pub items: Vec<Value>,
    /// There is more behind it.
    pub next_cursor: Option<String>,
}

/// What asks the server.
#[derive(Debug, Clone)]
pub struct Client {
    door: Door,
    token: Option<String>,
}

impl Client {
    pub fn new(door: Door, token: Option<String>) -> Self {
        Self { door, token }
    }

    pub fn door(&self) -> &Door {
        &self.door
    }

    /// # Errors
    /// What the server said, or that there is none; so for every call below.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// A POST that carries nothing, as the verbs of a run and a plugin are.
    pub async fn act(&self, path: &str) -> Result<Value> {
        self.call(Method::POST, path, None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.call(Method::DELETE, path, None).await
    }

    /// A DELETE that says something besides, such as a word of confirmation.
    pub async fn delete_with(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::DELETE, path, Some(body)).await
    }

    /// The first `most` items of a list, over as many pages as that takes.
    pub async fn list(&self, path: &str, filters: &[(&str, Option<String>)], most: usize) -> Result<Page> {
        let mut page = Page::default();
        for _ in 0..PAGES {
            let left = most - page.items.len();
            let mut query = vec![("limit", Some(left.min(100).to_string())), ("cursor", page.next_cursor.take())];
            query.extend_from_slice(filters);
            let mut part = self.get(&format!("{path}{}", query_string(&query))).await?;
            let Value::Array(items) = part["items"].take() else {
                return Err(Failure::new(Exit::Failed, "no_list", format!("{path} did not answer with a list.")));
            };
            page.items.extend(items);
            page.next_cursor = part["next_cursor"].as_str().map(str::to_owned);
            if page.items.len() >= most || page.next_cursor.is_none() {
                break;
            }
        }
        page.items.truncate(most);
        Ok(page)
    }

    /// Everything of a list that is known to be short enough to look a name up in.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>> {
        Ok(self.list(path, &[], PAGES * 100).await?.items)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(|value| ("application/json", Bytes::from(value.to_string())));
        let reply = self.send(method, path, body, "application/json", None).await?;
        self.json(path, reply).await
    }

    /// A POST of something that is not JSON, with an answer that is.
    pub async fn upload(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Value> {
        let body = Some((content_type, Bytes::from(body)));
        let reply = self.send(Method::POST, path, body, "application/json", None).await?;
        self.json(path, reply).await
    }

    /// A PUT of bytes, with an answer that is JSON.
    pub async fn put_bytes(&self, path: &str, body: Vec<u8>) -> Result<Value> {
        let body = Some(("application/octet-stream", Bytes::from(body)));
        let reply = self.send(Method::PUT, path, body, "application/json", None).await?;
        self.json(path, reply).await
    }

    /// A POST of something that is made while it is sent and may take hours, with an answer that is JSON. `sent` counts what
    /// left; as long as it grows, the answer is waited for.
    pub async fn upload_stream<S>(&self, path: &str, content_type: &str, body: S, sent: &AtomicU64) -> Result<Value>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let body = StreamBody::new(body.map(|piece| piece.map(Frame::data)));
        let request = self.head(Method::POST, path, "application/json").header(header::CONTENT_TYPE, content_type);
        let request = request.body(body).map_err(|cause| unaskable(&cause))?;
        let reply = self.exchange(request, Some(sent)).await?;
        let reply = self.succeeded(reply).await?;
        self.json(path, reply).await
    }

    async fn json(&self, path: &str, reply: Reply) -> Result<Value> {
        let bytes = reply.whole().await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|cause| {
            let detail = format!(
                "{} answered {path} with something that is not JSON ({cause}). Is it a ResoftAI server?",
                self.door
            );
            Failure::new(Exit::Failed, "not_json", detail)
        })
    }

    /// A GET whose body is read piece by piece.
    pub async fn open(&self, path: &str, accept: &str, last_event: Option<&str>) -> Result<Reply> {
        self.send(Method::GET, path, None, accept, last_event).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Bytes)>,
        accept: &str,
        last_event: Option<&str>,
    ) -> Result<Reply> {
        let mut request = self.head(method, path, accept);
        if let Some((content_type, _)) = &body {
            request = request.header(header::CONTENT_TYPE, *content_type);
        }
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let body = Full::new(body.map(|(_, bytes)| bytes).unwrap_or_default());
        let request = request.body(body).map_err(|cause| unaskable(&cause))?;
        let reply = self.exchange(request, None).await?;
        self.succeeded(reply).await
    }

    fn head(&self, method: Method, path: &str, accept: &str) -> request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.door.authority())
            .header(header::USER_AGENT, concat!("resoftai/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, accept);
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    async fn succeeded(&self, reply: Reply) -> Result<Reply> {
        let status = reply.body.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(reply);
        }
        let failure = Failure::from_reply(status, &reply.whole().await?);
        Err(match (failure.code(), &self.door) {
            ("not_signed_in", Door::Unix(_)) => failure,
            ("not_signed_in" | "token_refused", door) => {
                failure.and(&format!("From here: `resoftai login --server {door}`."))
            }
            _ => failure,
        })
    }

    /// `sent` counts what leaves of a body that is made while it is sent.
    async fn exchange<B>(&self, request: Request<B>, sent: Option<&AtomicU64>) -> Result<Reply>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let connecting = async {
            match &self.door {
                Door::Unix(path) => connect::unix(path).await,
                Door::Tcp { host, port, trust } => connect::tcp(host, *port, trust.as_ref()).await,
            }
        };
        let stream = timeout(CONNECT, connecting).await.map_err(|_| {
            unreachable(&format!("{} did not take a connection within {} s.", self.door, CONNECT.as_secs()))
        })??;
        let broke = |cause: &dyn fmt::Display| {
            unreachable(&format!("The connection to {} broke ({cause}). Try again.", self.door))
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|cause| broke(&cause))?;
        let mut driver = JoinSet::new();
        // How a connection ends shows in the reply that it carries.
        driver.spawn(async move { drop(connection.await) });
        let mut answer = pin!(sender.send_request(request));
        loop {
            let before = sent.map(|sent| sent.load(Ordering::Relaxed));
            return match timeout(REPLY, answer.as_mut()).await {
                Ok(Ok(body)) => Ok(Reply { body, server: self.door.to_string(), _driver: driver }),
                Ok(Err(cause)) => Err(broke(&cause)),
                Err(_) if sent.map(|sent| sent.load(Ordering::Relaxed)) != before => continue,
                Err(_) => Err(unreachable(&format!("{} did not answer within {} s.", self.door, REPLY.as_secs()))),
            };
        }
    }
}

fn unaskable(cause: &dyn fmt::Display) -> Failure {
    Failure::usage(format!("This cannot be asked of a server ({cause}). Check the names and the token."))
}

/// A reply whose body is still to be read.
pub struct Reply {
    body: hyper::Response<Incoming>,
    server: String,
    /// Moves the bytes of the connection; ends when the reply is dropped.
    _driver: JoinSet<()>,
}

impl Reply {
    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// `unreachable` when the connection broke, or nothing came for a long while.
    pub async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = timeout(PIECE, self.body.frame()).await;
            let lost = |why: &str| unreachable(&format!("The connection to {} was lost ({why}).", self.server));
            match frame {
                Err(_) => return Err(lost("nothing came for a while")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(cause))) => return Err(lost(&cause.to_string())),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    async fn whole(self) -> Result<Vec<u8>> {
        let late = unreachable(&format!("{} did not end its answer within {} s.", self.server, WHOLE.as_secs()));
        timeout(WHOLE, self.collect()).await.map_err(|_| late)?
    }

    async fn collect(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await? {
            if bytes.len() + piece.len() > BODY_LIMIT {
                let detail = format!("{} answered with more than {BODY_LIMIT} bytes.", self.server);
                return Err(Failure::new(Exit::Limit, "reply_too_large", detail));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

/// `?a=b&c=d` of what has a value, or nothing.
pub fn query_string(pairs: &[(&str, Option<String>)]) -> String {
    let given: Vec<String> = pairs
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", escape(value))))
        .collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

/// Percent-encodes a path segment or a query value (RFC 3986: all but the unreserved).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte as char),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn door(url: &str) -> Result<Door> {
        Door::parse(url, Trust::default())
    }

    #[test]
    fn addresses_name_a_door() {
        assert_eq!(door("unix:/run/x.sock").unwrap(), Door::Unix("/run/x.sock".into()));
        assert_eq!(door("https://box.site/").unwrap().to_string(), "https://box.site:443");
        assert_eq!(door("http://[::1]:8080").unwrap().to_string(), "http://[::1]:8080");
        for wrong in ["box.site", "ftp://box", "https://box/path", "https://me@box", "https://", ""] {
            assert_eq!(door(wrong).unwrap_err().exit(), Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn only_plain_http_to_another_machine_is_exposed() {
        assert!(door("http://box.site").unwrap().is_exposed());
        for safe in ["https://box.site", "http://127.0.0.1:80", "http://[::1]", "http://localhost", "unix:/s"] {
            assert!(!door(safe).unwrap().is_exposed(), "{safe}");
        }
    }

    #[test]
    fn queries_are_escaped() {
        let pairs = [("a", Some("x y&z=ü".to_owned())), ("b", None), ("c", Some("1".to_owned()))];
        assert_eq!(query_string(&pairs), "?a=x%20y%26z%3D%C3%BC&c=1");
        assert_eq!(query_string(&[("a", None)]), "");
    }
}

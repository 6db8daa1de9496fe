//! Requests of plugins to hosts that they were granted.
//!
//! Invariant: every host of an exchange, also one that a redirect names, is among those granted when it is dialled. The
//! site's own network, by name or by number, is reached only at a host that an administrator of the site granted by its
//! exact name. Sizes and time are bounded, and nothing of the platform goes along.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use resoftai_sandbox::{HttpRequest, HttpResponse};
use tokio::time::timeout;

use super::PluginHost;
use crate::net::{ReplyBody, is_tls, server_of};
use crate::plugins::capabilities::{Http, covers_host};

const LONGEST: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 5;
/// Replies that one call reads at once.
const MAX_OPEN: usize = 4;
const MAX_URL: usize = 8_000;
/// Headers that belong to the connection, which is not the plugin's.
const OURS: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
];

/// One step of an exchange.
struct Step {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl PluginHost {
    pub(super) async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, String> {
        let patience = self.patience(&request);
        let exchange = timeout(patience, async { self.exchange(request).await?.whole().await }).await;
        exchange.unwrap_or_else(|_| Err(no_answer(patience)))
    }

    /// The same up to the head of the reply; the rest is read with [`Self::next`] until [`Self::close`] or the end of the call.
    pub(super) async fn open(&self, request: HttpRequest) -> Result<(u32, HttpResponse), String> {
        let patience = self.patience(&request);
        if self.replies().len() >= MAX_OPEN {
            return Err(format!("{MAX_OPEN} replies are open. Read or close one of them first."));
        }
        let opened = timeout(patience, self.exchange(request)).await;
        let mut reply = opened.unwrap_or_else(|_| Err(no_answer(patience)))?;
        reply.patience = patience;
        let head = HttpResponse {
            status: reply.head.status,
            headers: std::mem::take(&mut reply.head.headers),
            body: Vec::new(),
        };
        let mut replies = self.replies();
        let number = (1..).find(|number| !replies.contains_key(number)).unwrap_or_default();
        replies.insert(number, reply);
        Ok((number, head))
    }

    /// The next bytes of an open reply; None at its end, which closes it.
    pub(super) async fn next(&self, number: u32) -> Result<Option<Vec<u8>>, String> {
        // Out of the list while it is read: a call that is dropped takes the connection with it.
        let mut reply = self.replies().remove(&number).ok_or_else(|| format!("There is no open reply {number}."))?;
        self.granted_http(&reply.step)?;
        let patience = reply.patience;
        let piece = timeout(patience, reply.next()).await;
        let piece = piece.unwrap_or_else(|_| Err(no_answer(patience)))?;
        if piece.is_some() {
            self.replies().insert(number, reply);
        }
        Ok(piece)
    }

    /// How long the plugin is willing to wait, within what it may.
    fn patience(&self, request: &HttpRequest) -> Duration {
        let longest = self.about().patience.unwrap_or(LONGEST);
        Duration::from_millis(request.timeout_ms.into()).clamp(Duration::from_millis(1), longest)
    }

    pub(super) fn close(&self, number: u32) {
        self.replies().remove(&number);
    }

    async fn exchange(&self, request: HttpRequest) -> Result<Open, String> {
        let mut step = self.first_step(request)?;
        for _ in 0..=MAX_REDIRECTS {
            let (granted, by_site) = self.granted_http(&step)?;
            let reply = self.send(&step, &granted, by_site).await?;
            match redirect(&step, &reply.head)? {
                Some(next) => step = next,
                None => return Ok(reply),
            }
        }
        Err(format!("The answer is the {}th redirect in a row. Ask for the address it leads to.", MAX_REDIRECTS + 1))
    }

    fn first_step(&self, request: HttpRequest) -> Result<Step, String> {
        let HttpRequest { method, url, headers, body, .. } = request;
        let mut kept = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::try_from(&name).map_err(|_| format!("{name:?} is no name of a header."))?;
            if !OURS.contains(&name.as_str()) {
                let value = HeaderValue::try_from(&value)
                    .map_err(|_| format!("The header {name} has a value that none may have."))?;
                kept.append(name, value);
            }
        }
        let agent = format!("resoftai-plugin/{}", self.slug());
        let agent = HeaderValue::try_from(agent).map_err(|cause| cause.to_string())?;
        kept.entry(USER_AGENT).or_insert(agent);
        let method = Method::try_from(method.as_str()).map_err(|_| format!("{method:?} is no method."))?;
        Ok(Step { method, uri: parse(&url)?, headers: kept, body: body.into() })
    }

    /// The grant for this step as it is now, and whether the host may lie in the site's own network.
    fn granted_http(&self, step: &Step) -> Result<(Http, bool), String> {
        let powers = self.powers();
        let (host, port) = server_of(&step.uri);
        let authority = if [80, 443].contains(&port) { host.clone() } else { format!("{host}:{port}") };
        let Some(http) = powers.capabilities.http else {
            return Err(self.denied("http", &format!("requests to {authority}")));
        };
        let exact = |pattern: &String| !pattern.starts_with("*.") && covers_host(pattern, &with_port(&host, port));
        let wide = |pattern: &String| covers_host(pattern, &with_port(&host, port));
        if !http.hosts.iter().any(wide) {
            return Err(self.denied("http", &format!("requests to {authority}")));
        }
        if !http.methods.iter().any(|method| method == step.method.as_str()) {
            return Err(self.denied("http", &format!("the method {} at {authority}", step.method)));
        }
        if step.body.len() as u64 > http.max_bytes {
            let (size, most) = (step.body.len(), http.max_bytes);
            return Err(self.denied("http", &format!("a request of {size} bytes, more than {most},")));
        }
        let by_site = powers.by_site && http.hosts.iter().any(exact);
        Ok((http, by_site))
    }

    async fn send(&self, step: &Step, granted: &Http, by_site: bool) -> Result<Open, String> {
        let (host, _) = server_of(&step.uri);
        let (client, target) = self.doors.client.towards(&step.uri);
        let endpoint = if by_site { client.endpoint(target) } else { client.outside_endpoint(target) };
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let path = step.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::try_from(path).map_err(|cause| cause.to_string())?;
        let sent = endpoint.send(step.method.clone(), uri, step.headers.clone(), step.body.clone()).await;
        let reply = sent.map_err(|error| match error.code() {
            "egress_refused" => {
                let what = format!("requests to {host}, an address of this site's own network, which an administrator of the site grants by its exact name,");
                self.denied("http", &what)
            }
            _ => error.to_string(),
        })?;
        let status = reply.status().as_u16();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = reply.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let most = usize::try_from(granted.max_bytes).unwrap_or(usize::MAX);
        let body = Limited::new(reply.into_body(), most);
        let head = HttpResponse { status, headers, body: Vec::new() };
        let step =
            Step { method: step.method.clone(), uri: step.uri.clone(), headers: HeaderMap::new(), body: Bytes::new() };
        Ok(Open { step, head, body, host, most, patience: LONGEST })
    }
}

/// A reply whose body still comes.
pub(super) struct Open {
    step: Step,
    head: HttpResponse,
    body: Limited<ReplyBody>,
    host: String,
    /// Bytes of its body that were granted.
    most: usize,
    /// For each piece.
    patience: Duration,
}

impl Open {
    async fn whole(mut self) -> Result<HttpResponse, String> {
        while let Some(piece) = self.next().await? {
            self.head.body.extend_from_slice(&piece);
        }
        Ok(self.head)
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|cause| match cause.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => {
                    format!("The answer of {} has more than the {} bytes that were granted.", self.host, self.most)
                }
                None => format!("The answer of {} broke off: {cause}.", self.host),
            })?;
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data.to_vec()));
            }
        }
        Ok(None)
    }
}

fn no_answer(patience: Duration) -> String {
    format!("There was no answer within {} s. Try again later.", patience.as_secs_f32())
}

/// An absolute http or https address without a user's name.
fn parse(url: &str) -> Result<Uri, String> {
    let shown: String = url.chars().take(200).collect();
    let bare = url.split('#').next().unwrap_or_default();
    let uri: Uri = bare.parse().map_err(|_| format!("{shown:?} is no address of a server."))?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.port_u16() != Some(0);
    if plain && url.len() <= MAX_URL {
        return Ok(uri);
    }
    Err(format!("{shown:?} is no address that a plugin may ask: it begins with https:// or http:// and names no user."))
}

/// As a pattern of hosts has it.
fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where an answer leads on to (RFC 9110, section 15.4); None when it is the answer.
fn redirect(step: &Step, reply: &HttpResponse) -> Result<Option<Step>, String> {
    let status = StatusCode::from_u16(reply.status).unwrap_or_default();
    let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let moves = matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER);
    let location = reply.headers.iter().find(|(name, _)| name == LOCATION.as_str()).map(|(_, value)| value.as_str());
    let Some(location) = location.filter(|_| keeps || moves) else { return Ok(None) };
    let uri = if let Some(rest) = location.strip_prefix("//") {
        parse(&format!("{}://{rest}", step.uri.scheme_str().unwrap_or("https")))?
    } else if location.starts_with('/') {
        let (scheme, authority) = (step.uri.scheme_str().unwrap_or("https"), step.uri.authority());
        parse(&format!("{scheme}://{}{location}", authority.map_or("", |authority| authority.as_str())))?
    } else {
        parse(location)?
    };
    if is_tls(&step.uri) && !is_tls(&uri) {
        return Err(
            "The answer leads from https to http, where others read along. Ask for the https address.".to_owned()
        );
    }
    let (mut headers, mut method, mut body) = (step.headers.clone(), step.method.clone(), step.body.clone());
    if server_of(&uri) != server_of(&step.uri) {
        headers.remove(AUTHORIZATION);
        headers.remove(COOKIE);
    }
    if moves && method != Method::GET && method != Method::HEAD {
        method = Method::GET;
        body = Bytes::new();
        headers.remove(CONTENT_TYPE);
    }
    Ok(Some(Step { method, uri, headers, body }))
}

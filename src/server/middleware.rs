//! What happens to every request: an id, an origin, a caller, a measure, a log line, safe headers, errors written out.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::listen::Peer;
use super::metering;
use crate::access::{Actor, ActorKind, Caller, Grants, Origin, Via};
use crate::accounts::Accounts;
use crate::accounts::routes::COOKIE;
use crate::base::crypto;
use crate::base::error::{Error, Result};
use crate::quotas::Quotas;
use crate::web::{Secure, problem};

const USER_AGENT_MAX: usize = 500;
/// Methods that are told apart in the metrics.
const MEASURED: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Puts the whole chain around the rooms.
pub fn wrap(router: Router, accounts: Accounts, quotas: Quotas) -> Router {
    let state = (accounts, quotas);
    router.layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(state, handle))
}

#[allow(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    Error::internal(text.to_owned()).into_response()
}

async fn handle(State((accounts, quotas)): State<(Accounts, Quotas)>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = match crypto::random_bytes::<8>() {
        Ok(bytes) => crypto::hex(&bytes),
        Err(error) => return error.into_response(),
    };
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = match identify(&accounts, &mut request, &id).await {
        Ok(()) => {
            let (rate, counted) = metering::count(&quotas, metering::counted(&request)).await;
            let mut response = match counted {
                Ok(()) => next.run(request).await,
                Err(error) => error.into_response(),
            };
            if let Some(rate) = rate {
                metering::tell(response.headers_mut(), rate);
            }
            response
        }
        Err(error) => error.into_response(),
    };
    let mut response = problem::finish(response, &path, &id);
    protect(response.headers_mut(), &path, &id);
    measure(&method, route, &path, &response, started, &id);
    response
}

/// Finds out who is calling. A token that counts for nothing is refused, not ignored.
async fn identify(accounts: &Accounts, request: &mut Request, id: &str) -> Result<()> {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer::Local { uid: None, trusted: false });
    let origin = Origin {
        ip_address: peer.address(),
        user_agent: text(request.headers(), header::USER_AGENT)
            .map(|agent| agent.chars().take(USER_AGENT_MAX).collect()),
        request_id: Some(id.to_owned()),
    };
    let bearer = text(request.headers(), header::AUTHORIZATION).and_then(bearer).map(str::to_owned);
    let cookie = text(request.headers(), header::COOKIE).and_then(session_cookie).map(str::to_owned);
    let caller = match (bearer, cookie) {
        (Some(token), _) => Some(known(accounts, &token, &origin).await?),
        (None, Some(token)) => {
            let caller = accounts.authenticate(&token, origin.clone()).await?;
            if caller.is_some() {
                same_origin(request.method(), request.headers())?;
            }
            caller
        }
        (None, None) => peer.operator(&origin),
    };
    let extensions = request.extensions_mut();
    extensions.insert(Secure(matches!(peer, Peer::Tcp { tls: true, .. })));
    extensions.insert(Arc::new(origin));
    if let Some(caller) = caller {
        extensions.insert(Arc::new(caller));
    }
    Ok(())
}

/// The token of an `Authorization` header; a scheme has no case (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

async fn known(accounts: &Accounts, token: &str, origin: &Origin) -> Result<Caller> {
    accounts.authenticate(token, origin.clone()).await?.ok_or_else(|| {
        Error::new(
            crate::base::error::Kind::Unauthenticated,
            "token_refused",
            "This token is unknown, expired or revoked. Sign in again, or make a new personal token.",
        )
    })
}

impl Peer {
    fn address(self) -> Option<String> {
        match self {
            Self::Tcp { address, .. } => Some(address.ip().to_canonical().to_string()),
            Self::Local { uid, .. } => uid.map(|uid| format!("uid {uid} over the local socket")),
        }
    }

    /// Root, and the account the server runs as, need no token over the local socket.
    fn operator(self, origin: &Origin) -> Option<Caller> {
        let Self::Local { uid: Some(uid), trusted: true } = self else { return None };
        Some(Caller {
            actor: Actor { kind: ActorKind::Operator, id: None, name: format!("uid {uid}") },
            user: None,
            via: Via::Socket,
            strong: true,
            held_back: false,
            sso: false,
            grants: Arc::new(Grants::all()),
            origin: origin.clone(),
        })
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn session_cookie(cookies: &str) -> Option<&str> {
    cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A browser sends the cookie along with whatever page asks; a request that changes something must come from our own, and
/// so must a WebSocket, whose answers a browser shows to any page (RFC 6455, section 10.2).
fn same_origin(method: &Method, headers: &HeaderMap) -> Result<()> {
    if method.is_safe() && !headers.contains_key(header::UPGRADE) {
        return Ok(());
    }
    let ours = match text(headers, HeaderName::from_static("sec-fetch-site")) {
        Some(site) => site == "same-origin",
        None => match (text(headers, header::ORIGIN), text(headers, header::HOST)) {
            (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
            _ => false,
        },
    };
    if ours {
        return Ok(());
    }
    Err(Error::forbidden("cross_site", "This request came from another site's page and was refused."))
}

fn protect(headers: &mut HeaderMap, path: &str, id: &str) {
    // The reference page sets styles from its script; everything else may not.
    let policy = if path.starts_with("/api/docs") {
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    } else {
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    };
    // What a handler wants still stricter stays.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
}

fn measure(method: &Method, route: String, path: &str, response: &Response, started: Instant, id: &str) {
    let (seconds, status) = (started.elapsed().as_secs_f64(), response.status().as_u16());
    // Clients make up methods, and each would stay in memory as a series of its own.
    let known = if MEASURED.contains(method) { method.as_str() } else { "other" };
    let labels = [("method", known.to_owned()), ("route", route), ("status", status.to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels[..2]).record(seconds);
    if response.status().is_client_error() {
        // Who asks about a refusal names its id.
        tracing::info!(request_id = id, %method, path, status, seconds, "refused");
    } else {
        tracing::debug!(request_id = id, %method, path, status, seconds, "request");
    }
}

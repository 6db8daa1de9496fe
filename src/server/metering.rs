//! Requests as use: counted against the organisation they are about, else the caller's first, before they are served, with
//! what is left of the rate.
//!
//! Invariant: what a caller needs to see why it is refused is not counted: signing in and out, quotas and usage, notices.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::access::{Caller, OrgId};
use crate::base::error::Result;
use crate::quotas::{Quotas, Rate};

const HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

fn is_counted(method: &Method, path: &str) -> bool {
    let explains = ["/api/auth/", "/api/notices"].iter().any(|free| path.starts_with(free))
        || (method.is_safe() && ["/quotas", "/usage"].iter().any(|end| path.ends_with(end)));
    (path.starts_with("/api/") || path.starts_with("/v1/")) && !explains
}

/// A request that counts: whose it is, and which organisation it names.
pub struct Counted {
    caller: Arc<Caller>,
    about: Option<OrgId>,
}

/// Whose use a request is; None for what is not counted.
pub fn counted(request: &Request) -> Option<Counted> {
    let path = request.uri().path();
    let caller = request.extensions().get::<Arc<Caller>>().filter(|_| is_counted(request.method(), path))?;
    Some(Counted { about: named(path, request.headers()), caller: caller.clone() })
}

/// The organisation in the address, or in the header with which one pays for an answer of a model. A token for one
/// organisation names it too: its caller belongs to no other.
fn named(path: &str, headers: &HeaderMap) -> Option<OrgId> {
    let in_path = path.strip_prefix("/api/organizations/").and_then(|rest| rest.split('/').next());
    let in_header = || headers.get("x-organization-id").and_then(|value| value.to_str().ok());
    in_path.or_else(in_header)?.parse().ok().map(OrgId)
}

/// Counts a request of somebody who is known.
pub async fn count(quotas: &Quotas, counted: Option<Counted>) -> (Option<Rate>, Result<()>) {
    match counted {
        Some(Counted { caller, about }) => quotas.count_call(&caller, about).await,
        None => (None, Ok(())),
    }
}

/// Says in an answer how the caller's rate stands.
pub fn tell(headers: &mut HeaderMap, rate: Rate) {
    for (name, value) in HEADERS.into_iter().zip([rate.limit, rate.remaining, rate.reset]) {
        headers.insert(name, HeaderValue::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_organisation_a_request_is_about_is_read_off_it() {
        let mut headers = HeaderMap::new();
        assert_eq!(named("/api/organizations/17/members", &headers), Some(OrgId(17)));
        assert_eq!(named("/api/organizations/17", &headers), Some(OrgId(17)));
        assert_eq!(named("/api/projects/17", &headers), None);
        assert_eq!(named("/api/organizations/acme", &headers), None);
        headers.insert("x-organization-id", HeaderValue::from_static("5"));
        assert_eq!(named("/v1/chat/completions", &headers), Some(OrgId(5)));
    }

    #[test]
    fn pages_and_explanations_are_free() {
        let counted = |method, path| is_counted(&method, path);
        assert!(counted(Method::GET, "/api/projects") && counted(Method::POST, "/v1/chat/completions"));
        assert!(counted(Method::POST, "/api/organizations/1/usage"));
        for free in ["/", "/assets/app.js", "/healthz", "/api/auth/me", "/api/organizations/1/quotas"] {
            assert!(!counted(Method::GET, free), "{free}");
        }
    }
}

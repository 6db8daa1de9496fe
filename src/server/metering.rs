//! Requests as use: counted against the caller's organisation before they are served, with what is left of the rate.
//!
//! Invariant: what a caller needs to see why it is refused is not counted: signing in and out, quotas and usage, notices.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::access::Caller;
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

/// Whose use a request is; None for what is not counted.
pub fn caller(request: &Request) -> Option<Arc<Caller>> {
    let caller = request.extensions().get::<Arc<Caller>>();
    caller.filter(|_| is_counted(request.method(), request.uri().path())).cloned()
}

/// Counts a request of somebody who is known.
pub async fn count(quotas: &Quotas, caller: Option<Arc<Caller>>) -> (Option<Rate>, Result<()>) {
    match caller {
        Some(caller) => quotas.count_call(&caller).await,
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
    fn pages_and_explanations_are_free() {
        let counted = |method, path| is_counted(&method, path);
        assert!(counted(Method::GET, "/api/projects") && counted(Method::POST, "/v1/chat/completions"));
        assert!(counted(Method::POST, "/api/organizations/1/usage"));
        for free in ["/", "/assets/app.js", "/healthz", "/api/auth/me", "/api/organizations/1/quotas"] {
            assert!(!counted(Method::GET, free), "{free}");
        }
    }
}

//! An `Error` as HTTP.
//!
//! A handler's error travels in the response's extensions up to [`finish`], the only place that writes it out: there the
//! request id is known, and the private cause is logged exactly once.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::error::{Error, Kind};

/// A problem of RFC 9457.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, utoipa::ToResponse)]
#[response(description = "What went wrong, where, and what to do", content_type = "application/problem+json")]
pub struct Problem {
    /// Always `about:blank`; `code` tells kinds apart.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// A sentence for people.
    pub detail: String,
    /// A stable word for programs.
    pub code: String,
    /// The input the sentence is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Find the cause in the log under this id.
    pub request_id: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = status(self.kind()).into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The HTTP status of each kind.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Writes the body of a failed response, if it failed, in the form the path's clients read.
pub fn finish(mut response: Response, path: &str, request_id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<Arc<Error>>() else { return response };
    let status = response.status();
    if status.is_server_error() {
        tracing::error!(request_id, code = error.code(), cause = ?error.cause(), "{error}");
    }
    let (body, media) = if path.starts_with("/v1/") {
        (openai(&error, request_id), "application/json")
    } else {
        (problem(&error, status, request_id), "application/problem+json")
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.remove(header::CONTENT_LENGTH);
    if let Some(seconds) = error.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    *response.body_mut() = Body::from(body);
    response
}

fn problem(error: &Error, status: StatusCode, request_id: &str) -> String {
    let problem = Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: error.message().to_owned(),
        code: error.code().to_owned(),
        field: error.field_name().map(str::to_owned),
        request_id: request_id.to_owned(),
    };
    serde_json::to_string(&problem).unwrap_or_default()
}

/// The error object of the OpenAI API, which IDE clients show to their users.
fn openai(error: &Error, request_id: &str) -> String {
    let kind = match error.kind() {
        Kind::Unauthenticated => "authentication_error",
        Kind::Forbidden => "permission_error",
        Kind::Limited if error.code() == "rate_limited" => "rate_limit_exceeded",
        Kind::Limited => "insufficient_quota",
        Kind::Upstream | Kind::Unavailable | Kind::Internal => "server_error",
        _ => "invalid_request_error",
    };
    serde_json::json!({"error": {
        "message": format!("{} (request {request_id})", error.message()),
        "type": kind, "code": error.code(), "param": error.field_name(),
    }})
    .to_string()
}

//! Extractors: JSON bodies, queries and paths with errors in our words; permits; the explicit `Public`.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::{Action, Caller, Permit};
use crate::base::error::{Error, Kind, Result};

/// The most a JSON body may hold unless a route says otherwise.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// How large a JSON body the matched route takes; put on a route as an extension.
#[derive(Clone, Copy)]
pub struct BodyLimit(pub usize);

/// JSON in and out. Bodies are bounded; unknown fields, wrong types and missing fields are named by path.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let limit = request.extensions().get::<BodyLimit>().map_or(BODY_LIMIT, |limit| limit.0);
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|media| media.trim_start().starts_with("application/json"));
        if !json {
            return Err(Error::invalid("not_json", "Send the body as JSON with `Content-Type: application/json`."));
        }
        let body = read_body(request, limit).await?;
        parse(&body).map(Self)
    }
}

/// Reads a whole request body of at most `limit` bytes.
///
/// # Errors
/// `body_too_large`, also when the announced length is; `body_cut_off` when the client stopped in the middle.
pub async fn read_body(request: Request, limit: usize) -> Result<bytes::Bytes> {
    let too_large = || {
        Error::new(
            Kind::TooLarge,
            "body_too_large",
            format!("The body is larger than the {limit} bytes this call takes."),
        )
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(cause) if cause.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Err(cause) => {
            Err(Error::invalid("body_cut_off", "The body ended before it was complete. Send it again.")
                .caused_by(cause))
        }
    }
}

/// No database takes a NUL character in a text, so it is refused where it comes in.
fn nul(place: &str) -> Error {
    Error::invalid(
        "nul_character",
        format!("{place} holds a text with a NUL character, which cannot be stored. Leave it out."),
    )
}

/// Whether some JSON text escapes a NUL; a backslash that is itself escaped escapes nothing.
fn holds_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        if rest[at..].starts_with(br"\u0000") {
            return true;
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    false
}

/// Parses JSON from a stranger.
///
/// # Errors
/// `nul_character`; `invalid_json` with the field's path and the library's sentence.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    if holds_nul(body) {
        return Err(nul("The body"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|cause| {
        let path = cause.path().to_string();
        let error = Error::invalid("invalid_json", format!("The body does not fit: {}.", cause.inner()));
        if path == "." { error } else { error.field(path) }
    })?;
    json.end().map_err(|cause| Error::invalid("invalid_json", format!("The body does not fit: {cause}.")))?;
    Ok(value)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(cause) => Error::internal(cause).into_response(),
        }
    }
}

/// 201 with the thing made.
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

/// The query string, checked like a body.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(nul("The query"));
        }
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|cause| Error::invalid("invalid_query", format!("The query does not fit: {}.", cause.body_text())))
    }
}

/// Path parameters; what does not parse is not there.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|cause| Error::not_found("such address").caused_by(cause))
    }
}

/// Says in a handler's signature that it asks for no permission, on purpose.
pub struct Public;

impl<S: Send + Sync> FromRequestParts<S> for Public {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

fn caller(parts: &Parts) -> Result<Arc<Caller>> {
    parts.extensions.get::<Arc<Caller>>().cloned().ok_or_else(|| {
        Error::new(
            Kind::Unauthenticated,
            "not_signed_in",
            "Sign in first: POST /api/auth/login, or send `Authorization: Bearer` with a personal token.",
        )
    })
}

/// Whoever is signed in, with whatever rights: for what concerns only the caller.
pub struct SignedIn(pub Arc<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        caller(parts).map(Self)
    }
}

impl<S: Send + Sync, A: Action> FromRequestParts<S> for Permit<A> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        caller(parts)?.permit::<A>()
    }
}

/// Whether the connection is encrypted, so that cookies are marked `Secure`. Put on every request by the server.
#[derive(Debug, Clone, Copy)]
pub struct Secure(pub bool);

//! Extractors: JSON bodies, queries and paths with errors in our words; permits; the explicit `Public`.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::{DeserializeOwned, value};
use tokio::time::{Instant, timeout_at};

use crate::access::{Action, Caller, Permit};
use crate::base::error::{Error, Kind, Result};
use crate::web::nul;

/// The most a JSON body may hold unless a route says otherwise.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// How slowly a body may come: 500 bytes a second is a bad telephone line.
const PACE: Pace = Pace { pause: Duration::from_secs(30), bytes_per_second: 500 };

/// The least a sender has to do so that what its body holds is kept.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How long nothing may come; also how much later than at `bytes_per_second` all of it may be here.
    pause: Duration,
    bytes_per_second: u32,
}

impl Pace {
    /// When the next bytes must be here, of a body that began at `began` and brought `bytes` so far.
    fn deadline(self, began: Instant, bytes: usize) -> Instant {
        let whole = self.pause + Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_per_second));
        (began + whole).min(Instant::now() + self.pause)
    }
}

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
/// `body_too_large`, also when the announced length is; `body_cut_off` when the connection ended in the middle;
/// `body_too_slow` when too little came for too long.
pub async fn read_body(request: Request, limit: usize) -> Result<bytes::Bytes> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    collect(request.into_body(), limit, PACE).await
}

/// A request's body piece by piece, for what may be larger than memory. Ends with an error of kind `TimedOut` when nothing
/// comes for as long as [`read_body`] waits, and of another kind when the connection ends in the middle or `limit` bytes
/// were not enough.
pub fn body_stream(request: Request, limit: u64) -> impl Stream<Item = io::Result<bytes::Bytes>> + Send + 'static {
    let mut body = request.into_body();
    async_stream::stream! {
        let mut read = 0_u64;
        loop {
            let frame = match tokio::time::timeout(PACE.pause, body.frame()).await {
                Err(late) => Some(Err(io::Error::new(io::ErrorKind::TimedOut, late))),
                Ok(frame) => frame.map(|frame| frame.map_err(io::Error::other)),
            };
            let Some(frame) = frame else { return };
            let Some(piece) = frame.map(|frame| frame.into_data().ok()).transpose() else { continue };
            read += piece.as_ref().map_or(0, bytes::Bytes::len) as u64;
            if read > limit {
                yield Err(io::Error::other(format!("it has more than {limit} bytes")));
                return;
            }
            let failed = piece.is_err();
            yield piece;
            if failed {
                return;
            }
        }
    }
}

async fn collect(body: Body, limit: usize, pace: Pace) -> Result<bytes::Bytes> {
    let mut body = Limited::new(body, limit);
    let mut whole = bytes::BytesMut::new();
    let began = Instant::now();
    loop {
        let frame = timeout_at(pace.deadline(began, whole.len()), body.frame()).await;
        match frame.map_err(|_| too_slow(whole.len(), pace))? {
            None => return Ok(whole.freeze()),
            Some(Ok(frame)) => whole.extend_from_slice(frame.data_ref().unwrap_or(&bytes::Bytes::new())),
            Some(Err(cause)) if cause.is::<LengthLimitError>() => return Err(too_large(limit)),
            Some(Err(cause)) => {
                let sentence = "The body ended before it was complete. Send it again.";
                return Err(Error::invalid("body_cut_off", sentence).caused_by(cause));
            }
        }
    }
}

fn too_large(limit: usize) -> Error {
    let message = format!("The body is larger than the {limit} bytes this call takes.");
    Error::new(Kind::TooLarge, "body_too_large", message)
}

fn too_slow(bytes: usize, pace: Pace) -> Error {
    let message = format!(
        "After {bytes} bytes too little of the body came: nothing for {} seconds, or all in all less than {} bytes a \
         second. Send it again, over a better line.",
        pace.pause.as_secs(),
        pace.bytes_per_second
    );
    Error::new(Kind::TooSlow, "body_too_slow", message)
}

/// Parses JSON from a stranger.
///
/// # Errors
/// `nul_character`; `invalid_json` with the field's path and the library's sentence.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    nul::refuse_in_json(body)?;
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
        nul::refuse_in_query(parts.uri.query().unwrap_or_default())?;
        axum::extract::Query::<T>::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|cause| misfit(&cause))
    }
}

/// Says what of a query does not fit, and names the parameter when axum's own error knows it.
fn misfit(cause: &axum::extract::rejection::QueryRejection) -> Error {
    let mut causes = std::iter::successors(cause.source(), |&cause| cause.source());
    let inner = causes.find_map(|cause| cause.downcast_ref::<serde_path_to_error::Error<value::Error>>());
    let Some(inner) = inner else {
        return Error::invalid("invalid_query", format!("The query does not fit: {}.", cause.body_text()));
    };
    let error = Error::invalid("invalid_query", format!("The query does not fit: {}.", inner.inner()));
    let parameter = inner.path().to_string();
    if parameter == "." { error } else { error.field(parameter) }
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

/// Whoever is signed in, with all of their rights: for what the caller's own account is, and has.
pub struct Oneself(pub Arc<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for Oneself {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let caller = caller(parts)?;
        caller.require_oneself()?;
        Ok(Self(caller))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `count` pieces of `size` bytes, each `gap` after the one before; then nothing more, ever, when it is `endless`.
    fn pieces(count: usize, size: usize, gap: Duration, endless: bool) -> Body {
        Body::from_stream(async_stream::stream! {
            for _ in 0..count {
                tokio::time::sleep(gap).await;
                yield Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'x'; size]));
            }
            if endless {
                std::future::pending::<()>().await;
            }
        })
    }

    #[tokio::test]
    async fn a_body_may_come_slowly_but_must_come() {
        let pace = Pace { pause: Duration::from_millis(500), bytes_per_second: 10 };
        let slow = pieces(8, 100, Duration::from_millis(100), false);
        assert_eq!(collect(slow, 1000, pace).await.unwrap().len(), 800, "it took longer than a pause, but went on");

        let stopped = collect(pieces(1, 100, Duration::ZERO, true), 1000, pace).await.unwrap_err();
        assert_eq!((stopped.kind(), stopped.code()), (Kind::TooSlow, "body_too_slow"));
        assert!(stopped.message().starts_with("After 100 bytes"), "{stopped}");

        let pace = Pace { pause: Duration::from_millis(500), bytes_per_second: 1_000_000 };
        let dripping = collect(pieces(1000, 1, Duration::from_millis(10), true), 1000, pace).await.unwrap_err();
        assert_eq!(dripping.code(), "body_too_slow");

        let large = collect(pieces(11, 100, Duration::ZERO, true), 1000, pace).await.unwrap_err();
        assert_eq!((large.kind(), large.code()), (Kind::TooLarge, "body_too_large"));
    }
}

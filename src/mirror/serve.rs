//! Passing on what is mirrored: to a second box as a TUF repository over HTTPS.
//!
//! Invariant: what is served is what was verified, byte for byte, and only when the site's setting says so; who reads it
//! verifies it again. Everything in it is public content: no name of a person, no setting, no state of the site.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Mirror, Owner, names, store};
use crate::base::error::{Error, Result};
use crate::web::{Path, Public};

impl Mirror {
    /// The repositories as TUF has them, below `/mirror/{repository}`.
    pub fn served(self) -> Router {
        Router::new()
            .route("/mirror/{repository}/metadata/{file}", get(metadata))
            .route("/mirror/{repository}/targets/{*path}", get(target))
            .with_state(self)
    }

    fn require_served(&self) -> Result<()> {
        if self.inner.options.serve { Ok(()) } else { Err(absent()) }
    }
}

fn absent() -> Error {
    Error::not_found("such address")
}

async fn metadata(
    State(mirror): State<Mirror>,
    _: Public,
    Path((owner, file)): Path<(Owner, String)>,
) -> Result<Response> {
    mirror.require_served()?;
    let text = mirror.inner.db.read(move |tx| store::metadata_file(tx, owner, &file)).await?.ok_or_else(absent)?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], text).into_response())
}

async fn target(
    State(mirror): State<Mirror>,
    _: Public,
    Path((owner, path)): Path<(Owner, String)>,
) -> Result<Response> {
    mirror.require_served()?;
    let (hash, name) = names::placed(&path).map(|(hash, name)| (hash.to_owned(), name)).ok_or_else(absent)?;
    let content = mirror.inner.db.read(move |tx| store::content(tx, owner, &name)).await?;
    let content = content.filter(|content| content.sha256 == hash).ok_or_else(absent)?;
    let (size, pieces) = mirror.inner.blobs.stream(&content.sha256).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

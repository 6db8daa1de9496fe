//! The web pages, as built by `make ui` and carried by the binary.
//!
//! Invariant: an address below `/api` or `/v1` is never answered with a page. Names under `assets/` hold a hash of their
//! content and never change; everything else is asked for again each time. In a debug build the files are read from
//! `target/parts/ui`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::base::crypto;
use crate::base::error::{Error, Result};

const INDEX: &str = "index.html";

#[derive(RustEmbed)]
#[folder = "target/parts/ui"]
struct Files;

/// Answers what no route took: a file of the pages, or for a browser the page itself, which finds its own way.
///
/// # Errors
/// `not_found`; `no_pages` when this build carries none.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Result<Response> {
    let path = uri.path().trim_start_matches('/');
    let of_the_api =
        ["api", "v1", "metrics", "healthz", "readyz"].contains(&path.split('/').next().unwrap_or_default());
    if of_the_api || !(method == Method::GET || method == Method::HEAD) {
        return Err(Error::not_found("such address"));
    }
    if let Some(file) = Files::get(path).filter(|_| path != INDEX && !path.ends_with(".gz")) {
        return Ok(reply(path, file, &headers));
    }
    let wants_page = text(&headers, &header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    if !wants_page {
        return Err(Error::not_found("such address"));
    }
    match Files::get(INDEX) {
        Some(page) => Ok(reply(INDEX, page, &headers)),
        None => Err(Error::unavailable(
            "no_pages",
            "This build carries no web pages. The HTTP API (/api/docs) and the command line work; build with `make ui` to have pages.",
        )),
    }
}

fn reply(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", &crypto::hex(&file.metadata.sha256_hash())[..32]);
    let lasting = path.starts_with("assets/");
    let cache = if lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut own = vec![(header::CACHE_CONTROL, cache.to_owned()), (header::ETAG, tag.clone())];
    own.push((header::VARY, "accept-encoding".to_owned()));
    if text(headers, &header::IF_NONE_MATCH) == Some(&tag) {
        return with(StatusCode::NOT_MODIFIED.into_response(), own);
    }
    own.push((header::CONTENT_TYPE, content_type(path, file.metadata.mimetype())));
    let takes_gzip = text(headers, &header::ACCEPT_ENCODING).is_some_and(|accepted| accepted.contains("gzip"));
    let packed = if takes_gzip { Files::get(&format!("{path}.gz")) } else { None };
    let body = match packed {
        Some(packed) => {
            own.push((header::CONTENT_ENCODING, "gzip".to_owned()));
            packed.data
        }
        None => file.data,
    };
    with(body.into_owned().into_response(), own)
}

fn content_type(path: &str, guessed: &str) -> String {
    let is_text = guessed.starts_with("text/") || path.ends_with(".js") || path.ends_with(".svg");
    if is_text { format!("{guessed}; charset=utf-8") } else { guessed.to_owned() }
}

fn with(mut response: Response, headers: Vec<(HeaderName, String)>) -> Response {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

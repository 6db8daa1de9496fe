//! What is asked of providers over HTTP.
//!
//! Invariant: every answer is bounded in size and time; an organisation's provider is never dialled on this machine itself.
//! What providers say of themselves is asked anew after [`FRESH`] minutes, so that who begins many sign-ins asks them little.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::refused;
use crate::base::clock::{SECOND, Time};
use crate::base::error::{Error, Result};
use crate::net;

const ANSWER_MAX: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
/// For how many minutes what a provider says of itself is believed.
const FRESH: i64 = 10;
/// The most documents that are kept.
const KEPT: usize = 500;

/// Documents of providers. What one may not dial, it is not told.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<Asked, (Time, Value)>>>);

/// Whether the site itself set the provider, and the address.
type Asked = (bool, String);

impl Memory {
    fn find(&self, key: &Asked, now: Time) -> Option<Value> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, said) = kept.get(key)?;
        // Also when the clock was set back.
        (*since <= now && now < since.plus(FRESH * 60 * SECOND)).then(|| said.clone())
    }

    fn keep(&self, key: Asked, said: &Value, now: Time) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, (now, said.clone()));
    }
}

/// Dials one provider.
pub struct Dialler {
    pub client: net::Client,
    /// Whether the site itself set the provider, which may then be anywhere.
    pub by_site: bool,
    pub memory: Memory,
}

impl Dialler {
    /// A JSON document that changes seldom; asked `anew`, or as it was a short time ago.
    ///
    /// # Errors
    /// The same as [`Dialler::get`].
    pub async fn said(&self, url: &str, now: Time, anew: bool) -> Result<Value> {
        let key = (self.by_site, url.to_owned());
        if let Some(said) = self.memory.find(&key, now).filter(|_| !anew) {
            return Ok(said);
        }
        let said = self.get(url, None).await?;
        self.memory.keep(key, &said, now);
        Ok(said)
    }

    /// A JSON document.
    ///
    /// # Errors
    /// `sso_refused`, naming the address and what went wrong.
    pub async fn get(&self, url: &str, bearer: Option<&str>) -> Result<Value> {
        let mut headers = HeaderMap::new();
        if let Some(token) = bearer {
            headers.insert(AUTHORIZATION, secret(&format!("Bearer {token}"))?);
        }
        self.send(Method::GET, url, headers, Bytes::new()).await
    }

    /// Sends a form; what is answered.
    ///
    /// # Errors
    /// The same as [`Dialler::get`].
    pub async fn post_form(&self, url: &str, basic: Option<&str>, form: String) -> Result<Value> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(credentials) = basic {
            headers.insert(AUTHORIZATION, secret(&format!("Basic {credentials}"))?);
        }
        self.send(Method::POST, url, headers, Bytes::from(form)).await
    }

    async fn send(&self, method: Method, url: &str, mut headers: HeaderMap, body: Bytes) -> Result<Value> {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let failed = |why: String| refused(format!("the provider's {url} failed: {why}"));
        let uri: Uri = url.parse().map_err(|_| failed("it is no address".to_owned()))?;
        let (client, target) = self.client.towards(&uri);
        let endpoint = if self.by_site { client.endpoint(target)? } else { client.fenced_endpoint(target)? };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(Error::internal)?;
        let ask = async {
            let reply =
                endpoint.send(method, path, headers, body).await.map_err(|error| failed(error.message().to_owned()))?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), ANSWER_MAX).collect().await;
            let body =
                body.map_err(|_| failed("the answer broke off, or has more than 256 KiB".to_owned()))?.to_bytes();
            Ok::<_, Error>((status, body))
        };
        let late = |_| failed("no answer within 10 seconds".to_owned());
        let (status, body) = tokio::time::timeout(PATIENCE, ask).await.map_err(late)??;
        let read: Option<Value> = serde_json::from_slice(&body).ok();
        if !status.is_success() {
            // RFC 6749, section 5.2.
            let error = read.as_ref().and_then(|answer| answer["error"].as_str()).unwrap_or_default();
            let error: String = error.chars().filter(char::is_ascii_graphic).take(100).collect();
            return Err(failed(format!("HTTP {} {error}", status.as_u16())));
        }
        read.ok_or_else(|| failed("the answer is not JSON".to_owned()))
    }
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text).map_err(Error::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

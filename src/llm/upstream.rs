//! One call to a model server: time limits, and its refusals in our words.
//!
//! Invariant: a body that is read here is bounded in size, in the time between its pieces and in the time of the whole, so
//! a server that drips holds nobody; a server's own sentence is shown to the caller only where it speaks about the
//! caller's request.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::header::RETRY_AFTER;
use hyper::{Method, Response, StatusCode, Uri};
use serde::Deserialize;
use tokio::time::Instant;

use super::catalogue::{At, FoundModel, Provider, Server};
use super::source::{self, AnswerBody};
use crate::base::error::{Error, Kind, Result};
use crate::net::{self, Target};

/// What a server or a source answers; the body still streams.
pub(super) type Reply = Response<AnswerBody>;

/// A whole call, whoever answers it.
pub const TOTAL_LIMIT: Duration = Duration::from_secs(30 * 60);
/// What asks a server about itself, or to count.
const ASIDE_LIMIT: Duration = Duration::from_secs(5);
/// The largest answer in one piece.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
const MAX_REFUSAL: usize = 64 * 1024;
/// The most models of one server.
const MAX_MODELS: usize = 1000;

/// Sends a chat request; an answer other than 2xx becomes an error. Nothing was used then.
///
/// # Errors
/// Those of the engine's start, of the connection and of the server, and `upstream_timeout`.
pub(super) async fn chat(provider: &Provider, body: Bytes, patience: Duration) -> Result<Reply> {
    let server = match &provider.at {
        At::Server(server) => server,
        At::Source(source) => return source::chat(provider, source, &body, patience).await,
    };
    if let Some(builtin) = &provider.builtin {
        builtin.ready().await?;
    }
    let sent = server.endpoint.send(Method::POST, server.chat.clone(), server.headers.clone(), body);
    let reply = match tokio::time::timeout(patience, sent).await {
        Ok(reply) => reply.map_err(|error| explain(provider, error))?.map(AnswerBody::Server),
        Err(_) => return Err(silent(provider, patience)),
    };
    if reply.status().is_success() { Ok(reply) } else { Err(refusal(provider, reply).await) }
}

/// The engine's death has a better sentence than the connection's.
pub(super) fn explain(provider: &Provider, error: Error) -> Error {
    match provider.builtin.as_ref().and_then(super::builtin::Builtin::last_words) {
        Some(words) => Error::upstream("engine_died", words).caused_by(error),
        None => error,
    }
}

pub(super) fn silent(provider: &Provider, limit: Duration) -> Error {
    let sentence = format!(
        "The model server {} sent nothing for {} s, so the call was given up. Look at its log, or try a shorter prompt.",
        provider.name,
        limit.as_secs()
    );
    Error::upstream("upstream_timeout", sentence)
}

/// It keeps sending and does not come to an end.
pub(super) fn endless(provider: &Provider, limit: Duration) -> Error {
    let sentence = format!(
        "The model server {} was not done with its answer after {} s, so the call was given up. Look at its log, or ask for a shorter answer.",
        provider.name,
        limit.as_secs()
    );
    Error::upstream("upstream_timeout", sentence)
}

/// The end came in the middle of an answer.
pub(super) fn broke_off(provider: &Provider) -> Error {
    let sentence = format!(
        "The model server {} ended its answer in the middle. What came so far is counted. Send the request again.",
        provider.name
    );
    explain(provider, Error::upstream("upstream_cut", sentence))
}

/// The server said 200 and something else than an answer.
pub(super) fn no_answer(provider: &Provider, body: &[u8]) -> Error {
    let (words, _) = words(body);
    let sentence = format!(
        "The model server {} answered with something that is no chat completion ({}). Check its base_url and its log.",
        provider.name,
        words.trim_end_matches('.')
    );
    Error::upstream("upstream_not_chat", sentence)
        .caused_by(String::from_utf8_lossy(body).chars().take(500).collect::<String>())
}

/// How long a body may be silent, and how long it may take.
pub(super) struct Limits {
    idle: Duration,
    total: Duration,
    due: Instant,
}

impl Limits {
    /// Counts from now.
    pub fn new(provider: &Provider, total: Duration) -> Self {
        Self { idle: provider.patience.min(total), total, due: Instant::now() + total }
    }

    /// The next piece of `body`; None at its end.
    ///
    /// # Errors
    /// `upstream_cut` and `upstream_timeout`.
    pub async fn next(&self, provider: &Provider, body: &mut AnswerBody) -> Result<Option<Bytes>> {
        loop {
            let silence = Instant::now() + self.idle;
            let Ok(frame) = tokio::time::timeout_at(silence.min(self.due), body.frame()).await else {
                let late = self.due <= silence;
                return Err(if late { endless(provider, self.total) } else { silent(provider, self.idle) });
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|cause| broke_off(provider).caused_by(cause))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

/// Reads a whole answer within `total`.
///
/// # Errors
/// `upstream_cut`, `upstream_timeout`, `upstream_too_large`.
pub(super) async fn read(provider: &Provider, reply: Reply, total: Duration) -> Result<Bytes> {
    collect(provider, reply, MAX_ANSWER, total).await
}

async fn collect(provider: &Provider, reply: Reply, most: usize, total: Duration) -> Result<Bytes> {
    let mut body = reply.into_body();
    let limits = Limits::new(provider, total);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(data) = limits.next(provider, &mut body).await? {
        if first.len() + more.len() + data.len() > most {
            let sentence = format!("The model server {} answered with more than {most} bytes.", provider.name);
            return Err(Error::upstream("upstream_too_large", sentence));
        }
        // An answer in one piece is not copied.
        if first.is_empty() {
            first = data;
        } else {
            more.extend_from_slice(&data);
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    Ok([first, more.freeze()].concat().into())
}

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: Option<RefusalText>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RefusalText {
    Object {
        message: String,
        #[serde(default)]
        code: Option<serde_json::Value>,
        #[serde(default, rename = "type")]
        kind: Option<String>,
    },
    Text(String),
}

/// A refusal as an error of ours.
async fn refusal(provider: &Provider, reply: Reply) -> Error {
    let status = reply.status();
    let wait = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let limit = ASIDE_LIMIT.min(provider.patience);
    let body = collect(provider, reply, MAX_REFUSAL, limit).await.unwrap_or_default();
    let (words, context) = words(&body);
    let (name, shown) = (&provider.name, words.trim_end_matches('.'));
    let error = match status {
        _ if context => Error::invalid("context_length_exceeded", format!("The model server {name} refused: {shown}."))
            .field("messages"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let sentence = format!(
                "The model server {name} does not accept this site's API key. Ask an administrator to renew it."
            );
            Error::upstream("upstream_key_refused", sentence)
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let sentence = format!("The model server {name} has no room at the moment: {shown}. Try again shortly.");
            Error::unavailable("model_busy", sentence).retry_after(wait.unwrap_or(5).min(600))
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            Error::new(Kind::TooLarge, "body_too_large", format!("The model server {name} refused: {shown}."))
        }
        _ if status.is_client_error() => Error::invalid(
            "upstream_refused",
            format!("The model server {name} refused the request ({status}): {shown}."),
        ),
        _ => {
            let sentence = format!(
                "The model server {name} failed ({status}): {shown}. Nothing was counted; look at its log or try again."
            );
            Error::upstream("upstream_failed", sentence)
        }
    };
    error.caused_by(format!("{status}: {}", String::from_utf8_lossy(&body)))
}

/// The server's sentence, at most 500 characters, and whether it is about the context.
fn words(body: &[u8]) -> (String, bool) {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let (text, code) = match refusal.error {
        Some(RefusalText::Object { message, code, kind }) => {
            (Some(message), format!("{} {}", code.unwrap_or_default(), kind.unwrap_or_default()))
        }
        Some(RefusalText::Text(text)) => (Some(text), String::new()),
        None => (refusal.message.or_else(|| refusal.detail.map(|detail| detail.to_string())), String::new()),
    };
    let text = text.unwrap_or_else(|| "it gave no reason".to_owned());
    // llama.cpp says exceed_context_size_error, vLLM and OpenAI say "maximum context length".
    let context = code.contains("context") || text.contains("maximum context length");
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    (plain.take(500).collect(), context)
}

/// A call beside a chat: its JSON answer, or None when the server does not know the address.
///
/// # Errors
/// Those of the connection and of the server.
pub(super) async fn aside(
    provider: &Provider,
    server: &Server,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Result<Option<serde_json::Value>> {
    let call = async {
        let reply: net::Reply = server.endpoint.send(method, uri, server.headers.clone(), body).await?;
        let reply = reply.map(AnswerBody::Server);
        match reply.status() {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(None),
            status if status.is_success() => {
                let body = collect(provider, reply, MAX_ANSWER, ASIDE_LIMIT).await?;
                serde_json::from_slice(&body).map(Some).map_err(|cause| {
                    let sentence = format!(
                        "The model server {} answered something that is not JSON. Check its base_url.",
                        provider.name
                    );
                    Error::upstream("upstream_not_json", sentence).caused_by(cause)
                })
            }
            _ => Err(refusal(provider, reply).await),
        }
    };
    tokio::time::timeout(ASIDE_LIMIT, call).await.unwrap_or_else(|_| Err(silent(provider, ASIDE_LIMIT)))
}

/// An address beside the API's base: servers keep their own extensions outside of `/v1`.
pub(super) fn root(target: &Target, path: &str) -> Result<Uri> {
    let base = target.base.strip_suffix("/v1").unwrap_or(&target.base);
    Uri::try_from(format!("{base}{path}")).map_err(Error::internal)
}

/// The models a server or source lists, with their context where it tells.
///
/// # Errors
/// Those of [`aside`] and [`source::list`].
pub(super) async fn list(provider: &Provider) -> Result<Vec<FoundModel>> {
    let server = match &provider.at {
        At::Server(server) => server,
        At::Source(source) => return source::list(provider, source).await,
    };
    let uri = server.endpoint.uri("/models")?;
    let answer = aside(provider, server, Method::GET, uri, Bytes::new()).await?.unwrap_or_default();
    let listed = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut models: Vec<FoundModel> = listed.iter().take(MAX_MODELS).filter_map(found).collect();
    if let [only] = models.as_mut_slice()
        && only.context.is_none()
    {
        // llama-server tells what it runs with apart from what the model was trained for.
        let uri = root(server.endpoint.target(), "/props")?;
        let props = aside(provider, server, Method::GET, uri, Bytes::new()).await.ok().flatten().unwrap_or_default();
        only.context = number(&props["default_generation_settings"]["n_ctx"]);
    }
    Ok(models)
}

fn found(model: &serde_json::Value) -> Option<FoundModel> {
    let name = model["id"].as_str().filter(|name| is_name(name))?.to_owned();
    let context = number(&model["max_model_len"]).or_else(|| number(&model["meta"]["n_ctx"]));
    Some(FoundModel { name, context })
}

fn number(value: &serde_json::Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

/// What may be a model's name: printable, at most 200 bytes.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name.chars().all(|c| !c.is_control()) && name.trim() == name
}

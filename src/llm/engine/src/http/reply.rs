//! Answers on the wire: one JSON object, or server-sent events in OpenAI's shapes.
//!
//! Invariant: dropping an answer, read or unread, cancels its job.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::unix_seconds;
use crate::error::Error;
use crate::queue::{Cancel, Event, Finish, Usage};

/// A response with a whole or a streamed body.
pub type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Numbers the answers of this process.
static ANSWERS: AtomicU64 = AtomicU64::new(1);

/// A JSON body.
pub fn json(status: u16, value: &Value) -> Reply {
    build(status, "application/json", Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

/// A refusal.
pub fn error(error: &Error) -> Reply {
    let mut reply = json(error.status(), &error.to_json());
    if let Some(seconds) = error.retry_after() {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

fn build(status: u16, kind: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// The receiving end of a job.
pub struct Answer {
    id: String,
    created: u64,
    model: String,
    events: UnboundedReceiver<Event>,
    /// Cancels when the answer is dropped; after its last event that means nothing.
    _guard: Guard,
}

struct Guard(Cancel);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Answer {
    /// `model` is the id shown to the client.
    pub fn new(model: String, events: UnboundedReceiver<Event>, cancel: Cancel) -> Self {
        let created = unix_seconds();
        let id = format!("chatcmpl-{created}-{}", ANSWERS.fetch_add(1, Ordering::Relaxed));
        Self { id, created, model, events, _guard: Guard(cancel) }
    }

    /// Waits for the end and gives everything at once.
    pub async fn whole(mut self) -> Result<Reply, Error> {
        let mut text = String::new();
        loop {
            match self.next().await {
                Event::Text(more) => text.push_str(&more),
                Event::Failed(error) => return Err(error),
                Event::Done { finish, usage } => {
                    let message = json!({"role": "assistant", "content": text});
                    let choice = json!({"index": 0, "message": message, "finish_reason": finish.name()});
                    let mut body = self.object("chat.completion", &json!([choice]));
                    body["usage"] = usage_json(usage);
                    return Ok(json(200, &body));
                }
            }
        }
    }

    /// Sends every piece as it comes.
    pub fn stream(self, include_usage: bool) -> Reply {
        let first = self.chunk(&json!({"role": "assistant", "content": ""}), None);
        let state = Some((self, Some(first)));
        let frames = stream::unfold(state, move |state| async move {
            let (mut answer, first) = state?;
            if let Some(first) = first {
                return Some((frame(first), Some((answer, None))));
            }
            let (text, more) = match answer.next().await {
                Event::Text(text) => (answer.chunk(&json!({"content": text}), None), true),
                Event::Failed(error) => (format!("{}data: [DONE]\n\n", event(&error.to_json())), false),
                Event::Done { finish, usage } => (answer.last(finish, usage, include_usage), false),
            };
            Some((frame(text), more.then_some((answer, None))))
        });
        let mut reply = build(200, "text/event-stream", StreamBody::new(frames).boxed_unsync());
        reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        reply
    }

    async fn next(&mut self) -> Event {
        let vanished = || Event::Failed(Error::Inference { cause: "the inference thread ended".to_owned() });
        self.events.recv().await.unwrap_or_else(vanished)
    }

    fn last(&self, finish: Finish, usage: Usage, include_usage: bool) -> String {
        let mut text = self.chunk(&json!({}), Some(finish));
        if include_usage {
            let mut chunk = self.object("chat.completion.chunk", &json!([]));
            chunk["usage"] = usage_json(usage);
            text.push_str(&event(&chunk));
        }
        text.push_str("data: [DONE]\n\n");
        text
    }

    fn chunk(&self, delta: &Value, finish: Option<Finish>) -> String {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish.map(Finish::name)});
        event(&self.object("chat.completion.chunk", &json!([choice])))
    }

    fn object(&self, kind: &str, choices: &Value) -> Value {
        json!({"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices})
    }
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    })
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn frame(text: String) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from(text)))
}

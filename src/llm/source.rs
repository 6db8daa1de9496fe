//! Models that no server has: what a source in this process, such as a plugin, brings.
//!
//! Invariant: an answer of a source leaves in the shape of a model server's, so whoever meters, relays or reads answers
//! knows no difference. Nothing of it is counted before its first word, and letting go of the answer ends its making.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::catalogue::{FoundModel, Provider};
use super::upstream::{Reply, is_name, silent};
use super::{Llm, Message};
use crate::access::OrgId;
use crate::base::crypto;
use crate::base::error::{Error, Result};
use crate::net::ReplyBody;

/// Pieces of an answer that wait for their reader.
const WAITING: usize = 16;
/// The most models of one source.
const MAX_MODELS: usize = 1000;

/// A model that a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub name: String,
    /// Tokens of prompt and answer together, where it tells.
    pub context_length: Option<u32>,
}

/// What a source is asked. Members that nobody set are left out.
#[derive(Debug, Clone, Serialize)]
pub struct Question {
    /// As the source calls it.
    pub model: String,
    /// All messages, the system's among them.
    pub messages: Vec<Message>,
    /// The last question; of a longer conversation all of it, as a script.
    pub prompt: String,
    /// The system's messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    pub max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Value>,
}

/// A source's whole answer.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    pub content: String,
    pub finish_reason: Option<String>,
    /// Tokens of the prompt and of the answer, where it counts them.
    pub usage: Option<(u64, u64)>,
}

/// Why a source gave no answer, or no end to one.
#[derive(Debug)]
pub enum Fault {
    /// It has too much to do; its words.
    Busy(String),
    /// Its words.
    Failed(String),
}

/// What brings models.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// What it has now, or its words about why that cannot be told.
    async fn models(&self) -> Result<Vec<Offer>, String>;

    /// Answers. When `pieces` is given, every piece goes there as soon as it is made. Dropped, it stops.
    async fn answer(&self, question: &Question, pieces: Option<Sender<String>>) -> Result<Answered, Fault>;
}

/// A source as models are found on it; cheap to clone. What is known of it lives as long as the last clone.
#[derive(Clone)]
pub struct Served(pub(super) Arc<Provider>);

impl Served {
    /// A source that `org` has, known as `name`; `patience` is how long it may be silent.
    pub fn new(name: &str, org: OrgId, source: Arc<dyn Source>, patience: Duration) -> Self {
        Self(Arc::new(Provider::of_source(name, org, source, patience)))
    }
}

/// Who knows the sources of organisations.
pub trait Sources: Send + Sync + 'static {
    /// Those of `org`, by name; new ones get this patience.
    fn of(&self, org: OrgId, patience: Duration) -> Vec<Served>;
    /// Organisations that have, or may have, some of their own.
    fn organizations(&self) -> Vec<OrgId>;
    /// Those that were looked for before, of all organisations.
    fn known(&self) -> Vec<Served>;
}

impl Llm {
    /// Has models also be looked for there. Once: a second call changes nothing.
    pub fn look_also_in(&self, sources: Box<dyn Sources>) {
        self.inner.catalogue.look_also_in(sources);
    }
}

/// The models of a source, within bounds.
///
/// # Errors
/// `upstream_failed` with its words.
pub(super) async fn list(provider: &Provider, source: &Arc<dyn Source>) -> Result<Vec<FoundModel>> {
    let offers = source.models().await.map_err(|words| {
        let sentence = format!("The plugin {} could not tell which models it has: {}.", provider.name, shown(&words));
        Error::upstream("upstream_failed", sentence)
    })?;
    let known = offers.into_iter().filter(|offer| is_name(&offer.name)).take(MAX_MODELS);
    Ok(known.map(|Offer { name, context_length }| FoundModel { name, context: context_length }).collect())
}

/// Asks a source; comes back with its first words, or with the whole answer.
///
/// # Errors
/// `upstream_refused` when a plugin cannot be asked that; `model_busy`, `upstream_failed`, `upstream_timeout`.
pub(super) async fn chat(
    provider: &Provider,
    source: &Arc<dyn Source>,
    body: &Bytes,
    patience: Duration,
) -> Result<Reply> {
    let asked = Asked::read(body)?;
    let streamed = asked.stream.unwrap_or(false);
    let usage_wanted = asked.stream_options.as_ref().is_some_and(|options| options.include_usage.unwrap_or(false));
    let question = asked.question()?;
    let (sender, pieces) = mpsc::channel(WAITING);
    let (source, pieces_to) = (source.clone(), streamed.then_some(sender));
    let model = question.model.clone();
    let call = Box::pin(async move { source.answer(&question, pieces_to).await });
    let mut told = Told {
        name: provider.name.clone(),
        id: format!("chatcmpl-{}", crypto::hex(&crypto::random_bytes::<12>()?)),
        model,
        usage_wanted,
        begun: false,
        frames: VecDeque::new(),
        pieces,
        call: Some(call),
    };
    let begun = tokio::time::timeout(patience, std::future::poll_fn(|cx| told.poll_begun(cx, streamed))).await;
    let whole = begun.map_err(|_| silent(provider, patience))??;
    let kind = if streamed { "text/event-stream" } else { "application/json" };
    if let Some(answered) = whole {
        told.frames.push_back(told.whole(&answered));
    }
    let mut reply = Response::new(AnswerBody::Source(told));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(reply)
}

fn failed(name: &str, fault: Fault) -> Error {
    match fault {
        Fault::Busy(words) => {
            let sentence =
                format!("The plugin {name} has no room at the moment: {}. Try again shortly.", shown(&words));
            Error::unavailable("model_busy", sentence).retry_after(5)
        }
        Fault::Failed(words) => {
            let sentence = format!("The plugin {name} failed: {}. Look at its log, or try again.", shown(&words));
            Error::upstream("upstream_failed", sentence)
        }
    }
}

/// Words of a plugin as they go into a sentence: at most 500 characters, in one line.
fn shown(words: &str) -> String {
    let plain = words.trim_end_matches('.').chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(500).collect()
}

/// The body of a chat's answer, wherever it comes from.
#[allow(clippy::large_enum_variant, reason = "nearly all are a server's, and there is one for each call")]
pub(super) enum AnswerBody {
    Server(ReplyBody),
    Source(Told),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Server(body) => Pin::new(body).poll_frame(cx),
            Self::Source(told) => told.poll_bytes(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }
}

type Call = Pin<Box<dyn Future<Output = Result<Answered, Fault>> + Send>>;

/// An answer of a source while it is told. Whoever reads it drives its making.
pub(super) struct Told {
    /// Of the source.
    name: String,
    id: String,
    model: String,
    usage_wanted: bool,
    /// Whether a piece came.
    begun: bool,
    /// What is ready to go.
    frames: VecDeque<Bytes>,
    pieces: Receiver<String>,
    /// None once it ended.
    call: Option<Call>,
}

impl Told {
    /// Waits for the first piece of a streamed answer, or for the end of one that is not; that end, when it is to be told
    /// as a whole.
    fn poll_begun(&mut self, cx: &mut Context<'_>, streamed: bool) -> Poll<Result<Option<Answered>>> {
        self.poll_pieces(cx);
        let ended = match self.poll_call(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                self.poll_pieces(cx);
                return if self.begun { Poll::Ready(Ok(None)) } else { Poll::Pending };
            }
        };
        self.poll_pieces(cx);
        match ended {
            Err(fault) if !self.begun => Poll::Ready(Err(failed(&self.name, fault))),
            Ok(answered) if !streamed => Poll::Ready(Ok(Some(answered))),
            ended => {
                self.end(ended);
                Poll::Ready(Ok(None))
            }
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            self.poll_pieces(cx);
            if let Some(bytes) = self.frames.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            if self.call.is_none() {
                return Poll::Ready(None);
            }
            match self.poll_call(cx) {
                Poll::Ready(outcome) => {
                    self.poll_pieces(cx);
                    self.end(outcome);
                }
                Poll::Pending => {
                    // It may have made a piece just now.
                    self.poll_pieces(cx);
                    if self.frames.is_empty() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answered, Fault>> {
        let Some(call) = &mut self.call else { return Poll::Pending };
        let outcome = call.as_mut().poll(cx);
        if outcome.is_ready() {
            self.call = None;
        }
        outcome
    }

    fn poll_pieces(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(piece)) = self.pieces.poll_recv(cx) {
            self.say(&piece);
        }
    }

    fn say(&mut self, piece: &str) {
        let delta = if self.begun {
            json!({"content": piece})
        } else {
            self.begun = true;
            json!({"role": "assistant", "content": piece})
        };
        let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
        self.frames.push_back(self.frame(&json!([choice]), None));
    }

    /// The end of a stream.
    fn end(&mut self, outcome: Result<Answered, Fault>) {
        let answered = match outcome {
            Ok(answered) => answered,
            Err(fault) => {
                let error = failed(&self.name, fault);
                let error = json!({"message": error.message(), "type": "server_error", "code": error.code()});
                self.frames.push_back(format!("data: {}\n\n", json!({"error": error})).into());
                return;
            }
        };
        if !self.begun {
            self.say(&answered.content);
        }
        let choice = json!({"index": 0, "delta": {}, "finish_reason": reason(&answered)});
        self.frames.push_back(self.frame(&json!([choice]), None));
        if let Some(usage) = answered.usage.filter(|_| self.usage_wanted) {
            self.frames.push_back(self.frame(&json!([]), Some(usage)));
        }
        self.frames.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    }

    fn frame(&self, choices: &Value, usage: Option<(u64, u64)>) -> Bytes {
        let mut chunk = json!({"id": self.id, "object": "chat.completion.chunk", "created": 0, "model": self.model,
            "choices": choices});
        if let Some(usage) = usage {
            chunk["usage"] = counted(usage);
        }
        format!("data: {chunk}\n\n").into()
    }

    fn whole(&self, answered: &Answered) -> Bytes {
        let message = json!({"role": "assistant", "content": answered.content});
        let choice = json!({"index": 0, "message": message, "finish_reason": reason(answered)});
        let mut answer = json!({"id": self.id, "object": "chat.completion", "created": 0, "model": self.model,
            "choices": [choice]});
        if let Some(usage) = answered.usage {
            answer["usage"] = counted(usage);
        }
        answer.to_string().into()
    }
}

fn reason(answered: &Answered) -> &str {
    answered.finish_reason.as_deref().unwrap_or("stop")
}

fn counted((prompt, completion): (u64, u64)) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt.saturating_add(completion)})
}

/// A chat request as a source can be asked it.
#[derive(Deserialize)]
struct Asked {
    model: String,
    messages: Vec<AskedMessage>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop: Option<Value>,
    n: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    tools: Option<Vec<Value>>,
    response_format: Option<Format>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct AskedMessage {
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

impl Asked {
    fn read(body: &Bytes) -> Result<Self> {
        let asked: Self = serde_json::from_slice(body).map_err(|cause| {
            Error::invalid("upstream_refused", format!("A model of a plugin cannot be asked this: {cause}."))
        })?;
        let refused = |what: &str, field: &'static str| {
            let sentence = format!("A model of a plugin {what}. Leave that out, or use a model of a server.");
            Err(Error::invalid("upstream_refused", sentence).field(field))
        };
        if asked.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
            return refused("calls no tools", "tools");
        }
        if asked.n.is_some_and(|choices| choices > 1) {
            return refused("gives one answer at a time", "n");
        }
        if asked.response_format.as_ref().is_some_and(|format| format.kind != "text") {
            return refused("is not held to a format", "response_format");
        }
        Ok(asked)
    }

    fn question(self) -> Result<Question> {
        let Self { model, messages, max_tokens, max_completion_tokens, temperature, top_p, stop, .. } = self;
        let messages: Vec<Message> = messages.into_iter().map(AskedMessage::plain).collect::<Result<_>>()?;
        let max_tokens = max_completion_tokens.max(max_tokens).unwrap_or(u32::MAX);
        let (prompt, system_prompt) = (prompt(&messages), system_prompt(&messages));
        Ok(Question { model, prompt, system_prompt, messages, max_tokens, temperature, top_p, stop })
    }
}

impl AskedMessage {
    fn plain(self) -> Result<Message> {
        let content = match self.content {
            None => Some(String::new()),
            Some(Content::Text(text)) => Some(text),
            Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
        };
        let Some(content) = content else {
            let sentence =
                "A model of a plugin reads text only. Leave pictures and sound out, or use a model of a server.";
            return Err(Error::invalid("upstream_refused", sentence).field("messages"));
        };
        Ok(Message { role: self.role, content })
    }
}

fn is_system(message: &&Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

fn system_prompt(messages: &[Message]) -> Option<String> {
    let texts: Vec<&str> = messages.iter().filter(is_system).map(|message| message.content.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// One question as it is; a longer conversation as a script that the answer continues.
fn prompt(messages: &[Message]) -> String {
    let said: Vec<&Message> = messages.iter().filter(|message| !is_system(message)).collect();
    if let [only] = said.as_slice() {
        return only.content.clone();
    }
    let line = |message: &&Message| {
        let who = if message.role == "assistant" { "Assistant" } else { "User" };
        format!("{who}: {}", message.content)
    };
    let mut lines: Vec<String> = said.iter().map(line).collect();
    lines.push("Assistant:".to_owned());
    lines.join("\n\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(messages: &Value) -> Result<Question> {
        let body = json!({"model": "m", "messages": messages, "max_tokens": 7});
        Asked::read(&body.to_string().into()).and_then(Asked::question)
    }

    #[test]
    fn one_question_is_itself_and_a_conversation_a_script() {
        let one =
            asked(&json!([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])).unwrap();
        assert_eq!((one.prompt.as_str(), one.system_prompt.as_deref()), ("Hi", Some("Be kind.")));
        let parts = json!([{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]);
        let more = asked(&json!([{"role": "user", "content": parts}, {"role": "assistant", "content": "C"},
            {"role": "user", "content": "D"}]));
        let more = more.unwrap();
        assert_eq!(more.prompt, "User: AB\n\nAssistant: C\n\nUser: D\n\nAssistant:");
        assert_eq!((more.system_prompt, more.max_tokens, more.messages.len()), (None, 7, 3));
    }

    #[test]
    fn what_a_plugin_cannot_be_asked_is_named() {
        let picture = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]);
        assert_eq!(asked(&picture).unwrap_err().field_name(), Some("messages"));
        for (field, value) in
            [("tools", json!([{}])), ("n", json!(2)), ("response_format", json!({"type": "json_object"}))]
        {
            let mut body = json!({"model": "m", "messages": []});
            body[field] = value;
            let error = Asked::read(&body.to_string().into()).err().unwrap();
            assert_eq!((error.code(), error.field_name()), ("upstream_refused", Some(field)));
        }
    }

    #[tokio::test]
    async fn an_answer_is_told_as_it_is_made_and_ends_as_a_servers() {
        struct Slow;

        #[async_trait]
        impl Source for Slow {
            async fn models(&self) -> Result<Vec<Offer>, String> {
                Ok(Vec::new())
            }

            async fn answer(&self, question: &Question, pieces: Option<Sender<String>>) -> Result<Answered, Fault> {
                for piece in question.prompt.split_inclusive(' ') {
                    pieces.as_ref().unwrap().send(piece.to_owned()).await.unwrap();
                }
                if question.max_tokens == 1 {
                    Err(Fault::Failed("no more.".to_owned()))
                } else {
                    Ok(Answered::default())
                }
            }
        }

        for (most, end) in [(9, "data: [DONE]\n\n"), (1, "failed: no more. Look at its log, or try again.")] {
            let body = json!({"model": "m", "messages": [{"role": "user", "content": "a b"}], "max_tokens": most,
                "stream": true});
            let source: Arc<dyn Source> = Arc::new(Slow);
            let provider = Provider::of_source("slow", OrgId(1), source.clone(), Duration::from_secs(5));
            let reply = chat(&provider, &source, &body.to_string().into(), Duration::from_secs(5)).await.unwrap();
            let told = http_body_util::BodyExt::collect(reply.into_body()).await.unwrap().to_bytes();
            let told = String::from_utf8(told.to_vec()).unwrap();
            assert!(told.contains(r#""content":"a ""#) && told.contains(r#""content":"b""#), "{told}");
            assert!(told.contains(end), "{told}");
        }
    }
}

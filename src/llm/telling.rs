//! Plugins around the call of a model: the hooks `llm.*`, `filter.llm.prompt` and `filter.llm.response`.
//!
//! Invariant: words of prompts and answers reach the two filters only. An answer that plugins may change is seen by nobody
//! before they had it, so a stream is held back until it is whole; what was used is counted before they are asked.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use super::catalogue::Route;
use super::relay::Relay;
use super::sse::{self, Splitter};
use super::tally::Purpose;
use super::{ChatRequest, Completion, Llm, Message, context};
use crate::base::error::{Error, Result};
use crate::hooks::{Hook, by};

/// The longest stream that is held back, in bytes.
const MAX_HELD: usize = 32 << 20;

impl Purpose {
    /// What plugins are told of the call.
    pub fn payload(&self, provider: &str) -> Value {
        by(
            &self.caller,
            json!({"source": self.source, "model": self.model, "provider": provider, "project_id": self.project,
                "organization_id": self.org}),
        )
    }
}

impl Llm {
    /// Tells that a model is about to be asked; the messages as plugins let them pass, when that is not as they were.
    pub(super) async fn ask_plugins(
        &self,
        purpose: &Purpose,
        provider: &str,
        messages: impl FnOnce() -> Value,
    ) -> Option<Value> {
        let hooks = &self.inner.hooks;
        hooks.before(Hook::LlmRequestBefore, purpose.org, || purpose.payload(provider)).await;
        let value = || {
            let mut value = purpose.payload(provider);
            value["messages"] = messages();
            value
        };
        hooks.filter(Hook::FilterLlmPrompt, purpose.org, "messages", value).await
    }

    /// An agent's question, as plugins let it pass. It was measured to fill the model's context, so what they add to the
    /// prompt is taken off the answer.
    pub(super) async fn agents_prompt(&self, purpose: &Purpose, route: &Route, request: &mut ChatRequest) {
        let provider = &route.provider.name;
        let Some(changed) = self.ask_plugins(purpose, provider, || json!(request.messages)).await else { return };
        match serde_json::from_value::<Vec<Message>>(changed) {
            Ok(changed) => {
                let before = self.tokens(route, &request.messages).await;
                let more = self.tokens(route, &changed).await.saturating_sub(before);
                let more = u32::try_from(more).unwrap_or(u32::MAX);
                request.max_tokens = request.max_tokens.saturating_sub(more).max(1);
                request.messages = changed;
            }
            Err(cause) => {
                tracing::warn!(%cause, "a filter answered messages that are no texts with roles; they are sent as they were");
            }
        }
    }

    async fn tokens(&self, route: &Route, messages: &[Message]) -> u64 {
        match serde_json::value::to_raw_value(messages) {
            Ok(messages) => context::count(route, &messages).await.tokens,
            Err(_) => 0,
        }
    }

    /// Whether answers are held back for plugins.
    pub(super) fn holds(&self, purpose: &Purpose) -> bool {
        self.inner.hooks.listens(Hook::FilterLlmResponse, purpose.org)
    }

    /// An agent's answer, as plugins let it pass.
    pub(super) async fn agents_answer(&self, purpose: &Purpose, provider: &str, mut answer: Completion) -> Completion {
        if let Some(text) = self.answer(purpose, provider, &answer.text).await {
            answer.text = text;
        }
        answer
    }

    async fn answer(&self, purpose: &Purpose, provider: &str, text: &str) -> Option<String> {
        let value = || {
            let mut value = purpose.payload(provider);
            value["text"] = json!(text);
            value
        };
        self.inner.hooks.filter_text(Hook::FilterLlmResponse, purpose.org, "text", value).await
    }

    /// An answer in one piece, as plugins let it pass.
    pub(super) async fn whole(&self, purpose: &Purpose, provider: &str, body: Bytes) -> Bytes {
        let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else { return body };
        let mut changed = false;
        for choice in answer["choices"].as_array_mut().into_iter().flatten() {
            let Some(content) = choice.pointer_mut("/message/content") else { continue };
            let Some(text) = content.as_str().filter(|text| !text.is_empty()) else { continue };
            if let Some(text) = self.answer(purpose, provider, text).await {
                (*content, changed) = (text.into(), true);
            }
        }
        if changed { answer.to_string().into() } else { body }
    }

    /// A stream, whole, as plugins let it pass.
    ///
    /// # Errors
    /// `upstream_too_large`.
    pub(super) async fn held(&self, purpose: &Purpose, provider: &str, relay: Relay) -> Result<Bytes> {
        let whole = Limited::new(relay, MAX_HELD).collect().await.map_err(|_| {
            let sentence = format!("The model server {provider} sent more than plugins are asked about.");
            Error::upstream("upstream_too_large", sentence)
        })?;
        let stream = whole.to_bytes();
        let mut frames = frames(stream.clone());
        let texts = texts(&frames);
        let mut changed = false;
        for (choice, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            if let Some(text) = self.answer(purpose, provider, &text).await {
                replace(&mut frames, choice, text);
                changed = true;
            }
        }
        if changed { Ok(frames.into_iter().map(Frame::bytes).collect::<Vec<_>>().concat().into()) } else { Ok(stream) }
    }
}

/// A frame of a stream.
enum Frame {
    Chunk(Value),
    /// Anything else, as it came.
    Other(Bytes),
}

impl Frame {
    fn bytes(self) -> Bytes {
        match self {
            Self::Chunk(chunk) => format!("data: {chunk}\n\n").into(),
            Self::Other(bytes) => bytes,
        }
    }

    fn choices(&mut self) -> impl Iterator<Item = (u64, &mut Value)> {
        let choices = match self {
            Self::Chunk(chunk) => chunk["choices"].as_array_mut(),
            Self::Other(_) => None,
        };
        choices.into_iter().flatten().filter_map(|choice| {
            let index = choice["index"].as_u64().unwrap_or(0);
            choice.pointer_mut("/delta/content").map(|content| (index, content))
        })
    }
}

fn frames(stream: Bytes) -> Vec<Frame> {
    let (mut splitter, mut frames) = (Splitter::default(), Vec::new());
    let fed = splitter.feed(stream, |frame| {
        let chunk = sse::data(frame).and_then(|data| serde_json::from_slice::<Value>(&data).ok());
        frames.push(match chunk.filter(|chunk| chunk["choices"].is_array()) {
            Some(chunk) => Frame::Chunk(chunk),
            None => Frame::Other(Bytes::copy_from_slice(frame)),
        });
        false
    });
    // The relay let no frame pass that is too long.
    drop(fed);
    frames.push(Frame::Other(splitter.rest()));
    frames
}

/// The text of each choice.
fn texts(frames: &[Frame]) -> Vec<(u64, String)> {
    let mut texts: Vec<(u64, String)> = Vec::new();
    for frame in frames {
        let Frame::Chunk(chunk) = frame else { continue };
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().unwrap_or(0);
            let Some(piece) = choice.pointer("/delta/content").and_then(Value::as_str) else { continue };
            match texts.iter_mut().find(|(known, _)| *known == index) {
                Some((_, text)) => text.push_str(piece),
                None => texts.push((index, piece.to_owned())),
            }
        }
    }
    texts
}

/// Puts `text` in the place of the first piece of a choice, and nothing in that of the others.
fn replace(frames: &mut [Frame], choice: u64, text: String) {
    let mut text = Some(text);
    for (index, content) in frames.iter_mut().flat_map(Frame::choices) {
        if index == choice && content.as_str().is_some_and(|piece| !piece.is_empty()) {
            *content = text.take().unwrap_or_default().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_text_takes_the_place_of_all_pieces_and_the_rest_stays() {
        let stream = "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
            data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n\
            data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n\
            : a comment\n\ndata: [DONE]\n\n";
        let mut frames = frames(stream.into());
        assert_eq!(texts(&frames), [(0, "Hello".to_owned())]);
        replace(&mut frames, 0, "Good day".to_owned());
        assert_eq!(texts(&frames), [(0, "Good day".to_owned())]);
        let out: Vec<u8> = frames.into_iter().map(Frame::bytes).collect::<Vec<_>>().concat();
        let out = String::from_utf8_lossy(&out);
        assert!(out.ends_with(": a comment\n\ndata: [DONE]\n\n"), "{out}");
        assert!(out.contains("\"finish_reason\":\"stop\"") && out.matches("\"id\":\"a\"").count() == 3, "{out}");
    }
}

//! Whether a request fits into a model's context, decided before it is sent.
//!
//! Invariant: nothing is sent that may not fit where the context is known. What is certain by its bytes is not counted;
//! what is not is counted by the server's own tokenizer, and estimated from above only where there is none.

use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::believe::{Bound, prompt_bound};
use super::catalogue::{Provider, Route, Server};
use super::request::ChatBody;
use super::{Count, upstream};
use crate::base::error::{Error, Result};

/// The answer's limit where nobody asked for one, in tokens.
const DEFAULT_ANSWER: u32 = 4096;
/// Upper estimates of a template: around each message, and around all.
const MESSAGE_TOKENS: u64 = 8;
const PROMPT_TOKENS: u64 = 64;

/// How a server counts.
#[derive(Debug, Default)]
pub(super) struct Tokenizer(AtomicU8);

impl Tokenizer {
    const MESSAGES: u8 = 1;
    const CONTENT: u8 = 2;
    const NONE: u8 = 3;

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, how: u8) {
        self.0.store(how, Ordering::Relaxed);
    }
}

/// What a request will be sent and reserved with.
#[derive(Debug)]
pub(super) struct Plan {
    /// For each choice.
    pub max_tokens: u32,
    pub bound: Bound,
}

/// Plans a request of `bytes` bytes.
///
/// # Errors
/// `context_length_exceeded` with the numbers.
pub(super) async fn plan(route: &Route, chat: &ChatBody<'_>, body: &Bytes) -> Result<Plan> {
    if let Some(builtin) = &route.provider.builtin {
        // Only a loaded model tells what it really takes.
        builtin.ready().await?;
    }
    let bytes = body.len() as u64;
    let certain = prompt_bound(bytes);
    let media = || bytes > 4096 && [&b"\"image_url\""[..], b"\"input_audio\""].iter().any(|key| holds(body, key));
    let bound = |prompt, max_tokens: u32, counted| Bound {
        prompt,
        completion: u64::from(max_tokens) * u64::from(chat.choices),
        bytes,
        counted,
        media: media(),
    };
    let Some(context) = route.context() else {
        let max_tokens = chat.max_tokens.unwrap_or(DEFAULT_ANSWER);
        return Ok(Plan { max_tokens, bound: bound(certain, max_tokens, None) });
    };
    let wanted = chat.max_tokens.unwrap_or(DEFAULT_ANSWER.min(context / 2));
    if certain + u64::from(wanted) <= u64::from(context) {
        let room = u32::try_from(u64::from(context) - certain).unwrap_or(u32::MAX);
        let max_tokens = chat.max_tokens.unwrap_or(DEFAULT_ANSWER.min(room));
        return Ok(Plan { max_tokens, bound: bound(certain, max_tokens, None) });
    }
    let count = count(route, chat.messages()).await;
    let prompt = (count.tokens + chat.tool_bytes()).min(certain);
    let room = u64::from(context).saturating_sub(prompt);
    let max_tokens = chat.max_tokens.unwrap_or(u32::try_from(room).unwrap_or(u32::MAX).min(DEFAULT_ANSWER));
    if max_tokens == 0 || u64::from(max_tokens) > room {
        return Err(too_long(route, context, prompt, max_tokens.max(1), count.exact));
    }
    let counted = count.exact.then_some(count.tokens);
    Ok(Plan { max_tokens, bound: bound(prompt + PROMPT_TOKENS, max_tokens, counted) })
}

fn holds(body: &[u8], key: &[u8]) -> bool {
    body.windows(key.len()).any(|window| window == key)
}

fn too_long(route: &Route, context: u32, prompt: u64, answer: u32, exact: bool) -> Error {
    let counted =
        if exact { "counted by the model's tokenizer" } else { "a careful estimate, for its server counts none" };
    let sentence = format!(
        "The context of {} is {context} tokens, but this needs {}: {prompt} for the prompt ({counted}) and {answer} for the answer. Shorten the messages or lower max_tokens.",
        route.id,
        prompt + u64::from(answer)
    );
    Error::invalid("context_length_exceeded", sentence).field("messages")
}

/// Counts `messages`, by the server where it can.
pub(super) async fn count(route: &Route, messages: &RawValue) -> Count {
    let provider = &route.provider;
    let ready = match &provider.builtin {
        Some(builtin) => builtin.ready().await.is_ok(),
        None => true,
    };
    if let Some(server) = provider.server().filter(|_| ready && provider.tokenizer.get() != Tokenizer::NONE) {
        match ask(provider, server, &route.model, messages).await {
            Ok(Some(count)) => return count,
            Ok(None) => provider.tokenizer.set(Tokenizer::NONE),
            Err(error) => tracing::debug!(provider = provider.name, ?error, "tokens could not be counted"),
        }
    }
    Count { tokens: estimate(messages), exact: false }
}

#[derive(Deserialize)]
struct Counted {
    count: Option<u64>,
    #[serde(default)]
    tokens: Vec<serde_json::Value>,
}

impl Counted {
    fn read(answer: serde_json::Value) -> u64 {
        serde_json::from_value(answer).map_or(0, |it: Self| it.count.unwrap_or(it.tokens.len() as u64))
    }
}

/// None when the server counts nothing. vLLM and the engine take messages, llama-server takes a text.
async fn ask(provider: &Provider, server: &Server, model: &str, messages: &RawValue) -> Result<Option<Count>> {
    let uri = || upstream::root(server.endpoint.target(), "/tokenize");
    if provider.tokenizer.get() != Tokenizer::CONTENT {
        let name = serde_json::Value::from(model);
        let body = format!("{{\"model\":{name},\"add_generation_prompt\":true,\"messages\":{}}}", messages.get());
        match upstream::aside(provider, server, Method::POST, uri()?, body.into()).await {
            Ok(None) => return Ok(None),
            Ok(Some(answer)) => {
                let tokens = Counted::read(answer);
                if tokens > 0 {
                    provider.tokenizer.set(Tokenizer::MESSAGES);
                    return Ok(Some(Count { tokens, exact: true }));
                }
            }
            Err(error) if provider.tokenizer.get() == Tokenizer::MESSAGES => return Err(error),
            Err(_) => {}
        }
    }
    let parts = texts(messages);
    let content: String = parts.concat();
    let body = json!({"model": model, "content": content, "with_pieces": false}).to_string();
    let Some(answer) = upstream::aside(provider, server, Method::POST, uri()?, body.into()).await? else {
        return Ok(None);
    };
    let tokens = Counted::read(answer);
    if tokens == 0 && !content.is_empty() {
        return Ok(None);
    }
    provider.tokenizer.set(Tokenizer::CONTENT);
    Ok(Some(Count { tokens: tokens + around(parts.len()), exact: false }))
}

fn around(messages: usize) -> u64 {
    PROMPT_TOKENS + MESSAGE_TOKENS * messages as u64
}

/// The text of each message; what is no text counts by its JSON.
fn texts(messages: &RawValue) -> Vec<String> {
    let Ok(messages) = serde_json::from_str::<Vec<serde_json::Value>>(messages.get()) else {
        return vec![messages.get().to_owned()];
    };
    let text = |message: &serde_json::Value| match &message["content"] {
        serde_json::Value::String(text) if message.get("tool_calls").is_none() => text.clone(),
        _ => message.to_string(),
    };
    messages.iter().map(text).collect()
}

/// The tokens of `messages` from above: words by three letters, digits and signs one by one, other scripts by bytes.
/// Common tokenizers stay below it for prose and code.
fn estimate(messages: &RawValue) -> u64 {
    let parts = texts(messages);
    parts.iter().map(|text| estimate_text(text)).sum::<u64>() + around(parts.len())
}

fn estimate_text(text: &str) -> u64 {
    let (mut thirds, mut spaces) = (0u64, 0u64);
    for c in text.chars() {
        thirds += match c {
            c if c.is_ascii_alphabetic() => 1,
            ' ' | '\n' | '\t' | '\r' => {
                spaces += 1;
                if spaces % 4 == 1 { 3 } else { 0 }
            }
            c => 3 * c.len_utf8() as u64,
        };
        if !c.is_ascii_whitespace() {
            spaces = 0;
        }
    }
    thirds.div_ceil(3)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_above_what_tokenizers_count() {
        // The numbers are what the tokenizer of SmolLM2 counts, without the template.
        assert!(estimate_text("The quick brown fox jumps over the lazy dog.") >= 10);
        assert!(estimate_text("fn main() { println!(\"{}\", 12345); }") >= 17);
        assert!(estimate_text("你好，世界") >= 8);
        assert!(estimate_text(&"a".repeat(300)) >= 100);
    }

    #[test]
    fn every_kind_of_content_counts() {
        let messages =
            r#"[{"role":"user","content":"abc"},{"role":"user","content":[{"type":"text","text":"abcdef"}]}]"#;
        let messages: Box<RawValue> = RawValue::from_string(messages.to_owned()).unwrap();
        assert_eq!(texts(&messages)[0], "abc");
        assert!(texts(&messages)[1].contains("abcdef"));
        assert!(estimate(&messages) > around(2) + 2);
    }
}

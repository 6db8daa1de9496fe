//! Request bodies to checked jobs.
//!
//! Invariant: a job fits into the context and its settings are in range; nothing is truncated or ignored silently that
//! would change the answer. Unknown members are ignored, as OpenAI clients send many.

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::chat::Message;
use crate::constraint::Rule;
use crate::engine::Facts;
use crate::error::Error;
use crate::queue::{Cancel, Event, Job};
use crate::sampler::Settings;

/// Stop texts of a request.
const MAX_STOPS: usize = 16;
/// Bytes of one stop text.
const MAX_STOP_BYTES: usize = 256;

/// Body of `POST /tokenize`: one of the two.
#[derive(Debug, Deserialize)]
pub struct TokenizeRequest {
    /// Text, counted without a template.
    content: Option<String>,
    /// Messages, counted as a completion counts them in `usage.prompt_tokens`.
    messages: Option<Vec<Message>>,
}

/// Body of `POST /v1/chat/completions`.
#[derive(Debug, Deserialize)]
pub struct ChatRequest {
    messages: Vec<Message>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    /// 1 (none) to 2.
    repetition_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<Stop>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    response_format: Option<ResponseFormat>,
    /// A Lark grammar.
    grammar: Option<String>,
    n: Option<usize>,
    tools: Option<Vec<Value>>,
    logprobs: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// How to stream.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct StreamOptions {
    /// Whether a last chunk tells the usage.
    #[serde(default)]
    pub include_usage: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: NamedSchema },
}

#[derive(Debug, Deserialize)]
struct NamedSchema {
    schema: Value,
}

/// A job and how its answer is wanted.
pub struct Ask {
    pub job: Job,
    /// None for one whole answer.
    pub stream: Option<StreamOptions>,
}

impl TokenizeRequest {
    /// The tokens of the text or the messages.
    pub fn tokens(&self, facts: &Facts) -> Result<Vec<u32>, Error> {
        match (&self.content, &self.messages) {
            (Some(text), None) => Ok(facts.vocabulary.encode(text)),
            (None, Some(messages)) => facts.template.render(messages, &facts.vocabulary),
            _ => Err(Error::invalid("content", "Send either content (a text) or messages, not both and not neither.")),
        }
    }
}

impl ChatRequest {
    /// Checks everything, tokenises, compiles the grammar.
    pub fn prepare(self, facts: &Facts, events: UnboundedSender<Event>, cancel: Cancel) -> Result<Ask, Error> {
        self.refuse_unsupported()?;
        let settings = self.settings()?;
        let prompt = facts.template.render(&self.messages, &facts.vocabulary)?;
        let max_tokens = self.max_tokens(prompt.len(), facts.context)?;
        let stream = self.stream.unwrap_or(false).then(|| self.stream_options.unwrap_or_default());
        let rule = rule(self.response_format, self.grammar)?;
        let constraint = rule.map(|rule| facts.grammars.compile(rule)).transpose()?;
        let stops = stops(self.stop)?;
        let job = Job { prompt, max_tokens, settings, stops, constraint, events, cancel };
        Ok(Ask { job, stream })
    }

    fn refuse_unsupported(&self) -> Result<(), Error> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(Error::invalid("n", "This engine gives one answer a request. Leave n out or send 1."));
        }
        if self.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
            return Err(Error::invalid(
                "tools",
                "This engine calls no tools. Leave tools out, or ask for JSON by response_format.",
            ));
        }
        if self.logprobs == Some(true) {
            return Err(Error::invalid("logprobs", "This engine gives no log probabilities. Leave logprobs out."));
        }
        Ok(())
    }

    fn settings(&self) -> Result<Settings, Error> {
        let within = |param: &'static str, value: Option<f32>, default: f32, low: f32, high: f32| {
            let value = value.unwrap_or(default);
            let message = || format!("{param} is {value}; it must be from {low} to {high}.");
            if (low..=high).contains(&value) { Ok(value) } else { Err(Error::invalid(param, message())) }
        };
        Ok(Settings {
            temperature: within("temperature", self.temperature, 0.7, 0.0, 2.0)?,
            top_p: within("top_p", self.top_p, 0.95, 0.0, 1.0)?,
            repetition_penalty: within("repetition_penalty", self.repetition_penalty, 1.1, 1.0, 2.0)?,
            seed: self.seed.map(i64::cast_unsigned),
        })
    }

    /// What was asked for, or all the context has left.
    fn max_tokens(&self, prompt: usize, context: usize) -> Result<usize, Error> {
        let asked = self.max_completion_tokens.or(self.max_tokens);
        if asked == Some(0) {
            return Err(Error::invalid("max_tokens", "max_tokens is 0; ask for at least one token."));
        }
        let completion = asked.unwrap_or_else(|| context.saturating_sub(prompt).max(1));
        match prompt.checked_add(completion) {
            Some(total) if total <= context => Ok(completion),
            _ => Err(Error::Context { context, prompt, completion: completion.min(usize::MAX - prompt) }),
        }
    }
}

fn rule(format: Option<ResponseFormat>, grammar: Option<String>) -> Result<Option<Rule>, Error> {
    match (format, grammar) {
        (None | Some(ResponseFormat::Text), grammar) => Ok(grammar.map(Rule::Lark)),
        (Some(_), Some(_)) => {
            Err(Error::invalid("grammar", "response_format and grammar exclude each other. Send one of them."))
        }
        (Some(ResponseFormat::JsonObject), None) => Ok(Some(Rule::Schema(json!({"type": "object"})))),
        (Some(ResponseFormat::JsonSchema { json_schema }), None) => Ok(Some(Rule::Schema(json_schema.schema))),
    }
}

fn stops(stop: Option<Stop>) -> Result<Vec<String>, Error> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Many(stops)) => stops,
    };
    if stops.len() > MAX_STOPS || stops.iter().any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES) {
        let message = format!("stop takes up to {MAX_STOPS} texts of 1 to {MAX_STOP_BYTES} bytes each.");
        return Err(Error::invalid("stop", message));
    }
    Ok(stops)
}

//! Everything the engine refuses or fails at, and the OpenAI error object each becomes.
//!
//! Invariant: every sentence says what happened, where, and what to do. Process exit codes belong to `main`.

use serde_json::{Value, json};

/// A request that was not answered, as the client sees it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body or a field of it cannot be used (400).
    #[error("{message}")]
    Invalid { message: String, param: Option<&'static str> },
    /// Prompt and answer do not fit (400 `context_length_exceeded`); all figures are tokens.
    #[error(
        "This model's context is {context} tokens, but the request needs {}: {prompt} in the messages and {completion} for \
         the answer. Shorten the messages or lower max_tokens.",
        prompt + completion
    )]
    Context { context: usize, prompt: usize, completion: usize },
    /// The body is larger than `limit` bytes (413).
    #[error("The request body is larger than {limit} bytes. Send fewer or shorter messages.")]
    TooLarge { limit: usize },
    /// The queue is full (503).
    #[error("{waiting} requests already wait for the model. Try again in {retry_after} seconds.")]
    Busy { waiting: usize, retry_after: u64 },
    /// The model file is still being read (503).
    #[error("The model is still being loaded. Try again in a second.")]
    Loading,
    /// No such path or method (404).
    #[error("There is no {method} {path} here. See GET /v1/models and POST /v1/chat/completions.")]
    NotFound { method: String, path: String },
    /// The body did not arrive (400, 408).
    #[error("The request body did not arrive completely: {cause}. Send it again.")]
    Body { cause: String },
    /// The model itself failed (500).
    #[error(
        "The model failed while it computed the answer: {cause}. Send the request again; if it repeats, restart the engine."
    )]
    Inference { cause: String },
}

impl Error {
    /// Shorthand for a refused field.
    pub fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param) }
    }

    /// HTTP status of the refusal.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { .. } | Self::Context { .. } | Self::Body { .. } => 400,
            Self::NotFound { .. } => 404,
            Self::TooLarge { .. } => 413,
            Self::Inference { .. } => 500,
            Self::Busy { .. } | Self::Loading => 503,
        }
    }

    /// Seconds for `Retry-After`, where waiting helps.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after, .. } => Some(*retry_after),
            Self::Loading => Some(1),
            _ => None,
        }
    }

    /// The error object, in OpenAI's shape; a full context also carries the numbers, as llama.cpp does.
    pub fn to_json(&self) -> Value {
        let (kind, code) = match self {
            Self::Invalid { .. } | Self::Body { .. } => ("invalid_request_error", "invalid_request"),
            Self::Context { .. } => ("invalid_request_error", "context_length_exceeded"),
            Self::TooLarge { .. } => ("invalid_request_error", "body_too_large"),
            Self::NotFound { .. } => ("invalid_request_error", "not_found"),
            Self::Busy { .. } => ("unavailable_error", "queue_full"),
            Self::Loading => ("unavailable_error", "model_loading"),
            Self::Inference { .. } => ("server_error", "inference_failed"),
        };
        let param = match self {
            Self::Invalid { param, .. } => *param,
            Self::Context { .. } => Some("messages"),
            _ => None,
        };
        let mut error = json!({"message": self.to_string(), "type": kind, "param": param, "code": code});
        if let Self::Context { context, prompt, completion } = self {
            error["n_ctx"] = json!(context);
            error["n_prompt_tokens"] = json!(prompt);
            error["n_completion_tokens"] = json!(completion);
        }
        json!({"error": error})
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Inference { cause: first_line(&error.to_string()) }
    }
}

/// Libraries append backtraces to their messages; a sentence keeps the first line.
pub fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

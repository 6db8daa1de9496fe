//! A chat request as it came: the few members the gateway must know, and edits in place.
//!
//! Invariant: what need not change passes on byte for byte; an edit replaces or adds whole members and never leaves a
//! member twice.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::base::error::{Error, Result};

/// The largest body, in bytes.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;
/// Choices of one request.
const MAX_CHOICES: u32 = 16;

/// The members the gateway reads. A null is kept as a member, for it may have to be replaced.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    model: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    n: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_options: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A chat request that was read.
pub(super) struct ChatBody<'a> {
    body: &'a Bytes,
    members: Members<'a>,
    pub model: Option<Cow<'a, str>>,
    /// The larger of the two ways to say it.
    pub max_tokens: Option<u32>,
    pub choices: u32,
    pub stream: bool,
    pub include_usage: bool,
}

/// What the gateway changes.
#[derive(Debug, Default)]
pub(super) struct Edits<'a> {
    pub model: Option<&'a str>,
    pub max_tokens: Option<u32>,
    pub include_usage: bool,
}

impl<'a> ChatBody<'a> {
    /// # Errors
    /// `invalid_json` and `invalid_request`, naming the member.
    pub fn read(body: &'a Bytes) -> Result<Self> {
        let invalid =
            |cause: String| Error::invalid("invalid_json", format!("The body is not a chat request: {cause}."));
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(invalid("it is not a JSON object".to_owned()));
        }
        let members: Members<'a> = serde_json::from_slice(body).map_err(|cause| invalid(cause.to_string()))?;
        if !members.messages.is_some_and(|messages| messages.get().starts_with('[')) {
            return Err(refused("messages", "messages must be a list of messages."));
        }
        let text = |member: Option<&'a RawValue>| -> Result<Option<Cow<'a, str>>> {
            let Some(raw) = member.filter(|raw| raw.get() != "null") else { return Ok(None) };
            if let Ok(plain) = serde_json::from_str::<&str>(raw.get()) {
                return Ok(Some(Cow::Borrowed(plain)));
            }
            let escaped = serde_json::from_str::<String>(raw.get());
            escaped.map(|text| Some(Cow::Owned(text))).map_err(|_| refused("model", "model must be a text."))
        };
        let limit = [
            parse::<u32>(members.max_tokens, "max_tokens", "a whole number")?,
            parse::<u32>(members.max_completion_tokens, "max_completion_tokens", "a whole number")?,
        ];
        let max_tokens = limit.into_iter().flatten().max();
        if max_tokens == Some(0) {
            return Err(refused("max_tokens", "max_tokens is 0. Ask for at least one token."));
        }
        let choices = parse::<u32>(members.n, "n", "a whole number")?.unwrap_or(1);
        if !(1..=MAX_CHOICES).contains(&choices) {
            return Err(refused("n", format!("n is {choices}; it must be from 1 to {MAX_CHOICES}.")));
        }
        let stream = parse::<bool>(members.stream, "stream", "true or false")?.unwrap_or(false);
        let options = parse::<StreamOptions>(members.stream_options, "stream_options", "an object")?;
        let include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
        Ok(Self { body, model: text(members.model)?, max_tokens, choices, stream, include_usage, members })
    }

    /// The messages as JSON.
    pub fn messages(&self) -> &'a RawValue {
        self.members.messages.unwrap_or(RawValue::NULL)
    }

    /// The body with other messages.
    pub fn with_messages(&self, messages: &serde_json::Value) -> Bytes {
        self.rewrite(vec![(self.span(self.members.messages), "messages", messages.to_string())])
    }

    /// The bytes of what is not a message but reaches the prompt.
    pub fn tool_bytes(&self) -> u64 {
        self.members.tools.map_or(0, |tools| tools.get().len() as u64)
    }

    /// The body with `edits`; the same bytes when there are none.
    pub fn edited(&self, edits: &Edits<'_>) -> Bytes {
        let mut changes: Vec<(Option<Range<usize>>, &'static str, String)> = Vec::new();
        if let Some(model) = edits.model {
            changes.push((self.span(self.members.model), "model", serde_json::Value::from(model).to_string()));
        }
        if let Some(limit) = edits.max_tokens {
            // A null under the newer name would otherwise outlive ours.
            let (member, name) = match self.members.max_completion_tokens {
                Some(null) => (Some(null), "max_completion_tokens"),
                None => (self.members.max_tokens, "max_tokens"),
            };
            changes.push((self.span(member), name, limit.to_string()));
        }
        if edits.include_usage {
            changes.push((self.span(self.members.stream_options), "stream_options", self.with_usage()));
        }
        if changes.is_empty() { self.body.clone() } else { self.rewrite(changes) }
    }

    fn with_usage(&self) -> String {
        let given = self.members.stream_options.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let mut options: serde_json::Map<String, serde_json::Value> = given.unwrap_or_default();
        options.insert("include_usage".to_owned(), true.into());
        serde_json::Value::Object(options).to_string()
    }

    /// Where a member's value is in the body.
    fn span(&self, member: Option<&RawValue>) -> Option<Range<usize>> {
        let raw = member?.get();
        let start = (raw.as_ptr() as usize).checked_sub(self.body.as_ptr() as usize)?;
        Some(start..start + raw.len())
    }

    fn rewrite(&self, mut changes: Vec<(Option<Range<usize>>, &'static str, String)>) -> Bytes {
        let open = self.body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        let mut out = Vec::with_capacity(self.body.len() + 128);
        out.extend_from_slice(&self.body[..open]);
        for (_, name, value) in changes.iter().filter(|(span, ..)| span.is_none()) {
            out.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
        }
        changes.retain(|(span, ..)| span.is_some());
        changes.sort_by_key(|(span, ..)| span.as_ref().map_or(0, |span| span.start));
        let mut at = open;
        for (span, _, value) in changes {
            let Some(span) = span else { continue };
            out.extend_from_slice(&self.body[at..span.start]);
            out.extend_from_slice(value.as_bytes());
            at = span.end;
        }
        out.extend_from_slice(&self.body[at..]);
        out.into()
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

fn refused(field: &'static str, sentence: impl Into<String>) -> Error {
    Error::invalid("invalid_request", sentence).field(field)
}

fn parse<'a, T: Deserialize<'a>>(member: Option<&'a RawValue>, field: &'static str, wanted: &str) -> Result<Option<T>> {
    let Some(raw) = member.filter(|raw| raw.get() != "null") else { return Ok(None) };
    serde_json::from_str(raw.get()).map(Some).map_err(|_| refused(field, format!("{field} must be {wanted}.")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn edit(body: &str, edits: &Edits<'_>) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        String::from_utf8(ChatBody::read(&body).unwrap().edited(edits).to_vec()).unwrap()
    }

    #[test]
    fn what_need_not_change_is_the_same_memory() {
        let body = Bytes::from_static(br#"{"model":"m","messages":[],"max_tokens":9}"#);
        let read = ChatBody::read(&body).unwrap();
        assert_eq!((read.model.as_deref(), read.max_tokens, read.stream), (Some("m"), Some(9), false));
        assert_eq!(read.edited(&Edits::default()).as_ptr(), body.as_ptr());
    }

    #[test]
    fn members_are_replaced_or_added_and_never_doubled() {
        let all = Edits { model: Some("m"), max_tokens: Some(7), include_usage: true };
        assert_eq!(
            edit(r#" { "messages" : [1] , "stream":true } "#, &all),
            r#" {"model":"m","max_tokens":7,"stream_options":{"include_usage":true}, "messages" : [1] , "stream":true } "#
        );
        let given = r#"{"max_tokens":null,"stream_options":{"x":1},"messages":[],"model":"site\/m"}"#;
        let out: Value = serde_json::from_str(&edit(given, &all)).unwrap();
        let want =
            json!({"max_tokens": 7, "stream_options": {"x": 1, "include_usage": true}, "messages": [], "model": "m"});
        assert_eq!(out, want);
        let newer =
            edit(r#"{"messages":[],"max_completion_tokens":null}"#, &Edits { max_tokens: Some(7), ..Edits::default() });
        assert_eq!(newer, r#"{"messages":[],"max_completion_tokens":7}"#);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (body, field) in [
            (r#"{"messages":"x"}"#, Some("messages")),
            (r"{}", Some("messages")),
            (r#"{"messages":[],"max_tokens":1.5}"#, Some("max_tokens")),
            (r#"{"messages":[],"max_tokens":0}"#, Some("max_tokens")),
            (r#"{"messages":[],"max_tokens":-1}"#, Some("max_tokens")),
            (r#"{"messages":[],"n":17}"#, Some("n")),
            (r#"{"messages":[],"stream":1}"#, Some("stream")),
            (r#"{"messages":[],"model":1}"#, Some("model")),
            (r#"{"messages":[],"messages":[]}"#, None),
            (r#"[[],[]]"#, None),
            (r#"{"messages":["#, None),
        ] {
            let body = Bytes::copy_from_slice(body.as_bytes());
            let error = ChatBody::read(&body).err().unwrap();
            assert_eq!(error.field_name(), field, "{error}");
        }
    }
}

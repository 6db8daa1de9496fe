//! What an answer of a model server tells while it passes: usage, the end, errors, and how much text there was.
//!
//! Invariant: only frames that speak of usage are parsed; the rest are searched as bytes, which is what keeps the
//! gateway cheap.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::sse;

/// Tokens as a server reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Reported {
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
}

/// What was seen of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub usage: Option<Reported>,
    /// Bytes of text in the answer, as JSON writes them.
    pub bytes: u64,
    /// Frames with text; most servers send a token in each.
    pub frames: u64,
    /// `data: [DONE]` came.
    pub done: bool,
    /// A choice told why it ended.
    pub finished: bool,
    /// The server sent an error instead of an end.
    pub failed: bool,
    /// Whether to keep the chunk that only tells the usage from the client, who did not ask for it.
    pub hide_usage: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
    /// Taken apart by itself: a nonsense in it is no reason to doubt the text.
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

fn reported(usage: Option<&RawValue>) -> Option<Reported> {
    serde_json::from_str(usage?.get()).ok()
}

impl Watch {
    /// Looks at a frame; false when the client should not get it.
    pub fn see(&mut self, frame: &[u8]) -> bool {
        let Some(data) = sse::data(frame) else { return true };
        let data = data.as_ref();
        if data == b"[DONE]" {
            self.done = true;
            return true;
        }
        if follows(data, b"\"usage\"", b'{')
            && let Ok(Chunk { choices, usage: Some(usage) }) = serde_json::from_slice(data)
        {
            self.usage = reported(Some(usage));
            if self.hide_usage && choices.is_none_or(|choices| choices.get() == "[]") {
                return false;
            }
        }
        let text = text_bytes(data);
        self.bytes += text;
        self.frames += u64::from(text > 0);
        self.finished |= follows(data, b"\"finish_reason\"", b'"');
        self.failed |= data.starts_with(b"{\"error\"");
        true
    }

    /// Whether the server said that this is the end.
    pub fn is_complete(&self) -> bool {
        self.done || self.finished || self.failed
    }
}

/// Usage (where it tells) and size of an answer that came in one piece; None when it is no chat completion.
pub(super) fn whole(body: &[u8]) -> Option<(Option<Reported>, u64)> {
    let Chunk { choices, usage } = serde_json::from_slice(body).ok()?;
    let choices = choices.filter(|choices| choices.get().starts_with('['))?;
    Some((reported(usage), text_bytes(choices.get().as_bytes())))
}

/// Whether `key`, a colon and a value that begins with `first` occur.
fn follows(data: &[u8], key: &[u8], first: u8) -> bool {
    places(data, key).any(|at| value(&data[at..]).is_some_and(|value| value.first() == Some(&first)))
}

/// Where the text after each `needle` begins.
fn places<'a>(data: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let (first, mut from) = (needle[0], 0);
    std::iter::from_fn(move || {
        loop {
            let at = from + data.get(from..)?.iter().position(|byte| *byte == first)?;
            from = at + 1;
            if data[at..].starts_with(needle) {
                from = at + needle.len();
                return Some(from);
            }
        }
    })
}

/// What follows a colon with spaces around it.
fn value(rest: &[u8]) -> Option<&[u8]> {
    Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())
}

/// The bytes of all strings under `content`, `reasoning_content`, `reasoning` and `arguments`.
fn text_bytes(data: &[u8]) -> u64 {
    let keys: [&[u8]; 4] = [b"\"content\"", b"\"reasoning_content\"", b"\"reasoning\"", b"\"arguments\""];
    let found = keys.into_iter().flat_map(|key| places(data, key));
    found.filter_map(|at| value(&data[at..])?.strip_prefix(b"\"")).map(string_length).sum()
}

/// The bytes up to the closing quote.
fn string_length(text: &[u8]) -> u64 {
    let mut escaped = false;
    let end = text.iter().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    });
    end.unwrap_or(text.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_chunk_is_kept_from_who_did_not_ask() {
        let mut watch = Watch { hide_usage: true, ..Watch::default() };
        assert!(watch.see(b"data: {\"choices\":[{\"delta\":{\"content\":\"hi \\\" there\"},\"finish_reason\":null}],\"usage\":null}\n\n"));
        assert_eq!((watch.bytes, watch.frames, watch.finished), (11, 1, false));
        assert!(watch.see(b"data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\n"));
        assert!(watch.finished);
        assert!(!watch.see(
            b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n"
        ));
        assert_eq!(watch.usage, Some(Reported { prompt_tokens: 3, completion_tokens: 2 }));
        assert!(watch.see(b"data: [DONE]\n\n"));
        assert!(watch.is_complete());
    }

    #[test]
    fn a_text_that_spells_usage_is_text() {
        let mut watch = Watch { hide_usage: true, ..Watch::default() };
        assert!(watch.see(br#"data: {"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":1}"}}]}"#));
        assert_eq!(watch.usage, None);
    }

    #[test]
    fn a_whole_answer_tells_usage_and_size() {
        let body = br#"{"choices":[{"message":{"content":"four","tool_calls":[{"function":{"arguments":"{}"}}]}}],"usage":{"prompt_tokens":24,"completion_tokens":32}}"#;
        assert_eq!(whole(body), Some((Some(Reported { prompt_tokens: 24, completion_tokens: 32 }), 6)));
        assert_eq!(whole(br#"{"choices":[]}"#), Some((None, 0)));
        assert_eq!(whole(b"<html>"), None);
        assert_eq!(whole(br#"{"error":"no"}"#), None);
    }
}

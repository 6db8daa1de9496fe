//! An entry as its log has it: canonical JSON (RFC 8785) of the stored row, at most 65,535 bytes, which C2SP entry bundles
//! can carry.
//!
//! Invariants: the same row gives the same bytes for ever. So members that are null are left out, and a column that is added
//! later changes no entry of before; `before` and `after` are there as the SHA-256 of what is stored, as is every text that
//! is longer than [`TEXT_LIMIT`] as JSON. A sealed text is there sealed.

use super::hash::sha256;
use crate::base::clock::Time;
use crate::base::crypto::hex;

/// The most bytes that a text has here, as JSON with its quotes.
const TEXT_LIMIT: usize = 4096;

/// Writes the members of an object; the caller keeps to the order of their names.
#[derive(Default)]
pub struct Leaf(String);

impl Leaf {
    fn member(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(value);
    }

    /// A text, or its digest under `<name>_sha256` when it is long.
    pub fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        // What JSON escapes, and how, is the same in RFC 8785 and here.
        let json = serde_json::Value::from(value).to_string();
        if json.len() <= TEXT_LIMIT {
            self.member(name, &json);
        } else {
            self.digest(&format!("{name}_sha256"), Some(value));
        }
    }

    /// The SHA-256 of a text, in lower-case hexadecimal.
    pub fn digest(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.member(name, &format!("\"{}\"", hex(&sha256(&[value.as_bytes()]))));
        }
    }

    pub fn number(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.member(name, &value.to_string());
        }
    }

    pub fn truth(&mut self, name: &str, value: bool) {
        self.member(name, if value { "true" } else { "false" });
    }

    /// RFC 3339 with microseconds.
    pub fn time(&mut self, name: &str, value: Time) {
        self.member(name, &format!("\"{value}\""));
    }

    /// The object.
    pub fn close(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_there_as_digests() {
        let mut leaf = Leaf::default();
        leaf.text("a", Some("\u{1f}\"\\/ü\u{7f}\n"));
        leaf.text("b", Some(&"x".repeat(TEXT_LIMIT - 2)));
        leaf.text("c", Some(&"x".repeat(TEXT_LIMIT - 1)));
        leaf.text("d", None);
        leaf.number("e", None);
        let text = leaf.close();
        assert!(text.starts_with("{\"a\":\"\\u001f\\\"\\\\/ü\u{7f}\\n\",\"b\":\"xx"), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read.as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b", "c_sha256"]);
        assert_eq!(read["c_sha256"], hex(&sha256(&["x".repeat(TEXT_LIMIT - 1).as_bytes()])));
    }
}

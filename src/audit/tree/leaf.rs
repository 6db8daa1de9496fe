//! An entry as its log has it: canonical JSON (RFC 8785) of the stored row, at most 65,535 bytes, which C2SP entry bundles
//! can carry.
//!
//! Invariants: the same row gives the same bytes for ever. So members that are null are left out, and a column that is added
//! later changes no entry of before; `before` and `after` are there as the SHA-256 of what is stored, as is every text that
//! is longer than [`TEXT_LIMIT`] as JSON. A sealed text is there sealed.

use serde::Serialize;

use super::hash::sha256;
use crate::base::clock::Time;
use crate::base::crypto::hex;

/// The most bytes that a text has here, as JSON with its quotes.
const TEXT_LIMIT: usize = 4096;

/// Bytes that an entry seldom exceeds.
const USUAL: usize = 1024;

/// Writes the members of an object; the caller keeps to the order of their names.
pub struct Leaf(Vec<u8>);

impl Default for Leaf {
    fn default() -> Self {
        Self(Vec::with_capacity(USUAL))
    }
}

impl Leaf {
    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// What JSON escapes, and how, is the same in RFC 8785 and here.
    fn member(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        // Memory takes everything.
        drop(serde_json::to_writer(&mut self.0, value));
    }

    /// A text, or its digest under `<name>_sha256` when it is long.
    pub fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let start = self.0.len();
        self.member(name, &value);
        // The comma or brace, the name in quotes and the colon.
        if self.0.len() - start - name.len() - 4 > TEXT_LIMIT {
            self.0.truncate(start);
            self.digest(&format!("{name}_sha256"), Some(value));
        }
    }

    /// The SHA-256 of a text, in lower-case hexadecimal.
    pub fn digest(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.member(name, &hex(&sha256(&[value.as_bytes()])));
        }
    }

    pub fn number(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.member(name, &value);
        }
    }

    pub fn truth(&mut self, name: &str, value: bool) {
        self.member(name, &value);
    }

    /// RFC 3339 with microseconds.
    pub fn time(&mut self, name: &str, value: Time) {
        self.member(name, &value);
    }

    /// The object, in UTF-8.
    pub fn close(mut self) -> Vec<u8> {
        self.0.push(b'}');
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
        let text = String::from_utf8(leaf.close()).unwrap();
        assert!(text.starts_with("{\"a\":\"\\u001f\\\"\\\\/ü\u{7f}\\n\",\"b\":\"xx"), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read.as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b", "c_sha256"]);
        assert_eq!(read["c_sha256"], hex(&sha256(&["x".repeat(TEXT_LIMIT - 1).as_bytes()])));
    }
}

//! What a plugin asks for that reaches far.

use serde_json::Value;

use super::Findings;
use super::rules::{Look, Rule};

/// Where capabilities are written.
const FILE: &str = "plugin.json";

pub fn look(asks: &Value, rules: &[Rule], found: &mut Findings) {
    for rule in rules {
        let Look::Capability { at, pattern } = &rule.look else { continue };
        let value = at.split('.').try_fold(asks, |value, key| value.get(key));
        let texts = value.into_iter().flat_map(|value| match value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            Value::String(text) => vec![text.as_str()],
            _ => Vec::new(),
        });
        for text in texts.filter(|text| pattern.matches(text.as_bytes())) {
            found.add(rule, Some((FILE, None)), text);
        }
    }
}

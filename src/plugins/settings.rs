//! A plugin's configuration against its schema, a JSON Schema.
//!
//! Invariant: what the plugin is handed fits its schema; a refusal names the field. Secrets (`writeOnly`, or of the
//! format `password`) never reach the audit trail.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::manifest::{FILE, wrong};
use crate::base::error::{Error, Result};

/// The most a configuration may hold, in bytes of JSON.
const MAX_BYTES: usize = 64 << 10;

pub type Settings = Map<String, Value>;

/// # Errors
/// `invalid_config`, naming the field; `invalid_plugin` when the schema itself is none.
pub fn check(settings: &Settings, schema: Option<&Value>) -> Result<()> {
    let size = serde_json::to_vec(settings).map_or(usize::MAX, |text| text.len());
    if size > MAX_BYTES {
        return Err(refused("config", &format!("it has {size} bytes; {MAX_BYTES} are allowed")));
    }
    let Some(schema) = schema else { return Ok(()) };
    let validator = jsonschema::validator_for(schema)
        .map_err(|cause| wrong(format!("{FILE}, field config_schema: {cause}. Correct the schema there.")))?;
    let whole = Value::Object(with_defaults(settings, schema));
    match validator.iter_errors(&whole).next() {
        None => Ok(()),
        Some(fault) => Err(refused(&place(&fault), &fault.to_string())),
    }
}

fn refused(field: &str, why: &str) -> Error {
    Error::invalid(
        "invalid_config",
        format!("The configuration was refused at {field}: {}.", why.trim_end_matches('.')),
    )
    .field(field)
}

/// `config.a.b`, with the name of a field that is missing or too many.
fn place(fault: &ValidationError<'_>) -> String {
    let mut place = format!("config{}", fault.instance_path().as_str().replace('/', "."));
    match fault.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            if let Some(name) = unexpected.first() {
                place = format!("{place}.{name}");
            }
        }
        ValidationErrorKind::Required { property } => {
            if let Some(name) = property.as_str() {
                place = format!("{place}.{name}");
            }
        }
        _ => {}
    }
    place
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// As the plugin sees it: the SDK fills in the same defaults.
fn with_defaults(settings: &Settings, schema: &Value) -> Settings {
    let mut whole: Settings = properties(schema)
        .filter_map(|(name, rule)| rule.get("default").map(|value| (name.clone(), value.clone())))
        .collect();
    whole.extend(settings.clone());
    whole
}

/// For eyes that may not see secrets.
pub fn masked(settings: &Settings, schema: Option<&Value>) -> Settings {
    let mut shown = settings.clone();
    for (name, rule) in schema.into_iter().flat_map(properties) {
        let secret = rule["writeOnly"] == Value::Bool(true) || rule["format"] == "password";
        if let Some(value) = shown.get_mut(name).filter(|_| secret) {
            *value = Value::from("(set)");
        }
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_the_field() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["url"], "properties": {
            "level": {"enum": ["low", "high"], "default": "low"}, "url": {"type": "string"},
            "deep": {"type": "object", "properties": {"n": {"type": "integer"}}}}});
        for (settings, field) in [
            (json!({"url": "x", "level": "huge"}), Some("config.level")),
            (json!({"url": 5}), Some("config.url")),
            (json!({}), Some("config.url")),
            (json!({"url": "x", "levl": "low"}), Some("config.levl")),
            (json!({"url": "x", "deep": {"n": "1"}}), Some("config.deep.n")),
            (json!({"url": "x"}), None),
        ] {
            let outcome = check(settings.as_object().unwrap(), Some(&schema));
            assert_eq!(outcome.as_ref().err().and_then(Error::field_name), field, "{settings}: {outcome:?}");
        }
        assert_eq!(check(&Settings::new(), Some(&json!({"type": 5}))).unwrap_err().code(), "invalid_plugin");
    }

    #[test]
    fn secrets_are_masked() {
        let schema = json!({"properties": {"token": {"writeOnly": true}, "pin": {"format": "password"}, "a": {}}});
        let settings = json!({"token": "t0p", "pin": "1234", "a": "b"});
        let shown = masked(settings.as_object().unwrap(), Some(&schema));
        assert_eq!(Value::Object(shown), json!({"token": "(set)", "pin": "(set)", "a": "b"}));
    }
}

//! A plugin's configuration against its schema, a JSON Schema.
//!
//! Invariant: what the plugin is handed fits its schema; a refusal names the field. Settings are sealed at rest, and
//! secrets (`writeOnly`, `secret`, or of the format `password`) are in no answer and in no entry of the audit trail.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::manifest::{FILE, wrong};
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};

/// The most a configuration may hold, in bytes of JSON.
const MAX_BYTES: usize = 64 << 10;

/// Stands for a secret that is there.
const SET: &str = "(set)";

pub type Settings = Map<String, Value>;

/// Checks settings that others may complete: what is missing is no fault, what is there must fit.
///
/// # Errors
/// Those of [`check`].
pub fn check_part(settings: &Settings, schema: Option<&Value>) -> Result<()> {
    let mut schema = schema.cloned();
    if let Some(Value::Object(rules)) = &mut schema {
        rules.remove("required");
    }
    check(settings, schema.as_ref())
}

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

fn is_secret(rule: &Value) -> bool {
    rule["writeOnly"] == Value::Bool(true) || rule["format"] == "password" || rule["secret"] == Value::Bool(true)
}

/// For eyes that may not see secrets.
pub fn masked(settings: &Settings, schema: Option<&Value>) -> Settings {
    let mut shown = settings.clone();
    for (name, rule) in schema.into_iter().flat_map(properties) {
        match shown.get_mut(name) {
            Some(value) if is_secret(rule) => *value = Value::from(SET),
            Some(Value::Object(inner)) => *inner = masked(inner, Some(rule)),
            _ => {}
        }
    }
    shown
}

/// What came back from eyes that saw [`masked`]: a secret that is still masked is the one there was.
pub fn unmasked(mut settings: Settings, before: &Settings, schema: Option<&Value>) -> Settings {
    for (name, rule) in schema.into_iter().flat_map(properties) {
        let known = before.get(name);
        match settings.get_mut(name) {
            Some(value) if is_secret(rule) && *value == SET => match known {
                Some(known) => *value = known.clone(),
                None => drop(settings.remove(name)),
            },
            Some(Value::Object(inner)) => {
                let none = Settings::new();
                let known = known.and_then(Value::as_object).unwrap_or(&none);
                *inner = unmasked(std::mem::take(inner), known, Some(rule));
            }
            _ => {}
        }
    }
    settings
}

/// The site's with the organisation's over them, field by field.
pub fn merged(site: &Settings, organization: &Settings) -> Settings {
    let mut whole = site.clone();
    whole.extend(organization.clone());
    whole
}

/// What seals settings at rest.
#[derive(Clone)]
pub struct Vault(Key);

impl Vault {
    pub fn new(key: Key) -> Self {
        Self(key)
    }

    /// Seals for `place`: the table and whose they are.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn seal(&self, place: &str, settings: &Settings) -> Result<Vec<u8>> {
        self.0.seal(place, &serde_json::to_vec(settings).map_err(Error::internal)?)
    }

    /// What [`Vault::seal`] made for the same place.
    ///
    /// # Errors
    /// `unsealed` when another site sealed it.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Settings> {
        serde_json::from_slice(&self.0.open(place, sealed)?).map_err(Error::internal)
    }
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
    fn secrets_are_masked_and_stay_when_the_mask_comes_back() {
        let schema = json!({"properties": {"token": {"writeOnly": true}, "pin": {"format": "password"}, "a": {},
            "deep": {"properties": {"key": {"secret": true}, "b": {}}}}});
        let settings = json!({"token": "t0p", "pin": "1234", "a": "b", "deep": {"key": "k", "b": 1}});
        let settings = settings.as_object().unwrap();
        let mut shown = masked(settings, Some(&schema));
        let wanted = json!({"token": "(set)", "pin": "(set)", "a": "b", "deep": {"key": "(set)", "b": 1}});
        assert_eq!(Value::Object(shown.clone()), wanted);
        assert_eq!(unmasked(shown.clone(), settings, Some(&schema)), *settings);
        shown["pin"] = json!("9");
        assert_eq!(unmasked(shown, settings, Some(&schema))["pin"], "9");
        let nothing = unmasked(masked(settings, Some(&schema)), &Settings::new(), Some(&schema));
        assert_eq!(Value::Object(nothing), json!({"a": "b", "deep": {"b": 1}}), "what was never set is not made up");
    }
}

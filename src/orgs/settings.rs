//! What an organisation has set for itself.
//!
//! Invariant: what is stored fits `settings.schema.json`, which is also what people are shown, and every key in it has a
//! field in [`Settings`], read by the rule it is for. A key without a rule does not belong there.

use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::store;
use crate::access::OrgId;
use crate::base::error::{Error, Result};
use crate::db::Tx;

const SCHEMA: &str = include_str!("settings.schema.json");

/// What a project must be like for its runs to go on; what is null is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityGate {
    /// The most critical findings.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_critical: Option<i64>,
    /// The most high findings.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_high: Option<i64>,
    /// The least score, 0 to 100. A project that no plugin looked at passes.
    #[schema(minimum = 0, maximum = 100)]
    pub min_score: Option<i64>,
}

/// A stage that every run of the organisation has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraStage {
    /// The name of the stage that it comes after.
    pub after: String,
    /// The role that does it: one of the platform's own, or that of a plugin's agent.
    pub role: String,
}

/// An organisation's settings, as rules read them; what is not set is None.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model of runs and calls that name none.
    pub default_model: Option<String>,
    /// Stages that its runs have besides.
    pub extra_stages: Vec<ExtraStage>,
    /// The most days an invitation counts.
    pub invitation_days: Option<i64>,
    /// The domains whose addresses may be invited; empty: all.
    pub invitation_domains: Vec<String>,
    /// What its projects must be like for their runs to go on.
    pub quality_gate: Option<QualityGate>,
    /// Whether nothing held in it counts for who came with the password alone.
    pub require_second_factor: bool,
    /// Whether nothing held in it counts in sessions that no identity provider opened.
    pub require_sso: bool,
    /// The most tokens a run may use, and what one gets that names no budget.
    pub run_token_budget: Option<i64>,
}

/// The settings of `org`; those of an organisation that is not there are empty.
///
/// # Errors
/// When the database fails.
pub fn of(tx: &mut Tx<'_>, org: OrgId) -> Result<Settings> {
    let stored = store::settings(tx, org)?.unwrap_or_default();
    serde_json::from_value(Value::Object(stored)).map_err(Error::internal)
}

/// The schema, for forms and for people.
///
/// # Errors
/// None in a build whose tests passed.
pub fn schema() -> Result<Value> {
    serde_json::from_str(SCHEMA).map_err(Error::internal)
}

fn validator() -> Result<&'static Validator> {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    if let Some(validator) = VALIDATOR.get() {
        return Ok(validator);
    }
    let built = jsonschema::validator_for(&schema()?).map_err(|cause| Error::internal(cause.to_string()))?;
    Ok(VALIDATOR.get_or_init(|| built))
}

/// # Errors
/// `invalid_settings`, naming the field as `settings.<key>`.
pub fn check(settings: &Map<String, Value>) -> Result<()> {
    let whole = Value::Object(settings.clone());
    let Some(fault) = validator()?.iter_errors(&whole).next() else { return Ok(()) };
    let field = place(&fault);
    // The library quotes what it was given: as long as that may be.
    let why: String = fault.to_string().trim_end_matches('.').chars().take(500).collect();
    Err(Error::invalid("invalid_settings", format!("The settings were refused at {field}: {why}.")).field(field))
}

fn place(fault: &ValidationError<'_>) -> String {
    let place = format!("settings{}", fault.instance_path().as_str().replace('/', "."));
    match fault.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let name: String = unexpected.first().map_or("", String::as_str).chars().take(100).collect();
            format!("{place}.{name}")
        }
        _ => place,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_of_the_schema_has_a_field_and_the_other_way_round() {
        let schema = schema().unwrap();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let fields = serde_json::to_value(Settings::default()).unwrap();
        let mut fields: Vec<&String> = fields.as_object().unwrap().keys().collect();
        fields.sort();
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(sorted, fields);
        for key in keys {
            let rule = &schema["properties"][key];
            assert!(rule["title"].is_string() && rule["description"].is_string(), "{key} is explained to nobody");
        }
    }

    #[test]
    fn a_refusal_names_the_key() {
        for (settings, field) in [
            (json!({}), None),
            (json!({"run_token_budget": 2000, "default_model": "local/m"}), None),
            (json!({"run_token_budget": 1999}), Some("settings.run_token_budget")),
            (json!({"run_token_budget": "many"}), Some("settings.run_token_budget")),
            (json!({"default_model": ""}), Some("settings.default_model")),
            (json!({"default_model": null}), Some("settings.default_model")),
            (json!({"require_second_factor": "yes"}), Some("settings.require_second_factor")),
            (json!({"quality_gate": {"max_critical": 0, "min_score": 80}}), None),
            (json!({"extra_stages": [{"after": "testing", "role": "api_designer"}]}), None),
            (json!({"extra_stages": [{"after": "testing"}]}), Some("settings.extra_stages.0")),
            (json!({"quality_gate": {"min_score": 101}}), Some("settings.quality_gate.min_score")),
            (json!({"colour": "red"}), Some("settings.colour")),
        ] {
            let outcome = check(settings.as_object().unwrap());
            assert_eq!(outcome.as_ref().err().and_then(Error::field_name), field, "{settings}: {outcome:?}");
        }
    }
}

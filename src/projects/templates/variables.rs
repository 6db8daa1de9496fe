//! What a template leaves open: its variables, and the values somebody gives them.
//!
//! Invariant: a value in hand is of its variable's kind and bounded; every variable has one, and there are no others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::base::error::{Error, Result};

const MAX_VARIABLES: usize = 100;
const MAX_NAME: usize = 64;
/// A value, a description or a choice, in bytes.
const MAX_TEXT: usize = 4_000;
const MAX_CHOICES: usize = 100;

/// Values by the names of variables.
pub type Values = BTreeMap<String, Value>;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = VariableKind)]
pub enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    /// One of `choices`.
    Choice,
}

/// A variable of a template.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = TemplateVariable)]
pub struct Variable {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub description: String,
    /// Whether a value must be given. Without one a variable has its default, or is an empty text.
    pub required: bool,
    pub default: Option<Value>,
    /// Of a choice.
    pub choices: Vec<String>,
}

/// A variable as a plugin writes it.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    name: String,
    #[serde(rename = "type", default = "string")]
    kind: Kind,
    #[serde(default)]
    description: String,
    required: Option<bool>,
    default: Option<Value>,
    #[serde(default)]
    choices: Vec<String>,
}

fn string() -> Kind {
    Kind::String
}

/// The variables out of what a plugin tells: a list of them, an object of them by name, or either as `variables`.
///
/// # Errors
/// `invalid_template`, naming the variable.
pub fn parse(plugin: &str, told: &Value) -> Result<Vec<Variable>> {
    let wrong = |what: String| {
        Error::upstream("invalid_template", format!("The template {plugin} is wrong: {what} Its author must mend it."))
    };
    let told = told.get("variables").unwrap_or(told);
    let items: Vec<(Option<&String>, &Value)> = match told {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
        Value::Object(items) => items.iter().map(|(name, item)| (Some(name), item)).collect(),
        _ => return Err(wrong("its variables are neither a list nor an object.".to_owned())),
    };
    if items.len() > MAX_VARIABLES {
        return Err(wrong(format!("it has {} variables; at most {MAX_VARIABLES} are taken.", items.len())));
    }
    let mut variables: Vec<Variable> = Vec::with_capacity(items.len());
    for (place, (name, item)) in items.into_iter().enumerate() {
        let told: Told = Told::deserialize(item).map_err(|cause| wrong(format!("variable {place}: {cause}.")))?;
        let variable = told.check(name).map_err(&wrong)?;
        if variables.iter().any(|other| other.name == variable.name) {
            return Err(wrong(format!("it has the variable {} twice.", variable.name)));
        }
        variables.push(variable);
    }
    Ok(variables)
}

impl Told {
    fn check(self, name: Option<&String>) -> Result<Variable, String> {
        let Self { name: own, kind, description, required, default, choices } = self;
        let name = name.cloned().unwrap_or(own);
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.len() > MAX_NAME || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(good) {
            return Err(format!(
                "{name:.80?} is no name of a variable. It begins with a letter and has at most {MAX_NAME} of a-z, 0-9 and _."
            ));
        }
        let long = description.len() > MAX_TEXT || choices.iter().any(|choice| choice.len() > MAX_TEXT);
        if long || choices.len() > MAX_CHOICES || (kind == Kind::Choice) == choices.is_empty() {
            return Err(format!(
                "the variable {name} needs choices exactly if its type is choice, at most {MAX_CHOICES}, each of at most {MAX_TEXT} bytes."
            ));
        }
        let default = default.filter(|value| !value.is_null());
        let mut variable =
            Variable { name, kind, description, required: required.unwrap_or(default.is_none()), default, choices };
        if let Some(default) = &variable.default {
            let taken = variable.take(default);
            variable.default = Some(taken.map_err(|rule| format!("the default of {} {rule}.", variable.name))?);
        }
        Ok(variable)
    }
}

impl Variable {
    /// A value as this variable has it; numbers and truths may come as text, as from a command line.
    ///
    /// # Errors
    /// The rule it breaks, as the end of a sentence.
    fn take(&self, value: &Value) -> Result<Value, String> {
        let text = value.as_str();
        let taken = match self.kind {
            Kind::String => text.filter(|text| text.len() <= MAX_TEXT && !text.contains('\0')).map(Value::from),
            Kind::Choice => text.filter(|text| self.choices.iter().any(|choice| choice == text)).map(Value::from),
            Kind::Integer => value.as_i64().or_else(|| text?.trim().parse().ok()).map(Value::from),
            Kind::Number => number(value).or_else(|| number(&serde_json::from_str(text?.trim()).ok()?)),
            Kind::Boolean => value.as_bool().or_else(|| text?.trim().parse().ok()).map(Value::from),
        };
        taken.ok_or_else(|| match self.kind {
            Kind::String => format!("must be a text of at most {MAX_TEXT} bytes without NUL"),
            Kind::Choice => format!("must be one of {}", self.choices.join(", ")),
            Kind::Integer => "must be a whole number".to_owned(),
            Kind::Number => "must be a number".to_owned(),
            Kind::Boolean => "must be true or false".to_owned(),
        })
    }
}

fn number(value: &Value) -> Option<Value> {
    value.is_number().then(|| value.clone())
}

/// A value for every variable, out of what somebody gave.
///
/// # Errors
/// `unknown_variable`, `variable_missing`, `invalid_variable`.
pub fn fill(variables: &[Variable], given: &Map<String, Value>) -> Result<Values> {
    if let Some(unknown) = given.keys().find(|key| variables.iter().all(|variable| variable.name != **key)) {
        let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let sentence = format!("The template has no variable {unknown:.80?}. It has: {known}.");
        return Err(Error::invalid("unknown_variable", sentence).field("variables"));
    }
    let fill = |variable: &Variable| {
        let (name, field) = (&variable.name, format!("variables.{}", variable.name));
        let value = match given.get(name).filter(|value| !value.is_null()) {
            Some(value) => variable.take(value).map_err(|rule| {
                Error::invalid("invalid_variable", format!("The variable {name} {rule}.")).field(field)
            })?,
            None if variable.required => {
                let sentence = format!("The template needs a value for {name}. {}", variable.description);
                return Err(Error::invalid("variable_missing", sentence.trim_end()).field(field));
            }
            None => variable.default.clone().unwrap_or_else(|| Value::from("")),
        };
        Ok((name.clone(), value))
    };
    variables.iter().map(fill).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn variables_come_as_a_list_or_by_name() {
        let list = parse("t", &json!([{"name": "port", "type": "integer", "default": 80}])).unwrap();
        let named = parse("t", &json!({"variables": {"port": {"type": "integer", "default": "80"}}})).unwrap();
        assert_eq!(list, named);
        assert!(!list[0].required, "it has a default");
        assert!(parse("t", &Value::Null).unwrap().is_empty());
        for wrong in [
            json!("x"),
            json!([{"name": "a b"}]),
            json!([{"name": ""}]),
            json!([{"name": "a"}, {"name": "a"}]),
            json!([{"name": "a", "type": "colour"}]),
            json!([{"name": "a", "type": "choice"}]),
            json!([{"name": "a", "type": "integer", "default": "many"}]),
            json!([{"name": "a", "type": "choice", "choices": ["b"], "default": "c"}]),
        ] {
            assert_eq!(parse("t", &wrong).unwrap_err().code(), "invalid_template", "{wrong}");
        }
    }

    #[test]
    fn every_variable_has_a_value_of_its_kind() {
        let variables = parse(
            "t",
            &json!([{"name": "name"}, {"name": "port", "type": "integer", "default": 80}, {"name": "docs", "type": "boolean", "default": true},
                {"name": "ratio", "type": "number", "required": false},
                {"name": "db", "type": "choice", "choices": ["sqlite", "postgres"], "default": "sqlite"}]),
        )
        .unwrap();
        let filled = fill(&variables, &given(&json!({"name": "Shop", "port": "8080", "docs": "false"}))).unwrap();
        assert_eq!(json!(filled), json!({"name": "Shop", "port": 8080, "docs": false, "ratio": "", "db": "sqlite"}));
        for (wrong, code) in [
            (json!({}), "variable_missing"),
            (json!({"name": null}), "variable_missing"),
            (json!({"name": "a", "nmae": "b"}), "unknown_variable"),
            (json!({"name": 1}), "invalid_variable"),
            (json!({"name": "a", "port": 1.5}), "invalid_variable"),
            (json!({"name": "a", "docs": "yes"}), "invalid_variable"),
            (json!({"name": "a", "db": "oracle"}), "invalid_variable"),
            (json!({"name": "\u{0}"}), "invalid_variable"),
        ] {
            assert_eq!(fill(&variables, &given(&wrong)).unwrap_err().code(), code, "{wrong}");
        }
    }
}

//! What a plugin found in a file, taken out of whatever it answered.
//!
//! Invariant: what leaves here fits the database and the eye: a known severity, no NUL, bounded in number and length.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub use crate::base::severity::Severity;

/// One finding, not yet kept anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewFinding {
    /// Such as `sql_injection`; the plugin's own word.
    #[serde(rename = "type")]
    pub kind: String,
    pub severity: Severity,
    pub message: String,
    /// Counts from 1; None when the plugin does not know.
    pub line: Option<i64>,
    /// The code in question.
    pub code: Option<String>,
    pub recommendation: Option<String>,
}

/// Findings taken from one answer; what exceeds it is left out.
pub const MAX_FINDINGS: usize = 1_000;
const MAX_KIND: usize = 100;
const MAX_MESSAGE: usize = 2_000;
const MAX_CODE: usize = 1_000;
/// The names under which plugins keep their lists.
const LISTS: [&str; 2] = ["issues", "findings"];

/// The findings in what a plugin put under one key: a list of them, or an object that has one. Anything else holds none.
pub fn collect(value: &Value, into: &mut Vec<NewFinding>) {
    let lists = match value {
        Value::Array(items) => vec![items],
        Value::Object(fields) => LISTS.iter().filter_map(|name| fields.get(*name)?.as_array()).collect(),
        _ => Vec::new(),
    };
    let room = MAX_FINDINGS.saturating_sub(into.len());
    into.extend(lists.into_iter().flatten().filter_map(finding).take(room));
}

/// The score that a plugin put under a key, beside its list.
pub fn given_score(value: &Value) -> Option<f64> {
    value.get("score")?.as_f64().filter(|score| score.is_finite()).map(|score| score.clamp(0.0, 100.0))
}

/// What findings come to where the plugin gives no score: 100 less 20 for each critical one, 10 for a high, 5 for a medium
/// and 2 for a low one, 0 at least.
pub fn score(found: &[NewFinding]) -> f64 {
    let penalty = |finding: &NewFinding| match finding.severity {
        Severity::Critical => 20.0,
        Severity::High => 10.0,
        Severity::Medium => 5.0,
        Severity::Low => 2.0,
    };
    (100.0 - found.iter().map(penalty).sum::<f64>()).max(0.0)
}

/// None for what has no message: it says nothing.
fn finding(item: &Value) -> Option<NewFinding> {
    let text = |name: &str, most: usize| {
        let text = clean(item.get(name)?.as_str()?, most);
        (!text.trim().is_empty()).then_some(text)
    };
    Some(NewFinding {
        message: text("message", MAX_MESSAGE)?,
        kind: text("type", MAX_KIND).unwrap_or_else(|| "finding".to_owned()),
        severity: item.get("severity").and_then(Value::as_str).map_or(Severity::Medium, severity),
        line: item.get("line").and_then(Value::as_i64).filter(|line| *line > 0),
        code: text("code", MAX_CODE),
        recommendation: text("recommendation", MAX_MESSAGE),
    })
}

/// The contract's four words, and what linters say instead; whatever else is worth a look.
fn severity(word: &str) -> Severity {
    match word.trim().to_ascii_lowercase().as_str() {
        "low" | "info" | "note" | "hint" | "style" => Severity::Low,
        "high" | "error" | "major" => Severity::High,
        "critical" | "fatal" | "blocker" => Severity::Critical,
        _ => Severity::Medium,
    }
}

/// At most `most` bytes, without the NUL that no database takes.
pub fn clean(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].replace('\0', "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn collected(value: &Value) -> Vec<NewFinding> {
        let mut found = Vec::new();
        collect(value, &mut found);
        found
    }

    #[test]
    fn lists_are_found_and_what_says_nothing_is_not() {
        let good = json!({"type": "t", "severity": "HIGH", "message": "m\u{0}", "line": 3, "code": "c", "recommendation": "r"});
        let expected = NewFinding {
            kind: "t".into(),
            severity: Severity::High,
            message: "m".into(),
            line: Some(3),
            code: Some("c".into()),
            recommendation: Some("r".into()),
        };
        for value in [json!([good]), json!({"issues": [good], "score": 3}), json!({"findings": [good]})] {
            assert_eq!(collected(&value), std::slice::from_ref(&expected));
        }
        for value in [json!("text"), json!(null), json!([5, {}, {"message": " "}]), json!({"issues": {"message": "m"}})]
        {
            assert_eq!(collected(&value), []);
        }
        let bare = collected(&json!([{"message": "m", "line": -4, "severity": "strange"}]));
        assert_eq!((bare[0].kind.as_str(), bare[0].severity, bare[0].line), ("finding", Severity::Medium, None));
    }

    #[test]
    fn a_score_is_the_plugins_own_or_what_its_findings_come_to() {
        for (value, score) in
            [(json!({"score": 70}), Some(70.0)), (json!({"score": 170.5}), Some(100.0)), (json!({"score": "x"}), None)]
        {
            assert_eq!(given_score(&value), score);
        }
        let item = |severity: &str| json!({"message": "m", "severity": severity});
        assert!((score(&collected(&json!([item("critical"), item("low")]))) - 78.0).abs() < f64::EPSILON);
        assert!(score(&collected(&Value::Array(vec![item("critical"); 9]))).abs() < f64::EPSILON);
    }

    #[test]
    fn number_and_length_are_bounded() {
        let item = json!({"message": "ä".repeat(5_000)});
        let found = collected(&Value::Array(vec![item; 3_000]));
        assert_eq!((found.len(), found[0].message.len()), (MAX_FINDINGS, MAX_MESSAGE));
    }
}

//! The score of a project, and the gate that may hold a run.
//!
//! Invariant: a score is from 0 to 100, 100 where nothing was found. A file's is the lowest that a plugin gives it, a
//! project's the mean over the files that plugins looked at.

use serde::Serialize;
use utoipa::ToSchema;

use crate::base::error::{Error, Result};
use crate::orgs::settings::QualityGate;
use crate::projects::findings::SeverityCounts;

const MOST_FINDINGS: i64 = 1_000_000;

/// The gate as it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Gate {
    /// The organisation's; null: it has none.
    pub organization: Option<QualityGate>,
    /// The project's own; both hold.
    pub project: Option<QualityGate>,
    pub passed: bool,
    /// What keeps the project from passing.
    pub reasons: Vec<String>,
}

/// # Errors
/// `invalid_gate`, naming the field.
pub fn check(gate: &QualityGate) -> Result<()> {
    let bounds = [
        ("max_critical", gate.max_critical, MOST_FINDINGS),
        ("max_high", gate.max_high, MOST_FINDINGS),
        ("min_score", gate.min_score, 100),
    ];
    for (name, value, most) in bounds {
        if value.is_some_and(|value| !(0..=most).contains(&value)) {
            let rule = format!("{name} is a whole number from 0 to {most}, or null.");
            return Err(Error::invalid("invalid_gate", rule).field(format!("quality_gate.{name}")));
        }
    }
    Ok(())
}

/// What keeps a project from passing the gate of `whose`, each in a sentence; none: it passes.
pub fn reasons(gate: &QualityGate, whose: &str, findings: &SeverityCounts, score: Option<f64>) -> Vec<String> {
    let counted = [("critical", gate.max_critical, findings.critical), ("high", gate.max_high, findings.high)];
    let mut reasons: Vec<String> = counted
        .into_iter()
        .filter_map(|(severity, most, there)| {
            let most = most.filter(|most| there > *most)?;
            Some(format!("Findings that are {severity}: {there}; {whose} allows {most}."))
        })
        .collect();
    let least = gate.min_score.and_then(|least| i32::try_from(least).ok()).map(f64::from);
    if let (Some(least), Some(score)) = (least, score)
        && score < least
    {
        reasons.push(format!("The score is {score:.1}; {whose} asks for {least}."));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_names_every_reason_and_an_empty_one_none() {
        let findings = SeverityCounts { low: 9, medium: 9, high: 3, critical: 1 };
        let gate = QualityGate { max_critical: Some(0), max_high: Some(3), min_score: Some(80) };
        let told = reasons(&gate, "the organisation", &findings, Some(79.5));
        assert_eq!(
            told,
            [
                "Findings that are critical: 1; the organisation allows 0.",
                "The score is 79.5; the organisation asks for 80."
            ]
        );
        assert!(reasons(&gate, "x", &SeverityCounts::default(), None).is_empty());
        assert!(reasons(&QualityGate::default(), "x", &findings, Some(0.0)).is_empty());
        assert!(check(&gate).is_ok() && check(&QualityGate { min_score: Some(101), ..gate }).is_err());
    }
}

//! The score of a project, and the gate that may hold a run.
//!
//! Invariant: a score is from 0 to 100, 100 where nothing was found. A file's is the lowest that a plugin gives it, a
//! project's the mean over the files that plugins looked at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projects::findings::SeverityCounts;

/// What a project must be like for its runs to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// The most critical findings; null: any number.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_critical: Option<i64>,
    /// The most high findings; null: any number.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_high: Option<i64>,
    /// The least score of the project, 0 to 100; null: any. A project that no plugin looked at passes.
    #[schema(minimum = 0, maximum = 100)]
    pub min_score: Option<i64>,
}

impl Gate {
    /// What keeps a project from passing, each in a sentence; none: it passes.
    pub fn reasons(&self, whose: &str, findings: &SeverityCounts, score: Option<f64>) -> Vec<String> {
        let counted = [("critical", self.max_critical, findings.critical), ("high", self.max_high, findings.high)];
        let mut reasons: Vec<String> = counted
            .into_iter()
            .filter_map(|(severity, most, there)| {
                let most = most.filter(|most| there > *most)?;
                Some(format!("There are {there} {severity} findings; {whose} allows {most}."))
            })
            .collect();
        if let (Some(least), Some(score)) = (self.min_score, score)
            && score < f64::from(i32::try_from(least).unwrap_or(i32::MAX))
        {
            reasons.push(format!("The score is {score:.1}; {whose} asks for {least}."));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_names_every_reason_and_an_empty_one_none() {
        let findings = SeverityCounts { low: 9, medium: 9, high: 3, critical: 1 };
        let gate = Gate { max_critical: Some(0), max_high: Some(3), min_score: Some(80) };
        let reasons = gate.reasons("the organisation", &findings, Some(79.95));
        assert_eq!(
            reasons,
            [
                "There are 1 critical findings; the organisation allows 0.",
                "The score is 80.0; the organisation asks for 80."
            ]
        );
        assert!(gate.reasons("x", &SeverityCounts::default(), None).is_empty());
        assert!(Gate::default().reasons("x", &findings, Some(0.0)).is_empty());
    }
}

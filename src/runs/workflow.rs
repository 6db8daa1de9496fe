//! The platform's own stages and roles, and by which names others know them.
//!
//! Invariant: pure. Codes are what is stored and shown; they are never given another meaning.

use serde::{Deserialize, Serialize};

use crate::projects::ProjectStatus;

/// A part of the work, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    RequirementAnalysis,
    ArchitectureDesign,
    UiDesign,
    Development,
    Testing,
    QaReview,
}

impl Stage {
    pub const ALL: [Self; 6] = [
        Self::RequirementAnalysis,
        Self::ArchitectureDesign,
        Self::UiDesign,
        Self::Development,
        Self::Testing,
        Self::QaReview,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::RequirementAnalysis => "requirement_analysis",
            Self::ArchitectureDesign => "architecture_design",
            Self::UiDesign => "ui_design",
            Self::Development => "development",
            Self::Testing => "testing",
            Self::QaReview => "qa_review",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.code() == code)
    }

    /// The stage that plugins mean by `name`; the earlier product had other names for some.
    pub fn meant_by(name: &str) -> Option<Self> {
        match name {
            "requirements_analysis" | "requirements_gathering" => Some(Self::RequirementAnalysis),
            "ui_ux_design" | "uxui_design" => Some(Self::UiDesign),
            "implementation" | "prototype_development" => Some(Self::Development),
            "quality_assurance" => Some(Self::QaReview),
            _ => Self::from_code(name),
        }
    }

    /// The roles that have their turn in it, in order.
    pub fn roles(self) -> &'static [AgentRole] {
        match self {
            Self::RequirementAnalysis => &[AgentRole::ProjectManager, AgentRole::RequirementsAnalyst],
            Self::ArchitectureDesign => &[AgentRole::Architect],
            Self::UiDesign => &[AgentRole::UxuiDesigner],
            Self::Development => &[AgentRole::Developer],
            Self::Testing => &[AgentRole::TestEngineer],
            Self::QaReview => &[AgentRole::QualityExpert],
        }
    }

    /// What a project is while a run is in this stage.
    pub fn project_status(self) -> ProjectStatus {
        match self {
            Self::RequirementAnalysis | Self::ArchitectureDesign | Self::UiDesign => ProjectStatus::Planning,
            Self::Development => ProjectStatus::Developing,
            Self::Testing | Self::QaReview => ProjectStatus::Testing,
        }
    }
}

/// Who does a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentRole {
    ProjectManager,
    RequirementsAnalyst,
    Architect,
    UxuiDesigner,
    Developer,
    TestEngineer,
    QualityExpert,
}

impl AgentRole {
    pub const ALL: [Self; 7] = [
        Self::ProjectManager,
        Self::RequirementsAnalyst,
        Self::Architect,
        Self::UxuiDesigner,
        Self::Developer,
        Self::TestEngineer,
        Self::QualityExpert,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::ProjectManager => "project_manager",
            Self::RequirementsAnalyst => "requirements_analyst",
            Self::Architect => "architect",
            Self::UxuiDesigner => "uxui_designer",
            Self::Developer => "developer",
            Self::TestEngineer => "test_engineer",
            Self::QualityExpert => "quality_expert",
        }
    }

    /// The stage in which the role has its turn.
    pub fn home(self) -> Stage {
        Stage::ALL.into_iter().find(|stage| stage.roles().contains(&self)).unwrap_or(Stage::Development)
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }

    /// How much of the rest of a budget this role's answer gets, against the others'.
    pub fn weight(self) -> u64 {
        match self {
            Self::ProjectManager => 1,
            Self::RequirementsAnalyst | Self::Architect | Self::UxuiDesigner | Self::QualityExpert => 2,
            Self::TestEngineer => 3,
            Self::Developer => 6,
        }
    }
}

/// What an agent of `role` is called that works for a person.
pub fn agent_name(role: &str, person: &str) -> String {
    format!("{role} for {person}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back() {
        assert!(Stage::ALL.into_iter().all(|stage| Stage::from_code(stage.code()) == Some(stage)));
        assert!(AgentRole::ALL.into_iter().all(|role| AgentRole::from_code(role.code()) == Some(role)));
        let roles: Vec<AgentRole> = Stage::ALL.into_iter().flat_map(|stage| stage.roles().to_vec()).collect();
        assert_eq!(roles, AgentRole::ALL);
    }
}

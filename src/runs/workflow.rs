//! The order of the work: which role does what in which stage, what comes next, and how much of the budget a step gets.
//!
//! Invariant: pure. From any step and any verdict the end is reached in a bounded number of steps, for an iteration
//! begins only while the run's limit allows one more.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projects::ProjectStatus;

/// A part of the work, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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

    /// Where the stage stands in the order, from 0.
    pub fn place(self) -> usize {
        self as usize
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

    /// What an agent is called that works for a person.
    pub fn name_for(self, person: &str) -> String {
        format!("{} for {person}", self.code())
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }

    /// How much of the rest of a budget this role's answer gets, against the others'.
    fn weight(self) -> u64 {
        match self {
            Self::ProjectManager => 1,
            Self::RequirementsAnalyst | Self::Architect | Self::UxuiDesigner | Self::QualityExpert => 2,
            Self::TestEngineer => 3,
            Self::Developer => 6,
        }
    }
}

/// One turn of one role: one question to the model, one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub stage: Stage,
    pub role: AgentRole,
}

const STEPS: [Step; 7] = [
    Step { stage: Stage::RequirementAnalysis, role: AgentRole::ProjectManager },
    Step { stage: Stage::RequirementAnalysis, role: AgentRole::RequirementsAnalyst },
    Step { stage: Stage::ArchitectureDesign, role: AgentRole::Architect },
    Step { stage: Stage::UiDesign, role: AgentRole::UxuiDesigner },
    Step { stage: Stage::Development, role: AgentRole::Developer },
    Step { stage: Stage::Testing, role: AgentRole::TestEngineer },
    Step { stage: Stage::QaReview, role: AgentRole::QualityExpert },
];

/// What the run's own settings say about the order.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub skip_ui_design: bool,
    /// From 1.
    pub iteration: i64,
    pub max_iterations: i64,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Step(Step),
    /// Development begins anew, with what the review found.
    Again(Step),
    Completed,
}

impl Step {
    /// The step a run begins with.
    pub const FIRST: Self = STEPS[0];

    /// The first turn of `stage`.
    pub fn first_of(stage: Stage) -> Self {
        STEPS.into_iter().find(|step| step.stage == stage).unwrap_or(Self::FIRST)
    }

    fn place(self) -> usize {
        STEPS.iter().position(|step| *step == self).unwrap_or(0)
    }

    /// The steps after this one in the same iteration.
    fn rest(self, plan: Plan) -> impl Iterator<Item = Self> {
        let skipped = move |step: &Self| plan.skip_ui_design && step.stage == Stage::UiDesign;
        STEPS.into_iter().skip(self.place() + 1).filter(move |step| !skipped(step))
    }

    /// What comes after this step; `approved` is the review's verdict, and true for every other step.
    pub fn next(self, plan: Plan, approved: bool) -> Next {
        match self.rest(plan).next() {
            Some(step) => Next::Step(step),
            None if approved || plan.iteration >= plan.max_iterations => Next::Completed,
            None => Next::Again(Self::first_of(Stage::Development)),
        }
    }

    /// How many steps come after this one in this iteration.
    pub fn later(self, plan: Plan) -> usize {
        self.rest(plan).count()
    }

    /// The part of `left` tokens that this step may use, so that the steps after it in this iteration get theirs.
    pub fn share(self, plan: Plan, left: u64) -> u64 {
        let own = self.role.weight();
        let all: u64 = own + self.rest(plan).map(|step| step.role.weight()).sum::<u64>();
        left / all * own + left % all * own / all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(skip_ui_design: bool, iteration: i64, max_iterations: i64) -> Plan {
        Plan { skip_ui_design, iteration, max_iterations }
    }

    /// The roles in the order they come, when the review approves from iteration `good` on.
    fn walk(skip: bool, max: i64, good: i64) -> Vec<AgentRole> {
        let (mut step, mut iteration, mut roles) = (Step::FIRST, 1, Vec::new());
        loop {
            roles.push(step.role);
            let approved = step.stage != Stage::QaReview || iteration >= good;
            match step.next(plan(skip, iteration, max), approved) {
                Next::Completed => return roles,
                Next::Step(next) => step = next,
                Next::Again(next) => (step, iteration) = (next, iteration + 1),
            }
        }
    }

    #[test]
    fn every_role_has_its_turn_and_skipping_leaves_the_designer_out() {
        assert_eq!(walk(false, 3, 1), AgentRole::ALL);
        assert!(!walk(true, 3, 1).contains(&AgentRole::UxuiDesigner));
    }

    #[test]
    fn a_review_that_refuses_sends_back_until_the_limit() {
        let count = |max, good| walk(false, max, good).into_iter().filter(|role| *role == AgentRole::Developer).count();
        assert_eq!((count(3, 2), count(3, 9), count(1, 9)), (2, 3, 1));
    }

    #[test]
    fn codes_are_read_back() {
        assert!(Stage::ALL.into_iter().all(|stage| Stage::from_code(stage.code()) == Some(stage)));
        assert!(AgentRole::ALL.into_iter().all(|role| AgentRole::from_code(role.code()) == Some(role)));
    }

    proptest! {
        #[test]
        fn shares_never_exceed_what_is_left_and_the_last_gets_all(left in 0u64..u64::MAX / 32, skip: bool) {
            let (mut step, mut rest) = (Step::FIRST, left);
            loop {
                let share = step.share(plan(skip, 1, 1), rest);
                prop_assert!(share <= rest);
                rest -= share;
                match step.next(plan(skip, 1, 1), true) {
                    Next::Step(next) => step = next,
                    _ => break,
                }
            }
            prop_assert_eq!(rest, 0);
        }
    }
}

//! The order a run keeps to: whose turn it is in which stage, what comes next, and how much of the budget a turn gets.
//!
//! Invariant: pure. From any step and any verdict the end is reached in a bounded number of steps, for an iteration
//! begins only while the run's limit allows one more. A run keeps the plan it began with.

use serde::{Deserialize, Serialize};

use super::workflow::{AgentRole, Stage};

/// How much of the rest of a budget the turn of a plugin's agent gets, against the others'.
const AGENT_WEIGHT: u64 = 2;

/// All stages of a run. There is one at least that is not left out, and every stage has a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The plugin whose workflow it is; None: the platform's own.
    pub workflow: Option<String>,
    pub stages: Vec<PlannedStage>,
}

/// A stage of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// Unlike all others in the plan.
    pub name: String,
    /// Which of the platform's own stages it is; None: none of them.
    pub kind: Option<Stage>,
    pub players: Vec<Player>,
    /// The path of its document; None: as the role has it.
    pub produces: Option<String>,
    /// Whether it is left out.
    pub skipped: bool,
}

/// Who has a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Player {
    Own(AgentRole),
    Plugin(Agent),
}

/// A plugin's agent, as it was when the run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Unlike the codes of the platform's own roles.
    pub role: String,
    pub plugin: String,
    pub system_prompt: String,
    /// The method that does its work; None: the run's model does.
    pub works_by: Option<String>,
}

impl Player {
    pub fn role(&self) -> &str {
        match self {
            Self::Own(role) => role.code(),
            Self::Plugin(agent) => &agent.role,
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Self::Own(role) => role.weight(),
            Self::Plugin(_) => AGENT_WEIGHT,
        }
    }
}

/// One turn of one player: one commit. A place in a [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub place: usize,
    /// Which of the stage's players.
    pub turn: usize,
}

/// How far a run may go.
#[derive(Debug, Clone, Copy)]
pub struct Course {
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

impl Plan {
    /// The platform's own order.
    pub fn built_in(skip_ui_design: bool) -> Self {
        let stages = Stage::ALL.into_iter().map(|stage| PlannedStage {
            name: stage.code().to_owned(),
            kind: Some(stage),
            players: stage.roles().iter().copied().map(Player::Own).collect(),
            produces: None,
            skipped: skip_ui_design && stage == Stage::UiDesign,
        });
        Self { workflow: None, stages: stages.collect() }
    }

    /// Whether a run can keep to it.
    pub fn is_sound(&self) -> bool {
        self.steps().next().is_some() && self.stages.iter().all(|stage| !stage.players.is_empty())
    }

    /// The steps that are not left out, in order.
    fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let stages = self.stages.iter().enumerate().filter(|(_, stage)| !stage.skipped);
        stages.flat_map(|(place, stage)| (0..stage.players.len()).map(move |turn| Step { place, turn }))
    }

    /// The step a run begins with.
    pub fn first(&self) -> Step {
        self.steps().next().unwrap_or(Step { place: 0, turn: 0 })
    }

    /// The last step there is.
    pub fn last(&self) -> Step {
        self.steps().last().unwrap_or(Step { place: 0, turn: 0 })
    }

    /// The step of `role` in the stage at `place`, if there is one.
    pub fn at(&self, place: usize, role: &str) -> Option<Step> {
        let players = &self.stages.get(place)?.players;
        Some(Step { place, turn: players.iter().position(|player| player.role() == role)? })
    }

    /// Where the stage of this name stands.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }

    pub fn stage(&self, step: Step) -> &PlannedStage {
        &self.stages[step.place]
    }

    pub fn player(&self, step: Step) -> &Player {
        &self.stages[step.place].players[step.turn]
    }

    pub fn role(&self, step: Step) -> &str {
        self.player(step).role()
    }

    /// Which of the platform's own parts of the work the stage at `place` belongs to.
    pub fn phase(&self, place: usize) -> Stage {
        let mut stages = self.stages.iter().take(place + 1).rev();
        let own = |stage: &PlannedStage| {
            let role = stage.players.iter().find_map(|player| match player {
                Player::Own(role) => Some(role.home()),
                Player::Plugin(_) => None,
            });
            stage.kind.or(role)
        };
        // A plugin's agent belongs to what comes before it.
        stages.find_map(own).unwrap_or(Stage::RequirementAnalysis)
    }

    /// The steps after `step` in the same iteration.
    fn rest(&self, step: Step) -> impl Iterator<Item = Step> + '_ {
        self.steps().filter(move |other| (other.place, other.turn) > (step.place, step.turn))
    }

    /// What comes after `step`; `approved` is the review's verdict, and true for every other step.
    pub fn next(&self, step: Step, course: Course, approved: bool) -> Next {
        if let Some(next) = self.rest(step).next() {
            return Next::Step(next);
        }
        match self.development().filter(|_| !approved && course.iteration < course.max_iterations) {
            Some(again) => Next::Again(again),
            None => Next::Completed,
        }
    }

    /// Where development begins anew; None where nobody develops.
    fn development(&self) -> Option<Step> {
        let last = |wanted: &dyn Fn(&PlannedStage) -> bool| {
            let place = self.stages.iter().rposition(|stage| !stage.skipped && wanted(stage))?;
            Some(Step { place, turn: 0 })
        };
        last(&|stage| stage.kind == Some(Stage::Development))
            .or_else(|| last(&|stage| stage.players.contains(&Player::Own(AgentRole::Developer))))
    }

    /// How many steps come after `step` in this iteration.
    pub fn later(&self, step: Step) -> usize {
        self.rest(step).count()
    }

    /// The part of `left` tokens that `step` may use, so that the steps after it in this iteration get theirs.
    pub fn share(&self, step: Step, left: u64) -> u64 {
        let own = self.player(step).weight();
        let all: u64 = own + self.rest(step).map(|step| self.player(step).weight()).sum::<u64>();
        left / all * own + left % all * own / all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The roles in the order they come, when the review approves from iteration `good` on.
    fn walk(plan: &Plan, max_iterations: i64, good: i64) -> Vec<String> {
        let (mut step, mut iteration, mut roles) = (plan.first(), 1, Vec::new());
        loop {
            roles.push(plan.role(step).to_owned());
            let approved = step != plan.last() || iteration >= good;
            match plan.next(step, Course { iteration, max_iterations }, approved) {
                Next::Completed => return roles,
                Next::Step(next) => step = next,
                Next::Again(next) => (step, iteration) = (next, iteration + 1),
            }
        }
    }

    fn stage(name: &str, player: Player, skipped: bool) -> PlannedStage {
        PlannedStage { name: name.to_owned(), kind: None, players: vec![player], produces: None, skipped }
    }

    fn agent(role: &str) -> Player {
        let (role, plugin) = (role.to_owned(), "a".to_owned());
        Player::Plugin(Agent { role, plugin, system_prompt: "Work.".to_owned(), works_by: None })
    }

    #[test]
    fn every_role_has_its_turn_and_skipping_leaves_the_designer_out() {
        assert_eq!(walk(&Plan::built_in(false), 3, 1), AgentRole::ALL.map(AgentRole::code));
        assert!(!walk(&Plan::built_in(true), 3, 1).contains(&"uxui_designer".to_owned()));
    }

    #[test]
    fn a_review_that_refuses_sends_back_until_the_limit() {
        let plan = Plan::built_in(false);
        let count = |max, good| walk(&plan, max, good).iter().filter(|role| *role == "developer").count();
        assert_eq!((count(3, 2), count(3, 9), count(1, 9)), (2, 3, 1));
    }

    #[test]
    fn where_nobody_develops_a_refusal_ends_the_run() {
        let stages = vec![stage("a", agent("x"), true), stage("b", agent("y"), false), stage("c", agent("z"), false)];
        let plan = Plan { workflow: None, stages };
        assert_eq!(walk(&plan, 9, 9), ["y", "z"]);
        assert_eq!(plan.phase(2), Stage::RequirementAnalysis);
    }

    #[test]
    fn agents_of_plugins_belong_to_the_part_of_the_work_before_them() {
        let mut plan = Plan::built_in(false);
        plan.stages.insert(4, stage("audit", agent("auditor"), false));
        assert_eq!((plan.phase(4), plan.phase(0)), (Stage::Development, Stage::RequirementAnalysis));
        assert_eq!(walk(&plan, 2, 9).iter().filter(|role| *role == "auditor").count(), 2);
        let read: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(read, plan);
    }

    proptest! {
        #[test]
        fn shares_never_exceed_what_is_left_and_the_last_gets_all(left in 0u64..u64::MAX / 32, skip: bool, extra in 0usize..6) {
            let mut plan = Plan::built_in(skip);
            plan.stages.insert(extra, stage("extra", agent("x"), false));
            let (mut step, mut rest) = (plan.first(), left);
            loop {
                let share = plan.share(step, rest);
                prop_assert!(share <= rest);
                rest -= share;
                match plan.next(step, Course { iteration: 1, max_iterations: 1 }, true) {
                    Next::Step(next) => step = next,
                    _ => break,
                }
            }
            prop_assert_eq!(rest, 0);
        }
    }
}

//! The question a role is asked: its prompt, the requirement, and as much of the project as the model can take in.
//!
//! Invariant: pure. Nothing is cut: a text goes in whole or not at all, and what stays out is named in the question itself
//! and returned, so that neither the model nor the person believes that all was read.

use std::collections::HashSet;

use super::plan::{Plan, PlannedStage, Player, Step};
use super::workflow::{AgentRole, Stage};

/// The fewest tokens worth asking for.
pub const LEAST_ANSWER: u64 = 128;
/// The most tokens an answer may have.
pub const MOST_ANSWER: u64 = 8192;
/// Names of files in a question.
pub const MOST_LISTED: usize = 200;
/// Texts left out that are named; more are counted.
pub const NAMED: usize = 20;

const PLAN: &str = "planning/development-plan.md";
const REQUIREMENTS: &str = "requirements/SRS.md";
const ARCHITECTURE: &str = "architecture/architecture.md";
const DESIGN: &str = "design/ui-design.md";
const REVIEW: &str = "quality/quality-assessment.md";
/// Documents the roles write for each other; everything else in a project is the product.
const DOCUMENTS: [&str; 5] = [PLAN, REQUIREMENTS, ARCHITECTURE, DESIGN, REVIEW];

/// What the model is told to be.
pub fn of(player: &Player) -> &str {
    match player {
        Player::Own(role) => of_role(*role),
        Player::Plugin(agent) => &agent.system_prompt,
    }
}

/// The prompt of each role, a file a role.
fn of_role(role: AgentRole) -> &'static str {
    match role {
        AgentRole::ProjectManager => include_str!("prompts/project_manager.md"),
        AgentRole::RequirementsAnalyst => include_str!("prompts/requirements_analyst.md"),
        AgentRole::Architect => include_str!("prompts/architect.md"),
        AgentRole::UxuiDesigner => include_str!("prompts/uxui_designer.md"),
        AgentRole::Developer => include_str!("prompts/developer.md"),
        AgentRole::TestEngineer => include_str!("prompts/test_engineer.md"),
        AgentRole::QualityExpert => include_str!("prompts/quality_expert.md"),
    }
}

/// A text that helps; left out when there is no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// A path, or what it is.
    pub title: String,
    pub text: String,
}

/// What of a project a question does not show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The titles of texts.
    pub named: Vec<String>,
    /// Texts besides, which nobody looked at.
    pub unread: usize,
    /// Findings of plugins.
    pub findings: usize,
    /// Files whose very names are not listed.
    pub unlisted: usize,
}

impl LeftOut {
    /// As it is told, with at most `names` titles; nothing when nothing is left out.
    pub fn lines(&self, names: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.named.iter().take(names).cloned().collect();
        let more = if lines.is_empty() { "" } else { "more " };
        let texts = self.named.len().saturating_sub(names) + self.unread;
        let counted = [
            (texts, format!("{texts} {more}texts of the project")),
            (self.findings, format!("{} more findings of plugins", self.findings)),
            (self.unlisted, format!("the names of {} files", self.unlisted)),
        ];
        lines.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words));
        lines
    }
}

/// What is told at most of `left_out`, whichever of `sections` do not fit.
pub fn longest_list(left_out: &LeftOut, sections: &[(Section, u64)]) -> Vec<String> {
    let mut all = left_out.clone();
    all.named.extend(sections.iter().map(|(section, _)| section.title.clone()));
    all.named.sort_by_key(|title| std::cmp::Reverse(title.len()));
    all.lines(NAMED)
}

/// The paths a role should read, the most needed first, out of all there are.
pub fn reading(plan: &Plan, step: Step, iteration: i64, paths: &[String]) -> Vec<String> {
    let documents: &[&str] = match plan.player(step) {
        Player::Plugin(_) => &[REQUIREMENTS, ARCHITECTURE, DESIGN],
        Player::Own(role) => documents_for(*role, iteration),
    };
    // What earlier stages of a plugin's workflow were for.
    let made = plan.stages.iter().take(step.place).filter_map(|stage| stage.produces.as_deref());
    let mut documents: Vec<&str> = documents.iter().copied().chain(made).collect();
    let mut seen = HashSet::new();
    documents.retain(|path| seen.insert(*path) && paths.iter().any(|there| there == path));
    let mut wanted: Vec<String> = documents.into_iter().map(str::to_owned).collect();
    if plan.phase(step.place) >= Stage::Development {
        let product = paths.iter().filter(|path| !DOCUMENTS.contains(&path.as_str()) && !seen.contains(path.as_str()));
        wanted.extend(product.cloned());
    }
    wanted
}

fn documents_for(role: AgentRole, iteration: i64) -> &'static [&'static str] {
    match role {
        AgentRole::ProjectManager => &[],
        AgentRole::RequirementsAnalyst => &[PLAN],
        AgentRole::Architect => &[REQUIREMENTS, PLAN],
        AgentRole::UxuiDesigner => &[REQUIREMENTS, ARCHITECTURE],
        AgentRole::Developer if iteration > 1 => &[REVIEW, ARCHITECTURE, REQUIREMENTS, DESIGN],
        AgentRole::Developer => &[ARCHITECTURE, REQUIREMENTS, DESIGN],
        AgentRole::TestEngineer | AgentRole::QualityExpert => &[REQUIREMENTS],
    }
}

/// What must be in the question: the requirement, the names of files there are, what went wrong before.
pub fn task(
    stage: &PlannedStage,
    project: &str,
    requirement: &str,
    paths: &[String],
    complaint: Option<&str>,
) -> String {
    let mut task = format!("# Project\n{project}\n\n# Requirement\n{requirement}\n\n");
    if !paths.is_empty() {
        task.push_str("# Files in the project\n");
        for path in paths {
            task.push_str(&format!("- {path}\n"));
        }
        task.push('\n');
    }
    task.push_str(&format!("# Your task\n{}\n", to_do(stage)));
    if let Some(complaint) = complaint {
        task.push_str(&format!("\nYour last answer could not be used. {complaint}\n"));
    }
    task
}

fn to_do(stage: &PlannedStage) -> String {
    let name = stage.name.replace('_', " ");
    if stage.kind.is_some() {
        return format!("Do the stage {name} now.");
    }
    let then =
        stage.produces.as_ref().map(|path| format!(" What you write becomes the file {path}.")).unwrap_or_default();
    format!("Do the stage {name} of the project now: what that name asks of your role, for this requirement.{then}")
}

/// Tokens for one question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For sections on top of what must be there.
    pub sections: u64,
    /// Set aside for the answer.
    pub answer: u64,
}

/// Divides `total` tokens when `needed` are taken already; None when no answer fits.
pub fn room(total: u64, needed: u64) -> Option<Room> {
    let left = total.checked_sub(needed).filter(|left| *left >= LEAST_ANSWER)?;
    let answer = (left / 2).clamp(LEAST_ANSWER, MOST_ANSWER);
    Some(Room { sections: left - answer, answer })
}

/// The sections that fit, in order of need, and the titles of the others. `size` is the tokens of one.
pub fn fit(sections: Vec<(Section, u64)>, room: u64) -> (Vec<Section>, Vec<String>) {
    let (mut left, mut kept, mut out) = (room, Vec::new(), Vec::new());
    for (section, size) in sections {
        match left.checked_sub(size) {
            Some(rest) => {
                left = rest;
                kept.push(section);
            }
            None => out.push(section.title),
        }
    }
    (kept, out)
}

/// The whole question.
pub fn question(task: &str, sections: &[Section], left_out: &[String]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&rendered(section));
    }
    if !left_out.is_empty() {
        text.push_str(&format!("# Not shown here\n{}\n\n", left_out.join("\n")));
    }
    text + task
}

/// A section as it stands in the question.
pub fn rendered(section: &Section) -> String {
    format!("# {}\n{}\n\n", section.title, section.text.trim_end())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_role_reads_what_it_needs() {
        let there = paths(&["app.py", ARCHITECTURE, PLAN, REVIEW, REQUIREMENTS]);
        let plan = Plan::built_in(false);
        let read = |place, role: &str, iteration| reading(&plan, plan.at(place, role).unwrap(), iteration, &there);
        assert_eq!(read(0, "requirements_analyst", 1), [PLAN]);
        assert_eq!(read(3, "developer", 1), [ARCHITECTURE, REQUIREMENTS, "app.py"]);
        assert_eq!(read(3, "developer", 2), [REVIEW, ARCHITECTURE, REQUIREMENTS, "app.py"]);
        assert_eq!(read(5, "quality_expert", 1), [REQUIREMENTS, "app.py"]);
    }

    #[test]
    fn what_does_not_fit_is_named_and_nothing_is_cut() {
        let section = |title: &str, size| (Section { title: title.to_owned(), text: "words".to_owned() }, size);
        let (kept, out) = fit(vec![section("a", 60), section("b", 50), section("c", 40)], 100);
        assert_eq!(
            (kept.iter().map(|s| s.title.as_str()).collect::<Vec<_>>(), out.clone()),
            (vec!["a", "c"], paths(&["b"]))
        );
        let text = question("task", &kept, &out);
        assert!(text.contains("# a\nwords\n") && text.contains("# Not shown here\nb\n") && text.ends_with("task"));
    }

    #[test]
    fn what_is_left_out_is_named_first_and_then_counted() {
        assert!(LeftOut::default().lines(NAMED).is_empty());
        let names: Vec<String> = (0..NAMED + 3).map(|n| format!("File {n}")).collect();
        let left_out = LeftOut { named: names.clone(), unread: 4, findings: 5, unlisted: 6 };
        let lines = left_out.lines(NAMED);
        assert_eq!(lines[..NAMED], names[..NAMED]);
        assert_eq!(
            lines[NAMED..],
            ["7 more texts of the project", "5 more findings of plugins", "the names of 6 files"]
        );
        assert_eq!(left_out.lines(0)[0], "27 texts of the project");
    }

    #[test]
    fn the_longest_list_is_as_long_as_any() {
        let section = |title: &str| (Section { title: title.to_owned(), text: String::new() }, 1);
        let sections: Vec<(Section, u64)> = (0..40).map(|n| section(&"x".repeat(n + 1))).collect();
        let certain = LeftOut { named: paths(&["big"]), ..LeftOut::default() };
        let most = longest_list(&certain, &sections).concat().len();
        for room in 0..40 {
            let mut left_out = certain.clone();
            left_out.named.extend(fit(sections.clone(), room).1);
            assert!(left_out.lines(NAMED).concat().len() <= most);
        }
    }

    #[test]
    fn the_answer_gets_half_and_never_nothing() {
        assert_eq!(room(2048, 1000), Some(Room { sections: 524, answer: 524 }));
        assert_eq!(room(100_000, 1000), Some(Room { sections: 99_000 - MOST_ANSWER, answer: MOST_ANSWER }));
        assert_eq!(room(1128, 1000), Some(Room { sections: 0, answer: LEAST_ANSWER }));
        assert_eq!((room(1127, 1000), room(10, 1000)), (None, None));
    }

    #[test]
    fn the_task_names_the_complaint() {
        let text =
            task(&Plan::built_in(false).stages[3], "Shop", "Sell bikes.", &paths(&["a.py"]), Some("It was empty."));
        assert!(["Shop", "Sell bikes.", "- a.py", "It was empty."].iter().all(|word| text.contains(word)));
    }
}

//! The question a role is asked: its prompt, the requirement, and as much of the project as the model can take in.
//!
//! Invariant: pure. Nothing is cut: a text goes in whole or not at all, and what stays out is named in the question itself
//! and returned, so that neither the model nor the person believes that all was read.

use super::workflow::{AgentRole, Stage, Step};

/// The fewest tokens worth asking for.
pub const LEAST_ANSWER: u64 = 128;
/// The most tokens an answer may have.
pub const MOST_ANSWER: u64 = 8192;

const PLAN: &str = "planning/development-plan.md";
const REQUIREMENTS: &str = "requirements/SRS.md";
const ARCHITECTURE: &str = "architecture/architecture.md";
const DESIGN: &str = "design/ui-design.md";
const REVIEW: &str = "quality/quality-assessment.md";
/// Documents the roles write for each other; everything else in a project is the product.
const DOCUMENTS: [&str; 5] = [PLAN, REQUIREMENTS, ARCHITECTURE, DESIGN, REVIEW];

/// The prompt of each role, a file a role.
pub fn of(role: AgentRole) -> &'static str {
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

/// The paths a role should read, the most needed first, out of all there are.
pub fn reading(step: Step, iteration: i64, paths: &[String]) -> Vec<String> {
    let documents: &[&str] = match step.role {
        AgentRole::ProjectManager => &[],
        AgentRole::RequirementsAnalyst => &[PLAN],
        AgentRole::Architect => &[REQUIREMENTS, PLAN],
        AgentRole::UxuiDesigner => &[REQUIREMENTS, ARCHITECTURE],
        AgentRole::Developer if iteration > 1 => &[REVIEW, ARCHITECTURE, REQUIREMENTS, DESIGN],
        AgentRole::Developer => &[ARCHITECTURE, REQUIREMENTS, DESIGN],
        AgentRole::TestEngineer | AgentRole::QualityExpert => &[REQUIREMENTS],
    };
    let there = |wanted: &&&str| paths.iter().any(|path| path == **wanted);
    let mut wanted: Vec<String> = documents.iter().filter(there).map(|path| (*path).to_owned()).collect();
    if step.stage >= Stage::Development {
        wanted.extend(paths.iter().filter(|path| !DOCUMENTS.contains(&path.as_str())).cloned());
    }
    wanted
}

/// What must be in the question: the requirement, the names of the files there are, what went wrong before.
pub fn task(step: Step, project: &str, requirement: &str, paths: &[String], complaint: Option<&str>) -> String {
    let mut task = format!("# Project\n{project}\n\n# Requirement\n{requirement}\n\n");
    if !paths.is_empty() {
        task.push_str("# Files in the project\n");
        for path in paths.iter().take(200) {
            task.push_str(&format!("- {path}\n"));
        }
        task.push('\n');
    }
    task.push_str(&format!("# Your task\nDo the stage {} now.\n", step.stage.code().replace('_', " ")));
    if let Some(complaint) = complaint {
        task.push_str(&format!("\nYour last answer could not be used. {complaint}\n"));
    }
    task
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
        text.push_str(&format!("# Not shown here, for lack of room\n{}\n\n", left_out.join("\n")));
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
        let read = |role, stage, iteration| reading(Step { stage, role }, iteration, &there);
        assert_eq!(read(AgentRole::RequirementsAnalyst, Stage::RequirementAnalysis, 1), [PLAN]);
        assert_eq!(read(AgentRole::Developer, Stage::Development, 1), [ARCHITECTURE, REQUIREMENTS, "app.py"]);
        assert_eq!(read(AgentRole::Developer, Stage::Development, 2), [REVIEW, ARCHITECTURE, REQUIREMENTS, "app.py"]);
        assert_eq!(read(AgentRole::QualityExpert, Stage::QaReview, 1), [REQUIREMENTS, "app.py"]);
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
        assert!(text.contains("# a\nwords\n") && text.contains("lack of room\nb\n") && text.ends_with("task"));
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
        let step = Step::first_of(Stage::Development);
        let text = task(step, "Shop", "Sell bikes.", &paths(&["a.py"]), Some("It was empty."));
        assert!(["Shop", "Sell bikes.", "- a.py", "It was empty."].iter().all(|word| text.contains(word)));
    }
}

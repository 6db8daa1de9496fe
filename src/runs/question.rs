//! Putting a question together: what the project holds, measured by the model's own count of tokens.
//!
//! Invariant: prompt and answer fit into the model's context and into what the run may still use, together; otherwise the
//! turn ends with the numbers before a token is spent.

use super::prompt::{self, LEAST_ANSWER, MOST_ANSWER, Section};
use super::reply::Form;
use super::step::Turn;
use super::{Runs, Stage};
use crate::base::error::{Error, Result};
use crate::llm::{Message, ModelInfo};
use crate::projects::files::ProjectFile;
use crate::projects::{self, ProjectId, files, findings};

/// The largest file that goes into a question, in bytes.
const LARGEST_READ: i64 = 256 * 1024;
/// Files that are read for a question.
const MOST_READ: usize = 60;
/// Findings named in a question.
const FINDINGS: i64 = 50;

/// A question ready to be sent.
pub(super) struct Question {
    pub messages: Vec<Message>,
    /// The most tokens of the answer.
    pub answer: u32,
    /// What the person should know about it.
    pub notes: Vec<String>,
}

impl Runs {
    /// The question of this turn. `spent` is what the turn used before.
    ///
    /// # Errors
    /// `context_length_exceeded` and `token_budget_exceeded`, with the numbers.
    pub(super) async fn question(
        &self,
        turn: &Turn,
        form: Form,
        complaint: Option<&str>,
        model: &ModelInfo,
        spent: u64,
    ) -> Result<Question> {
        let context = u64::from(model.context_length);
        let record = &turn.record;
        let (name, files, findings) = self.project(turn).await?;
        let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        let task = prompt::task(record.step, &name, &record.run.requirement, &paths, complaint);
        let system = format!("{}\n{}", prompt::of(record.step.role), form.words(model.structured));
        let needed = self.count(turn, &messages(&system, &task)).await?;
        let total = total(turn, needed, context, spent)?;
        let room = prompt::room(total, needed).ok_or_else(|| too_small(turn, needed, context))?;
        let mut sections = Vec::new();
        if let Some(section) = findings {
            sections.push(self.measured(turn, section).await?);
        }
        for path in prompt::reading(record.step, record.run.iteration, &paths).into_iter().take(MOST_READ) {
            let Some(file) = files.iter().find(|file| file.path == path && file.size <= LARGEST_READ) else { continue };
            let content = self.inner.rooms.projects.content(&file.sha256).await?;
            let Ok(text) = String::from_utf8(content.to_vec()) else { continue };
            sections.push(self.measured(turn, Section { title: format!("File {path}"), text }).await?);
        }
        let (kept, left_out) = prompt::fit(sections, room.sections);
        let messages = messages(&system, &prompt::question(&task, &kept, &left_out));
        let prompt_tokens = self.count(turn, &messages).await?;
        let answer = total.saturating_sub(prompt_tokens).clamp(LEAST_ANSWER, MOST_ANSWER);
        let notes = if left_out.is_empty() {
            Vec::new()
        } else {
            vec![format!(
                "The model's context has no room for all of the project; not shown to it: {}.",
                left_out.join(", ")
            )]
        };
        Ok(Question { messages, answer: u32::try_from(answer).unwrap_or(u32::MAX), notes })
    }

    /// The project's name, its files, and what plugins found where a role should know of it.
    async fn project(&self, turn: &Turn) -> Result<(String, Vec<ProjectFile>, Option<Section>)> {
        let (permit, id) = (turn.permit.clone(), ProjectId(turn.record.run.project_id));
        let wants_findings = turn.record.step.stage >= Stage::Development;
        self.inner
            .rooms
            .db
            .read(move |tx| {
                let project = projects::store::find(tx, &permit, id)?;
                let files = files::store::list_paths(tx, id)?;
                let found = if wants_findings { findings::store::worst(tx, id, FINDINGS)? } else { Vec::new() };
                let lines: Vec<String> = found
                    .iter()
                    .map(|finding| {
                        let line = finding.line.map(|line| format!(" line {line}")).unwrap_or_default();
                        format!("- {}{line}: {} ({})", finding.path, finding.message, finding.severity.code())
                    })
                    .collect();
                let section = (!lines.is_empty())
                    .then(|| Section { title: "What plugins found".to_owned(), text: lines.join("\n") });
                Ok((project.name, files, section))
            })
            .await
    }

    async fn measured(&self, turn: &Turn, section: Section) -> Result<(Section, u64)> {
        let text = prompt::rendered(&section);
        let size = self.count(turn, &[Message { role: "user".to_owned(), content: text }]).await?;
        Ok((section, size))
    }

    async fn count(&self, turn: &Turn, messages: &[Message]) -> Result<u64> {
        let run = &turn.record.run;
        Ok(self.inner.rooms.llm.count_tokens(turn.org(), &run.model, messages).await?.tokens)
    }
}

fn messages(system: &str, user: &str) -> Vec<Message> {
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    vec![message("system", system), message("user", user)]
}

/// Tokens of prompt and answer that this turn may use: its share of what the run has left, but never less than the least
/// that makes sense, as long as there is that much.
fn total(turn: &Turn, needed: u64, context: u64, spent: u64) -> Result<u64> {
    let run = &turn.record.run;
    let Some(budget) = run.token_budget else { return Ok(context) };
    let used = u64::try_from(run.tokens_used).unwrap_or(0) + spent;
    let left = u64::try_from(budget).unwrap_or(0).saturating_sub(used);
    let least = needed + LEAST_ANSWER;
    if left < least {
        return Err(over_budget(turn, least, left));
    }
    let share = turn.record.step.share(turn.record.plan(), left);
    Ok(context.min(share.max(least)))
}

fn too_small(turn: &Turn, needed: u64, context: u64) -> Error {
    let sentence = format!(
        "The requirement and its instructions are {needed} tokens, and an answer needs at least {LEAST_ANSWER}; the model {} takes {context} in all. Shorten the requirement, or use a model with a larger context.",
        turn.record.run.model
    );
    Error::invalid("context_length_exceeded", sentence).field("requirement")
}

fn over_budget(turn: &Turn, least: u64, left: u64) -> Error {
    let budget = turn.record.run.token_budget.unwrap_or(0);
    let sentence = format!(
        "{left} of the run's {budget} tokens are left, and this turn needs at least {least}. Start a new run on the project with a larger budget: it builds on the files there are."
    );
    Error::invalid("token_budget_exceeded", sentence).field("token_budget")
}

//! Putting a question together: what the project holds, measured by the model's own count of tokens.
//!
//! Invariant: prompt and answer fit into the model's context and into what the run may still use, together; otherwise the
//! turn ends with the numbers before a token is spent. What of the project stays out is told to the model and the person.

use super::Runs;
use super::prompt::{self, LEAST_ANSWER, LeftOut, MOST_ANSWER, MOST_LISTED, NAMED, Room, Section};
use super::reply::Form;
use super::step::{TOKEN_BYTES, Turn};
use super::workflow::Stage;
use crate::base::error::{Error, Result};
use crate::llm::{Count, Message, ModelInfo};
use crate::projects::files::ProjectFile;
use crate::projects::findings::SeverityCounts;
use crate::projects::{self, ProjectId, files, findings};

/// The largest file that goes into a question, in bytes.
const LARGEST_READ: i64 = 256 * 1024;
/// Files that are read for a question.
const MOST_READ: usize = 60;
/// Findings named in a question.
const FINDINGS: i64 = 50;

/// Bytes of a request besides its messages and schema, about.
const ENVELOPE: usize = 230;

/// A question ready to be sent.
pub(super) struct Question {
    pub messages: Vec<Message>,
    /// The most tokens of the answer.
    pub answer: u32,
    /// Tokens of the prompt, for when nobody tells in the end.
    pub prompt: u64,
    /// What the person should know about it.
    pub notes: Vec<String>,
}

/// The project as a question may tell of it.
pub(super) struct Known {
    pub name: String,
    pub files: Vec<ProjectFile>,
    pub paths: Vec<String>,
    /// The worst of what plugins found, a line each; empty for roles that need not know.
    pub findings: Vec<String>,
    /// How many findings there are besides.
    more_findings: usize,
}

/// What must be in a question, and what it leaves room for.
struct Base {
    system: String,
    task: String,
    /// For prompt and answer.
    total: u64,
    room: Room,
    left_out: LeftOut,
}

impl Runs {
    /// The question of this turn. `spent` is what the turn used before.
    ///
    /// # Errors
    /// `context_length_exceeded` and `token_budget_exceeded`, with the numbers.
    pub(super) async fn question(
        &self,
        turn: &Turn,
        form: Form<'_>,
        complaint: Option<&str>,
        model: &ModelInfo,
        spent: u64,
    ) -> Result<Question> {
        let known = self.known(turn).await?;
        let system =
            format!("{}\n{}", prompt::of(turn.record.plan.player(turn.record.step)), form.words(model.structured));
        let context = u64::from(model.context_length);
        let Base { system, task, total, room, mut left_out } =
            self.base(turn, system, &known, complaint, context, spent).await?;
        let sections = self.sections(turn, &known, &mut left_out).await?;
        let (kept, named) = self.fitted(turn, sections, &mut left_out, room.sections).await?;
        let messages = messages(&system, &prompt::question(&task, &kept, &left_out.lines(named)));
        let count = self.count(turn, &messages).await?;
        let answer = total.saturating_sub(count.tokens).clamp(LEAST_ANSWER, MOST_ANSWER);
        let left_out = left_out.lines(NAMED).join(", ");
        let note = format!("Not all of the project was shown to the model. Left out: {left_out}.");
        let notes = if left_out.is_empty() { Vec::new() } else { vec![note] };
        let schema = if model.structured { form.schema().to_string().len() } else { 0 };
        let prompt = as_metered(count, &messages, schema);
        Ok(Question { messages, answer: u32::try_from(answer).unwrap_or(u32::MAX), prompt, notes })
    }

    /// The project's name, its files, and what plugins found where a role should know of it.
    pub(super) async fn known(&self, turn: &Turn) -> Result<Known> {
        let (permit, id) = (turn.permit.clone(), ProjectId(turn.record.run.project_id));
        let wants_findings = turn.record.phase() >= Stage::Development;
        self.inner
            .rooms
            .db
            .read(move |tx| {
                let project = projects::store::find(tx, &permit, id)?;
                let files = files::store::list_paths(tx, id)?;
                let found = if wants_findings { findings::store::worst(tx, id, FINDINGS)? } else { Vec::new() };
                let findings: Vec<String> = found
                    .iter()
                    .map(|finding| {
                        let line = finding.line.map(|line| format!(" line {line}")).unwrap_or_default();
                        format!("- {}{line}: {} ({})", finding.path, finding.message, finding.severity.code())
                    })
                    .collect();
                let all: usize = files.iter().map(|file| how_many(file.findings)).sum();
                let more_findings = if wants_findings { all.saturating_sub(findings.len()) } else { 0 };
                let paths = files.iter().map(|file| file.path.clone()).collect();
                Ok(Known { name: project.name, files, paths, findings, more_findings })
            })
            .await
    }

    /// What must be in the question. As many of the files' names are listed as there is room for.
    async fn base(
        &self,
        turn: &Turn,
        system: String,
        known: &Known,
        complaint: Option<&str>,
        context: u64,
        spent: u64,
    ) -> Result<Base> {
        let (record, all) = (&turn.record, known.paths.len());
        let mut listed = all.min(MOST_LISTED);
        loop {
            let requirement = &record.run.requirement;
            let task = prompt::task(
                record.plan.stage(record.step),
                &known.name,
                requirement,
                &known.paths[..listed],
                complaint,
            );
            let left_out = LeftOut { findings: known.more_findings, unlisted: all - listed, ..LeftOut::default() };
            // The most that has to be said of what stays out, so that it can be said in any case.
            let most = LeftOut { unread: all + usize::from(!known.findings.is_empty()), ..left_out.clone() };
            let text = prompt::question(&task, &[], &most.lines(0));
            let needed = self.count(turn, &messages(&system, &text)).await?.tokens;
            let room = total(turn, needed, context, spent).and_then(|total| {
                let room = prompt::room(total, needed).ok_or_else(|| too_small(turn, needed, context))?;
                Ok((total, room))
            });
            match room {
                Ok((total, room)) => return Ok(Base { system, task, total, room, left_out }),
                Err(error) if listed == 0 => return Err(error),
                Err(_) => listed /= 4,
            }
        }
    }

    /// The texts that this role should read, the most needed first, with their tokens.
    async fn sections(&self, turn: &Turn, known: &Known, left_out: &mut LeftOut) -> Result<Vec<(Section, u64)>> {
        let record = &turn.record;
        let mut sections = Vec::new();
        if !known.findings.is_empty() {
            let section = Section { title: "What plugins found".to_owned(), text: known.findings.join("\n") };
            sections.push(self.measured(turn, section).await?);
        }
        let wanted = prompt::reading(&record.plan, record.step, record.run.iteration, &known.paths);
        left_out.unread += wanted.len().saturating_sub(MOST_READ);
        for path in wanted.into_iter().take(MOST_READ) {
            let Some(file) = known.files.iter().find(|file| file.path == path) else { continue };
            if file.size > LARGEST_READ {
                left_out.named.push(format!("File {path} (larger than {} KiB)", LARGEST_READ / 1024));
                continue;
            }
            let content = self.inner.rooms.projects.content(&file.sha256).await?;
            match String::from_utf8(content.to_vec()) {
                Ok(text) => {
                    sections.push(self.measured(turn, Section { title: format!("File {path}"), text }).await?);
                }
                Err(_) => left_out.named.push(format!("File {path} (not text)")),
            }
        }
        Ok(sections)
    }

    /// Those that fit into `room`, and how many of the others the question can name.
    async fn fitted(
        &self,
        turn: &Turn,
        sections: Vec<(Section, u64)>,
        left_out: &mut LeftOut,
        room: u64,
    ) -> Result<(Vec<Section>, usize)> {
        let all: u64 = sections.iter().map(|(_, size)| size).sum();
        let (mut named, mut reserved) = (0, 0);
        if all > room || !left_out.named.is_empty() {
            let list = prompt::longest_list(left_out, &sections).join("\n");
            let size = self.count(turn, &[Message { role: "user".to_owned(), content: list }]).await?.tokens;
            // Names help less than texts do.
            if size <= room / 4 {
                (named, reserved) = (NAMED, size);
            }
        }
        let (kept, out) = prompt::fit(sections, room - reserved);
        left_out.named.extend(out);
        Ok((kept, named))
    }

    async fn measured(&self, turn: &Turn, section: Section) -> Result<(Section, u64)> {
        let text = prompt::rendered(&section);
        let size = self.count(turn, &[Message { role: "user".to_owned(), content: text }]).await?.tokens;
        Ok((section, size))
    }

    async fn count(&self, turn: &Turn, messages: &[Message]) -> Result<Count> {
        self.inner.rooms.llm.count_tokens(turn.org(), &turn.record.run.model, messages).await
    }
}

/// What the meter takes a prompt for when the server does not tell: where nobody counts, it goes by the request's bytes.
fn as_metered(count: Count, messages: &[Message], schema: usize) -> u64 {
    let bytes = serde_json::to_string(messages).map_or(0, |json| json.len() + schema + ENVELOPE);
    if count.exact { count.tokens } else { (bytes as u64).div_ceil(TOKEN_BYTES) }
}

fn how_many(findings: SeverityCounts) -> usize {
    let SeverityCounts { low, medium, high, critical } = findings;
    usize::try_from(low + medium + high + critical).unwrap_or(0)
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
    let (step, plan) = (turn.record.step, &turn.record.plan);
    // Those who come later have more to read: a budget that suffices for all of them is not used up before the last.
    let later = (least + least / 4) * plan.later(step) as u64;
    let share = plan.share(step, left).min(left.saturating_sub(later));
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

//! What makes a turn last: the one transaction of its files, findings, tokens, audit entry, events and next job.
//!
//! Invariant: the transaction takes the turn's job out of the queue, so a turn happens exactly once however often it is
//! begun. Tokens are settled first: they are counted by themselves when the rest is refused.

use std::sync::Arc;

use super::control::{brief, enqueue};
use super::events::{Level, RunEvent};
use super::plan::Next;
use super::reply::{Form, Reply};
use super::step::{Outcome, Turn};
use super::{COMPLETED, Record, RunStatus, Runs, StageStatus, gate, no_longer_ours, store};
use crate::access::{Caller, OrgId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::Tx;
use crate::hooks::Hooks;
use crate::jobs;
use crate::llm::Completion;
use crate::plugins::Analysis;
use crate::projects::files::StagedFile;
use crate::projects::{self, Project, ProjectId, ProjectStatus, files, findings};
use crate::quotas::Resource;

impl Runs {
    /// Counts the tokens of an answer that is not used and tells why; how many they were.
    pub(super) async fn settle_unused(&self, turn: &Turn, completion: Completion, told: String) -> Result<u64> {
        let usage = turn.usage(&completion);
        let (tokens, org) = (usage.tokens, turn.org());
        let (hub, now, id, job) = (self.inner.hub.clone(), self.inner.rooms.clock.now(), turn.record.run.id, turn.job);
        let (completion, uncounted) = (Arc::new(completion), turn.uncounted.clone());
        let settled = completion.clone();
        self.inner
            .rooms
            .db
            .write(move |tx| {
                settled.reservation.settle_in(tx, &usage)?;
                uncounted.counted_by(tx);
                let mut record = ours(tx, id, job)?;
                record.count(record.step.place, tokens);
                let role = record.role().to_owned();
                store::save(tx, &record)?;
                let words = format!("Counted {tokens} tokens of an answer in run {id} that the {role} could not use");
                let did = Event::new(AuditAction::Execute, "run", words).id(id).org(org).failed();
                audit::record(tx, now, &Caller::system(), &did)?;
                let message = RunEvent::Message { role, level: Level::Warning, text: told.clone(), at: now };
                hub.append(tx, id, &[message])
            })
            .await?;
        Ok(tokens)
    }

    pub(super) async fn commit(&self, turn: Arc<Turn>, outcome: Outcome) -> Result<()> {
        let outcome = Arc::new(outcome);
        let (runs, done) = (self.clone(), outcome.clone());
        self.inner.rooms.db.write(move |tx| runs.commit_in(tx, &turn, &done)).await
    }

    fn commit_in(&self, tx: &mut Tx<'_>, turn: &Turn, outcome: &Outcome) -> Result<()> {
        let (now, id, role) = (self.inner.rooms.clock.now(), turn.record.run.id, turn.record.role());
        let tokens = settled(tx, turn, outcome)?;
        turn.uncounted.counted_by(tx);
        let mut record = ours(tx, id, turn.job)?;
        jobs::finish(tx, turn.job)?;
        let project = projects::store::find(tx, &turn.permit, ProjectId(record.run.project_id))?;
        let message =
            |level, text: &str| RunEvent::Message { role: role.to_owned(), level, text: text.to_owned(), at: now };
        let mut events: Vec<RunEvent> = outcome.notes.iter().map(|text| message(Level::Warning, text)).collect();
        write_files(tx, (turn, &self.inner.rooms.hooks), outcome, &project, now, &mut events)?;
        record.count(record.step.place, tokens);
        let next = record.plan.next(record.step, record.course(), outcome.reply.approved);
        let stage_ends = !matches!(next, Next::Step(step) if step.place == record.step.place);
        let held = if stage_ends { gate::why_held(tx, &record, next, &project)? } else { None };
        if let Some(stage) = record.stage_mut() {
            stage.summary = Some(outcome.reply.summary.clone());
            if stage_ends {
                stage.status = StageStatus::Done;
                stage.finished_at = Some(now);
            }
            events.push(RunEvent::Stage(stage.clone()));
        }
        events.push(used(tx, self, &record)?);
        if let Some(words) = verdict(&record, &outcome.reply, next) {
            events.push(message(Level::Info, &words));
        }
        let did = format!("{role} finished a turn of run {id} in {}", record.stage());
        self.tell_turn(tx, &record, outcome, tokens);
        match held {
            Some(why) => {
                events.push(message(Level::Warning, &gate::words(&why)));
                gate::hold(&mut record, why);
            }
            None => self.go_on(tx, &mut record, next)?,
        }
        self.tell_end(tx, &record);
        projects::store::set_status(tx, &turn.permit, project.id, project_status(&record), now)?;
        self.audit(tx, turn, outcome, &record, tokens, did)?;
        store::save(tx, &record)?;
        events.push(RunEvent::Status(Box::new(record.run)));
        self.inner.hub.append(tx, id, &events)
    }

    fn audit(
        &self,
        tx: &mut Tx<'_>,
        turn: &Turn,
        outcome: &Outcome,
        record: &Record,
        tokens: u64,
        did: String,
    ) -> Result<()> {
        let paths: Vec<&str> = outcome.files.iter().map(|(staged, _)| staged.path.as_str()).collect();
        let mut after = brief(&record.run);
        after["files"] = paths.into();
        after["turn_tokens"] = tokens.into();
        let event = Event::new(AuditAction::Execute, "run", did).id(record.run.id).org(turn.org());
        let event = event.before(&brief(&turn.record.run)).after(&after);
        audit::record(tx, self.inner.rooms.clock.now(), turn.permit.caller(), &event)
    }

    /// Brings the run to its next turn or to its end; a paused run waits before its next turn.
    pub(super) fn go_on(&self, tx: &mut Tx<'_>, record: &mut Record, next: Next) -> Result<()> {
        let now = self.inner.rooms.clock.now();
        record.step_job = None;
        match next {
            Next::Completed => {
                record.run.status = RunStatus::Completed;
                record.run.stage = COMPLETED.to_owned();
                record.run.finished_at = Some(now);
                return Ok(());
            }
            Next::Step(step) => record.step = step,
            Next::Again(step) => {
                record.step = step;
                record.run.iteration += 1;
                let again = record.run.stages.iter_mut().skip(step.place);
                for view in again.filter(|view| view.status != StageStatus::Skipped) {
                    view.status = StageStatus::Pending;
                    view.finished_at = None;
                }
            }
        }
        record.run.stage = record.stage().to_owned();
        if record.run.status == RunStatus::Running { enqueue(tx, now, record) } else { Ok(()) }
    }
}

fn write_files(
    tx: &mut Tx<'_>,
    (turn, hooks): (&Turn, &Hooks),
    outcome: &Outcome,
    project: &Project,
    now: Time,
    events: &mut Vec<RunEvent>,
) -> Result<()> {
    let role = turn.record.role();
    for (staged, analyses) in &outcome.files {
        let file = files::store::write(tx, (&turn.permit, hooks), now, project, staged, None)?;
        findings::store::replace(tx, &file, analyses)?;
        let id = file.id;
        events.push(RunEvent::File { file: Box::new(file), role: role.to_owned() });
        events.extend(analyses.iter().map(|analysis| looked_at(analysis, id, staged, role, now)));
    }
    Ok(())
}

/// What the run has used, and how the organisation's quota stands.
pub(super) fn used(tx: &mut Tx<'_>, runs: &Runs, record: &Record) -> Result<RunEvent> {
    let rooms = &runs.inner.rooms;
    let quota = rooms.quotas.view(tx, OrgId(record.run.organization_id), Resource::LlmTokens)?;
    let (tokens_used, token_budget) = (record.run.tokens_used, record.run.token_budget);
    Ok(RunEvent::Tokens { tokens_used, token_budget, quota, at: rooms.clock.now() })
}

/// Counts what the turn used against the quota, unless a plugin's own calls were counted as they happened; how many tokens.
fn settled(tx: &mut Tx<'_>, turn: &Turn, outcome: &Outcome) -> Result<u64> {
    let Some(completion) = &outcome.completion else { return Ok(turn.uncounted.get()) };
    let usage = turn.usage(completion);
    completion.reservation.settle_in(tx, &usage)?;
    Ok(usage.tokens)
}

/// The run, when `job` may still move it on.
fn ours(tx: &mut Tx<'_>, run: i64, job: i64) -> Result<Record> {
    let record = store::lock(tx, run)?.filter(|record| record.step_job == Some(job));
    record.ok_or_else(|| no_longer_ours(run))
}

fn project_status(record: &Record) -> ProjectStatus {
    match record.run.status {
        RunStatus::Completed => ProjectStatus::Completed,
        _ => record.phase().project_status(),
    }
}

fn looked_at(analysis: &Analysis, file_id: i64, staged: &StagedFile, role: &str, now: Time) -> RunEvent {
    let path = staged.path.as_str().to_owned();
    match &analysis.outcome {
        Ok(found) => RunEvent::Finding {
            file_id,
            path,
            count: found.len(),
            worst: found.iter().map(|finding| finding.severity).max(),
            plugin: analysis.plugin.clone(),
        },
        Err(sentence) => {
            let text = format!("The plugin {} could not look at {path}: {sentence}", analysis.plugin);
            RunEvent::Message { role: role.to_owned(), level: Level::Warning, text, at: now }
        }
    }
}

/// What the review said, for people.
fn verdict(record: &Record, reply: &Reply, next: Next) -> Option<String> {
    if Form::of(&record.plan, record.step) == Form::Files || reply.approved {
        return None;
    }
    let then = match next {
        Next::Again(_) => "Development begins again.",
        Next::Step(_) => "The work goes on as its workflow has it.",
        _ => "The limit of iterations is reached, so the work is handed over as it is.",
    };
    let problems: Vec<String> = reply.problems.iter().map(|problem| format!("- {problem}")).collect();
    Some(format!("The review did not approve the work. {then}\n{}", problems.join("\n")).trim_end().to_owned())
}

//! One turn of one role: ask the model, take its answer apart, have the plugins look at the files, commit all of it.
//!
//! Invariant: what a turn changes is changed by one transaction that also takes the turn's job out of the queue, so a
//! turn happens exactly once however often it is begun. Tokens that were used are counted, also when their answer is not.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::control::{brief, enqueue};
use super::events::{Level, RunEvent};
use super::reply::{self, Form, Reply};
use super::workflow::Next;
use super::{AgentRole, Record, RunError, RunStage, RunStatus, Runs, StageStatus, no_longer_ours, store};
use crate::access::actions::RunExecute;
use crate::access::{Actor, ActorKind, Caller, OrgId, Permit, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::db::Tx;
use crate::jobs::{self, Job};
use crate::llm::{ChatRequest, Completion};
use crate::plugins::{Analysis, CodeFile};
use crate::projects::files::StagedFile;
use crate::projects::{self, ProjectId, ProjectStatus, files, findings};
use crate::quotas::{Resource, Usage};

pub(super) const KIND: &str = "run.step";
/// How often a model is asked in one turn before the person is.
const QUESTIONS: u32 = 3;
/// Low, so that code is plain; not 0, so that a second question can have another answer.
const TEMPERATURE: f32 = 0.2;
/// How much of an answer that could not be used is shown.
const SHOWN: usize = 1_500;
/// Words waiting to be passed on; more are not shown live.
const WORDS: usize = 256;

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    pub run: i64,
}

/// What a turn works with.
pub(super) struct Turn {
    pub record: Record,
    pub job: i64,
    pub permit: Permit<RunExecute>,
}

/// What came of it.
struct Outcome {
    reply: Reply,
    files: Vec<(StagedFile, Vec<Analysis>)>,
    completion: Completion,
    /// What the person should know about the question and the answer.
    notes: Vec<String>,
}

impl Turn {
    pub fn org(&self) -> OrgId {
        OrgId(self.record.run.organization_id)
    }

    fn usage(&self, completion: &Completion) -> Usage {
        Usage {
            tokens: completion.prompt_tokens + completion.completion_tokens,
            user: self.record.started_by.map(UserId),
            project: Some(self.record.run.project_id),
            model: self.record.run.model.clone(),
            source: "run",
        }
    }
}

impl Runs {
    /// Does the turn that `job` stands for.
    ///
    /// # Errors
    /// What may pass by itself, so that the turn is tried again: a model server that cannot be reached, a full disk.
    pub(super) async fn step(self, job: Job) -> Result<()> {
        let Payload { run } = job.parse()?;
        let Some(record) = self.begin(run, job.id, job.attempts > 1).await? else { return Ok(()) };
        let under_way = self.inner.hub.turn(run);
        let done = tokio::select! {
            biased;
            () = under_way.stop.cancelled() => return Ok(()),
            done = self.turn(record, &job) => done,
        };
        match done {
            Err(error) if is_final(&error) => self.fail(run, job.id, &error).await,
            Err(error) => {
                let again = format!("{error} The turn is tried again.");
                self.tell(run, Level::Warning, again).await?;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Called when the last attempt at a turn failed.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn give_up(self, job: Job, error: Error) -> Result<()> {
        let Payload { run } = job.parse()?;
        self.fail(run, job.id, &error).await
    }

    async fn turn(&self, record: Record, job: &Job) -> Result<()> {
        let caller = Arc::new(self.agent(&record).await?);
        let permit = caller.permit::<RunExecute>()?;
        let turn = Arc::new(Turn { record, job: job.id, permit });
        let outcome = self.work(&turn).await?;
        self.commit(turn, outcome).await
    }

    /// The agent, with the rights that who started the run has now.
    async fn agent(&self, record: &Record) -> Result<Caller> {
        let mut caller = match record.started_by {
            Some(user) => Caller::clone(&*self.inner.rooms.accounts.caller_of(UserId(user)).await?),
            None => Caller::system(),
        };
        let name = format!("{} for {}", record.step.role.code(), record.run.created_by);
        caller.actor = Actor { kind: ActorKind::Agent, id: record.started_by, name };
        Ok(caller)
    }

    /// Marks the turn as begun; None when the job no longer moves the run.
    async fn begin(&self, run: i64, job: i64, again: bool) -> Result<Option<Record>> {
        let (hub, now) = (self.inner.hub.clone(), self.inner.rooms.clock.now());
        self.inner
            .rooms
            .db
            .write(move |tx| {
                let Some(mut record) = store::lock(tx, run)?.filter(|record| record.step_job == Some(job)) else {
                    return Ok(None);
                };
                if record.run.status == RunStatus::Paused {
                    record.step_job = None;
                    jobs::withdraw(tx, job)?;
                    store::save(tx, &record)?;
                    return Ok(None);
                }
                let first = record.run.status == RunStatus::Queued;
                record.run.status = RunStatus::Running;
                record.run.started_at = record.run.started_at.or(Some(now));
                let role = record.step.role;
                let mut events = Vec::new();
                if let Some(stage) = record.stage_mut() {
                    if stage.status != StageStatus::Running {
                        stage.started_at = Some(now);
                        stage.finished_at = None;
                    }
                    if stage.status != StageStatus::Running || again {
                        stage.attempts += 1;
                    }
                    stage.status = StageStatus::Running;
                    stage.role = role;
                    events.push(RunEvent::Stage(stage.clone()));
                }
                if first {
                    events.insert(0, RunEvent::Status(Box::new(record.run.clone())));
                }
                store::save(tx, &record)?;
                hub.append(tx, run, &events)?;
                Ok(Some(record))
            })
            .await
    }

    /// Asks until the answer can be used.
    async fn work(&self, turn: &Turn) -> Result<Outcome> {
        let form = Form::of(turn.record.step.role);
        let (mut complaint, mut spent) = (None, 0);
        for question in 1..=QUESTIONS {
            let (completion, notes) = self.ask(turn, form, complaint.as_deref(), spent).await?;
            let reason = match reply::read(form, &completion.text) {
                Ok(reply) => return self.look_at(turn, reply, completion, notes).await,
                Err(reason) => reason,
            };
            let told = unusable(&reason, &completion, question);
            spent += self.settle_unused(turn, completion, told).await?;
            complaint = Some(reason);
        }
        let role = turn.record.step.role.code();
        let sentence = format!(
            "The model {} gave no answer that the {role} could use, {QUESTIONS} times. Its last one could not be used because: {} Retry the stage, or use a larger model.",
            turn.record.run.model,
            complaint.unwrap_or_default()
        );
        Err(Error::invalid("unusable_reply", sentence))
    }

    /// One question and its answer. `spent` is what this turn used before.
    async fn ask(
        &self,
        turn: &Turn,
        form: Form,
        complaint: Option<&str>,
        spent: u64,
    ) -> Result<(Completion, Vec<String>)> {
        let Turn { record, permit, .. } = turn;
        let (run, llm, caller) = (&record.run, &self.inner.rooms.llm, permit.caller());
        let model = llm.model(caller, turn.org(), Some(&run.model)).await?;
        let asked = self.question(turn, form, complaint, &model, spent).await?;
        let request = ChatRequest {
            messages: asked.messages,
            max_tokens: asked.answer,
            temperature: TEMPERATURE,
            schema: model.structured.then(|| form.schema()),
        };
        let (words, mut heard) = mpsc::channel::<String>(WORDS);
        let (hub, role, id) = (&self.inner.hub, record.step.role, run.id);
        let pass_on = async {
            while let Some(words) = heard.recv().await {
                hub.words(id, role, &words);
            }
        };
        let complete = llm.complete(caller, turn.org(), Some(run.project_id), &model.id, request, Some(words));
        let (completion, ()) = tokio::join!(complete, pass_on);
        let completion = completion?;
        let mut notes = asked.notes;
        if completion.finish_reason == "length" {
            let used = completion.completion_tokens;
            notes.push(format!("The answer was ended at {used} tokens and may lack its end."));
        }
        Ok((completion, notes))
    }

    /// Has the files kept and looked at.
    async fn look_at(&self, turn: &Turn, reply: Reply, completion: Completion, notes: Vec<String>) -> Result<Outcome> {
        let mut kept = Vec::with_capacity(reply.files.len());
        for file in &reply.files {
            match self.look_at_one(turn, file).await {
                Ok(done) => kept.push(done),
                Err(error) => {
                    let usage = turn.usage(&completion);
                    completion.reservation.settle(usage, None);
                    return Err(error);
                }
            }
        }
        Ok(Outcome { reply, files: kept, completion, notes })
    }

    async fn look_at_one(&self, turn: &Turn, file: &reply::NewFile) -> Result<(StagedFile, Vec<Analysis>)> {
        let rooms = &self.inner.rooms;
        let staged = rooms.projects.stage(file.path.clone(), Bytes::from(file.content.clone())).await?;
        let code = CodeFile {
            project_id: turn.record.run.project_id,
            path: file.path.as_str().to_owned(),
            language: staged.language.clone(),
            code: file.content.clone(),
        };
        Ok((staged, rooms.plugins.analyze(turn.org(), code).await))
    }

    /// Counts the tokens of an answer that is not used and tells why; how many they were.
    async fn settle_unused(&self, turn: &Turn, completion: Completion, told: String) -> Result<u64> {
        let usage = turn.usage(&completion);
        let tokens = usage.tokens;
        let (hub, now, id, job, role) =
            (self.inner.hub.clone(), self.inner.rooms.clock.now(), turn.record.run.id, turn.job, turn.record.step.role);
        let completion = Arc::new(completion);
        let settled = completion.clone();
        self.inner
            .rooms
            .db
            .write(move |tx| {
                settled.reservation.settle_in(tx, &usage)?;
                let mut record = ours(tx, id, job)?;
                record.run.tokens_used += signed(tokens);
                if let Some(stage) = record.stage_mut() {
                    stage.tokens += signed(tokens);
                }
                store::save(tx, &record)?;
                let message = RunEvent::Message { role, level: Level::Warning, text: told.clone(), at: now };
                hub.append(tx, id, &[message])
            })
            .await?;
        Ok(tokens)
    }

    async fn commit(&self, turn: Arc<Turn>, outcome: Outcome) -> Result<()> {
        let outcome = Arc::new(outcome);
        let (runs, done) = (self.clone(), outcome.clone());
        self.inner.rooms.db.write(move |tx| runs.commit_in(tx, &turn, &done)).await
    }

    fn commit_in(&self, tx: &mut Tx<'_>, turn: &Turn, outcome: &Outcome) -> Result<()> {
        let (now, id, role) = (self.inner.rooms.clock.now(), turn.record.run.id, turn.record.step.role);
        let usage = turn.usage(&outcome.completion);
        // First, so that the tokens are counted by themselves when the rest is refused.
        outcome.completion.reservation.settle_in(tx, &usage)?;
        let mut record = ours(tx, id, turn.job)?;
        jobs::finish(tx, turn.job)?;
        let project = projects::store::find(tx, &turn.permit, ProjectId(record.run.project_id))?;
        let mut events = Vec::new();
        for text in &outcome.notes {
            events.push(RunEvent::Message { role, level: Level::Warning, text: text.clone(), at: now });
        }
        for (staged, analyses) in &outcome.files {
            let file = files::store::write(tx, &turn.permit, now, &project, staged, None)?;
            findings::store::replace(tx, &file, analyses)?;
            events.extend(analyses.iter().map(|analysis| looked_at(analysis, file.id, staged, role, now)));
            events.insert(events.len() - analyses.len(), RunEvent::File { file: Box::new(file), role });
        }
        record.run.tokens_used += signed(usage.tokens);
        let next = record.step.next(record.plan(), outcome.reply.approved);
        let stage_ends = !matches!(next, Next::Step(step) if step.stage == record.step.stage);
        if let Some(stage) = record.stage_mut() {
            stage.tokens += signed(usage.tokens);
            stage.summary = Some(outcome.reply.summary.clone());
            if stage_ends {
                stage.status = StageStatus::Done;
                stage.finished_at = Some(now);
            }
            events.push(RunEvent::Stage(stage.clone()));
        }
        let quota = self
            .inner
            .rooms
            .quotas
            .view(tx, turn.org())?
            .into_iter()
            .find(|quota| quota.resource == Resource::LlmTokens);
        let (tokens_used, token_budget) = (record.run.tokens_used, record.run.token_budget);
        events.push(RunEvent::Tokens { tokens_used, token_budget, quota, at: now });
        if let Some(words) = verdict(&record, &outcome.reply, next) {
            events.push(RunEvent::Message { role, level: Level::Info, text: words, at: now });
        }
        let did = Event::new(
            AuditAction::Execute,
            "run",
            format!("{} finished a turn of run {id} in {}", role.code(), record.step.stage.code()),
        );
        self.go_on(tx, &mut record, next)?;
        projects::store::set_status(tx, &turn.permit, project.id, project_status(&record), now)?;
        let paths: Vec<&str> = outcome.files.iter().map(|(staged, _)| staged.path.as_str()).collect();
        let mut after = brief(&record.run);
        after["files"] = paths.into();
        after["turn_tokens"] = usage.tokens.into();
        audit::record(
            tx,
            now,
            turn.permit.caller(),
            &did.id(id).org(turn.org()).before(&brief(&turn.record.run)).after(&after),
        )?;
        store::save(tx, &record)?;
        events.push(RunEvent::Status(Box::new(record.run.clone())));
        self.inner.hub.append(tx, id, &events)
    }

    /// Brings the run to its next turn or to its end; a paused run waits before its next turn.
    fn go_on(&self, tx: &mut Tx<'_>, record: &mut Record, next: Next) -> Result<()> {
        let now = self.inner.rooms.clock.now();
        record.step_job = None;
        match next {
            Next::Completed => {
                record.run.status = RunStatus::Completed;
                record.run.stage = RunStage::Completed;
                record.run.finished_at = Some(now);
                return Ok(());
            }
            Next::Step(step) => record.step = step,
            Next::Again(step) => {
                record.step = step;
                record.run.iteration += 1;
                for view in record.run.stages.iter_mut().filter(|view| view.stage >= step.stage) {
                    view.status = StageStatus::Pending;
                    view.finished_at = None;
                }
            }
        }
        record.run.stage = record.step.stage.into();
        if record.run.status == RunStatus::Running { enqueue(tx, now, record) } else { Ok(()) }
    }

    /// Ends the run with what went wrong; people may retry the stage.
    async fn fail(&self, run: i64, job: i64, error: &Error) -> Result<()> {
        let (runs, now) = (self.clone(), self.inner.rooms.clock.now());
        let why = RunError { code: error.code().to_owned(), detail: error.to_string() };
        self.inner
            .rooms
            .db
            .write(move |tx| {
                let Some(mut record) = store::lock(tx, run)?.filter(|record| record.step_job == Some(job)) else {
                    return Ok(());
                };
                jobs::withdraw(tx, job)?;
                let before = brief(&record.run);
                record.step_job = None;
                record.run.status = RunStatus::Failed;
                record.run.error = Some(why.clone());
                record.run.finished_at = Some(now);
                let role = record.step.role;
                let mut events =
                    vec![RunEvent::Message { role, level: Level::Error, text: why.detail.clone(), at: now }];
                if let Some(stage) = record.stage_mut() {
                    stage.status = StageStatus::Failed;
                    stage.finished_at = Some(now);
                    events.push(RunEvent::Stage(stage.clone()));
                }
                store::save(tx, &record)?;
                let system = Arc::new(Caller::system());
                let (permit, project) = (system.permit::<RunExecute>()?, ProjectId(record.run.project_id));
                projects::store::set_status(tx, &permit, project, ProjectStatus::Failed, now)?;
                let mut event = Event::new(AuditAction::Execute, "run", format!("Run {run} failed: {}", why.detail));
                event.success = false;
                let event =
                    event.id(run).org(OrgId(record.run.organization_id)).before(&before).after(&brief(&record.run));
                audit::record(tx, now, &system, &event)?;
                events.push(RunEvent::Status(Box::new(record.run.clone())));
                runs.inner.hub.append(tx, run, &events)
            })
            .await
    }

    async fn tell(&self, run: i64, level: Level, text: String) -> Result<()> {
        let (hub, now) = (self.inner.hub.clone(), self.inner.rooms.clock.now());
        self.inner
            .rooms
            .db
            .write(move |tx| {
                let Some(record) = store::lock(tx, run)? else { return Ok(()) };
                let message = RunEvent::Message { role: record.step.role, level, text: text.clone(), at: now };
                hub.append(tx, run, &[message])
            })
            .await
    }
}

/// The run, when `job` may still move it on.
fn ours(tx: &mut Tx<'_>, run: i64, job: i64) -> Result<Record> {
    let record = store::lock(tx, run)?.filter(|record| record.step_job == Some(job));
    record.ok_or_else(|| no_longer_ours(run))
}

/// Whether trying again by itself cannot help.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), Kind::Invalid | Kind::Forbidden | Kind::NotFound | Kind::TooLarge | Kind::Unauthenticated)
        || matches!(error.code(), "quota_exceeded" | "no_model" | "model_not_found" | "context_truncated")
}

fn project_status(record: &Record) -> ProjectStatus {
    match record.run.status {
        RunStatus::Completed => ProjectStatus::Completed,
        _ => record.step.stage.project_status(),
    }
}

/// What an answer that cannot be used looks like to the person.
fn unusable(reason: &str, completion: &Completion, question: u32) -> String {
    let text = completion.text.trim();
    let end = text.floor_char_boundary(SHOWN);
    let more = if end < text.len() { " [...]" } else { "" };
    let then = if question < QUESTIONS { "It is asked again." } else { "It is not asked again." };
    format!(
        "The model's answer could not be used: {reason} {then} The answer was: {}{more}",
        text[..end].replace('\0', "")
    )
}

fn looked_at(analysis: &Analysis, file_id: i64, staged: &StagedFile, role: AgentRole, now: Time) -> RunEvent {
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
            RunEvent::Message { role, level: Level::Warning, text, at: now }
        }
    }
}

/// What the review said, for people.
fn verdict(record: &Record, reply: &Reply, next: Next) -> Option<String> {
    if Form::of(record.step.role) == Form::Files || reply.approved {
        return None;
    }
    let then = match next {
        Next::Again(_) => "Development begins again.",
        _ => "The limit of iterations is reached, so the work is handed over as it is.",
    };
    let problems: Vec<String> = reply.problems.iter().map(|problem| format!("- {problem}")).collect();
    Some(format!("The review did not approve the work. {then}\n{}", problems.join("\n")).trim_end().to_owned())
}

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

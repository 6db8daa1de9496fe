//! One turn of one role: ask the model, take its answer apart, have the plugins look at the files, commit all of it.
//!
//! Invariant: nothing of a turn is kept but by `commit`; what it used before that is held in [`Turn::uncounted`] for
//! whoever ends it otherwise. Tokens that were used are counted, also when their answer is not.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use super::events::RunEvent;
use super::fault::{Lost, Uncounted, is_charged};
use super::place::{self, Misfit};
use super::plan::Player;
use super::reply::{self, Form, Reply};
use super::workflow::agent_name;
use super::{Record, RunStatus, Runs, StageStatus, no_longer_ours, store};
use crate::access::actions::RunExecute;
use crate::access::{Actor, ActorKind, Caller, OrgId, Permit, UserId};
use crate::base::error::{Error, Result};
use crate::hooks::Hook;
use crate::jobs::{self, Job};
use crate::llm::{ChatRequest, Completion};
use crate::plugins::{Analysis, CodeFile};
use crate::projects::files::StagedFile;
use crate::projects::path::ProjectPath;
use crate::projects::{self, ProjectId, files, language};
use crate::quotas::Usage;

pub(super) const KIND: &str = "run.step";
/// How often a model is asked in one turn before the person is.
const QUESTIONS: u32 = 3;
/// Low, so that code is plain; not 0, so that a second question can have another answer.
const TEMPERATURE: f32 = 0.2;
/// How much of an answer that could not be used is shown.
const SHOWN: usize = 1_500;
/// Words waiting to be passed on; more are not shown live.
const WORDS: usize = 256;
/// Bytes of text in a token, where nobody counts them: the measure that calls which failed are charged by.
pub(super) const TOKEN_BYTES: u64 = 3;

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    pub run: i64,
}

/// What a turn works with.
pub(super) struct Turn {
    pub record: Record,
    pub job: i64,
    pub permit: Permit<RunExecute>,
    pub uncounted: Uncounted,
}

/// What came of it.
pub(super) struct Outcome {
    pub reply: Reply,
    pub files: Vec<(StagedFile, Vec<Analysis>)>,
    /// The model's answer; None: a plugin's agent worked by itself.
    pub completion: Option<Completion>,
    /// What the person should know about the question and the answer.
    pub notes: Vec<String>,
}

impl Turn {
    pub fn org(&self) -> OrgId {
        OrgId(self.record.run.organization_id)
    }

    pub fn usage(&self, completion: &Completion) -> Usage {
        Usage {
            tokens: completion.prompt_tokens + completion.completion_tokens,
            user: self.record.started_by.map(UserId),
            project: Some(self.record.run.project_id),
            model: self.record.run.model.clone(),
            source: "run",
            metadata: None,
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
        // Before the run is looked at, so that whoever cancels it afterwards finds the turn.
        let under_way = self.inner.hub.turn(job.id);
        let Some(record) = self.begin(run, job.id, job.attempts > 1).await? else { return Ok(()) };
        let (place, uncounted) = (record.step.place, Uncounted::default());
        let done = tokio::select! {
            biased;
            () = under_way.stop.cancelled() => Err(no_longer_ours(run)),
            done = self.turn(record, job.id, uncounted.clone()) => done,
        };
        let Err(error) = done else { return Ok(()) };
        let lost = Lost::new(run, &job, place, uncounted.get(), &error);
        self.broken(lost, &job, error).await
    }

    async fn turn(&self, record: Record, job: i64, uncounted: Uncounted) -> Result<()> {
        let caller = Arc::new(self.agent(&record).await?);
        let permit = caller.permit::<RunExecute>()?;
        permit.require_place(record.place(), "run")?;
        let turn = Arc::new(Turn { record, job, permit, uncounted });
        let outcome = tokio::select! {
            biased;
            outcome = self.work(&turn) => outcome?,
            why = self.refused(&turn, caller) => return Err(why),
        };
        self.commit(turn, outcome).await
    }

    /// Waits until the token that the run was started with does not allow the turn any more; for ever without one.
    async fn refused(&self, turn: &Turn, agent: Arc<Caller>) -> Error {
        if turn.record.token.is_none() {
            return std::future::pending().await;
        }
        let place = turn.record.place();
        let still = |agent: &Arc<Caller>| agent.permit::<RunExecute>()?.require_place(place, "run");
        let why = self.inner.rooms.accounts.watch(agent).ended(still).await;
        // Says more than that.
        self.agent(&turn.record).await.err().unwrap_or(why)
    }

    /// The agent, with the rights that who started the run has now, as far as the token it was started with allows, and from
    /// where the run was started.
    async fn agent(&self, record: &Record) -> Result<Caller> {
        let mut caller = match record.started_by {
            Some(user) => Caller::clone(&*self.inner.rooms.accounts.caller_of(UserId(user), record.token).await?),
            None => Caller::system(),
        };
        let name = agent_name(record.role(), &record.run.created_by);
        caller.actor = Actor { kind: ActorKind::Agent, id: record.started_by, name };
        caller.origin = record.origin.clone();
        Ok(caller)
    }

    /// Marks the turn as begun; None when the job no longer moves the run.
    async fn begin(&self, run: i64, job: i64, again: bool) -> Result<Option<Record>> {
        let (runs, hub, now) = (self.clone(), self.inner.hub.clone(), self.inner.rooms.clock.now());
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
                let role = record.role().to_owned();
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
                runs.tell_begin(tx, &record, first);
                Ok(Some(record))
            })
            .await
    }

    /// Asks until the answer can be used.
    async fn work(&self, turn: &Turn) -> Result<Outcome> {
        let form = Form::of(&turn.record.plan, turn.record.step);
        self.has_room_for_document(turn, form).await?;
        if let Player::Plugin(agent) = turn.record.plan.player(turn.record.step)
            && let Some(method) = &agent.works_by
        {
            return self.colleague(turn, form, agent, method).await;
        }
        let (mut complaint, mut spent) = (None, 0);
        for question in 1..=QUESTIONS {
            let (completion, notes) = self.ask(turn, form, complaint.as_deref(), spent).await?;
            let reason = match self.judge(turn, form, &completion.text).await {
                Ok(Ok(reply)) => return self.look_at(turn, reply, Some(completion), notes).await,
                Ok(Err(reason)) => reason,
                Err(error) => return Err(wasted(turn, Some(completion), error)),
            };
            let told = unusable(&reason, &completion, question);
            spent += self.settle_unused(turn, completion, told).await?;
            complaint = Some(reason);
        }
        let role = turn.record.role();
        let sentence = format!(
            "The model {} gave no answer that the {role} could use, {QUESTIONS} times. Its last one could not be used because: {} Retry the stage, or use a larger model.",
            turn.record.run.model,
            complaint.unwrap_or_default()
        );
        Err(Error::invalid("unusable_reply", sentence))
    }

    /// A role that always writes the same file must be able to; no answer could help.
    ///
    /// # Errors
    /// `document_unwritable`, before a token is spent.
    async fn has_room_for_document(&self, turn: &Turn, form: Form<'_>) -> Result<()> {
        let (Form::Document(path) | Form::Review(path)) = form else { return Ok(()) };
        let Err(Misfit { why, .. }) = self.fits(turn, vec![ProjectPath::parse(path)?]).await? else { return Ok(()) };
        let role = turn.record.role();
        let sentence = format!("{why} The {role} always writes that file: make room for it, then retry the stage.");
        Err(Error::invalid("document_unwritable", sentence))
    }

    /// The answer as files that the project takes, or what to tell the model.
    async fn judge(&self, turn: &Turn, form: Form<'_>, text: &str) -> Result<Result<Reply, String>> {
        let reply = match reply::read(form, text) {
            Ok(reply) => reply,
            Err(reason) => return Ok(Err(reason)),
        };
        let paths = reply.files.iter().map(|file| file.path.clone()).collect();
        let fits = self.fits(turn, paths).await?;
        Ok(fits.map(|()| reply).map_err(|Misfit { why, instead }| format!("{why} {instead}")))
    }

    pub(super) async fn fits(&self, turn: &Turn, wanted: Vec<ProjectPath>) -> Result<Result<(), Misfit>> {
        let project = ProjectId(turn.record.run.project_id);
        let there = self.inner.rooms.db.read(move |tx| files::store::list_paths(tx, project)).await?;
        Ok(place::check(&there, &wanted))
    }

    /// One question and its answer. `spent` is what this turn used before.
    async fn ask(
        &self,
        turn: &Turn,
        form: Form<'_>,
        complaint: Option<&str>,
        spent: u64,
    ) -> Result<(Completion, Vec<String>)> {
        let Turn { record, permit, uncounted, .. } = turn;
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
        let (hub, role, id) = (&self.inner.hub, record.role(), run.id);
        let pass_on = async {
            let (mut pieces, mut bytes) = (0, 0);
            while let Some(words) = heard.recv().await {
                (pieces, bytes) = (pieces + 1, bytes + words.len() as u64);
                uncounted.set(asked.prompt + bytes.div_ceil(TOKEN_BYTES).max(pieces));
                hub.words(id, role, &words);
            }
            pieces > 0
        };
        uncounted.set(asked.prompt);
        let complete = llm.complete(caller, turn.org(), Some(run.project_id), &model.id, request, Some(words));
        let (completion, heard) = tokio::join!(complete, pass_on);
        let completion = completion.inspect_err(|error| {
            if !is_charged(error, heard) {
                uncounted.set(0);
            }
        })?;
        uncounted.set(completion.prompt_tokens + completion.completion_tokens);
        let mut notes = asked.notes;
        if completion.finish_reason == "length" {
            let used = completion.completion_tokens;
            notes.push(format!("The answer was ended at {used} tokens and may lack its end."));
        }
        Ok((completion, notes))
    }

    /// Has the files kept and looked at.
    pub(super) async fn look_at(
        &self,
        turn: &Turn,
        reply: Reply,
        completion: Option<Completion>,
        notes: Vec<String>,
    ) -> Result<Outcome> {
        let mut kept = Vec::with_capacity(reply.files.len());
        for file in &reply.files {
            match self.look_at_one(turn, file).await {
                Ok(done) => kept.push(done),
                Err(error) => return Err(wasted(turn, completion, error)),
            }
        }
        Ok(Outcome { reply, files: kept, completion, notes })
    }

    async fn look_at_one(&self, turn: &Turn, file: &reply::NewFile) -> Result<(StagedFile, Vec<Analysis>)> {
        let (rooms, path) = (&self.inner.rooms, file.path.as_str());
        let content = self.content(turn, file).await;
        let staged = rooms.projects.stage(file.path.clone(), Bytes::from(content.clone())).await?;
        self.about_to_write(turn, &staged).await?;
        let code = CodeFile {
            project_id: turn.record.run.project_id,
            path: path.to_owned(),
            language: staged.language.clone(),
            code: content,
        };
        Ok((staged, rooms.plugins.analyze(turn.org(), code).await))
    }

    /// What an agent wrote, as plugins let it pass.
    async fn content(&self, turn: &Turn, file: &reply::NewFile) -> String {
        let (path, run) = (file.path.as_str(), &turn.record.run);
        let value = || {
            json!({"content": file.content, "language": language::of(path).unwrap_or_default(), "file_path": path,
                "project_id": run.project_id, "run_id": run.id, "role": turn.record.role(),
                "organization_id": run.organization_id})
        };
        let changed = self.inner.rooms.hooks.filter_text(Hook::FilterCodeContent, turn.org(), "content", value).await;
        changed.filter(|content| !content.is_empty()).unwrap_or_else(|| file.content.clone())
    }

    async fn about_to_write(&self, turn: &Turn, staged: &StagedFile) -> Result<()> {
        let rooms = &self.inner.rooms;
        if !rooms.hooks.wants(Hook::FileCreateBefore) && !rooms.hooks.wants(Hook::FileUpdateBefore) {
            return Ok(());
        }
        let (permit, id, key) =
            (turn.permit.clone(), ProjectId(turn.record.run.project_id), staged.path.key().to_owned());
        let read = rooms.db.read(move |tx| {
            let project = projects::store::find(tx, &permit, id)?;
            Ok((project, files::store::by_key(tx, id, &key)?))
        });
        let (project, before) = read.await?;
        rooms.projects.before_write(&turn.permit, &project, staged, before.as_ref()).await;
        Ok(())
    }
}

/// Settles a model's answer that is lost because of `error`.
fn wasted(turn: &Turn, completion: Option<Completion>, error: Error) -> Error {
    if let Some(completion) = completion {
        let usage = turn.usage(&completion);
        completion.reservation.settle(usage, None);
    }
    error
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

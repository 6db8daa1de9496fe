//! What plugins are told of runs: the hooks `project.execute.*` and `agent.*`.
//!
//! Invariant: told with the transaction that makes it so, once; words of prompts and files' contents are no part of it.

use serde_json::{Value, json};

use super::step::Outcome;
use super::workflow::agent_name;
use super::{Record, Run, RunError, RunStatus, Runs};
use crate::access::OrgId;
use crate::db::Tx;
use crate::hooks::Hook;

impl Runs {
    /// Tells that a run, if it is `first`, and an agent's turn began.
    pub(super) fn tell_begin(&self, tx: &mut Tx<'_>, record: &Record, first: bool) {
        let (hooks, org) = (&self.inner.rooms.hooks, org(&record.run));
        if first {
            hooks.tell_after(tx, Hook::ProjectExecuteStart, org, || by_starter(record, run(&record.run)));
        }
        hooks.tell_after(tx, Hook::AgentStart, org, || agent(record));
    }

    /// Tells that a turn ended well. `done` is the run as it was in the turn.
    pub(super) fn tell_turn(&self, tx: &mut Tx<'_>, done: &Record, outcome: &Outcome, tokens: u64) {
        self.inner.rooms.hooks.tell_after(tx, Hook::AgentComplete, org(&done.run), || {
            let mut payload = agent(done);
            payload["summary"] = json!(outcome.reply.summary);
            payload["files"] = outcome.files.iter().map(|(staged, _)| staged.path.as_str()).collect();
            payload["tokens"] = json!(tokens);
            payload["approved"] = json!(outcome.reply.approved);
            payload
        });
    }

    /// Tells that a turn failed; `last`: and the run with it.
    pub(super) fn tell_broken(&self, tx: &mut Tx<'_>, record: &Record, error: &RunError, last: bool) {
        self.inner.rooms.hooks.tell_after(tx, Hook::AgentError, org(&record.run), || {
            let mut payload = agent(record);
            payload["code"] = json!(error.code);
            payload["detail"] = json!(error.detail);
            payload["final"] = json!(last);
            payload
        });
    }

    /// Tells that a run ended, if it did.
    pub(super) fn tell_end(&self, tx: &mut Tx<'_>, record: &Record) {
        let ended = matches!(record.run.status, RunStatus::Completed | RunStatus::Failed | RunStatus::Canceled);
        if !ended {
            return;
        }
        self.inner.rooms.hooks.tell_after(tx, Hook::ProjectExecuteComplete, org(&record.run), || {
            let mut payload = by_starter(record, run(&record.run));
            payload["status"] = json!(record.run.status);
            payload["tokens_used"] = json!(record.run.tokens_used);
            payload["error"] = json!(record.run.error);
            payload
        });
    }
}

fn org(run: &Run) -> OrgId {
    OrgId(run.organization_id)
}

fn run(run: &Run) -> Value {
    json!({"run_id": run.id, "project_id": run.project_id, "organization_id": run.organization_id, "model": run.model,
        "iteration": run.iteration})
}

fn by_starter(record: &Record, mut payload: Value) -> Value {
    payload["actor"] = json!(if record.started_by.is_some() { "user" } else { "operator" });
    payload["user_id"] = json!(record.started_by);
    payload["user_name"] = json!(record.run.created_by);
    payload
}

fn agent(record: &Record) -> Value {
    let mut payload = run(&record.run);
    payload["role"] = json!(record.role());
    payload["stage"] = json!(record.stage());
    payload["actor"] = json!("agent");
    payload["user_id"] = json!(record.started_by);
    payload["user_name"] = json!(agent_name(record.role(), &record.run.created_by));
    payload
}

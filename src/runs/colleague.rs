//! The turn of a plugin's agent that works by itself: what it is handed, and how whatever it hands in becomes files.
//!
//! Invariant: it works in the sandbox, on what it is handed; the tokens it uses there are the run's while it works. What it
//! hands in goes the way of every other role's answer, and what cannot be used fails the turn with a sentence.

use serde_json::{Map, Value, json};

use super::Runs;
use super::place::Misfit;
use super::plan::Agent;
use super::prompt::{self, MOST_LISTED};
use super::reply::{self, Form, Reply};
use super::step::{Outcome, Turn};
use crate::base::error::{Error, Result};
use crate::plugins::colleagues::{Assignment, Meter};

/// Files that are handed over, and their bytes in all.
const MOST_HANDED: usize = 60;
const MOST_BYTES: usize = 512 << 10;
/// By which names agents call the text that they hand in.
const TEXTS: [&str; 6] = ["document", "result", "output", "content", "response", "answer"];
/// How agents say that they did not do it.
const FAILED: [&str; 3] = ["failed", "failure", "error"];

impl Runs {
    /// Has `agent` do its turn by its own `method`.
    ///
    /// # Errors
    /// `agent_gone`, `agent_failed` with the plugin's words, `agent_busy`; `token_budget_exceeded`.
    pub(super) async fn colleague(&self, turn: &Turn, form: Form<'_>, agent: &Agent, method: &str) -> Result<Outcome> {
        let most = tokens_for(turn)?;
        let task = self.task(turn).await?;
        let given = match method {
            "process_request" => json!([task["description"], task]),
            _ => json!([task]),
        };
        let (plugin, project) = (agent.plugin.as_str(), turn.record.run.project_id);
        let meter = Meter { most, used: turn.uncounted.shared() };
        let assignment = Assignment { plugin, method, given: &given, project, meter };
        let work = self.inner.rooms.plugins.assign(turn.org(), assignment).await?;
        let failed = |why: String| {
            Error::invalid(
                "agent_failed",
                format!("What the agent of the plugin {plugin} handed in cannot be used. {why}"),
            )
        };
        let reply = handed_in(form, work).map_err(failed)?;
        let paths = reply.files.iter().map(|file| file.path.clone()).collect();
        self.fits(turn, paths).await?.map_err(|Misfit { why, instead }| failed(format!("{why} {instead}")))?;
        self.look_at(turn, reply, None, Vec::new()).await
    }

    /// What an agent is handed.
    async fn task(&self, turn: &Turn) -> Result<Value> {
        let (record, known) = (&turn.record, self.known(turn).await?);
        let stage = record.plan.stage(record.step);
        let listed = &known.paths[..known.paths.len().min(MOST_LISTED)];
        let (mut files, mut left) = (Map::new(), MOST_BYTES);
        let wanted = prompt::reading(&record.plan, record.step, record.run.iteration, &known.paths);
        for path in wanted.into_iter().take(MOST_HANDED) {
            let Some(file) = known.files.iter().find(|file| file.path == path) else { continue };
            let Some(rest) = usize::try_from(file.size).ok().and_then(|size| left.checked_sub(size)) else { continue };
            let content = self.inner.rooms.projects.content(&file.sha256).await?;
            if let Ok(text) = String::from_utf8(content.to_vec()) {
                left = rest;
                files.insert(path, text.into());
            }
        }
        Ok(json!({
            "description": prompt::task(stage, &known.name, &record.run.requirement, listed, None),
            "stage": stage.name,
            "role": record.role(),
            "produces": stage.produces,
            "project": known.name,
            "requirement": record.run.requirement,
            "files": files,
            "findings": known.findings,
            "run_id": record.run.id,
            "project_id": record.run.project_id,
            "iteration": record.run.iteration,
        }))
    }
}

/// The tokens that the turn may use: its share of what the run has left.
fn tokens_for(turn: &Turn) -> Result<u64> {
    let run = &turn.record.run;
    let Some(budget) = run.token_budget else { return Ok(u64::MAX) };
    let left = u64::try_from(budget.saturating_sub(run.tokens_used)).unwrap_or(0);
    if left == 0 {
        let sentence = format!(
            "The run's {budget} tokens are used. Start a new run on the project with a larger budget: it builds on the files there are."
        );
        return Err(Error::invalid("token_budget_exceeded", sentence).field("token_budget"));
    }
    Ok(turn.record.plan.share(turn.record.step, left))
}

/// What an agent handed in, as files.
///
/// # Errors
/// A sentence that says what is wrong with it.
fn handed_in(form: Form<'_>, work: Value) -> Result<Reply, String> {
    let work = match work {
        Value::String(text) => return reply::read(form, &text),
        Value::Object(work) => work,
        _ => return Err("It is neither a text nor an object with `artifacts`, `files` or `result`.".to_owned()),
    };
    let word = |key: &str| work.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let did_not = word("status").is_some_and(|status| FAILED.contains(&status));
    if let Some(why) = word("error").or_else(|| word("message").filter(|_| did_not)) {
        return Err(format!("It says: {}", reply::one_line(why, 1_000)));
    }
    if did_not {
        return Err("It says that it failed, and not why.".to_owned());
    }
    let files = files(&work)?;
    let mut reply = match TEXTS.iter().find_map(|key| word(key)) {
        _ if !files.is_empty() => reply::of_files(files)?,
        Some(text) => reply::read(form, text)?,
        None => return Err("It has no file in `artifacts` or `files`, and no text in `result`.".to_owned()),
    };
    if let Some(summary) = word("summary") {
        reply.summary = reply::one_line(summary, reply::MAX_SUMMARY);
    }
    reply.approved = work.get("approved").and_then(Value::as_bool).unwrap_or(reply.approved);
    Ok(reply)
}

/// The files named as `{path: text}` or `[{"path": .., "content": ..}]`.
fn files(work: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for key in ["artifacts", "files"] {
        match work.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(files)) => {
                found.extend(files.iter().map(|(path, text)| (Some(path.as_str()), text.as_str())));
            }
            Some(Value::Array(files)) => {
                found.extend(files.iter().map(|file| (file["path"].as_str(), file["content"].as_str())));
            }
            Some(_) => return Err(format!("Its `{key}` are neither {{path: text}} nor a list of path and content.")),
        }
    }
    let both = |(path, text): (Option<&str>, Option<&str>)| Some((path?.to_owned(), text?.to_owned()));
    let files: Option<Vec<_>> = found.into_iter().map(both).collect();
    files.ok_or_else(|| "A file among its `artifacts` or `files` has no path or no text.".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(work: Value) -> Result<Vec<(String, String)>, String> {
        let reply = handed_in(Form::Document("stages/api.md"), work)?;
        Ok(reply.files.into_iter().map(|file| (file.path.as_str().to_owned(), file.content)).collect())
    }

    #[test]
    fn texts_become_the_stages_document_and_files_themselves() {
        let one = |path: &str, text: &str| vec![(path.to_owned(), format!("{text}\n"))];
        assert_eq!(read(json!("# API")).unwrap(), one("stages/api.md", "# API"));
        assert_eq!(read(json!({"result": "# API", "status": "completed"})).unwrap(), one("stages/api.md", "# API"));
        assert_eq!(read(json!({"artifacts": {"docs/api.md": "x"}})).unwrap(), one("docs/api.md", "x"));
        assert_eq!(
            read(json!({"files": [{"path": "a.py", "content": "x"}], "result": "y"})).unwrap(),
            one("a.py", "x")
        );
        let reply = handed_in(Form::Document("a.md"), json!({"result": "x", "summary": "Did\nit.", "approved": false}));
        let reply = reply.unwrap();
        assert_eq!((reply.summary.as_str(), reply.approved), ("Did it.", false));
    }

    #[test]
    fn what_cannot_be_used_is_told_in_the_agents_words() {
        for (work, word) in [
            (json!(null), "neither"),
            (json!(""), "empty"),
            (json!({}), "no text"),
            (json!({"error": "no route to the model"}), "no route"),
            (json!({"status": "failed", "message": "too tired"}), "too tired"),
            (json!({"status": "failed"}), "not why"),
            (json!({"artifacts": 7}), "artifacts"),
            (json!({"artifacts": {"a": 7}}), "no text"),
            (json!({"artifacts": {"../a": "x"}}), "`"),
        ] {
            let told = read(work.clone()).unwrap_err();
            assert!(told.contains(word), "{work}: {told}");
        }
    }
}

//! What plugins bring to runs: orders of stages, and agents that do a stage.
//!
//! Invariant: what a plugin says about itself is read within bounds before anybody uses it; whoever works in a run is
//! asked through the same door as any other call, and its tokens are counted while it uses them.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Plugins;
use super::crew::Worker;
use super::host::About;
pub use super::host::Meter;
use super::live::{Ask, Failed, parsed};
use crate::access::OrgId;
use crate::base::error::{Error, Result};

/// Stages of a workflow.
pub const MAX_STAGES: usize = 20;
/// Characters of the name of a stage, a role or a workflow.
pub const MAX_NAME: usize = 60;
/// Bytes of an agent's system prompt.
const MAX_PROMPT: usize = 32 << 10;
/// Bytes of what a plugin says about itself.
const MAX_SAID: usize = 256 << 10;
/// Bytes of what an agent hands in.
const MAX_WORK: usize = 8 << 20;
/// How long an agent may take for one turn; it waits for models, which takes minutes on small machines.
pub(super) const TURN_LIMIT: Duration = Duration::from_secs(600);

/// An order of stages that a plugin offers.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// The plugin's slug.
    pub plugin: String,
    /// The name people know it by.
    pub name: String,
    /// 1 to [`MAX_STAGES`].
    pub stages: Vec<OfferedStage>,
}

/// A stage as a plugin names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedStage {
    pub name: String,
    /// Whose turn it is; None: whose such a stage is.
    pub role: Option<String>,
    /// The path of its document; None: as the role has it.
    pub produces: Option<String>,
    /// Whether it is left out where nobody plays the role.
    pub optional: bool,
}

/// An agent that a plugin brings.
#[derive(Debug, Clone)]
pub struct AgentCard {
    /// The plugin's slug.
    pub plugin: String,
    /// The role it plays.
    pub role: String,
    pub name: String,
    pub system_prompt: String,
    /// The stages it takes where nobody else is named.
    pub stages: Vec<String>,
    /// The method that does its work; None: the run's model does, under its system prompt.
    pub works_by: Option<String>,
}

/// One turn of an agent that works by itself.
#[derive(Debug)]
pub struct Assignment<'a> {
    pub plugin: &'a str,
    pub method: &'a str,
    /// What it is handed, by the names of the method's parameters.
    pub given: &'a Value,
    pub project: i64,
    pub meter: Meter,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Name(String),
    Stage(SaidStage),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidStage {
    name: String,
    role: Option<String>,
    produces: Option<String>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
struct SaidAgent {
    role: String,
    name: String,
    #[serde(default)]
    system_prompt: String,
    #[serde(default)]
    responsible_stages: Vec<String>,
    works_by: Option<String>,
}

impl Plugins {
    /// The workflows there are in `org`, each with its plugin's slug; for one that could not say what it is, why.
    pub async fn workflows(&self, org: OrgId) -> Vec<(String, Result<Workflow, String>)> {
        let mut found = Vec::new();
        for worker in self.of_kind(org, "workflow").await {
            found.push((worker.slug().to_owned(), self.workflow(&worker).await));
        }
        found
    }

    async fn workflow(&self, worker: &Worker) -> Result<Workflow, String> {
        let name = self.says(worker, "get_workflow_name", |name: String| named("the workflow's name", name)).await?;
        let stages = self.says(worker, "get_workflow_stages", offered).await?;
        Ok(Workflow { plugin: worker.slug().to_owned(), name, stages })
    }

    /// The agents there are in `org`, each with its plugin's slug; for one that could not say who it is, why.
    pub async fn agents(&self, org: OrgId) -> Vec<(String, Result<AgentCard, String>)> {
        let mut found = Vec::new();
        for worker in self.of_kind(org, "agent").await {
            let slug = worker.slug().to_owned();
            let card = self.says(&worker, "describe", |said| card(&slug, said)).await;
            found.push((slug.clone(), card));
        }
        found
    }

    /// Has an agent do its turn; what it hands in, as JSON.
    ///
    /// # Errors
    /// `agent_gone` when its plugin does not work in `org`; `agent_failed` with its words; `agent_busy` when trying again
    /// may help.
    pub async fn assign(&self, org: OrgId, assignment: Assignment<'_>) -> Result<Value> {
        let Assignment { plugin, method, given, project, meter } = assignment;
        let team = self.at_work(Some(org));
        let Some(worker) = team.iter().find(|worker| worker.slug() == plugin) else {
            let sentence = format!(
                "The plugin {plugin}, which does this stage, does not work in the organisation any more. Enable it and retry the stage, or start a new run with another workflow."
            );
            return Err(Error::invalid("agent_gone", sentence));
        };
        let about = About { meter: Some(meter), ..About::project(project) };
        let ask = Ask::Method(method);
        let done = self.ask(worker, &ask, &given.to_string(), &about, TURN_LIMIT, |text| parsed(text, MAX_WORK)).await;
        match done {
            Ok(work) => {
                worker.entry.has_trouble(None);
                Ok(work)
            }
            Err(failed) => {
                let busy = failed.in_a_row.is_none();
                let sentence = format!("The agent of the plugin {plugin} failed: {}", self.judge(worker, failed).await);
                Err(if busy {
                    Error::unavailable("agent_busy", sentence)
                } else {
                    Error::invalid("agent_failed", sentence)
                })
            }
        }
    }

    async fn of_kind(&self, org: OrgId, api: &str) -> Vec<std::sync::Arc<Worker>> {
        let mut found = Vec::new();
        for worker in self.at_work(Some(org)).iter() {
            match self.learn(worker).await {
                Ok(learned) if learned.api == api => found.push(worker.clone()),
                Ok(_) => {}
                Err(failed) => drop(self.judge(worker, failed).await),
            }
        }
        found
    }

    /// What a plugin says about itself.
    async fn says<S: DeserializeOwned, T>(
        &self,
        worker: &Worker,
        method: &str,
        read: impl FnOnce(S) -> Result<T, String> + Send,
    ) -> Result<T, String> {
        let read = |text: &str| parsed(text, MAX_SAID).and_then(read);
        let said = self.ask(worker, &Ask::Method(method), "[]", &About::default(), worker.wall(), read).await;
        match said {
            Ok(said) => Ok(said),
            Err(failed) => Err(self.heard_wrong(worker, method, failed).await),
        }
    }

    async fn heard_wrong(&self, worker: &Worker, method: &str, failed: Failed) -> String {
        format!("{method}() failed: {}", self.judge(worker, failed).await)
    }
}

/// A name that people can read and type.
///
/// # Errors
/// What is wrong with it.
fn named(what: &str, name: String) -> Result<String, String> {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME || name.trim() != name || name.contains(char::is_control) {
        let shown: String = name.escape_debug().take(MAX_NAME).collect();
        return Err(format!(
            "{what} is \"{shown}\"; it has 1 to {MAX_NAME} characters in one line, without spaces around"
        ));
    }
    Ok(name)
}

fn offered(said: Vec<Said>) -> Result<Vec<OfferedStage>, String> {
    if said.is_empty() || said.len() > MAX_STAGES {
        return Err(format!("it names {} stages; a workflow has 1 to {MAX_STAGES}", said.len()));
    }
    said.into_iter().map(offered_one).collect()
}

fn offered_one(said: Said) -> Result<OfferedStage, String> {
    let SaidStage { name, role, produces, optional } = match said {
        Said::Name(name) => SaidStage { name, role: None, produces: None, optional: false },
        Said::Stage(stage) => stage,
    };
    let name = named("a stage's name", name)?;
    let role = role.map(|role| named("a stage's role", role)).transpose()?;
    Ok(OfferedStage { name, role, produces, optional })
}

fn card(slug: &str, said: SaidAgent) -> Result<AgentCard, String> {
    let SaidAgent { role, name, system_prompt, responsible_stages, works_by } = said;
    if system_prompt.len() > MAX_PROMPT {
        return Err(format!("its system prompt is longer than {} KiB", MAX_PROMPT >> 10));
    }
    if works_by.is_none() && system_prompt.trim().is_empty() {
        return Err("it has neither a system prompt nor a method that does its work".to_owned());
    }
    let role = named("the agent's role", role)?;
    let name = named("the agent's name", name)?;
    Ok(AgentCard { plugin: slug.to_owned(), role, name, system_prompt, stages: responsible_stages, works_by })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stages(text: &str) -> Result<Vec<OfferedStage>, String> {
        parsed(text, MAX_SAID).and_then(offered)
    }

    #[test]
    fn stages_are_names_or_say_more() {
        let read =
            stages(r#"["plan", {"name": "api", "role": "api_designer", "produces": "docs/api.md", "optional": true}]"#);
        let read = read.unwrap();
        assert_eq!((read[0].name.as_str(), &read[0].role, read[0].optional), ("plan", &None, false));
        assert_eq!((read[1].role.as_deref(), read[1].produces.as_deref()), (Some("api_designer"), Some("docs/api.md")));
        assert!(read[1].optional);
    }

    #[test]
    fn what_is_out_of_bounds_is_told() {
        let many = serde_json::to_string(&vec!["x"; MAX_STAGES + 1]).unwrap();
        let long = serde_json::to_string(&["ü".repeat(MAX_NAME + 1)]).unwrap();
        for (text, word) in [
            ("[]", "0 stages"),
            (many.as_str(), "21 stages"),
            (long.as_str(), "1 to 60"),
            (r#"[""]"#, "1 to 60"),
            (r#"["a\nb"]"#, "one line"),
            (r#"[{"name": "a", "colour": "red"}]"#, "contract"),
            (r#"[7]"#, "contract"),
            ("{}", "contract"),
        ] {
            let told = stages(text).unwrap_err();
            assert!(told.contains(word), "{text}: {told}");
        }
        assert!(stages(&serde_json::to_string(&["ü".repeat(MAX_NAME)]).unwrap()).is_ok());
    }

    #[test]
    fn an_agent_without_words_or_work_is_none() {
        let said = |json: &str| parsed(json, MAX_SAID).and_then(|said| card("a", said));
        assert!(said(r#"{"role": "r", "name": "n"}"#).unwrap_err().contains("system prompt"));
        assert!(said(r#"{"role": "r", "name": "n", "works_by": "process_request"}"#).is_ok());
    }
}

//! Having plugins look at a file: the filters `code.analyze` and `code.lint`.
//!
//! Invariant: what is asked stays what it was whatever a plugin answers; each plugin answers for itself, in bounded time
//! and size, and one that fails leaves the others' findings alone.
//!
//! The value passes from filter to filter by priority, as the contract says. A plugin of the kind `code_quality` that
//! registers no filter on `code.analyze` is asked through `analyze_code`.

use std::sync::Arc;
use std::time::Duration;

use resoftai_sandbox::Kind;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::counts::Outcome;
use super::crew::Worker;
use super::dispatch::note;
use super::finding::{collect, given_score};
use super::host::About;
use super::live::{Ask, Learned};
use super::{Analysis, CodeFile, Plugins};
use crate::access::OrgId;
use crate::hooks::{Event, Hook};

const METHOD: &str = "analyze_code";
const DEFAULT_PRIORITY: i32 = 10;
/// All plugins together; who comes later is not asked.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// What one answer may add, in bytes of JSON.
const MAX_ADDED: usize = 4 << 20;

/// One question to one plugin.
struct Step {
    priority: i32,
    /// Of the plugin, in the list of answers.
    place: usize,
    worker: Arc<Worker>,
    /// The hook's place; None asks the method.
    hook: Option<usize>,
}

impl CodeFile {
    /// As plugins are handed it.
    pub(super) fn value(self, org: OrgId) -> Map<String, Value> {
        let Self { project_id, path, language, code } = self;
        let value = json!({"code": code, "language": language.unwrap_or_default(), "file_path": path,
            "project_id": project_id, "organization_id": org.0});
        match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

impl Plugins {
    /// What every active plugin that looks at code says about `file`, which is of a project of `org`.
    pub async fn analyze(&self, org: OrgId, file: CodeFile) -> Vec<Analysis> {
        self.examine(Hook::CodeAnalyze, org, file).await
    }

    /// What every active plugin that lints says about `file`.
    pub async fn lint(&self, org: OrgId, file: CodeFile) -> Vec<Analysis> {
        self.examine(Hook::CodeLint, org, file).await
    }

    async fn examine(&self, hook: Hook, org: OrgId, file: CodeFile) -> Vec<Analysis> {
        let (mut answers, steps) = self.plan(hook, org).await;
        if !self.inner.hooks.wants(hook) && steps.is_empty() {
            return answers;
        }
        let (started, about) = (Instant::now(), About::project(file.project_id));
        let asked = file.value(org);
        self.tell(&Event { hook, org: Some(org), payload: asked.clone() }).await;
        let mut value = asked.clone();
        for step in steps {
            let answer = &mut answers[step.place];
            if answer.outcome.is_err() {
                continue;
            }
            let outcome = if started.elapsed() > TIME_LIMIT {
                note(&step.worker, hook, Outcome::Skipped);
                let seconds = TIME_LIMIT.as_secs();
                Err(format!("It was not asked: the plugins before it took more than {seconds} s for this file."))
            } else {
                self.step(hook, &step, &asked, &mut value, &about, answer).await
            };
            if let Err(sentence) = outcome {
                answer.outcome = Err(sentence);
            }
        }
        answers
    }

    /// Who is asked, in the order of priorities, with an empty answer each. Loads what is not loaded.
    async fn plan(&self, hook: Hook, org: OrgId) -> (Vec<Analysis>, Vec<Step>) {
        let (mut answers, mut steps) = (Vec::new(), Vec::new());
        for worker in self.at_work(Some(org)).iter() {
            let learned = self.learn(worker).await;
            let place = answers.len();
            let outcome = match learned {
                Ok(learned) => {
                    let asked = questions(hook, &learned);
                    if asked.is_empty() {
                        continue;
                    }
                    steps.extend(asked.into_iter().map(|(priority, hook)| Step {
                        priority,
                        place,
                        worker: worker.clone(),
                        hook,
                    }));
                    Ok(Vec::new())
                }
                Err(failed) => Err(self.judge(worker, failed).await),
            };
            answers.push(Analysis { plugin: worker.slug().to_owned(), outcome, score: None });
        }
        steps.sort_by_key(|step| step.priority);
        (answers, steps)
    }

    async fn step(
        &self,
        hook: Hook,
        step: &Step,
        asked: &Map<String, Value>,
        value: &mut Map<String, Value>,
        about: &About,
        into: &mut Analysis,
    ) -> Result<(), String> {
        let (ask, payload) = match step.hook {
            Some(place) => (Ask::Hook(place, Kind::Filter, hook.name()), Value::Object(value.clone()).to_string()),
            None => (Ask::Method(METHOD), Value::Object(asked.clone()).to_string()),
        };
        let most = payload.len() + MAX_ADDED;
        let within = step.worker.wall();
        let started = Instant::now();
        let answer = self.ask(&step.worker, &ask, &payload, about, within, |answer| read(answer, most)).await;
        let took = started.elapsed();
        note(&step.worker, hook, if answer.is_ok() { Outcome::Well(took) } else { Outcome::Failed(took) });
        let answer = match answer {
            Ok(answer) => answer,
            Err(failed) => return Err(self.judge(&step.worker, failed).await),
        };
        step.worker.entry.has_trouble(None);
        match step.hook {
            None => take(&Value::Object(answer), into),
            Some(_) => merge(answer, asked, value, into),
        }
        Ok(())
    }
}

/// The callbacks to ask, with their priorities.
fn questions(hook: Hook, learned: &Learned) -> Vec<(i32, Option<usize>)> {
    let name = hook.name();
    let own = learned.hooks.iter().enumerate().filter(|(_, own)| own.name == name && own.kind == "filter");
    let asked: Vec<_> = own.map(|(place, own)| (own.priority, Some(place))).collect();
    if asked.is_empty() && hook == Hook::CodeAnalyze && learned.api == "code_quality" {
        return vec![(DEFAULT_PRIORITY, None)];
    }
    asked
}

fn read(answer: &str, most: usize) -> Result<Map<String, Value>, String> {
    if answer.len() > most {
        return Err(format!("it adds more than {} MiB to what was asked; report less at once", MAX_ADDED >> 20));
    }
    match serde_json::from_str(answer) {
        Ok(Value::Object(answer)) => Ok(answer),
        _ => Err("it is no object; a filter on code.analyze returns the one it was given".to_owned()),
    }
}

/// Takes the findings and the score out of one part of an answer.
fn take(part: &Value, into: &mut Analysis) {
    if let Ok(found) = &mut into.outcome {
        collect(part, found);
    }
    into.score = [into.score, given_score(part)].into_iter().flatten().reduce(f64::min);
}

/// Takes over what is new or changed under keys of the plugins' own.
fn merge(answer: Map<String, Value>, asked: &Map<String, Value>, value: &mut Map<String, Value>, into: &mut Analysis) {
    for (key, part) in answer {
        if asked.contains_key(&key) || value.get(&key) == Some(&part) {
            continue;
        }
        take(&part, into);
        value.insert(key, part);
    }
}

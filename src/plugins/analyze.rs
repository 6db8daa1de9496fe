//! Asking every active plugin about a file: the filter `code.analyze`.
//!
//! Invariant: what is asked stays what it was whatever a plugin answers; each plugin answers for itself, in bounded time
//! and size, and one that fails leaves the others' findings alone.
//!
//! The value passes from filter to filter by priority, as the contract says. A plugin of the kind `code_quality` that
//! registers no filter is asked through `analyze_code`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::crew::Worker;
use super::finding::{NewFinding, collect};
use super::host::About;
use super::live::{Ask, Failed, Learned};
use super::{Analysis, CodeFile, Plugins};
use crate::access::OrgId;

const HOOK: &str = "code.analyze";
const METHOD: &str = "analyze_code";
const DEFAULT_PRIORITY: i32 = 10;
/// Failures in a row after which a plugin is turned off.
const MAX_FAILURES: u32 = 5;
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

impl Plugins {
    /// What every active plugin that looks at code says about `file`, which is of a project of `org`.
    pub async fn analyze(&self, org: OrgId, file: CodeFile) -> Vec<Analysis> {
        let (mut answers, steps) = self.plan(org).await;
        if steps.is_empty() {
            return answers;
        }
        let started = Instant::now();
        let CodeFile { project_id, path, language, code } = file;
        let asked = json!({"code": code, "language": language.unwrap_or_default(), "file_path": path,
            "project_id": project_id, "organization_id": org.0});
        let Value::Object(asked) = asked else { return answers };
        let about = About { project: Some(project_id) };
        let mut value = asked.clone();
        for step in steps {
            let answer = &mut answers[step.place];
            let Ok(found) = &mut answer.outcome else { continue };
            let outcome = if started.elapsed() > TIME_LIMIT {
                let seconds = TIME_LIMIT.as_secs();
                Err(format!("It was not asked: the plugins before it took more than {seconds} s for this file."))
            } else {
                self.step(&step, &asked, &mut value, &about, found).await
            };
            if let Err(sentence) = outcome {
                answer.outcome = Err(sentence);
            }
        }
        answers
    }

    /// Who is asked, in the order of priorities, with an empty answer each. Loads what is not loaded.
    async fn plan(&self, org: OrgId) -> (Vec<Analysis>, Vec<Step>) {
        let (mut answers, mut steps) = (Vec::new(), Vec::new());
        for worker in self.at_work(Some(org)).iter() {
            let learned = self.learn(worker).await;
            let place = answers.len();
            let outcome = match learned {
                Ok(learned) => {
                    let asked = questions(&learned);
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
            answers.push(Analysis { plugin: worker.slug().to_owned(), outcome });
        }
        steps.sort_by_key(|step| step.priority);
        (answers, steps)
    }

    async fn step(
        &self,
        step: &Step,
        asked: &Map<String, Value>,
        value: &mut Map<String, Value>,
        about: &About,
        found: &mut Vec<NewFinding>,
    ) -> Result<(), String> {
        let (ask, payload) = match step.hook {
            Some(place) => (Ask::Filter(place, HOOK), Value::Object(value.clone()).to_string()),
            None => (Ask::Method(METHOD), Value::Object(asked.clone()).to_string()),
        };
        let most = payload.len() + MAX_ADDED;
        let answer = self.ask(&step.worker, &ask, &payload, about, |answer| read(answer, most)).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failed) => return Err(self.judge(&step.worker, failed).await),
        };
        step.worker.entry.has_trouble(None);
        match step.hook {
            None => collect(&Value::Object(answer), found),
            Some(_) => merge(answer, asked, value, found),
        }
        Ok(())
    }

    /// Turns a plugin off where it failed too often; the sentence to show.
    async fn judge(&self, worker: &Worker, failed: Failed) -> String {
        if let Some(in_a_row) = failed.in_a_row.filter(|count| *count >= MAX_FAILURES) {
            let slug = worker.slug();
            let sentence = format!(
                "It failed {in_a_row} times in a row and was turned off. Mend it, then enable it again: resoftai plugin enable {slug}. The last failure: {}",
                failed.sentence
            );
            self.give_up(worker, sentence).await;
        }
        failed.sentence
    }
}

/// The callbacks to ask, with their priorities.
fn questions(learned: &Learned) -> Vec<(i32, Option<usize>)> {
    let hooks = learned.hooks.iter().enumerate().filter(|(_, hook)| hook.name == HOOK && hook.kind == "filter");
    let asked: Vec<_> = hooks.map(|(place, hook)| (hook.priority, Some(place))).collect();
    if asked.is_empty() && learned.api == "code_quality" {
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

/// Takes over what is new or changed under keys of the plugins' own.
fn merge(
    answer: Map<String, Value>,
    asked: &Map<String, Value>,
    value: &mut Map<String, Value>,
    found: &mut Vec<NewFinding>,
) {
    for (key, part) in answer {
        if asked.contains_key(&key) || value.get(&key) == Some(&part) {
            continue;
        }
        collect(&part, found);
        value.insert(key, part);
    }
}

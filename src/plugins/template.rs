//! Plugins that bring templates: which there are, and what each hands over.
//!
//! Invariant: what a template hands over is bounded text and nothing more; what it fills in and where it is written is
//! decided above. Nothing is kept here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Plugins;
use super::crew::Worker;
use super::host::About;
use super::live::Ask;
use super::package::Package;
use crate::access::OrgId;
use crate::base::error::{Error, Result};

const API: &str = "template";
/// In a package: the variables of its template.
const FILE: &str = "template.json";
/// The most files of a template.
const MAX_FILES: usize = 1_000;
/// What a template may hand over, in bytes of JSON.
const MAX_ANSWER: usize = 16 << 20;

/// A template as it is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Template {
    /// The slug of the plugin that brings it.
    pub plugin: String,
    pub name: String,
    pub version: String,
    pub description: String,
}

impl Plugins {
    /// The templates on offer in `org`, by slug. Nothing is loaded.
    pub fn templates(&self, org: OrgId) -> Vec<Template> {
        self.at_work(Some(org)).iter().filter(|worker| brings_one(worker)).filter_map(|worker| view(worker)).collect()
    }

    /// A template, and its variables as the plugin tells them: JSON that nobody looked at yet; null when it tells none.
    ///
    /// # Errors
    /// `not_found`; `invalid_template` when its `template.json` is no JSON; `plugin_failed`.
    pub async fn template(&self, org: OrgId, slug: &str) -> Result<(Template, Value)> {
        let worker = self.template_at_work(org, slug)?;
        let template = view(&worker).ok_or_else(|| Error::not_found("template"))?;
        let read = |answer: &str| serde_json::from_str(answer).map_err(|cause| format!("it is no JSON ({cause})"));
        let told: Value = self.ask_template(&worker, "get_template_variables", &About::default(), read).await?;
        let variables = match told {
            Value::Null => package(&worker).map_or(Ok(Value::Null), |package| in_package(slug, package))?,
            told => told,
        };
        Ok((template, variables))
    }

    /// The files of a template by path, variables not filled in; `project` is what they are for, when there is one.
    ///
    /// # Errors
    /// `not_found`; `plugin_failed`.
    pub async fn template_files(
        &self,
        org: OrgId,
        slug: &str,
        project: Option<i64>,
    ) -> Result<BTreeMap<String, String>> {
        let worker = self.template_at_work(org, slug)?;
        let about = project.map_or_else(About::default, About::project);
        self.ask_template(&worker, "get_template_files", &about, files).await
    }

    fn template_at_work(&self, org: OrgId, slug: &str) -> Result<Arc<Worker>> {
        let team = self.at_work(Some(org));
        let worker = team.iter().find(|worker| worker.slug() == slug && brings_one(worker));
        worker.cloned().ok_or_else(|| Error::not_found("template"))
    }

    async fn ask_template<T>(
        &self,
        worker: &Worker,
        method: &str,
        about: &About,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T> {
        let outcome = self.ask(worker, &Ask::Method(method), "{}", about, worker.wall(), read).await;
        match outcome {
            Ok(answer) => {
                worker.entry.has_trouble(None);
                Ok(answer)
            }
            Err(failed) => {
                let (slug, why) = (worker.slug().to_owned(), self.judge(worker, failed).await);
                Err(Error::upstream("plugin_failed", format!("The template {slug} could not be read. {why}")))
            }
        }
    }
}

/// By what it said when it was loaded; before that, by its manifest.
fn brings_one(worker: &Worker) -> bool {
    let by_manifest = || package(worker).is_some_and(|package| package.manifest.category == API);
    worker.registered().map_or_else(by_manifest, |learned| learned.api == API)
}

fn package(worker: &Worker) -> Option<&Package> {
    worker.entry.package.as_deref().ok()
}

fn view(worker: &Worker) -> Option<Template> {
    let manifest = &package(worker)?.manifest;
    let (name, description) = (manifest.name.clone(), manifest.description.clone());
    Some(Template { plugin: manifest.slug.clone(), name, version: manifest.version.to_string(), description })
}

fn in_package(slug: &str, package: &Package) -> Result<Value> {
    let Some(text) = package.content(FILE) else { return Ok(Value::Null) };
    serde_json::from_slice(text).map_err(|cause| {
        let sentence = format!("{FILE} of the plugin {slug} is no JSON: {cause}. Its author must mend it.");
        Error::upstream("invalid_template", sentence)
    })
}

fn files(answer: &str) -> Result<BTreeMap<String, String>, String> {
    if answer.len() > MAX_ANSWER {
        return Err(format!("it is longer than {} MiB", MAX_ANSWER >> 20));
    }
    let files: BTreeMap<String, String> = serde_json::from_str(answer)
        .map_err(|cause| format!("get_template_files() returns texts by path, and it is something else ({cause})"))?;
    match files.len() {
        0 => Err("it has no files".to_owned()),
        count if count > MAX_FILES => Err(format!("it has {count} files; at most {MAX_FILES} are taken")),
        _ => Ok(files),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_texts_by_path() {
        assert_eq!(files(r#"{"a.txt": "x"}"#).unwrap()["a.txt"], "x");
        let many: BTreeMap<String, String> = (0..=MAX_FILES).map(|n| (n.to_string(), String::new())).collect();
        for wrong in ["{}", "null", "[]", r#"{"a": 1}"#, &serde_json::to_string(&many).unwrap()] {
            assert!(files(wrong).is_err(), "{wrong:.40}");
        }
    }
}

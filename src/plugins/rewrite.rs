//! Having plugins propose another text for a file: the filter `code.format`, and the method `fix_code`.
//!
//! Invariant: what comes back is a proposal; nothing is written here. A plugin that fails leaves the text as it was.

use resoftai_sandbox::Kind;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::dispatch::answered;
use super::host::About;
use super::live::Ask;
use super::{CodeFile, Plugins};
use crate::access::OrgId;
use crate::base::error::{Error, Result};
use crate::hooks::{Event, Hook, Pace};

const METHOD: &str = "fix_code";
/// The most a proposal may hold, in bytes.
const MAX_TEXT: usize = 8 << 20;

/// What one plugin did to a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rewrite {
    /// The plugin's slug.
    pub plugin: String,
    pub changed: bool,
    /// Why it did nothing; null: it had its say.
    pub error: Option<String>,
}

/// A text that plugins propose, and who had a part in it.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub code: String,
    pub by: Vec<Rewrite>,
}

impl Plugins {
    /// The text in order, as the plugins' `code.format` filters make it, one after the other.
    pub async fn format(&self, org: OrgId, file: CodeFile) -> Proposal {
        let (hook, before, about) = (Hook::CodeFormat, file.code.clone(), About::project(file.project_id));
        let mut value = file.value(org);
        self.tell(&Event { hook, org: Some(org), payload: value.clone() }).await;
        let (mut by, started) = (Vec::<Rewrite>::new(), Instant::now());
        let Pace::Asked { each, all } = hook.spec().pace else { return Proposal { code: before, by } };
        for callback in self.callbacks(hook, Kind::Filter, Some(org)) {
            let (left, payload) = (all.saturating_sub(started.elapsed()).min(each), Value::Object(value.clone()));
            let read = |answer: &str| answered(hook.spec(), &value, answer);
            let plugin = callback.worker.slug().to_owned();
            match self.call(&callback, hook, &payload.to_string(), &about, left, read).await {
                Ok(after) => {
                    by.push(Rewrite { plugin, changed: after["code"] != value["code"], error: None });
                    value = after;
                }
                Err(sentence) => by.push(Rewrite { plugin, changed: false, error: Some(sentence) }),
            }
        }
        let code = value.get("code").and_then(Value::as_str).map_or(before, str::to_owned);
        Proposal { code, by }
    }

    /// The text as the plugin `slug` would mend it.
    ///
    /// # Errors
    /// `not_found` when no such plugin is at work there; `plugin_cannot_fix`; `plugin_failed` with its words.
    pub async fn fix(&self, org: OrgId, slug: &str, file: CodeFile) -> Result<Proposal> {
        let team = self.at_work(Some(org));
        let worker = team.iter().find(|worker| worker.slug() == slug);
        let worker = worker.ok_or_else(|| Error::not_found("plugin").field("plugin"))?;
        let failed =
            |sentence: String| Error::upstream("plugin_failed", format!("{slug} proposes nothing. {sentence}"));
        let learned = self.learn(worker).await.map_err(|cause| failed(cause.sentence))?;
        if learned.api != "code_quality" {
            let sentence = format!("{slug} is no plugin for code quality, so it mends no files.");
            return Err(Error::invalid("plugin_cannot_fix", sentence).field("plugin"));
        }
        let (before, about) = (file.code.clone(), About::project(file.project_id));
        let payload = Value::Object(file.value(org)).to_string();
        let within = worker.wall();
        let outcome = self.ask(worker, &Ask::Method(METHOD), &payload, &about, within, text).await;
        let code = match outcome {
            Ok(code) => code,
            Err(cause) => return Err(failed(self.judge(worker, cause).await)),
        };
        let by = vec![Rewrite { plugin: slug.to_owned(), changed: code != before, error: None }];
        Ok(Proposal { code, by })
    }
}

/// The text itself, or an object that has it as `code`.
fn text(answer: &str) -> std::result::Result<String, String> {
    let value: Value = serde_json::from_str(answer).map_err(|cause| format!("it is no JSON ({cause})"))?;
    let text = value.as_str().or_else(|| value["code"].as_str());
    match text {
        Some(text) if text.len() > MAX_TEXT => Err(format!("it is longer than {} MiB", MAX_TEXT >> 20)),
        Some(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err("it is no text; fix_code returns the mended code".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fix_code_answers_is_a_text_or_has_one() {
        assert_eq!(text(&json!("a").to_string()), Ok("a".to_owned()));
        assert_eq!(text(&json!({"code": "a", "fixed": 1}).to_string()), Ok("a".to_owned()));
        for wrong in [json!(null), json!({"issues": []}), json!("\u{0}"), json!(5)] {
            assert!(text(&wrong.to_string()).is_err(), "{wrong}");
        }
    }
}

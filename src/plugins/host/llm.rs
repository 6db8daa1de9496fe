//! Questions of plugins to models.
//!
//! Invariant: a model is asked only within the grant: one that is named there, and no more tokens a day than it says. The
//! worst case is taken from the day's share before the question goes out and what was not used is given back; all of it
//! also counts in the organisation's quota, as any call does.

use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::json;

use super::{Meter, PluginHost};
use crate::access::{Caller, OrgId, Permission, PermissionSet};
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Kind, Result as Outcome};
use crate::llm::{ChatRequest, Llm, Message};
use crate::plugins::capabilities::ModelUse;

/// Tokens of an answer unless the plugin says otherwise.
const MAX_TOKENS: u32 = 1024;
const MAX_MESSAGES: usize = 200;

#[derive(Deserialize)]
struct Question {
    messages: Vec<Message>,
    model: Option<String>,
    max_tokens: Option<u32>,
    temperature: Option<f32>,
}

impl PluginHost {
    pub(super) async fn complete(&self, request: &str) -> Result<String, String> {
        let (Some(org), Some(grant)) = (self.org, self.powers().capabilities.llm) else {
            return Err(self.denied("llm", "asking a language model"));
        };
        let Some(llm) = self.doors.llm.get() else {
            return Err("The server is only just starting. Try again.".to_owned());
        };
        let question = read(request)?;
        let caller = Caller::plugin(self.slug(), org, PermissionSet::of(&[Permission::ModelUse]));
        let model = self.model(llm, &caller, org, &grant, question.model.as_deref()).await?;
        let chat = ChatRequest {
            messages: question.messages,
            max_tokens: question.max_tokens.unwrap_or(MAX_TOKENS).max(1),
            temperature: question.temperature.unwrap_or(0.2).clamp(0.0, 2.0),
            schema: None,
        };
        let prompt = llm.count_tokens(org, &model, &chat.messages).await.map_err(|error| error.to_string())?;
        let worst = prompt.tokens.saturating_add(chat.max_tokens.into());
        let about = self.about();
        if let Some(left) = about.meter.as_ref().map(Meter::left).filter(|left| *left < worst) {
            return Err(format!("The run has {left} tokens left for this turn, and up to {worst} are needed."));
        }
        self.take(worst, grant.tokens_per_day).await?;
        let answer = llm.complete(&caller, org, about.project, &model, chat, None).await;
        let used = answer.as_ref().map_or(0, |answer| answer.prompt_tokens + answer.completion_tokens);
        if let Some(meter) = about.meter {
            meter.used.fetch_add(used, Ordering::AcqRel);
        }
        self.give_back(worst.saturating_sub(used)).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let usage = json!({"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens,
            "total_tokens": used});
        Ok(json!({"content": answer.text, "model": model, "usage": usage}).to_string())
    }

    /// The model named, else the first granted, else the organisation's first.
    async fn model(
        &self,
        llm: &Llm,
        caller: &Caller,
        org: OrgId,
        grant: &ModelUse,
        named: Option<&str>,
    ) -> Result<String, String> {
        let any = grant.models.iter().any(|model| model == "*");
        let wanted = named.or_else(|| grant.models.first().map(String::as_str).filter(|_| !any));
        let model = llm.model(caller, org, wanted).await.map_err(|error| error.to_string())?.id;
        let granted = |model: &str| grant.models.iter().any(|granted| granted == model);
        if any || granted(&model) || named.is_some_and(granted) {
            return Ok(model);
        }
        Err(self.denied("llm", &format!("the model {model}")))
    }

    /// Where the tokens of today are counted.
    fn day(&self) -> (String, Vec<u8>, Time) {
        let now = self.doors.clock.now();
        let org = self.org.map_or(0, |org| org.0);
        let day = now.0.div_euclid(DAY);
        (format!("plugin-tokens/{}/{org}", self.slug()), day.to_be_bytes().to_vec(), now.plus(2 * DAY))
    }

    async fn take(&self, tokens: u64, most: u64) -> Result<(), String> {
        let (namespace, day, expires) = self.day();
        let taken = self.doors.kv.update(&namespace, move |view| {
            let used = count(view.get(&day)?);
            if used.saturating_add(tokens) > most {
                let sentence = format!("{used} of {most} tokens of the day are used; up to {tokens} more are needed.");
                return Err(Error::new(Kind::Limited, "plugin_tokens", sentence));
            }
            view.put(&day, &(used + tokens).to_be_bytes(), Some(expires))
        });
        taken.await.map_err(|error| match error.code() {
            "plugin_tokens" => format!("{} {error}", self.denied("llm", "more of the day's tokens")),
            _ => error.to_string(),
        })
    }

    async fn give_back(&self, tokens: u64) {
        let (namespace, day, expires) = self.day();
        let given: Outcome<()> = self
            .doors
            .kv
            .update(&namespace, move |view| {
                let used = count(view.get(&day)?);
                view.put(&day, &used.saturating_sub(tokens).to_be_bytes(), Some(expires))
            })
            .await;
        if let Err(error) = given {
            tracing::warn!(plugin = self.slug(), %error, "tokens that were not used could not be given back");
        }
    }
}

fn count(kept: Option<Vec<u8>>) -> u64 {
    kept.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn read(request: &str) -> Result<Question, String> {
    let question: Question =
        serde_json::from_str(request).map_err(|cause| format!("The question to the model cannot be read: {cause}."))?;
    let roles = question.messages.iter().all(|one| matches!(one.role.as_str(), "system" | "user" | "assistant"));
    if roles && (1..=MAX_MESSAGES).contains(&question.messages.len()) {
        return Ok(question);
    }
    Err(format!("Ask with 1 to {MAX_MESSAGES} messages of the roles system, user and assistant."))
}

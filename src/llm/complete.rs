//! Completions for agents: the same calls, metered and checked the same, with the text taken apart.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::Sender;

use super::believe::Flaw;
use super::catalogue::Route;
use super::gateway::unanswered;
use super::request::ChatBody;
use super::sse::{self, Splitter};
use super::tally::{End, Purpose, Tally};
use super::upstream::{Limits, Reply, TOTAL_LIMIT};
use super::{ChatRequest, Completion, Llm, context, may_use, truncated, upstream};
use crate::access::{Caller, OrgId};
use crate::base::error::{Error, Result};

/// The longest text of an answer, in bytes.
const MAX_TEXT: usize = 8 * 1024 * 1024;

impl Llm {
    /// Asks `model` to continue a conversation, for a project's run. Pieces of text go to `deltas` as they come; what does
    /// not fit into that channel is not waited for.
    ///
    /// # Errors
    /// `not_found`, `model_not_found`, `model_of_plugin`, `context_length_exceeded`, `quota_exceeded`, and the server's failures, among them
    /// `upstream_cut`, `upstream_timeout` and `context_truncated`. What a failed call used is settled.
    pub async fn complete(
        &self,
        caller: &Caller,
        org: OrgId,
        project: Option<i64>,
        model: &str,
        mut request: ChatRequest,
        deltas: Option<Sender<String>>,
    ) -> Result<Completion> {
        may_use(caller, org)?;
        let route = self.route(org, Some(model)).await?;
        if caller.is_plugin() && route.provider.is_source() {
            let sentence = format!("{} is a plugin's. Plugins ask models of servers only.", route.id);
            return Err(Error::invalid("model_of_plugin", sentence).field("model"));
        }
        let source = if caller.is_plugin() { "plugin" } else { "run" };
        let purpose = || Purpose { caller: Arc::new(caller.clone()), org, project, model: route.id.clone(), source };
        let structured = request.schema.is_some() && route.provider.structured();
        let (told, provider) = (purpose(), &route.provider.name);
        self.agents_prompt(&told, &route, &mut request).await;
        // Nobody sees words that plugins may still change.
        let deltas = deltas.filter(|_| !self.holds(&told));
        let completion = match self.ask(&route, purpose(), &request, structured, deltas.as_ref()).await {
            Err(error) if structured && error.code() == "upstream_refused" => {
                // Older servers know no schemas; the caller checks the answer in any case.
                tracing::warn!(
                    provider = route.provider.name,
                    ?error,
                    "a model server refused a schema and is asked without"
                );
                let completion = self.ask(&route, purpose(), &request, false, deltas.as_ref()).await?;
                route.provider.refuses_schemas();
                completion
            }
            result => result?,
        };
        Ok(self.agents_answer(&told, provider, completion).await)
    }

    async fn ask(
        &self,
        route: &Route,
        purpose: Purpose,
        request: &ChatRequest,
        structured: bool,
        deltas: Option<&Sender<String>>,
    ) -> Result<Completion> {
        let body = body(route, request, structured);
        let plan = context::plan(route, &ChatBody::read(&body)?, &body).await?;
        let reservation = self.inner.quotas.reserve(&purpose.owner(), purpose.project, plan.bound.total()).await?;
        let hooks = self.inner.hooks.clone();
        let mut tally = Tally::new(reservation, purpose, route.provider.clone(), plan.bound, hooks);
        let reply = match upstream::chat(&route.provider, body, route.provider.patience).await {
            Ok(reply) => reply,
            Err(error) => return Err(unanswered(&mut tally, error)),
        };
        let mut reading = Reading::default();
        if let Err(error) = reading.read(&mut tally, reply, deltas).await {
            tally.close(End::Failed(error.code()));
            return Err(error);
        }
        let (reservation, verdict) = tally.hand_over();
        if verdict.flaw == Some(Flaw::Truncated) {
            return Err(truncated(&route.provider));
        }
        Ok(Completion {
            text: reading.text,
            finish_reason: reading.finish_reason.unwrap_or_else(|| "stop".to_owned()),
            prompt_tokens: verdict.prompt,
            completion_tokens: verdict.completion,
            reservation,
        })
    }
}

fn body(route: &Route, request: &ChatRequest, structured: bool) -> Bytes {
    let mut body = json!({
        "model": route.model,
        "messages": request.messages,
        "max_tokens": request.max_tokens.max(1),
        "temperature": request.temperature,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if structured && let Some(schema) = &request.schema {
        let schema = json!({"name": "answer", "strict": true, "schema": schema});
        body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
    }
    body.to_string().into()
}

/// A streamed answer as it is read.
#[derive(Default)]
struct Reading {
    text: String,
    finish_reason: Option<String>,
    /// What the server said in an error frame.
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

impl Reading {
    /// What was seen stays with `tally`, for nobody may wait for the end.
    async fn read(&mut self, tally: &mut Tally, reply: Reply, deltas: Option<&Sender<String>>) -> Result<()> {
        let Tally { provider, watch, .. } = tally;
        let (mut upstream, mut splitter) = (reply.into_body(), Splitter::default());
        let limits = Limits::new(provider, TOTAL_LIMIT);
        while !watch.done {
            let Some(data) = limits.next(provider, &mut upstream).await? else { break };
            let fed = splitter.feed(data, |frame| {
                watch.see(frame);
                self.take(frame, deltas);
                false
            });
            if fed.is_err() || self.text.len() > MAX_TEXT {
                let sentence = format!("The model server {} sent more text than is taken.", provider.name);
                return Err(Error::upstream("upstream_too_large", sentence));
            }
        }
        if let Some(words) = &self.refusal {
            let sentence = format!("The model server {} failed in the middle of its answer: {words}.", provider.name);
            return Err(upstream::explain(provider, Error::upstream("upstream_failed", sentence)));
        }
        if watch.is_complete() { Ok(()) } else { Err(upstream::broke_off(provider)) }
    }

    fn take(&mut self, frame: &[u8], deltas: Option<&Sender<String>>) {
        let Some(data) = sse::data(frame) else { return };
        let Ok(chunk) = serde_json::from_slice::<Chunk>(&data) else { return };
        if let Some(error) = chunk.error {
            let words = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
            self.refusal = Some(words.trim_end_matches('.').chars().take(500).collect());
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return };
        if let Some(content) = choice.delta.and_then(|delta| delta.content).filter(|content| !content.is_empty()) {
            self.text.push_str(&content);
            if let Some(deltas) = deltas {
                // Live text may be lost; the answer is not.
                drop(deltas.try_send(content));
            }
        }
        self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
    }
}

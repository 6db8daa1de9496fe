//! Models: those of the built-in engine and of the site's model servers, for people's tools and for agents.
//!
//! Invariant: every call is metered: the worst case is reserved before a byte goes out, and what was used is settled
//! whatever happens after. No prompt is cut silently: what does not fit is refused with numbers, and a server that
//! dropped part of a prompt is caught by its own count. Keys of servers are sealed at rest and never shown.
//! Running a model is the business of the engine, a process of its own (`engine/`).

mod believe;
mod builtin;
mod catalogue;
mod complete;
mod context;
mod gateway;
mod launch;
mod relay;
mod request;
mod routes;
mod source;
mod sse;
mod store;
mod tally;
mod telling;
mod upstream;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Caller, OrgId, Permission};
use crate::base::clock::Clock;
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::Db;
use crate::hooks::Hooks;
use crate::net::Client;
use crate::orgs;
use crate::quotas::Quotas;
use catalogue::{Catalogue, Provider, Route, Slugs};
pub use source::{Answered, Fault, Offer, Question, Served, Source, Sources};
pub use tally::Owed;
pub use upstream::TOTAL_LIMIT as ANSWER_LIMIT;

/// The engine's executable, zstd-compressed, for two kinds of processor. Empty slices: this build has no engine.
#[derive(Clone, Copy)]
pub struct EngineParts {
    /// Any x86-64.
    pub baseline: &'static [u8],
    /// With AVX2, FMA, BMI2 and F16C.
    pub v3: &'static [u8],
}

/// A model server that the configuration names.
#[derive(Debug, Clone)]
pub struct SiteProvider {
    pub base_url: String,
    pub api_key: Option<String>,
    /// Empty: whatever the server lists.
    pub models: Vec<String>,
    /// Most tokens of prompt and answer together, over what the server tells.
    pub context_length: Option<u32>,
}

/// What the room is built from.
pub struct Options {
    pub data_dir: PathBuf,
    /// The GGUF file of the built-in engine; when None, the only one in `data_dir/models`.
    pub model_path: Option<PathBuf>,
    pub engine: EngineParts,
    /// Threads of the engine; at least 1.
    pub threads: usize,
    /// Most tokens of prompt and answer together for the engine.
    pub context: u32,
    pub site_provider: Option<SiteProvider>,
    /// How long a server other than the built-in one may be silent before a call is given up.
    pub patience: Duration,
    pub hooks: Hooks,
}

/// The room of models.
#[derive(Clone)]
pub struct Llm {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    quotas: Quotas,
    clock: Clock,
    key: Key,
    client: Client,
    hooks: Hooks,
    catalogue: Catalogue,
    slugs: Slugs,
}

/// One message of a conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
}

/// A conversation to be continued.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    pub messages: Vec<Message>,
    /// Most tokens of the answer; at least 1.
    pub max_tokens: u32,
    /// 0 to 2.
    pub temperature: f32,
    /// A JSON Schema the answer must follow, where the model can be held to one.
    pub schema: Option<serde_json::Value>,
}

/// A model's answer. Settle the reservation with `prompt_tokens + completion_tokens` in the transaction that keeps the
/// text; dropped unsettled, it counts by itself.
pub struct Completion {
    pub text: String,
    /// `stop`, `length` or what else the server said.
    pub finish_reason: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub reservation: Owed,
}

/// A model as an agent plans with it.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    pub id: String,
    /// Tokens of prompt and answer together; a careful assumption where the server does not tell.
    pub context_length: u32,
    /// Whether answers can be held to a JSON Schema.
    pub structured: bool,
}

/// How many tokens some messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub tokens: u64,
    /// Counted by the model's own tokenizer; else a careful upper estimate.
    pub exact: bool,
}

/// What servers that tell no context length are assumed to have.
const ASSUMED_CONTEXT: u32 = 8192;

/// Whether a model answers now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ready,
    Starting,
    Unreachable,
    Unknown,
}

impl Llm {
    /// Reads the configured model servers and watches for changes by other servers of the same site.
    ///
    /// # Errors
    /// When the database fails or the configured address is none.
    pub async fn start(
        options: Options,
        db: Db,
        quotas: Quotas,
        clock: Clock,
        tasks: Tasks,
        key: Key,
        client: Client,
    ) -> Result<Self> {
        let catalogue = Catalogue::new(&options, &client, &tasks)?;
        let (hooks, slugs) = (options.hooks, Slugs::default());
        let llm = Self { inner: Arc::new(Inner { db, quotas, clock, key, client, hooks, catalogue, slugs }) };
        llm.reload().await?;
        let watcher = llm.clone();
        tasks.spawn_until_stop(async move { watcher.keep_current().await });
        Ok(llm)
    }

    /// The model `name`, or the first the caller may use in `org` when None.
    ///
    /// # Errors
    /// `not_found` when the caller may use none in `org`, `model_not_found`, `no_model`.
    pub async fn model(&self, caller: &Caller, org: OrgId, name: Option<&str>) -> Result<ModelInfo> {
        may_use(caller, org)?;
        let route = self.route(org, name).await?;
        if let Some(builtin) = &route.provider.builtin
            && let Err(error) = builtin.ready().await
        {
            // Its configured context stands in for the real one; the call itself will say what is wrong.
            tracing::debug!(?error, "the built-in model is planned with before it answers");
        }
        Ok(ModelInfo {
            context_length: route.context().unwrap_or(ASSUMED_CONTEXT),
            structured: route.provider.structured(),
            id: route.id,
        })
    }

    /// How many tokens `messages` are for a model that organisation `org` has; the template included.
    ///
    /// # Errors
    /// `model_not_found`.
    pub async fn count_tokens(&self, org: OrgId, model: &str, messages: &[Message]) -> Result<Count> {
        let route = self.route(org, Some(model)).await?;
        let messages = serde_json::value::to_raw_value(messages).map_err(Error::internal)?;
        Ok(context::count(&route, &messages).await)
    }

    /// Whether some model answers now, as far as is known without asking: of a server, or of a plugin.
    pub fn is_ready(&self) -> bool {
        let providers = self.inner.catalogue.visible(|_| true);
        providers.iter().any(|provider| match provider.status().0 {
            Status::Ready => true,
            // A server that nobody asked yet, whose models an administrator listed.
            Status::Unknown => !provider.models().is_empty(),
            Status::Starting | Status::Unreachable => false,
        }) || self.inner.catalogue.a_source_is_ready()
    }

    /// Where the model `name` is; without a name, the one the organisation has set, else the first.
    async fn route(&self, org: OrgId, name: Option<&str>) -> Result<Route> {
        if name.is_some() {
            return self.inner.catalogue.route(org, name).await;
        }
        let set = self.inner.db.read(move |tx| orgs::settings::of(tx, org)).await?.default_model;
        self.inner.catalogue.route(org, set.as_deref()).await
    }
}

/// # Errors
/// `not_found` when `caller` is not in `org`, `forbidden` when no role there lets them use models.
fn may_use(caller: &Caller, org: OrgId) -> Result<()> {
    let grants = &caller.grants;
    let here = grants.orgs.binary_search_by_key(&org, |entry| entry.0).ok().map(|at| grants.orgs[at].1);
    if grants.site.has(Permission::ModelUse) || here.is_some_and(|set| set.has(Permission::ModelUse)) {
        return Ok(());
    }
    if let Some(closed) = grants.why_closed(org) {
        return Err(closed);
    }
    // One's own organisation is no secret.
    Err(here.map_or_else(
        || Error::not_found("such organization"),
        |_| {
            Error::forbidden(
                "forbidden",
                "This needs the permission model.use in that organisation. An administrator can grant a role that has it.",
            )
        },
    ))
}

/// A server used less of a prompt than it was sent.
fn truncated(provider: &Provider) -> Error {
    let sentence = format!(
        "The model server {} cut the prompt without saying so, so its answer is not one to all of it. Raise the server's context, or set context_length to what it really has.",
        provider.name
    );
    Error::upstream("context_truncated", sentence)
}

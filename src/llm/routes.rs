//! Models and model servers over HTTP: what may be used, and what administrators set up.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::catalogue::{BUILTIN, Catalogue, SITE, authorization, may_be_anybodys};
use super::store::ProviderRow;
use super::{Llm, Status, catalogue, gateway, store, upstream};
use crate::access::actions::{ModelManage, ModelUse};
use crate::access::{OrgId, Permit};
use crate::accounts::Accounts;
use crate::audit::{self, AuditAction, Event};
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};
use crate::base::page::{List, Page, PageQuery};
use crate::db::Tx;
use crate::net::Target;
use crate::web::{Created, Json, Path, Problem, Query};

const MAX_NAME: usize = 50;
const MAX_URL: usize = 500;
const MAX_KEY: usize = 4096;
const MAX_MODELS: usize = 100;
/// Context lengths that a model may have, in tokens.
const CONTEXTS: std::ops::RangeInclusive<u32> = 256..=16_777_216;

/// A model somebody may use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model {
    /// What requests call it.
    id: String,
    /// The name of its server.
    provider: String,
    /// Tokens of prompt and answer together; null where its server does not tell.
    context_length: Option<u32>,
    status: Status,
    /// Why it does not answer, where it does not.
    detail: Option<String>,
}

/// What kind of server it is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProviderKind {
    /// The engine this program carries.
    Builtin,
    /// A server that speaks OpenAI's API.
    Openai,
}

/// A server of models as administrators see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Provider {
    /// Null for the built-in one and for that of the configuration.
    id: Option<i64>,
    name: String,
    kind: ProviderKind,
    base_url: Option<String>,
    /// Null: for every organisation of the site.
    organization_id: Option<i64>,
    /// The key itself is never shown.
    has_api_key: bool,
    /// Those it is known to have.
    models: Vec<String>,
    context_length: Option<u32>,
}

/// A server to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProvider {
    /// Unique in the organisation, or among the site's own: 1 to 50 of a-z A-Z 0-9 . - _
    name: String,
    /// Where its API begins, such as http://gpu1:8000/v1.
    base_url: String,
    /// Only these of its models; absent or empty: all it lists.
    #[serde(default)]
    models: Vec<String>,
    /// Tokens of prompt and answer together, where the server does not tell or tells wrong.
    context_length: Option<u32>,
    /// Absent or null: for every organisation of the site.
    organization_id: Option<i64>,
    /// Sent to the server as a bearer token; kept sealed.
    api_key: Option<String>,
}

impl Llm {
    pub fn routes(self, accounts: Accounts) -> OpenApiRouter {
        let gateway = gateway::Gateway { llm: self.clone(), accounts };
        OpenApiRouter::new()
            .routes(routes!(models))
            .routes(routes!(providers, add_provider))
            .routes(routes!(remove_provider))
            .routes(routes!(gateway::models))
            .with_state(self)
            .merge(OpenApiRouter::new().routes(routes!(gateway::chat)).with_state(gateway))
    }

    fn place(id: i64) -> String {
        format!("llm_providers.api_key.{id}")
    }

    /// The API keys of all model servers, so that they can be kept out of what leaves the site. `key` is the site's master key.
    ///
    /// # Errors
    /// When the database fails; `unsealed` when another site sealed one.
    pub fn keys_of_servers(tx: &mut Tx<'_>, key: &Key) -> Result<Vec<String>> {
        let sealed = store::all(tx)?.into_iter().filter_map(|row| Some((row.id, row.api_key_sealed?)));
        sealed
            .map(|(id, sealed)| String::from_utf8(key.open(&Self::place(id), &sealed)?).map_err(Error::internal))
            .collect()
    }

    /// The API key of row `id`.
    ///
    /// # Errors
    /// `unsealed` when it was sealed by another site.
    pub(super) fn open_key(&self, id: i64, sealed: &[u8]) -> Result<String> {
        let plain = self.inner.key.open(&Self::place(id), sealed)?;
        String::from_utf8(plain).map_err(Error::internal)
    }
}

/// The models you may use, in all your organisations together.
#[utoipa::path(get, path = "/api/models", tag = "models",
    responses((status = 200, body = List<Model>), (status = "default", response = Problem)))]
async fn models(State(llm): State<Llm>, permit: Permit<ModelUse>) -> Result<Json<List<Model>>> {
    let visible = llm.visible_to(permit.caller_arc())?;
    Catalogue::refresh(&visible).await;
    let offers = Catalogue::offers(&visible).into_iter();
    let items = offers.map(|(provider, name, id)| {
        let (status, detail) = provider.status();
        let context_length = provider.context_of(&name);
        Model { id, provider: provider.name.clone(), context_length, status, detail }
    });
    let items = items.collect();
    Ok(Json(List { items, next_cursor: None }))
}

/// The model servers you manage; the built-in one and that of the configuration for administrators of the site.
#[utoipa::path(get, path = "/api/llm/providers", tag = "models", params(PageQuery),
    responses((status = 200, body = List<Provider>), (status = "default", response = Problem)))]
async fn providers(
    State(llm): State<Llm>,
    permit: Permit<ModelManage>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Provider>>> {
    let page = query.check()?;
    let mut fixed = Vec::new();
    if query.cursor.is_none() && permit.require_site().is_ok() {
        fixed.extend(llm.inner.catalogue.fixed().iter().map(|provider| of_site(provider)));
    }
    // The first page holds those of the configuration besides.
    let taken = u32::try_from(fixed.len()).unwrap_or(0);
    let page = Page { limit: page.limit.saturating_sub(taken).max(1), ..page };
    let rows = llm.inner.db.read(move |tx| store::list(tx, &permit, page)).await?;
    let List { items, next_cursor } = page.list(rows, |row| row.id);
    fixed.extend(items.iter().map(of_row));
    Ok(Json(List { items: fixed, next_cursor }))
}

/// Add a model server.
#[utoipa::path(post, path = "/api/llm/providers", tag = "models", request_body = NewProvider,
    responses((status = 201, body = Provider), (status = "default", response = Problem)))]
async fn add_provider(
    State(llm): State<Llm>,
    permit: Permit<ModelManage>,
    Json(new): Json<NewProvider>,
) -> Result<Created<Provider>> {
    new.check(&permit)?;
    let (key, now) = (llm.inner.key.clone(), llm.inner.clock.now());
    let added = llm.inner.db.write(move |tx| {
        let id = tx.next_id()?;
        let sealed = new.api_key.as_ref().map(|plain| key.seal(&Llm::place(id), plain.as_bytes())).transpose()?;
        let row = ProviderRow {
            id,
            organization_id: new.organization_id,
            name: new.name.clone(),
            base_url: new.base_url.clone(),
            api_key_sealed: sealed,
            models: new.models.clone(),
            context_length: new.context_length,
            created_at: now,
            updated_at: now,
        };
        store::insert(tx, &permit, &row)?;
        let shown = of_row(&row);
        let event = Event::new(AuditAction::Create, "model_server", format!("Added model server {}", row.name));
        audit::record(tx, now, permit.caller(), &about(event, &row).after(&shown))?;
        Ok(shown)
    });
    let added = added.await?;
    llm.reload().await?;
    Ok(Created(added))
}

/// Remove a model server. Calls under way end as they would.
#[utoipa::path(delete, path = "/api/llm/providers/{id}", tag = "models", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn remove_provider(
    State(llm): State<Llm>,
    permit: Permit<ModelManage>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let now = llm.inner.clock.now();
    let removed = llm.inner.db.write(move |tx| {
        let row = store::get(tx, &permit, id)?;
        store::delete(tx, &permit, id)?;
        let event = Event::new(AuditAction::Delete, "model_server", format!("Removed model server {}", row.name));
        audit::record(tx, now, permit.caller(), &about(event, &row).before(&of_row(&row)))
    });
    removed.await?;
    llm.reload().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn about(event: Event, row: &ProviderRow) -> Event {
    let event = event.id(row.id);
    match row.organization_id {
        Some(org) => event.org(OrgId(org)),
        None => event,
    }
}

fn of_row(row: &ProviderRow) -> Provider {
    Provider {
        id: Some(row.id),
        name: row.name.clone(),
        kind: ProviderKind::Openai,
        base_url: Some(row.base_url.clone()),
        organization_id: row.organization_id,
        has_api_key: row.api_key_sealed.is_some(),
        models: row.models.clone(),
        context_length: row.context_length,
    }
}

fn of_site(provider: &catalogue::Provider) -> Provider {
    let (builtin, server) = (provider.builtin.is_some(), provider.server());
    Provider {
        id: None,
        name: provider.name.clone(),
        kind: if builtin { ProviderKind::Builtin } else { ProviderKind::Openai },
        base_url: server.filter(|_| !builtin).map(|server| server.endpoint.target().to_string()),
        organization_id: None,
        has_api_key: server.is_some_and(|server| server.headers.contains_key(hyper::header::AUTHORIZATION)),
        models: provider.models(),
        context_length: provider.models().first().and_then(|model| provider.context_of(model)),
    }
}

impl NewProvider {
    /// # Errors
    /// Naming the field and the rule.
    fn check(&self, permit: &Permit<ModelManage>) -> Result<()> {
        let invalid = |code, field: &str, rule: String| Err(Error::invalid(code, rule).field(field));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.chars().all(plain) {
            let rule = format!("A model server's name has 1 to {MAX_NAME} of the characters a-z A-Z 0-9 . - _");
            return invalid("invalid_name", "name", rule);
        }
        if [BUILTIN, SITE].contains(&self.name.as_str()) {
            let rule =
                format!("{} is what another model server of this site is called. Choose another name.", self.name);
            return Err(Error::conflict("name_taken", rule).field("name"));
        }
        if self.base_url.len() > MAX_URL {
            return invalid("invalid_url", "base_url", format!("base_url is longer than {MAX_URL} bytes."));
        }
        let target = Target::parse(&self.base_url)?;
        if permit.require_site().is_err() && !may_be_anybodys(&target) {
            let rule = "Only administrators of the site may name a server on this machine itself. Give the server's address in the network.";
            return invalid("invalid_url", "base_url", rule.to_owned());
        }
        if self.models.len() > MAX_MODELS || !self.models.iter().all(|model| upstream::is_name(model)) {
            let rule = format!("models holds at most {MAX_MODELS} names of 1 to 200 bytes without control characters.");
            return invalid("invalid_models", "models", rule);
        }
        if self.context_length.is_some_and(|context| !CONTEXTS.contains(&context)) {
            let rule = format!("context_length is from {} to {} tokens.", CONTEXTS.start(), CONTEXTS.end());
            return invalid("invalid_context_length", "context_length", rule);
        }
        match &self.api_key {
            Some(key) if key.is_empty() || key.len() > MAX_KEY => {
                let rule = format!("api_key has 1 to {MAX_KEY} bytes; leave it out where the server wants none.");
                invalid("invalid_api_key", "api_key", rule)
            }
            Some(key) => authorization(key).map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn organisations_name_no_server_of_the_machine_itself() {
        for (url, allowed) in [
            ("http://gpu1:8000/v1", true),
            ("https://10.0.0.7/v1", true),
            ("unix:/run/other.sock", false),
            ("http://localhost:1/v1", false),
            ("http://LOCALHOST:1/v1", false),
            ("http://127.0.0.1/v1", false),
            ("http://127.8.8.8/v1", false),
            ("http://[::1]/v1", false),
            ("http://[::ffff:127.0.0.1]/v1", false),
            ("http://0.0.0.0/v1", false),
            ("http://169.254.169.254/v1", false),
        ] {
            assert_eq!(may_be_anybodys(&Target::parse(url).unwrap()), allowed, "{url}");
        }
    }
}

//! The OpenAI-compatible door: `/v1/models` and `/v1/chat/completions`.
//!
//! This is the hot path: no database, no parsing beyond a few members, no copy of what need not change.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::believe::Flaw;
use super::catalogue::{Catalogue, Provider};
use super::relay::{Ended, Relay};
use super::request::{ChatBody, Edits, MAX_BODY};
use super::tally::{End, Purpose, Tally};
use super::upstream::TOTAL_LIMIT;
use super::{Llm, context, may_use, truncated, upstream, watch};
use crate::access::{Caller, OrgId, Permission};
use crate::accounts::Accounts;
use crate::base::error::{Error, Result};
use crate::orgs;
use crate::web::extract::read_body;
use crate::web::{Json, SignedIn};

/// Which organisation pays, by id or slug.
const ORGANIZATION: &str = "x-organization-id";
/// How many times longer a plain answer may take to begin, and then to arrive, than the silence in a streamed one.
const PLAIN: u32 = 5;
/// Organisations of a caller whose models are listed together.
const MAX_ORGS: usize = 1000;

/// What a chat needs: the models, and word of the end of whoever asked.
#[derive(Clone)]
pub(super) struct Gateway {
    pub llm: Llm,
    pub accounts: Accounts,
}

/// The list of models in OpenAI's shape.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct V1Models {
    object: &'static str,
    data: Vec<V1Model>,
}

#[derive(Debug, Serialize, ToSchema)]
struct V1Model {
    id: String,
    object: &'static str,
    /// Seconds since 1970; 0, for servers do not tell.
    created: i64,
    owned_by: String,
}

/// The models you may use, in OpenAI's shape.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses((status = 200, body = V1Models)))]
pub(super) async fn models(State(llm): State<Llm>, SignedIn(caller): SignedIn) -> Result<Json<V1Models>> {
    let visible = llm.visible_to(&caller)?;
    Catalogue::refresh(&visible).await;
    let shown = |(provider, _, id): (&Arc<Provider>, _, _)| {
        let owned_by = provider.name.clone();
        V1Model { id, object: "model", created: 0, owned_by }
    };
    let data = Catalogue::offers(&visible).into_iter().map(shown).collect();
    Ok(Json(V1Models { object: "list", data }))
}

/// A chat completion, whole or streamed, as OpenAI describes it. Metered against your organisation's quota; with several
/// organisations, name one in the header `X-Organization-Id`.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "models", request_body = Object,
    params(("x-organization-id" = Option<String>, Header, description = "Id or slug of the organisation that pays")),
    responses((status = 200, body = Object)))]
pub(super) async fn chat(
    State(Gateway { llm, accounts }): State<Gateway>,
    SignedIn(caller): SignedIn,
    request: Request,
) -> Result<Response> {
    let org = llm.payer(&caller, request.headers()).await?;
    let body = read_body(request, MAX_BODY).await?;
    let chat = ChatBody::read(&body)?;
    let route = llm.route(org, chat.model.as_deref()).await?;
    let purpose = Purpose { caller, org, project: None, model: route.id.clone(), source: "gateway" };
    let messages = || serde_json::from_str(chat.messages().get()).unwrap_or_default();
    let changed = llm.ask_plugins(&purpose, &route.provider.name, messages).await;
    let changed = changed.map(|messages| chat.with_messages(&messages));
    let (body, chat) = match &changed {
        Some(changed) => (changed, ChatBody::read(changed)?),
        None => (&body, chat),
    };
    let plan = context::plan(&route, &chat, body).await?;
    let edits = Edits {
        model: (chat.model.as_deref() != Some(route.model.as_str())).then_some(route.model.as_str()),
        max_tokens: chat.max_tokens.is_none().then_some(plan.max_tokens),
        include_usage: chat.stream && !chat.include_usage,
    };
    let edited = chat.edited(&edits);
    let reservation = llm.inner.quotas.reserve(&purpose.owner(), None, plan.bound.total()).await?;
    let watched = accounts.watch(purpose.caller.clone());
    let mut ended: Ended = Box::pin(watched.ended(move |caller| may_use(caller, org)));
    let held = llm.holds(&purpose).then(|| purpose.clone());
    let hooks = llm.inner.hooks.clone();
    let mut tally = Tally::new(reservation, purpose, route.provider.clone(), plan.bound, hooks);
    // A plain answer comes when all of it is there.
    let whole = (route.provider.patience * PLAIN).min(TOTAL_LIMIT);
    let patience = if chat.stream { route.provider.patience } else { whole };
    let reply = tokio::select! {
        biased;
        reply = upstream::chat(&route.provider, edited, patience) => match reply {
            Ok(reply) => reply,
            Err(error) => return Err(unanswered(&mut tally, error)),
        },
        // The server may be working on it.
        why = &mut ended => return Err(failed(&mut tally, why)),
    };
    if is_stream(reply.headers()) {
        let relay = Relay::new(reply.into_body(), tally, !chat.include_usage, ended);
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        let body = match held {
            None => Body::new(relay),
            Some(purpose) => llm.held(&purpose, &route.provider.name, relay).await?.into(),
        };
        return Ok((headers, body).into_response());
    }
    let body = tokio::select! {
        biased;
        body = upstream::read(&route.provider, reply, whole) => body.map_err(|error| failed(&mut tally, error))?,
        why = ended => return Err(failed(&mut tally, why)),
    };
    let Some((usage, bytes)) = watch::whole(&body) else {
        return Err(failed(&mut tally, upstream::no_answer(&route.provider, &body)));
    };
    (tally.watch.usage, tally.watch.bytes) = (usage, bytes);
    if tally.close(End::Complete) == Some(Flaw::Truncated) {
        return Err(truncated(&route.provider));
    }
    let body = match held {
        None => body,
        Some(purpose) => llm.whole(&purpose, &route.provider.name, body).await,
    };
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// A call without an answer: only one that the server may be working on is counted.
pub(super) fn unanswered(tally: &mut Tally, error: Error) -> Error {
    if error.code() == "upstream_timeout" {
        tally.close(End::Failed(error.code()));
    } else {
        tally.untaken(error.code());
    }
    error
}

/// A call that ended early is counted as far as it came.
fn failed(tally: &mut Tally, error: Error) -> Error {
    tally.close(End::Failed(error.code()));
    error
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

impl Llm {
    /// The organisation a call is counted for: the one the header names, else the caller's only one.
    async fn payer(&self, caller: &Caller, headers: &HeaderMap) -> Result<OrgId> {
        let invalid = |sentence: &str| Error::invalid("organization_required", sentence).field("X-Organization-Id");
        let Some(named) = headers.get(ORGANIZATION) else {
            let mut own = caller.grants.orgs.iter().filter(|(_, set)| set.has(Permission::ModelUse));
            return match (own.next(), own.next()) {
                (Some((org, _)), None) => Ok(*org),
                (None, _) if !caller.grants.site.has(Permission::ModelUse) => Err(caller.grants.why_not(Permission::ModelUse).unwrap_or_else(|| Error::forbidden(
                    "forbidden",
                    "This needs the permission model.use in an organisation. An administrator can grant a role that has it.",
                ))),
                _ => Err(invalid(
                    "Name the organisation this call is counted for in the header X-Organization-Id, by id or slug.",
                )),
            };
        };
        let named = named.to_str().map_err(|_| invalid("The header X-Organization-Id is no id and no slug."))?;
        let org = match named.parse::<i64>() {
            Ok(id) => OrgId(id),
            Err(_) => self.org_of_slug(named).await?,
        };
        may_use(caller, org)?;
        Ok(org)
    }

    async fn org_of_slug(&self, slug: &str) -> Result<OrgId> {
        if let Some(org) = self.inner.slugs.get(slug) {
            return Ok(org);
        }
        let wanted = slug.to_owned();
        let found = self.inner.db.read(move |tx| orgs::store::id_of_slug(tx, &wanted)).await?;
        let org = found.ok_or_else(|| Error::not_found("such organization"))?;
        self.inner.slugs.put(slug, org);
        Ok(org)
    }

    /// The servers whose models the caller may use in any organisation.
    pub(super) fn visible_to(&self, caller: &Arc<Caller>) -> Result<Vec<Arc<Provider>>> {
        let grants = &caller.grants;
        let site = grants.site.has(Permission::ModelUse);
        let own: Vec<OrgId> = grants
            .orgs
            .iter()
            .filter(|(_, set)| set.has(Permission::ModelUse))
            .map(|(org, _)| *org)
            .take(MAX_ORGS)
            .collect();
        if !site && own.is_empty() {
            return Err(grants.why_not(Permission::ModelUse).unwrap_or_else(|| {
                Error::forbidden(
                    "forbidden",
                    "This needs the permission model.use. An administrator can grant a role that has it.",
                )
            }));
        }
        let catalogue = &self.inner.catalogue;
        let mut visible = catalogue.visible(|org| site || own.contains(&org));
        visible.extend(catalogue.sources_of(&own, site));
        Ok(visible)
    }
}

//! Use over HTTP: everybody in an organisation sees the sums, integrations write theirs down.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::checked_amount;
use super::question::{UsageQuery, UsageReport};
use crate::access::actions::{OrganizationRead, ProjectRead, QuotaManage, QuotaView};
use crate::access::{Caller, OrgId, Permit, Place, TeamId, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::quotas::rule::Owner;
use crate::quotas::{Quotas, Resource, Usage, store};
use crate::web::{Created, Json, Path, Problem, Query, SignedIn};

const ORGANIZATION: &str = "such organization";
const TEAM: &str = "such team";
/// The most that may be said about a use, in bytes of JSON.
const MOST_METADATA: usize = 4096;
/// The longest name of a model, in characters.
const LONGEST_MODEL: usize = 200;

pub fn routes() -> OpenApiRouter<Quotas> {
    OpenApiRouter::new().routes(routes!(report, record)).routes(routes!(table))
}

/// What an organisation used, summed up by day, model, project or person.
#[utoipa::path(get, path = "/api/organizations/{id}/usage", tag = "quotas", params(("id" = i64, Path), UsageQuery),
    responses((status = 200, body = UsageReport), (status = "default", response = Problem)))]
async fn report(
    State(quotas): State<Quotas>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageReport>> {
    ask(&quotas, &caller, OrgId(id), &query).await.map(Json)
}

/// The same as CSV, for spreadsheets.
#[utoipa::path(get, path = "/api/organizations/{id}/usage.csv", tag = "quotas", params(("id" = i64, Path), UsageQuery),
    responses((status = 200, content_type = "text/csv", body = String), (status = "default", response = Problem)))]
async fn table(
    State(quotas): State<Quotas>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Query(query): Query<UsageQuery>,
) -> Result<Response> {
    let report = ask(&quotas, &caller, OrgId(id), &query).await?;
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"usage-{}-{}.csv\"", report.from, report.to)),
    ];
    Ok((headers, report.csv()?).into_response())
}

async fn ask(quotas: &Quotas, caller: &Arc<Caller>, org: OrgId, query: &UsageQuery) -> Result<UsageReport> {
    let oneself = query.user_id.is_some() && query.user_id == caller.user.map(|user| user.0);
    match query.team_id {
        Some(team) => caller.permit::<QuotaView>()?.require_place(Place::Team(org, TeamId(team)), TEAM)?,
        None if oneself => caller.permit::<OrganizationRead>()?.require(org, ORGANIZATION)?,
        None => caller.permit::<QuotaView>()?.require(org, ORGANIZATION)?,
    }
    let projects = caller.permit::<ProjectRead>().ok();
    let question = query.check(org, quotas.meter.zone.day(quotas.meter.clock.now()))?;
    let found = quotas.meter.db.read(move |tx| {
        store::tier(tx, org)?.ok_or_else(|| Error::not_found(ORGANIZATION))?;
        if let Some(team) = question.team
            && !store::is_team(tx, org, TeamId(team))?
        {
            return Err(Error::not_found(TEAM));
        }
        question.answer(tx, projects.as_ref())
    });
    found.await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUsage {
    /// llm_tokens or api_calls: what is used up. The others count themselves.
    resource_type: String,
    /// 1 to 2^40.
    amount: i64,
    /// Who used it, a member of the organisation; nobody in particular when absent.
    user_id: Option<i64>,
    /// Whatever helps to tell it apart later, at most 4096 bytes; `model` names the model.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

/// Use as it was counted.
#[derive(Debug, Serialize, ToSchema)]
struct Recorded {
    resource: Resource,
    amount: i64,
    user_id: Option<i64>,
    model: Option<String>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

/// Count use that was measured elsewhere: checked and counted in one step, so what passes a hard limit is refused and not
/// counted. Rates per minute do not hold for it.
#[utoipa::path(post, path = "/api/organizations/{id}/usage", tag = "quotas", params(("id" = i64, Path)),
    request_body = NewUsage, responses((status = 201, body = Recorded), (status = "default", response = Problem)))]
async fn record(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaManage>,
    Path(id): Path<i64>,
    Json(new): Json<NewUsage>,
) -> Result<Created<Recorded>> {
    let (org, now) = (OrgId(id), quotas.meter.clock.now());
    let (resource, recorded) = new.check()?;
    let person = recorded.user_id.map(UserId);
    let asker = permit.clone();
    quotas
        .meter
        .db
        .read(move |tx| {
            asker.require(org, ORGANIZATION)?;
            store::tier(tx, org)?.ok_or_else(|| Error::not_found(ORGANIZATION))?;
            match person {
                Some(user) if !store::is_member(tx, org, user)? => {
                    Err(Error::not_found(format!("member {} of organization {id}", user.0)).field("user_id"))
                }
                _ => Ok(()),
            }
        })
        .await?;
    let owner = Owner::org(org).person(person);
    let reservation = quotas.reserve_reported(&owner, resource, recorded.amount.unsigned_abs()).await?;
    let usage = Usage {
        tokens: recorded.amount.unsigned_abs(),
        user: person,
        project: None,
        model: recorded.model.clone().unwrap_or_default(),
        source: "reported",
        metadata: serde_json::to_string(&recorded.metadata).ok().filter(|_| !recorded.metadata.is_empty()),
    };
    let words = format!("Counted {} {} that were measured elsewhere", recorded.amount, resource.code());
    let event = Event::new(AuditAction::Create, "usage", words).org(org).after(&recorded);
    quotas
        .meter
        .db
        .write(move |tx| {
            audit::record(tx, now, permit.caller(), &event)?;
            reservation.settle_in(tx, &usage)
        })
        .await?;
    Ok(Created(recorded))
}

impl NewUsage {
    fn check(self) -> Result<(Resource, Recorded)> {
        let resource = Resource::parse(&self.resource_type)?;
        if !resource.is_metered() {
            let sentence =
                format!("{} counts what exists, by itself. Report llm_tokens or api_calls.", resource.code());
            return Err(Error::invalid("counted_by_itself", sentence).field("resource_type"));
        }
        let amount = checked_amount(self.amount)?;
        let size = serde_json::to_string(&self.metadata).map_or(usize::MAX, |text| text.len());
        let model = self.metadata.get("model").and_then(Value::as_str).map(str::to_owned);
        let long = model.as_ref().is_some_and(|model| model.chars().count() > LONGEST_MODEL);
        if size > MOST_METADATA || long {
            let sentence = format!(
                "metadata has {size} bytes; it may have {MOST_METADATA}, and its model {LONGEST_MODEL} characters."
            );
            return Err(Error::invalid("invalid_metadata", sentence).field("metadata"));
        }
        let (user_id, metadata) = (self.user_id, self.metadata);
        Ok((resource, Recorded { resource, amount, user_id, model, metadata }))
    }
}

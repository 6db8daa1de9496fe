//! Quotas over HTTP: everybody in an organisation sees them and asks whether they suffice, a super admin sets them.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::counters;
use super::period::Period;
use super::rule::{Mode, Override, Owner, Rule, Scope};
use super::settings::{Settings, checked_scope};
use super::{Quota, Quotas, Resource, ScopeKind, exceeded, store, usage};
use crate::access::actions::{QuotaManage, QuotaView, UserRead};
use crate::access::{OrgId, Permit, Place, TeamId, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::web::{Created, Json, Path, Problem};

const ORGANIZATION: &str = "such organization";
const TEAM: &str = "such team";

impl Quotas {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list, create))
            .routes(routes!(set, delete))
            .routes(routes!(check))
            .routes(routes!(of_team))
            .merge(usage::routes())
            .with_state(self)
    }
}

/// A quota in a list.
#[derive(Debug, Serialize, ToSchema)]
struct ListedQuota {
    #[serde(flatten)]
    quota: Quota,
    /// The name of the team or person it is for; null for the organisation's own, and where the caller may not see people.
    owner: Option<String>,
}

/// Quotas of an organisation.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaList {
    items: Vec<ListedQuota>,
}

/// The quotas of an organisation with what is used in the present period: its own first, then its teams' and people's.
#[utoipa::path(get, path = "/api/organizations/{id}/quotas", tag = "quotas", params(("id" = i64, Path)),
    responses((status = 200, body = QuotaList), (status = "default", response = Problem)))]
async fn list(State(quotas): State<Quotas>, permit: Permit<QuotaView>, Path(id): Path<i64>) -> Result<Json<QuotaList>> {
    let (org, now) = (OrgId(id), quotas.meter.clock.now());
    permit.require(org, ORGANIZATION)?;
    let found = quotas.meter.db.read(move |tx| {
        let quotas = store::list(tx, org, now)?;
        if quotas.is_empty() {
            return Err(Error::not_found(ORGANIZATION));
        }
        let told = permit.caller_arc().permit::<UserRead>().is_ok_and(|people| people.covers(org));
        let mut owners = if told { store::owners(tx, org)? } else { HashMap::new() };
        let listed = |quota: Quota| ListedQuota { owner: owners.remove(&quota.id), quota };
        Ok(quotas.into_iter().map(listed).collect())
    });
    Ok(Json(QuotaList { items: found.await? }))
}

/// The quotas of a team with what is used in the present period. Whoever may see quotas in the team sees them.
#[utoipa::path(get, path = "/api/teams/{id}/quotas", tag = "quotas", params(("id" = i64, Path)),
    responses((status = 200, body = QuotaList), (status = "default", response = Problem)))]
async fn of_team(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaView>,
    Path(id): Path<i64>,
) -> Result<Json<QuotaList>> {
    let now = quotas.meter.clock.now();
    let found = quotas.meter.db.read(move |tx| {
        let (org, name) = store::team(tx, TeamId(id))?.ok_or_else(|| Error::not_found(TEAM))?;
        permit.require_place(Place::Team(org, TeamId(id)), TEAM)?;
        let own = store::list(tx, org, now)?.into_iter().filter(|quota| quota.team_id == Some(id));
        Ok(own.map(|quota| ListedQuota { quota, owner: Some(name.clone()) }).collect())
    });
    Ok(Json(QuotaList { items: found.await? }))
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewQuota {
    /// projects, llm_tokens, api_calls, storage or team_members.
    resource_type: String,
    /// Null means unlimited.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    limit_value: Option<i64>,
    /// Whose use is limited; the organisation's when absent.
    #[serde(default)]
    scope: ScopeKind,
    /// The team, for the scope `team`.
    team_id: Option<i64>,
    /// The person, for the scope `person`.
    user_id: Option<i64>,
    /// none (when absent or null), daily, weekly, monthly or yearly, in the site's time zone; storage and team_members
    /// count what exists and take none.
    period: Option<Period>,
    #[serde(default)]
    mode: Mode,
    /// One threshold as a share of the limit, above 0 and at most 1: 0.8 warns at 80 %.
    warning_threshold: Option<f64>,
    /// Up to five percentages of 1 to 100; 80, 90 and 100 when both are absent.
    warning_thresholds: Option<Vec<u8>>,
    /// Of `api_calls`.
    requests_per_minute: Option<i64>,
    /// Of `llm_tokens`.
    tokens_per_minute: Option<i64>,
}

/// Create a quota. The organisation's own takes the place of the one its tier gave it; any other is made beside it, and
/// all that hold for a call have to suffice.
#[utoipa::path(post, path = "/api/organizations/{id}/quotas", tag = "quotas", params(("id" = i64, Path)),
    request_body = NewQuota, responses((status = 201, body = Quota), (status = "default", response = Problem)))]
async fn create(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaManage>,
    Path(id): Path<i64>,
    Json(new): Json<NewQuota>,
) -> Result<Created<Quota>> {
    let (org, now) = (OrgId(id), quotas.meter.clock.now());
    let resource = Resource::parse(&new.resource_type)?;
    let settings = new.settings()?;
    let room = quotas.clone();
    let quota = quotas.meter.db.write(move |tx| {
        permit.require(org, ORGANIZATION)?;
        let tier = store::tier(tx, org)?.ok_or_else(|| Error::not_found(ORGANIZATION))?;
        let scope = checked_scope(tx, org, resource, new.scope, new.team_id, new.user_id)?;
        let blank = Rule { scope, custom: true, period: Period::None, ..counters::default(org, resource, &tier) };
        let rule = settings.clone().apply(blank, now)?;
        let before = if scope == Scope::Organization { store::wide(tx, org, resource)? } else { None };
        if let Some(before) = before.filter(|before| !before.custom) {
            let rule = Rule { id: before.id, ..rule };
            return replace(tx, &room, &permit, now, &before, &rule);
        }
        if store::count(tx, org)? >= store::MOST {
            let sentence = format!("The organisation has {} quotas, the most there may be. Delete some.", store::MOST);
            return Err(Error::conflict("too_many_quotas", sentence));
        }
        let rule = store::insert(tx, rule)?;
        counters::seed(tx, &rule, now)?;
        room.forget_rules(tx);
        let quota = store::show(tx, &rule, now)?;
        let words = format!("Created a quota of {} for {}", resource.code(), scope.words());
        let event = Event::new(AuditAction::Create, "quota", words).id(rule.id).org(org).after(&quota);
        audit::record(tx, now, permit.caller(), &event)?;
        Ok(quota)
    });
    let quota = quota.await?;
    quotas.shed_one(quota.id);
    Ok(Created(quota))
}

impl NewQuota {
    fn settings(&self) -> Result<Settings> {
        let thresholds = match (self.warning_threshold, &self.warning_thresholds) {
            (Some(_), Some(_)) => {
                let sentence = "Give warning_threshold or warning_thresholds, not both.";
                return Err(Error::invalid("invalid_threshold", sentence).field("warning_threshold"));
            }
            (Some(share), None) => Some(vec![percent(share)?]),
            (None, given) => given.clone(),
        };
        Ok(Settings {
            limit_value: Some(self.limit_value),
            period: self.period,
            mode: Some(self.mode),
            thresholds,
            over: None,
            requests_per_minute: self.requests_per_minute.map(Some),
            tokens_per_minute: self.tokens_per_minute.map(Some),
        })
    }
}

/// A share of the limit as a percentage.
fn percent(share: f64) -> Result<u8> {
    let percent = (share * 100.0).round();
    if (1.0..=100.0).contains(&percent) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was just bounded")]
        return Ok(percent as u8);
    }
    let sentence = format!("warning_threshold is {share}; it is a share of the limit from 0.01 to 1, such as 0.8.");
    Err(Error::invalid("invalid_threshold", sentence).field("warning_threshold"))
}

/// What a change may set; what is absent stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetQuota {
    /// Null means unlimited.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    limit_value: Option<Option<i64>>,
    period: Option<Period>,
    mode: Option<Mode>,
    /// Up to five percentages of 1 to 100.
    warning_thresholds: Option<Vec<u8>>,
    /// Another limit for a time; null ends it.
    #[serde(default, rename = "override", deserialize_with = "present")]
    #[schema(value_type = Option<Override>)]
    over: Option<Option<Override>>,
    /// Of `api_calls`; null: as many as come.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    requests_per_minute: Option<Option<i64>>,
    /// Of `llm_tokens`; null: as many as come.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    tokens_per_minute: Option<Option<i64>>,
}

/// Tells a null from what is absent.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Change a quota. A lower limit than what is used stops further use and takes nothing away.
#[utoipa::path(put, path = "/api/organizations/{id}/quotas/{quota}", tag = "quotas", request_body = SetQuota,
    params(("id" = i64, Path), ("quota" = String, Path,
        description = "The quota's id, or a resource for the organisation's own quota of it")),
    responses((status = 200, body = Quota), (status = "default", response = Problem)))]
async fn set(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaManage>,
    Path((id, quota)): Path<(i64, String)>,
    Json(change): Json<SetQuota>,
) -> Result<Json<Quota>> {
    let (org, now) = (OrgId(id), quotas.meter.clock.now());
    let settings = Settings {
        limit_value: change.limit_value,
        period: change.period,
        mode: change.mode,
        thresholds: change.warning_thresholds,
        over: change.over,
        requests_per_minute: change.requests_per_minute,
        tokens_per_minute: change.tokens_per_minute,
    };
    let room = quotas.clone();
    let quota = quotas.meter.db.write(move |tx| {
        let before = named(tx, &permit, org, &quota)?;
        let after = settings.clone().apply(Rule { custom: true, ..before.clone() }, now)?;
        replace(tx, &room, &permit, now, &before, &after)
    });
    let quota = quota.await?;
    quotas.shed_one(quota.id);
    Ok(Json(quota))
}

/// Delete a quota. The organisation's own begins anew as its tier has it.
#[utoipa::path(delete, path = "/api/organizations/{id}/quotas/{quota}", tag = "quotas",
    params(("id" = i64, Path), ("quota" = String, Path,
        description = "The quota's id, or a resource for the organisation's own quota of it")),
    responses((status = 204), (status = "default", response = Problem)))]
async fn delete(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaManage>,
    Path((id, quota)): Path<(i64, String)>,
) -> Result<StatusCode> {
    let (org, now) = (OrgId(id), quotas.meter.clock.now());
    let room = quotas.clone();
    let deleted = quotas.meter.db.write(move |tx| {
        let before = named(tx, &permit, org, &quota)?;
        if before.scope == Scope::Organization {
            let tier = store::tier(tx, org)?.ok_or_else(|| Error::not_found(ORGANIZATION))?;
            let after = Rule { id: before.id, ..counters::default(org, before.resource, &tier) };
            return replace(tx, &room, &permit, now, &before, &after).map(|quota| quota.id);
        }
        let shown = store::show(tx, &before, now)?;
        store::delete(tx, before.id)?;
        room.forget_rules(tx);
        let words = format!("Deleted a quota of {} for {}", before.resource.code(), before.scope.words());
        let event = Event::new(AuditAction::Delete, "quota", words).id(before.id).org(org).before(&shown);
        audit::record(tx, now, permit.caller(), &event)?;
        Ok(before.id)
    });
    let deleted = deleted.await?;
    quotas.shed_one(deleted);
    Ok(StatusCode::NO_CONTENT)
}

/// The quota of this id, or the organisation's own of the resource of this name.
fn named(tx: &mut Tx<'_>, permit: &Permit<QuotaManage>, org: OrgId, name: &str) -> Result<Rule> {
    permit.require(org, ORGANIZATION)?;
    let found = match name.parse() {
        Ok(id) => store::by_id(tx, id)?.filter(|rule| rule.org == org),
        Err(_) => {
            let resource = Resource::ALL.into_iter().find(|resource| resource.code() == name);
            resource.map_or(Ok(None), |resource| store::wide(tx, org, resource))?
        }
    };
    found.ok_or_else(|| {
        let known: Vec<_> = Resource::ALL.iter().map(|resource| resource.code()).collect();
        Error::not_found(format!("quota `{name}` (name it by its id, or one of: {})", known.join(", ")))
    })
}

/// Puts a quota into another state and audits it; one that changes nothing leaves no trace.
fn replace(
    tx: &mut Tx<'_>,
    quotas: &Quotas,
    permit: &Permit<QuotaManage>,
    now: Time,
    before: &Rule,
    after: &Rule,
) -> Result<Quota> {
    let was = store::show(tx, before, now)?;
    if before == after {
        return Ok(was);
    }
    counters::change(tx, now, before, after)?;
    quotas.forget_rules(tx);
    let is = store::show(tx, after, now)?;
    let words = format!("Changed the quota of {} for {}", after.resource.code(), after.scope.words());
    let event = Event::new(AuditAction::Update, "quota", words).id(after.id).org(after.org).before(&was).after(&is);
    audit::record(tx, now, permit.caller(), &event)?;
    Ok(is)
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CheckQuota {
    /// projects, llm_tokens, api_calls, storage or team_members.
    resource_type: String,
    /// How much is wanted, 1 to 2^40.
    amount: i64,
    /// Whose it would be, besides the organisation's.
    user_id: Option<i64>,
    team_id: Option<i64>,
}

/// Whether something can be used now.
#[derive(Debug, Serialize, ToSchema)]
struct Verdict {
    can_consume: bool,
    /// Why not; null when it can.
    error: Option<String>,
}

/// Ask whether the quotas would suffice. Nothing is set aside: whoever acts on the answer is checked again.
#[utoipa::path(post, path = "/api/organizations/{id}/quotas/check", tag = "quotas", params(("id" = i64, Path)),
    request_body = CheckQuota, responses((status = 200, body = Verdict), (status = "default", response = Problem)))]
async fn check(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaView>,
    Path(id): Path<i64>,
    Json(wanted): Json<CheckQuota>,
) -> Result<Json<Verdict>> {
    let (org, now) = (OrgId(id), quotas.meter.clock.now());
    permit.require(org, ORGANIZATION)?;
    let resource = Resource::parse(&wanted.resource_type)?;
    let amount = usage::checked_amount(wanted.amount)?;
    let owner = Owner { org, team: wanted.team_id.map(TeamId), person: wanted.user_id.map(UserId) };
    let stood = quotas.meter.db.read(move |tx| {
        let rules = store::holding(tx, &owner, resource)?;
        if !rules.iter().any(|rule| rule.scope == Scope::Organization) {
            return Err(Error::not_found(ORGANIZATION));
        }
        let zone = store::zone(tx)?;
        let day = zone.day(now);
        let mut stood = Vec::new();
        for rule in rules {
            let period = rule.period.name(day);
            let counter = counters::store::get(tx, rule.id, &period)?.unwrap_or_default();
            let renews_at = rule.period.renews_at(&zone, day);
            stood.push((rule, period, counter, renews_at));
        }
        Ok(stood)
    });
    for (rule, period, counter, renews_at) in stood.await? {
        // What this server holds for those to come is there for this one too.
        let wanted = amount.saturating_sub(quotas.meter.held(rule.id, &period));
        let taken = counter.used.saturating_add(counter.granted).saturating_add(wanted);
        if rule.mode == Mode::Hard && rule.limit(now).is_some_and(|limit| taken > limit) {
            let error = exceeded(&rule, counter, amount, now, renews_at).message().to_owned();
            return Ok(Json(Verdict { can_consume: false, error: Some(error) }));
        }
    }
    Ok(Json(Verdict { can_consume: true, error: None }))
}

//! Teams over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::members::{check_owner, may_join};
use super::{NewTeam, Team, TeamChange, TeamMember, Teams, store};
use crate::access::actions::{OrganizationRead, TeamManage, UserRead};
use crate::access::{OrgId, Permit, Place, Role, TeamId, TeamRole, UserId};
use crate::accounts::{User, grants, store as accounts};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery, check_part};
use crate::db::Tx;
use crate::orgs;
use crate::quotas;
use crate::web::{Created, Json, Path, Problem, Query, SignedIn};

impl Teams {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list, create))
            .routes(routes!(get, update, delete))
            .routes(routes!(members, add))
            .routes(routes!(set, remove))
            .with_state(self)
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TeamFilter {
    /// A part of the name or the slug, whatever its case; at most 100 characters.
    q: Option<String>,
}

/// The teams of an organisation, newest first; for who is in teams only, those teams.
#[utoipa::path(get, path = "/api/organizations/{id}/teams", tag = "teams",
    params(("id" = i64, Path), PageQuery, TeamFilter),
    responses((status = 200, body = List<Team>), (status = "default", response = Problem)))]
async fn list(
    State(teams): State<Teams>,
    permit: Permit<UserRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<TeamFilter>,
) -> Result<Json<List<Team>>> {
    let (org, page) = (OrgId(id), query.check()?);
    check_part(filter.q.as_ref())?;
    let found = teams.db.read(move |tx| {
        if !permit.reaches(org) {
            return Err(Error::not_found("such organization"));
        }
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        store::list(tx, &permit, org, filter.q.as_deref(), page)
    });
    Ok(Json(page.list(found.await?, |team| team.id)))
}

/// Make a team. Who makes it owns it, unless somebody else is named.
#[utoipa::path(post, path = "/api/organizations/{id}/teams", tag = "teams", params(("id" = i64, Path)),
    request_body = NewTeam, responses((status = 201, body = Team), (status = "default", response = Problem)))]
async fn create(
    State(teams): State<Teams>,
    permit: Permit<TeamManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewTeam>,
) -> Result<Created<Team>> {
    let (org, now) = (OrgId(id), teams.clock.now());
    permit.require(org, "such organization")?;
    let new = body.check()?;
    let room = teams.clone();
    let made = teams.db.write(move |tx| {
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        let owner = match &new.owner {
            Some(name) => {
                let named = accounts::user_by_name(tx, name)?;
                let known = match &named {
                    Some(user) => may_join(tx, &permit, user, org)?,
                    None => false,
                };
                let absent = || Error::not_found(format!("user `{}`", name.escape_debug())).field("owner");
                Some(named.filter(|_| known).ok_or_else(absent)?)
            }
            None => own(tx, &permit, org)?,
        };
        let team = store::insert(tx, &permit, now, org, &new)?;
        let event = Event::new(AuditAction::Create, "team", format!("Created team {}", team.name));
        audit::record(tx, now, permit.caller(), &event.id(team.id).org(org).after(&team))?;
        if let Some(owner) = owner {
            room.set_member(tx, &permit, now, &team, &owner, TeamRole::Owner)?;
        }
        Ok(team)
    });
    made.await.map(Created)
}

/// Who makes a team, if they are of the organisation and may do there what an owner may.
fn own(tx: &mut Tx<'_>, permit: &Permit<TeamManage>, org: OrgId) -> Result<Option<User>> {
    let caller = permit.caller();
    let Some(user) = caller.user.filter(|_| caller.grants.hold_all(Place::Org(org), Role::TeamAdmin.permissions()))
    else {
        return Ok(None);
    };
    if grants::store::belongs(tx, user, org)? { accounts::user(tx, user) } else { Ok(None) }
}

/// One team.
#[utoipa::path(get, path = "/api/teams/{id}", tag = "teams", params(("id" = i64, Path)),
    responses((status = 200, body = Team), (status = "default", response = Problem)))]
async fn get(State(teams): State<Teams>, permit: Permit<UserRead>, Path(id): Path<i64>) -> Result<Json<Team>> {
    let found = teams.db.read(move |tx| {
        let team = store::find(tx, TeamId(id))?;
        permit.require_place(team.place(), "such team").map(|()| team)
    });
    found.await.map(Json)
}

/// Change a team; what is absent stays.
#[utoipa::path(put, path = "/api/teams/{id}", tag = "teams", params(("id" = i64, Path)), request_body = TeamChange,
    responses((status = 200, body = Team), (status = "default", response = Problem)))]
async fn update(
    State(teams): State<Teams>,
    permit: Permit<TeamManage>,
    Path(id): Path<i64>,
    Json(body): Json<TeamChange>,
) -> Result<Json<Team>> {
    let (change, now) = (body.check()?, teams.clock.now());
    let changed = teams.db.write(move |tx| {
        let before = store::find(tx, TeamId(id))?;
        permit.require_place(before.place(), "such team")?;
        let after = change.clone().of(&before);
        if after == before {
            return Ok(before);
        }
        let after = Team { updated_at: now, ..after };
        store::save(tx, &permit, &after)?;
        let event = Event::new(AuditAction::Update, "team", format!("Changed team {}", after.name)).id(id);
        let event = event.org(OrgId(after.organization_id)).before(&before).after(&after);
        audit::record(tx, now, permit.caller(), &event)?;
        Ok(after)
    });
    changed.await.map(Json)
}

/// Delete a team that has no projects; the roles held in it go with it.
#[utoipa::path(delete, path = "/api/teams/{id}", tag = "teams", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn delete(State(teams): State<Teams>, permit: Permit<TeamManage>, Path(id): Path<i64>) -> Result<StatusCode> {
    let now = teams.clock.now();
    let room = teams.clone();
    let deleted = teams.db.write(move |tx| {
        let team = store::find(tx, TeamId(id))?;
        permit.require_place(team.place(), "such team")?;
        if team.is_default {
            let message = "The default team stays as long as its organisation.";
            return Err(Error::conflict("default_team", message));
        }
        check_owner(tx, &permit, &team)?;
        room.accounts.forget_callers(tx);
        store::delete(tx, &permit, &team)?;
        quotas::without_team(tx, now, OrgId(team.organization_id), TeamId(team.id))?;
        let event = Event::new(AuditAction::Delete, "team", format!("Deleted team {}", team.name)).id(id);
        audit::record(tx, now, permit.caller(), &event.org(OrgId(team.organization_id)).before(&team))
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is in a team, newest first.
#[utoipa::path(get, path = "/api/teams/{id}/members", tag = "teams", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<TeamMember>), (status = "default", response = Problem)))]
async fn members(
    State(teams): State<Teams>,
    permit: Permit<UserRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<TeamMember>>> {
    let page = query.check()?;
    let found = teams.db.read(move |tx| {
        let team = store::find(tx, TeamId(id))?;
        permit.require_place(team.place(), "such team")?;
        let mut members = Vec::new();
        for id in store::member_ids(tx, &team, page)? {
            members.extend(accounts::user(tx, id)?.map(|user| TeamMember::new(&user, &team)));
        }
        Ok(members)
    });
    Ok(Json(page.list(found.await?, |member| member.user_id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTeamMember {
    username: String,
    role: TeamRole,
}

/// Take a person of the organisation into a team, or give them another role in it.
#[utoipa::path(post, path = "/api/teams/{id}/members", tag = "teams", params(("id" = i64, Path)),
    request_body = NewTeamMember,
    responses((status = 201, body = TeamMember), (status = "default", response = Problem)))]
async fn add(
    State(teams): State<Teams>,
    permit: Permit<TeamManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewTeamMember>,
) -> Result<Created<TeamMember>> {
    let now = teams.clock.now();
    let room = teams.clone();
    let made = teams.db.write(move |tx| {
        let team = store::find(tx, TeamId(id))?;
        permit.require_place(team.place(), "such team")?;
        let user = accounts::user_by_name(tx, &body.username)?;
        let absent = || Error::not_found(format!("user `{}`", body.username.escape_debug())).field("username");
        let user = user.ok_or_else(absent)?;
        if !may_join(tx, &permit, &user, OrgId(team.organization_id))? {
            return Err(absent());
        }
        room.set_member(tx, &permit, now, &team, &user, body.role)
    });
    made.await.map(Created)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TeamRoleRequest {
    role: TeamRole,
}

/// The same by the person's id.
#[utoipa::path(put, path = "/api/teams/{id}/members/{user_id}", tag = "teams",
    params(("id" = i64, Path), ("user_id" = i64, Path)), request_body = TeamRoleRequest,
    responses((status = 200, body = TeamMember), (status = "default", response = Problem)))]
async fn set(
    State(teams): State<Teams>,
    permit: Permit<TeamManage>,
    Path((id, user)): Path<(i64, i64)>,
    Json(body): Json<TeamRoleRequest>,
) -> Result<Json<TeamMember>> {
    let now = teams.clock.now();
    let room = teams.clone();
    let set = teams.db.write(move |tx| {
        let team = store::find(tx, TeamId(id))?;
        permit.require_place(team.place(), "such team")?;
        let user = accounts::user(tx, UserId(user))?.ok_or_else(|| Error::not_found("user"))?;
        if !may_join(tx, &permit, &user, OrgId(team.organization_id))? {
            return Err(Error::not_found("user"));
        }
        room.set_member(tx, &permit, now, &team, &user, body.role)
    });
    set.await.map(Json)
}

/// Take a person out of a team. Everybody may leave, except the last owner.
#[utoipa::path(delete, path = "/api/teams/{id}/members/{user_id}", tag = "teams",
    params(("id" = i64, Path), ("user_id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn remove(
    State(teams): State<Teams>,
    SignedIn(caller): SignedIn,
    Path((id, user)): Path<(i64, i64)>,
) -> Result<StatusCode> {
    let now = teams.clock.now();
    let room = teams.clone();
    teams.db.write(move |tx| room.remove_member(tx, &caller, now, TeamId(id), UserId(user))).await?;
    Ok(StatusCode::NO_CONTENT)
}

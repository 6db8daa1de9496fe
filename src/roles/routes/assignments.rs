//! Who holds which role where; giving and taking single roles.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::actions::{OrganizationRead, UserManage, UserRead};
use crate::access::{OrgId, Permit, Place, TeamId, UserId};
use crate::accounts::grants::{self, check_grant};
use crate::accounts::{User, store as accounts};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::db::Tx;
use crate::roles::Roles;
use crate::roles::store::{self, Narrow};
use crate::web::{Created, Json, Path, Problem, Query};
use crate::{orgs, teams};

/// Who gave a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Giver {
    pub id: i64,
    pub name: String,
}

/// A role as it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    pub id: i64,
    pub user_id: i64,
    pub username: String,
    /// The code of a built-in role, or of one of the organisation's own.
    pub role: String,
    /// Null: over the whole site.
    pub organization_id: Option<i64>,
    /// Null: over the whole organisation.
    pub team_id: Option<i64>,
    pub granted_at: Time,
    /// Null: the local operator, or somebody who is gone.
    pub granted_by: Option<Giver>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AssignmentsQuery {
    /// Of this person.
    user_id: Option<i64>,
    /// Held in this team.
    team_id: Option<i64>,
    /// Of this role.
    role: Option<String>,
    /// How many, 1 to 100; 20 when absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

impl AssignmentsQuery {
    fn split(self) -> (Narrow, PageQuery) {
        let narrow = Narrow { user: self.user_id, team: self.team_id, role: self.role };
        (narrow, PageQuery { limit: self.limit, cursor: self.cursor })
    }
}

/// Who holds which role in an organisation and its teams, newest first.
#[utoipa::path(get, path = "/api/organizations/{id}/role-assignments", tag = "roles",
    params(("id" = i64, Path), AssignmentsQuery),
    responses((status = 200, body = List<Assignment>), (status = "default", response = Problem)))]
pub async fn list(
    State(roles): State<Roles>,
    permit: Permit<UserRead>,
    Path(id): Path<i64>,
    Query(query): Query<AssignmentsQuery>,
) -> Result<Json<List<Assignment>>> {
    let (org, (narrow, page)) = (OrgId(id), query.split());
    let page = page.check()?;
    let found = roles.db.read(move |tx| {
        permit.require(org, "such organization")?;
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        store::assignments(tx, Some(org), &narrow, page)
    });
    Ok(Json(page.list(found.await?, |held| held.id)))
}

/// Who is given what. The person is named by `username` or `user_id`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAssignment {
    username: Option<String>,
    user_id: Option<i64>,
    /// A built-in role, or one of the organisation's own.
    role: String,
    /// Hold it in this team only.
    team_id: Option<i64>,
}

impl NewAssignment {
    /// The person named, whoever may see them.
    fn person(&self, tx: &mut Tx<'_>) -> Result<Option<User>> {
        match (&self.username, self.user_id) {
            (Some(name), None) => accounts::user_by_name(tx, name),
            (None, Some(id)) => accounts::user(tx, UserId(id)),
            _ => Err(Error::invalid("person_missing", "Name the person by username or by user_id.").field("username")),
        }
    }

    fn absent(&self) -> Error {
        match &self.username {
            Some(name) => Error::not_found(format!("user `{}`", name.escape_debug())).field("username"),
            None => Error::not_found("user").field("user_id"),
        }
    }
}

/// Give a person of the organisation a role beside those they have, over the whole of it or in one team.
#[utoipa::path(post, path = "/api/organizations/{id}/role-assignments", tag = "roles", params(("id" = i64, Path)),
    request_body = NewAssignment,
    responses((status = 201, body = Assignment), (status = "default", response = Problem)))]
pub async fn create(
    State(roles): State<Roles>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewAssignment>,
) -> Result<Created<Assignment>> {
    let (org, now) = (OrgId(id), roles.clock.now());
    if !permit.reaches(org) {
        return Err(Error::not_found("such organization"));
    }
    let room = roles.clone();
    let given = roles.db.write(move |tx| {
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        let place = match body.team_id {
            None => Place::Org(org),
            Some(team) => {
                let absent = || Error::not_found("such team").field("team_id");
                let team = teams::store::find(tx, TeamId(team)).map_err(|_| absent())?;
                if team.organization_id != org.0 || !permit.covers_place(team.place()) {
                    return Err(absent());
                }
                team.choosable()?;
                team.place()
            }
        };
        permit.require_place(place, "such organization")?;
        let user = body.person(tx)?.ok_or_else(|| body.absent())?;
        if permit.require_site().is_err() && !grants::store::belongs(tx, UserId(user.id), org)? {
            return Err(body.absent());
        }
        room.give(tx, &permit, now, &user, &body.role, place)
    });
    given.await.map(Created)
}

impl Roles {
    fn give(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<UserManage>,
        now: Time,
        user: &User,
        role: &str,
        place: Place,
    ) -> Result<Assignment> {
        let role = grants::store::find(tx, role, place)?;
        check_grant(permit, &role.code, role.permissions, place)?;
        let by = permit.caller().user;
        let id = grants::store::give(tx, &self.accounts, now, UserId(user.id), &role, place, by)?;
        let given = store::assignment(tx, place.org(), id)?;
        let event = changed(&given, format!("Gave {} the role {}", user.username, role.code)).after(&given);
        audit::record(tx, now, permit.caller(), &event)?;
        Ok(given)
    }

    fn take(&self, tx: &mut Tx<'_>, permit: &Permit<UserManage>, now: Time, org: Option<OrgId>, id: i64) -> Result<()> {
        let absent = || Error::not_found(format!("role assignment {id}"));
        let held = store::assignment(tx, org, id)?;
        let (user, grant) = grants::store::by_id(tx, id)?.ok_or_else(absent)?;
        permit.require_place(grant.place(), "").map_err(|_| absent())?;
        check_grant(permit, &grant.role, grant.permissions, grant.place())?;
        grants::store::take(tx, &self.accounts, id, user, &grant)?;
        let event = changed(&held, format!("Took the role {} from {}", held.role, held.username)).before(&held);
        audit::record(tx, now, permit.caller(), &event)
    }
}

fn changed(held: &Assignment, text: String) -> Event {
    let event = Event::new(AuditAction::PermissionChange, "user", text).id(held.user_id).person(UserId(held.user_id));
    match held.organization_id {
        Some(org) => event.org(OrgId(org)),
        None => event,
    }
}

/// Take a single role from a person.
#[utoipa::path(delete, path = "/api/organizations/{id}/role-assignments/{assignment_id}", tag = "roles",
    params(("id" = i64, Path), ("assignment_id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete(
    State(roles): State<Roles>,
    permit: Permit<UserManage>,
    Path((id, assignment)): Path<(i64, i64)>,
) -> Result<StatusCode> {
    let (now, room) = (roles.clock.now(), roles.clone());
    roles.db.write(move |tx| room.take(tx, &permit, now, Some(OrgId(id)), assignment)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who holds which role over the whole site, newest first.
#[utoipa::path(get, path = "/api/role-assignments", tag = "roles", params(AssignmentsQuery),
    responses((status = 200, body = List<Assignment>), (status = "default", response = Problem)))]
pub async fn list_site(
    State(roles): State<Roles>,
    permit: Permit<UserManage>,
    Query(query): Query<AssignmentsQuery>,
) -> Result<Json<List<Assignment>>> {
    permit.require_site()?;
    let (narrow, page) = query.split();
    let page = page.check()?;
    let found = roles.db.read(move |tx| store::assignments(tx, None, &narrow, page)).await?;
    Ok(Json(page.list(found, |held| held.id)))
}

/// Give a person a built-in role over the whole site.
#[utoipa::path(post, path = "/api/role-assignments", tag = "roles", request_body = NewAssignment,
    responses((status = 201, body = Assignment), (status = "default", response = Problem)))]
pub async fn create_site(
    State(roles): State<Roles>,
    permit: Permit<UserManage>,
    Json(body): Json<NewAssignment>,
) -> Result<Created<Assignment>> {
    permit.require_site()?;
    if body.team_id.is_some() {
        let message = "A role in a team is given under /api/organizations/{id}/role-assignments.";
        return Err(Error::invalid("team_of_no_organization", message).field("team_id"));
    }
    let (now, room) = (roles.clock.now(), roles.clone());
    let given = roles.db.write(move |tx| {
        let user = body.person(tx)?.ok_or_else(|| body.absent())?;
        room.give(tx, &permit, now, &user, &body.role, Place::Site)
    });
    given.await.map(Created)
}

/// Take a role over the whole site from a person. The last super_admin keeps it.
#[utoipa::path(delete, path = "/api/role-assignments/{assignment_id}", tag = "roles",
    params(("assignment_id" = i64, Path)), responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete_site(
    State(roles): State<Roles>,
    permit: Permit<UserManage>,
    Path(assignment): Path<i64>,
) -> Result<StatusCode> {
    permit.require_site()?;
    let (now, room) = (roles.clock.now(), roles.clone());
    roles.db.write(move |tx| room.take(tx, &permit, now, None, assignment)).await?;
    Ok(StatusCode::NO_CONTENT)
}

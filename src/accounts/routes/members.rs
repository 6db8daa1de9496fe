//! Who belongs to an organisation, and as what.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::users::{PeopleFilter, sees};
use crate::access::actions::{OrganizationRead, UserManage, UserRead};
use crate::access::{OrgId, Permit, Place, Role, UserId};
use crate::accounts::grants::{self, FoundRole, check_grant};
use crate::accounts::{Accounts, RoleGrant, User, store};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::page::{List, PageQuery, check_part};
use crate::db::Tx;
use crate::orgs;
use crate::web::{Created, Json, Path, Problem, Query};

/// A person's place in an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    pub user_id: i64,
    pub username: String,
    pub email: String,
    /// Whether the account is switched on.
    pub is_active: bool,
    /// The role held over the organisation, the strongest when there are several; null: held in teams only.
    pub role: Option<String>,
    /// Everything held in the organisation and in its teams.
    pub roles: Vec<RoleGrant>,
}

impl Member {
    pub fn new(user: &User, org: OrgId) -> Self {
        let here = |grant: &&RoleGrant| grant.organization_id == Some(org.0);
        let roles: Vec<RoleGrant> = user.roles.iter().filter(here).cloned().collect();
        let rank = |code: &str| Role::ALL.iter().position(|role| role.code() == code).unwrap_or(Role::ALL.len());
        let over = roles.iter().filter(|grant| grant.team_id.is_none());
        let role = over.min_by_key(|grant| rank(&grant.role)).map(|grant| grant.role.clone());
        let (username, email) = (user.username.clone(), user.email.clone());
        Self { user_id: user.id, username, email, is_active: user.is_active, role, roles }
    }
}

/// The members of an organisation, newest first.
#[utoipa::path(get, path = "/api/organizations/{id}/members", tag = "organizations",
    params(("id" = i64, Path), PageQuery, PeopleFilter),
    responses((status = 200, body = List<Member>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    permit: Permit<UserRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<PeopleFilter>,
) -> Result<Json<List<Member>>> {
    let page = query.check()?;
    check_part(filter.q.as_ref())?;
    permit.require(OrgId(id), "such organization")?;
    let members = accounts
        .db
        .read(move |tx| {
            orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, OrgId(id))?;
            store::members(tx, &permit, OrgId(id), &filter, page)
        })
        .await?;
    Ok(Json(page.list(members, |member| member.user_id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemberRequest {
    username: String,
    /// org_admin, team_admin, developer, viewer, or a role of the organisation's own.
    role: String,
}

/// Give a person a role over an organisation, replacing those they have over the whole of it. Who is in none of your organisations is
/// added by an administrator of the site, or gets an account in yours with `POST /api/users`.
#[utoipa::path(post, path = "/api/organizations/{id}/members", tag = "organizations",
    params(("id" = i64, Path)), request_body = NewMemberRequest,
    responses((status = 201, body = Member), (status = "default", response = Problem)))]
pub async fn add(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewMemberRequest>,
) -> Result<Created<Member>> {
    let org = OrgId(id);
    let now = accounts.clock.now();
    let room = accounts.clone();
    let member = accounts
        .db
        .write(move |tx| {
            permit.require(org, "such organization")?;
            orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
            // Who is in other organisations only is not there for this caller: neither their id nor their address.
            let user = store::user_by_name(tx, &body.username)?
                .filter(|user| sees(&permit, user))
                .ok_or_else(|| unknown(&permit, &body.username))?;
            let role = grants::store::find(tx, &body.role, Place::Org(org))?;
            appoint(tx, &room, &permit, now, &user, &role, org)
        })
        .await?;
    Ok(Created(member))
}

fn unknown(permit: &Permit<UserManage>, username: &str) -> Error {
    let mut message = format!("There is no user `{username}` here that you may see.");
    if permit.require_site().is_err() {
        message.push_str(
            " Create an account for them in your organisation; whoever has one elsewhere is added by an administrator of the site.",
        );
    }
    Error::new(Kind::NotFound, "not_found", message).field("username")
}

/// Gives a person a role over an organisation, in the place of those they have over the whole of it.
///
/// # Errors
/// Those of [`check_grant`], for the new role and the old ones; `last_owner`.
pub fn appoint(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    permit: &Permit<UserManage>,
    now: Time,
    user: &User,
    role: &FoundRole,
    org: OrgId,
) -> Result<Member> {
    let place = Place::Org(org);
    check_grant(permit, &role.code, role.permissions, place)?;
    let before = Member::new(user, org);
    for grant in before.roles.iter().filter(|grant| grant.place() == place) {
        check_grant(permit, &grant.role, grant.permissions, place)?;
    }
    let id = UserId(user.id);
    grants::store::replace(tx, accounts, now, id, role, place, permit.caller().user)?;
    let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
    let member = Member::new(&user, org);
    let text = format!("Made {} {} of organisation {}", member.username, role.code, org.0);
    let event = Event::new(AuditAction::PermissionChange, "user", text).id(user.id).person(id).org(org).after(&member);
    let event = if before.roles.is_empty() { event } else { event.before(&before) };
    audit::record(tx, now, permit.caller(), &event)?;
    Ok(member)
}

/// Take a person out of an organisation and all of its teams.
#[utoipa::path(delete, path = "/api/organizations/{id}/members/{user_id}", tag = "organizations",
    params(("id" = i64, Path), ("user_id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn remove(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path((id, user_id)): Path<(i64, i64)>,
) -> Result<StatusCode> {
    let (org, user_id) = (OrgId(id), UserId(user_id));
    permit.require(org, "such organization")?;
    let now = accounts.clock.now();
    let room = accounts.clone();
    accounts
        .db
        .write(move |tx| {
            let user = store::user(tx, user_id)?;
            let before = user.as_ref().map(|user| Member::new(user, org)).filter(|member| !member.roles.is_empty());
            let before =
                before.ok_or_else(|| Error::not_found(format!("member {} of organization {id}", user_id.0)))?;
            for grant in &before.roles {
                check_grant(&permit, &grant.role, grant.permissions, grant.place())?;
            }
            grants::store::leave(tx, &room, user_id, org)?;
            let text = format!("Took {} out of organisation {id}", before.username);
            let event = Event::new(AuditAction::PermissionChange, "user", text).id(user_id.0).person(user_id);
            audit::record(tx, now, permit.caller(), &event.org(org).before(&before))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Who belongs to an organisation, and as what.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::users::{check_grant, sees};
use crate::access::actions::{OrganizationRead, UserManage, UserRead};
use crate::access::{OrgId, Permit, Role, UserId};
use crate::accounts::{Accounts, User, store};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::page::{List, PageQuery};
use crate::db::Tx;
use crate::orgs;
use crate::web::{Created, Json, Path, Problem, Query};

/// A person's place in an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    pub user_id: i64,
    pub username: String,
    pub email: String,
    /// org_admin, team_admin, developer or viewer.
    pub role: Role,
}

/// The members of an organisation, newest first.
#[utoipa::path(get, path = "/api/organizations/{id}/members", tag = "organizations",
    params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<Member>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    permit: Permit<UserRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Member>>> {
    let page = query.check()?;
    permit.require(OrgId(id), "such organization")?;
    let members = accounts
        .db
        .read(move |tx| {
            orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, OrgId(id))?;
            store::members(tx, &permit, OrgId(id), page)
        })
        .await?;
    Ok(Json(page.list(members, |member| member.user_id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMemberRequest {
    username: String,
    /// org_admin, team_admin, developer or viewer.
    role: String,
}

/// Give a person a role in an organisation, replacing the one they have there. Who is in none of your organisations is
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
    let role = Role::parse(&body.role)?;
    if role == Role::SuperAdmin {
        let message = "super_admin is held over the whole site, not in an organisation.";
        return Err(Error::invalid("role_over_site", message).field("role"));
    }
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
            appoint(tx, &room, &permit, now, &user, role, org)
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

/// Gives a person a role in an organisation, in the place of the one they have there.
///
/// # Errors
/// Those of [`check_grant`].
pub fn appoint(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    permit: &Permit<UserManage>,
    now: Time,
    user: &User,
    role: Role,
    org: OrgId,
) -> Result<Member> {
    check_grant(permit, role, Some(org))?;
    let before = user.roles.iter().find(|grant| grant.organization_id == Some(org.0));
    store::set_role(tx, accounts, now, UserId(user.id), role, Some(org))?;
    let member = Member { user_id: user.id, username: user.username.clone(), email: user.email.clone(), role };
    let text = format!("Made {} {} of organisation {}", member.username, role.code(), org.0);
    let event = Event::new(AuditAction::PermissionChange, "user", text).id(user.id).person(UserId(user.id));
    let event = event.org(org).after(&member);
    let event = match before {
        Some(grant) => event.before(grant),
        None => event,
    };
    audit::record(tx, now, permit.caller(), &event)?;
    Ok(member)
}

/// Take a person out of an organisation.
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
            let grant = user.as_ref().and_then(|user| user.roles.iter().find(|g| g.organization_id == Some(id)));
            let (Some(user), Some(grant)) = (&user, grant) else {
                return Err(Error::not_found(format!("member {} of organization {id}", user_id.0)));
            };
            check_grant(&permit, grant.role, Some(org))?;
            store::remove_role(tx, &room, user_id, Some(org))?;
            let text = format!("Took {} out of organisation {id}", user.username);
            let event = Event::new(AuditAction::PermissionChange, "user", text).id(user.id).person(user_id);
            audit::record(tx, now, permit.caller(), &event.org(org).before(grant))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

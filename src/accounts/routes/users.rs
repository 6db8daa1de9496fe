//! People: list and create.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::actions::{UserManage, UserRead};
use crate::access::{OrgId, Permit, Role, UserId};
use crate::accounts::store::NewUser;
use crate::accounts::{Accounts, RoleGrant, User, check_username, store};
use crate::audit::{self, AuditAction, Event};
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::db::Tx;
use crate::orgs;
use crate::web::{Created, Json, Path, Problem, Query};

/// People who share an organisation with the caller; for site administrators, everybody.
#[utoipa::path(get, path = "/api/users", tag = "users", params(PageQuery),
    responses((status = 200, body = List<User>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    permit: Permit<UserRead>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<User>>> {
    let page = query.check()?;
    let users = accounts.db.read(move |tx| store::list(tx, &permit, page)).await?;
    Ok(Json(page.list(users, |user| user.id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUserRequest {
    username: String,
    email: String,
    /// At least 16 characters.
    password: String,
    /// super_admin (or `admin`), org_admin, team_admin, developer or viewer.
    role: Option<String>,
    /// The slug of the organisation the role is held in; absent for super_admin.
    organization: Option<String>,
}

/// Create a person, with a role when one is given.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = NewUserRequest,
    responses((status = 201, body = User), (status = "default", response = Problem)))]
pub async fn create(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Json(body): Json<NewUserRequest>,
) -> Result<Created<User>> {
    check_username(&body.username)?;
    email::check(&body.email, "email")?;
    let role = body.role.as_deref().map(Role::parse).transpose()?;
    if role.is_none() {
        // A person without a role belongs to no organisation, so only the site can have them.
        permit.require_site()?;
    }
    let new =
        NewUser { username: body.username, email: body.email, password_hash: accounts.hash(body.password).await? };
    let now = accounts.clock.now();
    let room = accounts.clone();
    let user = accounts
        .db
        .write(move |tx| {
            let place = place(tx, &permit, role, body.organization.as_deref())?;
            if let Some((role, org)) = place {
                check_grant(&permit, role, org)?;
            }
            let id = store::insert(tx, &permit, now, &new)?;
            if let Some((role, org)) = place {
                store::set_role(tx, &room, now, id, role, org)?;
            }
            let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
            let mut event = Event::new(AuditAction::Create, "user", format!("Created user {}", user.username));
            if let Some((_, Some(org))) = place {
                event = event.org(org);
            }
            audit::record(tx, now, permit.caller(), &event.id(user.id).person(id).after(&user))?;
            Ok(user)
        })
        .await?;
    Ok(Created(user))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// At least 16 characters.
    password: String,
}

/// Set another password for a person who lost theirs. Their sessions end; their personal tokens stay.
#[utoipa::path(put, path = "/api/users/{id}/password", tag = "users", params(("id" = i64, Path)),
    request_body = NewPassword, responses((status = 204), (status = "default", response = Problem)))]
pub async fn set_password(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewPassword>,
) -> Result<StatusCode> {
    let hash = accounts.hash(body.password).await?;
    let (id, now) = (UserId(id), accounts.clock.now());
    let room = accounts.clone();
    accounts
        .db
        .write(move |tx| {
            let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
            check_reach(&permit, &user)?;
            store::set_password(tx, &room, &permit, id, &hash)?;
            store::revoke_sessions(tx, &room, id, now)?;
            let event = Event::new(AuditAction::Update, "user", format!("Set a new password for {}", user.username));
            audit::record(tx, now, permit.caller(), &event.id(user.id).person(id))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether somebody is there for the permit's holder: over the site everybody, else who is in an organisation it covers.
pub fn sees(permit: &Permit<UserManage>, user: &User) -> bool {
    let shared = |grant: &RoleGrant| grant.organization_id.is_some_and(|org| permit.covers(OrgId(org)));
    permit.require_site().is_ok() || user.roles.iter().any(shared)
}

/// Who signs in as somebody can do what they can, so a password is set by those who hold all of that themselves.
fn check_reach(permit: &Permit<UserManage>, user: &User) -> Result<()> {
    if !sees(permit, user) {
        return Err(Error::not_found("user"));
    }
    let grants = &permit.caller().grants;
    let above = |grant: &RoleGrant| !grants.hold_all(grant.organization_id.map(OrgId), grant.role.permissions());
    if user.roles.iter().any(above) {
        let message =
            format!("{} holds more than you do; somebody with those rights must set the password.", user.username);
        return Err(Error::forbidden("role_above_yours", message));
    }
    Ok(())
}

/// Where a role is held: super_admin over the site, the others in the organisation named.
fn place(
    tx: &mut Tx<'_>,
    permit: &Permit<UserManage>,
    role: Option<Role>,
    slug: Option<&str>,
) -> Result<Option<(Role, Option<OrgId>)>> {
    let org = match slug {
        None => None,
        Some(slug) => Some(
            orgs::store::id_of_slug(tx, slug)?
                // One answer for what is not there and what is another's, so that slugs cannot be tried out.
                .filter(|org| permit.covers(*org))
                .ok_or_else(|| Error::not_found(format!("organization `{slug}`")).field("organization"))?,
        ),
    };
    match (role, org) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err(Error::invalid("role_missing", "Say which role the person has in the organisation.").field("role"))
        }
        (Some(Role::SuperAdmin), None) => Ok(Some((Role::SuperAdmin, None))),
        (Some(Role::SuperAdmin), Some(_)) => Err(Error::invalid(
            "role_over_site",
            "super_admin is held over the whole site; leave the organisation out, or take org_admin.",
        )
        .field("organization")),
        (Some(role), None) => {
            Err(Error::invalid("organization_missing", format!("{} is held in an organisation: name it.", role.code()))
                .field("organization"))
        }
        (Some(role), org) => Ok(Some((role, org))),
    }
}

/// Nobody gives what they do not hold.
///
/// # Errors
/// `not_found` outside the permit, `role_above_yours` for more than the caller has.
pub fn check_grant(permit: &Permit<UserManage>, role: Role, org: Option<OrgId>) -> Result<()> {
    match org {
        Some(org) => permit.require(org, "such organization")?,
        None => permit.require_site()?,
    }
    if !permit.caller().grants.hold_all(org, role.permissions()) {
        let message =
            format!("The role {} holds more than you do; somebody with those rights must give it.", role.code());
        return Err(Error::forbidden("role_above_yours", message).field("role"));
    }
    Ok(())
}

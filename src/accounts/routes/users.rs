//! People: list and create.

use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::access::actions::{UserManage, UserRead};
use crate::access::{OrgId, Permit, Place, Role, UserId};
use crate::accounts::grants::{self, FoundRole, check_grant};
use crate::accounts::store::NewUser;
use crate::accounts::{Accounts, RoleGrant, User, check_username, store};
use crate::audit::{self, AuditAction, Event};
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery, check_part};
use crate::db::Tx;
use crate::hooks::Hook;
use crate::orgs;
use crate::web::{Created, Json, Problem, Query};

/// Whom a list of people is narrowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Whose account is switched on.
    Active,
    /// Whose account is switched off.
    Inactive,
    /// Who holds no role anywhere.
    NoRole,
    /// Who holds a role over the whole site.
    SiteRole,
}

/// Which people are wanted; what is absent rules nobody out.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PeopleFilter {
    /// A part of the user name or the address, whatever its case; at most 100 characters.
    pub q: Option<String>,
    #[param(inline)]
    pub only: Option<Only>,
}

/// People who share an organisation with the caller; for site administrators, everybody.
#[utoipa::path(get, path = "/api/users", tag = "users", params(PageQuery, PeopleFilter),
    responses((status = 200, body = List<User>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    permit: Permit<UserRead>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<PeopleFilter>,
) -> Result<Json<List<User>>> {
    let page = query.check()?;
    check_part(filter.q.as_ref())?;
    let users = accounts.db.read(move |tx| store::list(tx, &permit, &filter, page)).await?;
    Ok(Json(page.list(users, |user| user.id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUserRequest {
    username: String,
    email: String,
    /// At least 16 characters, not easily guessed.
    password: String,
    /// super_admin (or `admin`), org_admin, team_admin, developer, viewer, or a role of the organisation's own.
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
    if body.role.is_none() {
        // A person without a role belongs to no organisation, so only the site can have them.
        permit.require_site()?;
    }
    let known = [&body.username, &body.email].into_iter().chain(&body.organization).cloned().collect();
    let password_hash = accounts.hash(body.password, known).await?;
    let new = NewUser { username: body.username, email: body.email, password_hash, is_active: true };
    let now = accounts.clock.now();
    let room = accounts.clone();
    let user = accounts
        .db
        .write(move |tx| {
            let place = place(tx, &permit, body.role.as_deref(), body.organization.as_deref())?;
            if let Some((role, place)) = &place {
                check_grant(&permit, &role.code, role.permissions, *place)?;
            }
            let id = store::insert(tx, &room, &permit, now, &new)?;
            if let Some((role, place)) = &place {
                grants::store::give(tx, &room, now, id, role, *place, permit.caller().user)?;
            }
            let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
            let mut event = Event::new(AuditAction::Create, "user", format!("Created user {}", user.username));
            if let Some(org) = place.and_then(|(_, place)| place.org()) {
                event = event.org(org);
            }
            audit::record(tx, now, permit.caller(), &event.id(user.id).person(id).after(&user))?;
            room.tell(tx, Hook::UserRegister, id)?;
            Ok(user)
        })
        .await?;
    Ok(Created(user))
}

/// Whether somebody is there for the permit's holder: over the site everybody, else who is in an organisation it covers.
pub fn sees(permit: &Permit<UserManage>, user: &User) -> bool {
    let covered = |org: Option<i64>| org.is_some_and(|org| permit.covers(OrgId(org)));
    permit.require_site().is_ok()
        || covered(user.service_of)
        || user.roles.iter().any(|grant: &RoleGrant| covered(grant.organization_id))
}

/// Who signs in as somebody can do what they can, so a password is set by those who hold all of that themselves. A limited
/// token does none of it to its own owner.
///
/// # Errors
/// `not_found` for who is not there for the caller, `role_above_yours`, `token_limited`.
pub fn check_reach(permit: &Permit<UserManage>, user: &User) -> Result<()> {
    if !sees(permit, user) {
        return Err(Error::not_found("user"));
    }
    if permit.caller().user == Some(UserId(user.id)) {
        permit.caller().require_oneself()?;
    }
    let grants = &permit.caller().grants;
    let above = |grant: &RoleGrant| !grants.hold_all(grant.place(), grant.permissions);
    if user.roles.iter().any(above) {
        let message = format!("{} holds more than you do; somebody with those rights must do this.", user.username);
        return Err(Error::forbidden("role_above_yours", message));
    }
    Ok(())
}

/// What a new account starts with: super_admin over the site, another role in the organisation named.
fn place(
    tx: &mut Tx<'_>,
    permit: &Permit<UserManage>,
    role: Option<&str>,
    slug: Option<&str>,
) -> Result<Option<(FoundRole, Place)>> {
    let org = match slug {
        None => None,
        Some(slug) => Some(
            orgs::store::id_of_slug(tx, slug)?
                // One answer for what is not there and what is another's, so that slugs cannot be tried out.
                .filter(|org| permit.covers(*org))
                .ok_or_else(|| Error::not_found(format!("organization `{slug}`")).field("organization"))?,
        ),
    };
    let place = org.map_or(Place::Site, Place::Org);
    let Some(role) = role else {
        if org.is_none() {
            return Ok(None);
        }
        let message = "Say which role the person has in the organisation.";
        return Err(Error::invalid("role_missing", message).field("role"));
    };
    let found = grants::store::find(tx, role, place)?;
    if org.is_none() && found.code != Role::SuperAdmin.code() {
        let message = format!("{} is held in an organisation: name it.", found.code);
        return Err(Error::invalid("organization_missing", message).field("organization"));
    }
    Ok(Some((found, place)))
}

//! An organisation's own roles, beside the built-in ones that can be given there.

use axum::extract::State;
use axum::http::StatusCode;

use crate::access::actions::{OrganizationRead, RoleManage};
use crate::access::{OrgId, Permit, Role};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::base::page::List;
use crate::licence::Feature;
use crate::orgs;
use crate::roles::{NewRole, RoleChange, RoleInfo, Roles, check_author, store};
use crate::web::{Created, Json, Path, Problem};

/// The roles that can be given in an organisation: built-in ones, then its own; all of them at once.
#[utoipa::path(get, path = "/api/organizations/{id}/roles", tag = "roles", params(("id" = i64, Path)),
    responses((status = 200, body = List<RoleInfo>), (status = "default", response = Problem)))]
pub async fn list(
    State(roles): State<Roles>,
    permit: Permit<OrganizationRead>,
    Path(id): Path<i64>,
) -> Result<Json<List<RoleInfo>>> {
    let org = OrgId(id);
    let found = roles.db.read(move |tx| {
        orgs::store::get(tx, &permit, org)?;
        let holders = store::holders(tx, org)?;
        let given = Role::ALL.into_iter().filter(|role| *role != Role::SuperAdmin).map(RoleInfo::built_in);
        let all = given.chain(store::own(tx, org)?);
        let count = |role: RoleInfo| RoleInfo { holders: Some(holders.get(&role.code).copied().unwrap_or(0)), ..role };
        Ok(all.map(count).collect())
    });
    Ok(Json(List { items: found.await?, next_cursor: None }))
}

/// Make a role of the organisation's own, with permissions that you hold over the organisation yourself.
#[utoipa::path(post, path = "/api/organizations/{id}/roles", tag = "roles", params(("id" = i64, Path)),
    request_body = NewRole, responses((status = 201, body = RoleInfo), (status = "default", response = Problem)))]
pub async fn create(
    State(roles): State<Roles>,
    permit: Permit<RoleManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewRole>,
) -> Result<Created<RoleInfo>> {
    let (org, now) = (OrgId(id), roles.clock.now());
    permit.require(org, "such organization")?;
    let new = body.check()?;
    let licence = roles.accounts.licence().clone();
    let made = roles.db.write(move |tx| {
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        licence.require(tx, Feature::Roles)?;
        let made = store::insert(tx, &permit, now, org, &new)?;
        check_author(&permit, org, made.set())?;
        let event = Event::new(AuditAction::PermissionChange, "role", format!("Made role {}", made.code));
        audit::record(tx, now, permit.caller(), &event.id(&made.code).org(org).after(&made))?;
        Ok(made)
    });
    made.await.map(Created)
}

/// One role, built-in or of the organisation's own.
#[utoipa::path(get, path = "/api/organizations/{id}/roles/{code}", tag = "roles",
    params(("id" = i64, Path), ("code" = String, Path)),
    responses((status = 200, body = RoleInfo), (status = "default", response = Problem)))]
pub async fn get(
    State(roles): State<Roles>,
    permit: Permit<OrganizationRead>,
    Path((id, code)): Path<(i64, String)>,
) -> Result<Json<RoleInfo>> {
    let org = OrgId(id);
    let found = roles.db.read(move |tx| {
        orgs::store::get(tx, &permit, org)?;
        let built_in = Role::ALL.into_iter().find(|role| role.code() == code && *role != Role::SuperAdmin);
        let role = match built_in {
            Some(role) => RoleInfo::built_in(role),
            None => store::find(tx, org, &code)?,
        };
        let holders = store::holders(tx, org)?.get(&code).copied();
        Ok(RoleInfo { holders: Some(holders.unwrap_or(0)), ..role })
    });
    found.await.map(Json)
}

/// # Errors
/// `role_built_in`.
fn changeable(code: &str) -> Result<()> {
    if Role::ALL.into_iter().any(|role| role.code() == code) {
        let message = format!("`{code}` is a built-in role, which stays as it is. Make one of your own instead.");
        return Err(Error::conflict("role_built_in", message));
    }
    Ok(())
}

/// Change a role; what is absent stays. Its holders have the new permissions on their next request. You must hold all that
/// it allowed and will allow.
#[utoipa::path(put, path = "/api/organizations/{id}/roles/{code}", tag = "roles",
    params(("id" = i64, Path), ("code" = String, Path)), request_body = RoleChange,
    responses((status = 200, body = RoleInfo), (status = "default", response = Problem)))]
pub async fn update(
    State(roles): State<Roles>,
    permit: Permit<RoleManage>,
    Path((id, code)): Path<(i64, String)>,
    Json(body): Json<RoleChange>,
) -> Result<Json<RoleInfo>> {
    let (org, now) = (OrgId(id), roles.clock.now());
    permit.require(org, "such organization")?;
    changeable(&code)?;
    let (change, room) = (body.check()?, roles.accounts.clone());
    let changed = roles.db.write(move |tx| {
        let before = store::find(tx, org, &code)?;
        let after = change.clone().of(&before);
        check_author(&permit, org, before.set().union(after.set()))?;
        if after == before {
            return Ok(before);
        }
        store::save(tx, &room, &permit, now, org, &after)?;
        let after = store::find(tx, org, &code)?;
        let event = Event::new(AuditAction::PermissionChange, "role", format!("Changed role {code}"));
        audit::record(tx, now, permit.caller(), &event.id(&code).org(org).before(&before).after(&after))?;
        Ok(after)
    });
    changed.await.map(Json)
}

/// Delete a role that nobody holds.
#[utoipa::path(delete, path = "/api/organizations/{id}/roles/{code}", tag = "roles",
    params(("id" = i64, Path), ("code" = String, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete(
    State(roles): State<Roles>,
    permit: Permit<RoleManage>,
    Path((id, code)): Path<(i64, String)>,
) -> Result<StatusCode> {
    let (org, now) = (OrgId(id), roles.clock.now());
    permit.require(org, "such organization")?;
    changeable(&code)?;
    let deleted = roles.db.write(move |tx| {
        let before = store::find(tx, org, &code)?;
        check_author(&permit, org, before.set())?;
        store::delete(tx, &permit, org, &code)?;
        let event = Event::new(AuditAction::PermissionChange, "role", format!("Deleted role {code}"));
        audit::record(tx, now, permit.caller(), &event.id(&code).org(org).before(&before))
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

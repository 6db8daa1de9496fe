//! Service accounts of an organisation, and tokens for them.

use axum::extract::State;
use axum::http::StatusCode;

use super::users::check_reach;
use crate::access::actions::{OrganizationRead, UserManage, UserRead};
use crate::access::{OrgId, Permit, Place, UserId};
use crate::accounts::grants::{self, check_grant};
use crate::accounts::services::{NewServiceAccount, ServiceAccount, store};
use crate::accounts::tokens::{self, NewToken, NewTokenRequest};
use crate::accounts::{self, Accounts, DEACTIVATED, Deactivated, User};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::db::Tx;
use crate::web::{Created, Json, Path, Problem, Query};
use crate::{jobs, orgs};

const RESOURCE: &str = "service_account";

/// The service accounts of an organisation, newest first.
#[utoipa::path(get, path = "/api/organizations/{id}/service-accounts", tag = "service accounts",
    params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<ServiceAccount>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    permit: Permit<UserRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<ServiceAccount>>> {
    let (org, page) = (OrgId(id), query.check()?);
    let found = accounts.db.read(move |tx| {
        permit.require(org, "such organization")?;
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        store::list(tx, &permit, org, page)
    });
    Ok(Json(page.list(found.await?, |found| found.id)))
}

/// Make a service account: for a program, without a password. It acts with tokens that are made for it.
#[utoipa::path(post, path = "/api/organizations/{id}/service-accounts", tag = "service accounts",
    params(("id" = i64, Path)), request_body = NewServiceAccount,
    responses((status = 201, body = ServiceAccount), (status = "default", response = Problem)))]
pub async fn create(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewServiceAccount>,
) -> Result<Created<ServiceAccount>> {
    body.check()?;
    let (org, room, now) = (OrgId(id), accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        permit.require(org, "such organization")?;
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        let id = store::insert(tx, &permit, now, org, &body)?;
        if let Some(code) = &body.role {
            let role = grants::store::find(tx, code, Place::Org(org))?;
            check_grant(&permit, &role.code, role.permissions, Place::Org(org))?;
            grants::store::give(tx, &room, now, id, &role, Place::Org(org), permit.caller().user)?;
        }
        let made = store::find(tx, org, id)?;
        let event = Event::new(AuditAction::Create, RESOURCE, format!("Made service account {}", made.name));
        audit::record(tx, now, permit.caller(), &event.id(made.id).org(org).after(&made))?;
        Ok(made)
    });
    Ok(Created(write.await?))
}

/// A service account.
#[utoipa::path(get, path = "/api/organizations/{id}/service-accounts/{account_id}", tag = "service accounts",
    params(("id" = i64, Path), ("account_id" = i64, Path)),
    responses((status = 200, body = ServiceAccount), (status = "default", response = Problem)))]
pub async fn get(
    State(accounts): State<Accounts>,
    permit: Permit<UserRead>,
    Path((id, account)): Path<(i64, i64)>,
) -> Result<Json<ServiceAccount>> {
    let (org, account) = (OrgId(id), UserId(account));
    permit.require(org, "such organization")?;
    accounts.db.read(move |tx| store::find(tx, org, account)).await.map(Json)
}

/// Delete a service account. Its roles and tokens are gone at once, and its runs are stopped; what it made stays.
#[utoipa::path(delete, path = "/api/organizations/{id}/service-accounts/{account_id}", tag = "service accounts",
    params(("id" = i64, Path), ("account_id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path((id, account)): Path<(i64, i64)>,
) -> Result<StatusCode> {
    let (org, account) = (OrgId(id), UserId(account));
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let (before, _) = managed(tx, &permit, org, account)?;
        store::delete(tx, &room, org, account)?;
        jobs::enqueue(tx, now, DEACTIVATED, &Deactivated { user: account.0 })?;
        let event = Event::new(AuditAction::Delete, RESOURCE, format!("Deleted service account {}", before.name));
        audit::record(tx, now, permit.caller(), &event.id(before.id).org(org).before(&before))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a token for a service account. It allows what its scopes name of what the account may. Listed and deleted with
/// `/api/users/{id}/tokens`, by the account's id.
#[utoipa::path(post, path = "/api/organizations/{id}/service-accounts/{account_id}/tokens", tag = "service accounts",
    params(("id" = i64, Path), ("account_id" = i64, Path)), request_body = NewTokenRequest,
    responses((status = 201, body = NewToken), (status = "default", response = Problem)))]
pub async fn create_token(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path((id, account)): Path<(i64, i64)>,
    Json(body): Json<NewTokenRequest>,
) -> Result<Created<NewToken>> {
    let (org, account) = (OrgId(id), UserId(account));
    permit.require(org, "such organization")?;
    let asked = accounts.check_token(permit.caller(), &body)?;
    let (secret, digest) = tokens::secret()?;
    let now = accounts.clock.now();
    let write = accounts.db.write(move |tx| {
        let (_, owner) = managed(tx, &permit, org, account)?;
        if !owner.is_active {
            let message = format!("{} is switched off. Switch it on first.", owner.username);
            return Err(Error::conflict("account_inactive", message));
        }
        asked.check_held(&owner.grants())?;
        let token = tokens::store::insert(tx, account, &asked, &digest, now)?;
        let text = format!("Created token {} for service account {}", token.name, owner.username);
        let event = Event::new(AuditAction::Create, "personal_token", text).id(token.id).org(org);
        audit::record(tx, now, permit.caller(), &event.after(&token))?;
        Ok(token)
    });
    Ok(Created(NewToken { token: write.await?, secret }))
}

/// A service account that the permit's holder may change: all it may do, they may.
fn managed(tx: &mut Tx<'_>, permit: &Permit<UserManage>, org: OrgId, id: UserId) -> Result<(ServiceAccount, User)> {
    permit.require(org, "such organization")?;
    let found = store::find(tx, org, id)?;
    let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
    check_reach(permit, &user)?;
    Ok((found, user))
}

//! All SQL of service accounts.
//!
//! Invariant: every statement is bounded to one organisation. In `users` one has a key with its organisation in it, so that
//! its name is taken in no other, and neither a name nor an address to sign in with finds it.

use super::{MOST, NewServiceAccount, ServiceAccount, too_many};
use crate::access::actions::{UserManage, UserRead};
use crate::access::{OrgId, PermissionSet, Permit, UserId};
use crate::accounts::{Accounts, grants, store};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, params};

/// No password has this hash.
const NO_PASSWORD: &str = "!";

const SERVICE: &str = "SELECT id, service_of, username, COALESCE(description, ''), is_active, created_at, \
    (SELECT COUNT(*) FROM personal_tokens t WHERE t.user_id = users.id), \
    (SELECT MAX(t.last_used_at) FROM personal_tokens t WHERE t.user_id = users.id) FROM users";

fn read(row: &Row<'_>) -> Result<ServiceAccount, DbError> {
    Ok(ServiceAccount {
        id: row.get(0)?,
        organization_id: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        is_active: row.get(4)?,
        created_at: row.get(5)?,
        tokens: row.get(6)?,
        last_used_at: row.get(7)?,
        roles: Vec::new(),
        permissions: Vec::new(),
    })
}

fn with_roles(tx: &mut Tx<'_>, mut found: ServiceAccount) -> Result<ServiceAccount> {
    found.roles = grants::store::of_user(tx, UserId(found.id))?;
    let open = found.roles.iter().filter(|grant| grant.closed.is_none());
    let held = open.fold(PermissionSet::default(), |held, grant| held.union(grant.permissions));
    found.permissions = held.codes().into_iter().map(str::to_owned).collect();
    Ok(found)
}

/// # Errors
/// `name_taken`, `too_many_service_accounts`.
pub fn insert(
    tx: &mut Tx<'_>,
    _: &Permit<UserManage>,
    now: Time,
    org: OrgId,
    new: &NewServiceAccount,
) -> Result<UserId> {
    let sql = "SELECT COUNT(*) FROM users WHERE service_of = $1";
    if tx.query_row(sql, &params![org.0], |row| row.get(0))?.unwrap_or(0) >= MOST {
        return Err(too_many());
    }
    let id = tx.next_id()?;
    let key = format!("service:{}:{}", org.0, store::key(&new.name));
    tx.execute(
        "INSERT INTO users (id, username, username_key, email, email_key, password_hash, is_active, created_at, \
         service_of, description) VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8, $9)",
        &params![
            id,
            new.name.as_str(),
            key,
            format!("service:{id}"),
            NO_PASSWORD,
            true,
            now,
            org.0,
            new.description.as_str()
        ],
    )
    .map_err(|cause| match cause {
        DbError::Unique(name) if name == "uq_users_username_key" => {
            let message = format!("The organisation has a service account named {} already.", new.name);
            Error::conflict("name_taken", message).field("name")
        }
        other => other.into(),
    })?;
    Ok(UserId(id))
}

/// One of the organisation's.
///
/// # Errors
/// `not_found`.
pub fn find(tx: &mut Tx<'_>, org: OrgId, id: UserId) -> Result<ServiceAccount> {
    let found = tx.query_row(&format!("{SERVICE} WHERE id = $1 AND service_of = $2"), &params![id.0, org.0], read)?;
    let found = found.ok_or_else(|| Error::not_found(format!("service account {}", id.0)))?;
    with_roles(tx, found)
}

/// The organisation's, newest first.
///
/// # Errors
/// `not_found` when the permit is not over the organisation.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<UserRead>, org: OrgId, page: Page) -> Result<Vec<ServiceAccount>> {
    permit.require(org, "such organization")?;
    let sql = format!("{SERVICE} WHERE service_of = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    let found = tx.query_map(&sql, &params![org.0, page.before, page.fetch()], read)?;
    found.into_iter().map(|found| with_roles(tx, found)).collect()
}

/// Deletes one with its roles and tokens.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, accounts: &Accounts, org: OrgId, id: UserId) -> Result<()> {
    accounts.forget_callers(tx);
    tx.execute("DELETE FROM users WHERE id = $1 AND service_of = $2", &params![id.0, org.0])?;
    Ok(())
}

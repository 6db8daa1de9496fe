//! All SQL of roles held.
//!
//! Invariant: what is written here empties the cache of callers, and leaves an owner where there was one.

use super::{FoundRole, RoleGrant};
use crate::access::policy::{self, TEAM_OWNER};
use crate::access::{Closing, Grants, OrgId, PermissionSet, Place, Role, TeamId, UserId};
use crate::accounts::{Accounts, store};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, Val, params};
use crate::orgs;
use crate::quotas;

/// A role of the program is known by its code; the permissions of others are kept as JSON.
fn permissions(code: &str, kept: Option<&str>) -> PermissionSet {
    let own = || {
        let codes: Vec<String> = kept.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        PermissionSet::known(codes.iter().map(String::as_str))
    };
    policy::built_in(code).unwrap_or_else(own)
}

const GRANT: &str = "SELECT g.role, g.organization_id, g.team_id, r.permissions";
const FROM: &str = "FROM role_grants g LEFT JOIN roles r ON r.organization_id = g.organization_id AND r.code = g.role";

fn read(row: &Row<'_>) -> Result<RoleGrant, DbError> {
    let (role, kept): (String, Option<String>) = (row.get(0)?, row.get(3)?);
    let permissions = permissions(&role, kept.as_deref());
    Ok(RoleGrant {
        role,
        organization_id: row.get(1)?,
        team_id: row.get(2)?,
        permissions,
        closed: None,
        guarded: None,
        sso: None,
    })
}

/// The roles a person holds, oldest first, with what they allow now.
///
/// # Errors
/// When the database fails.
pub fn of_user(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<RoleGrant>> {
    let mut held =
        tx.query_map(&format!("{GRANT} {FROM} WHERE g.user_id = $1 ORDER BY g.id"), &params![user.0], read)?;
    let closed: Vec<OrgId> = tx.query_map(
        "SELECT DISTINCT g.organization_id FROM role_grants g JOIN organizations o ON o.id = g.organization_id \
         WHERE g.user_id = $1 AND (o.suspended_at IS NOT NULL OR o.deletion_due IS NOT NULL)",
        &params![user.0],
        |row| row.get(0).map(OrgId),
    )?;
    for org in closed {
        let why = orgs::store::why_closed(tx, org)?.map(Closing::suspended);
        held.iter_mut()
            .filter(|grant| grant.organization_id == Some(org.0))
            .for_each(|grant| grant.closed.clone_from(&why));
    }
    for (org, name, asks) in orgs::store::asking(tx, user)? {
        for grant in held.iter_mut().filter(|grant| grant.organization_id == Some(org.0)) {
            grant.guarded = asks.require_second_factor.then(|| Closing::second_factor(&name));
            grant.sso = asks.require_sso.then(|| Closing::sso(&name));
        }
    }
    Ok(held)
}

/// The teams in which something is held: where they are, their slugs and names. At most 500.
///
/// # Errors
/// When the database fails.
pub fn teams_of(tx: &mut Tx<'_>, grants: &Grants) -> Result<Vec<(Place, String, String)>> {
    let teams: Vec<Val> = grants.teams.iter().take(500).map(|(team, ..)| Val::I64(team.0)).collect();
    if teams.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=teams.len()).map(|at| format!("${at}")).collect();
    let sql = format!(
        "SELECT organization_id, id, slug, name FROM teams WHERE id IN ({}) ORDER BY organization_id, name_key, id",
        places.join(", ")
    );
    let read = |row: &Row<'_>| Ok((Place::of(row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?));
    Ok(tx.query_map(&sql, &teams, read)?)
}

/// The role that `code` means at `place`; `admin` over the site is the specification's word for the super admin.
///
/// # Errors
/// `unknown_role`; `role_over_site` and `role_in_teams` for one that is held elsewhere only.
pub fn find(tx: &mut Tx<'_>, code: &str, place: Place) -> Result<FoundRole> {
    let wrong = |code, message: &str| Err(Error::invalid(code, message).field("role"));
    let code = if code == "admin" { Role::SuperAdmin.code() } else { code };
    if code == Role::SuperAdmin.code() && place != Place::Site {
        return wrong("role_over_site", "super_admin is held over the whole site, not in an organisation.");
    }
    if code == TEAM_OWNER && place.team().is_none() {
        return wrong("role_in_teams", "team_owner is held in a team; say in which.");
    }
    if let Some(permissions) = policy::built_in(code) {
        return Ok(FoundRole { code: code.to_owned(), permissions });
    }
    let kept = match place.org() {
        None => None,
        Some(org) => own_role(tx, org, code)?,
    };
    let permissions = kept.ok_or_else(|| {
        let known: Vec<_> = Role::ALL.iter().map(|role| role.code()).collect();
        let message = format!(
            "`{}` is not a role here. Roles are: {}; and those the organisation made.",
            code.escape_debug(),
            known.join(", ")
        );
        Error::invalid("unknown_role", message).field("role")
    })?;
    Ok(FoundRole { code: code.to_owned(), permissions })
}

/// What one of the organisation's own roles allows; None when there is no such role.
fn own_role(tx: &mut Tx<'_>, org: OrgId, code: &str) -> Result<Option<PermissionSet>> {
    let sql = "SELECT permissions FROM roles WHERE organization_id = $1 AND code = $2";
    let kept: Option<String> = tx.query_row(sql, &params![org.0, code], |row| row.get(0))?;
    Ok(kept.map(|kept| permissions(code, Some(&kept))))
}

/// Gives a person a role beside those they have; the assignment's id. `by` is null for the local operator.
///
/// # Errors
/// `role_held` when they hold it there already; `service_account_elsewhere`; `quota_exceeded` when the organisation has as many members as it may.
pub fn give(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    now: Time,
    user: UserId,
    role: &FoundRole,
    place: Place,
    by: Option<UserId>,
) -> Result<i64> {
    accounts.forget_callers(tx);
    let holder = store::user(tx, user)?.ok_or_else(|| Error::not_found("user"))?;
    holder.require_home(place)?;
    let id = tx.next_id()?;
    let given = tx.savepoint(|tx| {
        tx.execute(
            "INSERT INTO role_grants (id, user_id, role, organization_id, team_id, granted_at, granted_by) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &params![
                id,
                user.0,
                role.code.as_str(),
                place.org().map(|org| org.0),
                place.team().map(|team| team.0),
                now,
                by.map(|by| by.0)
            ],
        )
    });
    match given {
        Err(DbError::Unique(_)) => {
            return Err(Error::conflict(
                "role_held",
                format!("The person holds the role {} there already.", role.code),
            )
            .field("role"));
        }
        other => other?,
    };
    count(tx, now, place.org())?;
    Ok(id)
}

/// Who belongs to an organisation is counted against its quota whenever it changes.
fn count(tx: &mut Tx<'_>, now: Time, org: Option<OrgId>) -> Result<()> {
    org.map_or(Ok(()), |org| quotas::count_members(tx, now, org))
}

/// Gives a person a role in the place of all they hold over exactly `place`.
///
/// # Errors
/// `last_owner` when nobody else owns what they own there.
pub fn replace(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    now: Time,
    user: UserId,
    role: &FoundRole,
    place: Place,
    by: Option<UserId>,
) -> Result<()> {
    if owning(place) != role.code {
        keep_owners(tx, user, |owned| owned == place)?;
    }
    remove_at(tx, accounts, user, place)?;
    give(tx, accounts, now, user, role, place, by).map(drop)
}

/// Takes all roles held over exactly `place` away. Who owns what is not asked.
fn remove_at(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId, place: Place) -> Result<()> {
    accounts.forget_callers(tx);
    tx.execute(
        "DELETE FROM role_grants WHERE user_id = $1 AND organization_id IS NOT DISTINCT FROM $2 \
         AND team_id IS NOT DISTINCT FROM $3",
        &params![user.0, place.org().map(|org| org.0), place.team().map(|team| team.0)],
    )?;
    Ok(())
}

/// Takes a person out of a team.
///
/// # Errors
/// `last_owner` when nobody else owns it.
pub fn leave_team(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId, org: OrgId, team: TeamId) -> Result<()> {
    let place = Place::Team(org, team);
    keep_owners(tx, user, |owned| owned == place)?;
    remove_at(tx, accounts, user, place)?;
    count(tx, accounts.clock.now(), Some(org))
}

/// Takes one role away.
///
/// # Errors
/// `last_owner` when it is the one that owns its place, and nobody else has it.
pub fn take(tx: &mut Tx<'_>, accounts: &Accounts, id: i64, user: UserId, grant: &RoleGrant) -> Result<()> {
    let place = grant.place();
    if owning(place) == grant.role {
        keep_owners(tx, user, |owned| owned == place)?;
    }
    accounts.forget_callers(tx);
    tx.execute("DELETE FROM role_grants WHERE id = $1", &params![id])?;
    count(tx, accounts.clock.now(), place.org())
}

/// One role held, by its assignment's id, and by whom.
///
/// # Errors
/// When the database fails.
pub fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<(UserId, RoleGrant)>> {
    let sql = format!("{GRANT}, g.user_id {FROM} WHERE g.id = $1");
    Ok(tx.query_row(&sql, &params![id], |row| Ok((UserId(row.get(4)?), read(row)?)))?)
}

/// The id under which a person holds a role over exactly `place`.
///
/// # Errors
/// When the database fails.
pub fn id_of(tx: &mut Tx<'_>, user: UserId, code: &str, place: Place) -> Result<Option<i64>> {
    let sql = "SELECT id FROM role_grants WHERE user_id = $1 AND role = $2 AND organization_id IS NOT DISTINCT FROM $3 \
               AND team_id IS NOT DISTINCT FROM $4";
    let (org, team) = (place.org().map(|org| org.0), place.team().map(|team| team.0));
    Ok(tx.query_row(sql, &params![user.0, code, org, team], |row| row.get(0))?)
}

/// Whether a person holds any role in the organisation or one of its teams.
///
/// # Errors
/// When the database fails.
pub fn belongs(tx: &mut Tx<'_>, user: UserId, org: OrgId) -> Result<bool> {
    let sql = "SELECT 1 FROM role_grants WHERE user_id = $1 AND organization_id = $2 LIMIT 1";
    Ok(tx.query_row(sql, &params![user.0, org.0], |_| Ok(()))?.is_some())
}

/// Takes a person out of an organisation and all of its teams.
///
/// # Errors
/// `last_owner` when nobody else owns the organisation, or one of its teams.
pub fn leave(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId, org: OrgId) -> Result<()> {
    keep_owners(tx, user, |owned| owned.org() == Some(org))?;
    accounts.forget_callers(tx);
    tx.execute("DELETE FROM role_grants WHERE user_id = $1 AND organization_id = $2", &params![user.0, org.0])?;
    count(tx, accounts.clock.now(), Some(org))
}

/// The role of who owns a place.
fn owning(place: Place) -> &'static str {
    match place {
        Place::Site => Role::SuperAdmin.code(),
        Place::Org(_) => Role::OrgAdmin.code(),
        Place::Team(..) => TEAM_OWNER,
    }
}

/// Refuses what would leave the site, an organisation or a team that has an owner without one. Called inside the write that
/// takes a role, switches an account off or deletes it; `left` says which places that concerns. A program owns nothing.
///
/// # Errors
/// `last_owner`, naming the first such place.
pub fn keep_owners(tx: &mut Tx<'_>, user: UserId, left: impl Fn(Place) -> bool) -> Result<()> {
    let owners = [Role::SuperAdmin.code(), Role::OrgAdmin.code(), TEAM_OWNER].map(Val::from);
    let [site, org, team] = owners;
    let alone = tx.query_map(
        "SELECT g.organization_id, g.team_id FROM role_grants g JOIN users u ON u.id = g.user_id \
         WHERE g.user_id = $1 AND u.is_active AND u.service_of IS NULL AND ((g.role = $2 AND g.organization_id IS NULL) \
         OR (g.role = $3 AND g.organization_id IS NOT NULL AND g.team_id IS NULL) OR (g.role = $4 AND g.team_id IS NOT NULL)) \
         AND NOT EXISTS (SELECT 1 FROM role_grants o JOIN users v ON v.id = o.user_id WHERE o.role = g.role \
         AND o.user_id <> g.user_id AND v.is_active AND v.service_of IS NULL AND o.organization_id IS NOT DISTINCT FROM g.organization_id \
         AND o.team_id IS NOT DISTINCT FROM g.team_id) ORDER BY g.id",
        &[Val::I64(user.0), site, org, team],
        |row| Ok(Place::of(row.get(0)?, row.get(1)?)),
    )?;
    let Some(place) = alone.into_iter().find(|place| left(*place)) else { return Ok(()) };
    let (what, instead) = match place {
        Place::Site => ("administrator of the site".to_owned(), "super_admin"),
        Place::Org(org) => (format!("org_admin of organisation {}", org.0), "org_admin"),
        Place::Team(_, team) => (format!("owner of team {}", team.0), "owner"),
    };
    let message = format!("This person is the last {what}. Make somebody else {instead} first, then try again.");
    Err(Error::conflict("last_owner", message))
}

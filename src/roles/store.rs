//! All SQL of organisations' own roles, and the views of roles held.
//!
//! Invariant: every statement is bounded to one organisation, or to the site's own assignments.

use std::collections::BTreeMap;

use super::{MOST, NewRole, RoleInfo};
use crate::access::actions::RoleManage;
use crate::access::{OrgId, PermissionSet, Permit, UserId};
use crate::accounts::Accounts;
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::names;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};
use crate::roles::routes::{Assignment, Giver, Reason};

const COLUMNS: &str = "code, name, description, permissions, organization_id, updated_at";

fn read(row: &Row<'_>) -> Result<RoleInfo, DbError> {
    let kept: String = row.get(3)?;
    let kept: Vec<String> =
        serde_json::from_str(&kept).map_err(|cause| DbError::Other(format!("roles.permissions: {cause}")))?;
    // A permission this version does not know allows nothing.
    let known = kept.into_iter().filter(|code| PermissionSet::parse([code.as_str()]).is_ok()).collect();
    Ok(RoleInfo {
        code: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        permissions: known,
        built_in: false,
        organization_id: row.get(4)?,
        holders: None,
        updated_at: row.get(5)?,
    })
}

/// The organisation's own roles by code; at most [`MOST`].
///
/// # Errors
/// When the database fails.
pub fn own(tx: &mut Tx<'_>, org: OrgId) -> Result<Vec<RoleInfo>> {
    let sql = format!("SELECT {COLUMNS} FROM roles WHERE organization_id = $1 ORDER BY code");
    Ok(tx.query_map(&sql, &params![org.0], read)?)
}

/// # Errors
/// `not_found`.
pub fn find(tx: &mut Tx<'_>, org: OrgId, code: &str) -> Result<RoleInfo> {
    let sql = format!("SELECT {COLUMNS} FROM roles WHERE organization_id = $1 AND code = $2");
    tx.query_row(&sql, &params![org.0, code], read)?.ok_or_else(|| Error::not_found("such role"))
}

/// How many people hold each role in the organisation or its teams.
///
/// # Errors
/// When the database fails.
pub fn holders(tx: &mut Tx<'_>, org: OrgId) -> Result<BTreeMap<String, i64>> {
    let sql = "SELECT role, COUNT(DISTINCT user_id) FROM role_grants WHERE organization_id = $1 GROUP BY role";
    let rows: Vec<(String, i64)> = tx.query_map(sql, &params![org.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.into_iter().collect())
}

/// # Errors
/// `code_taken`, `name_taken`, `too_many_roles`.
pub fn insert(tx: &mut Tx<'_>, _: &Permit<RoleManage>, now: Time, org: OrgId, new: &NewRole) -> Result<RoleInfo> {
    let sql = "SELECT COUNT(*) FROM roles WHERE organization_id = $1";
    if tx.query_row(sql, &params![org.0], |row| row.get(0))?.unwrap_or(0) >= MOST {
        let message =
            format!("The organisation has {MOST} roles of its own, the most there may be. Delete some first.");
        return Err(Error::new(Kind::Limited, "too_many_roles", message));
    }
    let id = tx.next_id()?;
    let permissions = serde_json::to_string(&new.permissions).map_err(Error::internal)?;
    tx.savepoint(|tx| {
        tx.execute(
            "INSERT INTO roles (id, organization_id, code, name, name_key, description, permissions, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
            &params![
                id,
                org.0,
                new.code.as_str(),
                new.name.as_str(),
                names::key(&new.name),
                new.description.as_str(),
                permissions,
                now
            ],
        )
    })
    .map_err(|cause| taken(cause, &new.code, &new.name))?;
    find(tx, org, &new.code)
}

fn taken(cause: DbError, code: &str, name: &str) -> Error {
    match cause {
        DbError::Unique(index) if index == "uq_roles_organization_id_code" => {
            Error::conflict("code_taken", format!("The organisation has a role `{code}`. Choose another code."))
                .field("code")
        }
        DbError::Unique(index) if index == "uq_roles_organization_id_name_key" => {
            let message = format!("The organisation has a role whose name looks like `{name}`. Choose another name.");
            Error::conflict("name_taken", message).field("name")
        }
        other => other.into(),
    }
}

/// Writes everything of a role that changes; who holds it has the new permissions on their next request.
///
/// # Errors
/// `name_taken`.
pub fn save(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    _: &Permit<RoleManage>,
    now: Time,
    org: OrgId,
    role: &RoleInfo,
) -> Result<()> {
    accounts.forget_callers(tx);
    let permissions = serde_json::to_string(&role.permissions).map_err(Error::internal)?;
    tx.savepoint(|tx| {
        tx.execute(
            "UPDATE roles SET name = $3, name_key = $4, description = $5, permissions = $6, updated_at = $7 \
             WHERE organization_id = $1 AND code = $2",
            &params![
                org.0,
                role.code.as_str(),
                role.name.as_str(),
                names::key(&role.name),
                role.description.as_str(),
                permissions,
                now
            ],
        )
    })
    .map_err(|cause| taken(cause, &role.code, &role.name))?;
    Ok(())
}

/// # Errors
/// `role_held`, with how many hold it.
pub fn delete(tx: &mut Tx<'_>, _: &Permit<RoleManage>, org: OrgId, code: &str) -> Result<()> {
    let held = holders(tx, org)?.get(code).copied().unwrap_or(0);
    if held > 0 {
        let people = if held == 1 { "1 person holds".to_owned() } else { format!("{held} people hold") };
        let message = format!(
            "{people} the role `{code}`. Take it from them first: GET role-assignments?role={code} lists them."
        );
        return Err(Error::conflict("role_held", message));
    }
    tx.execute("DELETE FROM roles WHERE organization_id = $1 AND code = $2", &params![org.0, code])?;
    Ok(())
}

const ASSIGNMENT: &str = "SELECT g.id, g.user_id, u.username, g.role, g.organization_id, g.team_id, g.granted_at, b.id, \
    b.username FROM role_grants g JOIN users u ON u.id = g.user_id LEFT JOIN users b ON b.id = g.granted_by";

fn read_assignment(row: &Row<'_>) -> Result<Assignment, DbError> {
    let (id, name): (Option<i64>, Option<String>) = (row.get(7)?, row.get(8)?);
    Ok(Assignment {
        id: row.get(0)?,
        user_id: row.get(1)?,
        username: row.get(2)?,
        role: row.get(3)?,
        organization_id: row.get(4)?,
        team_id: row.get(5)?,
        granted_at: row.get(6)?,
        granted_by: id.zip(name).map(|(id, name)| Giver { id, name }),
    })
}

/// What a list of assignments is narrowed to; absent means any.
#[derive(Debug, Clone, Default)]
pub struct Narrow {
    pub user: Option<i64>,
    pub team: Option<i64>,
    pub role: Option<String>,
}

/// Roles held in an organisation and its teams (null: over the site), newest first.
///
/// # Errors
/// When the database fails.
pub fn assignments(tx: &mut Tx<'_>, org: Option<OrgId>, narrow: &Narrow, page: Page) -> Result<Vec<Assignment>> {
    let mut params: Vec<Val> = params![org.map(|org| org.0), page.before, page.fetch()].to_vec();
    let mut conditions = vec!["g.organization_id IS NOT DISTINCT FROM $1".to_owned(), "g.id < $2".to_owned()];
    let wanted = [
        ("g.user_id", narrow.user.map(Val::I64)),
        ("g.team_id", narrow.team.map(Val::I64)),
        ("g.role", narrow.role.clone().map(Val::Text)),
    ];
    for (column, value) in wanted {
        if let Some(value) = value {
            params.push(value);
            conditions.push(format!("{column} = ${}", params.len()));
        }
    }
    let sql = format!("{ASSIGNMENT} WHERE {} ORDER BY g.id DESC LIMIT $3", conditions.join(" AND "));
    Ok(tx.query_map(&sql, &params, read_assignment)?)
}

/// One assignment of the organisation, or of the site.
///
/// # Errors
/// `not_found`.
pub fn assignment(tx: &mut Tx<'_>, org: Option<OrgId>, id: i64) -> Result<Assignment> {
    let sql = format!("{ASSIGNMENT} WHERE g.id = $1 AND g.organization_id IS NOT DISTINCT FROM $2");
    let found = tx.query_row(&sql, &params![id, org.map(|org| org.0)], read_assignment)?;
    found.ok_or_else(|| Error::not_found(format!("role assignment {id}")))
}

/// Which roles held are looked for.
#[derive(Debug, Clone)]
pub struct Search {
    pub org: OrgId,
    /// Codes of the roles that allow it.
    pub roles: Vec<String>,
    /// Roles held in this team count, too.
    pub team: Option<i64>,
    /// Roles held in any team count, too.
    pub any_team: bool,
    /// Roles held over the site count, too.
    pub site: bool,
    pub user: Option<i64>,
}

impl Search {
    /// A condition on `g` and `u`.
    fn condition(&self, params: &mut Vec<Val>) -> String {
        let mut place = |value: Val| {
            params.push(value);
            format!("${}", params.len())
        };
        let roles: Vec<String> = self.roles.iter().map(|role| place(Val::from(role))).collect();
        let mut at = format!("g.organization_id = {}", place(Val::I64(self.org.0)));
        if !self.any_team {
            at = match self.team {
                Some(team) => format!("{at} AND (g.team_id IS NULL OR g.team_id = {})", place(Val::I64(team))),
                None => format!("{at} AND g.team_id IS NULL"),
            };
        }
        if self.site {
            at = format!("({at}) OR g.organization_id IS NULL");
        }
        let user = self.user.map_or("TRUE".to_owned(), |user| format!("u.id = {}", place(Val::I64(user))));
        format!("u.is_active AND {user} AND g.role IN ({}) AND ({at})", roles.join(", "))
    }
}

/// The people who hold one of the roles, by descending id, at most a page of them.
///
/// # Errors
/// When the database fails.
pub fn people_with(tx: &mut Tx<'_>, search: &Search, page: Page) -> Result<Vec<(UserId, String)>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let condition = search.condition(&mut params);
    let sql = format!(
        "SELECT u.id, u.username FROM users u WHERE u.id < $1 AND EXISTS (SELECT 1 FROM role_grants g WHERE \
         g.user_id = u.id AND {condition}) ORDER BY u.id DESC LIMIT $2"
    );
    Ok(tx.query_map(&sql, &params, |row| Ok((UserId(row.get(0)?), row.get(1)?)))?)
}

/// The roles by which one person is found.
///
/// # Errors
/// When the database fails.
pub fn reasons(tx: &mut Tx<'_>, search: &Search, user: UserId) -> Result<Vec<Reason>> {
    let search = Search { user: Some(user.0), ..search.clone() };
    let mut params = Vec::new();
    let condition = search.condition(&mut params);
    let sql = format!("{ASSIGNMENT} WHERE {condition} ORDER BY g.id LIMIT 1000");
    let held = tx.query_map(&sql, &params, read_assignment)?;
    Ok(held.into_iter().map(Reason::of).collect())
}

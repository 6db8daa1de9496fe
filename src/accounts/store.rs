//! All SQL of people: accounts, who is in an organisation, sessions as they are opened and looked up.

use super::routes::{Only, PeopleFilter};
use super::{Accounts, User, grants};
use crate::access::actions::{UserManage, UserRead};
use crate::access::{OrgId, Permit, UserId};
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

/// What is known of an account before it has an id.
pub struct NewUser {
    pub username: String,
    pub email: String,
    pub password_hash: String,
    /// False for who waits to be let in.
    pub is_active: bool,
}

/// What a session is tied to.
pub struct Held {
    pub user: UserId,
    pub expires_at: Time,
    /// When it was last used, as far as it was noted.
    pub last_used_at: Option<Time>,
}

/// Names and addresses are compared without regard to case.
pub fn key(name: &str) -> String {
    name.to_lowercase()
}

/// # Errors
/// `username_taken` and `email_taken`; `seats_used`.
pub fn insert(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    _: &Permit<UserManage>,
    now: Time,
    new: &NewUser,
) -> Result<UserId> {
    if new.is_active {
        accounts.licence().take_seat(tx, now)?;
    }
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO users (id, username, username_key, email, email_key, password_hash, is_active, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &params![
            id,
            new.username.as_str(),
            key(&new.username),
            new.email.as_str(),
            key(&new.email),
            new.password_hash.as_str(),
            new.is_active,
            now
        ],
    )
    .map_err(|cause| taken(cause, &new.username, &new.email))?;
    Ok(UserId(id))
}

fn taken(cause: DbError, username: &str, email: &str) -> Error {
    match cause {
        DbError::Unique(name) if name == "uq_users_username_key" => {
            Error::conflict("username_taken", format!("There is already a user named {username}.")).field("username")
        }
        DbError::Unique(name) if name == "uq_users_email_key" => {
            Error::conflict("email_taken", format!("{email} belongs to another user.")).field("email")
        }
        other => other.into(),
    }
}

/// Whether nobody has an account yet.
pub fn is_empty(tx: &mut Tx<'_>) -> Result<bool> {
    Ok(tx.query_row("SELECT id FROM users LIMIT 1", &params![], |row| row.get::<i64>(0))?.is_none())
}

/// # Errors
/// `username_taken`.
pub fn check_name_free(tx: &mut Tx<'_>, username: &str) -> Result<()> {
    match id_of_name(tx, username)? {
        Some(_) => Err(taken(DbError::Unique("uq_users_username_key".to_owned()), username, "")),
        None => Ok(()),
    }
}

/// Accounts that are switched off and hold no role: of who registered and was not let in yet, among them.
///
/// # Errors
/// When the database fails.
pub fn count_waiting(tx: &mut Tx<'_>) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM users u WHERE NOT u.is_active \
               AND NOT EXISTS (SELECT 1 FROM role_grants g WHERE g.user_id = u.id)";
    Ok(tx.query_row(sql, &params![], |row| row.get(0))?.unwrap_or(0))
}

/// # Errors
/// `email_taken`.
pub fn set_email(tx: &mut Tx<'_>, accounts: &Accounts, id: UserId, email: &str) -> Result<()> {
    accounts.forget_callers(tx);
    let sql = "UPDATE users SET email = $2, email_key = $3 WHERE id = $1";
    tx.execute(sql, &params![id.0, email, key(email)]).map_err(|cause| taken(cause, "", email))?;
    Ok(())
}

/// Switches an account on or off; what follows from it is the caller's business.
///
/// # Errors
/// When the database fails.
pub fn set_active(tx: &mut Tx<'_>, accounts: &Accounts, id: UserId, active: bool) -> Result<()> {
    accounts.forget_callers(tx);
    tx.execute("UPDATE users SET is_active = $2 WHERE id = $1", &params![id.0, active])?;
    Ok(())
}

const USER: &str = "SELECT id, username, email, is_active, created_at, service_of FROM users";

fn read_user(row: &Row<'_>) -> Result<User, DbError> {
    Ok(User {
        id: row.get(0)?,
        username: row.get(1)?,
        email: row.get(2)?,
        is_active: row.get(3)?,
        created_at: row.get(4)?,
        service_of: row.get(5)?,
        roles: Vec::new(),
    })
}

fn with_roles(tx: &mut Tx<'_>, user: Option<User>) -> Result<Option<User>> {
    let Some(mut user) = user else { return Ok(None) };
    user.roles = grants::store::of_user(tx, UserId(user.id))?;
    Ok(Some(user))
}

/// # Errors
/// When the database fails.
pub fn user(tx: &mut Tx<'_>, id: UserId) -> Result<Option<User>> {
    let user = tx.query_row(&format!("{USER} WHERE id = $1"), &params![id.0], read_user)?;
    with_roles(tx, user)
}

/// The person who has the name; a program's account has none to sign in with.
///
/// # Errors
/// When the database fails.
pub fn user_by_name(tx: &mut Tx<'_>, username: &str) -> Result<Option<User>> {
    let sql = format!("{USER} WHERE username_key = $1 AND service_of IS NULL");
    let user = tx.query_row(&sql, &params![key(username)], read_user)?;
    with_roles(tx, user)
}

/// The id of who has the name.
///
/// # Errors
/// When the database fails.
pub fn id_of_name(tx: &mut Tx<'_>, username: &str) -> Result<Option<i64>> {
    Ok(tx.query_row("SELECT id FROM users WHERE username_key = $1", &params![key(username)], |row| row.get(0))?)
}

/// The id of the person who has the name, and those of service accounts that have it, each with its organisation.
///
/// # Errors
/// When the database fails.
pub fn ids_of_name(tx: &mut Tx<'_>, username: &str) -> Result<Vec<(i64, Option<OrgId>)>> {
    let sql = "SELECT id, service_of FROM users WHERE service_of IS NOT NULL AND LOWER(username) = $1 ORDER BY id";
    let services = tx.query_map(sql, &params![key(username)], |row| Ok((row.get(0)?, Some(OrgId(row.get(1)?)))))?;
    let person = id_of_name(tx, username)?.map(|id| (id, None));
    Ok(person.into_iter().chain(services).collect())
}

/// # Errors
/// When the database fails.
pub fn user_by_email(tx: &mut Tx<'_>, email: &str) -> Result<Option<User>> {
    let sql = format!("{USER} WHERE email_key = $1 AND service_of IS NULL");
    let user = tx.query_row(&sql, &params![key(email)], read_user)?;
    with_roles(tx, user)
}

/// # Errors
/// When the database fails.
pub fn password_hash(tx: &mut Tx<'_>, id: UserId) -> Result<Option<String>> {
    Ok(tx.query_row("SELECT password_hash FROM users WHERE id = $1", &params![id.0], |row| row.get(0))?)
}

/// People who share an organisation or a team with the permit's holder; over the site, everybody.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<UserRead>, filter: &PeopleFilter, page: Page) -> Result<Vec<User>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let scope = permit.sql_teamed("g.organization_id", "g.team_id", &mut params);
    let visible = match scope.as_str() {
        "TRUE" => scope,
        _ => format!("EXISTS (SELECT 1 FROM role_grants g WHERE g.user_id = users.id AND {scope})"),
    };
    let wanted = narrowed(filter, &mut params);
    let sql = format!("{USER} WHERE id < $1 AND {visible} AND {wanted} ORDER BY id DESC LIMIT $2");
    let mut users = tx.query_map(&sql, &params, read_user)?;
    for user in &mut users {
        user.roles = grants::store::of_user(tx, UserId(user.id))?;
        user.roles.retain(|grant| grant.organization_id.is_none() || permit.covers_place(grant.place()));
    }
    Ok(users)
}

/// An SQL condition that holds for the people wanted; pushes what it compares with onto `params`.
fn narrowed(filter: &PeopleFilter, params: &mut Vec<Val>) -> String {
    // Accounts of programs have a list of their own.
    let mut rules = vec!["service_of IS NULL".to_owned()];
    if let Some(text) = &filter.q {
        params.push(Val::within(&key(text)));
        let at = params.len();
        rules.push(format!("(username_key LIKE ${at} ESCAPE '!' OR email_key LIKE ${at} ESCAPE '!')"));
    }
    let held = "EXISTS (SELECT 1 FROM role_grants h WHERE h.user_id = users.id";
    rules.extend(filter.only.map(|only| match only {
        Only::Active => "is_active = TRUE".to_owned(),
        Only::Inactive => "is_active = FALSE".to_owned(),
        Only::NoRole => format!("NOT {held})"),
        Only::SiteRole => format!("{held} AND h.organization_id IS NULL)"),
    }));
    rules.join(" AND ")
}

/// A new session from `now` until `expires`, `strong` when two factors were proven; its id goes into the token.
///
/// # Errors
/// When the database fails.
pub fn insert_session(
    tx: &mut Tx<'_>,
    user: UserId,
    (now, expires): (Time, Time),
    strong: bool,
    origin: &crate::access::Origin,
) -> Result<i64> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO sessions (id, user_id, created_at, expires_at, strong, ip_address, user_agent) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &params![id, user.0, now, expires, strong, origin.ip_address.clone(), origin.user_agent.clone()],
    )?;
    Ok(id)
}

/// None also for one that was begun more than a day from now: after the clock was set back by a year it would last a year longer.
///
/// # Errors
/// When the database fails.
pub fn live_session(tx: &mut Tx<'_>, id: i64, now: Time) -> Result<Option<Held>> {
    Ok(tx.query_row(
        "SELECT user_id, expires_at, last_seen_at FROM sessions \
         WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 AND created_at < $3",
        &params![id, now, now.plus(DAY)],
        |row| Ok(Held { user: UserId(row.get(0)?), expires_at: row.get(1)?, last_used_at: row.get(2)? }),
    )?)
}

/// # Errors
/// When the database fails.
pub fn revoke_session(tx: &mut Tx<'_>, accounts: &Accounts, id: i64, now: Time) -> Result<()> {
    accounts.forget_callers(tx);
    tx.execute("UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", &params![id, now])?;
    Ok(())
}

/// The members of an organisation, by descending user id: who holds a role in it or in one of its teams.
///
/// # Errors
/// `not_found` when the permit is not over the organisation.
pub fn members(
    tx: &mut Tx<'_>,
    permit: &Permit<UserRead>,
    org: OrgId,
    filter: &PeopleFilter,
    page: Page,
) -> Result<Vec<super::routes::Member>> {
    permit.require(org, "such organization")?;
    let mut params: Vec<Val> = params![org.0, page.before, page.fetch()].to_vec();
    let wanted = narrowed(filter, &mut params);
    let sql = format!(
        "{USER} WHERE id < $2 AND EXISTS (SELECT 1 FROM role_grants g WHERE g.user_id = users.id AND g.organization_id = $1) \
         AND {wanted} ORDER BY id DESC LIMIT $3"
    );
    let users = tx.query_map(&sql, &params, read_user)?;
    let mut members = Vec::with_capacity(users.len());
    for user in users {
        let user = with_roles(tx, Some(user))?;
        members.extend(user.map(|user| super::routes::Member::new(&user, org)));
    }
    Ok(members)
}

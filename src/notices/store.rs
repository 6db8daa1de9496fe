//! All SQL of notices.
//!
//! Invariant: unread ones come before read ones, and the newest first among each; [`place`] is that order as one number.

use super::mails::{MailPreference, Unmailed};
use super::{MOST, NewNotice, Notice};
use crate::access::{OrgId, Permission, Role, UserId};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::base::page::Page;
use crate::db::{DbError, Tx, Val, params};

/// Above every id: ids count from 1.
const UNREAD: i64 = 1 << 62;
/// [`place`] in SQL.
const PLACE: &str = "(CASE WHEN read_at IS NULL THEN id + 4611686018427387904 ELSE id END)";

/// Where a notice stands in its list, highest first.
pub(super) fn place(notice: &Notice) -> i64 {
    if notice.read_at.is_none() { notice.id + UNREAD } else { notice.id }
}

pub(super) fn insert(tx: &mut Tx<'_>, now: Time, user: UserId, notice: &NewNotice) -> Result<i64> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO notices (id, user_id, organization_id, kind, text, link, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &params![id, user.0, notice.org.map(|org| org.0), notice.kind, notice.text.as_str(), notice.link.clone(), now],
    )?;
    Ok(id)
}

/// Drops what is beyond the most a person keeps: first what was read, oldest first.
pub(super) fn make_room(tx: &mut Tx<'_>, user: UserId) -> Result<()> {
    let surplus = format!("SELECT id FROM notices WHERE user_id = $1 ORDER BY {PLACE} DESC LIMIT 1000 OFFSET $2");
    tx.execute(&format!("DELETE FROM notices WHERE id IN ({surplus})"), &params![user.0, MOST])?;
    Ok(())
}

pub(super) fn list(tx: &mut Tx<'_>, user: UserId, page: Page) -> Result<Vec<Notice>> {
    let sql = format!(
        "SELECT id, organization_id, kind, text, link, created_at, read_at FROM notices \
         WHERE user_id = $1 AND {PLACE} < $2 ORDER BY {PLACE} DESC LIMIT $3"
    );
    Ok(tx.query_map(&sql, &params![user.0, page.before, page.fetch()], |row| {
        Ok(Notice {
            id: row.get(0)?,
            organization_id: row.get(1)?,
            kind: row.get(2)?,
            text: row.get(3)?,
            link: row.get(4)?,
            created_at: row.get(5)?,
            read_at: row.get(6)?,
        })
    })?)
}

pub(super) fn unread(tx: &mut Tx<'_>, user: UserId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM notices WHERE user_id = $1 AND read_at IS NULL";
    Ok(tx.query_row(sql, &params![user.0], |row| row.get(0))?.unwrap_or(0))
}

/// Whether the person has such a notice; it is read from now on.
pub(super) fn read_one(tx: &mut Tx<'_>, user: UserId, id: i64, now: Time) -> Result<bool> {
    let sql = "UPDATE notices SET read_at = COALESCE(read_at, $3) WHERE user_id = $1 AND id = $2";
    Ok(tx.execute(sql, &params![user.0, id, now])? > 0)
}

/// How many were unread.
pub(super) fn read_all(tx: &mut Tx<'_>, user: UserId, now: Time) -> Result<u64> {
    let sql = "UPDATE notices SET read_at = $2 WHERE user_id = $1 AND read_at IS NULL";
    Ok(tx.execute(sql, &params![user.0, now])?)
}

/// Active people with a role that manages organisations, be it the organisation's own, held over `org` (null: over the
/// site); at most 1000.
pub(super) fn administrators(tx: &mut Tx<'_>, org: Option<OrgId>) -> Result<Vec<UserId>> {
    let mut params: Vec<Val> = params![org.map(|org| org.0)].to_vec();
    let roles = Role::ALL.into_iter().filter(|role| role.permissions().has(Permission::OrganizationManage));
    let places: Vec<String> = roles
        .map(|role| {
            params.push(Val::from(role.code()));
            format!("${}", params.len())
        })
        .collect();
    // The permissions of an organisation's own roles are kept as a JSON list of codes.
    params.push(Val::from(format!("%\"{}\"%", Permission::OrganizationManage.code())));
    let sql = format!(
        "SELECT DISTINCT u.id FROM role_grants g JOIN users u ON u.id = g.user_id \
         LEFT JOIN roles r ON r.organization_id = g.organization_id AND r.code = g.role \
         WHERE g.organization_id IS NOT DISTINCT FROM $1 AND g.team_id IS NULL AND u.is_active AND u.service_of IS NULL \
         AND (g.role IN ({}) OR r.permissions LIKE ${}) ORDER BY u.id LIMIT 1000",
        places.join(", "),
        params.len()
    );
    Ok(tx.query_map(&sql, &params, |row| -> Result<UserId, DbError> { Ok(UserId(row.get(0)?)) })?)
}

/// What a person chose, else what counts until they do.
pub(super) fn preference(tx: &mut Tx<'_>, user: UserId) -> Result<MailPreference> {
    let sql = "SELECT mail FROM notice_preferences WHERE user_id = $1";
    let chosen = tx.query_row(sql, &params![user.0], |row| row.get::<String>(0))?;
    Ok(chosen.as_deref().and_then(MailPreference::parse).unwrap_or_default())
}

pub(super) fn set_preference(tx: &mut Tx<'_>, user: UserId, mail: MailPreference) -> Result<()> {
    let sql = "INSERT INTO notice_preferences (user_id, mail) VALUES ($1, $2) \
               ON CONFLICT (user_id) DO UPDATE SET mail = excluded.mail";
    tx.execute(sql, &params![user.0, mail.code()])?;
    Ok(())
}

/// Notices that nobody looked at yet to mail them, oldest first.
pub(super) fn unmailed(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Unmailed>> {
    let sql = "SELECT n.id, n.user_id, n.kind, n.text, n.link, n.created_at, n.read_at, u.email, u.is_active, p.mail \
               FROM notices n JOIN users u ON u.id = n.user_id LEFT JOIN notice_preferences p ON p.user_id = n.user_id \
               WHERE n.mailed_at IS NULL ORDER BY n.id LIMIT $1";
    Ok(tx.query_map(sql, &params![limit], |row| {
        let preference: Option<String> = row.get(9)?;
        let preference = preference.as_deref().and_then(MailPreference::parse).unwrap_or_default();
        Ok(Unmailed {
            id: row.get(0)?,
            user: UserId(row.get(1)?),
            kind: row.get(2)?,
            text: row.get(3)?,
            link: row.get(4)?,
            created_at: row.get(5)?,
            is_read: row.get::<Option<Time>>(6)?.is_some(),
            email: row.get(7)?,
            is_active: row.get(8)?,
            preference,
        })
    })?)
}

/// They were looked at; also those that are not mailed.
pub(super) fn set_mailed(tx: &mut Tx<'_>, id: i64, now: Time) -> Result<()> {
    tx.execute("UPDATE notices SET mailed_at = $2 WHERE id = $1", &params![id, now])?;
    Ok(())
}

/// Whether the person has an unread notice of this kind.
pub(super) fn has_unread(tx: &mut Tx<'_>, user: UserId, kind: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM notices WHERE user_id = $1 AND kind = $2 AND read_at IS NULL LIMIT 1";
    Ok(tx.query_row(sql, &params![user.0, kind], |_| Ok(()))?.is_some())
}

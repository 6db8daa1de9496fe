//! All SQL of invitations.

use super::{Invitation, InvitationStatus, MOST, refused};
use crate::access::actions::UserInvite;
use crate::access::{OrgId, Permit, Place, UserId};
use crate::accounts::store::key;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

const INVITATION: &str = "SELECT id, organization_id, team_id, email, role, invited_by, created_at, expires_at, \
    accepted_at, accepted_by, revoked_at FROM invitations";

fn read(now: Time) -> impl Fn(&Row<'_>) -> Result<Invitation, DbError> {
    move |row| {
        let (expires_at, accepted_at, revoked_at): (Time, Option<Time>, Option<Time>) =
            (row.get(7)?, row.get(8)?, row.get(10)?);
        let status = match (accepted_at, revoked_at) {
            (Some(_), _) => InvitationStatus::Accepted,
            (None, Some(_)) => InvitationStatus::Revoked,
            (None, None) if expires_at <= now => InvitationStatus::Expired,
            (None, None) => InvitationStatus::Pending,
        };
        Ok(Invitation {
            id: row.get(0)?,
            organization_id: row.get(1)?,
            team_id: row.get(2)?,
            email: row.get(3)?,
            role: row.get(4)?,
            status,
            invited_by: row.get(5)?,
            created_at: row.get(6)?,
            expires_at,
            accepted_at,
            accepted_by: row.get(9)?,
        })
    }
}

/// What is known of an invitation before it has an id.
pub(super) struct New<'a> {
    pub place: Place,
    pub org: OrgId,
    pub email: &'a str,
    pub role: &'a str,
    pub code_hash: &'a str,
    pub expires_at: Time,
}

/// # Errors
/// `already_invited` when one for the address is open.
pub(super) fn insert(tx: &mut Tx<'_>, permit: &Permit<UserInvite>, now: Time, new: &New<'_>) -> Result<Invitation> {
    let id = tx.next_id()?;
    // One that has expired makes room.
    tx.execute(
        "UPDATE invitations SET revoked_at = $3 WHERE organization_id = $1 AND email_key = $2 AND accepted_at IS NULL \
         AND revoked_at IS NULL AND expires_at <= $3",
        &params![new.org.0, key(new.email), now],
    )?;
    let inserted = tx.savepoint(|tx| {
        tx.execute(
            "INSERT INTO invitations (id, organization_id, team_id, email, email_key, role, code_hash, invited_by, \
             created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &params![
                id,
                new.org.0,
                new.place.team().map(|team| team.0),
                new.email,
                key(new.email),
                new.role,
                new.code_hash,
                permit.caller().user.map(|user| user.0),
                now,
                new.expires_at
            ],
        )
    });
    match inserted {
        Err(DbError::Unique(_)) => {
            let message = format!("{} is invited already. Send that invitation again, or revoke it first.", new.email);
            return Err(Error::conflict("already_invited", message).field("email"));
        }
        other => other?,
    };
    make_room(tx, new.org, now)?;
    find(tx, new.org, id, now)?.ok_or_else(|| Error::not_found("such invitation"))
}

/// Drops what counts no longer beyond the most that are kept.
fn make_room(tx: &mut Tx<'_>, org: OrgId, now: Time) -> Result<()> {
    let edge = "SELECT id FROM invitations WHERE organization_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2";
    let Some(edge) = tx.query_row(edge, &params![org.0, MOST], |row| row.get::<i64>(0))? else { return Ok(()) };
    let closed = "(accepted_at IS NOT NULL OR revoked_at IS NOT NULL OR expires_at <= $3)";
    let sql = format!("DELETE FROM invitations WHERE organization_id = $1 AND id <= $2 AND {closed}");
    if tx.execute(&sql, &params![org.0, edge, now])? == 0 {
        let message = format!("The organisation has {MOST} invitations, the most there can be. Revoke some first.");
        return Err(Error::conflict("too_many_invitations", message));
    }
    Ok(())
}

/// An invitation of the organisation.
pub(super) fn find(tx: &mut Tx<'_>, org: OrgId, id: i64, now: Time) -> Result<Option<Invitation>> {
    let sql = format!("{INVITATION} WHERE organization_id = $1 AND id = $2");
    Ok(tx.query_row(&sql, &params![org.0, id], read(now))?)
}

/// The invitations of the organisation that the permit covers, newest first.
pub(super) fn list(
    tx: &mut Tx<'_>,
    permit: &Permit<UserInvite>,
    org: OrgId,
    (status, part): (Option<InvitationStatus>, Option<&str>),
    page: Page,
    now: Time,
) -> Result<Vec<Invitation>> {
    let mut params: Vec<Val> = params![org.0, page.before, page.fetch()].to_vec();
    let mut rules = vec![permit.sql_teamed("organization_id", "team_id", &mut params)];
    if let Some(status) = status {
        params.push(Val::from(now));
        let at = params.len();
        rules.push(match status {
            InvitationStatus::Accepted => format!("accepted_at IS NOT NULL AND created_at <= ${at}"),
            InvitationStatus::Revoked => format!("revoked_at IS NOT NULL AND created_at <= ${at}"),
            InvitationStatus::Expired => {
                format!("accepted_at IS NULL AND revoked_at IS NULL AND expires_at <= ${at}")
            }
            InvitationStatus::Pending => format!("accepted_at IS NULL AND revoked_at IS NULL AND expires_at > ${at}"),
        });
    }
    if let Some(part) = part {
        params.push(Val::within(&key(part)));
        rules.push(format!("email_key LIKE ${} ESCAPE '!'", params.len()));
    }
    let rules = rules.join(" AND ");
    let sql = format!("{INVITATION} WHERE organization_id = $1 AND id < $2 AND {rules} ORDER BY id DESC LIMIT $3");
    Ok(tx.query_map(&sql, &params, read(now))?)
}

/// Whether it was pending.
pub(super) fn revoke(tx: &mut Tx<'_>, _: &Permit<UserInvite>, id: i64, now: Time) -> Result<bool> {
    let sql = "UPDATE invitations SET revoked_at = $2 WHERE id = $1 AND accepted_at IS NULL AND revoked_at IS NULL";
    Ok(tx.execute(sql, &params![id, now])? > 0)
}

/// Gives an open invitation another code and end; who sends it again answers for it. Whether it was open.
pub(super) fn renew(
    tx: &mut Tx<'_>,
    permit: &Permit<UserInvite>,
    id: i64,
    code_hash: &str,
    expires_at: Time,
) -> Result<bool> {
    let sql = "UPDATE invitations SET code_hash = $2, expires_at = $3, invited_by = $4 \
        WHERE id = $1 AND accepted_at IS NULL AND revoked_at IS NULL";
    let by = permit.caller().user.map(|user| user.0);
    Ok(tx.execute(sql, &params![id, code_hash, expires_at, by])? > 0)
}

/// The pending invitation with this code.
///
/// # Errors
/// `invitation_refused`.
pub(super) fn by_code(tx: &mut Tx<'_>, code_hash: &str, now: Time) -> Result<Invitation> {
    let found = tx.query_row(&format!("{INVITATION} WHERE code_hash = $1"), &params![code_hash], read(now))?;
    found.filter(|invitation| invitation.status == InvitationStatus::Pending).ok_or_else(refused)
}

/// Marks a pending invitation as used.
///
/// # Errors
/// `invitation_refused` when somebody else used it, or it was revoked meanwhile.
pub(super) fn use_up(tx: &mut Tx<'_>, id: i64, by: UserId, now: Time) -> Result<()> {
    let sql = "UPDATE invitations SET accepted_at = $2, accepted_by = $3 \
        WHERE id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2";
    if tx.execute(sql, &params![id, now, by.0])? == 1 { Ok(()) } else { Err(refused()) }
}

/// Deletes what was sent to an address, whatever became of it; how many those were.
///
/// # Errors
/// When the database fails.
pub fn forget_address(tx: &mut Tx<'_>, email: &str) -> Result<u64> {
    Ok(tx.execute("DELETE FROM invitations WHERE email_key = $1", &params![key(email)])?)
}

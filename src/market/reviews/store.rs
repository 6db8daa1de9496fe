//! All SQL of reviews.
//!
//! Invariant: what somebody writes, changes or takes back is audited in the same transaction; a vote is not.

use super::{Review, Said};
use crate::access::actions::{PluginManage, PluginRead};
use crate::access::{Permit, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};
use crate::notices::{self, NewNotice};

/// The columns of a review as `reader`, $1, sees it; `seen` says whose names they are told.
fn columns(seen: &str) -> String {
    format!(
        "r.id, CASE WHEN r.user_id = $1 OR {seen} THEN u.username END, r.user_id = $1, r.rating, r.text, r.version, \
         (SELECT COUNT(*) FROM market_votes v WHERE v.review_id = r.id), \
         EXISTS (SELECT 1 FROM market_votes v WHERE v.review_id = r.id AND v.user_id = $1), r.created_at, r.updated_at"
    )
}

fn read(row: &Row<'_>) -> Result<Review, DbError> {
    Ok(Review {
        id: row.get(0)?,
        author: row.get(1)?,
        mine: row.get(2)?,
        rating: row.get(3)?,
        text: row.get(4)?,
        version: row.get(5)?,
        helpful: row.get(6)?,
        voted: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}

/// A condition for authors who hold a role where the reader sees plugins: in an organisation, or a team, of both.
fn seen(permit: &Permit<PluginRead>, values: &mut Vec<Val>) -> String {
    let shared = permit.sql_teamed("g.organization_id", "g.team_id", values);
    format!("EXISTS (SELECT 1 FROM role_grants g WHERE g.user_id = r.user_id AND {shared})")
}

/// Reviews of a plugin, newest first.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<PluginRead>, slug: &str, page: Page) -> Result<Vec<Review>> {
    let reader = permit.caller().user.map(|user| user.0).unwrap_or_default();
    let mut values: Vec<Val> = params![reader, slug, page.before, page.fetch()].to_vec();
    let columns = columns(&seen(permit, &mut values));
    let sql = format!(
        "SELECT {columns} FROM market_reviews r JOIN users u ON u.id = r.user_id WHERE r.slug = $2 AND r.id < $3 \
         ORDER BY r.id DESC LIMIT $4"
    );
    Ok(tx.query_map(&sql, &values, read)?)
}

/// The reader's own.
fn own(tx: &mut Tx<'_>, user: UserId, slug: &str) -> Result<Option<Review>> {
    let sql = format!(
        "SELECT {} FROM market_reviews r JOIN users u ON u.id = r.user_id WHERE r.slug = $2 AND r.user_id = $1",
        columns("FALSE")
    );
    Ok(tx.query_row(&sql, &params![user.0, slug], read)?)
}

/// Writes a person's review, or writes it anew.
///
/// # Errors
/// When the database fails.
pub fn put(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginRead>,
    now: Time,
    (user, slug, version): (UserId, &str, &str),
    said: &Said,
) -> Result<Review> {
    let before = own(tx, user, slug)?;
    let id = tx.next_id()?;
    let sql = "INSERT INTO market_reviews (id, slug, user_id, version, rating, text, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (slug, user_id) DO UPDATE SET \
               version = $4, rating = $5, text = $6, updated_at = $7";
    tx.execute(sql, &params![id, slug, user.0, version, said.rating, &said.text, now])?;
    let after = own(tx, user, slug)?.ok_or_else(|| Error::internal("a review was not written"))?;
    let action = if before.is_some() { AuditAction::Update } else { AuditAction::Create };
    let event = Event::new(action, "market_review", format!("Reviewed plugin {slug}: {} of 5", said.rating));
    audit::record(tx, now, permit.caller(), &event.id(after.id).person(user))?;
    Ok(after)
}

/// Takes a person's review back.
///
/// # Errors
/// `not_found`.
pub fn take_back(tx: &mut Tx<'_>, permit: &Permit<PluginRead>, now: Time, user: UserId, slug: &str) -> Result<()> {
    let review = own(tx, user, slug)?.ok_or_else(|| Error::not_found("review of yours"))?;
    tx.execute("DELETE FROM market_reviews WHERE id = $1", &params![review.id])?;
    let event = Event::new(AuditAction::Delete, "market_review", format!("Took the review of plugin {slug} back"));
    audit::record(tx, now, permit.caller(), &event.id(review.id).person(user))
}

/// Removes somebody's review and tells them why.
///
/// # Errors
/// `not_found`.
pub fn remove(tx: &mut Tx<'_>, permit: &Permit<PluginManage>, now: Time, id: i64, reason: &str) -> Result<()> {
    let sql = "SELECT user_id, slug FROM market_reviews WHERE id = $1";
    let found = tx.query_row(sql, &params![id], |row| Ok((UserId(row.get(0)?), row.get::<String>(1)?)))?;
    let (user, slug) = found.ok_or_else(|| Error::not_found("such review"))?;
    tx.execute("DELETE FROM market_reviews WHERE id = $1", &params![id])?;
    let words = format!("Removed a review of plugin {slug}: {reason}");
    let event = Event::new(AuditAction::Delete, "market_review", words).id(id).person(user);
    audit::record(tx, now, permit.caller(), &event)?;
    let text = format!("Your review of the plugin {slug} was removed: {reason}");
    let notice = NewNotice::new("market_review_removed", text).link(format!("/marketplace/{slug}"));
    notices::raise(tx, now, &[user], &notice)
}

/// Says that somebody found a review helpful, or does not any more.
///
/// # Errors
/// `not_found`; `own_review`.
pub fn vote(tx: &mut Tx<'_>, now: Time, user: UserId, id: i64, helpful: bool) -> Result<()> {
    let sql = "SELECT user_id FROM market_reviews WHERE id = $1";
    let author: Option<i64> = tx.query_row(sql, &params![id], |row| row.get(0))?;
    let author = author.ok_or_else(|| Error::not_found("such review"))?;
    if author == user.0 {
        return Err(Error::conflict("own_review", "This review is yours; others say whether it is helpful."));
    }
    if helpful {
        let sql = "INSERT INTO market_votes (review_id, user_id, voted_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (review_id, user_id) DO NOTHING";
        tx.execute(sql, &params![id, user.0, now])?;
    } else {
        tx.execute("DELETE FROM market_votes WHERE review_id = $1 AND user_id = $2", &params![id, user.0])?;
    }
    Ok(())
}

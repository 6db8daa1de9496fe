//! All SQL of submissions.
//!
//! Invariant: a submission changes from the status that was looked at or not at all, with its audit entry, the notice to who
//! handed it in, and the word to the catalogue, all in one transaction.

use std::collections::HashSet;

use serde_json::json;

use super::{Check, Status, Submission};
use crate::access::{Caller, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};
use crate::jobs;
use crate::market::{Listed, Source, Told};
use crate::mirror;
use crate::notices::{self, NewNotice};

/// Submissions of a person that wait for somebody, at most; and of all.
const MOST_OF_ONE: i64 = 20;
const MOST: i64 = 500;
const LIVE: &str = "('published', 'deprecated', 'yanked')";

/// `$1` is the reader.
const COLUMNS: &str = "s.id, s.slug, s.version, s.name, s.sha256, s.length, s.category, s.tags, s.checks, s.status, s.reason, \
     u.username, s.submitted_at, d.username, s.decided_at, s.submitted_by IS NOT DISTINCT FROM $1, s.submitted_by \
     FROM market_submissions s LEFT JOIN users u ON u.id = s.submitted_by LEFT JOIN users d ON d.id = s.decided_by";

fn read(row: &Row<'_>) -> Result<(Submission, Option<UserId>), DbError> {
    let (tags, checks, status): (String, String, String) = (row.get(7)?, row.get(8)?, row.get(9)?);
    let unreadable = |cause: serde_json::Error| DbError::Other(format!("market_submissions: {cause}"));
    let submission = Submission {
        id: row.get(0)?,
        slug: row.get(1)?,
        version: row.get(2)?,
        name: row.get(3)?,
        sha256: row.get(4)?,
        length: row.get(5)?,
        category: row.get(6)?,
        tags: serde_json::from_str(&tags).map_err(unreadable)?,
        checks: serde_json::from_str(&checks).map_err(unreadable)?,
        status: Status::parse(&status).ok_or_else(|| DbError::Other(format!("a submission is {status}")))?,
        reason: row.get(10)?,
        submitted_by: row.get(11)?,
        submitted_at: row.get(12)?,
        decided_by: row.get(13)?,
        decided_at: row.get(14)?,
        mine: row.get(15)?,
    };
    let by: Option<i64> = row.get(16)?;
    Ok((submission, by.map(UserId)))
}

/// Where people look at it.
fn page(id: i64) -> String {
    format!("/marketplace/submissions/{id}")
}

fn reader(caller: &Caller) -> Val {
    caller.user.map(|user| user.0).into()
}

/// Those that were handed in by the caller, or, for who manages plugins, all; newest first.
///
/// # Errors
/// When the database fails.
pub fn list(
    tx: &mut Tx<'_>,
    caller: &Caller,
    (all, status, slug): (bool, Option<Status>, Option<&str>),
    page: Page,
) -> Result<Vec<Submission>> {
    let mut values: Vec<Val> = vec![reader(caller), page.before.into(), page.fetch().into()];
    let mut rules = vec!["s.id < $2".to_owned()];
    if !all {
        rules.push("s.submitted_by IS NOT DISTINCT FROM $1".to_owned());
    }
    let narrowed = [("status", status.map(Status::code)), ("slug", slug)];
    for (column, value) in narrowed.into_iter().filter_map(|(column, value)| Some((column, value?))) {
        values.push(value.into());
        rules.push(format!("s.{column} = ${}", values.len()));
    }
    let sql = format!("SELECT {COLUMNS} WHERE {} ORDER BY s.id DESC LIMIT $3", rules.join(" AND "));
    Ok(tx.query_map(&sql, &values, read)?.into_iter().map(|(submission, _)| submission).collect())
}

/// # Errors
/// `not_found`, also when it is somebody else's and the caller does not see all.
pub fn find(tx: &mut Tx<'_>, caller: &Caller, all: bool, id: i64) -> Result<(Submission, Option<UserId>)> {
    let found = tx.query_row(&format!("SELECT {COLUMNS} WHERE s.id = $2"), &[reader(caller), id.into()], read)?;
    found.filter(|(submission, _)| all || submission.mine).ok_or_else(|| Error::not_found("such submission"))
}

/// Who first published a slug here; None: nobody did. The inner None is the operator, or somebody who was erased.
///
/// # Errors
/// When the database fails.
pub fn owner(tx: &mut Tx<'_>, slug: &str) -> Result<Option<Option<UserId>>> {
    let sql =
        format!("SELECT submitted_by FROM market_submissions WHERE slug = $1 AND status IN {LIVE} ORDER BY id LIMIT 1");
    Ok(tx.query_row(&sql, &params![slug], |row| Ok(row.get::<Option<i64>>(0)?.map(UserId)))?)
}

/// The versions of a slug that were published here.
///
/// # Errors
/// When the database fails.
pub fn versions(tx: &mut Tx<'_>, slug: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT version FROM market_submissions WHERE slug = $1 AND status IN {LIVE} ORDER BY id DESC LIMIT 500"
    );
    Ok(tx.query_map(&sql, &params![slug], |row| row.get(0))?)
}

/// Whether the mirror lists the slug.
///
/// # Errors
/// When the database fails.
pub fn is_mirrored(tx: &mut Tx<'_>, slug: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM mirror_contents WHERE slug = $1 LIMIT 1";
    Ok(tx.query_row(sql, &params![slug], |row| row.get::<i64>(0))?.is_some())
}

/// What is handed in.
pub struct New {
    pub slug: String,
    pub version: String,
    pub name: String,
    pub sha256: String,
    pub length: i64,
    pub category: Option<String>,
    pub tags: Vec<String>,
    pub checks: Vec<Check>,
}

/// Writes a submission down: in the queue, or, when a check failed, with what is to be mended.
///
/// # Errors
/// `submitted_already`, `too_many_submissions`.
pub fn insert(tx: &mut Tx<'_>, caller: &Caller, now: Time, new: &New) -> Result<Submission> {
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN submitted_by IS NOT DISTINCT FROM $1 THEN 1 ELSE 0 END), 0) \
               AS BIGINT) FROM market_submissions WHERE status IN ('in_review', 'failed')";
    let counts = tx.query_row(sql, &[reader(caller)], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))?;
    if counts.is_some_and(|(all, own)| all >= MOST || own >= MOST_OF_ONE) {
        let sentence = format!(
            "At most {MOST_OF_ONE} submissions of one person and {MOST} of all wait or failed. Wait for a decision; failed \
             ones are forgotten after 30 days."
        );
        return Err(Error::new(Kind::Limited, "too_many_submissions", sentence));
    }
    let (id, passed) = (tx.next_id()?, new.checks.iter().all(|check| check.ok));
    let status = if passed { Status::InReview } else { Status::Failed };
    let tags = serde_json::to_string(&new.tags).map_err(Error::internal)?;
    let checks = serde_json::to_string(&new.checks).map_err(Error::internal)?;
    let sql = "INSERT INTO market_submissions (id, slug, version, name, sha256, length, category, tags, checks, status, \
               submitted_by, submitted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let New { slug, version, name, sha256, length, category, .. } = new;
    let values = params![
        id,
        slug,
        version,
        name,
        sha256,
        *length,
        category.clone(),
        tags,
        checks,
        status.code(),
        caller.user.map(|user| user.0),
        now
    ];
    tx.savepoint(|tx| tx.execute(sql, &values)).map_err(|cause| match cause {
        DbError::Unique(_) => {
            let sentence =
                format!("{slug} {version} was handed in already. Raise the version, or take the other one back.");
            Error::conflict("submitted_already", sentence).field("version")
        }
        other => other.into(),
    })?;
    let words = format!("Submitted plugin {slug} {version}");
    let event = Event::new(AuditAction::Create, "market_submission", words).id(id);
    let event = event.after(&json!({"slug": slug, "version": version, "sha256": sha256, "status": status}));
    audit::record(tx, now, caller, &if passed { event } else { event.failed() })?;
    if passed {
        let text = format!("The plugin {name} ({slug} {version}) was submitted and waits for a decision.");
        notices::to_site(tx, now, &NewNotice::new("market_submitted", text).link(page(id)))?;
    }
    find(tx, caller, true, id).map(|(submission, _)| submission)
}

/// Takes a submission a step further.
///
/// # Errors
/// `changed_meanwhile`.
pub fn decide(
    tx: &mut Tx<'_>,
    caller: &Caller,
    now: Time,
    (before, submitter): (&Submission, Option<UserId>),
    (next, reason): (Status, Option<&str>),
) -> Result<Submission> {
    let sql = "UPDATE market_submissions SET status = $3, reason = $4, decided_by = $5, decided_at = $6 \
               WHERE id = $1 AND status = $2";
    let by = caller.user.map(|user| user.0);
    let values = params![before.id, before.status.code(), next.code(), reason.map(str::to_owned), by, now];
    if tx.execute(sql, &values)? != 1 {
        let sentence = "Somebody else decided about this submission meanwhile. Look again.";
        return Err(Error::conflict("changed_meanwhile", sentence));
    }
    let Submission { slug, version, .. } = before;
    let words = format!("Made the submission of plugin {slug} {version} {}", next.code());
    let event = Event::new(AuditAction::Update, "market_submission", words).id(before.id);
    let event = event.before(&json!({"status": before.status})).after(&json!({"status": next, "reason": reason}));
    audit::record(tx, now, caller, &event)?;
    jobs::enqueue(tx, now, mirror::SWITCHED, &json!({}))?;
    if let Some(submitter) = submitter.filter(|user| Some(*user) != caller.user) {
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("Your plugin {slug} {version} is {}{why}", next.code());
        notices::raise(tx, now, &[submitter], &NewNotice::new("market_decided", text).link(page(before.id)))?;
    }
    find(tx, caller, true, before.id).map(|(submission, _)| submission)
}

/// Every package that is in the marketplace by a submission.
///
/// # Errors
/// When the database fails.
pub fn live(tx: &mut Tx<'_>) -> Result<Vec<Listed>> {
    let sql = format!(
        "SELECT slug, version, sha256, length, category, tags, status, reason FROM market_submissions WHERE status IN {LIVE}"
    );
    Ok(tx.query_map(&sql, &params![], |row| {
        let (tags, status, reason): (String, String, Option<String>) = (row.get(5)?, row.get(6)?, row.get(7)?);
        let told = Told {
            category: row.get(4)?,
            tags: serde_json::from_str(&tags).unwrap_or_default(),
            yanked: (status == Status::Yanked.code()).then(|| reason.unwrap_or_default()),
        };
        Ok(Listed {
            slug: row.get(0)?,
            version: row.get(1)?,
            source: Source::Site,
            sha256: row.get(2)?,
            length: row.get(3)?,
            told,
        })
    })?)
}

/// What a published version is told with: its status, who handed it in and who decided, when, and why.
///
/// # Errors
/// When the database fails.
pub fn published(tx: &mut Tx<'_>, slug: &str, version: &str) -> Result<Option<Submission>> {
    let sql = format!("SELECT {COLUMNS} WHERE s.slug = $2 AND s.version = $3 AND s.status IN {LIVE}");
    let found = tx.query_row(&sql, &params![None::<i64>, slug, version], read)?;
    Ok(found.map(|(submission, _)| submission))
}

/// Forgets what failed, was rejected or taken back before `before`.
///
/// # Errors
/// When the database fails.
pub fn forget(tx: &mut Tx<'_>, before: Time) -> Result<u64> {
    let sql = "DELETE FROM market_submissions WHERE status IN ('failed', 'rejected', 'withdrawn') \
               AND COALESCE(decided_at, submitted_at) < $1";
    Ok(tx.execute(sql, &params![before])?)
}

/// Those of the hashes that begin with `digits` whose contents are somebody's submission.
///
/// # Errors
/// When the database fails.
pub fn named(tx: &mut Tx<'_>, digits: &str) -> Result<HashSet<String>> {
    // Behind every hexadecimal digit, in any collation.
    let end = format!("{digits}g");
    let sql = "SELECT sha256 FROM market_submissions WHERE sha256 >= $1 AND sha256 < $2";
    Ok(tx.query_map(sql, &params![digits, end], |row| row.get(0))?.into_iter().collect())
}

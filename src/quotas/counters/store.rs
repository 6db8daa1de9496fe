//! All SQL of counters, grants and batches.
//!
//! Invariant: every statement that lets something be used carries the limit in its own WHERE, so two processes at once
//! cannot both pass it; every statement that takes back stops at zero, so a late one never blocks those beside it.

use super::Counter;
use crate::access::OrgId;
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::{DbError, Row, Tx, params};
use crate::quotas::Resource;
use crate::quotas::period::{Period, Span};
use crate::quotas::rule::{Rule, Scope};

fn read(row: &Row<'_>) -> Result<Counter, DbError> {
    Ok(Counter { used: row.get(0)?, granted: row.get(1)?, warned: row.get(2)?, blocked: row.get(3)? })
}

/// What is counted in a period; None before anything was.
pub fn get(tx: &mut Tx<'_>, quota: i64, period: &str) -> Result<Option<Counter>, DbError> {
    let sql = "SELECT used, granted, warned, blocked FROM quota_counters WHERE quota_id = $1 AND period = $2";
    tx.query_row(sql, &params![quota, period], read)
}

/// The counters of an organisation in the periods of these names.
pub fn present(tx: &mut Tx<'_>, org: OrgId, names: &[String; 5]) -> Result<Vec<(i64, String, Counter)>, DbError> {
    let [none, day, week, month, year] = names.each_ref().map(String::as_str);
    let sql = "SELECT c.used, c.granted, c.warned, c.blocked, c.quota_id, c.period FROM quota_counters c \
               JOIN quotas q ON q.id = c.quota_id \
               WHERE q.organization_id = $1 AND c.period IN ($2, $3, $4, $5, $6)";
    let params = params![org.0, none, day, week, month, year];
    tx.query_map(sql, &params, |row| Ok((row.get(4)?, row.get(5)?, read(row)?)))
}

/// Begins to count in a period; false when that had begun.
pub fn begin(tx: &mut Tx<'_>, quota: i64, period: &str) -> Result<bool, DbError> {
    let begun = tx.execute(
        "INSERT INTO quota_counters (quota_id, period, used, granted, warned, blocked) VALUES ($1, $2, 0, 0, 0, 0) \
         ON CONFLICT (quota_id, period) DO NOTHING",
        &params![quota, period],
    )?;
    Ok(begun == 1)
}

/// Forgets what was counted in periods of `kind` other than `present`, as far as no process holds any of it.
pub fn forget(tx: &mut Tx<'_>, quota: i64, kind: Period, present: &str) -> Result<(), DbError> {
    let sql = "DELETE FROM quota_counters WHERE quota_id = $1 AND period LIKE $2 AND period <> $3 AND granted = 0";
    tx.execute(sql, &params![quota, format!("{}%", kind.code()), present]).map(drop)
}

/// The condition that `$3` more fit, at `$4`.
const FITS: &str = "EXISTS (SELECT 1 FROM quotas q WHERE q.id = quota_counters.quota_id AND (q.mode <> 'hard' OR \
    COALESCE(CASE WHEN q.override_until > $4 THEN q.override_limit ELSE q.limit_value END >= \
    quota_counters.used + quota_counters.granted + $3, TRUE)))";

/// Counts `amount` as used; None when a hard limit does not allow it, or counting has not begun.
pub fn take(tx: &mut Tx<'_>, quota: i64, period: &str, amount: i64, now: Time) -> Result<Option<Counter>, DbError> {
    let sql = format!(
        "UPDATE quota_counters SET used = used + $3 WHERE quota_id = $1 AND period = $2 AND {FITS} \
         RETURNING used, granted, warned, blocked"
    );
    tx.query_row(&sql, &params![quota, period, amount, now], read)
}

/// Sets what is used; None when a hard limit does not allow that much and it is more than before.
pub fn reach(tx: &mut Tx<'_>, quota: i64, period: &str, used: i64, now: Time) -> Result<Option<Counter>, DbError> {
    let sql = "UPDATE quota_counters SET used = $3 WHERE quota_id = $1 AND period = $2 AND (used >= $3 OR EXISTS \
         (SELECT 1 FROM quotas q WHERE q.id = quota_counters.quota_id AND (q.mode <> 'hard' OR COALESCE(CASE WHEN \
         q.override_until > $4 THEN q.override_limit ELSE q.limit_value END >= $3, TRUE)))) \
         RETURNING used, granted, warned, blocked";
    tx.query_row(sql, &params![quota, period, used, now], read)
}

/// Sets what is used, whatever the limit.
pub fn set(tx: &mut Tx<'_>, quota: i64, period: &str, used: i64) -> Result<(), DbError> {
    let sql = "UPDATE quota_counters SET used = $3 WHERE quota_id = $1 AND period = $2";
    tx.execute(sql, &params![quota, period, used]).map(drop)
}

/// Counts as used what no limit can stop any more; None when counting has not begun.
pub fn add(tx: &mut Tx<'_>, quota: i64, period: &str, amount: i64) -> Result<Option<Counter>, DbError> {
    let sql = "UPDATE quota_counters SET used = used + $3 WHERE quota_id = $1 AND period = $2 \
               RETURNING used, granted, warned, blocked";
    tx.query_row(sql, &params![quota, period, amount], read)
}

/// Takes back; what is left.
pub fn give_back(tx: &mut Tx<'_>, quota: i64, period: &str, amount: i64) -> Result<Option<Counter>, DbError> {
    let sql = "UPDATE quota_counters SET used = CASE WHEN used > $3 THEN used - $3 ELSE 0 END \
               WHERE quota_id = $1 AND period = $2 RETURNING used, granted, warned, blocked";
    tx.query_row(sql, &params![quota, period, amount], read)
}

/// Notes the highest threshold that was told; false when that or a higher one was told before.
pub fn warn(tx: &mut Tx<'_>, quota: i64, period: &str, threshold: u8) -> Result<bool, DbError> {
    let sql = "UPDATE quota_counters SET warned = $3 WHERE quota_id = $1 AND period = $2 AND warned < $3";
    Ok(tx.execute(sql, &params![quota, period, i64::from(threshold)])? == 1)
}

/// Lets thresholds above this one be told again.
pub fn calm(tx: &mut Tx<'_>, quota: i64, period: &str, threshold: u8) -> Result<(), DbError> {
    let sql = "UPDATE quota_counters SET warned = $3 WHERE quota_id = $1 AND period = $2 AND warned > $3";
    tx.execute(sql, &params![quota, period, i64::from(threshold)]).map(drop)
}

/// Counts what a hard limit would have refused; whether these are the period's first.
pub fn block(tx: &mut Tx<'_>, quota: i64, period: &str, more: i64) -> Result<bool, DbError> {
    let sql = "UPDATE quota_counters SET blocked = blocked + $3 WHERE quota_id = $1 AND period = $2 RETURNING blocked";
    let blocked: Option<i64> = tx.query_row(sql, &params![quota, period, more], |row| row.get(0))?;
    Ok(blocked == Some(more))
}

/// Lets `process` hold `amount` more; false when a hard limit does not allow it, or counting has not begun.
pub fn grant(
    tx: &mut Tx<'_>,
    process: &str,
    quota: i64,
    period: &str,
    amount: i64,
    now: Time,
) -> Result<bool, DbError> {
    let sql =
        format!("UPDATE quota_counters SET granted = granted + $3 WHERE quota_id = $1 AND period = $2 AND {FITS}");
    let changed = tx.execute(&sql, &params![quota, period, amount, now])?;
    if changed == 1 {
        tx.execute(
            "INSERT INTO quota_grants (process, quota_id, period, amount, renewed_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (process, quota_id, period) \
             DO UPDATE SET amount = quota_grants.amount + $4, renewed_at = $5",
            &params![process, quota, period, amount, now],
        )?;
    }
    Ok(changed == 1)
}

/// Whether other processes than `process` hold something of a quota in a period.
pub fn held_elsewhere(tx: &mut Tx<'_>, process: &str, quota: i64, period: &str) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM quota_grants WHERE quota_id = $1 AND period = $2 AND process <> $3 AND amount > 0 LIMIT 1";
    Ok(tx.query_row(sql, &params![quota, period, process], |_| Ok(()))?.is_some())
}

/// The quotas and periods of which `process` holds more than is left, while other processes take from them too.
pub fn scarce(tx: &mut Tx<'_>, process: &str, now: Time) -> Result<Vec<(i64, String)>, DbError> {
    tx.query_map(
        "SELECT g.quota_id, g.period FROM quota_grants g \
         JOIN quota_counters c ON c.quota_id = g.quota_id AND c.period = g.period JOIN quotas q ON q.id = g.quota_id \
         WHERE g.process = $1 AND g.amount > 0 AND q.mode = 'hard' \
         AND CASE WHEN q.override_until > $2 THEN q.override_limit ELSE q.limit_value END < c.used + c.granted + g.amount \
         AND EXISTS (SELECT 1 FROM quota_grants o WHERE o.quota_id = g.quota_id AND o.period = g.period AND o.process <> $1)",
        &params![process, now],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Moves `used` of what `process` holds to the settled use, and lets go of `returned` besides; None when the quota is
/// gone.
pub fn settle(
    tx: &mut Tx<'_>,
    process: &str,
    quota: i64,
    period: &str,
    used: i64,
    returned: i64,
) -> Result<Option<Counter>, DbError> {
    let held = used + returned;
    tx.execute(
        "UPDATE quota_grants SET amount = CASE WHEN amount > $4 THEN amount - $4 ELSE 0 END \
         WHERE process = $1 AND quota_id = $2 AND period = $3",
        &params![process, quota, period, held],
    )?;
    tx.query_row(
        "UPDATE quota_counters SET used = used + $3, granted = CASE WHEN granted > $4 THEN granted - $4 ELSE 0 END \
         WHERE quota_id = $1 AND period = $2 RETURNING used, granted, warned, blocked",
        &params![quota, period, used, held],
        read,
    )
}

/// Removes what `process` leaves behind when it holds nothing.
pub fn sweep(tx: &mut Tx<'_>, process: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM quota_grants WHERE process = $1 AND amount = 0", &params![process])?;
    tx.execute("DELETE FROM quota_batches WHERE process = $1", &params![process])?;
    Ok(())
}

/// Notes which batch of use `process` wrote; false when that is the one it wrote last.
pub fn note_batch(tx: &mut Tx<'_>, process: &str, batch: i64) -> Result<bool, DbError> {
    let noted = tx.execute(
        "INSERT INTO quota_batches (process, batch) VALUES ($1, $2) \
         ON CONFLICT (process) DO UPDATE SET batch = $2 WHERE quota_batches.batch <> $2",
        &params![process, batch],
    )?;
    Ok(noted == 1)
}

/// Says that `process` is alive; the number of grants it still has.
pub fn renew(tx: &mut Tx<'_>, process: &str, now: Time) -> Result<u64, DbError> {
    tx.execute("UPDATE quota_grants SET renewed_at = $2 WHERE process = $1", &params![process, now])
}

/// What a process holds of a quota in a period.
pub struct Grant {
    pub process: String,
    pub quota: i64,
    pub period: String,
    pub amount: i64,
}

/// What processes hold that did not renew since `before`, and what one of this name holds.
pub fn dead(tx: &mut Tx<'_>, process: &str, before: Time) -> Result<Vec<Grant>, DbError> {
    tx.query_map(
        "SELECT process, quota_id, period, amount FROM quota_grants WHERE process = $1 OR renewed_at < $2 LIMIT 10000",
        &params![process, before],
        |row| Ok(Grant { process: row.get(0)?, quota: row.get(1)?, period: row.get(2)?, amount: row.get(3)? }),
    )
}

/// Removes a grant as it was seen; false when it changed since.
pub fn remove(tx: &mut Tx<'_>, grant: &Grant) -> Result<bool, DbError> {
    let gone = tx.execute(
        "DELETE FROM quota_grants WHERE process = $1 AND quota_id = $2 AND period = $3 AND amount = $4",
        &params![grant.process.as_str(), grant.quota, grant.period.as_str(), grant.amount],
    )?;
    Ok(gone == 1)
}

/// What a quota has counted in a span of time: looked up where it is.
pub fn truth(tx: &mut Tx<'_>, rule: &Rule, span: &Span) -> Result<i64, DbError> {
    let (org, id) = (rule.org.0, rule.scope.id(rule.org));
    let mut params = params![org].to_vec();
    let narrow = |params: &mut Vec<_>, person: &str, team: &str| match rule.scope {
        Scope::Organization => String::new(),
        Scope::Person(_) => {
            params.push(id.into());
            format!(" AND {person} = $2")
        }
        Scope::Team(_) => {
            params.push(id.into());
            format!(" AND {team} = $2")
        }
    };
    let sql = match rule.resource {
        Resource::Projects => {
            let narrow = narrow(&mut params, "p.created_by_id", "p.team_id");
            params.extend([span.since.0.into(), span.until.0.into()]);
            let until = params.len();
            format!(
                "SELECT COUNT(*) FROM projects p WHERE p.organization_id = $1{narrow} AND p.created_at >= ${} \
                 AND p.created_at < ${until}",
                until - 1
            )
        }
        Resource::Storage => {
            let narrow = narrow(&mut params, "v.created_by_id", "p.team_id");
            format!(
                "SELECT CAST(COALESCE(SUM(v.size), 0) AS BIGINT) FROM file_versions v JOIN files f ON f.id = v.file_id \
                 JOIN projects p ON p.id = f.project_id WHERE p.organization_id = $1{narrow}"
            )
        }
        Resource::TeamMembers => {
            // Accounts of programs are no members.
            "SELECT COUNT(DISTINCT g.user_id) FROM role_grants g JOIN users u ON u.id = g.user_id \
             WHERE g.organization_id = $1 AND u.service_of IS NULL"
                .to_owned()
        }
        Resource::LlmTokens | Resource::ApiCalls => {
            let team = "(SELECT p.team_id FROM projects p WHERE p.id = u.project_id)";
            let narrow = narrow(&mut params, "u.user_id", team);
            params.extend([rule.resource.code().into(), span.from.as_str().into(), span.to.as_str().into()]);
            let to = params.len();
            format!(
                "SELECT CAST(COALESCE(SUM(u.amount), 0) AS BIGINT) FROM usage_daily u \
                 WHERE u.organization_id = $1{narrow} AND u.resource = ${} AND u.day >= ${} AND u.day < ${to}",
                to - 2,
                to - 1
            )
        }
    };
    Ok(tx.query_row(&sql, &params, |row| row.get(0))?.unwrap_or(0))
}

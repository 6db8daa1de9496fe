//! All SQL of plugins' figures.

use super::question::{MOST_ORGANIZATIONS, Question};
use super::{COARSE, FINE, Sums, Tally, piece};
use crate::base::clock::{SECOND, Time};
use crate::base::error::Result;
use crate::db::{DbError, Row, Tx, params};

const SUMS: &str = "f.bin, CAST(SUM(f.calls) AS BIGINT), CAST(SUM(f.failures) AS BIGINT), \
    CAST(SUM(f.skipped) AS BIGINT), MAX(f.memory_bytes)";
const WHICH: &str = "f.plugin_id = $1 AND f.span = $2 AND f.at >= $3 AND f.at < $4 \
    AND (CAST($5 AS BIGINT) IS NULL OR f.organization_id = CAST($5 AS BIGINT))";

/// An organisation's id and name; none of both for what belongs to none.
pub type Named = (Option<i64>, Option<String>);

/// Adds to the pieces that `now` is in. What belongs to a plugin or organisation that is gone by now is left out.
///
/// # Errors
/// When the database fails.
pub fn add(tx: &mut Tx<'_>, plugin: i64, now: Time, sums: &Sums) -> Result<()> {
    let sql = "INSERT INTO plugin_figures AS f (plugin_id, organization_id, name, span, at, bin, calls, failures, \
               skipped, memory_bytes) SELECT p.id, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT), \
               CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($8 AS BIGINT), CAST($9 AS BIGINT), \
               CAST($10 AS BIGINT) FROM plugins p WHERE p.id = $1 AND (CAST($2 AS BIGINT) IS NULL \
               OR EXISTS (SELECT 1 FROM organizations o WHERE o.id = CAST($2 AS BIGINT))) \
               ON CONFLICT (plugin_id, span, at, COALESCE(organization_id, 0), name, bin) DO UPDATE SET \
               calls = f.calls + excluded.calls, failures = f.failures + excluded.failures, \
               skipped = f.skipped + excluded.skipped, memory_bytes = CASE WHEN excluded.memory_bytes > f.memory_bytes \
               THEN excluded.memory_bytes ELSE f.memory_bytes END";
    for (org, names) in sums {
        for (name, scale) in names {
            for (bin, tally) in scale {
                for (span, _) in [FINE, COARSE] {
                    let (org, at) = (org.map(|org| org.0), piece(now, span));
                    let bin = i64::try_from(*bin).unwrap_or(i64::MAX);
                    let Tally { calls, failures, skipped, memory_bytes } = *tally;
                    let values =
                        params![plugin, org, name.as_str(), span, at, bin, calls, failures, skipped, memory_bytes];
                    tx.execute(sql, &values)?;
                }
            }
        }
    }
    Ok(())
}

/// Deletes pieces of this many seconds that began before.
///
/// # Errors
/// When the database fails.
pub fn forget(tx: &mut Tx<'_>, span: i64, before: Time) -> Result<()> {
    tx.execute("DELETE FROM plugin_figures WHERE span = $1 AND at < $2", &params![span, before])?;
    Ok(())
}

/// By the step's beginning, in microseconds, and the place on the scale.
///
/// # Errors
/// When the database fails.
pub fn by_step(tx: &mut Tx<'_>, question: &Question) -> Result<Vec<(i64, usize, Tally)>> {
    let step = question.step * SECOND;
    let sql = format!(
        "SELECT (f.at / {step}) * {step}, {SUMS} FROM plugin_figures f WHERE {WHICH} GROUP BY (f.at / {step}) * {step}, f.bin"
    );
    grouped(tx, &sql, question, 1, |row| row.get(0))
}

/// By hook or method.
///
/// # Errors
/// When the database fails.
pub fn by_name(tx: &mut Tx<'_>, question: &Question) -> Result<Vec<(String, usize, Tally)>> {
    let sql = format!("SELECT f.name, {SUMS} FROM plugin_figures f WHERE {WHICH} GROUP BY f.name, f.bin");
    grouped(tx, &sql, question, 1, |row| row.get(0))
}

/// By organisation, with its name.
///
/// # Errors
/// When the database fails.
pub fn by_organization(tx: &mut Tx<'_>, question: &Question) -> Result<Vec<(Named, usize, Tally)>> {
    let sql = format!(
        "SELECT f.organization_id, o.name, {SUMS} FROM plugin_figures f \
         LEFT JOIN organizations o ON o.id = f.organization_id WHERE {WHICH} AND COALESCE(f.organization_id, 0) IN \
         (SELECT COALESCE(f.organization_id, 0) FROM plugin_figures f WHERE {WHICH} \
         GROUP BY COALESCE(f.organization_id, 0) ORDER BY SUM(f.calls) DESC, 1 LIMIT {MOST_ORGANIZATIONS}) \
         GROUP BY f.organization_id, o.name, f.bin"
    );
    grouped(tx, &sql, question, 2, |row| Ok((row.get(0)?, row.get(1)?)))
}

/// `sums`: the column at which they begin.
fn grouped<K>(
    tx: &mut Tx<'_>,
    sql: &str,
    question: &Question,
    sums: usize,
    key: impl Fn(&Row<'_>) -> Result<K, DbError>,
) -> Result<Vec<(K, usize, Tally)>> {
    let Question { plugin, org, from, to, span, .. } = question;
    let values = params![*plugin, *span, *from, *to, org.map(|org| org.0)];
    let rows = tx.query_map(sql, &values, |row| {
        let at = |place: usize| row.get::<i64>(sums + place);
        let tally = Tally { calls: at(1)?, failures: at(2)?, skipped: at(3)?, memory_bytes: at(4)? };
        Ok((key(row)?, usize::try_from(at(0)?).unwrap_or_default(), tally))
    });
    Ok(rows?)
}

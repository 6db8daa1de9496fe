//! All SQL of records of use and of its sums by day.

use super::Key;
use super::question::{GroupBy, Question, UsageRow};
use crate::access::actions::ProjectRead;
use crate::access::{OrgId, Permit, UserId};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::{Tx, Val, params};
use crate::quotas::Resource;

/// What was used, as it is written down.
pub struct Record<'a> {
    pub org: OrgId,
    pub resource: Resource,
    pub amount: i64,
    pub user: Option<UserId>,
    pub project: Option<i64>,
    pub model: Option<&'a str>,
    pub source: &'a str,
    /// JSON.
    pub metadata: Option<String>,
    pub at: Time,
}

/// The record's id.
pub fn record(tx: &mut Tx<'_>, record: &Record<'_>) -> Result<i64> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO usage_records (id, organization_id, resource, amount, user_id, project_id, model, source, \
         metadata, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &params![
            id,
            record.org.0,
            record.resource.code(),
            record.amount,
            record.user.map(|user| user.0),
            record.project,
            record.model,
            record.source,
            record.metadata.clone(),
            record.at
        ],
    )?;
    Ok(id)
}

/// Adds to a day's sum.
pub fn add(tx: &mut Tx<'_>, key: &Key, amount: i64, records: i64) -> Result<()> {
    let Key { org, resource, day, user, project, model } = key;
    tx.execute(
        "INSERT INTO usage_daily (organization_id, resource, day, user_id, project_id, model, amount, records) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (organization_id, resource, day, user_id, project_id, model) \
         DO UPDATE SET amount = usage_daily.amount + $7, records = usage_daily.records + $8",
        &params![org.0, resource.code(), day.to_string(), *user, *project, model.as_str(), amount, records],
    )?;
    Ok(())
}

/// The sums of one resource from one day to another, both included, by what `group` names: key, name where it has one,
/// amount, records. At most `most` rows: days in order, else the largest first.
pub fn sums(
    tx: &mut Tx<'_>,
    question: &Question,
    projects: Option<&Permit<ProjectRead>>,
    most: i64,
) -> Result<Vec<UsageRow>> {
    let Question { org, resource, from, to, .. } = question;
    let mut params: Vec<Val> = params![org.0, resource.code(), from.to_string(), to.to_string(), most].to_vec();
    let none = || "CAST(NULL AS TEXT)".to_owned();
    let (key, name, order) = match question.group_by {
        GroupBy::Day => ("u.day", none(), "1"),
        GroupBy::Model => ("u.model", none(), "3 DESC, 1"),
        GroupBy::Project => {
            let told = projects.map(|permit| permit.sql_teamed("p.organization_id", "p.team_id", &mut params));
            let name = told.map(|told| format!("(SELECT p.name FROM projects p WHERE p.id = u.project_id AND {told})"));
            ("u.project_id", name.unwrap_or_else(none), "3 DESC, 1")
        }
        GroupBy::Person => {
            ("u.user_id", "(SELECT p.username FROM users p WHERE p.id = u.user_id)".to_owned(), "3 DESC, 1")
        }
    };
    let of_whom = question.user.map_or_else(String::new, |user| {
        params.push(Val::I64(user));
        format!("AND u.user_id = ${}", params.len())
    });
    let of_team = question.team.map_or_else(String::new, |team| {
        params.push(Val::I64(team));
        format!(
            "AND u.project_id IN (SELECT t.id FROM projects t WHERE t.organization_id = $1 AND t.team_id = ${})",
            params.len()
        )
    });
    let sql = format!(
        "SELECT CAST({key} AS TEXT), {name}, CAST(SUM(u.amount) AS BIGINT), CAST(SUM(u.records) AS BIGINT) \
         FROM usage_daily u WHERE u.organization_id = $1 AND u.resource = $2 AND u.day >= $3 AND u.day <= $4 {of_whom} {of_team} \
         GROUP BY {key} ORDER BY {order} LIMIT $5"
    );
    Ok(tx.query_map(&sql, &params, |row| {
        Ok(UsageRow { key: row.get(0)?, name: row.get(1)?, amount: row.get(2)?, records: row.get(3)? })
    })?)
}

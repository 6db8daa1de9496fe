//! All SQL of quotas as they are set. What is counted is in `counters::store`.

use std::collections::HashMap;

use super::counters::Counter;
use super::counters::store as counters;
use super::period::Period;
use super::rule::{Mode, Override, Owner, Rule, Scope};
use super::{Quota, Resource};
use crate::access::{OrgId, TeamId, UserId};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::zone::Zone;
use crate::db::{DbError, Row, Tx, Val, params};

/// The most quotas an organisation may have.
pub(super) const MOST: i64 = 1000;

const COLUMNS: &str = "id, organization_id, resource, scope, scope_id, limit_value, period, mode, thresholds, \
    override_limit, override_until, override_reason, per_minute, custom";

fn read(row: &Row<'_>) -> Result<Rule, DbError> {
    let known = |what: &str, code: &str| DbError::Other(format!("a quota has the {what} `{code}`"));
    let (resource, scope): (String, String) = (row.get(2)?, row.get(3)?);
    let (period, mode, thresholds): (String, String, String) = (row.get(6)?, row.get(7)?, row.get(8)?);
    let id: i64 = row.get(4)?;
    let over = match row.get::<Option<Time>>(10)? {
        None => None,
        Some(until) => Some(Override { limit_value: row.get(9)?, until, reason: row.get(11)? }),
    };
    Ok(Rule {
        id: row.get(0)?,
        org: OrgId(row.get(1)?),
        resource: Resource::parse(&resource).map_err(|_| known("resource", &resource))?,
        scope: match scope.as_str() {
            "person" => Scope::Person(UserId(id)),
            "team" => Scope::Team(TeamId(id)),
            _ => Scope::Organization,
        },
        limit_value: row.get(5)?,
        period: Period::parse(&period).map_err(|_| known("period", &period))?,
        mode: Mode::ALL.into_iter().find(|one| one.code() == mode).ok_or_else(|| known("mode", &mode))?,
        thresholds: serde_json::from_str(&thresholds).map_err(|_| known("thresholds", &thresholds))?,
        over,
        per_minute: row.get(12)?,
        custom: row.get(13)?,
    })
}

fn values(rule: &Rule) -> Result<[Val; 9]> {
    let thresholds = serde_json::to_string(&rule.thresholds).map_err(Error::internal)?;
    let over = rule.over.as_ref();
    Ok([
        rule.limit_value.into(),
        rule.period.code().into(),
        rule.mode.code().into(),
        thresholds.into(),
        over.and_then(|over| over.limit_value).into(),
        over.map(|over| over.until.0).into(),
        over.map(|over| over.reason.clone()).into(),
        rule.per_minute.into(),
        rule.custom.into(),
    ])
}

/// Keeps a new quota; its id is given here.
///
/// # Errors
/// `quota_exists` when the owner has one of the resource.
pub(super) fn insert(tx: &mut Tx<'_>, rule: Rule) -> Result<Rule> {
    let id = tx.next_id()?;
    let mut params: Vec<Val> =
        params![id, rule.org.0, rule.resource.code(), rule.scope.code(), rule.scope.id(rule.org)].to_vec();
    params.extend(values(&rule)?);
    let sql =
        format!("INSERT INTO quotas ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)");
    tx.savepoint(|tx| tx.execute(&sql, &params)).map_err(|cause| match cause {
        DbError::Unique(_) => {
            let (owner, code) = (rule.scope.words(), rule.resource.code());
            let sentence = format!("The {owner} has a quota of {code} already. Change that one.");
            Error::conflict("quota_exists", sentence).field("resource_type")
        }
        other => other.into(),
    })?;
    Ok(Rule { id, ..rule })
}

pub(super) fn update(tx: &mut Tx<'_>, rule: &Rule) -> Result<()> {
    let mut params: Vec<Val> = params![rule.id].to_vec();
    params.extend(values(rule)?);
    tx.execute(
        "UPDATE quotas SET limit_value = $2, period = $3, mode = $4, thresholds = $5, override_limit = $6, \
         override_until = $7, override_reason = $8, per_minute = $9, custom = $10 WHERE id = $1",
        &params,
    )?;
    Ok(())
}

pub(super) fn delete(tx: &mut Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM quotas WHERE id = $1", &params![id])?;
    Ok(())
}

/// All quotas of an organisation; none when there is no such organisation.
pub(super) fn all(tx: &mut Tx<'_>, org: OrgId) -> Result<Vec<Rule>> {
    let sql = format!("SELECT {COLUMNS} FROM quotas WHERE organization_id = $1 ORDER BY id LIMIT $2");
    Ok(tx.query_map(&sql, &params![org.0, MOST], read)?)
}

/// How many quotas an organisation has.
pub(super) fn count(tx: &mut Tx<'_>, org: OrgId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM quotas WHERE organization_id = $1";
    Ok(tx.query_row(sql, &params![org.0], |row| row.get(0))?.unwrap_or(0))
}

/// The quotas that hold for `owner`, narrow ones first, the organisation's last.
pub(super) fn holding(tx: &mut Tx<'_>, owner: &Owner, resource: Resource) -> Result<Vec<Rule>> {
    // An id is one thing's only, whatever its kind.
    let sql = format!(
        "SELECT {COLUMNS} FROM quotas WHERE organization_id = $1 AND resource = $2 AND scope_id IN ($1, $3, $4)"
    );
    let (team, person) =
        (owner.team.map_or(owner.org.0, |team| team.0), owner.person.map_or(owner.org.0, |user| user.0));
    let mut rules = tx.query_map(&sql, &params![owner.org.0, resource.code(), team, person], read)?;
    rules.sort_by_key(|rule| rule.scope);
    Ok(rules)
}

pub(super) fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<Rule>, DbError> {
    tx.query_row(&format!("SELECT {COLUMNS} FROM quotas WHERE id = $1"), &params![id], read)
}

/// The organisation-wide quota of a resource.
pub(super) fn wide(tx: &mut Tx<'_>, org: OrgId, resource: Resource) -> Result<Option<Rule>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM quotas WHERE organization_id = $1 AND resource = $2 AND scope_id = $1");
    tx.query_row(&sql, &params![org.0, resource.code()], read)
}

/// The organisation's tier; None when there is no such organisation.
pub(super) fn tier(tx: &mut Tx<'_>, org: OrgId) -> Result<Option<String>, DbError> {
    tx.query_row("SELECT tier FROM organizations WHERE id = $1", &params![org.0], |row| row.get(0))
}

/// Whether a person belongs to the organisation.
pub(super) fn is_member(tx: &mut Tx<'_>, org: OrgId, user: UserId) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM role_grants WHERE organization_id = $1 AND user_id = $2 LIMIT 1";
    Ok(tx.query_row(sql, &params![org.0, user.0], |_| Ok(()))?.is_some())
}

/// Whether a team is the organisation's.
pub(super) fn is_team(tx: &mut Tx<'_>, org: OrgId, team: TeamId) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM teams WHERE organization_id = $1 AND id = $2";
    Ok(tx.query_row(sql, &params![org.0, team.0], |_| Ok(()))?.is_some())
}

/// The organisation of a team and its name.
pub(super) fn team(tx: &mut Tx<'_>, team: TeamId) -> Result<Option<(OrgId, String)>, DbError> {
    let sql = "SELECT organization_id, name FROM teams WHERE id = $1";
    tx.query_row(sql, &params![team.0], |row| Ok((OrgId(row.get(0)?), row.get(1)?)))
}

/// Whose the quotas of an organisation's teams and people are, by the quota's id.
pub(super) fn owners(tx: &mut Tx<'_>, org: OrgId) -> Result<HashMap<i64, String>, DbError> {
    let sql = "SELECT q.id, COALESCE(t.name, u.username) FROM quotas q \
        LEFT JOIN teams t ON q.scope = 'team' AND t.id = q.scope_id \
        LEFT JOIN users u ON q.scope = 'person' AND u.id = q.scope_id \
        WHERE q.organization_id = $1 AND q.scope <> 'organization' AND COALESCE(t.name, u.username) IS NOT NULL";
    Ok(tx.query_map(sql, &params![org.0], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}

/// The team a project belongs to.
pub(super) fn team_of(tx: &mut Tx<'_>, project: i64) -> Result<Option<TeamId>, DbError> {
    let team = tx.query_row("SELECT team_id FROM projects WHERE id = $1", &params![project], |row| row.get(0))?;
    Ok(team.flatten().map(TeamId))
}

/// Where the site's days begin.
pub(super) fn zone(tx: &mut Tx<'_>) -> Result<Zone> {
    let name: Option<String> = tx.query_row("SELECT time_zone FROM quota_site WHERE id = 1", &[], |row| row.get(0))?;
    let name = name.unwrap_or_default();
    Zone::find(&name).ok_or_else(|| Error::internal(format!("the database names the time zone `{name}`")))
}

pub(super) fn set_zone(tx: &mut Tx<'_>, zone: &Zone) -> Result<()> {
    let sql = "UPDATE quota_site SET time_zone = $1 WHERE id = 1 AND time_zone <> $1";
    tx.execute(sql, &params![zone.name()])?;
    Ok(())
}

/// The organisation-wide quota of a resource as it stands.
///
/// # Errors
/// When the database fails.
pub fn find(tx: &mut Tx<'_>, org: OrgId, resource: Resource, now: Time) -> Result<Option<Quota>> {
    let Some(rule) = wide(tx, org, resource)? else { return Ok(None) };
    show(tx, &rule, now).map(Some)
}

/// A quota as it stands.
pub(super) fn show(tx: &mut Tx<'_>, rule: &Rule, now: Time) -> Result<Quota> {
    let zone = zone(tx)?;
    let day = zone.day(now);
    let counter = counters::get(tx, rule.id, &rule.period.name(day))?.unwrap_or_default();
    Ok(Quota::new(rule, counter, rule.period.renews_at(&zone, day), now))
}

/// All quotas of an organisation as they stand: the organisation's own first, by resource. None when there is no such
/// organisation.
///
/// # Errors
/// When the database fails.
pub(super) fn list(tx: &mut Tx<'_>, org: OrgId, now: Time) -> Result<Vec<Quota>> {
    let zone = zone(tx)?;
    let day = zone.day(now);
    let names = Period::ALL.map(|period| period.name(day));
    let counted = counters::present(tx, org, &names)?;
    let mut rules = all(tx, org)?;
    rules.sort_by_key(|rule| (rule.scope != Scope::Organization, rule.resource, rule.id));
    let shown = |rule: &Rule| {
        let name = rule.period.name(day);
        let counter = counted.iter().find(|(quota, period, _)| *quota == rule.id && *period == name);
        let counter = counter.map_or_else(Counter::default, |(_, _, counter)| *counter);
        Quota::new(rule, counter, rule.period.renews_at(&zone, day), now)
    };
    Ok(rules.iter().map(shown).collect())
}

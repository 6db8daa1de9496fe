//! What may be set on a quota, and the rules for it.

use super::period::Period;
use super::rule::{Mode, Override, Rule, Scope};
use super::{Resource, ScopeKind, store};
use crate::access::{OrgId, TeamId, UserId};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;

/// The most requests or tokens a minute that can be set.
const MOST_PER_MINUTE: i64 = 1_000_000_000_000;
const MOST_THRESHOLDS: usize = 5;
const LONGEST_REASON: usize = 500;

/// What a change sets; None: it stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub limit_value: Option<Option<i64>>,
    pub period: Option<Period>,
    pub mode: Option<Mode>,
    pub thresholds: Option<Vec<u8>>,
    pub over: Option<Option<Override>>,
    pub requests_per_minute: Option<Option<i64>>,
    pub tokens_per_minute: Option<Option<i64>>,
}

impl Settings {
    /// The rule with these settings.
    ///
    /// # Errors
    /// `invalid_limit`, `invalid_period`, `invalid_threshold`, `invalid_override`, `invalid_rate`, naming the field.
    pub fn apply(self, mut rule: Rule, now: Time) -> Result<Rule> {
        if let Some(limit) = self.limit_value {
            rule.limit_value = checked_limit(limit, "limit_value")?;
        }
        if let Some(period) = self.period {
            if period != Period::None && matches!(rule.resource, Resource::Storage | Resource::TeamMembers) {
                let sentence =
                    format!("{} counts what exists, which no new period takes away. Use none.", rule.resource.code());
                return Err(Error::invalid("invalid_period", sentence).field("period"));
            }
            rule.period = period;
        }
        rule.mode = self.mode.unwrap_or(rule.mode);
        if let Some(thresholds) = self.thresholds {
            rule.thresholds = checked_thresholds(thresholds)?;
        }
        if let Some(over) = self.over {
            rule.over = over.map(|over| checked_override(over, now)).transpose()?;
        }
        let rates = [
            (self.requests_per_minute, Resource::ApiCalls, "requests_per_minute"),
            (self.tokens_per_minute, Resource::LlmTokens, "tokens_per_minute"),
        ];
        for (rate, resource, field) in rates {
            if let Some(rate) = rate {
                rule.per_minute = checked_rate(rate, resource, field, &rule)?;
            }
        }
        Ok(rule)
    }
}

fn checked_limit(limit: Option<i64>, field: &'static str) -> Result<Option<i64>> {
    if limit.is_some_and(|limit| limit < 0) {
        let sentence = format!("{field} is below zero. Use 0 to allow nothing, null to allow everything.");
        return Err(Error::invalid("invalid_limit", sentence).field(field));
    }
    Ok(limit)
}

fn checked_thresholds(mut thresholds: Vec<u8>) -> Result<Vec<u8>> {
    thresholds.sort_unstable();
    thresholds.dedup();
    if thresholds.len() > MOST_THRESHOLDS || thresholds.iter().any(|one| !(1..=100).contains(one)) {
        let sentence = format!("warning_thresholds are at most {MOST_THRESHOLDS} percentages from 1 to 100.");
        return Err(Error::invalid("invalid_threshold", sentence).field("warning_thresholds"));
    }
    Ok(thresholds)
}

fn checked_override(over: Override, now: Time) -> Result<Override> {
    let refuse = |sentence: String| Err(Error::invalid("invalid_override", sentence).field("override"));
    checked_limit(over.limit_value, "override")?;
    if over.until <= now {
        return refuse(format!("The override would end at {}, which is past. Give a later time.", over.until));
    }
    let length = over.reason.trim().chars().count();
    if !(1..=LONGEST_REASON).contains(&length) || over.reason.chars().any(char::is_control) {
        return refuse(format!("An override has a reason of 1 to {LONGEST_REASON} printable characters."));
    }
    Ok(over)
}

fn checked_rate(rate: Option<i64>, of: Resource, field: &'static str, rule: &Rule) -> Result<Option<i64>> {
    if rule.resource != of {
        let sentence = format!("{field} is set on a quota of {}, not of {}.", of.code(), rule.resource.code());
        return Err(Error::invalid("invalid_rate", sentence).field(field));
    }
    if rate.is_some_and(|rate| !(1..=MOST_PER_MINUTE).contains(&rate)) {
        let sentence = format!("{field} is from 1 to {MOST_PER_MINUTE}, or null for as many as come.");
        return Err(Error::invalid("invalid_rate", sentence).field(field));
    }
    Ok(rate)
}

/// Whose use a new quota limits.
///
/// # Errors
/// `invalid_scope` where the resource is nobody's in particular or ids do not fit the scope; `not_found` for who is not
/// in the organisation.
pub(super) fn checked_scope(
    tx: &mut Tx<'_>,
    org: OrgId,
    resource: Resource,
    kind: ScopeKind,
    team: Option<i64>,
    user: Option<i64>,
) -> Result<Scope> {
    let refuse = |sentence: &str| Err(Error::invalid("invalid_scope", sentence).field("scope"));
    match (kind, team, user) {
        (ScopeKind::Organization, None, None) => Ok(Scope::Organization),
        (ScopeKind::Person, None, Some(_)) if resource == Resource::TeamMembers => {
            refuse("Members are counted for an organisation, not for a person.")
        }
        (ScopeKind::Person, None, Some(user)) => {
            if !store::is_member(tx, org, UserId(user))? {
                return Err(Error::not_found(format!("member {user} of organization {}", org.0)).field("user_id"));
            }
            Ok(Scope::Person(UserId(user)))
        }
        (ScopeKind::Team, Some(_), None) if matches!(resource, Resource::TeamMembers | Resource::ApiCalls) => {
            refuse("Members and API calls are counted for an organisation or a person, not for a team.")
        }
        (ScopeKind::Team, Some(team), None) => {
            if !store::is_team(tx, org, TeamId(team))? {
                return Err(Error::not_found(format!("team {team} of organization {}", org.0)).field("team_id"));
            }
            Ok(Scope::Team(TeamId(team)))
        }
        _ => refuse("The scope organization takes no id, the scope team takes team_id, the scope person user_id."),
    }
}

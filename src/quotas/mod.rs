//! How much each organisation, team and person may use: what exists is counted one by one, tokens and calls by grant.
//!
//! Invariant: settled use, what running processes hold and what is being asked for never pass a hard limit together. A
//! process takes a durable grant from the quota and serves reservations from it in memory, so a call waits for a commit
//! only when the grant is short; what a process that died still held counts as used, so nothing is ever under-counted.
//! What a token costs belongs to nobody here; how many a model used is `llm`'s business.

mod account;
mod book;
mod counters;
mod gate;
mod meter;
mod period;
mod routes;
mod rule;
mod settings;
mod settle;
pub mod store;
mod usage;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use account::Reservation;
pub use counters::{count_members, follow_tier, give_back, hand_over, open, take, without_team};
pub use gate::Rate;
pub use meter::Quotas;
pub use period::Period;
pub use rule::{Mode, Override, Owner};

use rule::{Rule, Scope};

use crate::access::{Caller, OrgId, UserId};
use crate::audit::Event;
use crate::base::clock::{SECOND, Time};
use crate::base::error::{Error, Kind, Result};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Projects that exist; with a period, those made in it that still exist.
    Projects,
    /// Tokens of prompts and answers.
    LlmTokens,
    /// Requests to `/api` and `/v1` by people who belong to the organisation.
    ApiCalls,
    /// Bytes of all stored versions of the files of its projects.
    Storage,
    /// People who belong to it.
    TeamMembers,
}

impl Resource {
    pub const ALL: [Self; 5] = [Self::Projects, Self::LlmTokens, Self::ApiCalls, Self::Storage, Self::TeamMembers];

    pub fn code(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::LlmTokens => "llm_tokens",
            Self::ApiCalls => "api_calls",
            Self::Storage => "storage",
            Self::TeamMembers => "team_members",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::LlmTokens => "model tokens",
            Self::ApiCalls => "API calls",
            Self::Storage => "stored bytes",
            Self::TeamMembers => "members",
        }
    }

    /// Whether it is used up, and metered by grant; else it exists, and is given back when it is deleted.
    pub fn is_metered(self) -> bool {
        matches!(self, Self::LlmTokens | Self::ApiCalls)
    }

    /// # Errors
    /// `unknown_resource`, listing the resources there are.
    pub fn parse(code: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|resource| resource.code() == code).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|resource| resource.code()).collect();
            let sentence = format!("`{code}` is not a resource. Resources are: {}.", known.join(", "));
            Error::invalid("unknown_resource", sentence).field("resource_type")
        })
    }
}

/// The limits an organisation of `tier` begins with, and how often they begin anew; null means unlimited. The one table.
fn limits(tier: &str) -> [(Resource, Option<i64>, Period); 5] {
    let [projects, tokens, calls, bytes, members] = match tier {
        "enterprise" => [None; 5],
        "professional" => [500, 10_000_000, 10_000_000, 100_000_000_000, 500].map(Some),
        "starter" => [50, 1_000_000, 1_000_000, 10_000_000_000, 50].map(Some),
        _ => [5, 100_000, 100_000, 1_000_000_000, 10].map(Some),
    };
    [
        (Resource::Projects, projects, Period::None),
        (Resource::LlmTokens, tokens, Period::Monthly),
        (Resource::ApiCalls, calls, Period::Monthly),
        (Resource::Storage, bytes, Period::None),
        (Resource::TeamMembers, members, Period::None),
    ]
}

/// Whose use a quota limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    #[default]
    Organization,
    Team,
    Person,
}

/// A quota as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Quota {
    pub id: i64,
    pub resource: Resource,
    pub scope: ScopeKind,
    /// The team, when the scope is one.
    pub team_id: Option<i64>,
    /// The person, when the scope is one.
    pub user_id: Option<i64>,
    /// Its own limit; null means unlimited.
    pub limit_value: Option<i64>,
    /// The limit that counts now: an override's while there is one.
    pub effective_limit: Option<i64>,
    /// Settled use in the present period.
    pub used: i64,
    /// Held by running processes for calls under way and those to come.
    pub reserved: i64,
    pub period: Period,
    /// When counting begins anew; null: never.
    pub renews_at: Option<Time>,
    pub mode: Mode,
    /// Percentages of the limit at which the organisation's administrators are told, once a period.
    pub warning_thresholds: Vec<u8>,
    /// The highest of them that was told in the present period; 0: none.
    pub warned: i64,
    /// What a hard limit would have refused in the present period; counted in mode shadow.
    pub would_have_blocked: i64,
    /// Another limit for a time; also one that has ended.
    #[serde(rename = "override")]
    pub over: Option<Override>,
    /// Of `api_calls`: so many requests a minute; null: as many as come.
    pub requests_per_minute: Option<i64>,
    /// Of `llm_tokens`: so many tokens a minute; null: as many as come.
    pub tokens_per_minute: Option<i64>,
    /// False: it is the one that the organisation's tier has.
    pub custom: bool,
}

impl Quota {
    fn new(rule: &Rule, counter: counters::Counter, renews_at: Option<Time>, now: Time) -> Self {
        let (scope, team_id, user_id) = match rule.scope {
            Scope::Organization => (ScopeKind::Organization, None, None),
            Scope::Team(team) => (ScopeKind::Team, Some(team.0), None),
            Scope::Person(user) => (ScopeKind::Person, None, Some(user.0)),
        };
        Self {
            id: rule.id,
            resource: rule.resource,
            scope,
            team_id,
            user_id,
            limit_value: rule.limit_value,
            effective_limit: rule.limit(now),
            used: counter.used,
            reserved: counter.granted,
            period: rule.period,
            renews_at,
            mode: rule.mode,
            warning_thresholds: rule.thresholds.clone(),
            warned: counter.warned,
            would_have_blocked: counter.blocked,
            over: rule.over.clone(),
            requests_per_minute: rule.per_minute.filter(|_| rule.resource == Resource::ApiCalls),
            tokens_per_minute: rule.per_minute.filter(|_| rule.resource == Resource::LlmTokens),
            custom: rule.custom,
        }
    }
}

/// What was used, by whom and for what.
#[derive(Debug, Clone)]
pub struct Usage {
    pub tokens: u64,
    pub user: Option<UserId>,
    pub project: Option<i64>,
    pub model: String,
    /// Who measured: `gateway`, `run`, `reported`, `unsettled`.
    pub source: &'static str,
    /// What who measured says about it, as JSON.
    pub metadata: Option<String>,
}

/// An audit entry that waits for the group commit of its usage.
pub type Told = (Event, Arc<Caller>);

/// The refusal of a quota that has no room.
fn exceeded(rule: &Rule, counter: counters::Counter, amount: i64, now: Time, renews_at: Option<Time>) -> Error {
    metrics::counter!("quota_refusals_total", "resource" => rule.resource.code()).increment(1);
    let (words, counters::Counter { used, granted, .. }) = (rule.resource.words(), counter);
    let held =
        if rule.resource.is_metered() { format!(" and {granted} reserved for calls under way") } else { String::new() };
    let renewal = renews_at.map_or_else(String::new, |at| format!(" It begins anew at {at}."));
    let sentence = format!(
        "The {}'s quota of {words} does not suffice: {amount} needed, {used} of {} used{held}.{renewal} Ask an administrator to raise it.",
        rule.scope.words(),
        Rule::limit_words(rule.limit(now)),
    );
    let error = Error::new(Kind::Limited, "quota_exceeded", sentence).field(rule.resource.code());
    match renews_at {
        Some(at) => error.retry_after(((at.0 - now.0).max(0) / SECOND).unsigned_abs() + 1),
        None => error,
    }
}

/// The refusal where no quota can be found, or none could ever hold so much.
fn no_quota(org: OrgId, resource: Resource) -> Error {
    let sentence = format!(
        "Organisation {} has no quota of {} for this. Ask an administrator whether it still exists.",
        org.0,
        resource.words()
    );
    Error::new(Kind::Limited, "quota_exceeded", sentence).field(resource.code())
}

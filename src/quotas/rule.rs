//! One quota: what is limited, for whom, by how much, and what happens at the limit. Pure: no SQL, no clock.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Resource;
use super::period::Period;
use crate::access::{OrgId, TeamId, UserId};
use crate::base::clock::Time;

/// The percentages at which the organisation's administrators are told.
pub const THRESHOLDS: [u8; 3] = [80, 90, 100];

/// What happens at the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// What passes it is refused.
    #[default]
    Hard,
    /// Administrators are told; nothing is refused.
    Soft,
    /// What a hard limit would have refused is counted; nothing is refused and nobody is told.
    Shadow,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Hard, Self::Soft, Self::Shadow];

    pub fn code(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Shadow => "shadow",
        }
    }
}

/// Whose use is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One person's, within the organisation.
    Person(UserId),
    /// A team's projects together.
    Team(TeamId),
    /// All of the organisation's.
    Organization,
}

impl Scope {
    pub fn code(self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::Team(_) => "team",
            Self::Organization => "organization",
        }
    }

    /// What is limited: the id of the person, the team or the organisation.
    pub fn id(self, org: OrgId) -> i64 {
        match self {
            Self::Person(user) => user.0,
            Self::Team(team) => team.0,
            Self::Organization => org.0,
        }
    }

    /// The owner in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::Team(_) => "team",
            Self::Organization => "organisation",
        }
    }
}

/// Whose use something is: the quotas of all three hold for it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    pub org: OrgId,
    pub team: Option<TeamId>,
    pub person: Option<UserId>,
}

impl Owner {
    /// Use that is the organisation's alone.
    pub fn org(org: OrgId) -> Self {
        Self { org, team: None, person: None }
    }

    pub fn person(self, person: Option<UserId>) -> Self {
        Self { person, ..self }
    }

    pub fn team(self, team: Option<TeamId>) -> Self {
        Self { team, ..self }
    }

    pub fn is_within(&self, scope: Scope) -> bool {
        match scope {
            Scope::Person(user) => self.person == Some(user),
            Scope::Team(team) => self.team == Some(team),
            Scope::Organization => true,
        }
    }
}

/// Another limit for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Null means unlimited.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    pub limit_value: Option<i64>,
    /// From here on the quota's own limit counts again.
    pub until: Time,
    /// Why, for those who ask later; 1 to 500 characters.
    pub reason: String,
}

/// A quota as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub id: i64,
    pub org: OrgId,
    pub resource: Resource,
    pub scope: Scope,
    /// Null: unlimited.
    pub limit_value: Option<i64>,
    pub period: Period,
    pub mode: Mode,
    /// Percentages of the limit, ascending.
    pub thresholds: Vec<u8>,
    /// Also one that has ended.
    pub over: Option<Override>,
    /// Requests or tokens a minute.
    pub per_minute: Option<i64>,
    /// False: as the organisation's tier has it.
    pub custom: bool,
}

impl Rule {
    /// The limit that counts at `now`; null: unlimited.
    pub fn limit(&self, now: Time) -> Option<i64> {
        match &self.over {
            Some(over) if over.until > now => over.limit_value,
            _ => self.limit_value,
        }
    }

    /// The highest threshold that `used` has reached, in percent; 0 for none.
    pub fn reached(&self, used: i64, now: Time) -> u8 {
        let Some(limit) = self.limit(now).filter(|_| used > 0) else { return 0 };
        let reached = |threshold: &u8| i128::from(used) * 100 >= i128::from(limit) * i128::from(*threshold);
        self.thresholds.iter().copied().filter(reached).max().unwrap_or(0)
    }

    /// How many of `uses`, each so many equal ones of some total, were beyond the limit, when `before` was used.
    pub fn beyond(&self, before: i64, uses: &[(i64, i64)], now: Time) -> i64 {
        let Some(limit) = self.limit(now) else { return 0 };
        let (mut used, mut beyond) = (before, 0);
        for (total, count) in uses {
            let each = (total / count.max(&1)).max(1);
            let fitting = ((limit - used).max(0) / each).min(*count);
            // What used nothing passes no limit.
            beyond += if *total > 0 { count - fitting } else { 0 };
            used += total;
        }
        beyond
    }

    /// The limit in a sentence.
    pub fn limit_words(limit: Option<i64>) -> Cow<'static, str> {
        limit.map_or(Cow::Borrowed("any number"), |limit| Cow::Owned(limit.to_string()))
    }
}

#[cfg(test)]
pub(super) fn plain(limit_value: Option<i64>) -> Rule {
    Rule {
        id: 1,
        org: OrgId(1),
        resource: Resource::LlmTokens,
        scope: Scope::Organization,
        limit_value,
        period: Period::None,
        mode: Mode::Hard,
        thresholds: THRESHOLDS.to_vec(),
        over: None,
        per_minute: None,
        custom: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1000);

    #[test]
    fn thresholds_are_reached_exactly_at_their_share() {
        let rule = plain(Some(10));
        let reached: Vec<u8> = (0..12).map(|used| rule.reached(used, NOW)).collect();
        assert_eq!(reached, [0, 0, 0, 0, 0, 0, 0, 0, 80, 90, 100, 100]);
        assert_eq!(plain(None).reached(i64::MAX, NOW), 0);
        assert_eq!(plain(Some(i64::MAX)).reached(i64::MAX, NOW), 100);
        assert_eq!(plain(Some(0)).reached(0, NOW), 0, "who uses nothing is not warned");
    }

    #[test]
    fn an_override_counts_until_it_ends() {
        let over = Override { limit_value: Some(50), until: Time(1001), reason: "Fair".to_owned() };
        let rule = Rule { over: Some(over), ..plain(Some(10)) };
        assert_eq!((rule.limit(NOW), rule.limit(Time(1001))), (Some(50), Some(10)));
    }

    #[test]
    fn what_would_have_been_refused_is_what_came_after_the_limit() {
        let rule = plain(Some(10));
        assert_eq!(rule.beyond(0, &[(10, 1)], NOW), 0);
        assert_eq!(rule.beyond(0, &[(11, 1)], NOW), 1);
        assert_eq!(rule.beyond(8, &[(5, 5)], NOW), 3);
        assert_eq!(rule.beyond(20, &[(1, 1), (0, 1)], NOW), 1);
        assert_eq!(plain(None).beyond(20, &[(1, 1)], NOW), 0);
    }
}

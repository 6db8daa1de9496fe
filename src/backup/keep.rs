//! Which backups are kept.
//!
//! Invariant: the rule looks at nothing but times, and the newest backup is always kept.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::{DAY, Time};

/// How many of each kind are kept. A backup is kept when any of them wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackupKeep)]
pub struct Keep {
    /// The newest ones, whatever their age.
    pub last: u32,
    /// The newest one of each of so many days (UTC) that have one.
    pub daily: u32,
    /// Of each week, which begins on Monday.
    pub weekly: u32,
    /// Of each month.
    pub monthly: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { last: 3, daily: 7, weekly: 5, monthly: 12 }
    }
}

impl Keep {
    /// Of these moments, which are kept.
    pub fn choose(&self, made_at: &[Time]) -> HashSet<Time> {
        let mut newest_first = made_at.to_vec();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let mut kept: HashSet<Time> = newest_first.iter().take(self.last.max(1) as usize).copied().collect();
        let day = |at: Time| at.0.div_euclid(DAY);
        kept.extend(newest_of(&newest_first, self.daily, &day));
        // 1970 began on a Thursday.
        kept.extend(newest_of(&newest_first, self.weekly, &|at| (day(at) + 3).div_euclid(7)));
        kept.extend(newest_of(&newest_first, self.monthly, &month));
        kept
    }
}

fn newest_of(newest_first: &[Time], most: u32, period: &dyn Fn(Time) -> i64) -> Vec<Time> {
    let mut seen = HashSet::new();
    let fresh = newest_first.iter().copied().filter(|at| seen.insert(period(*at)));
    fresh.take(most as usize).collect()
}

/// Months since the year 0.
fn month(at: Time) -> i64 {
    let text = at.to_string();
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i64>().ok());
    number(0..4).unwrap_or_default() * 12 + number(5..7).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_weeks_and_months_keep_their_newest() {
        let day = |day: i64| Time(day * DAY + DAY / 2);
        // Two a day for 100 days.
        let all: Vec<Time> = (0..100).flat_map(|number| [day(number), Time(day(number).0 + 1)]).collect();
        let kept = Keep { last: 2, daily: 3, weekly: 2, monthly: 2 }.choose(&all);
        let mut kept: Vec<i64> = kept.into_iter().map(|at| at.0 / DAY).collect();
        kept.sort_unstable();
        // The last two are of day 99. Weeks of 1970 end on days 3, 10, .. 94; months end on days 30, 58, 89.
        assert_eq!(kept, [89, 94, 97, 98, 99, 99]);
    }

    proptest! {
        #[test]
        fn the_newest_is_kept_and_never_more_than_asked(
            times in proptest::collection::vec(0_i64..4_000_000_000_000_000, 0..80),
            last in 0_u32..5, daily in 0_u32..9, weekly in 0_u32..9, monthly in 0_u32..9,
        ) {
            let times: Vec<Time> = times.into_iter().map(Time).collect();
            let kept = Keep { last, daily, weekly, monthly }.choose(&times);
            prop_assert!(kept.len() <= (last.max(1) + daily + weekly + monthly) as usize);
            prop_assert!(kept.iter().all(|at| times.contains(at)));
            prop_assert_eq!(times.iter().max().is_none_or(|newest| kept.contains(newest)), true);
        }
    }
}

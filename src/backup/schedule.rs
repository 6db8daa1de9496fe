//! When backups are taken by themselves.
//!
//! Invariant: the next moment is always later than the one it is reckoned from, whatever the zone's clocks do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;
use crate::base::zone::Zone;

const HOUR: i64 = 3_600_000_000;

/// How often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "every", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = BackupSchedule)]
pub enum Schedule {
    /// Only when somebody asks.
    #[default]
    Never,
    /// Every so many hours, 1 to 24.
    Hours { hours: u8 },
    /// Every day in this hour of the site's time zone, 0 to 23.
    Day { hour: u8 },
}

impl Schedule {
    /// Whether its numbers can be.
    pub fn is_valid(self) -> bool {
        match self {
            Self::Never => true,
            Self::Hours { hours } => (1..=24).contains(&hours),
            Self::Day { hour } => hour < 24,
        }
    }

    /// The first moment after `now`.
    pub fn next(self, now: Time, zone: &Zone) -> Option<Time> {
        match self {
            Self::Never => None,
            Self::Hours { hours } => Some(now.plus(i64::from(hours) * HOUR)),
            Self::Day { hour } => {
                let today = zone.day(now);
                let due = |day| zone.begins(day).plus(i64::from(hour) * HOUR);
                let tomorrow = today.tomorrow().unwrap_or(today);
                [due(today), due(tomorrow)].into_iter().find(|due| *due > now)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_hour_for_it_and_the_next_is_later() {
        let zone = Zone::find("Europe/Berlin").unwrap();
        let at = |text: &str| serde_json::from_value::<Time>(serde_json::json!(text)).unwrap();
        let daily = Schedule::Day { hour: 2 };
        assert_eq!(daily.next(at("2026-11-26T00:30:00Z"), &zone), Some(at("2026-11-26T01:00:00Z")));
        assert_eq!(daily.next(at("2026-11-26T01:00:00Z"), &zone), Some(at("2026-11-27T01:00:00Z")));
        // The night in which clocks go back.
        assert_eq!(daily.next(at("2026-10-24T23:00:00Z"), &zone), Some(at("2026-10-25T00:00:00Z")));
        assert_eq!(
            Schedule::Hours { hours: 6 }.next(at("2026-11-26T01:00:00Z"), &zone),
            Some(at("2026-11-26T07:00:00Z"))
        );
        assert_eq!(Schedule::Never.next(at("2026-11-26T01:00:00Z"), &zone), None);
    }
}

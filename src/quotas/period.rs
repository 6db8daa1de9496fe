//! How often a quota begins anew, and which of its periods an instant is in.
//!
//! Invariant: a period is named by its kind and its first local day, so a clock that jumps, and a site that moves to
//! another time zone, find what was counted before under the same name.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::zone::Zone;

/// How often counting begins anew, at midnight of the site's time zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Never: what exists, or what was used since the organisation was made.
    #[default]
    None,
    Daily,
    /// On Mondays.
    Weekly,
    /// On the first of a month.
    Monthly,
    /// On the first of January.
    Yearly,
}

impl Period {
    pub const ALL: [Self; 5] = [Self::None, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    pub fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// # Errors
    /// `unknown_period`, listing those there are.
    pub fn parse(code: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|period| period.code() == code).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|period| period.code()).collect();
            let sentence = format!("`{code}` is not a period. Periods are: {}.", known.join(", "));
            Error::invalid("unknown_period", sentence).field("period")
        })
    }

    /// The first day of the period that `day` is in.
    pub fn first_day(self, day: Date) -> Option<Date> {
        match self {
            Self::None => None,
            Self::Daily => Some(day),
            Self::Weekly => Some(day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days())),
            Self::Monthly => Some(day.first_of_month()),
            Self::Yearly => Some(day.first_of_year()),
        }
    }

    /// The name under which what is used on `day` is counted.
    pub fn name(self, day: Date) -> String {
        self.first_day(day).map_or_else(|| self.code().to_owned(), |first| format!("{} {first}", self.code()))
    }

    /// When the period that `day` is in ends.
    pub fn renews_at(self, zone: &Zone, day: Date) -> Option<Time> {
        self.next_day(day).map(|next| zone.begins(next))
    }

    /// The first day after the period that `day` is in.
    pub fn next_day(self, day: Date) -> Option<Date> {
        let first = self.first_day(day)?;
        Some(match self {
            Self::None | Self::Daily => first.saturating_add(1.day()),
            Self::Weekly => first.saturating_add(7.days()),
            Self::Monthly => first.saturating_add(1.month()),
            Self::Yearly => first.saturating_add(1.year()),
        })
    }
}

/// A period from its first moment and day to before its last ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub since: Time,
    pub until: Time,
    /// Days as texts, which are in the order of the days.
    pub from: String,
    pub to: String,
}

impl Span {
    /// The period that `day` is in; all of time where there is none.
    pub fn of(period: Period, zone: &Zone, day: Date) -> Self {
        let (Some(first), Some(next)) = (period.first_day(day), period.next_day(day)) else {
            return Self {
                since: Time(i64::MIN),
                until: Time(i64::MAX),
                from: String::new(),
                to: Date::MAX.to_string(),
            };
        };
        Self { since: zone.begins(first), until: zone.begins(next), from: first.to_string(), to: next.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn periods_begin_on_mondays_on_the_first_and_in_january() {
        let day = date(2026, 11, 26);
        let names: Vec<String> = Period::ALL.iter().map(|period| period.name(day)).collect();
        let wanted = ["none", "daily 2026-11-26", "weekly 2026-11-23", "monthly 2026-11-01", "yearly 2026-01-01"];
        assert_eq!(names, wanted);
        let ends = |period: Period| period.renews_at(&Zone::default(), day).map(|at| at.to_string()[..10].to_owned());
        let wanted = [None, Some("2026-11-27"), Some("2026-11-30"), Some("2026-12-01"), Some("2027-01-01")];
        assert_eq!(Period::ALL.map(ends), wanted.map(|day| day.map(str::to_owned)));
        assert_eq!(Period::Weekly.name(date(2026, 11, 29)), "weekly 2026-11-23", "a Sunday ends its week");
    }

    proptest! {
        #[test]
        fn the_next_period_begins_where_this_one_ends(days in -40_000_i64..40_000, which in 1_usize..5) {
            let zone = Zone::find("America/New_York").unwrap_or_default();
            let (period, day) = (Period::ALL[which], date(2026, 1, 1).saturating_add(days.days()));
            let end = period.renews_at(&zone, day).unwrap_or(Time(0));
            prop_assert_eq!(period.name(zone.day(end.plus(-1))), period.name(day));
            prop_assert_eq!(period.first_day(zone.day(end)), Some(zone.day(end)));
            prop_assert!(zone.begins(day) < end);
        }
    }
}

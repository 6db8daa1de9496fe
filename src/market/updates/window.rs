//! When plugins are brought up to date by themselves: days of the week and times of the site's own clocks.
//!
//! Invariant: pure. A window that goes over midnight belongs to the day it begins on.

use std::collections::BTreeSet;

use jiff::civil::{DateTime, Weekday};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::base::error::{Error, Result};

const HOUR: u16 = 60;
const DAY: u16 = 24 * HOUR;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketUpdateDay)]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    pub const ALL: [Self; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    fn of(day: Weekday) -> Self {
        Self::ALL[usize::try_from(day.to_monday_zero_offset()).unwrap_or_default() % 7]
    }
}

/// A time of day, in minutes since midnight; written as in `03:30`, and `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock(pub u16);

impl Clock {
    pub fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let number = |text: &str| {
            (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u16>().ok())?
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let at = hours * HOUR + minutes;
        (minutes < HOUR && at <= DAY).then_some(Self(at))
    }
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / HOUR, self.0 % HOUR)
    }
}

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a time of day is written as in 03:30"))
    }
}

/// When it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketUpdateWindow)]
pub struct Window {
    /// On which it begins.
    #[schema(value_type = Vec<Day>)]
    pub days: BTreeSet<Day>,
    /// By the site's clocks, as in `03:00`.
    #[schema(value_type = String)]
    pub from: Clock,
    /// As in `05:00`; earlier than `from`: of the next day.
    #[schema(value_type = String)]
    pub to: Clock,
}

impl Default for Window {
    /// Every night, after the hour in which backups are taken.
    fn default() -> Self {
        Self { days: Day::ALL.into(), from: Clock(3 * HOUR), to: Clock(5 * HOUR) }
    }
}

impl Window {
    /// # Errors
    /// `invalid_window`, naming the field.
    pub fn check(self) -> Result<Self> {
        let wrong = |field: &str, sentence: &str| Err(Error::invalid("invalid_window", sentence).field(field));
        if self.days.is_empty() {
            return wrong("days", "Name at least one day. To keep plugins as they are, set their policies to off.");
        }
        if self.from.0 >= DAY {
            return wrong("from", "The window begins between 00:00 and 23:59.");
        }
        if self.length() < HOUR {
            return wrong("to", "The window is open for at least an hour. From 00:00 to 24:00 is the whole day.");
        }
        Ok(self)
    }

    /// In minutes.
    fn length(&self) -> u16 {
        if self.from <= self.to { self.to.0 - self.from.0 } else { DAY - self.from.0 + self.to.0 }
    }

    /// Whether it is open when the site's clocks show this.
    pub fn is_open(&self, shown: DateTime) -> bool {
        let minute = |part: i8| u16::try_from(part).unwrap_or_default();
        let (today, now) = (shown.date().weekday(), Clock(minute(shown.hour()) * HOUR + minute(shown.minute())));
        let begins = |day: Weekday| self.days.contains(&Day::of(day));
        if self.from <= self.to {
            return begins(today) && self.from <= now && now < self.to;
        }
        (begins(today) && self.from <= now) || (begins(today.previous()) && now < self.to)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(days: &[Day], from: &str, to: &str) -> Window {
        let at = |text| Clock::parse(text).unwrap();
        Window { days: days.iter().copied().collect(), from: at(from), to: at(to) }
    }

    #[test]
    fn a_night_belongs_to_the_evening_it_begins_on() {
        let night = window(&[Day::Friday], "22:00", "04:00");
        let at = |text: &str| night.is_open(text.parse().unwrap());
        // 27 November 2026 is a Friday.
        assert!(at("2026-11-27T22:00:00") && at("2026-11-27T23:59:59") && at("2026-11-28T03:59:59"));
        assert!(!at("2026-11-27T21:59:59") && !at("2026-11-28T04:00:00") && !at("2026-11-27T03:00:00"));
        assert!(!at("2026-11-28T22:00:00"));
    }

    #[test]
    fn what_can_never_open_is_refused() {
        for (window, field) in [
            (window(&[], "03:00", "05:00"), "days"),
            (window(&[Day::Monday], "24:00", "05:00"), "from"),
            (window(&[Day::Monday], "03:00", "03:00"), "to"),
            (window(&[Day::Monday], "03:00", "03:59"), "to"),
        ] {
            assert_eq!(window.check().unwrap_err().field_name(), Some(field));
        }
        assert!(window(&[Day::Monday], "00:00", "24:00").check().is_ok());
        assert!(Window::default().check().is_ok());
        for text in ["3:00", "03:60", "24:01", "0300", "+3:00", "03:00:00", ""] {
            assert_eq!(Clock::parse(text), None, "{text}");
        }
    }

    proptest! {
        /// However it lies, a week has it open for as many minutes as its days have, and it is read as it was written.
        #[test]
        fn a_week_has_every_window_once(days in proptest::sample::subsequence(Day::ALL.to_vec(), 1..=7), from in 0..DAY, length in HOUR..DAY) {
            let window = Window { days: days.into_iter().collect(), from: Clock(from), to: Clock((from + length) % DAY) };
            prop_assume!(window.clone().check().is_ok());
            let monday: DateTime = "2026-11-23T00:00:00".parse().unwrap();
            let open = (0..7 * i64::from(DAY)).filter(|minute| window.is_open(monday + jiff::Span::new().minutes(*minute)));
            prop_assert_eq!(open.count(), window.days.len() * usize::from(length));
            let text = serde_json::to_string(&window).unwrap();
            prop_assert_eq!(serde_json::from_str::<Window>(&text).unwrap(), window);
        }
    }
}

//! The site's place on earth: which day it is there, and when a day begins.
//!
//! Invariant: the rules of all time zones are in the binary (the IANA database of its build), so an empty chroot counts
//! the same days as every other machine.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::clock::Time;

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// The zone called `name`, such as `Europe/Berlin`; None when there is none.
    pub fn find(name: &str) -> Option<Self> {
        static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
        if name == "UTC" {
            return Some(Self::default());
        }
        ZONES.get_or_init(TimeZoneDatabase::bundled).get(name).ok().map(Self)
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The day it is there. Times that no calendar reaches count as its first or last day.
    pub fn day(&self, at: Time) -> Date {
        self.clock(at).date()
    }

    /// The day it is there and what clocks show. Times that no calendar reaches count as its first or last moment.
    pub fn clock(&self, at: Time) -> DateTime {
        let end = if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        self.0.to_datetime(Timestamp::from_microsecond(at.0).unwrap_or(end))
    }

    /// The first moment of a day.
    pub fn begins(&self, day: Date) -> Time {
        let end = if day.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Time(day.to_zoned(self.0.clone()).map_or(end, |zoned| zoned.timestamp()).as_microsecond())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn a_day_is_the_places_own_also_where_clocks_change() {
        let berlin = Zone::find("Europe/Berlin").unwrap();
        assert_eq!(berlin.day(at("2026-03-28T23:30:00Z")).to_string(), "2026-03-29");
        assert_eq!(berlin.begins(jiff::civil::date(2026, 3, 29)), at("2026-03-28T23:00:00Z"));
        assert_eq!(berlin.begins(jiff::civil::date(2026, 3, 30)), at("2026-03-29T22:00:00Z"), "a day of 23 hours");
        // Here midnight itself was left out.
        let cairo = Zone::find("Africa/Cairo").unwrap();
        assert_eq!(cairo.begins(jiff::civil::date(2026, 4, 24)), at("2026-04-23T22:00:00Z"));
        assert_eq!((berlin.name(), Zone::default().name()), ("Europe/Berlin", "UTC"));
        assert_eq!(Zone::find("Europe/Nowhere"), None);
    }

    #[test]
    fn no_time_is_too_far() {
        for at in [Time(i64::MIN), Time(i64::MAX)] {
            let day = Zone::default().day(at);
            assert_eq!(Zone::default().day(Zone::default().begins(day)), day);
        }
    }
}

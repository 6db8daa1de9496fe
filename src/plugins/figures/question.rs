//! What is asked about a plugin's figures, and its answer.
//!
//! Invariant: an answer has at most [`MOST_POINTS`] steps, and [`MOST_ORGANIZATIONS`] organisations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::bins::{BINS, percentile};
use super::{COARSE, FINE, Tally, piece, store};
use crate::access::OrgId;
use crate::base::clock::{DAY, SECOND, Time};
use crate::base::error::{Error, Result};
use crate::db::Tx;

/// Steps of an answer.
const MOST_POINTS: i64 = 100;
/// Organisations of an answer, those with the most calls.
pub const MOST_ORGANIZATIONS: i64 = 100;
/// How long a step is, in seconds, from pieces of five minutes and of an hour.
const FINE_STEPS: [i64; 4] = [300, 900, 1800, 3600];
const COARSE_STEPS: [i64; 5] = [3600, 10_800, 21_600, 43_200, 86_400];

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FiguresQuery {
    /// From this time on, in RFC 3339; absent: a day before `to`. Figures are kept for 90 days.
    from: Option<Time>,
    /// Until this time; absent: now. It is at most 90 days after `from`.
    to: Option<Time>,
}

/// A checked question about a plugin.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    pub plugin: i64,
    /// None: all of them, and what belongs to none.
    pub org: Option<OrgId>,
    /// The beginning of a step.
    pub from: Time,
    pub to: Time,
    /// Of the pieces that are read, in seconds.
    pub span: i64,
    /// In seconds.
    pub step: i64,
}

impl FiguresQuery {
    /// # Errors
    /// `invalid_range`.
    pub fn check(&self, plugin: i64, org: Option<OrgId>, now: Time) -> Result<Question> {
        let to = self.to.unwrap_or(now);
        let from = self.from.unwrap_or(to.plus(-DAY));
        let long = to.0.saturating_sub(from.0);
        if !(1..=COARSE.1).contains(&long) {
            let sentence = format!("{from} to {to} is no range of up to 90 days. Ask for one that is.");
            return Err(Error::invalid("invalid_range", sentence).field("from"));
        }
        // Of the oldest piece a part may be there still.
        let is_fine = long <= FINE.1 && from.0 >= now.0.saturating_sub(FINE.1 + FINE.0 * SECOND);
        let (span, steps) = if is_fine { (FINE.0, &FINE_STEPS[..]) } else { (COARSE.0, &COARSE_STEPS[..]) };
        let fits = |step: &i64| steps_in(piece(from, *step), to, *step) <= MOST_POINTS;
        let step = steps.iter().copied().find(fits).unwrap_or(DAY / SECOND);
        Ok(Question { plugin, org, from: piece(from, step), to, span, step })
    }
}

fn steps_in(from: Time, to: Time, step: i64) -> i64 {
    to.0.saturating_sub(from.0).saturating_sub(1).div_euclid(step * SECOND) + 1
}

/// How calls went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct CallFigures {
    /// Those that failed too.
    pub calls: i64,
    /// Calls that gave no answer, or one that was refused.
    pub failures: i64,
    /// Not called, because those before had used up the time.
    pub skipped: i64,
    /// Half of the calls took no longer, in milliseconds, with the waiting for calls before them; null without calls. Read
    /// off a scale: the true time is at most 19 of 100 away.
    pub p50_ms: Option<f64>,
    /// 95 of 100 calls took no longer; as `p50_ms`.
    pub p95_ms: Option<f64>,
    /// The most memory that an instance had after one of these calls; 0 when there was none.
    pub memory_bytes: i64,
}

/// A step of time.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FiguresPoint {
    /// When it begins.
    pub at: Time,
    #[serde(flatten)]
    pub figures: CallFigures,
}

/// Of one hook or method.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NamedFigures {
    /// The hook, such as `code.lint`, or the plugin's method, such as `analyze_code`.
    pub name: String,
    #[serde(flatten)]
    pub figures: CallFigures,
}

/// Of one organisation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrganizationFigures {
    /// Null: what belongs to no organisation.
    pub organization_id: Option<i64>,
    pub name: Option<String>,
    #[serde(flatten)]
    pub figures: CallFigures,
}

/// How a plugin does, over all servers of the site; a call is there after a minute at most.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PluginFigures {
    /// The beginning of the first step, in UTC.
    pub from: Time,
    pub to: Time,
    /// How long a step is: from five minutes to a day, so that there are at most 100.
    pub step_seconds: i64,
    pub total: CallFigures,
    /// Every step, also those without calls.
    pub points: Vec<FiguresPoint>,
    /// By hook or method, those with the most calls first.
    pub hooks: Vec<NamedFigures>,
    /// The 100 with the most calls, those first; empty when one organisation asks for its own.
    pub organizations: Vec<OrganizationFigures>,
}

/// What stands on the scale of times.
type Scale = [Tally; BINS];

impl From<&Scale> for CallFigures {
    fn from(scale: &Scale) -> Self {
        let mut sum = Tally::default();
        scale.iter().for_each(|tally| sum.add(*tally));
        let counts = scale.map(|tally| tally.calls);
        Self {
            calls: sum.calls,
            failures: sum.failures,
            skipped: sum.skipped,
            p50_ms: percentile(&counts, 50),
            p95_ms: percentile(&counts, 95),
            memory_bytes: sum.memory_bytes,
        }
    }
}

fn by<K: Ord>(rows: Vec<(K, usize, Tally)>) -> BTreeMap<K, Scale> {
    let mut scales: BTreeMap<K, Scale> = BTreeMap::new();
    for (key, bin, tally) in rows {
        let scale = scales.entry(key).or_insert([Tally::default(); BINS]);
        scale[bin.min(BINS - 1)].add(tally);
    }
    scales
}

impl Question {
    /// # Errors
    /// When the database fails.
    pub fn answer(&self, tx: &mut Tx<'_>) -> Result<PluginFigures> {
        let steps = by(store::by_step(tx, self)?);
        let mut total = [Tally::default(); BINS];
        steps.values().for_each(|scale| total.iter_mut().zip(scale).for_each(|(sum, more)| sum.add(*more)));
        let points = (0..steps_in(self.from, self.to, self.step)).map(|number| {
            let at = self.from.plus(number * self.step * SECOND);
            FiguresPoint { at, figures: steps.get(&at.0).map(CallFigures::from).unwrap_or_default() }
        });
        let hooks = by(store::by_name(tx, self)?).into_iter();
        let mut hooks: Vec<_> =
            hooks.map(|(name, scale)| NamedFigures { name, figures: CallFigures::from(&scale) }).collect();
        hooks.sort_by_key(|hook| -hook.figures.calls);
        let organizations = if self.org.is_none() { store::by_organization(tx, self)? } else { Vec::new() };
        let organizations = by(organizations).into_iter().map(|((organization_id, name), scale)| OrganizationFigures {
            organization_id,
            name,
            figures: CallFigures::from(&scale),
        });
        let mut organizations: Vec<_> = organizations.collect();
        organizations.sort_by_key(|organization| -organization.figures.calls);
        Ok(PluginFigures {
            from: self.from,
            to: self.to,
            step_seconds: self.step,
            total: CallFigures::from(&total),
            points: points.collect(),
            hooks,
            organizations,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * SECOND;
    const NOW: Time = Time(20_000 * DAY + 7 * HOUR);

    fn asked(from: i64, to: i64) -> Result<Question> {
        FiguresQuery { from: Some(NOW.plus(-from)), to: Some(NOW.plus(-to)) }.check(1, None, NOW)
    }

    #[test]
    fn steps_are_as_fine_as_what_is_kept_and_never_too_many() {
        let of = |from, to| asked(from, to).map(|question| (question.span, question.step)).ok();
        assert_eq!(of(HOUR, 0), Some((300, 300)));
        assert_eq!(of(DAY, 0), Some((300, 900)));
        assert_eq!(of(2 * DAY, 0), Some((300, 1800)));
        assert_eq!(of(3 * DAY, 2 * DAY), Some((3600, 3600)), "the fine pieces are gone");
        assert_eq!(of(7 * DAY, 0), Some((3600, 10_800)));
        assert_eq!(of(90 * DAY, 0), Some((3600, 86_400)));
        for question in [asked(DAY, 0), asked(90 * DAY, 0)].map(Result::unwrap) {
            let points = steps_in(question.from, question.to, question.step);
            assert!(points <= MOST_POINTS && question.from.0 % (question.step * SECOND) == 0, "{question:?}");
        }
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for (from, to) in [(0, 0), (0, HOUR), (91 * DAY, 0), (i64::MAX, i64::MIN + 1)] {
            assert_eq!(asked(from, to).map_err(|error| error.code()).err(), Some("invalid_range"), "{from} {to}");
        }
    }
}

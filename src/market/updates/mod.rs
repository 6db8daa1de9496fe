//! Bringing installed plugins up to date by themselves, as far as each one's policy says.
//!
//! Invariants: a plugin, and whatever has to change with it, changes only as far as its own policy or a person who names the
//! version says; nothing that is not there is installed by the way. What asks for more than before waits until somebody
//! approved exactly those bytes. What was at work stays on the disk until the new version started wherever the old one did,
//! comes back by itself where it did not, and such a version is not tried again unasked.
//!
//! `judge` says what is to be had and what speaks against it, `run` does it, `work` is when, `window` the hours of the day.

mod judge;
pub mod routes;
mod run;
pub mod store;
mod window;
mod work;

use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;

pub use window::Window;
pub use work::enqueue;

/// How far a plugin is brought up to date by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketUpdatePolicy)]
pub enum Policy {
    /// Not at all.
    #[default]
    Off,
    /// To versions that only mend, as from 1.4.0 to 1.4.1.
    Patch,
    /// To versions that break nothing, as from 1.4.0 to 1.5.0; from 0.4.0 to 0.4.1 only.
    Minor,
    /// To every newer version that is no pre-release.
    All,
}

impl Policy {
    pub const ALL: [Self; 4] = [Self::Off, Self::Patch, Self::Minor, Self::All];

    pub fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::All => "all",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.code() == code)
    }

    /// Whether it leads from one version to the other (Semantic Versioning 2.0.0). Never to a pre-release or backwards.
    pub fn allows(self, from: &Version, to: &Version) -> bool {
        let same_line = from.major == to.major && from.minor == to.minor;
        to.pre.is_empty()
            && to.cmp_precedence(from).is_gt()
            && match self {
                Self::Off => false,
                Self::Patch => same_line,
                Self::Minor => same_line || (from.major == to.major && from.major > 0),
                Self::All => true,
            }
    }
}

/// What there is to say about an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketUpdateVerdict)]
pub enum Verdict {
    /// There is nothing newer.
    Current,
    /// The plugin's policy does not lead there.
    Held,
    /// Nothing speaks against it.
    Ready,
    /// Somebody has to approve what it asks for.
    Waiting,
    /// It cannot come in as things are.
    Refused,
    /// It was tried and did not work.
    Failed,
}

/// What could become of an installed plugin.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketUpdate)]
pub struct Update {
    pub slug: String,
    /// The version here.
    pub installed: String,
    pub policy: Policy,
    /// The newer version that is meant; null when there is none.
    pub version: Option<String>,
    pub verdict: Verdict,
    /// In a sentence.
    pub reason: String,
    /// What it would ask for beyond what the version here asks for, in words; not yet approved.
    pub asks: Vec<String>,
    /// What changes with it, as in `charts 1.0.0 -> 1.0.1`.
    pub with: Vec<String>,
}

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketUpdateOutcome)]
pub enum Outcome {
    Updated,
    /// The new version did not work, and the one before is there again.
    Returned,
    /// Somebody has to approve it first.
    Waiting,
    Refused,
}

impl Outcome {
    pub fn code(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Returned => "returned",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
        }
    }

    fn parse(code: &str) -> Option<Self> {
        [Self::Updated, Self::Returned, Self::Waiting, Self::Refused].into_iter().find(|one| one.code() == code)
    }
}

/// What a run made of a plugin.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketUpdateRan)]
pub struct Ran {
    #[serde(flatten)]
    pub update: Update,
    /// Null when nothing was to be done, or nothing was to be changed.
    pub outcome: Option<Outcome>,
}

/// An update that was done, or was not.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketUpdateEntry)]
pub struct Entry {
    pub id: i64,
    pub slug: String,
    pub from: String,
    pub to: String,
    pub outcome: Outcome,
    /// In a sentence.
    pub reason: String,
    /// Whether somebody asked for it; else it came by itself.
    pub by_hand: bool,
    pub at: Time,
}

/// One plugin that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub slug: String,
    pub from: Version,
    pub to: Version,
    /// Of the new package.
    pub sha256: String,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} -> {}", self.slug, self.from, self.to)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_policy_leads_as_far_as_its_name_says() {
        for (from, to, least) in [
            ("1.4.0", "1.4.1", Some(Policy::Patch)),
            ("1.4.0", "1.5.0", Some(Policy::Minor)),
            ("1.4.0", "2.0.0", Some(Policy::All)),
            ("0.4.0", "0.4.1", Some(Policy::Patch)),
            ("0.4.0", "0.5.0", Some(Policy::All)),
            ("0.9.0", "1.0.0", Some(Policy::All)),
            ("1.0.0-beta.1", "1.0.0", Some(Policy::Patch)),
            ("1.4.0", "1.4.1-rc.1", None),
            ("1.4.1", "1.4.0", None),
            ("1.4.0", "1.4.0", None),
            ("1.4.0", "1.4.0+build.7", None),
        ] {
            let (from, to) = (Version::parse(from).unwrap(), Version::parse(to).unwrap());
            let first = Policy::ALL.into_iter().find(|policy| policy.allows(&from, &to));
            assert_eq!(first, least, "{from} -> {to}");
        }
    }

    fn version() -> impl Strategy<Value = Version> {
        (0_u64..4, 0_u64..4, 0_u64..4, proptest::option::of(0_u8..3)).prop_map(|(major, minor, patch, pre)| {
            let pre = pre.map(|number| format!("-rc.{number}")).unwrap_or_default();
            Version::parse(&format!("{major}.{minor}.{patch}{pre}")).unwrap()
        })
    }

    proptest! {
        /// Whoever allows more allows all that others do; nobody allows a step back or a pre-release; steps of one policy add up
        /// to a step that it allows.
        #[test]
        fn policies_are_nested(a in version(), b in version(), c in version()) {
            for pair in Policy::ALL.windows(2) {
                prop_assert!(!pair[0].allows(&a, &b) || pair[1].allows(&a, &b));
            }
            for policy in Policy::ALL {
                prop_assert!(!policy.allows(&a, &b) || (a < b && b.pre.is_empty()));
                prop_assert!(!(policy.allows(&a, &b) && policy.allows(&b, &c)) || policy.allows(&a, &c));
            }
        }
    }
}

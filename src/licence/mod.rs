//! The licence: a signed file that says what a site may use, until when and for how many people.
//!
//! Invariants: it is verified here alone, against public keys and nothing on a network. No state of it ever closes signing
//! in, reading, exporting, backups, restores or the audit trail, nor takes away what is there: without a licence that counts
//! the site is on the free tier, which refuses *new* organisations past the first, new identity providers, new roles and
//! seats past its own. The time that counts is the latest this site ever saw, so a clock set back opens nothing.

mod file;
mod gate;
mod install;
mod report;
mod revoke;
mod routes;
mod seats;
mod shown;
mod situation;
mod store;
#[cfg(test)]
mod tests;
pub mod verify;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use report::UsageReport;
pub use revoke::Revocations;
pub use shown::{LicenceInfo, LicenceStatus};

use crate::base::clock::{Clock, DAY, SECOND, Time};
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};
use crate::base::note::{Signer, Verifier};
use crate::db::Db;
use verify::Keyring;

/// The most licences a site keeps, so that the next ones can lie ready.
const MOST_KEPT: usize = 20;
/// The latest second that a date of four digits can name.
const LAST_SECOND: i64 = 253_402_300_799;
/// Days before the end on which administrators are told, the last first.
const MARKS: [i64; 4] = [1, 7, 30, 60];
/// Longer than this no clock is behind by daylight saving or a slow oscillator.
const CLOCK_SLACK: i64 = DAY;

/// What was sold, smallest first. What a licence opens is in its features; the tier is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LicenceTier)]
pub enum Tier {
    Free,
    Starter,
    Professional,
    Enterprise,
}

impl Tier {
    /// What the vendor's command puts into a licence of this tier.
    pub fn features(self) -> &'static [Feature] {
        match self {
            Self::Free => &[],
            Self::Starter => &[Feature::Organizations],
            Self::Professional | Self::Enterprise => &Feature::ALL,
        }
    }
}

/// What only a licence opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LicenceFeature)]
pub enum Feature {
    /// More than one organisation.
    Organizations,
    /// Identity providers: SAML and OpenID Connect.
    Sso,
    /// Roles of an organisation's own.
    Roles,
}

impl Feature {
    pub const ALL: [Self; 3] = [Self::Organizations, Self::Sso, Self::Roles];

    /// As it stands in licences.
    pub fn code(self) -> &'static str {
        match self {
            Self::Organizations => "organizations",
            Self::Sso => "sso",
            Self::Roles => "roles",
        }
    }

    /// What it opens, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Organizations => "More than one organisation",
            Self::Sso => "Single sign-on with identity providers",
            Self::Roles => "Roles of an organisation's own",
        }
    }
}

/// What a licence says: the claims of its JWS (RFC 7519). Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who sold it.
    pub iss: String,
    /// Its serial, by which it can be taken back.
    pub jti: String,
    /// The customer.
    pub organization: String,
    pub tier: Tier,
    pub seats: i64,
    /// Codes of [`Feature`]; those this version does not know open nothing.
    pub features: Vec<String>,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    /// Days after `exp` during which all stays open.
    pub grace_days: i64,
    /// The installations it is for; absent: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installations: Vec<String>,
    /// One more, which stands in when the others are lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disaster_recovery: Option<String>,
}

impl Claims {
    /// Bounds of what a vendor signs, and a site takes.
    ///
    /// # Errors
    /// `licence_claims`, naming the claim.
    pub fn check(&self) -> Result<()> {
        let wrong = |claim: &str, why: &str| {
            Err(Error::invalid("licence_claims", format!("The licence's `{claim}` {why}.")).field(claim))
        };
        if !is_line(&self.iss) {
            return wrong("iss", "is not a line of 1 to 200 characters");
        }
        if !is_line(&self.organization) {
            return wrong("organization", "is not a line of 1 to 200 characters");
        }
        if !is_serial(&self.jti) {
            return wrong("jti", "is not 1 to 100 of the characters a-z A-Z 0-9 . - _");
        }
        if !(1..=1_000_000).contains(&self.seats) {
            return wrong("seats", "is not between 1 and 1000000");
        }
        if self.features.len() > 50 || self.features.iter().any(|code| !is_serial(code)) {
            return wrong("features", "is not a list of at most 50 codes");
        }
        if [self.iat, self.nbf, self.exp].iter().any(|second| !(0..=LAST_SECOND).contains(second)) {
            return wrong("exp", "or `nbf` or `iat` is no second between 1970 and 9999");
        }
        if self.nbf >= self.exp {
            return wrong("exp", "does not come after its `nbf`");
        }
        if !(0..=3650).contains(&self.grace_days) {
            return wrong("grace_days", "is not between 0 and 3650");
        }
        let named = self.installations.iter().chain(&self.disaster_recovery);
        if self.installations.len() > 100 || named.clone().any(|id| !is_serial(id)) {
            return wrong("installations", "is not a list of at most 100 ids");
        }
        Ok(())
    }

    /// Whether it opens this.
    pub fn opens(&self, feature: Feature) -> bool {
        self.features.iter().any(|code| code == feature.code())
    }

    pub fn issued_at(&self) -> Time {
        seconds(self.iat)
    }

    pub fn expires_at(&self) -> Time {
        seconds(self.exp)
    }

    /// When the features close.
    pub fn grace_until(&self) -> Time {
        self.expires_at().plus(self.grace_days * DAY)
    }

    /// Whether `installation` may use it; one that names none may be used anywhere.
    pub fn is_for(&self, installation: &str) -> bool {
        let bound = !self.installations.is_empty() || self.disaster_recovery.is_some();
        !bound || self.installations.iter().chain(&self.disaster_recovery).any(|id| id == installation)
    }

    /// How it stands at `at`, the latest moment that the site knows of.
    pub fn state(&self, at: Time, installation: &str, revoked: bool) -> State {
        if revoked {
            State::Revoked
        } else if !self.is_for(installation) {
            State::OtherInstallation
        } else if at < seconds(self.nbf) {
            State::NotYetValid
        } else if at >= self.grace_until() && at >= self.expires_at() {
            State::Expired
        } else if at >= self.expires_at() {
            State::Grace
        } else if self.mark(at).is_some() {
            State::Expiring
        } else {
            State::Valid
        }
    }

    /// The smallest of [`MARKS`] within whose days it ends.
    fn mark(&self, at: Time) -> Option<i64> {
        MARKS.into_iter().find(|days| self.expires_at() <= at.plus(days * DAY))
    }
}

fn seconds(second: i64) -> Time {
    Time(second.saturating_mul(SECOND))
}

fn is_line(text: &str) -> bool {
    (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn is_serial(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=100).contains(&text.len()) && text.chars().all(plain)
}

/// How a licence stands, or the site without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LicenceState)]
pub enum State {
    /// There is none: the free tier.
    None,
    NotYetValid,
    Valid,
    /// It counts, and ends within 60 days.
    Expiring,
    /// It has ended, and all stays open for the days of grace.
    Grace,
    Expired,
    /// The vendor took it back.
    Revoked,
    /// It is for other installations.
    OtherInstallation,
    /// This server does not know the key that signed it.
    Untrusted,
}

impl State {
    /// Whether what the licence names is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Valid | Self::Expiring | Self::Grace)
    }
}

/// What the site's settings say of licences.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keys that count besides those in the binary.
    pub trusted_keys: Vec<Verifier>,
    /// A licence out of the settings.
    pub key: Option<String>,
    /// A file with one, looked at now and whenever it changes.
    pub file: Option<PathBuf>,
}

/// The room of the licence.
#[derive(Clone)]
pub struct Licence(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    keys: Keyring,
    /// The installation's own key, for what it tells the vendor.
    signer: Signer,
    options: Options,
    /// Why the licence of a setting is not used, by the setting's name.
    problems: Mutex<BTreeMap<&'static str, String>>,
}

impl Licence {
    /// Opens the room; `site_key` is the site's master key. Nothing counts before [`Licence::start`].
    ///
    /// # Errors
    /// When the keys in the binary cannot be read, which is a fault of ours.
    pub fn new(db: Db, clock: Clock, site_key: &Key, options: Options) -> Result<Self> {
        let keys = Keyring::new(&options.trusted_keys)?;
        let signer = Signer::new(&Key::derive(site_key.bytes(), "resoftai usage reports"))?;
        Ok(Self(Arc::new(Inner { db, clock, keys, signer, options, problems: Mutex::default() })))
    }
}

impl std::fmt::Debug for Licence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Licence(..)")
    }
}

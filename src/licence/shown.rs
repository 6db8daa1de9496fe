//! The licence as it is shown: to the page, to commands and, as states, to the audit trail.

use serde::Serialize;
use utoipa::ToSchema;

use super::seats::Seats;
use super::situation::{Read, Situation};
use super::{Claims, Feature, Licence, State, Tier, seconds, store};
use crate::base::clock::{DAY, Time};
use crate::base::error::Result;
use crate::db::Tx;

/// What a licence says.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LicenceInfo {
    pub serial: String,
    pub vendor: String,
    pub customer: String,
    pub tier: Tier,
    pub seats: i64,
    /// Codes, those that this version does not know among them.
    pub features: Vec<String>,
    pub issued_at: Time,
    pub valid_from: Time,
    pub expires_at: Time,
    /// Until then all stays open.
    pub grace_until: Time,
    /// The installations it is for; empty, and without one for disaster recovery: any.
    pub installations: Vec<String>,
    pub disaster_recovery: Option<String>,
    /// The id of the key that signed it.
    pub key: String,
    /// Whether that key is in the binary; false: the site's settings name it.
    pub key_built_in: bool,
}

impl LicenceInfo {
    /// Of claims that were verified with this key.
    pub fn new(claims: &Claims, key: String, key_built_in: bool) -> Self {
        let claims = claims.clone();
        Self {
            issued_at: claims.issued_at(),
            valid_from: seconds(claims.nbf),
            expires_at: claims.expires_at(),
            grace_until: claims.grace_until(),
            serial: claims.jti,
            vendor: claims.iss,
            customer: claims.organization,
            tier: claims.tier,
            seats: claims.seats,
            features: claims.features,
            installations: claims.installations,
            disaster_recovery: claims.disaster_recovery,
            key,
            key_built_in,
        }
    }

    pub(super) fn of(read: &Read) -> Self {
        Self::new(&read.claims, read.key.clone(), read.built_in)
    }
}

/// A licence that the site keeps.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeptLicence {
    pub serial: String,
    pub state: State,
    pub installed_at: Time,
    /// Null when no key here opens it.
    pub valid_from: Option<Time>,
    pub expires_at: Option<Time>,
}

/// Something that only a licence opens.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FeatureStatus {
    pub code: Feature,
    pub name: &'static str,
    pub open: bool,
}

/// A vendor's list of licences that were taken back.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RevocationList {
    /// The id of the key that signed it.
    pub key: String,
    /// A list is only replaced by one with a greater number.
    pub number: i64,
    pub issued_at: Time,
    pub installed_at: Time,
}

/// How the site's licence stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LicenceStatus {
    pub state: State,
    /// The state for people.
    pub sentence: String,
    /// What counts now; free when no licence is open.
    pub tier: Tier,
    /// The licence that counts, or the one that says why none does; null without one that can be read.
    pub licence: Option<LicenceInfo>,
    pub seats: Seats,
    pub features: Vec<FeatureStatus>,
    /// What a vendor binds a licence to; random, and kept in the database.
    pub installation_id: String,
    /// When it was named, at the first start.
    pub installed_at: Time,
    /// The public key that this installation's usage reports are verified with.
    pub report_key: String,
    /// The latest moment this site knows of; it counts for the licence.
    pub latest_at: Time,
    /// Seconds that the clock is behind that; null: not by more than a day.
    pub clock_behind: Option<i64>,
    /// Every licence that is kept, the one installed last first.
    pub kept: Vec<KeptLicence>,
    pub revocations: Vec<RevocationList>,
    /// Why licences of the settings are not used.
    pub problems: Vec<String>,
}

/// The day of a moment, as `YYYY-MM-DD`.
fn day(at: Time) -> String {
    at.to_string().chars().take(10).collect()
}

impl Situation {
    /// How it stands, for people.
    pub fn sentence(&self) -> String {
        let Some((held, read)) = self.current() else {
            return match self.state() {
                State::Untrusted => {
                    "No key that this server knows signed its licence: it is on the free tier.".to_owned()
                }
                _ => "There is no licence: the site is on the free tier, which is complete for one team.".to_owned(),
            };
        };
        let claims = &read.claims;
        let (ends, grace) = (day(claims.expires_at()), day(claims.grace_until()));
        let stays = "What is there stays; new organisations, identity providers, roles and accounts past the free tier are refused.";
        match held.state {
            State::Valid => format!("Valid until {ends}."),
            State::Expiring => {
                let days = (claims.expires_at().0 - self.at.0 + DAY - 1) / DAY;
                let unit = if days == 1 { "day" } else { "days" };
                format!("It ends on {ends}, in {days} {unit}. Ask for a new one.")
            }
            State::Grace => {
                format!("It ended on {ends}. Everything stays open until {grace}; install a new one before.")
            }
            State::Expired => format!("It ended on {ends}, and its days of grace on {grace}. {stays}"),
            State::NotYetValid => format!("It begins to count on {}.", day(seconds(claims.nbf))),
            State::Revoked => format!("Its vendor took it back. {stays}"),
            State::OtherInstallation => format!("It is for other installations than this one. {stays}"),
            State::None | State::Untrusted => String::new(),
        }
    }
}

impl Licence {
    /// How the site's licence stands now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(&self) -> Result<LicenceStatus> {
        let (room, now) = (self.clone(), self.0.clock.now());
        self.0.db.read(move |tx| room.status(tx, now)).await
    }

    fn status(&self, tx: &mut Tx<'_>, now: Time) -> Result<LicenceStatus> {
        let situation = self.situation(tx, now)?;
        let kept = situation.held.iter().map(|held| KeptLicence {
            serial: held.serial.clone(),
            state: held.state,
            installed_at: held.installed_at,
            valid_from: held.read.as_ref().map(|read| seconds(read.claims.nbf)),
            expires_at: held.read.as_ref().map(|read| read.claims.expires_at()),
        });
        let features = Feature::ALL.map(|code| FeatureStatus { code, name: code.words(), open: situation.opens(code) });
        let lists = store::lists(tx)?.into_iter();
        let list = |(key, number, issued_at, installed_at)| RevocationList { key, number, issued_at, installed_at };
        Ok(LicenceStatus {
            state: situation.state(),
            sentence: situation.sentence(),
            tier: situation.open().map_or(Tier::Free, |claims| claims.tier),
            licence: situation.current().map(|(_, read)| LicenceInfo::of(read)),
            seats: situation.seats,
            features: features.to_vec(),
            report_key: self.report_key(&situation.installation.id).to_string(),
            latest_at: situation.at,
            clock_behind: situation.behind.map(|behind| behind / crate::base::clock::SECOND),
            kept: kept.collect(),
            revocations: lists.map(list).collect(),
            problems: self.problems(),
            installed_at: situation.installation.made_at,
            installation_id: situation.installation.id,
        })
    }
}

//! Invitations: how people come into an organisation or a team without an administrator who makes their account.
//!
//! Invariants: an invitation counts once, until it expires or is revoked; its code is kept as a digest only and travels in
//! bodies, never in addresses, so that no log has it. Nobody invites to more than they hold, and that is asked again when
//! somebody accepts: who invited may hold less by then. Addresses of the invited stay out of the audit trail, because they
//! have no account yet with whose key they could be sealed.

mod accept;
mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Place;
use crate::accounts::Accounts;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::orgs::Settings;

/// How long an invitation counts when nothing is said, in days.
const DAYS: i64 = 7;
/// The longest, in days.
const DAYS_MAX: i64 = 90;
/// The most invitations of an organisation that are kept; the oldest that count no longer go first.
const MOST: i64 = 20_000;

/// The room of invitations.
#[derive(Clone)]
pub struct Invitations {
    accounts: Accounts,
}

impl Invitations {
    pub fn new(accounts: Accounts) -> Self {
        Self { accounts }
    }
}

/// How an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    Pending,
    Accepted,
    Revoked,
    Expired,
}

/// An invitation as those who invite see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    pub id: i64,
    pub organization_id: i64,
    /// Null: into the organisation as a whole.
    pub team_id: Option<i64>,
    pub email: String,
    /// The code of a role.
    pub role: String,
    pub status: InvitationStatus,
    /// The person who invited; null: the local operator.
    pub invited_by: Option<i64>,
    pub created_at: Time,
    pub expires_at: Time,
    pub accepted_at: Option<Time>,
    pub accepted_by: Option<i64>,
}

impl Invitation {
    pub fn place(&self) -> Place {
        Place::of(Some(self.organization_id), self.team_id)
    }
}

/// # Errors
/// `invalid_days`, and `domain_not_invited` where the organisation invites certain domains only.
fn check(email: &str, days: Option<i64>, settings: &Settings) -> Result<i64> {
    let most = settings.invitation_days.unwrap_or(DAYS_MAX).min(DAYS_MAX);
    let days = days.unwrap_or(DAYS.min(most));
    if !(1..=most).contains(&days) {
        let message = format!("days is {days}; an invitation counts 1 to {most} days here.");
        return Err(Error::invalid("invalid_days", message).field("days"));
    }
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
    let domains = &settings.invitation_domains;
    if domains.is_empty() || domains.iter().any(|known| known.eq_ignore_ascii_case(domain)) {
        return Ok(days);
    }
    let message = format!("This organisation invites addresses of {} only.", domains.join(", "));
    Err(Error::invalid("domain_not_invited", message).field("email"))
}

/// The answer to a code that does not count, whatever the reason.
fn refused() -> Error {
    let message = "This invitation is unknown, used, revoked or expired. Ask whoever invited you for another one.";
    Error::invalid("invitation_refused", message).field("code")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_limits_how_long_and_whom() {
        let free = Settings::default();
        let strict =
            Settings { invitation_days: Some(3), invitation_domains: vec!["acme.example".to_owned()], ..free.clone() };
        assert_eq!(check("a@b.c", None, &free).unwrap(), DAYS);
        assert_eq!(check("a@ACME.example", None, &strict).unwrap(), 3);
        for (email, days, settings, field) in [
            ("a@b.c", Some(0), &free, "days"),
            ("a@b.c", Some(91), &free, "days"),
            ("a@acme.example", Some(4), &strict, "days"),
            ("a@evilacme.example", None, &strict, "email"),
            ("a@acme.example.org", None, &strict, "email"),
        ] {
            assert_eq!(check(email, days, settings).unwrap_err().field_name(), Some(field), "{email} {days:?}");
        }
    }
}

//! Personal tokens: what they are held to, how long they count, and who may make which.
//!
//! Invariant: a token allows what its owner holds at that moment and its scopes name, in the organisation it is for. Nobody
//! makes one that allows more, or lasts longer, than what they came with. The secret is kept as a digest only.

pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Accounts;
use crate::access::policy::CATALOGUE;
use crate::access::{Caller, Grants, OrgId, PermissionSet, TokenUsed};
use crate::base::clock::{DAY, Time};
use crate::base::crypto;
use crate::base::error::{Error, Result};

/// How personal tokens begin, so that people and secret scanners know them.
pub const PREFIX: &str = "rat_";
/// How many tokens one account may have.
pub const MOST: i64 = 100;
/// The longest a token may be asked to last, in days.
const LONGEST_DAYS: i64 = 3650;
const NAME_MAX: usize = 100;
/// Of a made-up permission this much is told back.
const TOLD_MAX: usize = 64;

/// A new token's secret and the digest that is kept of it.
///
/// # Errors
/// When the system has no random bytes.
pub fn secret() -> Result<(String, String)> {
    let secret = format!("{PREFIX}{}", crypto::random_token()?);
    let digest = crypto::sha256_hex(secret.as_bytes());
    Ok((secret, digest))
}

/// A token as its owner sees it; the secret itself is never kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: i64,
    pub name: String,
    /// Codes of the permissions it is held to; null: whatever its owner may.
    pub scopes: Option<Vec<String>>,
    /// The only organisation it counts in; null: wherever its owner's roles do.
    pub organization_id: Option<i64>,
    pub created_at: Time,
    /// Null: it does not end.
    pub expires_at: Option<Time>,
    /// To the minute; null: it was not used.
    pub last_used_at: Option<Time>,
    /// The address it was used from last.
    pub last_used_ip: Option<String>,
}

impl Token {
    /// The token under the site's rule, which also holds those made before it: none lasts longer than `days`.
    #[must_use]
    pub fn held_to(mut self, days: Option<u32>) -> Self {
        if let Some(days) = days {
            let last = self.created_at.plus(i64::from(days) * DAY);
            self.expires_at = Some(self.expires_at.map_or(last, |expires| expires.min(last)));
        }
        self
    }

    pub fn is_over(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|expires| expires <= now)
    }

    pub fn used(&self) -> TokenUsed {
        TokenUsed {
            id: self.id,
            name: self.name.clone(),
            scopes: self.scopes.as_ref().map(|codes| PermissionSet::known(codes.iter().map(String::as_str))),
            org: self.organization_id.map(OrgId),
            expires_at: self.expires_at,
        }
    }
}

/// What of an owner's rights counts with a token.
pub fn limited(grants: Grants, token: &TokenUsed) -> Grants {
    if !token.is_limited() {
        return grants;
    }
    grants.limited_to(token.scopes.unwrap_or(PermissionSet::ALL), token.org)
}

/// The answer to work whose token is gone.
pub(super) fn ended() -> Error {
    let message = "The limited token this was begun with was deleted or has ended. Begin anew with another one.";
    Error::forbidden("token_ended", message)
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenRequest {
    /// What it is for, 1 to 100 printable characters.
    name: String,
    /// Codes of permissions it is held to, of those its owner holds; absent or null: whatever its owner may.
    scopes: Option<Vec<String>>,
    /// The only organisation it counts in; absent or null: wherever its owner's roles do.
    organization_id: Option<i64>,
    /// Days until it ends, 1 to 3650; absent or null: never, where the site allows that.
    expires_in_days: Option<i64>,
}

/// A token that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    pub token: Token,
    /// The token itself. It is not kept and cannot be shown again.
    pub secret: String,
}

/// A request whose form is right; whether its owner holds what it names is asked in the write.
#[derive(Debug)]
pub struct Asked {
    pub name: String,
    pub scopes: Option<PermissionSet>,
    pub org: Option<OrgId>,
    pub expires_at: Option<Time>,
}

impl Accounts {
    /// What a new token may be: by its form, by the site's rule, and by what the caller came with.
    ///
    /// # Errors
    /// `invalid_name`; `unknown_scope`, `scopes_missing`; `invalid_expiry`, `expiry_missing`; `token_outlives` when it would
    /// last longer than the token that makes it.
    pub fn check_token(&self, caller: &Caller, body: &NewTokenRequest) -> Result<Asked> {
        let scopes = body.scopes.as_deref().map(parse_scopes).transpose()?;
        let expires_at = expiry(self.clock.now(), body.expires_in_days, self.options.token_max_days)?;
        if let Some(ends) = caller.token().and_then(|token| token.expires_at)
            && expires_at.is_none_or(|expires| expires > ends)
        {
            let message =
                format!("The token you use ends {ends}; none that it makes lasts longer. Ask for fewer days.");
            return Err(Error::forbidden("token_outlives", message).field("expires_in_days"));
        }
        let org = body.organization_id.map(OrgId);
        Ok(Asked { name: check_name(&body.name)?, scopes, org, expires_at })
    }
}

impl Asked {
    /// Whether `owner`, whose token it will be, holds everything it names, somewhere it counts.
    ///
    /// # Errors
    /// `not_found` for an organisation the owner is not in; `scope_not_held`, naming what they lack.
    pub fn check_held(&self, owner: &Grants) -> Result<()> {
        let counts = owner.limited_to(PermissionSet::ALL, self.org);
        if let Some(org) = self.org.filter(|_| counts.held().is_empty()) {
            let unknown = || Error::not_found(format!("organization {}", org.0)).field("organization_id");
            return Err(owner.why_closed(org).unwrap_or_else(unknown));
        }
        let missing = self.scopes.unwrap_or_default().without(counts.held());
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "A token allows no more than its owner may, and the owner does not hold {} {}.",
            missing.codes().join(", "),
            if self.org.is_some() { "in that organisation" } else { "anywhere" }
        );
        Err(Error::forbidden("scope_not_held", message).field("scopes"))
    }
}

fn check_name(given: &str) -> Result<String> {
    let name = given.trim();
    let length = name.chars().count();
    if !(1..=NAME_MAX).contains(&length) || given.chars().any(char::is_control) {
        let message = format!(
            "The name has {length} characters; it needs 1 to {NAME_MAX}, and none of them a control character."
        );
        return Err(Error::invalid("invalid_name", message).field("name"));
    }
    Ok(name.to_owned())
}

fn parse_scopes(given: &[String]) -> Result<PermissionSet> {
    let set = PermissionSet::parse(given.iter().map(String::as_str)).map_err(unknown_scope)?;
    if set.is_empty() {
        let message = "Name at least one permission, or leave scopes out for everything the owner may.";
        return Err(Error::invalid("scopes_missing", message).field("scopes"));
    }
    Ok(set)
}

fn unknown_scope(given: &str) -> Error {
    let given: String = given.chars().take(TOLD_MAX).collect();
    let likeness = |code: &str| strsim::jaro_winkler(code, &given.to_lowercase());
    let nearest = CATALOGUE.iter().map(|(_, code, _)| *code).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let nearest = nearest.filter(|code| likeness(code) > 0.8);
    let meant = nearest.map_or_else(String::new, |code| format!(" Did you mean `{code}`?"));
    let message =
        format!("`{}` is no permission.{meant} GET /api/permissions lists those there are.", given.escape_debug());
    Error::invalid("unknown_scope", message).field("scopes")
}

/// When a token that is to last `days` ends, where the site lets none last longer than `most`.
fn expiry(now: Time, days: Option<i64>, most: Option<u32>) -> Result<Option<Time>> {
    let longest = most.map_or(LONGEST_DAYS, i64::from);
    let wrong = |code, message| Err(Error::invalid(code, message).field("expires_in_days"));
    match days {
        Some(days) if (1..=longest).contains(&days) => Ok(Some(now.plus(days * DAY))),
        Some(_) => wrong("invalid_expiry", format!("expires_in_days must be between 1 and {longest}.")),
        None if most.is_some() => {
            wrong("expiry_missing", format!("Tokens of this site end: give expires_in_days, 1 to {longest}."))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_when_the_site_says_so() {
        let now = Time(1_000 * DAY);
        assert_eq!(expiry(now, None, None).unwrap(), None);
        assert_eq!(expiry(now, Some(30), None).unwrap(), Some(now.plus(30 * DAY)));
        assert_eq!(expiry(now, None, Some(30)).unwrap_err().code(), "expiry_missing");
        for (days, most) in [(0, None), (-1, None), (3651, None), (31, Some(30)), (i64::MAX, None)] {
            assert_eq!(expiry(now, Some(days), most).unwrap_err().code(), "invalid_expiry", "{days} {most:?}");
        }
    }

    #[test]
    fn a_scope_that_is_none_names_the_nearest() {
        let told = |given: &str| parse_scopes(&[given.to_owned()]).unwrap_err().message().to_owned();
        assert!(told("project.raed").contains("Did you mean `project.read`?"), "{}", told("project.raed"));
        assert!(!told("xylophone").contains("Did you mean"));
        assert_eq!(parse_scopes(&[]).unwrap_err().code(), "scopes_missing");
    }
}

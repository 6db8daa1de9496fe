//! How much each organisation may use: projects counted one by one, tokens metered by grant.
//!
//! Invariant: settled use, what running processes hold and what is being asked for never pass the limit together. A
//! process takes a durable grant from the quota and serves reservations from it in memory, so a call waits for a commit
//! only when the grant is short; what a process that died still held counts as used, so nothing is ever under-counted.
//! What a token costs belongs to nobody here; how many a model used is `llm`'s business.

mod account;
mod meter;
mod routes;
mod settle;
pub mod store;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use account::Reservation;
pub use meter::Quotas;

use crate::access::{Caller, OrgId, UserId};
use crate::audit::Event;
use crate::base::error::{Error, Kind, Result};
use crate::db::Tx;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Projects that exist.
    Projects,
    /// Tokens of prompts and answers since the organisation was made.
    LlmTokens,
}

impl Resource {
    pub const ALL: [Self; 2] = [Self::Projects, Self::LlmTokens];

    pub fn code(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::LlmTokens => "llm_tokens",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::LlmTokens => "model tokens",
        }
    }

    /// # Errors
    /// `not_found`, listing the resources there are.
    pub fn parse(code: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|resource| resource.code() == code).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|resource| resource.code()).collect();
            Error::not_found(format!("quota `{code}` (there are: {})", known.join(", ")))
        })
    }
}

/// A quota as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    pub resource: Resource,
    /// Null means unlimited.
    pub limit_value: Option<i64>,
    /// Settled use.
    pub used: i64,
    /// Held by running processes for calls under way and those to come.
    pub reserved: i64,
}

/// What was used, by whom and for what.
#[derive(Debug, Clone)]
pub struct Usage {
    pub tokens: u64,
    pub user: Option<UserId>,
    pub project: Option<i64>,
    pub model: String,
    /// Who measured: `gateway`, `run`, `unsettled`.
    pub source: &'static str,
}

/// An audit entry that waits for the group commit of its usage.
pub type Told = (Event, Arc<Caller>);

/// The limits an organisation of `tier` begins with; null means unlimited.
fn limits(tier: &str) -> [(Resource, Option<i64>); 2] {
    let (projects, tokens) = match tier {
        "enterprise" => (None, None),
        "professional" => (Some(500), Some(10_000_000)),
        "starter" => (Some(50), Some(1_000_000)),
        _ => (Some(5), Some(100_000)),
    };
    [(Resource::Projects, projects), (Resource::LlmTokens, tokens)]
}

/// Gives a new organisation its quotas.
///
/// # Errors
/// When the database fails.
pub fn open(tx: &mut Tx<'_>, org: OrgId, tier: &str) -> Result<()> {
    limits(tier).into_iter().try_for_each(|(resource, limit)| store::insert(tx, org, resource, limit))
}

/// Moves an organisation's limits from those of one tier to those of another; a limit set by hand stays.
///
/// # Errors
/// When the database fails.
pub fn follow_tier(tx: &mut Tx<'_>, org: OrgId, from: &str, to: &str) -> Result<()> {
    let pairs = limits(from).into_iter().zip(limits(to));
    pairs.into_iter().try_for_each(|((resource, old), (_, new))| Ok(store::replace(tx, org, resource, old, new)?))
}

/// Counts `amount` as used, in the caller's transaction.
///
/// # Errors
/// `quota_exceeded` with the numbers; `not_found` when there is no such organisation. Nothing is counted then.
pub fn take(tx: &mut Tx<'_>, org: OrgId, resource: Resource, amount: i64) -> Result<()> {
    if store::take(tx, org, resource, amount)? {
        return Ok(());
    }
    // An organisation has its quotas from its first moment to its last.
    let quota =
        store::find(tx, org, resource)?.ok_or_else(|| Error::not_found("organization").field("organization_id"))?;
    Err(exceeded(Some(&quota), org, resource, amount))
}

/// Takes back what [`take`] counted.
///
/// # Errors
/// When the database fails.
pub fn give_back(tx: &mut Tx<'_>, org: OrgId, resource: Resource, amount: i64) -> Result<()> {
    Ok(store::give_back(tx, org, resource, amount)?)
}

fn exceeded(quota: Option<&Quota>, org: OrgId, resource: Resource, amount: i64) -> Error {
    let words = resource.words();
    let sentence = match quota {
        None => {
            format!("Organisation {} has no quota of {words}. Ask an administrator whether it still exists.", org.0)
        }
        Some(Quota { limit_value, used, reserved, .. }) => format!(
            "The organisation's quota of {words} does not suffice: {amount} needed, {used} of {} used and {reserved} reserved for calls under way. Ask an administrator to raise it.",
            limit_value.map_or_else(|| "any number".to_owned(), |limit| limit.to_string())
        ),
    };
    Error::new(Kind::Limited, "quota_exceeded", sentence).field(resource.code())
}

//! What a team has set for itself, within what its organisation allows.
//!
//! Invariant: every setting has a rule that reads it; the organisation's own limits hold beside it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::store;
use crate::access::{OrgId, TeamId};
use crate::base::error::{Error, Result};
use crate::db::Tx;

const MODEL_MAX: usize = 200;
/// Less cannot bring a run to its end; the schema of an organisation's settings says the same.
pub const LEAST_BUDGET: i64 = 2_000;
const MOST_BUDGET: i64 = 1_000_000_000_000;

/// A team's settings; what is not set is null, and the organisation's own counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TeamSettings {
    /// The model of runs in the team's projects that name none, as `GET /api/models` lists it.
    pub default_model: Option<String>,
    /// The most tokens that a run in the team's projects may use, and what one gets that names no budget; 2000 at least. The
    /// organisation's own limit holds too.
    pub run_token_budget: Option<i64>,
}

impl TeamSettings {
    /// # Errors
    /// `invalid_settings`, naming the field.
    pub(super) fn check(&self) -> Result<()> {
        let printable = |name: &str| !name.is_empty() && name.len() <= MODEL_MAX && !name.contains(char::is_whitespace);
        if self.default_model.as_deref().is_some_and(|name| !printable(name)) {
            let message = format!("default_model is a model's name: 1 to {MODEL_MAX} bytes without spaces.");
            return Err(Error::invalid("invalid_settings", message).field("settings.default_model"));
        }
        let fits = |budget| (LEAST_BUDGET..=MOST_BUDGET).contains(&budget);
        if self.run_token_budget.is_some_and(|budget| !fits(budget)) {
            let message = format!("run_token_budget is between {LEAST_BUDGET} and {MOST_BUDGET} tokens, or null.");
            return Err(Error::invalid("invalid_settings", message).field("settings.run_token_budget"));
        }
        Ok(())
    }

    /// What is stored; versions before this one kept any keys, which nothing read.
    pub(super) fn stored(text: &str) -> serde_json::Result<Self> {
        let stored: Map<String, Value> = serde_json::from_str(text)?;
        Ok(Self {
            default_model: stored.get("default_model").and_then(Value::as_str).map(str::to_owned),
            run_token_budget: stored.get("run_token_budget").and_then(Value::as_i64),
        })
    }
}

/// The settings that hold for what belongs to `team` of `org`, or to no team: then the default team's.
///
/// # Errors
/// When the database fails.
pub fn of(tx: &mut Tx<'_>, org: OrgId, team: Option<TeamId>) -> Result<TeamSettings> {
    Ok(store::settings(tx, org, team)?.unwrap_or_default())
}

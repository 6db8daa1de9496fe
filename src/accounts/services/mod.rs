//! Service accounts: of programs, not of people.
//!
//! Invariant: one belongs to one organisation, holds roles there only, signs in nowhere and goes with it. Nobody makes a
//! token for one that may do more than they may.

pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RoleGrant, User, check_username};
use crate::access::{OrgId, Place};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};

/// The most service accounts of one organisation.
pub const MOST: i64 = 100;
const DESCRIPTION_MAX: usize = 500;

/// A service account as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceAccount {
    pub id: i64,
    pub organization_id: i64,
    /// Unique among the organisation's service accounts.
    pub name: String,
    pub description: String,
    pub is_active: bool,
    pub roles: Vec<RoleGrant>,
    /// Everything its roles allow somewhere: what a token of it can be held to.
    pub permissions: Vec<String>,
    /// How many tokens it has.
    pub tokens: i64,
    /// When one of its tokens was used last, to the minute; null: none was.
    pub last_used_at: Option<Time>,
    pub created_at: Time,
}

/// A service account to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// As a user name is; unique among the organisation's service accounts.
    pub name: String,
    /// What program it is for, at most 500 characters.
    #[serde(default)]
    pub description: String,
    /// A role over the organisation, with all it allows held by who makes the account; absent: none yet.
    pub role: Option<String>,
}

impl NewServiceAccount {
    /// # Errors
    /// `invalid_username`, `invalid_description`.
    pub fn check(&self) -> Result<()> {
        check_username(&self.name).map_err(|error| error.field("name"))?;
        if self.description.chars().count() > DESCRIPTION_MAX || self.description.chars().any(char::is_control) {
            let message =
                format!("The description has at most {DESCRIPTION_MAX} characters, none of them a control character.");
            return Err(Error::invalid("invalid_description", message).field("description"));
        }
        Ok(())
    }
}

impl User {
    /// Whether it is a program's account: no person, so no password, second factor, address or data of its own.
    pub fn is_service(&self) -> bool {
        self.service_of.is_some()
    }

    /// # Errors
    /// `service_account` for a program's account.
    pub fn require_person(&self) -> Result<()> {
        if !self.is_service() {
            return Ok(());
        }
        let message = format!(
            "{} is a service account: it has no password, no address and no data of a person. Give it roles and tokens, \
             or delete it.",
            self.username
        );
        Err(Error::conflict("service_account", message))
    }

    /// Whether the account may hold a role at `place`: a program's, in its own organisation only.
    ///
    /// # Errors
    /// `service_account_elsewhere`.
    pub fn require_home(&self, place: Place) -> Result<()> {
        if self.service_of.is_none_or(|home| place.org() == Some(OrgId(home))) {
            return Ok(());
        }
        let message = format!("{} is a service account: it holds roles in its own organisation only.", self.username);
        Err(Error::conflict("service_account_elsewhere", message))
    }
}

/// The organisation has as many as there may be.
fn too_many() -> Error {
    let message = format!("The organisation has {MOST} service accounts, the most there may be. Delete some first.");
    Error::new(Kind::Limited, "too_many_service_accounts", message)
}

//! Roles as they are held: by whom, where, since when; and who may give and take them.
//!
//! Invariant: nobody gives or takes a role that holds more than they do at its place. An organisation, a team and the site
//! that have an owner keep one: see [`store::keep_owners`].

pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Action, Closing, PermissionSet, Permit, Place};
use crate::base::error::{Error, Result};

/// A role held, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleGrant {
    /// The code of a built-in role, or of one of the organisation's own.
    pub role: String,
    /// Null: over the whole site.
    pub organization_id: Option<i64>,
    /// Null: over the whole organisation.
    pub team_id: Option<i64>,
    /// What the role allows at present.
    #[serde(skip)]
    pub permissions: PermissionSet,
    /// Why it does not count now: its organisation is suspended or to be deleted. None: it counts.
    #[serde(skip)]
    pub closed: Option<Closing>,
    /// Why it counts only for who proved two factors. None: for everybody.
    #[serde(skip)]
    pub guarded: Option<Closing>,
    /// Why it counts only in sessions that an identity provider opened, and with tokens. None: in all.
    #[serde(skip)]
    pub sso: Option<Closing>,
}

impl RoleGrant {
    pub fn place(&self) -> Place {
        Place::of(self.organization_id, self.team_id)
    }
}

/// A role that was found where it is to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRole {
    pub code: String,
    pub permissions: PermissionSet,
}

/// Nobody gives or takes what they do not hold.
///
/// # Errors
/// `not_found` outside the permit, `role_above_yours` for more than the caller has.
pub fn check_grant<A: Action>(permit: &Permit<A>, role: &str, permissions: PermissionSet, place: Place) -> Result<()> {
    match place {
        Place::Site => permit.require_site()?,
        Place::Org(_) => permit.require_place(place, "such organization")?,
        Place::Team(..) => permit.require_place(place, "such team")?,
    }
    if !permit.caller().grants.hold_all(place, permissions) {
        let message =
            format!("The role {role} holds more than you do; somebody with those rights must give or take it.");
        return Err(Error::forbidden("role_above_yours", message).field("role"));
    }
    Ok(())
}

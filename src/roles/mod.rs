//! The roles there are, those that organisations make for themselves, who holds which, and why somebody may do something.
//!
//! Invariant: a role never holds more than who makes or changes it holds over the organisation, and one that is held is not
//! deleted. What a role allows counts from the next request on. Roles as they are held are `accounts::grants`'.

pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::policy::{self, CATALOGUE, LIFTED};
use crate::access::{Action, OrgId, PermissionSet, Permit, Place, Role, TeamRole};
use crate::accounts::Accounts;
use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::names;
use crate::db::Db;
use crate::teams::check_description;

/// The most roles of one organisation's own.
pub const MOST: i64 = 100;
const CODE_MAX: usize = 64;
/// Words that mean something else, now or in what people say.
const RESERVED: [&str; 7] = ["admin", "administrator", "owner", "member", "operator", "system", "anonymous"];

/// The room of roles.
#[derive(Clone)]
pub struct Roles {
    db: Db,
    clock: Clock,
    accounts: Accounts,
}

impl Roles {
    pub fn new(db: Db, clock: Clock, accounts: Accounts) -> Self {
        Self { db, clock, accounts }
    }
}

/// Something that can be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PermissionInfo {
    /// `resource.action`.
    pub code: String,
    pub description: String,
    /// Whether a role held in one team allows it in the team's organisation too.
    pub lifted: bool,
}

/// Everything that can be allowed.
pub fn catalogue() -> Vec<PermissionInfo> {
    let info = |(permission, code, description): &(policy::Permission, &str, &str)| PermissionInfo {
        code: (*code).to_owned(),
        description: (*description).to_owned(),
        lifted: LIFTED.has(*permission),
    };
    CATALOGUE.iter().map(info).collect()
}

/// A role as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleInfo {
    pub code: String,
    pub name: String,
    pub description: String,
    /// Codes of permissions, in the order of the catalogue.
    pub permissions: Vec<String>,
    /// Whether it is the program's, and cannot be changed.
    pub built_in: bool,
    /// Null for a built-in one.
    pub organization_id: Option<i64>,
    /// How many people hold it in the organisation or its teams; null where no organisation was asked about.
    pub holders: Option<i64>,
    /// Null for a built-in one.
    pub updated_at: Option<Time>,
}

impl RoleInfo {
    fn built_in(role: Role) -> Self {
        Self {
            code: role.code().to_owned(),
            name: role.name().to_owned(),
            description: role.description().to_owned(),
            permissions: codes(role.permissions()),
            built_in: true,
            organization_id: None,
            holders: None,
            updated_at: None,
        }
    }

    fn set(&self) -> PermissionSet {
        PermissionSet::parse(self.permissions.iter().map(String::as_str)).unwrap_or_default()
    }
}

fn codes(set: PermissionSet) -> Vec<String> {
    set.codes().into_iter().map(str::to_owned).collect()
}

/// A role to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// a-z, 0-9 and underscores, from a letter on; unique in the organisation, for good.
    pub code: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Codes of the catalogue.
    pub permissions: Vec<String>,
}

/// What a change may set; absent stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub permissions: Option<Vec<String>>,
}

impl NewRole {
    fn check(mut self) -> Result<Self> {
        check_code(&self.code)?;
        self.name = check_name(&self.name)?;
        check_description(&self.description)?;
        self.permissions = check_permissions(&self.permissions)?;
        Ok(self)
    }
}

impl RoleChange {
    fn check(mut self) -> Result<Self> {
        self.name = self.name.as_deref().map(check_name).transpose()?;
        self.description.as_deref().map_or(Ok(()), check_description)?;
        self.permissions = self.permissions.as_deref().map(check_permissions).transpose()?;
        Ok(self)
    }

    fn of(self, role: &RoleInfo) -> RoleInfo {
        RoleInfo {
            name: self.name.unwrap_or_else(|| role.name.clone()),
            description: self.description.unwrap_or_else(|| role.description.clone()),
            permissions: self.permissions.unwrap_or_else(|| role.permissions.clone()),
            ..role.clone()
        }
    }
}

/// # Errors
/// `invalid_code`, `code_reserved`.
fn check_code(code: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts_well = code.starts_with(|c: char| c.is_ascii_lowercase());
    if code.len() < 2 || code.len() > CODE_MAX || !starts_well || !code.chars().all(plain) {
        let message = format!(
            "A role's code has 2 to {CODE_MAX} of a-z, 0-9 and underscores, and begins with a letter, such as `qa_engineer`."
        );
        return Err(Error::invalid("invalid_code", message).field("code"));
    }
    if policy::built_in(code).is_some() || RESERVED.contains(&code) {
        return Err(Error::conflict(
            "code_reserved",
            format!("`{code}` is the program's own word. Choose another code."),
        )
        .field("code"));
    }
    Ok(())
}

/// # Errors
/// `invalid_name`; `name_taken` for one that looks like a built-in role's.
fn check_name(given: &str) -> Result<String> {
    let name = names::check(given)?;
    let key = names::key(&name);
    let own = Role::ALL.into_iter().flat_map(|role| [role.name().to_owned(), role.code().replace('_', " ")]);
    let teams = TeamRole::ALL.into_iter().map(|role| role.role().replace('_', " "));
    let words = RESERVED.into_iter().map(str::to_owned);
    if own.chain(teams).chain(words).any(|taken| names::key(&taken) == key) {
        let message = format!("`{name}` looks like the name of a built-in role. Choose another name.");
        return Err(Error::conflict("name_taken", message).field("name"));
    }
    Ok(name)
}

/// The codes in the order of the catalogue, each once.
///
/// # Errors
/// `unknown_permission`, `permissions_missing`.
fn check_permissions(given: &[String]) -> Result<Vec<String>> {
    let set = PermissionSet::parse(given.iter().map(String::as_str)).map_err(|code| {
        let code: String = code.chars().take(CODE_MAX).collect();
        let message =
            format!("`{}` is no permission. GET /api/permissions lists those there are.", code.escape_debug());
        Error::invalid("unknown_permission", message).field("permissions")
    })?;
    if set.is_empty() {
        let message = "A role allows something: name at least one permission.";
        return Err(Error::invalid("permissions_missing", message).field("permissions"));
    }
    Ok(codes(set))
}

/// Whoever makes, changes or deletes a role holds all of it over the organisation, as it was and as it will be.
///
/// # Errors
/// `role_above_yours`, naming what is missing.
fn check_author<A: Action>(permit: &Permit<A>, org: OrgId, set: PermissionSet) -> Result<()> {
    let missing = set.without(permit.caller().grants.at(Place::Org(org)));
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "The role holds what you do not hold over the organisation: {}. Somebody with those rights must do this.",
        missing.codes().join(", ")
    );
    Err(Error::forbidden("role_above_yours", message).field("permissions"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_plain_and_never_the_programs_own() {
        for good in ["qa_engineer", "a1", "x_"] {
            assert!(check_code(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "1a", "_a", "QA", "qa-engineer", "qа_engineer", "a b", &"a".repeat(65)] {
            assert_eq!(check_code(bad).unwrap_err().code(), "invalid_code", "{bad}");
        }
        for role in Role::ALL {
            assert_eq!(check_code(role.code()).unwrap_err().code(), "code_reserved");
        }
        assert_eq!(check_code("team_owner").unwrap_err().code(), "code_reserved");
    }

    #[test]
    fn names_that_look_like_a_built_in_roles_are_taken() {
        for bad in ["Viewer", "VlEWER", "org admin", "Owner", "Organisation  Admin", "Adm1n"] {
            assert_eq!(check_name(bad).map_err(|error| error.code()), Err("name_taken"), "{bad}");
        }
        // Cyrillic throughout, so that no word mixes scripts.
        assert_eq!(check_name("оwner").unwrap_err().code(), "invalid_name");
        assert_eq!(check_name("Release manager").unwrap(), "Release manager");
    }

    #[test]
    fn permissions_are_known_and_come_in_one_order() {
        let given = ["user.read", "project.read", "user.read"].map(str::to_owned);
        assert_eq!(check_permissions(&given).unwrap(), ["project.read", "user.read"]);
        assert_eq!(check_permissions(&["project.*".to_owned()]).unwrap_err().code(), "unknown_permission");
        assert_eq!(check_permissions(&[]).unwrap_err().code(), "permissions_missing");
    }

    #[test]
    fn every_permission_says_what_it_is_for() {
        for info in catalogue() {
            assert!(info.description.ends_with('.') && info.code.contains('.'), "{info:?}");
        }
    }
}

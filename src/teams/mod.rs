//! Teams of an organisation: who is in them, and what is theirs.
//!
//! Invariant: a team belongs to one organisation for good. Who belongs to it is whoever holds a role in it, and to the
//! default team whoever holds a role over the whole organisation; so nobody is in a team by a row that grants nothing, and
//! no role outlives its holder's place.

mod members;
pub mod routes;
pub mod settings;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use settings::TeamSettings;

use crate::access::policy::TEAM_OWNER;
use crate::access::{OrgId, Place, Role, TeamId, TeamRole};
use crate::accounts::{Accounts, RoleGrant, User};
use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::names;
use crate::db::Db;

const SLUG_MAX: usize = 50;
const DESCRIPTION_MAX: usize = 1000;
/// The most teams of one organisation.
pub const MOST: i64 = 1000;

/// The room of teams.
#[derive(Clone)]
pub struct Teams {
    db: Db,
    clock: Clock,
    accounts: Accounts,
}

impl Teams {
    pub fn new(db: Db, clock: Clock, accounts: Accounts) -> Self {
        Self { db, clock, accounts }
    }
}

/// A team as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Team {
    pub id: i64,
    pub organization_id: i64,
    /// Unique in the organisation, for commands.
    pub slug: String,
    pub name: String,
    pub description: String,
    pub settings: TeamSettings,
    /// Whether it is the one that everybody with a role over the whole organisation belongs to.
    pub is_default: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Team {
    pub fn place(&self) -> Place {
        Place::Team(OrgId(self.organization_id), TeamId(self.id))
    }

    /// # Errors
    /// `default_team`: who is in the default team is decided by the roles over the organisation.
    pub fn choosable(&self) -> Result<()> {
        if !self.is_default {
            return Ok(());
        }
        let message = "Whoever holds a role over the whole organisation belongs to its default team. Give or take that role \
                       instead (POST or DELETE under /api/organizations/{id}/members).";
        Err(Error::conflict("default_team", message))
    }
}

/// A person's place in a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TeamMember {
    pub user_id: i64,
    pub username: String,
    pub email: String,
    /// Null: they hold a role of the organisation's own only.
    pub role: Option<TeamRole>,
    /// The codes of all roles held in the team; in the default team, of those over the organisation.
    pub roles: Vec<String>,
}

impl TeamMember {
    fn new(user: &User, team: &Team) -> Self {
        let held_at = if team.is_default { Place::Org(OrgId(team.organization_id)) } else { team.place() };
        let here = |grant: &&RoleGrant| grant.place() == held_at;
        let roles: Vec<String> = user.roles.iter().filter(here).map(|grant| grant.role.clone()).collect();
        let holds = |code: &str| roles.iter().any(|role| role == code);
        let role = TeamRole::ALL.into_iter().find(|role| holds(role.role()));
        let role = if holds(Role::OrgAdmin.code()) { Some(TeamRole::Owner) } else { role };
        Self { user_id: user.id, username: user.username.clone(), email: user.email.clone(), role, roles }
    }

    fn owns(&self) -> bool {
        self.roles.iter().any(|role| role == TEAM_OWNER)
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// Lower-case letters, digits and single dashes; unique in the organisation.
    pub slug: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub settings: TeamSettings,
    /// The user name of who owns it; who makes it when absent.
    pub owner: Option<String>,
}

/// What a change may set; absent stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamChange {
    pub slug: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    /// All of them: what is left out here is not set any more.
    pub settings: Option<TeamSettings>,
}

impl NewTeam {
    fn check(mut self) -> Result<Self> {
        check_slug(&self.slug)?;
        self.name = names::check(&self.name)?;
        check_description(&self.description)?;
        self.settings.check()?;
        Ok(self)
    }
}

impl TeamChange {
    fn check(mut self) -> Result<Self> {
        self.slug.as_deref().map_or(Ok(()), check_slug)?;
        self.name = self.name.as_deref().map(names::check).transpose()?;
        self.description.as_deref().map_or(Ok(()), check_description)?;
        self.settings.as_ref().map_or(Ok(()), TeamSettings::check)?;
        Ok(self)
    }

    fn of(self, team: &Team) -> Team {
        Team {
            slug: self.slug.unwrap_or_else(|| team.slug.clone()),
            name: self.name.unwrap_or_else(|| team.name.clone()),
            description: self.description.unwrap_or_else(|| team.description.clone()),
            settings: self.settings.unwrap_or_else(|| team.settings.clone()),
            ..team.clone()
        }
    }
}

/// # Errors
/// `invalid_slug`.
fn check_slug(slug: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let dashes = slug.starts_with('-') || slug.ends_with('-') || slug.contains("--");
    if slug.is_empty() || slug.len() > SLUG_MAX || !slug.chars().all(plain) || dashes {
        let message = format!("A team's slug has 1 to {SLUG_MAX} of a-z, 0-9 and single dashes, such as `backend`.");
        return Err(Error::invalid("invalid_slug", message).field("slug"));
    }
    Ok(())
}

/// # Errors
/// `invalid_description`.
pub fn check_description(text: &str) -> Result<()> {
    let bad = |char: char| char.is_control() && char != '\n';
    if text.chars().count() > DESCRIPTION_MAX || text.chars().any(bad) {
        let message = format!("A description has at most {DESCRIPTION_MAX} printable characters.");
        return Err(Error::invalid("invalid_description", message).field("description"));
    }
    Ok(())
}

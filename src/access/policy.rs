//! The one table: which built-in role holds which permission.
//!
//! Invariant: a check is one bit test; permissions are compiled into sets here and nowhere else. Codes are the
//! `resource.action` names of the specification and never change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::error::{Error, Result};

/// Something that can be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Permission {
    ProjectCreate,
    ProjectRead,
    ProjectUpdate,
    ProjectDelete,
    RunExecute,
    ModelUse,
    ModelManage,
    PluginRead,
    PluginInstall,
    PluginManage,
    QuotaView,
    QuotaManage,
    AuditRead,
    UserRead,
    UserInvite,
    UserManage,
    OrganizationRead,
    OrganizationManage,
    OrganizationCreate,
    TeamManage,
    OrganizationDelete,
    OrganizationSuspend,
    RoleManage,
    AuditExport,
    AuditManage,
    UserErase,
    PluginEnable,
    BackupManage,
}

/// Every permission with its code and what it lets one do, in the order of the enum.
pub const CATALOGUE: [(Permission, &str, &str); 28] = [
    (Permission::ProjectCreate, "project.create", "Make projects."),
    (Permission::ProjectRead, "project.read", "See projects with their files, findings and runs."),
    (Permission::ProjectUpdate, "project.update", "Change projects and their files."),
    (Permission::ProjectDelete, "project.delete", "Delete projects."),
    (Permission::RunExecute, "project.execute", "Start runs, and pause, resume, cancel or repeat them."),
    (Permission::ModelUse, "model.use", "Ask models, also through the gateway."),
    (Permission::ModelManage, "model.manage", "Name the servers that models are on."),
    (Permission::PluginRead, "plugin.read", "See which plugins are installed."),
    (Permission::PluginInstall, "plugin.install", "Install plugins. Counts over the site only."),
    (Permission::PluginManage, "plugin.manage", "Configure, switch and remove plugins. Counts over the site only."),
    (Permission::QuotaView, "quota.view", "See limits and what is used of them."),
    (Permission::QuotaManage, "quota.manage", "Change limits."),
    (Permission::AuditRead, "audit.read", "Read the audit trail."),
    (Permission::UserRead, "user.read", "See people and the roles they hold."),
    (Permission::UserInvite, "user.invite", "Invite people."),
    (Permission::UserManage, "user.manage", "Make accounts, give and take roles, set passwords."),
    (Permission::OrganizationRead, "organization.read", "See the organisation."),
    (
        Permission::OrganizationManage,
        "organization.manage",
        "Change the organisation's name, settings, contact and branding.",
    ),
    (Permission::OrganizationCreate, "organization.create", "Make organisations. Counts over the site only."),
    (Permission::TeamManage, "team.manage", "Make and change teams, and who belongs to them."),
    (Permission::OrganizationDelete, "organization.delete", "Delete the organisation, and bring it back in time."),
    (Permission::OrganizationSuspend, "organization.suspend", "Suspend organisations and let them work again."),
    (Permission::RoleManage, "role.manage", "Make, change and delete roles of the organisation."),
    (Permission::AuditExport, "audit.export", "Export the audit trail, and the evidence that auditors ask for."),
    (Permission::AuditManage, "audit.manage", "Decide how long the audit trail is kept and where it is sent."),
    (Permission::UserErase, "user.erase", "Erase a person for good."),
    (
        Permission::PluginEnable,
        "plugin.enable",
        "Let plugins work in the organisation, grant what they ask for and configure them there.",
    ),
    (Permission::BackupManage, "backup.manage", "Take, verify and prune backups. Counts over the site only."),
];

impl Permission {
    /// `resource.action`.
    pub fn code(self) -> &'static str {
        CATALOGUE[self as usize].1
    }
}

/// A set of permissions; one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PermissionSet(u64);

impl PermissionSet {
    /// Every permission there is.
    pub const ALL: Self = SUPER_ADMIN;
    /// What changes nothing.
    pub const READING: Self = VIEWER.union(Self::of(&[P::AuditRead]));

    pub const fn of(permissions: &[Permission]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < permissions.len() {
            bits |= 1 << permissions[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What of this set is not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every permission of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set of the permissions named.
    ///
    /// # Errors
    /// The first code that is no permission.
    pub fn parse<'a>(codes: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        codes.into_iter().try_fold(Self::default(), |set, code| {
            let known = CATALOGUE.iter().find(|(_, known, _)| *known == code);
            known.map(|(permission, ..)| set.union(Self::of(&[*permission]))).ok_or(code)
        })
    }

    /// The set of those named that this version knows: what is kept may come from another one.
    pub fn known<'a>(codes: impl IntoIterator<Item = &'a str>) -> Self {
        codes.into_iter().filter_map(|code| Self::parse([code]).ok()).fold(Self::default(), Self::union)
    }

    pub fn codes(self) -> Vec<&'static str> {
        CATALOGUE.iter().filter(|(permission, ..)| self.has(*permission)).map(|(_, code, _)| *code).collect()
    }
}

/// The five built-in roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, over the whole site.
    SuperAdmin,
    /// An organisation and its teams.
    OrgAdmin,
    /// A team's members and resources.
    TeamAdmin,
    /// Projects: create, build, change.
    Developer,
    /// Read only.
    Viewer,
}

use Permission as P;

const VIEWER: PermissionSet =
    PermissionSet::of(&[P::ProjectRead, P::PluginRead, P::QuotaView, P::OrganizationRead, P::UserRead]);
const DEVELOPER: PermissionSet = VIEWER.union(PermissionSet::of(&[
    P::ProjectCreate,
    P::ProjectUpdate,
    P::ProjectDelete,
    P::RunExecute,
    P::ModelUse,
]));
const TEAM_ADMIN: PermissionSet = DEVELOPER.union(PermissionSet::of(&[P::UserInvite, P::TeamManage]));
const ORG_ADMIN: PermissionSet = TEAM_ADMIN.union(PermissionSet::of(&[
    P::AuditRead,
    P::AuditExport,
    P::AuditManage,
    P::ModelManage,
    P::OrganizationManage,
    P::OrganizationDelete,
    P::RoleManage,
    P::UserManage,
    P::PluginEnable,
]));
const SUPER_ADMIN: PermissionSet = PermissionSet((1 << CATALOGUE.len()) - 1);

/// What a role held in one team also allows in the team's organisation, so that somebody who is in a team only can find
/// the organisation, ask its models and see the plugins. Nothing else of a team's role counts outside of the team.
pub const LIFTED: PermissionSet = PermissionSet::of(&[P::OrganizationRead, P::ModelUse, P::PluginRead]);

impl Role {
    pub const ALL: [Self; 5] = [Self::SuperAdmin, Self::OrgAdmin, Self::TeamAdmin, Self::Developer, Self::Viewer];

    pub fn permissions(self) -> PermissionSet {
        match self {
            Self::SuperAdmin => SUPER_ADMIN,
            Self::OrgAdmin => ORG_ADMIN,
            Self::TeamAdmin => TEAM_ADMIN,
            Self::Developer => DEVELOPER,
            Self::Viewer => VIEWER,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::SuperAdmin => "super_admin",
            Self::OrgAdmin => "org_admin",
            Self::TeamAdmin => "team_admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::SuperAdmin => "Super admin",
            Self::OrgAdmin => "Organisation admin",
            Self::TeamAdmin => "Team admin",
            Self::Developer => "Developer",
            Self::Viewer => "Viewer",
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::SuperAdmin => "Everything, over the whole site.",
            Self::OrgAdmin => "An organisation, its teams, people and roles.",
            Self::TeamAdmin => "Teams: their members and projects.",
            Self::Developer => "Projects: make, build, change and delete them.",
            Self::Viewer => "Read only.",
        }
    }

    /// Reads a role's code; `admin` is the specification's word for the super admin.
    ///
    /// # Errors
    /// `unknown_role`, listing the codes there are.
    pub fn parse(code: &str) -> Result<Self> {
        if code == "admin" {
            return Ok(Self::SuperAdmin);
        }
        Self::ALL.into_iter().find(|role| role.code() == code).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|role| role.code()).collect();
            Error::invalid("unknown_role", format!("`{code}` is not a role. Roles are: {}.", known.join(", ")))
                .field("role")
        })
    }
}

/// What somebody is in a team. An owner may do what an admin may, and decides who owns the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeamRole {
    Owner,
    Admin,
    Member,
    Viewer,
}

impl TeamRole {
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Viewer];

    /// The role that is held in the team.
    pub fn role(self) -> &'static str {
        match self {
            Self::Owner => TEAM_OWNER,
            Self::Admin => Role::TeamAdmin.code(),
            Self::Member => Role::Developer.code(),
            Self::Viewer => Role::Viewer.code(),
        }
    }
}

/// Held by who owns a team, and in teams only.
pub const TEAM_OWNER: &str = "team_owner";

/// What a role of the program allows; None when there is none with this code.
pub fn built_in(code: &str) -> Option<PermissionSet> {
    if code == TEAM_OWNER {
        return Some(TEAM_ADMIN);
    }
    Role::ALL.into_iter().find(|role| role.code() == code).map(Role::permissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_the_order_of_the_enum() {
        for (at, (permission, ..)) in CATALOGUE.iter().enumerate() {
            assert_eq!(*permission as usize, at);
        }
    }

    #[test]
    fn each_role_holds_what_the_one_below_it_holds() {
        for pair in Role::ALL.windows(2) {
            let (upper, lower) = (pair[0].permissions(), pair[1].permissions());
            assert_eq!(upper.union(lower), upper, "{:?} lacks something of {:?}", pair[0], pair[1]);
        }
    }
}

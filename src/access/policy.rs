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
}

/// Every permission with its code, in the order of the enum.
pub const CATALOGUE: [(Permission, &str); 26] = [
    (Permission::ProjectCreate, "project.create"),
    (Permission::ProjectRead, "project.read"),
    (Permission::ProjectUpdate, "project.update"),
    (Permission::ProjectDelete, "project.delete"),
    (Permission::RunExecute, "project.execute"),
    (Permission::ModelUse, "model.use"),
    (Permission::ModelManage, "model.manage"),
    (Permission::PluginRead, "plugin.read"),
    (Permission::PluginInstall, "plugin.install"),
    (Permission::PluginManage, "plugin.manage"),
    (Permission::QuotaView, "quota.view"),
    (Permission::QuotaManage, "quota.manage"),
    (Permission::AuditRead, "audit.read"),
    (Permission::UserRead, "user.read"),
    (Permission::UserInvite, "user.invite"),
    (Permission::UserManage, "user.manage"),
    (Permission::OrganizationRead, "organization.read"),
    (Permission::OrganizationManage, "organization.manage"),
    (Permission::OrganizationCreate, "organization.create"),
    (Permission::TeamManage, "team.manage"),
    (Permission::OrganizationDelete, "organization.delete"),
    (Permission::OrganizationSuspend, "organization.suspend"),
    (Permission::RoleManage, "role.manage"),
    (Permission::AuditExport, "audit.export"),
    (Permission::AuditManage, "audit.manage"),
    (Permission::UserErase, "user.erase"),
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

    pub fn codes(self) -> Vec<&'static str> {
        CATALOGUE.iter().filter(|(permission, _)| self.has(*permission)).map(|(_, code)| *code).collect()
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
]));
const SUPER_ADMIN: PermissionSet = PermissionSet((1 << CATALOGUE.len()) - 1);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_the_order_of_the_enum() {
        for (at, (permission, _)) in CATALOGUE.iter().enumerate() {
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

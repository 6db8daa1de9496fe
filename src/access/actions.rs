//! A type for each permission, so that a handler's signature says what it needs and the compiler holds it to that.

use super::{Action, Permission};

pub struct ProjectCreate;
impl Action for ProjectCreate {
    const PERMISSION: Permission = Permission::ProjectCreate;
}

pub struct ProjectRead;
impl Action for ProjectRead {
    const PERMISSION: Permission = Permission::ProjectRead;
}

pub struct ProjectUpdate;
impl Action for ProjectUpdate {
    const PERMISSION: Permission = Permission::ProjectUpdate;
}

pub struct ProjectDelete;
impl Action for ProjectDelete {
    const PERMISSION: Permission = Permission::ProjectDelete;
}

pub struct RunExecute;
impl Action for RunExecute {
    const PERMISSION: Permission = Permission::RunExecute;
}

pub struct ModelUse;
impl Action for ModelUse {
    const PERMISSION: Permission = Permission::ModelUse;
}

pub struct ModelManage;
impl Action for ModelManage {
    const PERMISSION: Permission = Permission::ModelManage;
}

pub struct PluginRead;
impl Action for PluginRead {
    const PERMISSION: Permission = Permission::PluginRead;
}

pub struct PluginInstall;
impl Action for PluginInstall {
    const PERMISSION: Permission = Permission::PluginInstall;
}

pub struct PluginManage;
impl Action for PluginManage {
    const PERMISSION: Permission = Permission::PluginManage;
}

pub struct QuotaView;
impl Action for QuotaView {
    const PERMISSION: Permission = Permission::QuotaView;
}

pub struct QuotaManage;
impl Action for QuotaManage {
    const PERMISSION: Permission = Permission::QuotaManage;
}

pub struct AuditRead;
impl Action for AuditRead {
    const PERMISSION: Permission = Permission::AuditRead;
}

pub struct UserRead;
impl Action for UserRead {
    const PERMISSION: Permission = Permission::UserRead;
}

pub struct UserInvite;
impl Action for UserInvite {
    const PERMISSION: Permission = Permission::UserInvite;
}

pub struct UserManage;
impl Action for UserManage {
    const PERMISSION: Permission = Permission::UserManage;
}

pub struct OrganizationRead;
impl Action for OrganizationRead {
    const PERMISSION: Permission = Permission::OrganizationRead;
}

pub struct OrganizationManage;
impl Action for OrganizationManage {
    const PERMISSION: Permission = Permission::OrganizationManage;
}

pub struct OrganizationCreate;
impl Action for OrganizationCreate {
    const PERMISSION: Permission = Permission::OrganizationCreate;
}

pub struct TeamManage;
impl Action for TeamManage {
    const PERMISSION: Permission = Permission::TeamManage;
}

pub struct OrganizationDelete;
impl Action for OrganizationDelete {
    const PERMISSION: Permission = Permission::OrganizationDelete;
}

pub struct OrganizationSuspend;
impl Action for OrganizationSuspend {
    const PERMISSION: Permission = Permission::OrganizationSuspend;
}

pub struct RoleManage;
impl Action for RoleManage {
    const PERMISSION: Permission = Permission::RoleManage;
}

pub struct AuditExport;
impl Action for AuditExport {
    const PERMISSION: Permission = Permission::AuditExport;
}

pub struct AuditManage;
impl Action for AuditManage {
    const PERMISSION: Permission = Permission::AuditManage;
}

pub struct UserErase;
impl Action for UserErase {
    const PERMISSION: Permission = Permission::UserErase;
}

pub struct PluginEnable;
impl Action for PluginEnable {
    const PERMISSION: Permission = Permission::PluginEnable;
}

pub struct BackupManage;
impl Action for BackupManage {
    const PERMISSION: Permission = Permission::BackupManage;
}

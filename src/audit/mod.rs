//! The trail: who did what to which resource, when and from where, with the state before and after.
//!
//! Invariant: an entry is written in the transaction of the action it tells of, so neither exists without the other; the
//! database refuses to change or delete it (migration 2).

pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::{Actor, Caller, OrgId, Origin};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;

/// The kinds of action of the specification, and `execute` for agents' work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    Create,
    Read,
    Update,
    Delete,
    Login,
    Logout,
    PermissionChange,
    Export,
    Execute,
}

impl AuditAction {
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Read,
        Self::Update,
        Self::Delete,
        Self::Login,
        Self::Logout,
        Self::PermissionChange,
        Self::Export,
        Self::Execute,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::PermissionChange => "permission_change",
            Self::Export => "export",
            Self::Execute => "execute",
        }
    }

    /// # Errors
    /// `unknown_action`, listing those there are.
    pub fn parse(code: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|action| action.code() == code).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|action| action.code()).collect();
            Error::invalid(
                "unknown_action",
                format!("`{code}` is not an audit action. They are: {}.", known.join(", ")),
            )
            .field("action")
        })
    }
}

/// What happened; filled where it happens and handed to [`record`].
#[derive(Debug, Clone)]
pub struct Event {
    pub action: AuditAction,
    pub resource_type: &'static str,
    pub resource_id: Option<String>,
    pub org: Option<OrgId>,
    pub description: String,
    pub success: bool,
    /// JSON.
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Event {
    pub fn new(action: AuditAction, resource_type: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self {
            action,
            resource_type,
            resource_id: None,
            org: None,
            description,
            success: true,
            before: None,
            after: None,
        }
    }

    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "ids are small and often made for this call")]
    pub fn id(mut self, id: impl ToString) -> Self {
        self.resource_id = Some(id.to_string());
        self
    }

    #[must_use]
    pub fn org(mut self, org: OrgId) -> Self {
        self.org = Some(org);
        self
    }

    #[must_use]
    pub fn before(mut self, state: &impl Serialize) -> Self {
        self.before = serde_json::to_string(state).ok();
        self
    }

    #[must_use]
    pub fn after(mut self, state: &impl Serialize) -> Self {
        self.after = serde_json::to_string(state).ok();
        self
    }

    #[must_use]
    pub fn failed(mut self) -> Self {
        self.success = false;
        self
    }
}

/// Writes `event` as done by `caller` at `at`, in the caller's transaction.
///
/// # Errors
/// When the database fails; the action then fails with it.
pub fn record(tx: &mut Tx<'_>, at: Time, caller: &Caller, event: &Event) -> Result<()> {
    record_as(tx, at, &caller.actor, &caller.origin, event)
}

/// [`record`] for where there is no caller yet, such as a sign-in that failed.
///
/// # Errors
/// When the database fails.
pub fn record_as(tx: &mut Tx<'_>, at: Time, actor: &Actor, origin: &Origin, event: &Event) -> Result<()> {
    store::insert(tx, at, actor, origin, event)
}

/// One entry as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub id: i64,
    pub at: Time,
    pub organization_id: Option<i64>,
    pub actor: Actor,
    pub action: AuditAction,
    pub resource_type: String,
    pub resource_id: Option<String>,
    pub description: String,
    pub success: bool,
    /// The resource before the action; null where there was none.
    pub before: Option<Value>,
    /// The resource after the action; null where there is none.
    pub after: Option<Value>,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

//! The trail: who did what to which resource, when and from where, with the state before and after.
//!
//! Invariants: an entry is written in the transaction of the action it tells of, so neither exists without the other; the
//! database refuses to change it, or to delete it before its time (migrations 2 and 87). What it holds of a person is sealed with that person's key.

pub mod export;
pub mod forward;
pub mod keys;
pub mod retention;
pub mod routes;
mod seal;
pub mod search;
pub mod store;
pub mod tree;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::access::{Actor, Caller, OrgId, Origin, UserId};
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
    /// Whom the words and states tell of, when that is a person: they are then sealed with that person's key.
    pub person: Option<UserId>,
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
            person: None,
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

    /// Says that the entry is about this person. Every event that names somebody other than its actor must.
    #[must_use]
    pub fn person(mut self, person: UserId) -> Self {
        self.person = Some(person);
        self
    }

    #[must_use]
    pub fn before(mut self, state: &impl Serialize) -> Self {
        self.before = image(state);
        self
    }

    #[must_use]
    pub fn after(mut self, state: &impl Serialize) -> Self {
        self.after = image(state);
        self
    }

    #[must_use]
    pub fn failed(mut self) -> Self {
        self.success = false;
        self
    }
}

/// Fields of things that hold the name of a person the entry is not about. Whose they are is in the entry of the making
/// or the change, sealed; here they would outlive the person.
const NAMES: [&str; 2] = ["created_by", "updated_by"];

/// A state as it is kept: JSON, without [`NAMES`].
fn image(state: &impl Serialize) -> Option<String> {
    let mut state = serde_json::to_value(state).ok()?;
    if let Some(fields) = state.as_object_mut() {
        NAMES.iter().for_each(|name| drop(fields.remove(*name)));
    }
    Some(state.to_string())
}

/// Writes `event` as done by `caller` at `at`, in the caller's transaction.
///
/// # Errors
/// When the database fails; the action then fails with it.
pub fn record(tx: &mut Tx<'_>, at: Time, caller: &Caller, event: &Event) -> Result<()> {
    store::insert(tx, at, &caller.actor, &caller.origin, caller.token(), event)
}

/// [`record`] for where there is no caller yet, such as a sign-in that failed.
///
/// # Errors
/// When the database fails.
pub fn record_as(tx: &mut Tx<'_>, at: Time, actor: &Actor, origin: &Origin, event: &Event) -> Result<()> {
    store::insert(tx, at, actor, origin, None, event)
}

/// The personal token that something was done with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntryToken {
    pub id: i64,
    /// What its owner called it; null where that was erased.
    pub name: Option<String>,
}

/// One entry as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub id: i64,
    pub at: Time,
    pub organization_id: Option<i64>,
    pub actor: Actor,
    /// The person the entry is about; null when it is about no person.
    pub person_id: Option<i64>,
    pub action: AuditAction,
    pub resource_type: String,
    pub resource_id: Option<String>,
    /// What happened, in words; `erased` when it was about somebody whose data was erased.
    pub description: String,
    pub success: bool,
    /// The resource before the action; null where there was none, or where it was erased.
    #[schema(value_type = Option<Value>)]
    pub before: Option<Box<RawValue>>,
    /// The resource after the action; null where there is none, or where it was erased.
    #[schema(value_type = Option<Value>)]
    pub after: Option<Box<RawValue>>,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    /// The personal token that it was done with; null: with a session, or without any.
    pub token: Option<EntryToken>,
    /// Whether something of this entry can no longer be read, because the person it belonged to was erased.
    pub erased: bool,
}

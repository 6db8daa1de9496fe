//! Who is calling, what they may do, and the proof of it that the rest of the product asks for.
//!
//! Invariant: a [`Permit`] exists only where `policy` granted the action, and it knows over which organisations; SQL that
//! writes asks for one. Who a token belongs to is `accounts`' business.

pub mod actions;
pub mod policy;

use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use policy::{Permission, PermissionSet, Role};

use crate::base::error::{Error, Result};
use crate::db::Val;

/// An organisation's id; here because every permit is over organisations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct OrgId(pub i64);

/// A person's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct UserId(pub i64);

/// A team's id; here because a role may be held in a single team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TeamId(pub i64);

/// What kind of being acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person with an account.
    User,
    /// Root, or the server's own account, over the local socket.
    Operator,
    /// An agent of a run, on behalf of the person who started it.
    Agent,
    /// The product itself.
    System,
    /// Nobody yet: a sign-in that failed.
    Anonymous,
}

impl ActorKind {
    pub fn code(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Who acts, as the audit trail remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    pub kind: ActorKind,
    /// The person's id; null where no person is behind it.
    pub id: Option<i64>,
    pub name: String,
}

impl Actor {
    pub fn system() -> Self {
        Self { kind: ActorKind::System, id: None, name: "resoftai".to_owned() }
    }

    pub fn anonymous(name: impl Into<String>) -> Self {
        Self { kind: ActorKind::Anonymous, id: None, name: name.into() }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

/// What somebody holds: permissions over the site, and over single organisations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    pub site: PermissionSet,
    /// Sorted by organisation; an organisation appears once.
    pub orgs: Vec<(OrgId, PermissionSet)>,
}

impl Grants {
    /// The union of a person's roles.
    pub fn of(roles: &[(Role, Option<OrgId>)]) -> Self {
        let mut grants = Self::default();
        for (role, org) in roles {
            match org {
                None => grants.site = grants.site.union(role.permissions()),
                Some(org) => match grants.orgs.binary_search_by_key(org, |entry| entry.0) {
                    Ok(at) => grants.orgs[at].1 = grants.orgs[at].1.union(role.permissions()),
                    Err(at) => grants.orgs.insert(at, (*org, role.permissions())),
                },
            }
        }
        grants
    }

    /// Whether every permission of `set` is held over `org` (null: over the site).
    pub fn hold_all(&self, org: Option<OrgId>, set: PermissionSet) -> bool {
        let here = org
            .and_then(|org| self.orgs.binary_search_by_key(&org, |entry| entry.0).ok())
            .map_or(self.site, |at| self.site.union(self.orgs[at].1));
        here.union(set) == here
    }

    /// Everything everywhere: the local operator and the product itself.
    pub fn all() -> Self {
        Self { site: Role::SuperAdmin.permissions(), orgs: Vec::new() }
    }
}

/// Who is calling: an actor, what they hold, and where from.
#[derive(Debug, Clone)]
pub struct Caller {
    pub actor: Actor,
    /// The person whose account it is; null for the operator and the product.
    pub user: Option<UserId>,
    /// The session this request belongs to, when it came with one.
    pub session: Option<i64>,
    pub grants: Arc<Grants>,
    pub origin: Origin,
}

impl Caller {
    /// The product acting by itself, with every right.
    pub fn system() -> Self {
        Self {
            actor: Actor::system(),
            user: None,
            session: None,
            grants: Arc::new(Grants::all()),
            origin: Origin::default(),
        }
    }

    /// A permit for `A`, or why not.
    ///
    /// # Errors
    /// `forbidden` when no role of the caller holds the permission anywhere.
    pub fn permit<A: Action>(self: &Arc<Self>) -> Result<Permit<A>> {
        let scope = if self.grants.site.has(A::PERMISSION) {
            Scope::Site
        } else {
            let orgs: Vec<OrgId> =
                self.grants.orgs.iter().filter(|(_, set)| set.has(A::PERMISSION)).map(|(org, _)| *org).collect();
            if orgs.is_empty() {
                return Err(Error::forbidden(
                    "forbidden",
                    format!(
                        "This needs the permission {}, which {} does not hold. An administrator can grant a role that has it.",
                        A::PERMISSION.code(),
                        self.actor.name
                    ),
                ));
            }
            Scope::Orgs(orgs)
        };
        Ok(Permit { caller: self.clone(), scope, action: PhantomData })
    }
}

/// Something one may be allowed to do; the types are in [`actions`].
pub trait Action: Send + Sync + 'static {
    const PERMISSION: Permission;
}

/// Where a permit counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    Site,
    /// Sorted.
    Orgs(Vec<OrgId>),
}

/// The proof that a caller may do `A`, and where.
pub struct Permit<A> {
    caller: Arc<Caller>,
    scope: Scope,
    action: PhantomData<fn() -> A>,
}

impl<A> Clone for Permit<A> {
    fn clone(&self) -> Self {
        Self { caller: self.caller.clone(), scope: self.scope.clone(), action: PhantomData }
    }
}

impl<A: Action> Permit<A> {
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The caller to ask for another permit of.
    pub fn caller_arc(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Where it counts; two callers of one scope see the same.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub fn covers(&self, org: OrgId) -> bool {
        match &self.scope {
            Scope::Site => true,
            Scope::Orgs(orgs) => orgs.binary_search(&org).is_ok(),
        }
    }

    /// # Errors
    /// `not_found` when the permit is not over `org`: what you may not see is not there.
    pub fn require(&self, org: OrgId, what: &str) -> Result<()> {
        if self.covers(org) { Ok(()) } else { Err(Error::not_found(what)) }
    }

    /// # Errors
    /// `forbidden` when the permit is over single organisations only.
    pub fn require_site(&self) -> Result<()> {
        match self.scope {
            Scope::Site => Ok(()),
            Scope::Orgs(_) => Err(Error::forbidden(
                "forbidden",
                format!(
                    "{} over the whole site is needed for this; yours is over single organisations.",
                    A::PERMISSION.code()
                ),
            )),
        }
    }

    /// The only organisation the permit is over, when there is exactly one.
    pub fn only_org(&self) -> Option<OrgId> {
        match &self.scope {
            Scope::Orgs(orgs) if orgs.len() == 1 => orgs.first().copied(),
            _ => None,
        }
    }

    /// An SQL condition that holds for rows of the organisations covered; pushes what it compares with onto `params`.
    pub fn sql(&self, column: &str, params: &mut Vec<Val>) -> String {
        match &self.scope {
            Scope::Site => "TRUE".to_owned(),
            Scope::Orgs(orgs) => {
                let places: Vec<String> = orgs
                    .iter()
                    .map(|org| {
                        params.push(Val::I64(org.0));
                        format!("${}", params.len())
                    })
                    .collect();
                format!("{column} IN ({})", places.join(", "))
            }
        }
    }
}

//! Who is calling, what they may do, and the proof of it that the rest of the product asks for.
//!
//! Invariant: a [`Permit`] exists only where `policy` granted the action, and it knows over which organisations and teams;
//! SQL that writes asks for one. Who a token belongs to is `accounts`' business.

pub mod actions;
pub mod grants;
pub mod policy;
mod via;

use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use grants::{Closing, Grants, Place, SECOND_FACTOR_NEEDED, SSO_NEEDED};
pub use policy::{Permission, PermissionSet, Role, TeamRole};
pub use via::{TokenUsed, Via};

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
    /// A service account: a program's, of one organisation.
    Service,
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
    pub const ALL: [Self; 6] = [Self::User, Self::Service, Self::Operator, Self::Agent, Self::System, Self::Anonymous];

    pub fn code(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
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

/// Begins the name of a plugin that acts.
const PLUGIN: &str = "plugin ";

/// Whether an actor of this kind, by its code, and name is one that [`Caller::plugin`] made.
pub fn is_plugin(kind: &str, name: &str) -> bool {
    kind == ActorKind::System.code() && name.starts_with(PLUGIN)
}

/// Who is calling: an actor, what they hold, and where from.
#[derive(Debug, Clone)]
pub struct Caller {
    pub actor: Actor,
    /// The person whose account it is; null for the operator and the product.
    pub user: Option<UserId>,
    pub via: Via,
    /// Whether two factors were proven, or a passkey; for a token, whether its owner has a second factor.
    pub strong: bool,
    /// Whether the account holds roles that the session does not open: an organisation's identity provider opened it.
    pub held_back: bool,
    /// Whether an identity provider opened the session.
    pub sso: bool,
    /// What counts now: the account's roles, less what a token is not for.
    pub grants: Arc<Grants>,
    pub origin: Origin,
}

impl Caller {
    /// The product acting by itself, with every right.
    pub fn system() -> Self {
        Self {
            actor: Actor::system(),
            user: None,
            via: Via::Nothing,
            strong: true,
            held_back: false,
            sso: false,
            grants: Arc::new(Grants::all()),
            origin: Origin::default(),
        }
    }

    /// A plugin at work in an organisation, with these rights there and nowhere else.
    pub fn plugin(slug: &str, org: OrgId, rights: PermissionSet) -> Self {
        let name = format!("{PLUGIN}{slug}");
        Self {
            actor: Actor { kind: ActorKind::System, id: None, name },
            grants: Arc::new(Grants::of([(rights, Place::Org(org))])),
            ..Self::system()
        }
    }

    /// Whether [`Caller::plugin`] made it.
    pub fn is_plugin(&self) -> bool {
        is_plugin(self.actor.kind.code(), &self.actor.name)
    }

    /// The same in the name of a person or program, whose share of quotas counts and whom the trail names.
    #[must_use]
    pub fn on_behalf_of(mut self, user: Option<UserId>) -> Self {
        self.user = user;
        self.actor.id = user.map(|user| user.0);
        self
    }

    /// A permit for `A`, or why not.
    ///
    /// # Errors
    /// `forbidden` when no role of the caller holds the permission anywhere.
    pub fn permit<A: Action>(self: &Arc<Self>) -> Result<Permit<A>> {
        if self.grants.anywhere(A::PERMISSION) {
            return Ok(Permit { caller: self.clone(), action: PhantomData });
        }
        if let Some(closed) = self.grants.why_not(A::PERMISSION) {
            return Err(closed);
        }
        Err(Error::forbidden(
            "forbidden",
            format!(
                "This needs the permission {}, which {} does not hold. An administrator can grant a role that has it.",
                A::PERMISSION.code(),
                self.actor.name
            ),
        ))
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
    Within {
        /// Whole organisations. Sorted.
        orgs: Vec<OrgId>,
        /// Teams of other organisations than those. Sorted.
        teams: Vec<TeamId>,
    },
}

/// The proof that a caller may do `A`, and where.
pub struct Permit<A> {
    caller: Arc<Caller>,
    action: PhantomData<fn() -> A>,
}

impl<A> Clone for Permit<A> {
    fn clone(&self) -> Self {
        Self { caller: self.caller.clone(), action: PhantomData }
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
    pub fn scope(&self) -> Scope {
        let grants = &self.caller.grants;
        if grants.site.has(A::PERMISSION) {
            return Scope::Site;
        }
        let orgs = grants.orgs.iter().filter(|(_, set)| set.has(A::PERMISSION)).map(|(org, _)| *org).collect();
        let alone = |(_, org, set): &&(TeamId, OrgId, PermissionSet)| set.has(A::PERMISSION) && !self.covers(*org);
        Scope::Within { orgs, teams: grants.teams.iter().filter(alone).map(|(team, ..)| *team).collect() }
    }

    /// Whether it counts at `place`, by a role held there or around it.
    pub fn covers_place(&self, place: Place) -> bool {
        self.caller.grants.at(place).has(A::PERMISSION)
    }

    /// Whether it counts over the whole of `org`.
    pub fn covers(&self, org: OrgId) -> bool {
        self.covers_place(Place::Org(org))
    }

    /// Whether it counts anywhere in `org`, be it in one team.
    pub fn reaches(&self, org: OrgId) -> bool {
        let grants = &self.caller.grants;
        self.covers(org) || grants.teams.iter().any(|(_, of, set)| *of == org && set.has(A::PERMISSION))
    }

    /// # Errors
    /// `not_found` when the permit is not over `place`: what you may not see is not there.
    pub fn require_place(&self, place: Place, what: &str) -> Result<()> {
        if self.covers_place(place) {
            return Ok(());
        }
        // One's own organisation is no secret, also while it is closed.
        let closed = place.org().and_then(|org| self.caller.grants.why_closed(org));
        Err(closed.unwrap_or_else(|| Error::not_found(what)))
    }

    /// # Errors
    /// `not_found` when the permit is not over the whole of `org`: what you may not see is not there.
    pub fn require(&self, org: OrgId, what: &str) -> Result<()> {
        self.require_place(Place::Org(org), what)
    }

    /// # Errors
    /// `forbidden` when the permit is over single organisations or teams only.
    pub fn require_site(&self) -> Result<()> {
        if self.covers_place(Place::Site) {
            return Ok(());
        }
        Err(Error::forbidden(
            "forbidden",
            format!(
                "{} over the whole site is needed for this; yours is over single organisations.",
                A::PERMISSION.code()
            ),
        ))
    }

    /// The only place the permit is over, a whole organisation or a team, when there is exactly one.
    pub fn only_place(&self) -> Option<Place> {
        let Scope::Within { orgs, teams } = self.scope() else { return None };
        match (orgs.as_slice(), teams.as_slice()) {
            ([org], []) => Some(Place::Org(*org)),
            ([], [team]) => {
                let known = self.caller.grants.teams.iter().find(|entry| entry.0 == *team);
                known.map(|(team, org, _)| Place::Team(*org, *team))
            }
            _ => None,
        }
    }

    /// An SQL condition that holds for rows of the organisations covered as a whole; pushes what it compares with onto
    /// `params`.
    pub fn sql(&self, column: &str, params: &mut Vec<Val>) -> String {
        match self.scope() {
            Scope::Site => "TRUE".to_owned(),
            Scope::Within { orgs, .. } => among(column, orgs.iter().map(|org| org.0), params),
        }
    }

    /// The same for rows that may belong to a team: those of the organisations covered, and of the teams.
    pub fn sql_teamed(&self, org: &str, team: &str, params: &mut Vec<Val>) -> String {
        match self.scope() {
            Scope::Site => "TRUE".to_owned(),
            Scope::Within { orgs, teams } if teams.is_empty() => among(org, orgs.iter().map(|org| org.0), params),
            Scope::Within { orgs, teams } => {
                let orgs = among(org, orgs.iter().map(|org| org.0), params);
                format!("({orgs} OR {})", among(team, teams.iter().map(|team| team.0), params))
            }
        }
    }
}

/// `column IN (..)`; of nothing, no row.
fn among(column: &str, ids: impl Iterator<Item = i64>, params: &mut Vec<Val>) -> String {
    let places: Vec<String> = ids
        .map(|id| {
            params.push(Val::I64(id));
            format!("${}", params.len())
        })
        .collect();
    if places.is_empty() { "FALSE".to_owned() } else { format!("{column} IN ({})", places.join(", ")) }
}

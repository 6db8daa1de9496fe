//! What somebody holds, compiled into bit sets.
//!
//! Invariant: [`Grants`] is the union of roles; nothing takes away. It is made when a caller is looked up, so that a check
//! is two or three bit tests and a binary search, whatever the roles are and however many.

use super::policy::{LIFTED, Permission, PermissionSet, Role};
use super::{OrgId, TeamId};
use crate::base::error::Error;

/// Where a role is held, or a thing belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Site,
    /// A whole organisation; for a thing: of no team in it.
    Org(OrgId),
    /// One team of an organisation.
    Team(OrgId, TeamId),
}

impl Place {
    /// The place as rows have it: a null team is the whole organisation, a null organisation the site.
    pub fn of(org: Option<i64>, team: Option<i64>) -> Self {
        match (org, team) {
            (None, _) => Self::Site,
            (Some(org), None) => Self::Org(OrgId(org)),
            (Some(org), Some(team)) => Self::Team(OrgId(org), TeamId(team)),
        }
    }

    pub fn org(self) -> Option<OrgId> {
        match self {
            Self::Site => None,
            Self::Org(org) | Self::Team(org, _) => Some(org),
        }
    }

    pub fn team(self) -> Option<TeamId> {
        match self {
            Self::Team(_, team) => Some(team),
            Self::Site | Self::Org(_) => None,
        }
    }
}

/// What somebody holds: permissions over the site, over organisations, and in single teams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    pub site: PermissionSet,
    /// Sorted by organisation, each once; with what roles held in its teams lift up to it.
    pub orgs: Vec<(OrgId, PermissionSet)>,
    /// Sorted by team, each once.
    pub teams: Vec<(TeamId, OrgId, PermissionSet)>,
    /// What is held somewhere.
    anywhere: PermissionSet,
    /// Where roles are held that do not count now.
    pub closed: Vec<Closed>,
}

/// A place in which what is held does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// None: the whole site.
    pub org: Option<OrgId>,
    /// What would count otherwise.
    pub permissions: PermissionSet,
    pub reason: Closing,
}

/// Why what is held does not count: its organisation is suspended, say, or asks for a second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Of the error that tells it.
    pub code: &'static str,
    /// A sentence: why, and what to do or whom to ask.
    pub why: String,
}

impl Closing {
    /// The organisation is suspended or to be deleted.
    pub fn suspended(why: String) -> Self {
        Self { code: "organization_suspended", why }
    }

    /// Two factors are asked for, and one was proven.
    pub fn second_factor(whose: &str) -> Self {
        let why = format!(
            "{whose} asks for a second factor, and you came without one. Set one up under My account, Security, or with \
             `resoftai user factor start`; who has one signs in with it."
        );
        Self { code: SECOND_FACTOR_NEEDED, why }
    }

    /// An identity provider is to open the session, and none did.
    pub fn sso(whose: &str) -> Self {
        let why = format!(
            "{whose} asks for single sign-on, and you came another way. Sign in with its identity provider; who cannot asks an \
             administrator of the site."
        );
        Self { code: SSO_NEEDED, why }
    }

    fn error(&self) -> Error {
        Error::forbidden(self.code, self.why.clone())
    }
}

/// The code of errors that a second factor would prevent.
pub const SECOND_FACTOR_NEEDED: &str = "second_factor_needed";
/// The code of what needs single sign-on.
pub const SSO_NEEDED: &str = "sso_needed";

impl Grants {
    /// The union of roles.
    pub fn of(roles: impl IntoIterator<Item = (PermissionSet, Place)>) -> Self {
        let mut grants = Self::default();
        for (set, place) in roles {
            grants.add(set, place);
        }
        grants
    }

    fn add(&mut self, set: PermissionSet, place: Place) {
        if set.is_empty() {
            return;
        }
        self.anywhere = self.anywhere.union(set);
        match place {
            Place::Site => self.site = self.site.union(set),
            Place::Org(org) => self.add_over(org, set),
            Place::Team(org, team) => {
                self.add_over(org, set.intersection(LIFTED));
                match self.teams.binary_search_by_key(&team, |entry| entry.0) {
                    Ok(at) => self.teams[at].2 = self.teams[at].2.union(set),
                    Err(at) => self.teams.insert(at, (team, org, set)),
                }
            }
        }
    }

    fn add_over(&mut self, org: OrgId, set: PermissionSet) {
        match self.orgs.binary_search_by_key(&org, |entry| entry.0) {
            Ok(at) => self.orgs[at].1 = self.orgs[at].1.union(set),
            Err(at) => self.orgs.insert(at, (org, set)),
        }
    }

    /// Everything held at a place: by a role there, in the organisation around it, or over the site.
    pub fn at(&self, place: Place) -> PermissionSet {
        let over = |org| match self.orgs.binary_search_by_key(&org, |entry| entry.0) {
            Ok(at) => self.site.union(self.orgs[at].1),
            Err(_) => self.site,
        };
        match place {
            Place::Site => self.site,
            Place::Org(org) => over(org),
            Place::Team(org, team) => match self.teams.binary_search_by_key(&team, |entry| entry.0) {
                // A team is of one organisation, so a row that says another is no team of the holder's.
                Ok(at) if self.teams[at].1 == org => over(org).union(self.teams[at].2),
                _ => over(org),
            },
        }
    }

    /// Adds what is held in an organisation, or, without one, over the site, and does not count.
    pub fn close(&mut self, org: Option<OrgId>, permissions: PermissionSet, reason: &Closing) {
        match self.closed.iter_mut().find(|closed| closed.org == org) {
            Some(closed) => closed.permissions = closed.permissions.union(permissions),
            None => self.closed.push(Closed { org, permissions, reason: reason.clone() }),
        }
    }

    /// What of this counts with a token: what `scopes` has too, and within `only` when one is named. Roles over the site then
    /// count in that organisation, and not over the site any more.
    #[must_use]
    pub fn limited_to(&self, scopes: PermissionSet, only: Option<OrgId>) -> Self {
        let within = |org: OrgId| only.is_none_or(|only| only == org);
        let mut limited = Self::default();
        match only {
            None => limited.add(self.site.intersection(scopes), Place::Site),
            Some(org) => limited.add(self.at(Place::Org(org)).intersection(scopes), Place::Org(org)),
        }
        for (org, set) in self.orgs.iter().filter(|(org, _)| within(*org)) {
            limited.add(set.intersection(scopes), Place::Org(*org));
        }
        for (team, org, set) in self.teams.iter().filter(|(_, org, _)| within(*org)) {
            limited.add(set.intersection(scopes), Place::Team(*org, *team));
        }
        for closed in self.closed.iter().filter(|closed| closed.org.is_none_or(within)) {
            let permissions = closed.permissions.intersection(scopes);
            if !permissions.is_empty() {
                limited.close(closed.org, permissions, &closed.reason);
            }
        }
        limited
    }

    /// Why nothing counts in an organisation in which roles are held; None where they count, or none are held.
    pub fn why_closed(&self, org: OrgId) -> Option<Error> {
        self.closed.iter().find(|closed| closed.org == Some(org)).map(|closed| closed.reason.error())
    }

    /// Why a permission does not count that would otherwise.
    pub fn why_not(&self, permission: Permission) -> Option<Error> {
        self.closed.iter().find(|closed| closed.permissions.has(permission)).map(|closed| closed.reason.error())
    }

    /// Everything that is held, wherever.
    pub fn held(&self) -> PermissionSet {
        self.anywhere
    }

    /// Whether the permission is held at all, wherever.
    pub fn anywhere(&self, permission: Permission) -> bool {
        self.anywhere.has(permission)
    }

    /// Whether every permission of `set` is held at `place`.
    pub fn hold_all(&self, place: Place, set: PermissionSet) -> bool {
        self.at(place).contains(set)
    }

    /// Everything everywhere: the local operator and the product itself.
    pub fn all() -> Self {
        Self::of([(Role::SuperAdmin.permissions(), Place::Site)])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::policy::CATALOGUE;

    /// Two organisations with two teams each.
    fn places() -> impl Iterator<Item = Place> {
        let teams = (1..=4).map(|team| Place::Team(OrgId(1 + (team - 1) / 2), TeamId(team)));
        [Place::Site, Place::Org(OrgId(1)), Place::Org(OrgId(2))].into_iter().chain(teams)
    }

    /// The policy in words: whether a role held at `held` counts at `asked`.
    fn counts(permission: Permission, held: Place, asked: Place) -> bool {
        match (held, asked) {
            (Place::Site, _) => true,
            (Place::Org(mine), _) => asked.org() == Some(mine),
            (Place::Team(_, mine), Place::Team(_, team)) if mine == team => true,
            // Lifted up to the organisation, and so down to its other teams.
            (Place::Team(mine, _), _) => LIFTED.has(permission) && asked.org() == Some(mine),
        }
    }

    /// Roles out of numbers: the bits are permissions, the index is a place of [`places`].
    fn roles(given: Vec<(u32, usize)>) -> Vec<(PermissionSet, Place)> {
        let places: Vec<Place> = places().collect();
        given.into_iter().map(|(bits, at)| (set(bits), places[at])).collect()
    }

    fn set(bits: u32) -> PermissionSet {
        let held = CATALOGUE.iter().filter(|(permission, ..)| bits >> (*permission as u8) & 1 == 1);
        PermissionSet::of(&held.map(|(permission, ..)| *permission).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn a_token_allows_what_both_its_owner_and_its_limits_do(
            held in proptest::collection::vec((any::<u32>(), 0..7_usize), 0..12),
            scopes in any::<u32>(),
            only in proptest::option::of(1..4_i64),
            shut in proptest::option::of(1..3_i64),
        ) {
            let (scopes, only) = (set(scopes), only.map(OrgId));
            let (shut, open): (Vec<_>, Vec<_>) =
                roles(held).into_iter().partition(|(_, place)| place.org().map(|org| org.0) == shut && shut.is_some());
            let mut owner = Grants::of(open);
            for (set, place) in shut {
                owner.close(place.org(), set, &Closing::suspended("It is suspended.".to_owned()));
            }
            let limited = owner.limited_to(scopes, only);
            for asked in places() {
                let inside = only.is_none() || asked.org() == only;
                let wanted = if inside { owner.at(asked).intersection(scopes) } else { PermissionSet::default() };
                prop_assert_eq!(limited.at(asked), wanted, "at {:?}", asked);
            }
            for (permission, code, _) in CATALOGUE {
                let somewhere = places().any(|place| limited.at(place).has(permission));
                // A role over the site counts in the organisation named, also when nothing else is known of it.
                let named = only.is_some_and(|org| limited.at(Place::Org(org)).has(permission));
                prop_assert_eq!(limited.anywhere(permission), somewhere || named, "{} anywhere", code);
            }
            for closed in &limited.closed {
                let known = owner.closed.iter().find(|known| known.org == closed.org).unwrap();
                prop_assert!(known.permissions.contains(closed.permissions) && scopes.contains(closed.permissions));
                prop_assert!(only.is_none() || closed.org == only);
            }
            // Limits are for good: asking for more again gives nothing.
            let everything = Role::SuperAdmin.permissions();
            prop_assert_eq!(&limited.limited_to(everything, None), &limited);
        }

        #[test]
        fn nobody_holds_more_or_less_than_the_policy_says(
            held in proptest::collection::vec((any::<u32>(), 0..7_usize), 0..12),
        ) {
            let (places, roles): (Vec<Place>, _) = (places().collect(), roles(held));
            let grants = Grants::of(roles.iter().copied());
            for (permission, code, _) in CATALOGUE {
                let anywhere = roles.iter().any(|(set, _)| set.has(permission));
                prop_assert_eq!(grants.anywhere(permission), anywhere, "{} anywhere", code);
                for asked in &places {
                    let wanted = roles.iter().any(|(set, held)| set.has(permission) && counts(permission, *held, *asked));
                    prop_assert_eq!(grants.at(*asked).has(permission), wanted, "{} at {:?}", code, asked);
                }
            }
        }
    }

    #[test]
    fn a_team_of_another_organisation_is_no_team_of_ones_own() {
        let grants = Grants::of([(Role::TeamAdmin.permissions(), Place::Team(OrgId(1), TeamId(5)))]);
        assert!(grants.at(Place::Team(OrgId(1), TeamId(5))).has(Permission::ProjectRead));
        assert!(grants.at(Place::Team(OrgId(2), TeamId(5))).is_empty());
        assert!(!grants.at(Place::Org(OrgId(1))).has(Permission::OrganizationManage));
    }
}

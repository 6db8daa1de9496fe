//! Searching the trail: what may be asked for, and how each question is put to an index.
//!
//! Invariant: the cost of a page does not depend on how long the trail is. A search goes down one index (newest first, by
//! time and then id), narrowed by one filter; the other filters look at each entry that passes, and at most [`LOOKS`] of
//! them a call. What is searched as of one organisation touches no other's entries.

use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{AuditAction, AuditEntry};
use crate::access::Scope;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Val;

/// Entries a call looks at, at most (one page more when it goes over many organisations).
pub const LOOKS: usize = 5_000;
/// The longest text a search takes, in bytes.
const LONGEST: usize = 200;

/// What a listing may be narrowed to; absent means any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    pub organization_id: Option<i64>,
    pub action: Option<AuditAction>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub actor_id: Option<i64>,
    pub actor: Option<Name>,
    pub success: Option<bool>,
    pub request_id: Option<String>,
    /// The first moment.
    pub from: Option<Time>,
    /// The moment after the last.
    pub to: Option<Time>,
    pub text: Option<Text>,
}

/// An actor's name, and the accounts that have it now: the person's (0 for none: then as much is looked at), and those of
/// programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Name {
    /// Not kept with the record of an export: the account says whose it is.
    #[serde(skip)]
    pub name: String,
    pub accounts: Vec<i64>,
}

/// A text to look for, whatever its case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

/// It may name somebody, so the record of an export only says that there was one.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("given")
    }
}

impl Text {
    /// # Errors
    /// `invalid_search` for an empty or overlong one.
    pub fn new(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > LONGEST {
            let message = format!("q has {} bytes; it must have between 1 and {LONGEST}.", text.len());
            return Err(Error::invalid("invalid_search", message).field("q"));
        }
        Ok(Self(text.to_lowercase()))
    }

    pub fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.0)
    }
}

/// Where an entry stands in the order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub at: Time,
    pub id: i64,
}

impl Place {
    /// Before the newest.
    pub const TOP: Self = Self { at: Time(i64::MAX), id: i64::MAX };

    pub fn of(entry: &AuditEntry) -> Self {
        Self { at: entry.at, id: entry.id }
    }

    /// As a list's cursor.
    pub fn cursor(self) -> String {
        format!("{}.{}", self.at.0, self.id)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(cursor: &str) -> Result<Self> {
        let parse = || {
            let (at, id) = cursor.split_once('.')?;
            Some(Self { at: Time(at.parse().ok()?), id: id.parse().ok()? })
        };
        parse().ok_or_else(|| {
            Error::invalid("invalid_cursor", "This cursor is not one a list gave. Start again without a cursor.")
                .field("cursor")
        })
    }
}

/// What narrows the way down an index.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Narrow {
    Request(String),
    Resource(String, String),
    Actor(i64),
    /// Actors who are nobody's account; their names are looked at.
    Nobody,
    Failures,
    Action(AuditAction),
    Nothing,
}

/// One way down one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branch {
    org: Option<i64>,
    narrow: Narrow,
    /// Who the actor must be; none for anybody.
    actor: Option<Who>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Account(i64),
    /// Without an account, under this name.
    Named(String),
}

impl Branch {
    /// The ways that together find everything `filter` asks for within `scope`.
    pub fn all(scope: &Scope, filter: &Filter) -> Vec<Self> {
        let orgs: Vec<Option<i64>> = match (scope, filter.organization_id) {
            (Scope::Site, org) => vec![org],
            (Scope::Within { orgs, .. }, None) => orgs.iter().map(|org| Some(org.0)).collect(),
            (Scope::Within { orgs, .. }, Some(asked)) => {
                orgs.iter().filter(|org| org.0 == asked).map(|org| Some(org.0)).collect()
            }
        };
        let actors: Vec<Option<Who>> = match (filter.actor_id, &filter.actor) {
            (None, None) => vec![None],
            (Some(id), None) => vec![Some(Who::Account(id))],
            (Some(id), Some(name)) if !name.accounts.contains(&id) => Vec::new(),
            (Some(id), Some(_)) => vec![Some(Who::Account(id))],
            (None, Some(Name { name, accounts })) => {
                let accounts = accounts.iter().map(|id| Some(Who::Account(*id)));
                accounts.chain([Some(Who::Named(name.clone()))]).collect()
            }
        };
        let ways = |org: Option<i64>| {
            actors.iter().map(move |actor| Self {
                org,
                narrow: narrow(filter, org, actor.as_ref()),
                actor: actor.clone(),
            })
        };
        orgs.into_iter().flat_map(ways).collect()
    }

    /// The conditions an index answers, each with its value if it has one.
    pub fn conditions(&self) -> Vec<(&'static str, Option<Val>)> {
        let mut conditions = Vec::new();
        if let Some(org) = self.org {
            conditions.push(("organization_id =", Some(Val::I64(org))));
        }
        match &self.narrow {
            Narrow::Request(id) => conditions.push(("request_id =", Some(id.into()))),
            Narrow::Resource(kind, id) => {
                conditions.push(("resource_type =", Some(kind.into())));
                conditions.push(("resource_id =", Some(id.into())));
            }
            Narrow::Actor(id) => conditions.push(("actor_id =", Some(Val::I64(*id)))),
            Narrow::Nobody => conditions.push(("actor_id IS NULL", None)),
            Narrow::Failures => conditions.push(("success = FALSE", None)),
            Narrow::Action(action) => conditions.push(("action =", Some(action.code().into()))),
            Narrow::Nothing => {}
        }
        conditions
    }

    /// Whether an entry fits, as far as can be told without opening it.
    pub fn fits(&self, filter: &Filter, entry: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|it| value == Some(it));
        let actor = match &self.actor {
            None => true,
            Some(Who::Account(id)) => entry.actor.id == Some(*id),
            Some(Who::Named(_)) => entry.actor.id.is_none(),
        };
        actor
            && filter.action.is_none_or(|action| action == entry.action)
            && filter.success.is_none_or(|success| success == entry.success)
            && is(&filter.resource_type, Some(&entry.resource_type))
            && is(&filter.resource_id, entry.resource_id.as_deref())
            && is(&filter.request_id, entry.request_id.as_deref())
    }

    /// Whether an opened entry has the name that is looked for.
    pub fn names(&self, entry: &AuditEntry) -> bool {
        match &self.actor {
            Some(Who::Named(name)) => entry.actor.name == *name,
            _ => true,
        }
    }
}

/// The filter that leaves the fewest entries to look at.
fn narrow(filter: &Filter, org: Option<i64>, actor: Option<&Who>) -> Narrow {
    if let Some(id) = &filter.request_id {
        return Narrow::Request(id.clone());
    }
    if let (Some(kind), Some(id)) = (&filter.resource_type, &filter.resource_id) {
        return Narrow::Resource(kind.clone(), id.clone());
    }
    match (actor, filter.success, filter.action) {
        (Some(Who::Account(id)), ..) => Narrow::Actor(*id),
        (_, Some(false), _) => Narrow::Failures,
        (Some(Who::Named(_)), ..) => Narrow::Nobody,
        // Over the whole site there is no index of actions: they are looked at.
        (_, _, Some(action)) if org.is_some() => Narrow::Action(action),
        _ => Narrow::Nothing,
    }
}

/// What one way down found.
pub(super) struct Scanned {
    pub found: Vec<AuditEntry>,
    /// The last place looked at; none when there is nothing further down.
    pub reached: Option<Place>,
}

/// A part of a search.
#[derive(Debug)]
pub struct Found {
    pub entries: Vec<AuditEntry>,
    /// Where to go on; none at the end.
    pub next: Option<Place>,
}

/// One listing out of several ways down: as far as all of them have come.
pub(super) fn merge(scanned: Vec<Scanned>, limit: usize) -> Found {
    let reached = scanned.iter().filter_map(|one| one.reached).max();
    let mut entries: Vec<AuditEntry> = scanned.into_iter().flat_map(|one| one.found).collect();
    entries.retain(|entry| reached.is_none_or(|reached| Place::of(entry) >= reached));
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(Place::of(entry)));
    if entries.len() <= limit {
        return Found { entries, next: reached };
    }
    entries.truncate(limit);
    let next = entries.last().map(Place::of);
    Found { entries, next }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::access::OrgId;

    fn ways(scope: &Scope, filter: &Filter) -> Vec<Vec<&'static str>> {
        let names = |branch: &Branch| branch.conditions().iter().map(|(condition, _)| *condition).collect();
        Branch::all(scope, filter).iter().map(names).collect()
    }

    #[test]
    fn every_search_goes_down_an_index() {
        let (site, two) = (Scope::Site, Scope::Within { orgs: vec![OrgId(1), OrgId(2)], teams: Vec::new() });
        let all = Filter::default();
        assert_eq!(ways(&site, &all), [Vec::<&str>::new()]);
        assert_eq!(ways(&two, &all), [["organization_id ="], ["organization_id ="]]);
        let failures = Filter { success: Some(false), action: Some(AuditAction::Login), ..all.clone() };
        assert_eq!(ways(&site, &failures), [["success = FALSE"]]);
        let logins = Filter { action: Some(AuditAction::Login), ..all.clone() };
        assert_eq!(ways(&site, &logins), [Vec::<&str>::new()]);
        assert_eq!(ways(&two, &logins)[0], ["organization_id =", "action ="]);
        let of_one = Filter { organization_id: Some(2), actor_id: Some(5), ..all.clone() };
        assert_eq!(ways(&two, &of_one), [["organization_id =", "actor_id ="]]);
        let elsewhere = Filter { organization_id: Some(3), ..all.clone() };
        assert!(ways(&two, &elsewhere).is_empty());
        let named = Filter { actor: Some(Name { name: "root".into(), accounts: vec![0] }), ..all };
        assert_eq!(ways(&site, &named), [["actor_id ="], ["actor_id IS NULL"]]);
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let place = Place { at: Time(-5), id: 7 };
        assert_eq!(place.cursor().parse::<Place>().unwrap(), place);
        for wrong in ["", "1", "1.", ".1", "1.2.3", "x.1", "9223372036854775808.1"] {
            assert_eq!(wrong.parse::<Place>().unwrap_err().code(), "invalid_cursor", "{wrong}");
        }
    }

    #[test]
    fn text_is_found_in_any_case() {
        assert!(Text::new("ÄRGER").unwrap().is_in("viel Ärger"));
        assert!(!Text::new("x").unwrap().is_in("viel Ärger"));
        assert!(Text::new("").is_err() && Text::new(&"x".repeat(201)).is_err());
    }
}

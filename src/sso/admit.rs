//! Letting somebody in whom a provider vouched for: their account, what their groups give, their session.
//!
//! Invariant: it is one write. An account is found by its link alone; an address that another account has is no link.

use std::collections::BTreeSet;

use super::begun::Begun;
use super::provider::Provider;
use super::{Person, Sso, refused, store};
use crate::access::actions::UserManage;
use crate::access::{Caller, OrgId, Origin, Place, UserId};
use crate::accounts::grants::{self, FoundRole};
use crate::accounts::routes::sign_in::{How, Opened, open};
use crate::accounts::store::NewUser;
use crate::accounts::{self, User, event};
use crate::audit::{self, AuditAction};
use crate::base::clock::Time;
use crate::base::email;
use crate::base::error::{Error, Kind, Result};
use crate::db::Tx;
use crate::hooks::Hook;

/// No password has this hash.
const NO_PASSWORD: &str = "!";
const SUBJECT_MAX: usize = 1000;
const USERNAME_MAX: usize = 50;
/// How many names are tried, each with the next number.
const TRIES: u32 = 1000;

/// What came of a sign-in that holds.
pub(super) enum Admitted {
    In(Opened),
    /// Somebody who was signed in linked their account.
    Linked,
}

impl Sso {
    /// The write of a sign-in: `spent` is the digest of what the browser kept.
    pub(super) fn admit(
        &self,
        tx: &mut Tx<'_>,
        provider: &Provider,
        (begun, spent): (&Begun, &str),
        person: &Person,
        now: Time,
        origin: &Origin,
    ) -> Result<Admitted> {
        store::spend(tx, spent, begun.expires_at, now)?;
        for once in &person.once {
            store::spend(tx, once, begun.expires_at, now)?;
        }
        // It may have been switched off, or set otherwise, since the answer was looked at.
        let still = store::open(tx, &provider.slug)?.filter(|now| now.id == provider.id);
        if still.is_none_or(|now| now.updated_at != provider.updated_at) {
            return Err(refused("the provider was changed or switched off meanwhile"));
        }
        if person.subject.is_empty() || person.subject.len() > SUBJECT_MAX {
            return Err(refused("what names the person has more than 1000 bytes, or none"));
        }
        let known = store::linked(tx, provider.id, &person.subject)?;
        if let Some(user) = begun.link {
            if known.is_some() {
                let message = "the person at the identity provider is linked to an account already";
                return Err(Error::new(Kind::Conflict, "sso_linked", message));
            }
            return self.link(tx, provider, UserId(user), person, now, origin);
        }
        let (id, first) = match known {
            Some(id) => (id, false),
            None => (self.provision(tx, provider, person, now, origin)?, true),
        };
        self.give_roles(tx, provider, id, person, first, (now, origin))?;
        let user = accounts::store::user(tx, id)?.filter(|user| user.is_active);
        let user =
            user.ok_or_else(|| Error::new(Kind::Unauthenticated, "sso_inactive", "the account is switched off"))?;
        store::used(tx, provider.id, id, now)?;
        let told = format!(" with {}", provider.name).into();
        let how = How { strong: provider.second_factor || person.strong, told };
        let opened = open(tx, &self.accounts, &user, &how, now, origin)?;
        let held_to = provider.organization_id.map(OrgId);
        accounts::sessions::store::came_through(tx, opened.session, provider.id, held_to)?;
        Ok(Admitted::In(opened))
    }

    fn link(
        &self,
        tx: &mut Tx<'_>,
        provider: &Provider,
        id: UserId,
        person: &Person,
        now: Time,
        origin: &Origin,
    ) -> Result<Admitted> {
        let user = accounts::store::user(tx, id)?.filter(|user| user.is_active);
        let user =
            user.ok_or_else(|| Error::new(Kind::Unauthenticated, "sso_inactive", "the account is switched off"))?;
        store::link(tx, provider.id, &person.subject, id, now)?;
        let text = format!("{} linked their account with {}", user.username, provider.name);
        audit::record_as(tx, now, &user.actor(), origin, &event(AuditAction::Update, &user, text))?;
        Ok(Admitted::Linked)
    }

    /// Makes the account of somebody who comes the first time.
    fn provision(
        &self,
        tx: &mut Tx<'_>,
        provider: &Provider,
        person: &Person,
        now: Time,
        origin: &Origin,
    ) -> Result<UserId> {
        if !provider.provision {
            let why = "nobody here is linked to this person, and the provider makes no accounts";
            return Err(Error::new(Kind::Unauthenticated, "sso_not_linked", why));
        }
        let address = person.email.clone().ok_or_else(|| refused("the provider gave no verified e-mail address"))?;
        email::check(&address, "email").map_err(|_| refused("the e-mail address the provider gave is none"))?;
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
        if !provider.domains.is_empty() && !provider.domains.contains(&domain) {
            return Err(refused(format!("the provider makes no accounts for addresses of {domain}")));
        }
        if accounts::store::user_by_email(tx, &address)?.is_some() {
            let why =
                "another account has the e-mail address; its owner signs in with it and links it under My account";
            return Err(Error::new(Kind::Unauthenticated, "sso_link_first", why));
        }
        let local = address.split('@').next().unwrap_or_default();
        let username = free_name(tx, person.username.as_deref().unwrap_or(local))?;
        let new = NewUser { username, email: address, password_hash: NO_PASSWORD.to_owned(), is_active: true };
        let permit = std::sync::Arc::new(Caller::system()).permit::<UserManage>()?;
        let id = accounts::store::insert(tx, &self.accounts, &permit, now, &new)?;
        store::link(tx, provider.id, &person.subject, id, now)?;
        let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        let text = format!("{} came with {} the first time", user.username, provider.name);
        audit::record_as(tx, now, &user.actor(), origin, &event(AuditAction::Create, &user, text).after(&user))?;
        self.accounts.tell(tx, Hook::UserRegister, id)?;
        Ok(id)
    }

    /// Gives the roles that the person's groups say and takes those they say no more. A role that holds more than the author
    /// of the mapping did then is not given, and the last owner stays one.
    fn give_roles(
        &self,
        tx: &mut Tx<'_>,
        provider: &Provider,
        id: UserId,
        person: &Person,
        first: bool,
        (now, origin): (Time, &Origin),
    ) -> Result<()> {
        let Some(org) = provider.organization_id.map(OrgId) else { return Ok(()) };
        let place = Place::Org(org);
        let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        let governed: BTreeSet<&String> = provider.roles.values().collect();
        let given = provider.roles.iter().filter(|(group, _)| person.groups.contains(group));
        let mut wanted: BTreeSet<&String> = given.map(|(_, role)| role).collect();
        if first && wanted.is_empty() {
            wanted.extend(&provider.default_role);
        }
        let mut changed = Vec::new();
        for code in &wanted {
            let Ok(role) = grants::store::find(tx, code, place) else { continue };
            if provider.roles_within.contains(role.permissions) && !holds(&user, code, place) {
                grants::store::give(tx, &self.accounts, now, id, &role, place, None)?;
                changed.push(format!("+{}", role.code));
            }
        }
        for code in governed.difference(&wanted).filter(|code| holds(&user, code, place)) {
            match take(tx, self, id, code, place) {
                Ok(()) => changed.push(format!("-{code}")),
                Err(error) if error.code() == "last_owner" => {}
                Err(error) => return Err(error),
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let text = format!("{} gave {} roles by their groups: {}", provider.name, user.username, changed.join(" "));
        let event = event(AuditAction::Update, &user, text).org(org);
        audit::record_as(tx, now, &user.actor(), origin, &event.before(&user.roles))
    }
}

fn holds(user: &User, code: &str, place: Place) -> bool {
    user.roles.iter().any(|grant| grant.role == *code && grant.place() == place)
}

fn take(tx: &mut Tx<'_>, room: &Sso, id: UserId, code: &str, place: Place) -> Result<()> {
    let Some(grant) = grants::store::id_of(tx, id, code, place)? else { return Ok(()) };
    let (_, held) = grants::store::by_id(tx, grant)?.ok_or_else(|| Error::not_found("role"))?;
    tx.savepoint(|tx| grants::store::take(tx, &room.accounts, grant, id, &held))
}

/// What the provider calls somebody, in the form of user names, with a number where it is taken.
fn free_name(tx: &mut Tx<'_>, given: &str) -> Result<String> {
    let base = plain_name(given);
    for number in 1..=TRIES {
        let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        if accounts::store::id_of_name(tx, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(refused(format!("{TRIES} accounts are called {base} already")))
}

/// ASCII letters, digits, dots, dashes and underscores, beginning with one of the first two; room for a number is left.
fn plain_name(given: &str) -> String {
    let local = given.split('@').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = local.chars().filter(|c| plain(*c)).take(USERNAME_MAX - 6).collect();
    let name = name.trim_start_matches(['.', '-', '_']);
    if name.len() < 2 { format!("user{name}") } else { name.to_owned() }
}

/// Checks that the author of a mapping may give all it gives.
///
/// # Errors
/// `unknown_role`, `role_above_yours`.
pub(super) fn found_roles<'a>(
    tx: &mut Tx<'_>,
    codes: impl IntoIterator<Item = &'a String>,
    org: OrgId,
) -> Result<Vec<FoundRole>> {
    codes.into_iter().map(|code| grants::store::find(tx, code, Place::Org(org))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::check_username;

    proptest::proptest! {
        #[test]
        fn whatever_a_provider_calls_somebody_becomes_a_user_name(given in ".{0,80}") {
            let numbered = format!("{}-1000", plain_name(&given));
            proptest::prop_assert!(check_username(&numbered).is_ok(), "{}", numbered);
        }
    }

    #[test]
    fn names_stay_what_they_are_where_they_can() {
        for (given, name) in [("alice", "alice"), ("alice@site.example", "alice"), ("-x", "userx"), ("Žofia", "ofia")]
        {
            assert_eq!(plain_name(given), name);
        }
    }
}

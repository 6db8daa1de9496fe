//! Which fields of an entry are sealed, with whose key, and how that is undone.
//!
//! Invariant: a field is sealed for its place (table, column, entry), so that no value passes for another; which fields
//! are is a mask beside them, so entries from before sealing stay readable. No SQL and no keys are kept here.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Event;
use crate::access::{Actor, ActorKind, UserId};
use crate::base::crypto::Key;
use crate::base::error::Result;

/// A column that may hold a sealed value. The order is that of the mask's bits and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    ActorName,
    IpAddress,
    UserAgent,
    Description,
    Before,
    After,
    TokenName,
}

impl Column {
    pub fn name(self) -> &'static str {
        match self {
            Self::ActorName => "actor_name",
            Self::IpAddress => "ip_address",
            Self::UserAgent => "user_agent",
            Self::Description => "description",
            Self::Before => "before_json",
            Self::After => "after_json",
            Self::TokenName => "token_name",
        }
    }

    fn bit(self) -> i64 {
        1 << self as u8
    }

    fn is_of_actor(self) -> bool {
        matches!(self, Self::ActorName | Self::IpAddress | Self::UserAgent | Self::TokenName)
    }

    /// Writes what the sealed value is bound to.
    fn place(self, entry: i64, place: &mut String) {
        place.clear();
        // A String takes everything.
        _ = write!(place, "audit_entries.{}.{entry}", self.name());
    }
}

/// Whose keys an entry is sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owners {
    /// Of the actor's name, where they called from and the token they used.
    pub actor: Option<UserId>,
    /// Of the words and the states.
    pub subject: Option<UserId>,
}

impl Owners {
    pub fn of(kind: ActorKind, actor: Option<i64>, subject: Option<UserId>) -> Self {
        // Whoever tried to sign in as somebody goes by that person's name.
        let named = if kind == ActorKind::Anonymous { subject } else { None };
        // A service account is no person.
        let acting = actor.filter(|_| kind != ActorKind::Service).map(UserId);
        Self { actor: acting.or(named), subject }
    }

    pub fn event(actor: &Actor, event: &Event) -> Self {
        Self::of(actor.kind, actor.id, event.person)
    }

    fn owner(self, column: Column) -> Option<UserId> {
        if column.is_of_actor() { self.actor } else { self.subject }
    }
}

/// Seals the fields of one entry and remembers which.
pub(super) struct Sealer<'a> {
    pub entry: i64,
    pub actor: Option<&'a Key>,
    pub subject: Option<&'a Key>,
    pub mask: i64,
}

impl Sealer<'_> {
    /// The text as it is stored: Base64 of the sealed bytes, or itself where there is no key.
    pub fn seal(&mut self, column: Column, text: &str) -> Result<String> {
        let Some(key) = (if column.is_of_actor() { self.actor } else { self.subject }) else {
            return Ok(text.to_owned());
        };
        self.mask |= column.bit();
        let mut place = String::new();
        column.place(self.entry, &mut place);
        Ok(STANDARD.encode(key.seal(&place, text.as_bytes())?))
    }

    pub fn seal_some(&mut self, column: Column, text: Option<&String>) -> Result<Option<String>> {
        text.map(|text| self.seal(column, text)).transpose()
    }
}

/// A field as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Plain,
    /// Its key was destroyed.
    Erased(UserId),
    /// It does not open with its key: the stored entry is not what was written.
    Broken,
}

/// Opens the fields of one entry.
pub(super) struct Opener {
    entry: i64,
    mask: i64,
    owners: Owners,
    /// None: destroyed, or not needed.
    actor: Option<Key>,
    /// None: destroyed, or not needed.
    subject: Option<Key>,
    /// Memory for all its fields.
    place: String,
    bytes: Vec<u8>,
}

impl Opener {
    pub fn new(entry: i64, mask: i64, owners: Owners, [actor, subject]: [Option<Key>; 2]) -> Self {
        Self { entry, mask, owners, actor, subject, place: String::new(), bytes: Vec::new() }
    }

    /// Puts what can be read in the place of `text`; anything else stays.
    pub fn open(&mut self, column: Column, text: &mut String) -> Field {
        if self.mask & column.bit() == 0 {
            return Field::Plain;
        }
        let Some(owner) = self.owners.owner(column) else { return Field::Broken };
        let Some(key) = (if column.is_of_actor() { &self.actor } else { &self.subject }) else {
            return Field::Erased(owner);
        };
        column.place(self.entry, &mut self.place);
        self.bytes.clear();
        let decoded = STANDARD.decode_vec(text.as_bytes(), &mut self.bytes).ok();
        let opened = decoded.and_then(|()| key.open_in_place(&self.place, &mut self.bytes).ok());
        let Some(plain) = opened.and_then(|plain| str::from_utf8(plain).ok()) else { return Field::Broken };
        // It is shorter than what it was sealed to.
        text.clear();
        text.push_str(plain);
        Field::Plain
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ALL: [Column; 7] = [
        Column::ActorName,
        Column::IpAddress,
        Column::UserAgent,
        Column::Description,
        Column::Before,
        Column::After,
        Column::TokenName,
    ];

    fn opener(mask: i64, keys: [Option<Key>; 2]) -> Opener {
        let owners = Owners::of(ActorKind::User, Some(1), Some(UserId(2)));
        Opener::new(7, mask, owners, keys)
    }

    /// What becomes of a text, and the text.
    fn opened(mut opener: Opener, column: Column, text: &str) -> (Field, String) {
        let mut text = text.to_owned();
        (opener.open(column, &mut text), text)
    }

    #[test]
    fn a_field_opens_with_its_key_in_its_place_only() {
        let (actor, subject) = (Key::random().unwrap(), Key::random().unwrap());
        let mut sealer = Sealer { entry: 7, actor: Some(&actor), subject: Some(&subject), mask: 0 };
        let sealed: Vec<_> = ALL.iter().map(|column| sealer.seal(*column, "Ada").unwrap()).collect();
        let mask = sealer.mask;
        assert_eq!(mask, 127);
        let whole = || opener(mask, [Some(actor.clone()), Some(subject.clone())]);
        for (column, text) in ALL.into_iter().zip(&sealed) {
            assert_eq!(opened(whole(), column, text), (Field::Plain, "Ada".to_owned()));
            let owner = if column.is_of_actor() { UserId(1) } else { UserId(2) };
            assert_eq!(opened(opener(mask, [None, None]), column, text), (Field::Erased(owner), text.clone()));
            for other in ALL.into_iter().filter(|other| *other != column) {
                let passed = opened(whole(), other, text);
                assert_eq!(passed, (Field::Broken, text.clone()), "{column:?} passed for {other:?}");
            }
            let elsewhere = Opener { entry: 8, ..whole() };
            assert_eq!(opened(elsewhere, column, text).0, Field::Broken);
        }
    }

    #[test]
    fn a_field_without_a_key_stays_as_it_is() {
        let subject = Key::random().unwrap();
        let mut sealer = Sealer { entry: 7, actor: None, subject: Some(&subject), mask: 0 };
        assert_eq!(sealer.seal(Column::ActorName, "root").unwrap(), "root");
        assert_ne!(sealer.seal(Column::Description, "Made Ada developer").unwrap(), "Made Ada developer");
        assert_eq!(sealer.mask, Column::Description.bit());
        assert_eq!(
            opened(opener(sealer.mask, [None, None]), Column::ActorName, "root"),
            (Field::Plain, "root".to_owned())
        );
    }

    #[test]
    fn who_tried_to_sign_in_as_somebody_is_sealed_with_their_key() {
        let owners = Owners::of(ActorKind::Anonymous, None, Some(UserId(2)));
        assert_eq!(owners, Owners { actor: Some(UserId(2)), subject: Some(UserId(2)) });
        let program = Owners::of(ActorKind::Service, Some(3), Some(UserId(2)));
        assert_eq!(program, Owners { actor: None, subject: Some(UserId(2)) }, "a program is no person");
        let operator = Owners::of(ActorKind::Operator, None, Some(UserId(2)));
        assert_eq!(operator, Owners { actor: None, subject: Some(UserId(2)) });
    }
}

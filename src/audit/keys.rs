//! A key for each person, with which the trail's personal fields are sealed.
//!
//! Invariant: a person has one key, made with the first entry that needs it; once destroyed it never comes back, and what
//! is written about them later is sealed with a key nobody keeps.
//!
//! What this protects: after [`destroy`] nobody reads what was sealed, the operator of the database included, while the
//! entries stay byte for byte what was hashed. What it does not: until then the keys lie beside the entries, so who can
//! read the database can read the trail; and copies made before, in backups or a write-ahead log, hold the key still.

use std::collections::HashMap;

use super::store;
use crate::access::UserId;
use crate::base::clock::Time;
use crate::base::crypto::Key;
use crate::base::error::Result;
use crate::db::{DbError, Tx};

/// Destroys a person's key for good. False: it was destroyed before.
///
/// # Errors
/// When the database fails.
pub fn destroy(tx: &mut Tx<'_>, person: UserId, at: Time) -> Result<bool> {
    Ok(store::destroy_key(tx, person, at)?)
}

/// The key to seal with.
pub(super) fn to_seal(tx: &mut Tx<'_>, person: UserId, at: Time) -> Result<Key> {
    match store::key(tx, person)? {
        Some(Some(key)) => Ok(key),
        Some(None) => Key::random(),
        None => {
            let key = Key::random()?;
            store::insert_key(tx, person, &key, at)?;
            Ok(key)
        }
    }
}

/// Keys already looked up, within one transaction.
#[derive(Default)]
pub(super) struct Ring(HashMap<UserId, Option<Key>>);

impl Ring {
    /// The key to open with; none when it was destroyed.
    pub fn get(&mut self, tx: &mut Tx<'_>, person: UserId) -> Result<Option<Key>, DbError> {
        if let Some(known) = self.0.get(&person) {
            return Ok(known.clone());
        }
        let key = store::key(tx, person)?.flatten();
        self.0.insert(person, key.clone());
        Ok(key)
    }
}

//! What was used, by whom and for what: one record a model call, and sums by day, person, project and model.
//!
//! Invariant: sums are written in the transaction that counts the use. They grow by a row for each different person,
//! project and model of a day, not by call.

mod question;
mod routes;
mod store;

use std::collections::BTreeMap;

use jiff::civil::Date;

pub(super) use routes::routes;

use super::book::Purse;
use super::rule::Owner;
use super::{Resource, Usage};
use crate::access::OrgId;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;

/// The most that is used or asked for in one piece.
const MOST_AMOUNT: i64 = 1 << 40;

/// # Errors
/// `invalid_amount`.
pub(super) fn checked_amount(amount: i64) -> Result<i64> {
    if (1..=MOST_AMOUNT).contains(&amount) {
        return Ok(amount);
    }
    let sentence = format!("amount is {amount}; it must be from 1 to {MOST_AMOUNT}.");
    Err(Error::invalid("invalid_amount", sentence).field("amount"))
}

/// A row of the sums; 0 and the empty text where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    org: OrgId,
    resource: Resource,
    /// Of the site's time zone.
    day: Date,
    user: i64,
    project: i64,
    model: String,
}

/// Sums that wait to be written together.
#[derive(Default)]
pub(super) struct Days {
    sums: BTreeMap<Key, (i64, i64)>,
}

impl Days {
    pub fn add(&mut self, purse: &Purse, usage: Option<&Usage>, amount: i64, records: i64) {
        let user = usage.map_or(purse.owner.person, |usage| usage.user);
        let key = Key {
            org: purse.owner.org,
            resource: purse.resource,
            day: purse.day,
            user: user.map_or(0, |user| user.0),
            project: usage.and_then(|usage| usage.project).unwrap_or(0),
            model: usage.map(|usage| usage.model.clone()).unwrap_or_default(),
        };
        let sum = self.sums.entry(key).or_default();
        *sum = (sum.0 + amount, sum.1 + records);
    }

    pub fn write(&self, tx: &mut Tx<'_>) -> Result<()> {
        self.sums.iter().try_for_each(|(key, (amount, records))| store::add(tx, key, *amount, *records))
    }
}

/// Adds what was taken in one piece.
pub(super) fn add(tx: &mut Tx<'_>, day: Date, owner: &Owner, resource: Resource, amount: i64) -> Result<()> {
    let user = owner.person.map_or(0, |user| user.0);
    let key = Key { org: owner.org, resource, day, user, project: 0, model: String::new() };
    store::add(tx, &key, amount, 1)
}

/// Writes a record; `bare` leaves out what may not be storable.
pub(super) fn record(
    tx: &mut Tx<'_>,
    org: OrgId,
    resource: Resource,
    amount: i64,
    usage: &Usage,
    at: Time,
    bare: bool,
) -> Result<()> {
    let record = store::Record {
        org,
        resource,
        amount,
        user: usage.user,
        project: usage.project,
        model: Some(usage.model.as_str()).filter(|model| !bare && !model.is_empty()),
        source: usage.source,
        metadata: usage.metadata.clone().filter(|_| !bare),
        at,
    };
    store::record(tx, &record).map(drop)
}

/// Writes down what a process held when it ended: nobody knows for whom.
pub(super) fn unsettled(
    tx: &mut Tx<'_>,
    day: Date,
    org: OrgId,
    resource: Resource,
    amount: i64,
    at: Time,
) -> Result<()> {
    let source = "unsettled";
    let record =
        store::Record { org, resource, amount, user: None, project: None, model: None, source, metadata: None, at };
    store::record(tx, &record)?;
    add(tx, day, &Owner::org(org), resource, amount)
}

//! Notices: what the site tells single people, such as that a quota is nearly used.
//!
//! Invariant: a notice exists exactly when the transaction that raised it committed, and nobody has more than [`MOST`]:
//! what was read longest ago makes room first. A person sees and changes only their own. Reading a notice is no act
//! upon anything, so it leaves no audit entry; what the notice tells of has one.

pub mod mails;
mod routes;
mod store;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{OrgId, UserId};
use crate::base::clock::{Clock, Time};
use crate::base::error::Result;
use crate::db::{Db, Tx};

/// How many notices a person keeps.
pub const MOST: i64 = 200;
/// The most characters of a notice's text; more are cut off.
const TEXT_MAX: usize = 1000;

/// The room of notices.
#[derive(Clone)]
pub struct Notices {
    db: Db,
    clock: Clock,
}

impl Notices {
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }
}

/// A notice as it is shown to the person it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notice {
    pub id: i64,
    /// The organisation it is about; null: the person or the site.
    pub organization_id: Option<i64>,
    /// What it tells of, such as `quota_warning`: for programs, stable.
    pub kind: String,
    /// For people.
    pub text: String,
    /// The page that shows more, a path of this site.
    pub link: Option<String>,
    pub created_at: Time,
    /// Null while it is unread.
    pub read_at: Option<Time>,
}

/// What is to be told.
#[derive(Debug, Clone)]
pub struct NewNotice {
    kind: &'static str,
    text: String,
    org: Option<OrgId>,
    link: Option<String>,
}

impl NewNotice {
    /// `kind` is part of the interface and never changes; `text` is one or two sentences.
    pub fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: text.into().chars().take(TEXT_MAX).collect(), org: None, link: None }
    }

    /// The organisation it is about; the notice goes when the organisation does.
    #[must_use]
    pub fn org(mut self, org: OrgId) -> Self {
        self.org = Some(org);
        self
    }

    /// A path of this site, such as `/organizations/7/usage`.
    #[must_use]
    pub fn link(mut self, path: impl Into<String>) -> Self {
        self.link = Some(path.into());
        self
    }
}

/// Tells each of `recipients` in the caller's transaction; who is named twice is told once.
///
/// # Errors
/// When the database fails, also because one of them has no account.
pub fn raise(tx: &mut Tx<'_>, now: Time, recipients: &[UserId], notice: &NewNotice) -> Result<()> {
    let mut recipients = recipients.to_vec();
    recipients.sort_unstable();
    recipients.dedup();
    for user in recipients {
        store::insert(tx, now, user, notice)?;
        store::make_room(tx, user)?;
    }
    tx.after_commit(|| mails::RAISED.notify_one());
    Ok(())
}

/// Tells those who administer the site.
///
/// # Errors
/// When the database fails.
pub fn to_site(tx: &mut Tx<'_>, now: Time, notice: &NewNotice) -> Result<()> {
    let admins = store::administrators(tx, None)?;
    raise(tx, now, &admins, notice)
}

/// Tells those who administer `org`, or, where nobody does, the site's administrators; how many were told.
///
/// # Errors
/// When the database fails.
pub fn to_admins(tx: &mut Tx<'_>, now: Time, org: OrgId, notice: &NewNotice) -> Result<usize> {
    let mut admins = store::administrators(tx, Some(org))?;
    if admins.is_empty() {
        admins = store::administrators(tx, None)?;
    }
    raise(tx, now, &admins, notice)?;
    Ok(admins.len())
}

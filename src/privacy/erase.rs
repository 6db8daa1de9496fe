//! Erasing a person.
//!
//! Invariant: one transaction takes the account, all that hangs on it and every name left elsewhere, and destroys the key
//! of the person's fields in the audit trail, whose entries stay as they were written. What belongs to an organisation or
//! was used in it stays, under the person's number. The entry that tells of it names nobody.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::tables::TABLES;
use super::{Person, Privacy, list, store};
use crate::access::{Caller, OrgId, UserId};
use crate::accounts::{self, User};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::Tx;
use crate::invitations;
use crate::mail;
use crate::quotas;

/// What was not erased, so that nobody is promised more than is done.
const NOT_ERASED: [&str; 5] = [
    "Backups made before keep the person until they are rotated out; a server started on a restored database erases them again.",
    "What the person wrote for an organisation stays, without their name: it belongs to the organisation.",
    "What was used stays under the person's number, which names nobody any more.",
    "Audit entries stay as they were written; what they held about the person can no longer be read, except in entries from before they were sealed.",
    "Copies of the audit trail that were sent to a syslog server or into a file, and mails that were sent, are out of reach.",
];

/// What was done.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Erased {
    pub person_id: i64,
    pub erased_at: Time,
    /// Only tables in which something was erased.
    pub tables: Vec<ErasedRows>,
    /// Sentences for the person who asked.
    pub not_erased: Vec<&'static str>,
}

/// What was done to a table.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErasedRows {
    pub table: &'static str,
    /// Rows deleted, or rows in which something was replaced or emptied.
    pub rows: u64,
}

/// The organisations a person is in.
fn orgs_of(user: &User) -> BTreeSet<i64> {
    user.roles.iter().filter_map(|grant| grant.organization_id).collect()
}

impl Privacy {
    /// Erases `user` in the caller's transaction. Whether the last owner of something may go was asked before.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn erase_in(&self, tx: &mut Tx<'_>, caller: &Caller, now: Time, user: &User) -> Result<Erased> {
        let (id, person) = (UserId(user.id), Person::of(tx, user)?);
        self.accounts.forget_callers(tx);
        self.runs.cancel_of(tx, id)?;
        self.tell(tx, caller, now, user)?;
        let mut tables = Vec::new();
        for table in TABLES {
            let rows = store::erase_rows(tx, table, &person)?;
            if rows > 0 {
                tables.push(ErasedRows { table: table.name, rows });
            }
        }
        invitations::store::forget_address(tx, &user.email)?;
        mail::forget_address(tx, &user.email)?;
        for org in orgs_of(user) {
            quotas::count_members(tx, now, OrgId(org))?;
        }
        audit::keys::destroy(tx, id, now)?;
        let erasure = list::Erasure { person: user.id, account_created_at: user.created_at.0, erased_at: now.0 };
        store::remember(tx, &erasure)?;
        Ok(Erased { person_id: user.id, erased_at: now, tables, not_erased: NOT_ERASED.to_vec() })
    }

    /// An entry for each organisation the person was in, else one for the site. Written before the key goes: who erases
    /// themselves is its actor.
    fn tell(&self, tx: &mut Tx<'_>, caller: &Caller, now: Time, user: &User) -> Result<()> {
        let event = Event::new(AuditAction::Delete, "user", format!("Erased person {}", user.id)).id(user.id);
        let orgs = orgs_of(user);
        if orgs.is_empty() {
            return audit::record(tx, now, caller, &event);
        }
        orgs.into_iter().try_for_each(|org| audit::record(tx, now, caller, &event.clone().org(OrgId(org))))
    }

    /// What follows the commit: the list beside the database, and the database's own files.
    pub(super) async fn settle(&self) -> Result<()> {
        list::keep(&self.db, &self.list).await?;
        self.db.forget().await
    }

    /// Erases again whom a restored database brought back. Called before the server answers anybody; how many there were.
    ///
    /// # Errors
    /// When the list cannot be read or written; when the database fails.
    pub async fn repeat(&self) -> Result<usize> {
        let erasures = list::keep(&self.db, &self.list).await?;
        let mut again = 0;
        for erasure in erasures {
            let privacy = self.clone();
            let erased = self.db.write(move |tx| {
                let user = accounts::store::user(tx, UserId(erasure.person))?;
                let back = user.filter(|user| user.created_at.0 == erasure.account_created_at);
                let Some(user) = back else { return Ok(false) };
                privacy.erase_in(tx, &Caller::system(), privacy.clock.now(), &user)?;
                Ok(true)
            });
            again += usize::from(erased.await?);
        }
        if again > 0 {
            tracing::warn!("{again} people who had been erased were in the database again and were erased anew");
            self.settle().await?;
        }
        Ok(again)
    }
}

/// What stands in the place of a person's name.
pub fn erased_name(person: UserId) -> String {
    format!("erased person {}", person.0)
}

/// Puts `with` in the place of `name` wherever it stands as a word of its own.
pub fn replace_name(text: &str, name: &str, with: &str) -> String {
    let (mut replaced, mut rest) = (String::with_capacity(text.len()), text);
    let mut before = "";
    while let Some(at) = rest.find(name) {
        let (lead, behind) = (&rest[..at], &rest[at + name.len()..]);
        let head = if lead.is_empty() { before } else { lead };
        let whole = !goes_on(head.chars().rev()) && !goes_on(behind.chars());
        replaced.push_str(lead);
        replaced.push_str(if whole { with } else { name });
        before = name;
        rest = behind;
    }
    replaced.push_str(rest);
    replaced
}

/// Whether a word goes on here: a dot or an at sign belongs to it when something follows.
fn goes_on(mut neighbours: impl Iterator<Item = char>) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    match neighbours.next() {
        Some('.' | '@') => neighbours.next().is_some_and(part),
        Some(next) => part(next),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_where_it_is_a_word() {
        let replaced = |text| replace_name(text, "ada", "X");
        assert_eq!(replaced("ada accepted; thank ada."), "X accepted; thank X.");
        assert_eq!(replaced("Canada, ada-b, ada.b, b.ada, _ada, adada"), "Canada, ada-b, ada.b, b.ada, _ada, adada");
        assert_eq!(replaced("(ada) \"ada\" ada"), "(X) \"X\" X");
        assert_eq!(replace_name("to ada@b.org.", "ada@b.org", "X"), "to X.");
        assert_eq!(replaced("adaada ada"), "adaada X");
    }
}

//! Telling plugins of people who come and go: the hooks `user.*`.
//!
//! Invariant: an organisation's plugins hear of its own people only, and of nobody's address or secrets.

use serde_json::json;

use super::{Accounts, store};
use crate::access::{OrgId, UserId};
use crate::base::error::Result;
use crate::db::Tx;
use crate::hooks::Hook;

/// Organisations of one person that are told.
const MOST_TOLD: usize = 20;

impl Accounts {
    /// Tells in each organisation where this person holds a role, else on the site, once the transaction is durable.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tell(&self, tx: &mut Tx<'_>, hook: Hook, person: UserId) -> Result<()> {
        if !self.hooks.wants(hook) {
            return Ok(());
        }
        let Some(user) = store::user(tx, person)? else { return Ok(()) };
        let mut orgs: Vec<Option<i64>> = user.roles.iter().map(|grant| grant.organization_id).collect();
        orgs.sort_unstable();
        orgs.dedup();
        if orgs.iter().any(Option::is_some) {
            orgs.retain(Option::is_some);
        } else {
            orgs = vec![None];
        }
        for org in orgs.into_iter().take(MOST_TOLD) {
            let payload = || json!({"user_id": user.id, "user_name": user.username, "organization_id": org});
            self.hooks.tell_after(tx, hook, org.map(OrgId), payload);
        }
        Ok(())
    }
}

//! Organisations: the tenants. Everything a tenant owns carries its id.
//!
//! Invariant: an organisation is made together with its quotas, its default team and its audit entry. Who belongs to it is `accounts`', which
//! therefore answers the call that makes one.

pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::actions::OrganizationCreate;
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{Clock, Time};
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::db::{Db, Tx};
use crate::quotas;

/// The tiers of the specification, smallest first.
pub const TIERS: [&str; 4] = ["free", "starter", "professional", "enterprise"];
const NAME_MAX: usize = 200;
const SLUG_MAX: usize = 100;

/// The room of organisations.
#[derive(Clone)]
pub struct Orgs {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    /// `ENTERPRISE_MODE=false` keeps the site to one organisation.
    pub(crate) many: bool,
}

impl Orgs {
    pub fn new(db: Db, clock: Clock, many: bool) -> Self {
        Self { db, clock, many }
    }

    /// Makes an organisation with its tier's quotas and its default team, and audits it. `new` was checked.
    ///
    /// # Errors
    /// `slug_taken`; `one_organization` where there is to be no second one.
    pub fn create(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<OrganizationCreate>,
        now: Time,
        new: &NewOrganization,
    ) -> Result<Organization> {
        if !self.many && store::count(tx)? > 0 {
            return Err(Error::conflict(
                "one_organization",
                "ENTERPRISE_MODE is false, which keeps this site to one organisation. Set it to true for more.",
            ));
        }
        let org = store::insert(tx, permit, now, new)?;
        quotas::open(tx, OrgId(org.id), &org.tier)?;
        store::insert_default_team(tx, permit, now, OrgId(org.id))?;
        let event = Event::new(AuditAction::Create, "organization", format!("Created organisation {}", org.name));
        audit::record(tx, now, permit.caller(), &event.id(org.id).org(OrgId(org.id)).after(&org))?;
        Ok(org)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    pub id: i64,
    pub name: String,
    /// Unique, for addresses and commands.
    pub slug: String,
    /// free, starter, professional or enterprise.
    pub tier: String,
    pub contact_email: Option<String>,
    pub created_at: Time,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    pub name: String,
    /// Lower-case letters, digits and single dashes.
    pub slug: String,
    /// free (when absent), starter, professional or enterprise.
    #[serde(default = "free")]
    pub tier: String,
    /// Whom to write to about it.
    pub contact_email: Option<String>,
    /// The address of the account that becomes its org_admin.
    pub admin_email: Option<String>,
}

fn free() -> String {
    TIERS[0].to_owned()
}

impl NewOrganization {
    /// # Errors
    /// `invalid_name`, `invalid_slug`, `unknown_tier`, `invalid_email`, naming the field.
    pub fn check(&self) -> Result<()> {
        let length = self.name.chars().count();
        if self.name.trim().is_empty() || length > NAME_MAX || self.name.chars().any(char::is_control) {
            let message = format!("An organisation's name has 1 to {NAME_MAX} printable characters.");
            return Err(Error::invalid("invalid_name", message).field("name"));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let dashes = self.slug.starts_with('-') || self.slug.ends_with('-') || self.slug.contains("--");
        if self.slug.is_empty() || self.slug.len() > SLUG_MAX || !self.slug.chars().all(plain) || dashes {
            let message =
                format!("`{}` is not a slug: use a-z, 0-9 and single dashes, such as `your-company`.", self.slug);
            return Err(Error::invalid("invalid_slug", message).field("slug"));
        }
        if !TIERS.contains(&self.tier.as_str()) {
            let message = format!("`{}` is not a tier. Tiers are: {}.", self.tier, TIERS.join(", "));
            return Err(Error::invalid("unknown_tier", message).field("tier"));
        }
        for (email, field) in [(&self.contact_email, "contact_email"), (&self.admin_email, "admin_email")] {
            email.as_deref().map_or(Ok(()), |email| email::check(email, field))?;
        }
        Ok(())
    }
}

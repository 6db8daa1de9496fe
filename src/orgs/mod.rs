//! Organisations: the tenants. Everything a tenant owns carries its id.
//!
//! Invariants: an organisation is made together with its quotas, its default team and its audit entry; no two have names that can be taken
//! for each other; its slug never changes. Who belongs to it is `accounts`', which therefore answers the call that makes
//! one. The name tells tenants apart, so the site gives it; how it looks to its own people is its own affair.

pub mod lifecycle;
pub mod logo;
pub mod routes;
pub mod settings;
pub mod store;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub use lifecycle::closed;
pub use settings::Settings;

use crate::access::actions::{OrganizationCreate, OrganizationManage};
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::{email, names};
use crate::db::{Db, Tx};
use crate::licence::{Feature, Licence};
use crate::notices::{self, NewNotice};
use crate::quotas::{self, Quotas};

/// The tiers of the specification, smallest first.
pub const TIERS: [&str; 4] = ["free", "starter", "professional", "enterprise"];
const NAME_MAX: usize = 200;
const SLUG_MAX: usize = 100;

/// Empties the cache of callers once the present write is durable; who callers are is `accounts`' business.
pub type Forget = Arc<dyn Fn(&mut Tx<'_>) + Send + Sync>;

/// The room of organisations.
#[derive(Clone)]
pub struct Orgs {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) quotas: Quotas,
    /// `ENTERPRISE_MODE=false` keeps the site to one organisation.
    pub(crate) many: bool,
    /// Days between the word that an organisation is to be deleted and its deletion.
    deletion_days: i64,
    licence: Licence,
    forget: Forget,
}

/// What the site says of all organisations.
#[derive(Debug, Clone)]
pub struct Options {
    /// `ENTERPRISE_MODE=false` keeps the site to one organisation.
    pub many: bool,
    /// Days of grace before an organisation is deleted.
    pub deletion_days: u32,
    /// Says whether there may be more than one.
    pub licence: Licence,
}

impl Orgs {
    /// Opens the room, and brings names that an earlier version wrote into the form in which they are compared.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(db: Db, clock: Clock, quotas: Quotas, options: Options, forget: Forget) -> Result<Self> {
        while db.write(store::key_names).await? > 0 {}
        let Options { many, deletion_days, licence } = options;
        Ok(Self { db, clock, quotas, many, deletion_days: deletion_days.into(), licence, forget })
    }

    /// Makes an organisation with its tier's quotas and its default team, and audits it. `new` was checked.
    ///
    /// # Errors
    /// `slug_taken`, `name_taken`; `one_organization` where there is to be no second one, `licence_required` where the licence
    /// names none.
    pub fn create(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<OrganizationCreate>,
        now: Time,
        new: &NewOrganization,
    ) -> Result<Organization> {
        if store::count(tx)? > 0 {
            if !self.many {
                return Err(Error::conflict(
                    "one_organization",
                    "ENTERPRISE_MODE is false, which keeps this site to one organisation. Set it to true for more.",
                ));
            }
            self.licence.require(tx, Feature::Organizations)?;
        }
        check_unlike(tx, &new.name, None)?;
        let org = store::insert(tx, permit, now, new)?;
        quotas::open(tx, OrgId(org.id), &org.tier, now)?;
        store::insert_default_team(tx, permit, now, OrgId(org.id))?;
        let event = Event::new(AuditAction::Create, "organization", format!("Created organisation {}", org.name));
        audit::record(tx, now, permit.caller(), &event.id(org.id).org(OrgId(org.id)).after(&org))?;
        Ok(org)
    }

    /// Changes what `change` names. It was checked.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for the name or the tier without the permission over the site; `name_taken`.
    pub fn update(
        tx: &mut Tx<'_>,
        permit: &Permit<OrganizationManage>,
        now: Time,
        id: OrgId,
        change: &OrganizationChange,
    ) -> Result<Organization> {
        let before = store::covered(tx, permit, id)?;
        if change.name.is_some() || change.tier.is_some() {
            permit.require_site()?;
        }
        let mut after = before.clone();
        if let Some(name) = &change.name {
            check_unlike(tx, name, Some(id))?;
            after.name.clone_from(name);
        }
        if let Some(contact) = &change.contact_email {
            after.contact_email.clone_from(contact);
        }
        if let Some(shown) = &change.display_name {
            after.display_name.clone_from(shown);
        }
        if let Some(tier) = &change.tier {
            after.tier.clone_from(tier);
        }
        store::update(tx, permit, &after)?;
        if after.tier != before.tier {
            follow_tier(tx, now, &before, &after)?;
        }
        let event = Event::new(AuditAction::Update, "organization", format!("Changed organisation {}", before.name));
        audit::record(tx, now, permit.caller(), &event.id(id.0).org(id).before(&before).after(&after))?;
        Ok(after)
    }
}

fn follow_tier(tx: &mut Tx<'_>, now: Time, before: &Organization, after: &Organization) -> Result<()> {
    let id = OrgId(after.id);
    quotas::follow_tier(tx, now, id, &after.tier)?;
    let text = format!(
        "{} has moved from the tier {} to {}. Its limits follow, except those that were set by hand.",
        after.name, before.tier, after.tier
    );
    let notice = NewNotice::new("tier_changed", text).org(id).link(format!("/organizations/{}", id.0));
    notices::to_admins(tx, now, id, &notice)?;
    Ok(())
}

/// # Errors
/// `name_taken` when another organisation's name can be taken for this one.
fn check_unlike(tx: &mut Tx<'_>, name: &str, except: Option<OrgId>) -> Result<()> {
    let Some(other) = store::alike(tx, &names::key(name), except)? else { return Ok(()) };
    let message = format!("`{name}` can be taken for the name of the organisation `{other}`. Choose one that cannot.");
    Err(Error::conflict("name_taken", message).field("name"))
}

/// How an organisation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrgStatus {
    Active,
    /// Its people are kept out until the site lets them in again.
    Suspended,
    /// Suspended, and gone for good after `deletion_due`.
    Deleting,
}

/// Why and since when an organisation is suspended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Suspension {
    pub since: Time,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    pub id: i64,
    /// What the site calls it; no other has one that can be taken for it.
    pub name: String,
    /// Unique, for addresses and commands; never changes.
    pub slug: String,
    /// free, starter, professional or enterprise.
    pub tier: String,
    pub contact_email: Option<String>,
    /// What it calls itself to its own people; null: its name.
    pub display_name: Option<String>,
    /// Where its logo is, as a path of this site; null: it has none.
    pub logo: Option<String>,
    pub status: OrgStatus,
    /// Null while it is not suspended.
    pub suspension: Option<Suspension>,
    /// When it will be deleted at the earliest; null: it will not.
    pub deletion_due: Option<Time>,
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
    /// Brings the name into the form that is kept.
    ///
    /// # Errors
    /// `invalid_name`, `invalid_slug`, `unknown_tier`, `invalid_email`, naming the field.
    pub fn check(&mut self) -> Result<()> {
        self.name = names::check_field(&self.name, "name", NAME_MAX)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let dashes = self.slug.starts_with('-') || self.slug.ends_with('-') || self.slug.contains("--");
        if self.slug.is_empty() || self.slug.len() > SLUG_MAX || !self.slug.chars().all(plain) || dashes {
            let message =
                format!("`{}` is not a slug: use a-z, 0-9 and single dashes, such as `your-company`.", self.slug);
            return Err(Error::invalid("invalid_slug", message).field("slug"));
        }
        check_tier(&self.tier)?;
        for (email, field) in [(&self.contact_email, "contact_email"), (&self.admin_email, "admin_email")] {
            email.as_deref().map_or(Ok(()), |email| email::check(email, field))?;
        }
        Ok(())
    }
}

/// What is to be changed of an organisation; what is absent stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationChange {
    /// Needs `organization.manage` over the site.
    pub name: Option<String>,
    /// Needs `organization.manage` over the site. Limits follow, except those that were set by hand.
    pub tier: Option<String>,
    /// Null: nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub contact_email: Option<Option<String>>,
    /// Null: its name.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub display_name: Option<Option<String>>,
}

/// Tells a null from what is absent.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl OrganizationChange {
    /// Brings names into the form that is kept.
    ///
    /// # Errors
    /// `invalid_name`, `unknown_tier`, `invalid_email`, naming the field.
    pub fn check(&mut self) -> Result<()> {
        if let Some(name) = &mut self.name {
            *name = names::check_field(name, "name", NAME_MAX)?;
        }
        if let Some(Some(name)) = &mut self.display_name {
            *name = names::check_field(name, "display_name", NAME_MAX)?;
        }
        if let Some(tier) = &self.tier {
            check_tier(tier)?;
        }
        if let Some(Some(email)) = &self.contact_email {
            email::check(email, "contact_email")?;
        }
        Ok(())
    }
}

/// # Errors
/// `unknown_tier`, listing those there are.
pub fn check_tier(tier: &str) -> Result<()> {
    if TIERS.contains(&tier) {
        return Ok(());
    }
    let shown: String = tier.chars().take(50).collect();
    let message = format!("`{shown}` is not a tier. Tiers are: {}.", TIERS.join(", "));
    Err(Error::invalid("unknown_tier", message).field("tier"))
}

//! Making an organisation together with who administers it: `orgs` knows no people, so it is done a floor above.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::members::{Member, appoint};
use crate::access::actions::{OrganizationCreate, UserManage};
use crate::access::{OrgId, Permit, Place, Role};
use crate::accounts::{Accounts, grants, store};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::Tx;
use crate::orgs::{NewOrganization, Organization, Orgs};
use crate::web::{Created, Json, Problem};

/// An organisation that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeOrganization {
    #[serde(flatten)]
    organization: Organization,
    /// Who became its org_admin. Null: nobody was named, or no active account has that address.
    administrator: Option<Member>,
}

/// Create an organisation with its tier's quotas and, when `admin_email` is an active account's, its administrator.
#[utoipa::path(post, path = "/api/organizations", tag = "organizations", request_body = NewOrganization,
    responses((status = 201, body = MadeOrganization), (status = "default", response = Problem)))]
pub async fn create(
    State((accounts, orgs)): State<(Accounts, Orgs)>,
    permit: Permit<OrganizationCreate>,
    Json(mut new): Json<NewOrganization>,
) -> Result<Created<MadeOrganization>> {
    permit.require_site()?;
    new.check()?;
    let now = orgs.clock.now();
    let db = accounts.db.clone();
    let made = db.write(move |tx| {
        let organization = orgs.create(tx, &permit, now, &new)?;
        let administrator = match &new.admin_email {
            Some(email) => administrator(tx, &accounts, &permit, now, email, OrgId(organization.id))?,
            None => None,
        };
        Ok(MadeOrganization { organization, administrator })
    });
    made.await.map(Created)
}

/// Makes who has the address an administrator of the organisation.
fn administrator(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    permit: &Permit<OrganizationCreate>,
    now: Time,
    email: &str,
    org: OrgId,
) -> Result<Option<Member>> {
    let permit = permit.caller_arc().permit::<UserManage>()?;
    let user = store::user_by_email(tx, email)?.filter(|user| user.is_active);
    let Some(user) = user else { return Ok(None) };
    let role = grants::store::find(tx, Role::OrgAdmin.code(), Place::Org(org))?;
    appoint(tx, accounts, &permit, now, &user, &role, org).map(Some)
}

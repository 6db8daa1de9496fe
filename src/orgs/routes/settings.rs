//! An organisation's settings over HTTP: its people read them, its administrators replace them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::access::actions::{OrganizationManage, OrganizationRead};
use crate::access::{Caller, OrgId, Permit, SECOND_FACTOR_NEEDED, SSO_NEEDED};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::orgs::{Orgs, settings, store};
use crate::web::{Json, Path, Problem};

/// What is set, and what could be.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationSettings {
    /// What is set; a key that is not has its rule's default.
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// The JSON Schema that settings fit, with a title and a description of each key.
    #[schema(value_type = Object)]
    schema: Value,
}

/// The settings of an organisation, with their schema.
#[utoipa::path(get, path = "/api/organizations/{id}/settings", tag = "organizations", params(("id" = i64, Path)),
    responses((status = 200, body = OrganizationSettings), (status = "default", response = Problem)))]
pub async fn get(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationRead>,
    Path(id): Path<i64>,
) -> Result<Json<OrganizationSettings>> {
    permit.require(OrgId(id), "such organization")?;
    let stored = orgs.db.read(move |tx| store::settings(tx, OrgId(id))).await?;
    let settings = stored.ok_or_else(|| Error::not_found("such organization"))?;
    Ok(Json(OrganizationSettings { settings, schema: settings::schema()? }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSettings {
    /// All that is to be set from now on: a key that is absent is set no longer.
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
}

/// Replace the settings of an organisation. They count from the next call or run on.
#[utoipa::path(put, path = "/api/organizations/{id}/settings", tag = "organizations", params(("id" = i64, Path)),
    request_body = NewSettings,
    responses((status = 200, body = OrganizationSettings), (status = "default", response = Problem)))]
pub async fn put(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
    Json(new): Json<NewSettings>,
) -> Result<Json<OrganizationSettings>> {
    let (id, now) = (OrgId(id), orgs.clock.now());
    permit.require(id, "such organization")?;
    settings::check(&new.settings)?;
    let forget = orgs.forget.clone();
    let settings = orgs
        .db
        .write(move |tx| {
            let before = store::settings(tx, id)?.ok_or_else(|| Error::not_found("such organization"))?;
            if required(&new.settings, FACTOR) && !required(&before, FACTOR) {
                keep_oneself(permit.caller())?;
            }
            if required(&new.settings, SSO) && !required(&before, SSO) && permit.require_site().is_err() {
                keep_signed_on(permit.caller())?;
            }
            store::set_settings(tx, &permit, id, &new.settings)?;
            if [FACTOR, SSO].iter().any(|key| required(&new.settings, key) != required(&before, key)) {
                forget(tx);
            }
            let event = Event::new(AuditAction::Update, "organization", "Changed the organisation's settings");
            let event = event.id(id.0).org(id).before(&before).after(&new.settings);
            audit::record(tx, now, permit.caller(), &event)?;
            Ok(new.settings.clone())
        })
        .await?;
    Ok(Json(OrganizationSettings { settings, schema: settings::schema()? }))
}

const FACTOR: &str = "require_second_factor";
const SSO: &str = "require_sso";

fn required(settings: &Map<String, Value>, key: &str) -> bool {
    settings.get(key) == Some(&Value::Bool(true))
}

/// Whoever turns it on shows that it works: they came that way. Administrators of the site get in whatever is set.
fn keep_signed_on(caller: &Caller) -> Result<()> {
    if caller.sso {
        return Ok(());
    }
    let message = "You came without single sign-on, so this would lock you out yourself. Sign in with the identity provider \
                   of the organisation, and try again.";
    Err(Error::forbidden(SSO_NEEDED, message).field("settings.require_sso"))
}

/// Nobody locks themselves out.
fn keep_oneself(caller: &Caller) -> Result<()> {
    if caller.strong {
        return Ok(());
    }
    let message = "You came without a second factor, so this would lock you out yourself. Set one up under My account, \
                   Security, sign in with it, and try again.";
    Err(Error::forbidden(SECOND_FACTOR_NEEDED, message).field("settings.require_second_factor"))
}

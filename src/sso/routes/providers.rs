//! Identity providers, for who manages the organisation; the site's own, for who administers the site.
//!
//! Invariant: what groups give is no more than whoever writes it holds; a secret goes in and never comes out.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::flow;
use super::seen::Seen;
use crate::access::actions::{OrganizationManage, OrganizationRead};
use crate::access::{OrgId, PermissionSet, Permit, Place};
use crate::accounts::grants::check_grant;
use crate::accounts::sessions;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::db::Tx;
use crate::licence::Feature;
use crate::orgs;
use crate::sso::oidc::{self, Party};
use crate::sso::provider::{SigningCertificate, check_slug};
use crate::sso::store::{self, Extra};
use crate::sso::{Connection, Provider, ProviderChange, Sso, admit, saml};
use crate::web::{Created, Json, Path, Problem, Query};

const RESOURCE: &str = "sso_provider";

/// Which providers are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProviderFilter {
    /// Of this organisation alone.
    pub organization_id: Option<i64>,
}

/// A provider to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewIdentityProvider)]
pub struct NewProvider {
    /// Null or absent: the site's own.
    organization_id: Option<i64>,
    /// In its addresses, for good: 2 to 50 of a-z, 0-9 and dashes.
    slug: String,
    #[serde(flatten)]
    set: ProviderChange,
    /// What is none of the others: a flattened body refuses nothing by itself.
    #[serde(flatten)]
    #[schema(ignore)]
    unknown: BTreeMap<String, Value>,
}

/// With what is read off its connection at `now`, and what it has to be told.
fn shown(mut provider: Provider, seen: &Seen, now: Time) -> Result<Provider> {
    provider.addresses = seen.addresses(&provider.slug, provider.connection.kind());
    provider.certificates = certificates(&provider, now)?;
    Ok(provider)
}

fn certificates(provider: &Provider, now: Time) -> Result<Vec<SigningCertificate>> {
    match &provider.connection {
        Connection::Saml { metadata, .. } => saml::certificates(&saml::read_metadata(metadata)?, now),
        Connection::Oidc { .. } => Ok(Vec::new()),
    }
}

/// As the trail keeps it: metadata is long, and is known by its certificates; addresses are what the reader sees.
fn told(provider: &Provider) -> Value {
    let mut told = serde_json::to_value(provider).unwrap_or_default();
    if let Some(told) = told.as_object_mut() {
        told.remove("addresses");
    }
    if let Some(connection) = told["connection"].as_object_mut() {
        connection.remove("metadata");
    }
    told
}

/// The identity providers the caller manages, newest first.
#[utoipa::path(get, path = "/api/sso/providers", tag = "single sign-on", params(PageQuery, ProviderFilter),
    responses((status = 200, body = List<Provider>), (status = "default", response = Problem)))]
pub async fn list(
    State(sso): State<Sso>,
    permit: Permit<OrganizationManage>,
    seen: Seen,
    Query(query): Query<PageQuery>,
    Query(filter): Query<ProviderFilter>,
) -> Result<Json<List<Provider>>> {
    let (page, now) = (query.check()?, sso.accounts.clock.now());
    let org = filter.organization_id.map(OrgId);
    let found = sso.accounts.db.read(move |tx| store::list(tx, &permit, org, page)).await?;
    let found = found.into_iter().map(|provider| shown(provider, &seen, now)).collect::<Result<Vec<_>>>()?;
    Ok(Json(page.list(found, |provider| provider.id)))
}

/// One identity provider, with its certificates and until when they count.
#[utoipa::path(get, path = "/api/sso/providers/{id}", tag = "single sign-on", params(("id" = i64, Path)),
    responses((status = 200, body = Provider), (status = "default", response = Problem)))]
pub async fn get(
    State(sso): State<Sso>,
    permit: Permit<OrganizationManage>,
    seen: Seen,
    Path(id): Path<i64>,
) -> Result<Json<Provider>> {
    let found = sso.accounts.db.read(move |tx| store::managed(tx, &permit, id)).await?;
    Ok(Json(shown(found, &seen, sso.accounts.clock.now())?))
}

/// What the author of a mapping holds, once every role in it was found to be no more.
fn within(
    tx: &mut Tx<'_>,
    permit: &Permit<OrganizationManage>,
    org: Option<OrgId>,
    set: &ProviderChange,
) -> Result<PermissionSet> {
    set.check_roles(org)?;
    let Some(org) = org else { return Ok(PermissionSet::default()) };
    for role in admit::found_roles(tx, set.roles.values().chain(&set.default_role), org)? {
        check_grant(permit, &role.code, role.permissions, Place::Org(org))?;
    }
    Ok(permit.caller().grants.at(Place::Org(org)))
}

/// Make an identity provider. People of an organisation's own come into that organisation only.
#[utoipa::path(post, path = "/api/sso/providers", tag = "single sign-on", request_body = NewProvider,
    responses((status = 201, body = Provider), (status = "default", response = Problem)))]
pub async fn create(
    State(sso): State<Sso>,
    permit: Permit<OrganizationManage>,
    seen: Seen,
    Json(body): Json<NewProvider>,
) -> Result<Created<Provider>> {
    let org = body.organization_id.map(OrgId);
    match org {
        Some(org) => permit.require(org, "such organization")?,
        None => permit.require_site()?,
    }
    if let Some(field) = body.unknown.keys().next() {
        let field: String = field.chars().take(100).collect();
        let message = format!("An identity provider has no field `{}`.", field.escape_debug());
        return Err(Error::invalid("unknown_field", message).field(field));
    }
    check_slug(&body.slug)?;
    let (slug, set, now) = (body.slug, body.set.checked()?, sso.accounts.clock.now());
    let (secret, certificate) = match &set.connection {
        Connection::Saml { .. } => {
            let slug = slug.clone();
            // A key of RSA takes a good part of a second.
            let made = tokio::task::spawn_blocking(move || saml::key_pair(&slug)).await.map_err(Error::internal)??;
            (Some(made.0), Some(made.1))
        }
        Connection::Oidc { .. } => (set.client_secret.clone().filter(|secret| !secret.is_empty()), None),
    };
    let (key, licence) = (sso.accounts.key.clone(), sso.accounts.licence().clone());
    let write = sso.accounts.db.write(move |tx| {
        if let Some(org) = org {
            orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        }
        licence.require(tx, Feature::Sso)?;
        let id = tx.next_id()?;
        let seal = |secret: &String| key.seal(&Provider::place(id), secret.as_bytes());
        let sealed = secret.as_ref().map(seal).transpose()?;
        let extra = Extra { roles_within: within(tx, &permit, org, &set)?, certificate: certificate.clone(), sealed };
        store::insert(tx, &permit, (id, &slug), org, &set, &extra, now)?;
        let made = shown(store::managed(tx, &permit, id)?, &seen, now)?;
        let event = Event::new(AuditAction::Create, RESOURCE, format!("Made identity provider {}", made.name)).id(id);
        let event = org.map_or_else(|| event.clone(), |org| event.clone().org(org));
        audit::record(tx, now, permit.caller(), &event.after(&told(&made)))?;
        Ok(made)
    });
    Ok(Created(write.await?))
}

/// Set an identity provider anew; an absent secret stays. It keeps its kind, its slug and its people.
#[utoipa::path(put, path = "/api/sso/providers/{id}", tag = "single sign-on", params(("id" = i64, Path)),
    request_body = ProviderChange, responses((status = 200, body = Provider), (status = "default", response = Problem)))]
pub async fn update(
    State(sso): State<Sso>,
    permit: Permit<OrganizationManage>,
    seen: Seen,
    Path(id): Path<i64>,
    Json(body): Json<ProviderChange>,
) -> Result<Json<Provider>> {
    let (key, room, now) = (sso.accounts.key.clone(), sso.accounts.clone(), sso.accounts.clock.now());
    let set = body.checked()?;
    let write = sso.accounts.db.write(move |tx| {
        let before = shown(store::managed(tx, &permit, id)?, &seen, now)?;
        let org = before.organization_id.map(OrgId);
        if set.connection.kind() != before.connection.kind() {
            let message = "A provider keeps its kind: its people are known by what it calls them. Make another one.";
            return Err(Error::conflict("sso_kind", message).field("connection.kind"));
        }
        let sealed = match (&set.connection, set.client_secret.as_deref()) {
            (Connection::Saml { .. }, _) | (_, None) => before.sealed.clone(),
            (_, Some("")) => None,
            (_, Some(secret)) => Some(key.seal(&Provider::place(id), secret.as_bytes())?),
        };
        let roles_within = within(tx, &permit, org, &set)?;
        let extra = Extra { roles_within, certificate: before.certificate.clone(), sealed };
        store::update(tx, &permit, id, &set, &extra, now)?;
        if before.enabled && !set.enabled {
            sessions::store::end_through(tx, &room, id, now)?;
        }
        let after = shown(store::managed(tx, &permit, id)?, &seen, now)?;
        let event =
            Event::new(AuditAction::Update, RESOURCE, format!("Changed identity provider {}", after.name)).id(id);
        let event = org.map_or_else(|| event.clone(), |org| event.clone().org(org));
        audit::record(tx, now, permit.caller(), &event.before(&told(&before)).after(&told(&after)))?;
        Ok(after)
    });
    Ok(Json(write.await?))
}

/// Delete an identity provider: the sessions it opened end, and its people's links are gone. Their accounts stay.
#[utoipa::path(delete, path = "/api/sso/providers/{id}", tag = "single sign-on", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete(
    State(sso): State<Sso>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let (room, now) = (sso.accounts.clone(), sso.accounts.clock.now());
    let write = sso.accounts.db.write(move |tx| {
        let before = store::managed(tx, &permit, id)?;
        sessions::store::end_through(tx, &room, id, now)?;
        store::delete(tx, &permit, id)?;
        let event = Event::new(AuditAction::Delete, RESOURCE, format!("Deleted identity provider {}", before.name));
        let event = event.id(id);
        let event = before.organization_id.map_or_else(|| event.clone(), |org| event.clone().org(OrgId(org)));
        audit::record(tx, now, permit.caller(), &event.before(&told(&before)))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One thing that was looked at.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = IdentityCheck)]
pub struct Check {
    pub name: String,
    pub good: bool,
    /// What was found, or what is wrong and what to do.
    pub told: String,
}

/// What can be known of a provider without anybody signing in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = IdentityProviderTest)]
pub struct ProviderTest {
    pub good: bool,
    pub checks: Vec<Check>,
}

/// Try an identity provider: read its metadata and certificates, or ask it what it says of itself and for its keys.
#[utoipa::path(post, path = "/api/sso/providers/{id}/test", tag = "single sign-on", params(("id" = i64, Path)),
    responses((status = 200, body = ProviderTest), (status = "default", response = Problem)))]
pub async fn test(
    State(sso): State<Sso>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
) -> Result<Json<ProviderTest>> {
    let found = sso.accounts.db.read(move |tx| store::managed(tx, &permit, id)).await?;
    let mut checks = vec![Check {
        name: "enabled".to_owned(),
        good: found.enabled,
        told: if found.enabled { "People may sign in with it." } else { "It is switched off." }.to_owned(),
    }];
    match &found.connection {
        Connection::Saml { .. } => {
            for found in certificates(&found, sso.accounts.clock.now())? {
                let told = format!("{} ({}…) counts until {}.", found.subject, &found.sha256[..16], found.not_after);
                checks.push(Check { name: "certificate".to_owned(), good: found.state == "valid", told });
            }
        }
        connection @ Connection::Oidc { .. } => {
            let party = Party::of(connection, flow::dialler(&sso, &found), None, String::new());
            let looked = match &party {
                Some(party) => oidc::look(party, sso.accounts.clock.now()).await,
                None => Err(Error::internal("the kind of the provider changed")),
            };
            let (good, told) = match looked {
                Ok((endpoints, keys)) => (true, format!("It signs in at {}; {keys} keys.", endpoints.authorization)),
                Err(error) => (false, error.message().to_owned()),
            };
            checks.push(Check { name: "provider".to_owned(), good, told });
        }
    }
    Ok(Json(ProviderTest { good: checks.iter().all(|check| check.good), checks }))
}

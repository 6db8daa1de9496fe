//! The addresses that browsers are sent through, and what the sign-in page shows.
//!
//! Invariant: an answer is taken from the browser that began, once. Why one was refused is in the trail; the person is told
//! in general, and in the same way for every check. A provider that is not there and one that is switched off are the same.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::seen::Seen;
use crate::access::{Actor, OrgId, Origin, UserId};
use crate::accounts::throttle::{self, Key};
use crate::audit::{self, AuditAction, Event};
use crate::base::crypto;
use crate::base::error::{Error, Kind, Result};
use crate::sso::admit::Admitted;
use crate::sso::begun::{Asked, Begun, COOKIE, own_path};
use crate::sso::http::Dialler;
use crate::sso::oidc::Party;
use crate::sso::provider::address;
use crate::sso::saml::{self, Answer, Ours};
use crate::sso::{Connection, MINUTES, Person, Provider, Sso, refused, store};
use crate::web::extract::read_body;
use crate::web::{Json, Path, Problem, Public, Query, Secure};

/// Whom the sign-in page is for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Offered {
    /// The slug of an organisation.
    pub org: Option<String>,
    /// An e-mail address, of which the domain counts alone.
    pub email: Option<String>,
}

/// A way to sign in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = SignInOffer)]
pub struct Offer {
    pub name: String,
    pub slug: String,
    /// `saml` or `oidc`.
    pub kind: String,
    /// Where the browser goes; `?back=/a/path` leads on to a page afterwards.
    pub start: String,
}

/// Ways to sign in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = SignInOffers)]
pub struct Offers {
    pub items: Vec<Offer>,
}

/// With which identity providers somebody may sign in: the site's, an organisation's, and those for the domain of an
/// address. Whether there is an account is not looked at.
#[utoipa::path(get, path = "/api/auth/sso", tag = "auth", params(Offered),
    responses((status = 200, body = Offers), (status = "default", response = Problem)))]
pub async fn offered(_: Public, State(sso): State<Sso>, Query(query): Query<Offered>) -> Result<Json<Offers>> {
    let short = |text: &String| (1..=300).contains(&text.len());
    let org = query.org.filter(short);
    let domain = query.email.filter(short).and_then(|email| {
        let domain = email.rsplit_once('@')?.1.trim().to_ascii_lowercase();
        let plain = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
        (!domain.is_empty() && domain.chars().all(plain)).then_some(domain)
    });
    let found = sso.accounts.db.read(move |tx| store::offered(tx, org.as_deref(), domain.as_deref())).await?;
    let items = found.into_iter().map(|Provider { name, slug, connection, .. }| {
        let (kind, start) = (connection.kind().to_owned(), format!("/api/sso/{slug}/start"));
        Offer { name, slug, kind, start }
    });
    Ok(Json(Offers { items: items.collect() }))
}

async fn find(sso: &Sso, slug: String) -> Result<Provider> {
    let shown: String = slug.chars().take(60).collect();
    let found = sso.accounts.db.read(move |tx| store::open(tx, &slug)).await?;
    found.ok_or_else(|| Error::not_found(format!("identity provider {shown}")))
}

fn secret(sso: &Sso, provider: &Provider) -> Result<Option<String>> {
    let open = |sealed: &Vec<u8>| sso.accounts.key.open(&Provider::place(provider.id), sealed);
    let plain = provider.sealed.as_ref().map(open).transpose()?;
    plain.map(|plain| String::from_utf8(plain).map_err(Error::internal)).transpose()
}

pub(super) fn dialler(sso: &Sso, provider: &Provider) -> Dialler {
    let (client, memory) = (sso.client.clone(), sso.memory.clone());
    Dialler { client, by_site: provider.organization_id.is_none(), memory }
}

fn party<'a>(sso: &Sso, provider: &'a Provider, origin: &str) -> Result<Option<Party<'a>>> {
    let dialler = dialler(sso, provider);
    let callback = address(origin, &provider.slug, "callback");
    Ok(Party::of(&provider.connection, dialler, secret(sso, provider)?, callback))
}

/// Works with our end of a SAML provider, off the threads of requests: signatures take milliseconds.
async fn with_saml<T: Send + 'static>(
    sso: &Sso,
    provider: &Provider,
    origin: String,
    work: impl FnOnce(&Ours<'_>, &str, super::super::Signed) -> Result<T> + Send + 'static,
) -> Result<T> {
    let Connection::Saml { metadata, signed } = provider.connection.clone() else {
        return Err(Error::not_found(format!("SAML provider {}", provider.slug)));
    };
    let key = secret(sso, provider)?.ok_or_else(|| Error::internal("a SAML provider without our key"))?;
    let (slug, certificate) = (provider.slug.clone(), provider.certificate.clone().unwrap_or_default());
    let work = move || {
        let ours = Ours { origin: &origin, slug: &slug, key: &key, certificate: &certificate };
        work(&ours, &metadata, signed)
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// Our SAML metadata, to be given to the provider.
pub async fn metadata(_: Public, State(sso): State<Sso>, seen: Seen, Path(slug): Path<String>) -> Result<Response> {
    let provider = find(&sso, slug).await?;
    let at = seen.known()?;
    let work = |ours: &Ours<'_>, theirs: &str, signed| saml::metadata(ours, &saml::read_metadata(theirs)?, signed);
    let xml = with_saml(&sso, &provider, at, work).await?;
    Ok(([(header::CONTENT_TYPE, "application/samlmetadata+xml")], xml).into_response())
}

/// Begins: where the browser goes, and the cookie it takes along.
pub(super) async fn begin(
    sso: &Sso,
    provider: &Provider,
    at: String,
    link: Option<UserId>,
    back: String,
    Secure(secure): Secure,
) -> Result<(String, String)> {
    let (location, asked) = match party(sso, provider, &at)? {
        Some(party) => party.begin(sso.accounts.clock.now()).await?,
        None => {
            let work = |ours: &Ours<'_>, theirs: &str, signed| saml::begin(ours, &saml::read_metadata(theirs)?, signed);
            with_saml(sso, provider, at.clone(), work).await?
        }
    };
    let expires_at = Begun::until(sso.accounts.clock.now());
    // A form that another site's page sends brings only cookies that are marked so.
    let site = if secure && matches!(asked, Asked::Saml { .. }) { "None" } else { "Lax" };
    let link = link.map(|user| user.0);
    let sealed = Begun { provider: provider.id, origin: at, link, back, expires_at, asked }.seal(&sso.accounts.key)?;
    Ok((location, cookie(&provider.slug, &sealed, MINUTES * 60, site, secure)))
}

fn cookie(slug: &str, value: &str, seconds: i64, site: &str, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/api/sso/{slug}; Max-Age={seconds}; HttpOnly; SameSite={site}{secure}")
}

#[derive(Debug, Default, Deserialize)]
pub struct Start {
    back: Option<String>,
}

/// Sends a browser to the provider.
pub async fn start(
    _: Public,
    State(sso): State<Sso>,
    Extension(secure): Extension<Secure>,
    Extension(origin): Extension<Arc<Origin>>,
    seen: Seen,
    Path(slug): Path<String>,
    Query(query): Query<Start>,
) -> Result<Response> {
    let provider = find(&sso, slug).await?;
    if let Some(wait) = pace(&sso, &provider, &origin, secure).await? {
        return Ok(wait);
    }
    match begin(&sso, &provider, seen.known()?, None, own_path(query.back.as_deref()), secure).await {
        Ok((location, cookie)) => Ok(lead(&location, vec![cookie])),
        Err(refusal) => turn_away(&sso, &provider, refusal, &origin, secure).await,
    }
}

/// 303 to `location`, kept by nobody.
fn lead(location: &str, cookies: Vec<String>) -> Response {
    let cookies = AppendHeaders(cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie)).collect::<Vec<_>>());
    let headers = [(header::LOCATION, location.to_owned()), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::SEE_OTHER, headers, cookies).into_response()
}

/// What the browser kept of the sign-in it began.
fn kept(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let named = |pair: &str| pair.trim().strip_prefix(COOKIE)?.strip_prefix('=').map(str::to_owned);
    all.flat_map(|line| line.split(';')).find_map(named)
}

/// What an OpenID provider sends a browser back with.
#[derive(Debug, Default, Deserialize)]
pub struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    /// RFC 9207.
    iss: Option<String>,
}

/// Takes an OpenID provider's answer.
pub async fn callback(
    _: Public,
    State(sso): State<Sso>,
    Extension(secure): Extension<Secure>,
    Extension(origin): Extension<Arc<Origin>>,
    headers: HeaderMap,
    Path(slug): Path<String>,
    Query(query): Query<Callback>,
) -> Result<Response> {
    let provider = find(&sso, slug).await?;
    if let Some(wait) = pace(&sso, &provider, &origin, secure).await? {
        return Ok(wait);
    }
    let now = sso.accounts.clock.now();
    let begun = Begun::open(&sso.accounts.key, kept(&headers).as_deref(), provider.id, now);
    let proven = match begun {
        Ok((begun, spent)) => oidc_person(&sso, &provider, &begun, &query).await.map(|person| (begun, spent, person)),
        Err(refusal) => Err(refusal),
    };
    finish(&sso, provider, proven, origin, secure).await
}

async fn oidc_person(sso: &Sso, provider: &Provider, begun: &Begun, query: &Callback) -> Result<Person> {
    let Asked::Oidc { state, nonce, verifier } = &begun.asked else {
        return Err(refused("it was begun in another way"));
    };
    let party =
        party(sso, provider, &begun.origin)?.ok_or_else(|| refused("the provider is none of OpenID Connect"))?;
    let given = query.state.as_deref().unwrap_or_default();
    if !crypto::same(given.as_bytes(), state.as_bytes()) {
        return Err(refused("the answer is not to this sign-in (state)"));
    }
    if query.iss.as_deref().is_some_and(|iss| iss != party.issuer) {
        return Err(refused("the answer is another issuer's (iss)"));
    }
    if let Some(error) = &query.error {
        let error: String = error.chars().filter(char::is_ascii_graphic).take(100).collect();
        return Err(refused(format!("the provider said {error}")));
    }
    let code = query.code.as_deref().ok_or_else(|| refused("the answer has no code"))?;
    party.finish(code, nonce, verifier, &provider.attributes, sso.accounts.clock.now()).await
}

/// Takes a SAML provider's answer.
pub async fn acs(
    _: Public,
    State(sso): State<Sso>,
    Extension(secure): Extension<Secure>,
    Extension(origin): Extension<Arc<Origin>>,
    Path(slug): Path<String>,
    request: Request,
) -> Result<Response> {
    let provider = find(&sso, slug).await?;
    if let Some(wait) = pace(&sso, &provider, &origin, secure).await? {
        return Ok(wait);
    }
    let cookie = kept(request.headers());
    let body = read_body(request, saml::ANSWER_MAX).await?;
    let now = sso.accounts.clock.now();
    let proven = match Begun::open(&sso.accounts.key, cookie.as_deref(), provider.id, now) {
        Ok((begun, spent)) => saml_person(&sso, &provider, &begun, &body).await.map(|person| (begun, spent, person)),
        Err(refusal) => Err(refusal),
    };
    finish(&sso, provider, proven, origin, secure).await
}

async fn saml_person(sso: &Sso, provider: &Provider, begun: &Begun, body: &[u8]) -> Result<Person> {
    let Asked::Saml { request, relay: sent } = begun.asked.clone() else {
        return Err(refused("it was begun in another way"));
    };
    let field = |name: &str| {
        let mut found =
            form_urlencoded::parse(body).filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let first = found.next();
        first.filter(|_| found.next().is_none())
    };
    let response = field("SAMLResponse").ok_or_else(|| refused("there is not exactly one SAMLResponse in the form"))?;
    let relay = field("RelayState");
    let (attributes, now) = (provider.attributes.clone(), sso.accounts.clock.now());
    let work = move |ours: &Ours<'_>, theirs: &str, signed| {
        let answer = Answer { response: &response, relay: relay.as_deref(), request: &request, sent_relay: &sent };
        saml::finish(ours, &saml::read_metadata(theirs)?, signed, &attributes, &answer, now)
    };
    with_saml(sso, provider, begun.origin.clone(), work).await
}

/// Lets somebody in, or turns them away.
async fn finish(
    sso: &Sso,
    provider: Provider,
    proven: Result<(Begun, String, Person)>,
    origin: Arc<Origin>,
    secure: Secure,
) -> Result<Response> {
    let (begun, spent, person) = match proven {
        Ok(proven) => proven,
        Err(refusal) => return turn_away(sso, &provider, refusal, &origin, secure).await,
    };
    let (room, from, now, back) = (sso.clone(), origin.clone(), sso.accounts.clock.now(), begun.back.clone());
    let known = provider.clone();
    let write = sso.accounts.db.write(move |tx| room.admit(tx, &known, (&begun, &spent), &person, now, &from));
    let over = cookie(&provider.slug, "", 0, "Lax", secure.0);
    match write.await {
        Ok(Admitted::In(opened)) => Ok(lead(&back, vec![opened.cookie(&sso.accounts, secure)?, over])),
        Ok(Admitted::Linked) => Ok(lead(&back, vec![over])),
        Err(refusal) => turn_away(sso, &provider, refusal, &origin, secure).await,
    }
}

/// Where the browser goes when too many sign-ins from its address failed. Anybody can make them fail, and each is a line of the
/// trail.
async fn pace(sso: &Sso, provider: &Provider, origin: &Origin, secure: Secure) -> Result<Option<Response>> {
    let (key, now) = (Key::address(origin.ip_address.as_deref()), sso.accounts.clock.now());
    let read = sso.accounts.db.read(move |tx| Ok(throttle::store::count(tx, &key, now)?.locked(&key, now)));
    Ok(read.await?.map(|_| to_sign_in(provider, "login_throttled", secure)))
}

/// Leads the browser to the sign-in page with a word for the person; what was begun is over.
fn to_sign_in(provider: &Provider, code: &str, secure: Secure) -> Response {
    let over = cookie(&provider.slug, "", 0, "Lax", secure.0);
    lead(&format!("/sign-in?sso={code}&provider={}", provider.slug), vec![over])
}

/// Counts a failure and records why.
async fn turn_away(
    sso: &Sso,
    provider: &Provider,
    refusal: Error,
    origin: &Arc<Origin>,
    secure: Secure,
) -> Result<Response> {
    if matches!(refusal.kind(), Kind::Internal | Kind::Unavailable) {
        return Err(refusal);
    }
    let (org, now, origin) = (provider.organization_id.map(OrgId), sso.accounts.clock.now(), origin.clone());
    let text = format!("A sign-in with {} failed: {}", provider.name, refusal.message());
    let write = sso.accounts.db.write(move |tx| {
        throttle::store::fail(tx, &[Key::address(origin.ip_address.as_deref())], now)?;
        let event = Event::new(AuditAction::Login, "user", text.clone()).failed();
        let event = org.map_or_else(|| event.clone(), |org| event.clone().org(org));
        audit::record_as(tx, now, &Actor::anonymous("unknown name"), &origin, &event)
    });
    write.await?;
    Ok(to_sign_in(provider, refusal.code(), secure))
}

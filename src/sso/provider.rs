//! An identity provider: what is set of it, and what a good one is.
//!
//! Invariant: everything is bounded, and what cannot work is refused when it is written, naming the field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::saml;
use crate::access::{OrgId, PermissionSet};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::names;

const NAME_MAX: usize = 100;
const SLUG_MAX: usize = 50;
const DOMAINS_MAX: usize = 50;
const ROLES_MAX: usize = 200;
const TEXT_MAX: usize = 1000;
const METADATA_MAX: usize = 256 * 1024;
const JWKS_MAX: usize = 64 * 1024;

/// What of a SAML answer must be signed; the other may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SamlSigned)]
pub enum Signed {
    #[default]
    Assertion,
    Response,
    Both,
}

/// Where an OpenID provider answers, when it does not say so itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OidcEndpoints)]
pub struct Endpoints {
    pub authorization: String,
    pub token: String,
    /// Null: what the ID token says is all there is.
    #[serde(default)]
    pub userinfo: Option<String>,
    /// Null: the keys are given as `jwks`.
    #[serde(default)]
    pub jwks_uri: Option<String>,
}

/// How a provider is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = IdentityConnection)]
pub enum Connection {
    /// SAML 2.0, Web Browser SSO: HTTP-Redirect there, HTTP-POST back.
    Saml {
        /// The provider's metadata, XML, at most 256 KiB. All of its signing certificates count.
        metadata: String,
        /// What it signs; assertion, when absent.
        #[serde(default)]
        signed: Signed,
    },
    /// OpenID Connect Core 1.0: the authorization code flow with PKCE.
    Oidc {
        /// As its ID tokens name it, such as `https://id.site/realms/a`.
        issuer: String,
        client_id: String,
        /// Besides `openid`; profile and email, when absent.
        #[serde(default = "usual_scopes")]
        scopes: Vec<String>,
        /// Null: asked of the provider (OpenID Connect Discovery).
        #[serde(default)]
        endpoints: Option<Endpoints>,
        /// Its keys (RFC 7517), for a provider that cannot be asked. Null: they are.
        #[serde(default)]
        #[schema(value_type = Option<Object>)]
        jwks: Option<Value>,
    },
}

fn usual_scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

impl Connection {
    /// `saml` or `oidc`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Saml { .. } => "saml",
            Self::Oidc { .. } => "oidc",
        }
    }
}

/// The names of the attributes (SAML) or claims (OIDC) that are read; null: the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = IdentityAttributes)]
pub struct Attributes {
    /// SAML only: what names somebody for good in the place of the NameID.
    pub subject: Option<String>,
    pub username: Option<String>,
    pub email: Option<String>,
    pub groups: Option<String>,
}

/// A certificate that counts, and until when.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SigningCertificate {
    /// Of its DER form, hexadecimal.
    pub sha256: String,
    pub subject: String,
    pub not_after: Time,
    /// `valid`, `expiring` within 30 days, or `expired`.
    pub state: String,
}

/// Addresses of this site, which the provider has to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = IdentityAddresses)]
pub struct Addresses {
    /// Where people begin to sign in.
    pub start: String,
    /// SAML: our metadata, and what we are called (entity ID, audience).
    pub metadata: Option<String>,
    /// SAML: where answers are posted (assertion consumer service).
    pub acs: Option<String>,
    /// OIDC: where browsers come back to (redirect URI).
    pub callback: Option<String>,
}

/// An address of a provider's on this site.
pub fn address(origin: &str, slug: &str, end: &str) -> String {
    format!("{origin}/api/sso/{slug}/{end}")
}

impl Addresses {
    /// Of a provider of the `kind`, on the site that browsers see at `origin`.
    pub fn of(origin: &str, slug: &str, kind: &str) -> Self {
        let at = |end: &str| address(origin, slug, end);
        let (saml, oidc) = (kind == "saml", kind == "oidc");
        Self {
            start: at("start"),
            metadata: saml.then(|| at("metadata")),
            acs: saml.then(|| at("acs")),
            callback: oidc.then(|| at("callback")),
        }
    }
}

/// An identity provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = IdentityProvider)]
pub struct Provider {
    pub id: i64,
    /// Null: the site's own.
    pub organization_id: Option<i64>,
    pub name: String,
    /// In its addresses; it does not change.
    pub slug: String,
    pub enabled: bool,
    pub domains: Vec<String>,
    pub provision: bool,
    pub default_role: Option<String>,
    pub second_factor: bool,
    pub attributes: Attributes,
    pub roles: BTreeMap<String, String>,
    pub connection: Connection,
    /// Whether a client secret is kept; never shown.
    pub has_secret: bool,
    /// SAML: those of its metadata.
    pub certificates: Vec<SigningCertificate>,
    /// Null in a command on the server itself, unless `server.public_url` is set.
    pub addresses: Option<Addresses>,
    pub created_at: Time,
    pub updated_at: Time,
    /// What its author held where its roles are given.
    #[serde(skip)]
    pub roles_within: PermissionSet,
    /// Our certificate, PEM.
    #[serde(skip)]
    pub certificate: Option<String>,
    #[serde(skip)]
    pub sealed: Option<Vec<u8>>,
}

impl Provider {
    /// Where the secret is sealed for.
    pub(super) fn place(id: i64) -> String {
        format!("sso_providers.secret_sealed.{id}")
    }
}

/// What may be set of a provider. All of it is replaced, but the secret, which stays when it is absent.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IdentityProviderChange)]
pub struct ProviderChange {
    /// As people read it: "Sign in with NAME".
    pub name: String,
    /// Whether people sign in with it; true when absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// E-mail domains whose people are shown it, and for whose addresses alone it makes accounts; empty: for all.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Whether a first sign-in makes an account; else people link theirs while they are signed in.
    #[serde(default)]
    pub provision: bool,
    /// The role in the organisation of who comes the first time; null: none.
    #[serde(default)]
    pub default_role: Option<String>,
    /// Whether it always asks for two factors, so that its sessions count as such.
    #[serde(default)]
    pub second_factor: bool,
    #[serde(default)]
    pub attributes: Attributes,
    /// Groups of the provider and the role in the organisation each gives. At each sign-in the roles named here are given to
    /// who is in such a group and taken from who is not.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    pub connection: Connection,
    /// OIDC: the client's secret; absent: as it was, or none. Empty: none any more.
    #[serde(default)]
    pub client_secret: Option<String>,
}

fn yes() -> bool {
    true
}

fn wrong(field: &str, why: impl Into<String>) -> Error {
    Error::invalid("invalid_sso_provider", why).field(field)
}

/// # Errors
/// `invalid_slug`.
pub fn check_slug(slug: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: Option<char>| c.is_some_and(|c| c != '-');
    if (2..=SLUG_MAX).contains(&slug.len())
        && slug.chars().all(plain)
        && ends(slug.chars().next())
        && ends(slug.chars().last())
        // The address of the list of providers.
        && slug != "providers"
    {
        return Ok(());
    }
    let message = format!("A slug has 2 to {SLUG_MAX} of a-z, 0-9 and dashes between them, and is not `providers`.");
    Err(Error::invalid("invalid_slug", message).field("slug"))
}

impl ProviderChange {
    /// Puts what was given into its form.
    ///
    /// # Errors
    /// `invalid_sso_provider` and `invalid_name`, naming the field.
    pub fn checked(mut self) -> Result<Self> {
        self.name = names::check_field(&self.name, "name", NAME_MAX)?;
        if self.domains.len() > DOMAINS_MAX {
            return Err(wrong("domains", format!("There are at most {DOMAINS_MAX} domains.")));
        }
        for domain in &mut self.domains {
            *domain = domain.trim().to_ascii_lowercase();
            let good = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
            if domain.is_empty() || domain.len() > 253 || !domain.chars().all(good) {
                return Err(wrong("domains", "A domain is written like example.org."));
            }
        }
        if self.roles.len() > ROLES_MAX || self.roles.keys().any(|group| group.is_empty() || group.len() > TEXT_MAX) {
            return Err(wrong("roles", format!("At most {ROLES_MAX} groups, each of 1 to {TEXT_MAX} bytes.")));
        }
        let Attributes { subject, username, email, groups } = &self.attributes;
        if [subject, username, email, groups].into_iter().flatten().any(|name| name.is_empty() || name.len() > TEXT_MAX)
        {
            return Err(wrong("attributes", format!("The name of an attribute has 1 to {TEXT_MAX} bytes.")));
        }
        self.check_connection()?;
        Ok(self)
    }

    /// Whether it gives roles where there are none to give.
    ///
    /// # Errors
    /// `invalid_sso_provider` for roles of a provider of the site.
    pub fn check_roles(&self, org: Option<OrgId>) -> Result<()> {
        if org.is_none() && (self.default_role.is_some() || !self.roles.is_empty()) {
            return Err(wrong("roles", "Roles are given in an organisation, and this is a provider of the site."));
        }
        Ok(())
    }

    fn check_connection(&self) -> Result<()> {
        match &self.connection {
            Connection::Saml { metadata, .. } => {
                if self.client_secret.as_ref().is_some_and(|secret| !secret.is_empty()) {
                    return Err(wrong("client_secret", "A SAML provider has no client secret."));
                }
                if metadata.len() > METADATA_MAX {
                    return Err(wrong("connection.metadata", "The metadata has more than 256 KiB."));
                }
                saml::read_metadata(metadata).map(drop)
            }
            Connection::Oidc { issuer, client_id, scopes, endpoints, jwks } => {
                check_url(issuer, "connection.issuer")?;
                if client_id.is_empty() || client_id.len() > TEXT_MAX {
                    return Err(wrong("connection.client_id", "The client id has 1 to 1000 bytes."));
                }
                let scope =
                    |scope: &String| scope.is_empty() || scope.len() > 100 || scope.contains(char::is_whitespace);
                if scopes.len() > 20 || scopes.iter().any(scope) {
                    return Err(wrong("connection.scopes", "At most 20 scopes, each a word."));
                }
                if self.client_secret.as_ref().is_some_and(|secret| secret.len() > TEXT_MAX) {
                    return Err(wrong("client_secret", "The secret has more than 1000 bytes."));
                }
                if let Some(keys) = jwks {
                    let read: Result<jsonwebtoken::jwk::JwkSet, _> = serde_json::from_value(keys.clone());
                    if keys.to_string().len() > JWKS_MAX || read.is_err() {
                        return Err(wrong("connection.jwks", "It is not a set of keys (RFC 7517) of at most 64 KiB."));
                    }
                }
                let Some(endpoints) = endpoints else { return Ok(()) };
                check_url(&endpoints.authorization, "connection.endpoints.authorization")?;
                check_url(&endpoints.token, "connection.endpoints.token")?;
                for url in [&endpoints.userinfo, &endpoints.jwks_uri].into_iter().flatten() {
                    check_url(url, "connection.endpoints")?;
                }
                if endpoints.jwks_uri.is_none() && jwks.is_none() {
                    let why = "Say where its keys are (jwks_uri), or give them as `jwks`.";
                    return Err(wrong("connection.endpoints.jwks_uri", why));
                }
                Ok(())
            }
        }
    }
}

/// An address of a provider: https, or http for one that is on this machine or in a test.
fn check_url(url: &str, field: &str) -> Result<()> {
    let parsed = url.parse::<axum::http::Uri>().ok();
    let good = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.authority().is_some_and(|at| !at.as_str().contains('@'))
    });
    if good && url.len() <= TEXT_MAX {
        return Ok(());
    }
    Err(wrong(field, "It is not an address that begins with https:// or http://."))
}

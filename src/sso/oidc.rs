//! OpenID Connect Core 1.0 as a relying party: the authorization code flow with PKCE (RFC 7636).
//!
//! Invariant: an ID token counts when one of the provider's keys signed it with an asymmetric algorithm, and issuer,
//! audience, authorised party, times and nonce are those of the sign-in that this browser began. Signatures are the JWT
//! library's; claims are checked here, against the clock that the rest of the product goes by.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::Serializer;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use super::begun::Asked;
use super::http::Dialler;
use super::provider::{Attributes, Connection, Endpoints};
use super::{LEEWAY, Person, refused};
use crate::base::clock::Time;
use crate::base::crypto;
use crate::base::error::Result;

/// Never `none`, and no shared secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// What a provider that proves two factors calls it (RFC 8176).
const STRONG: [&str; 1] = ["mfa"];
const GROUPS_MAX: usize = 1000;

/// A provider with what is asked of it.
pub struct Party<'a> {
    pub dialler: Dialler,
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub secret: Option<String>,
    pub scopes: &'a [String],
    endpoints: Option<&'a Endpoints>,
    jwks: Option<&'a Value>,
    /// Where its answers go.
    pub callback: String,
}

impl<'a> Party<'a> {
    /// None for a connection of another kind.
    pub fn of(connection: &'a Connection, dialler: Dialler, secret: Option<String>, callback: String) -> Option<Self> {
        let Connection::Oidc { issuer, client_id, scopes, endpoints, jwks } = connection else { return None };
        let (endpoints, jwks) = (endpoints.as_ref(), jwks.as_ref());
        Some(Self { dialler, issuer, client_id, secret, scopes, endpoints, jwks, callback })
    }

    /// Where it answers: as set, else as it says itself.
    ///
    /// # Errors
    /// `sso_refused`, saying what went wrong.
    async fn endpoints(&self, now: Time, anew: bool) -> Result<Endpoints> {
        if let Some(endpoints) = self.endpoints {
            return Ok(endpoints.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let said = self.dialler.said(&url, now, anew).await?;
        if said["issuer"].as_str() != Some(self.issuer) {
            return Err(refused(format!("{url} names another issuer than {}", self.issuer)));
        }
        let text = |name: &str| said[name].as_str().map(str::to_owned);
        let needed = |name: &str| text(name).ok_or_else(|| refused(format!("{url} does not say its {name}")));
        Ok(Endpoints {
            authorization: needed("authorization_endpoint")?,
            token: needed("token_endpoint")?,
            userinfo: text("userinfo_endpoint"),
            jwks_uri: text("jwks_uri"),
        })
    }

    /// # Errors
    /// `sso_refused`, saying what went wrong.
    async fn keys(&self, endpoints: &Endpoints, now: Time, anew: bool) -> Result<JwkSet> {
        let keys = match (self.jwks, &endpoints.jwks_uri) {
            (Some(keys), _) => keys.clone(),
            (None, Some(url)) => self.dialler.said(url, now, anew).await?,
            (None, None) => return Err(refused("where the provider's keys are is not known")),
        };
        serde_json::from_value(keys).map_err(|_| refused("the provider's keys cannot be read"))
    }

    /// Where to send a browser that begins, and what its answer is held against.
    ///
    /// # Errors
    /// `sso_refused` when the provider does not say where.
    pub async fn begin(&self, now: Time) -> Result<(String, Asked)> {
        let endpoints = self.endpoints(now, false).await?;
        let (state, nonce, verifier) = (crypto::random_token()?, crypto::random_token()?, crypto::random_token()?);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        let mut scope = vec!["openid"];
        scope.extend(self.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", &self.callback)
            .append_pair("scope", &scope.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let joint = if endpoints.authorization.contains('?') { '&' } else { '?' };
        Ok((format!("{}{joint}{query}", endpoints.authorization), Asked::Oidc { state, nonce, verifier }))
    }

    /// Who somebody is, by the code their browser brought.
    ///
    /// # Errors
    /// `sso_refused` with the check that failed.
    pub async fn finish(
        &self,
        code: &str,
        nonce: &str,
        verifier: &str,
        attributes: &Attributes,
        now: Time,
    ) -> Result<Person> {
        let endpoints = self.endpoints(now, false).await?;
        let (form, basic) = self.exchange(code, verifier);
        let answer = self.dialler.post_form(&endpoints.token, basic.as_deref(), form).await?;
        let token = answer["id_token"].as_str().ok_or_else(|| refused("the provider gave no ID token"))?;
        let claims = match verified(token, &self.keys(&endpoints, now, false).await?)? {
            Some(claims) => Some(claims),
            // It may have changed its keys a moment ago.
            None => verified(token, &self.keys(&endpoints, now, true).await?)?,
        };
        let mut claims = claims.ok_or_else(|| refused("none of the provider's keys signed the ID token"))?;
        check(&claims, self.issuer, self.client_id, nonce, now)?;
        if let (Some(url), Some(access)) = (&endpoints.userinfo, answer["access_token"].as_str()) {
            let more = self.dialler.get(url, Some(access)).await?;
            // OpenID Connect Core 1.0, section 5.3.2.
            if more["sub"] != claims["sub"] {
                return Err(refused("userinfo is about somebody else (sub)"));
            }
            if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), more) {
                for (name, value) in more {
                    claims.entry(name).or_insert(value);
                }
            }
        }
        person(&claims, attributes)
    }

    /// What is asked for a code: the form, and the credentials where there is a secret.
    fn exchange(&self, code: &str, verifier: &str) -> (String, Option<String>) {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.callback)
            .append_pair("code_verifier", verifier);
        let Some(secret) = &self.secret else {
            return (form.append_pair("client_id", self.client_id).finish(), None);
        };
        // RFC 6749, section 2.3.1: both are form-encoded first.
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = STANDARD.encode(format!("{}:{}", encoded(self.client_id), encoded(secret)));
        (form.finish(), Some(basic))
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

/// The claims of a token that one of the keys signed; None when none of them did.
fn verified(token: &str, keys: &JwkSet) -> Result<Option<Value>> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| refused("the ID token cannot be read"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(refused(format!("the ID token is signed with {:?}, which is not accepted", header.alg)));
    }
    let named = |key: &&jsonwebtoken::jwk::Jwk| header.kid.is_none() || key.common.key_id == header.kid;
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    for key in keys.keys.iter().filter(named) {
        let Ok(key) = DecodingKey::from_jwk(key) else { continue };
        if let Ok(read) = jsonwebtoken::decode::<Value>(token, &key, &validation) {
            return Ok(Some(read.claims));
        }
    }
    Ok(None)
}

/// OpenID Connect Core 1.0, section 3.1.3.7.
fn check(claims: &Value, issuer: &str, client_id: &str, nonce: &str, now: Time) -> Result<()> {
    let wrong = |claim: &str, why: &str| Err(refused(format!("the ID token's {claim} {why}")));
    if claims["iss"].as_str() != Some(issuer) {
        return wrong("iss", "is not the issuer that is set");
    }
    let audience: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&client_id) {
        return wrong("aud", "is not this client");
    }
    let authorised = claims.get("azp").map(|azp| azp.as_str().unwrap_or_default());
    if authorised.is_some_and(|azp| azp != client_id) || (audience.len() > 1 && authorised.is_none()) {
        return wrong("azp", "is not this client");
    }
    let seconds = |claim: &str| claims[claim].as_f64().map(|at| at as i64);
    let clock = now.unix_seconds();
    match seconds("exp") {
        Some(exp) if exp.saturating_add(LEEWAY) > clock => {}
        _ => return wrong("exp", "is past: it has ended, or the clocks differ"),
    }
    match seconds("iat") {
        Some(iat) if iat <= clock.saturating_add(LEEWAY) => {}
        _ => return wrong("iat", "is to come: the clocks differ"),
    }
    if seconds("nbf").is_some_and(|nbf| nbf > clock.saturating_add(LEEWAY)) {
        return wrong("nbf", "is to come: the clocks differ");
    }
    let same = claims["nonce"].as_str().is_some_and(|given| crypto::same(given.as_bytes(), nonce.as_bytes()));
    if same { Ok(()) } else { wrong("nonce", "is not of this sign-in") }
}

fn person(claims: &Value, attributes: &Attributes) -> Result<Person> {
    let text = |name: &str| claims[name].as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let subject = text("sub").ok_or_else(|| refused("the ID token has no sub"))?;
    let named = |name: &Option<String>, usual: &str| text(name.as_deref().unwrap_or(usual));
    let groups = match &claims[attributes.groups.as_deref().unwrap_or("groups")] {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().take(GROUPS_MAX).filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let strong = claims["amr"]
        .as_array()
        .is_some_and(|amr| amr.iter().filter_map(Value::as_str).any(|method| STRONG.contains(&method)));
    // One's own word for it is no proof of an address.
    let email = named(&attributes.email, "email").filter(|_| claims["email_verified"] != Value::Bool(false));
    let username = named(&attributes.username, "preferred_username");
    Ok(Person { subject, username, email, groups, strong, once: Vec::new() })
}

/// Looks at a provider without anybody signing in: what it says of itself, and its keys.
///
/// # Errors
/// `sso_refused`, saying what went wrong.
pub async fn look(party: &Party<'_>, now: Time) -> Result<(Endpoints, usize)> {
    let endpoints = party.endpoints(now, true).await?;
    let keys = party.keys(&endpoints, now, true).await?;
    let usable = keys.keys.iter().filter(|key| DecodingKey::from_jwk(key).is_ok()).count();
    if usable == 0 {
        return Err(refused("the provider has no key that could be used"));
    }
    Ok((endpoints, usable))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::clock::SECOND;

    const NOW: Time = Time(1_800_000_000 * SECOND);

    fn claims() -> Value {
        json!({"iss": "https://id.site", "aud": "app", "sub": "7", "nonce": "n", "exp": 1_800_000_060,
            "iat": 1_799_999_990})
    }

    fn verdict(claims: &Value) -> Result<(), String> {
        check(claims, "https://id.site", "app", "n", NOW).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_token_of_this_sign_in_counts_and_no_other() {
        assert_eq!(verdict(&claims()), Ok(()));
        for (claim, value, named) in [
            ("iss", json!("https://id.site/"), "iss"),
            ("iss", Value::Null, "iss"),
            ("aud", json!("other"), "aud"),
            ("aud", json!([]), "aud"),
            ("aud", json!(["app", "other"]), "azp"),
            ("azp", json!("other"), "azp"),
            ("azp", json!(7), "azp"),
            ("nonce", json!("m"), "nonce"),
            ("nonce", Value::Null, "nonce"),
            ("exp", json!(1_799_999_880), "exp"),
            ("exp", Value::Null, "exp"),
            ("exp", json!("soon"), "exp"),
            ("iat", json!(1_800_000_121), "iat"),
            ("nbf", json!(1_800_000_121), "nbf"),
        ] {
            let mut changed = claims();
            changed[claim] = value;
            let why = verdict(&changed).unwrap_err();
            assert!(why.contains(&format!("ID token's {named} ")), "{changed}: {why}");
        }
        let mut several = claims();
        several["aud"] = json!(["other", "app"]);
        several["azp"] = json!("app");
        assert_eq!(verdict(&several), Ok(()));
    }

    #[test]
    fn an_unsigned_token_and_one_with_a_shared_secret_are_refused() {
        let keys = JwkSet { keys: Vec::new() };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for header in [json!({"alg": "none"}), json!({"alg": "HS256"}), json!({"alg": "RS256"})] {
            let token = format!("{}.{}.", part(&header), part(&claims()));
            assert!(!matches!(verified(&token, &keys), Ok(Some(_))), "{header}");
        }
    }

    #[test]
    fn an_address_that_nobody_verified_is_not_taken() {
        let mut said = claims();
        said["email"] = json!("a@b.example");
        assert_eq!(person(&said, &Attributes::default()).unwrap().email.as_deref(), Some("a@b.example"));
        said["email_verified"] = json!(false);
        assert_eq!(person(&said, &Attributes::default()).unwrap().email, None);
    }
}

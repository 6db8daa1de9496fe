//! SAML 2.0 as a service provider: Web Browser SSO, HTTP-Redirect there, HTTP-POST back.
//!
//! Invariant: an assertion counts when what the provider must sign is signed with RSA and SHA-2 by a certificate of its
//! metadata, it is for us (audience, recipient), for now (with two minutes of leeway), and the answer to the request that
//! this browser began. The library checks all of that; every field of its policy is set by name, for its presets differ.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use saml_rs::constants::CertUse;
use saml_rs::{
    AcsEndpoint, AssertionSignaturePolicy, AudienceValidationPolicy, AuthnRequestSigningPolicy, CertificatePem,
    ClockSkew, Credentials, EntityId, FormField, IdpDescriptor, LogoutPolicy, LogoutSignaturePolicy,
    MetadataTrustPolicy, NameIdCreationPolicy, NameIdFormat, PendingAuthnRequest, PendingSnapshot, PrivateKeyPem,
    RelayStateParam, ReplayCache, ReplayKey, ReplayPolicy, ResponseSignaturePolicy, Saml, SamlError,
    SamlValidationContext, Sp, SpConfig, SpValidationPolicy, SsoResponse, SsoSession, StartSso, XmlEncryptionPolicy,
    XmlPolicy, XmlSignatureProfile,
};

use super::begun::Asked;
use super::provider::{Attributes, Signed, SigningCertificate, address};
use super::{LEEWAY, Person, refused};
use crate::base::clock::{DAY, SECOND, Time};
use crate::base::crypto;
use crate::base::error::{Error, Result};

/// The longest answer of a provider, as the form field has it.
pub const ANSWER_MAX: usize = 512 * 1024;
/// A certificate that ends within as many days is told about.
pub const EXPIRING: i64 = 30;
/// The attributes that are read when none are named: as LDAP names them, by OID, and by Microsoft.
const USERNAMES: &[&str] = &["uid", "urn:oid:0.9.2342.19200300.100.1.1", "username", "preferred_username"];
const EMAILS: &[&str] = &[
    "mail",
    "email",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
];
const GROUPS: &[&str] =
    &["groups", "memberOf", "eduPersonAffiliation", "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"];

/// Our own end of a connection.
pub struct Ours<'a> {
    /// Where the browser sees the site.
    pub origin: &'a str,
    pub slug: &'a str,
    /// PEM.
    pub key: &'a str,
    /// PEM.
    pub certificate: &'a str,
}

impl Ours<'_> {
    pub fn entity(&self) -> String {
        address(self.origin, self.slug, "metadata")
    }

    fn acs(&self) -> String {
        address(self.origin, self.slug, "acs")
    }
}

/// Makes a key pair of ours with its certificate, both PEM: RSA, for providers that know nothing else.
///
/// # Errors
/// When the library fails, which is a fault of ours.
pub fn key_pair(slug: &str) -> Result<(String, String)> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(Error::internal)?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("ResoftAI {slug}"));
    params.distinguished_name = name;
    // Providers pin it: it has no end that would lock people out one day.
    let certificate = params.self_signed(&key).map_err(Error::internal)?;
    Ok((key.serialize_pem(), certificate.pem()))
}

fn bad_metadata(why: impl std::fmt::Display) -> Error {
    let message = format!("The metadata cannot be used: {why}. Export it from the identity provider again.");
    Error::invalid("invalid_sso_metadata", message).field("connection.metadata")
}

/// Reads a provider's metadata: one provider with a redirect endpoint and a signing certificate that can be read.
///
/// # Errors
/// `invalid_sso_metadata`, saying what is wrong.
pub fn read_metadata(xml: &str) -> Result<IdpDescriptor> {
    // Who may write settings vouches for it, so its signature adds nothing.
    let read = IdpDescriptor::from_metadata_xml(xml, MetadataTrustPolicy::UnsignedForCompatibility);
    let idp = read.map_err(|cause| bad_metadata(text(&cause)))?;
    let binding = saml_rs::constants::Binding::Redirect;
    let redirect = idp
        .metadata()
        .get_single_sign_on_service(binding)
        .ok_or_else(|| bad_metadata("it has no SingleSignOnService with the binding HTTP-Redirect"))?;
    if !(redirect.starts_with("https://") || redirect.starts_with("http://")) {
        return Err(bad_metadata("its SingleSignOnService is no web address"));
    }
    if idp.metadata().x509_certificates(CertUse::Signing).is_empty() {
        return Err(bad_metadata("it has no signing certificate"));
    }
    certificates(&idp, Time(0)).map(|_| idp)
}

/// The signing certificates of a provider, as they stand at `now`.
///
/// # Errors
/// `invalid_sso_metadata` when one cannot be read.
pub fn certificates(idp: &IdpDescriptor, now: Time) -> Result<Vec<SigningCertificate>> {
    let texts = idp.metadata().x509_certificates(CertUse::Signing);
    texts
        .iter()
        .map(|text| {
            let bare: String = text.split_whitespace().filter(|line| !line.contains("-----")).collect();
            let der = STANDARD.decode(bare).map_err(|_| bad_metadata("a certificate in it is not Base64"))?;
            let (_, read) = x509_parser::parse_x509_certificate(&der)
                .map_err(|_| bad_metadata("a certificate in it is not X.509"))?;
            let not_after = Time(read.validity().not_after.timestamp().saturating_mul(SECOND));
            let state = match not_after {
                ends if ends <= now => "expired",
                ends if ends <= now.plus(EXPIRING * DAY) => "expiring",
                _ => "valid",
            };
            let subject = read.subject().to_string().chars().take(200).collect();
            Ok(SigningCertificate { sha256: crypto::sha256_hex(&der), subject, not_after, state: state.to_owned() })
        })
        .collect()
}

/// Our end, for a provider that signs `signed`; whether we sign is what the provider wants.
fn service(ours: &Ours<'_>, signed: Signed, sign_requests: bool, encrypted: bool) -> Result<Saml<Sp>> {
    let (assertions, responses) = match signed {
        Signed::Assertion => (AssertionSignaturePolicy::RequireSigned, ResponseSignaturePolicy::RequireForEncryptedCbc),
        Signed::Response => {
            (AssertionSignaturePolicy::AllowUnsignedForCompatibility, ResponseSignaturePolicy::RequireSigned)
        }
        Signed::Both => (AssertionSignaturePolicy::RequireSigned, ResponseSignaturePolicy::RequireSigned),
    };
    let authn_requests = match sign_requests {
        true => AuthnRequestSigningPolicy::Sign,
        false => AuthnRequestSigningPolicy::DoNotSignForCompatibility,
    };
    let validation = SpValidationPolicy {
        assertions,
        responses,
        xml_signatures: XmlSignatureProfile::StrictRsaSha2,
        authn_requests,
        audience: AudienceValidationPolicy::Validate,
        name_id_creation: NameIdCreationPolicy::AllowCreate,
        logout: LogoutPolicy {
            requests: LogoutSignaturePolicy::RequireSigned,
            responses: LogoutSignaturePolicy::RequireSigned,
        },
    };
    let encryption = match encrypted {
        true => XmlEncryptionPolicy::encrypt_assertions(),
        false => XmlEncryptionPolicy::default(),
    };
    let credentials = Credentials {
        signing_key: Some(PrivateKeyPem::new(ours.key)),
        signing_certificate: Some(CertificatePem::new(ours.certificate)),
        encryption_certificate: Some(CertificatePem::new(ours.certificate)),
        decryption_key: Some(PrivateKeyPem::new(ours.key)),
        ..Credentials::default()
    };
    let build = || {
        let config = SpConfig::builder(EntityId::try_new(ours.entity())?)
            .acs_endpoint(AcsEndpoint::post(ours.acs())?)
            .name_id_format(NameIdFormat::Persistent)
            .credentials(credentials)
            .validation(validation)
            .xml(XmlPolicy { encryption, ..XmlPolicy::default() })
            .build()?;
        Saml::sp(config)
    };
    build().map_err(|cause: SamlError| Error::internal(cause.to_string()))
}

/// Our metadata, for the provider: what we are called, where answers go, our certificate.
///
/// # Errors
/// When the library fails, which is a fault of ours.
pub fn metadata(ours: &Ours<'_>, idp: &IdpDescriptor, signed: Signed) -> Result<String> {
    let service = service(ours, signed, wants_signed(idp), false)?;
    Ok(service.metadata_xml().to_owned())
}

fn wants_signed(idp: &IdpDescriptor) -> bool {
    idp.metadata().is_want_authn_requests_signed()
}

/// Where to send a browser that begins, and what its answer is held against.
///
/// # Errors
/// `sso_refused` when the provider's metadata does not allow it.
pub fn begin(ours: &Ours<'_>, idp: &IdpDescriptor, signed: Signed) -> Result<(String, Asked)> {
    let service = service(ours, signed, wants_signed(idp), false)?;
    let relay = crypto::random_token()?;
    let begin = || {
        let start = StartSso::redirect().relay_state(RelayStateParam::try_from_option(Some(relay.clone()))?);
        let started = service.start_sso(idp, start)?;
        let request = started.pending.request_id().as_str().to_owned();
        Ok((started.outbound.redirect_url()?.to_owned(), request))
    };
    let (location, request) = begin().map_err(|cause: SamlError| refused(text(&cause)))?;
    Ok((location, Asked::Saml { request, relay }))
}

/// Collects what must not come again; whether it did is the database's word, in the write that depends on it.
#[derive(Default)]
struct Once(Vec<String>);

impl ReplayCache for Once {
    fn check_and_store(&mut self, key: ReplayKey, _: SystemTime) -> Result<(), SamlError> {
        self.0.push(key.cache_key());
        Ok(())
    }
}

/// What came back to us.
pub struct Answer<'a> {
    /// The form field `SAMLResponse`.
    pub response: &'a str,
    /// The form field `RelayState`.
    pub relay: Option<&'a str>,
    pub request: &'a str,
    pub sent_relay: &'a str,
}

/// Who somebody is, by an answer that holds.
///
/// # Errors
/// `sso_refused` with the check that failed.
pub fn finish(
    ours: &Ours<'_>,
    idp: &IdpDescriptor,
    signed: Signed,
    attributes: &Attributes,
    answer: &Answer<'_>,
    now: Time,
) -> Result<Person> {
    let xml = STANDARD.decode(answer.response.split_whitespace().collect::<String>());
    let xml = xml.map_err(|_| refused("the answer is not Base64"))?;
    // The library decrypts, or does not, as it is told; the answer is verified in full either way.
    let encrypted = String::from_utf8_lossy(&xml).contains("EncryptedAssertion");
    let service = service(ours, signed, wants_signed(idp), encrypted)?;
    let mut once = Once::default();
    let finish = |once: &mut Once| {
        let snapshot = PendingSnapshot::authn_request(
            answer.request,
            RelayStateParam::try_from_option(Some(answer.sent_relay))?,
            idp.entity_id().as_str(),
            "post",
            ours.acs(),
            "post",
        );
        let pending = PendingAuthnRequest::from_snapshot(snapshot)?;
        let mut fields = vec![FormField::new("SAMLResponse", answer.response)];
        fields.extend(answer.relay.map(|relay| FormField::new("RelayState", relay)));
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(now.0.unsigned_abs());
        let checks = SamlValidationContext::new(at, ReplayPolicy::RequireCache(once))
            .with_clock_skew(ClockSkew::from_millis(-LEEWAY * 1000, LEEWAY * 1000));
        service.finish_sso(idp, &pending, saml_rs::BrowserInput::<SsoResponse>::post(fields), checks)
    };
    let session = finish(&mut once).map_err(|cause: SamlError| refused(text(&cause)))?;
    let once = once.0.iter().map(|key| crypto::sha256_hex(format!("{} {key}", idp.entity_id().as_str()).as_bytes()));
    let person = person(&session, attributes)?;
    Ok(Person { once: once.collect(), ..person })
}

fn person(session: &SsoSession, attributes: &Attributes) -> Result<Person> {
    let values = |named: &Option<String>, usual: &[&str]| -> Vec<String> {
        let found = match named {
            Some(name) => session.attributes().get(name),
            None => usual.iter().find_map(|name| session.attributes().get(name)),
        };
        found
            .map(|found| found.values().iter().map(|value| value.as_str().trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let first = |named, usual: &[&str]| values(named, usual).into_iter().find(|value| !value.is_empty());
    let subject = match &attributes.subject {
        Some(name) => first(&attributes.subject, &[]).ok_or_else(|| {
            refused(format!("the assertion has no attribute {name}, which is to name people for good"))
        })?,
        None => {
            let lasting = match session.name_id().format() {
                Some(format) => matches!(format, NameIdFormat::Persistent),
                None => false,
            };
            if !lasting {
                return Err(refused(
                    "the NameID is not of the format persistent; let the provider send such a one, or set \
                     attributes.subject to an attribute that names people for good",
                ));
            }
            session.name_id().value().to_owned()
        }
    };
    Ok(Person {
        subject,
        username: first(&attributes.username, USERNAMES),
        email: first(&attributes.email, EMAILS),
        groups: values(&attributes.groups, GROUPS),
        strong: false,
        once: Vec::new(),
    })
}

/// What the library says, short enough for the trail: it may quote what it was given.
fn text(cause: &SamlError) -> String {
    let why: String = cause.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
    format!("SAML: {why}")
}

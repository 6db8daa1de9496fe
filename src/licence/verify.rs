//! Licences and revocation lists as files: compact JWS (RFC 7515) signed with Ed25519 (RFC 8037), which any JWT tool opens.
//!
//! Invariants: the algorithm is `EdDSA` and nothing else, whatever the header asks for; the key is one of the ring's, named
//! by `kid`; `typ` keeps a licence from passing for a list. Nothing of the payload is read before the signature holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Claims, Revocations};
use crate::base::crypto::hex;
use crate::base::error::{Error, Kind, Result};
use crate::base::note::{Signer, Verifier};

/// The public keys of the vendor, in the form of signed-note: a JSON list of texts.
const BUILT_IN: &str = include_str!("keys.json");
/// The most bytes of a licence.
pub const LICENCE_BYTES: usize = 64 * 1024;
/// The most bytes of a revocation list.
pub const LIST_BYTES: usize = 512 * 1024;
/// Characters of a foreign header that are shown.
const SHOWN: usize = 80;

/// What a file is, as its header's `typ` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Licence,
    Revocations,
}

impl Form {
    fn typ(self) -> &'static str {
        match self {
            Self::Licence => "resoftai-license+jwt",
            Self::Revocations => "resoftai-revocations+jwt",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Licence => "licence",
            Self::Revocations => "revocation list",
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Licence => LICENCE_BYTES,
            Self::Revocations => LIST_BYTES,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11); there are none that we do.
    #[serde(skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// A key that licences may be signed with.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    pub verifier: Verifier,
    /// Whether it is in the binary, and not in the site's settings.
    pub built_in: bool,
}

impl TrustedKey {
    /// How files and lists name it: `name+id`.
    pub fn id(&self) -> String {
        key_id(&self.verifier)
    }
}

/// The `kid` of a key.
pub fn key_id(verifier: &Verifier) -> String {
    format!("{}+{}", verifier.name(), hex(&verifier.id()))
}

/// The keys that count here.
#[derive(Debug, Clone)]
pub struct Keyring(Vec<TrustedKey>);

impl Keyring {
    /// Those of the binary, and `own`.
    ///
    /// # Errors
    /// When those of the binary cannot be read.
    pub fn new(own: &[Verifier]) -> Result<Self> {
        let texts: Vec<String> = serde_json::from_str(BUILT_IN).map_err(Error::internal)?;
        let built_in = texts.iter().map(|text| Verifier::parse(text).map_err(Error::internal));
        let mut keys: Vec<TrustedKey> = Vec::new();
        for verifier in built_in {
            keys.push(TrustedKey { verifier: verifier?, built_in: true });
        }
        keys.extend(own.iter().map(|key| TrustedKey { verifier: key.clone(), built_in: false }));
        Ok(Self(keys))
    }

    /// The ids of its keys.
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(TrustedKey::id).collect()
    }

    /// Reads a licence; its dates are not looked at.
    ///
    /// # Errors
    /// `licence_too_large`, `licence_malformed`, `licence_algorithm`, `licence_type`, `licence_unknown_key`,
    /// `licence_signature`, `licence_claims`.
    pub fn licence(&self, file: &str) -> Result<(Claims, &TrustedKey)> {
        let (claims, key) = self.open::<Claims>(file, Form::Licence)?;
        claims.check()?;
        Ok((claims, key))
    }

    /// Reads a revocation list.
    ///
    /// # Errors
    /// Those of [`Keyring::licence`].
    pub fn revocations(&self, file: &str) -> Result<(Revocations, &TrustedKey)> {
        let (list, key) = self.open::<Revocations>(file, Form::Revocations)?;
        list.check()?;
        Ok((list, key))
    }

    fn open<T: DeserializeOwned>(&self, file: &str, form: Form) -> Result<(T, &TrustedKey)> {
        let what = form.words();
        if file.len() > form.most() {
            let message = format!("A {what} has at most {} bytes; this has {}.", form.most(), file.len());
            return Err(Error::new(Kind::TooLarge, "licence_too_large", message));
        }
        let token = file.trim();
        let key = self.key(&header(token, form)?)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims::<&str>(&[]);
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        let public = DecodingKey::from_ed_der(key.verifier.public());
        match jsonwebtoken::decode::<T>(token, &public, &validation) {
            Ok(read) => Ok((read.claims, key)),
            Err(cause) => Err(match cause.kind() {
                jsonwebtoken::errors::ErrorKind::Json(why) => {
                    Error::invalid("licence_claims", format!("What the {what} says does not fit: {why}."))
                }
                _ => Error::invalid(
                    "licence_signature",
                    format!(
                        "The signature of the {what} does not hold: it was changed, or cut off. Get the file again."
                    ),
                ),
            }),
        }
    }

    fn key(&self, header: &Header) -> Result<&TrustedKey> {
        let kid = header.kid.as_deref().unwrap_or_default();
        self.0.iter().find(|key| key.id() == kid).ok_or_else(|| {
            let message = format!(
                "It is signed with the key `{}`, which this server does not know. It knows: {}.",
                shown(kid),
                self.ids().join(", ")
            );
            Error::invalid("licence_unknown_key", message)
        })
    }
}

/// The header, when it asks for nothing but what we do.
fn header(token: &str, form: Form) -> Result<Header> {
    let what = form.words();
    let malformed = || {
        Error::invalid(
            "licence_malformed",
            format!("This is no {what}: it is not three parts of Base64 with dots between."),
        )
    };
    let parts: Vec<&str> = token.split('.').collect();
    let [encoded, _, _] = parts[..] else { return Err(malformed()) };
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| malformed())?;
    let header: Header = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    if header.alg != "EdDSA" {
        let message = format!("A {what} is signed with EdDSA; this asks for `{}`.", shown(&header.alg));
        return Err(Error::invalid("licence_algorithm", message));
    }
    if header.typ.as_deref() != Some(form.typ()) || header.crit.is_some() {
        let message = format!("This is no {what}: its type is `{}`.", shown(header.typ.as_deref().unwrap_or_default()));
        return Err(Error::invalid("licence_type", message));
    }
    Ok(header)
}

/// Foreign text, short and without what a terminal obeys.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect::<String>().escape_debug().to_string()
}

/// Signs what a vendor says; `name` is the key's.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn sign(signer: &Signer, name: &str, form: Form, claims: &impl Serialize) -> Result<String> {
    let kid = key_id(&signer.verifier(name));
    let header = Header { alg: "EdDSA".to_owned(), typ: Some(form.typ().to_owned()), kid: Some(kid), crit: None };
    let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(serde_json::to_vec(&header).map_err(Error::internal)?);
    let payload = encode(serde_json::to_vec(claims).map_err(Error::internal)?);
    let signed = format!("{header}.{payload}");
    let signature = encode(signer.sign_bytes(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}

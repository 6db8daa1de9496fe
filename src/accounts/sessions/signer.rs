//! Session tokens: JWT, HS256, RFC 7519.
//!
//! Invariant: a session token is only a signed pointer to a session row; whether it still counts is the row's word.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::base::clock::Time;
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};

#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The person's id.
    pub sub: String,
    /// The session's id.
    pub sid: i64,
    pub iat: i64,
    pub exp: i64,
}

/// Signs and reads session tokens.
#[derive(Clone)]
pub struct Signer(Arc<Keys>);

struct Keys {
    encode: EncodingKey,
    decode: DecodingKey,
}

impl Signer {
    pub fn new(key: &Key) -> Self {
        Self(Arc::new(Keys {
            encode: EncodingKey::from_secret(key.bytes()),
            decode: DecodingKey::from_secret(key.bytes()),
        }))
    }

    /// # Errors
    /// When the library fails, which is a fault of ours.
    pub fn sign(&self, user: i64, session: i64, now: Time, expires: Time) -> Result<String> {
        let claims =
            Claims { sub: user.to_string(), sid: session, iat: now.unix_seconds(), exp: expires.unix_seconds() };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.0.encode).map_err(Error::internal)
    }

    /// The session a token points to, when the signature is ours. Time is checked against the session's row.
    pub fn session(&self, token: &str) -> Option<i64> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        jsonwebtoken::decode::<Claims>(token, &self.0.decode, &validation).ok().map(|data| data.claims.sid)
    }
}

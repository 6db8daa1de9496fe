//! Passkeys (WebAuthn, level 3): keys on people's devices that sign in without a password.
//!
//! Invariant: a passkey counts only after its device verified its owner (by finger, face or PIN), so it is two factors at
//! once; it is found by its device without a name being typed; it signs in at the host name it was made for and nowhere
//! else. A challenge is answered once, within [`MINUTES`], by who it was given to. A counter that goes back is refused: the
//! key was copied.
//!
//! A challenge is not kept: its state goes out sealed, as a ticket, and comes back with the answer. So who asks for many
//! costs nothing, and every replica takes the answer. Only answered ones are remembered.

pub mod store;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::access::UserId;
use crate::base::clock::{SECOND, Time};
use crate::base::crypto::{self, Key};
use crate::base::error::{Error, Kind, Result};

/// A challenge is answered within as many.
const MINUTES: i64 = 5;
/// The most passkeys of a person.
pub const MOST: usize = 20;
/// What devices show as the name of the site.
const RP_NAME: &str = "ResoftAI";

/// A passkey as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OwnPasskey {
    pub id: i64,
    pub name: String,
    /// The host name it signs in at.
    pub site: String,
    pub created_at: Time,
    /// Null: not yet.
    pub last_used_at: Option<Time>,
}

/// What a browser is asked to do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Challenge {
    /// Send it back with the answer, within five minutes.
    pub ticket: String,
    /// For `navigator.credentials`, binary fields in URL-safe Base64.
    #[schema(value_type = Object)]
    pub options: Value,
}

/// What a ticket holds.
#[derive(Serialize, Deserialize)]
struct Sealed<S> {
    expires_at: Time,
    origin: String,
    state: S,
}

/// A ticket that was opened.
pub struct Ticket<S> {
    /// By which an answered one is remembered.
    pub hash: String,
    pub expires_at: Time,
    party: Party,
    state: S,
}

/// The site as browsers know it.
pub struct Party {
    /// Its host name.
    pub site: String,
    webauthn: Webauthn,
}

impl Party {
    /// Of where pages are: `https://` and a host name, with the port where it is not the usual one.
    ///
    /// # Errors
    /// `passkeys_need_name` for an address without a host name: browsers make no passkeys for bare IP addresses.
    pub fn at(origin: &str) -> Result<Self> {
        let named = || {
            let message = "Passkeys need a host name, and this address has none. Open the site by its name, or let the \
                           operator set server.public_url to an address with one.";
            Error::invalid("passkeys_need_name", message)
        };
        let url = Url::parse(origin).map_err(|_| named())?;
        let site = url.domain().ok_or_else(named)?.to_owned();
        let webauthn = WebauthnBuilder::new(&site, &url).and_then(|builder| builder.rp_name(RP_NAME).build());
        Ok(Self { site, webauthn: webauthn.map_err(|_| named())? })
    }
}

/// The number under which devices keep a person's passkeys: it tells nobody who they are.
fn handle(key: &Key, user: UserId) -> Uuid {
    let derived = Key::derive(key.bytes(), &format!("passkeys of user {}", user.0));
    let mut half = [0; 16];
    half.copy_from_slice(&derived.bytes()[..16]);
    Uuid::from_bytes(half)
}

fn seal<S: Serialize>(key: &Key, purpose: &str, origin: &str, state: S, now: Time) -> Result<String> {
    let sealed = Sealed { expires_at: now.plus(MINUTES * 60 * SECOND), origin: origin.to_owned(), state };
    let plain = serde_json::to_vec(&sealed).map_err(Error::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(key.seal(purpose, &plain)?))
}

fn open<S: DeserializeOwned>(key: &Key, purpose: &str, ticket: &str, now: Time) -> Result<Ticket<S>> {
    let bytes = URL_SAFE_NO_PAD.decode(ticket).map_err(|_| refused("the ticket is not one of this site"))?;
    let plain = key.open(purpose, &bytes).map_err(|_| refused("the ticket is not one of this site for this"))?;
    let sealed: Sealed<S> = serde_json::from_slice(&plain).map_err(Error::internal)?;
    // Also when the clock was set back: no ticket counts for much longer. The clocks of two servers may differ by a minute.
    if sealed.expires_at <= now || sealed.expires_at > now.plus((MINUTES + 1) * 60 * SECOND) {
        return Err(refused("it took too long"));
    }
    let party = Party::at(&sealed.origin)?;
    Ok(Ticket { hash: crypto::sha256_hex(&bytes), expires_at: sealed.expires_at, party, state: sealed.state })
}

/// Where a challenge to sign in is sealed for.
const SIGN_IN: &str = "passkeys.challenge.sign_in";

fn registration(user: UserId) -> String {
    format!("passkeys.challenge.register.{}", user.0)
}

/// Asks a browser for a new passkey of a person who has `known` already.
///
/// # Errors
/// `passkeys_need_name`.
pub fn begin_registration(
    key: &Key,
    origin: &str,
    user: UserId,
    username: &str,
    known: &[Passkey],
    now: Time,
) -> Result<Challenge> {
    let party = Party::at(origin)?;
    let known: Vec<CredentialID> = known.iter().map(|passkey| passkey.cred_id().clone()).collect();
    let started = party.webauthn.start_passkey_registration(handle(key, user), username, username, Some(known));
    let (options, state) = started.map_err(|cause| Error::internal(cause.to_string()))?;
    let mut options = serde_json::to_value(options).map_err(Error::internal)?;
    // Without it a device keeps nothing that it could find by itself when somebody signs in.
    let wanted = &mut options["publicKey"]["authenticatorSelection"];
    wanted["residentKey"] = json!("required");
    wanted["requireResidentKey"] = json!(true);
    Ok(Challenge { ticket: seal(key, &registration(user), origin, state, now)?, options })
}

/// A passkey that a device made.
pub struct Made {
    pub ticket_hash: String,
    pub expires_at: Time,
    pub site: String,
    pub credential_hash: String,
    pub passkey: Passkey,
}

/// Looks at what a device made for [`begin_registration`].
///
/// # Errors
/// `passkey_refused` with what is wrong with it.
pub fn finish_registration(key: &Key, user: UserId, ticket: &str, answer: Value, now: Time) -> Result<Made> {
    let ticket: Ticket<PasskeyRegistration> = open(key, &registration(user), ticket, now)?;
    let answer: RegisterPublicKeyCredential =
        serde_json::from_value(answer).map_err(|_| refused("the browser's answer cannot be read"))?;
    let passkey =
        ticket.party.webauthn.finish_passkey_registration(&answer, &ticket.state).map_err(|fault| why(&fault))?;
    let credential_hash = crypto::sha256_hex(passkey.cred_id().as_ref());
    let Ticket { hash, expires_at, party, .. } = ticket;
    Ok(Made { ticket_hash: hash, expires_at, site: party.site, credential_hash, passkey })
}

/// Asks a browser for whatever passkey of this site it finds.
///
/// # Errors
/// `passkeys_need_name`.
pub fn begin_sign_in(key: &Key, origin: &str, now: Time) -> Result<Challenge> {
    let started = Party::at(origin)?.webauthn.start_discoverable_authentication();
    let (options, state) = started.map_err(|cause| Error::internal(cause.to_string()))?;
    let options = serde_json::to_value(options).map_err(Error::internal)?;
    Ok(Challenge { ticket: seal(key, SIGN_IN, origin, state, now)?, options })
}

/// An answer of a browser that was not looked at yet.
pub struct Answer {
    pub ticket: Ticket<DiscoverableAuthentication>,
    pub credential_hash: String,
    credential: PublicKeyCredential,
}

/// Reads an answer to [`begin_sign_in`].
///
/// # Errors
/// `passkey_refused`.
pub fn read_answer(key: &Key, ticket: &str, answer: Value, now: Time) -> Result<Answer> {
    let ticket = open(key, SIGN_IN, ticket, now)?;
    let credential: PublicKeyCredential =
        serde_json::from_value(answer).map_err(|_| refused("the browser's answer cannot be read"))?;
    let credential_hash = crypto::sha256_hex(credential.get_credential_id());
    Ok(Answer { ticket, credential_hash, credential })
}

/// Verifies an answer with the passkey it names; the passkey as it is to be kept.
///
/// # Errors
/// `passkey_refused` with what is wrong; `passkey_copied` when the counter went back.
pub fn verify(key: &Key, answer: Answer, user: UserId, mut passkey: Passkey) -> Result<Passkey> {
    let Answer { ticket, credential, .. } = answer;
    let named = ticket.party.webauthn.identify_discoverable_authentication(&credential).map_err(|fault| why(&fault))?.0;
    if named != handle(key, user) {
        return Err(refused("it is kept for another account"));
    }
    let verified = ticket.party.webauthn.finish_discoverable_authentication_v2(&credential, ticket.state, &passkey);
    let verified = verified.map_err(|fault| why(&fault))?;
    passkey.update_credential(&verified);
    Ok(passkey)
}

fn why(fault: &WebauthnError) -> Error {
    match fault {
        WebauthnError::CredentialPossibleCompromise => {
            let message = "The passkey's counter went back, so there is a copy of it, and it was refused. Sign in another \
                           way and delete it under My account, Security, or ask an administrator.";
            Error::new(Kind::Unauthenticated, "passkey_copied", message)
        }
        WebauthnError::InvalidRPOrigin | WebauthnError::InvalidRPIDHash => {
            refused("it is for another address than the one this page was opened at")
        }
        WebauthnError::UserNotVerified => refused("the device did not verify its owner"),
        _ => refused("its signature or its form is wrong"),
    }
}

/// The answer to a passkey that does not count.
pub fn refused(why: &str) -> Error {
    let message = format!("The passkey was refused: {why}. Try again from the beginning.");
    Error::new(Kind::Unauthenticated, "passkey_refused", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000 * SECOND);
    const ORIGIN: &str = "https://a.site";

    fn opened(key: &Key, purpose: &str, ticket: &str, now: Time) -> Result<String, &'static str> {
        open::<String>(key, purpose, ticket, now).map(|ticket| ticket.state).map_err(|error| error.code())
    }

    #[test]
    fn a_ticket_counts_for_minutes_and_for_what_it_was_made() {
        let key = Key::random().unwrap();
        let ticket = seal(&key, SIGN_IN, ORIGIN, "state", NOW).unwrap();
        let minutes = |minutes: i64| NOW.plus(minutes * 60 * SECOND);
        for (now, counts) in [(NOW, true), (minutes(4), true), (minutes(5), false), (minutes(-2), false)] {
            assert_eq!(opened(&key, SIGN_IN, &ticket, now).is_ok(), counts, "{now}");
        }
        let refused = Err("passkey_refused");
        assert_eq!(opened(&key, &registration(UserId(1)), &ticket, NOW), refused);
        assert_eq!(opened(&Key::random().unwrap(), SIGN_IN, &ticket, NOW), refused);
        let hers = seal(&key, &registration(UserId(1)), ORIGIN, "state", NOW).unwrap();
        assert_eq!(opened(&key, &registration(UserId(2)), &hers, NOW), refused);
    }

    #[test]
    fn a_handle_tells_accounts_apart_and_stays() {
        let key = Key::random().unwrap();
        assert_eq!(handle(&key, UserId(1)), handle(&key, UserId(1)));
        assert_ne!(handle(&key, UserId(1)), handle(&key, UserId(2)));
    }

    #[test]
    fn passkeys_need_a_host_name() {
        for (origin, works) in [
            ("https://a.site", true),
            ("https://a.site:8443", true),
            ("http://localhost:80", true),
            ("https://192.0.2.1", false),
            ("https://[2001:db8::1]:8443", false),
            ("https://", false),
            ("", false),
            ("a.site", false),
        ] {
            assert_eq!(Party::at(origin).is_ok(), works, "{origin}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_ticket_and_any_answer_may_be_brought(ticket in ".{0,300}", answer in ".{0,100}") {
            let key = Key::random().unwrap();
            proptest::prop_assert!(read_answer(&key, &ticket, Value::String(answer), NOW).is_err());
        }
    }
}

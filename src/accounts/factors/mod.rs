//! The second factor of a sign-in: codes of an authenticator app (TOTP, RFC 6238) and, for who lost it, recovery codes.
//!
//! Invariant: a code counts once, also when several bring it at the same time or the clock is set back. The app's secret is
//! sealed at rest, recovery codes are kept as digests. A wrong code is counted like a wrong password, and while a second
//! factor is on a right password alone forgives nothing.

pub mod store;

#[cfg(test)]
mod tests;

use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Totp};
use utoipa::ToSchema;

use super::{Accounts, User, event, throttle};
use crate::access::{Caller, SECOND_FACTOR_NEEDED, UserId};
use crate::audit::{self, AuditAction};
use crate::base::clock::Time;
use crate::base::crypto::{self, Key};
use crate::base::error::{Error, Kind, Result};
use crate::db::Tx;

/// What authenticator apps show in front of the account's name.
const ISSUER: &str = "ResoftAI";
/// Recovery codes made at a time.
const CODES: usize = 10;
/// Characters of a recovery code, of 5 random bits each.
const CODE_LENGTH: usize = 16;
/// Crockford's Base32 in lower case: nothing in it is taken for something else.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The most characters looked at as a code.
const CODE_MAX: usize = 100;

/// How somebody's second factor stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecondFactor {
    /// Whether signing in with the password asks for a code.
    pub enabled: bool,
    /// Null while it is off.
    pub enabled_at: Option<Time>,
    /// Recovery codes that were not used yet.
    pub recovery_codes_left: i64,
}

/// What an authenticator app is set up with. It is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Enrolment {
    /// In Base32, to be typed into the app.
    pub secret: String,
    /// The same as an `otpauth://` address.
    pub uri: String,
    /// The address as a QR code, an SVG picture.
    pub qr: String,
}

/// What a code turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Of the app.
    App,
    /// A recovery code; how many are left.
    Recovery { left: i64 },
}

fn totp(secret: &[u8], account: &str) -> Result<Totp> {
    let builder = Builder::new().with_secret(secret).with_issuer(Some(ISSUER)).with_account_name(account);
    builder.build().map_err(|cause| Error::internal(cause.to_string()))
}

fn place(user: UserId) -> String {
    format!("second_factors.secret.{}", user.0)
}

/// A new secret for an app, and what the app is told. It counts once a code of it was given.
///
/// # Errors
/// `second_factor_on` while there is one that counts.
pub fn begin(tx: &mut Tx<'_>, key: &Key, user: &User) -> Result<Enrolment> {
    let id = UserId(user.id);
    let secret = crypto::random_bytes::<20>()?;
    let totp = totp(&secret, &user.username)?;
    if !store::begin(tx, id, &key.seal(&place(id), &secret)?)? {
        let message = "Your second factor is on already. Turn it off first to set up another app.";
        return Err(Error::conflict("second_factor_on", message));
    }
    let uri = totp.to_url().map_err(|cause| Error::internal(cause.to_string()))?;
    let code = QrCode::new(uri.as_bytes()).map_err(|cause| Error::internal(cause.to_string()))?;
    let qr = code.render::<svg::Color<'_>>().min_dimensions(220, 220).build();
    Ok(Enrolment { secret: totp.secret().to_base32(), uri, qr })
}

/// Switches the second factor on when `code` is one of the app that was set up last; the recovery codes, in the place of
/// older ones. None: the code is wrong.
///
/// # Errors
/// `second_factor_on`; `second_factor_not_begun`.
pub fn finish(tx: &mut Tx<'_>, key: &Key, user: UserId, code: &str, now: Time) -> Result<Option<Vec<String>>> {
    let kept = store::kept(tx, user)?.ok_or_else(|| {
        let message = "No app was set up. Start again, and give a code of the app within the same setup.";
        Error::invalid("second_factor_not_begun", message)
    })?;
    if kept.enabled_at.is_some() {
        return Err(Error::conflict("second_factor_on", "Your second factor is on already."));
    }
    if !accept_app(tx, key, user, &kept.sealed, &plain(code), now)? {
        return Ok(None);
    }
    store::enable(tx, user, now)?;
    renew_codes(tx, user).map(Some)
}

/// Makes recovery codes in the place of those there are.
///
/// # Errors
/// When the database fails.
pub fn renew_codes(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<String>> {
    let codes = (0..CODES).map(|_| recovery_code()).collect::<Result<Vec<_>>>()?;
    let digests: Vec<String> = codes.iter().map(|code| digest(&plain(code))).collect();
    store::replace_codes(tx, user, &digests)?;
    Ok(codes)
}

/// What `code` proves, and uses it up; None: nothing. Called inside the write that depends on it.
///
/// # Errors
/// `unsealed` when the site's key is another one; when the database fails.
pub fn accept(tx: &mut Tx<'_>, key: &Key, user: UserId, code: &str, now: Time) -> Result<Option<Proof>> {
    let Some(kept) = store::kept(tx, user)?.filter(|kept| kept.enabled_at.is_some()) else { return Ok(None) };
    let code = plain(code);
    if accept_app(tx, key, user, &kept.sealed, &code, now)? {
        return Ok(Some(Proof::App));
    }
    if store::use_code(tx, user, &digest(&code))? {
        return Ok(Some(Proof::Recovery { left: store::codes_left(tx, user)? }));
    }
    Ok(None)
}

fn accept_app(tx: &mut Tx<'_>, key: &Key, user: UserId, sealed: &[u8], code: &str, now: Time) -> Result<bool> {
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(false);
    }
    let totp = totp(&key.open(&place(user), sealed)?, "")?;
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
    match totp.check(code, seconds) {
        Some(step) => store::use_step(tx, user, i64::try_from(step).map_err(Error::internal)?),
        None => Ok(false),
    }
}

/// A code as it is compared: without what people put between its parts, and with what they take for something else.
fn plain(code: &str) -> String {
    let kept = code.chars().take(CODE_MAX).filter(|c| !c.is_whitespace() && *c != '-');
    kept.map(|c| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    })
    .collect()
}

fn digest(plain: &str) -> String {
    crypto::sha256_hex(format!("recovery {plain}").as_bytes())
}

/// Four groups of four characters.
fn recovery_code() -> Result<String> {
    let random = crypto::random_bytes::<CODE_LENGTH>()?;
    let characters: Vec<char> = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect();
    Ok(characters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// Who has a second factor or a passkey and came without it changes nothing that would make up for it: who learned the
/// password alone would add a factor of their own.
///
/// # Errors
/// `second_factor_needed`.
pub fn require_own(tx: &mut Tx<'_>, caller: &Caller, user: UserId) -> Result<()> {
    if caller.strong || !store::any(tx, user)? {
        return Ok(());
    }
    let message = "You have a second factor or a passkey and came without it: sign in with it first. Who lost it asks an \
                   administrator to take it away.";
    Err(Error::forbidden(SECOND_FACTOR_NEEDED, message))
}

/// The answer to a right password where a code is missing.
pub(super) fn code_required() -> Error {
    let message = "The password is right; the account has a second factor. Send `code` too: six digits of the \
                   authenticator app, or a recovery code.";
    Error::new(Kind::Unauthenticated, "second_factor_required", message).field("code")
}

/// The answer to a right password with a wrong code.
pub(super) fn code_refused(kind: Kind) -> Error {
    let message = "The code is wrong, or it was used before. Wait for the next one of your authenticator app, or use \
                   another recovery code.";
    Error::new(kind, "second_factor_refused", message).field("code")
}

impl Accounts {
    /// Does `act` in one write with what uses `code` up: a change of somebody's own account that the password, already
    /// confirmed, does not allow alone.
    ///
    /// # Errors
    /// `second_factor_refused`, which is audited and counted; `login_throttled`; those of `act`.
    pub(crate) async fn with_code<T: Send + 'static>(
        &self,
        caller: &Caller,
        user: &User,
        mut prove: impl FnMut(&mut Tx<'_>, Time) -> Result<Option<T>> + Send + 'static,
    ) -> Result<T> {
        let now = self.clock.now();
        let name = super::store::key(&user.username);
        let attempt = self.throttle.attempt(&name, caller.origin.ip_address.as_deref());
        let keys = attempt.keys();
        let counts = self.db.read(move |tx| throttle::store::counts(tx, &keys, now)).await?;
        attempt.check(counts, now)?;
        let (caller, keys) = (caller.clone(), attempt.keys());
        let told = format!("{} gave a wrong code for a change of their own account", user.username);
        let failure = event(AuditAction::Update, user, told).failed();
        let write = self.db.write(move |tx| {
            let done = prove(tx, now)?;
            match done {
                Some(_) => throttle::store::forget(tx, &name).map(drop)?,
                None => {
                    throttle::store::fail(tx, &keys, now)?;
                    audit::record(tx, now, &caller, &failure)?;
                }
            }
            Ok(done)
        });
        write.await?.ok_or_else(|| code_refused(Kind::Forbidden))
    }
}

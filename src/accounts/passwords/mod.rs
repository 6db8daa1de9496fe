//! What a password must be, and the ways to another one: changed by its owner, set from above, or by a one-time code.
//!
//! Invariant: every password that is set passed [`check`] and differs from the person's last [`REMEMBERED`]; it replaces
//! exactly the one it was compared with, or nothing. Passwords are kept as Argon2id, codes as digests.

pub mod store;

use zxcvbn::{Score, zxcvbn};

use super::{Accounts, User};
use crate::access::UserId;
use crate::base::clock::Time;
use crate::base::crypto;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::orgs;

/// The specification's rule, in characters.
pub const MIN: usize = 16;
/// In bytes.
const MAX: usize = 1024;
/// How many passwords back none may come again, the present one among them.
pub const REMEMBERED: usize = 5;
/// What zxcvbn is shown, in characters: its time grows faster than the length, and what is strong so far stays strong.
const JUDGED: usize = 72;
/// Everybody's first guess on this site.
const PRODUCT: &str = "resoftai";

/// Refuses what is short, or guessed within 10^8 tries (zxcvbn, Wheeler 2016, score 3 of 4) by somebody who knows the
/// words of `known`: names, addresses, organisations.
///
/// # Errors
/// `password_too_short`, `password_too_long`; `password_too_weak` with what to do better.
pub fn check(password: &str, known: &[String]) -> Result<()> {
    let length = password.chars().count();
    if length < MIN {
        let message = format!("The password has {length} characters; it needs at least {MIN}.");
        return Err(Error::invalid("password_too_short", message).field("password"));
    }
    if password.len() > MAX {
        let message = format!("The password is longer than {MAX} bytes.");
        return Err(Error::invalid("password_too_long", message).field("password"));
    }
    let judged: String = password.chars().take(JUDGED).collect();
    let known = words(known);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let entropy = zxcvbn(&judged, &known);
    if entropy.score() >= Score::Three {
        return Ok(());
    }
    let mut message = "The password is long enough but easily guessed.".to_owned();
    if let Some(feedback) = entropy.feedback() {
        let warning = feedback.warning().map(|warning| warning.to_string());
        for sentence in warning.into_iter().chain(feedback.suggestions().iter().map(ToString::to_string)) {
            message = format!("{message} {}.", sentence.trim_end_matches('.'));
        }
    }
    Err(Error::invalid("password_too_weak", message).field("password"))
}

/// What is known, whole and in words, as zxcvbn compares it.
fn words(known: &[String]) -> Vec<String> {
    let mut words = vec![PRODUCT.to_owned()];
    for known in known {
        let known = known.to_lowercase();
        let parts = known.split(|c: char| !c.is_alphanumeric()).filter(|part| part.chars().count() > 2);
        words.extend(parts.map(str::to_owned));
        words.push(known);
    }
    words
}

/// A hash that is ready to take the place of another.
pub struct Renewed {
    /// What the new one was compared with.
    before: String,
    hash: String,
}

impl Accounts {
    /// Checks and hashes the first password of somebody known by `known`, off the request threads.
    ///
    /// # Errors
    /// Those of [`check`]; `sign_in_busy`.
    pub async fn hash(&self, password: String, known: Vec<String>) -> Result<String> {
        self.hasher(move || {
            check(&password, &known)?;
            crypto::hash_password(&password)
        })
        .await
    }

    /// Checks and hashes another password for `user`, off the request threads.
    ///
    /// # Errors
    /// Those of [`check`]; `password_used_before`; `sign_in_busy`.
    pub async fn renew(&self, user: &User, password: String) -> Result<Renewed> {
        let about = user.clone();
        let (had, known) = self
            .db
            .read(move |tx| {
                let orgs = orgs::store::reached_by(tx, &about.grants())?;
                let mut known = vec![about.username.clone(), about.email.clone()];
                known.extend(orgs.into_iter().flat_map(|org| [org.name, org.slug]));
                Ok((store::remembered(tx, UserId(about.id))?, known))
            })
            .await?;
        self.hasher(move || {
            check(&password, &known)?;
            let before = had.first().cloned().ok_or_else(|| Error::not_found("user"))?;
            if had.iter().any(|hash| crypto::verify_password(&password, hash)) {
                let message =
                    format!("This password was used before. Choose one that is not among the last {REMEMBERED}.");
                return Err(Error::invalid("password_used_before", message).field("password"));
            }
            Ok(Renewed { before, hash: crypto::hash_password(&password)? })
        })
        .await
    }

    /// Puts a renewed password in its place and spends every code that could set another. Sessions are the caller's
    /// business.
    ///
    /// # Errors
    /// `password_changed_meanwhile` when the password it was compared with is no longer the present one.
    pub fn set_password(&self, tx: &mut Tx<'_>, user: UserId, renewed: &Renewed) -> Result<()> {
        self.forget_callers(tx);
        if !store::replace(tx, user, &renewed.before, &renewed.hash)? {
            let message =
                "The password was changed by somebody else at the same time. Sign in with that one, or try again.";
            return Err(Error::conflict("password_changed_meanwhile", message));
        }
        store::forget_code(tx, user)
    }
}

/// A one-time code as it is told, and the digest that is kept of it.
///
/// # Errors
/// When the system has no random bytes.
pub fn code() -> Result<(String, String)> {
    let code = crypto::random_token()?;
    let digest = crypto::sha256_hex(code.as_bytes());
    Ok((code, digest))
}

/// The answer to any code that does not count, whatever the reason.
pub fn code_refused() -> Error {
    let message = "This code is unknown, used or expired. Ask an administrator for another one.";
    Error::invalid("code_refused", message).field("code")
}

/// Who a code belongs to, while it counts.
///
/// # Errors
/// `code_refused`.
pub fn owner_of_code(tx: &mut Tx<'_>, code: &str, now: Time) -> Result<User> {
    let digest = crypto::sha256_hex(code.trim().as_bytes());
    let user = match store::owner_of_code(tx, &digest, now)? {
        Some(user) => super::store::user(tx, user)?,
        None => None,
    };
    user.filter(|user| user.is_active).ok_or_else(code_refused)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn told(password: &str, known: &[&str]) -> Option<&'static str> {
        let known: Vec<String> = known.iter().map(|&word| word.to_owned()).collect();
        check(password, &known).err().map(|error| error.code())
    }

    #[test]
    fn length_alone_does_not_make_a_password() {
        assert_eq!(told("correct horse battery", &[]), None);
        assert_eq!(told("x7#Qm", &[]), Some("password_too_short"));
        assert_eq!(told("fünfzehnzeichen", &[]), Some("password_too_short"), "characters count, not bytes");
        assert_eq!(told(&"ab".repeat(600), &[]), Some("password_too_long"));
        for weak in
            ["aaaaaaaaaaaaaaaaaaaa", "passwordpassword", "12345678901234567890", "qwertyuiopasdfgh", "resoftairesoftai"]
        {
            assert_eq!(told(weak, &[]), Some("password_too_weak"), "{weak}");
        }
    }

    #[test]
    fn what_is_known_of_somebody_is_guessed_first() {
        for password in ["lovelace@example.org", "Zanzibarowitsch1815"] {
            assert_eq!(told(password, &[]), None, "{password}");
            let known = ["ada", "lovelace@example.org", "Zanzibarowitsch"];
            assert_eq!(told(password, &known), Some("password_too_weak"), "{password}");
        }
    }

    #[test]
    fn a_weak_password_is_told_what_to_do_better() {
        let error = check("aaaaaaaaaaaaaaaaaaaa", &[]).unwrap_err();
        assert!(error.message().split('.').count() > 2 && !error.message().contains(".."), "{error}");
        assert_eq!(error.field_name(), Some("password"));
    }

    #[test]
    fn the_longest_password_is_judged_in_time() {
        let started = std::time::Instant::now();
        assert_eq!(told(&"Tr0ub4dor&3 ".repeat(85), &[]), None);
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged(password in ".{0,200}", known in ".{0,40}") {
            let told = check(&password, &[known]);
            proptest::prop_assert!(password.chars().count() >= MIN || told.is_err());
        }
    }
}

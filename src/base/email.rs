//! What passes for an e-mail address.

use super::error::{Error, Result};

/// The longest there is, in bytes (RFC 5321, section 4.5.3.1.3, without the brackets).
const LONGEST: usize = 254;

/// One `@` with something on both sides and no white space; whether mail arrives is not ours to know.
///
/// # Errors
/// `invalid_email`, naming `field`.
pub fn check(email: &str, field: &str) -> Result<()> {
    let well_formed = email
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if well_formed && email.len() <= LONGEST && !email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    // A foreign text is cut, so that a megabyte of it is not sent back.
    let shown: String = email.chars().take(LONGEST).collect();
    let message = format!("`{shown}` is not an e-mail address such as name@example.org of at most {LONGEST} bytes.");
    Err(Error::invalid("invalid_email", message).field(field))
}

//! How mails leave the site.
//!
//! Invariant: what is set is whole, or set not at all; a password never crosses a network in the clear.

use std::net::IpAddr;

use super::Secret;
use crate::base::email;

/// The port for submission (RFC 6409), where TLS begins with STARTTLS.
const SUBMISSION: u16 = 587;
/// The port for submission over TLS from the first byte (RFC 8314).
const SUBMISSIONS: u16 = 465;
/// The most characters of the name beside the sender's address.
const NAME_MAX: usize = 100;
/// The longest user name or password, in bytes: both fit into one line of SMTP (RFC 4954, section 4).
const CREDENTIAL_MAX: usize = 255;

/// What protects the mails on their way to the mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// TLS after STARTTLS; never without.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Nothing, to a mail server on this machine.
    None,
    /// Nothing, over a network.
    Unprotected,
}

impl Security {
    const ALL: [Self; 4] = [Self::StartTls, Self::Tls, Self::None, Self::Unprotected];

    pub fn name(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
            Self::Unprotected => "unprotected",
        }
    }

    pub(super) fn parse(value: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|security| security.name() == value.to_ascii_lowercase());
        known.ok_or_else(|| format!("`{value}` is none of starttls, tls, none and unprotected"))
    }
}

/// The settings of `[smtp]`.
#[derive(Debug, Clone, Default)]
pub struct SmtpConfig {
    /// None: the site sends no mail.
    pub host: Option<String>,
    /// None: what is usual for `security`.
    pub port: Option<u16>,
    pub security: Security,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub from: Option<String>,
    pub from_name: Option<String>,
}

impl SmtpConfig {
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.security == Security::Tls { SUBMISSIONS } else { SUBMISSION })
    }

    /// The setting that is wrong, and how.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let named = self.username.is_some() || self.password.is_some();
        let Some(host) = &self.host else {
            if named || self.from.is_some() {
                return Err((
                    "smtp.host",
                    "The mail server is missing. Set smtp.host (SMTP_HOST), or leave out all of smtp.",
                ));
            }
            return Ok(());
        };
        if self.from.is_none() {
            return Err(("smtp.from", "Mails need a sender. Set smtp.from (SMTP_FROM) to an address of the site's."));
        }
        if self.username.is_some() && self.password.is_none() {
            return Err(("smtp.password", "smtp.username needs smtp.password (SMTP_PASSWORD)."));
        }
        if self.password.is_some() && self.username.is_none() {
            return Err(("smtp.username", "smtp.password needs smtp.username (SMTP_USER)."));
        }
        if self.security == Security::None && !is_here(host) {
            return Err((
                "smtp.security",
                "smtp.security = none is for a mail server on this machine: over a network everybody on the way reads the \
                 codes in the mails. Use starttls or tls, or write unprotected where the network itself is trusted.",
            ));
        }
        if self.security == Security::Unprotected && named {
            return Err((
                "smtp.security",
                "A password is not sent over a network without TLS. Use starttls or tls, or leave smtp.username and \
                 smtp.password out.",
            ));
        }
        Ok(())
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An empty value counts as absent: files with all variables in them leave those empty that are not used.
fn some(value: &str) -> Option<&str> {
    Some(value.trim()).filter(|value| !value.is_empty())
}

pub(super) fn host(value: &str) -> Result<Option<String>, String> {
    let Some(host) = some(value) else { return Ok(None) };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let is_name = host.len() <= 253 && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if is_name || host.parse::<IpAddr>().is_ok() {
        return Ok(Some(host));
    }
    Err(format!("`{value}` is no host such as mail.example.org; the port is smtp.port"))
}

pub(super) fn credential(value: &str) -> Result<Option<String>, String> {
    if value.chars().any(char::is_control) || value.len() > CREDENTIAL_MAX {
        return Err(format!("it is longer than {CREDENTIAL_MAX} bytes or has a line break; copy it again"));
    }
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

pub(super) fn address(value: &str) -> Result<Option<String>, String> {
    let Some(address) = some(value) else { return Ok(None) };
    let plain = address.is_ascii() && !address.contains(['<', '>', ',', ';', '"']);
    if plain && email::check(address, "smtp.from").is_ok() {
        return Ok(Some(address.to_owned()));
    }
    Err(format!("`{value}` is no address such as resoftai@example.org; a name goes into smtp.from_name"))
}

pub(super) fn name(value: &str) -> Result<Option<String>, String> {
    if value.chars().any(char::is_control) || value.chars().count() > NAME_MAX {
        return Err(format!("a name has at most {NAME_MAX} characters and no line break"));
    }
    Ok(some(value).map(str::to_owned))
}

//! The certificate that the server shows: whether its key is its own, until when it counts, and for which names.
//!
//! Invariant: reads the files that a start would, and makes none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::Check;
use crate::base::clock::{DAY, SECOND, Time};
use crate::config::Config;

const CODE: &str = "certificate";
/// Days before the end from which on somebody should look, and from which on it presses.
const SOON: i64 = 30;
const VERY_SOON: i64 = 7;

/// The files of the certificate and its key.
pub(super) fn files(config: &Config) -> (PathBuf, PathBuf) {
    let own = config.data_dir.join("tls");
    match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => (own.join("cert.pem"), own.join("key.pem")),
    }
}

pub(super) fn checks(config: &Config, now: Time) -> Vec<Check> {
    if config.http {
        return vec![Check::pass(CODE, "The server speaks plain HTTP on a loopback address: it needs no certificate.")];
    }
    let (cert, key) = files(config);
    if config.tls_cert.is_none() && !cert.exists() {
        return vec![Check::pass(CODE, "There is none yet; the first start makes one.")];
    }
    match load(&cert, &key) {
        Ok(chain) => of_chain(config, &cert, &key, &chain, now),
        Err((seen, mend)) => vec![Check::fail(CODE, seen, mend)],
    }
}

/// The chain, when the key is its own.
fn load(cert: &Path, key: &Path) -> Result<Vec<CertificateDer<'static>>, (String, String)> {
    let refused = |path: &Path, why: &dyn std::fmt::Display| {
        let mend =
            format!("Put a PEM file there, or name another in server.tls_cert and server.tls_key: {}", path.display());
        (format!("{} cannot be used: {why}.", path.display()), mend)
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|why| refused(cert, &why))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| refused(key, &why))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match CertifiedKey::from_der(chain.clone(), secret, &provider) {
        Ok(_) => Ok(chain),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let mend = format!(
                "Put the key of that certificate there; these two have to show the same: openssl x509 -in {} -noout -pubkey; \
                 openssl pkey -in {} -pubout",
                cert.display(),
                key.display()
            );
            Err((format!("The key in {} is not that of the certificate in {}.", key.display(), cert.display()), mend))
        }
        Err(why) => Err(refused(cert, &why)),
    }
}

fn of_chain(config: &Config, cert: &Path, key: &Path, chain: &[CertificateDer<'static>], now: Time) -> Vec<Check> {
    let Some(first) = chain.first() else {
        return vec![Check::fail(CODE, format!("{} holds no certificate.", cert.display()), "Put one there, in PEM.")];
    };
    let Ok((_, read)) = x509_parser::parse_x509_certificate(first) else {
        return vec![Check::fail(CODE, format!("{} cannot be read as X.509.", cert.display()), "Put another there.")];
    };
    vec![matching(cert, key), expiry(&read, cert, now), names(config, first, &read)]
}

fn matching(cert: &Path, key: &Path) -> Check {
    let mode = fs::metadata(key).map_or(0, |metadata| metadata.mode() & 0o7777);
    if mode & 0o007 != 0 {
        let seen = format!("The key {} has mode {mode:04o}: everybody here gets at it.", key.display());
        return Check::fail(
            CODE,
            seen,
            format!("chmod o= {}; then have a new key and certificate made.", key.display()),
        );
    }
    Check::pass(CODE, format!("{} and {} belong together.", cert.display(), key.display()))
}

fn expiry(read: &X509Certificate<'_>, cert: &Path, now: Time) -> Check {
    const CODE: &str = "certificate_expiry";
    let at = |stamp: i64| Time(stamp.saturating_mul(SECOND));
    let validity = read.validity();
    let (from, until) = (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()));
    let mend = format!("Put a new one into {} and its key, then: resoftai reload", cert.display());
    let days = (until.0 - now.0).div_euclid(DAY);
    if now < from {
        let seen = format!("The certificate counts from {from} on, and it is {now}.");
        return Check::fail(CODE, seen, "Set the clock, or wait: timedatectl");
    }
    if days < 0 {
        return Check::fail(CODE, format!("The certificate ended on {until}."), mend);
    }
    let seen = format!("The certificate counts until {until}. That is in {days} days.");
    if days <= VERY_SOON {
        Check::fail(CODE, seen, mend)
    } else if days <= SOON {
        Check::warn(CODE, seen, mend)
    } else {
        Check::pass(CODE, seen)
    }
}

fn names(config: &Config, first: &CertificateDer<'_>, read: &X509Certificate<'_>) -> Check {
    const CODE: &str = "certificate_names";
    let names: Vec<String> = read
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default();
    let all = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
    let Some(host) = config.public_url.as_deref().and_then(host_of) else {
        return Check::pass(CODE, format!("It is for {all}; server.public_url names no host to compare."));
    };
    let fits = ServerName::try_from(host.clone())
        .ok()
        .zip(ParsedCertificate::try_from(first).ok())
        .is_some_and(|(name, certificate)| rustls::client::verify_server_name(&certificate, &name).is_ok());
    if fits {
        return Check::pass(CODE, format!("It is for {all}, and people open {host}."));
    }
    let mend = "Have one made for that name and name it in server.tls_cert, or set server.public_url to a name in it.";
    Check::warn(CODE, format!("It is for {all}, but people open {host} (server.public_url)."), mend)
}

fn host_of(url: &str) -> Option<String> {
    let uri: hyper::Uri = url.parse().ok()?;
    uri.host().map(|host| host.trim_matches(['[', ']']).to_owned())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

//! The certificate: the site's own, or one minted at the first start.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::base::clock::{SECOND, Time};
use crate::base::error::{Error, Kind, Result};
use crate::config::{Config, secrets};

/// What a listener needs, and the fingerprint people compare.
#[derive(Clone)]
pub struct Tls {
    pub config: Arc<ServerConfig>,
    pub fingerprint: String,
    /// When the certificate ends.
    pub expires: Time,
}

/// Loads the certificate the configuration names, or the site's own, minting it when there is none.
///
/// # Errors
/// `certificate` with the file and the reason.
pub fn load(config: &Config) -> Result<Tls> {
    if let Some(named) = named(config)? {
        return Ok(named);
    }
    let own = config.data_dir.join("tls");
    let (cert, key) = (own.join("cert.pem"), own.join("key.pem"));
    if !cert.exists() {
        mint(&own, &cert, &key)?;
    }
    read(&cert, &key, Kind::Unavailable)
}

/// Loads the certificate the configuration names, if it does.
///
/// # Errors
/// `certificate` with the file and the reason.
pub fn named(config: &Config) -> Result<Option<Tls>> {
    match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => read(cert, key, Kind::Invalid).map(Some),
        _ => Ok(None),
    }
}

/// `kind` is that of the errors: a file that the site named is its mistake.
fn read(cert: &Path, key: &Path, kind: Kind) -> Result<Tls> {
    let refuse = |path: &Path, why: String| {
        Error::new(kind, "certificate", format!("The TLS file {} cannot be used: {why}.", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|cause| refuse(cert, cause.to_string()))?;
    let first = chain.first().ok_or_else(|| refuse(cert, "it holds no certificate".to_owned()))?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, first);
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(digest.as_ref()));
    let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|cause| refuse(cert, cause.to_string()))?;
    let expires = Time(parsed.validity().not_after.timestamp().saturating_mul(SECOND));
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|cause| refuse(key, cause.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|cause| refuse(cert, format!("it does not fit {}: {cause}", key.display())))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(server), fingerprint, expires })
}

fn mint(folder: &Path, cert: &Path, key: &Path) -> Result<()> {
    secrets::private_folder(folder)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), host];
    let minted = rcgen::generate_simple_self_signed(names).map_err(Error::internal)?;
    // The key first: a certificate without its key would be taken for complete at the next start.
    secrets::write_private(key, minted.signing_key.serialize_pem().as_bytes())?;
    secrets::write_private(cert, minted.cert.pem().as_bytes())
}

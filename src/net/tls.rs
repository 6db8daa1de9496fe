//! The TLS of outgoing connections: the system's certificate authorities and the site's own.
//!
//! Invariant: a server's certificate is always verified; there is no switch to skip it.

use std::path::{Path, PathBuf};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::base::error::{Error, Result};

/// Where distributions keep the authorities they trust; the first that exists is read.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A configuration that trusts the system's authorities, if it has any, and those of `ca_files`.
///
/// # Errors
/// `ca_file`, when one of `ca_files` cannot be read or holds no certificate.
pub fn client_config(ca_files: &[PathBuf]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Some(system) = SYSTEM_FILES.iter().map(Path::new).find(|path| path.exists()) {
        // A broken certificate among the system's many is not ours to refuse.
        let certificates = CertificateDer::pem_file_iter(system).into_iter().flatten().flatten();
        roots.add_parsable_certificates(certificates);
    }
    for file in ca_files {
        let refused = |cause: String| {
            let sentence =
                format!("The CA file {} cannot be used: {cause}. It must hold PEM certificates.", file.display());
            Error::invalid("ca_file", sentence)
        };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|cause: rustls_pki_types::pem::Error| refused(cause.to_string()))?;
        if certificates.is_empty() {
            return Err(refused("it holds no certificate".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|cause| refused(cause.to_string()))?;
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(Error::internal)?.with_root_certificates(roots).with_no_client_auth())
}

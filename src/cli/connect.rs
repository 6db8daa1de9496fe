//! A connection to the server: its Unix socket, TCP, or TLS with a certificate that is checked.
//!
//! Invariant: a certificate is accepted by its pinned fingerprint or by a certificate authority, never blindly, and what
//! was presented is named when it is refused. HTTP on top belongs to `client`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hickory_resolver::Resolver;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::cli::failure::{Exit, Failure, Result};

/// Where distributions keep the authorities they trust; the first that exists is read.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"];

/// A connected byte stream of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How the server's certificate is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Exactly this certificate, whoever signed it and whatever name it carries.
    pub pinned: Option<Fingerprint>,
    /// Authorities besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// The SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate).as_ref());
        Self(bytes)
    }

    /// Reads what `resoftai serve` prints (`SHA256:` and base64), or what OpenSSL and browsers print: 64 hexadecimal
    /// digits, with or without colons and prefix, in either case.
    ///
    /// # Errors
    /// A sentence for clap when it is neither.
    pub fn parse(given: &str) -> Result<Self, String> {
        let rest = match given.split_at_checked(7) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("SHA256:") => rest,
            _ => given,
        };
        let from_base64 = || STANDARD_NO_PAD.decode(rest.trim_end_matches('=')).ok();
        hexadecimal(rest)
            .or_else(from_base64)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| format!("\"{given}\" is not the SHA-256 of a certificate, as `resoftai serve` prints it"))
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|char| *char != ':').map(|char| char.to_digit(16)).collect::<Option<_>>()?;
    (digits.len() == 64).then(|| digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

/// Connects to the socket at `path`.
pub async fn unix(path: &Path) -> Result<Box<dyn Stream>> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
            let detail = format!(
                "The local socket {} is for root and the server's own account. Use sudo, or sign in with `resoftai login --server URL`.",
                path.display()
            );
            Err(Failure::new(Exit::NotAllowed, "socket_denied", detail))
        }
        Err(cause) => Err(unreachable(&format!(
            "No server answers on the local socket {} ({cause}). Start it with `resoftai serve` (or its systemd unit), name its folder with \
             --data-dir, or name a server with --server URL.",
            path.display()
        ))),
    }
}

/// Connects to `host` (a name or an address without brackets), with TLS where `trust` says how to check it.
pub async fn tcp(host: &str, port: u16, trust: Option<&Trust>) -> Result<Box<dyn Stream>> {
    let stream = dial(host, port).await?;
    stream.set_nodelay(true)?;
    let Some(trust) = trust else { return Ok(Box::new(stream)) };
    let check = Arc::new(Check::new(trust)?);
    let config = ClientConfig::builder_with_provider(check.provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|cause| Failure::new(Exit::Failed, "tls", format!("TLS cannot be set up: {cause}.")))?
        .dangerous()
        .with_custom_certificate_verifier(check.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::usage(format!("{host} is not a host name or an address.")))?;
    match tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(cause) => Err(check.refusal(host, port, trust, &cause)),
    }
}

async fn dial(host: &str, port: u16) -> Result<TcpStream> {
    let mut last = None;
    for address in resolve(host).await? {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = Some(cause),
        }
    }
    let why = last.map_or_else(|| "it has no address".to_owned(), |cause| cause.to_string());
    Err(unreachable(&format!(
        "No server answers at {host}:{port} ({why}). Check the address, the port, and that it runs."
    )))
}

/// Names to addresses without the C library, which a static binary cannot ask.
async fn resolve(host: &str) -> Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let unknown = |why: &dyn std::fmt::Display| {
        unreachable(&format!("The name {host} does not resolve ({why}). Check it, /etc/hosts and /etc/resolv.conf."))
    };
    let resolver = Resolver::builder(TokioRuntimeProvider::default())
        .and_then(hickory_resolver::ResolverBuilder::build)
        .map_err(|cause| unknown(&cause))?;
    let found = resolver.lookup_ip(host).await.map_err(|cause| unknown(&cause))?;
    Ok(found.iter().collect())
}

pub fn unreachable(detail: &str) -> Failure {
    Failure::new(Exit::Unreachable, "unreachable", detail)
}

#[derive(Debug)]
struct Check {
    provider: Arc<CryptoProvider>,
    pinned: Option<Fingerprint>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    seen: Mutex<Option<Fingerprint>>,
}

impl Check {
    fn new(trust: &Trust) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authorities = match trust.pinned {
            Some(_) => None,
            None => {
                let roots = roots(trust.ca_file.as_deref())?;
                // Without any authority nothing can be verified, and `verify_server_cert` says so.
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok()
            }
        };
        Ok(Self { provider, pinned: trust.pinned, authorities, seen: Mutex::new(None) })
    }

    fn refusal(&self, host: &str, port: u16, trust: &Trust, cause: &io::Error) -> Failure {
        let refused = cause
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .is_some_and(|cause| matches!(cause, rustls::Error::InvalidCertificate(_)));
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (true, Some(seen)) = (refused, seen) else {
            return unreachable(&format!("{host}:{port} does not speak TLS as we do ({cause}). Is the address right?"));
        };
        let (code, detail) = match trust.pinned {
            Some(pinned) => (
                "fingerprint_mismatch",
                format!(
                    "The certificate of {host}:{port} is not the one that was pinned. It shows {seen}, and {pinned} was expected. \
                     If the server's certificate was renewed, ask its operator for the new fingerprint and sign in again with \
                     `resoftai login --server .. --fingerprint ..`; otherwise somebody stands in between."
                ),
            ),
            None => (
                "certificate_untrusted",
                format!(
                    "The certificate of {host}:{port} is not trusted here ({cause}). It shows {seen}. Compare that with what the \
                     server prints at its start, then pass --fingerprint {seen}, or --ca-file with the authority that signed it."
                ),
            ),
        };
        Failure::new(Exit::NotAllowed, code, detail)
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(system) = SYSTEM_FILES.iter().map(Path::new).find(|path| path.exists()) {
        // A broken certificate among the system's many is not ours to refuse.
        roots.add_parsable_certificates(CertificateDer::pem_file_iter(system).into_iter().flatten().flatten());
    }
    let Some(file) = ca_file else { return Ok(roots) };
    let refused = |why: String| {
        Failure::usage(format!("The CA file {} cannot be used: {why}. It must hold PEM certificates.", file.display()))
    };
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|cause: rustls_pki_types::pem::Error| refused(cause.to_string()))?;
    if certificates.is_empty() {
        return Err(refused("it holds none".to_owned()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|cause| refused(cause.to_string()))?;
    }
    Ok(roots)
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(end_entity);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match (&self.pinned, &self.authorities) {
            (Some(pinned), _) if *pinned == shown => Ok(ServerCertVerified::assertion()),
            (None, Some(authorities)) => {
                authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            _ => Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_people_write_it() {
        let bytes: [u8; 32] = std::array::from_fn(|at| at as u8 * 7);
        let shown = Fingerprint(bytes).to_string();
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let plain = pairs.concat().to_lowercase();
        for written in [shown.clone(), shown[7..].to_owned(), pairs.join(":"), plain.clone(), format!("sha256:{plain}")]
        {
            assert_eq!(Fingerprint::parse(&written), Ok(Fingerprint(bytes)), "{written}");
        }
        for wrong in ["", "SHA256:", "SHA256:00", "ä", &plain[2..], &format!("{plain}00"), &shown[..40]] {
            assert!(Fingerprint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_says_what_to_do() {
        let failure = unix(Path::new("/nowhere/run/resoftai.sock")).await.err().unwrap();
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(failure.detail().contains("/nowhere/run/resoftai.sock"), "{}", failure.detail());
        assert!(failure.detail().contains("--data-dir"), "{}", failure.detail());
    }
}

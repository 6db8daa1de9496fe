//! A real mail server (tests/mail/server.py), and certificates for it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

pub const USER: &str = "site";
pub const MAIL_PASSWORD: &str = "s3cret-of-the-mail-server";
/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An authority and certificates that it signed.
pub struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    /// The file to trust.
    pub fn file(&self) -> String {
        self.dir.path().join("ca.pem").to_str().unwrap().to_owned()
    }

    /// A certificate for `name` with its key, in one file.
    pub fn certificate(&self, name: &str) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        self.keep(name, &certificate.pem(), &key)
    }

    /// The mistake everybody makes: a self-signed certificate with CA:TRUE, shown by a server.
    pub fn own_certificate(&self, name: &str) -> PathBuf {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.keep("own", &certificate.pem(), &key)
    }

    fn keep(&self, name: &str, certificate: &str, key: &KeyPair) -> PathBuf {
        let path = self.dir.path().join(format!("{name}.pem"));
        std::fs::write(&path, format!("{certificate}{}", key.serialize_pem())).unwrap();
        path
    }
}

/// A mail server at work; it ends when this is dropped.
pub struct MailServer {
    process: Child,
    pub port: u16,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl MailServer {
    /// With STARTTLS, a certificate for `localhost` and somebody to sign in as.
    pub fn start(authority: &Authority) -> Self {
        Self::start_at(authority, 0)
    }

    /// The same on a port that is known.
    pub fn start_at(authority: &Authority, port: u16) -> Self {
        Self::start_more(authority, port, &[])
    }

    /// The same with more arguments.
    pub fn start_more(authority: &Authority, port: u16, more: &[&str]) -> Self {
        let certificate = authority.certificate("localhost");
        let port = port.to_string();
        let arguments = ["--port", &port, "--cert", certificate.to_str().unwrap(), "--user", USER];
        Self::start_with(&[&arguments, ["--password", MAIL_PASSWORD].as_slice(), more].concat())
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail/server.sh");
        let mut process =
            Command::new("sh").arg(script).args(arguments).stdout(Stdio::piped()).spawn().expect("sh is there");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let told: Value = serde_json::from_str(&lines.next().expect("the mail server starts").unwrap()).unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = mails.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, port: u16::try_from(told["port"].as_u64().unwrap()).unwrap(), mails }
    }

    /// The mails taken so far.
    pub fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }

    /// The mails to `recipient` once there are `count`.
    pub async fn mails_to(&self, recipient: &str, count: usize) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let mut mails = self.mails();
            mails.retain(|mail| mail["recipients"][0] == recipient);
            if mails.len() >= count {
                return mails;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{} of {count} mails to {recipient}: {:?}",
                mails.len(),
                self.mails()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The settings of a site that uses it.
    pub fn settings(&self, authority: &Authority) -> Vec<(&'static str, String)> {
        settings(authority, self.port)
    }
}

/// The settings of a site that uses a mail server on `port`.
pub fn settings(authority: &Authority, port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("SMTP_HOST", "localhost".to_owned()),
        ("SMTP_PORT", port.to_string()),
        ("SMTP_USER", USER.to_owned()),
        ("SMTP_PASSWORD", MAIL_PASSWORD.to_owned()),
        ("SMTP_FROM", "resoftai@site.example".to_owned()),
        ("RESOFTAI_SERVER_PUBLIC_URL", "https://site.example/".to_owned()),
        ("RESOFTAI_NETWORK_CA_FILE", authority.file()),
    ]
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port nobody listens on at the moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

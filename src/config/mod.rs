//! Settings: flags over environment over credentials over the TOML file over defaults, each known by one name.
//!
//! Invariant: [`keys::KEYS`] is the only list of settings; start-up, `resoftai config check` and the reference read it.
//! A name that is not in it is refused, with the nearest one that is. Secrets never appear in output. What the files and
//! addresses behind the settings hold is looked at by `server::check`, which start-up and `config check` share too.

mod credentials;
pub mod environment;
mod keys;
mod mirror;
pub mod secrets;
pub mod smtp;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use keys::{KEYS, Setting};
pub use mirror::{Expired, MirrorConfig};
pub use smtp::{Security, SmtpConfig};

use crate::base::error::{Error, Result};
use crate::base::minisign::PublicKey;
use crate::base::note::Verifier;
use crate::base::severity::Severity;
use crate::base::zone::Zone;

/// The most a configuration file may hold.
const FILE_LIMIT: u64 = 256 * 1024;

/// Every setting with its value.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it was read from, to be read again.
    pub sources: Sources,
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    /// Plain HTTP instead of HTTPS; on loopback addresses only.
    pub http: bool,
    /// Where people open the site: scheme, host and port, without a slash behind; None: as their browser says.
    pub public_url: Option<String>,
    /// Certificate chain and key in PEM; without them a certificate is minted at the first start.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub log_level: String,
    pub database_url: Option<Secret>,
    pub jwt_secret_key: Option<Secret>,
    pub enterprise_mode: bool,
    pub license_key: Option<Secret>,
    pub licence: LicenceConfig,
    /// Public keys whose signatures on releases count besides those in the program.
    pub release_keys: Vec<PublicKey>,
    /// Days between the word that an organisation is to be deleted and its deletion.
    pub deletion_days: u32,
    pub accounts: AccountsConfig,
    pub llm: LlmConfig,
    pub plugins: PluginsConfig,
    pub mirror: MirrorConfig,
    /// Certificate authorities of the site, in PEM, trusted besides the system's when other servers are called.
    pub ca_file: Option<PathBuf>,
    /// Where days and the periods of quotas begin.
    pub time_zone: Zone,
    pub smtp: SmtpConfig,
    /// Syslog server that the audit trail is sent to, such as `tls://logs.site:6514`.
    pub audit_syslog: Option<String>,
    /// Facility of those messages, by its code.
    pub audit_facility: u8,
    /// Private enterprise number in their structured data's name.
    pub audit_enterprise_id: u32,
    /// File that the audit trail is written to as JSON lines.
    pub audit_file: Option<PathBuf>,
}

/// How people sign in.
#[derive(Debug, Clone)]
pub struct AccountsConfig {
    /// No personal token lasts longer, in days; None: they may last for ever.
    pub token_max_days: Option<u32>,
    /// Hours until a session ends.
    pub session_hours: u32,
    /// Whether who came with the password alone may do nothing but set a second factor up.
    pub require_second_factor: bool,
    pub registration: Registration,
    /// Of which domains people register; empty: of any.
    pub registration_domains: Vec<String>,
}

/// Whether people make accounts for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registration {
    #[default]
    Off,
    /// They do, and an administrator lets them in.
    Approval,
    Open,
}

impl Registration {
    pub fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Approval => "approval",
            Self::Open => "open",
        }
    }
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            token_max_days: None,
            session_hours: 12,
            require_second_factor: false,
            registration: Registration::default(),
            registration_domains: Vec::new(),
        }
    }
}

/// Where models come from.
#[derive(Debug, Clone, Default)]
pub struct LlmConfig {
    /// The GGUF file of the built-in engine; None: the only one in the data directory's `models`.
    pub model_path: Option<PathBuf>,
    /// Of the built-in engine; None: all processors but one.
    pub threads: Option<usize>,
    /// Most tokens of prompt and answer together for the built-in engine; None: 8192.
    pub context: Option<u32>,
    /// A server that speaks OpenAI's API, for the whole site.
    pub base_url: Option<String>,
    pub api_key: Option<Secret>,
    /// Of that server; empty: all it lists.
    pub models: Vec<String>,
    /// Of its models, over what it tells; None: what it tells.
    pub context_length: Option<u32>,
    /// Seconds a model server may be silent in the middle of a call; None: 120.
    pub timeout: Option<u64>,
}

/// Where the licence comes from, and whose licences count.
#[derive(Debug, Clone, Default)]
pub struct LicenceConfig {
    /// A file with the licence.
    pub file: Option<PathBuf>,
    /// Public keys whose licences count besides those in the program.
    pub trusted_keys: Vec<Verifier>,
}

/// Which plugins are taken, and what they may use.
#[derive(Debug, Clone)]
pub struct PluginsConfig {
    /// Public keys whose signatures on plugins count.
    pub trusted_keys: Vec<Verifier>,
    /// Take only plugins that one of them signed.
    pub require_signature: bool,
    /// The most memory an instance can be granted.
    pub max_memory_mib: u32,
    /// The most computing time that can be granted for one call.
    pub max_time_ms: u32,
    /// From which severity on a finding of a scan keeps a plugin out; None: never.
    pub scan_block: Option<Severity>,
    /// From which severity on it is warned about; None: never.
    pub scan_warn: Option<Severity>,
    /// Licences, as SPDX identifiers, that are taken; empty: all but those denied.
    pub licences_allowed: Vec<String>,
    pub licences_denied: Vec<String>,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            trusted_keys: Vec::new(),
            require_signature: false,
            max_memory_mib: 512,
            max_time_ms: 30_000,
            scan_block: Some(Severity::Critical),
            scan_warn: Some(Severity::High),
            licences_allowed: Vec::new(),
            licences_denied: Vec::new(),
        }
    }
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(set)")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sources: Sources::default(),
            data_dir: PathBuf::from("/var/lib/resoftai"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            http: false,
            public_url: None,
            tls_cert: None,
            tls_key: None,
            log_level: "info".to_owned(),
            database_url: None,
            jwt_secret_key: None,
            enterprise_mode: true,
            license_key: None,
            licence: LicenceConfig::default(),
            release_keys: Vec::new(),
            deletion_days: 30,
            accounts: AccountsConfig::default(),
            llm: LlmConfig::default(),
            plugins: PluginsConfig::default(),
            mirror: MirrorConfig::default(),
            ca_file: None,
            time_zone: Zone::default(),
            smtp: SmtpConfig::default(),
            audit_syslog: None,
            audit_facility: 10,
            // For examples, as we have none of our own (RFC 5612).
            audit_enterprise_id: 32473,
            audit_file: None,
        }
    }
}

/// Where settings come from besides the defaults.
#[derive(Clone, Default)]
pub struct Sources {
    /// A file that must exist.
    pub file: Option<PathBuf>,
    /// Looks a variable up.
    pub env: Vec<(String, String)>,
    /// Setting names and values from the command line.
    pub flags: Vec<(&'static str, String)>,
}

/// The environment and the flags hold secrets.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sources {{ file: {:?}, .. }}", self.file)
    }
}

impl Config {
    /// Reads all sources and checks the whole.
    ///
    /// # Errors
    /// `unknown_setting`, `invalid_setting` and `unreadable_config`, naming setting and source.
    pub fn load(sources: &Sources) -> Result<Self> {
        let mut config = Self { sources: sources.clone(), ..Self::default() };
        if let Some(file) = &sources.file {
            config.read_file(file)?;
        }
        environment::check(&sources.env)?;
        let credentials = credentials::read(&sources.env)?;
        for setting in KEYS {
            for variable in setting.variables() {
                if let Some((_, value)) = credentials.iter().find(|(name, _)| *name == variable) {
                    setting.apply(&mut config, value, &format!("the credential {variable}"))?;
                }
            }
            for variable in setting.variables() {
                if let Some((_, value)) = sources.env.iter().find(|(name, _)| *name == variable) {
                    setting.apply(&mut config, value, &format!("the environment variable {variable}"))?;
                }
            }
        }
        for (name, value) in &sources.flags {
            let setting = keys::find(name, "the command line")?;
            setting.apply(&mut config, value, "the command line")?;
        }
        config.check()?;
        Ok(config)
    }

    /// The local socket, on which the server answers who operates the machine.
    pub fn socket(&self) -> PathBuf {
        self.data_dir.join("run/resoftai.sock")
    }

    /// What is set and has no effect, in sentences; none of it keeps the server from starting.
    pub fn remarks(&self) -> Vec<&'static str> {
        let mut remarks = Vec::new();
        if self.llm.api_key.is_some() && self.llm.base_url.is_none() {
            remarks.push(
                "llm.api_key (LLM_API_KEY) has no effect: LLM_API_BASE is missing. Set llm.base_url (LLM_API_BASE) to the \
                 address of the server that the key is for, such as https://models.site/v1.",
            );
        }
        if self.smtp.host.is_some() && self.public_url.is_none() {
            remarks.push(
                "Mails hold codes but no links: server.public_url is missing. Set it to the address under which people \
                 open the site, such as https://resoftai.example.",
            );
        }
        remarks
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let unreadable = |why: String| {
            Error::invalid("unreadable_config", format!("The configuration {} cannot be read: {why}", path.display()))
        };
        let length = std::fs::metadata(path).map_err(|cause| unreadable(cause.to_string()))?.len();
        if length > FILE_LIMIT {
            return Err(unreadable(format!("it has {length} bytes, more than {FILE_LIMIT}.")));
        }
        let text = std::fs::read_to_string(path).map_err(|cause| unreadable(cause.to_string()))?;
        let table: toml::Table = text.parse().map_err(|cause: toml::de::Error| unreadable(cause.to_string()))?;
        let mut values = Vec::new();
        flatten("", &table, &mut values);
        for (name, value) in values {
            let source = path.display().to_string();
            keys::find(&name, &source)?.apply(self, &value, &source)?;
        }
        Ok(())
    }

    /// Rules over more than one setting.
    fn check(&self) -> Result<()> {
        let wrong = |setting: &str, message: &str| Err(Error::invalid("invalid_setting", message).field(setting));
        if let Err((setting, message)) = self.smtp.check() {
            return wrong(setting, message);
        }
        if self.http && !self.listen.ip().is_loopback() {
            return wrong(
                "server.http",
                "Plain HTTP is for loopback addresses only. Leave server.http out to get HTTPS, or listen on 127.0.0.1.",
            );
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return wrong(
                "server.tls_cert",
                "server.tls_cert and server.tls_key belong together: set both or neither.",
            );
        }
        if self.llm.base_url.is_none() && !self.llm.models.is_empty() {
            return wrong(
                "llm.models",
                "llm.models are those of the server at llm.base_url. Set that too, or leave llm.models out.",
            );
        }
        if self.llm.base_url.is_none() && self.llm.context_length.is_some() {
            return wrong(
                "llm.context_length",
                "llm.context_length is that of the server at llm.base_url. Set that too; for the built-in model set llm.context.",
            );
        }
        if self.plugins.require_signature && self.plugins.trusted_keys.is_empty() {
            return wrong(
                "plugins.require_signature",
                "plugins.require_signature without plugins.trusted_keys would take no plugin at all. Set that too.",
            );
        }
        if self.jwt_secret_key.as_ref().is_some_and(|key| key.0.len() < 32) {
            return wrong(
                "security.jwt_secret_key",
                "JWT_SECRET_KEY needs at least 32 bytes. Leave it out to have one made.",
            );
        }
        Ok(())
    }
}

fn flatten(prefix: &str, table: &toml::Table, into: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, into),
            toml::Value::String(text) => into.push((name, text.clone())),
            // A list is one value, as it would be written in the environment.
            toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
                let items: Vec<&str> = items.iter().filter_map(toml::Value::as_str).collect();
                into.push((name, items.join(",")));
            }
            other => into.push((name, other.to_string())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn load(toml: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resoftai.toml");
        std::fs::write(&file, toml).unwrap();
        Config::load(&Sources {
            file: Some(file),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        })
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_defaults() {
        let toml = "[server]\nlisten = '127.0.0.1:1'\n[log]\nlevel = 'warn'";
        assert_eq!(load("", &[], &[]).unwrap().listen.port(), 8443);
        assert_eq!(load(toml, &[], &[]).unwrap().listen.port(), 1);
        let env = [("RESOFTAI_SERVER_LISTEN", "127.0.0.1:2")];
        assert_eq!(load(toml, &env, &[]).unwrap().listen.port(), 2);
        let config = load(toml, &env, &[("server.listen", "127.0.0.1:3")]).unwrap();
        assert_eq!((config.listen.port(), config.log_level.as_str()), (3, "warn"));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_known_one() {
        let error = load("[server]\nlisen = 'x'", &[], &[]).unwrap_err();
        assert_eq!(error.code(), "unknown_setting");
        assert!(error.message().contains("server.listen"), "{error}");
    }

    #[test]
    fn the_names_of_the_specification_count_and_secrets_stay_hidden() {
        let env = [("DATABASE_URL", "postgres://u:hunter2@127.0.0.1/db"), ("ENTERPRISE_MODE", "false")];
        let config = load("", &env, &[]).unwrap();
        assert!(!config.enterprise_mode);
        assert!(config.database_url.is_some());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn models_are_a_list_in_the_file_and_a_line_in_the_environment() {
        let toml = "[llm]\nbase_url = 'http://gpu1:8000/v1'\nmodels = ['a', 'b/c']\nthreads = 3";
        let llm = load(toml, &[], &[]).unwrap().llm;
        assert_eq!((llm.models, llm.threads), (vec!["a".to_owned(), "b/c".to_owned()], Some(3)));
        let env = [("LLM_API_BASE", "http://gpu1:8000/v1"), ("LLM_MODEL", "a, b"), ("LLM_API_KEY", "hunter2")];
        let config = load("", &env, &[]).unwrap();
        assert_eq!(config.llm.models, ["a", "b"]);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_has_no_effect_is_remarked_upon() {
        let remarks = |env: &[(&str, &str)]| load("", env, &[]).unwrap().remarks();
        assert!(remarks(&[]).is_empty());
        assert!(remarks(&[("LLM_API_KEY", "k"), ("LLM_API_BASE", "http://gpu1:8000/v1")]).is_empty());
        assert!(matches!(remarks(&[("LLM_API_KEY", "k")])[..], [one] if one.contains("LLM_API_BASE is missing")));
    }

    #[test]
    fn levels_are_those_of_tracing_or_of_python() {
        let level = |value: &str| load("", &[("LOG_LEVEL", value)], &[]).unwrap().log_level;
        assert_eq!(["INFO", "WARNING", "critical"].map(level), ["info", "warn", "error"]);
        assert_eq!(level("warn,resoftai::runs=debug"), "warn,resoftai::runs=debug");
    }

    #[test]
    fn wrong_values_name_the_setting() {
        for (toml, field) in [
            ("[server]\nlisten = 'nowhere'", "server.listen"),
            ("[server]\nhttp = true\nlisten = '0.0.0.0:80'", "server.http"),
            ("[server]\ntls_cert = '/x'", "server.tls_cert"),
            ("[security]\njwt_secret_key = 'short'", "security.jwt_secret_key"),
            ("[log]\nlevel = 'loud'", "log.level"),
            ("[log]\nlevel = 'resoftai=loud'", "log.level"),
            ("[database]\nurl = 'mysql://u@127.0.0.1/x'", "database.url"),
            ("[llm]\napi_key = \"a\\nb\"", "llm.api_key"),
            ("[llm]\nthreads = 0", "llm.threads"),
            ("[llm]\ncontext = 10", "llm.context"),
            ("[llm]\nbase_url = 'gpu1:8000'", "llm.base_url"),
            ("[llm]\nmodels = 'a'", "llm.models"),
            ("[llm]\nbase_url = 'http://a'\nmodels = 'a,,b'", "llm.models"),
            ("[llm]\ncontext_length = 8192", "llm.context_length"),
            ("[llm]\nbase_url = 'http://a'\ncontext_length = 0", "llm.context_length"),
            ("[server]\npublic_url = 'https://a/b'", "server.public_url"),
            ("[server]\npublic_url = 'a.example'", "server.public_url"),
            ("[smtp]\nfrom = 'a@b.example'", "smtp.host"),
            ("[smtp]\nhost = 'mail'", "smtp.from"),
            ("[smtp]\nhost = 'mail'\nfrom = 'nobody'", "smtp.from"),
            ("[smtp]\nhost = 'mail'\nfrom = 'a@b.example'\nusername = 'a'", "smtp.password"),
            ("[smtp]\nhost = 'mail'\nfrom = 'a@b.example'\npassword = 'a'", "smtp.username"),
            ("[smtp]\nhost = 'mail'\nfrom = 'a@b.example'\nsecurity = 'none'", "smtp.security"),
            (
                "[smtp]\nhost = 'mail'\nfrom = 'a@b.example'\nsecurity = 'unprotected'\nusername = 'a'\npassword = 'a'",
                "smtp.security",
            ),
            ("[smtp]\nport = 0", "smtp.port"),
            ("[audit]\nfile = 'audit.jsonl'", "audit.file"),
            ("[audit]\nsyslog_facility = 'kern'", "audit.syslog_facility"),
            ("[audit]\nsyslog_enterprise_id = 0", "audit.syslog_enterprise_id"),
        ] {
            assert_eq!(load(toml, &[], &[]).unwrap_err().field_name(), Some(field), "{toml}");
        }
    }
}

//! The one list of settings.

use super::{Config, Expired, Registration, Secret, smtp};
use crate::base::error::{Error, Result};
use crate::base::minisign::PublicKey;
use crate::base::note::Verifier;
use crate::base::severity::Severity;
use crate::base::telemetry;
use crate::base::zone::Zone;

/// A setting: its name in the file, its other names, what it means.
pub struct Setting {
    /// `section.key` of the TOML file; the environment variable is `RESOFTAI_SECTION_KEY`.
    pub name: &'static str,
    /// The variable the specification names, where it does.
    pub alias: Option<&'static str>,
    pub help: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
    /// The present value, for people; secrets only say whether they are set.
    pub show: fn(&Config) -> String,
}

impl Setting {
    /// The environment variables that set this, the strongest last.
    pub fn variables(&self) -> Vec<String> {
        let mut variables: Vec<String> = self.alias.iter().map(|alias| (*alias).to_owned()).collect();
        variables.push(format!("RESOFTAI_{}", self.name.replace('.', "_").to_uppercase()));
        variables
    }

    /// # Errors
    /// `invalid_setting`, naming setting and source.
    pub fn apply(&self, config: &mut Config, value: &str, source: &str) -> Result<()> {
        (self.set)(config, value).map_err(|why| {
            Error::invalid("invalid_setting", format!("{} from {source} is wrong: {why}.", self.name)).field(self.name)
        })
    }
}

/// Facilities of syslog that fit an audit trail, with their codes (RFC 5424, section 6.2.1).
const FACILITIES: [(&str, u8); 12] = [
    ("auth", 4),
    ("authpriv", 10),
    ("daemon", 3),
    ("user", 1),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Every setting there is, in the order of the reference.
pub const KEYS: &[Setting] = &[
    Setting {
        name: "data_dir",
        alias: Some("RESOFTAI_DATA_DIR"),
        help: "Folder of the database, secrets, logs and the local socket",
        set: |config, value| path(value).map(|path| config.data_dir = path),
        show: |config| config.data_dir.display().to_string(),
    },
    Setting {
        name: "server.listen",
        alias: None,
        help: "Address and port to listen on",
        set: |config, value| {
            config.listen =
                value.parse().map_err(|_| format!("`{value}` is not ADDRESS:PORT, such as 0.0.0.0:8443"))?;
            Ok(())
        },
        show: |config| config.listen.to_string(),
    },
    Setting {
        name: "server.http",
        alias: None,
        help: "Plain HTTP instead of HTTPS, on loopback addresses only",
        set: |config, value| boolean(value).map(|on| config.http = on),
        show: |config| config.http.to_string(),
    },
    Setting {
        name: "server.public_url",
        alias: None,
        help: "Where people open the site, such as https://resoftai.example; for passkeys and links in mails; absent: as the browser says",
        set: |config, value| public_url(value).map(|url| config.public_url = Some(url)),
        show: |config| config.public_url.clone().unwrap_or_default(),
    },
    Setting {
        name: "server.tls_cert",
        alias: None,
        help: "PEM file with the certificate chain; absent: one is made at the first start",
        set: |config, value| path(value).map(|path| config.tls_cert = Some(path)),
        show: |config| config.tls_cert.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    },
    Setting {
        name: "server.tls_key",
        alias: None,
        help: "PEM file with the certificate's private key",
        set: |config, value| path(value).map(|path| config.tls_key = Some(path)),
        show: |config| config.tls_key.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    },
    Setting {
        name: "log.level",
        alias: Some("LOG_LEVEL"),
        help: "error, warn, info, debug, trace, or a filter such as warn,resoftai=debug",
        set: |config, value| level(value).map(|level| config.log_level = level),
        show: |config| config.log_level.clone(),
    },
    Setting {
        name: "database.url",
        alias: Some("DATABASE_URL"),
        help: "postgres://user:password@host/database, for TLS with ?sslmode=require; absent: SQLite in the data directory",
        set: |config, value| postgres(value).map(|url| config.database_url = Some(url)),
        show: |config| shown(config.database_url.as_ref()),
    },
    Setting {
        name: "security.jwt_secret_key",
        alias: Some("JWT_SECRET_KEY"),
        help: "Key that signs session tokens, at least 32 bytes; absent: made once into the data directory",
        set: |config, value| {
            config.jwt_secret_key = Some(Secret(value.to_owned()));
            Ok(())
        },
        show: |config| shown(config.jwt_secret_key.as_ref()),
    },
    Setting {
        name: "enterprise.mode",
        alias: Some("ENTERPRISE_MODE"),
        help: "false keeps the site to one organisation",
        set: |config, value| boolean(value).map(|on| config.enterprise_mode = on),
        show: |config| config.enterprise_mode.to_string(),
    },
    Setting {
        name: "enterprise.license_key",
        alias: Some("LICENSE_KEY"),
        help: "The site's licence, installed at the start; see `resoftai licence install` for the other ways",
        set: |config, value| {
            config.license_key = Some(value.trim()).filter(|key| !key.is_empty()).map(|key| Secret(key.to_owned()));
            Ok(())
        },
        show: |config| shown(config.license_key.as_ref()),
    },
    Setting {
        name: "licence.file",
        alias: None,
        help: "File with the site's licence, installed at the start and when it changes",
        set: |config, value| path(value).map(|path| config.licence.file = Some(path)),
        show: |config| config.licence.file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    },
    Setting {
        name: "licence.trusted_keys",
        alias: None,
        help: "Public keys of vendors whose licences count besides those in the program, as `resoftai vendor licence keygen` writes them, with commas between",
        set: |config, value| {
            let keys = value.split(',').map(str::trim).filter(|key| !key.is_empty()).map(Verifier::parse);
            config.licence.trusted_keys = keys.collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |config| config.licence.trusted_keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    },
    Setting {
        name: "release.trusted_keys",
        alias: None,
        help: "Public keys of minisign's whose signatures on releases count besides those in the program, with commas between",
        set: |config, value| {
            let keys = value.split(',').map(str::trim).filter(|key| !key.is_empty()).map(PublicKey::parse);
            config.release_keys = keys.collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |config| config.release_keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    },
    Setting {
        name: "organizations.deletion_days",
        alias: None,
        help: "Days during which an organisation that is to be deleted can be restored, 0 to 3650; absent: 30",
        set: |config, value| number(value, 0..=3650).map(|days| config.deletion_days = days),
        show: |config| config.deletion_days.to_string(),
    },
    Setting {
        name: "plugins.max_memory_mib",
        alias: None,
        help: "The most memory that a plugin's instance can be granted, in MiB, 128 to 4096; absent: 512",
        set: |config, value| number(value, 128..=4096).map(|mib| config.plugins.max_memory_mib = mib),
        show: |config| config.plugins.max_memory_mib.to_string(),
    },
    Setting {
        name: "plugins.max_time_ms",
        alias: None,
        help: "The most computing time that a plugin can be granted for one call, in milliseconds, 2000 to 600000; absent: 30000",
        set: |config, value| number(value, 2000..=600_000).map(|ms| config.plugins.max_time_ms = ms),
        show: |config| config.plugins.max_time_ms.to_string(),
    },
    Setting {
        name: "accounts.token_max_days",
        alias: None,
        help: "Days that a personal token lasts at most, 1 to 3650, those made before included; absent: they may last for ever",
        set: |config, value| number(value, 1..=3650).map(|days| config.accounts.token_max_days = Some(days)),
        show: |config| config.accounts.token_max_days.map_or_else(String::new, |days| days.to_string()),
    },
    Setting {
        name: "accounts.session_hours",
        alias: None,
        help: "Hours until somebody who signed in signs in anew, 1 to 720; absent: 12",
        set: |config, value| number(value, 1..=720).map(|hours| config.accounts.session_hours = hours),
        show: |config| config.accounts.session_hours.to_string(),
    },
    Setting {
        name: "accounts.require_second_factor",
        alias: None,
        help: "true: who signs in with the password alone can only set up a second factor; absent: false",
        set: |config, value| boolean(value).map(|on| config.accounts.require_second_factor = on),
        show: |config| config.accounts.require_second_factor.to_string(),
    },
    Setting {
        name: "accounts.registration",
        alias: None,
        help: "Whether people make accounts for themselves: off, approval (an administrator lets them in) or open; absent: off",
        set: |config, value| registration(value).map(|how| config.accounts.registration = how),
        show: |config| config.accounts.registration.code().to_owned(),
    },
    Setting {
        name: "accounts.registration_domains",
        alias: None,
        help: "Domains of the e-mail addresses that register, with commas between; absent: all",
        set: |config, value| names(value).map(|domains| config.accounts.registration_domains = domains),
        show: |config| config.accounts.registration_domains.join(","),
    },
    Setting {
        name: "site.time_zone",
        alias: None,
        help: "Time zone in which days and the periods of quotas begin, as the IANA names it, such as Europe/Berlin; absent: UTC",
        set: |config, value| {
            let unknown = || format!("`{value}` is no time zone of the IANA database, such as UTC or Europe/Berlin");
            config.time_zone = Zone::find(value).ok_or_else(unknown)?;
            Ok(())
        },
        show: |config| config.time_zone.name().to_owned(),
    },
    Setting {
        name: "llm.model_path",
        alias: None,
        help: "GGUF file of the built-in model; absent: the only one in the data directory's models folder",
        set: |config, value| path(value).map(|path| config.llm.model_path = Some(path)),
        show: |config| config.llm.model_path.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    },
    Setting {
        name: "llm.threads",
        alias: None,
        help: "Threads of the built-in model, 1 to 256; absent: all processors but one",
        set: |config, value| number(value, 1..=256).map(|threads| config.llm.threads = Some(threads as usize)),
        show: |config| config.llm.threads.map_or_else(String::new, |threads| threads.to_string()),
    },
    Setting {
        name: "llm.context",
        alias: None,
        help: "Most tokens of prompt and answer together for the built-in model, 256 to 1048576; absent: 8192",
        set: |config, value| number(value, 256..=1 << 20).map(|context| config.llm.context = Some(context)),
        show: |config| config.llm.context.map_or_else(String::new, |context| context.to_string()),
    },
    Setting {
        name: "llm.base_url",
        alias: Some("LLM_API_BASE"),
        help: "A model server of the whole site that speaks OpenAI's API, such as http://gpu1:8000/v1",
        set: |config, value| {
            if !["http://", "https://", "unix:/"].iter().any(|scheme| value.starts_with(scheme)) {
                return Err(format!("`{value}` is no address such as http://gpu1:8000/v1 or unix:/run/model.sock"));
            }
            config.llm.base_url = Some(value.to_owned());
            Ok(())
        },
        show: |config| config.llm.base_url.clone().unwrap_or_default(),
    },
    Setting {
        name: "llm.api_key",
        alias: Some("LLM_API_KEY"),
        help: "Key of the server at llm.base_url",
        set: |config, value| {
            if value.chars().any(char::is_control) {
                return Err("it has characters that no key has, such as a line break; copy it again".to_owned());
            }
            config.llm.api_key = Some(Secret(value.to_owned()));
            Ok(())
        },
        show: |config| shown(config.llm.api_key.as_ref()),
    },
    Setting {
        name: "llm.models",
        alias: Some("LLM_MODEL"),
        help: "Models of the server at llm.base_url, with commas between; absent: all it lists",
        set: |config, value| names(value).map(|models| config.llm.models = models),
        show: |config| config.llm.models.join(","),
    },
    Setting {
        name: "llm.context_length",
        alias: None,
        help: "Most tokens of prompt and answer together for the server at llm.base_url, 256 to 16777216, where it does not tell",
        set: |config, value| number(value, 256..=1 << 24).map(|length| config.llm.context_length = Some(length)),
        show: |config| config.llm.context_length.map_or_else(String::new, |length| length.to_string()),
    },
    Setting {
        name: "llm.timeout",
        alias: None,
        help: "Seconds a model server may be silent in the middle of a call, 1 to 1800; absent: 120",
        set: |config, value| number(value, 1..=1800).map(|seconds| config.llm.timeout = Some(seconds.into())),
        show: |config| config.llm.timeout.map_or_else(String::new, |seconds| seconds.to_string()),
    },
    Setting {
        name: "plugins.trusted_keys",
        alias: None,
        help: "Public keys whose signatures on plugins count, as `resoftai plugin keygen` writes them, with commas between",
        set: |config, value| {
            let keys = value.split(',').map(str::trim).filter(|key| !key.is_empty()).map(Verifier::parse);
            config.plugins.trusted_keys = keys.collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |config| config.plugins.trusted_keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    },
    Setting {
        name: "plugins.require_signature",
        alias: None,
        help: "Take only plugins that one of plugins.trusted_keys signed",
        set: |config, value| boolean(value).map(|on| config.plugins.require_signature = on),
        show: |config| config.plugins.require_signature.to_string(),
    },
    Setting {
        name: "plugins.scan_block",
        alias: None,
        help: "From which severity on what a scan finds keeps a plugin out: low, medium, high, critical or never; absent: critical",
        set: |config, value| severity(value).map(|limit| config.plugins.scan_block = limit),
        show: |config| limit(config.plugins.scan_block),
    },
    Setting {
        name: "plugins.scan_warn",
        alias: None,
        help: "From which severity on it is warned about: low, medium, high, critical or never; absent: high",
        set: |config, value| severity(value).map(|limit| config.plugins.scan_warn = limit),
        show: |config| limit(config.plugins.scan_warn),
    },
    Setting {
        name: "plugins.licences_allowed",
        alias: None,
        help: "Licences that plugins and what they carry may have, as SPDX identifiers such as MIT or BSD-*, with commas between; absent: all",
        set: |config, value| names(value).map(|names| config.plugins.licences_allowed = names),
        show: |config| config.plugins.licences_allowed.join(","),
    },
    Setting {
        name: "plugins.licences_denied",
        alias: None,
        help: "Licences that they may not have, such as AGPL-*, with commas between; absent: none",
        set: |config, value| names(value).map(|names| config.plugins.licences_denied = names),
        show: |config| config.plugins.licences_denied.join(","),
    },
    Setting {
        name: "mirror.expired",
        alias: None,
        help: "What is made of a mirror's bundle whose metadata expired: refuse, warn, or a number of days for which it is taken; absent: refuse",
        set: |config, value| Expired::parse(value).map(|expired| config.mirror.expired = expired),
        show: |config| config.mirror.expired.to_string(),
    },
    Setting {
        name: "mirror.serve",
        alias: None,
        help: "true: other boxes read this one's mirror below /mirror, without signing in; absent: false",
        set: |config, value| boolean(value).map(|on| config.mirror.serve = on),
        show: |config| config.mirror.serve.to_string(),
    },
    Setting {
        name: "smtp.host",
        alias: Some("SMTP_HOST"),
        help: "Mail server that takes the site's mails; absent: the site sends none",
        set: |config, value| smtp::host(value).map(|host| config.smtp.host = host),
        show: |config| config.smtp.host.clone().unwrap_or_default(),
    },
    Setting {
        name: "smtp.port",
        alias: Some("SMTP_PORT"),
        help: "Its port; absent: 587, or 465 when smtp.security is tls",
        set: |config, value| number(value, 1..=65535).map(|port| config.smtp.port = u16::try_from(port).ok()),
        show: |config| config.smtp.port().to_string(),
    },
    Setting {
        name: "smtp.security",
        alias: None,
        help: "starttls, tls, none (on this machine only) or unprotected (anywhere, readable by who is on the way); absent: starttls",
        set: |config, value| smtp::Security::parse(value).map(|security| config.smtp.security = security),
        show: |config| config.smtp.security.name().to_owned(),
    },
    Setting {
        name: "smtp.username",
        alias: Some("SMTP_USER"),
        help: "Whom to sign in as at the mail server; absent: nobody",
        set: |config, value| smtp::credential(value).map(|name| config.smtp.username = name),
        show: |config| config.smtp.username.clone().unwrap_or_default(),
    },
    Setting {
        name: "smtp.password",
        alias: Some("SMTP_PASSWORD"),
        help: "The password for that",
        set: |config, value| smtp::credential(value).map(|password| config.smtp.password = password.map(Secret)),
        show: |config| shown(config.smtp.password.as_ref()),
    },
    Setting {
        name: "smtp.from",
        alias: Some("SMTP_FROM"),
        help: "Address that the site's mails come from",
        set: |config, value| smtp::address(value).map(|from| config.smtp.from = from),
        show: |config| config.smtp.from.clone().unwrap_or_default(),
    },
    Setting {
        name: "smtp.from_name",
        alias: Some("SMTP_FROM_NAME"),
        help: "Name beside that address, at most 100 characters; absent: ResoftAI",
        set: |config, value| smtp::name(value).map(|name| config.smtp.from_name = name),
        show: |config| config.smtp.from_name.clone().unwrap_or_default(),
    },
    Setting {
        name: "audit.syslog",
        alias: None,
        help: "Syslog server that the audit trail is sent to as it grows, such as tls://logs.example:6514",
        set: |config, value| {
            config.audit_syslog = Some(value.to_owned());
            Ok(())
        },
        show: |config| config.audit_syslog.clone().unwrap_or_default(),
    },
    Setting {
        name: "audit.syslog_facility",
        alias: None,
        help: "Facility of those messages: auth, authpriv, daemon, user or local0 to local7",
        set: |config, value| {
            let known = FACILITIES.iter().find(|(name, _)| *name == value.to_ascii_lowercase());
            let names = FACILITIES.map(|(name, _)| name).join(", ");
            config.audit_facility = known.ok_or_else(|| format!("`{value}` is none of {names}"))?.1;
            Ok(())
        },
        show: |config| {
            let known = FACILITIES.iter().find(|(_, code)| *code == config.audit_facility);
            known.map_or_else(String::new, |(name, _)| (*name).to_owned())
        },
    },
    Setting {
        name: "audit.syslog_enterprise_id",
        alias: None,
        help: "Private enterprise number (RFC 5424, section 7.2.2) after the @ of the structured data's name; 32473 is for nobody",
        set: |config, value| {
            let number = value.parse().ok().filter(|number| *number > 0);
            config.audit_enterprise_id =
                number.ok_or_else(|| format!("`{value}` is no number from 1 to {}", u32::MAX))?;
            Ok(())
        },
        show: |config| config.audit_enterprise_id.to_string(),
    },
    Setting {
        name: "audit.file",
        alias: None,
        help: "File that the audit trail is written to as it grows, one JSON object a line; an absolute path",
        set: |config, value| {
            let path = path(value)?;
            if !path.is_absolute() {
                return Err(format!("`{value}` is no absolute path such as /var/log/resoftai/audit.jsonl"));
            }
            config.audit_file = Some(path);
            Ok(())
        },
        show: |config| config.audit_file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    },
    Setting {
        name: "network.ca_file",
        alias: None,
        help: "PEM file with the site's certificate authorities, trusted when other servers are called, the database among them",
        set: |config, value| path(value).map(|path| config.ca_file = Some(path)),
        show: |config| config.ca_file.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    },
];

/// The setting called `name`.
///
/// # Errors
/// `unknown_setting` with the nearest name there is.
pub fn find(name: &str, source: &str) -> Result<&'static Setting> {
    KEYS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let nearest = KEYS
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a.name, name).total_cmp(&strsim::jaro_winkler(b.name, name)));
        let nearest = nearest.map_or("", |setting| setting.name);
        let message = format!("There is no setting `{name}` ({source}). Did you mean `{nearest}`?");
        Error::invalid("unknown_setting", message).field(name)
    })
}

fn path(value: &str) -> Result<std::path::PathBuf, String> {
    if value.is_empty() { Err("the path is empty".to_owned()) } else { Ok(value.into()) }
}

/// A level or a filter; earlier installations have Python's names.
fn level(value: &str) -> Result<String, String> {
    let level = match value.trim().to_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" => "error".to_owned(),
        other => other.to_owned(),
    };
    telemetry::filter(&level).map(|_| level).map_err(|error| error.message().trim_end_matches('.').to_owned())
}

/// SQLAlchemy names a driver too: `postgresql+asyncpg://`. The rest is read by `db`.
fn postgres(value: &str) -> Result<Secret, String> {
    let scheme = value.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme.split_once('+').map_or(scheme, |(dialect, _driver)| dialect) {
        "postgres" | "postgresql" => Ok(Secret(value.to_owned())),
        _ => Err("only postgres:// is served; leave it out for SQLite".to_owned()),
    }
}

fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

fn registration(value: &str) -> Result<Registration, String> {
    let known = [Registration::Off, Registration::Approval, Registration::Open];
    let found = known.into_iter().find(|how| how.code() == value);
    found.ok_or_else(|| format!("`{value}` is none of off, approval and open"))
}

/// Scheme, host and port, without a slash behind.
fn public_url(value: &str) -> Result<String, String> {
    let wrong = || format!("`{value}` is no address such as https://resoftai.example or https://resoftai.example:8443");
    let uri: hyper::Uri = value.parse().map_err(|_| wrong())?;
    let named = uri.host().is_some_and(|host| !host.is_empty()) && value.len() <= 255;
    let plain = named && matches!(uri.path(), "" | "/") && uri.query().is_none() && !value.contains(['@', '#']);
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) if plain => Ok(format!("{scheme}://{authority}")),
        _ => Err(wrong()),
    }
}

fn number(value: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("`{value}` is not a number from {} to {}", range.start(), range.end()))
}

fn names(value: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err("a name is empty; write them with one comma between".to_owned());
    }
    Ok(names)
}

fn severity(value: &str) -> Result<Option<Severity>, String> {
    match (value, Severity::from_code(value)) {
        ("never", _) => Ok(None),
        (_, Some(severity)) => Ok(Some(severity)),
        _ => Err(format!("`{value}` is none of low, medium, high, critical and never")),
    }
}

fn limit(severity: Option<Severity>) -> String {
    severity.map_or("never", Severity::code).to_owned()
}

fn shown(secret: Option<&Secret>) -> String {
    if secret.is_some() { "(set)".to_owned() } else { String::new() }
}

//! The one list of settings.

use super::{Config, Secret};
use crate::base::error::{Error, Result};

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
        help: "error, warn, info, debug, trace, or a filter such as resoftai=debug",
        set: |config, value| {
            config.log_level = value.to_lowercase();
            Ok(())
        },
        show: |config| config.log_level.clone(),
    },
    Setting {
        name: "database.url",
        alias: Some("DATABASE_URL"),
        help: "postgres://user:password@host/database; absent: SQLite in the data directory",
        set: |config, value| {
            if !value.starts_with("postgres://") && !value.starts_with("postgresql://") {
                return Err("only postgres:// is served; leave it out for SQLite".to_owned());
            }
            config.database_url = Some(Secret(value.to_owned()));
            Ok(())
        },
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

fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

fn shown(secret: Option<&Secret>) -> String {
    if secret.is_some() { "(set)".to_owned() } else { String::new() }
}

//! What goes into the bundle, part by part.
//!
//! Invariant: a part that cannot be had says why and keeps no other away.

use std::io::Read;

use serde_json::{Value, json};

use super::{ABSENT, Given, PART_LIMIT, Part, logs};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::config::{Config, KEYS, secrets as files};
use crate::db::Db;
use crate::doctor::{self, Site};
use crate::llm::Llm;
use crate::mirror;

/// Files of the system that say what machine it is.
const FILES: [(&str, &str); 8] = [
    ("machine/os-release", "/etc/os-release"),
    ("machine/kernel", "/proc/version"),
    ("machine/memory", "/proc/meminfo"),
    ("machine/load", "/proc/loadavg"),
    ("machine/pressure-memory", "/proc/pressure/memory"),
    ("machine/pressure-io", "/proc/pressure/io"),
    ("machine/mounts", "/proc/self/mounts"),
    ("machine/limits", "/proc/self/limits"),
];
/// Programs that say more of it.
const PROGRAMS: [(&str, &str, &[&str]); 4] = [
    ("machine/disks", "df", &["-PT"]),
    ("machine/addresses", "ip", &["-brief", "address"]),
    ("service/unit", "systemctl", &["show", "resoftai.service", "--no-pager"]),
    ("service/status", "systemctl", &["status", "resoftai.service", "--no-pager", "--lines=0"]),
];

/// Settings whose values are never told.
const SECRET: [&str; 5] =
    ["database.url", "security.jwt_secret_key", "enterprise.license_key", "llm.api_key", "smtp.password"];

pub(super) async fn parts(given: &Given<'_>) -> Vec<Part> {
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"), "architecture": std::env::consts::ARCH, "made_at": given.now,
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "program_made_at": given.site.and_then(|site| site.made),
    });
    let mut parts = vec![Part::json("about.json", &about), Part::json("doctor.json", &given.checks)];
    if let Some(site) = given.site {
        parts.push(configuration(&site.config, given.environment));
        parts.push(metrics(site).await);
        parts.extend(of_database(site).await);
        parts.extend(logs::newest(&site.config.data_dir.join("logs"), given.log_bytes));
    }
    parts.extend(
        FILES.iter().filter_map(|(name, path)| Some(Part { name: (*name).to_owned(), bytes: start_of(path)? })),
    );
    for (name, program, arguments) in PROGRAMS {
        let said = doctor::run(program, arguments, PART_LIMIT as u64).await.filter(|said| !said.text.is_empty());
        parts.extend(said.map(|said| Part::text(name, said.text)));
    }
    let journal =
        ["--unit", "resoftai.service", "--no-pager", "--output", "short-iso", "--lines", "20000", "--reverse"];
    let journal = doctor::run("journalctl", &journal, given.log_bytes).await;
    parts.extend(journal.filter(|said| said.succeeded).map(|said| Part::text("service/journal", said.text)));
    parts
}

fn start_of(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(PART_LIMIT as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Every setting as it is shown, of secrets only whether they are set, and the names of the variables that set any.
fn configuration(config: &Config, environment: &[(String, String)]) -> Part {
    // Shorter than what is taken for a secret behind such a name.
    let shown = |setting: &crate::config::Setting| (setting.show)(config).replace("(set)", "set");
    let mut lines: Vec<String> = KEYS.iter().map(|setting| format!("{} = {}", setting.name, shown(setting))).collect();
    let file = config.sources.file.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    lines.push(format!("\n# file: {file}"));
    let known: Vec<String> = KEYS.iter().flat_map(crate::config::Setting::variables).collect();
    let given: Vec<&str> = environment
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| known.iter().any(|known| known == name))
        .collect();
    lines.push(format!("# variables: {}", given.join(" ")));
    Part::text("configuration.txt", lines.join("\n") + "\n")
}

async fn metrics(site: &Site) -> Part {
    let text = match doctor::ask(site, "/metrics").await {
        Ok((_, body)) => String::from_utf8_lossy(&body).into_owned(),
        Err(error) => format!("{ABSENT} {error}\n"),
    };
    Part::text("metrics.txt", text)
}

async fn of_database(site: &Site) -> Vec<Part> {
    let absent = |error: &dyn std::fmt::Display| vec![Part::text("database.json", format!("{ABSENT} {error}\n"))];
    let db = match doctor::open(site).await {
        Ok(db) => db,
        Err(error) => return absent(&error),
    };
    let mut parts = vec![Part::json("database.json", &database(&db).await)];
    parts.push(Part::json("jobs.json", &told(jobs(&db).await)));
    parts.push(Part::json("plugins.json", &told(plugins(&db).await)));
    parts.push(Part::json("mirror.json", &told(mirrored(&db).await)));
    db.close().await;
    parts
}

fn told(value: Result<Value>) -> Value {
    value.unwrap_or_else(|error| json!(format!("{ABSENT} {error}")))
}

async fn database(db: &Db) -> Value {
    let migrations = db.migrations().await.map(|steps| {
        let steps = steps
            .into_iter()
            .map(|(version, name, at)| json!({"version": version, "name": name, "applied_at": Time(at)}));
        steps.collect::<Value>()
    });
    let tables = db.tables().await.map(|tables| {
        let tables = tables.into_iter().map(|(name, rows, bytes)| (name, json!({"rows": rows, "bytes": bytes})));
        tables.collect::<Value>()
    });
    json!({"engine": format!("{:?}", db.engine()), "migrations": told(migrations), "tables": told(tables)})
}

async fn jobs(db: &Db) -> Result<Value> {
    let jobs = db.read(doctor::store::jobs).await?.into_iter();
    Ok(jobs.map(|(kind, waiting, dead)| (kind, json!({"waiting": waiting, "dead": dead}))).collect())
}

async fn plugins(db: &Db) -> Result<Value> {
    let plugins = db.read(doctor::store::plugins).await?.into_iter();
    Ok(plugins.map(|(slug, status, wrong)| json!({"slug": slug, "status": status, "wrong": wrong})).collect())
}

async fn mirrored(db: &Db) -> Result<Value> {
    let kept = db.read(mirror::store::all).await?.into_iter();
    Ok(kept
        .map(|kept| {
            json!({"owner": kept.owner, "root_version": kept.root_version, "root_expires": kept.root_expires,
                "state": kept.state, "imported_at": kept.imported_at, "revision": kept.revision})
        })
        .collect())
}

/// Values that must not be in any part.
pub(super) async fn secrets(given: &Given<'_>) -> Vec<String> {
    // They count too where the configuration as a whole cannot be read.
    let names: Vec<String> = KEYS
        .iter()
        .filter(|setting| SECRET.contains(&setting.name))
        .flat_map(crate::config::Setting::variables)
        .collect();
    let variables = given.environment.iter().filter(|(name, _)| names.contains(name) || name == "RESOFTAI_TOKEN");
    let mut secrets: Vec<String> = variables.map(|(_, value)| value.clone()).collect();
    let Some(site) = given.site else { return secrets };
    let config = &site.config;
    let set =
        [&config.database_url, &config.jwt_secret_key, &config.license_key, &config.llm.api_key, &config.smtp.password];
    secrets.extend(set.into_iter().flatten().map(|secret| secret.0.clone()));
    secrets.extend(config.database_url.iter().filter_map(|url| password_in(&url.0)));
    secrets.extend(config.smtp.username.clone());
    if let Some(file) = &config.licence.file {
        secrets
            .extend(start_of(&file.display().to_string()).map(|text| String::from_utf8_lossy(&text).trim().to_owned()));
    }
    secrets.extend(of_model_servers(site).await.unwrap_or_default());
    secrets
}

fn password_in(url: &str) -> Option<String> {
    let (user, _) = url.split_once("://")?.1.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password.to_owned())
}

/// Keys of model servers, which are sealed in the database.
async fn of_model_servers(site: &Site) -> Result<Vec<String>> {
    let Some(key) = files::load(&site.config.data_dir.join("secrets/master.key"))? else { return Ok(Vec::new()) };
    let db = doctor::open(site).await?;
    let keys = db.read(move |tx| Llm::keys_of_servers(tx, &key)).await;
    db.close().await;
    keys
}

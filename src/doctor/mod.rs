//! What is right and wrong with a site on its own machine: checks with a stable code, what was seen, and the mend.
//!
//! Invariants: nothing is changed, whether the server runs or not; every wait has a limit; a check that could not be made is
//! never passed. One file a group of checks; the list of all of them, in their order, is [`examine`].

mod backups;
mod certificate;
mod contents;
mod database;
pub mod egress;
mod files;
mod machine;
mod port;
mod process;
mod service;
mod settings;
pub mod store;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::config::Config;
use crate::db::{Db, Reach};
use crate::net;

pub use database::{open, open_to_write};
pub use port::ask;
pub use process::{Said, run};

/// The most that a group of checks may take.
const GROUP_LIMIT: Duration = Duration::from_secs(20);
/// The most that looking at all of the database, or of the audit trail, may take, and when all of it was asked for.
const WHOLE_LIMIT: Duration = Duration::from_secs(30);
const FULL_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// The most that is read of a file of the system.
const FILE_LIMIT: u64 = 1 << 20;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Pass,
    /// It works, and somebody should look.
    Warn,
    /// It does not work, or soon will not.
    Fail,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The same for ever: scripts go by it.
    pub code: &'static str,
    pub level: Level,
    /// A sentence with figures.
    pub seen: String,
    /// The command, or the file to change; none where all is well.
    pub mend: Option<String>,
}

impl Check {
    fn pass(code: &'static str, seen: impl Into<String>) -> Self {
        Self { code, level: Level::Pass, seen: seen.into(), mend: None }
    }

    fn warn(code: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { code, level: Level::Warn, seen: seen.into(), mend: Some(mend.into()) }
    }

    fn fail(code: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { code, level: Level::Fail, seen: seen.into(), mend: Some(mend.into()) }
    }
}

/// The site that is looked at.
pub struct Site {
    pub config: Config,
    /// Why a start would refuse the configuration.
    pub refused: Option<Error>,
    pub clock: Clock,
    /// When this program's file was made.
    pub made: Option<Time>,
    /// The plugin runtime that this program carries; empty where it carries none.
    pub runtime: &'static [u8],
    /// Whether to look at all of the database and the audit trail, however long that takes.
    pub full: bool,
}

impl Site {
    fn whole_limit(&self) -> Duration {
        if self.full { FULL_LIMIT } else { WHOLE_LIMIT }
    }

    fn database_file(&self) -> PathBuf {
        self.config.data_dir.join("resoftai.db")
    }

    /// What dials, and may dial nobody yet.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn dialler(&self) -> Result<net::Client> {
        let options = net::Options { ca_files: self.ca_files(), ..net::Options::default() };
        net::Client::new(net::Dns::from_system()?, &options)
    }

    fn ca_files(&self) -> Vec<PathBuf> {
        self.config.ca_file.iter().cloned().collect()
    }

    /// How PostgreSQL is reached.
    fn reach(&self) -> Result<Reach> {
        let tls = net::client_config(&self.ca_files())?;
        let resolve = net::Dns::from_system()?.blocking(Duration::from_secs(5));
        Ok(Reach { resolve: std::sync::Arc::new(resolve), tls: Some(std::sync::Arc::new(tls)) })
    }
}

/// All checks of a site.
pub async fn examine(site: &Site) -> Vec<Check> {
    let mut checks = settings::checks(site);
    let (config, now) = (site.config.clone(), site.clock.now());
    let looked =
        tokio::task::spawn_blocking(move || [files::checks(&config), certificate::checks(&config, now)].concat());
    checks.extend(
        within("data_dir", GROUP_LIMIT, async { looked.await.unwrap_or_else(|cause| vec![broke(&cause)]) }).await,
    );
    let server = port::Server::look(site).await;
    checks.extend(within("port", GROUP_LIMIT, port::checks(site, &server)).await);
    checks.extend(within("service", GROUP_LIMIT, service::checks()).await);
    let (opened, db) = database::checks(site).await;
    checks.extend(opened);
    if let Some(db) = db {
        checks.extend(of_database(site, &db).await);
        db.close().await;
    }
    checks.extend(machine::checks(server.process));
    checks
}

async fn of_database(site: &Site, db: &Db) -> Vec<Check> {
    let mut checks = within("clock", GROUP_LIMIT, contents::licence(site, db)).await;
    checks.extend(within("backup", GROUP_LIMIT, backups::checks(site, db)).await);
    checks.extend(within("audit", site.whole_limit(), database::trail(site, db)).await);
    checks.extend(within("mirror", GROUP_LIMIT, contents::mirror(site, db)).await);
    checks.extend(within("jobs", GROUP_LIMIT, contents::jobs(site, db)).await);
    checks.extend(within("plugins", GROUP_LIMIT, contents::plugins(site, db)).await);
    checks.extend(within("models", 3 * GROUP_LIMIT, contents::models(site, db)).await);
    checks
}

/// The checks of a machine whose configuration cannot be read.
pub async fn examine_without(error: &Error) -> Vec<Check> {
    let mut checks = vec![settings::unreadable(error)];
    checks.extend(within("service", GROUP_LIMIT, service::checks()).await);
    checks.extend(machine::checks(None));
    checks
}

/// What did not come to an end is told of as the check that it is about.
async fn within(code: &'static str, limit: Duration, work: impl Future<Output = Vec<Check>>) -> Vec<Check> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let seen = format!("It was not known after {} s.", limit.as_secs());
        vec![Check::warn(
            code,
            seen,
            "Look again with `resoftai doctor --full`; if it stays so, at the disk and at the network.",
        )]
    })
}

fn broke(cause: &dyn std::fmt::Display) -> Check {
    Check::fail("data_dir", format!("It could not be looked at: {cause}."), "Report this with the log.")
}

/// A file of the system as text; what is longer is cut.
fn text_of(path: &str) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(FILE_LIMIT).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A size as people say it, in the units that the file systems' tools have.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

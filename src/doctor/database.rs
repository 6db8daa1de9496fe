//! The database: whether it opens, whose schema it has, whether its pages and its audit trail are whole.
//!
//! Invariant: it is opened to be looked at; a database of another version is not asked for more than that.

use super::{Check, Site, size};
use crate::audit::tree::Logs;
use crate::base::error::{Error, Result};
use crate::config::secrets;
use crate::db::{Db, Options, migrate};

const CODE: &str = "database";

/// Opens the site's database to look at it.
///
/// # Errors
/// Those of [`Db::look_sqlite`] and [`Db::look_postgres`].
pub async fn open(site: &Site) -> Result<Db> {
    match &site.config.database_url {
        Some(url) => Db::look_postgres(&url.0, site.reach()?),
        None => Db::look_sqlite(&site.database_file()).await,
    }
}

/// Opens it to write to it while no server runs, if it is of this version: nothing is brought up to date.
///
/// # Errors
/// Those of [`open`]; `database_older`.
pub async fn open_to_write(site: &Site) -> Result<Db> {
    let db = open(site).await?;
    let standing = db.standing().await;
    db.close().await;
    if standing?.outstanding > 0 {
        return Err(Error::conflict("database_older", "The database is an older version's; start the server once."));
    }
    match &site.config.database_url {
        Some(url) => Db::open_postgres_with(&url.0, Options::default(), site.reach()?, migrate::BUILTIN).await,
        None => Db::open_sqlite(&site.database_file(), Options::default()).await,
    }
}

/// What is known of it, and the database where it is one of this version.
pub(super) async fn checks(site: &Site) -> (Vec<Check>, Option<Db>) {
    let on_file = site.config.database_url.is_none();
    if on_file && !site.database_file().exists() {
        let seen = format!("There is no database yet in {}.", site.config.data_dir.display());
        let mend = "Start the server once, which makes it; or put a backup back: resoftai restore FOLDER";
        return (vec![Check::warn(CODE, seen, mend)], None);
    }
    let opened = open(site).await;
    if let (false, Ok(db)) = (on_file, &opened)
        && db.tables().await.is_ok_and(|tables| tables.is_empty())
    {
        let seen = "PostgreSQL answers, and there is nothing in the database yet.";
        return (vec![Check::warn(CODE, seen, "Start the server once, which makes what it needs.")], None);
    }
    let mut checks = Vec::new();
    let opened = match opened {
        Ok(db) => match db.standing().await {
            Ok(standing) => Ok((db, standing)),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let db = match opened {
        Ok((db, standing)) if standing.outstanding == 0 => {
            let seen = format!(
                "{}; its schema is this version's: {} steps, the last {}.",
                place(site),
                standing.applied,
                standing.newest
            );
            checks.push(Check::pass(CODE, seen));
            Some(db)
        }
        Ok((_, standing)) => {
            let seen = format!(
                "{}; its schema is an older version's: {} steps have not run, the last that did is {}. The rest is not looked at.",
                place(site),
                standing.outstanding,
                standing.newest
            );
            checks.push(Check::warn(
                CODE,
                seen,
                "Take a backup; the next start of this version brings it up to date: systemctl restart resoftai",
            ));
            None
        }
        Err(error) => {
            let mend = match error.code() {
                "database_newer" | "migration_changed" => {
                    "Start the version that wrote it, or put back a backup that this one made: resoftai restore FOLDER"
                }
                _ if on_file => "Put back a backup: resoftai restore FOLDER --replace",
                _ => "Look whether PostgreSQL runs and takes the user and password of database.url.",
            };
            let why = error
                .cause()
                .map_or_else(|| error.message().to_owned(), |cause| format!("{} ({cause})", error.message()));
            checks.push(Check::fail(CODE, why, mend));
            None
        }
    };
    if on_file {
        checks.push(integrity(site).await);
    }
    (checks, db)
}

fn place(site: &Site) -> String {
    if site.config.database_url.is_some() {
        return "PostgreSQL answers".to_owned();
    }
    let bytes = std::fs::metadata(site.database_file()).map_or(0, |metadata| metadata.len());
    format!("SQLite, {}", size(bytes))
}

async fn integrity(site: &Site) -> Check {
    const CODE: &str = "database_integrity";
    let mend = "Stop the server, keep a copy of the file, and put a backup back: resoftai restore FOLDER --replace. Then look at the disk: \
                smartctl -a /dev/DISK";
    let limit = site.whole_limit();
    match Db::damage(&site.database_file(), limit).await {
        Ok(Some(problems)) if problems.is_empty() => {
            Check::pass(CODE, "SQLite finds all pages of the file whole (quick_check).")
        }
        Ok(Some(problems)) => {
            let first = problems.first().map_or("", String::as_str).replace('\n', " ");
            Check::fail(CODE, format!("The file is damaged in {} places or more: {first}.", problems.len()), mend)
        }
        Ok(None) => {
            let seen = format!("Not all pages were looked at within {} s.", limit.as_secs());
            Check::warn(CODE, seen, "Give it the time it needs: resoftai doctor --full")
        }
        Err(error) => Check::fail(CODE, error.message(), mend),
    }
}

/// Whether the audit trail is what its logs say.
pub(super) async fn trail(site: &Site, db: &Db) -> Vec<Check> {
    const CODE: &str = "audit";
    let key = site.config.data_dir.join("secrets/audit.key");
    let logs = match secrets::load(&key)
        .and_then(|key| key.map(|key| Logs::new(db.clone(), site.clock.clone(), &key)).transpose())
    {
        Ok(Some(logs)) => logs,
        Ok(None) => {
            let seen = format!("{} is missing, so the site's logs cannot be signed any more.", key.display());
            return vec![Check::fail(
                CODE,
                seen,
                "Bring that file back from a backup, or from another server of the site.",
            )];
        }
        Err(error) => return vec![Check::fail(CODE, error.message(), "Bring that file back from a backup.")],
    };
    vec![match logs.check_all().await {
        Ok((entries, findings)) if findings.is_empty() => {
            Check::pass(CODE, format!("{entries} entries of the audit trail are as their logs say."))
        }
        Ok((entries, findings)) => {
            let first = findings.first().map_or("", String::as_str);
            let seen = format!(
                "{} of {entries} entries of the audit trail are not as their logs say: {first}",
                findings.len()
            );
            Check::fail(
                CODE,
                seen,
                "Keep the database as it is and tell who is responsible; resoftai audit verify names all of them.",
            )
        }
        Err(error) => Check::fail(CODE, format!("The audit trail cannot be read: {error}"), "Mend the database first."),
    }]
}

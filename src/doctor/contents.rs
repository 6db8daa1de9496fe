//! What the site has from outside: time, licence, mirror, plugins, models; and the jobs that do its work.
//!
//! Invariant: model servers are asked for nothing but whether they answer, without a key, and only those that are configured.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use super::{Check, Site, store};
use crate::base::clock::{DAY, SECOND, Time};
use crate::base::error::{Error, Result};
use crate::config::secrets;
use crate::db::Db;
use crate::licence::{Licence, LicenceStatus, Options, State};
use crate::mirror;
use crate::net::{Place, Target};

/// Longer than this no clock is behind by a slow oscillator.
const SLACK: i64 = 3600 * SECOND;
/// Days before a mirrored state expires on which somebody should look.
const MIRROR_SOON: i64 = 7;
/// For one model server.
const PATIENCE: Duration = Duration::from_secs(6);
/// The most model servers that are asked.
const MOST_SERVERS: usize = 20;

/// The clock, by the latest moment that the site has seen, and the licence, which goes by it.
pub(super) async fn licence(site: &Site, db: &Db) -> Vec<Check> {
    match standing(site, db).await {
        Ok(status) => vec![clock(site, status.latest_at), of_status(&status)],
        Err(error) => {
            let mend = "Bring secrets/master.key back from a backup, or start the server once.";
            vec![Check::fail("licence", format!("It cannot be read: {error}"), mend)]
        }
    }
}

async fn standing(site: &Site, db: &Db) -> Result<LicenceStatus> {
    let path = site.config.data_dir.join("secrets/master.key");
    let missing = || Error::unavailable("no_master_key", format!("{} is missing.", path.display()));
    let key = secrets::load(&path)?.ok_or_else(missing)?;
    let options = Options { trusted_keys: site.config.licence.trusted_keys.clone(), ..Options::default() };
    Licence::new(db.clone(), site.clock.clone(), &key, options)?.standing().await
}

fn clock(site: &Site, latest: Time) -> Check {
    const CODE: &str = "clock";
    let now = site.clock.now();
    let mend = "Set the clock: timedatectl set-time 'YYYY-MM-DD HH:MM:SS', or let a time server of the site do it.";
    if now.plus(SLACK) < latest {
        let seen = format!("The clock says {now}, and the site has already seen {latest}.");
        return Check::fail(CODE, seen, mend);
    }
    if let Some(made) = site.made.filter(|made| now.plus(SLACK) < *made) {
        return Check::fail(CODE, format!("The clock says {now}, before this program was made ({made})."), mend);
    }
    Check::pass(CODE, format!("The clock says {now}, which is after all that the site has seen."))
}

fn of_status(status: &LicenceStatus) -> Check {
    const CODE: &str = "licence";
    let seats = format!("{} of {} seats are used.", status.seats.used, status.seats.licensed);
    let seen = format!("{} {seats}", status.sentence);
    let mend = "Ask your vendor for one, with the installation's id (resoftai licence show), then: resoftai licence install FILE";
    match status.state {
        State::Valid | State::None => Check::pass(CODE, seen),
        State::Expiring | State::NotYetValid | State::Grace => Check::warn(CODE, seen, mend),
        State::Expired | State::Revoked | State::OtherInstallation | State::Untrusted => Check::fail(CODE, seen, mend),
    }
}

pub(super) async fn mirror(site: &Site, db: &Db) -> Vec<Check> {
    const CODE: &str = "mirror";
    let kept = match db.read(mirror::store::all).await {
        Ok(kept) if kept.is_empty() => return vec![Check::pass(CODE, "The site has no mirror.")],
        Ok(kept) => kept,
        Err(error) => return vec![Check::fail(CODE, error.message(), "Mend the database first.")],
    };
    let now = site.clock.now();
    kept.iter()
        .map(|kept| {
            let (part, at) = kept.state.map_or(("root", kept.root_expires), |state| state.expires.first());
            let imported = kept.imported_at.map_or_else(
                || "nothing was imported yet".to_owned(),
                |at| format!("imported {} days ago", now.0.saturating_sub(at.0) / DAY),
            );
            let seen = format!("Repository {}: {imported}; its {part} metadata counts until {at}.", kept.owner.code());
            let mend = "Bring a bundle that was signed lately: resoftai mirror import BUNDLE.tar";
            if now > at || now.plus(MIRROR_SOON * DAY) > at {
                return Check::warn(CODE, seen, mend);
            }
            Check::pass(CODE, seen)
        })
        .collect()
}

pub(super) async fn jobs(site: &Site, db: &Db) -> Vec<Check> {
    const CODE: &str = "jobs";
    let jobs = match db.read(store::jobs).await {
        Ok(jobs) => jobs,
        Err(error) => return vec![Check::fail(CODE, error.message(), "Mend the database first.")],
    };
    let waiting: i64 = jobs.iter().map(|(_, waiting, _)| waiting).sum();
    let dead: Vec<String> =
        jobs.iter().filter(|(.., dead)| *dead > 0).map(|(kind, _, dead)| format!("{dead} of {kind}")).collect();
    vec![if dead.is_empty() {
        Check::pass(CODE, format!("{waiting} jobs wait or run, and none was given up."))
    } else {
        let seen = format!("{waiting} jobs wait or run; given up after every attempt: {}.", dead.join(", "));
        let logs = site.config.data_dir.join("logs");
        Check::warn(CODE, seen, format!("The log says why: grep job {}/resoftai.*.log", logs.display()))
    }]
}

pub(super) async fn plugins(site: &Site, db: &Db) -> Vec<Check> {
    let mut checks = vec![runtime(site).await];
    const CODE: &str = "plugins";
    checks.push(match db.read(store::plugins).await {
        Ok(plugins) => {
            let wrong: Vec<&str> =
                plugins.iter().filter(|(.., wrong)| *wrong).map(|(slug, ..)| slug.as_str()).collect();
            let seen = format!("{} plugins are installed", plugins.len());
            if wrong.is_empty() {
                Check::pass(CODE, format!("{seen}, and nothing is known to be wrong with them."))
            } else {
                Check::warn(
                    CODE,
                    format!("{seen}; something is wrong with {}.", wrong.join(", ")),
                    "resoftai plugin show NAME says what.",
                )
            }
        }
        Err(error) => Check::fail(CODE, error.message(), "Mend the database first."),
    });
    checks
}

/// Whether the part that plugins run in is there and fits this processor.
async fn runtime(site: &Site) -> Check {
    const CODE: &str = "plugin_runtime";
    let bytes = site.runtime;
    if bytes.is_empty() {
        return Check::warn(
            CODE,
            "This program carries no plugin runtime, so plugins in Python cannot run.",
            "Install a release.",
        );
    }
    let mapped = tokio::task::spawn_blocking(move || {
        resoftai_sandbox::Sandbox::new(1)
            .and_then(|sandbox| sandbox.map(bytes).map(drop))
            .map_err(|cause| cause.to_string())
    });
    match mapped.await.unwrap_or_else(|cause| Err(cause.to_string())) {
        Ok(()) => Check::pass(CODE, format!("The plugin runtime ({}) can be mapped.", super::size(bytes.len() as u64))),
        Err(why) => Check::fail(
            CODE,
            format!("The plugin runtime cannot be used here: {why}."),
            "Install the release anew, and look at the processor: lscpu",
        ),
    }
}

pub(super) async fn models(site: &Site, db: &Db) -> Vec<Check> {
    const CODE: &str = "models";
    let kept = match db.read(store::model_servers).await {
        Ok(kept) => kept,
        Err(error) => return vec![Check::fail(CODE, error.message(), "Mend the database first.")],
    };
    let mut servers: Vec<(String, String)> = kept.into_iter().map(|(name, url, _)| (name, url)).collect();
    servers.extend(site.config.llm.base_url.iter().map(|url| ("llm.base_url".to_owned(), url.clone())));
    let file = site.config.llm.model_path.as_ref().map(|path| match fs::metadata(path) {
        Ok(metadata) => Check::pass(CODE, format!("The model {} has {}.", path.display(), super::size(metadata.len()))),
        Err(cause) => {
            let seen = format!("The model {} cannot be read: {cause}.", path.display());
            Check::fail(CODE, seen, "Put it there, readable for the server's account, or change llm.model_path.")
        }
    });
    let mut checks: Vec<Check> = file.into_iter().collect();
    if servers.is_empty() && checks.is_empty() {
        checks.push(Check::pass(CODE, "No model server is configured."));
    }
    let asked = servers.iter().take(MOST_SERVERS).map(|(name, url)| reach(site, name, url));
    checks.extend(futures_util::future::join_all(asked).await);
    checks
}

/// Any answer to the list of models is one: without its key a server says 401.
async fn reach(site: &Site, name: &str, url: &str) -> Check {
    const CODE: &str = "models";
    let work = async {
        let client = site.dialler()?;
        let target = Target::parse(url)?;
        if let Place::Tcp { host, port, .. } = &target.place {
            client.allow(host, *port);
        }
        let endpoint = client.endpoint(target)?;
        let reply = endpoint.send(Method::GET, endpoint.uri("/models")?, HeaderMap::new(), Bytes::new()).await?;
        Ok::<_, Error>(reply.status().as_u16())
    };
    let late = || Error::upstream("unreachable", format!("no answer within {} s.", PATIENCE.as_secs()));
    match tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late())) {
        Ok(status) => Check::pass(CODE, format!("The model server {name} ({url}) answers (HTTP {status}).")),
        Err(error) => {
            let mend = format!("Look whether it runs and can be reached from here: curl -v {url}/models");
            Check::warn(CODE, format!("The model server {name} ({url}) does not answer: {error}"), mend)
        }
    }
}

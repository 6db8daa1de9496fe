//! Bringing a plugin of the marketplace in, with everything it needs.
//!
//! Invariant: what an installation comes to is worked out first, then all of it is tried, and only then anything is put in
//! place: all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use semver::Version;
use serde::Serialize;
use utoipa::ToSchema;

use super::resolve::{self, Offer, Step, Wanted, World};
use super::scan::Scan;
use super::{Market, store};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::base::error::{Error, Result};
use crate::base::tasks::blocking;
use crate::db::Tx;
use crate::plugins::{Dependency, Package, Plugin, Wish};

/// Plugins that are looked at to work out what belongs together.
const MOST_LOOKED_AT: usize = 1_000;

/// What becomes of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketChange)]
pub enum Change {
    Install,
    /// Another version takes its place.
    Replace,
    /// The same version is put in anew.
    Again,
    /// It is there already, as it should be.
    Keep,
}

/// A capability that somebody will be asked to grant, in words.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketAsked)]
pub struct Asked {
    /// http, kv, files, llm, memory_mib or time_ms.
    pub code: &'static str,
    pub words: Vec<String>,
}

impl Asked {
    /// All that a package asks for.
    pub fn by(package: &Package) -> Vec<Self> {
        package.manifest.capabilities.words().into_iter().map(|(code, words)| Self { code, words }).collect()
    }
}

/// One step of an installation.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketStep)]
pub struct Planned {
    pub slug: String,
    pub version: String,
    pub change: Change,
    /// The version at work before; null when there was none.
    pub before: Option<String>,
    /// What it asks for; organisations grant it when they switch it on.
    pub asks: Vec<Asked>,
    /// In bytes; 0 for what is kept.
    pub length: i64,
    /// In a dry run, what a scan says of what would come; null otherwise.
    pub scan: Option<Scan>,
}

/// What an installation comes to, or came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarketInstallation)]
pub struct Installation {
    /// Nothing was changed.
    pub dry_run: bool,
    /// In the order they go in: each after what it needs.
    pub steps: Vec<Planned>,
    /// What was installed.
    pub plugins: Vec<Plugin>,
}

impl Market {
    /// Installs what is wanted with everything it needs; the wish is about what was asked for by name.
    ///
    /// # Errors
    /// `market_no_plugin`, `market_unresolved`; those of [`crate::plugins::Plugins::install_all`].
    pub async fn install(
        &self,
        permit: Permit<PluginInstall>,
        wanted: Vec<Wanted>,
        mut wishes: BTreeMap<String, Wish>,
        dry_run: bool,
    ) -> Result<Installation> {
        permit.require_site()?;
        let worked_out = match self.work_out(&wanted).await {
            // What was imported a moment ago may not be in the catalogue yet.
            Err(error) if error.code() == "market_no_plugin" => {
                self.refresh().await?;
                self.work_out(&wanted).await
            }
            other => other,
        };
        let (steps, hashes) = worked_out?;
        let named: BTreeSet<&str> = wanted.iter().map(|of| of.slug.as_str()).collect();
        let (mut planned, mut incoming) = (Vec::new(), Vec::new());
        for Step { slug, version, before } in steps {
            let change = match &before {
                None => Change::Install,
                Some(before) if *before != version => Change::Replace,
                Some(_) if named.contains(slug.as_str()) => Change::Again,
                Some(_) => Change::Keep,
            };
            let (mut asks, mut length, mut scan) = (Vec::new(), 0, None);
            if change != Change::Keep {
                let found = hashes.get(&(slug.clone(), version.to_string()));
                let (sha256, bytes) = found.ok_or_else(|| resolve::no_plugin(&slug, Some(&version)))?;
                let package = self.open(sha256).await?;
                asks = Asked::by(&package);
                length = *bytes;
                if dry_run {
                    scan = Some(self.scan(&Arc::new(package)).await?);
                } else {
                    incoming.push((package, wishes.remove(&slug).unwrap_or_default()));
                }
            }
            let (version, before) = (version.to_string(), before.map(|before| before.to_string()));
            planned.push(Planned { slug, version, change, before, asks, length, scan });
        }
        let plugins = if dry_run { Vec::new() } else { self.inner.plugins.install_all(permit, incoming, true).await? };
        Ok(Installation { dry_run, steps: planned, plugins })
    }

    /// The steps, and where the packages of all that was looked at are.
    pub(super) async fn work_out(&self, wanted: &[Wanted]) -> Result<(Vec<Step>, Packages)> {
        let at_work = self.inner.plugins.active_with_needs();
        let mut names: BTreeSet<String> = at_work.keys().cloned().collect();
        names.extend(wanted.iter().map(|of| of.slug.clone()));
        let (offers, packages) = self.inner.db.read(move |tx| offers(tx, &names)).await?;
        let mut world = World { offers, installed: BTreeMap::new() };
        for (slug, (version, needs)) in at_work {
            let offers = world.offers.entry(slug.clone()).or_default();
            offers.retain(|offer| offer.version != version);
            offers.push(Offer { version: version.clone(), needs });
            world.installed.insert(slug, version);
        }
        let missing = wanted.iter().find(|of| !packages.keys().any(|(slug, _)| *slug == of.slug));
        if let Some(of) = missing {
            return Err(resolve::no_plugin(&of.slug, None));
        }
        let wanted = wanted.to_vec();
        // A search may take its time.
        let search = move || resolve::closure(&world, &wanted);
        let steps = blocking(search).await?;
        Ok((steps, packages))
    }
}

/// The hash and the length of a package, by slug and version.
pub(super) type Packages = BTreeMap<(String, String), (String, i64)>;

/// What the catalogue has of these plugins and of all that any of their versions needs.
fn offers(tx: &mut Tx<'_>, names: &BTreeSet<String>) -> Result<(BTreeMap<String, Vec<Offer>>, Packages)> {
    let (mut offers, mut packages) = (BTreeMap::new(), Packages::new());
    let mut open: Vec<String> = names.iter().cloned().collect();
    while let Some(slug) = open.pop() {
        if offers.contains_key(&slug) {
            continue;
        }
        if offers.len() >= MOST_LOOKED_AT {
            let sentence =
                format!("More than {MOST_LOOKED_AT} plugins would have to be looked at. Install some of them first.");
            return Err(Error::conflict("market_unresolved", sentence));
        }
        let mut versions = Vec::new();
        for package in store::packages(tx, &slug)?.into_iter().filter(|package| package.fault.is_none()) {
            let Ok(version) = Version::parse(&package.version) else { continue };
            let needs = package.facts.dependencies.iter().map(|text| Dependency::parse(text));
            let needs: Vec<Dependency> = needs.collect::<Result<_>>()?;
            open.extend(needs.iter().map(|need| need.slug.clone()));
            packages.insert((slug.clone(), package.version), (package.sha256, package.length));
            versions.push(Offer { version, needs });
        }
        offers.insert(slug, versions);
    }
    Ok((offers, packages))
}

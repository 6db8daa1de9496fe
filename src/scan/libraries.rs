//! What a package says that it carries, read from lists in CycloneDX (ECMA-424).
//!
//! Invariant: a library in hand has a name that advisories use and a version; what lacks one is named as not looked at.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Findings;

/// Libraries of one package, at most.
const MOST: usize = 5_000;

/// Where libraries of a kind come from, as OSV calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    PyPi,
    Npm,
    Crates,
}

impl Ecosystem {
    /// From a package URL's type.
    fn of_purl(kind: &str) -> Option<Self> {
        match kind {
            "pypi" => Some(Self::PyPi),
            "npm" => Some(Self::Npm),
            "cargo" => Some(Self::Crates),
            _ => None,
        }
    }

    /// From an advisory's word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "PyPI" => Some(Self::PyPi),
            "npm" => Some(Self::Npm),
            "crates.io" => Some(Self::Crates),
            _ => None,
        }
    }

    /// A name in the one form that counts (for Python, that of PEP 503).
    pub fn normal(self, name: &str) -> String {
        if self != Self::PyPi {
            return name.to_owned();
        }
        let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
    }
}

/// One thing that a package carries, or the plugin itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    pub name: String,
    pub version: String,
    /// None where no advisories are known for its kind.
    pub ecosystem: Option<Ecosystem>,
    /// As it is written; None: nothing is.
    pub licence: Option<String>,
    /// The plugin.
    pub itself: bool,
}

/// All of them, once each.
pub(super) fn read(boms: &[Vec<u8>], found: &mut Findings) -> Vec<Library> {
    let mut all: BTreeMap<(bool, Option<Ecosystem>, String, String), Library> = BTreeMap::new();
    for bom in boms {
        let Ok(bom) = serde_json::from_slice::<Value>(bom) else {
            found.gap("sbom.cdx.json", "the list of libraries is no JSON");
            continue;
        };
        let itself = bom.pointer("/metadata/component").into_iter().map(|component| (component, true));
        let items = bom.get("components").and_then(Value::as_array).into_iter().flatten();
        for (component, itself) in itself.chain(items.map(|component| (component, false))) {
            if all.len() >= MOST {
                found.gap("sbom.cdx.json", format!("it lists more than {MOST} libraries"));
                break;
            }
            let Some(library) = library(component, itself) else {
                let name = component["name"].as_str().unwrap_or("(no name)");
                found.gap(name, "it is a library without a known version, so no advisory can be looked up");
                continue;
            };
            let key = (itself, library.ecosystem, library.name.clone(), library.version.clone());
            let known = all.entry(key).or_insert_with(|| library.clone());
            known.licence = known.licence.take().or(library.licence);
        }
    }
    all.into_values().collect()
}

fn library(component: &Value, itself: bool) -> Option<Library> {
    let text = |key: &str| component[key].as_str().filter(|text| !text.is_empty());
    let purl = text("purl").and_then(purl);
    let (ecosystem, name, version) = match purl {
        Some((ecosystem, name, version)) => (Some(ecosystem), ecosystem.normal(&name), version),
        None => (None, text("name")?.to_owned(), text("version")?.to_owned()),
    };
    Some(Library { name, version, ecosystem, licence: licence(&component["licenses"]), itself })
}

/// `pkg:npm/%40scope/name@1.0.0?..#..`, taken apart.
fn purl(text: &str) -> Option<(Ecosystem, String, String)> {
    let (kind, rest) = text.strip_prefix("pkg:")?.split_once('/')?;
    let rest = rest.split(['?', '#']).next()?;
    let (name, version) = rest.rsplit_once('@').filter(|(name, version)| !name.is_empty() && !version.is_empty())?;
    let plain = |text: &str| text.replace("%40", "@").replace("%2B", "+").replace("%2F", "/").replace("%25", "%");
    Some((Ecosystem::of_purl(kind)?, plain(name), plain(version)))
}

fn licence(licences: &Value) -> Option<String> {
    let one = |entry: &Value| {
        let text =
            entry["expression"].as_str().or(entry["license"]["id"].as_str()).or(entry["license"]["name"].as_str());
        text.map(str::to_owned)
    };
    let all: Vec<String> = licences.as_array()?.iter().filter_map(one).collect();
    match all.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(several.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" AND ")),
    }
}

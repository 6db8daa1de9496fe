//! `sbom.cdx.json`: the plugin and the libraries it carries, as CycloneDX 1.6 (ECMA-424) in JSON.
//!
//! Invariant: it is made of the package alone, without time or chance, so the same package gives the same bytes. Libraries
//! are what has a `.dist-info` in `vendor/`; a library copied there without one is named, without a version.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::manifest::{self, Manifest};
use super::package::Files;
use super::wheel::{Metadata, normalized};
use crate::base::error::{Error, Result};

pub const FILE: &str = "sbom.cdx.json";
const VENDOR: &str = "vendor/";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: BomMetadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct BomMetadata {
    tools: Tools,
    component: Component,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize, Default)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum License {
    Expression(String),
    License(Named),
}

#[derive(Serialize)]
struct Named {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

/// The document for a package's files; `sums` has the SHA-256 of wheels by normalised name.
///
/// # Errors
/// When the JSON cannot be written.
pub fn write(manifest: &Manifest, files: &Files, sums: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let own = files.get(manifest::FILE).and_then(|text| serde_json::from_slice::<Value>(text).ok()).unwrap_or_default();
    let reference = format!("pkg:generic/{}@{}", manifest.slug, encoded(&manifest.version.to_string()));
    let plugin = Component {
        kind: "application",
        reference: Some(reference.clone()),
        name: manifest.slug.clone(),
        version: Some(manifest.version.to_string()),
        description: Some(manifest.description.clone()).filter(|text| !text.is_empty()),
        licenses: own["license"].as_str().and_then(license).into_iter().collect(),
        purl: Some(reference.clone()),
        ..Component::default()
    };
    let components = libraries(files, sums);
    let depends_on = components.iter().filter_map(|component| component.reference.clone()).collect();
    let tool = Component {
        kind: "application",
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..Component::default()
    };
    let bom = Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        version: 1,
        metadata: BomMetadata { tools: Tools { components: vec![tool] }, component: plugin },
        components,
        dependencies: vec![Dependency { reference, depends_on }],
    };
    let mut text = serde_json::to_vec_pretty(&bom).map_err(Error::internal)?;
    text.push(b'\n');
    Ok(text)
}

fn libraries(files: &Files, sums: &BTreeMap<String, String>) -> Vec<Component> {
    let vendored = || files.iter().filter_map(|(path, content)| Some((path.strip_prefix(VENDOR)?, content)));
    let mut components: BTreeMap<String, Component> = BTreeMap::new();
    // Top-level names that a `.dist-info` accounts for.
    let mut known = BTreeSet::new();
    for (path, content) in vendored() {
        let Some((folder, "METADATA")) = path.split_once(".dist-info/") else { continue };
        let metadata = Metadata::parse(content);
        let (name, version) = folder.split_once('-').unwrap_or((folder, ""));
        let name = metadata.first("Name").unwrap_or(name).to_owned();
        let version = metadata.first("Version").unwrap_or(version).to_owned();
        let record = files.get(&format!("{VENDOR}{folder}.dist-info/RECORD")).unwrap_or_default();
        known.extend(
            String::from_utf8_lossy(record)
                .lines()
                .map(|line| top(line.split(',').next().unwrap_or_default()).to_owned()),
        );
        let key = normalized(&name);
        let purl = format!("pkg:pypi/{key}@{}", encoded(&version));
        let hashes = sums.get(&key).map(|content| Hash { alg: "SHA-256", content: content.clone() });
        let component = Component {
            kind: "library",
            reference: Some(purl.clone()),
            name,
            version: Some(version),
            description: metadata.first("Summary").filter(|text| !text.is_empty()).map(str::to_owned),
            hashes: hashes.into_iter().collect(),
            licenses: metadata.license().and_then(license).into_iter().collect(),
            purl: Some(purl),
        };
        components.insert(key, component);
    }
    let tops: BTreeSet<&str> =
        vendored().map(|(path, _)| top(path)).filter(|name| !name.ends_with(".dist-info")).collect();
    for name in tops.into_iter().filter(|name| !known.contains(*name)) {
        let stem = name.strip_suffix(".py").unwrap_or(name);
        let reference = Some(format!("vendor/{name}"));
        let component = Component { kind: "library", reference, name: stem.to_owned(), ..Component::default() };
        components.entry(normalized(stem)).or_insert(component);
    }
    components.into_values().collect()
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// An SPDX expression where it reads as one, else the text.
fn license(text: &str) -> Option<License> {
    let spdx = |word: &str| {
        word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+'))
            && (word.contains(['-', '.'])
                || matches!(word, "MIT" | "ISC" | "Unlicense" | "Zlib" | "AND" | "OR" | "WITH"))
    };
    let text = text.trim();
    match text {
        "" => None,
        _ if text.split([' ', '(', ')']).filter(|word| !word.is_empty()).all(spdx) => {
            Some(License::Expression(text.to_owned()))
        }
        _ => Some(License::License(Named { name: text.to_owned() })),
    }
}

/// A version inside a package URL: `+` would be a space.
fn encoded(version: &str) -> String {
    version.replace('%', "%25").replace('+', "%2B")
}

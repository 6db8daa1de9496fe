//! What is known against libraries, in the OSV schema (<https://ossf.github.io/osv-schema/>), by name and version.
//!
//! Invariant: every report tells how old what it looked in is. An advisory that cannot be read is counted, not passed over
//! in silence; a library that cannot be looked up is named as not looked at.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::str::FromStr;

use serde::Deserialize;

use super::libraries::{Ecosystem, Library};
use super::{AdvisoryState, Finding, Findings};
use crate::base::clock::Time;
use crate::base::severity::Severity;

/// The most bytes of one file of advisories.
pub const MAX_BYTES: usize = 256 << 20;
/// The most bytes of one advisory in an archive.
const MAX_ENTRY: u64 = 8 << 20;
/// Advisories that are kept in memory, at most.
const MAX_COUNT: usize = 400_000;
/// Characters of a summary.
const MAX_SUMMARY: usize = 200;
/// What an advisory about malice begins with.
const MALICIOUS: &str = "MAL-";

#[derive(Deserialize)]
struct Written {
    id: String,
    modified: Time,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    database_specific: Option<Specific>,
    #[serde(default)]
    affected: Vec<Affected>,
}

#[derive(Deserialize)]
struct Score {
    score: String,
}

#[derive(Deserialize)]
struct Specific {
    #[serde(default)]
    severity: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default)]
    package: Option<Package>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    events: Vec<Event>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Introduced(String),
    Fixed(String),
    LastAffected(String),
    Limit(#[allow(dead_code, reason = "limits matter to Git only")] String),
}

#[derive(Debug)]
struct Advisory {
    id: String,
    summary: String,
    severity: Severity,
    ranges: Vec<Vec<Event>>,
    versions: Vec<String>,
}

/// All that are known.
#[derive(Debug, Default)]
pub struct Advisories {
    by_name: HashMap<(Ecosystem, String), Vec<Advisory>>,
    state: AdvisoryState,
}

impl Advisories {
    pub fn state(&self) -> AdvisoryState {
        self.state
    }

    /// Takes in a file: one advisory or a list of them in JSON, or a zip archive of such files as osv.dev gives out.
    pub fn add(&mut self, file: &[u8]) {
        if file.starts_with(b"PK\x03\x04") {
            self.add_archive(file);
        } else {
            self.add_json(file);
        }
    }

    /// Counts a file that could not be had.
    pub fn leave_out(&mut self) {
        self.state.left_out += 1;
    }

    fn add_archive(&mut self, file: &[u8]) {
        let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(file)) else { return self.leave_out() };
        for at in 0..archive.len() {
            let mut text = Vec::new();
            let read = archive
                .by_index(at)
                .map(|entry| if entry.is_dir() { Ok(0) } else { entry.take(MAX_ENTRY + 1).read_to_end(&mut text) });
            match read {
                Ok(Ok(0)) => {}
                Ok(Ok(_)) if text.len() as u64 <= MAX_ENTRY => self.add_json(&text),
                _ => self.leave_out(),
            }
        }
    }

    fn add_json(&mut self, text: &[u8]) {
        let several = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let read = if several {
            serde_json::from_slice::<Vec<Written>>(text)
        } else {
            serde_json::from_slice::<Written>(text).map(|one| vec![one])
        };
        match read {
            Ok(all) => all.into_iter().for_each(|one| self.take(one)),
            Err(cause) => {
                tracing::warn!("a file of advisories cannot be read: {cause}");
                self.leave_out();
            }
        }
    }

    fn take(&mut self, written: Written) {
        if self.state.count >= MAX_COUNT {
            return self.leave_out();
        }
        self.state.count += 1;
        self.state.as_of = self.state.as_of.max(Some(written.modified));
        if written.withdrawn.is_some() {
            return;
        }
        let (severity, summary) = (severity(&written), written.summary.chars().take(MAX_SUMMARY).collect::<String>());
        for affected in written.affected {
            let Some(package) = affected.package else { continue };
            let Some(ecosystem) = Ecosystem::parse(&package.ecosystem) else { continue };
            let ranges = affected.ranges.into_iter().filter(|range| range.kind != "GIT").map(|range| range.events);
            let advisory = Advisory {
                id: written.id.clone(),
                summary: summary.clone(),
                severity,
                ranges: ranges.collect(),
                versions: affected.versions,
            };
            self.by_name.entry((ecosystem, ecosystem.normal(&package.name))).or_default().push(advisory);
        }
    }

    /// Looks libraries up.
    pub(super) fn look(&self, libraries: &[&Library], found: &mut Findings) {
        if self.state.count == 0 && !libraries.is_empty() {
            let why =
                "this site has no advisories, so nobody knows what is known against them. They come with the mirror";
            return found.gap("libraries", why);
        }
        for library in libraries {
            let Some(ecosystem) = library.ecosystem else {
                found.gap(&library.name, "advisories tell of libraries of Python, npm and Rust only");
                continue;
            };
            let known = self.by_name.get(&(ecosystem, library.name.clone())).map(Vec::as_slice).unwrap_or_default();
            let Some(version) = Number::parse(ecosystem, &library.version) else {
                found.gap(&library.name, format!("its version {} cannot be compared with advisories", library.version));
                continue;
            };
            for advisory in known.iter().filter(|known| known.is_about(ecosystem, &library.version, &version)) {
                let text = format!("{} {}: {} ({})", library.name, library.version, advisory.summary, advisory.id);
                found.put(Finding {
                    rule: "advisory".to_owned(),
                    severity: advisory.severity,
                    file: None,
                    line: None,
                    text,
                });
            }
        }
    }
}

impl Advisory {
    fn is_about(&self, ecosystem: Ecosystem, text: &str, version: &Number) -> bool {
        self.versions.iter().any(|known| known == text)
            || self.ranges.iter().any(|events| within(ecosystem, events, version))
    }
}

/// Whether a version is in a range: after what was introduced last, and before a fix (OSV schema, "Evaluation").
fn within(ecosystem: Ecosystem, events: &[Event], version: &Number) -> bool {
    let mut ordered: Vec<(Option<Number>, &Event)> = Vec::new();
    for event in events {
        let at = match event {
            Event::Introduced(text) if text == "0" => None,
            Event::Limit(_) => continue,
            Event::Introduced(text) | Event::Fixed(text) | Event::LastAffected(text) => {
                // Better warned of once too often.
                let Some(number) = Number::parse(ecosystem, text) else { return true };
                Some(number)
            }
        };
        ordered.push((at, event));
    }
    ordered.sort_by(|(a, _), (b, _)| a.cmp(b));
    ordered.iter().fold(false, |inside, (at, event)| match (event, at.as_ref().map(|at| version.cmp(at))) {
        (Event::Introduced(_), None | Some(Ordering::Equal | Ordering::Greater)) => true,
        (Event::Fixed(_), Some(Ordering::Equal | Ordering::Greater))
        | (Event::LastAffected(_), Some(Ordering::Greater)) => false,
        _ => inside,
    })
}

/// A version that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Python(pep440_rs::Version),
    Semantic(semver::Version),
}

impl Number {
    fn parse(ecosystem: Ecosystem, text: &str) -> Option<Self> {
        match ecosystem {
            Ecosystem::PyPi => pep440_rs::Version::from_str(text).ok().map(Self::Python),
            Ecosystem::Npm | Ecosystem::Crates => {
                semver::Version::parse(text.trim_start_matches('v')).ok().map(Self::Semantic)
            }
        }
    }
}

fn severity(written: &Written) -> Severity {
    if written.id.starts_with(MALICIOUS) {
        return Severity::Critical;
    }
    let said = written.database_specific.as_ref().and_then(|specific| specific.severity.as_ref()?.as_str());
    let said = said.and_then(|word| match word.to_ascii_lowercase().as_str() {
        "moderate" => Some(Severity::Medium),
        other => Severity::from_code(other),
    });
    let scored = || {
        let scores = written.severity.iter().filter_map(|score| cvss::Cvss::from_str(&score.score).ok());
        let severities = scores.map(|score| match score.severity() {
            cvss::Severity::None | cvss::Severity::Low => Severity::Low,
            cvss::Severity::Medium => Severity::Medium,
            cvss::Severity::High => Severity::High,
            cvss::Severity::Critical => Severity::Critical,
        });
        severities.max()
    };
    // Nobody said how bad it is: somebody should look.
    said.or_else(scored).unwrap_or(Severity::High)
}

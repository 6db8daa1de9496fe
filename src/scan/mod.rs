//! Looking through a plugin's package for what a site should know before it takes it.
//!
//! Invariant: nothing of a package is run, and looking at it is bounded in time, memory and what it reports; what could not
//! be looked at is named, so `clean` always means looked at. Where packages come from and what becomes of a verdict is
//! `plugins`' business.
//!
//! `rules` says what is searched for; `python`, `secrets`, `wasm`, `asked` and `licences` search; `libraries` reads what a
//! package carries and `advisories` what is known against it.

pub mod advisories;
mod asked;
pub mod libraries;
pub mod licences;
mod python;
mod python_names;
pub mod rules;
mod secrets;
mod wasm;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::clock::Time;
use crate::base::error::Result;
use crate::base::severity::Severity;
use advisories::Advisories;
use libraries::Library;
use licences::Licences;
use rules::{Look, Rules};

/// Findings that a report has, at most; the worst come first.
const MAX_FINDINGS: usize = 500;
/// Findings of one rule in one file.
const MOST_ALIKE: usize = 20;
/// Places that are named as not looked at.
const MAX_NOT_SCANNED: usize = 100;
/// Characters of what was found in a sentence.
const SHOWN: usize = 120;

/// One thing that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScanFinding)]
pub struct Finding {
    /// The rule's name; `advisory` for what is known against a library.
    pub rule: String,
    pub severity: Severity,
    /// Null: the package as a whole.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    pub text: String,
}

/// What nobody looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScanGap)]
pub struct Gap {
    /// The file, or the library.
    pub place: String,
    pub why: String,
}

/// How old the advisories were that libraries were looked up in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScanAdvisories)]
pub struct AdvisoryState {
    /// When the newest of them was changed; null: there are none.
    pub as_of: Option<Time>,
    pub count: usize,
    /// Files of advisories that could not be read, or were too many.
    pub left_out: usize,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScanReport)]
pub struct Report {
    pub rules_version: String,
    /// The worst first; at most 500.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: usize,
    pub not_scanned: Vec<Gap>,
    /// How many there were to look at.
    pub files: usize,
    /// Libraries that the package carries.
    pub libraries: usize,
    pub advisories: AdvisoryState,
    pub scanned_at: Time,
}

/// What the site makes of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ScanVerdict)]
pub enum Verdict {
    /// Everything was looked at, and nothing was found that the site warns about.
    Clean,
    /// Something was found that the site warns about, or something could not be looked at.
    Warned,
    /// The plugin is not taken.
    Blocked,
}

impl Verdict {
    pub const ALL: [Self; 3] = [Self::Clean, Self::Warned, Self::Blocked];

    pub fn code(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Warned => "warned",
            Self::Blocked => "blocked",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code)
    }
}

/// From which severity on something happens; None: never.
#[derive(Debug, Clone)]
pub struct Policy {
    pub block: Option<Severity>,
    pub warn: Option<Severity>,
    pub licences: Licences,
}

impl Default for Policy {
    fn default() -> Self {
        Self { block: Some(Severity::Critical), warn: Some(Severity::High), licences: Licences::default() }
    }
}

impl Policy {
    pub fn judge(&self, report: &Report) -> Verdict {
        let reaches = |limit: Option<Severity>| {
            limit.is_some_and(|limit| report.findings.iter().any(|finding| finding.severity >= limit))
        };
        match () {
            () if reaches(self.block) => Verdict::Blocked,
            () if reaches(self.warn) || !report.not_scanned.is_empty() => Verdict::Warned,
            () => Verdict::Clean,
        }
    }

    /// Whether the site makes something of it.
    pub fn minds(&self, finding: &Finding) -> bool {
        [self.block, self.warn].into_iter().flatten().any(|limit| finding.severity >= limit)
    }
}

/// What a package is looked through with.
#[derive(Debug, Clone)]
pub struct Known {
    pub rules: Arc<Rules>,
    pub advisories: Arc<Advisories>,
}

impl Default for Known {
    fn default() -> Self {
        Self { rules: Rules::built_in(), advisories: Arc::default() }
    }
}

/// Where rules and advisories come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// The newest there are.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn known(&self) -> Result<Known>;
}

/// A package, as it is looked through.
pub struct Subject<'a> {
    pub files: Vec<(&'a str, &'a [u8])>,
    /// The capabilities it asks for, in the form of its manifest.
    pub asks: Value,
    /// Lists of what it carries, as CycloneDX in JSON.
    pub boms: Vec<Vec<u8>>,
}

/// Collects findings, the same rule in the same file so many times only.
#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
    more: usize,
    gaps: Vec<Gap>,
    /// The file that was looked at last, and how often each rule found something in it.
    file: Option<String>,
    alike: HashMap<String, usize>,
}

impl Findings {
    /// `what` takes the place of `{}` in the rule's text.
    fn add(&mut self, rule: &rules::Rule, place: Option<(&str, Option<u32>)>, what: &str) {
        let (file, line) = place.map_or((None, None), |(file, line)| (Some(file), line));
        if self.file.as_deref() != file {
            self.file = file.map(str::to_owned);
            self.alike.clear();
        }
        let alike = self.alike.entry(rule.id.clone()).or_default();
        *alike += 1;
        if *alike > MOST_ALIKE {
            self.more += 1;
            return;
        }
        let text = rule.text.replace("{}", &clipped(what));
        self.put(Finding { rule: rule.id.clone(), severity: rule.severity, file: file.map(str::to_owned), line, text });
    }

    fn put(&mut self, finding: Finding) {
        self.all.push(finding);
        // Never much more than what is shown in the end, and never without the worst.
        if self.all.len() >= 4 * MAX_FINDINGS {
            self.settle();
        }
    }

    fn gap(&mut self, place: &str, why: impl Into<String>) {
        let gap = Gap { place: place.to_owned(), why: why.into() };
        if self.gaps.len() < MAX_NOT_SCANNED && !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }

    fn settle(&mut self) {
        self.all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| place(a).cmp(&place(b))));
        self.all.dedup();
        self.more += self.all.len().saturating_sub(MAX_FINDINGS);
        self.all.truncate(MAX_FINDINGS);
    }
}

fn place(finding: &Finding) -> (Option<&str>, Option<u32>, &str) {
    (finding.file.as_deref(), finding.line, &finding.rule)
}

fn clipped(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Looks through a package. Blocks, for seconds at most.
pub fn look(subject: &Subject<'_>, known: &Known, licences: &Licences, now: Time) -> Report {
    let mut found = Findings::default();
    let rules = &known.rules.all;
    if rules.is_empty() {
        found.gap("all files", "there are no rules to look by");
    }
    file_names(subject, rules, &mut found);
    secrets::look(&subject.files, rules, &mut found);
    for (path, content) in &subject.files {
        let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "py" | "pyw" | "pyi" => python::look(path, content, rules, &mut found),
            "wasm" => wasm::look(path, content, &subject.asks, rules, &mut found),
            _ => {}
        }
    }
    asked::look(&subject.asks, rules, &mut found);
    let libraries = libraries::read(&subject.boms, &mut found);
    licences.look(&libraries, rules, &mut found);
    let carried: Vec<&Library> = libraries.iter().filter(|library| !library.itself).collect();
    known.advisories.look(&carried, &mut found);
    found.settle();
    Report {
        rules_version: known.rules.version.to_string(),
        findings: found.all,
        more: found.more,
        not_scanned: found.gaps,
        files: subject.files.len(),
        libraries: carried.len(),
        advisories: known.advisories.state(),
        scanned_at: now,
    }
}

fn file_names(subject: &Subject<'_>, rules: &[rules::Rule], found: &mut Findings) {
    for rule in rules {
        let Look::FileName { pattern } = &rule.look else { continue };
        for (path, _) in subject.files.iter().filter(|(path, _)| pattern.matches(path.as_bytes())) {
            found.add(rule, Some((path, None)), path);
        }
    }
}

/// Numbers of lines by place in a text.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &[u8]) -> Self {
        Self(text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect())
    }

    /// From 1.
    fn at(&self, place: usize) -> u32 {
        u32::try_from(self.0.partition_point(|end| *end < place) + 1).unwrap_or(u32::MAX)
    }
}

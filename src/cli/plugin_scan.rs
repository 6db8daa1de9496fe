//! `resoftai plugin scan`: what is to be known of a plugin before it is taken, on this machine or of one that is installed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::base::clock::Clock;
use crate::base::error::Error;
use crate::base::severity::Severity;
use crate::cli::client::escape;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, Output, cell, clean};
use crate::cli::{Context, plugin, plugin_folder};
use crate::plugins::{Package, scanning, unpack};
use crate::scan::advisories::{self, Advisories};
use crate::scan::licences::Licences;
use crate::scan::rules::{self, Rules};
use crate::scan::{self, Known, Policy, Verdict};

const FINDINGS: [Column; 5] =
    [("severity", "severity"), ("rule", "rule"), ("file", "file"), ("line", "line"), ("finding", "text")];
const GAPS: [Column; 2] = [("not scanned", "place"), ("why", "why")];

#[derive(Debug, Args)]
pub struct ScanArgs {
    /// A packed plugin or a plugin's folder on this machine; or the slug of one that is installed.
    #[arg(value_name = "SLUG|FILE|FOLDER")]
    plugin: String,
    /// On this machine: known faults of libraries in the OSV schema, as JSON or a zip archive of it. May be repeated.
    #[arg(long, value_name = "FILE")]
    advisories: Vec<PathBuf>,
    /// On this machine: rules in the place of those in the program.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// On this machine: from which severity on a finding keeps the plugin out: low, medium, high or critical.
    #[arg(long, value_name = "SEVERITY", value_parser = severity, default_value = "critical")]
    block: Severity,
}

impl ScanArgs {
    /// Whether no server is needed.
    pub fn is_here(&self) -> bool {
        plugin_folder::is_here(&self.plugin)
    }
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_code(text).ok_or_else(|| "it is none of low, medium, high and critical".to_owned())
}

/// Scans what lies here.
pub fn here(args: &ScanArgs, out: Output) -> Result<()> {
    let path = Path::new(&args.plugin);
    let files = if path.is_dir() {
        plugin_folder::files(path)?
    } else {
        unpack(&plugin_folder::read(path, plugin_folder::MOST_BYTES)?)?
    };
    let package = Package::new(files)?;
    let mut known = Known::default();
    if let Some(file) = &args.rules {
        known.rules = Rules::parse(&plugin_folder::read(file, rules::MAX_BYTES as u64)?)?.into();
    }
    let mut all = Advisories::default();
    for file in &args.advisories {
        all.add(&plugin_folder::read(file, advisories::MAX_BYTES as u64)?);
    }
    known.advisories = all.into();
    let report = scan::look(&scanning::subject(&package)?, &known, &Licences::default(), Clock::system().now());
    let policy = Policy { block: Some(args.block), ..Policy::default() };
    let verdict = policy.judge(&report);
    let report = serde_json::to_value(&report).map_err(Error::internal)?;
    let (slug, version) = (&package.manifest.slug, package.manifest.version.to_string());
    let scanned =
        json!({"slug": slug, "version": version, "verdict": verdict.code(), "reason": null, "report": report});
    show(&scanned, out)
}

/// Shows what the server's last scan found.
pub async fn kept(args: &ScanArgs, context: &Context) -> Result<()> {
    let scanned = plugin::named(&args.plugin, context.client.get(&address(&args.plugin)).await, context).await?;
    show(&scanned, context.out)
}

fn address(slug: &str) -> String {
    format!("/api/plugins/{}/scan", escape(slug))
}

/// The server's last scan of a plugin; null: there is none yet.
pub async fn of(slug: &str, context: &Context) -> Result<Value> {
    match context.client.get(&address(slug)).await {
        Err(failure) if failure.exit() == Exit::NotFound => Ok(Value::Null),
        reply => reply,
    }
}

/// The same in a line.
pub async fn outcome(slug: &str, context: &Context) -> Result<()> {
    let scanned = of(slug, context).await?;
    if scanned.is_null() {
        return context.out.line("Not scanned yet.");
    }
    context.out.line(&clean(&summary(&scanned)))
}

fn show(scanned: &Value, out: Output) -> Result<()> {
    let blocked = scanned["verdict"] == Verdict::Blocked.code() && scanned["reason"].is_null();
    if out.is_json() {
        out.value(scanned)?;
    } else {
        let list = |key: &str| scanned["report"][key].as_array().cloned().unwrap_or_default();
        for (rows, columns) in [(list("findings"), &FINDINGS[..]), (list("not_scanned"), &GAPS[..])] {
            if !rows.is_empty() {
                out.table(&rows, columns)?;
                out.line("")?;
            }
        }
        out.line(&clean(&summary(scanned)))?;
    }
    if blocked {
        let sentence = format!("The scan of {} found what keeps it out.", cell(scanned, "slug"));
        return Err(Failure::new(Exit::Blocked, "plugin_scan_blocked", sentence));
    }
    Ok(())
}

fn summary(scanned: &Value) -> String {
    let report = &scanned["report"];
    let number = |of: &Value| of.as_u64().unwrap_or_default();
    let listed = |key: &str| report[key].as_array().map_or(0, Vec::len) as u64;
    let (findings, gaps) = (listed("findings") + number(&report["more"]), listed("not_scanned"));
    let advisories = &report["advisories"];
    let age = match advisories["as_of"].as_str() {
        Some(at) => format!("{} advisories as of {}", number(&advisories["count"]), at.get(..10).unwrap_or(at)),
        None => "no advisories".to_owned(),
    };
    let unread = match number(&advisories["left_out"]) {
        0 => String::new(),
        count => format!(", and {count} files of advisories that could not be read"),
    };
    let allowed = match scanned["reason"].as_str() {
        Some(why) => format!(", allowed because: {why}"),
        None => String::new(),
    };
    format!(
        "Scan of {} {}: {}{allowed}; {findings} findings, {gaps} places not scanned; {} files and {} libraries by rules {} and \
         {age}{unread}.",
        cell(scanned, "slug"),
        cell(scanned, "version"),
        cell(scanned, "verdict"),
        number(&report["files"]),
        number(&report["libraries"]),
        cell(report, "rules_version"),
    )
}

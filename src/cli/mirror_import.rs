//! `resoftai mirror import`: asks the server what it lacks, then sends that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::client::{Client, Door, query_string};
use crate::cli::connect::{Fingerprint, Trust};
use crate::cli::failure::Result;
use crate::cli::mirror::{MIRROR, RepositoryArg};
use crate::cli::mirror_source::{Source, Wanted};
use crate::cli::output::{Output, cell, size};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Changes that people are shown.
const SHOWN: usize = 20;
const TAR: &str = "application/x-tar";

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A bundle's file or its parts, a folder with either or with a repository, or another box's address.
    #[arg(required = true, value_name = "BUNDLE|FOLDER|URL")]
    from: Vec<String>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    repository: RepositoryArg,
    /// Of another box: trust exactly the certificate with this SHA-256.
    #[arg(long, value_name = "SHA256:..", value_parser = Fingerprint::parse)]
    from_fingerprint: Option<Fingerprint>,
    /// Of another box: trust certificates signed by the authorities of this PEM file.
    #[arg(long, value_name = "FILE")]
    from_ca_file: Option<PathBuf>,
}

/// A bar of bytes and time on a terminal, nothing elsewhere.
pub fn bar(bytes: u64, out: &Output) -> ProgressBar {
    if out.is_json() || !out.is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {elapsed}, {eta} left");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub async fn run(args: &ImportArgs, context: &Context) -> Result<()> {
    let out = &context.out;
    let path = |dry_run: bool| {
        let repository = Some(args.repository.code().to_owned());
        let dry_run = Some(dry_run.to_string());
        format!("{MIRROR}/import{}", query_string(&[("repository", repository), ("dry_run", dry_run)]))
    };
    let plan = send(&context.client, &path(true), args.open(context).await?, Vec::new(), &bar(0, out)).await?;
    let wanted = Wanted::of(&plan);
    if args.dry_run {
        return show(&plan, out);
    }
    let bytes = wanted.iter().map(|wanted| wanted.length).sum();
    let progress = bar(bytes, out);
    let sent = send(&context.client, &path(false), args.open(context).await?, wanted, &progress).await;
    progress.finish_and_clear();
    let report = sent.map_err(|failure| match (failure.code(), Source::damaged(&args.paths())) {
        ("content_mismatch" | "content_cut_off" | "mirror_bundle" | "mirror_contents_missing", Some(which)) => {
            failure.and(&which)
        }
        _ => failure,
    })?;
    show(&report, out)
}

impl ImportArgs {
    fn paths(&self) -> Vec<PathBuf> {
        self.from.iter().map(PathBuf::from).collect()
    }

    async fn open(&self, context: &Context) -> Result<Source> {
        let state = context.client.get(&self.repository.address("state")).await?;
        let root = state["root_version"].as_u64().unwrap_or_default();
        match self.from.as_slice() {
            [url] if url.contains("://") => {
                let trust = Trust { pinned: self.from_fingerprint, ca_file: self.from_ca_file.clone() };
                let at = url.find("://").map_or(0, |at| at + 3);
                let (door, path) = url.split_at(url[at..].find('/').map_or(url.len(), |slash| at + slash));
                let path = match path.trim_end_matches('/') {
                    "" | "/mirror" => format!("/mirror/{}", self.repository.code()),
                    path => path.to_owned(),
                };
                // Roots before the one that is trusted are not needed again.
                Source::remote(Client::new(Door::parse(door, trust)?, None), path, root + 1).await
            }
            _ => Source::open(&self.paths(), 1).await,
        }
    }
}

async fn send(
    client: &Client,
    path: &str,
    source: Source,
    wanted: Vec<Wanted>,
    progress: &ProgressBar,
) -> Result<Value> {
    let sent = Arc::new(AtomicU64::new(0));
    let body = source.stream(wanted, sent.clone())?;
    let mut sending = std::pin::pin!(client.upload_stream(path, TAR, body, &sent));
    loop {
        match tokio::time::timeout(LOOK, sending.as_mut()).await {
            Ok(reply) => return reply,
            Err(_) => progress.set_position(sent.load(Ordering::Relaxed)),
        }
    }
}

fn show(report: &Value, out: &Output) -> Result<()> {
    if out.is_json() {
        return out.value(report);
    }
    for warning in report["warnings"].as_array().into_iter().flatten() {
        out.note(&format!("Warning: {}", warning.as_str().unwrap_or_default()))?;
    }
    let changes = report["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Value> = changes
        .iter()
        .take(SHOWN)
        .map(|change| json!({"what": change["what"], "name": change["name"], "size": size(change["length"].as_u64().unwrap_or_default())}))
        .collect();
    if !rows.is_empty() {
        out.table(&rows, &[("what", "what"), ("name", "name"), ("size", "size")])?;
    }
    if changes.len() > SHOWN {
        out.line(&format!("and {} more", changes.len() - SHOWN))?;
    }
    let (to, bytes) = (cell(report, "to.timestamp_version"), size(report["needed_bytes"].as_u64().unwrap_or_default()));
    let from = report["from"]["timestamp_version"].as_u64();
    let from = from.map_or_else(|| "nothing".to_owned(), |version| format!("state {version}"));
    let words = if report["dry_run"] == true {
        format!("Would go from {from} to state {to}: {} changes, {bytes} to copy. Nothing was changed.", changes.len())
    } else if report["from"]["timestamp_version"] == report["to"]["timestamp_version"] {
        format!("The site is on state {to} already.")
    } else {
        format!("Went from {from} to state {to}: {} changes, {bytes} copied.", changes.len())
    };
    out.line(&words)
}

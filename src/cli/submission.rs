//! `resoftai submission`: plugins that people of the site hand in for its marketplace, and what is decided about them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::client::query_string;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell, size};
use crate::cli::{Context, ListArgs, download, plugin_folder};

const PATH: &str = "/api/marketplace/submissions";
const COLUMNS: [Column; 6] = [
    ("id", "id"),
    ("plugin", "slug"),
    ("version", "version"),
    ("status", "status"),
    ("by", "submitted_by"),
    ("submitted", "submitted_at"),
];

#[derive(Debug, Subcommand)]
pub enum SubmissionCommand {
    /// List your submissions, and for who manages the site's plugins all.
    List {
        /// Only those that are: failed, in_review, rejected, withdrawn, published, deprecated or yanked.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a submission with what was checked.
    Show {
        /// Its number.
        id: i64,
    },
    /// Take the package out, to look at it before deciding.
    Get {
        /// Its number.
        id: i64,
        /// Where to write it [default: SLUG-VERSION.rplugin].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Put a submission of somebody else into the marketplace, or one of yours back into it.
    Approve {
        /// Its number.
        id: i64,
    },
    /// Refuse a submission of somebody else.
    Reject(Why),
    /// Take a submission of yours back.
    Withdraw {
        /// Its number.
        id: i64,
    },
    /// Advise against beginning with a version that is in the marketplace.
    Deprecate(Why),
    /// Keep everybody from installing a version any more; where it is installed it stays.
    Yank(Why),
}

#[derive(Debug, Args)]
pub struct Why {
    /// The submission's number.
    id: i64,
    /// Why; who handed it in is told.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The plugin's folder, which is packed, or a packed plugin.
    path: PathBuf,
    /// The category in the marketplace [default: that of plugin.json].
    #[arg(long)]
    category: Option<String>,
    /// Words to find it by, with commas between them [default: those of plugin.json].
    #[arg(long, value_delimiter = ',')]
    tags: Vec<String>,
}

/// Hands a plugin in.
pub async fn submit(args: &SubmitArgs, context: &Context) -> Result<()> {
    let path: &Path = &args.path;
    let archive = if path.is_file() {
        plugin_folder::read(path, plugin_folder::MOST_BYTES)?
    } else {
        plugin_folder::pack(path, &[])?.bytes
    };
    let tags = (!args.tags.is_empty()).then(|| args.tags.join(","));
    let query = query_string(&[("category", args.category.clone()), ("tags", tags)]);
    let made = context.client.upload(&format!("{PATH}{query}"), "application/zip", archive).await?;
    let failed: Vec<&Value> = checks(&made).filter(|check| check["ok"] == false).collect();
    if failed.is_empty() {
        let words = format!(
            "Submitted {} {}: submission {} waits for a decision.",
            cell(&made, "slug"),
            cell(&made, "version"),
            made["id"]
        );
        return context.out.done(&made, &words);
    }
    if context.out.is_json() {
        context.out.value(&made)?;
    }
    let why: Vec<String> = failed.iter().map(|check| cell(check, "text")).collect();
    let detail = format!("The plugin was not taken: {}", why.join(" "));
    Err(Failure::new(Exit::Failed, "submission_failed", detail))
}

fn checks(submission: &Value) -> impl Iterator<Item = &Value> {
    submission["checks"].as_array().into_iter().flatten()
}

pub async fn run(command: &SubmissionCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        SubmissionCommand::List { status, list } => {
            let page = client.list(PATH, &[("status", status.clone())], list.most()).await?;
            out.list(&page, &COLUMNS, "No submissions. Hand a plugin in: resoftai plugin submit FOLDER")
        }
        SubmissionCommand::Show { id } => {
            let found = client.get(&format!("{PATH}/{id}")).await?;
            let fields =
                [("sha256", "sha256"), ("reason", "reason"), ("decided by", "decided_by"), ("decided", "decided_at")];
            out.item(&found, &COLUMNS.into_iter().chain(fields).collect::<Vec<_>>())?;
            if !out.is_json() {
                checks(&found).try_for_each(|check| {
                    let mark = if check["ok"] == true { "ok" } else { "failed" };
                    out.line(&format!("{mark}: {}", cell(check, "text")))
                })?;
            }
            Ok(())
        }
        SubmissionCommand::Get { id, output } => {
            let found = client.get(&format!("{PATH}/{id}")).await?;
            let name = format!("{}-{}.rplugin", cell(&found, "slug"), cell(&found, "version"));
            let target = output.clone().unwrap_or_else(|| PathBuf::from(name));
            let mut reply = client.open(&format!("{PATH}/{id}/package"), "*/*", None).await?;
            let written = download::save(&mut reply, &target, 0o644).await?;
            let words = format!("Wrote {}: {}.", target.display(), size(written));
            out.done(&json!({"file": target, "bytes": written, "sha256": found["sha256"]}), &words)
        }
        SubmissionCommand::Approve { id } => decide(*id, "published", None, context).await,
        SubmissionCommand::Reject(why) => decide(why.id, "rejected", Some(&why.reason), context).await,
        SubmissionCommand::Withdraw { id } => decide(*id, "withdrawn", None, context).await,
        SubmissionCommand::Deprecate(why) => decide(why.id, "deprecated", Some(&why.reason), context).await,
        SubmissionCommand::Yank(why) => decide(why.id, "yanked", Some(&why.reason), context).await,
    }
}

async fn decide(id: i64, status: &str, reason: Option<&str>, context: &Context) -> Result<()> {
    let body = json!({"status": status, "reason": reason});
    let after = context.client.put(&format!("{PATH}/{id}/status"), &body).await?;
    let words = format!("{} {} is {}.", cell(&after, "slug"), cell(&after, "version"), cell(&after, "status"));
    context.out.done(&after, &words)
}

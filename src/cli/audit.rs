//! `resoftai audit`: the audit trail, listed, searched, shown and taken away.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::cli::client::query_string;
use crate::cli::failure::Result;
use crate::cli::output::{self, clean};
use crate::cli::{Context, ListArgs, audit_log, audit_verify, download, lookup};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List entries, newest first.
    List {
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Look for a text in descriptions, states, names and ids, newest first.
    Search {
        /// The text, in any case.
        text: String,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one entry, with what it changed. That you read it is recorded.
    Show {
        /// The entry's number.
        id: i64,
    },
    /// Write entries to a file, newest first. That you took them is recorded.
    Export {
        #[command(flatten)]
        filters: Filters,
        /// JSON lines, or CSV for spreadsheets.
        #[arg(long, default_value = "json")]
        format: Format,
        /// Only entries that hold this text.
        #[arg(long, value_name = "TEXT")]
        text: Option<String>,
        /// Where to write; `-` for stdout.
        #[arg(long, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Write what auditors ask for as a zip: who holds which role since when, accounts, settings, checkpoints of the audit
    /// logs. That you took it is recorded.
    Evidence {
        /// Of this organisation; of the whole site when absent.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Where to write.
        #[arg(long, short, value_name = "FILE", default_value = "evidence.zip")]
        out: PathBuf,
    },
    /// Show how long an organisation keeps its entries, or set it.
    Retention {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// Keep them so many days, 30 or more. Older ones are dropped and do not come back.
        #[arg(long, value_name = "N", conflicts_with = "forever")]
        days: Option<u32>,
        /// Keep them for ever.
        #[arg(long)]
        forever: bool,
    },
    /// Write the proof that an entry is in its log, to be verified anywhere.
    Prove(audit_log::ProveArgs),
    /// Verify a proof, a copy of a log, or every entry that the server has.
    Verify(audit_verify::VerifyArgs),
    /// List the logs that entries have their places in, with their checkpoints.
    Logs(ListArgs),
    /// Copy a whole log, to be kept and verified elsewhere.
    Log(audit_log::LogArgs),
    /// Print the key that a log's checkpoints are verified with.
    Key(audit_log::KeyArgs),
    /// Where the trail is sent as it grows.
    #[command(subcommand)]
    Forward(ForwardCommand),
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ForwardCommand {
    /// Show each destination, how far behind it is, and why it does not go on.
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Json,
    Csv,
}

/// What a listing is narrowed to.
#[derive(Debug, Args)]
pub struct Filters {
    /// Of this organisation.
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Of this kind.
    #[arg(long, value_parser =
        ["create", "read", "update", "delete", "login", "logout", "permission_change", "export", "execute"])]
    action: Option<String>,
    /// About this kind of thing: project, run, user, ..
    #[arg(long)]
    resource: Option<String>,
    /// About the thing with this number or name.
    #[arg(long, value_name = "ID")]
    resource_id: Option<String>,
    /// By this name.
    #[arg(long)]
    actor: Option<String>,
    /// By the account with this number, also when it is gone.
    #[arg(long, value_name = "ID")]
    actor_id: Option<i64>,
    /// Only what was refused or failed.
    #[arg(long)]
    failed: bool,
    /// Of this request.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// From this moment on, such as 2026-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this moment.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl Filters {
    async fn query(&self, context: &Context, text: Option<&String>) -> Result<[(&'static str, Option<String>); 11]> {
        let org = match &self.org {
            Some(slug) => Some(lookup::organization_id(context, slug).await?.to_string()),
            None => None,
        };
        Ok([
            ("organization_id", org),
            ("action", self.action.clone()),
            ("resource_type", self.resource.clone()),
            ("resource_id", self.resource_id.clone()),
            ("actor", self.actor.clone()),
            ("actor_id", self.actor_id.map(|id| id.to_string())),
            ("success", self.failed.then(|| "false".to_owned())),
            ("request_id", self.request.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("q", text.cloned()),
        ])
    }
}

pub async fn run(command: &AuditCommand, context: &Context) -> Result<()> {
    match command {
        AuditCommand::Forward(ForwardCommand::Status) => {
            let all = context.client.get("/api/audit/forward").await?;
            if context.out.is_json() {
                return context.out.value(&all);
            }
            let items = all["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            if items.is_empty() {
                return context.out.line("The trail is sent nowhere. Set audit.syslog or audit.file (docs/audit.md).");
            }
            let columns = [
                ("to", "target"),
                ("behind", "behind"),
                ("sent", "sent"),
                ("last", "last_sent_at"),
                ("error", "last_error"),
            ];
            context.out.table(items, &columns)
        }
        AuditCommand::List { filters, list } => found(context, filters, None, *list).await,
        AuditCommand::Search { text, filters, list } => found(context, filters, Some(text), *list).await,
        AuditCommand::Show { id } => show(context, *id).await,
        AuditCommand::Export { filters, format, text, out } => {
            let mut query = filters.query(context, text.as_ref()).await?.to_vec();
            query.push(("format", Some(if *format == Format::Csv { "csv" } else { "json" }.to_owned())));
            export(context, &format!("/api/audit/export{}", query_string(&query)), out).await
        }
        AuditCommand::Evidence { org, out } => {
            let path = match org {
                Some(slug) => format!("/api/organizations/{}/evidence", lookup::organization_id(context, slug).await?),
                None => "/api/evidence".to_owned(),
            };
            export(context, &path, out).await
        }
        AuditCommand::Retention { org, days, forever } => retention(context, org, *days, *forever).await,
        AuditCommand::Prove(args) => audit_log::prove(args, context).await,
        AuditCommand::Verify(args) => audit_verify::trail(args, context).await,
        AuditCommand::Logs(args) => audit_log::list(*args, context).await,
        AuditCommand::Log(args) => audit_log::copy(args, context).await,
        AuditCommand::Key(args) => audit_log::key(args, context).await,
    }
}

async fn found(context: &Context, filters: &Filters, text: Option<&String>, list: ListArgs) -> Result<()> {
    let page = context.client.list("/api/audit", &filters.query(context, text).await?, list.most()).await?;
    let columns = [
        ("id", "id"),
        ("at", "at"),
        ("actor", "actor.name"),
        ("action", "action"),
        ("resource", "resource_type"),
        ("of", "resource_id"),
        ("ok", "success"),
        ("description", "description"),
    ];
    context.out.list(&page, &columns, "No entry fits.")
}

async fn show(context: &Context, id: i64) -> Result<()> {
    let entry = context.client.get(&format!("/api/audit/{id}")).await?;
    let fields = [
        ("id", "id"),
        ("at", "at"),
        ("organization", "organization_id"),
        ("actor", "actor.name"),
        ("actor kind", "actor.kind"),
        ("actor id", "actor.id"),
        ("action", "action"),
        ("resource", "resource_type"),
        ("of", "resource_id"),
        ("person", "person_id"),
        ("succeeded", "success"),
        ("description", "description"),
        ("address", "ip_address"),
        ("agent", "user_agent"),
        ("request", "request_id"),
        ("token", "token.name"),
        ("token id", "token.id"),
        ("erased", "erased"),
    ];
    context.out.item(&entry, &fields)?;
    if context.out.is_json() {
        return Ok(());
    }
    for line in difference(&entry["before"], &entry["after"]) {
        context.out.line(&paint(&clean(&line), context.out.is_terminal()))?;
    }
    Ok(())
}

/// The fields of two states, a line each: ` ` kept, `-` before, `+` after.
fn difference(before: &Value, after: &Value) -> Vec<String> {
    let none = Map::new();
    let fields = |state: &Value| state.as_object().cloned().unwrap_or_else(|| none.clone());
    let (old, new) = (fields(before), fields(after));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let line = |sign: char, name: &str, value: &Value| format!("{sign} {name}: {value}");
    let lines = |name: &String| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) if old == new => vec![line(' ', name, new)],
        (old, new) => {
            let old = old.map(|value| line('-', name, value));
            old.into_iter().chain(new.map(|value| line('+', name, value))).collect()
        }
    };
    names.into_iter().flat_map(lines).collect()
}

fn paint(line: &str, terminal: bool) -> String {
    match line.chars().next() {
        Some('-') if terminal => format!("\u{1b}[31m{line}\u{1b}[0m"),
        Some('+') if terminal => format!("\u{1b}[32m{line}\u{1b}[0m"),
        _ => line.to_owned(),
    }
}

async fn retention(context: &Context, org: &str, days: Option<u32>, forever: bool) -> Result<()> {
    let id = lookup::organization_id(context, org).await?;
    let path = format!("/api/organizations/{id}/audit/retention");
    let now = if days.is_some() || forever {
        context.client.put(&path, &json!({"days": days})).await?
    } else {
        context.client.get(&path).await?
    };
    let kept = now["days"].as_i64().map_or("for ever".to_owned(), |days| format!("for {days} days"));
    context.out.done(&now, &format!("{org} keeps the entries of its audit trail {kept}."))
}

async fn export(context: &Context, path: &str, out: &Path) -> Result<()> {
    let mut reply = context.client.open(path, "*/*", None).await?;
    if out.as_os_str() == "-" {
        return download::copy(&mut reply, &mut io::stdout()).await.map(drop);
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} written ({bytes_per_sec})") {
        bar.set_style(style);
    }
    let written = download::save_showing(&mut reply, out, 0o600, &bar).await?;
    bar.finish_and_clear();
    let sentence = format!("Wrote {} to {}.", output::size(written), out.display());
    let value = json!({"file": out.display().to_string(), "bytes": written});
    context.out.done(&value, &sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_a_difference() {
        let before = json!({"name": "a", "limit": 1, "gone": true});
        let after = json!({"name": "a", "limit": 2, "new": null});
        let lines = ["- gone: true", "- limit: 1", "+ limit: 2", "  name: \"a\"", "+ new: null"];
        assert_eq!(difference(&before, &after), lines);
        assert_eq!(difference(&Value::Null, &json!({"a": 1})), ["+ a: 1"]);
        assert!(difference(&Value::Null, &Value::Null).is_empty());
        assert_eq!(paint("- a", true), "\u{1b}[31m- a\u{1b}[0m");
        assert_eq!(paint("- a", false), "- a");
    }
}

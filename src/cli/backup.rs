//! `resoftai backup`: where backups go, taking and verifying them, letting old ones go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::input;
use crate::cli::mirror_import::bar;
use crate::cli::output::{Column, Output, cell, size};
use crate::cli::{ListArgs, plugin_sign::read_text};

const BACKUPS: &str = "/api/backups";
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Choose where backups go: an empty folder, or one with a repository.
    Init(InitArgs),
    /// Show where backups go, when, and the newest.
    Show,
    /// Take a backup now, and prove it by a trial restore.
    Create(WaitArgs),
    /// List backups, newest first.
    List(ListArgs),
    /// Restore a backup in a trial and look at what comes of it.
    Verify {
        /// The backup's number [default: the newest].
        backup: Option<i64>,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Let go of backups that the rule does not keep.
    Prune {
        /// Show what would go, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Change when backups are taken and how many are kept.
    Schedule(ScheduleArgs),
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// A folder on the server: of another disk, or of a share that is mounted.
    folder: String,
    /// Read the passphrase from stdin. Without this, and without recipients, it is asked for.
    #[arg(long, conflicts_with = "recipients")]
    passphrase_stdin: bool,
    /// A public key of age, or a file with one, whose owner can open the backups. May be repeated.
    #[arg(long = "recipient", value_name = "KEY|FILE")]
    recipients: Vec<String>,
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Debug, Args)]
pub struct ScheduleArgs {
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Take one every so many hours, 1 to 24; 0: only when somebody asks.
    #[arg(long, value_name = "N", conflicts_with = "at_hour")]
    every_hours: Option<u8>,
    /// Take one a day in this hour of the site's time zone, 0 to 23.
    #[arg(long, value_name = "HOUR")]
    at_hour: Option<u8>,
    /// Keep so many of the newest.
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,
    /// Keep the newest of so many days.
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// Keep the newest of so many weeks.
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// Keep the newest of so many months.
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Return at once; it goes on by itself.
    #[arg(long)]
    no_wait: bool,
}

impl PlanArgs {
    /// What was said, over what is there.
    fn over(&self, keep: &Value, schedule: &Value) -> (Value, Value) {
        let number = |said: Option<u32>, name: &str| json!(said.map_or_else(|| keep[name].clone(), Value::from));
        let keep = json!({
            "last": number(self.keep_last, "last"),
            "daily": number(self.keep_daily, "daily"),
            "weekly": number(self.keep_weekly, "weekly"),
            "monthly": number(self.keep_monthly, "monthly"),
        });
        let schedule = match (self.every_hours, self.at_hour) {
            (Some(0), _) => json!({"every": "never"}),
            (Some(hours), _) => json!({"every": "hours", "hours": hours}),
            (None, Some(hour)) => json!({"every": "day", "hour": hour}),
            (None, None) => schedule.clone(),
        };
        (keep, schedule)
    }
}

pub async fn run(command: &BackupCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, context.out);
    match command {
        BackupCommand::Init(args) => init(args, context).await,
        BackupCommand::Show => show(&client.get("/api/backup").await?, out),
        BackupCommand::Create(wait) => {
            let record = client.post(BACKUPS, &Value::Null).await?;
            if wait.no_wait {
                return out.done(&record, &format!("Began backup {}.", record["id"]));
            }
            let record = follow(context, &record["id"]).await?;
            told(&record, out)
        }
        BackupCommand::List(list) => {
            let page = client.list(BACKUPS, &[], list.most()).await?;
            out.list(&page, &COLUMNS, "No backup was taken yet. Take one: resoftai backup create")
        }
        BackupCommand::Verify { backup, wait } => verify(*backup, wait, context).await,
        BackupCommand::Prune { dry_run } => {
            let pruned = client.post(&format!("/api/backup/prune?dry_run={dry_run}"), &Value::Null).await?;
            let count = |name: &str| pruned[name].as_array().map_or(0, Vec::len);
            let verb = if *dry_run { "Would let go of" } else { "Let go of" };
            let freed = size(pruned["freed_bytes"].as_u64().unwrap_or_default());
            let sentence = format!("{verb} {} backups and keeps {}. Freed {freed}.", count("removed"), count("kept"));
            out.done(&pruned, &sentence)
        }
        BackupCommand::Schedule(ScheduleArgs { plan }) => {
            let status = client.get("/api/backup").await?;
            if status["target"].is_null() {
                return Err(Failure::usage("Say first where backups go: resoftai backup init FOLDER"));
            }
            let (keep, schedule) = plan.over(&status["target"]["keep"], &status["target"]["schedule"]);
            let status = client.put("/api/backup/plan", &json!({"keep": keep, "schedule": schedule})).await?;
            show(&status, out)
        }
    }
}

const COLUMNS: [Column; 7] = [
    ("BACKUP", "id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("OF", "summary.made_at"),
    ("BYTES", "summary.bytes"),
    ("NEW", "summary.new_bytes"),
    ("PROVEN", "proof.at"),
];

async fn init(args: &InitArgs, context: &Context) -> Result<()> {
    let mut body = json!({"folder": args.folder});
    if args.recipients.is_empty() {
        let prompt = "Passphrase of the backups";
        body["passphrase"] = json!(input::password(args.passphrase_stdin, prompt, true)?);
    } else {
        let keys = args.recipients.iter().map(|given| recipient(given)).collect::<Result<Vec<_>>>()?;
        body["recipients"] = json!(keys);
    }
    let default = json!({"last": 3, "daily": 7, "weekly": 5, "monthly": 12});
    let (keep, schedule) = args.plan.over(&default, &json!({"every": "day", "hour": 2}));
    (body["keep"], body["schedule"]) = (keep, schedule);
    let status = context.client.put("/api/backup", &body).await?;
    show(&status, context.out)
}

/// A key as it is, or out of a file whose lines with # are remarks.
fn recipient(given: &str) -> Result<String> {
    if given.starts_with("age1") {
        return Ok(given.to_owned());
    }
    let text = read_text(&PathBuf::from(given), 64 << 10)?;
    let key = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    key.map(str::to_owned).ok_or_else(|| Failure::usage(format!("{given} holds no key.")))
}

async fn verify(backup: Option<i64>, wait: &WaitArgs, context: &Context) -> Result<()> {
    let id = match backup {
        Some(id) => json!(id),
        None => context.client.get("/api/backup").await?["newest"]["id"].clone(),
    };
    if id.is_null() {
        return Err(Failure::new(
            Exit::NotFound,
            "not_found",
            "There is no backup yet. Take one: resoftai backup create",
        ));
    }
    let before = context.client.get(&format!("{BACKUPS}/{id}")).await?;
    let asked = context.client.post(&format!("{BACKUPS}/{id}/verify"), &Value::Null).await?;
    if wait.no_wait {
        return context.out.done(&asked, &format!("Began a trial restore of backup {id}."));
    }
    let record = until(context, &id, |record| record["proof"]["at"] != before["proof"]["at"]).await?;
    told(&record, context.out)
}

/// Waits until it is complete and proven, or failed.
async fn follow(context: &Context, id: &Value) -> Result<Value> {
    until(context, id, |record| record["status"] == "failed" || !record["proof"].is_null()).await
}

async fn until(context: &Context, id: &Value, over: impl Fn(&Value) -> bool) -> Result<Value> {
    let progress = bar(0, &context.out);
    loop {
        let record = context.client.get(&format!("{BACKUPS}/{id}")).await?;
        if over(&record) {
            progress.finish_and_clear();
            return Ok(record);
        }
        let status = context.client.get("/api/backup").await?;
        progress.set_length(status["at_work"]["bytes_expected"].as_u64().unwrap_or_default());
        progress.set_position(status["at_work"]["bytes_done"].as_u64().unwrap_or_default());
        tokio::time::sleep(LOOK).await;
    }
}

fn told(record: &Value, out: Output) -> Result<()> {
    if record["status"] == "failed" {
        return Err(Failure::new(Exit::Failed, "backup_failed", cell(record, "error")));
    }
    let problems: Vec<&str> =
        record["proof"]["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !problems.is_empty() {
        let sentence = format!("Backup {} cannot be counted on: {}", record["id"], problems.join(" "));
        return Err(Failure::new(Exit::Failed, "backup_unproven", sentence));
    }
    let bytes = |name: &str| size(record["summary"][name].as_u64().unwrap_or_default());
    let sentence = format!(
        "Backup {} ({}) holds {}, of which {} are new. A trial restore found {} rows, {} contents and {} audit entries whole.",
        record["id"],
        cell(record, "name"),
        bytes("bytes"),
        bytes("new_bytes"),
        record["proof"]["rows"],
        record["proof"]["contents"],
        record["proof"]["audit_entries"]
    );
    out.done(record, &sentence)
}

fn show(status: &Value, out: Output) -> Result<()> {
    out.item(
        status,
        &[
            ("FOLDER", "target.folder"),
            ("OPENED BY", "target.opened_by"),
            ("SCHEDULE", "target.schedule"),
            ("NEXT", "target.next_at"),
            ("KEPT", "target.keep"),
            ("PROBLEM", "target.problem"),
            ("NEWEST", "newest.name"),
            ("OF", "newest.summary.made_at"),
            ("PROVEN", "newest.proof.at"),
        ],
    )
}

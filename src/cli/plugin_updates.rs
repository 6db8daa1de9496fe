//! `resoftai plugin updates`: which versions of plugins come in by themselves, when, and what came of it.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::client::{Page, escape};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, plugin};

const PATH: &str = "/api/marketplace";
const COLUMNS: [Column; 6] = [
    ("slug", "slug"),
    ("installed", "installed"),
    ("version", "version"),
    ("policy", "policy"),
    ("verdict", "verdict"),
    ("why", "reason"),
];
const NOTHING: &str = "Nothing newer is in the marketplace than what is installed.";

/// How far a plugin is brought up to date by itself.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PolicyArg {
    /// Not at all.
    Off,
    /// To versions that only mend, as from 1.4.0 to 1.4.1.
    Patch,
    /// To versions that break nothing, as from 1.4.0 to 1.5.0.
    Minor,
    /// To every newer version that is no pre-release.
    All,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DayArg {
    #[value(alias = "mon")]
    Monday,
    #[value(alias = "tue")]
    Tuesday,
    #[value(alias = "wed")]
    Wednesday,
    #[value(alias = "thu")]
    Thursday,
    #[value(alias = "fri")]
    Friday,
    #[value(alias = "sat")]
    Saturday,
    #[value(alias = "sun")]
    Sunday,
}

fn code(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[derive(Debug, Subcommand)]
pub enum UpdatesCommand {
    /// List the plugins for which there is something newer, and what speaks against each. Also without `list`.
    List,
    /// Say how far a plugin is brought up to date by itself.
    Set {
        /// Its name in commands.
        slug: String,
        /// How far.
        #[arg(long)]
        policy: PolicyArg,
    },
    /// Show when plugins are updated by themselves, or change it.
    Window(WindowArgs),
    /// Update now, whatever the hour, as far as policies say: all plugins, or one.
    ///
    /// Ends with 1 when one of them was tried and the version before is at work again.
    Run {
        /// Its name in commands.
        slug: Option<String>,
        /// This version, whatever the policy says and also when it failed before.
        #[arg(long, requires = "slug")]
        version: Option<String>,
        /// Say what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Approve what a version asks for beyond the one here, or let one be tried again that failed.
    Approve {
        /// Its name in commands.
        slug: String,
        /// The version that was looked at.
        version: String,
    },
    /// List what came of updates, newest first.
    History {
        /// Of this plugin only.
        slug: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
}

#[derive(Debug, Args)]
pub struct WindowArgs {
    /// Days on which it begins, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "DAY")]
    days: Option<Vec<DayArg>>,
    /// When it begins by the site's clocks, as in 03:00.
    #[arg(long, value_name = "HH:MM")]
    from: Option<String>,
    /// When it ends, as in 05:00; earlier than `--from`: on the next day.
    #[arg(long, value_name = "HH:MM")]
    to: Option<String>,
}

pub async fn run(command: Option<&UpdatesCommand>, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        None | Some(UpdatesCommand::List) => {
            let found = client.get(&format!("{PATH}/updates/check")).await?;
            out.list(&page(&found), &COLUMNS, NOTHING)
        }
        Some(UpdatesCommand::Set { slug, policy }) => {
            let (path, policy) = (format!("{PATH}/plugins/{}/update-policy", escape(slug)), code(policy));
            let set = plugin::named(slug, client.put(&path, &json!({"policy": policy})).await, context).await?;
            out.done(&set, &format!("The update policy of {slug} is {policy}."))
        }
        Some(UpdatesCommand::Window(args)) => window(args, context).await,
        Some(UpdatesCommand::Run { slug, version, dry_run }) => {
            let ran = match slug {
                None => client.post(&format!("{PATH}/updates/run"), &json!({"dry_run": dry_run})).await?,
                Some(slug) => {
                    let body = json!({"target_version": version, "dry_run": dry_run});
                    let path = format!("{PATH}/plugins/{}/update", escape(slug));
                    json!({"items": [client.post(&path, &body).await?], "next_cursor": null})
                }
            };
            told(&ran, context)
        }
        Some(UpdatesCommand::Approve { slug, version }) => {
            let path = format!("{PATH}/plugins/{}/approve", escape(slug));
            let update = client.post(&path, &json!({"version": version})).await?;
            out.done(&update, &format!("Approved {slug} {version}; it comes in with the next run."))
        }
        Some(UpdatesCommand::History { slug, list }) => {
            let filters = [("slug", slug.clone())];
            let found = client.list(&format!("{PATH}/updates/history"), &filters, list.most()).await?;
            let columns = [
                ("at", "at"),
                ("slug", "slug"),
                ("from", "from"),
                ("to", "to"),
                ("outcome", "outcome"),
                ("by hand", "by_hand"),
                ("why", "reason"),
            ];
            out.list(&found, &columns, "No plugin was updated yet.")
        }
    }
}

fn page(found: &Value) -> Page {
    Page { items: found["items"].as_array().cloned().unwrap_or_default(), next_cursor: None }
}

async fn window(args: &WindowArgs, context: &Context) -> Result<()> {
    let path = format!("{PATH}/updates/window");
    let mut hours = context.client.get(&path).await?;
    let WindowArgs { days, from, to } = args;
    if days.is_some() || from.is_some() || to.is_some() {
        let days = days.as_ref().map(|days| json!(days.iter().map(code).collect::<Vec<_>>()));
        let or_before = |given: Option<Value>, field: &str| given.unwrap_or_else(|| hours[field].clone());
        let body = json!({
            "days": or_before(days, "days"),
            "from": or_before(from.clone().map(Value::from), "from"),
            "to": or_before(to.clone().map(Value::from), "to"),
        });
        hours = context.client.put(&path, &body).await?;
    }
    let fields = [("days", "days"), ("from", "from"), ("to", "to"), ("time zone", "time_zone"), ("open now", "open")];
    context.out.item(&hours, &fields)
}

/// Says what came of a run.
fn told(ran: &Value, context: &Context) -> Result<()> {
    let (items, out) = (page(ran).items, &context.out);
    if out.is_json() {
        out.value(ran)?;
    } else if items.is_empty() {
        out.note(NOTHING)?;
    }
    for item in items.iter().filter(|_| !out.is_json()) {
        let what = if item["outcome"].is_null() { cell(item, "verdict") } else { cell(item, "outcome") };
        let (slug, version) = (cell(item, "slug"), cell(item, "version"));
        out.line(&format!("{slug} {version}: {what}. {}", cell(item, "reason")))?;
        for with in item["with"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.line(&format!("  with it: {}", crate::cli::output::clean(with)))?;
        }
    }
    match items.iter().find(|item| item["outcome"] == "returned") {
        None => Ok(()),
        Some(item) => {
            let (slug, version) = (cell(item, "slug"), cell(item, "version"));
            let sentence = format!("{slug} {version} did not work, and the version before is at work again.");
            Err(Failure::new(Exit::Failed, "update_returned", sentence))
        }
    }
}

//! `resoftai market`: what the mirror holds of plugins, to be found and understood.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::client::{escape, query_string};
use crate::cli::failure::Result;
use crate::cli::output::{Column, cell, size};
use crate::cli::plugin_folder::How;
use crate::cli::{Context, ListArgs, plugin};

const PATH: &str = "/api/marketplace";
const COLUMNS: [Column; 6] = [
    ("slug", "slug"),
    ("version", "version"),
    ("category", "category"),
    ("installs", "installs"),
    ("installed", "installed"),
    ("what it is", "description"),
];
const NOTHING: &str =
    "The marketplace has nothing of that. What there is comes with the mirror: resoftai mirror import";

/// In which order plugins are listed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SortArg {
    /// What was installed most often here.
    Popular,
    /// What was installed most often in the last 30 days.
    Trending,
    /// What its users rate best.
    Rating,
    /// The newest version first.
    Newest,
    Name,
}

impl SortArg {
    fn code(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

#[derive(Debug, Subcommand)]
pub enum MarketCommand {
    /// Browse the plugins that the mirror holds.
    List {
        /// Of this category: see `market categories`.
        #[arg(long)]
        category: Option<String>,
        /// In this order.
        #[arg(long, default_value = "popular")]
        sort: SortArg,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Find plugins by words, or their beginnings, in names, tags, descriptions and READMEs.
    Search {
        /// All of them have to be there.
        #[arg(required = true)]
        words: Vec<String>,
        /// Of this category.
        #[arg(long)]
        category: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// List the categories.
    Categories,
    /// Show a plugin: what it asks for and carries, whose it is, and its versions.
    Show {
        /// Its name in commands.
        slug: String,
        /// This version [default: the newest].
        #[arg(long)]
        version: Option<String>,
    },
    /// List what people who have a plugin say of it.
    Reviews {
        /// Its name in commands.
        slug: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Rate and review a plugin that works in an organisation of yours, or change what you said.
    Review {
        /// Its name in commands.
        slug: String,
        /// From 1 to 5.
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=5))]
        rating: i64,
        /// What you say of it.
        #[arg(long, default_value = "")]
        text: String,
    },
}

pub async fn run(command: &MarketCommand, context: &Context) -> Result<()> {
    let plugins = format!("{PATH}/plugins");
    match command {
        MarketCommand::List { category, sort, list } => {
            let filters = [("category", category.clone()), ("sort", Some(sort.code()))];
            let page = context.client.list(&plugins, &filters, list.most()).await?;
            context.out.list(&page, &COLUMNS, NOTHING)
        }
        MarketCommand::Search { words, category, list } => {
            let filters = [("q", Some(words.join(" "))), ("category", category.clone())];
            let page = context.client.list(&plugins, &filters, list.most()).await?;
            context.out.list(&page, &COLUMNS, NOTHING)
        }
        MarketCommand::Categories => {
            let page = context.client.list(&format!("{PATH}/categories"), &[], 100).await?;
            context.out.list(&page, &[("category", "category"), ("plugins", "plugins")], NOTHING)
        }
        MarketCommand::Show { slug, version } => show(slug, version.as_deref(), context).await,
        MarketCommand::Reviews { slug, list } => {
            let path = format!("{plugins}/{}/reviews", escape(slug));
            let page = context.client.list(&path, &[], list.most()).await?;
            let columns = [
                ("rating", "rating"),
                ("author", "author"),
                ("version", "version"),
                ("helpful", "helpful"),
                ("text", "text"),
            ];
            context.out.list(&page, &columns, "Nobody reviewed it yet.")
        }
        MarketCommand::Review { slug, rating, text } => {
            let path = format!("{plugins}/{}/review", escape(slug));
            let review = context.client.put(&path, &json!({"rating": rating, "text": text})).await?;
            context.out.done(&review, &format!("You rate {slug} {rating} of 5."))
        }
    }
}

async fn show(slug: &str, version: Option<&str>, context: &Context) -> Result<()> {
    let query = query_string(&[("version", version.map(str::to_owned))]);
    let found = context.client.get(&format!("{PATH}/plugins/{}{query}", escape(slug))).await?;
    if context.out.is_json() {
        return context.out.value(&found);
    }
    let fields: [Column; 11] = [
        ("name", "name"),
        ("what it is", "description"),
        ("author", "author"),
        ("category", "category"),
        ("version", "package.version"),
        ("installed", "installed"),
        ("licence", "package.license"),
        ("needs", "package.dependencies"),
        ("installs", "installs"),
        ("rating", "rating"),
        ("ratings", "ratings"),
    ];
    context.out.item(&found, &fields)?;
    for asked in found["package"]["asks"].as_array().into_iter().flatten() {
        for words in asked["words"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            context.out.note(&format!("asks: {words}"))?;
        }
    }
    if let Some(fault) = found["package"]["fault"].as_str() {
        context.out.note(&format!("It cannot be installed here: {fault}"))?;
    }
    for link in found["package"]["chain"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        context.out.note(link)?;
    }
    let versions = found["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    context
        .out
        .table(versions, &[("version", "version"), ("listed", "listed_at"), ("bytes", "length"), ("fault", "fault")])
}

/// Installs a plugin of the marketplace with everything it needs, or says what that comes to.
pub async fn install(slug: &str, how: &How, version: Option<&str>, dry_run: bool, context: &Context) -> Result<()> {
    let mut body = how.body();
    body["dry_run"] = dry_run.into();
    if let Some(version) = version {
        body["version"] = version.into();
    }
    let path = format!("{PATH}/plugins/{}/install", escape(slug));
    let done = context.client.post(&path, &body).await.map_err(plugin::own_words)?;
    let installed = done["plugins"].as_array().and_then(|all| all.iter().find(|plugin| plugin["slug"] == slug));
    match installed {
        None => told(&done, context),
        Some(one) => {
            for step in changes(&done).filter(|step| step["slug"] != slug) {
                context.out.note(&format!("With it: {}", in_words(step)))?;
            }
            plugin::installed(one, context)
        }
    }
}

/// Says what an installation comes to, or came to.
pub fn told(done: &Value, context: &Context) -> Result<()> {
    if context.out.is_json() {
        return context.out.value(done);
    }
    if changes(done).next().is_none() {
        return context.out.line("Nothing has to be installed.");
    }
    changes(done).try_for_each(|step| {
        context.out.line(&in_words(step))?;
        let scan = &step["scan"];
        if scan.is_null() || scan["verdict"] == "clean" {
            return Ok(());
        }
        context.out.line(&format!("  {}", cell(scan, "text")))
    })
}

fn changes(done: &Value) -> impl Iterator<Item = &Value> {
    done["steps"].as_array().into_iter().flatten().filter(|step| step["change"] != "keep")
}

fn in_words(step: &Value) -> String {
    let (slug, version) = (cell(step, "slug"), cell(step, "version"));
    let bytes = size(step["length"].as_u64().unwrap_or_default());
    match step["before"].as_str() {
        Some(before) if before != version => format!("{slug} {before} -> {version} ({bytes})"),
        Some(_) => format!("{slug} {version}, anew ({bytes})"),
        None => format!("{slug} {version} ({bytes})"),
    }
}

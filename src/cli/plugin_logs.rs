//! `resoftai plugin logs`: a plugin's log, once or as it grows.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::client::{escape, query_string};
use crate::cli::failure::Result;
use crate::cli::output::{cell, clean};
use crate::cli::plugin::named;
use crate::cli::{Context, lookup};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
const LEVELS: [&str; 4] = ["debug", "info", "warning", "error"];

/// Which lines are shown.
#[derive(Debug, Args)]
pub struct Which {
    /// In this organisation; without it, everywhere.
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// At least this urgent.
    #[arg(long, value_parser = LEVELS)]
    level: Option<String>,
    /// The newest so many lines.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Go on showing what comes.
    #[arg(long, short)]
    follow: bool,
}

/// Shows the newest lines, the newest last.
pub async fn show(slug: &str, which: &Which, context: &Context) -> Result<()> {
    let org = match &which.org {
        Some(org) => Some(lookup::organization_id(context, org).await?.to_string()),
        None => None,
    };
    let limit = Some(which.limit.to_string());
    let query = query_string(&[("organization_id", org), ("level", which.level.clone()), ("limit", limit)]);
    let path = format!("/api/plugins/{}/logs{query}", escape(slug));
    let page = named(slug, context.client.get(&path).await, context).await?;
    if context.out.is_json() && !which.follow {
        return context.out.value(&page);
    }
    let mut newest = print(&page, 0, context)?;
    if !which.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        newest = print(&context.client.get(&path).await?, newest, context)?;
    }
}

/// Prints what is newer than `after`; the number of the newest line.
fn print(page: &Value, after: i64, context: &Context) -> Result<i64> {
    let lines = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |line: &Value| line["id"].as_i64().unwrap_or_default();
    for line in lines.iter().rev().filter(|line| number(line) > after) {
        if context.out.is_json() {
            context.out.value(line)?;
            continue;
        }
        let text = line["text"].as_str().unwrap_or_default();
        for (at, part) in text.lines().enumerate() {
            let head =
                if at == 0 { format!("{} {:<7}", cell(line, "at"), cell(line, "level")) } else { "   ".to_owned() };
            context.out.line(&clean(&format!("{head} {part}")))?;
        }
    }
    Ok(lines.iter().map(number).max().unwrap_or(after).max(after))
}

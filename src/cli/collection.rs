//! `resoftai collection`: curated lists of plugins.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, deleted, input, lookup, market};

const PATH: &str = "/api/marketplace/collections";
const COLUMNS: [Column; 4] = [("id", "id"), ("name", "name"), ("plugins", "plugins"), ("description", "description")];

#[derive(Debug, Subcommand)]
pub enum CollectionCommand {
    /// Make a list of plugins for everybody on the site, or for an organisation.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        content: Content,
        /// The organisation it is for; without it, everybody on the site sees it.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// List the collections you see.
    List(ListArgs),
    /// Show a collection.
    Show {
        /// Its number or name.
        collection: String,
    },
    /// Give a collection another description or other plugins.
    Update {
        /// Its number or name.
        collection: String,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// Slugs of plugins, with commas between them.
        #[arg(long, value_delimiter = ',')]
        plugins: Option<Vec<String>>,
    },
    /// Install what a collection lists and is not installed yet, with everything it needs: all of it or nothing.
    Install {
        /// Its number or name.
        collection: String,
        /// Say what it comes to, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete a collection; its plugins stay.
    Delete {
        /// Its number or name.
        collection: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct Content {
    /// What it is for.
    #[arg(long, default_value = "")]
    description: String,
    /// Slugs of plugins, with commas between them.
    #[arg(long, value_delimiter = ',', required = true)]
    plugins: Vec<String>,
}

pub async fn run(command: &CollectionCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        CollectionCommand::Create { name, content, org } => {
            let org = match org {
                Some(slug) => Some(lookup::organization_id(context, slug).await?),
                None => None,
            };
            let Content { description, plugins } = content;
            let body = json!({"name": name, "description": description, "plugins": plugins, "organization_id": org});
            let made = client.post(PATH, &body).await?;
            out.done(&made, &format!("Made collection {} ({}).", cell(&made, "name"), cell(&made, "id")))
        }
        CollectionCommand::List(list) => {
            let page = client.list(PATH, &[], list.most()).await?;
            out.list(&page, &COLUMNS, "No collections. Make one: resoftai collection create NAME --plugins a,b")
        }
        CollectionCommand::Show { collection } => out.item(&find(collection, context).await?, &COLUMNS),
        CollectionCommand::Update { collection, name, description, plugins } => {
            let before = find(collection, context).await?;
            let or_before = |given: Option<Value>, field: &str| given.unwrap_or_else(|| before[field].clone());
            let body = json!({
                "name": or_before(name.clone().map(Value::from), "name"),
                "description": or_before(description.clone().map(Value::from), "description"),
                "plugins": or_before(plugins.clone().map(Value::from), "plugins"),
            });
            let after = client.put(&one(&before), &body).await?;
            out.done(&after, &format!("Changed collection {}.", cell(&after, "name")))
        }
        CollectionCommand::Install { collection, dry_run } => {
            let found = find(collection, context).await?;
            let done = client.post(&format!("{}/install", one(&found)), &json!({"dry_run": dry_run})).await?;
            market::told(&done, context)
        }
        CollectionCommand::Delete { collection, yes } => {
            let found = find(collection, context).await?;
            let name = cell(&found, "name");
            input::confirm(&format!("Delete the collection {name}? Its plugins stay."), *yes)?;
            client.delete(&one(&found)).await?;
            out.done(&deleted(&found["id"]), &format!("Deleted collection {name}."))
        }
    }
}

fn one(collection: &Value) -> String {
    format!("{PATH}/{}", collection["id"])
}

/// The collection with this number or name.
async fn find(collection: &str, context: &Context) -> Result<Value> {
    if collection.bytes().all(|byte| byte.is_ascii_digit()) {
        return context.client.get(&format!("{PATH}/{collection}")).await;
    }
    let filters = [("q", Some(collection.to_owned()))];
    let page = context.client.list(PATH, &filters, 1_000).await?;
    let called = |found: &&Value| found["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(collection));
    let mut found = page.items.iter().filter(called);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => {
            let detail = format!("There is no collection {collection:?}. Which there are: resoftai collection list");
            Err(Failure::new(Exit::NotFound, "not_found", detail))
        }
        (Some(_), Some(_)) => {
            let detail =
                format!("Several collections are called {collection:?}. Say its number: resoftai collection list");
            Err(Failure::usage(detail))
        }
    }
}

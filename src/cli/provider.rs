//! `resoftai provider`: servers that offer models through the OpenAI API.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::cell;
use crate::cli::{Context, ListArgs, deleted, input, lookup, suggest};

#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// List the providers you can see.
    List(ListArgs),
    /// Add a provider.
    Add {
        /// Its name here.
        name: String,
        /// Where its API is: http://host:port/v1.
        #[arg(long, value_name = "URL")]
        base_url: String,
        /// The models to offer, with commas between.
        #[arg(long, value_delimiter = ',', value_name = "MODEL,..")]
        models: Vec<String>,
        /// How many tokens its models take in.
        #[arg(long, value_name = "TOKENS")]
        context_length: Option<u32>,
        /// Offer it to this organisation only.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Read its key from stdin, or unseen from a terminal.
        #[arg(long)]
        api_key_stdin: bool,
    },
    /// Remove a provider, by name or id.
    Remove {
        /// Its name or its id.
        provider: String,
    },
}

pub async fn run(command: &ProviderCommand, context: &Context) -> Result<()> {
    const PATH: &str = "/api/llm/providers";
    match command {
        ProviderCommand::List(list) => {
            let page = context.client.list(PATH, &[], list.most()).await?;
            let columns = [
                ("id", "id"),
                ("name", "name"),
                ("kind", "kind"),
                ("address", "base_url"),
                ("organisation", "organization_id"),
                ("key", "has_api_key"),
                ("models", "models"),
            ];
            context.out.list(
                &page,
                &columns,
                "There are no providers. Add one: resoftai provider add NAME --base-url URL",
            )
        }
        ProviderCommand::Add { name, base_url, models, context_length, org, api_key_stdin } => {
            let mut body = Map::new();
            let mut give = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
            give("name", json!(name));
            give("base_url", json!(base_url));
            if !models.is_empty() {
                give("models", json!(models));
            }
            if let Some(length) = context_length {
                give("context_length", json!(length));
            }
            if let Some(slug) = org {
                give("organization_id", json!(lookup::organization_id(context, slug).await?));
            }
            if *api_key_stdin {
                give("api_key", json!(input::secret("API key")?));
            }
            let made = context.client.post(PATH, &Value::Object(body)).await?;
            let sentence = format!("Added provider {} with {}.", cell(&made, "name"), cell(&made, "models"));
            context.out.done(&made, &sentence)
        }
        ProviderCommand::Remove { provider } => {
            let all = context.client.all(PATH).await?;
            let id: Option<i64> = provider.parse().ok();
            let named =
                |one: &&Value| one["name"] == provider.as_str() || id.is_some_and(|id| one["id"].as_i64() == Some(id));
            let found: Vec<&Value> = all.iter().filter(named).collect();
            let found = match found.as_slice() {
                [] => return Err(suggest::not_found("provider", provider, &all, "name")),
                [only] => *only,
                several => {
                    // Organisations name theirs as they like.
                    let ids: Vec<String> = several.iter().map(|one| one["id"].to_string()).collect();
                    let detail = format!("Several providers are called {provider}. Give an id: {}.", ids.join(", "));
                    return Err(Failure::new(Exit::Usage, "several_providers", detail));
                }
            };
            if found["id"].is_null() {
                let detail = format!("{provider} is built in or comes from the configuration file. Change it there.");
                return Err(Failure::usage(detail));
            }
            context.client.delete(&format!("{PATH}/{}", found["id"])).await?;
            context.out.done(&deleted(&found["id"]), &format!("Removed provider {}.", cell(found, "name")))
        }
    }
}

//! `resoftai token`: the caller's personal tokens.

use clap::Subcommand;
use serde_json::json;

use crate::cli::failure::Result;
use crate::cli::{Context, ListArgs, deleted};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List your tokens.
    List(ListArgs),
    /// Make a token. It is shown once.
    Create {
        /// What it is for.
        name: String,
        /// Days until it ends; without, it does not.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_in_days: Option<u32>,
    },
    /// Delete a token. It stops working at once.
    Delete {
        /// Its number in the list.
        id: i64,
    },
}

pub async fn run(command: &TokenCommand, context: &Context) -> Result<()> {
    match command {
        TokenCommand::List(list) => {
            let page = context.client.list("/api/tokens", &[], list.most()).await?;
            let columns = [
                ("id", "id"),
                ("name", "name"),
                ("created", "created_at"),
                ("ends", "expires_at"),
                ("last used", "last_used_at"),
            ];
            context.out.list(&page, &columns, "You have no tokens. Make one: resoftai token create NAME")
        }
        TokenCommand::Create { name, expires_in_days } => {
            let body = json!({"name": name, "expires_in_days": expires_in_days});
            let made = context.client.post("/api/tokens", &body).await?;
            if context.out.is_json() {
                return context.out.value(&made);
            }
            context.out.note("This is the only time the token is shown:")?;
            context.out.line(made["secret"].as_str().unwrap_or_default())
        }
        TokenCommand::Delete { id } => {
            context.client.delete(&format!("/api/tokens/{id}")).await?;
            context.out.done(&deleted(id), &format!("Deleted token {id}."))
        }
    }
}

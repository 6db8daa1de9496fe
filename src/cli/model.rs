//! `resoftai model`: the models that runs and the gateway can use.

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::client::Page;
use crate::cli::failure::Result;

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// List the models, and whether they answer.
    List,
}

pub async fn run(command: &ModelCommand, context: &Context) -> Result<()> {
    let ModelCommand::List = command;
    let mut models = context.client.get("/api/models").await?;
    if context.out.is_json() {
        return context.out.value(&models);
    }
    let items = models["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let columns = [
        ("model", "id"),
        ("provider", "provider"),
        ("context", "context_length"),
        ("status", "status"),
        ("detail", "detail"),
    ];
    context.out.list(
        &Page { items, next_cursor: None },
        &columns,
        "There are no models. Add a server: resoftai provider add",
    )
}

//! `resoftai privacy`: what is held about people.

use std::path::Path;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::failure::Result;
use crate::cli::output::size;
use crate::cli::{Context, download, input, lookup};

#[derive(Debug, Subcommand)]
pub enum PrivacyCommand {
    /// Show what the database holds about people, why, how long, and what erasing a person does to it.
    Inventory {
        /// Show every column, also those about nobody.
        #[arg(long)]
        all: bool,
    },
}

pub async fn run(command: &PrivacyCommand, context: &Context) -> Result<()> {
    let PrivacyCommand::Inventory { all } = command;
    let inventory = context.client.get("/api/privacy/inventory").await?;
    if context.out.is_json() {
        return context.out.value(&inventory);
    }
    let mut rows = Vec::new();
    for table in inventory["tables"].as_array().into_iter().flatten() {
        for column in table["columns"].as_array().into_iter().flatten() {
            if *all || column["what"] != Value::Null {
                let mut row = column.clone();
                row["place"] = json!(format!(
                    "{}.{}",
                    table["table"].as_str().unwrap_or_default(),
                    column["column"].as_str().unwrap_or_default()
                ));
                rows.push(row);
            }
        }
    }
    let columns =
        [("column", "place"), ("class", "class"), ("what", "what"), ("kept", "kept"), ("when erased", "at_erasure")];
    context.out.table(&rows, &columns)?;
    context.out.line("")?;
    let elsewhere: Vec<Value> = inventory["elsewhere"].as_array().cloned().unwrap_or_default();
    let columns = [("place", "place"), ("what", "what"), ("kept", "kept"), ("when erased", "at_erasure")];
    context.out.table(&elsewhere, &columns)
}

/// Saves everything about a person, or about oneself, where only oneself can read it.
pub async fn export(username: Option<&str>, out: &Path, context: &Context) -> Result<()> {
    let whose = match username {
        Some(name) => lookup::user(context, name).await?["id"].to_string(),
        None => "me".to_owned(),
    };
    save(&format!("/api/users/{whose}/export"), out, context).await
}

async fn save(path: &str, out: &Path, context: &Context) -> Result<()> {
    let mut reply = context.client.open(path, "application/zip", None).await?;
    let written = download::save(&mut reply, out, 0o600).await?;
    let value = json!({"file": out, "size": written});
    context.out.done(&value, &format!("Wrote {} ({}).", out.display(), size(written)))
}

/// Erases a person for good; who erases themselves gives their password.
pub async fn erase(username: &str, confirm: Option<&str>, password_stdin: bool, context: &Context) -> Result<()> {
    let user = lookup::user(context, username).await?;
    let me = context.client.get("/api/auth/me").await?;
    let typed = match confirm {
        Some(name) => name.to_owned(),
        None => input::ask(&format!("Nothing brings {username} back. Type the name again"), "--confirm NAME")?,
    };
    let mut body = json!({"username": typed});
    if me["user"]["id"] == user["id"] || password_stdin {
        body["password"] = json!(input::password(password_stdin, "Your password", false)?);
    }
    let erased = context.client.post(&format!("/api/users/{}/erase", user["id"]), &body).await?;
    context.out.done(&erased, &format!("Erased {username}; what stays names them erased person {}.", user["id"]))?;
    for sentence in erased["not_erased"].as_array().into_iter().flatten() {
        context.out.note(sentence.as_str().unwrap_or_default())?;
    }
    Ok(())
}

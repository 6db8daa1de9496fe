//! `resoftai mail`, and `resoftai admin test-mail`: whether the site's mails go out.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::cell;
use crate::cli::{Context, ListArgs, deleted};

#[derive(Debug, Subcommand)]
pub enum MailCommand {
    /// Show the mail server, and how many mails wait or were given up.
    Status,
    /// List mails, the newest first: those that wait, and those of the last 30 days.
    List {
        /// Only those in this state.
        #[arg(long, value_enum, value_name = "STATE")]
        state: Option<State>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Try a mail again now, also one that was given up within the last 7 days.
    Retry {
        /// The mail's number.
        id: i64,
    },
    /// Drop a mail: one that waits is not sent.
    Drop {
        /// The mail's number.
        id: i64,
    },
}

/// How a mail stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum State {
    Queued,
    Sent,
    Failed,
}

impl State {
    fn code(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

pub async fn run(command: &MailCommand, context: &Context) -> Result<()> {
    match command {
        MailCommand::Status => {
            let status = context.client.get("/api/mail").await?;
            let fields = [
                ("configured", "configured"),
                ("server", "server"),
                ("security", "security"),
                ("signed in as", "username"),
                ("from", "from"),
                ("links", "public_url"),
                ("waiting", "queued"),
                ("since", "oldest_queued_at"),
                ("sent", "sent"),
                ("given up", "failed"),
                ("last error", "last_error"),
            ];
            context.out.item(&status, &fields)
        }
        MailCommand::List { state, list } => {
            let filters = [("state", state.map(State::code))];
            let page = context.client.list("/api/mails", &filters, list.most()).await?;
            let columns = [
                ("id", "id"),
                ("made", "created_at"),
                ("to", "recipient"),
                ("kind", "kind"),
                ("state", "state"),
                ("tries", "attempts"),
                ("next", "next_attempt_at"),
                ("error", "last_error"),
            ];
            context.out.list(&page, &columns, "There are no such mails.")
        }
        MailCommand::Retry { id } => {
            let mail = context.client.act(&format!("/api/mails/{id}/retry")).await?;
            context.out.done(&mail, &format!("Mail {id} is tried again now."))
        }
        MailCommand::Drop { id } => {
            context.client.delete(&format!("/api/mails/{id}")).await?;
            context.out.done(&deleted(id.to_string()), &format!("Mail {id} is dropped."))
        }
    }
}

/// Sends a mail and tells each step; fails when the mail server did not take it.
pub async fn test(address: &str, context: &Context) -> Result<()> {
    let told = context.client.post("/api/mail/test", &json!({"address": address})).await?;
    let steps = told["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    if context.out.is_json() {
        context.out.value(&told)?;
    } else {
        steps.iter().filter(|step| step["ok"] == true).try_for_each(|step| context.out.line(&words(step)))?;
    }
    match steps.iter().find(|step| step["ok"] == false) {
        Some(step) => Err(Failure::new(Exit::Failed, "mail_failed", cell(step, "detail"))),
        None if context.out.is_json() => Ok(()),
        None => context.out.line(&format!("The mail server has the mail for {address}. Look whether it arrives.")),
    }
}

fn words(step: &Value) -> String {
    format!("{:10}  {}", cell(step, "step").replace('_', " "), cell(step, "detail"))
}

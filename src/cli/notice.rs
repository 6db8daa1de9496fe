//! `resoftai notice`: what the site tells you.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::failure::Result;
use crate::cli::{Context, ListArgs};

#[derive(Debug, Subcommand)]
pub enum NoticeCommand {
    /// List your notices, unread ones first.
    List(ListArgs),
    /// Mark notices as read.
    Read {
        /// The notice's number; without one, all.
        id: Option<i64>,
    },
    /// Show or choose which notices you get as mails, where the site sends mails.
    Mail {
        /// Which; without it, what counts is shown.
        #[arg(value_enum, value_name = "WHICH")]
        which: Option<Mailed>,
    },
}

/// Which notices are mailed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Mailed {
    /// Every notice.
    All,
    /// Those that ask for something to be done.
    Important,
    /// Only what is about the safety of your account.
    None,
}

pub async fn run(command: &NoticeCommand, context: &Context) -> Result<()> {
    match command {
        NoticeCommand::List(list) => {
            let page = context.client.list("/api/notices", &[], list.most()).await?;
            let columns =
                [("id", "id"), ("since", "created_at"), ("read", "read_at"), ("kind", "kind"), ("text", "text")];
            context.out.list(&page, &columns, "There are no notices.")
        }
        NoticeCommand::Mail { which } => {
            let path = "/api/notices/preferences";
            let chosen = match which.and_then(|which| which.to_possible_value()) {
                Some(which) => context.client.put(path, &json!({"mail": which.get_name()})).await?,
                None => context.client.get(path).await?,
            };
            context.out.item(&chosen, &[("mail", "mail")])
        }
        NoticeCommand::Read { id: Some(id) } => {
            context.client.act(&format!("/api/notices/{id}/read")).await?;
            context.out.done(&json!({"read": 1}), &format!("Notice {id} is read."))
        }
        NoticeCommand::Read { id: None } => {
            let done = context.client.act("/api/notices/read").await?;
            context.out.done(&done, &format!("{} notices are read now.", done["read"]))
        }
    }
}

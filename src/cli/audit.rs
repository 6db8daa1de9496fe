//! `resoftai audit`: the audit trail.

use clap::Subcommand;

use crate::cli::failure::Result;
use crate::cli::{Context, ListArgs, lookup};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List entries, newest first.
    List {
        /// Of this organisation.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Of this kind.
        #[arg(long, value_parser =
            ["create", "read", "update", "delete", "login", "logout", "permission_change", "export", "execute"])]
        action: Option<String>,
        /// About this kind of thing: project, run, user, ..
        #[arg(long)]
        resource: Option<String>,
        /// By this name.
        #[arg(long)]
        actor: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
}

pub async fn run(command: &AuditCommand, context: &Context) -> Result<()> {
    let AuditCommand::List { org, action, resource, actor, list } = command;
    let org = match org {
        Some(slug) => Some(lookup::organization_id(context, slug).await?.to_string()),
        None => None,
    };
    let filters = [
        ("organization_id", org),
        ("action", action.clone()),
        ("resource_type", resource.clone()),
        ("actor", actor.clone()),
    ];
    let page = context.client.list("/api/audit", &filters, list.most()).await?;
    let columns = [
        ("id", "id"),
        ("at", "at"),
        ("actor", "actor.name"),
        ("action", "action"),
        ("resource", "resource_type"),
        ("of", "resource_id"),
        ("ok", "success"),
        ("description", "description"),
    ];
    context.out.list(&page, &columns, "No entry fits.")
}

//! `resoftai audit`: the audit trail.

use clap::Subcommand;

use crate::cli::failure::Result;
use crate::cli::{Context, ListArgs, audit_log, audit_verify, lookup};

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
    /// Write the proof that an entry is in its log, to be verified anywhere.
    Prove(audit_log::ProveArgs),
    /// Verify a proof, a copy of a log, or every entry that the server has.
    Verify(audit_verify::VerifyArgs),
    /// List the logs that entries have their places in, with their checkpoints.
    Logs(ListArgs),
    /// Copy a whole log, to be kept and verified elsewhere.
    Log(audit_log::LogArgs),
    /// Print the key that a log's checkpoints are verified with.
    Key(audit_log::KeyArgs),
}

pub async fn run(command: &AuditCommand, context: &Context) -> Result<()> {
    match command {
        AuditCommand::List { org, action, resource, actor, list } => {
            self::list(context, (org, action, resource, actor), *list).await
        }
        AuditCommand::Prove(args) => audit_log::prove(args, context).await,
        AuditCommand::Verify(args) => audit_verify::trail(args, context).await,
        AuditCommand::Logs(args) => audit_log::list(*args, context).await,
        AuditCommand::Log(args) => audit_log::copy(args, context).await,
        AuditCommand::Key(args) => audit_log::key(args, context).await,
    }
}

type Filters<'a> = (&'a Option<String>, &'a Option<String>, &'a Option<String>, &'a Option<String>);

async fn list(context: &Context, (org, action, resource, actor): Filters<'_>, list: ListArgs) -> Result<()> {
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

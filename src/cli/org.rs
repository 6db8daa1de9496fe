//! `resoftai org`: organisations.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::failure::Result;
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, lookup};

const COLUMNS: [Column; 5] =
    [("id", "id"), ("slug", "slug"), ("name", "name"), ("tier", "tier"), ("contact", "contact_email")];

#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// List the organisations you can see.
    List(ListArgs),
    /// Show one.
    Show {
        /// Its name in commands and addresses.
        slug: String,
    },
    /// Create one.
    Create {
        #[command(flatten)]
        org: NewOrg,
        /// Whom to write to.
        #[arg(long, value_name = "EMAIL")]
        contact_email: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct NewOrg {
    /// Its name, as people read it.
    #[arg(long)]
    name: String,
    /// Its name in commands and addresses: small letters, digits and hyphens.
    #[arg(long)]
    slug: String,
    /// Decides the quotas it starts with.
    #[arg(long, default_value = "free", value_parser = ["free", "starter", "professional", "enterprise"])]
    tier: String,
}

pub async fn run(command: &OrgCommand, context: &Context) -> Result<()> {
    match command {
        OrgCommand::List(list) => {
            let page = context.client.list("/api/organizations", &[], list.most()).await?;
            context.out.list(&page, &COLUMNS, "There are no organisations. Create one: resoftai org create")
        }
        OrgCommand::Show { slug } => {
            let org = lookup::organization(context, slug).await?;
            context.out.item(&org, &[&COLUMNS[..], &[("created", "created_at")]].concat())
        }
        OrgCommand::Create { org, contact_email } => create(org, contact_email.as_deref(), context).await,
    }
}

/// Creates an organisation and says so.
pub async fn create(org: &NewOrg, contact_email: Option<&str>, context: &Context) -> Result<()> {
    let body = json!({"name": org.name, "slug": org.slug, "tier": org.tier, "contact_email": contact_email});
    let made = context.client.post("/api/organizations", &body).await?;
    context.out.done(
        &made,
        &format!("Created organisation {} ({}), id {}.", cell(&made, "name"), cell(&made, "slug"), made["id"]),
    )
}

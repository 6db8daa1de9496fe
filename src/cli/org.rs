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
        OrgCommand::Create { org, contact_email } => create(org, contact_email.as_deref(), None, context).await,
    }
}

/// Creates an organisation whose administrator, if an account has the address, is `admin_email`; says so.
pub async fn create(
    org: &NewOrg,
    contact_email: Option<&str>,
    admin_email: Option<&str>,
    context: &Context,
) -> Result<()> {
    let body = json!({
        "name": org.name, "slug": org.slug, "tier": org.tier, "contact_email": contact_email, "admin_email": admin_email,
    });
    let made = context.client.post("/api/organizations", &body).await?;
    let slug = cell(&made, "slug");
    let mut sentence = format!("Created organisation {} ({slug}), id {}.", cell(&made, "name"), made["id"]);
    if made["administrator"].is_object() {
        sentence.push_str(&format!(" {} is its org_admin.", cell(&made, "administrator.username")));
    }
    context.out.done(&made, &sentence)?;
    if made["administrator"].is_object() {
        return Ok(());
    }
    let why = admin_email.map_or(String::new(), |email| format!(" No active account has the address {email}."));
    context.out.note(&format!(
        "Nobody holds a role in it yet.{why} Give somebody one: resoftai member add {slug} USERNAME --role org_admin, \
         or, without an account: resoftai user create --username NAME --email ADDRESS --org {slug} --role org_admin"
    ))
}

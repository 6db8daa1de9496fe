//! `resoftai org`: organisations.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, input, lookup};

const COLUMNS: [Column; 6] = [
    ("id", "id"),
    ("slug", "slug"),
    ("name", "name"),
    ("tier", "tier"),
    ("status", "status"),
    ("contact", "contact_email"),
];
/// More is no logo of ours.
const LOGO_LIMIT: u64 = 256 * 1024;
const TIERS: [&str; 4] = ["free", "starter", "professional", "enterprise"];

#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// List the organisations you can see.
    List {
        /// Only those of this state.
        #[arg(long, value_parser = ["active", "suspended", "deleting"])]
        status: Option<String>,
        /// Only those of this tier.
        #[arg(long, value_parser = TIERS)]
        tier: Option<String>,
        /// Only those whose name or slug holds this.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
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
    /// Change one; what is not named stays.
    Update {
        /// Its name in commands and addresses.
        slug: String,
        #[command(flatten)]
        change: OrgChange,
    },
    /// Keep the people of an organisation out.
    Suspend {
        /// Its name in commands and addresses.
        slug: String,
        /// Why, in one line; those who are kept out read it.
        #[arg(long)]
        reason: String,
    },
    /// Let the people of a suspended organisation in again.
    Resume {
        /// Its name in commands and addresses.
        slug: String,
    },
    /// Have an organisation deleted after the site's days of grace; until then it can be restored.
    Delete {
        /// Its name in commands and addresses.
        slug: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Take the deletion of an organisation back.
    Restore {
        /// Its name in commands and addresses.
        slug: String,
    },
    /// Show what an organisation has set, or change it.
    Settings {
        /// Its name in commands and addresses.
        slug: String,
        /// Set a key; a value that is JSON is taken as that, any other as text.
        #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
        set: Vec<(String, Value)>,
        /// Set a key no longer.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
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
    #[arg(long, default_value = "free", value_parser = TIERS)]
    tier: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct OrgChange {
    /// Another name, given by the site.
    #[arg(long)]
    name: Option<String>,
    /// Another tier, given by the site; limits follow, except those that were set by hand.
    #[arg(long, value_parser = TIERS)]
    tier: Option<String>,
    /// Whom to write to; empty: nobody.
    #[arg(long, value_name = "EMAIL")]
    contact_email: Option<String>,
    /// What it calls itself to its own people; empty: its name.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// A PNG, JPEG or WebP picture of at most 256 KiB.
    #[arg(long, value_name = "FILE")]
    logo: Option<PathBuf>,
    /// Have no logo any more.
    #[arg(long, conflicts_with = "logo")]
    no_logo: bool,
}

pub async fn run(command: &OrgCommand, context: &Context) -> Result<()> {
    match command {
        OrgCommand::List { status, tier, search, list } => {
            let filters = [("status", status.clone()), ("tier", tier.clone()), ("q", search.clone())];
            let page = context.client.list("/api/organizations", &filters, list.most()).await?;
            context.out.list(&page, &COLUMNS, "There are no such organisations. Create one: resoftai org create")
        }
        OrgCommand::Show { slug } => show(&lookup::organization(context, slug).await?, context),
        OrgCommand::Create { org, contact_email } => create(org, contact_email.as_deref(), None, context).await,
        OrgCommand::Update { slug, change } => update(slug, change, context).await,
        OrgCommand::Suspend { slug, reason } => {
            let address = address(slug, context).await?;
            let org = context.client.post(&format!("{address}/suspend"), &json!({"reason": reason})).await?;
            context.out.done(&org, &format!("{slug} is suspended: its people are kept out, its runs are stopped."))
        }
        OrgCommand::Resume { slug } => {
            let org = context.client.act(&format!("{}/resume", address(slug, context).await?)).await?;
            context.out.done(&org, &format!("{slug} is at work again."))
        }
        OrgCommand::Delete { slug, yes } => delete(slug, *yes, context).await,
        OrgCommand::Restore { slug } => {
            let org = context.client.act(&format!("{}/restore", address(slug, context).await?)).await?;
            context.out.done(&org, &format!("{slug} will not be deleted; it is {}.", cell(&org, "status")))
        }
        OrgCommand::Settings { slug, set, unset } => settings(slug, set, unset, context).await,
    }
}

fn show(org: &Value, context: &Context) -> Result<()> {
    let more = [
        ("shown as", "display_name"),
        ("logo", "logo"),
        ("suspended", "suspension.since"),
        ("because", "suspension.reason"),
        ("deleted after", "deletion_due"),
        ("created", "created_at"),
    ];
    context.out.item(org, &[&COLUMNS[..], &more].concat())
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

async fn update(slug: &str, change: &OrgChange, context: &Context) -> Result<()> {
    let address = format!("/api/organizations/{}", lookup::organization_id(context, slug).await?);
    let mut body = Map::new();
    for (key, value) in [("name", &change.name), ("tier", &change.tier)] {
        if let Some(value) = value {
            body.insert(key.to_owned(), json!(value));
        }
    }
    for (key, value) in [("contact_email", &change.contact_email), ("display_name", &change.display_name)] {
        if let Some(value) = value {
            body.insert(key.to_owned(), if value.is_empty() { Value::Null } else { json!(value) });
        }
    }
    // An empty change tells how it stands.
    let mut org = context.client.put(&address, &Value::Object(body)).await?;
    if let Some(file) = &change.logo {
        let bytes = picture(file)?;
        org = context.client.put_bytes(&format!("{address}/logo"), bytes).await?;
    }
    if change.no_logo {
        context.client.delete(&format!("{address}/logo")).await?;
        org["logo"] = Value::Null;
    }
    context.out.done(&org, &format!("Changed {slug}."))
}

async fn address(slug: &str, context: &Context) -> Result<String> {
    Ok(format!("/api/organizations/{}", lookup::organization_id(context, slug).await?))
}

async fn delete(slug: &str, yes: bool, context: &Context) -> Result<()> {
    let address = address(slug, context).await?;
    input::confirm(&format!("Delete {slug} with its projects, files, teams and roles?"), yes)?;
    let org = context.client.delete_with(&address, &json!({"confirm": slug})).await?;
    let due = cell(&org, "deletion_due");
    let sentence = format!("{slug} will be deleted after {due}. Until then: resoftai org restore {slug}");
    context.out.done(&org, &sentence)
}

fn picture(file: &Path) -> Result<Vec<u8>> {
    let unreadable = |why: String| Failure::usage(format!("The logo {} cannot be read: {why}.", file.display()));
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|cause| unreadable(cause.to_string()))?;
    opened.take(LOGO_LIMIT + 1).read_to_end(&mut bytes).map_err(|cause| unreadable(cause.to_string()))?;
    if bytes.len() as u64 > LOGO_LIMIT {
        return Err(unreadable(format!("it has more than {LOGO_LIMIT} bytes")));
    }
    Ok(bytes)
}

async fn settings(slug: &str, set: &[(String, Value)], unset: &[String], context: &Context) -> Result<()> {
    let address = format!("/api/organizations/{}/settings", lookup::organization_id(context, slug).await?);
    let mut shown = context.client.get(&address).await?;
    if !set.is_empty() || !unset.is_empty() {
        let settings = shown["settings"].as_object_mut().ok_or_else(|| {
            Failure::new(Exit::Failed, "no_settings", "The server's answer has no settings. Is it of the same version?")
        })?;
        for key in unset {
            settings.remove(key);
        }
        settings.extend(input::object(set)?);
        shown = context.client.put(&address, &json!({"settings": settings})).await?;
    }
    if context.out.is_json() {
        return context.out.value(&shown);
    }
    let known = shown["schema"]["properties"].as_object().cloned().unwrap_or_default();
    let rows: Vec<Value> = known
        .iter()
        .map(|(key, rule)| json!({"key": key, "value": shown["settings"][key], "means": rule["description"]}))
        .collect();
    context.out.table(&rows, &[("setting", "key"), ("value", "value"), ("meaning", "means")])
}

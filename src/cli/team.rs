//! `resoftai team`: teams of an organisation, and who is in them.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::failure::Result;
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, deleted, input, lookup, suggest};

const COLUMNS: [Column; 5] =
    [("id", "id"), ("slug", "slug"), ("name", "name"), ("default", "is_default"), ("description", "description")];
const ROLES: [&str; 4] = ["owner", "admin", "member", "viewer"];

/// A team of an organisation.
#[derive(Debug, Args)]
pub struct TeamOf {
    /// The organisation's slug.
    org: String,
    /// The team's slug.
    team: String,
}

#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// List the teams of an organisation.
    List {
        /// The organisation's slug.
        org: String,
        /// Only those with this in their name or slug.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one and who is in it.
    Show {
        #[command(flatten)]
        team: TeamOf,
    },
    /// Create one. You own it, unless you name somebody else.
    Create {
        #[command(flatten)]
        team: TeamOf,
        /// Its name, as people read it.
        #[arg(long)]
        name: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// Who owns it.
        #[arg(long, value_name = "USERNAME")]
        owner: Option<String>,
    },
    /// Change one.
    Update {
        #[command(flatten)]
        team: TeamOf,
        /// Its new name.
        #[arg(long)]
        name: Option<String>,
        /// Its new slug.
        #[arg(long, value_name = "SLUG")]
        slug: Option<String>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A setting, such as `run_token_budget=200000` or `default_model=NAME`; those left out are not set any more.
        #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
        setting: Vec<(String, Value)>,
    },
    /// Delete one that has no projects.
    Delete {
        #[command(flatten)]
        team: TeamOf,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Take somebody in, or give them another role in the team.
    Add {
        #[command(flatten)]
        team: TeamOf,
        /// The name they sign in with.
        username: String,
        /// What they are in the team.
        #[arg(long, default_value = "member", value_parser = ROLES)]
        role: String,
    },
    /// Take somebody out; or leave yourself.
    Remove {
        #[command(flatten)]
        team: TeamOf,
        /// The name they sign in with.
        username: String,
    },
}

pub async fn run(command: &TeamCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        TeamCommand::List { org, search, list } => {
            let path = format!("/api/organizations/{}/teams", lookup::organization_id(context, org).await?);
            let page = client.list(&path, &[("q", search.clone())], list.most()).await?;
            out.list(
                &page,
                &COLUMNS,
                &format!("{org} has no teams. Make one: resoftai team create {org} SLUG --name NAME"),
            )
        }
        TeamCommand::Show { team } => show(team, context).await,
        TeamCommand::Create { team, name, description, owner } => {
            let path = format!("/api/organizations/{}/teams", lookup::organization_id(context, &team.org).await?);
            let body = json!({"slug": team.team, "name": name, "description": description, "owner": owner});
            let made = client.post(&path, &body).await?;
            out.done(&made, &format!("Created team {} ({}), id {}.", cell(&made, "name"), team.team, made["id"]))
        }
        TeamCommand::Update { team, name, slug, description, setting } => {
            let path = team.path(context).await?;
            let texts = [("name", name), ("slug", slug), ("description", description)];
            let mut body: Map<String, Value> =
                texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?)))).collect();
            if !setting.is_empty() {
                body.insert("settings".to_owned(), Value::Object(input::object(setting)?));
            }
            let changed = client.put(&path, &Value::Object(body)).await?;
            out.done(&changed, &format!("Changed team {} ({}).", cell(&changed, "name"), cell(&changed, "slug")))
        }
        TeamCommand::Delete { team, yes } => {
            let path = team.path(context).await?;
            input::confirm(&format!("Delete team {} of {}?", team.team, team.org), *yes)?;
            client.delete(&path).await?;
            out.done(&deleted(&team.team), &format!("Deleted team {}.", team.team))
        }
        TeamCommand::Add { team, username, role } => {
            let path = format!("{}/members", team.path(context).await?);
            let member = client.post(&path, &json!({"username": username, "role": role})).await?;
            let sentence = format!("{} is {} of {}.", cell(&member, "username"), cell(&member, "role"), team.team);
            out.done(&member, &sentence)
        }
        TeamCommand::Remove { team, username } => {
            let path = format!("{}/members", team.path(context).await?);
            let members = client.all(&path).await?;
            let Some(member) = members.iter().find(|member| member["username"] == username.as_str()) else {
                return Err(suggest::not_found("member", username, &members, "username"));
            };
            client.delete(&format!("{path}/{}", member["user_id"])).await?;
            out.done(&deleted(&member["user_id"]), &format!("{username} is no longer in {}.", team.team))
        }
    }
}

impl TeamOf {
    async fn path(&self, context: &Context) -> Result<String> {
        let org = lookup::organization_id(context, &self.org).await?;
        Ok(format!("/api/teams/{}", lookup::id(&lookup::team(context, org, &self.team).await?)?))
    }
}

async fn show(team: &TeamOf, context: &Context) -> Result<()> {
    let path = team.path(context).await?;
    let mut shown = context.client.get(&path).await?;
    let members = context.client.all(&format!("{path}/members")).await?;
    if context.out.is_json() {
        shown["members"] = Value::Array(members);
        return context.out.value(&shown);
    }
    context.out.item(&shown, &[&COLUMNS[..], &[("settings", "settings"), ("created", "created_at")]].concat())?;
    if members.is_empty() {
        return context.out.note("Nobody is in it yet.");
    }
    context.out.line("")?;
    let columns =
        [("user", "user_id"), ("username", "username"), ("e-mail", "email"), ("role", "role"), ("roles", "roles")];
    context.out.table(&members, &columns)
}

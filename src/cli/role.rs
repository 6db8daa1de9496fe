//! `resoftai role`: roles, who holds them, and why somebody may do something.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, deleted, input, lookup};

const COLUMNS: [Column; 5] = [
    ("code", "code"),
    ("name", "name"),
    ("built-in", "built_in"),
    ("holders", "holders"),
    ("permissions", "permissions"),
];
const HELD: [Column; 7] = [
    ("id", "id"),
    ("username", "username"),
    ("role", "role"),
    ("organisation", "organization_id"),
    ("team", "team_id"),
    ("since", "granted_at"),
    ("by", "granted_by.name"),
];

/// Where a role is held.
#[derive(Debug, Args)]
pub struct Where {
    /// In this organisation [default: your only one].
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// In this team of the organisation only.
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
    /// Over the whole site.
    #[arg(long, conflicts_with_all = ["org", "team"])]
    site: bool,
}

#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// List the roles that can be given in an organisation.
    List {
        /// The organisation [default: your only one; with several, the built-in roles].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// List everything that can be allowed.
    Permissions,
    /// Show a role.
    Show {
        /// Its code.
        code: String,
        /// The organisation [default: your only one].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// Make a role of the organisation's own.
    Create {
        /// Its code, such as `qa_engineer`.
        code: String,
        /// The organisation [default: your only one].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Its name, as people read it.
        #[arg(long)]
        name: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// What it allows; several with commas.
        #[arg(long = "permission", value_name = "CODE", required = true, value_delimiter = ',')]
        permissions: Vec<String>,
    },
    /// Change a role; what is not said stays.
    Update {
        /// Its code.
        code: String,
        /// The organisation [default: your only one].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Its new name.
        #[arg(long)]
        name: Option<String>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// What it allows from now on; several with commas.
        #[arg(long = "permission", value_name = "CODE", value_delimiter = ',')]
        permissions: Vec<String>,
    },
    /// Delete a role that nobody holds.
    Delete {
        /// Its code.
        code: String,
        /// The organisation [default: your only one].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Show who holds which role.
    Holders {
        #[command(flatten)]
        place: Where,
        /// Of this role.
        #[arg(long, value_name = "CODE")]
        role: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Give somebody a role beside those they have.
    Assign {
        /// The name they sign in with.
        username: String,
        /// The role's code.
        role: String,
        #[command(flatten)]
        place: Where,
    },
    /// Take a role from somebody.
    Revoke {
        /// The name they sign in with.
        username: String,
        /// The role's code.
        role: String,
        #[command(flatten)]
        place: Where,
    },
    /// Show who can do something, and by which role since when.
    Explain {
        /// The permission, such as `project.delete`.
        permission: String,
        /// The organisation [default: your only one].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// In this team of it.
        #[arg(long, value_name = "SLUG")]
        team: Option<String>,
        /// This person only.
        #[arg(long, value_name = "USERNAME")]
        user: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
}

pub async fn run(command: &RoleCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        RoleCommand::List { org } => {
            let path = match lookup::organization_or_only(context, org.as_deref()).await? {
                Some(org) => format!("/api/organizations/{org}/roles"),
                None => "/api/roles".to_owned(),
            };
            out.list(&client.list(&path, &[], 1000).await?, &COLUMNS, "There are no roles.")
        }
        RoleCommand::Permissions => {
            let columns = [("code", "code"), ("lifted", "lifted"), ("means", "description")];
            out.list(&client.list("/api/permissions", &[], 1000).await?, &columns, "There are no permissions.")
        }
        RoleCommand::Show { code, org } => {
            let role = client.get(&role_path(context, org.as_deref(), code).await?).await?;
            out.item(&role, &[&COLUMNS[..], &[("description", "description"), ("updated", "updated_at")]].concat())
        }
        RoleCommand::Create { code, org, name, description, permissions } => {
            let path = format!("/api/organizations/{}/roles", organization(context, org.as_deref()).await?);
            let body = json!({"code": code, "name": name, "description": description, "permissions": permissions});
            let made = client.post(&path, &body).await?;
            out.done(&made, &format!("Made role {code}. Give it: resoftai role assign USERNAME {code}"))
        }
        RoleCommand::Update { code, org, name, description, permissions } => {
            let mut body = Map::new();
            for (key, text) in [("name", name), ("description", description)] {
                if let Some(text) = text {
                    body.insert(key.to_owned(), json!(text));
                }
            }
            if !permissions.is_empty() {
                body.insert("permissions".to_owned(), json!(permissions));
            }
            let path = role_path(context, org.as_deref(), code).await?;
            let changed = client.put(&path, &Value::Object(body)).await?;
            out.done(&changed, &format!("Role {code} now allows {}.", cell(&changed, "permissions")))
        }
        RoleCommand::Delete { code, org, yes } => {
            let path = role_path(context, org.as_deref(), code).await?;
            input::confirm(&format!("Delete role {code}?"), *yes)?;
            client.delete(&path).await?;
            out.done(&deleted(code), &format!("Deleted role {code}."))
        }
        RoleCommand::Holders { place, role, list } => {
            let (path, team) = place.find(context).await?;
            let query = [("team_id", team.map(|team| team.to_string())), ("role", role.clone())];
            out.list(&client.list(&path, &query, list.most()).await?, &HELD, "Nobody holds a role there.")
        }
        RoleCommand::Assign { username, role, place } => {
            let (path, team) = place.find(context).await?;
            let role = if role == "admin" { "super_admin" } else { role };
            let given = client.post(&path, &json!({"username": username, "role": role, "team_id": team})).await?;
            out.done(&given, &format!("{} holds the role {role}.", cell(&given, "username")))
        }
        RoleCommand::Revoke { username, role, place } => revoke(username, role, place, context).await,
        RoleCommand::Explain { permission, org, team, user, list } => {
            let org = organization(context, org.as_deref()).await?;
            let team = match team {
                Some(slug) => Some(lookup::team(context, org, slug).await?["id"].to_string()),
                None => None,
            };
            let user = match user {
                Some(name) => Some(lookup::user(context, name).await?["id"].to_string()),
                None => None,
            };
            let path = format!("/api/organizations/{org}/permissions/explain");
            let query = [("permission", Some(permission.clone())), ("team_id", team), ("user_id", user)];
            let page = client.list(&path, &query, list.most()).await?;
            explain(page, permission, context)
        }
    }
}

fn explain(mut page: crate::cli::client::Page, permission: &str, context: &Context) -> Result<()> {
    if !context.out.is_json() {
        for able in &mut page.items {
            able["because"] = json!(able["because"].as_array().into_iter().flatten().map(reason).collect::<Vec<_>>());
        }
    }
    let columns = [("user", "user_id"), ("username", "username"), ("because", "because")];
    context.out.list(&page, &columns, &format!("Nobody here holds a role that allows {permission}."))
}

/// A role held, in words.
fn reason(reason: &Value) -> String {
    let place = match reason["team_id"].as_i64() {
        Some(team) => format!("team {team}"),
        None => cell(reason, "scope"),
    };
    let by = if reason["granted_by"].is_object() { cell(reason, "granted_by.name") } else { "the operator".to_owned() };
    format!("{} ({place}, since {} by {by})", cell(reason, "role"), cell(reason, "granted_at"))
}

async fn revoke(username: &str, role: &str, place: &Where, context: &Context) -> Result<()> {
    let (path, team) = place.find(context).await?;
    let held = context.client.all(&path).await?;
    let fits = |one: &&Value| {
        let named = one["username"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(username));
        named && one["role"] == role && one["team_id"].as_i64() == team
    };
    let Some(held) = held.iter().find(fits) else {
        let detail = format!("{username} does not hold the role {role} there. See: resoftai role holders");
        return Err(Failure::new(Exit::NotFound, "not_found", detail));
    };
    context.client.delete(&format!("{path}/{}", held["id"])).await?;
    context.out.done(&deleted(&held["id"]), &format!("{username} no longer holds the role {role}."))
}

async fn organization(context: &Context, slug: Option<&str>) -> Result<i64> {
    lookup::organization_or_only(context, slug).await?.ok_or_else(|| {
        Failure::usage("There are several organisations, or none. Name the one you mean with --org SLUG.")
    })
}

async fn role_path(context: &Context, org: Option<&str>, code: &str) -> Result<String> {
    Ok(format!("/api/organizations/{}/roles/{code}", organization(context, org).await?))
}

impl Where {
    /// The address of the assignments there, and the team's id.
    async fn find(&self, context: &Context) -> Result<(String, Option<i64>)> {
        if self.site {
            return Ok(("/api/role-assignments".to_owned(), None));
        }
        let org = organization(context, self.org.as_deref()).await?;
        let team = match &self.team {
            Some(slug) => Some(lookup::id(&lookup::team(context, org, slug).await?)?),
            None => None,
        };
        Ok((format!("/api/organizations/{org}/role-assignments"), team))
    }
}

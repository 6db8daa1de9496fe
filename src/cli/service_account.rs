//! `resoftai service-account`: accounts of programs, each of one organisation.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, deleted, input, lookup, suggest};

const COLUMNS: [Column; 7] = [
    ("id", "id"),
    ("name", "name"),
    ("for", "description"),
    ("active", "is_active"),
    ("roles", "held"),
    ("tokens", "tokens"),
    ("last used", "last_used_at"),
];

#[derive(Debug, Subcommand)]
pub enum ServiceAccountCommand {
    /// List the service accounts of an organisation.
    List {
        /// The organisation's slug.
        org: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one, and what it may.
    Show {
        /// Which.
        account: ServiceRef,
    },
    /// Make one. Then make its tokens: resoftai token create NAME --service-account ORG/NAME
    Create {
        /// What it will be called.
        account: ServiceRef,
        /// What program it is for.
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// What it may do in the organisation: a role you hold yourself, with all it allows [default: nothing yet].
        #[arg(long, value_name = "CODE")]
        role: Option<String>,
    },
    /// Give one a role beside those it has.
    Assign(Role),
    /// Take a role from one.
    Revoke(Role),
    /// Switch one off. Its tokens are gone, its runs are stopped.
    Deactivate {
        /// Which.
        account: ServiceRef,
    },
    /// Switch one on again. It needs new tokens.
    Reactivate {
        /// Which.
        account: ServiceRef,
    },
    /// Delete one with its roles and tokens.
    Delete {
        /// Which.
        account: ServiceRef,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct Role {
    /// Which.
    account: ServiceRef,
    /// The role's code.
    role: String,
    /// In this team of the organisation only.
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
}

/// A service account as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRef {
    org: String,
    name: String,
}

impl std::str::FromStr for ServiceRef {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        match given.split_once('/') {
            Some((org, name)) if !org.is_empty() && !name.is_empty() => {
                Ok(Self { org: org.to_owned(), name: name.to_owned() })
            }
            _ => Err("it must be ORG/NAME, such as acme/nightly-build".to_owned()),
        }
    }
}

impl ServiceRef {
    async fn org(&self, context: &Context) -> Result<i64> {
        lookup::organization_id(context, &self.org).await
    }

    /// The account, looked up by its name.
    pub async fn find(&self, context: &Context) -> Result<Value> {
        let path = format!("/api/organizations/{}/service-accounts", self.org(context).await?);
        let all = context.client.all(&path).await?;
        let named = |one: &&Value| one["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&self.name));
        match all.iter().find(named) {
            Some(found) => Ok(found.clone()),
            None => Err(suggest::not_found("service account", &self.name, &all, "name")),
        }
    }

    async fn path(&self, context: &Context) -> Result<String> {
        let found = self.find(context).await?;
        Ok(format!("/api/organizations/{}/service-accounts/{}", found["organization_id"], found["id"]))
    }
}

pub async fn run(command: &ServiceAccountCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        ServiceAccountCommand::List { org, list } => {
            let path = format!("/api/organizations/{}/service-accounts", lookup::organization_id(context, org).await?);
            let mut page = client.list(&path, &[], list.most()).await?;
            if !out.is_json() {
                page.items.iter_mut().for_each(|account| account["held"] = json!(roles(account)));
            }
            let none = format!("{org} has no service accounts. Make one: resoftai service-account create {org}/NAME");
            out.list(&page, &COLUMNS, &none)
        }
        ServiceAccountCommand::Show { account } => {
            let mut found = account.find(context).await?;
            if !out.is_json() {
                found["held"] = json!(roles(&found));
            }
            out.item(&found, &[&COLUMNS[..], &[("may", "permissions"), ("created", "created_at")]].concat())
        }
        ServiceAccountCommand::Create { account, description, role } => {
            let path = format!("/api/organizations/{}/service-accounts", account.org(context).await?);
            let body = json!({"name": account.name, "description": description, "role": role});
            let made = client.post(&path, &body).await?;
            let sentence = format!(
                "Made service account {}, id {}. Make a token for it: resoftai token create NAME --service-account {}/{}",
                cell(&made, "name"),
                made["id"],
                account.org,
                account.name
            );
            out.done(&made, &sentence)
        }
        ServiceAccountCommand::Assign(given) => {
            let (path, team) = given.place(context).await?;
            let id = lookup::id(&given.account.find(context).await?)?;
            let held = client.post(&path, &json!({"user_id": id, "role": given.role, "team_id": team})).await?;
            out.done(&held, &format!("{} holds the role {}.", given.account.name, given.role))
        }
        ServiceAccountCommand::Revoke(taken) => revoke(taken, context).await,
        ServiceAccountCommand::Deactivate { account } => {
            let path = format!("/api/users/{}/deactivate", account.find(context).await?["id"]);
            let user = client.act(&path).await?;
            out.done(&user, &format!("{} is switched off: its tokens are gone, its runs are stopped.", account.name))
        }
        ServiceAccountCommand::Reactivate { account } => {
            let path = format!("/api/users/{}/reactivate", account.find(context).await?["id"]);
            let user = client.act(&path).await?;
            out.done(&user, &format!("{} is switched on again; make new tokens for it.", account.name))
        }
        ServiceAccountCommand::Delete { account, yes } => {
            let path = account.path(context).await?;
            input::confirm(&format!("Delete the service account {} with its tokens?", account.name), *yes)?;
            client.delete(&path).await?;
            out.done(&deleted(&account.name), &format!("Deleted service account {}.", account.name))
        }
    }
}

impl Role {
    /// The address of the organisation's assignments, and the team's id.
    async fn place(&self, context: &Context) -> Result<(String, Option<i64>)> {
        let org = self.account.org(context).await?;
        let team = match &self.team {
            Some(slug) => Some(lookup::id(&lookup::team(context, org, slug).await?)?),
            None => None,
        };
        Ok((format!("/api/organizations/{org}/role-assignments"), team))
    }
}

async fn revoke(taken: &Role, context: &Context) -> Result<()> {
    let (path, team) = taken.place(context).await?;
    let (account, name) = (taken.account.find(context).await?, &taken.account.name);
    let filters = [("user_id", Some(account["id"].to_string()))];
    let held = context.client.list(&path, &filters, 1000).await?;
    let fits = |one: &&Value| one["role"] == taken.role.as_str() && one["team_id"].as_i64() == team;
    let Some(held) = held.items.iter().find(fits) else {
        let detail = format!("{name} does not hold the role {} there.", taken.role);
        return Err(Failure::new(Exit::NotFound, "not_found", detail));
    };
    context.client.delete(&format!("{path}/{}", held["id"])).await?;
    context.out.done(&deleted(&held["id"]), &format!("{name} no longer holds the role {}.", taken.role))
}

/// Roles in words; they are all of one organisation.
fn roles(account: &Value) -> Vec<String> {
    let show = |grant: &Value| match grant["team_id"].as_i64() {
        Some(team) => format!("{} of team {team}", cell(grant, "role")),
        None => cell(grant, "role"),
    };
    account["roles"].as_array().map(|grants| grants.iter().map(show).collect()).unwrap_or_default()
}

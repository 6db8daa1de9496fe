//! `resoftai token`: the caller's personal tokens, and those of people the caller manages.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::access::PermissionSet;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::service_account::ServiceRef;
use crate::cli::{Context, ListArgs, deleted, lookup};

const COLUMNS: [Column; 8] = [
    ("id", "id"),
    ("name", "name"),
    ("scopes", "scopes"),
    ("organisation", "organization_id"),
    ("created", "created_at"),
    ("ends", "expires_at"),
    ("last used", "last_used_at"),
    ("from", "last_used_ip"),
];

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List your tokens, or somebody else's.
    List {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show what a token is held to, and when it was used last.
    Show {
        /// Its number in the list.
        id: i64,
        #[command(flatten)]
        whose: Whose,
    },
    /// Make a token. It is shown once.
    Create {
        /// What it is for.
        name: String,
        /// Make it for this service account.
        #[arg(long, value_name = "ORG/NAME")]
        service_account: Option<ServiceRef>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Delete a token. It stops working at once.
    Delete {
        /// Its number in the list.
        id: i64,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Whose tokens are meant.
#[derive(Debug, Args)]
pub struct Whose {
    /// Of this person, whom you manage; yours when absent.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Of this service account.
    #[arg(long, value_name = "ORG/NAME", conflicts_with = "user")]
    service_account: Option<ServiceRef>,
}

impl Whose {
    async fn path(&self, context: &Context) -> Result<String> {
        let owner = match (&self.user, &self.service_account) {
            (None, None) => return Ok("/api/tokens".to_owned()),
            (Some(name), _) => lookup::user(context, name).await?,
            (None, Some(account)) => account.find(context).await?,
        };
        Ok(format!("/api/users/{}/tokens", owner["id"]))
    }
}

/// What a new token is held to.
#[derive(Debug, Args)]
pub struct Limits {
    /// Only this, of what its owner may, such as project.read; again for more [default: everything its owner may].
    #[arg(long = "scope", value_name = "PERMISSION")]
    scopes: Vec<String>,
    /// Only looking at things: what its owner may of that, besides each --scope.
    #[arg(long)]
    read_only: bool,
    /// Only in this organisation.
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Days until it ends [default: it does not].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    expires_in_days: Option<u32>,
}

impl Limits {
    /// What the API is asked for; `held` is what its owner may.
    async fn body(&self, name: &str, held: PermissionSet, context: &Context) -> Result<Value> {
        let mut scopes = self.scopes.clone();
        if self.read_only {
            scopes.extend(held.intersection(PermissionSet::READING).codes().into_iter().map(str::to_owned));
        }
        let org = match &self.org {
            Some(slug) => Some(lookup::organization_id(context, slug).await?),
            None => None,
        };
        let scopes = if scopes.is_empty() { Value::Null } else { json!(scopes) };
        if self.read_only && scopes.is_null() {
            let detail = "Its owner holds nothing that is only for looking; there is nothing the token could do.";
            return Err(Failure::new(Exit::NotAllowed, "scope_not_held", detail));
        }
        Ok(json!({"name": name, "scopes": scopes, "organization_id": org, "expires_in_days": self.expires_in_days}))
    }
}

/// Everything the caller holds, wherever.
fn held(me: &Value) -> PermissionSet {
    let places = ["organizations", "teams"].into_iter().flat_map(|place| me[place].as_array().into_iter().flatten());
    places.fold(codes(&me["site_permissions"]), |all, place| all.union(codes(&place["permissions"])))
}

fn codes(list: &Value) -> PermissionSet {
    PermissionSet::known(list.as_array().into_iter().flatten().filter_map(Value::as_str))
}

pub async fn run(command: &TokenCommand, context: &Context) -> Result<()> {
    match command {
        TokenCommand::List { whose, list } => {
            let page = context.client.list(&whose.path(context).await?, &[], list.most()).await?;
            context.out.list(&page, &COLUMNS, "There are no tokens. Make one: resoftai token create NAME")
        }
        TokenCommand::Show { id, whose } => {
            let tokens = context.client.all(&whose.path(context).await?).await?;
            let unknown = || Failure::new(Exit::NotFound, "not_found", format!("There is no token {id} here."));
            context.out.item(tokens.iter().find(|token| token["id"] == *id).ok_or_else(unknown)?, &COLUMNS)
        }
        TokenCommand::Create { name, service_account: None, limits } => {
            let held = held(&context.client.get("/api/auth/me").await?);
            let made = context.client.post("/api/tokens", &limits.body(name, held, context).await?).await?;
            show_secret(&made, context)
        }
        TokenCommand::Create { name, service_account: Some(account), limits } => {
            let owner = account.find(context).await?;
            let held = codes(&owner["permissions"]);
            let path =
                format!("/api/organizations/{}/service-accounts/{}/tokens", owner["organization_id"], owner["id"]);
            let made = context.client.post(&path, &limits.body(name, held, context).await?).await?;
            show_secret(&made, context)
        }
        TokenCommand::Delete { id, whose } => {
            context.client.delete(&format!("{}/{id}", whose.path(context).await?)).await?;
            context.out.done(&deleted(id), &format!("Deleted token {id}."))
        }
    }
}

/// A new token, once: alone on stdout, so that it can be piped on.
fn show_secret(made: &Value, context: &Context) -> Result<()> {
    if context.out.is_json() {
        return context.out.value(made);
    }
    let until = match made["token"]["expires_at"].as_str() {
        Some(_) => format!("It ends {}. ", cell(made, "token.expires_at")),
        None => String::new(),
    };
    context.out.note(&format!("{until}This is the only time the token is shown:"))?;
    context.out.line(made["secret"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_gathered_from_every_place() {
        let me = json!({"site_permissions": ["plugin.read"], "organizations": [{"permissions": ["audit.read"]}],
            "teams": [{"permissions": ["project.read", "project.fly"]}]});
        assert_eq!(held(&me).codes(), ["project.read", "plugin.read", "audit.read"]);
    }
}

//! `resoftai org | user | project | quota | audit`: what there is, and small changes to it.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::failure::{Failure, Result};
use super::input;
use super::output::Output;

#[derive(Debug, Args)]
pub struct Paging {
    /// How many, 1 to 100.
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, Subcommand)]
pub enum Org {
    List(Paging),
}

impl Org {
    pub async fn run(self, client: Client, output: Output) -> Result<()> {
        let Self::List(paging) = self;
        let page = client.page("/api/organizations", paging.limit).await?;
        output.list(
            &page,
            &[("id", "id"), ("slug", "slug"), ("name", "name"), ("tier", "tier")],
            "No organisation yet.",
        )
    }
}

#[derive(Debug, Subcommand)]
pub enum User {
    List(Paging),
}

impl User {
    pub async fn run(self, client: Client, output: Output) -> Result<()> {
        let Self::List(paging) = self;
        let page = client.page("/api/users", paging.limit).await?;
        output.list(
            &page,
            &[("id", "id"), ("name", "username"), ("email", "email"), ("active", "is_active")],
            "Nobody yet.",
        )
    }
}

#[derive(Debug, Subcommand)]
pub enum Project {
    List(Paging),
    Show {
        id: i64,
    },
    Create {
        #[arg(long)]
        name: String,
        /// What is to be built: text, `@FILE`, or `-` for standard input.
        #[arg(long, default_value = "")]
        requirements: String,
        /// The organisation, by slug.
        #[arg(long, value_name = "SLUG")]
        org: String,
    },
    Delete {
        id: i64,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

const PROJECT: [(&str, &str); 5] =
    [("id", "id"), ("name", "name"), ("status", "status"), ("by", "created_by"), ("updated", "updated_at")];

impl Project {
    pub async fn run(self, client: Client, output: Output) -> Result<()> {
        match self {
            Self::List(paging) => {
                output.list(&client.page("/api/projects", paging.limit).await?, &PROJECT, "No project yet.")
            }
            Self::Show { id } => {
                let project = client.get(&format!("/api/projects/{id}")).await?;
                output.item(&project, &[&PROJECT[..], &[("requirements", "requirements")]].concat())
            }
            Self::Create { name, requirements, org } => {
                let organization = client.org(&org).await?;
                let body =
                    json!({"name": name, "requirements": input::text(&requirements)?, "organization_id": organization});
                let project = client.post("/api/projects", &body).await?;
                output.done(&project, &format!("Created project {name} (id {}).", project["id"]))
            }
            Self::Delete { id, yes } => {
                input::confirm(&format!("Delete project {id} for good?"), yes)?;
                client.delete(&format!("/api/projects/{id}")).await?;
                output.done(&json!({"deleted": id}), &format!("Deleted project {id}."))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Quota {
    /// What an organisation may have and has.
    Show {
        #[arg(long, value_name = "SLUG")]
        org: String,
    },
    /// Set a limit.
    Set {
        #[arg(long, value_name = "SLUG")]
        org: String,
        resource: String,
        /// A number, or `unlimited`.
        limit: String,
    },
}

const QUOTA: [(&str, &str); 3] = [("resource", "resource"), ("limit", "limit_value"), ("used", "used")];

impl Quota {
    pub async fn run(self, client: Client, output: Output) -> Result<()> {
        match self {
            Self::Show { org } => {
                let id = client.org(&org).await?;
                let quotas = client.get(&format!("/api/organizations/{id}/quotas")).await?;
                if output.is_json() {
                    return output.value(&quotas);
                }
                output.table(quotas["items"].as_array().map_or(&[][..], Vec::as_slice), &QUOTA)
            }
            Self::Set { org, resource, limit } => {
                let limit =
                    match limit.as_str() {
                        "unlimited" => Value::Null,
                        number => json!(number.parse::<i64>().map_err(|_| {
                            Failure::usage(format!("`{number}` is neither a number nor `unlimited`."))
                        })?),
                    };
                let id = client.org(&org).await?;
                let path = format!("/api/organizations/{id}/quotas/{resource}");
                output.item(&client.put(&path, &json!({"limit_value": limit})).await?, &QUOTA)
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// The newest entries.
    List {
        #[command(flatten)]
        paging: Paging,
        /// create, read, update, delete, login, logout, permission_change, export or execute.
        #[arg(long)]
        action: Option<String>,
    },
}

impl Audit {
    pub async fn run(self, client: Client, output: Output) -> Result<()> {
        let Self::List { paging, action } = self;
        let path = action.map_or_else(|| "/api/audit".to_owned(), |action| format!("/api/audit?action={action}"));
        let columns = [
            ("at", "at"),
            ("actor", "actor.name"),
            ("action", "action"),
            ("what", "description"),
            ("from", "ip_address"),
        ];
        output.list(&client.page(&path, paging.limit).await?, &columns, "No entry fits.")
    }
}

//! `resoftai user`: accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::failure::Result;
use crate::cli::output::{cell, clean};
use crate::cli::{Context, ListArgs, input, lookup, privacy};

/// The built-in roles; `admin` is super_admin.
pub const ROLES: [&str; 6] = ["admin", "super_admin", "org_admin", "team_admin", "developer", "viewer"];

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the accounts you can see.
    List(ListArgs),
    /// Create an account.
    Create(NewUser),
    /// Save everything that is held about somebody as a zip.
    Export {
        /// The name they sign in with; without, yourself.
        username: Option<String>,
        /// Write it here.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give somebody who lost their password another one. Their sessions end; their personal tokens stay.
    SetPassword {
        /// The name they sign in with.
        username: String,
        /// Ask for the password twice, unseen (also when nothing is said).
        #[arg(long, conflicts_with = "password_stdin")]
        password: bool,
        /// Read the password from the first line of stdin.
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Debug, Args)]
pub struct NewUser {
    /// The name they sign in with.
    #[arg(long, value_name = "NAME")]
    username: String,
    /// Their e-mail address.
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// What they may do; `admin` means everything on the site.
    #[arg(long, value_parser = ROLES)]
    role: Option<String>,
    /// The organisation they hold the role in.
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Ask for the password twice, unseen (also when nothing is said).
    #[arg(long, conflicts_with = "password_stdin")]
    password: bool,
    /// Read the password from the first line of stdin.
    #[arg(long)]
    password_stdin: bool,
}

pub async fn run(command: &UserCommand, context: &Context) -> Result<()> {
    match command {
        UserCommand::Export { username, out } => privacy::export(username.as_deref(), out, context).await,
        UserCommand::Create(args) => create(args, context).await,
        UserCommand::SetPassword { username, password_stdin, .. } => {
            let user = lookup::user(context, username).await?;
            let password = input::password(*password_stdin, "New password", true)?;
            context.client.put(&format!("/api/users/{}/password", user["id"]), &json!({"password": password})).await?;
            context.out.done(&user, &format!("{username} has a new password; their sessions ended."))
        }
        UserCommand::List(list) => {
            let mut page = context.client.list("/api/users", &[], list.most()).await?;
            if !context.out.is_json() {
                for user in &mut page.items {
                    user["roles"] = json!(roles(user));
                }
            }
            let columns = [
                ("id", "id"),
                ("username", "username"),
                ("e-mail", "email"),
                ("active", "is_active"),
                ("roles", "roles"),
            ];
            context.out.list(&page, &columns, "There are no accounts you can see.")
        }
    }
}

fn roles(user: &Value) -> Vec<String> {
    let show = |grant: &Value| match grant["organization_id"].as_i64() {
        Some(org) => format!("{} of organisation {org}", cell(grant, "role")),
        None => clean(grant["role"].as_str().unwrap_or("-")),
    };
    user["roles"].as_array().map(|grants| grants.iter().map(show).collect()).unwrap_or_default()
}

/// Creates an account and says so.
pub async fn create(args: &NewUser, context: &Context) -> Result<()> {
    let password = input::password(args.password_stdin, "Password", true)?;
    let mut body = Map::new();
    body.insert("username".to_owned(), json!(args.username));
    body.insert("email".to_owned(), json!(args.email));
    body.insert("password".to_owned(), json!(password));
    if let Some(role) = &args.role {
        body.insert("role".to_owned(), json!(if role == "admin" { "super_admin" } else { role }));
    }
    if let Some(org) = &args.org {
        body.insert("organization".to_owned(), json!(org));
    }
    let user = context.client.post("/api/users", &Value::Object(body)).await?;
    context.out.done(&user, &format!("Created account {}, id {}.", cell(&user, "username"), user["id"]))
}

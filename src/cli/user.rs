//! `resoftai user`: accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::factor::{self, FactorCommand};
use crate::cli::failure::Result;
use crate::cli::output::{cell, clean};
use crate::cli::{Context, ListArgs, deleted, input, lookup, privacy};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the accounts you can see.
    List {
        /// Only those with this in their user name or e-mail address.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Only those that are switched on or off, that hold no role, or one over the site.
        #[arg(long, value_parser = ["active", "inactive", "no_role", "site_role"])]
        only: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
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
    /// Erase somebody for good: account, sessions, tokens, and their name wherever it stands.
    #[command(visible_alias = "delete")]
    Erase {
        /// The name they sign in with.
        username: String,
        /// Type the name again instead of being asked for it.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
        /// Erase yourself: read your password from the first line of stdin.
        #[arg(long)]
        password_stdin: bool,
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
    /// Show an account, and how it stands.
    Show {
        /// The name they sign in with.
        username: String,
    },
    /// Change the address of an account.
    Update {
        /// The name they sign in with.
        username: String,
        /// Their new e-mail address.
        #[arg(long, value_name = "ADDRESS")]
        email: String,
    },
    /// Switch an account off. Its sessions and tokens are gone, its runs are stopped.
    Deactivate {
        /// The name they sign in with.
        username: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Switch an account on again.
    Reactivate {
        /// The name they sign in with.
        username: String,
    },
    /// Forgive the failed sign-ins of an account, so that its owner need not wait.
    Unlock {
        /// The name they sign in with.
        username: String,
    },
    /// Make a one-time code with which somebody sets a new password themselves. It is shown once.
    ResetPassword {
        /// The name they sign in with.
        username: String,
        /// Hours until the code ends.
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=168))]
        expires_in_hours: u32,
        /// Also mail the code to the address of the account, where the site sends mails.
        #[arg(long)]
        mail: bool,
    },
    /// Set a new password of your own with a code that an administrator gave you.
    UseCode {
        /// Read the code and the new password from the first two lines of stdin.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change your own password. Your sessions end; your personal tokens stay.
    ChangePassword {
        /// Read the present and the new password from the first two lines of stdin.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Your second factor: an authenticator app, and recovery codes.
    #[command(subcommand)]
    Factor(FactorCommand),
    /// Take the second factor of somebody who lost it away. Their sessions end.
    ResetFactor {
        /// The name they sign in with.
        username: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Show where you are signed in, or where somebody else is; or end it.
    Sessions {
        /// The name they sign in with; yours when absent.
        username: Option<String>,
        /// End one of your sessions, by its number in the list.
        #[arg(long, value_name = "ID", conflicts_with_all = ["username", "end_all"])]
        end: Option<i64>,
        /// End all of them.
        #[arg(long)]
        end_all: bool,
        #[command(flatten)]
        list: ListArgs,
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
    /// What they may do: org_admin, team_admin, developer, viewer, or a role of the organisation's own; `admin` means
    /// everything on the site.
    #[arg(long, value_name = "CODE")]
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
        UserCommand::Erase { username, confirm, password_stdin } => {
            privacy::erase(username, confirm.as_deref(), *password_stdin, context).await
        }
        UserCommand::Create(args) => create(args, context).await,
        UserCommand::SetPassword { username, password_stdin, .. } => {
            let user = lookup::user(context, username).await?;
            let password = input::password(*password_stdin, "New password", true)?;
            context.client.put(&format!("/api/users/{}/password", user["id"]), &json!({"password": password})).await?;
            context.out.done(&user, &format!("{username} has a new password; their sessions ended."))
        }
        UserCommand::Show { username } => show(context, username).await,
        UserCommand::Update { username, email } => {
            let path = format!("/api/users/{}", lookup::user(context, username).await?["id"]);
            let user = context.client.put(&path, &json!({"email": email})).await?;
            context.out.done(&user, &format!("{username} has the address {}.", cell(&user, "email")))
        }
        UserCommand::Deactivate { username, yes } => {
            let path = format!("/api/users/{}/deactivate", lookup::user(context, username).await?["id"]);
            input::confirm(&format!("Switch {username} off? Their tokens are deleted and their runs canceled."), *yes)?;
            let user = context.client.act(&path).await?;
            context
                .out
                .done(&user, &format!("{username} is switched off: sessions and tokens are gone, runs are stopped."))
        }
        UserCommand::Reactivate { username } => {
            let path = format!("/api/users/{}/reactivate", lookup::user(context, username).await?["id"]);
            let user = context.client.act(&path).await?;
            context.out.done(&user, &format!("{username} is switched on again and can sign in."))
        }
        UserCommand::Unlock { username } => {
            let user = lookup::user(context, username).await?;
            context.client.act(&format!("/api/users/{}/unlock", user["id"])).await?;
            context.out.done(&user, &format!("{username} can sign in without waiting."))
        }
        UserCommand::ResetPassword { username, expires_in_hours, mail } => {
            let user = lookup::user(context, username).await?;
            let path = format!("/api/users/{}/password-reset", user["id"]);
            let body = json!({"expires_in_hours": expires_in_hours, "mail": mail});
            let made = context.client.post(&path, &body).await?;
            if context.out.is_json() {
                return context.out.value(&made);
            }
            context.out.note(&format!(
                "Until {} {username} sets a new password with it: on the sign-in page, or with `resoftai user use-code`. \
                 This is the only time it is shown:",
                cell(&made, "expires_at")
            ))?;
            context.out.line(made["code"].as_str().unwrap_or_default())?;
            match (*mail, made["mailed"] == true) {
                (true, true) => context.out.note(&format!("It is on its way to {} too.", cell(&user, "email"))),
                (true, false) => {
                    context.out.note("It was not mailed: this site sends no mail, or that address had too many.")
                }
                (false, _) => Ok(()),
            }
        }
        UserCommand::UseCode { password_stdin } => {
            let (code, password) = input::secret_and_password(*password_stdin, "Code", "New password")?;
            context.client.post("/api/auth/reset", &json!({"code": code, "password": password})).await?;
            context.out.done(&json!({"changed": true}), "Your password is changed. Sign in with it.")
        }
        UserCommand::ChangePassword { password_stdin } => {
            let (current, new) = input::secret_and_password(*password_stdin, "Present password", "New password")?;
            context.client.put("/api/auth/password", &json!({"current": current, "new": new})).await?;
            context.out.done(&json!({"changed": true}), "Your password is changed; your sessions ended.")
        }
        UserCommand::Factor(command) => factor::run(command, context).await,
        UserCommand::ResetFactor { username, yes } => factor::reset(username, *yes, context).await,
        UserCommand::Sessions { username, end, end_all, list } => {
            sessions(context, username.as_deref(), *end, *end_all, *list).await
        }
        UserCommand::List { search, only, list } => {
            let filters = [("q", search.clone()), ("only", only.clone())];
            let mut page = context.client.list("/api/users", &filters, list.most()).await?;
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

async fn show(context: &Context, username: &str) -> Result<()> {
    let path = format!("/api/users/{}", lookup::user(context, username).await?["id"]);
    let mut account = context.client.get(&path).await?;
    if !context.out.is_json() {
        account["roles"] = json!(roles(&account));
    }
    let fields = [
        ("id", "id"),
        ("username", "username"),
        ("e-mail", "email"),
        ("active", "is_active"),
        ("roles", "roles"),
        ("sessions", "sessions"),
        ("tokens", "tokens"),
        ("second factor", "second_factor"),
        ("failed sign-ins", "failed_sign_ins"),
        ("locked until", "locked_until"),
        ("created", "created_at"),
    ];
    context.out.item(&account, &fields)
}

async fn sessions(
    context: &Context,
    username: Option<&str>,
    end: Option<i64>,
    end_all: bool,
    list: ListArgs,
) -> Result<()> {
    if let Some(id) = end {
        context.client.delete(&format!("/api/sessions/{id}")).await?;
        return context.out.done(&deleted(id), &format!("Ended session {id}."));
    }
    let (path, whose) = match username {
        Some(name) => (format!("/api/users/{}/sessions", lookup::user(context, name).await?["id"]), name),
        None => ("/api/sessions".to_owned(), "you"),
    };
    if end_all {
        context.client.delete(&path).await?;
        return context.out.done(&json!({"ended": true}), &format!("Ended the sessions of {whose}."));
    }
    let page = context.client.list(&path, &[], list.most()).await?;
    let columns = [
        ("id", "id"),
        ("address", "ip_address"),
        ("program", "user_agent"),
        ("opened", "created_at"),
        ("last seen", "last_seen_at"),
        ("two factors", "strong"),
        ("this one", "current"),
    ];
    context.out.list(&page, &columns, "There are no sessions.")
}

fn roles(user: &Value) -> Vec<String> {
    let show = |grant: &Value| match (grant["organization_id"].as_i64(), grant["team_id"].as_i64()) {
        (_, Some(team)) => format!("{} of team {team}", cell(grant, "role")),
        (Some(org), None) => format!("{} of organisation {org}", cell(grant, "role")),
        (None, None) => clean(grant["role"].as_str().unwrap_or("-")),
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

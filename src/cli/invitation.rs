//! `resoftai invitation`: how people come into organisations and teams.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::failure::{Failure, Result};
use crate::cli::output::cell;
use crate::cli::{Context, ListArgs, deleted, input, lookup};

#[derive(Debug, Subcommand)]
pub enum InvitationCommand {
    /// List the invitations of an organisation.
    List {
        /// The organisation's slug.
        org: String,
        /// Only those of this state.
        #[arg(long, value_parser = ["pending", "accepted", "revoked", "expired"])]
        status: Option<String>,
        /// Only those with this in their e-mail address.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Invite somebody.
    Create {
        /// The organisation's slug.
        org: String,
        /// Their e-mail address.
        email: String,
        /// What they may do there: a role you hold yourself, with all it allows.
        #[arg(long, default_value = "developer")]
        role: String,
        /// Into this team only, by its number.
        #[arg(long, value_name = "TEAM")]
        team: Option<i64>,
        /// Days until it ends.
        #[arg(long, value_name = "N")]
        days: Option<i64>,
        /// Write it into a file to be handed over.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Send an invitation again, with another code.
    Resend {
        /// The organisation's slug.
        org: String,
        /// The invitation's number.
        id: i64,
        /// Days until it ends, from now.
        #[arg(long, value_name = "N")]
        days: Option<i64>,
        /// Write it into a file to be handed over.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Revoke an invitation; its code counts no longer.
    Revoke {
        /// The organisation's slug.
        org: String,
        /// The invitation's number.
        id: i64,
    },
    /// Accept an invitation as somebody new.
    Accept {
        /// The file of the invitation; without it, the code is asked for.
        file: Option<PathBuf>,
        /// The name to sign in with.
        #[arg(long, value_name = "NAME")]
        username: String,
        /// Read the password from the first line of stdin; without a file, the code and the password from the first two.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Accept an invitation with the account you are signed in with; it must have the invitation's address.
    Join {
        /// The file of the invitation; without it, the code is asked for, or read from stdin.
        file: Option<PathBuf>,
    },
}

pub async fn run(command: &InvitationCommand, context: &Context) -> Result<()> {
    match command {
        InvitationCommand::List { org, status, search, list } => {
            let filters = [("status", status.clone()), ("q", search.clone())];
            let page = context.client.list(&of(org, context).await?, &filters, list.most()).await?;
            let columns = [
                ("id", "id"),
                ("e-mail", "email"),
                ("role", "role"),
                ("team", "team_id"),
                ("status", "status"),
                ("until", "expires_at"),
            ];
            context.out.list(&page, &columns, &format!("There are no such invitations into {org}."))
        }
        InvitationCommand::Create { org, email, role, team, days, out } => {
            let body = json!({"email": email, "role": role, "team_id": team, "days": days});
            let sent = context.client.post(&of(org, context).await?, &body).await?;
            tell(&sent, out.as_ref(), context)
        }
        InvitationCommand::Resend { org, id, days, out } => {
            let path = format!("{}/{id}/resend", of(org, context).await?);
            let sent = context.client.post(&path, &json!({"days": days})).await?;
            tell(&sent, out.as_ref(), context)
        }
        InvitationCommand::Revoke { org, id } => {
            context.client.delete(&format!("{}/{id}", of(org, context).await?)).await?;
            context.out.done(&deleted(id), &format!("Invitation {id} is revoked."))
        }
        InvitationCommand::Accept { file, username, password_stdin } => {
            let (code, password) = match file {
                Some(file) => (code(file)?, input::password(*password_stdin, "Password", true)?),
                None => input::secret_and_password(*password_stdin, "Code", "Password")?,
            };
            let body = json!({"code": code, "username": username, "password": password});
            let accepted = context.client.post("/api/invitations/accept", &body).await?;
            let sentence = format!("{username} is {} now. Sign in: resoftai login", cell(&accepted, "role"));
            context.out.done(&accepted, &sentence)
        }
        InvitationCommand::Join { file } => {
            let code = file.as_deref().map_or_else(|| input::secret("Code"), code)?;
            let joined = context.client.post("/api/invitations/join", &json!({"code": code})).await?;
            context.out.done(&joined, &format!("You are {} now.", cell(&joined, "role")))
        }
    }
}

/// The code in the file of an invitation.
fn code(file: &Path) -> Result<String> {
    let file = file.display();
    let invitation: Value = serde_json::from_str(&input::text(&format!("@{file}"))?)
        .map_err(|cause| Failure::usage(format!("{file} is no invitation: {cause}.")))?;
    let code = invitation["code"].as_str().map(str::to_owned);
    code.ok_or_else(|| Failure::usage(format!("{file} is no invitation: it holds no code.")))
}

async fn of(org: &str, context: &Context) -> Result<String> {
    Ok(format!("/api/organizations/{}/invitations", lookup::organization_id(context, org).await?))
}

/// Shows the code once, or writes it into a file.
fn tell(sent: &Value, out: Option<&PathBuf>, context: &Context) -> Result<()> {
    let (email, until) = (cell(sent, "invitation.email"), cell(sent, "invitation.expires_at"));
    if let Some(path) = out {
        let text = format!("{:#}\n", sent["file"]);
        std::fs::write(path, text)
            .map_err(|cause| Failure::usage(format!("{} cannot be written: {cause}.", path.display())))?;
        let sentence = format!("The invitation for {email} is in {}; it counts until {until}.", path.display());
        return context.out.done(&sent["invitation"], &sentence);
    }
    let link = cell(sent, "link");
    let behind = if link.starts_with('/') { " (behind the address of this site)" } else { "" };
    let mailed = if sent["mailed"] == true { " A mail is on its way." } else { "" };
    let code = cell(sent, "code");
    let sentence = format!("{email} is invited until {until}.{mailed}\nLink: {link}{behind}\nCode: {code}");
    context.out.done(sent, &sentence)
}

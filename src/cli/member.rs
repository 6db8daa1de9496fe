//! `resoftai member`: who belongs to an organisation, and as what.

use clap::Subcommand;
use serde_json::json;

use crate::cli::failure::Result;
use crate::cli::output::cell;
use crate::cli::{Context, ListArgs, deleted, lookup, suggest};

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the members of an organisation.
    List {
        /// The organisation's slug.
        org: String,
        /// Only those with this in their user name or e-mail address.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Give somebody a role in an organisation.
    Add {
        /// The organisation's slug.
        org: String,
        /// The name they sign in with.
        username: String,
        /// What they may do there: org_admin, team_admin, developer, viewer, or a role of the organisation's own.
        #[arg(long, value_name = "CODE", default_value = "developer")]
        role: String,
    },
    /// Take somebody out of an organisation.
    Remove {
        /// The organisation's slug.
        org: String,
        /// The name they sign in with.
        username: String,
    },
}

pub async fn run(command: &MemberCommand, context: &Context) -> Result<()> {
    let (MemberCommand::List { org, .. } | MemberCommand::Add { org, .. } | MemberCommand::Remove { org, .. }) =
        command;
    let path = format!("/api/organizations/{}/members", lookup::organization_id(context, org).await?);
    match command {
        MemberCommand::List { search, list, .. } => {
            let page = context.client.list(&path, &[("q", search.clone())], list.most()).await?;
            let columns = [("user", "user_id"), ("username", "username"), ("e-mail", "email"), ("role", "role")];
            context.out.list(
                &page,
                &columns,
                &format!("{org} has no members. Add one: resoftai member add {org} USERNAME"),
            )
        }
        MemberCommand::Add { username, role, .. } => {
            let member = context.client.post(&path, &json!({"username": username, "role": role})).await?;
            let sentence = format!("{} is {} of {org}.", cell(&member, "username"), cell(&member, "role"));
            context.out.done(&member, &sentence)
        }
        MemberCommand::Remove { username, .. } => {
            let members = context.client.all(&path).await?;
            let Some(member) = members.iter().find(|member| member["username"] == username.as_str()) else {
                return Err(suggest::not_found("member", username, &members, "username"));
            };
            context.client.delete(&format!("{path}/{}", member["user_id"])).await?;
            context.out.done(&deleted(&member["user_id"]), &format!("{username} is no longer in {org}."))
        }
    }
}

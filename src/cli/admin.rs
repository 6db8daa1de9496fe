//! `resoftai admin`: what sets a new site up, under the names the handbook has always used.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::failure::Result;
use crate::cli::org::{NewOrg, create as create_org};
use crate::cli::output::cell;
use crate::cli::user::{NewUser, create as create_user};

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Create an account.
    CreateUser(NewUser),
    /// Create an organisation.
    CreateOrg {
        #[command(flatten)]
        org: NewOrg,
        /// The e-mail address of its administrator; who has an account with it becomes one.
        #[arg(long, value_name = "EMAIL")]
        admin_email: Option<String>,
    },
}

pub async fn run(command: &AdminCommand, context: &Context) -> Result<()> {
    match command {
        AdminCommand::CreateUser(args) => create_user(args, context).await,
        AdminCommand::CreateOrg { org, admin_email } => {
            let made = create_org(org, admin_email.as_deref(), context).await?;
            match admin_email {
                Some(email) => appoint(&made, email, context).await,
                None => Ok(()),
            }
        }
    }
}

/// Makes the account with this address an administrator of the organisation just created.
async fn appoint(org: &Value, email: &str, context: &Context) -> Result<()> {
    let slug = cell(org, "slug");
    let users = context.client.all("/api/users").await?;
    let found = users.iter().find(|user| user["email"].as_str().is_some_and(|one| one.eq_ignore_ascii_case(email)));
    let Some(user) = found else {
        return context.out.note(&format!(
            "Nobody has an account with the address {email} yet. Create one with `resoftai user create --role org_admin --org {slug}`."
        ));
    };
    let path = format!("/api/organizations/{}/members", org["id"]);
    let body = json!({"username": user["username"], "role": "org_admin"});
    context.client.post(&path, &body).await.map_err(|failure| {
        failure.and(&format!("The organisation {slug} was created; add its administrator with `resoftai member add`."))
    })?;
    context.out.note(&format!("{} is now org_admin of {slug}.", cell(user, "username")))
}

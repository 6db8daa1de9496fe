//! `resoftai admin`: what sets a new site up, under the names the handbook has always used.

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::mail;
use crate::cli::org::{NewOrg, create as create_org};
use crate::cli::user::{NewUser, create as create_user};

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Create an account.
    CreateUser(NewUser),
    /// Show the link with which a browser makes the first administrator of a new site.
    SetupLink,
    /// Create an organisation.
    CreateOrg {
        #[command(flatten)]
        org: NewOrg,
        /// The address of its administrator: the active account that has it becomes org_admin. Kept as whom to write to.
        #[arg(long, value_name = "EMAIL")]
        admin_email: Option<String>,
    },
    /// Send a mail at once, and tell how each step to the mail server went.
    TestMail {
        /// Whom to send it to.
        #[arg(value_name = "ADDRESS")]
        address: String,
    },
}

pub async fn run(command: &AdminCommand, context: &Context) -> Result<()> {
    match command {
        AdminCommand::CreateUser(args) => create_user(args, context).await,
        AdminCommand::SetupLink => setup_link(context).await,
        AdminCommand::CreateOrg { org, admin_email } => {
            create_org(org, admin_email.as_deref(), admin_email.as_deref(), context).await
        }
        AdminCommand::TestMail { address } => mail::test(address, context).await,
    }
}

async fn setup_link(context: &Context) -> Result<()> {
    let setup = context.client.get("/api/setup").await?;
    match setup["link"].as_str() {
        Some(path) => context.out.done(&setup, &format!("Open this path of the site in a browser: {path}")),
        None => {
            let sentence =
                "This site has accounts already. Sign in with one, or make another: resoftai admin create-user";
            Err(Failure::new(Exit::Conflict, "setup_done", sentence))
        }
    }
}

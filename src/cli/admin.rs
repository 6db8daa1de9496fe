//! `resoftai admin`: what sets a new site up, under the names the handbook has always used.

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::failure::Result;
use crate::cli::mail;
use crate::cli::org::{NewOrg, create as create_org};
use crate::cli::user::{NewUser, create as create_user};

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Create an account.
    CreateUser(NewUser),
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
        AdminCommand::CreateOrg { org, admin_email } => {
            create_org(org, admin_email.as_deref(), admin_email.as_deref(), context).await
        }
        AdminCommand::TestMail { address } => mail::test(address, context).await,
    }
}

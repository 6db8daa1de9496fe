//! `resoftai admin`: the specification's commands that set a site up.

use clap::Subcommand;
use serde_json::json;

use super::client::Client;
use super::failure::Result;
use super::input;
use super::output::Output;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a person. Role `admin` is the super admin of the site.
    CreateUser {
        #[arg(long)]
        username: String,
        #[arg(long)]
        email: String,
        /// admin, org_admin, team_admin, developer or viewer.
        #[arg(long)]
        role: Option<String>,
        /// The organisation the role is held in, by slug; not for admin.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Ask for the password on the terminal (the default).
        #[arg(long, conflicts_with = "password_stdin")]
        password: bool,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Create an organisation.
    CreateOrg {
        #[arg(long)]
        name: String,
        #[arg(long)]
        slug: String,
        /// free, starter, professional or enterprise.
        #[arg(long, default_value = "free")]
        tier: String,
        /// Address of the organisation's administrator.
        #[arg(long)]
        admin_email: Option<String>,
    },
}

impl Command {
    pub async fn run(self, client: Client, output: Output) -> Result<()> {
        match self {
            Self::CreateUser { username, email, role, org, password: _, password_stdin } => {
                let password = input::password(password_stdin, "Password", true)?;
                let body = json!({"username": username, "email": email, "password": password, "role": role, "organization": org});
                let user = client.post("/api/users", &body).await?;
                output.done(&user, &format!("Created user {username} (id {}).", user["id"]))
            }
            Self::CreateOrg { name, slug, tier, admin_email } => {
                let body = json!({"name": name, "slug": slug, "tier": tier, "contact_email": admin_email});
                let org = client.post("/api/organizations", &body).await?;
                output.done(&org, &format!("Created organisation {name} (id {}).", org["id"]))
            }
        }
    }
}

//! The command line: one tree of commands, each a thin client of the HTTP API.
//!
//! Invariant: results go to stdout, remarks and errors to stderr, and the exit code says how it ended (`Exit`). A command
//! holds no rule of the product: what it may do, the server decides. One file a noun.

// A command line prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod client;
pub mod connect;
pub mod failure;
pub mod input;
pub mod output;
pub mod sse;
mod suggest;

mod admin;
mod audit;
mod file;
mod follow;
mod login;
mod lookup;
mod member;
mod model;
mod org;
mod plugin;
mod plugin_folder;
mod project;
mod provider;
mod quota;
mod run;
mod token;
mod user;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::json;

use client::Client;
use connect::Fingerprint;
use failure::{Failure, Result};
use output::Output;

/// Where the server keeps everything unless told otherwise.
pub const DATA_DIR: &str = "/var/lib/resoftai";

const EXIT_CODES: &str = "\
Exit codes:
  0  done                         5  conflict: taken, or changed meanwhile
  1  failed                       6  a quota, rate or size limit is reached
  2  wrong usage                  7  the server cannot be reached
  3  not found                    8  the run failed or was canceled
  4  not allowed, not signed in   130  stopped watching (Ctrl-C)

Without --server and without a saved sign-in, commands use the local socket of the
server on this machine, for which root and the server's own account need no password.";

/// AI agents that build software on your own models.
#[derive(Debug, Parser)]
#[command(name = "resoftai", version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Default, Args)]
pub struct Global {
    /// Print JSON on stdout, and errors as JSON on stderr.
    #[arg(long, global = true)]
    pub json: bool,
    /// The server's folder on this machine [default: /var/lib/resoftai].
    #[arg(long, global = true, value_name = "DIR", env = "RESOFTAI_DATA_DIR", help_heading = "Server")]
    pub data_dir: Option<PathBuf>,
    /// The server's address: https://host:port, http://host:port or unix:/path.
    #[arg(long, global = true, value_name = "URL", env = "RESOFTAI_SERVER", help_heading = "Server")]
    pub server: Option<String>,
    /// Trust exactly the certificate with this SHA-256.
    #[arg(long, global = true, value_name = "SHA256:..", env = "RESOFTAI_FINGERPRINT", help_heading = "Server",
        value_parser = Fingerprint::parse)]
    pub fingerprint: Option<Fingerprint>,
    /// Trust certificates signed by the authorities of this PEM file.
    #[arg(long, global = true, value_name = "FILE", env = "RESOFTAI_CA_FILE", help_heading = "Server")]
    pub ca_file: Option<PathBuf>,
    /// Where the sign-in is kept [default: ~/.config/resoftai/login.json].
    #[arg(long, global = true, value_name = "FILE", env = "RESOFTAI_LOGIN_FILE", help_heading = "Server")]
    pub login_file: Option<PathBuf>,
    /// A personal token; from the environment only, as arguments show in `ps`.
    #[arg(long, global = true, hide = true, env = "RESOFTAI_TOKEN", hide_env_values = true)]
    pub access_token: Option<String>,
    /// Read from the environment by clap, so that nothing else reads it.
    #[arg(long, global = true, hide = true, env = "XDG_CONFIG_HOME")]
    pub config_home: Option<PathBuf>,
    #[arg(long, global = true, hide = true, env = "HOME")]
    pub home: Option<PathBuf>,
}

impl Global {
    /// The server's folder on this machine.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR))
    }

    /// The local socket of the server that keeps its data there.
    pub fn socket(&self) -> PathBuf {
        self.data_dir().join("run/resoftai.sock")
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set a new site up: the first administrator, organisations.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Sign in to a server.
    Login(login::LoginArgs),
    /// Sign out, and forget the sign-in.
    Logout,
    /// Show who you are, where, and with which roles.
    Whoami,
    /// Organisations.
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// Accounts.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Who belongs to an organisation.
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Your personal tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// What an organisation may use, and has used.
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// Projects.
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Files of a project.
    #[command(subcommand)]
    File(file::FileCommand),
    /// Build software: make a project from a requirement and start the agents.
    Run(run::RunArgs),
    /// Runs of the agents.
    #[command(subcommand)]
    Runs(run::RunsCommand),
    /// Models that runs can use.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Servers that offer models.
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// Plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

/// What a client command works with.
pub struct Context {
    pub client: Client,
    pub out: Output,
}

/// How much of a list to show.
#[derive(Debug, Clone, Copy, Args)]
pub struct ListArgs {
    /// How many, at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    limit: u32,
}

impl ListArgs {
    fn most(self) -> usize {
        self.limit as usize
    }
}

/// Parses the arguments, runs the command, and reports.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let json = cli.global.json;
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report(json)),
    }
}

/// Help and version are no errors; what does not parse is, in the form that was asked for.
fn misused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        return ExitCode::from(Failure::usage(text.trim().trim_start_matches("error: ")).report(true));
    }
    // A closed pipe is no reason to fail.
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(cli: &Cli) -> Result<()> {
    let out = Output::new(cli.global.json);
    if let Command::Completions { shell } = &cli.command {
        return completions(*shell);
    }
    let context = Context { client: login::choose(&cli.global)?, out };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(client_command(cli, &context))
}

async fn client_command(cli: &Cli, context: &Context) -> Result<()> {
    match &cli.command {
        Command::Admin(command) => admin::run(command, context).await,
        Command::Login(args) => login::login(args, &cli.global, context).await,
        Command::Logout => login::logout(&cli.global, context).await,
        Command::Whoami => login::whoami(context).await,
        Command::Org(command) => org::run(command, context).await,
        Command::User(command) => user::run(command, context).await,
        Command::Member(command) => member::run(command, context).await,
        Command::Token(command) => token::run(command, context).await,
        Command::Quota(command) => quota::run(command, context).await,
        Command::Project(command) => project::run(command, context).await,
        Command::File(command) => file::run(command, context).await,
        Command::Run(args) => run::start(args, context).await,
        Command::Runs(command) => run::run(command, context).await,
        Command::Model(command) => model::run(command, context).await,
        Command::Provider(command) => provider::run(command, context).await,
        Command::Plugin(command) => plugin::run(command, &cli.global, context).await,
        Command::Audit(command) => audit::run(command, context).await,
        Command::Completions { shell } => completions(*shell),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "resoftai", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// The reply of a deletion, for programs.
fn deleted(id: impl serde::Serialize) -> serde_json::Value {
    json!({"deleted": true, "id": id})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_documentation_parse() {
        for line in [
            "resoftai admin create-user --username admin --email admin@yourcompany.com --role admin --password",
            "resoftai admin create-org --name Co --slug your-company --tier enterprise --admin-email a@b.c",
            "resoftai plugin install security-scanner --config severity_threshold=high",
            "resoftai quota set --org acme llm_tokens unlimited",
            "resoftai quota set --org acme projects 1_000",
            "resoftai run todo --name Todo --org acme --model m --skip-ui-design --max-iterations 2 --token-budget 5000 --follow",
            "resoftai run --project 3 --json",
            "resoftai file put 3:src/main.py main.py",
            "resoftai runs retry 4 testing",
            "resoftai audit list --org acme --action create --resource project --actor admin --limit 3",
            "resoftai completions fish",
            "resoftai login --server https://box --username a --password-stdin",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn a_wrong_command_is_usage_and_names_the_nearest() {
        let error = parse("resoftai plugn list").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("'plugin'"), "{error}");
        assert!(parse("resoftai run").is_err(), "a run needs a requirement or a project");
        assert!(parse("resoftai quota set --org a projects -1").is_err());
        assert!(parse("resoftai run x --max-iterations 11").is_err());
        assert!(parse("resoftai login --token --username a").is_err());
    }

    #[test]
    fn completions_are_written_for_each_shell() {
        for shell in ["bash", "zsh", "fish"] {
            assert!(parse(&format!("resoftai completions {shell}")).is_ok());
        }
    }
}

//! The door for people at a shell: the tree of commands.
//!
//! Invariant: except for `serve` and `config`, a command is a thin HTTP client; rules live in the rooms. Only this folder
//! prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod admin;
mod client;
mod config;
mod failure;
mod input;
mod lists;
mod output;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use client::Client;
use failure::{Exit, Failure, Result};
use output::Output;

use crate::config::{Config, Sources};

/// AI agents build software on a site's own models.
#[derive(Debug, Parser)]
#[command(
    name = "resoftai",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, \
    5 conflict, 6 limit reached, 7 server unreachable. See docs/cli.md."
)]
pub struct Cli {
    /// Print JSON for programs; errors too.
    #[arg(long, global = true)]
    json: bool,
    /// Folder of the database, secrets and the server's local socket.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until it is told to stop.
    Serve(serve::Serve),
    /// Look at the configuration without starting.
    #[command(subcommand)]
    Config(config::Command),
    /// Set a site up: first people and organisations.
    #[command(subcommand)]
    Admin(admin::Command),
    /// Organisations.
    #[command(subcommand)]
    Org(lists::Org),
    /// People.
    #[command(subcommand)]
    User(lists::User),
    /// Projects.
    #[command(subcommand)]
    Project(lists::Project),
    /// What organisations may have and have.
    #[command(subcommand)]
    Quota(lists::Quota),
    /// The audit trail.
    #[command(subcommand)]
    Audit(lists::Audit),
    /// Print a completion script.
    Completions { shell: clap_complete::Shell },
}

/// Runs one command line.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    match dispatch(cli) {
        Ok(()) => ExitCode::from(Exit::Done as u8),
        Err(failure) => ExitCode::from(failure.report(json)),
    }
}

fn dispatch(cli: Cli) -> Result<()> {
    let output = Output::new(cli.json);
    let mut sources = Sources { file: cli.config, env: environment(), flags: Vec::new() };
    if let Some(dir) = &cli.data_dir {
        sources.flags.push(("data_dir", dir.display().to_string()));
    }
    match cli.command {
        Command::Serve(serve) => serve.run(sources, output),
        Command::Config(command) => command.run(&sources, output),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "resoftai", &mut std::io::stdout());
            Ok(())
        }
        Command::Admin(command) => with_client(&sources, |client| Box::pin(command.run(client, output))),
        Command::Org(command) => with_client(&sources, |client| Box::pin(command.run(client, output))),
        Command::User(command) => with_client(&sources, |client| Box::pin(command.run(client, output))),
        Command::Project(command) => with_client(&sources, |client| Box::pin(command.run(client, output))),
        Command::Quota(command) => with_client(&sources, |client| Box::pin(command.run(client, output))),
        Command::Audit(command) => with_client(&sources, |client| Box::pin(command.run(client, output))),
    }
}

/// The environment, read once and handed down. Names that are not UTF-8 name nothing of ours.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

type Work<'a> = std::pin::Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

fn with_client(sources: &Sources, work: impl FnOnce(Client) -> Work<'static>) -> Result<()> {
    let config = Config::load(sources)?;
    let client = Client::local(&config.data_dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::from)?;
    runtime.block_on(work(client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}

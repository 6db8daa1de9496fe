//! The command line: one tree of commands, each a thin client of the HTTP API.
//!
//! Invariant: results go to stdout, remarks and errors to stderr, and the exit code says how it ended (`Exit`). Except for
//! `serve` and `config`, a command holds no rule of the product: what it may do, the server decides. One file a noun.

// A command line prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod client;
mod collection;
pub mod connect;
pub mod failure;
pub mod input;
pub mod output;
mod submission;
mod suggest;

mod admin;
mod audit;
mod audit_log;
mod audit_verify;
mod backup;
mod config;
mod demo;
mod doctor;
mod download;
mod egress;
mod factor;
mod file;
mod follow;
mod invitation;
mod licence;
mod login;
mod lookup;
mod mail;
mod market;
mod member;
mod mirror;
mod mirror_folder;
mod mirror_import;
mod mirror_source;
mod model;
mod notice;
mod org;
mod plugin;
mod plugin_author;
mod plugin_dev;
mod plugin_figures;
mod plugin_folder;
mod plugin_logs;
mod plugin_new;
mod plugin_org;
mod plugin_scan;
mod plugin_sign;
mod plugin_templates;
mod plugin_test;
mod plugin_updates;
mod privacy;
mod project;
mod provider;
mod quality;
mod quota;
#[cfg(test)]
mod reference;
mod restore;
mod role;
mod run;
mod serve;
mod service_account;
mod site;
mod sse;
mod sso;
mod support;
mod team;
mod template;
mod token;
mod upgrade;
mod user;
mod vendor;
mod vendor_release;
mod verify;
mod write;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::json;

use client::Client;
use connect::Fingerprint;
use failure::{Failure, Result};
use output::Output;

use crate::config::{Config, Sources};

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
#[command(name = "resoftai", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Print JSON on stdout, and errors as JSON on stderr.
    #[arg(long, global = true)]
    pub json: bool,
    /// Configuration file of the server on this machine.
    #[arg(id = "config_file", long = "config", value_name = "FILE", help_heading = "Server")]
    pub config: Option<PathBuf>,
    /// Folder of the server on this machine: database, secrets, local socket [default: /var/lib/resoftai].
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
    #[arg(skip)]
    pub person: Person,
}

/// What the environment says about who runs the command. No flag says it: a token in one would show in `ps`.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// `RESOFTAI_TOKEN`.
    pub token: Option<String>,
    /// `XDG_CONFIG_HOME`, else `HOME/.config`.
    pub config_home: Option<PathBuf>,
}

impl Person {
    fn of(environment: &[(String, String)]) -> Self {
        let value = |name: &str| {
            environment.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone())
        };
        let home = || value("HOME").map(|home| PathBuf::from(home).join(".config"));
        Self { token: value("RESOFTAI_TOKEN"), config_home: value("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home) }
    }
}

impl Global {
    /// Where the settings of the server on this machine come from; `file` is what was named behind the command.
    fn sources(&self, file: Option<&PathBuf>) -> Sources {
        let flags = self.data_dir.iter().map(|dir| ("data_dir", dir.display().to_string())).collect();
        Sources { file: file.or(self.config.as_ref()).cloned(), env: environment(), flags }
    }

    /// The local socket of the server on this machine.
    ///
    /// # Errors
    /// When its configuration is wrong.
    fn socket(&self) -> Result<PathBuf> {
        Ok(Config::load(&self.sources(None))?.socket())
    }
}

/// The environment, read once and handed down. Names that are not UTF-8 name nothing of ours.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// `--config` behind a command. It is not global, because `plugin install --config` means the plugin's.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Configuration file.
    #[arg(id = "own_config_file", long = "config", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ServeCommand {
    #[command(flatten)]
    serve: serve::Serve,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub struct DemoCommand {
    #[command(flatten)]
    demo: demo::Demo,
    #[command(flatten)]
    file: ConfigFile,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until it is told to stop.
    Serve(ServeCommand),
    /// Run the server on a site with something to look at: a project, agents at work, a plugin.
    Demo(DemoCommand),
    /// Look at the configuration without starting.
    Config {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        command: config::Command,
    },
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
    /// Invitations into organisations and teams.
    #[command(subcommand)]
    Invitation(invitation::InvitationCommand),
    /// Teams of an organisation, and who is in them.
    #[command(subcommand)]
    Team(team::TeamCommand),
    /// Identity providers with which people sign in.
    #[command(subcommand)]
    Sso(sso::SsoCommand),
    /// Roles, who holds them, and why somebody may do something.
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Accounts of programs.
    #[command(subcommand)]
    ServiceAccount(service_account::ServiceAccountCommand),
    /// Personal tokens, and those of service accounts.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// What an organisation may use, and has used.
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// What the site tells you.
    #[command(subcommand)]
    Notice(notice::NoticeCommand),
    /// The mails that the site sends.
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// Projects.
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Templates: files to start a project from, brought by plugins.
    #[command(subcommand)]
    Template(template::TemplateCommand),
    /// Files of a project, and their versions.
    #[command(subcommand)]
    File(file::FileCommand),
    /// Build something: agents turn a requirement into a project's files.
    Run(run::RunArgs),
    /// What the agents are doing, and did.
    #[command(subcommand)]
    Runs(run::RunsCommand),
    /// The models that runs and the gateway can use.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Servers that offer models.
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// Plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Keep curated lists of plugins, and install them.
    #[command(subcommand)]
    Collection(collection::CollectionCommand),
    /// Decide about plugins that were handed in for the marketplace: `plugin submit` hands one in.
    #[command(subcommand)]
    Submission(submission::SubmissionCommand),
    /// Find plugins among what the mirror holds, and say how they do.
    #[command(subcommand)]
    Market(market::MarketCommand),
    /// What comes in without internet: plugins, models, advisories and releases, signed.
    #[command(subcommand)]
    Mirror(mirror::MirrorCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// What is held about people.
    #[command(subcommand)]
    Privacy(privacy::PrivacyCommand),
    /// Have the server take in a changed certificate or log level without a restart.
    Reload,
    /// Backups of the site.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Put a backup back, on this machine, while no server runs.
    Restore {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        args: restore::RestoreArgs,
    },
    /// Another version of ResoftAI for this site, from a signed bundle, with a way back. On this machine, as root.
    Upgrade {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        args: upgrade::UpgradeArgs,
    },
    /// Look at the site on this machine: what is wrong, and what mends it. Changes nothing.
    Doctor {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        args: doctor::DoctorArgs,
    },
    /// Which hosts the site may reach, and the proof that it reaches no others.
    Egress {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        command: egress::EgressCommand,
    },
    /// Collect what somebody needs to help, without secrets, into one file. Asks before it writes.
    SupportBundle {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        args: support::SupportArgs,
    },
    /// The site's licence: what it opens, for how many people, until when.
    #[command(subcommand)]
    Licence(licence::LicenceCommand),
    /// Whether a bundle or another file of a release is whole, and whose it is.
    Verify(verify::VerifyArgs),
    /// For who makes releases and sells licences.
    #[command(subcommand)]
    Vendor(vendor::VendorCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
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
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    limit: u32,
}

impl ListArgs {
    fn most(self) -> usize {
        self.limit as usize
    }
}

/// Parses the arguments, runs the command, and reports.
pub fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    cli.global.person = Person::of(&environment());
    let json = cli.global.json;
    match dispatch(cli) {
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

fn dispatch(Cli { global, command }: Cli) -> Result<()> {
    let out = Output::new(global.json);
    match command {
        Command::Serve(ServeCommand { serve, file }) => serve.run(global.sources(file.config.as_ref()), out),
        Command::Demo(DemoCommand { demo, file }) => demo.run(global.sources(file.config.as_ref()), out),
        Command::Config { file, command } => command.run(&global.sources(file.config.as_ref()), out),
        Command::Completions { shell } => completions(shell),
        Command::Login(args) => block_on(login::login(&args, &global, out)),
        Command::Logout => block_on(login::logout(&global, out)),
        // What was brought here is verified without any server.
        Command::Audit(audit::AuditCommand::Verify(args)) if args.is_brought() => block_on(args.brought(&global, out)),
        Command::Plugin(plugin::PluginCommand::Author(command)) => plugin_author::run(&command, out),
        Command::Plugin(plugin::PluginCommand::Scan(args)) if args.is_here() => plugin_scan::here(&args, out),
        Command::Mirror(mirror::MirrorCommand::Folder(command)) => block_on(mirror_folder::run(&command, out)),
        Command::Licence(licence::LicenceCommand::Verify(args)) => licence::verify(&args, &global, out),
        Command::Verify(args) => verify::run(&args, &global, out),
        Command::Vendor(command) => vendor::run(&command, out),
        Command::Upgrade { file, args } => upgrade::run(&args, &global, file.config.as_ref(), out),
        Command::Doctor { file, args } => doctor::run(&args, &global, file.config.as_ref(), out),
        Command::Egress { file, command } => block_on(egress::run(&command, &global, file.config.as_ref(), out)),
        Command::SupportBundle { file, args } => support::run(&args, &global, file.config.as_ref(), out),
        Command::Restore { file, args } => block_on(restore::run(&args, &global, file.config.as_ref(), out)),
        command => {
            let context = Context { client: login::choose(&global)?, out };
            block_on(client_command(command, &context))
        }
    }
}

fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The commands that are answered by the server.
async fn client_command(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Admin(command) => admin::run(&command, context).await,
        Command::Whoami => login::whoami(context).await,
        Command::Org(command) => org::run(&command, context).await,
        Command::User(command) => user::run(&command, context).await,
        Command::Member(command) => member::run(&command, context).await,
        Command::Invitation(command) => invitation::run(&command, context).await,
        Command::Team(command) => team::run(&command, context).await,
        Command::Sso(command) => sso::run(&command, context).await,
        Command::Role(command) => role::run(&command, context).await,
        Command::ServiceAccount(command) => service_account::run(&command, context).await,
        Command::Token(command) => token::run(&command, context).await,
        Command::Quota(command) => quota::run(&command, context).await,
        Command::Notice(command) => notice::run(&command, context).await,
        Command::Mail(command) => mail::run(&command, context).await,
        Command::Project(command) => project::run(&command, context).await,
        Command::Template(command) => template::run(&command, context).await,
        Command::File(command) => file::run(&command, context).await,
        Command::Run(args) => run::start(&args, context).await,
        Command::Runs(command) => run::run(&command, context).await,
        Command::Model(command) => model::run(&command, context).await,
        Command::Provider(command) => provider::run(&command, context).await,
        Command::Plugin(command) => plugin::run(&command, context).await,
        Command::Collection(command) => collection::run(&command, context).await,
        Command::Submission(command) => submission::run(&command, context).await,
        Command::Market(command) => market::run(&command, context).await,
        Command::Mirror(command) => mirror::run(&command, context).await,
        Command::Audit(command) => audit::run(&command, context).await,
        Command::Privacy(command) => privacy::run(&command, context).await,
        Command::Licence(command) => licence::run(&command, context).await,
        Command::Reload => serve::reload(context).await,
        Command::Backup(command) => backup::run(&command, context).await,
        // The rest needs no server and was done before one was looked for.
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Config { .. }
        | Command::Completions { .. }
        | Command::Verify(_)
        | Command::Vendor(_)
        | Command::Restore { .. }
        | Command::Upgrade { .. }
        | Command::Doctor { .. }
        | Command::SupportBundle { .. }
        | Command::Egress { .. }
        | Command::Login(_)
        | Command::Logout => Ok(()),
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
#[allow(clippy::unwrap_used)]
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
            "resoftai plugin new code-quality Shouting --output scanner",
            "resoftai plugin test ./scanner -k shouting",
            "resoftai plugin dev ./scanner --watch --config level=high",
            "resoftai plugin pack ./scanner --wheel a-1-py3-none-any.whl -o scanner.rplugin",
            "resoftai quota set --org acme llm_tokens unlimited",
            "resoftai quota set --org acme projects 1_000",
            "resoftai audit list --org acme --action create --resource project --actor admin --limit 3",
            "resoftai completions fish",
            "resoftai run --follow Build_a_URL_shortener",
            "resoftai run --project 3 --skip-ui-design --max-iterations 2 --token-budget 9000",
            "resoftai file put shop:src/main.py -",
            "resoftai project download shop --output shop.tar",
            "resoftai --config a.toml serve --listen 127.0.0.1:0 --http",
            "resoftai serve --config a.toml",
            "resoftai config check --config a.toml",
            "resoftai login --server https://box --username a --password-stdin",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn a_wrong_command_is_usage_and_names_the_nearest() {
        let error = parse("resoftai projct list").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("'project'"), "{error}");
        assert!(parse("resoftai quota set --org a projects -1").is_err());
        assert!(parse("resoftai login --token --username a").is_err());
    }

    #[test]
    fn completions_are_written_for_each_shell() {
        for shell in ["bash", "zsh", "fish"] {
            assert!(parse(&format!("resoftai completions {shell}")).is_ok());
        }
    }
}

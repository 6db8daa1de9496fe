//! `resoftai upgrade`: another version from a signed bundle, on this machine, with a way back.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rustix::fs::Mode;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::base::clock::Clock;
use crate::cli::Global;
use crate::cli::client::{Client, Door};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, Output};
use crate::cli::verify::keys;
use crate::cli::{input, site};
use crate::config::Config;
use crate::upgrade::{self, Journal, Options, Places, Program, Server, Settled, Start, Step, rehearsal};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct UpgradeArgs {
    /// The bundle of a newer version, resoftai-VERSION-linux-x86_64.tar.gz.
    #[arg(required = true)]
    bundle: Option<PathBuf>,
    /// Look whether the site can be upgraded, and change nothing.
    #[arg(long)]
    check: bool,
    /// A public key of minisign's, or its file. May be repeated; others do not count then [default: the keys in the program
    /// and in release.trusted_keys].
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Go on although this check fails: plugins or database. May be repeated.
    #[arg(long = "accept", value_name = "CHECK")]
    accepted: Vec<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(subcommand)]
    command: Option<UpgradeCommand>,
}

#[derive(Debug, Subcommand)]
enum UpgradeCommand {
    /// Show the last upgrade, and whether there is a way back from it.
    Status,
    /// Go back to the version before the last upgrade and to its data; what was written since is moved aside.
    Return {
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// End an upgrade that was cut off: the old version comes back.
    Settle {
        /// The machine is starting: leave the server to systemd.
        #[arg(long)]
        at_boot: bool,
    },
    /// Delete what is kept of the version before; there is no way back then.
    Forget {
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Try this version on a copy of the site's database. The version before asks for it.
    #[command(hide = true)]
    Rehearse {
        /// An empty folder.
        scratch: PathBuf,
    },
}

const CHECKS: [Column; 3] = [("", "verdict"), ("CHECK", "name"), ("FOUND", "text")];
const LAST: [Column; 6] = [
    ("FROM", "from"),
    ("TO", "to"),
    ("OUTCOME", "step"),
    ("BEGAN", "began_at"),
    ("WHY", "why"),
    ("CAN RETURN", "can_return"),
];

pub fn run(args: &UpgradeArgs, global: &Global, file: Option<&PathBuf>, out: Output) -> Result<()> {
    let sources = site::sources(global, file);
    let config = match (&args.command, Config::load(&sources)) {
        // Settings of the new version, which this one may not know, are no reason to leave the site in between.
        (Some(UpgradeCommand::Settle { .. }), Err(_)) if global.data_dir.is_some() => {
            Config { data_dir: global.data_dir.clone().unwrap_or_default(), ..Config::default() }
        }
        (_, loaded) => loaded?,
    };
    let start = Start { config: sources.file, environment: sources.env };
    let site = Site { places: Places::beside(&config.data_dir)?, start, config };
    // Others read programs, units and guides; what is nobody else's has its mode said.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    match &args.command {
        None => {
            let bundle = args.bundle.clone().ok_or_else(|| Failure::usage("Name the bundle."))?;
            site.upgrade(args, bundle, out)
        }
        Some(UpgradeCommand::Status) => site.status(out),
        Some(UpgradeCommand::Return { yes }) => site.go_back(*yes, out),
        Some(UpgradeCommand::Settle { at_boot }) => site.settle(*at_boot, out),
        Some(UpgradeCommand::Forget { yes }) => {
            input::confirm("Delete the program and the data of the version before?", *yes)?;
            upgrade::forget(&site.places)?;
            out.done(&json!({"forgotten": true}), "What was kept of the version before is gone.")
        }
        Some(UpgradeCommand::Rehearse { scratch }) => super::block_on(async {
            let found = rehearsal::rehearse(&site.config.data_dir, scratch).await?;
            out.value(&json!(found))
        }),
    }
}

/// The site on this machine.
struct Site {
    places: Places,
    start: Start,
    config: Config,
}

impl Site {
    fn upgrade(&self, args: &UpgradeArgs, bundle: PathBuf, out: Output) -> Result<()> {
        let program = std::env::current_exe().map(Program::at)?;
        let options = Options {
            bundle,
            keys: keys(&args.keys, || Ok(self.config.release_keys.clone()))?,
            start: self.start.clone(),
            data_dir: self.config.data_dir.clone(),
            program,
            is_on_postgres: self.config.database_url.is_some(),
            accepted: args.accepted.clone(),
            clock: Clock::system(),
        };
        out.note("Looking whether the site can be upgraded; its database is rehearsed on a copy.")?;
        let prepared = upgrade::prepare(options)?;
        let checks = json!(prepared.checks);
        if !out.is_json() {
            out.table(&rows(&checks), &CHECKS)?;
        }
        let (from, to, is_ready) = (prepared.from.clone(), prepared.to.clone(), prepared.is_ready());
        if !is_ready {
            prepared.leave()?;
            if out.is_json() {
                out.value(&json!({"from": from, "to": to, "ready": false, "checks": checks}))?;
            }
            let detail = format!("The site was not upgraded to {to}: what failed is told above. Nothing was changed.");
            return Err(Failure::new(Exit::Failed, "upgrade_checks", detail));
        }
        if args.check {
            prepared.leave()?;
            let shown = json!({"from": from, "to": to, "ready": true, "checks": checks});
            return out.done(&shown, &format!("The site can be upgraded from {from} to {to}. Nothing was changed."));
        }
        input::confirm(&format!("Upgrade from {from} to {to}? The server is away for some seconds."), args.yes)?;
        let journal = uninterrupted(|| Ok(prepared.go(self.server(&|| self.ask()))?))?;
        let shown = json!({"from": from, "to": to, "ready": true, "checks": checks, "outcome": journal.step, "why": journal.why});
        self.told(&journal, &shown, out)
    }

    fn told(&self, journal: &Journal, shown: &Value, out: Output) -> Result<()> {
        let (from, to) = (&journal.from, &journal.to);
        if journal.step == Step::Upgraded {
            let sentence = format!(
                "Upgraded from {from} to {to}, which answers. What was there before is kept in {}: `resoftai upgrade return` \
                 goes back to it, `resoftai upgrade forget` deletes it.{}",
                self.places.data().display(),
                if journal.program.is_service { "" } else { " Start the server." }
            );
            return out.done(shown, &sentence);
        }
        if out.is_json() {
            out.value(shown)?;
        }
        let detail = format!(
            "The upgrade to {to} failed and was undone; {from} is back with its data. Why: {} What the new version left lies in \
             {}; delete it when it is understood.",
            journal.why.as_deref().unwrap_or_default(),
            journal.aside.display()
        );
        Err(Failure::new(Exit::Failed, "upgrade_undone", detail))
    }

    fn status(&self, out: Output) -> Result<()> {
        let Some((last, can_return)) = upgrade::last(&self.places)? else {
            return out.done(&Value::Null, "This site was not upgraded by this command yet.");
        };
        let mut shown = json!(last);
        shown["can_return"] = json!(can_return);
        out.item(&shown, &LAST)
    }

    fn go_back(&self, yes: bool, out: Output) -> Result<()> {
        let Some((last, true)) = upgrade::last(&self.places)? else {
            let sentence = "There is no upgrade to go back from. Restore a backup with the version that made it.";
            return Err(Failure::new(Exit::Conflict, "upgrade_no_return", sentence));
        };
        let question = format!(
            "Go back from {} to {}, with the data of {}? What was written since is moved aside.",
            last.to, last.from, last.began_at
        );
        input::confirm(&question, yes)?;
        let back = uninterrupted(|| Ok(upgrade::go_back(&self.places, self.server(&|| self.ask()))?))?;
        self.is_back(&back, out)
    }

    fn is_back(&self, journal: &Journal, out: Output) -> Result<()> {
        let sentence = format!(
            "Version {} is back with its data. What {} left lies in {}.",
            journal.from,
            journal.to,
            journal.aside.display()
        );
        out.done(&json!(journal), &sentence)
    }

    fn settle(&self, at_boot: bool, out: Output) -> Result<()> {
        let ask = || self.ask();
        let server = (!at_boot).then(|| self.server(&ask));
        match uninterrupted(|| Ok(upgrade::settle(&self.places, server)?))? {
            Settled::Nothing => out.done(&json!({"outcome": "nothing"}), "No upgrade was cut off."),
            Settled::Unchanged => {
                let sentence = "An upgrade was cut off before it changed anything. Nothing of it is left.";
                out.done(&json!({"outcome": "unchanged"}), sentence)
            }
            Settled::Returned(journal) => self.is_back(&journal, out),
        }
    }

    fn server<'a>(&'a self, ask: &'a dyn Fn() -> Option<String>) -> Server<'a> {
        Server { start: &self.start, ask }
    }

    /// Which version answers on the local socket.
    fn ask(&self) -> Option<String> {
        let door = Door::Unix(self.config.socket());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let about = runtime.block_on(async { Client::new(door, None).get("/api/system").await }).ok()?;
        about["version"].as_str().map(str::to_owned)
    }
}

fn rows(checks: &Value) -> Vec<Value> {
    let mut rows = checks.as_array().cloned().unwrap_or_default();
    for row in &mut rows {
        row["verdict"] = json!(row["verdict"].as_str().unwrap_or_default().to_uppercase());
    }
    rows
}

/// Does what must not be left half-way: a terminal that goes away or a Ctrl-C does not end it.
fn uninterrupted<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let _heard = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    work()
}

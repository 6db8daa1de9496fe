//! `resoftai licence`: what the site may use, and until when. `verify` needs no server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::base::clock::Clock;
use crate::base::note::Verifier;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Output, cell, size};
use crate::cli::plugin_sign::{public_key, read_text};
use crate::cli::{Context, Global, download};
use crate::config::Config;
use crate::licence::verify::{Keyring, LICENCE_BYTES, LIST_BYTES};
use crate::licence::{LicenceInfo, State};

#[derive(Debug, Subcommand)]
pub enum LicenceCommand {
    /// Show how the licence, the seats and the features stand.
    Show,
    /// Install a licence; it takes effect at once.
    Install {
        /// The licence's file.
        file: PathBuf,
    },
    /// Check a licence's file without installing it, and without a server.
    Verify(VerifyArgs),
    /// Save what the site used, signed, for the licence's vendor.
    Report {
        /// Where to write it.
        #[arg(long, short, value_name = "FILE", default_value = "resoftai-usage.txt")]
        output: PathBuf,
    },
    /// Lists of licences that a vendor took back.
    #[command(subcommand)]
    Revocations(RevocationsCommand),
}

#[derive(Debug, Subcommand)]
pub enum RevocationsCommand {
    /// Install a list; it takes effect at once.
    Install {
        /// The list's file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The licence's file.
    file: PathBuf,
    /// A vendor's public key, or its file, besides those in the program and in the configuration. May be repeated.
    #[arg(long = "trust", value_name = "KEY")]
    trust: Vec<String>,
    /// The installation it is to be for [default: any that it names].
    #[arg(long, value_name = "ID")]
    installation: Option<String>,
}

pub async fn run(command: &LicenceCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, context.out);
    match command {
        LicenceCommand::Show => show(&client.get("/api/licence").await?, out),
        LicenceCommand::Install { file } => {
            let licence = read_text(file, LICENCE_BYTES as u64)?;
            let status = client.put("/api/licence", &json!({"licence": licence})).await?;
            out.done(&status, &format!("Installed {}. {}", file.display(), cell(&status, "sentence")))
        }
        LicenceCommand::Revocations(RevocationsCommand::Install { file }) => {
            let list = read_text(file, LIST_BYTES as u64)?;
            let status = client.put("/api/licence/revocations", &json!({"revocations": list})).await?;
            out.done(&status, &format!("Installed {}. {}", file.display(), cell(&status, "sentence")))
        }
        LicenceCommand::Report { output } => {
            let mut reply = client.open("/api/licence/report", "text/plain", None).await?;
            let written = download::save(&mut reply, output, 0o666).await?;
            let shown = json!({"file": output, "size": written});
            out.done(&shown, &format!("Wrote {} ({}); it names nobody.", output.display(), size(written)))
        }
        // Needs no server, and was done before one was looked for.
        LicenceCommand::Verify(_) => Ok(()),
    }
}

fn show(status: &Value, out: Output) -> Result<()> {
    if out.is_json() {
        return out.value(status);
    }
    let fields = [
        ("state", "state"),
        ("", "sentence"),
        ("customer", "licence.customer"),
        ("serial", "licence.serial"),
        ("tier", "tier"),
        ("seats used", "seats.used"),
        ("seats licensed", "seats.licensed"),
        ("seats let in", "seats.allowed"),
        ("valid from", "licence.valid_from"),
        ("ends", "licence.expires_at"),
        ("closes", "licence.grace_until"),
        ("signed by", "licence.key"),
        ("installation", "installation_id"),
        ("report key", "report_key"),
    ];
    out.item(status, &fields)?;
    let features = status["features"].as_array().cloned().unwrap_or_default();
    out.line("")?;
    out.table(&features, &[("feature", "code"), ("open", "open"), ("what it is", "name")])?;
    for problem in status["problems"].as_array().into_iter().flatten() {
        out.note(problem.as_str().unwrap_or_default())?;
    }
    if let Some(behind) = status["clock_behind"].as_i64() {
        out.note(&format!(
            "This server's clock is {} hours behind what the site has already seen. Set it.",
            behind / 3600
        ))?;
    }
    Ok(())
}

/// Reads the file with the keys of the program, of the configuration and of the command.
pub fn verify(args: &VerifyArgs, global: &Global, out: Output) -> Result<()> {
    let mut keys: Vec<Verifier> = Config::load(&global.sources(None))?.licence.trusted_keys;
    keys.extend(args.trust.iter().map(|key| public_key(key)).collect::<Result<Vec<_>>>()?);
    let ring = Keyring::new(&keys)?;
    let (claims, key) = ring.licence(&read_text(&args.file, LICENCE_BYTES as u64)?)?;
    let any = || claims.installations.iter().chain(&claims.disaster_recovery).next().cloned().unwrap_or_default();
    let installation = args.installation.clone().unwrap_or_else(any);
    let state = claims.state(Clock::system().now(), &installation, false);
    let info = LicenceInfo::new(&claims, key.id(), key.built_in);
    let mut shown = serde_json::to_value(&info).map_err(|cause| Failure::usage(cause.to_string()))?;
    shown["state"] = json!(state);
    let name = args.file.display();
    if !state.is_open() && state != State::NotYetValid {
        let detail = format!(
            "{name}: the signature of {} holds, and the licence does not count: it is {}. It ended at {}.",
            info.key,
            cell(&shown, "state").replace('_', " "),
            info.grace_until
        );
        return Err(Failure::new(Exit::Failed, "licence_not_open", detail));
    }
    let fields = [
        ("state", "state"),
        ("customer", "customer"),
        ("serial", "serial"),
        ("tier", "tier"),
        ("seats", "seats"),
        ("features", "features"),
        ("valid from", "valid_from"),
        ("ends", "expires_at"),
        ("closes", "grace_until"),
        ("installations", "installations"),
        ("disaster recovery", "disaster_recovery"),
        ("signed by", "key"),
    ];
    out.item(&shown, &fields)
}

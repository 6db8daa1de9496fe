//! `resoftai support-bundle`: a file with what somebody far away needs to find out what is wrong.
//!
//! Invariant: what would be in it is listed, and asked about, before anything is written.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::access::{Actor, ActorKind, Caller};
use crate::base::clock::Clock;
use crate::base::crypto::sha256_hex;
use crate::cli::client::{Client, Door};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Output, size};
use crate::cli::{Global, input, site, write};
use crate::doctor::{self, Site};
use crate::support::{self, Given, Made, Part};

#[derive(Debug, Args)]
pub struct SupportArgs {
    /// Where to write it, ending with .tar.gz [default: resoftai-support-TIME.tar.gz here].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write it without asking.
    #[arg(long)]
    yes: bool,
    /// The most MiB of logs.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    log_mib: u64,
}

pub fn run(args: &SupportArgs, global: &Global, file: Option<&PathBuf>, out: Output) -> Result<()> {
    let sources = site::sources(global, file);
    let site = site::site(&sources, false);
    let now = Clock::system().now();
    let stamp: String = now.to_string().chars().take(19).filter(char::is_ascii_digit).collect();
    let target = args.output.clone().unwrap_or_else(|| format!("resoftai-support-{stamp}.tar.gz").into());
    if target.exists() {
        let sentence = format!("{} is there already. Name another with --output, or remove it.", target.display());
        return Err(Failure::new(Exit::Conflict, "file_exists", sentence));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let checks = match &site {
            Ok(site) => doctor::examine(site).await,
            Err(error) => doctor::examine_without(error).await,
        };
        let given = Given {
            site: site.as_ref().ok(),
            checks: &checks,
            environment: &sources.env,
            log_bytes: args.log_mib << 20,
            now,
        };
        let parts = support::collect(&given).await;
        list(&parts, out)?;
        input::confirm(&format!("Write these {} files into {}?", parts.len(), target.display()), args.yes)?;
        let bytes = support::pack(&format!("resoftai-support-{stamp}"), &parts, now)?;
        write::put_new(&target, &bytes, 0o600)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let made = Made { file: name, sha256: sha256_hex(&bytes), length: bytes.len() as u64 };
        let recorded = match given.site {
            Some(site) => record(site, &made).await,
            None => Err(Failure::new(Exit::Failed, "no_configuration", "The configuration cannot be read.")),
        };
        told(&target, &made, &parts, recorded, out)
    });
    runtime.shutdown_background();
    done
}

/// On stderr, so that `--json` has one document on stdout; programs get the list with the result.
fn list(parts: &[Part], out: Output) -> Result<()> {
    for part in parts {
        out.note(&format!("{:>10}  {}", size(part.bytes.len() as u64), part.name))?;
    }
    Ok(())
}

/// The server records it; where none runs, this does.
async fn record(site: &Site, made: &Made) -> Result<()> {
    let client = Client::new(Door::Unix(site.config.socket()), None);
    match client.post("/api/system/support-bundles", &json!(made)).await {
        Ok(_) => return Ok(()),
        Err(failure) if failure.exit() == Exit::Unreachable => {}
        Err(failure) => return Err(failure),
    }
    let db = doctor::open_to_write(site).await?;
    let name = format!("uid {}", rustix::process::geteuid().as_raw());
    let caller = Caller { actor: Actor { kind: ActorKind::Operator, id: None, name }, ..Caller::system() };
    let (made, now) = (made.clone(), site.clock.now());
    let recorded = db.write(move |tx| support::record(tx, now, &caller, &made)).await;
    db.close().await;
    Ok(recorded?)
}

fn told(target: &Path, made: &Made, parts: &[Part], recorded: Result<()>, out: Output) -> Result<()> {
    let files: Vec<Value> = parts.iter().map(|part| json!({"name": part.name, "bytes": part.bytes.len()})).collect();
    let value = json!({
        "file": target, "bytes": made.length, "sha256": made.sha256, "files": files, "recorded": recorded.is_ok(),
    });
    let mut sentence = format!(
        "Wrote {} ({}, for its owner alone). Look into it before you give it away: tar -xzf {}",
        target.display(),
        size(made.length),
        target.display()
    );
    if let Err(failure) = recorded {
        sentence.push_str(&format!("\nThe audit trail does not know of it: {}", failure.detail()));
    }
    out.done(&value, &sentence)
}

//! `resoftai egress prove`: which hosts the site may dial, and that it can dial no others.
//!
//! Invariant: exit code 0 means that every try was refused.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, Output, clean};
use crate::cli::{Global, site};
use crate::doctor::Level;
use crate::doctor::egress::{self, Proof};

#[derive(Debug, Subcommand)]
pub enum EgressCommand {
    /// List the hosts that settings and data let the site dial, and try to dial others through its own gate.
    Prove,
}

const COLUMNS: [Column; 4] = [("HOST", "host"), ("PORT", "port"), ("DIALLED BY", "by"), ("BECAUSE OF", "because")];

pub async fn run(command: &EgressCommand, global: &Global, file: Option<&PathBuf>, out: Output) -> Result<()> {
    let EgressCommand::Prove = command;
    let proof = egress::prove(&site::site(&site::sources(global, file), false)?).await?;
    if out.is_json() {
        out.value(&json!(proof))?;
    } else {
        show(&proof, out)?;
    }
    if proof.proven {
        return Ok(());
    }
    let open = proof.checks.iter().filter(|check| check.level != Level::Pass).map(|check| check.seen.as_str());
    let detail = format!("It is not proven: {}", open.collect::<Vec<_>>().join(" "));
    Err(Failure::new(Exit::Failed, "egress_open", detail))
}

fn show(proof: &Proof, out: Output) -> Result<()> {
    if proof.hosts.is_empty() {
        out.line("No setting and no data lets the site dial any host.")?;
    } else {
        let hosts: Vec<_> = proof.hosts.iter().map(|host| json!(host)).collect();
        out.table(&hosts, &COLUMNS)?;
    }
    out.line("")?;
    for check in &proof.checks {
        out.line(&format!("{} {:4}  {}", check.level.word(), check.code, clean(&check.seen)))?;
        if let Some(mend) = &check.mend {
            out.line(&format!("           -> {}", clean(mend)))?;
        }
    }
    let sentence = if proof.proven { "Proven: nothing else can be dialled." } else { "Not proven." };
    out.line(sentence)
}

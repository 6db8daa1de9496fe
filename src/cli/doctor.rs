//! `resoftai doctor`: what is wrong with the site on this machine, and what mends it.
//!
//! Invariant: exit code 0 means that no check failed, and with `--strict` that none warned either.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::base::clock::Clock;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Output, clean};
use crate::cli::{Global, site};
use crate::doctor::{self, Check, Level};

/// What goes after the checks in `--help`.
const EXIT_CODES: &str = "\
Exit codes: 0 when no check failed, 1 when one did. Warnings count with --strict only.
Without --config and --data-dir it looks at what the installed service uses.";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct DoctorArgs {
    /// Look at all of the database and of the audit trail, however long that takes.
    #[arg(long)]
    full: bool,
    /// Take warnings for failures in the exit code.
    #[arg(long)]
    strict: bool,
}

pub fn run(args: &DoctorArgs, global: &Global, file: Option<&PathBuf>, out: Output) -> Result<()> {
    let checks = checks(global, file, args.full)?;
    show(&checks, out)?;
    let failed = |level| checks.iter().filter(|check| check.level == level).map(|check| check.code).collect::<Vec<_>>();
    let (failures, warnings) = (failed(Level::Fail), failed(Level::Warn));
    let wrong = if args.strict { [failures, warnings].concat() } else { failures };
    if wrong.is_empty() {
        return Ok(());
    }
    let detail = format!("{} of {} checks did not pass: {}.", wrong.len(), checks.len(), wrong.join(", "));
    Err(Failure::new(Exit::Failed, "doctor_failed", detail))
}

/// Looks at everything. A disk that hangs keeps a thread, which must not keep the command.
pub fn checks(global: &Global, file: Option<&PathBuf>, full: bool) -> Result<Vec<Check>> {
    let sources = site::sources(global, file);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let checks = runtime.block_on(async {
        match site::site(&sources, full) {
            Ok(site) => doctor::examine(&site).await,
            Err(error) => doctor::examine_without(&error).await,
        }
    });
    runtime.shutdown_background();
    Ok(checks)
}

/// The checks as a document for programs.
pub fn value(checks: &[Check]) -> serde_json::Value {
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    json!({
        "version": env!("CARGO_PKG_VERSION"), "at": Clock::system().now(), "passed": count(Level::Pass),
        "warned": count(Level::Warn), "failed": count(Level::Fail), "checks": checks,
    })
}

fn show(checks: &[Check], out: Output) -> Result<()> {
    if out.is_json() {
        return out.value(&value(checks));
    }
    let width = checks.iter().map(|check| check.code.len()).max().unwrap_or_default();
    for check in checks {
        out.line(&format!("{} {:width$}  {}", check.level.word(), check.code, clean(&check.seen)))?;
        if let Some(mend) = &check.mend {
            out.line(&format!("     {:width$}  -> {}", "", clean(mend)))?;
        }
    }
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    let [passed, warned, failed] = [Level::Pass, Level::Warn, Level::Fail].map(count);
    out.line(&format!("{passed} passed, {warned} warned, {failed} failed."))
}

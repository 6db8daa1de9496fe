//! `resoftai plugin test`: a plugin's own tests in the real sandbox, on this machine, without a server.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Output, clean};
use crate::cli::{block_on, plugin_folder};
use crate::plugins::package::MAX_TOTAL;
use crate::plugins::trial::{COMPONENT, Parts, Tested, Trial, Verdict};
use crate::server::{PLUGIN_COMPILER, PYTHON_RUNTIME};

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The plugin's folder, with a plugin.json and tests/test*.py, or .sdk/tests.wasm.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Only tests whose name holds this.
    #[arg(long, short = 'k', value_name = "TEXT")]
    only: Option<String>,
    /// Show what tests print and log, also of those that pass.
    #[arg(long, short)]
    verbose: bool,
}

pub fn run(args: &TestArgs, out: Output) -> Result<()> {
    block_on(all(args, out))
}

async fn all(args: &TestArgs, out: Output) -> Result<()> {
    let built = args.folder.join(COMPONENT);
    let component = built.is_file().then(|| plugin_folder::read(&built, MAX_TOTAL as u64)).transpose()?;
    let parts = Parts { runtime: PYTHON_RUNTIME, compiler: PLUGIN_COMPILER };
    let mut trial = Trial::new(plugin_folder::files(&args.folder)?, component, parts).await?;
    let (names, mut done) = trial.collect().await?;
    for tested in &done {
        show(tested, args.verbose, out)?;
    }
    let meant = |name: &String| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for name in names.iter().filter(|name| meant(name)) {
        let tested = trial.run(name).await;
        show(&tested, args.verbose, out)?;
        done.push(tested);
    }
    report(&done, &args.folder, out)
}

fn show(tested: &Tested, verbose: bool, out: Output) -> Result<()> {
    if out.is_json() {
        return Ok(());
    }
    let word = match tested.outcome {
        Verdict::Passed => "passed ",
        Verdict::Failed => "FAILED ",
        Verdict::Skipped => "skipped",
    };
    out.line(&clean(&format!("{word} {:>6} ms  {}", tested.milliseconds, tested.name)))?;
    if !tested.detail.is_empty() {
        out.line(&indented(&tested.detail))?;
    }
    if (verbose || tested.outcome == Verdict::Failed) && !tested.output.is_empty() {
        out.line(&indented(&format!("It wrote:\n{}", tested.output.join("\n"))))?;
    }
    Ok(())
}

fn indented(text: &str) -> String {
    clean(&text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"))
}

fn report(done: &[Tested], folder: &Path, out: Output) -> Result<()> {
    let count = |verdict| done.iter().filter(|tested| tested.outcome == verdict).count();
    let (passed, failed, skipped) = (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Skipped));
    let sentence = format!("{passed} passed, {failed} failed, {skipped} skipped.");
    out.done(&json!({"passed": passed, "failed": failed, "skipped": skipped, "tests": done}), &sentence)?;
    if failed > 0 {
        let detail = format!("{failed} of {} tests of {} failed.", done.len(), folder.display());
        return Err(Failure::new(Exit::Failed, "tests_failed", detail));
    }
    Ok(())
}

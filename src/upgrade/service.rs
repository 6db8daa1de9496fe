//! Stopping the server and starting it, and whether it answers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::journal::Journal;
use super::{Owner, Places, at};
use crate::base::error::{Error, Result};

const UNITS: [&str; 2] = ["resoftai.socket", "resoftai.service"];
/// How long a version may take until it answers: it may have a large database to bring up to date.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long a server may take to stop, once it is told to.
const STOPS: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// What the server is started with.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its configuration file.
    pub config: Option<PathBuf>,
    /// All its variables.
    pub environment: Vec<(String, String)>,
}

/// The server on this machine, as who upgrades it reaches it.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    pub start: &'a Start,
    /// Asks it for its version; None while none answers.
    pub ask: &'a dyn Fn() -> Option<String>,
}

fn systemctl(arguments: &[&str]) -> Result<()> {
    let said = Command::new("systemctl").args(arguments).output();
    let said = said.map_err(|cause| failed(format!("systemctl cannot be run: {cause}.")))?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr).trim().replace('\n', " ");
    Err(failed(format!("systemctl {} failed: {text}", arguments.join(" "))))
}

fn failed(sentence: String) -> Error {
    Error::unavailable("upgrade_service", sentence)
}

/// Whether systemd holds a unit to be running.
pub(super) fn is_active(unit: &str) -> bool {
    Command::new("systemctl").args(["is-active", "--quiet", unit]).status().is_ok_and(|status| status.success())
}

/// Stops the server, and systemd from starting it when somebody connects.
pub(super) fn stop(journal: &Journal) -> Result<()> {
    if journal.program.is_service {
        for unit in UNITS {
            systemctl(&["stop", unit])?;
        }
    }
    Ok(())
}

/// Starts the version in place and waits until it answers. A server that nobody runs here is stopped again.
pub(super) fn start(journal: &Journal, places: &Places, server: Server<'_>, expected: &str) -> Result<()> {
    if !journal.program.is_service {
        return try_out(journal, places, server, expected);
    }
    let enabled = Command::new("systemctl").args(["is-enabled", "--quiet", UNITS[0]]).status();
    if enabled.is_ok_and(|status| status.success()) {
        systemctl(&["start", UNITS[0]])?;
    }
    // One that failed often is not started again otherwise; of one that did not there is nothing to reset.
    drop(systemctl(&["reset-failed", UNITS[1]]));
    // Returns once it answers, or says that it does not.
    systemctl(&["start", UNITS[1]])?;
    answers(server, expected)?;
    if journal.runs { Ok(()) } else { stop(journal) }
}

fn answers(server: Server<'_>, expected: &str) -> Result<()> {
    match (server.ask)() {
        Some(version) if version == expected => Ok(()),
        Some(version) => Err(failed(format!("What answers is version {version}, not {expected}."))),
        None => Err(failed("It was started and does not answer on its local socket.".to_owned())),
    }
}

/// Starts it for nobody but us, on an address that nobody knows.
fn try_out(journal: &Journal, places: &Places, server: Server<'_>, expected: &str) -> Result<()> {
    let log = places.root.join("trial.log");
    let out = File::create(&log).map_err(|cause| at(&log, &cause))?;
    let mut command = Command::new(&journal.program.path);
    command.arg("--data-dir").arg(&places.data_dir).arg("serve").args(["--listen", "127.0.0.1:0", "--http"]);
    command.env_clear().envs(server.start.environment.iter().cloned());
    if let Some(config) = &server.start.config {
        command.arg("--config").arg(config);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
    let mut child =
        Owner::of(&places.data_dir)?.runs(&mut command).spawn().map_err(|cause| at(&journal.program.path, &cause))?;
    let done = until_it_answers(&mut child, &log, server, expected);
    let ended = end(&mut child);
    done.and(ended)
}

fn until_it_answers(child: &mut Child, log: &Path, server: Server<'_>, expected: &str) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let said: String = said.trim().chars().take(2000).collect();
            return Err(failed(format!("It ended ({status}) instead of answering: {said}")));
        }
        if (server.ask)().is_some() {
            return answers(server, expected);
        }
        std::thread::sleep(LOOK);
    }
    Err(failed(format!("It did not answer within {} minutes.", PATIENCE.as_secs() / 60)))
}

fn end(child: &mut Child) -> Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    // One that has ended cannot be told.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let began = Instant::now();
    while began.elapsed() < STOPS {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

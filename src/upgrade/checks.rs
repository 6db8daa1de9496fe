//! What is looked at before anything changes.
//!
//! Invariant: a check changes nothing but the scratch folder beside the data, and what of the new version runs has no more
//! rights than the server.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use semver::Version;
use serde::Serialize;

use super::rehearsal::Rehearsal;
use super::steps::Options;
use super::{Owner, Places, program, remove, saved};
use crate::base::disk::Disk;
use crate::base::error::Result;
use crate::release::bundle;

/// How long the new version may take over one question; the largest is the rehearsal.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Room that has to be left, in bytes.
const SPARE: u64 = 256 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    /// Somebody who may has accepted what is wrong.
    Accepted,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Stable, such as `database`.
    pub name: &'static str,
    pub verdict: Verdict,
    /// What was found, and what to do.
    pub text: String,
}

/// The checks, as they are made.
pub(super) struct Checks<'a> {
    options: &'a Options,
    places: &'a Places,
    owner: Owner,
    done: Vec<Check>,
}

/// The checks that an operator may accept as failed.
pub(super) const ACCEPTABLE: [&str; 2] = ["plugins", "database"];

impl<'a> Checks<'a> {
    pub fn new(options: &'a Options, places: &'a Places) -> Result<Self> {
        Ok(Self { options, places, owner: Owner::of(&places.data_dir)?, done: Vec::new() })
    }

    fn tell(&mut self, name: &'static str, found: std::result::Result<String, String>) -> bool {
        let is_accepted = ACCEPTABLE.contains(&name) && self.options.accepted.iter().any(|accepted| accepted == name);
        let (verdict, text) = match found {
            Ok(text) => (Verdict::Pass, text),
            Err(text) if is_accepted => (Verdict::Accepted, text),
            Err(text) => (Verdict::Fail, text),
        };
        self.done.push(Check { name, verdict, text });
        verdict != Verdict::Fail
    }

    /// Looks at everything; what could not be looked at because of what failed before is left out.
    pub fn all(mut self, found: &bundle::Bundle) -> Result<Vec<Check>> {
        let signed = format!("all {} files are what key {} signed", found.files, found.signed.key);
        self.tell("bundle", Ok(signed));
        let newer = newer(&found.version);
        self.tell("version", newer);
        let installed = self.installed();
        self.tell("installation", installed);
        let clock = self.clock();
        self.tell("clock", clock);
        let disk = self.disk()?;
        let has_room = self.tell("disk", disk);
        let runs = self.runs(&found.version);
        if self.tell("program", runs) {
            let settings = self.settings();
            if self.tell("settings", settings) && has_room {
                self.rehearse()?;
            }
        }
        Ok(self.done)
    }

    fn installed(&self) -> std::result::Result<String, String> {
        let program = &self.options.program;
        let path = program.path.display();
        if let Some(package) = program.package() {
            return Err(format!(
                "{path} belongs to a package ({package}), which alone may replace it: install the package of the new version \
                 (dpkg -i, rpm -U)"
            ));
        }
        if program.is_service && !rustix::process::geteuid().is_root() {
            return Err(format!("{path} can be replaced by root alone: use sudo"));
        }
        if !program.is_service && crate::kv::Kv::is_in_use(&self.places.data_dir.join("kv.redb")) {
            return Err(format!(
                "a server works in {} that systemd does not run: stop it, upgrade, and start it again",
                self.places.data_dir.display()
            ));
        }
        let what =
            if program.is_service { "with its units and guides" } else { "a single file; it is started on trial" };
        Ok(format!("{path}, {what}"))
    }

    fn clock(&self) -> std::result::Result<String, String> {
        let built = std::fs::read_to_string(self.places.bundle().join(bundle::BUILT)).unwrap_or_default();
        let built: i64 = built.trim().parse().unwrap_or(0);
        let now = self.options.clock.now();
        if now.unix_seconds() < built {
            return Err(format!("the clock says {now}, which is before the new version was made: set it"));
        }
        Ok(format!("it is {now}"))
    }

    /// One copy of the database is made for the rehearsal, and one of the data when it is gone.
    fn disk(&self) -> Result<std::result::Result<String, String>> {
        let needed = saved::bytes(&self.places.data_dir)?.saturating_add(SPARE);
        let (free, mib) = (Disk::of(&self.places.data_dir)?.free, |bytes: u64| bytes >> 20);
        let place = self.places.data_dir.display();
        Ok(if free < needed {
            Err(format!("{} MiB are free on the disk of {place} and {} are needed: make room", mib(free), mib(needed)))
        } else {
            Ok(format!("{} MiB are free and {} are needed", mib(free), mib(needed)))
        })
    }

    fn runs(&self, version: &str) -> std::result::Result<String, String> {
        let said = self.ask(&["--version"])?;
        let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        if said == format!("{} {version}", program::NAME) {
            Ok(format!("the new program runs on this machine and is {version}"))
        } else {
            Err(format!("the new program calls itself {said:?} and the bundle {version}: get another copy of it"))
        }
    }

    fn settings(&self) -> std::result::Result<String, String> {
        let file = self.options.start.config.as_ref().map(|file| file.display().to_string());
        let mut arguments = vec!["config", "check"];
        arguments.extend(file.iter().flat_map(|file| ["--config", file.as_str()]));
        self.ask(&arguments)?;
        Ok(format!("the new version takes {}", file.as_deref().unwrap_or("what the environment says")))
    }

    fn rehearse(&mut self) -> Result<()> {
        if self.options.is_on_postgres {
            let text = "the database is on PostgreSQL, of which no copy is made: once the new version has changed its schema, \
                        the way back is a copy of yours. Make one (pg_dump), then say --accept database";
            self.tell("database", Err(text.to_owned()));
            return Ok(());
        }
        let scratch = self.places.rehearsal();
        remove(&scratch)?;
        std::fs::create_dir(&scratch).map_err(|cause| super::at(&scratch, &cause))?;
        self.owner.give(&scratch)?;
        let place = scratch.display().to_string();
        let said = self.ask(&["upgrade", "rehearse", &place]);
        remove(&scratch)?;
        let found = said.and_then(|said| {
            serde_json::from_slice::<Rehearsal>(&said.stdout)
                .map_err(|cause| format!("the rehearsal of the new version said what cannot be read ({cause})"))
        });
        match found {
            Err(why) => {
                self.tell("database", Err(why));
            }
            Ok(Rehearsal { steps, problems, plugins }) => {
                let database = if problems.is_empty() {
                    Ok(format!("a copy of it took {} steps of the schema and is whole", steps.len()))
                } else {
                    Err(problems.join("; "))
                };
                self.tell("database", database);
                let plugins = if plugins.is_empty() {
                    Ok("the new version takes all of them".to_owned())
                } else {
                    Err(format!("{} They will be off; to go on all the same, say --accept plugins", plugins.join(" ")))
                };
                self.tell("plugins", plugins);
            }
        }
        Ok(())
    }

    /// Runs the new program with the server's rights; what it says when it fails.
    fn ask(&self, arguments: &[&str]) -> std::result::Result<Output, String> {
        let path = self.places.bundle().join(program::NAME);
        let mut command = Command::new(&path);
        command.env_clear().envs(self.options.start.environment.iter().cloned());
        command.arg("--json").arg("--data-dir").arg(&self.places.data_dir).args(arguments);
        let said = output(self.owner.runs(&mut command), &path)?;
        if said.status.success() {
            return Ok(said);
        }
        let text = String::from_utf8_lossy(&said.stderr);
        let text = text.lines().last().unwrap_or_default();
        let problem: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(text).chars().take(2000).collect::<String>();
        Err(format!("the new program said ({}): {detail}", said.status))
    }
}

/// What a command says, if it ends in time.
fn output(command: &mut Command, path: &Path) -> std::result::Result<Output, String> {
    let place = path.display();
    let cannot = |cause: std::io::Error| {
        format!("{place} cannot be run: {cause}. Is it for this machine, and may programs be run from that disk?")
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(cannot)?;
    let process = rustix::process::Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    told.recv_timeout(PATIENCE).map_or_else(
        |_| {
            // One that ended meanwhile cannot be killed.
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            Err(format!("{place} did not answer within {} minutes", PATIENCE.as_secs() / 60))
        },
        |said| said.map_err(cannot),
    )
}

/// Any newer version may be installed over any older one.
fn newer(to: &str) -> std::result::Result<String, String> {
    let from = env!("CARGO_PKG_VERSION");
    let (Ok(here), Ok(there)) = (Version::parse(from), Version::parse(to)) else {
        return Err(format!("{from} and {to} cannot be compared"));
    };
    match there.cmp_precedence(&here) {
        std::cmp::Ordering::Greater => Ok(format!("from {from} to {to}")),
        std::cmp::Ordering::Equal => Err(format!("{to} is installed already; install.sh puts its files back")),
        std::cmp::Ordering::Less => Err(format!(
            "{to} is older than {from}, which is installed. There is no way back but to the data of that time: \
             `resoftai upgrade return` right after an upgrade, else restore a backup with the old version"
        )),
    }
}

//! Processes on a processor of their own, and what they cost.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Where what is measured runs, and where what measures does.
pub const MEASURED: &str = "0";
pub const MEASURING: &str = "1";
/// For what is told to use all there are.
pub const BOTH: &str = "0,1";

/// A command that runs on these processors only.
pub fn pinned(processors: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", processors]).arg(program).env_clear().stderr(Stdio::null());
    command
}

/// Processor time used so far by a process (or by `self`), in microseconds; the kernel counts in steps of 10,000.
pub fn cpu_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 * 10_000.0
}

/// Resident memory of a process (or of `self`) in MiB, what it shares with others included.
pub fn resident_of(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// A server that told where it answers.
pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    /// Starts `command` and waits for its line of JSON with `address`.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the server says where it answers");
        let address = ready["address"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Self { child, address }
    }

    /// What [`cpu_of`] says of it.
    pub fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }

    /// What [`resident_of`] says of it.
    pub fn resident(&self) -> f64 {
        resident_of(&self.child.id().to_string())
    }

    /// Lets it finish what it does.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

//! The demo site: something to look at, and somebody to sign in as, printed once.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::app::BINARY;
use crate::models;

struct Demo {
    process: Child,
    address: String,
    credentials: Value,
}

impl Demo {
    fn start(dir: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(BINARY);
        command.args(["--json", "--data-dir"]).arg(dir).args(["demo", "--http", "--listen", "127.0.0.1:0", "--model"]);
        command.arg(models::model()).arg("--plugin").arg(root.join("plugin-sdk/examples/security-scanner"));
        let mut process = command.env_clear().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || serde_json::from_str::<Value>(&lines.next().expect("a line of the demo").unwrap()).unwrap();
        let (ready, credentials) = (line(), line());
        Self { process, address: ready["address"].as_str().unwrap().to_owned(), credentials }
    }

    /// Runs a command as the demo's person would from their own machine, signed in into `home`.
    fn cli(&self, home: &Path, arguments: &[&str], input: &str) -> Value {
        let mut command = Command::new(BINARY);
        command.env_clear().env("HOME", home).args(["--json", "--server", &self.address]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn sign_in(&self, home: &Path) {
        let password = self.credentials["password"].as_str().unwrap();
        self.cli(home, &["login", "--username", "demo", "--password-stdin"], password);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn the_demo_has_a_run_a_plugin_and_a_way_in_and_keeps_them() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Demo::start(dir.path());
    first.sign_in(home.path());
    let run = first.credentials["run_id"].to_string();
    let shown = first.cli(home.path(), &["runs", "show", &run], "");
    assert!(["queued", "running"].iter().any(|status| shown["status"] == *status), "{shown:#}");
    let plugin = first.cli(home.path(), &["plugin", "info", "security-scanner"], "");
    assert_eq!(plugin["status"], "active", "{plugin:#}");
    let old = first.credentials["password"].clone();
    drop(first);
    let second = Demo::start(dir.path());
    assert_eq!(second.credentials["run_id"].to_string(), run, "the site was made anew");
    assert_ne!(second.credentials["password"], old);
    second.sign_in(home.path());
    assert_eq!(second.cli(home.path(), &["project", "list"], "")["items"][0]["name"], "URL shortener");
}

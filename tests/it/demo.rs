//! What a newcomer tries: the demo site, something to look at and somebody to sign in as, and the command of the README.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{App, BINARY};
use crate::model_server::{Answer, ModelServer};
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
    // Somebody makes a project of their own: it is newer than the demo's.
    first.cli(home.path(), &["project", "create", "--name", "My own", "--requirements", "Mine."], "");
    let (old, project) = (first.credentials["password"].clone(), first.credentials["project_id"].clone());
    drop(first);
    let second = Demo::start(dir.path());
    assert_eq!(second.credentials["run_id"].to_string(), run, "the site was made anew");
    assert_ne!(second.credentials["password"], old);
    second.sign_in(home.path());
    second.cli(home.path(), &["runs", "cancel", &run], "");
    drop(second);
    // The run has ended, so the next start has another one to show, and leaves the person's project alone.
    let third = Demo::start(dir.path());
    assert_eq!(third.credentials["project_id"], project);
    third.sign_in(home.path());
    let next = third.cli(home.path(), &["runs", "show", &third.credentials["run_id"].to_string()], "");
    assert_ne!(next["id"].to_string(), run);
    assert!(["queued", "running"].iter().any(|status| next["status"] == *status), "{next:#}");
    let projects = third.cli(home.path(), &["project", "list"], "");
    let names: Vec<&str> = projects["items"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["My own", "URL shortener"]);
    assert_eq!(third.cli(home.path(), &["runs", "list", "My own"], "")["items"], json!([]));
}

/// What every role can use: a document, a program and a verdict.
fn answer() -> Answer {
    let text = json!({"summary": "Done.", "document": "# Links\n\nThey are short.", "approved": true, "problems": [],
        "files": [{"path": "src/links.py", "content": "LINKS = {}\n"}]});
    let frame = |delta: Value, reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"object": "chat.completion.chunk", "choices": [choice]}))
    };
    let words = frame(json!({"content": text.to_string()}), Value::Null);
    Answer::stream(&format!("{words}{}data: [DONE]\n\n", frame(json!({}), json!("stop"))))
}

#[tokio::test]
async fn the_command_of_the_readme_draws_a_run_on_a_terminal_and_ends_with_its_files() {
    let app = App::start();
    app.org("demo");
    let root = app.person("root", "admin", None).await;
    let server = ModelServer::start(|_| {
        // Long enough for the screen to be drawn while somebody speaks.
        std::thread::sleep(Duration::from_millis(300));
        answer()
    });
    let provider = json!({"name": "lab", "base_url": server.url()});
    assert_eq!(app.call("POST", "/api/llm/providers", Some(&root), Some(provider)).await.status, 201);
    let line = r#"run "Build a URL shortener with an HTTP API" --follow"#;
    let line = format!("stty cols 120 rows 40; {BINARY} --data-dir {} {line}", app.dir.path().display());
    let mut script = Command::new("timeout");
    script.args(["60", "script", "-q", "-e", "-c", &line, "/dev/null"]).env_clear();
    script.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").env("TERM", "xterm-256color");
    let output = script.stdin(Stdio::null()).output().unwrap();
    let screen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{screen}");
    // Lines are drawn over each other: each stage with its state, what is said at the moment, the tokens so far.
    assert!(screen.contains("\x1b[2K") && screen.contains("\x1b[1A"), "nothing was drawn anew: {screen:?}");
    for drawn in ["· qa_review", "✓ requirement_analysis", "✓ qa_review", "developer: ", " tokens "] {
        assert!(screen.contains(drawn), "`{drawn}` was not drawn: {screen:?}");
    }
    let end = &screen[screen.rfind("run 1 is completed").unwrap_or_default()..];
    for said in ["requirements/SRS.md", "src/links.py", "quality/quality-assessment.md", "Fetch them: resoftai project"]
    {
        assert!(end.contains(said), "`{said}` does not stand at the end: {end:?}");
    }
}

//! The audit trail sent on as it grows: to a real syslog server over TLS, and into a file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;
use crate::mail_server::{Authority, free_port};

const PATIENCE: Duration = Duration::from_secs(90);

/// What a destination got of an entry.
#[derive(Debug, Clone)]
struct Got {
    log: String,
    position: u64,
    entry: i64,
    description: String,
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// rsyslog at work (tests/audit/syslog.sh).
struct Syslog {
    folder: tempfile::TempDir,
    port: u16,
    authority: String,
    certificate: PathBuf,
    process: Child,
}

impl Syslog {
    fn start(authority: &Authority) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let certificate = authority.certificate("localhost");
        let authority = authority.file();
        let process = launch(folder.path(), port, &authority, &certificate);
        Self { folder, port, authority, certificate, process }
    }

    fn url(&self) -> String {
        format!("tls://localhost:{}", self.port)
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = launch(self.folder.path(), self.port, &self.authority, &self.certificate);
    }

    fn messages(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn got(&self) -> Vec<Got> {
        self.messages()
            .iter()
            .map(|message| {
                let field = |name: &str| field(message, name).unwrap_or_else(|| panic!("no {name} in {message}"));
                Got {
                    log: field("log"),
                    position: field("position").parse().unwrap(),
                    entry: field("entry").parse().unwrap(),
                    description: message["msg"].as_str().unwrap().trim_start_matches('\u{feff}').to_owned(),
                }
            })
            .collect()
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn launch(folder: &Path, port: u16, authority: &str, certificate: &Path) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit/syslog.sh");
    let arguments = [script, folder.to_str().unwrap(), &port.to_string(), authority, certificate.to_str().unwrap()];
    let process = Command::new("sh").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < PATIENCE, "rsyslog does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    process
}

/// A value of the structured data, as a receiver reads it.
fn field(message: &Value, name: &str) -> Option<String> {
    let data = message["structured-data"].as_str().unwrap();
    let (_, rest) = data.split_once(&format!(" {name}=\""))?;
    let (mut value, mut escaped) = (String::new(), false);
    for c in rest.chars() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => break,
            _ => value.push(c),
        }
    }
    Some(value)
}

fn site(settings: &[(&str, &str)]) -> App {
    App::start_with_settings(settings)
}

/// Every entry of the trail by now.
fn trail(app: &App) -> BTreeMap<i64, String> {
    let list = app.cli_json(&["audit", "list", "--limit", "20000"], "");
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|entry| (entry["id"].as_i64().unwrap(), entry["description"].as_str().unwrap().to_owned()))
        .collect()
}

/// All of the trail is there, in the order of its places: what comes again comes together with all behind it.
fn assert_whole(app: &App, got: &[Got]) {
    let by_entry: BTreeMap<i64, &Got> = got.iter().map(|got| (got.entry, got)).collect();
    for (entry, description) in trail(app) {
        let got = by_entry.get(&entry).unwrap_or_else(|| panic!("entry {entry} is missing: {description}"));
        assert_eq!(got.description, description);
    }
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    for got in got {
        let next = next.entry(&got.log).or_default();
        assert!(got.position <= *next, "a gap before {got:?}; {next} was next");
        *next = got.position + 1;
    }
}

fn has_all(app: &App, got: &[Got]) -> bool {
    let there: BTreeSet<i64> = got.iter().map(|got| got.entry).collect();
    trail(app).keys().all(|entry| there.contains(entry))
}

fn status(app: &App) -> Value {
    app.cli_json(&["audit", "forward", "status"], "")["items"][0].clone()
}

#[tokio::test]
async fn a_syslog_server_gets_every_entry_over_tls_also_after_it_was_away() {
    let authority = Authority::new();
    let mut syslog = Syslog::start(&authority);
    let (url, ca) = (syslog.url(), authority.file());
    let mut app = site(&[("RESOFTAI_AUDIT_SYSLOG", &url), ("RESOFTAI_NETWORK_CA_FILE", &ca)]);
    app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let wrong = json!({"username": "boss", "password": "x\ny\"]\\"});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(wrong)).await.status, 401);
    until("the first entries arrive", || has_all(&app, &syslog.got())).await;
    assert_whole(&app, &syslog.got());
    let messages = syslog.messages();
    let failed =
        messages.iter().find(|message| message["msgid"] == "login" && message["syslogseverity"] == "4").unwrap();
    assert_eq!((&failed["syslogfacility"], &failed["app-name"]), (&json!("10"), &json!("resoftai")));
    assert_eq!(field(failed, "outcome").as_deref(), Some("failure"));
    let made = messages.iter().find(|message| field(message, "resource").as_deref() == Some("organization")).unwrap();
    assert!(field(made, "after").unwrap().contains("\"slug\":\"acme\""), "{made}");
    // Away, with a server that dies and starts again meanwhile.
    syslog.kill();
    let name = "Ω \"quoted\" ]\\ [x y=\"z\"]";
    let made = json!({"name": name, "requirements": "line one\nline two"});
    assert_eq!(app.call("POST", "/api/projects", Some(&boss), Some(made)).await.status, 201);
    until("the failure is told", || status(&app)["last_error"].is_string()).await;
    app.crash_and_restart();
    app.org("later");
    syslog.start_again();
    until("what was written meanwhile arrives", || has_all(&app, &syslog.got())).await;
    let got = syslog.got();
    assert_whole(&app, &got);
    assert!(got.iter().any(|got| got.description.contains(name)), "{got:?}");
    until("it counts as arrived", || {
        let status = status(&app);
        status["behind"] == 0 && status["last_error"].is_null()
    })
    .await;
    assert!(status(&app)["sent"].as_i64().unwrap() >= i64::try_from(trail(&app).len()).unwrap());
}

#[tokio::test]
async fn a_syslog_server_nobody_vouches_for_gets_nothing_and_the_site_works_on() {
    let (authority, other) = (Authority::new(), Authority::new());
    let syslog = Syslog::start(&authority);
    let (url, ca) = (syslog.url(), other.file());
    let app = site(&[("RESOFTAI_AUDIT_SYSLOG", &url), ("RESOFTAI_NETWORK_CA_FILE", &ca)]);
    app.org("acme");
    until("it is told", || status(&app)["last_error"].as_str().is_some_and(|told| told.contains("network.ca_file")))
        .await;
    until("it is behind", || status(&app)["behind"].as_i64() > Some(0)).await;
    let ready = app.call("GET", "/readyz", None, None).await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    let check =
        ready.body["checks"].as_array().unwrap().iter().find(|check| check["name"] == "audit forwarding").unwrap();
    assert!(check["detail"].as_str().unwrap().contains("entries behind"), "{check}");
    assert_eq!(syslog.messages(), [Value::Null; 0]);
}

fn lines(path: &Path) -> Vec<Got> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries
        .map(|entry| Got {
            log: entry["log"].as_str().unwrap().to_owned(),
            position: entry["position"].as_u64().unwrap(),
            entry: entry["id"].as_i64().unwrap(),
            description: entry["description"].as_str().unwrap().to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn a_file_gets_every_entry_also_when_it_is_rotated_and_the_server_dies() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
    let mut app = site(&[("RESOFTAI_AUDIT_FILE", path.to_str().unwrap())]);
    app.org("acme");
    until("the first entries are there", || has_all(&app, &lines(&path))).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::rename(&path, &old).unwrap();
    let both = || [lines(&old), lines(&path)].concat();
    let mut more = 0;
    // What is written at the moment of the rotation still goes into the old one.
    let new_file = || {
        more += 1;
        app.org(&format!("beside-{more}"));
        !lines(&path).is_empty()
    };
    until("the next go into a new file", new_file).await;
    until("nothing is lost by it", || has_all(&app, &both())).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(app.process_id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    app.org("behind");
    until("a hang-up does not end it", || has_all(&app, &both())).await;
    // As a power cut leaves it.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"torn").unwrap();
    app.crash_and_restart();
    app.org("anew");
    until("it goes on", || has_all(&app, &both())).await;
    assert_whole(&app, &both());
    until("it is not behind", || status(&app)["behind"] == 0).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_and_caught_up_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/audit.jsonl");
    let app = site(&[("RESOFTAI_AUDIT_FILE", path.to_str().unwrap())]);
    app.org("acme");
    until("it is told", || status(&app)["last_error"].as_str().is_some_and(|told| told.contains("audit.file"))).await;
    std::fs::create_dir(folder.path().join("missing")).unwrap();
    until("it catches up", || has_all(&app, &lines(&path))).await;
    assert_whole(&app, &lines(&path));
    until("it goes on", || status(&app)["last_error"].is_null()).await;
}

#[tokio::test]
async fn administrators_of_the_site_are_told_once_of_a_destination_that_fails_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, path) = (folder.path().join("missing"), folder.path().join("missing/audit.jsonl"));
    let app = site(&[("RESOFTAI_AUDIT_FILE", path.to_str().unwrap())]);
    let root = app.person("root", "admin", None).await;
    app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let told = async |token: &str| {
        let notices = app.call("GET", "/api/notices", Some(token), None).await.body;
        let items = notices["items"].as_array().unwrap().clone();
        items.into_iter().filter(|notice| notice["kind"] == "audit_forward_failed").collect::<Vec<_>>()
    };
    let fails = || status(&app)["last_error"].as_str().is_some_and(|told| told.contains("audit.file"));
    let an_hour_passes = || app.sql("UPDATE audit_forwards SET failing_since = failing_since - 3600000000");
    let attempts = || app.sql_texts("SELECT CAST(failing_since AS TEXT) FROM audit_forwards");
    until("it fails", fails).await;
    assert_eq!(told(&root).await, [Value::Null; 0], "it may pass");
    for times in 1..=2 {
        an_hour_passes();
        let started = Instant::now();
        while told(&root).await.len() < times {
            assert!(started.elapsed() < PATIENCE, "nobody is told: {:?}", attempts());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let text = told(&root).await[0]["text"].as_str().unwrap().to_owned();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("cannot be written"), "{text}");
        if times == 1 {
            // The next failures, of longer and longer pauses, are no news.
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(told(&root).await.len(), 1);
            std::fs::create_dir(&missing).unwrap();
            until("it catches up", || has_all(&app, &lines(&path))).await;
            // What failed is forgotten a moment after the last entry arrived, and only then is a failure a new one.
            let forgotten = "SELECT destination FROM audit_forwards WHERE failing_since IS NULL AND told_at IS NULL";
            until("it works again", || app.sql_texts(forgotten) == ["file"]).await;
            std::fs::remove_dir_all(&missing).unwrap();
            app.org("other");
            until("it fails again", fails).await;
        }
    }
    assert_eq!(told(&boss).await, [Value::Null; 0], "it is not theirs to mend");
}

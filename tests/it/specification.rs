//! The command lines of the specification that are built so far, as they are written there. `python -m resoftai.cli.admin`
//! is `resoftai admin`, and its `http://localhost:8000` is where the server under test answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, tcgetattr};

use serde_json::{Value, json};

use crate::app::{App, BINARY, PASSWORD};

/// How long a block may take, in seconds: a question that nobody answers must not hold up the tests.
const LIMIT: u64 = 120;

/// The lines of one of its shell blocks, run in a shell that finds `resoftai`, on the site of `app`. The first line shown
/// names the terminal.
pub fn shell(app: &App, block: &str) -> Command {
    let home = app.dir.path().join("home");
    std::fs::create_dir_all(&home).unwrap();
    if !home.join("resoftai").exists() {
        std::os::unix::fs::symlink(BINARY, home.join("resoftai")).unwrap();
    }
    let block = format!("tty\n{}", block.replace("python -m resoftai.cli.admin", "resoftai admin"));
    // A terminal of its own, as a person has one: passwords are asked for there.
    let mut shell = Command::new("timeout");
    shell.args([&LIMIT.to_string(), "script", "-q", "-e", "-c", &block, "/dev/null"]);
    shell.current_dir(&home).env_clear().env("HOME", &home).env("SHELL", "/bin/sh");
    shell.env("PATH", format!("{}:/usr/bin:/bin", home.display())).env("RESOFTAI_DATA_DIR", app.dir.path());
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Waits until `terminal` shows no keystrokes. What is typed between a question and that moment is thrown away, as it should
/// be: nobody's password may appear because they were quick.
pub fn hidden(terminal: &str) {
    let flags = OFlags::RDONLY | OFlags::NOCTTY;
    let terminal = rustix::fs::open(terminal, flags, Mode::empty()).unwrap();
    let begun = Instant::now();
    while tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO) {
        assert!(begun.elapsed() < Duration::from_secs(LIMIT), "what is typed would be seen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a block, types `answers` when their question is asked; what the terminal showed.
fn run(app: &App, block: &str, answers: &[(&str, &str)]) -> String {
    let mut child = shell(app, block).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut terminal = String::new();
    screen.read_line(&mut terminal).unwrap();
    let (mut shown, mut answered) = (Vec::new(), 0);
    for (question, answer) in answers {
        while !String::from_utf8_lossy(&shown[answered..]).contains(question) {
            let mut piece = [0; 512];
            let read = screen.read(&mut piece).unwrap();
            assert!(read > 0, "{question} was not asked: {}", String::from_utf8_lossy(&shown));
            shown.extend_from_slice(&piece[..read]);
        }
        answered = shown.len();
        hidden(terminal.trim());
        keys.write_all(answer.as_bytes()).unwrap();
    }
    screen.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(child.wait().unwrap().success(), "{block}\n{shown}");
    shown
}

#[tokio::test]
async fn the_first_administrator_and_the_organisation_are_made_as_it_says() {
    let app = App::start();
    let line = format!("{PASSWORD}\r");
    let shown = run(
        &app,
        r"# Create first admin user
python -m resoftai.cli.admin create-user \
  --username admin \
  --email admin@yourcompany.com \
  --role admin \
  --password",
        &[("Password:", &line), ("again:", &line)],
    );
    assert!(shown.contains("Created account admin"), "{shown}");
    assert!(!shown.contains(PASSWORD), "what is typed stays unseen: {shown}");
    let shown = run(
        &app,
        r#"# Via CLI
python -m resoftai.cli.admin create-org \
  --name "Your Company" \
  --slug your-company \
  --tier enterprise \
  --admin-email admin@yourcompany.com"#,
        &[],
    );
    assert!(shown.contains("Created organisation Your Company (your-company)"), "{shown}");
    let login =
        app.call("POST", "/api/auth/login", None, Some(json!({"username": "admin", "password": PASSWORD}))).await;
    assert_eq!(login.status, 200, "{}", login.body);
    assert_eq!(login.body["user"]["roles"][0]["role"], "super_admin");
    assert_eq!(app.cli_json(&["org", "show", "your-company"], "")["contact_email"], "admin@yourcompany.com");
}

/// `-d '{..}'` of its curl commands, with the header they carry.
async fn curl(app: &App, path: &str, token: &str, data: &str) -> (u16, Value) {
    let headers = [("Authorization", format!("Bearer {token}")), ("Content-Type", "application/json".to_owned())];
    let reply = app.send("POST", path, &headers, data.to_owned().into()).await;
    (reply.status, reply.body)
}

#[tokio::test]
async fn an_organisation_is_made_over_the_api_as_it_says() {
    let app = App::start();
    let token = app.person("admin", "admin", None).await;
    let (status, org) = curl(
        &app,
        "/api/organizations",
        &token,
        r#"{
    "name": "Your Company",
    "slug": "your-company",
    "tier": "enterprise",
    "contact_email": "admin@yourcompany.com"
  }"#,
    )
    .await;
    assert_eq!((status, &org["tier"], &org["slug"]), (201, &json!("enterprise"), &json!("your-company")));
}

#[tokio::test]
async fn a_plugin_is_installed_as_it_says() {
    let mut app = App::start();
    let token = app.person("admin", "admin", None).await;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk/examples/security-scanner");
    let plugins = app.dir.path().join("plugins");
    run(&app, &format!("cp -r {} {}/", source.display(), plugins.display()), &[]);
    run(&app, "resoftai plugin install security-scanner --config severity_threshold=high", &[]);
    let plugin = app.cli_json(&["plugin", "info", "security-scanner"], "");
    assert_eq!(
        (&plugin["status"], &plugin["config"]["severity_threshold"]),
        (&json!("active"), &json!("high")),
        "{plugin}"
    );
    // Its 123 stands for the number that a plugin has.
    let data = r#"{
    "plugin_id": 123,
    "config": {
      "severity_threshold": "high"
    }
  }"#
    .replace("123", &plugin["id"].to_string());
    let (status, again) = curl(&app, "/api/plugins/install", &token, &data).await;
    assert!(status == 200 || status == 201, "{status} {again}");
    assert_eq!(again["config"]["severity_threshold"], "high");
    app.crash_and_restart();
    assert_eq!(app.cli_json(&["plugin", "info", "security-scanner"], "")["status"], "active");
}

#[test]
fn its_critical_settings_are_honoured() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, value: &str| {
        let mut command = Command::new(BINARY);
        command.args(["--json", "config", "check"]).env_clear().env("RESOFTAI_DATA_DIR", dir.path());
        let output = command.env(name, value).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!settings.to_string().contains("hunter2"), "{name} shows a secret");
        settings
    };
    let database = "postgres://resoftai:hunter2@127.0.0.1/resoftai";
    for (variable, value, setting, shown) in [
        ("DATABASE_URL", database, "database.url", "(set)"),
        ("JWT_SECRET_KEY", "hunter2-hunter2-hunter2-hunter2-hunter2", "security.jwt_secret_key", "(set)"),
        ("LLM_API_KEY", "hunter2", "llm.api_key", "(set)"),
        ("ENTERPRISE_MODE", "true", "enterprise.mode", "true"),
        ("LICENSE_KEY", "hunter2", "enterprise.license_key", "(set)"),
    ] {
        assert_eq!(check(variable, value)[setting], shown, "{variable}");
    }
}

/// A call as JSON, which has to be answered with this status.
async fn asked(app: &App, token: &str, method: &str, path: &str, body: Value, status: u16) -> Value {
    let body = Some(body).filter(|body| !body.is_null());
    let reply = app.call(method, path, Some(token), body).await;
    assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
    reply.body
}

/// Its Python calls are calls of the API: `db` is the server, `organization_id` stands in the address.
#[tokio::test]
async fn roles_quotas_and_the_trail_work_as_it_says() {
    let app = App::start();
    let root = app.person("admin", "admin", None).await;
    let org = app.org("your-company");
    let dev = app.person("dev", "developer", Some("your-company")).await;
    let at = |rest: &str| format!("/api/organizations/{org}/{rest}");
    let list = asked(&app, &root, "GET", "/api/permissions", Value::Null, 200).await;
    let known: Vec<&str> = list["items"].as_array().unwrap().iter().filter_map(|one| one["code"].as_str()).collect();
    let examples = ["project.create", "project.read", "project.update", "project.delete", "user.invite", "team.manage"];
    assert!(examples.iter().chain(&["plugin.install"]).all(|code| known.contains(code)), "{known:?}");

    let role = json!({"name": "QA Engineer", "code": "qa_engineer",
        "description": "Can view projects and run tests", "permissions": ["project.read"]});
    asked(&app, &root, "POST", &at("roles"), role, 201).await;
    let change = json!({"permissions": ["project.read", "project.execute"]});
    let role = asked(&app, &root, "PUT", &at("roles/qa_engineer"), change, 200).await;
    assert_eq!(role["permissions"], json!(["project.read", "project.execute"]));
    let team = asked(&app, &root, "POST", &at("teams"), json!({"slug": "backend", "name": "Backend"}), 201).await;
    for role in ["viewer", "member", "admin", "owner"] {
        let (name, members) = (format!("a-{role}"), format!("/api/teams/{}/members", team["id"]));
        app.person(&name, "viewer", Some("your-company")).await;
        asked(&app, &root, "POST", &members, json!({"username": name, "role": role}), 201).await;
    }

    let quota = json!({"resource_type": "projects", "limit_value": 100, "period": "monthly", "warning_threshold": 0.8});
    let quota = asked(&app, &root, "POST", &at("quotas"), quota, 201).await;
    assert_eq!((&quota["period"], &quota["warning_thresholds"]), (&json!("monthly"), &json!([80])));
    let me = asked(&app, &dev, "GET", "/api/auth/me", Value::Null, 200).await;
    let usage = json!({"resource_type": "llm_tokens", "amount": 1500, "user_id": me["user"]["id"],
        "metadata": {"model": "deepseek-chat"}});
    asked(&app, &root, "POST", &at("usage"), usage, 201).await;
    let check = json!({"resource_type": "projects", "amount": 1});
    let verdict = asked(&app, &root, "POST", &at("quotas/check"), check, 200).await;
    assert_eq!(verdict, json!({"can_consume": true, "error": null}));
    let second = app.org("second");
    for (resource, limit, period) in [
        ("projects", 1000, Value::Null),
        ("api_calls", 100_000, json!("monthly")),
        ("storage", 100_000_000_000_i64, Value::Null),
        ("llm_tokens", 10_000_000, json!("monthly")),
    ] {
        let body = json!({"resource_type": resource, "limit_value": limit, "period": period});
        asked(&app, &root, "POST", &format!("/api/organizations/{second}/quotas"), body, 201).await;
    }

    let project = asked(&app, &dev, "POST", "/api/projects", json!({"name": "New Project"}), 201).await;
    let entries = app.cli_json(&["audit", "list", "--org", "your-company", "--resource", "project"], "");
    let entry = &entries["items"][0];
    assert_eq!((&entry["action"], &entry["resource_id"]), (&json!("create"), &json!(project["id"].to_string())));
    assert_eq!((&entry["actor"]["name"], &entry["organization_id"]), (&json!("dev"), &json!(org)));
    assert_eq!((&entry["after"]["name"], &entry["after"]["status"]), (&json!("New Project"), &json!("pending")));
    assert_eq!(entry["ip_address"], "127.0.0.1");
    for format in ["json", "csv"] {
        asked(&app, &root, "GET", &format!("/api/audit/export?format={format}"), Value::Null, 200).await;
    }
    asked(&app, &root, "PUT", &at("audit/retention"), json!({"days": 365}), 200).await;
    asked(&app, &dev, "GET", "/api/users/me/export", Value::Null, 200).await;
    let erase = format!("/api/users/{}/erase", me["user"]["id"]);
    asked(&app, &dev, "POST", &erase, json!({"username": "dev", "password": PASSWORD}), 200).await;
}

//! `resoftai support-bundle`: what is in it, what is not, and that nothing is written before somebody said so.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::app::{App, BINARY, PASSWORD, database_of};
use crate::vendor;

const API_KEY: &str = "canary-of-the-provider-in-the-settings";
const KEPT_KEY: &str = "canary-of-the-provider-in-the-database";
const SMTP_PASSWORD: &str = "canary\"of the mail/server";
const MAIL: &str = "canary.person@mail.example.org";

fn licence() -> String {
    vendor::sign(&vendor::claims("canary-licence"))
}

/// Settings that hold secrets.
fn settings() -> Vec<(String, String)> {
    let given = [
        ("LLM_API_BASE", "http://127.0.0.1:9/v1"),
        ("LLM_API_KEY", API_KEY),
        ("LICENSE_KEY", &licence()),
        ("RESOFTAI_SMTP_HOST", "127.0.0.1"),
        ("RESOFTAI_SMTP_PORT", "9"),
        ("RESOFTAI_SMTP_FROM", "site@example.org"),
        ("RESOFTAI_SMTP_USERNAME", "canary-mail-user"),
        ("RESOFTAI_SMTP_PASSWORD", SMTP_PASSWORD),
        ("RESOFTAI_LICENCE_TRUSTED_KEYS", &vendor::key().to_string()),
    ];
    given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn make(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env_clear().envs(settings()).args(["--json", "support-bundle", "--data-dir"]).arg(dir).args(arguments);
    if let Some(url) = database_of(dir) {
        command.env("DATABASE_URL", url);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// The files of a bundle, without the folder that they are in.
fn unpack(bundle: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(bundle).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (path.split_once('/').unwrap().1.to_owned(), String::from_utf8_lossy(&bytes).into_owned())
    });
    entries.collect()
}

#[tokio::test]
async fn a_bundle_helps_and_holds_no_secret() {
    let given = settings();
    let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut app = App::start_with_settings(&given);
    let root = app.person("root", "admin", None).await;
    let token = app.call("POST", "/api/tokens", Some(&root), Some(json!({"name": "mine"}))).await.body;
    let token = token["secret"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned();
    let provider = json!({"name": "lab", "base_url": "http://127.0.0.1:9/v1", "api_key": KEPT_KEY, "models": ["m"]});
    let provider = app.call("POST", "/api/llm/providers", Some(&root), Some(provider)).await;
    assert_eq!(provider.status, 201, "{}", provider.body);

    // What a careless line of any program could say.
    let logs = app.dir.path().join("logs");
    let log = fs::read_dir(&logs).unwrap().map(|file| file.unwrap().path()).next().unwrap();
    let mut file = fs::File::options().append(true).open(log).unwrap();
    let canaries = [API_KEY, KEPT_KEY, SMTP_PASSWORD, &licence(), MAIL, &root, &token, PASSWORD, "canary-mail-user"];
    for canary in canaries {
        let line =
            json!({"level": "INFO", "message": format!("saw {canary} here"), "password": canary, "kept": "helpful"});
        writeln!(file, "{line}").unwrap();
    }
    writeln!(file, "Authorization: Bearer {root}\nCookie: session={token}").unwrap();
    drop(file);

    let target = app.dir.path().join("bundle.tar.gz");
    let output = make(app.dir.path(), &["--yes", "--output", target.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["recorded"], true, "{told}");
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    let parts = unpack(&target);
    assert_eq!(told["files"].as_array().unwrap().len(), parts.len());
    for (name, text) in &parts {
        for canary in canaries.iter().filter(|canary| **canary != PASSWORD) {
            let spelled = Value::from(*canary).to_string();
            assert!(!text.contains(canary) && !text.contains(&spelled[1..spelled.len() - 1]), "{name} holds {canary}");
        }
        // The password of a person is known to nobody, so only where it stands as one.
        assert!(!text.contains(&format!("\"password\":\"{PASSWORD}")), "{name}");
    }

    let log: String =
        parts.iter().filter(|(name, _)| name.starts_with("logs/")).map(|(_, text)| text.as_str()).collect();
    assert_eq!(log.matches("helpful").count(), canaries.len(), "what helps stays");
    let doctor: Value = serde_json::from_str(&parts["doctor.json"]).unwrap();
    assert!(doctor.as_array().unwrap().iter().any(|check| check["code"] == "database"), "{doctor}");
    assert!(parts["configuration.txt"].contains("llm.api_key = set\n"), "{}", parts["configuration.txt"]);
    assert!(parts["metrics.txt"].contains("# TYPE "), "the server's own: {}", parts["metrics.txt"]);
    let database: Value = serde_json::from_str(&parts["database.json"]).unwrap();
    assert!(database["tables"]["users"]["rows"].is_i64(), "{database}");
    assert!(database["tables"]["users"]["bytes"].as_i64().is_some_and(|bytes| bytes > 0), "{database}");
    assert_eq!(database["migrations"][0]["name"], "init");
    assert!(parts.contains_key("machine/memory") && parts.contains_key("CONTENTS.txt"));

    let entries = app.cli_json(&["audit", "list", "--resource", "support_bundle"], "");
    assert_eq!(entries["items"][0]["action"], "export", "{entries}");
    assert!(entries["items"][0]["after"].to_string().contains(told["sha256"].as_str().unwrap()), "{entries}");

    // Without a server it is recorded all the same, and the trail stays whole.
    assert_eq!(app.terminate(), 0);
    let second = app.dir.path().join("second.tar.gz");
    let output = make(app.dir.path(), &["--yes", "-o", second.to_str().unwrap()]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["recorded"], true, "{told}");
    assert!(unpack(&second)["metrics.txt"].starts_with("This could not be had:"));
    app.crash_and_restart();
    let entries = app.cli_json(&["audit", "list", "--resource", "support_bundle"], "");
    assert_eq!(entries["items"].as_array().unwrap().len(), 2, "{entries}");
    assert_eq!(entries["items"][0]["actor"]["kind"], "operator", "{entries}");
}

#[test]
fn nothing_is_written_before_somebody_said_so_nor_over_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("bundle.tar.gz");
    let name = target.to_str().unwrap();
    let asked = make(dir.path(), &["--output", name]);
    assert_eq!(asked.status.code(), Some(2), "{asked:?}");
    assert!(String::from_utf8_lossy(&asked.stderr).contains("--yes"), "{asked:?}");
    assert!(!target.exists());
    fs::write(&target, "mine").unwrap();
    let refused = make(dir.path(), &["--yes", "--output", name]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
}

#[test]
fn a_site_that_cannot_start_has_a_bundle_too() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("bundle.tar.gz");
    let mut command = Command::new(BINARY);
    command.env_clear().env("RESOFTAI_SERVER_LISTEN", "nowhere").args([
        "--json",
        "support-bundle",
        "--yes",
        "--output",
    ]);
    let output = command.arg(&target).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["recorded"], false, "{told}");
    assert!(unpack(&target)["doctor.json"].contains("server.listen"));
}

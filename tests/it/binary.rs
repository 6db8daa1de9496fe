//! The process: health, metrics, description, stopping, configuration, one server a data directory.

use std::process::Command;

use serde_json::json;

use crate::app::{App, BINARY};

#[tokio::test]
async fn it_says_how_it_is_and_what_it_can() {
    let app = App::start();
    assert_eq!(app.call("GET", "/healthz", None, None).await.body, json!("ok"));
    let ready = app.call("GET", "/readyz", None, None).await;
    assert_eq!((ready.status, &ready.body["status"]), (200, &json!("ready")), "{}", ready.body);
    let metrics = app.call("GET", "/metrics", None, None).await.body;
    assert!(
        metrics.as_str().unwrap().contains("http_requests_total{method=\"GET\",route=\"/readyz\",status=\"200\"} 1"),
        "{metrics}"
    );
    // Methods that clients make up are not told apart.
    for method in ["AAAA1", "AAAA2"] {
        assert_eq!(app.call(method, "/healthz", None, None).await.status, 405);
    }
    let metrics = app.call("GET", "/metrics", None, None).await.body;
    assert!(
        metrics.as_str().unwrap().contains("method=\"other\"") && !metrics.as_str().unwrap().contains("AAAA"),
        "{metrics}"
    );
    let docs = app.call("GET", "/api/docs/", None, None).await;
    assert_eq!(docs.status, 200);
    assert!(docs.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
}

#[tokio::test]
async fn it_stops_when_told_and_removes_its_socket() {
    let mut app = App::start();
    assert_eq!(app.terminate(), 0);
    assert!(!app.dir.path().join("run/resoftai.sock").exists());
    let output = app.cli(&["org", "list"], "");
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stderr).contains("resoftai serve"));
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let app = App::start();
    let second = app.cli(&["serve", "--listen", "127.0.0.1:0", "--http"], "");
    assert_eq!(second.status.code(), Some(5), "{}", String::from_utf8_lossy(&second.stderr));
}

#[test]
fn a_wrong_setting_is_named_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("resoftai.toml");
    std::fs::write(&file, "[server]\nlisten_on = '127.0.0.1:1'\n").unwrap();
    for command in [&["config", "check"][..], &["serve"]] {
        let output = Command::new(BINARY).env_clear().arg("--config").arg(&file).args(command).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("Did you mean `server.listen`?"));
    }
}

/// A file where a folder belongs, and the other way round: unlike missing rights they also stop root.
#[test]
fn what_cannot_be_made_at_the_start_is_named() {
    for (in_the_way, is_folder, code) in [("logs", false, "log_folder"), ("run/resoftai.sock", true, "local_socket")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(in_the_way);
        if is_folder {
            std::fs::create_dir_all(&path).unwrap();
        } else {
            std::fs::write(&path, "").unwrap();
        }
        let mut command = Command::new(BINARY);
        command.env_clear().args(["--json", "--data-dir"]).arg(dir.path());
        let output = command.args(["serve", "--listen", "127.0.0.1:0", "--http"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let failure: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!((output.status.code(), &failure["code"]), (Some(1), &json!(code)), "{said}");
        assert!(failure["detail"].as_str().unwrap().contains(path.to_str().unwrap()), "{said}");
    }
}

/// `config check` with these settings; its exit code, stdout and stderr. `serve` must refuse what it refuses, in the same
/// words and without leaving anything behind.
fn check(settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.env_clear().env("RESOFTAI_DATA_DIR", &data).envs(settings.iter().copied());
        let output = command.args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let checked = run(&["config", "check"]);
    if checked.0 != Some(0) {
        assert_eq!(run(&["serve", "--listen", "127.0.0.1:0"]), checked, "{settings:?}");
    }
    assert!(!data.exists(), "{settings:?} left something");
    checked
}

#[test]
fn what_a_start_would_refuse_is_refused_by_config_check() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let minted = rcgen::generate_simple_self_signed(vec!["box".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["box".to_owned()]).unwrap();
    let (cert, key) = (file("cert.pem", &minted.cert.pem()), file("key.pem", &minted.signing_key.serialize_pem()));
    let other = file("other.pem", &other.signing_key.serialize_pem());
    let begun = "-----BEGIN CERTIFICATE-----\nMIIB";
    let (damaged, missing) = (file("damaged.pem", begun), dir.path().join("missing.pem").to_str().unwrap().to_owned());
    let tls = |cert: &str, key: &str| {
        let pair = [("RESOFTAI_SERVER_TLS_CERT", cert), ("RESOFTAI_SERVER_TLS_KEY", key)];
        let (code, _, stderr) = check(&pair);
        (code, stderr)
    };
    assert_eq!(tls(&cert, &key).0, Some(0));
    for (cert, key, named) in [
        (&missing, &key, &missing),
        (&damaged, &key, &damaged),
        (&key, &key, &key),
        (&cert, &missing, &missing),
        (&cert, &damaged, &damaged),
        (&cert, &other, &other),
    ] {
        let (code, stderr) = tls(cert, key);
        assert_eq!(code, Some(2), "{cert} {key}: {stderr}");
        assert!(stderr.contains(named), "{stderr}");
    }
    for (name, value, said) in [
        ("RESOFTAI_NETWORK_CA_FILE", missing.as_str(), missing.as_str()),
        ("RESOFTAI_NETWORK_CA_FILE", damaged.as_str(), damaged.as_str()),
        ("LOG_LEVEL", "loud", "log.level"),
        ("LOG_LEVEL", "resoftai=loud", "log.level"),
        ("DATABASE_URL", "postgres://u:hunter2@db/x?nonsense=1", "nonsense"),
        ("DATABASE_URL", "postgres://u:hunter2@db:port/x", "database.url"),
        ("DATABASE_URL", "postgres://", "it names no host"),
        ("DATABASE_URL", "mysql://u:hunter2@db/x", "only postgres://"),
        ("LLM_API_BASE", "http://user@gpu1", "llm.base_url"),
        ("RESOFTAI_SERVER_LISEN", "127.0.0.1:1", "Did you mean RESOFTAI_SERVER_LISTEN?"),
    ] {
        let (code, stdout, stderr) = check(&[(name, value)]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{name}={value}: {stderr}");
        assert!(stderr.contains(said) && !stderr.contains("hunter2"), "{name}={value}: {stderr}");
    }
}

#[test]
fn database_urls_as_sqlalchemy_and_libpq_write_them_are_good() {
    for url in [
        "postgres://u:p@db-host/x",
        "postgresql://u:p@[::1]:5432/x?sslmode=verify-full",
        "postgresql+asyncpg://u:p?q@db-host/x?pool_size=20&max_overflow=40",
        "postgresql+asyncpg://u:p@db-host/x?ssl=require&application_name=a",
        "postgresql+psycopg2://u:p@db-host/x?pool_pre_ping=true",
    ] {
        let (code, stdout, stderr) = check(&[("DATABASE_URL", url)]);
        assert_eq!(code, Some(0), "{url}: {stderr}");
        assert!(stdout.ends_with("The configuration is good.\n"), "{url}: {stdout}");
    }
}

#[test]
fn what_is_set_without_effect_is_remarked_upon() {
    let settings = [("LLM_API_KEY", "hunter2"), ("LICENSE_KEY", "hunter2")];
    let (code, _, stderr) = check(&settings);
    assert_eq!((code, stderr.lines().count()), (Some(0), 1), "{stderr}");
    assert!(stderr.contains("LLM_API_BASE is missing"), "{stderr}");

    let mut app = App::start_with_settings(&settings);
    assert_eq!(app.terminate(), 0);
    let logs = std::fs::read_dir(app.dir.path().join("logs")).unwrap();
    let log: String = logs.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    assert!(!log.contains("hunter2"), "{log}");
    for remark in ["LLM_API_BASE is missing", "the licence of the settings is not used"] {
        let said: Vec<&str> = log.lines().filter(|line| line.contains(remark)).collect();
        assert!(matches!(said[..], [line] if line.contains("\"WARN\"")), "{log}");
    }
}

#[test]
fn a_secret_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    // A folder in the way stops root too, whom missing rights do not.
    std::fs::create_dir_all(dir.path().join("secrets/jwt.new")).unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().args(["--json", "--data-dir"]).arg(dir.path());
    let output = command.args(["serve", "--listen", "127.0.0.1:0", "--http"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let failure: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((output.status.code(), &failure["code"]), (Some(1), &json!("unwritable_secret")), "{said}");
    let path = dir.path().join("secrets/jwt.key");
    assert!(failure["detail"].as_str().unwrap().starts_with(path.to_str().unwrap()), "{said}");
}

#[test]
fn the_binary_needs_no_interpreter_and_no_library() {
    let output = Command::new("readelf").args(["-ld", BINARY]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("DYN (Position-Independent Executable file)") || text.contains("Dynamic section"), "{text}");
    assert!(!text.contains("INTERP") && !text.contains("(NEEDED)"), "{text}");
}

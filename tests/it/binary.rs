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

#[test]
fn the_binary_needs_no_interpreter_and_no_library() {
    let output = Command::new("readelf").args(["-ld", BINARY]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("DYN (Position-Independent Executable file)") || text.contains("Dynamic section"), "{text}");
    assert!(!text.contains("INTERP") && !text.contains("(NEEDED)"), "{text}");
}

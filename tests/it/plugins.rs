//! Plugins through the door: brought in by folder and by upload, refused when damaged, shown to who may see them.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::{App, Reply};

const SCANNER: &str = "plugin-sdk/examples/security-scanner";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Copies a folder of the repository, with its sub-folders, into the server's plugins folder.
pub fn bring(app: &App, folder: &str) {
    let from = repository(folder);
    copy(&from, &app.dir.path().join("plugins").join(from.file_name().unwrap()));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn tar_of(folder: &str) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", repository(folder)).unwrap();
    builder.into_inner().unwrap().into()
}

async fn upload(app: &App, token: &str, query: &str, body: Bytes) -> Reply {
    let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/x-tar".to_owned())];
    app.send("POST", &format!("/api/plugins/upload{query}"), &headers, body).await
}

#[tokio::test]
async fn a_folder_is_installed_with_its_configuration() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    bring(&app, SCANNER);
    let install = |config: Value| json!({"slug": "security-scanner", "config": config});
    let wrong = install(json!({"severity_threshold": "huge"}));
    let refused = app.call("POST", "/api/plugins/install", Some(&admin), Some(wrong)).await;
    assert_eq!(
        (refused.status, &refused.body["code"], &refused.body["field"]),
        (400, &json!("invalid_config"), &json!("config.severity_threshold")),
        "{}",
        refused.body
    );
    assert_eq!(app.call("GET", "/api/plugins", Some(&admin), None).await.body["items"], json!([]));
    let empty = app.dir.path().join("plugins/empty-one");
    std::fs::create_dir(&empty).unwrap();
    let lies = async || app.call("GET", "/api/plugin-folder", Some(&admin), None).await.body["items"].clone();
    let there = lies().await;
    let names: Vec<&Value> = there.as_array().unwrap().iter().map(|found| &found["slug"]).collect();
    assert_eq!(names, ["empty-one", "security-scanner"]);
    assert_eq!((&there[1]["version"], &there[1]["error"]), (&json!("1.0.0"), &json!(null)), "{there}");
    assert!(there[0]["error"].as_str().unwrap().contains("plugin.json"), "{there}");
    std::fs::remove_dir(&empty).unwrap();

    let body = install(json!({"severity_threshold": "high"}));
    let made = app.call("POST", "/api/plugins/install", Some(&admin), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(lies().await, json!([]));
    let plugin = &made.body;
    assert_eq!(
        (&plugin["status"], &plugin["version"], &plugin["error"]),
        (&json!("active"), &json!("1.0.0"), &json!(null))
    );
    assert_eq!(plugin["hooks"], json!([{"name": "code.analyze", "kind": "filter", "priority": 5}]));
    assert_eq!(plugin["config"], json!({"severity_threshold": "high"}));
    assert!(plugin["config_schema"]["properties"]["severity_threshold"].is_object());
    let known = app.call("POST", "/api/plugins/install", Some(&admin), Some(json!({"plugin_id": plugin["id"]}))).await;
    assert_eq!((known.status, &known.body["config"]), (201, &plugin["config"]), "a new install keeps what was set");
    let missing = app.call("POST", "/api/plugins/install", Some(&admin), Some(json!({"slug": "not-there"}))).await;
    assert_eq!((missing.status, &missing.body["code"]), (404, &json!("plugin_folder_missing")));
    let ready = app.call("GET", "/readyz", None, None).await;
    let check =
        ready.body["checks"].as_array().unwrap().iter().find(|check| check["name"] == "plugin runtime").unwrap();
    assert_eq!(check["detail"], "in use");
    let trail = app.cli_json(&["audit", "list"], "");
    assert!(trail["items"].as_array().unwrap().iter().any(|entry| {
        entry["description"] == "Installed plugin security-scanner 1.0.0"
            && entry["after"]["config"]["severity_threshold"] == "high"
    }));
}

#[tokio::test]
async fn an_upload_is_installed_replaced_and_taken_out() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let query = "?config=%7B%22severity_threshold%22%3A%22high%22%7D";
    let made = upload(&app, &admin, query, tar_of(SCANNER)).await;
    assert_eq!((made.status, &made.body["config"]["severity_threshold"]), (201, &json!("high")), "{}", made.body);
    let again = upload(&app, &admin, "", tar_of(SCANNER)).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("plugin_exists")));
    let replaced = upload(&app, &admin, "?replace=true", tar_of(SCANNER)).await;
    assert_eq!((replaced.status, &replaced.body["config"]["severity_threshold"]), (201, &json!("high")));
    let path = "/api/plugins/security-scanner";
    for (verb, status) in [("disable", "disabled"), ("enable", "active")] {
        let done = app.call("POST", &format!("{path}/{verb}"), Some(&admin), None).await;
        assert_eq!((done.status, &done.body["status"]), (200, &json!(status)), "{}", done.body);
    }
    let low =
        app.call("PUT", &format!("{path}/config"), Some(&admin), Some(json!({"severity_threshold": "low"}))).await;
    assert_eq!(low.body["config"], json!({"severity_threshold": "low"}));
    assert_eq!(app.call("DELETE", path, Some(&admin), None).await.status, 204);
    assert_eq!(app.call("GET", path, Some(&admin), None).await.status, 404);
    assert_eq!(fs::read_dir(app.dir.path().join("plugins")).unwrap().count(), 0);
}

#[test]
fn the_commands_of_the_specification_install_configure_and_take_out() {
    let app = App::start();
    let config = ["--config", "severity_threshold=high"];
    let folder = repository(SCANNER);
    let sent = app.cli_json(&[&["plugin", "install", folder.to_str().unwrap()], &config[..]].concat(), "");
    assert_eq!((&sent["status"], &sent["config"]["severity_threshold"]), (&json!("active"), &json!("high")));
    let named = app.cli_json(&[&["plugin", "install", "security-scanner"], &config[..]].concat(), "");
    assert_eq!(named["id"], sent["id"]);
    let wrong = app.cli(&["plugin", "config", "security-scanner", "severity_threshold=huge"], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("config.severity_threshold"), "{wrong:?}");
    let low = app.cli_json(&["plugin", "config", "security-scanner", "severity_threshold=low"], "");
    assert_eq!(low["severity_threshold"], "low");
    assert_eq!(app.cli_json(&["plugin", "disable", "security-scanner"], "")["status"], "disabled");
    assert_eq!(app.cli_json(&["plugin", "enable", "security-scanner"], "")["status"], "active");
    app.cli_json(&["plugin", "uninstall", "security-scanner", "--yes"], "");
    assert_eq!(app.cli_json(&["plugin", "list"], "")["items"], json!([]));
}

#[tokio::test]
async fn archives_that_lead_out_or_hold_no_plugin_leave_nothing() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let archive = |path: &str, kind: tar::EntryType| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        // Written raw: the library refuses to write what must be refused when read.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, &b""[..]).unwrap();
        Bytes::from(builder.into_inner().unwrap())
    };
    let cases = [
        (archive("../out.py", tar::EntryType::Regular), "../out.py"),
        (archive("/etc/out.py", tar::EntryType::Regular), "/etc/out.py"),
        (archive("main.py", tar::EntryType::Symlink), "is a link"),
        (archive("main.py", tar::EntryType::Regular), "no plugin.json"),
        (Bytes::from_static(b"PK and nothing more"), "no readable tar or zip"),
        (Bytes::new(), "no plugin.json"),
    ];
    for (body, words) in cases {
        let reply = upload(&app, &admin, "", body).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("invalid_plugin")), "{}", reply.body);
        assert!(reply.body["detail"].as_str().unwrap().contains(words), "{words}: {}", reply.body);
    }
    let mut bomb = zip::ZipWriter::new(Cursor::new(Vec::new()));
    bomb.start_file("main.py", zip::write::SimpleFileOptions::default()).unwrap();
    bomb.write_all(&vec![0; 17 << 20]).unwrap();
    let bomb = Bytes::from(bomb.finish().unwrap().into_inner());
    assert!(bomb.len() < 100_000);
    let refused = upload(&app, &admin, "", bomb).await;
    assert_eq!((refused.status, &refused.body["code"]), (413, &json!("plugin_too_large")));
    assert_eq!(fs::read_dir(app.dir.path().join("plugins")).unwrap().count(), 0);
    assert!(!app.dir.path().join("out.py").exists());
}

#[tokio::test]
async fn damaged_folders_are_listed_and_the_server_runs() {
    let mut app = App::start();
    let admin = app.person("root", "admin", None).await;
    bring(&app, SCANNER);
    let plugins = app.dir.path().join("plugins");
    for (slug, file, text) in [
        ("no-manifest", "main.py", ""),
        ("broken-json", "plugin.json", "{\"name\": "),
        (
            "no-main",
            "plugin.json",
            r#"{"name":"X","slug":"no-main","version":"1.0.0","category":"utility","entry_point":"main.py:X"}"#,
        ),
        ("leads-out", "plugin.json", "{}"),
    ] {
        fs::create_dir_all(plugins.join(slug)).unwrap();
        fs::write(plugins.join(slug).join(file), text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", plugins.join("leads-out/main.py")).unwrap();
    app.crash_and_restart();
    let list = app.call("GET", "/api/plugins", Some(&admin), None).await.body;
    let states: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| (plugin["slug"].as_str().unwrap(), plugin["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [
            ("broken-json", "failed"),
            ("leads-out", "failed"),
            ("no-main", "failed"),
            ("no-manifest", "failed"),
            ("security-scanner", "active")
        ]
    );
    for (slug, words) in [
        ("broken-json", "line 1"),
        ("leads-out", "symbolic link"),
        ("no-main", "main.py"),
        ("no-manifest", "no plugin.json"),
    ] {
        let reply = app.call("POST", "/api/plugins/install", Some(&admin), Some(json!({"slug": slug}))).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("invalid_plugin")), "{}", reply.body);
        let shown = list["items"].as_array().unwrap().iter().find(|plugin| plugin["slug"] == slug).unwrap();
        assert!(shown["error"].as_str().unwrap().contains(words), "{shown}");
    }
    let endless = {
        bring(&app, "tests/plugins/endless-loop");
        app.call("POST", "/api/plugins/install", Some(&admin), Some(json!({"slug": "endless-loop"}))).await
    };
    assert_eq!(endless.status, 201, "it spins when called, not when loaded: {}", endless.body);
}

#[tokio::test]
async fn members_see_plugins_but_neither_change_them_nor_see_settings() {
    let app = App::start();
    app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let viewer = app.person("eve", "viewer", Some("acme")).await;
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let query = "?config=%7B%22severity_threshold%22%3A%22high%22%7D";
    assert_eq!(upload(&app, &admin, query, tar_of(SCANNER)).await.status, 201);
    let seen = app.call("GET", "/api/plugins/security-scanner", Some(&viewer), None).await;
    assert_eq!((seen.status, &seen.body["config"]), (200, &json!({})));
    for token in [&viewer, &boss] {
        assert_eq!(upload(&app, token, "?replace=true", tar_of(SCANNER)).await.status, 403);
        for (method, path) in [
            ("POST", "/api/plugins/install"),
            ("PUT", "/api/plugins/security-scanner/config"),
            ("POST", "/api/plugins/security-scanner/enable"),
            ("POST", "/api/plugins/security-scanner/disable"),
            ("DELETE", "/api/plugins/security-scanner"),
        ] {
            assert_eq!(app.call(method, path, Some(token), Some(json!({}))).await.status, 403, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_file_that_a_plugin_could_not_look_at_says_so() {
    let app = App::start();
    app.org("acme");
    app.cli_json(&["plugin", "install", repository("tests/plugins/raises").to_str().unwrap()], "");
    let token = app.person("ada", "developer", Some("acme")).await;
    let project = app.call("POST", "/api/projects", Some(&token), Some(json!({"name": "Adder"}))).await.body;
    let file = json!({"path": "add.py", "content": "print(1 + 1)\n"});
    let file = app.call("POST", &format!("/api/projects/{}/files", project["id"]), Some(&token), Some(file)).await;
    assert_eq!(file.status, 201, "{}", file.body);
    let path = format!("/api/files/{}/findings", file.body["id"]);
    let begun = std::time::Instant::now();
    let finding = loop {
        let found = app.call("GET", &path, Some(&token), None).await.body;
        if let Some(finding) = found["items"].as_array().unwrap().first() {
            break finding.clone();
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "nothing was said about the file");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((&finding["plugin"], &finding["type"]), (&json!("raises"), &json!("not_looked_at")), "{finding}");
    assert!(finding["message"].as_str().unwrap().starts_with("This plugin could not look at the file"), "{finding}");
}

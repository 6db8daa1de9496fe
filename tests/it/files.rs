//! Project files through the door: written, versioned, restored, refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::plugins;

/// A site with a project of its own.
struct Site {
    app: App,
    token: String,
    project: i64,
}

impl Site {
    async fn new() -> Self {
        let app = App::start();
        app.org("acme");
        let token = app.person("ada", "developer", Some("acme")).await;
        let made = app.call("POST", "/api/projects", Some(&token), Some(json!({"name": "Shop"}))).await;
        let project = made.body["id"].as_i64().unwrap();
        Self { app, token, project }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.app.call(method, path, Some(&self.token), body).await
    }

    async fn write(&self, path: &str, content: &str) -> Reply {
        let body = json!({"path": path, "content": content});
        self.call("POST", &format!("/api/projects/{}/files", self.project), Some(body)).await
    }
}

#[tokio::test]
async fn a_file_has_versions_that_come_back() {
    let site = Site::new().await;
    let made = site.write("src/main.py", "print(1)\n").await;
    assert_eq!((made.status, &made.body["language"]), (201, &json!("python")), "{}", made.body);
    let id = made.body["id"].as_i64().unwrap();
    let changed = site
        .call("PUT", &format!("/api/files/{id}"), Some(json!({"content": "print(2)\n", "expected_version": 1})))
        .await;
    assert_eq!((changed.status, &changed.body["version"]), (200, &json!(2)), "{}", changed.body);
    let same = site.call("PUT", &format!("/api/files/{id}"), Some(json!({"content": "print(2)\n"}))).await;
    assert_eq!(same.body["version"], 2);
    let late =
        site.call("PUT", &format!("/api/files/{id}"), Some(json!({"content": "3", "expected_version": 1}))).await;
    assert_eq!((late.status, &late.body["code"]), (409, &json!("version_conflict")));
    let old = site.call("GET", &format!("/api/files/{id}/versions/1"), None).await;
    assert_eq!((&old.body["content"], &old.body["encoding"]), (&json!("print(1)\n"), &json!("utf-8")));
    let restored = site.call("POST", &format!("/api/files/{id}/restore/1"), None).await;
    assert_eq!(restored.body["version"], 3, "{}", restored.body);
    let now = site.call("GET", &format!("/api/files/{id}"), None).await;
    assert_eq!(now.body["content"], "print(1)\n");
    let versions = site.call("GET", &format!("/api/files/{id}/versions"), None).await;
    let numbers: Vec<_> = versions.body["items"].as_array().unwrap().iter().map(|one| one["version"].clone()).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let project = site.call("GET", &format!("/api/projects/{}", site.project), None).await;
    assert_eq!(project.body["file_count"], 1);
    assert_eq!(site.call("DELETE", &format!("/api/files/{id}"), None).await.status, 204);
    assert_eq!(site.call("GET", &format!("/api/files/{id}"), None).await.status, 404);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_base64() {
    let site = Site::new().await;
    let body = json!({"path": "logo.bin", "content": "/wD+", "encoding": "base64"});
    let made = site.call("POST", &format!("/api/projects/{}/files", site.project), Some(body)).await;
    assert_eq!((made.status, &made.body["size"]), (201, &json!(3)), "{}", made.body);
    let read = site.call("GET", &format!("/api/files/{}", made.body["id"]), None).await;
    assert_eq!((&read.body["content"], &read.body["encoding"]), (&json!("/wD+"), &json!("base64")));
    // Text that holds a NUL is sent back as it was got.
    let body = json!({"path": "zero.dat", "content": "YQBi", "encoding": "base64"});
    let made = site.call("POST", &format!("/api/projects/{}/files", site.project), Some(body)).await;
    let path = format!("/api/files/{}", made.body["id"]);
    let read = site.call("GET", &path, None).await;
    assert_eq!((&read.body["content"], &read.body["encoding"]), (&json!("YQBi"), &json!("base64")));
    let back = json!({"content": read.body["content"], "encoding": read.body["encoding"], "expected_version": 1});
    assert_eq!(site.call("PUT", &path, Some(back)).await.body["version"], 1);
    assert_eq!(site.app.cli_json(&["file", "put", "Shop:zero.dat", "-"], "c\0d")["version"], 2);
    let wrong = json!({"path": "b.bin", "content": "no base64!", "encoding": "base64"});
    let refused = site.call("POST", &format!("/api/projects/{}/files", site.project), Some(wrong)).await;
    assert_eq!((refused.status, &refused.body["field"]), (400, &json!("content")));
}

#[tokio::test]
async fn a_file_is_as_large_as_the_limit_and_no_larger() {
    let site = Site::new().await;
    let largest = "x".repeat(8 << 20);
    let made = site.write("large.txt", &largest).await;
    assert_eq!((made.status, &made.body["size"]), (201, &json!(8 << 20)), "{}", made.body);
    let refused = site.write("larger.txt", &format!("{largest}x")).await;
    assert_eq!((refused.status, &refused.body["code"]), (413, &json!("file_too_large")), "{}", refused.body);
    assert_eq!(refused.body["field"], "content");
    assert!(refused.body["detail"].as_str().unwrap().contains("8388608"), "{}", refused.body);
    let kept = site.call("GET", &format!("/api/projects/{}/files", site.project), None).await;
    assert_eq!(kept.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_written_survives_kill_9() {
    let mut site = Site::new().await;
    let made = site.write("src/main.py", "print(1)\n").await;
    let path = format!("/api/files/{}", made.body["id"]);
    let changed = site.call("PUT", &path, Some(json!({"content": "print(2)\n"}))).await;
    assert_eq!((made.status, changed.status), (201, 200));
    site.app.crash_and_restart();
    let read = site.call("GET", &path, None).await;
    assert_eq!((&read.body["content"], &read.body["version"]), (&json!("print(2)\n"), &json!(2)), "{}", read.body);
    let old = site.call("GET", &format!("{path}/versions/1"), None).await;
    assert_eq!(old.body["content"], "print(1)\n");
    let trail = site.app.cli_json(&["audit", "list"], "");
    let told = trail["items"].as_array().unwrap().iter().filter(|entry| entry["resource_type"] == "file").count();
    assert_eq!(told, 2);
}

#[tokio::test]
async fn no_path_leaves_the_project_or_stands_for_two_files() {
    let site = Site::new().await;
    for path in ["../x", "/etc/passwd", "a/../../x", "C:\\x", "a\\b", "nul.txt", ".git/config", "", "a//b"] {
        let refused = site.write(path, "x").await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_path")), "{path}: {}", refused.body);
        assert_eq!(refused.body["field"], "path");
    }
    assert_eq!(site.write("docs/Read.md", "x").await.status, 201);
    for path in ["docs/READ.md", "docs", "docs/read.md/x"] {
        let refused = site.write(path, "x").await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("path_taken")), "{path}: {}", refused.body);
    }
}

#[tokio::test]
async fn files_belong_to_their_organisation() {
    let site = Site::new().await;
    let made = site.write("a.txt", "secret").await;
    let path = format!("/api/files/{}", made.body["id"]);
    site.app.org("other");
    let stranger = site.app.person("eve", "developer", Some("other")).await;
    let viewer = site.app.person("vic", "viewer", Some("acme")).await;
    for method in ["GET", "DELETE"] {
        assert_eq!(site.app.call(method, &path, Some(&stranger), None).await.status, 404);
    }
    assert_eq!(site.app.call("GET", &path, Some(&viewer), None).await.status, 200);
    assert_eq!(site.app.call("DELETE", &path, Some(&viewer), None).await.status, 403);
    let entries = site.app.cli_json(&["audit", "list"], "");
    let entries = entries["items"].as_array().unwrap().iter().filter(|entry| entry["resource_type"] == "file").count();
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn plugins_look_at_what_a_person_wrote() {
    let site = Site::new().await;
    let admin = site.app.person("root", "admin", None).await;
    plugins::bring(&site.app, "plugin-sdk/examples/security-scanner");
    let install = json!({"slug": "security-scanner", "config": {"severity_threshold": "high"}});
    assert_eq!(site.app.call("POST", "/api/plugins/install", Some(&admin), Some(install)).await.status, 201);
    let made = site.write("login.py", "password = \"hunter2hunter2\"\nresult = eval(input())\n").await;
    let file = format!("/api/files/{}", made.body["id"]);
    let started = Instant::now();
    let found = loop {
        let found = site.call("GET", &format!("{file}/findings"), None).await.body["items"].clone();
        if !found.as_array().unwrap().is_empty() {
            break found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "nothing was found");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(
        found.as_array().unwrap().iter().all(|one| one["plugin"] == "security-scanner" && one["file_version"] == 1)
    );
    let counts = site.call("GET", &file, None).await.body["findings"].clone();
    let total: i64 = ["low", "medium", "high", "critical"].iter().map(|level| counts[level].as_i64().unwrap()).sum();
    assert_eq!(total, found.as_array().unwrap().len() as i64);
    let plugin = site.app.call("GET", "/api/plugins/security-scanner", Some(&admin), None).await;
    assert_eq!(plugin.body["calls"], 1, "{}", plugin.body);
    // A new version begins without findings and is looked at anew.
    let mended = site.call("PUT", &file, Some(json!({"content": "print(1)\n"}))).await;
    assert_eq!((mended.status, &mended.body["findings"]["critical"]), (200, &json!(0)));
}

#[tokio::test]
async fn a_project_is_taken_away_as_zip_and_as_tar() {
    let site = Site::new().await;
    let long = "x".repeat(200_000);
    for (path, content) in [("src/main.py", "print(1)\n"), ("docs/Übersicht.md", "# Ü\n"), ("a.txt", &long)] {
        assert_eq!(site.write(path, content).await.status, 201);
    }
    let folder = tempfile::tempdir().unwrap();
    for ending in ["zip", "tar"] {
        let file = folder.path().join(format!("project.{ending}"));
        let done = site.app.cli_json(&["project", "download", "Shop", "-o", file.to_str().unwrap()], "");
        assert_eq!(done["format"], ending);
        let bytes = std::fs::read(&file).unwrap();
        let unpacked = if ending == "zip" { unzip(&bytes) } else { untar(&bytes) };
        let wanted = [("a.txt", long.as_str()), ("docs/Übersicht.md", "# Ü\n"), ("src/main.py", "print(1)\n")];
        assert_eq!(unpacked, wanted.map(|(path, content)| (path.to_owned(), content.to_owned())));
    }
    let trail = site.app.cli_json(&["audit", "list", "--action", "export"], "");
    assert_eq!(trail["items"].as_array().unwrap().len(), 2);
    let strange = site.call("GET", &format!("/api/projects/{}/download?format=rar", site.project), None).await;
    assert_eq!((strange.status, &strange.body["code"]), (400, &json!("invalid_query")));
}

pub fn unzip(bytes: &[u8]) -> Vec<(String, String)> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let names: Vec<String> = (0..archive.len()).map(|at| archive.by_index(at).unwrap().name().to_owned()).collect();
    names
        .into_iter()
        .map(|name| {
            let content = std::io::read_to_string(archive.by_name(&name).unwrap()).unwrap();
            (name, content)
        })
        .collect()
}

fn untar(bytes: &[u8]) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.path().unwrap().to_str().unwrap().to_owned(), std::io::read_to_string(entry).unwrap()))
        .collect()
}

#[tokio::test]
async fn files_are_handled_from_a_shell() {
    let site = Site::new().await;
    let app = &site.app;
    assert_eq!(app.cli_json(&["file", "put", "Shop:src/a.py", "-"], "print(1)\n")["version"], 1);
    assert_eq!(app.cli_json(&["file", "put", "Shop:src/a.py", "-"], "print(2)\n")["version"], 2);
    let shown = app.cli(&["file", "show", "Shop:src/a.py"], "");
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "print(2)\n");
    let old = app.cli(&["file", "show", "Shop:src/a.py", "--version", "1"], "");
    assert_eq!(String::from_utf8_lossy(&old.stdout), "print(1)\n");
    assert_eq!(app.cli_json(&["file", "restore", "Shop:src/a.py", "1"], "")["version"], 3);
    assert_eq!(app.cli_json(&["file", "versions", "Shop:src/a.py"], "")["items"].as_array().unwrap().len(), 3);
    let late = app.cli(&["file", "put", "Shop:src/a.py", "-", "--expected-version", "1"], "x");
    assert_eq!(late.status.code(), Some(5), "{}", String::from_utf8_lossy(&late.stderr));
    let wrong = app.cli(&["file", "show", "Shop:src/b.py"], "");
    assert_eq!(wrong.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("src/a.py"), "{}", String::from_utf8_lossy(&wrong.stderr));
    assert_eq!(app.cli_json(&["file", "list", "Shop"], "")["items"][0]["path"], "src/a.py");
    app.cli_json(&["file", "delete", "Shop:src/a.py", "--yes"], "");
    assert_eq!(app.cli_json(&["file", "list", "Shop"], "")["items"].as_array().unwrap().len(), 0);
}

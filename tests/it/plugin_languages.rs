//! Plugins that are components: without any runtime, in JavaScript, compiled on the site once and kept.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::{App, Reply};

/// An archive of these files.
pub fn archive(files: &[(&str, Vec<u8>)]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap().into()
}

pub async fn upload(app: &App, token: &str, archive: Bytes) -> Reply {
    let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/x-tar".to_owned())];
    app.send("POST", "/api/plugins/upload", &headers, archive).await
}

/// Writes a file into a new project and waits for what `plugin` says about it.
pub async fn findings(app: &App, token: &str, plugin: &str, path: &str, content: &str) -> Vec<Value> {
    static PROJECTS: AtomicU32 = AtomicU32::new(0);
    let name = format!("{plugin} {}", PROJECTS.fetch_add(1, Ordering::Relaxed));
    let project = app.call("POST", "/api/projects", Some(token), Some(json!({"name": name}))).await.body;
    let file = json!({"path": path, "content": content});
    let file = app.call("POST", &format!("/api/projects/{}/files", project["id"]), Some(token), Some(file)).await;
    assert_eq!(file.status, 201, "{}", file.body);
    let path = format!("/api/files/{}/findings", file.body["id"]);
    let begun = Instant::now();
    loop {
        let found = app.call("GET", &path, Some(token), None).await.body;
        let mine = found["items"].as_array().unwrap().iter().filter(|finding| finding["plugin"] == plugin);
        // The newest are listed first.
        let mine: Vec<Value> = mine.rev().cloned().collect();
        if !mine.is_empty() {
            return mine;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{plugin} said nothing about the file");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn example(file: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk/examples").join(file)).unwrap()
}

fn todo_marks() -> Bytes {
    let component = wat::parse_bytes(&example("todo-marks/plugin.wat")).unwrap().into_owned();
    archive(&[("plugin.json", example("todo-marks/plugin.json")), ("plugin.wasm", component)])
}

/// Builds the plugin in JavaScript that lies in this folder, and its tests.
pub fn build(folder: &Path) {
    // What it is built with is installed once.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk/javascript/build.sh");
    let built = Command::new("sh").arg(build).arg(folder).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

#[tokio::test]
async fn a_component_without_any_runtime_looks_at_files() {
    let mut app = App::start();
    app.org("acme");
    let (admin, ada) = (app.person("root", "admin", None).await, app.person("ada", "developer", Some("acme")).await);
    let made = upload(&app, &admin, todo_marks()).await;
    assert_eq!((made.status, &made.body["status"]), (201, &json!("active")), "{}", made.body);
    assert_eq!(made.body["hooks"], json!([{"name": "code.analyze", "kind": "filter", "priority": 30}]));

    let code = "# TODO: all\nprint(\"\\n\")  # no\n\n# a TODO and a TODO\n";
    let found = findings(&app, &ada, "todo-marks", "a.py", code).await;
    let seen: Vec<_> = found.iter().map(|one| (one["type"].as_str().unwrap(), one["line"].as_i64().unwrap())).collect();
    assert_eq!(seen, [("todo", 1), ("todo", 4), ("todo", 4)]);

    // What was compiled is kept; changed by somebody else, it is made anew and never run.
    let kept = app.dir.path().join("plugins/.compiled");
    let kept = fs::read_dir(kept).unwrap().next().unwrap().unwrap().path();
    let sealed = fs::read(&kept).unwrap();
    for change in ["nothing", "one byte"] {
        let mut bytes = sealed.clone();
        if change == "one byte" {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        fs::write(&kept, &bytes).unwrap();
        app.crash_and_restart();
        assert_eq!(findings(&app, &ada, "todo-marks", "b.py", code).await.len(), 3, "{change}");
        assert_eq!(fs::read(&kept).unwrap() == bytes, change == "nothing", "{change}");
    }
    assert_eq!(app.call("DELETE", "/api/plugins/todo-marks", Some(&admin), None).await.status, 204);
    assert!(!kept.exists(), "nobody needs it any more");
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_by_its_reason() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let manifest = example("todo-marks/plugin.json");
    let component = |text: &str| wat::parse_str(text).unwrap();
    for (wasm, code, words) in [
        (b"text".to_vec(), "invalid_plugin", "plugin.wasm is no WebAssembly component"),
        (component("(module)"), "invalid_plugin", "a core module alone is none"),
        (b"\0asm\x0d\0\x01\0\xff\xff\xff".to_vec(), "plugin_not_compiled", "It is no component of the plugin contract"),
        (component("(component)"), "plugin_not_compiled", "no export `call-hook` found"),
        (
            component(r#"(component (import "wasi:http/types@0.2.0" (instance (export "x" (func)))))"#),
            "plugin_not_compiled",
            "wasi:http/types@0.2.0",
        ),
    ] {
        let refused = upload(&app, &admin, archive(&[("plugin.json", manifest.clone()), ("plugin.wasm", wasm)])).await;
        assert_eq!((refused.status, refused.body["code"].as_str()), (400, Some(code)), "{}", refused.body);
        assert!(refused.body["detail"].as_str().unwrap().contains(words), "{words}: {}", refused.body);
    }
    assert_eq!(app.call("GET", "/api/plugins", Some(&admin), None).await.body["items"], json!([]));
}

#[tokio::test]
async fn a_plugin_in_javascript_looks_at_files() {
    let app = App::start();
    app.org("acme");
    let (admin, ada) = (app.person("root", "admin", None).await, app.person("ada", "developer", Some("acme")).await);
    let folder = tempfile::tempdir().unwrap();
    for name in ["plugin.json", "main.js", "rules.js"] {
        fs::write(folder.path().join(name), example(&format!("script-review/{name}"))).unwrap();
    }
    build(folder.path());
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let made =
        upload(&app, &admin, archive(&[("plugin.json", read("plugin.json")), ("plugin.wasm", read("plugin.wasm"))]))
            .await;
    assert_eq!((made.status, &made.body["status"]), (201, &json!("active")), "{}", made.body);

    let code = "const a = 1;\nvar b = a == 2;\ndebugger;\n";
    let found = findings(&app, &ada, "script-review", "a.js", code).await;
    let seen: Vec<_> = found.iter().map(|one| (one["type"].as_str().unwrap(), one["line"].as_i64().unwrap())).collect();
    assert_eq!(seen, [("var", 2), ("loose_comparison", 2), ("debugger", 3)]);

    let body = json!({"ignore": ["tabs"]});
    let refused = app.call("PUT", "/api/plugins/script-review/config", Some(&admin), Some(body)).await;
    assert_eq!(refused.body["code"], "plugin_load_failed", "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("RangeError: ignore names tabs"), "{}", refused.body);
}

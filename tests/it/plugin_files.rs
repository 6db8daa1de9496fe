//! Plugins at the files of projects: those granted and no others, in the name of whoever acted, within bounds.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;
use crate::hooks;

const PATIENCE: Duration = Duration::from_secs(60);

/// Does what files below `do` say when they are made, and what files below `look` say when it is to look at them.
const MAIN: &str = r#"
from resoftai import files
from resoftai.plugins.base import CodeQualityPlugin

class Hand(CodeQualityPlugin):
    def load(self, context):
        self.context = context
        return True
    def activate(self):
        self.context.hooks.register_action("file.create.after", self.made)
        return True
    def deactivate(self): return True
    def unload(self): return True
    def get_tool_name(self): return "hand"
    def made(self, payload):
        path = payload["path"]
        if path.startswith("do/"):
            self.context.log_info(f"{path}: {self.do(files.read_text(path))}")
    def analyze_code(self, code, language, file_path):
        return {"issues": [{"message": self.do(code)}]} if file_path.startswith("look/") else {}
    def do(self, script):
        said = []
        for line in script.splitlines():
            verb, _, rest = line.partition(" ")
            path, _, text = rest.partition(" ")
            try:
                if verb == "LIST":
                    said.append(" ".join(files.list(rest)))
                elif verb == "READ":
                    said.append(files.read_text(path))
                elif verb == "WRITE":
                    files.write(path, text.replace("%", "\n"))
                    said.append("written")
                elif verb == "LONG":
                    files.write(path, "x" * int(text))
                elif verb == "DELETE":
                    files.delete(path)
                    said.append("deleted")
                elif verb == "MANY":
                    for _ in range(int(rest)):
                        files.list("none")
            except Exception as error:
                said.append(str(error))
        return " | ".join(said)
"#;

struct Site {
    app: App,
    boss: String,
    ada: String,
    org: i64,
    project: i64,
}

impl Site {
    async fn new() -> Self {
        let app = App::start();
        let org = app.org("acme");
        let root = app.person("root", "admin", None).await;
        let boss = app.person("boss", "org_admin", Some("acme")).await;
        let ada = app.person("ada", "developer", Some("acme")).await;
        let folder = app.dir.path().join("plugins/hand");
        fs::create_dir_all(&folder).unwrap();
        let manifest = json!({"name": "Hand", "slug": "hand", "version": "1.0.0", "category": "code_quality",
            "entry_point": "main.py:Hand",
            "capabilities": {"files": {"read": ["src/**", "do/*"], "write": ["src/**/*.md", "do/*"]}, "time_ms": 30_000}});
        fs::write(folder.join("plugin.json"), manifest.to_string()).unwrap();
        fs::write(folder.join("main.py"), MAIN).unwrap();
        let made = app.call("POST", "/api/plugins/install", Some(&root), Some(json!({"slug": "hand"}))).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let made = app.call("POST", "/api/projects", Some(&ada), Some(json!({"name": "Shop"}))).await;
        let site = Self { app, boss, ada, org, project: made.body["id"].as_i64().unwrap() };
        site.grant(json!("all")).await;
        site
    }

    async fn grant(&self, granted: Value) {
        let path = format!("/api/organizations/{}/plugins/hand", self.org);
        let body = json!({"enabled": true, "granted": granted});
        let reply = self.app.call("PUT", &path, Some(&self.boss), Some(body)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    async fn file(&self, path: &str, content: &str) -> i64 {
        let body = json!({"path": path, "content": content});
        let path = format!("/api/projects/{}/files", self.project);
        let made = self.app.call("POST", &path, Some(&self.ada), Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_i64().unwrap()
    }

    /// The files of the project by path, whole.
    async fn files(&self) -> Vec<Value> {
        let path = format!("/api/projects/{}/files?limit=100", self.project);
        let mut files = self.app.call("GET", &path, Some(&self.ada), None).await.body["items"].take();
        let files = files.as_array_mut().unwrap();
        files.sort_by_key(|file| file["path"].as_str().unwrap().to_owned());
        std::mem::take(files)
    }

    async fn log(&self) -> Vec<String> {
        let path = format!("/api/plugins/hand/logs?organization_id={}&limit=100", self.org);
        let log = self.app.call("GET", &path, Some(&self.boss), None).await.body;
        log["items"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    }

    /// What the plugin said of the file at `path` below `do`.
    async fn said(&self, path: &str) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let log = self.log().await;
            let line = log.iter().find_map(|line| line.strip_prefix(&format!("{path}: ")));
            if let Some(line) = line {
                return line.split(" | ").map(str::to_owned).collect();
            }
            assert!(begun.elapsed() < PATIENCE, "nothing was said of {path}: {log:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn does(&self, path: &str, script: &str) -> Vec<String> {
        self.file(path, script).await;
        self.said(path).await
    }
}

#[tokio::test]
async fn a_plugin_reaches_the_files_it_was_granted_and_no_others() {
    let site = Site::new().await;
    for (path, content) in [("src/a.py", "A"), ("secret.txt", "S"), ("SRC/Upper.md", "U")] {
        site.file(path, content).await;
    }
    let script = "LIST **\nLIST src/*.py\nREAD src/a.py\nREAD secret.txt\nREAD src/../secret.txt\nREAD /etc/passwd\n\
                  WRITE src/a.py B\nWRITE src/upper.md B\nREAD src/none.py\nWRITE src/new.md hello\nREAD src/new.md";
    let said = site.does("do/1", script).await;
    assert_eq!(said[..3], ["do/1 src/a.py", "src/a.py", "A"]);
    for (at, words) in [
        (3, "Denied: reading secret.txt is not granted to hand here (capability files)"),
        (4, "is not a name"),
        (5, "starts at the root"),
        (6, "Denied: writing src/a.py is not granted"),
        (7, "Denied: writing src/upper.md is not granted"),
        (8, "There is no file src/none.py"),
    ] {
        assert!(said[at].contains(words), "{at}: {}", said[at]);
    }
    assert_eq!(said[9..], ["written", "hello"]);
    assert!(site.log().await.iter().any(|line| line.starts_with("Denied: reading secret.txt")), "admins read it");

    let files = site.files().await;
    let made = files.iter().find(|file| file["path"] == "src/new.md").unwrap();
    assert_eq!((&made["version"], &made["updated_by"]), (&json!(1), &json!("plugin hand")));
    let trail = site.app.cli_json(&["audit", "list", "--org", "acme"], "");
    let trail = trail["items"].as_array().unwrap();
    let by = |words: &str| &trail.iter().find(|entry| entry["description"] == words).unwrap()["actor"];
    let (person, plugin) = (by("Created file src/a.py of project Shop"), by("Created file src/new.md of project Shop"));
    assert_eq!(plugin["name"], "plugin hand");
    assert!(plugin["id"].is_i64() && plugin["id"] == person["id"], "on behalf of who acted: {plugin} {person}");

    let said =
        site.does("do/2", "WRITE src/new.md again\nDELETE src/new.md\nDELETE src/new.md\nDELETE secret.txt").await;
    assert_eq!(said[..2], ["written", "deleted"]);
    assert!(said[2].contains("There is no file src/new.md") && said[3].contains("Denied: deleting"), "{said:?}");
    let paths: Vec<Value> = site.files().await.iter().map(|file| file["path"].clone()).collect();
    assert_eq!(paths, ["SRC/Upper.md", "do/1", "do/2", "secret.txt", "src/a.py"]);

    site.grant(json!({"files": {"read": ["do/*"]}})).await;
    let said = site.does("do/3", "READ src/a.py\nWRITE do/4 x\nLIST **").await;
    assert!(said[0].contains("is not granted") && said[1].contains("is not granted"), "{said:?}");
    assert_eq!(said[2], "do/1 do/2 do/3");
}

#[tokio::test]
async fn a_plugin_that_looks_at_code_reads_files_and_changes_none() {
    let site = Site::new().await;
    site.file("src/a.py", "A").await;
    let file = site.file("look/1", "READ src/a.py\nWRITE src/new.md x").await;
    let begun = Instant::now();
    let said = loop {
        let path = format!("/api/files/{file}/findings");
        let found = site.app.call("GET", &path, Some(&site.ada), None).await.body;
        if let Some(finding) = found["items"].as_array().unwrap().first() {
            break finding["message"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "nothing was said");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(said.starts_with("A | Denied: writing src/new.md. Files are changed only where"), "{said}");
    assert_eq!(site.files().await.len(), 2);
}

#[tokio::test]
async fn what_a_plugin_writes_is_bounded_counted_and_sets_no_plugin_writing() {
    let site = Site::new().await;
    let said = site.does("do/1", "WRITE do/2 WRITE src/loop.md x%READ src/loop.md").await;
    assert_eq!(said, ["written"]);
    let said = site.said("do/2").await;
    assert!(said[0].starts_with("Denied: writing src/loop.md. Files are changed only where"), "{said:?}");
    assert!(said[1].contains("There is no file src/loop.md"), "it may read all the same: {said:?}");

    let said = site.does("do/3", "MANY 1000\nREAD do/1").await;
    assert!(said[0].contains("one call may list, read, write and delete 1000 times"), "{said:?}");
    site.app.cli_json(&["quota", "set", "--org", "acme", "storage", "1000"], "");
    let said = site.does("do/4", "LONG src/long.md 5000").await;
    assert!(said[0].contains("stored bytes"), "{said:?}");
    assert!(site.files().await.iter().all(|file| file["path"] != "src/long.md"));
}

#[tokio::test]
async fn the_example_puts_headers_on_files_that_people_write() {
    let site = hooks::Site::new(&["plugin-sdk/examples/file-headers"]).await;
    let boss = site.app.person("boss", "org_admin", Some("acme")).await;
    let path = format!("/api/organizations/{}/plugins/file-headers", site.org);
    let body = json!({"enabled": true, "granted": "all", "config": {"header": "Acme"}});
    let granted = site.app.call("PUT", &path, Some(&boss), Some(body)).await;
    assert_eq!(granted.status, 200, "{}", granted.body);
    let project = site.project().await;
    let body = json!({"path": "a.py", "content": "print(1)\n"});
    let file = site.call("POST", &format!("/api/projects/{project}/files"), Some(body)).await["id"].clone();
    let begun = Instant::now();
    loop {
        let file = site.call("GET", &format!("/api/files/{file}"), None).await;
        if file["version"] == 2 {
            assert_eq!(
                (&file["content"], &file["updated_by"]),
                (&json!("# Acme\nprint(1)\n"), &json!("plugin file-headers"))
            );
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{file}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let old = site.call("GET", &format!("/api/files/{file}/versions/1"), None).await;
    assert_eq!((&old["content"], &old["updated_by"]), (&json!("print(1)\n"), &json!("ada")));
}

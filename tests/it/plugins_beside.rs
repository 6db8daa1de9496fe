//! Plugins on two servers of one site, which share a database and nothing else.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;

const PATIENCE: Duration = Duration::from_secs(60);
const MAIN: &str = r#"
from resoftai.plugins.base import TemplatePlugin

class Word(TemplatePlugin):
    def load(self, context): return True
    def activate(self): return True
    def deactivate(self): return True
    def unload(self): return True
    def get_template_name(self): return "word"
    def get_template_files(self): return {"word.txt": self.config.get("word", "none")}
"#;

fn bring(app: &App) {
    let folder = app.dir.path().join("plugins/word");
    fs::create_dir_all(&folder).unwrap();
    let manifest = json!({"name": "Word", "slug": "word", "version": "1.0.0", "category": "template",
        "entry_point": "main.py:Word"});
    fs::write(folder.join("plugin.json"), manifest.to_string()).unwrap();
    fs::write(folder.join("main.py"), MAIN).unwrap();
}

#[tokio::test]
async fn a_server_follows_what_another_one_changes() {
    if std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_none() {
        return;
    }
    let app = App::start();
    app.org("acme");
    let (root, ada) = (app.person("root", "admin", None).await, app.person("ada", "developer", Some("acme")).await);
    let other = app.beside();
    bring(&app);
    bring(&other);
    let change = async |method: &str, path: &str, body: Option<Value>| {
        let reply = app.call(method, path, Some(&root), body).await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.body);
    };
    // What the other server's template says; null where it has none.
    let until = async |wanted: Value| {
        let begun = Instant::now();
        loop {
            let made = other.call("POST", "/api/templates/word/preview", Some(&ada), Some(json!({}))).await;
            let said = &made.body["items"][0]["content"];
            if *said == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} was awaited: {}", made.body);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    until(json!(null)).await;
    change("POST", "/api/plugins/install", Some(json!({"slug": "word", "config": {"word": "blue"}}))).await;
    until(json!("blue")).await;
    change("PUT", "/api/plugins/word/config", Some(json!({"word": "green"}))).await;
    until(json!("green")).await;
    change("POST", "/api/plugins/word/disable", None).await;
    until(json!(null)).await;
    change("POST", "/api/plugins/word/enable", None).await;
    until(json!("green")).await;
    change("PUT", "/api/plugins/word/everywhere", Some(json!({"everywhere": false}))).await;
    until(json!(null)).await;
    change("PUT", "/api/plugins/word/everywhere", Some(json!({"everywhere": true}))).await;
    until(json!("green")).await;
    // The word was made on the other server only, and is counted for both.
    let made = app.call("POST", "/api/templates/word/preview", Some(&ada), Some(json!({}))).await;
    assert_eq!(made.body["items"][0]["content"], "green");
    let count = async |app: &App| {
        let figures = app.call("GET", "/api/plugins/word/metrics", Some(&root), None).await.body;
        figures["hooks"].as_array().unwrap().iter().map(|hook| hook["calls"].as_i64().unwrap()).sum::<i64>()
    };
    let (others, both) = (count(&other).await, count(&app).await);
    assert!(others > 0 && both > others && count(&other).await == both, "{others} and {both}");
    change("DELETE", "/api/plugins/word", None).await;
    until(json!(null)).await;
    assert!(!other.dir.path().join("plugins/word").exists(), "it must not come back when that server starts again");
}

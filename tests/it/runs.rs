//! Runs through the door, on the real built-in model: followed, stopped, taken up after a crash.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{App, Reply};

/// Enough for every role to have its turn, little enough for a test.
const BUDGET: i64 = 6_000;
/// The model computes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

fn model() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache"), PathBuf::from);
    let file = cache.join("resoftai/models/smollm2-135m-instruct.gguf");
    assert!(file.exists(), "{} is missing: run `make model`", file.display());
    file
}

/// A site with a model and a project.
struct Site {
    app: App,
    token: String,
    project: i64,
}

impl Site {
    async fn new() -> Self {
        let app = App::start_with_settings(&[("RESOFTAI_LLM_MODEL_PATH", model().to_str().unwrap())]);
        app.org("acme");
        let token = app.person("ada", "developer", Some("acme")).await;
        let body = json!({"name": "Adder", "requirements": "A Python program that adds two numbers."});
        let made = app.call("POST", "/api/projects", Some(&token), Some(body)).await;
        let project = made.body["id"].as_i64().unwrap();
        Self { app, token, project }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.app.call(method, path, Some(&self.token), body).await
    }

    async fn start(&self, more: Value) -> i64 {
        let mut body = json!({"token_budget": BUDGET, "max_iterations": 1});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let started = self.call("POST", &format!("/api/projects/{}/runs", self.project), Some(body)).await;
        assert_eq!(started.status, 201, "{}", started.body);
        started.body["id"].as_i64().unwrap()
    }

    async fn run(&self, id: i64) -> Value {
        self.call("GET", &format!("/api/runs/{id}"), None).await.body
    }

    /// Looks until the run is as wanted.
    async fn until(&self, id: i64, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let run = self.run(id).await;
            if wanted(&run) {
                return run;
            }
            let ended = ["completed", "failed", "canceled"].iter().any(|status| run["status"] == *status);
            assert!(!ended && started.elapsed() < PATIENCE, "not as wanted: {run:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The events of an ended run after number `last`, as (id, name, data).
    async fn events(&self, id: i64, last: i64) -> Vec<(i64, String, Value)> {
        let headers = [("authorization", format!("Bearer {}", self.token)), ("last-event-id", last.to_string())];
        let reply = self.app.send("GET", &format!("/api/runs/{id}/events"), &headers, bytes::Bytes::new()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let text = reply.body.as_str().unwrap().to_owned();
        let field = |event: &str, name: &str| {
            event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
        };
        let events = text.split("\n\n").filter(|event| event.contains("data:"));
        events
            .map(|event| {
                let id = field(event, "id").map_or(0, |id| id.parse().unwrap());
                (id, field(event, "event").unwrap(), serde_json::from_str(&field(event, "data").unwrap()).unwrap())
            })
            .collect()
    }
}

#[tokio::test]
async fn a_run_makes_files_stage_by_stage() {
    let site = Site::new().await;
    let id = site.start(json!({})).await;
    let again = site.call("POST", &format!("/api/projects/{}/runs", site.project), Some(json!({}))).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("run_active")), "{}", again.body);
    let run = site.until(id, |run| run["status"] == "completed").await;
    let stages = run["stages"].as_array().unwrap();
    assert!(stages.iter().all(|stage| stage["status"] == "done" && stage["tokens"].as_i64().unwrap() > 0), "{run:#}");
    assert!(run["tokens_used"].as_i64().unwrap() <= BUDGET, "{run:#}");
    let events = site.events(id, 0).await;
    let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
    assert_eq!(numbers, (1..=events.len() as i64).collect::<Vec<_>>());
    let files = site.call("GET", &format!("/api/projects/{}/files?limit=100", site.project), None).await;
    let paths: Vec<&str> =
        files.body["items"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    for document in ["planning/development-plan.md", "requirements/SRS.md", "architecture/architecture.md"] {
        assert!(paths.contains(&document), "{paths:?}");
    }
    let told: Vec<&str> = events
        .iter()
        .filter(|event| event.1 == "file")
        .map(|event| event.2["file"]["path"].as_str().unwrap())
        .collect();
    assert!(paths.iter().all(|path| told.contains(path)), "{paths:?} {told:?}");
    let later = site.events(id, numbers.len() as i64 - 2).await;
    assert_eq!(later, events[events.len() - 2..]);
    let usage: i64 = stages.iter().map(|stage| stage["tokens"].as_i64().unwrap()).sum();
    let quotas = site.app.cli_json(&["quota", "show", "--org", "acme"], "");
    let tokens = quotas["items"].as_array().unwrap().iter().find(|quota| quota["resource"] == "llm_tokens").unwrap();
    assert_eq!((run["tokens_used"].as_i64(), tokens["used"].as_i64()), (Some(usage), Some(usage)));
    let audit = site.app.cli_json(&["audit", "list", "--limit", "100"], "");
    let turns = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["actor"]["kind"] == "agent" && entry["resource_type"] == "run");
    assert_eq!(turns.count(), 7);
    let project = site.call("GET", &format!("/api/projects/{}", site.project), None).await;
    assert_eq!((&project.body["status"], &project.body["latest_run_id"]), (&json!("completed"), &json!(id)));
}

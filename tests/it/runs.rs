//! Runs through the door, on the real built-in model: followed, stopped, taken up after a crash.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::{models, plugins};

/// Enough for every role to have its turn, little enough for a test.
const BUDGET: i64 = 4_000;
/// The model computes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// A site with a model and a project.
struct Site {
    app: App,
    token: String,
    project: i64,
}

impl Site {
    async fn new() -> Self {
        let app = models::site(&[]);
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
    // The model may write a document of the same name in other letters, which is the same file.
    let path = |file: &Value| file["path"].as_str().unwrap().to_lowercase();
    let paths: Vec<String> = files.body["items"].as_array().unwrap().iter().map(path).collect();
    for document in ["planning/development-plan.md", "requirements/srs.md", "architecture/architecture.md"] {
        assert!(paths.iter().any(|path| path == document), "{paths:?}");
    }
    let told: Vec<String> = events
        .iter()
        .filter(|event| event.1 == "file")
        .map(|event| event.2["file"]["path"].as_str().unwrap().to_lowercase())
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

fn stage<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

#[tokio::test]
async fn a_run_that_was_killed_in_the_middle_goes_on_and_bad_plugins_stop_nothing() {
    let mut site = Site::new().await;
    let admin = site.app.person("root", "admin", None).await;
    for slug in ["raises", "endless-loop", "memory-bomb"] {
        plugins::bring(&site.app, &format!("tests/plugins/{slug}"));
        let body = Some(json!({"slug": slug}));
        let installed = site.app.call("POST", "/api/plugins/install", Some(&admin), body).await;
        assert_eq!(installed.status, 201, "{}", installed.body);
    }
    let id = site.start(json!({"skip_ui_design": true})).await;
    let before = site.until(id, |run| stage(run, "architecture_design")["status"] == "running").await;
    let done = stage(&before, "requirement_analysis").clone();
    site.app.crash_and_restart();
    let run = site.until(id, |run| run["status"] == "completed").await;
    assert_eq!(stage(&run, "requirement_analysis"), &done, "what was committed before the crash is done again");
    assert_eq!(stage(&run, "architecture_design")["attempts"], 2);
    assert_eq!(stage(&run, "ui_design")["status"], "skipped");
    let events = site.events(id, 0).await;
    let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
    assert_eq!(numbers, (1..=events.len() as i64).collect::<Vec<_>>());
    for slug in ["raises", "endless-loop", "memory-bomb"] {
        let told = events.iter().any(|event| {
            event.1 == "message"
                && event.2["text"].as_str().unwrap().contains(&format!("The plugin {slug} could not look at"))
        });
        assert!(told, "nothing was said about the plugin {slug}");
    }
    let files = site.call("GET", &format!("/api/projects/{}/files?limit=100", site.project), None).await;
    for file in files.body["items"].as_array().unwrap() {
        let versions = site.call("GET", &format!("/api/files/{}/versions", file["id"]), None).await;
        assert_eq!(versions.body["items"].as_array().unwrap().len() as i64, file["version"].as_i64().unwrap());
    }
}

#[tokio::test]
async fn a_run_is_paused_resumed_canceled_and_taken_up_again() {
    let site = Site::new().await;
    let act = async |id: i64, verb: &str| site.call("POST", &format!("/api/runs/{id}/{verb}"), None).await;
    let id = site.start(json!({})).await;
    assert_eq!(act(id, "resume").await.body["code"], "run_state");
    let paused = act(id, "pause").await;
    assert_eq!((paused.status, &paused.body["status"]), (200, &json!("paused")));
    let resumed = act(id, "resume").await;
    assert_eq!((resumed.status, &resumed.body["status"]), (200, &json!("running")));
    site.until(id, |run| stage(run, "requirement_analysis")["status"] == "running").await;
    assert_eq!(
        site.call("DELETE", &format!("/api/projects/{}", site.project), None).await.body["code"],
        "project_busy"
    );
    let canceled = act(id, "cancel").await;
    assert_eq!((canceled.status, &canceled.body["status"]), (200, &json!("canceled")));
    assert_eq!(act(id, "cancel").await.body["code"], "run_state");
    assert_eq!(act(id, "stages/testing/retry").await.body["code"], "stage_not_reached");
    assert_eq!(act(id, "stages/nothing/retry").await.status, 404);
    let last = site.events(id, 0).await.pop().unwrap();
    assert_eq!((last.1.as_str(), &last.2["status"]), ("status", &json!("canceled")));
    let again = act(id, "stages/requirement_analysis/retry").await;
    assert_eq!((again.status, &again.body["status"]), (200, &json!("queued")), "{}", again.body);
    site.until(id, |run| stage(run, "requirement_analysis")["status"] == "running").await;
    assert_eq!(stage(&site.run(id).await, "requirement_analysis")["attempts"], 2);
    assert_eq!(act(id, "cancel").await.status, 200);
    let trail = site.app.cli_json(&["audit", "list", "--resource", "run"], "");
    let told: Vec<&str> =
        trail["items"].as_array().unwrap().iter().rev().map(|entry| entry["description"].as_str().unwrap()).collect();
    let id = id.to_string();
    let wanted = ["Started", "Paused", "Resumed", "Canceled", "Began stage requirement_analysis again in", "Canceled"];
    assert_eq!(told, wanted.map(|verb| format!("{verb} run {id}")));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_before_a_token_is_spent() {
    let site = Site::new().await;
    let path = format!("/api/projects/{}/runs", site.project);
    for (body, field) in [
        (json!({"max_iterations": 0}), "max_iterations"),
        (json!({"token_budget": 10}), "token_budget"),
        (json!({"requirement": " "}), "requirement"),
        (json!({"surprise": 1}), "surprise"),
    ] {
        let refused = site.call("POST", &path, Some(body.clone())).await;
        assert_eq!((refused.status, &refused.body["field"]), (400, &json!(field)), "{body}: {}", refused.body);
    }
    assert_eq!(site.call("POST", &path, Some(json!({"model": "none"}))).await.status, 404);
    let viewer = site.app.person("vic", "viewer", Some("acme")).await;
    assert_eq!(site.app.call("POST", &path, Some(&viewer), Some(json!({}))).await.status, 403);
    // Longer than the model's context: the run says so with the numbers, and nothing is cut.
    let id = site.start(json!({"requirement": "word ".repeat(12_000), "token_budget": null})).await;
    let run = site.until(id, |run| run["status"] == "failed").await;
    assert_eq!((&run["error"]["code"], &run["tokens_used"]), (&json!("context_length_exceeded"), &json!(0)), "{run:#}");
    // Neither more tokens than the organisation has.
    site.app.cli_json(&["quota", "set", "--org", "acme", "llm_tokens", "100"], "");
    let id = site.start(json!({})).await;
    let run = site.until(id, |run| run["status"] == "failed").await;
    assert_eq!((&run["error"]["code"], &run["tokens_used"]), (&json!("quota_exceeded"), &json!(0)), "{run:#}");
    site.app.org("other");
    let stranger = site.app.person("eve", "developer", Some("other")).await;
    for address in [format!("/api/runs/{id}"), format!("/api/runs/{id}/events")] {
        assert_eq!(site.app.call("GET", &address, Some(&stranger), None).await.status, 404);
    }
}

#[tokio::test]
async fn a_run_is_started_and_followed_from_a_shell() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let plain = site.app.cli(
        &[
            "run",
            "Say hello.",
            "--org",
            "acme",
            "--token-budget",
            "4000",
            "--max-iterations",
            "1",
            "--skip-ui-design",
            "--follow",
        ],
        "",
    );
    let (said, remarks) = (String::from_utf8_lossy(&plain.stdout), String::from_utf8_lossy(&plain.stderr));
    assert_eq!(plain.status.code(), Some(0), "{said}\n{remarks}");
    for words in ["Created project", "qa_review", "requirements/SRS.md", "Fetch them: resoftai project download"] {
        assert!(said.contains(words) || remarks.contains(words), "`{words}` was not said:\n{said}\n{remarks}");
    }
    let runs = site.app.cli_json(&["runs", "list", "Say hello"], "");
    let id = runs["items"][0]["id"].to_string();
    // Who comes late is told everything again, as JSON lines that end with a summary.
    let json = site.app.cli(&["--json", "runs", "follow", &id], "");
    let lines: Vec<Value> =
        String::from_utf8_lossy(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["event"], "summary");
    assert!(lines.iter().any(|line| line["event"] == "file"), "{lines:?}");
    let file = folder.path().join("hello.zip");
    site.app.cli_json(&["project", "download", "Say hello", "-o", file.to_str().unwrap()], "");
    assert!(std::fs::metadata(&file).unwrap().len() > 100);
    // A run that ends otherwise says so by its exit code.
    let again = site.app.cli(&["run", "--project", "Say hello", "--token-budget", "2000"], "");
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    let id = site.app.cli_json(&["runs", "list", "Say hello"], "")["items"][0]["id"].to_string();
    site.app.cli_json(&["runs", "cancel", &id], "");
    let canceled = site.app.cli(&["runs", "follow", &id], "");
    assert_eq!(canceled.status.code(), Some(8), "{}", String::from_utf8_lossy(&canceled.stderr));
}

//! Runs on a model server that cannot be held to a form, and that fails: it replays what our own engine once answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;
use crate::model_server::{Answer, ModelServer, STREAM};

/// The recorded words, without the count of tokens: that one was about another question.
fn words() -> String {
    STREAM.split_inclusive("\n\n").filter(|frame| !frame.contains("\"usage\":{")).collect()
}

#[tokio::test]
async fn an_answer_that_is_no_program_is_asked_for_again_and_then_shown() {
    let app = App::start();
    let org = app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let asked = AtomicUsize::new(0);
    // It fails once; then it answers every question with three colours.
    let server = ModelServer::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::json(500, r#"{"error":{"message":"out of memory"}}"#),
        _ => Answer::stream(&words()),
    });
    let provider = json!({"name": "lab", "base_url": server.url(), "organization_id": org});
    assert_eq!(app.call("POST", "/api/llm/providers", Some(&admin), Some(provider)).await.status, 201);
    let token = app.person("ada", "developer", Some("acme")).await;
    let project = json!({"name": "Colours", "requirements": "A program that names colours."});
    let project = app.call("POST", "/api/projects", Some(&token), Some(project)).await.body["id"].clone();
    let path = format!("/api/projects/{project}/runs");
    let run = app.call("POST", &path, Some(&token), Some(json!({"skip_ui_design": true}))).await;
    assert_eq!(run.status, 201, "{}", run.body);
    let path = format!("/api/runs/{}", run.body["id"]);
    let started = Instant::now();
    let run = loop {
        let run = app.call("GET", &path, Some(&token), None).await.body;
        if run["status"] == "failed" {
            break run;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{run:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((&run["error"]["code"], &run["stage"]), (&json!("unusable_reply"), &json!("development")), "{run:#}");
    assert!(run["error"]["detail"].as_str().unwrap().contains("fenced block"), "{run:#}");
    // One that failed, three documents, three tries at a program.
    assert_eq!(server.requests().len(), 7);
    let question = |at: usize| server.requests()[at].body["messages"][1]["content"].as_str().unwrap().to_owned();
    assert!(!question(4).contains("could not be used") && question(5).contains("could not be used"));
    let messages = messages(&app, &token, &path).await;
    for words in
        ["The turn is tried again", "It is asked again. The answer was: 1. Red", "gave no answer that the developer"]
    {
        assert!(messages.iter().any(|message| message.contains(words)), "`{words}`: {messages:#?}");
    }
    let files = app.call("GET", &format!("/api/projects/{project}/files"), Some(&token), None).await;
    let plan =
        files.body["items"].as_array().unwrap().iter().find(|file| file["path"] == "planning/development-plan.md");
    let plan = app.call("GET", &format!("/api/files/{}", plan.unwrap()["id"]), Some(&token), None).await;
    assert!(plan.body["content"].as_str().unwrap().starts_with("1. Red"), "{}", plan.body);
    let spent: i64 = run["stages"].as_array().unwrap().iter().map(|stage| stage["tokens"].as_i64().unwrap()).sum();
    assert!(spent > 0 && run["tokens_used"] == spent, "{run:#}");
}

async fn messages(app: &App, token: &str, run: &str) -> Vec<String> {
    let headers = [("authorization", format!("Bearer {token}"))];
    let stream = app.send("GET", &format!("{run}/events"), &headers, bytes::Bytes::new()).await.body;
    let data = stream.as_str().unwrap().lines().filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    let events = data.map(|data| serde_json::from_str::<Value>(&data).unwrap());
    events.filter_map(|event| event["text"].as_str().map(str::to_owned)).collect()
}

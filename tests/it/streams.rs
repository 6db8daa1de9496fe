//! Streams of events, answers of models and runs end with the right of who asked for them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::model_server::{Answer, MODEL, ModelServer, STREAM};

struct Site {
    app: std::sync::Arc<App>,
    org: i64,
    root: String,
    run: i64,
    _models: ModelServer,
}

impl Site {
    /// With a run whose question is never answered.
    async fn new() -> Self {
        let app = App::start();
        let org = app.org("acme");
        let root = app.person("root", "admin", None).await;
        let models = ModelServer::start(|_| Answer::half("").and_silence());
        let provider = json!({"name": "lab", "base_url": models.url(), "organization_id": org});
        assert_eq!(app.call("POST", "/api/llm/providers", Some(&root), Some(provider)).await.status, 201);
        let project = json!({"name": "shop", "requirements": "A shop.", "organization_id": org});
        let project = app.call("POST", "/api/projects", Some(&root), Some(project)).await.body["id"].clone();
        let path = format!("/api/projects/{project}/runs");
        let run = app.call("POST", &path, Some(&root), Some(json!({}))).await;
        assert_eq!(run.status, 201, "{}", run.body);
        let run = run.body["id"].as_i64().unwrap();
        Self { app: std::sync::Arc::new(app), org, root, run, _models: models }
    }

    /// Follows the run until the stream ends; what was told meanwhile.
    #[allow(clippy::disallowed_methods, reason = "it ends with the stream, at the latest with the test")]
    fn follow(&self, token: &str) -> JoinHandle<Value> {
        let (app, token, path) = (self.app.clone(), token.to_owned(), format!("/api/runs/{}/events", self.run));
        tokio::spawn(async move { app.call("GET", &path, Some(&token), None).await.body })
    }

    async fn root(&self, method: &str, path: &str, body: Value) {
        let reply = self.app.call(method, path, Some(&self.root), (!body.is_null()).then_some(body)).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {} {}", reply.status, reply.body);
    }

    async fn id(&self, name: &str) -> i64 {
        let users = self.app.call("GET", &format!("/api/users?q={name}"), Some(&self.root), None).await.body;
        users["items"][0]["id"].as_i64().unwrap()
    }
}

/// Until the stream has begun: the server has looked at who asks.
async fn begun() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}

async fn ended(stream: JoinHandle<Value>) -> bool {
    tokio::time::timeout(Duration::from_secs(10), stream).await.is_ok()
}

#[tokio::test]
async fn a_stream_ends_when_its_reader_may_not_read_any_more() {
    let site = Site::new().await;
    let ada = site.app.person("ada", "developer", Some("acme")).await;
    let eve = site.app.person("eve", "developer", Some("acme")).await;
    let bob = site.app.person("bob", "developer", Some("acme")).await;
    let token = site
        .app
        .call("POST", "/api/tokens", Some(&bob), Some(json!({"name": "x", "scopes": ["project.read"]})))
        .await
        .body;
    let (demoted, signed_out, by_token) =
        (site.follow(&ada), site.follow(&eve), site.follow(token["secret"].as_str().unwrap()));
    let stays = site.follow(&bob);
    begun().await;
    for stream in [&demoted, &signed_out, &by_token, &stays] {
        assert!(!stream.is_finished(), "the run goes on");
    }
    let members = format!("/api/organizations/{}/members/{}", site.org, site.id("ada").await);
    site.root("DELETE", &members, Value::Null).await;
    assert!(ended(demoted).await, "who is no member reads no more");
    assert_eq!(site.app.call("POST", "/api/auth/logout", Some(&eve), None).await.status, 204);
    assert!(ended(signed_out).await, "a session's stream ends with it");
    let path = format!("/api/tokens/{}", token["token"]["id"]);
    assert_eq!(site.app.call("DELETE", &path, Some(&bob), None).await.status, 204);
    assert!(ended(by_token).await, "a token's stream ends with it");
    assert!(!stays.is_finished(), "what concerns others ends nobody's stream");
    site.root("POST", &format!("/api/users/{}/deactivate", site.id("bob").await), Value::Null).await;
    assert!(ended(stays).await, "who is switched off reads no more");
}

/// With a model server that answers half and then says nothing.
async fn half_answered() -> (std::sync::Arc<App>, i64, String) {
    let app = App::start();
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let models = ModelServer::start(|request| {
        let half = &STREAM[..STREAM.len() / 2];
        let half = if request.body["stream"] == true { Answer::half(half) } else { Answer::raw("") };
        half.and_silence()
    });
    let provider = json!({"name": "lab", "base_url": models.url(), "organization_id": org});
    assert_eq!(app.call("POST", "/api/llm/providers", Some(&root), Some(provider)).await.status, 201);
    (std::sync::Arc::new(app), org, root)
}

/// A chat that goes on for as long as it may; the status and what was answered.
#[allow(clippy::disallowed_methods, reason = "it ends with the answer, at the latest with the test")]
fn chat(app: &std::sync::Arc<App>, token: &str, stream: bool) -> JoinHandle<(u16, String)> {
    let (app, token) = (app.clone(), token.to_owned());
    let body =
        json!({"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "Name three colours."}]});
    tokio::spawn(async move {
        let reply = app.call("POST", "/v1/chat/completions", Some(&token), Some(body)).await;
        (reply.status, reply.body.as_str().map_or_else(|| reply.body.to_string(), str::to_owned))
    })
}

#[tokio::test]
async fn an_answer_of_a_model_ends_with_who_asked_and_is_charged() {
    let (app, org, root) = half_answered().await;
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| (app.clone(), name));
    let person = async |(app, name): (std::sync::Arc<App>, &str)| app.person(name, "developer", Some("acme")).await;
    let (ada, bob, eve) = (person(ada).await, person(bob).await, person(eve).await);
    let token = json!({"name": "x", "scopes": ["model.use"]});
    let token = app.call("POST", "/api/tokens", Some(&eve), Some(token)).await.body;
    let secret = token["secret"].as_str().unwrap();
    let id = async |name: &str| {
        app.call("GET", &format!("/api/users?q={name}"), Some(&root), None).await.body["items"][0]["id"].clone()
    };
    let (switched_off, demoted, by_token) = (chat(&app, &ada, true), chat(&app, &bob, false), chat(&app, secret, true));
    begun().await;
    for answer in [&switched_off, &demoted, &by_token] {
        assert!(!answer.is_finished(), "the answer goes on");
    }
    let off = format!("/api/users/{}/deactivate", id("ada").await);
    assert_eq!(app.call("POST", &off, Some(&root), None).await.status, 200);
    let member = format!("/api/organizations/{org}/members/{}", id("bob").await);
    assert_eq!(app.call("DELETE", &member, Some(&root), None).await.status, 204);
    let path = format!("/api/tokens/{}", token["token"]["id"]);
    assert_eq!(app.call("DELETE", &path, Some(&eve), None).await.status, 204);
    let end = async |answer: JoinHandle<(u16, String)>| {
        tokio::time::timeout(Duration::from_secs(10), answer).await.expect("it goes on").unwrap()
    };
    for answer in [switched_off, by_token] {
        let (status, text) = end(answer).await;
        assert!(status == 200 && text.contains("data: ") && text.contains("\"sign_in_ended\""), "{status} {text}");
        assert!(!text.contains("[DONE]"), "{text}");
    }
    let (status, text) = end(demoted).await;
    assert!(status == 404, "{status} {text}");
    // The prompts, and what came.
    let path = format!("/api/organizations/{org}/quotas");
    let started = std::time::Instant::now();
    loop {
        let quotas = app.call("GET", &path, Some(&root), None).await.body;
        let tokens =
            quotas["items"].as_array().unwrap().iter().find(|quota| quota["resource"] == "llm_tokens").unwrap();
        if tokens["used"].as_i64().unwrap() > 3 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{quotas}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Who hears of an end hears it before its cost is written.
    loop {
        let told = app.call("GET", "/api/audit?resource_type=model&success=false", Some(&root), None).await.body;
        if told["items"].as_array().unwrap().len() == 3 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_run_is_held_to_the_limited_token_it_was_started_with() {
    let (app, org, root) = half_answered().await;
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    let project = json!({"name": "shop", "requirements": "A shop.", "organization_id": org});
    let project = app.call("POST", "/api/projects", Some(&ada), Some(project)).await.body["id"].clone();
    let token = async |scopes: Value| {
        let made = app.call("POST", "/api/tokens", Some(&ada), Some(json!({"name": "ci", "scopes": scopes}))).await;
        assert_eq!(made.status, 201, "{}", made.body);
        (made.body["secret"].as_str().unwrap().to_owned(), made.body["token"]["id"].clone())
    };
    let start = async |token: &str| {
        let run = app.call("POST", &format!("/api/projects/{project}/runs"), Some(token), Some(json!({}))).await;
        assert_eq!(run.status, 201, "{}", run.body);
        run.body["id"].as_i64().unwrap()
    };
    let until = async |run: i64, wanted: &dyn Fn(&Value) -> bool| {
        let started = std::time::Instant::now();
        loop {
            let run = app.call("GET", &format!("/api/runs/{run}"), Some(&ada), None).await.body;
            if wanted(&run) {
                return run;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{run:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (enough, id) = token(json!(["project.read", "project.execute", "model.use"])).await;
    let run = start(&enough).await;
    let running = |run: &Value| run["status"] == "running" && run["stages"][0]["status"] == "running";
    until(run, &running).await;
    let again = async || {
        let path = format!("/api/runs/{run}/stages/requirement_analysis/retry");
        let again = app.call("POST", &path, Some(&ada), None).await;
        assert_eq!(again.status, 200, "{}", again.body);
    };
    // A token that does not allow the model, which its owner may use and who repeats the stage too.
    let scopes = |codes: Value| app.sql(&format!("UPDATE personal_tokens SET scopes = '{codes}' WHERE id = {id}"));
    scopes(json!(["project.read", "project.execute"]));
    assert_eq!(app.call("POST", &format!("/api/runs/{run}/cancel"), Some(&ada), None).await.status, 200);
    again().await;
    let ended = until(run, &|run| run["status"] == "failed").await;
    assert_eq!(ended["error"]["code"], "forbidden", "{ended:#}");
    assert!(ended["error"]["detail"].as_str().unwrap().contains("model.use"), "{ended:#}");

    scopes(json!(["project.read", "project.execute", "model.use"]));
    again().await;
    until(run, &running).await;
    begun().await;
    assert_eq!(app.call("DELETE", &format!("/api/tokens/{id}"), Some(&ada), None).await.status, 204);
    let ended = until(run, &|run| run["status"] == "failed").await;
    assert_eq!(ended["error"]["code"], "token_ended", "{ended:#}");
    assert!(ended["tokens_used"].as_i64().unwrap() > 0, "what the turn used counts: {ended:#}");
    let trail = format!("/api/audit?resource_type=run&resource_id={run}&success=false");
    let trail = app.call("GET", &trail, Some(&root), None).await.body;
    assert_eq!(trail["items"][0]["after"]["error"]["code"], "token_ended", "{trail}");
    // Nobody brings it back to life in the token's name.
    again().await;
    let ended = until(run, &|run| run["status"] == "failed").await;
    assert_eq!(ended["error"]["code"], "token_ended", "{ended:#}");
}

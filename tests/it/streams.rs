//! A stream of events ends with the right to read it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::model_server::{Answer, ModelServer};

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

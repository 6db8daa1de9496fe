//! Model servers of the site: set up, used, removed; and servers that hang, lie, fail and stop in the middle. They replay
//! what our own engine answered, cut, delayed or altered.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::model_server::{ANSWER_TOKENS, Answer, MODEL, ModelServer, PLAIN, PROMPT_TOKENS, Request, STREAM};

/// What the recorded exchange used in all.
const USED: u64 = PROMPT_TOKENS + ANSWER_TOKENS;

struct Site {
    app: App,
    admin: String,
}

impl Site {
    async fn start() -> Self {
        let app = App::start_with_settings(&[("RESOFTAI_LLM_TIMEOUT", "1")]);
        let admin = app.person("root", "admin", None).await;
        Self { app, admin }
    }

    /// An organisation with a model server of its own.
    async fn org_with(&self, org: &str, server: &ModelServer) -> Reply {
        let id = self.app.org(org);
        let body =
            json!({"name": org, "base_url": server.url(), "organization_id": id, "api_key": format!("key-of-{org}")});
        let made = self.app.call("POST", "/api/llm/providers", Some(&self.admin), Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made
    }

    /// Adds a server that offers [`MODEL`], as `token`, for `org` or the whole site.
    async fn add(&self, token: &str, name: &str, url: &str, org: Option<i64>) -> Reply {
        let body = json!({"name": name, "base_url": url, "organization_id": org, "models": [MODEL]});
        self.app.call("POST", "/api/llm/providers", Some(token), Some(body)).await
    }

    async fn ask(&self, org: &str, text: &str, stream: bool) -> Reply {
        self.ask_model(MODEL, org, text, stream).await
    }

    async fn ask_model(&self, model: &str, org: &str, text: &str, stream: bool) -> Reply {
        let headers = [("authorization", format!("Bearer {}", self.admin)), ("x-organization-id", org.to_owned())];
        let message = json!({"role": "user", "content": text});
        let body = json!({"model": model, "messages": [message], "max_tokens": 48, "temperature": 0, "stream": stream});
        self.app.send("POST", "/v1/chat/completions", &headers, Bytes::from(body.to_string())).await
    }

    /// Writes all use down; then what each organisation used.
    fn settle(&mut self) {
        assert_eq!(self.app.terminate(), 0);
        self.app.crash_and_restart();
    }

    fn used(&self, org: &str) -> u64 {
        let quotas = self.app.cli_json(&["quota", "show", "--org", org], "");
        let tokens =
            quotas["items"].as_array().unwrap().iter().find(|quota| quota["resource"] == "llm_tokens").unwrap();
        assert_eq!(tokens["reserved"], 0, "{tokens}");
        tokens["used"].as_u64().unwrap()
    }
}

/// The recorded answer in the way it was asked for.
fn honest(request: &Request) -> Answer {
    if request.body["stream"] == true { Answer::stream(STREAM) } else { Answer::json(200, PLAIN) }
}

fn last_frame(reply: &Reply) -> Value {
    let text = reply.body.as_str().unwrap_or_else(|| panic!("no stream: {}", reply.body));
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    serde_json::from_str(last).unwrap_or_else(|_| json!(last))
}

#[tokio::test]
async fn a_server_is_added_used_and_removed_and_its_key_stays_secret() {
    let mut site = Site::start().await;
    let server = ModelServer::start(honest);
    let made = site.org_with("acme", &server).await;
    assert_eq!((&made.body["kind"], &made.body["has_api_key"]), (&json!("openai"), &json!(true)));

    let plain = site.ask("acme", "Name three colours.", false).await;
    assert_eq!((plain.status, plain.body["usage"]["total_tokens"].as_u64()), (200, Some(USED)), "{}", plain.body);
    let recorded: Value = serde_json::from_str(PLAIN).unwrap();
    assert_eq!(plain.body["choices"], recorded["choices"]);
    let streamed = site.ask("acme", "Name three colours.", true).await;
    let stream = streamed.body.as_str().unwrap();
    assert!(stream.ends_with("data: [DONE]\n\n") && !stream.contains("\"usage\":{"), "{stream}");
    let sent = server.requests();
    assert!(sent[0].head.contains("Bearer key-of-acme"), "{}", sent[0].head);
    assert_eq!(sent[1].body["stream_options"], json!({"include_usage": true}), "usage is asked for to be counted");

    let listed = site.app.call("GET", "/api/llm/providers", Some(&site.admin), None).await.body;
    let kinds: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["builtin", "openai"]);

    let path = format!("/api/llm/providers/{}", made.body["id"]);
    site.app.org("other");
    let stranger = site.app.person("stranger", "org_admin", Some("other")).await;
    assert_eq!(site.app.call("DELETE", &path, Some(&stranger), None).await.status, 404);
    assert_eq!(site.app.call("GET", "/api/llm/providers", Some(&stranger), None).await.body["items"], json!([]));
    assert_eq!(site.ask("other", "Hi", false).await.status, 404, "a server of one organisation serves no other");
    assert_eq!(site.app.call("DELETE", &path, Some(&site.admin), None).await.status, 204);
    assert_eq!(site.ask("acme", "Hi", false).await.status, 404);

    site.settle();
    assert_eq!(site.used("acme"), 2 * USED);
    let trail = site.app.cli_json(&["audit", "list", "--limit", "100"], "");
    let told: Vec<_> =
        trail["items"].as_array().unwrap().iter().map(|entry| entry["description"].to_string()).collect();
    assert!(told.iter().any(|words| words.contains("Added model server acme")), "{told:?}");
    assert!(told.iter().any(|words| words.contains("Removed model server acme")), "{told:?}");
    assert!(!format!("{trail}{listed}").contains("key-of-acme"));
    for file in ["resoftai.db", "resoftai.db-wal"] {
        let bytes = std::fs::read(site.app.dir.path().join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("key-of-acme"), "the key is in {file} as it is");
    }
}

#[tokio::test]
async fn wrong_settings_of_a_server_are_named() {
    let site = Site::start().await;
    let org = site.app.org("acme");
    let boss = site.app.person("boss", "org_admin", Some("acme")).await;
    let good = json!({"name": "gpu", "base_url": "http://gpu1:8000/v1", "organization_id": org});
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("a/b")),
        ("base_url", json!("gpu1")),
        ("base_url", json!("http://127.0.0.1:1/v1")),
        ("base_url", json!("unix:/run/docker.sock")),
        ("models", json!([""])),
        ("context_length", json!(0)),
        ("api_key", json!("a\nb")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let reply = site.app.call("POST", "/api/llm/providers", Some(&boss), Some(body)).await;
        assert_eq!((reply.status, &reply.body["field"]), (400, &json!(field)), "{}", reply.body);
    }
    let mut elsewhere = good.clone();
    elsewhere["organization_id"] = json!(org + 1);
    assert_eq!(site.app.call("POST", "/api/llm/providers", Some(&boss), Some(elsewhere)).await.status, 404);
    let mut everywhere = good.clone();
    everywhere["organization_id"] = json!(null);
    assert_eq!(site.app.call("POST", "/api/llm/providers", Some(&boss), Some(everywhere)).await.status, 403);
    assert_eq!(site.app.call("POST", "/api/llm/providers", Some(&boss), Some(good)).await.status, 201);
}

/// Servers that fail: who asks is told what happened; what no answer was given for costs nothing or only what was sent.
#[tokio::test]
async fn servers_that_fail_are_named_in_a_sentence() {
    let mut site = Site::start().await;
    let half = &STREAM[..STREAM.find("data: {\"id\"").unwrap() + 2000];
    let busy = Answer::raw("HTTP/1.1 429 X\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}");
    let busy = std::sync::Mutex::new(Some(busy));
    let failing: Vec<(&str, ModelServer, u16, &str)> = vec![
        (
            "broken",
            ModelServer::start(|_| Answer::json(500, r#"{"error":{"message":"out of memory"}}"#)),
            502,
            "upstream_failed",
        ),
        ("locked", ModelServer::start(|_| Answer::json(401, "{}")), 502, "upstream_key_refused"),
        ("busy", ModelServer::start(move |_| busy.lock().unwrap().take().unwrap()), 503, "model_busy"),
        (
            "full",
            ModelServer::start(|_| {
                let words = "This model's maximum context length is 2048 tokens. However, you requested 4000 tokens.";
                Answer::json(400, &json!({"message": words, "code": 400}).to_string())
            }),
            400,
            "context_length_exceeded",
        ),
        (
            "webpage",
            ModelServer::start(|_| Answer::json(200, "<html>Welcome to nginx</html>")),
            502,
            "upstream_not_chat",
        ),
        ("noise", ModelServer::start(|_| Answer::raw("what?\r\n\r\n")), 502, "upstream_cut"),
        (
            "short",
            ModelServer::start(|_| Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"choices\"")),
            502,
            "upstream_cut",
        ),
        ("mute", ModelServer::start(|_| Answer::raw("").and_silence()), 502, "upstream_timeout"),
        (
            "dripping",
            ModelServer::start(|_| Answer::raw("HTTP/1.1 200 OK\r\n\r\n{").and_drips()),
            502,
            "upstream_timeout",
        ),
        (
            "dripping-refusal",
            ModelServer::start(|_| Answer::raw("HTTP/1.1 500 X\r\n\r\n{").and_drips()),
            502,
            "upstream_failed",
        ),
    ];
    for (org, server, status, code) in &failing {
        site.org_with(org, server).await;
        let reply = site.ask(org, "Name three colours.", false).await;
        let error = &reply.body["error"];
        assert_eq!((reply.status, &error["code"]), (*status, &json!(code)), "{org}: {}", reply.body);
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(&format!("server {org}")) || *code == "upstream_cut", "{org}: {said}");
        assert_eq!(reply.headers.contains_key("retry-after"), *org == "busy");
    }
    // Those that are not there: a port that was just closed, and a name that no resolver may know.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = [
        ("closed", "unreachable", format!("http://127.0.0.1:{closed}/v1")),
        ("unknown", "unknown_host", "http://models.invalid:8000/v1".to_owned()),
    ];
    for (org, code, url) in &nowhere {
        let id = site.app.org(org);
        assert_eq!(site.add(&site.admin, org, url, Some(id)).await.status, 201);
        for stream in [false, true] {
            let reply = site.ask(org, "Name three colours.", stream).await;
            let error = &reply.body["error"];
            assert_eq!((reply.status, &error["code"]), (502, &json!(code)), "{}", reply.body);
            let host = url.trim_start_matches("http://").split(':').next().unwrap();
            assert!(error["message"].as_str().unwrap().contains(host), "{error}");
        }
    }
    // The same in the middle of a stream: an error frame is the last thing that comes.
    let half_text = half.to_owned();
    let cut = ModelServer::start(move |_| Answer::half(&half_text));
    let half_text = half.to_owned();
    let stalled = ModelServer::start(move |_| Answer::half(&half_text).and_silence());
    for (org, server, code) in [("cut", &cut, "upstream_cut"), ("stalled", &stalled, "upstream_timeout")] {
        site.org_with(org, server).await;
        let reply = site.ask(org, "Name three colours.", true).await;
        assert_eq!((reply.status, &last_frame(&reply)["error"]["code"]), (200, &json!(code)), "{}", reply.body);
    }
    site.settle();
    for org in ["broken", "locked", "busy", "full", "dripping-refusal", "closed", "unknown"] {
        assert_eq!(site.used(org), 0, "{org} did nothing");
    }
    for org in ["cut", "stalled", "mute", "webpage", "short", "dripping"] {
        assert!(
            (1..200).contains(&site.used(org)),
            "{org}: {} tokens, of about fifty sent and some read",
            site.used(org)
        );
    }
}

/// Servers whose counts cannot be true: what is counted stays within what was reserved and near the truth.
#[tokio::test]
async fn servers_that_lie_about_usage_are_not_believed() {
    let mut site = Site::start().await;
    let alter = |from: &str, to: &str| {
        let (plain, stream) = (PLAIN.replace(from, to), STREAM.replace(from, to));
        assert_ne!((plain.as_str(), stream.as_str()), (PLAIN, STREAM));
        ModelServer::start(move |request| {
            if request.body["stream"] == true { Answer::stream(&stream) } else { Answer::json(200, &plain) }
        })
    };
    let lies = [
        ("greedy", alter("\"completion_tokens\":48", "\"completion_tokens\":999999999")),
        ("generous", alter("\"completion_tokens\":48", "\"completion_tokens\":0")),
        ("silent", alter("\"usage\"", "\"no_usage\"")),
        ("vast", alter("\"prompt_tokens\":34", "\"prompt_tokens\":18446744073709551615")),
        ("negative", alter("\"prompt_tokens\":34", "\"prompt_tokens\":-34")),
    ];
    for (org, server) in &lies {
        site.org_with(org, server).await;
        for stream in [false, true] {
            let reply = site.ask(org, "Name three colours.", stream).await;
            assert_eq!(reply.status, 200, "{org}: {}", reply.body);
        }
    }
    // A prompt of two thousand words that a server says was 34 tokens was cut.
    let honest_elsewhere = ModelServer::start(honest);
    site.org_with("cutter", &honest_elsewhere).await;
    let long = "seven words are more than enough here ".repeat(300);
    let plain = site.ask("cutter", &long, false).await;
    assert_eq!((plain.status, &plain.body["error"]["code"]), (502, &json!("context_truncated")), "{}", plain.body);
    let streamed = site.ask("cutter", &long, true).await;
    assert_eq!(last_frame(&streamed)["error"]["code"], "context_truncated", "{}", streamed.body);

    site.settle();
    for (org, _) in &lies {
        let used = site.used(org);
        assert!((USED..4 * USED).contains(&used), "{org}: {used} tokens for two calls of {USED}");
    }
}

#[tokio::test]
async fn a_server_of_the_configuration_serves_everybody() {
    let server = ModelServer::start(honest);
    let url = server.url();
    let settings = [
        ("LLM_API_BASE", url.as_str()),
        ("LLM_API_KEY", "site-key"),
        ("LLM_MODEL", MODEL),
        ("RESOFTAI_LLM_CONTEXT_LENGTH", "512"),
    ];
    let app = App::start_with_settings(&settings);
    app.org("acme");
    let dev = app.person("dev", "developer", Some("acme")).await;
    let listed = app.call("GET", "/api/models", Some(&dev), None).await.body;
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["provider"]),
        (&json!(MODEL), &json!("site")),
        "{listed}"
    );
    let body = json!({"messages": [{"role": "user", "content": "Name three colours."}], "max_tokens": 48});
    let reply = app.call("POST", "/v1/chat/completions", Some(&dev), Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(server.requests()[0].head.contains("Bearer site-key"));
    assert_eq!(server.requests()[0].body["model"], MODEL);

    // What the configuration says of its context counts, over what the server says.
    assert_eq!(listed["items"][0]["context_length"], 512);
    let long = json!({"messages": [{"role": "user", "content": "colour ".repeat(600)}], "max_tokens": 48});
    let refused = app.call("POST", "/v1/chat/completions", Some(&dev), Some(long)).await;
    let error = &refused.body["error"];
    assert_eq!((refused.status, &error["code"]), (400, &json!("context_length_exceeded")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("is 512 tokens"), "{error}");
    assert_eq!(server.requests().len(), 1, "what does not fit is not sent");
}

#[tokio::test]
async fn names_of_servers_are_told_to_nobody_else() {
    let site = Site::start().await;
    let (acme, other) = (site.app.org("acme"), site.app.org("other"));
    let boss = site.app.person("boss", "org_admin", Some("acme")).await;
    let rival = site.app.person("rival", "org_admin", Some("other")).await;
    let url = "http://gpu1:8000/v1";
    for (token, org) in [(&boss, Some(acme)), (&rival, Some(other)), (&site.admin, None)] {
        let made = site.add(token, "gpu", url, org).await;
        assert_eq!(made.status, 201, "what others call theirs is no matter: {}", made.body);
        let again = site.add(token, "gpu", url, org).await;
        assert_eq!(
            (again.status, &again.body["code"], &again.body["field"]),
            (409, &json!("name_taken"), &json!("name")),
            "{}",
            again.body
        );
    }
    let seen = site.app.call("GET", "/api/llm/providers", Some(&boss), None).await.body;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
}

/// A server more must take no model away from those who use it: runs under way, editors.
#[tokio::test]
async fn an_organisations_own_server_goes_before_the_sites() {
    let site = Site::start().await;
    let (of_site, own, second) = (ModelServer::start(honest), ModelServer::start(honest), ModelServer::start(honest));
    let (acme, other) = (site.app.org("acme"), site.app.org("other"));
    assert_eq!(site.add(&site.admin, "common", &of_site.url(), None).await.status, 201);
    assert_eq!(site.ask("acme", "Hi", false).await.status, 200);
    assert_eq!(of_site.requests().len(), 1);

    assert_eq!(site.add(&site.admin, "own", &own.url(), Some(acme)).await.status, 201);
    let common = format!("common/{MODEL}");
    for (model, org, counts) in [
        (MODEL, "acme", [1, 1]),
        (&common, "acme", [2, 1]),
        (MODEL, "other", [3, 1]),
        (&format!("own/{MODEL}"), "acme", [3, 2]),
    ] {
        let reply = site.ask_model(model, org, "Hi", false).await;
        assert_eq!(reply.status, 200, "{model} for {org}: {}", reply.body);
        assert_eq!([of_site.requests().len(), own.requests().len()], counts, "{model} for {org}");
    }
    let dev = site.app.person("dev", "developer", Some("acme")).await;
    let listed = site.app.call("GET", "/v1/models", Some(&dev), None).await.body;
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [MODEL, &common]);

    // Only equals are told apart by whoever asks.
    assert_eq!(site.add(&site.admin, "second", &second.url(), Some(acme)).await.status, 201);
    let unclear = site.ask("acme", "Hi", false).await;
    assert_eq!((unclear.status, &unclear.body["error"]["code"]), (400, &json!("model_ambiguous")), "{}", unclear.body);
    assert_eq!(site.ask_model(&format!("second/{MODEL}"), "acme", "Hi", false).await.status, 200);
    assert_eq!(second.requests().len(), 1);
    assert_eq!(site.add(&site.admin, "own", &own.url(), Some(other)).await.status, 201);
    assert_eq!(site.ask("other", "Hi", false).await.status, 200);
    assert_eq!(own.requests().len(), 3);
}

/// A name may lead to this machine, where other services trust whoever calls: an organisation's server is not called there.
#[tokio::test]
async fn an_organisations_server_is_not_on_the_machine_itself() {
    let site = Site::start().await;
    let server = ModelServer::start(honest);
    let acme = site.app.org("acme");
    let boss = site.app.person("boss", "org_admin", Some("acme")).await;
    // Resolved without asking anybody (RFC 6761).
    let named = format!("http://localhost.:{}/v1", server.port);
    assert_eq!(site.add(&boss, "inside", &named, Some(acme)).await.status, 201);
    let refused = site.ask("acme", "Hi", false).await;
    let error = &refused.body["error"];
    assert_eq!((refused.status, &error["code"]), (403, &json!("egress_refused")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("127.0.0.1"), "{error}");
    assert_eq!(server.requests().len(), 0);

    assert_eq!(site.add(&site.admin, "ours", &named, None).await.status, 201);
    let reply = site.ask_model(&format!("ours/{MODEL}"), "acme", "Hi", false).await;
    assert_eq!(reply.status, 200, "the site's own may be here: {}", reply.body);
}

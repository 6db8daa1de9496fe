//! The built-in model through the door: the real engine and a real, very small model.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::app::{App, Reply};
use crate::model_server::MODEL;

/// Long enough for a slow machine; the tests go on as soon as what they wait for is there.
const LIMIT: Duration = Duration::from_secs(300);

pub fn model() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let path = cache.join("resoftai/models").join(MODEL).with_extension("gguf");
    assert!(path.exists(), "{} is missing: run `make model`", path.display());
    path
}

/// A site with the built-in model, and what else is to be set.
pub fn site(settings: &[(&str, &str)]) -> App {
    let part = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/parts/engine-x86-64.zst");
    let built = fs::metadata(&part).is_ok_and(|part| part.len() > 0);
    assert!(built, "{} is missing: run `make engine`, then build again", part.display());
    let model = model();
    App::start_with_settings(&[&[("RESOFTAI_LLM_MODEL_PATH", model.to_str().unwrap())], settings].concat())
}

async fn personal_token(app: &App, name: &str, role: &str, org: &str) -> String {
    let session = app.person(name, role, Some(org)).await;
    let made = app.call("POST", "/api/tokens", Some(&session), Some(json!({"name": "ide"}))).await;
    made.body["secret"].as_str().unwrap().to_owned()
}

fn ask(text: &str, max_tokens: u32) -> Value {
    json!({"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0})
}

async fn chat(app: &App, token: &str, body: &Value) -> Reply {
    app.call("POST", "/v1/chat/completions", Some(token), Some(body.clone())).await
}

/// The organisation's quota of tokens once everything is written down.
fn settled(app: &mut App, org: &str) -> Value {
    assert_eq!(app.terminate(), 0);
    app.crash_and_restart();
    tokens(app, org)
}

fn tokens(app: &App, org: &str) -> Value {
    let quotas = app.cli_json(&["quota", "show", "--org", org], "");
    quotas["items"].as_array().unwrap().iter().find(|quota| quota["resource"] == "llm_tokens").unwrap().clone()
}

fn text_of(stream: &str) -> String {
    let chunks = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    chunks
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_chat_is_answered_plain_and_streamed_and_every_token_counts() {
    let mut app = site(&[]);
    app.org("acme");
    let token = personal_token(&app, "dev", "developer", "acme").await;
    let listed = app.call("GET", "/v1/models", Some(&token), None).await;
    assert_eq!((listed.status, &listed.body["data"][0]["id"]), (200, &json!(MODEL)), "{}", listed.body);

    let question = ask("What is the capital of France? Answer in one word.", 16);
    let plain = chat(&app, &token, &question).await;
    assert_eq!(plain.status, 200, "{}", plain.body);
    let text = plain.body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Paris"), "{text}");
    let used = plain.body["usage"]["total_tokens"].as_u64().unwrap();
    let shown = app.call("GET", "/api/models", Some(&token), None).await.body["items"][0].clone();
    let context = (&shown["id"], &shown["provider"], &shown["context_length"], &shown["status"]);
    assert_eq!(context, (&json!(MODEL), &json!("builtin"), &json!(8192), &json!("ready")));

    let mut streamed = question.clone();
    streamed["stream"] = json!(true);
    let reply = chat(&app, &token, &streamed).await;
    assert_eq!((reply.status, reply.headers["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    let stream = reply.body.as_str().unwrap();
    assert_eq!(text_of(stream), text);
    assert!(
        stream.ends_with("data: [DONE]\n\n") && !stream.contains("\"usage\":{"),
        "nobody asked for usage: {stream}"
    );

    streamed["stream_options"] = json!({"include_usage": true});
    let reply = chat(&app, &token, &streamed).await.body;
    assert!(reply.as_str().unwrap().contains(&format!("\"total_tokens\":{used}")), "{reply}");

    // The first model there is, and a limit of our choice.
    let free = json!({"messages": question["messages"], "temperature": 0});
    let reply = chat(&app, &token, &free).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let last = reply.body["usage"]["total_tokens"].as_u64().unwrap();

    let quota = settled(&mut app, "acme");
    assert_eq!((&quota["used"], &quota["reserved"]), (&json!(3 * used + last), &json!(0)));
    let trail = app.cli_json(&["audit", "list", "--action", "execute"], "");
    let entries = trail["items"].as_array().unwrap();
    assert_eq!(entries.len(), 4, "{trail}");
    assert!(entries.iter().all(|entry| entry["actor"]["name"] == "dev" && entry["resource_id"] == MODEL), "{trail}");
}

#[tokio::test]
async fn what_the_quota_or_the_context_does_not_hold_is_refused_with_the_numbers() {
    let mut app = site(&[("RESOFTAI_LLM_CONTEXT", "512")]);
    app.org("acme");
    let token = personal_token(&app, "dev", "developer", "acme").await;
    let long = chat(&app, &token, &ask(&"word ".repeat(600), 16)).await;
    assert_eq!((long.status, &long.body["error"]["code"]), (400, &json!("context_length_exceeded")), "{}", long.body);
    let said = long.body["error"]["message"].as_str().unwrap();
    assert!(said.contains("is 512 tokens") && said.contains("16 for the answer"), "{said}");
    assert!(said.contains("counted by the model's tokenizer"), "{said}");
    let greedy = chat(&app, &token, &ask("Hi", 512)).await;
    assert_eq!((greedy.status, &greedy.body["error"]["code"]), (400, &json!("context_length_exceeded")));

    app.cli_json(&["quota", "set", "--org", "acme", "llm_tokens", "50"], "");
    let refused = chat(&app, &token, &ask("Hi", 16)).await;
    let error = &refused.body["error"];
    assert_eq!(
        (refused.status, &error["code"], &error["type"]),
        (429, &json!("quota_exceeded"), &json!("insufficient_quota"))
    );
    assert!(error["message"].as_str().unwrap().contains("0 of 50 used"), "{error}");
    assert_eq!(settled(&mut app, "acme")["used"], 0, "what was refused costs nothing");
}

#[tokio::test]
async fn concurrent_callers_never_pass_the_limit_together() {
    const LIMIT: u64 = 1800;
    let mut app = site(&[]);
    app.org("acme");
    let token = personal_token(&app, "dev", "developer", "acme").await;
    app.cli_json(&["quota", "set", "--org", "acme", "llm_tokens", &LIMIT.to_string()], "");
    let question = ask("Name three colours.", 24);
    let calls = futures_util::future::join_all((0..12).map(|_| chat(&app, &token, &question)));
    let watch = async {
        loop {
            let quota = app.call("GET", "/api/organizations", Some(&token), None).await;
            let path = format!("/api/organizations/{}/quotas", quota.body["items"][0]["id"]);
            let quotas = app.call("GET", &path, Some(&token), None).await;
            let quota = &quotas.body["items"][1];
            let taken = quota["used"].as_u64().unwrap() + quota["reserved"].as_u64().unwrap();
            assert!(taken <= LIMIT, "{quota}");
        }
    };
    let replies = tokio::select! {
        replies = calls => replies,
        () = watch => unreachable!("it watches for ever"),
    };
    let answered: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert!(!answered.is_empty() && answered.len() < replies.len(), "{} answered", answered.len());
    let refused = replies.iter().filter(|reply| reply.status == 429).count();
    assert_eq!(refused + answered.len(), replies.len());
    let used: u64 = answered.iter().map(|reply| reply.body["usage"]["total_tokens"].as_u64().unwrap()).sum();
    assert_eq!(settled(&mut app, "acme")["used"], used);
}

/// The engine that `server` runs.
fn engine_of(server: u32) -> Option<rustix::process::Pid> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let id = ids.find(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in brackets: state, parent.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parent == Some(server) && !stat.contains(") Z")
    });
    id.and_then(rustix::process::Pid::from_raw)
}

/// Streams an answer and, once some of its text has come, does `meanwhile`; all that came.
async fn interrupt(app: &App, token: &str, mut body: Value, meanwhile: impl FnOnce()) -> String {
    body["stream"] = json!(true);
    let stream = TcpStream::connect(&app.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let request = hyper::Request::builder().method("POST").uri("/v1/chat/completions").header("host", &app.address);
    let request = request.header("authorization", format!("Bearer {token}"));
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let exchange = async move {
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let (mut seen, mut meanwhile) = (String::new(), Some(meanwhile));
        while let Some(frame) = body.frame().await {
            seen.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
            let complete = seen.rfind("\n\n").map_or("", |end| &seen[..end]);
            if text_of(complete).len() > 10 {
                meanwhile.take().into_iter().for_each(|act| act());
            }
        }
        assert!(meanwhile.is_none(), "there was no middle: {seen}");
        seen
    };
    tokio::join!(exchange, connection).0
}

/// What the kernel says of a process; empty once it is gone.
fn stat(process: rustix::process::Pid) -> String {
    fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default()
}

async fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn kill(engine: rustix::process::Pid) {
    rustix::process::kill_process(engine, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn an_engine_that_is_killed_fails_its_call_in_a_sentence_and_the_next_call_works() {
    let app = site(&[]);
    app.org("acme");
    let token = personal_token(&app, "dev", "developer", "acme").await;
    assert_eq!(chat(&app, &token, &ask("Hi", 4)).await.status, 200);
    let endless = ask("Count from one to one thousand, in words.", 2000);
    let seen = interrupt(&app, &token, endless, || kill(engine_of(app.process_id()).expect("the engine runs"))).await;
    let last: Value = serde_json::from_str(seen.trim_end().rsplit("data: ").next().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "engine_died", "{last}");
    assert!(last["error"]["message"].as_str().unwrap().contains("signal 9"), "{last}");
    let next = chat(&app, &token, &ask("Hi", 4)).await;
    assert_eq!(next.status, 200, "{}", next.body);

    let engine = engine_of(app.process_id()).expect("another engine runs");
    kill(engine);
    until(|| stat(engine).is_empty()).await;
    let next = chat(&app, &token, &ask("Hi", 4)).await;
    assert_eq!(next.status, 200, "an engine that died before the call concerns nobody: {}", next.body);
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_lets_the_model_finish() {
    let app = site(&[]);
    app.org("acme");
    let token = personal_token(&app, "dev", "developer", "acme").await;
    let server = rustix::process::Pid::from_raw(i32::try_from(app.process_id()).unwrap()).unwrap();
    let stop = || rustix::process::kill_process(server, rustix::process::Signal::TERM).unwrap();
    let seen = interrupt(&app, &token, ask("Name three colours.", 40), stop).await;
    assert!(seen.ends_with("data: [DONE]\n\n"), "{seen}");
}

#[tokio::test]
async fn the_engine_ends_with_its_server_however_that_ends() {
    let mut app = site(&[]);
    app.org("acme");
    let token = personal_token(&app, "dev", "developer", "acme").await;
    assert_eq!(chat(&app, &token, &ask("Hi", 4)).await.status, 200);
    let engine = engine_of(app.process_id()).expect("the engine runs");
    app.crash_and_restart();
    // Nobody may be there to bury it.
    until(|| stat(engine).is_empty() || stat(engine).contains(") Z")).await;
    assert_eq!(chat(&app, &token, &ask("Hi", 4)).await.status, 200, "the next server runs its own");
}

#[tokio::test]
async fn strangers_viewers_and_unknown_models_are_told_apart_from_nobody() {
    let app = site(&[]);
    app.org("acme");
    app.org("other");
    let dev = personal_token(&app, "dev", "developer", "acme").await;
    let stranger = personal_token(&app, "stranger", "developer", "other").await;
    let viewer = personal_token(&app, "viewer", "viewer", "acme").await;

    let mut unknown = ask("Hi", 4);
    unknown["model"] = json!("gpt-5");
    let reply = chat(&app, &dev, &unknown).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (404, &json!("model_not_found")), "{}", reply.body);
    let nobody = app.call("POST", "/v1/chat/completions", None, Some(ask("Hi", 4))).await;
    assert_eq!((nobody.status, &nobody.body["error"]["type"]), (401, &json!("authentication_error")));
    assert_eq!(chat(&app, &viewer, &ask("Hi", 4)).await.status, 403);
    for payer in ["acme", "nowhere", "999"] {
        let headers = [("authorization", format!("Bearer {stranger}")), ("x-organization-id", payer.to_owned())];
        let body = Bytes::from(ask("Hi", 4).to_string());
        let reply = app.send("POST", "/v1/chat/completions", &headers, body).await;
        assert_eq!((reply.status, &reply.body["error"]["code"]), (404, &json!("not_found")), "{payer}: {}", reply.body);
    }
    for (body, param) in [
        (json!({"messages": "Hi"}), "messages"),
        (json!({"messages": [], "max_tokens": 0}), "max_tokens"),
        (json!({"messages": [{"role": "user", "content": "Hi"}], "temperature": 9}), ""),
    ] {
        let reply = chat(&app, &dev, &body).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.body["error"]["message"].as_str().unwrap().len() > 20, "{}", reply.body);
        assert!(param.is_empty() || reply.body["error"]["param"] == param, "{}", reply.body);
    }
}

#[tokio::test]
async fn a_site_without_a_model_says_how_to_get_one_and_takes_it_when_it_comes() {
    let app = App::start();
    app.org("acme");
    let token = personal_token(&app, "dev", "developer", "acme").await;
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let reply = chat(&app, &token, &body).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (503, &json!("no_model")), "{}", reply.body);
    let said = reply.body["error"]["message"].as_str().unwrap();
    let folder = app.dir.path().join("models");
    assert!(said.contains(&format!("Put one GGUF file into {}", folder.display())), "{said}");

    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("damaged.gguf"), b"GGUF but not really").unwrap();
    let started = Instant::now();
    let shown = loop {
        let models = app.call("GET", "/api/models", Some(&token), None).await.body;
        if models["items"][0]["status"] == "unreachable" {
            break models["items"][0].clone();
        }
        assert!(started.elapsed() < LIMIT, "{models}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(shown["id"], "damaged");
    assert!(shown["detail"].as_str().unwrap().contains("damaged.gguf cannot be used"), "{shown}");
}

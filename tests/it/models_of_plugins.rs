//! Models that plugins bring, through the door: the example plugin speaks to a server of the test.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::{plugin_languages, plugins};

const MODEL: &str = "openai-models/small";
const LIMIT: Duration = Duration::from_secs(30);

/// A server of OpenAI's API that does what the last message says.
struct Server {
    address: String,
    /// Lets an answer to `slow` go on.
    go_on: Sender<()>,
    /// What the plugin sent; a question to `endless` once more when it let go.
    came: Mutex<Receiver<Value>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ((go_on, told), (seen, came)) = (channel(), channel());
        let told = std::sync::Arc::new(Mutex::new(told));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (told, seen) = (told.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &told, &seen));
            }
        });
        Self { address, go_on, came: Mutex::new(came) }
    }

    /// The next question that came, or one that was let go.
    fn next(&self) -> Value {
        self.came.lock().unwrap().recv_timeout(LIMIT).expect("the plugin asked, or let go")
    }
}

fn serve(mut stream: TcpStream, told: &Mutex<Receiver<()>>, seen: &Sender<Value>) {
    let Some((head, body)) = read(&mut stream) else { return };
    let mut say = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    if head.starts_with("GET /v1/models") {
        say(&whole(200, &json!({"data": [{"id": "small"}, {"id": "large"}]})));
        return;
    }
    drop(seen.send(body.clone()));
    let words = body["messages"].as_array().and_then(|messages| messages.last()?["content"].as_str()).unwrap_or("");
    let piece = |text: &str| frame(&json!({"choices": [{"index": 0, "delta": {"content": text}}]}));
    if words == "fail" {
        say(&whole(500, &json!({"error": {"message": "out of memory"}})));
    } else if body["stream"] != true {
        let choice =
            json!({"index": 0, "message": {"role": "assistant", "content": "Red, blue."}, "finish_reason": "stop"});
        say(&whole(200, &json!({"choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 5}})));
    } else {
        say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
        say(&piece("Red, "));
        if words == "endless" {
            // Until the plugin lets go.
            drop(stream.read(&mut [0; 1]));
            drop(seen.send(json!("let go")));
            return;
        }
        if words == "slow" {
            told.lock().unwrap().recv_timeout(LIMIT).unwrap();
        }
        if words == "breaks" {
            say(&frame(&json!({"error": {"message": "no power"}})));
            return;
        }
        say(&piece("blue."));
        say(&frame(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})));
        say(&frame(&json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}})));
        say("data: [DONE]\n\n");
    }
}

fn whole(status: u16, body: &Value) -> String {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close");
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn frame(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn read(stream: &mut TcpStream) -> Option<(String, Value)> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 65536]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), serde_json::from_str(body).unwrap_or_default()));
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

struct Site {
    app: App,
    server: Server,
    org: i64,
    admin: String,
    token: String,
    plugin: &'static str,
}

impl Site {
    async fn new() -> Self {
        Self::with("openai-models", |app| plugins::bring(app, "plugin-sdk/examples/openai-models")).await
    }

    async fn with(plugin: &'static str, bring: impl FnOnce(&App)) -> Self {
        let (app, server) = (App::start(), Server::start());
        let org = app.org("acme");
        let admin = app.person("root", "admin", None).await;
        bring(&app);
        let manifest = app.dir.path().join(format!("plugins/{plugin}/plugin.json"));
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("\"models.example.org\"", &format!("\"{}\"", server.address))).unwrap();
        let config = json!({"base_url": format!("http://{}/v1", server.address)});
        let install = json!({"slug": plugin, "config": config});
        let made = app.call("POST", "/api/plugins/install", Some(&admin), Some(install)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let token = app.person("ada", "developer", Some("acme")).await;
        let site = Self { app, server, org, admin, token, plugin };
        site.activate(json!({"enabled": true, "granted": "all"})).await;
        site
    }

    async fn activate(&self, body: Value) {
        let path = format!("/api/organizations/{}/plugins/{}", self.org, self.plugin);
        let reply = self.app.call("PUT", &path, Some(&self.admin), Some(body)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    async fn models(&self, token: &str) -> Vec<String> {
        let list = self.app.call("GET", "/v1/models", Some(token), None).await;
        let ids = list.body["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned());
        ids.collect()
    }

    async fn chat(&self, body: Value) -> Reply {
        self.app.call("POST", "/v1/chat/completions", Some(&self.token), Some(body)).await
    }

    /// Streams an answer and, after its first words, does `meanwhile`, whose no ends it; all that came.
    async fn stream<F: Future<Output = bool>>(&self, words: &str, meanwhile: impl FnOnce() -> F) -> String {
        let stream = tokio::net::TcpStream::connect(&self.app.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let request = hyper::Request::post("/v1/chat/completions").header("host", &self.app.address);
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let mut body = ask(words);
        body["model"] = format!("{}/small", self.plugin).into();
        body["stream"] = json!(true);
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let exchange = async move {
            let mut body = sender.send_request(request).await.unwrap().into_body();
            let (mut seen, mut meanwhile) = (String::new(), Some(meanwhile));
            while let Some(frame) = body.frame().await {
                seen.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
                if seen.contains("Red, ")
                    && let Some(meanwhile) = meanwhile.take()
                    && !meanwhile().await
                {
                    break;
                }
            }
            seen
        };
        // The connection ends with the exchange, so that the server sees that nobody reads any more.
        tokio::select! {
            seen = exchange => seen,
            Err(error) = connection => panic!("{error}"),
        }
    }

    /// Tokens of the organisation's quota that are used, once everything was written down.
    async fn used(&self, wanted: i64) {
        let started = Instant::now();
        loop {
            let quotas = self.app.cli_json(&["quota", "show", "--org", "acme"], "");
            let tokens = quotas["items"].as_array().unwrap().iter().find(|quota| quota["resource"] == "llm_tokens");
            let used = tokens.unwrap()["used"].as_i64().unwrap();
            if used == wanted {
                return;
            }
            assert!(started.elapsed() < LIMIT, "{used} tokens are used, not {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn ask(words: &str) -> Value {
    json!({"model": MODEL, "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": words}],
        "max_tokens": 20})
}

#[tokio::test]
async fn a_plugins_models_are_listed_answer_and_are_charged() {
    let site = Site::new().await;
    let ready = async || site.app.call("GET", "/api/system", None, None).await.body["models_ready"].clone();
    assert_eq!(ready().await, false, "nobody asked the plugin yet");
    assert_eq!(site.models(&site.token).await, [MODEL, "openai-models/large"]);
    assert_eq!(ready().await, true);
    site.app.org("globex");
    let other = site.app.person("eve", "developer", Some("globex")).await;
    assert_eq!(site.models(&other).await, Vec::<String>::new(), "it works in the one organisation only");
    let listed = site.app.call("GET", "/api/models", Some(&site.token), None).await.body;
    assert_eq!(
        (&listed["items"][0]["provider"], &listed["items"][0]["status"]),
        (&json!("openai-models"), &json!("ready"))
    );

    let reply = site.chat(ask("plain")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["choices"][0]["message"]["content"], "Red, blue.");
    assert_eq!(reply.body["usage"], json!({"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}));
    let asked = site.server.next();
    assert_eq!(
        (&asked["model"], &asked["max_tokens"], asked["messages"].as_array().unwrap().len()),
        (&json!("small"), &json!(20), 2)
    );
    site.used(16).await;

    let theirs = site.app.call("POST", "/v1/chat/completions", Some(&other), Some(ask("plain"))).await;
    assert_eq!((theirs.status, &theirs.body["error"]["code"]), (404, &json!("model_not_found")), "{}", theirs.body);
    let mut tools = ask("plain");
    tools["tools"] = json!([{"type": "function"}]);
    let refused = site.chat(tools).await;
    assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!("tools")), "{}", refused.body);
    let entries = site.app.call("GET", "/api/audit?resource_type=model&limit=10", Some(&site.admin), None).await.body;
    let told = entries["items"].as_array().unwrap().iter().any(|entry| entry.to_string().contains(MODEL));
    assert!(told, "{entries:#}");

    let set = site.app.cli(&["quota", "set", "--org", "acme", "llm_tokens", "30"], "");
    assert!(set.status.success(), "{set:?}");
    let refused = site.chat(ask("plain")).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (429, &json!("quota_exceeded")), "{}", refused.body);
}

#[tokio::test]
async fn words_come_before_the_end_and_the_end_tells_what_was_used() {
    let site = Site::new().await;
    let go_on = site.server.go_on.clone();
    // The rest only comes once its beginning was seen.
    let seen = site.stream("slow", || async { go_on.send(()).is_ok() }).await;
    assert!(seen.contains("blue.") && seen.ends_with("data: [DONE]\n\n"), "{seen}");
    assert!(!seen.contains("\"usage\""), "nobody asked for it: {seen}");
    site.used(16).await;
}

#[tokio::test]
async fn failures_are_told_in_the_plugins_words_and_do_not_switch_it_off() {
    let site = Site::new().await;
    for _ in 0..6 {
        let reply = site.chat(ask("fail")).await;
        assert_eq!((reply.status, &reply.body["error"]["code"]), (502, &json!("upstream_failed")), "{}", reply.body);
        let words = reply.body["error"]["message"].as_str().unwrap();
        assert!(
            words.contains("The plugin openai-models failed: The model server answered 500: out of memory"),
            "{words}"
        );
    }
    let seen = site.stream("breaks", || async { true }).await;
    let last: Value = serde_json::from_str(seen.trim_end().rsplit("data: ").next().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_failed", "{seen}");
    assert!(last["error"]["message"].as_str().unwrap().contains("no power"), "{seen}");
    let answered = site.chat(ask("plain")).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
}

#[tokio::test]
async fn who_leaves_ends_the_call_and_who_is_switched_off_answers_no_more() {
    let site = Site::new().await;
    let seen = site.stream("endless", || async { false }).await;
    assert!(seen.contains("Red, ") && !seen.contains("blue."), "{seen}");
    assert_eq!(site.server.next()["stream"], true);
    assert_eq!(site.server.next(), "let go", "the plugin's own request ends with the client");

    let seen = site.stream("endless", || async {
        site.activate(json!({"enabled": false})).await;
        true
    });
    let seen = seen.await;
    assert!(seen.contains("was switched off in the organisation"), "{seen}");
    assert_eq!(site.server.next()["stream"], true);
    assert_eq!(site.server.next(), "let go");
    let gone = site.chat(ask("plain")).await;
    assert_eq!((gone.status, &gone.body["error"]["code"]), (404, &json!("model_not_found")), "{}", gone.body);
    assert_eq!(site.models(&site.token).await, Vec::<String>::new());
    let system = site.app.call("GET", "/api/system", None, None).await.body;
    assert_eq!(system["models_ready"], false, "it was switched off");

    site.activate(json!({"enabled": true, "granted": {}})).await;
    let denied = site.chat(ask("plain")).await;
    assert!(denied.status >= 400, "{}", denied.body);
}

#[tokio::test]
async fn a_plugin_in_javascript_answers_word_by_word() {
    let site = Site::with("script-models", |app| {
        let folder = app.dir.path().join("plugins/script-models");
        plugins::bring(app, "plugin-sdk/examples/script-models");
        plugin_languages::build(&folder);
        let tests = app.cli(&["plugin", "test", folder.to_str().unwrap()], "");
        assert!(tests.status.success(), "{tests:?}");
    });
    let site = site.await;
    assert_eq!(site.models(&site.token).await, ["script-models/small", "script-models/large"]);
    let mut plain = ask("plain");
    plain["model"] = json!("script-models/small");
    let reply = site.chat(plain).await;
    assert_eq!(reply.body["choices"][0]["message"]["content"], "Red, blue.", "{}", reply.body);
    assert_eq!(site.server.next()["messages"].as_array().unwrap().len(), 2);
    let go_on = site.server.go_on.clone();
    // The rest only comes once its beginning was seen.
    let seen = site.stream("slow", || async { go_on.send(()).is_ok() }).await;
    assert!(seen.contains("blue.") && seen.ends_with("data: [DONE]\n\n"), "{seen}");
    assert_eq!(site.server.next()["stream"], true);
    // As the server counted them: once for each answer.
    site.used(32).await;
    let seen = site.stream("endless", || async { false }).await;
    assert!(seen.contains("Red, ") && !seen.contains("blue."), "{seen}");
    assert_eq!(site.server.next()["stream"], true);
    assert_eq!(site.server.next(), "let go", "the plugin's own request ends with the client");
}

#[tokio::test]
async fn a_run_is_done_by_a_plugins_model() {
    let site = Site::new().await;
    let body = json!({"name": "Colours", "requirements": "Name colours."});
    let project = site.app.call("POST", "/api/projects", Some(&site.token), Some(body)).await.body["id"].clone();
    let path = format!("/api/projects/{project}/runs");
    let run = site.app.call("POST", &path, Some(&site.token), Some(json!({"model": MODEL}))).await;
    assert_eq!(run.status, 201, "{}", run.body);
    let asked = site.server.next();
    assert_eq!((&asked["model"], &asked["stream"]), (&json!("small"), &json!(true)), "{asked}");
    assert!(asked["messages"][0]["content"].as_str().unwrap().contains("You are the"), "{asked}");
}

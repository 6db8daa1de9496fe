//! The engine with a real model, through its door: the socket handed over as standard input.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Long enough for a slow machine; the tests end as soon as the engine answers.
const LIMIT: Duration = Duration::from_secs(300);

/// Requests that may wait.
const PLACES: usize = 16;

struct Engine {
    dir: tempfile::TempDir,
    process: Child,
}

fn model() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let path = cache.join("resoftai/models/smollm2-135m-instruct.gguf");
    assert!(path.exists(), "{} is missing: run src/llm/engine/fetch-model.sh", path.display());
    path
}

fn command(dir: &Path, model: &Path) -> Command {
    let listener = UnixListener::bind(dir.join("engine.sock")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_resoftai-engine"));
    command.arg("--model").arg(model).args(["--name", "small", "--threads", "1"]);
    command.stdin(Stdio::from(OwnedFd::from(listener))).stderr(Stdio::piped());
    command
}

/// A model that takes all memory must take no other process with it.
#[test]
fn it_is_the_first_to_go_when_memory_runs_out() {
    let engine = Engine::start();
    let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", engine.process.id())).unwrap();
    assert_eq!(score.trim(), "1000");
}

impl Engine {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let process = command(dir.path(), &model()).stderr(log).spawn().unwrap();
        let engine = Self { dir, process };
        let started = Instant::now();
        while engine.call("GET", "/health", None).0 != 200 {
            assert!(started.elapsed() < LIMIT, "the model was not loaded in time");
            std::thread::sleep(Duration::from_millis(50));
        }
        engine
    }

    /// One exchange on a connection of its own.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let (head, body) = reply(self.send(method, path, body));
        (status(&head), body)
    }

    /// A request on its way, on a connection of its own.
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> UnixStream {
        let mut stream = UnixStream::connect(self.dir.path().join("engine.sock")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let body = body.map_or_else(String::new, Value::to_string);
        let head = "host: engine\r\ncontent-type: application/json\r\nconnection: close";
        let request = format!("{method} {path} HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// What it logged, a line each.
    fn log(&self) -> Vec<String> {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap().lines().map(str::to_owned).collect()
    }

    fn chat(&self, body: &Value) -> (u16, Value) {
        let (status, text) = self.call("POST", "/v1/chat/completions", Some(body));
        (status, serde_json::from_str(&text).unwrap())
    }
}

/// Head and body of the answer, once all of it is there.
fn reply(mut stream: UnixStream) -> (String, String) {
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn ask(text: &str, max_tokens: u32) -> Value {
    json!({"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0})
}

#[test]
fn it_answers_counts_and_keeps_to_a_schema() {
    let engine = Engine::start();
    let models: Value = serde_json::from_str(&engine.call("GET", "/v1/models", None).1).unwrap();
    assert_eq!(models["data"][0]["id"], "small");

    let question = ask("What is the capital of France? Answer in one word.", 16);
    let (status, answer) = engine.chat(&question);
    assert_eq!(status, 200, "{answer}");
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Paris"), "{text}");
    let (_, counted) = engine.call("POST", "/tokenize", Some(&json!({"messages": question["messages"]})));
    let counted: Value = serde_json::from_str(&counted).unwrap();
    assert_eq!(counted["tokens"].as_array().unwrap().len() as u64, answer["usage"]["prompt_tokens"].as_u64().unwrap());

    let schema = json!({"type": "object", "additionalProperties": false, "required": ["path", "content"],
        "properties": {"path": {"type": "string", "maxLength": 20}, "content": {"type": "string", "maxLength": 60}}});
    let mut constrained = ask("Write a Python file that prints hello.", 160);
    constrained["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "file", "schema": schema}});
    let (status, answer) = engine.chat(&constrained);
    assert_eq!(status, 200, "{answer}");
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let file: Value = serde_json::from_str(text).unwrap_or_else(|cause| panic!("{cause}: {text}"));
    assert!(file["path"].is_string() && file["content"].is_string(), "{file}");
}

#[test]
fn a_stream_says_what_the_plain_answer_says() {
    let engine = Engine::start();
    let mut question = ask("Name three colours.", 24);
    let (_, plain) = engine.chat(&question);
    question["stream"] = json!(true);
    let (status, stream) = engine.call("POST", "/v1/chat/completions", Some(&question));
    assert_eq!(status, 200, "{stream}");
    let chunks: Vec<Value> = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, plain["choices"][0]["message"]["content"].as_str().unwrap());
    assert!(stream.contains("data: [DONE]"));
}

#[test]
fn what_does_not_fit_is_refused_not_cut() {
    let engine = Engine::start();
    let (status, refusal) = engine.chat(&ask(&"word ".repeat(20_000), 16));
    assert_eq!((status, &refusal["error"]["code"]), (400, &json!("context_length_exceeded")), "{refusal}");
}

#[test]
fn a_full_queue_refuses_and_a_client_that_leaves_ends_its_answer() {
    let engine = Engine::start();
    // Longer than anything else here may take: the answer cannot end before 3000 characters.
    let mut long = ask("Tell a story.", 6000);
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["story"],
        "properties": {"story": {"type": "string", "minLength": 3000}}});
    long["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "story", "schema": schema}});
    long["stream"] = json!(true);
    let mut answered = engine.send("POST", "/v1/chat/completions", Some(&long));
    let (mut begun, mut piece) = (String::new(), [0; 4096]);
    while !begun.contains("story") {
        let length = answered.read(&mut piece).unwrap();
        assert!(length > 0, "{begun}");
        begun.push_str(&String::from_utf8_lossy(&piece[..length]));
    }

    let (ended, ends) = std::sync::mpsc::channel();
    for _ in 0..=PLACES {
        let (stream, ended) = (engine.send("POST", "/v1/chat/completions", Some(&ask("Hi", 1))), ended.clone());
        std::thread::spawn(move || ended.send(reply(stream)).unwrap());
    }
    let (head, body) = ends.recv_timeout(LIMIT).unwrap();
    assert_eq!(status(&head), 503, "{body}");
    assert!(head.to_lowercase().contains("\r\nretry-after: "), "{head}");
    let refusal: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(refusal["error"]["code"], "queue_full");
    assert!(refusal["error"]["message"].as_str().unwrap().contains("16 requests already wait"), "{refusal}");

    drop(answered);
    for _ in 0..PLACES {
        let (head, body) = ends.recv_timeout(LIMIT).unwrap();
        assert_eq!(status(&head), 200, "{body}");
    }
    let log = engine.log();
    let said = |words: &str| log.iter().filter(|line| line.contains(words)).count();
    assert_eq!((said("The client left; its answer was stopped."), said("Answered.")), (1, PLACES), "{log:#?}");
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("damaged.gguf");
    std::fs::write(&file, b"GGUF but not really").unwrap();
    let output = command(dir.path(), &file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("damaged.gguf"));
}

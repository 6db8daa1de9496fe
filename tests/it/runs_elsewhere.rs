//! Runs on a model server that cannot be held to a form, and that fails: it replays what our own engine once answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

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
    let messages = texts(&Follower::new(&app, &token, &path, 0).await.rest().await);
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
    let trail = app.cli_json(&["audit", "list", "--action", "execute", "--limit", "100"], "");
    let unused = trail["items"].as_array().unwrap().iter().filter(|entry| {
        entry["description"].as_str().unwrap().contains("that the developer could not use")
            && entry["actor"]["kind"] == "system"
            && entry["organization_id"] == org
    });
    assert_eq!(unused.count(), 3, "tokens that nothing came of are in the trail: {trail}");
}

/// The recorded words with others around them, as far as a role's answer needs a form.
fn around(before: &str, after: &str) -> String {
    let words = words();
    let mut frames: Vec<&str> = words.split_inclusive("\n\n").collect();
    let pattern = frames.iter().find(|frame| frame.contains(r#""content":"1""#)).unwrap().to_string();
    let frame = |text: &str| pattern.replace(r#""content":"1""#, &format!(r#""content":{}"#, json!(text)));
    let (before, after) = (frame(before), frame(after));
    let end = frames.iter().position(|frame| frame.contains(r#""finish_reason":"length""#)).unwrap();
    frames.insert(end, &after);
    frames.insert(1, &before);
    frames.concat()
}

/// An answer with one file.
fn file(path: &str) -> Answer {
    Answer::stream(&around(&format!("{path}\n```\n"), "\n```\n"))
}

fn review(verdict: &str) -> Answer {
    Answer::stream(&around("", &format!("\n\n{verdict}")))
}

/// What a team answers whose work is good.
fn good(role: &str) -> Answer {
    match role {
        "developer" => file("colours.txt"),
        "test engineer" => file("tests/colours.txt"),
        "quality expert" => review("Approved."),
        _ => Answer::stream(&words()),
    }
}

/// Holds answers back until the test opens it.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (open, opened) = &*self.0;
        let open = opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap();
        drop(open);
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// A site whose only model is on a scripted server, and a project.
struct Lab {
    app: App,
    server: ModelServer,
    token: String,
    project: i64,
}

impl Lab {
    /// Every answer is good, and those to the roles that are `held` wait for the gate.
    async fn gated(held: impl Fn(&str) -> bool + Send + Sync + 'static) -> (Self, Gate) {
        let gate = Gate::default();
        let shut = gate.clone();
        let answer = move |role: &str, _| {
            if held(role) {
                shut.pass();
            }
            good(role)
        };
        (Self::new(8192, answer).await, gate)
    }

    /// `answer` gets the role and how often it was asked, from 1.
    async fn new(context: u32, answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let app = App::start();
        let org = app.org("acme");
        let admin = app.person("root", "admin", None).await;
        let asked = Mutex::<HashMap<String, usize>>::default();
        let server = ModelServer::start(move |request| {
            let role = role(&request.body);
            let time = {
                let mut asked = asked.lock().unwrap();
                let times = asked.entry(role.clone()).or_default();
                *times += 1;
                *times
            };
            answer(&role, time)
        });
        let provider =
            json!({"name": "lab", "base_url": server.url(), "organization_id": org, "context_length": context});
        assert_eq!(app.call("POST", "/api/llm/providers", Some(&admin), Some(provider)).await.status, 201);
        let token = app.person("ada", "developer", Some("acme")).await;
        let mut lab = Self { app, server, token, project: 0 };
        lab.project = lab.project("Colours").await;
        lab
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let reply = self.app.call(method, path, Some(&self.token), body).await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.body);
        reply.body
    }

    async fn project(&self, name: &str) -> i64 {
        let body = json!({"name": name, "requirements": "A program that names colours."});
        self.call("POST", "/api/projects", Some(body)).await["id"].as_i64().unwrap()
    }

    async fn write(&self, path: &str, content: &Value) {
        let mut body = json!({"path": path});
        body.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        self.call("POST", &format!("/api/projects/{}/files", self.project), Some(body)).await;
    }

    /// Starts a run in `project`; its address.
    async fn start_in(&self, project: i64, more: Value) -> String {
        let mut body = json!({"skip_ui_design": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("Bearer {}", self.token)),
            ("user-agent", "lab/1".to_owned()),
        ];
        let path = format!("/api/projects/{project}/runs");
        let started = self.app.send("POST", &path, &headers, body.to_string().into()).await;
        assert_eq!(started.status, 201, "{}", started.body);
        format!("/api/runs/{}", started.body["id"])
    }

    async fn start(&self, more: Value) -> String {
        self.start_in(self.project, more).await
    }

    async fn until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let run = self.call("GET", run, None).await;
            if wanted(&run) {
                return run;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "not as wanted: {run:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ended(&self, run: &str, status: &str) -> Value {
        let run = self.until(run, |run| ["completed", "failed"].iter().any(|end| run["status"] == *end)).await;
        assert_eq!(run["status"], status, "{run:#}");
        let stages = run["stages"].as_array().unwrap();
        let tokens: i64 = stages.iter().map(|stage| stage["tokens"].as_i64().unwrap()).sum();
        assert_eq!(run["tokens_used"], tokens, "{run:#}");
        run
    }

    async fn follow(&self, run: &str, after: i64) -> Follower {
        Follower::new(&self.app, &self.token, run, after).await
    }

    /// The messages of a run that has ended.
    async fn messages(&self, run: &str) -> Vec<String> {
        texts(&self.follow(run, 0).await.rest().await)
    }

    /// The questions that `role` was asked.
    fn questions(&self, role: &str) -> Vec<String> {
        let requests = self.server.requests();
        let asked = requests.iter().filter(|request| self::role(&request.body) == role);
        asked.map(|request| request.body["messages"][1]["content"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the server has been asked `times` times.
    async fn asked(&self, times: usize) {
        let started = Instant::now();
        while self.server.requests().len() < times {
            assert!(started.elapsed() < Duration::from_secs(60), "the model was not asked {times} times");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The organisation's tokens once nothing is under way.
    async fn quota(&self) -> i64 {
        let started = Instant::now();
        loop {
            let quotas = self.app.cli_json(&["quota", "show", "--org", "acme"], "");
            let all = quotas["items"].as_array().unwrap();
            let tokens = all.iter().find(|quota| quota["resource"] == "llm_tokens").unwrap();
            // What the process still holds goes back when nobody asks for it.
            if tokens["reserved"] == 0 {
                return tokens["used"].as_i64().unwrap();
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{tokens}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Whom a question is to: its first sentence says so.
fn role(body: &Value) -> String {
    let words = body["messages"][0]["content"].as_str().unwrap();
    let role = words.strip_prefix("You are the ").unwrap().split(" of ").next().unwrap();
    role.to_owned()
}

fn stage<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

/// An event as it came: its number (0: it has none), its name, its data.
type Event = (i64, String, Value);

fn texts(events: &[Event]) -> Vec<String> {
    let messages = events.iter().filter(|event| event.1 == "message");
    messages.map(|event| event.2["text"].as_str().unwrap().to_owned()).collect()
}

/// A reader of a run's events, one by one.
struct Follower {
    body: Incoming,
    text: String,
}

impl Follower {
    #[allow(clippy::disallowed_methods, reason = "the connection ends with its body, within the test")]
    async fn new(app: &App, token: &str, run: &str, after: i64) -> Self {
        let stream = TcpStream::connect(&app.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::builder().uri(format!("{run}/events")).header("host", &app.address);
        let request = request.header("authorization", format!("Bearer {token}")).header("last-event-id", after);
        let reply = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), 200);
        Self { body: reply.into_body(), text: String::new() }
    }

    /// The next event; None when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                if let Some(data) = field("data") {
                    let number = field("id").map_or(0, |id| id.parse().unwrap());
                    return Some((number, field("event").unwrap().to_owned(), serde_json::from_str(data).unwrap()));
                }
            }
            let frame = tokio::time::timeout(Duration::from_secs(60), self.body.frame()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

#[tokio::test]
async fn a_review_sends_the_work_back_until_the_limit_and_the_trail_knows_from_where_it_was_asked_for() {
    let lab = Lab::new(8192, |role, _| match role {
        "quality expert" => review("Not approved."),
        _ => good(role),
    })
    .await;
    let path = lab.start(json!({"max_iterations": 2})).await;
    let run = lab.ended(&path, "completed").await;
    assert_eq!((&run["iteration"], &run["stage"]), (&json!(2), &json!("completed")), "{run:#}");
    for name in ["development", "testing", "qa_review"] {
        assert_eq!((&stage(&run, name)["attempts"], &stage(&run, name)["status"]), (&json!(2), &json!("done")));
    }
    assert_eq!(lab.server.requests().len(), 9);
    let questions = lab.questions("developer");
    let review = "# File quality/quality-assessment.md\n1. Red";
    assert!(!questions[0].contains(review) && questions[1].contains(review), "{questions:#?}");
    let said = lab.messages(&path).await;
    let verdicts: Vec<&String> = said.iter().filter(|text| text.contains("did not approve")).collect();
    assert_eq!(verdicts.len(), 2, "{said:#?}");
    assert!(verdicts[0].contains("Development begins again.") && verdicts[1].contains("limit of iterations"));
    let trail = lab.app.cli_json(&["audit", "list", "--limit", "100"], "");
    let entries = trail["items"].as_array().unwrap().iter().filter(|entry| entry["actor"]["kind"] == "agent");
    let entries: Vec<&Value> = entries.collect();
    assert!(entries.iter().any(|entry| entry["resource_type"] == "file") && entries.len() > 9, "{entries:#?}");
    for entry in entries {
        assert_eq!((&entry["ip_address"], &entry["user_agent"]), (&json!("127.0.0.1"), &json!("lab/1")), "{entry:#}");
    }
}

#[tokio::test]
async fn a_paused_run_begins_no_turn_until_it_is_resumed() {
    let (lab, gate) = Lab::gated(|_| true).await;
    let path = lab.start(json!({})).await;
    lab.asked(1).await;
    assert_eq!(lab.call("POST", &format!("{path}/pause"), None).await["status"], "paused");
    gate.open();
    // The turn under way is committed; another run comes to its end meanwhile, this one does not move.
    let run = lab.until(&path, |run| run["tokens_used"] != 0).await;
    assert_eq!((&run["status"], &run["stage"]), (&json!("paused"), &json!("requirement_analysis")), "{run:#}");
    let other = lab.project("Shades").await;
    let other = lab.start_in(other, json!({})).await;
    lab.ended(&other, "completed").await;
    assert_eq!(lab.call("GET", &path, None).await, run);
    let asked = || {
        let requests = lab.server.requests();
        let ours = |question: &str| question.contains("# Project\nColours\n");
        requests.iter().filter(|request| ours(request.body["messages"][1]["content"].as_str().unwrap())).count()
    };
    assert_eq!(asked(), 1);
    assert_eq!(lab.call("POST", &format!("{path}/resume"), None).await["status"], "running");
    let run = lab.ended(&path, "completed").await;
    assert_eq!(asked(), 6);
    assert_eq!(stage(&run, "requirement_analysis")["attempts"], 1, "{run:#}");
}

#[tokio::test]
async fn a_stage_that_failed_is_retried_and_the_run_then_completes() {
    let able = Arc::new(AtomicBool::new(false));
    let now = able.clone();
    let lab = Lab::new(8192, move |role, _| match role {
        "developer" if !now.load(Ordering::SeqCst) => Answer::stream(&words()),
        _ => good(role),
    })
    .await;
    let path = lab.start(json!({})).await;
    let failed = lab.ended(&path, "failed").await;
    assert_eq!(failed["error"]["code"], "unusable_reply", "{failed:#}");
    able.store(true, Ordering::SeqCst);
    let again = lab.call("POST", &format!("{path}/stages/development/retry"), None).await;
    assert_eq!((&again["status"], &again["error"]), (&json!("queued"), &Value::Null));
    let run = lab.ended(&path, "completed").await;
    assert_eq!((&run["error"], &stage(&run, "development")["attempts"]), (&Value::Null, &json!(2)), "{run:#}");
    assert_eq!(stage(&run, "architecture_design"), stage(&failed, "architecture_design"));
    assert!(stage(&run, "development")["tokens"].as_i64() > stage(&failed, "development")["tokens"].as_i64());
    let project = lab.call("GET", &format!("/api/projects/{}", lab.project), None).await;
    assert_eq!(project["status"], "completed");
}

#[tokio::test]
async fn a_reader_that_was_cut_off_takes_the_stream_up_in_the_middle_of_the_run() {
    let (lab, gate) = Lab::gated(|role| role == "developer").await;
    let path = lab.start(json!({})).await;
    let mut first = lab.follow(&path, 0).await;
    let mut last = 0;
    while last < 4 {
        last = last.max(first.next().await.unwrap().0);
    }
    drop(first);
    lab.asked(4).await;
    let mut again = lab.follow(&path, last).await;
    assert_eq!(again.next().await.unwrap().0, last + 1);
    // All there is so far, and then the rest as it happens.
    while stage_of(&again.next().await.unwrap()) != Some("development") {}
    gate.open();
    let rest = again.rest().await;
    let live: String =
        rest.iter().filter(|event| event.1 == "delta").map(|event| event.2["text"].as_str().unwrap()).collect();
    assert!(live.contains("colours.txt") && live.contains("1. Red"), "{live}");
    let kept: Vec<Event> = rest.into_iter().filter(|event| event.0 > 0).collect();
    let all = lab.follow(&path, 0).await.rest().await;
    assert_eq!(kept[..], all[all.len() - kept.len()..]);
    assert_eq!(all.iter().map(|event| event.0).collect::<Vec<_>>(), (1..=all.len() as i64).collect::<Vec<_>>());
    assert_eq!(kept.last().unwrap().2["status"], "completed");
}

/// The stage that an event says is running.
fn stage_of(event: &Event) -> Option<&str> {
    if event.1 == "stage" && event.2["status"] == "running" { event.2["stage"].as_str() } else { None }
}

#[tokio::test]
async fn tokens_of_an_answer_that_broke_off_come_out_of_the_budget() {
    let cut = words();
    let lab = Lab::new(8192, move |_, _| Answer::half(&cut[..cut.len() / 2])).await;
    let requirement = "Name a colour, and then name one more colour, and do not stop. ".repeat(40);
    let path = lab.start(json!({"token_budget": 2000, "requirement": requirement})).await;
    let run = lab.ended(&path, "failed").await;
    assert_eq!(run["error"]["code"], "token_budget_exceeded", "{run:#}");
    assert_eq!(lab.server.requests().len(), 1, "the second attempt has no tokens left to ask with");
    let (used, quota) = (run["tokens_used"].as_i64().unwrap(), lab.quota().await);
    assert!(used > 900 && (used - quota).abs() < quota / 10, "the run counts {used}, the quota {quota}");
    let said = lab.messages(&path).await;
    assert!(said[0].ends_with("The turn is tried again.") && !said[1].contains("tried again"), "{said:#?}");
    let trail = lab.app.cli_json(&["audit", "list", "--resource", "run"], "");
    let end = &trail["items"][0];
    assert!(end["description"].as_str().unwrap().contains("failed"), "{end:#}");
    assert_eq!((&end["ip_address"], &end["success"]), (&json!("127.0.0.1"), &json!(false)), "{end:#}");
}

#[tokio::test]
async fn tokens_of_a_turn_that_was_canceled_are_counted_and_nothing_is_said_after_the_end() {
    let cut = words();
    let lab = Lab::new(8192, move |_, _| Answer::half(&cut[..cut.len() / 2]).and_silence()).await;
    let path = lab.start(json!({})).await;
    let mut reader = lab.follow(&path, 0).await;
    while reader.next().await.unwrap().1 != "delta" {}
    lab.call("POST", &format!("{path}/cancel"), None).await;
    let end = reader.rest().await.pop().unwrap();
    assert_eq!((end.1.as_str(), &end.2["status"]), ("status", &json!("canceled")));
    let run = lab.until(&path, |run| run["tokens_used"] != 0).await;
    let (used, quota) = (run["tokens_used"].as_i64().unwrap(), lab.quota().await);
    assert!((used - quota).abs() < quota / 10, "the run counts {used}, the quota {quota}");
    assert_eq!(lab.follow(&path, 0).await.rest().await.pop().unwrap(), end);
    assert_eq!((lab.messages(&path).await, lab.server.requests().len()), (Vec::new(), 1));
}

#[tokio::test]
async fn a_turn_that_does_not_fit_into_the_budget_is_not_begun() {
    let lab = Lab::new(8192, |role, _| good(role)).await;
    let path = lab.start(json!({"token_budget": 2000, "requirement": "word ".repeat(2000)})).await;
    let run = lab.ended(&path, "failed").await;
    assert_eq!((&run["error"]["code"], &run["tokens_used"]), (&json!("token_budget_exceeded"), &json!(0)), "{run:#}");
    let detail = run["error"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("2000 of the run's 2000 tokens are left"), "{detail}");
    assert!(lab.server.requests().is_empty());
}

#[tokio::test]
async fn a_turn_whose_commit_failed_is_done_again_and_both_are_counted() {
    let (lab, gate) = Lab::gated(|_| true).await;
    let path = lab.start(json!({})).await;
    lab.asked(1).await;
    // Only the commit of a turn writes there.
    lab.app.sql("ALTER TABLE file_versions RENAME TO moved");
    gate.open();
    let run = lab.until(&path, |run| run["tokens_used"] != 0).await;
    assert_eq!(stage(&run, "requirement_analysis")["summary"], Value::Null, "{run:#}");
    lab.app.sql("ALTER TABLE moved RENAME TO file_versions");
    let run = lab.ended(&path, "completed").await;
    assert_eq!((lab.server.requests().len(), run["tokens_used"].as_i64().unwrap()), (7, lab.quota().await));
    assert_eq!(stage(&run, "requirement_analysis")["attempts"], 2);
    assert!(lab.messages(&path).await.iter().any(|text| text.ends_with("The turn is tried again.")));
}

#[tokio::test]
async fn a_run_that_another_server_canceled_in_the_middle_of_a_turn_hears_no_more() {
    let (lab, gate) = Lab::gated(|_| true).await;
    let path = lab.start(json!({})).await;
    lab.asked(1).await;
    lab.app.sql("UPDATE runs SET status = 'canceled', step_job = NULL; DELETE FROM jobs WHERE kind = 'run.step'");
    gate.open();
    let run = lab.until(&path, |run| run["tokens_used"] != 0).await;
    assert_eq!((&run["status"], lab.server.requests().len()), (&json!("canceled"), 1), "{run:#}");
    assert_eq!(lab.messages(&path).await, Vec::<String>::new());
    assert_eq!(run["tokens_used"], lab.quota().await);
}

#[tokio::test]
async fn a_file_that_the_project_cannot_take_is_told_to_the_model_before_the_commit() {
    let lab = Lab::new(8192, |role, time| match (role, time) {
        ("developer", 1) => file("colours/red.txt"),
        _ => good(role),
    })
    .await;
    lab.write("colours", &json!({"content": "red"})).await;
    let path = lab.start(json!({})).await;
    let run = lab.ended(&path, "completed").await;
    assert_eq!((lab.server.requests().len(), &stage(&run, "development")["attempts"]), (7, &json!(1)), "{run:#}");
    let why = "`colours/red.txt` cannot be written: `colours` is a file of the project, not a folder.";
    let questions = lab.questions("developer");
    assert!(!questions[0].contains(why) && questions[1].contains(why), "{questions:#?}");
    // A document whose place is taken is no fault of the model's.
    lab.write("design", &json!({"content": "none"})).await;
    let path = lab.start(json!({"skip_ui_design": false})).await;
    let run = lab.ended(&path, "failed").await;
    assert_eq!((&run["error"]["code"], &run["stage"]), (&json!("document_unwritable"), &json!("ui_design")), "{run:#}");
    assert!(lab.questions("UX/UI designer").is_empty());
}

#[tokio::test]
async fn what_a_question_leaves_out_is_told_and_the_telling_fits_too() {
    let lab = Lab::new(1200, |role, _| good(role)).await;
    lab.write("a/large.txt", &json!({"content": "x".repeat(300 * 1024)})).await;
    lab.write("a/picture.png", &json!({"content": "/9j/4A==", "encoding": "base64"})).await;
    let name = "a-rather-long-name-of-a-folder-or-file".repeat(2);
    for n in 0..70 {
        lab.write(&format!("b/{name}/{n}-{name}.txt"), &json!({"content": "blue ".repeat(200)})).await;
    }
    let path = lab.start(json!({})).await;
    lab.ended(&path, "completed").await;
    let question = lab.questions("developer").remove(0);
    let (_, told) = question.split_once("# Not shown here\n").unwrap();
    assert!(told.contains("texts of the project\n") && told.contains("the names of "), "{told}");
    let said = lab.messages(&path).await;
    let said = said.iter().find(|text| text.contains("File a/large.txt")).unwrap();
    for words in
        ["File a/large.txt (larger than 256 KiB)", "File a/picture.png (not text)", "more texts of the project"]
    {
        assert!(said.contains(words), "`{words}`: {said}");
    }
}

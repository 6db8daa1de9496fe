//! Integrations through the door: what happens here reaches a server of another system, and a server that refuses is
//! asked again, a few times.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;
use crate::plugins;

const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps what is posted to it. A post about something whose name has the word `refused` is refused so many times.
struct Receiver {
    address: String,
    posted: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let posted = Arc::<Mutex<Vec<Value>>>::default();
        let kept = posted.clone();
        std::thread::spawn(move || {
            let mut refused = 0;
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                while reader.read_line(&mut head).unwrap() > 2 {
                    let line = head.lines().last().unwrap().to_lowercase();
                    length = line.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let mut post: Value = serde_json::from_slice(&body).unwrap();
                let refuse = post.to_string().contains("refused") && refused < refusals;
                refused += usize::from(refuse);
                post["secret"] = json!(head.contains("Bearer t0k3n"));
                kept.lock().unwrap().push(post);
                let status = if refuse { "503 No" } else { "204 Fine" };
                let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                drop(stream.write_all(reply.as_bytes()));
            }
        });
        Self { address, posted }
    }

    fn names(&self) -> Vec<String> {
        let posted = self.posted.lock().unwrap();
        posted.iter().map(|post| format!("{} {}", post["event"].as_str().unwrap(), post["data"]["name"])).collect()
    }

    async fn until(&self, count: usize) -> Vec<String> {
        let started = Instant::now();
        loop {
            let names = self.names();
            if names.len() >= count {
                return names;
            }
            assert!(started.elapsed() < PATIENCE, "{count} posts were awaited: {names:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

struct Site {
    app: App,
    root: String,
    org: i64,
}

impl Site {
    /// The example at work in an organisation, granted the way to `receiver`.
    async fn new(receiver: &Receiver, config: Value) -> Self {
        let app = App::start();
        let org = app.org("acme");
        let root = app.person("root", "admin", None).await;
        plugins::bring(&app, "plugin-sdk/examples/webhook");
        let path = app.dir.path().join("plugins/webhook/plugin.json");
        let manifest = fs::read_to_string(&path).unwrap();
        fs::write(&path, manifest.replace("[\"hooks.example.org\"]", &json!([receiver.address]).to_string())).unwrap();
        let site = Self { app, root, org };
        site.call("POST", "/api/plugins/install", json!({"slug": "webhook"})).await;
        let mut settings = json!({"url": format!("http://{}/in", receiver.address), "token": "t0k3n"});
        settings.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let change = json!({"enabled": true, "granted": {"http": [receiver.address]}, "config": settings});
        site.call("PUT", &format!("/api/organizations/{org}/plugins/webhook"), change).await;
        site
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let reply = self.app.call(method, path, Some(&self.root), Some(body)).await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.body);
        reply.body
    }

    async fn project(&self, name: &str) -> i64 {
        let body = json!({"name": name, "organization_id": self.org});
        self.call("POST", "/api/projects", body).await["id"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn what_happens_reaches_the_other_system_and_a_refusal_is_tried_again() {
    let receiver = Receiver::start(2);
    let site = Site::new(&receiver, json!({"events": ["project.create.after", "project.update.after"]})).await;
    let project = site.project("Shop").await;
    assert_eq!(receiver.until(1).await, ["project.create.after \"Shop\""]);
    let post = receiver.posted.lock().unwrap()[0].clone();
    assert_eq!((&post["data"]["project_id"], &post["secret"]), (&json!(project), &json!(true)), "{post}");

    // Refused twice, and nothing else waits for it.
    site.project("Refused: refused").await;
    receiver.until(2).await;
    site.call("PUT", &format!("/api/projects/{project}"), json!({"name": "Store"})).await;
    let names = receiver.until(5).await;
    assert_eq!(names.iter().filter(|name| name.contains("refused")).count(), 3, "{names:?}");
    assert!(names.contains(&"project.update.after \"Store\"".to_owned()), "{names:?}");

    // Not among its events; what comes behind it shows that it was not sent.
    let delete = site.app.call("DELETE", &format!("/api/projects/{project}"), Some(&site.root), None).await;
    assert_eq!(delete.status, 204);
    site.project("Last").await;
    assert_eq!(receiver.until(6).await.last().unwrap(), "project.create.after \"Last\"");
}

#[tokio::test]
async fn what_is_refused_three_times_is_given_up_and_stands_in_the_plugins_log() {
    let receiver = Receiver::start(usize::MAX);
    let site = Site::new(&receiver, json!({})).await;
    site.project("refused").await;
    receiver.until(3).await;
    let started = Instant::now();
    let line = "project.create.after was not passed on: send_notification() returned False 3 times.";
    loop {
        let path = format!("/api/plugins/webhook/logs?organization_id={}", site.org);
        let log = site.app.call("GET", &path, Some(&site.root), None).await.body;
        if log["items"].as_array().unwrap().iter().any(|entry| entry["text"] == line && entry["level"] == "error") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{log}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(receiver.names().len(), 3);
    let path = format!("/api/organizations/{}/plugins/webhook", site.org);
    let shown = site.app.call("GET", &path, Some(&site.root), None).await.body;
    assert_eq!(shown["status"], "active", "a system that is away does not turn its integration off: {shown}");
}

//! Plugins in organisations: what they were granted and nothing else, each organisation by itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;
use crate::model_server::{ANSWER_TOKENS, Answer, MODEL, ModelServer, PROMPT_TOKENS, STREAM};

/// Does what the file that it looks at says, and finds what came of it.
const MAIN: &str = r#"
from resoftai.plugins.base import CodeQualityPlugin
import time
import resoftai.http, resoftai.kv, resoftai.llm

class Reach(CodeQualityPlugin):
    def load(self, context):
        self.context = context
        return True
    def activate(self): return True
    def deactivate(self): return True
    def unload(self): return True
    def get_tool_name(self): return "reach"
    def analyze_code(self, code, language):
        said = []
        for line in code.splitlines():
            verb, _, rest = line.partition(" ")
            try:
                if verb == "FAIL":
                    raise RuntimeError("asked to")
                elif verb == "CONFIG":
                    said.append(str(self.config.get(rest)))
                elif verb == "COUNT":
                    resoftai.kv.set("n", resoftai.kv.get("n", 0) + 1)
                    said.append(str(resoftai.kv.get("n")))
                elif verb == "KEEP":
                    resoftai.kv.set("x", "x" * int(rest))
                    said.append("kept")
                elif verb == "FILL":
                    said.append(f"{len(bytearray(int(rest) << 20)) >> 20} MiB")
                elif verb == "SPIN":
                    end = time.monotonic() + float(rest)
                    while time.monotonic() < end:
                        pass
                    said.append("spun")
                elif verb == "ASK":
                    reply = resoftai.llm.chat([{"role": "user", "content": "Name three colours."}], max_tokens=int(rest))
                    said.append(f"{reply.usage['total_tokens']} tokens: {reply.content}")
                elif verb in ("GET", "POST"):
                    reply = resoftai.http.request(verb, rest)
                    said.append(f"{reply.status} {reply.text}")
            except RuntimeError:
                raise
            except Exception as error:
                said.append(str(error) or type(error).__name__)
        return {"issues": [{"message": " | ".join(said)}]}
"#;

/// Answers `/ok`, leads from `/away` elsewhere, and keeps `/slow` waiting until it is told.
struct Elsewhere {
    address: String,
    /// One for every request to `/slow` that came.
    came: Receiver<()>,
    go_on: Sender<()>,
}

impl Elsewhere {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (has_come, came) = channel();
        let (go_on, told) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, &has_come, &told);
            }
        });
        Self { address, came, go_on }
    }
}

fn answer(mut stream: TcpStream, has_come: &Sender<()>, told: &Receiver<()>) {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).unwrap_or(0);
    let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let (status, header) = if request.starts_with("GET /away") {
        ("302 Found", "location: http://localhost:9/\r\n")
    } else {
        ("200 OK", "")
    };
    if request.starts_with("GET /slow") {
        has_come.send(()).unwrap();
        let _told = told.recv_timeout(Duration::from_secs(30));
    }
    let body = if request.starts_with("GET /big") { "x".repeat(3000) } else { "fine".to_owned() };
    let length = body.len();
    let reply = format!("HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    drop(stream.write_all(reply.as_bytes()));
}

struct Site {
    app: App,
    root: String,
    boss: String,
    acme: i64,
    globex: i64,
    projects: [i64; 2],
}

impl Site {
    async fn with(capabilities: Value) -> Self {
        let app = App::start();
        let (acme, globex) = (app.org("acme"), app.org("globex"));
        let root = app.person("root", "admin", None).await;
        let boss = app.person("boss", "org_admin", Some("acme")).await;
        let mut projects = [0; 2];
        for (project, org) in projects.iter_mut().zip([acme, globex]) {
            let new = json!({"name": "Reach", "organization_id": org});
            let made = app.call("POST", "/api/projects", Some(&root), Some(new)).await;
            assert_eq!(made.status, 201, "{}", made.body);
            *project = made.body["id"].as_i64().unwrap();
        }
        let site = Self { app, root, boss, acme, globex, projects };
        site.write("1.0.0", &capabilities);
        let made =
            site.app.call("POST", "/api/plugins/install", Some(&site.root), Some(json!({"slug": "reach"}))).await;
        assert_eq!(made.status, 201, "{}", made.body);
        site
    }

    /// Puts a version of the plugin into the plugins folder.
    fn write(&self, version: &str, capabilities: &Value) {
        let folder = self.app.dir.path().join("plugins/reach");
        fs::create_dir_all(&folder).unwrap();
        let schema = json!({"type": "object", "additionalProperties": false, "properties": {
            "channel": {"type": "string", "default": "#general"}, "token": {"type": "string", "writeOnly": true}}});
        let manifest = json!({"name": "Reach", "slug": "reach", "version": version, "category": "code_quality",
            "entry_point": "main.py:Reach", "capabilities": capabilities, "config_schema": schema});
        fs::write(folder.join("plugin.json"), manifest.to_string()).unwrap();
        fs::write(folder.join("main.py"), MAIN).unwrap();
    }

    async fn change(&self, token: &str, org: i64, body: Value) -> (u16, Value) {
        let path = format!("/api/organizations/{org}/plugins/reach");
        let reply = self.app.call("PUT", &path, Some(token), Some(body)).await;
        (reply.status, reply.body)
    }

    async fn shown(&self, token: &str, org: i64) -> Value {
        let reply = self.app.call("GET", &format!("/api/organizations/{org}/plugins/reach"), Some(token), None).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Writes a file that says what to do; its id.
    async fn file(&self, org: i64, script: &str) -> i64 {
        let project = self.projects[usize::from(org == self.globex)];
        let path = format!("f{}.txt", fastrand());
        let file = json!({"path": path, "content": script});
        let made = self.app.call("POST", &format!("/api/projects/{project}/files"), Some(&self.root), Some(file)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_i64().unwrap()
    }

    /// What the plugin said of the file.
    async fn said(&self, file: i64) -> String {
        let begun = Instant::now();
        loop {
            let found = self.app.call("GET", &format!("/api/files/{file}/findings"), Some(&self.root), None).await.body;
            if let Some(finding) = found["items"].as_array().unwrap().first() {
                return finding["message"].as_str().unwrap().to_owned();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing was said about the file");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn does(&self, org: i64, script: &str) -> String {
        let file = self.file(org, script).await;
        self.said(file).await
    }
}

/// Another number each time.
fn fastrand() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test]
async fn a_plugin_reaches_what_it_was_granted_and_nothing_else() {
    let there = Elsewhere::start();
    let address = &there.address;
    let site = Site::with(json!({"http": {"hosts": [address, "hooks.slack.com"], "max_bytes": 2000}})).await;
    assert_eq!(
        site.shown(&site.boss, site.acme).await["status"],
        "available",
        "it asks, so it does not work by itself"
    );
    let (status, refused) = site.change(&site.boss, site.acme, json!({"enabled": true})).await;
    assert_eq!((status, &refused["code"]), (409, &json!("plugin_asks")));
    assert!(refused["detail"].as_str().unwrap().contains("Send requests to"), "{refused}");
    let more = json!({"enabled": true, "granted": {"http": ["evil.example"]}});
    let (status, refused) = site.change(&site.boss, site.acme, more).await;
    assert_eq!((status, &refused["code"], &refused["field"]), (400, &json!("not_asked_for"), &json!("granted.http")));

    let (status, plugin) = site.change(&site.boss, site.acme, json!({"enabled": true, "granted": "all"})).await;
    assert_eq!((status, &plugin["status"], &plugin["asks"]), (200, &json!("active"), &json!([])), "{plugin}");
    let inner = site.does(site.acme, &format!("GET http://{address}/ok")).await;
    assert!(inner.contains("Denied") && inner.contains("this site's own network"), "{inner}");
    assert_eq!(
        site.shown(&site.root, site.globex).await["status"],
        "available",
        "another organisation granted nothing"
    );

    let (status, _) = site.change(&site.root, site.acme, json!({"granted": {"http": [address]}})).await;
    assert_eq!(status, 200);
    let port = address.rsplit_once(':').unwrap().1;
    let script = format!(
        "GET http://{address}/ok\nPOST http://{address}/ok\nGET http://hooks.slack.com/\nGET http://{address}/away\n\
         GET http://2130706433:{port}/ok\nGET http://[::ffff:127.0.0.1]:{port}/ok\nGET http://x@{address}/ok\n\
         GET http://{address}/big\nGET file:///etc/passwd"
    );
    let said = site.does(site.acme, &script).await;
    let said: Vec<&str> = said.split(" | ").collect();
    assert_eq!(said[..2], ["200 fine", "200 fine"]);
    for (at, words) in [
        (2, "requests to hooks.slack.com is not granted"),
        (3, "requests to localhost:9 is not granted"),
        (4, "requests to 2130706433:"),
        (5, "is not granted"),
        (6, "names no user"),
        (7, "more than the 2000 bytes"),
        (8, "is no address"),
    ] {
        assert!(said[at].contains(words), "{at}: {}", said[at]);
    }
    let path = format!("/api/plugins/reach/logs?organization_id={}&level=warning", site.acme);
    let log = site.app.call("GET", &path, Some(&site.boss), None).await.body;
    let denied = |line: &Value| line["text"].as_str().unwrap().starts_with("Denied: requests to localhost:9");
    assert!(log["items"].as_array().unwrap().iter().any(denied), "{log}");
    let trail = site.app.cli_json(&["audit", "list", "--org", "acme"], "");
    assert!(trail["items"].as_array().unwrap().iter().any(|entry| {
        entry["description"] == "Changed plugin reach in the organisation"
            && entry["after"]["granted"]["http"]["hosts"] == json!([address])
    }));
}

#[tokio::test]
async fn what_is_revoked_is_gone_for_a_call_that_is_under_way() {
    let there = Elsewhere::start();
    let site = Site::with(json!({"http": [there.address]})).await;
    assert_eq!(site.change(&site.root, site.acme, json!({"enabled": true, "granted": "all"})).await.0, 200);
    let script = format!("GET http://{0}/slow\nGET http://{0}/ok", there.address);
    let file = site.file(site.acme, &script).await;
    let Elsewhere { came, go_on, .. } = there;
    tokio::task::spawn_blocking(move || came.recv_timeout(Duration::from_secs(30)).unwrap()).await.unwrap();
    let path = format!("/api/organizations/{}/plugins/reach/revoke", site.acme);
    let revoked = site.app.call("POST", &path, Some(&site.boss), Some(json!({"capabilities": ["http"]}))).await;
    assert_eq!((revoked.status, &revoked.body["capabilities"][0]["granted"]), (200, &json!(null)), "{}", revoked.body);
    go_on.send(()).unwrap();
    let said = site.said(file).await;
    let (first, second) = said.split_once(" | ").unwrap();
    assert_eq!(first, "200 fine");
    assert!(second.contains("Denied") && second.contains("capability http"), "{second}");
    let twice = site.app.call("POST", &path, Some(&site.boss), Some(json!({"capabilities": ["htp"]}))).await;
    assert_eq!(twice.status, 400, "{}", twice.body);
}

#[tokio::test]
async fn a_new_version_that_asks_for_more_works_on_with_what_it_has() {
    let site = Site::with(json!({"http": ["hooks.slack.com"]})).await;
    assert_eq!(site.change(&site.boss, site.acme, json!({"enabled": true, "granted": "all"})).await.0, 200);
    site.write("1.1.0", &json!({"http": ["hooks.slack.com"], "llm": {"tokens_per_day": 5000}}));
    let again = site.app.call("POST", "/api/plugins/install", Some(&site.root), Some(json!({"slug": "reach"}))).await;
    assert_eq!(again.status, 201, "{}", again.body);
    let shown = site.shown(&site.boss, site.acme).await;
    assert_eq!((&shown["status"], &shown["version"]), (&json!("active"), &json!("1.1.0")));
    assert_eq!(shown["asks"].as_array().unwrap().len(), 1, "{shown}");
    let granted = |code: &str| {
        let all = shown["capabilities"].as_array().unwrap();
        all.iter().find(|one| one["code"] == code).unwrap()["granted"].clone()
    };
    assert_eq!((&granted("http")["hosts"], granted("llm")), (&json!(["hooks.slack.com"]), json!(null)));
    let notices = site.app.call("GET", "/api/notices", Some(&site.boss), None).await.body;
    let told = notices["items"].as_array().unwrap().iter().find(|notice| notice["kind"] == "plugin_asks").unwrap();
    assert!(told["text"].as_str().unwrap().contains("5000 tokens a day"), "{told}");
    let decided = json!({"granted": {"http": true}});
    assert_eq!(site.change(&site.boss, site.acme, decided).await.1["asks"], json!([]), "a no is a decision too");
}

#[tokio::test]
async fn secrets_are_sealed_masked_and_stay_when_the_mask_comes_back() {
    let site = Site::with(json!({})).await;
    let of_site = json!({"channel": "#site", "token": "s1te-w1de-secret"});
    let set = site.app.call("PUT", "/api/plugins/reach/config", Some(&site.root), Some(of_site)).await;
    assert_eq!((set.status, &set.body["config"]["token"]), (200, &json!("(set)")), "{}", set.body);
    assert_eq!(site.does(site.acme, "CONFIG channel\nCONFIG token").await, "#site | s1te-w1de-secret");
    let (status, wrong) = site.change(&site.boss, site.acme, json!({"config": {"channel": 5}})).await;
    assert_eq!((status, &wrong["field"]), (400, &json!("config.channel")), "{wrong}");
    let own = json!({"config": {"token": "acme-0wn-secret"}});
    let (status, shown) = site.change(&site.boss, site.acme, own).await;
    assert_eq!(
        (status, &shown["config"]["token"], &shown["inherited"]["channel"]),
        (200, &json!("(set)"), &json!("#site"))
    );
    assert_eq!(site.does(site.acme, "CONFIG channel\nCONFIG token").await, "#site | acme-0wn-secret");
    assert_eq!(site.does(site.globex, "CONFIG token").await, "s1te-w1de-secret");
    let back = json!({"config": {"token": "(set)", "channel": "#acme"}});
    assert_eq!(site.change(&site.boss, site.acme, back).await.0, 200);
    assert_eq!(site.does(site.acme, "CONFIG channel\nCONFIG token").await, "#acme | acme-0wn-secret");
    let viewer = site.app.person("eve", "viewer", Some("acme")).await;
    let seen = site.shown(&viewer, site.acme).await;
    assert_eq!((&seen["config"], &seen["inherited"]), (&json!({}), &json!({})));

    let trail = site.app.sql_texts("SELECT COALESCE(before_json, '') || COALESCE(after_json, '') FROM audit_entries");
    let kept = site.app.sql_texts("SELECT config FROM plugins");
    assert!(trail.iter().chain(&kept).all(|text| !text.contains("secret")), "{kept:?}");
    for file in ["resoftai.db", "resoftai.db-wal", "kv.redb"] {
        let Ok(bytes) = fs::read(site.app.dir.path().join(file)) else { continue };
        for secret in ["s1te-w1de-secret", "acme-0wn-secret"] {
            // Findings hold what the plugin made public itself, so only the settings' own form is looked for.
            let form = format!("\"token\":\"{secret}\"");
            assert!(!bytes.windows(form.len()).any(|window| window == form.as_bytes()), "{secret} in {file}");
        }
    }
}

#[tokio::test]
async fn data_memory_and_time_end_where_the_grant_ends() {
    let site = Site::with(json!({"kv": 200_000, "memory_mib": 256, "time_ms": 60_000})).await;
    assert_eq!(site.change(&site.boss, site.acme, json!({"enabled": true, "granted": {"kv": 10_000}})).await.0, 200);
    let said = site.does(site.acme, "KEEP 5000\nKEEP 20000").await;
    assert!(said.starts_with("kept | ") && said.contains("more than its 10000 bytes"), "{said}");
    assert_eq!(site.does(site.acme, "FILL 150").await, "MemoryError", "128 MiB is what it has ungranted");
    let said = site.does(site.acme, "SPIN 5").await;
    assert!(said.contains("stopped after 2 s of computing"), "{said}");

    assert_eq!(site.change(&site.boss, site.acme, json!({"enabled": true, "granted": "all"})).await.0, 200);
    assert_eq!(site.does(site.acme, "KEEP 20000\nFILL 150\nSPIN 5").await, "kept | 150 MiB | spun");
    assert_eq!(site.does(site.acme, "FILL 300").await, "MemoryError");
}

#[tokio::test]
async fn an_organisation_that_makes_a_plugin_fail_loses_it_alone() {
    let site = Site::with(json!({"kv": 100_000})).await;
    assert_eq!(site.does(site.acme, "COUNT").await, "1");
    assert_eq!(site.does(site.globex, "COUNT").await, "1", "what it keeps is each organisation's");
    for _ in 0..5 {
        assert!(site.does(site.acme, "FAIL").await.contains("asked to"));
    }
    let begun = Instant::now();
    while site.shown(&site.boss, site.acme).await["status"] != "failed" {
        assert!(begun.elapsed() < Duration::from_secs(30), "it was not turned off");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let shown = site.shown(&site.boss, site.acme).await;
    assert!(shown["error"].as_str().unwrap().contains("main.py"), "{shown}");
    let log = site.app.cli_json(&["plugin", "logs", "reach", "--org", "acme", "--level", "error"], "");
    assert!(log["items"][0]["text"].as_str().unwrap().contains("RuntimeError: asked to"), "{log}");
    assert_eq!(site.does(site.globex, "COUNT").await, "2");
    let cost = site.app.call("GET", "/api/plugins/reach", Some(&site.root), None).await.body["cost"].clone();
    assert!(cost["p95_ms"].as_f64() >= cost["mean_ms"].as_f64().map(|_| 0.0) && cost["instances"] == 1, "{cost}");
    assert!(cost["memory_bytes"].as_u64().unwrap() > 1 << 20, "{cost}");
    let hook = &cost["hooks"][0];
    assert_eq!((hook["failures"].as_i64(), hook["skipped"].as_i64()), (Some(5), Some(0)), "{cost}");
    assert!(hook["calls"].as_i64() >= Some(7) && hook["mean_ms"].as_f64() > Some(0.0), "{cost}");
    let notices = site.app.call("GET", "/api/notices", Some(&site.boss), None).await.body;
    assert!(notices["items"].as_array().unwrap().iter().any(|notice| notice["kind"] == "plugin_failed"), "{notices}");
    assert_eq!(site.change(&site.boss, site.acme, json!({"enabled": true})).await.1["status"], "active");
    assert_eq!(site.does(site.acme, "COUNT").await, "2", "its data outlived it");
    let path = format!("/api/organizations/{}/plugins/reach", site.acme);
    assert_eq!(site.app.call("DELETE", &path, Some(&site.boss), None).await.status, 204);
    assert_eq!(site.does(site.acme, "COUNT").await, "1", "it began anew");
    assert_eq!(site.app.call("DELETE", &path, Some(&site.boss), None).await.status, 404);
}

#[tokio::test]
async fn figures_are_kept_over_time_and_an_organisation_sees_its_own() {
    let mut site = Site::with(json!({"kv": 100_000})).await;
    let read = async |site: &Site, token: &str, path: &str| site.app.call("GET", path, Some(token), None).await;
    let whole = "/api/plugins/reach/metrics";
    assert_eq!(read(&site, &site.root, whole).await.body["total"]["p95_ms"], json!(null), "nothing was called");
    site.does(site.globex, "COUNT").await;
    site.does(site.acme, "COUNT").await;
    site.does(site.acme, "SPIN 0.2").await;
    site.does(site.acme, "FAIL").await;

    let all = read(&site, &site.root, whole).await.body;
    let total = &all["total"];
    assert_eq!((&total["calls"], &total["failures"], &total["skipped"]), (&json!(4), &json!(1), &json!(0)), "{total}");
    assert!(total["memory_bytes"].as_i64() > Some(1 << 20), "{total}");
    assert!(total["p95_ms"].as_f64() > Some(150.0) && total["p50_ms"].as_f64() <= total["p95_ms"].as_f64(), "{total}");
    assert_eq!((&all["hooks"][0]["name"], &all["hooks"][0]["calls"]), (&json!("analyze_code"), &json!(4)), "{all}");
    let points = all["points"].as_array().unwrap();
    assert!(all["step_seconds"] == 900 && (96..=97).contains(&points.len()), "{} points", points.len());
    assert_eq!(points.iter().filter_map(|point| point["calls"].as_i64()).sum::<i64>(), 4);
    let by_org = |figures: &Value| {
        let of = |org: &Value| (org["name"].as_str().unwrap_or_default().to_owned(), org["calls"].as_i64().unwrap());
        figures["organizations"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(by_org(&all), [("acme".to_owned(), 3), ("globex".to_owned(), 1)]);

    let own = read(&site, &site.boss, &format!("/api/organizations/{}/plugins/reach/metrics", site.acme)).await.body;
    assert_eq!((&own["total"]["calls"], by_org(&own)), (&json!(3), Vec::new()), "{own}");
    let foreign = format!("/api/organizations/{}/plugins/reach/metrics", site.globex);
    assert_eq!(read(&site, &site.boss, &foreign).await.status, 404);
    assert_eq!(read(&site, &site.boss, whole).await.status, 403);
    let long = format!("{whole}?from=2020-01-01T00:00:00Z");
    assert_eq!(read(&site, &site.root, &long).await.body["code"], "invalid_range");

    let info = site.app.cli(&["plugin", "info", "reach", "--org", "acme"], "");
    let text = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(text.lines().any(|line| line.contains("analyze_code") && line.contains('3')), "{text}");
    assert_eq!(site.app.cli_json(&["plugin", "info", "reach"], "")["metrics"]["total"]["failures"], 1);

    // Fine pieces go after two days, those of an hour stay.
    site.app.sql("UPDATE plugin_figures SET at = at - 259200000000");
    site.app.crash_and_restart();
    let left = || site.app.sql_texts("SELECT CAST(COUNT(*) AS TEXT) FROM plugin_figures WHERE span = 300");
    let begun = Instant::now();
    while left() != ["0"] {
        assert!(begun.elapsed() < Duration::from_secs(30), "old pieces stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(read(&site, &site.root, whole).await.body["total"]["calls"], 0);
    let to: jiff::Timestamp = all["to"].as_str().unwrap().parse().unwrap();
    let from = to - jiff::SignedDuration::from_hours(5 * 24);
    let week = read(&site, &site.root, &format!("{whole}?from={from}")).await.body;
    assert_eq!((&week["total"]["calls"], &week["step_seconds"]), (&json!(4), &json!(10_800)), "{week}");
}

#[tokio::test]
async fn a_model_answers_within_the_grant_and_the_organisations_quota() {
    let server = ModelServer::start(|_| Answer::stream(STREAM));
    let mut site = Site::with(json!({"llm": {"models": "*", "tokens_per_day": 400}})).await;
    let provider = json!({"name": "gpu", "base_url": server.url(), "organization_id": site.acme, "models": [MODEL]});
    assert_eq!(site.app.call("POST", "/api/llm/providers", Some(&site.root), Some(provider)).await.status, 201);
    assert_eq!(site.change(&site.boss, site.acme, json!({"enabled": true, "granted": {}})).await.0, 200);
    assert!(site.does(site.acme, "ASK 48").await.contains("Denied: asking a language model"));
    assert_eq!(site.change(&site.boss, site.acme, json!({"granted": {"llm": true}})).await.0, 200);
    let said = site.does(site.acme, "ASK 48\nASK 1000").await;
    let (first, second) = said.split_once(" | ").unwrap();
    assert!(first.starts_with(&format!("{} tokens: ", PROMPT_TOKENS + ANSWER_TOKENS)), "{first}");
    assert!(second.contains("Denied: more of the day's tokens") && second.contains("of 400 tokens"), "{second}");
    // Other models than those granted are refused before anything is sent.
    let asked = server.requests().len();
    assert_eq!(site.change(&site.boss, site.acme, json!({"granted": {"llm": ["other"]}})).await.0, 200);
    assert!(!site.does(site.acme, "ASK 48").await.contains("tokens: "));
    assert_eq!(server.requests().len(), asked);
    assert_eq!(site.app.terminate(), 0);
    site.app.crash_and_restart();
    assert_eq!(site.app.sql_texts("SELECT DISTINCT source FROM usage_records"), ["plugin"]);
}

#[tokio::test]
async fn the_commands_show_in_words_what_is_granted() {
    let site = Site::with(json!({"http": {"hosts": ["hooks.slack.com", "*.example.org"], "methods": ["POST"]}})).await;
    let info = site.app.cli(&["plugin", "info", "reach"], "");
    let text = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(text.contains("Send requests to hooks.slack.com, *.example.org (POST, up to 1 MiB each way)"), "{text}");
    let unasked = site.app.cli(&["plugin", "enable", "reach", "--org", "acme"], "");
    assert_eq!(unasked.status.code(), Some(2), "{unasked:?}");
    let grant = ["plugin", "enable", "reach", "--org", "acme", "--grant", "http=ci.example.org"];
    let enabled = site.app.cli_json(&grant, "");
    assert_eq!(
        (&enabled["status"], &enabled["capabilities"][0]["granted"]["hosts"]),
        (&json!("active"), &json!(["ci.example.org"]))
    );
    let set = site.app.cli_json(&["plugin", "config", "reach", "--org", "acme", "channel=#ops"], "");
    assert_eq!(set, json!({"channel": "#ops"}));
    let revoked = site.app.cli_json(&["plugin", "revoke", "reach", "--org", "acme", "http"], "");
    assert_eq!(revoked["capabilities"][0]["granted"], json!(null));
    assert_eq!(site.app.cli_json(&["plugin", "disable", "reach", "--org", "acme"], "")["status"], "disabled");
    let all = ["plugin", "enable", "reach", "--org", "globex", "--yes"];
    assert_eq!(site.app.cli_json(&all, "")["capabilities"][0]["granted"]["methods"], json!(["POST"]));
    let everywhere = site.app.cli(&["plugin", "install", "reach", "--everywhere"], "");
    assert_eq!(everywhere.status.code(), Some(5), "{everywhere:?}");
}

//! Hooks through the door: one plugin registers every name there is, and everything that fires one is done.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use resoftai::hooks::{Hook, Kind};
use serde_json::{Value, json};

use crate::app::{App, PASSWORD};
use crate::model_server::{Answer, MODEL, ModelServer, PLAIN, STREAM};
use crate::plugins;

const RECORDER: &str = "tests/plugins/hook-recorder";
const PATIENCE: Duration = Duration::from_secs(60);

/// What the recorder wrote into the server's log: the kind of callback, the hook and the payload.
fn recorded(app: &App) -> Vec<(String, String, Value)> {
    let logs = std::fs::read_dir(app.dir.path().join("logs")).unwrap().map(Result::unwrap);
    let text: String = logs.map(|log| std::fs::read_to_string(log.path()).unwrap()).collect();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["plugin"] == "hook-recorder")
        .filter_map(|line| serde_json::from_str::<Value>(line["message"].as_str()?).ok())
        .filter(|entry| entry["hook"].is_string())
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            (text("kind"), text("hook"), entry["payload"].clone())
        })
        .collect()
}

/// The payloads of one hook.
fn payloads(app: &App, hook: &str) -> Vec<Value> {
    recorded(app).into_iter().filter(|(_, name, _)| name == hook).map(|(.., payload)| payload).collect()
}

/// Waits until `wanted` is so.
async fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let started = Instant::now();
    while !wanted() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A site with the recorder, an organisation with a model server of its own, and a developer there.
pub struct Site {
    pub app: App,
    pub org: i64,
    pub admin: String,
    pub token: String,
    pub server: ModelServer,
}

/// The recorded words; a developer's with a file around them.
fn words(role: &str) -> String {
    let words: String = STREAM.split_inclusive("\n\n").filter(|frame| !frame.contains("\"usage\":{")).collect();
    let frames: Vec<&str> = words.split_inclusive("\n\n").collect();
    let pattern = frames.iter().find(|frame| frame.contains(r#""content":"1""#)).unwrap();
    let frame = |text: &str| pattern.replace(r#""content":"1""#, &format!(r#""content":{}"#, json!(text)));
    let (before, after) = match role {
        "developer" => ("src/colours.txt\n```\n", "\n```\n"),
        "test engineer" => ("tests/colours.txt\n```\n", "\n```\n"),
        "quality expert" => ("", "\n\nApproved."),
        _ => return words,
    };
    let end = frames.iter().position(|frame| frame.contains(r#""finish_reason":"length""#)).unwrap();
    let (before, after) = (frame(before), frame(after));
    [&[frames[0], &before], &frames[1..end], &[&after], &frames[end..]].concat().concat()
}

impl Site {
    pub async fn new(plugins: &[&str]) -> Self {
        let app = App::start_with_settings(&[("RESOFTAI_LOG_LEVEL", "info")]);
        let org = app.org("acme");
        let admin = app.person("root", "admin", None).await;
        for plugin in plugins {
            plugins::bring(&app, plugin);
            let slug = plugin.rsplit('/').next().unwrap();
            let made = app.call("POST", "/api/plugins/install", Some(&admin), Some(json!({"slug": slug}))).await;
            assert_eq!(made.status, 201, "{}", made.body);
        }
        let failed = AtomicBool::new(false);
        let server = ModelServer::start(move |request| {
            if request.body["stream"] != true {
                return Answer::json(200, PLAIN);
            }
            let system = request.body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
            let role = system.strip_prefix("You are the ").and_then(|rest| rest.split(" of ").next());
            // The first question of an agent fails.
            if role.is_some() && !failed.swap(true, Ordering::SeqCst) {
                return Answer::json(500, r#"{"error":{"message":"out of memory"}}"#);
            }
            Answer::stream(&words(role.unwrap_or_default()))
        });
        let provider = json!({"name": "lab", "base_url": server.url(), "organization_id": org, "context_length": 8192});
        assert_eq!(app.call("POST", "/api/llm/providers", Some(&admin), Some(provider)).await.status, 201);
        let token = app.person("ada", "developer", Some("acme")).await;
        Self { app, org, admin, token, server }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let reply = self.app.call(method, path, Some(&self.token), body).await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.body);
        reply.body
    }

    pub async fn project(&self) -> i64 {
        let body = json!({"name": "Colours", "requirements": "A program that names colours."});
        self.call("POST", "/api/projects", Some(body)).await["id"].as_i64().unwrap()
    }

    pub async fn ended(&self, run: &Value) -> Value {
        let started = Instant::now();
        loop {
            let run = self.call("GET", &format!("/api/runs/{}", run["id"]), None).await;
            if run["status"] == "completed" || run["status"] == "failed" {
                return run;
            }
            assert!(started.elapsed() < PATIENCE, "{run:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Does everything that fires a hook.
async fn everything(site: &Site) {
    let project = site.project().await;
    let path = format!("/api/projects/{project}");
    site.call("PUT", &path, Some(json!({"name": "Colors"}))).await;
    let body = json!({"path": "a.py", "content": "print(1)  \n\n\n"});
    let file = site.call("POST", &format!("{path}/files"), Some(body)).await["id"].clone();
    let file_path = format!("/api/files/{file}");
    site.call("PUT", &file_path, Some(json!({"content": "print(2)  \n\n\n"}))).await;
    site.call("POST", &format!("{file_path}/restore/1"), None).await;
    let formatted = site.call("POST", &format!("{file_path}/format"), None).await;
    assert_eq!((&formatted["content"], &formatted["changed"]), (&json!("print(1)\n"), &json!(true)), "{formatted}");
    assert_eq!(formatted["plugins"], json!([{"plugin": "hook-recorder", "changed": true, "error": null}]));
    let lint = site.call("POST", &format!("{file_path}/lint"), None).await;
    assert_eq!(lint["items"][0]["findings"][0]["message"], "code.lint was asked.", "{lint}");
    let run = site.call("POST", &format!("{path}/runs"), Some(json!({"skip_ui_design": true}))).await;
    assert_eq!(run["requirement"], "A program that names colours. In blue.");
    let run = site.ended(&run).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    site.call("DELETE", &file_path, None).await;
    site.call("DELETE", &path, None).await;
    site.call("POST", "/api/auth/logout", None).await;
}

#[tokio::test]
async fn every_hook_of_the_catalogue_fires_with_a_payload_that_fits() {
    let site = Site::new(&[RECORDER]).await;
    everything(&site).await;
    let app = &site.app;
    let awaited = |spec: &&'static resoftai::hooks::Spec| {
        let calls = recorded(app);
        let called = |kind: &str| calls.iter().any(|(own, name, _)| own == kind && name == spec.name);
        match spec.kind {
            Kind::Action => !called("action"),
            Kind::Filter => !called("filter"),
            Kind::Both => !called("filter") || !called("action"),
        }
    };
    let started = Instant::now();
    loop {
        let missing: Vec<&str> = Hook::all().filter(awaited).map(|spec| spec.name).collect();
        if missing.is_empty() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "never fired: {missing:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let calls = recorded(app);
    assert!(calls.iter().any(|(kind, ..)| kind == "plain"), "a decorated plain function is called as well");
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (_, name, payload) in &calls {
        let spec = Hook::by_name(name).unwrap().spec();
        let mut payload = payload.as_object().unwrap().clone();
        if spec.open {
            payload.retain(|key, _| key != "recorder");
        }
        assert_eq!(spec.fault(&payload), None, "{name}: {payload:?}");
        // Whoever signs in to the site is told there.
        assert!(payload["organization_id"] == site.org || name.starts_with("user."), "{name}: {payload:?}");
        *seen.entry(spec.name).or_default() += 1;
    }
    assert_eq!(seen["project.create.after"], 1);
    assert_eq!((seen["project.execute.start"], seen["project.execute.complete"]), (1, 1));
    let errors = payloads(app, "agent.error");
    assert_eq!((errors.len(), &errors[0]["final"]), (1, &json!(false)), "{errors:?}");
    let files = payloads(app, "file.create.after");
    assert!(files.iter().any(|file| file["path"] == "src/colours.txt" && file["actor"] == "agent"), "{files:?}");
    assert_eq!(payloads(app, "project.update.after")[0]["changed"], json!(["name"]));
    let metrics = app.call("GET", "/metrics", None, None).await.body;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains(r#"plugin_hook_calls_total{plugin="hook-recorder",hook="user.login",outcome="ok"}"#));
    let plugin = app.call("GET", "/api/plugins/hook-recorder", Some(&site.admin), None).await.body;
    assert_eq!(plugin["warnings"].as_array().unwrap().len(), 1, "{plugin}");
    assert!(plugin["warnings"][0].as_str().unwrap().contains("Did you mean `project.create.after`?"), "{plugin}");
}

#[tokio::test]
async fn prompts_and_answers_pass_the_filters_plain_and_streamed_and_agents_files_too() {
    let site = Site::new(&[RECORDER]).await;
    let ask = |stream: bool| {
        json!({"model": MODEL, "stream": stream, "max_tokens": 48,
            "messages": [{"role": "user", "content": "Name three colours."}]})
    };
    let plain = site.call("POST", "/v1/chat/completions", Some(ask(false))).await;
    let text = plain["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Scarlet") && !text.contains("Red"), "{plain}");
    assert_eq!(site.server.requests()[0].body["messages"][0]["content"], "Name three colours. [asked]");
    let streamed = site.call("POST", "/v1/chat/completions", Some(ask(true))).await;
    let streamed = streamed.as_str().unwrap();
    assert!(streamed.contains("Scarlet") && !streamed.contains("Red"), "{streamed}");
    assert!(streamed.trim_end().ends_with("data: [DONE]"), "{streamed}");
    assert_eq!(site.server.requests()[1].body["messages"][0]["content"], "Name three colours. [asked]");

    let project = site.project().await;
    let run = site.call("POST", &format!("/api/projects/{project}/runs"), Some(json!({"skip_ui_design": true}))).await;
    site.ended(&run).await;
    let files = site.call("GET", &format!("/api/projects/{project}/files?limit=100"), None).await;
    let file = files["items"].as_array().unwrap().iter().find(|file| file["path"] == "src/colours.txt").unwrap();
    let file = site.call("GET", &format!("/api/files/{}", file["id"]), None).await;
    let content = file["content"].as_str().unwrap();
    assert!(content.contains("Scarlet") && content.ends_with("# seen\n"), "{content}");
    let payloads = payloads(&site.app, "llm.request.after");
    assert!(payloads.iter().all(|call| !call.to_string().contains("colours")), "words of prompts are no part of it");
}

/// A plugin whose class `P` has this in its `activate`, and these methods.
fn inline(app: &App, slug: &str, register: &str, methods: &str) {
    let folder = app.dir.path().join("plugins").join(slug);
    std::fs::create_dir_all(&folder).unwrap();
    let manifest = json!({"name": slug, "slug": slug, "version": "1.0.0", "category": "utility",
        "entry_point": "main.py:P"});
    std::fs::write(folder.join("plugin.json"), manifest.to_string()).unwrap();
    let main = format!(
        "import time\nfrom resoftai.plugins.base import Plugin\n\nclass P(Plugin):\n    \
         def load(self, context):\n        self.context = context\n        return True\n    \
         def deactivate(self): return True\n    def unload(self): return True\n    \
         def activate(self):\n        {register}\n        return True\n{methods}\n"
    );
    std::fs::write(folder.join("main.py"), main).unwrap();
}

/// Installs `fixer`, which mends files, and `helper`, which is no plugin for code quality.
pub async fn fixer(site: &Site) {
    inline(&site.app, "helper", "pass", "");
    let mend = "    def fix_code(self, code, language): return code.replace('eval', 'literal')\n    \
        def get_tool_name(self): return 'fixer'\n    \
        async def analyze_code(self, code, language): return {}";
    inline(&site.app, "fixer", "pass", mend);
    let main = site.app.dir.path().join("plugins/fixer/main.py");
    let text = std::fs::read_to_string(&main).unwrap();
    let text = text.replace("import Plugin", "import CodeQualityPlugin").replace("P(Plugin)", "P(CodeQualityPlugin)");
    std::fs::write(&main, text).unwrap();
    install(site, "helper").await;
    install(site, "fixer").await;
}

async fn install(site: &Site, slug: &str) {
    let made = site.app.call("POST", "/api/plugins/install", Some(&site.admin), Some(json!({"slug": slug}))).await;
    assert_eq!(made.status, 201, "{}", made.body);
}

#[tokio::test]
async fn filters_that_fail_or_answer_wrongly_change_nothing_and_are_switched_off() {
    let site = Site::new(&[]).await;
    let on =
        |method: &str| format!("self.context.hooks.register_filter('filter.project.requirements', self.{method}, 5)");
    for (slug, method) in [
        ("raises", "    def f(self, value): raise ValueError('a reason')"),
        ("none", "    def f(self, value): return None"),
        ("list", "    def f(self, value): return [1]"),
        ("other", "    def f(self, value): return {**value, 'project_id': 9}"),
        ("typed", "    def f(self, value): return {**value, 'requirements': 9}"),
    ] {
        inline(&site.app, slug, &on("f"), method);
        install(&site, slug).await;
    }
    inline(&site.app, "zz-good", &on("f"), "    async def f(self, value): return value['requirements'] + ' Well.'");
    install(&site, "zz-good").await;
    for time in 1..=7 {
        let project = site.project().await;
        let run = site.call("POST", &format!("/api/projects/{project}/runs"), Some(json!({}))).await;
        assert_eq!(run["requirement"], "A program that names colours. Well.", "time {time}");
    }
    for (slug, words) in [
        ("raises", "a reason"),
        ("none", "returned None"),
        ("list", "is no object"),
        ("other", "changes `project_id`"),
        ("typed", "`requirements` must be a text"),
    ] {
        let path = format!("/api/plugins/{slug}");
        let plugin = site.app.call("GET", &path, Some(&site.admin), None).await.body;
        assert_eq!(plugin["failures"], 5, "it is not asked after five failures in a row: {plugin}");
        assert!(plugin["error"].as_str().unwrap().contains(words), "{plugin}");
    }
    let good = site.app.call("GET", "/api/plugins/zz-good", Some(&site.admin), None).await.body;
    assert_eq!((&good["status"], &good["error"]), (&json!("active"), &json!(null)));
}

#[tokio::test]
async fn a_slow_plugin_keeps_nothing_waiting_for_long() {
    let site = Site::new(&[]).await;
    let register = "self.context.hooks.register_filter('filter.llm.prompt', self.f)\n        \
        self.context.hooks.register_action('project.create.before', self.f)\n        \
        self.context.hooks.register_action('project.create.after', self.f)";
    inline(&site.app, "sleeper", register, "    def f(self, value):\n        time.sleep(3600)\n        return value");
    install(&site, "sleeper").await;
    let started = Instant::now();
    site.project().await;
    let ask = json!({"model": MODEL, "max_tokens": 48, "messages": [{"role": "user", "content": "Hi"}]});
    site.call("POST", "/v1/chat/completions", Some(ask)).await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(site.server.requests()[0].body["messages"][0]["content"], "Hi");
    let plugin = site.app.call("GET", "/api/plugins/sleeper", Some(&site.admin), None).await.body;
    assert!(plugin["failures"].as_i64().unwrap() > 0, "{plugin}");
}

#[tokio::test]
async fn what_is_told_afterwards_is_told_before_the_server_ends() {
    let mut site = Site::new(&[RECORDER]).await;
    let path = format!("/api/projects/{}", site.project().await);
    for n in 0..40 {
        site.call("PUT", &path, Some(json!({"name": format!("P{n}")}))).await;
    }
    assert_eq!(site.app.terminate(), 0);
    let told: Vec<Value> =
        payloads(&site.app, "project.update.after").iter().map(|made| made["name"].clone()).collect();
    assert_eq!(told, (0..40).map(|n| json!(format!("P{n}"))).collect::<Vec<_>>());
}

#[tokio::test]
async fn people_are_told_of_where_they_hold_a_role() {
    let site = Site::new(&[RECORDER]).await;
    let app = &site.app;
    let login = json!({"username": "root", "password": PASSWORD});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(login)).await.status, 200);
    let names = || payloads(app, "user.login").iter().map(|login| login["user_name"].clone()).collect::<Vec<_>>();
    until("the sign-ins are told", || names().contains(&json!("ada")) && names().contains(&json!("root"))).await;
    let told = payloads(app, "user.login");
    let of = |name: &str| told.iter().find(|login| login["user_name"] == name).unwrap()["organization_id"].clone();
    assert_eq!((of("ada"), of("root")), (json!(site.org), json!(null)), "{told:?}");
    let made = payloads(app, "user.register");
    assert!(made.iter().any(|made| made["user_name"] == "ada" && made["organization_id"] == site.org), "{made:?}");
}

//! The real runtime against a well-behaved plugin and against hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use resoftai_sandbox::{
    Failure, Hook, Host, HttpRequest, HttpResponse, Kind, Level, Limits, Loaded, Plugin, Program, Sandbox,
};

static PYTHON: LazyLock<Program> = LazyLock::new(|| {
    let folder = std::env::var_os("RESOFTAI_PARTS").map_or_else(|| root().join("target/parts"), PathBuf::from);
    let file = folder.join("python-runtime.cwasm.zst");
    let bytes = fs::read(&file).unwrap_or_else(|error| {
        panic!(
            "{} cannot be read ({error}): build it with plugin-sdk/python-runtime/build.sh {}",
            file.display(),
            folder.display()
        )
    });
    Sandbox::new(1).unwrap().map(&bytes).unwrap()
});

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// A plugin's folder as its whole world.
#[derive(Default)]
struct Folder {
    files: BTreeMap<String, Vec<u8>>,
    kept: Mutex<BTreeMap<String, String>>,
    project: Mutex<BTreeMap<String, Vec<u8>>>,
    lines: Mutex<Vec<(Level, String)>>,
}

#[async_trait]
impl Host for Folder {
    fn log(&self, level: Level, message: &str) {
        self.lines.lock().unwrap().push((level, message.to_owned()));
    }
    async fn kv_get(&self, key: &str) -> Result<Option<String>, String> {
        Ok(self.kept.lock().unwrap().get(key).cloned())
    }
    async fn kv_set(&self, key: &str, value: Option<&str>) -> Result<(), String> {
        let mut kept = self.kept.lock().unwrap();
        match value {
            Some(value) => kept.insert(key.to_owned(), value.to_owned()),
            None => kept.remove(key),
        };
        Ok(())
    }
    async fn kv_list(&self, prefix: &str) -> Result<Vec<String>, String> {
        Ok(self.kept.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
    async fn files_list(&self, pattern: &str) -> Result<Vec<String>, String> {
        match pattern {
            "**" => Ok(self.project.lock().unwrap().keys().cloned().collect()),
            "many" => Ok(vec![String::new(); 10_001]),
            _ => Err(format!("{pattern} was not granted.")),
        }
    }
    async fn files_read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.project.lock().unwrap().get(path).cloned().ok_or_else(|| format!("There is no {path}."))
    }
    async fn files_write(&self, path: &str, content: Vec<u8>) -> Result<(), String> {
        self.project.lock().unwrap().insert(path.to_owned(), content);
        Ok(())
    }
    async fn files_delete(&self, path: &str) -> Result<(), String> {
        self.project.lock().unwrap().remove(path).map(drop).ok_or_else(|| format!("There is no {path}."))
    }
    async fn http_request(&self, request: HttpRequest) -> Result<HttpResponse, String> {
        if request.url.starts_with("https://granted.test/") {
            let body = format!("{} {}", request.method, String::from_utf8_lossy(&request.body)).into_bytes();
            return Ok(HttpResponse { status: 200, headers: vec![("X-Test".into(), "yes".into())], body });
        }
        Err(format!("{} was not granted.", request.url))
    }
    async fn llm_complete(&self, request: &str) -> Result<String, String> {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        Ok(serde_json::json!({ "content": request["messages"][0]["content"], "model": "echo" }).to_string())
    }
    fn package_list(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }
    fn package_read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("The package has no file {path}."))
    }
}

fn folder(path: &str) -> Arc<Folder> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root().join(path)).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            files.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
    }
    Arc::new(Folder { files, ..Folder::default() })
}

/// A plugin whose `main.py` defines the function `run(plugin, value)`, its filter on `code.analyze`.
fn inline(run: &str, more: &[(&str, &str)]) -> Arc<Folder> {
    let main = format!(
        "from resoftai.plugins.base import Plugin\nimport resoftai\n{run}\n\n\
         class P(Plugin):\n    def load(self, context): return True\n    \
         def activate(self):\n        context.hooks.register_filter('code.analyze', lambda v: run(self, v))\n        \
         return True\n    def deactivate(self): return True\n    def unload(self): return True\n"
    );
    let manifest = r#"{"name": "p", "slug": "my-plugin", "version": "1.0.0", "entry_point": "main.py:P"}"#;
    let mut files: BTreeMap<String, Vec<u8>> =
        more.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    files.insert("main.py".into(), main.into_bytes());
    files.insert("plugin.json".into(), manifest.as_bytes().to_vec());
    Arc::new(Folder { files, ..Folder::default() })
}

async fn load(host: &Arc<Folder>, config: &str, limits: Limits) -> Result<(Plugin, Loaded), Failure> {
    let manifest = String::from_utf8(host.files["plugin.json"].clone()).unwrap();
    PYTHON.load(Arc::<Folder>::clone(host), &manifest, config, limits).await
}

async fn instance(host: &Arc<Folder>, limits: Limits) -> (Plugin, Hook) {
    let (plugin, loaded) = load(host, "{}", limits).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    (plugin, loaded.hooks[0].clone())
}

/// The filter's answer to a payload, from a fresh instance.
async fn run(host: &Arc<Folder>, payload: &str) -> Result<serde_json::Value, Failure> {
    let (mut plugin, hook) = instance(host, Limits::default()).await;
    plugin.call_hook(&hook, payload).await.map(|answer| serde_json::from_str(&answer).unwrap())
}

async fn attempt(name: &str, limits: Limits) -> Result<serde_json::Value, Failure> {
    let (mut plugin, hook) = instance(&folder("tests/plugins/reaches-out"), limits).await;
    let answer = plugin.call_hook(&hook, &format!(r#"{{"attempt": "{name}"}}"#)).await;
    if let Err(failure) = &answer
        && failure.instance_is_dead()
    {
        assert_eq!(plugin.call_hook(&hook, "{}").await, Err(Failure::Dead));
    }
    answer.map(|answer| serde_json::from_str(&answer).unwrap())
}

/// After whatever happened before, a healthy plugin must work.
async fn assert_sandbox_lives() {
    assert_eq!(run(&inline("def run(plugin, value): return value + 1", &[]), "41").await.unwrap(), 42);
}

#[tokio::test]
async fn security_scanner_finds_what_is_wrong() {
    let host = folder("plugin-sdk/examples/security-scanner");
    let (mut plugin, loaded) = load(&host, r#"{"severity_threshold": "high"}"#, Limits::default()).await.unwrap();
    assert_eq!((loaded.api.as_str(), loaded.tool_name.as_deref()), ("code_quality", Some("security_scanner")));
    assert!(loaded.config_schema.unwrap().contains("severity_threshold"));
    let hook = &loaded.hooks[0];
    assert_eq!((hook.name.as_str(), hook.kind, hook.priority), ("code.analyze", Kind::Filter, 5));
    assert!(host.lines.lock().unwrap().contains(&(Level::Info, "Loading Security Scanner".into())));

    let code =
        "import os, hashlib\ndb.execute(\"SELECT * FROM t WHERE id = %s\" % id)\nos.system(cmd)\nhashlib.md5(b'')\n";
    let payload = serde_json::json!({ "code": code, "language": "python", "file_path": "a.py", "project_id": 1 });
    let answer: serde_json::Value =
        serde_json::from_str(&plugin.call_hook(hook, &payload.to_string()).await.unwrap()).unwrap();
    assert_eq!(answer["project_id"], 1);
    let issues = answer["security"]["issues"].as_array().unwrap();
    let seen: Vec<_> = issues.iter().map(|i| (i["type"].as_str().unwrap(), i["line"].as_u64().unwrap())).collect();
    assert_eq!(seen, [("sql_injection", 2), ("command_injection", 3)]);
    assert_eq!(answer["security"]["score"], 70);

    let args = r#"{"code": "eval(x)", "language": "python", "file_path": "not taken"}"#;
    assert!(plugin.call_method("analyze_code", args).await.unwrap().contains("code_execution"));
    plugin.unload().await.unwrap();
}

#[tokio::test]
async fn a_refused_configuration_is_a_failure_with_its_reason() {
    let host = folder("plugin-sdk/examples/security-scanner");
    let failure = load(&host, r#"{"severity_threshold": "huge"}"#, Limits::default()).await.err().unwrap();
    assert!(failure.to_string().contains("severity_threshold must be one of"), "{failure}");
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    let limits = Limits { cpu: Duration::from_millis(300), ..Limits::default() };
    let (mut plugin, hook) = instance(&folder("tests/plugins/endless-loop"), limits).await;
    assert_eq!(plugin.call_hook(&hook, "{}").await, Err(Failure::CpuExhausted { limit: limits.cpu }));
    assert_eq!(plugin.call_hook(&hook, "{}").await, Err(Failure::Dead));
    assert_sandbox_lives().await;
}

#[tokio::test]
async fn an_endless_regular_expression_is_stopped() {
    let limits = Limits { cpu: Duration::from_millis(300), ..Limits::default() };
    let host = inline("import re\ndef run(plugin, value): return bool(re.match('(a+)+$', 'a' * 40 + 'b'))", &[]);
    let (mut plugin, hook) = instance(&host, limits).await;
    assert_eq!(plugin.call_hook(&hook, "{}").await, Err(Failure::CpuExhausted { limit: limits.cpu }));
    assert_sandbox_lives().await;
}

#[tokio::test]
async fn a_memory_bomb_is_stopped() {
    let limits = Limits::default();
    let (mut plugin, hook) = instance(&folder("tests/plugins/memory-bomb"), limits).await;
    assert_eq!(plugin.call_hook(&hook, "{}").await, Err(Failure::OutOfMemory { limit: limits.memory_bytes }));
    assert_eq!(plugin.call_hook(&hook, "{}").await, Err(Failure::Dead));
    assert_sandbox_lives().await;
}

#[tokio::test]
async fn an_exception_shows_the_authors_lines_and_spares_the_instance() {
    let (mut plugin, hook) = instance(&folder("tests/plugins/raises"), Limits::default()).await;
    for _ in 0..2 {
        let Err(Failure::Raised { message, traceback }) = plugin.call_hook(&hook, "{}").await else { panic!() };
        assert_eq!(message, "ZeroDivisionError: division by zero");
        assert!(
            traceback.contains("File \"raises/main.py\", line 31, in divide\n    return len(value) / by"),
            "{traceback}"
        );
        assert!(!traceback.contains("resoftai"), "{traceback}");
    }
}

#[tokio::test]
async fn sleeping_is_ended_by_the_wall_limit() {
    let limits = Limits { wall: Duration::from_millis(500), ..Limits::default() };
    let started = Instant::now();
    assert_eq!(attempt("sleep", limits).await, Err(Failure::TimedOut { limit: limits.wall }));
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_sandbox_lives().await;
}

#[tokio::test]
async fn files_sockets_and_processes_are_refused() {
    for name in ["read", "list", "write", "socket", "udp", "process"] {
        let answer = attempt(name, Limits::default()).await.unwrap();
        assert!(answer["refused"].is_string() && answer["got"].is_null(), "{name}: {answer}");
    }
    assert!(!Path::new("/tmp/plugin-was-here").exists());
    assert_eq!(
        attempt("environment", Limits::default()).await.unwrap()["got"].as_str().map(|e| e.contains("HOME")),
        Some(false)
    );
}

#[tokio::test]
async fn leaving_and_flooding_end_the_instance_only() {
    // Room enough for the answer: it is its way over the border that must be refused.
    let limits = Limits { memory_bytes: 512 << 20, ..Limits::default() };
    for name in ["exit", "huge_answer"] {
        let failure = attempt(name, limits).await.unwrap_err();
        assert!(matches!(failure, Failure::Trapped { .. }), "{name}: {failure:?}");
    }
    assert_sandbox_lives().await;
}

#[tokio::test]
async fn deep_recursion_hurts_nobody_else() {
    let run = "import ast\ndef run(plugin, value):\n    f = lambda n: f(n + 1)\n    \
               try: f(0)\n    except RecursionError: pass\n    return len(ast.dump(ast.parse('(' * 90 + '1' + ')' * 90)))";
    assert!(run_ok(run).await.as_u64().unwrap() > 10);
    assert_sandbox_lives().await;
}

async fn run_ok(code: &str) -> serde_json::Value {
    run(&inline(code, &[]), "{}").await.unwrap_or_else(|failure| panic!("{failure:?}"))
}

#[tokio::test]
async fn a_dropped_call_ends_the_instance() {
    let (mut plugin, hook) = instance(&folder("tests/plugins/endless-loop"), Limits::default()).await;
    let dropped = tokio::time::timeout(Duration::from_millis(30), plugin.call_hook(&hook, "{}")).await;
    assert!(dropped.is_err());
    assert_eq!(plugin.call_hook(&hook, "{}").await, Err(Failure::Dead));
}

#[tokio::test]
async fn files_of_the_package_can_be_imported_every_way() {
    let host = inline(
        "from . import near\nfrom .sub.deep import NAME\nimport near as bare\nimport vendored\n\
         def run(plugin, value): return [near.NAME, NAME, bare.NAME, vendored.NAME]",
        &[
            ("near.py", "NAME = 'near'"),
            ("sub/deep.py", "from ..near import NAME as N\nNAME = N + '/deep'"),
            ("vendor/vendored/__init__.py", "from .inner import NAME"),
            ("vendor/vendored/inner.py", "NAME = 'vendored'"),
        ],
    );
    assert_eq!(run(&host, "{}").await.unwrap(), serde_json::json!(["near", "near/deep", "near", "vendored"]));
}

#[tokio::test]
async fn the_host_is_reached_through_the_sdk() {
    let code = "import resoftai.http, resoftai.llm, resoftai.kv\ndef run(plugin, value):\n    \
        resoftai.kv.set('count', resoftai.kv.get('count', 0) + 1)\n    plugin.context.set_data('note', {'a': [1]})\n    \
        print('printed')\n    plugin.logger.warning('logged')\n    \
        reply = resoftai.http.post('https://granted.test/x', json={'a': 1})\n    \
        try: resoftai.http.get('https://other.test/')\n    except resoftai.plugins.PluginError as e: refused = str(e)\n    \
        return [reply.text, reply.headers['x-test'], resoftai.llm.complete('hello'), plugin.context.get_data('note'), refused]";
    let host = inline(code, &[]);
    let expected = serde_json::json!([
        "POST {\"a\": 1}", "yes", "hello", { "a": [1] }, "https://other.test/ was not granted."
    ]);
    for count in ["1", "2"] {
        assert_eq!(run(&host, "{}").await.unwrap(), expected);
        assert_eq!(host.kept.lock().unwrap()["count"], count);
    }
    let lines = host.lines.lock().unwrap();
    let logged = [(Level::Info, "printed".into()), (Level::Warning, "logged".into())];
    assert!(logged.iter().all(|line| lines.contains(line)), "{lines:?}");
}

#[tokio::test]
async fn files_of_the_project_and_keys_are_listed() {
    let code = "from resoftai import files, kv\nfrom resoftai.plugins import PluginError\n\
        def refused(f, *args):\n    try: f(*args)\n    except PluginError as e: return str(e)\n\
        def run(plugin, value):\n    \
        files.write('b.txt', 'B')\n    files.write('gone', b'')\n    files.delete('gone')\n    kv.set('x/1', 1)\n    kv.set('y', 1)\n    \
        return [files.list(), files.read_text('b.txt'), kv.keys('x/'), refused(files.read, 'gone'), \
        refused(files.list, '*'), refused(files.list, 'many'), refused(files.read, 'p' * 2000)]";
    let expected = serde_json::json!([
        ["a.txt", "b.txt"],
        "B",
        ["x/1"],
        "There is no gone.",
        "* was not granted.",
        "10001 files are more than the 10000 of one answer. Ask for fewer.",
        "A path may have 1024 bytes; this one has 2000."
    ]);
    let host = inline(code, &[]);
    host.project.lock().unwrap().insert("a.txt".into(), b"A".to_vec());
    assert_eq!(run(&host, "{}").await.unwrap(), expected);
}

/// A plugin with the methods `count` (yields n pieces) and `direct` (passes a piece on by itself).
fn streaming() -> Arc<Folder> {
    let host = inline(
        "from resoftai import _host\ndef run(plugin, value): return _host.current().emit('out of turn')\n\
         class Streams:\n    async def count(self, n, of='x'):\n        for i in range(n): yield f'{i}{of}'\n",
        &[],
    );
    let main = String::from_utf8(host.files["main.py"].clone())
        .unwrap()
        .replace("class P(Plugin)", "class P(Streams, Plugin)");
    Arc::new(Folder {
        files: [host.files.clone(), [("main.py".into(), main.into())].into()].into_iter().flatten().collect(),
        ..Folder::default()
    })
}

#[tokio::test]
async fn an_answer_is_read_as_it_grows() {
    let (mut plugin, hook) = instance(&streaming(), Limits::default()).await;
    let (pieces, mut read) = tokio::sync::mpsc::channel(1);
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(piece) = read.recv().await {
            seen.push(piece);
        }
        seen
    });
    let whole = plugin.call_method_streaming("count", r#"{"n": 5}"#, pieces).await.unwrap();
    assert_eq!((reading.await.unwrap().len(), whole.as_str()), (5, r#""0x1x2x3x4x""#));

    assert_eq!(plugin.call_method("count", "[2]").await.unwrap(), r#""0x1x""#, "the same without a reader");
    let refused = plugin.call_hook(&hook, "{}").await.unwrap_err();
    assert!(refused.to_string().contains("Nobody reads this answer piece by piece"), "{refused}");
}

#[tokio::test]
async fn a_stream_ends_with_its_reader_and_its_limits() {
    let limits = Limits { wall: Duration::from_millis(500), ..Limits::default() };
    let (mut plugin, _) = instance(&streaming(), limits).await;
    let (pieces, read) = tokio::sync::mpsc::channel(1);
    drop(read);
    let left = plugin.call_method_streaming("count", "[5]", pieces).await.unwrap_err();
    assert!(left.to_string().contains("Nobody waits for this answer") && !left.instance_is_dead(), "{left:?}");

    let (pieces, mut read) = tokio::sync::mpsc::channel(100);
    let flood = serde_json::json!({ "n": 100, "of": "x".repeat(1 << 20) }).to_string();
    let flood = plugin.call_method_streaming("count", &flood, pieces).await.unwrap_err();
    assert!(flood.to_string().contains("The rest of a streamed answer may have"), "{flood:?}");
    let mut taken = 0;
    while let Some(piece) = read.recv().await {
        taken += piece.len();
    }
    assert!(taken > 15 << 20 && taken <= resoftai_sandbox::MAX_JSON_BYTES, "{taken}");

    // Nobody reads and nobody leaves: waiting counts.
    let (pieces, _read) = tokio::sync::mpsc::channel(1);
    let stuck = plugin.call_method_streaming("count", "[5]", pieces).await.unwrap_err();
    assert_eq!(stuck, Failure::TimedOut { limit: limits.wall });
}

#[tokio::test]
async fn the_standard_library_works() {
    let code = "import asyncio, ast, decimal, json, re, sqlite3, hashlib, zoneinfo, datetime, tokenize, random\n\
        async def work(n):\n    await asyncio.sleep(0.001)\n    return n\n\
        async def main(): return await asyncio.wait_for(asyncio.gather(*(work(n) for n in range(3))), 5)\n\
        def run(plugin, value):\n    \
        noon = datetime.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))\n    \
        db = sqlite3.connect(':memory:')\n    \
        return [asyncio.run(main()), noon.utcoffset().seconds, db.execute('select 6*7').fetchone()[0], \
        hashlib.sha256(b'').hexdigest()[:8], str(decimal.Decimal(1) / 8)]";
    assert_eq!(run_ok(code).await, serde_json::json!([[0, 1, 2], 7200, 42, "e3b0c442", "0.125"]));
    let chance = "import random\ndef run(plugin, value): return random.random()";
    assert_ne!(run_ok(chance).await, run_ok(chance).await, "instances must not share a seed");
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    for (code, words) in [
        ("def run(plugin, value): return None", "must return the new value"),
        ("def run(plugin, value): return object()", "JSON cannot express"),
        ("def run(plugin, value): return float('nan')", "JSON cannot express"),
    ] {
        let failure = run(&inline(code, &[]), "{}").await.unwrap_err();
        assert!(failure.to_string().contains(words) && !failure.instance_is_dead(), "{failure:?}");
    }
}

#[tokio::test]
async fn a_syntax_error_names_file_and_line() {
    let host = inline("def run(plugin, value)\n    return 1", &[]);
    let failure = load(&host, "{}", Limits::default()).await.err().unwrap();
    assert!(failure.traceback().unwrap().contains("File \"my-plugin/main.py\", line 3"), "{failure:?}");
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_not_passed_on() {
    let (mut plugin, hook) = instance(&inline("def run(plugin, value): return value", &[]), Limits::default()).await;
    let large = format!("\"{}\"", "x".repeat(resoftai_sandbox::MAX_JSON_BYTES));
    assert!(matches!(plugin.call_hook(&hook, &large).await, Err(Failure::NotCalled { .. })));
    assert_eq!(plugin.call_hook(&hook, "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_plugin_works_beside_spinning_ones() {
    let limits = Limits { cpu: Duration::from_secs(2), wall: Duration::from_secs(60), ..Limits::default() };
    let spinning: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(async move {
                let (mut plugin, hook) = instance(&folder("tests/plugins/endless-loop"), limits).await;
                plugin.call_hook(&hook, "{}").await
            })
        })
        .collect();
    let host = inline("def run(plugin, value): return value + 1", &[]);
    let (mut plugin, hook) = instance(&host, limits).await;
    for n in 0..20 {
        assert_eq!(plugin.call_hook(&hook, &n.to_string()).await.unwrap(), (n + 1).to_string());
    }
    for task in spinning {
        assert_eq!(task.await.unwrap(), Err(Failure::CpuExhausted { limit: limits.cpu }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_spinning_plugin_does_not_keep_the_only_thread() {
    let limits = Limits { cpu: Duration::from_millis(500), ..Limits::default() };
    let (mut plugin, hook) = instance(&folder("tests/plugins/endless-loop"), limits).await;
    let spinning = tokio::spawn(async move { plugin.call_hook(&hook, "{}").await });
    let others = tokio::spawn(async move {
        let mut turns = 0;
        while !spinning.is_finished() {
            tokio::task::yield_now().await;
            turns += 1;
        }
        (turns, spinning.await.unwrap())
    });
    let (turns, ended) = others.await.unwrap();
    assert_eq!(ended, Err(Failure::CpuExhausted { limit: limits.cpu }));
    // One for each turn of the plugin is what they would get on a thread that they share with it.
    assert!(turns > 5_000, "only {turns} turns");
}

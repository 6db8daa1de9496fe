//! Plugins in the sandbox, with nothing of the server around them: calls, loading, memory, and side by side. Prints one line
//! of JSON.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use resoftai_sandbox::{Hook, Host, HttpRequest, HttpResponse, Level, Limits, Plugin, Program, Sandbox};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::process::resident_of;

const WARM_UP: usize = 50;
const CALLS: usize = 500;
/// What the issue wants to be loaded at once.
const MANY: usize = 50;
/// Looks at every line by a regular expression, as linters do, and tells how long that took it, in seconds.
const MAIN: &str = r#"
import re, time
from resoftai.plugins.base import CodeQualityPlugin

LONG = re.compile(r"\b(eval|exec|md5|password)\b")

class Look(CodeQualityPlugin):
    def load(self, context):
        self.context = context
        self.taken = []
        return True
    def activate(self):
        self.context.hooks.register_filter("code.analyze", self.look)
        return True
    def deactivate(self): return True
    def unload(self): return True
    def get_tool_name(self): return "look"
    def analyze_code(self, code, language): return {}
    def look(self, value):
        begun = time.perf_counter()
        lines = enumerate(value["code"].split("\n"), 1)
        value["look"] = [{"message": "m", "line": n} for n, line in lines if LONG.search(line)]
        self.taken.append(time.perf_counter() - begun)
        return value
    def own(self):
        taken, self.taken = self.taken, []
        return taken
"#;
const MANIFEST: &str = r#"{"name": "look", "slug": "look", "version": "1.0.0", "entry_point": "main.py:Look"}"#;

/// The plugin's own files and nothing else.
struct Files(BTreeMap<String, Vec<u8>>);

fn refused<T>() -> Result<T, String> {
    Err("Not here.".to_owned())
}

#[async_trait]
impl Host for Files {
    fn log(&self, _: Level, _: &str) {}
    async fn kv_get(&self, _: &str) -> Result<Option<String>, String> {
        refused()
    }
    async fn kv_set(&self, _: &str, _: Option<&str>) -> Result<(), String> {
        refused()
    }
    async fn kv_list(&self, _: &str) -> Result<Vec<String>, String> {
        refused()
    }
    async fn files_list(&self, _: &str) -> Result<Vec<String>, String> {
        refused()
    }
    async fn files_read(&self, _: &str) -> Result<Vec<u8>, String> {
        refused()
    }
    async fn files_write(&self, _: &str, _: Vec<u8>) -> Result<(), String> {
        refused()
    }
    async fn files_delete(&self, _: &str) -> Result<(), String> {
        refused()
    }
    async fn http_request(&self, _: HttpRequest) -> Result<HttpResponse, String> {
        refused()
    }
    async fn llm_complete(&self, _: &str) -> Result<String, String> {
        refused()
    }
    fn package_list(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn package_read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.0.get(path).cloned().map_or_else(refused, Ok)
    }
}

async fn load(program: &Program) -> (Plugin, Hook) {
    let files = BTreeMap::from([("main.py".to_owned(), MAIN.into()), ("plugin.json".to_owned(), MANIFEST.into())]);
    let (plugin, loaded) = program.load(Arc::new(Files(files)), MANIFEST, "{}", Limits::default()).await.unwrap();
    (plugin, loaded.hooks[0].clone())
}

/// A file of so many lines of some 80 bytes, as the hook gets it.
fn payload(lines: usize) -> String {
    let code: String =
        (0..lines).map(|n| format!("    value_{n} = compute(first, second, third, {n})  # a remark on it\n")).collect();
    json!({"code": code, "language": "python", "file_path": "a.py", "project_id": 1, "organization_id": 1}).to_string()
}

/// Warm calls, each in seconds.
async fn calls(plugin: &mut Plugin, hook: &Hook, payload: &str) -> Vec<f64> {
    let mut taken = Vec::new();
    for _ in 0..WARM_UP + CALLS {
        let begun = Instant::now();
        plugin.call_hook(hook, payload).await.unwrap();
        taken.push(begun.elapsed().as_secs_f64());
    }
    taken.split_off(WARM_UP)
}

/// In microseconds, of seconds.
fn median(mut taken: Vec<f64>) -> f64 {
    taken.sort_unstable_by(f64::total_cmp);
    taken[taken.len() / 2] * 1e6
}

/// How many times as long two plugins take for their calls at once as one alone.
async fn side_by_side(program: &Program, payload: &str) -> f64 {
    let work = |program: Program, payload: String| async move {
        let (mut plugin, hook) = load(&program).await;
        calls(&mut plugin, &hook, &payload).await.iter().sum::<f64>()
    };
    let longest_of = |plugins: usize| async move {
        let mut at_work = JoinSet::new();
        for _ in 0..plugins {
            at_work.spawn(work(program.clone(), payload.to_owned()));
        }
        at_work.join_all().await.into_iter().fold(0.0, f64::max)
    };
    let alone = longest_of(1).await;
    longest_of(2).await / alone
}

/// Compiles as the server does, by the compiler that was built for it.
fn component(parts: &Path) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let compiler = dir.path().join("plugin-compiler");
    zstd::stream::copy_decode(
        std::fs::File::open(parts.join("plugin-compiler.zst")).unwrap(),
        std::fs::File::create(&compiler).unwrap(),
    )
    .unwrap();
    std::fs::set_permissions(&compiler, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let text = std::fs::read(parts.join("../../plugin-sdk/examples/todo-marks/plugin.wat")).unwrap();
    let wasm = dir.path().join("plugin.wasm");
    std::fs::write(&wasm, wat::parse_bytes(&text).unwrap()).unwrap();
    let stdin = Stdio::from(std::fs::File::open(wasm).unwrap());
    let output = Command::new(compiler).arg("3").stdin(stdin).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Everything, on as many threads as there are processors for this process.
pub fn plugins(parts: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async {
        let sandbox = Sandbox::new(1).unwrap();
        let packed = std::fs::read(parts.join("python-runtime.cwasm.zst")).unwrap();
        let python = sandbox.map(&packed).unwrap();
        let native = sandbox.map(&component(parts)).unwrap();
        let mut told = serde_json::Map::new();
        for lines in [1, 200, 2_000] {
            let payload = payload(lines);
            let (mut plugin, hook) = load(&python).await;
            let whole = calls(&mut plugin, &hook, &payload).await;
            let own: Vec<f64> = serde_json::from_str(&plugin.call_method("own", "[]").await.unwrap()).unwrap();
            let beyond = whole.iter().zip(&own[WARM_UP..]).map(|(whole, own)| whole - own).collect();
            told.insert(format!("python {lines}"), median(whole).into());
            told.insert(format!("python {lines} beyond"), median(beyond).into());
        }
        let files = Arc::new(Files(BTreeMap::new()));
        let (mut plugin, loaded) = native.load(files, "{}", "{}", Limits::default()).await.unwrap();
        let hook = loaded.hooks[0].clone();
        for lines in [1, 200] {
            told.insert(format!("component {lines}"), median(calls(&mut plugin, &hook, &payload(lines)).await).into());
        }
        told.insert("side by side".to_owned(), side_by_side(&python, &payload(200)).await.into());
        let (mut loading, mut many) = (Vec::new(), Vec::new());
        for _ in 0..MANY {
            let begun = Instant::now();
            many.push(load(&python).await);
            loading.push(begun.elapsed());
        }
        for (plugin, hook) in &mut many {
            plugin.call_hook(hook, &payload(200)).await.unwrap();
        }
        loading.sort_unstable();
        told.insert("load".to_owned(), (loading[MANY / 2].as_secs_f64() * 1e3).into());
        told.insert("many".to_owned(), resident_of("self").into());
        Value::Object(told)
    });
    println!("{told}");
}

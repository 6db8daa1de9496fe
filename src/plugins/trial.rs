//! A plugin's own tests, run in the real sandbox without a server.
//!
//! Tests in Python lie in the package; those of a component are a component themselves, whose methods `collect` and `run`
//! answer as those of `resoftai._testrun` do.
//!
//! Invariant: a test has what a plugin's call has: the same limits, no network, no files but the package. A test that is
//! stopped costs itself only; the next one gets a fresh instance.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use resoftai_sandbox::{Failure, Host, HttpRequest, HttpResponse, Level, Limits, Plugin as Instance, Program, Sandbox};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::compile::machine_code;
use super::pack::assemble;
use super::package::{Files, Package};
use super::runtime::NO_RUNTIME;
use crate::base::error::{Error, Kind, Result};

/// The file that takes the place of the plugin's entry point.
const ENTRY: &str = "_resoftai_run_tests.py";
const NOT_HERE: &str =
    "A test has no platform. Give LoadedPlugin what answers in its place (resoftai.testing, resoftai/testing).";
/// The tests of a component, in the plugin's folder; hidden, so that no package carries them.
pub const COMPONENT: &str = ".sdk/tests.wasm";
/// Lines of log kept of one test.
const MAX_LINES: usize = 1_000;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// One test.
#[derive(Debug, Clone, Serialize)]
pub struct Tested {
    /// Such as `tests.test_main.MainTest.test_it`.
    pub name: String,
    pub outcome: Verdict,
    pub milliseconds: u64,
    /// The traceback with the author's own lines, or why it was skipped.
    pub detail: String,
    /// What it printed and logged.
    pub output: Vec<String>,
}

#[derive(Deserialize)]
struct Collected {
    tests: Vec<String>,
    broken: Vec<Broken>,
}

#[derive(Deserialize)]
struct Broken {
    file: String,
    detail: String,
}

#[derive(Deserialize)]
struct Ran {
    outcome: Verdict,
    detail: String,
    output: String,
}

/// A plugin's tests, ready to be run.
pub struct Trial {
    program: Program,
    host: Arc<TrialHost>,
    manifest: String,
    limits: Limits,
    instance: Option<Instance>,
}

/// What this program carries to run tests with; empty in a build without.
#[derive(Clone, Copy)]
pub struct Parts {
    /// The Python runtime, compressed.
    pub runtime: &'static [u8],
    /// The compiler of components, compressed.
    pub compiler: &'static [u8],
}

impl Trial {
    /// Checks the plugin and makes the sandbox; `component` are the tests of one that is no Python.
    ///
    /// # Errors
    /// `invalid_plugin`, naming the file; `no_tests`; `no_plugin_runtime`, `no_plugin_compiler`, `plugin_not_compiled`.
    pub async fn new(files: Files, component: Option<Vec<u8>>, parts: Parts) -> Result<Self> {
        let (package, _) = assemble(files, Vec::new())?;
        let in_python = package.component().is_none();
        let manifest = stand_in(&package, in_python)?;
        let (_, mut files) = package.into_parts();
        let code = match component {
            _ if in_python && parts.runtime.is_empty() => {
                return Err(Error::unavailable("no_plugin_runtime", NO_RUNTIME));
            }
            _ if in_python => {
                files.add(ENTRY, b"from resoftai._testrun import TestRun\n".to_vec())?;
                Cow::Borrowed(parts.runtime)
            }
            Some(component) => Cow::Owned(machine_code(parts.compiler, &component).await?),
            None => {
                let sentence = format!(
                    "There is no {COMPONENT} in the plugin's folder, which holds the tests of a plugin that is a component. \
                     Write tests/plugin.test.js and build it: sh .sdk/build.sh. `resoftai plugin new --language javascript` shows how."
                );
                return Err(Error::new(Kind::NotFound, "no_tests", sentence));
            }
        };
        let program = Sandbox::new(1)
            .and_then(|sandbox| sandbox.map(&code))
            .map_err(|cause| Error::unavailable("plugin_runtime_failed", cause.to_string()))?;
        let host = Arc::new(TrialHost { files, lines: Mutex::default() });
        Ok(Self { program, host, manifest, limits: Limits::default(), instance: None })
    }

    /// The names of all tests; files that cannot be imported are failed tests already.
    ///
    /// # Errors
    /// `no_tests`; when the sandbox itself fails.
    pub async fn collect(&mut self) -> Result<(Vec<String>, Vec<Tested>)> {
        let answer = self.call("collect", &json!({})).await.map_err(|failure| Error::internal(failure.to_string()))?;
        let collected: Collected = serde_json::from_str(&answer).map_err(Error::internal)?;
        if collected.tests.is_empty() && collected.broken.is_empty() {
            let sentence =
                "There is no test in the plugin: write one into tests/test_plugin.py. `resoftai plugin new` shows how.";
            return Err(Error::new(Kind::NotFound, "no_tests", sentence));
        }
        let broken = collected.broken.into_iter().map(|broken| Tested {
            name: broken.file,
            outcome: Verdict::Failed,
            milliseconds: 0,
            detail: broken.detail,
            output: self.host.take_lines(),
        });
        Ok((collected.tests, broken.collect()))
    }

    /// Runs one test.
    pub async fn run(&mut self, name: &str) -> Tested {
        let began = Instant::now();
        let answer = self.call("run", &json!({"test": name})).await;
        let mut output = self.host.take_lines();
        let (outcome, detail) = match answer.map(|text| serde_json::from_str::<Ran>(&text)) {
            Ok(Ok(ran)) => {
                output.extend(ran.output.lines().map(str::to_owned));
                (ran.outcome, ran.detail)
            }
            Ok(Err(cause)) => (Verdict::Failed, format!("The test gave no verdict: {cause}.")),
            Err(failure) => {
                let traceback = failure.traceback().map(|text| format!("\n{}", text.trim_end())).unwrap_or_default();
                (Verdict::Failed, format!("{failure}{traceback}"))
            }
        };
        Tested { name: name.to_owned(), outcome, milliseconds: millis(began.elapsed()), detail, output }
    }

    async fn call(&mut self, method: &str, args: &Value) -> Result<String, Failure> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.program.load(self.host.clone(), &self.manifest, "{}", self.limits).await?.0,
        };
        let answer = instance.call_method(method, &args.to_string()).await;
        if !answer.as_ref().is_err_and(Failure::instance_is_dead) {
            self.instance = Some(instance);
        }
        answer
    }
}

/// The plugin's manifest with the test runner for an entry point.
fn stand_in(package: &Package, in_python: bool) -> Result<String> {
    let mut fields: Value = serde_json::from_str(&package.manifest_text()).map_err(Error::internal)?;
    if in_python {
        fields["entry_point"] = Value::from(format!("{ENTRY}:TestRun"));
    }
    fields["config_schema"] = Value::Null;
    Ok(fields.to_string())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Gives the package's files and takes the log; everything else a test brings itself.
struct TrialHost {
    files: Files,
    lines: Mutex<Vec<String>>,
}

impl TrialHost {
    fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Host for TrialHost {
    fn log(&self, level: Level, message: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MAX_LINES {
            lines.push(if level >= Level::Warning { format!("{level:?}: {message}") } else { message.to_owned() });
        }
    }

    async fn kv_get(&self, _key: &str) -> Result<Option<String>, String> {
        Err(NOT_HERE.to_owned())
    }

    async fn kv_set(&self, _key: &str, _value: Option<&str>) -> Result<(), String> {
        Err(NOT_HERE.to_owned())
    }

    async fn kv_list(&self, _prefix: &str) -> Result<Vec<String>, String> {
        Err(NOT_HERE.to_owned())
    }

    async fn files_list(&self, _pattern: &str) -> Result<Vec<String>, String> {
        Err(NOT_HERE.to_owned())
    }

    async fn files_read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Err(NOT_HERE.to_owned())
    }

    async fn files_write(&self, _path: &str, _content: Vec<u8>) -> Result<(), String> {
        Err(NOT_HERE.to_owned())
    }

    async fn files_delete(&self, _path: &str) -> Result<(), String> {
        Err(NOT_HERE.to_owned())
    }

    async fn http_request(&self, _request: HttpRequest) -> Result<HttpResponse, String> {
        Err(NOT_HERE.to_owned())
    }

    async fn llm_complete(&self, _request: &str) -> Result<String, String> {
        Err(NOT_HERE.to_owned())
    }

    fn package_list(&self) -> Vec<String> {
        self.files.iter().map(|(path, _)| path.to_owned()).collect()
    }

    fn package_read(&self, path: &str) -> Result<Vec<u8>, String> {
        let content = self.files.get(path).map(<[u8]>::to_vec);
        content.ok_or_else(|| format!("The plugin's package has no file {path:?}."))
    }
}

//! The built-in provider: the site's own GGUF model, run by the engine as a supervised child process.
//!
//! Invariant: at most one engine runs; it is started again after it ends, sooner the first time than the tenth; whoever
//! waits for it waits a bounded time and is told in a sentence why it does not answer. A model can take the engine down,
//! never the server.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Method};
use tokio::process::Child;
use tokio::sync::watch;

use super::launch::{Engine, Handle, Launch, ended};
use super::{Options, Status, upstream};
use crate::base::error::{Error, Result};
use crate::base::executable::Executable;
use crate::base::tasks::Tasks;
use crate::net::{Client, Endpoint, Target};

/// How long a call waits for a model that is being loaded.
const LOAD_PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions whether the model is loaded.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long one such question may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// The longest answer to it, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Before the engine is started again, the first time and at most; it doubles in between.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// After this long the next end counts as the first again.
const HEALTHY: Duration = Duration::from_secs(120);
/// How often a missing model file is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long after its end a broken call is put down to it.
const MEMORY: Duration = Duration::from_secs(10);
/// Files looked at in the folder of models.
const MAX_FILES: usize = 1000;

/// The built-in provider; dropped with the server, it ends the engine.
pub(super) struct Builtin {
    shared: Arc<Shared>,
}

struct Shared {
    socket: PathBuf,
    /// What an administrator named; else the only file of `folder`.
    model_path: Option<PathBuf>,
    folder: PathBuf,
    context: u32,
    threads: usize,
    state: watch::Sender<State>,
    /// The engine that runs.
    handle: Mutex<Option<Handle>>,
    /// The engine once the server stops: it serves until the last call has ended.
    left: Mutex<Option<Child>>,
}

#[derive(Debug, Clone)]
struct State {
    phase: Phase,
    model: Option<String>,
    /// What the loaded model really takes.
    context: Option<u32>,
    death: Option<(Instant, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    /// With the sentence why, and what to do.
    Down(String),
}

impl Builtin {
    /// None when the site has another server in its configuration and no model of its own.
    ///
    /// # Errors
    /// When the data directory cannot be found.
    pub fn new(options: &Options, client: &Client, tasks: &Tasks) -> Result<Option<Self>> {
        let data_dir = std::path::absolute(&options.data_dir)?;
        let shared = Shared {
            socket: data_dir.join("run/engine.sock"),
            folder: data_dir.join("models"),
            model_path: options.model_path.as_deref().map(std::path::absolute).transpose()?,
            context: options.context,
            threads: options.threads,
            state: watch::Sender::new(State { phase: Phase::Starting, model: None, context: None, death: None }),
            handle: Mutex::default(),
            left: Mutex::default(),
        };
        let model = shared.find_model();
        if model.is_err() && shared.model_path.is_none() && options.site_provider.is_some() {
            return Ok(None);
        }
        match model {
            Ok(model) => shared.begin(&name_of(&model)),
            Err(sentence) => shared.set(Phase::Down(sentence)),
        }
        let shared = Arc::new(shared);
        let builtin = Self { shared: shared.clone() };
        match options.engine.choose() {
            Some(part) => {
                let endpoint = client.endpoint(Target::parse(&builtin.url())?)?;
                let supervisor = Supervisor { shared, endpoint, part, tasks: tasks.clone() };
                tasks.spawn(supervisor.run());
            }
            None => shared.set(Phase::Down(
                "This build of resoftai carries no model engine. Use a release build, or build with `make engine` first."
                    .to_owned(),
            )),
        }
        Ok(Some(builtin))
    }

    /// Where the engine listens.
    pub fn url(&self) -> String {
        format!("unix:{}", self.shared.socket.display())
    }

    /// The model's id: its file's name without `.gguf`.
    pub fn model_name(&self) -> Option<String> {
        self.shared.state.borrow().model.clone()
    }

    /// Tokens of prompt and answer together: what the loaded model takes, before that what it was limited to.
    pub fn context(&self) -> u32 {
        self.shared.state.borrow().context.unwrap_or(self.shared.context)
    }

    pub fn status(&self) -> (Status, Option<String>) {
        match &self.shared.state.borrow().phase {
            Phase::Starting => (Status::Starting, Some("The model is being loaded.".to_owned())),
            Phase::Ready => (Status::Ready, None),
            Phase::Down(sentence) => (Status::Unreachable, Some(sentence.clone())),
        }
    }

    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// `model_unavailable` with the reason, `model_starting` when it takes longer than [`LOAD_PATIENCE`].
    pub async fn ready(&self) -> Result<()> {
        self.notice(Handle::end);
        let mut state = self.shared.state.subscribe();
        let settled = state.wait_for(|state| state.phase != Phase::Starting);
        let phase = match tokio::time::timeout(LOAD_PATIENCE, settled).await {
            Ok(Ok(state)) => state.phase.clone(),
            _ => Phase::Starting,
        };
        match phase {
            Phase::Ready => Ok(()),
            Phase::Down(sentence) => Err(Error::unavailable("model_unavailable", sentence)),
            Phase::Starting => {
                let sentence = "The built-in model is still being loaded. Send the call again shortly.";
                Err(Error::unavailable("model_starting", sentence).retry_after(10))
            }
        }
    }

    /// What to tell a caller whose call broke: None when the engine had no part in it.
    pub fn last_words(&self) -> Option<String> {
        self.notice(Handle::end_soon);
        let death = self.shared.state.borrow().death.clone();
        death.filter(|(at, _)| at.elapsed() < MEMORY).map(|(_, words)| words)
    }

    /// Takes note of an end that the supervisor has not been told of yet.
    fn notice(&self, look: fn(&Handle) -> Option<String>) {
        let handle = self.shared.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = handle.as_ref().and_then(look) {
            self.shared.bury(&end);
        }
    }
}

impl Shared {
    fn set(&self, phase: Phase) {
        self.state.send_modify(|state| state.phase = phase);
    }

    fn begin(&self, model: &str) {
        self.state.send_modify(|state| {
            state.phase = Phase::Starting;
            state.model = Some(model.to_owned());
            state.context = None;
        });
    }

    /// Remembers how a working engine ended; calls from now on wait for the next one.
    fn bury(&self, end: &str) {
        self.state.send_if_modified(|state| {
            let worked = state.phase == Phase::Ready;
            if worked {
                let words = format!(
                    "The built-in model engine {end} in the middle of this call. It is started again by itself; send the request again."
                );
                state.death = Some((Instant::now(), words));
                state.phase = Phase::Starting;
            }
            worked
        });
    }

    /// The model to run, or the sentence that says how to have one.
    fn find_model(&self) -> Result<PathBuf, String> {
        if let Some(path) = &self.model_path {
            return if path.is_file() {
                Ok(path.clone())
            } else {
                Err(format!("There is no model file {}. Put one there, or correct llm.model_path.", path.display()))
            };
        }
        let is_model = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"));
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().take(MAX_FILES).flatten();
        let mut models: Vec<PathBuf> = files.map(|file| file.path()).filter(is_model).collect();
        models.sort();
        let folder = self.folder.display();
        match models.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(format!(
                "The built-in provider has no model. Put one GGUF file into {folder}, or name one with llm.model_path."
            )),
            [first, second, ..] => Err(format!(
                "The folder {folder} holds several models, among them {} and {}. Name the one to run with llm.model_path.",
                name_of(first),
                name_of(second)
            )),
        }
    }
}

fn name_of(model: &Path) -> String {
    let stem = model.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.filter(|name| upstream::is_name(name)).unwrap_or_else(|| "model".to_owned())
}

/// Keeps the engine running.
struct Supervisor {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    part: &'static [u8],
    tasks: Tasks,
}

impl Supervisor {
    async fn run(self) {
        let mut executable = None;
        let mut pause = FIRST_PAUSE;
        while !self.tasks.is_stopping() {
            let wait = match self.shared.find_model() {
                Err(sentence) => {
                    self.shared.set(Phase::Down(sentence));
                    LOOK_AGAIN
                }
                Ok(model) => {
                    let started = Instant::now();
                    if let Err(error) = self.once(&mut executable, &model).await {
                        tracing::error!(cause = ?error.cause(), "{error}");
                        self.shared.set(Phase::Down(error.message().to_owned()));
                    }
                    pause = if started.elapsed() > HEALTHY { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
                    pause
                }
            };
            tokio::select! {
                () = self.tasks.stopping() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One life of the engine.
    ///
    /// # Errors
    /// When it did not come up, with the reason.
    async fn once(&self, executable: &mut Option<Executable>, model: &Path) -> Result<()> {
        let name = name_of(model);
        if self.shared.state.borrow().model.as_ref() != Some(&name) {
            self.shared.begin(&name);
        }
        let executable = match executable {
            Some(ready) => ready,
            None => executable.insert(unpack(self.part).await?),
        };
        let (socket, context, threads) = (&self.shared.socket, self.shared.context, self.shared.threads);
        let launch = Launch { executable, socket, model, name: &name, context, threads };
        let Engine { mut child, mut log, handle } = launch.start()?;
        tracing::info!(model = name, pid = child.id(), "the model engine starts");
        self.watch(handle);
        let status = {
            let up = async {
                self.become_ready(&name).await;
                std::future::pending::<()>().await;
            };
            let talk = async {
                log.follow().await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                status = child.wait() => Some(status?),
                () = up => None,
                () = talk => None,
                () = self.tasks.stopping() => None,
            }
        };
        let Some(status) = status else {
            *self.shared.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
            return Ok(());
        };
        let end = ended(status);
        self.shared.bury(&end);
        self.watch(None);
        // Its last line may still be on the way.
        let _cut_off = tokio::time::timeout(ASK_LIMIT, log.follow()).await;
        tracing::error!(model = name, complaint = log.complaint, "the model engine {end}");
        let came_up = self.shared.state.borrow().context.is_some();
        self.shared.state.send_modify(|state| state.context = None);
        if came_up {
            return Ok(());
        }
        let sentence = log.complaint.unwrap_or_else(|| {
            format!(
                "The built-in model engine {end} while it loaded {}. Look at the log; it is tried again.",
                model.display()
            )
        });
        Err(Error::unavailable("model_unavailable", sentence))
    }

    fn watch(&self, handle: Option<Handle>) {
        *self.shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    /// Asks until the model is loaded.
    async fn become_ready(&self, name: &str) {
        let started = Instant::now();
        let context = loop {
            match tokio::time::timeout(ASK_LIMIT, self.loaded_context()).await {
                Ok(Some(context)) => break context,
                _ => tokio::time::sleep(ASK_AGAIN).await,
            }
        };
        self.shared.state.send_modify(|state| {
            state.phase = Phase::Ready;
            state.context = Some(context);
        });
        let seconds = started.elapsed().as_secs_f32();
        tracing::info!(model = name, context, seconds, "the built-in model is ready");
    }

    /// None while the model is being loaded.
    async fn loaded_context(&self) -> Option<u32> {
        let uri = self.endpoint.uri("/models").ok()?;
        let reply = self.endpoint.send(Method::GET, uri, HeaderMap::new(), Bytes::new()).await.ok()?;
        if !reply.status().is_success() {
            return None;
        }
        let body = Limited::new(reply.into_body(), MAX_ANSWER).collect().await.ok()?.to_bytes();
        let models: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let context = models["data"][0]["meta"]["n_ctx"].as_u64()?;
        u32::try_from(context).ok()
    }
}

async fn unpack(part: &'static [u8]) -> Result<Executable> {
    let unpacked = tokio::task::spawn_blocking(move || Executable::unpack("resoftai-engine", part))
        .await
        .map_err(Error::internal)?;
    unpacked.map_err(|cause| {
        let sentence = format!(
            "The model engine cannot be unpacked into memory: {cause}. The kernel must allow executable memory files (vm.memfd_noexec below 2)."
        );
        Error::unavailable("engine_not_started", sentence).caused_by(cause)
    })
}

//! One plugin at work: one warm instance, made anew after a deadly failure, left in peace for a while after each.
//!
//! Invariant: one call at a time; an instance that did not come back in order is dropped; failures in a row are counted
//! until one call succeeds. What is done about too many of them is decided above.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use resoftai_sandbox::{Failure, Hook, Kind, Level, Limits, Plugin as Instance, Program};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::capabilities::Powers;
use super::counts::{Counts, Footprint};
use super::finding::clean;
use super::host::{About, PluginHost};
use super::package::Package;
use super::runtime::Runtime;
use super::settings::Settings;
use crate::base::error::{Error, Result};

/// How long a call waits for those before it.
const WAIT_LIMIT: Duration = Duration::from_secs(30);
const CROWDED: &str = "Calls before this one took too long. Try again later.";
/// The rest after the first deadly failure; doubles with each in a row.
const FIRST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Of a configuration's schema, in bytes of JSON.
const MAX_SCHEMA: usize = 256 << 10;
/// A failure's words, traceback included, in bytes.
const MAX_WORDS: usize = 4_000;

/// One callback as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookView {
    pub name: String,
    /// `action` or `filter`.
    pub kind: String,
    /// Lower runs first, over all plugins.
    pub priority: i32,
}

/// What a plugin said about itself when it was loaded last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The kind of plugin, such as `code_quality`.
    pub api: String,
    pub config_schema: Option<Value>,
    pub hooks: Vec<HookView>,
}

/// What to ask an instance for.
pub enum Ask<'a> {
    /// The callback at this place of [`Learned::hooks`], by its kind and name.
    Hook(usize, Kind, &'a str),
    Method(&'a str),
    /// Of a source of models. Pieces of text go there as they are made. What the plugin raises is its model's failure, not
    /// counted as its own.
    Provider(&'a str, Option<Sender<String>>),
}

impl Ask<'_> {
    /// The hook's or the method's.
    pub fn name(&self) -> &str {
        match self {
            Self::Hook(_, _, name) | Self::Method(name) | Self::Provider(name, _) => name,
        }
    }
}

/// A call that gave nothing.
#[derive(Debug)]
pub struct Failed {
    /// For administrators and authors.
    pub sentence: String,
    /// In a row, this one included; None when the plugin is not to blame.
    pub in_a_row: Option<u32>,
    /// What a source of models raised, in its own words.
    pub said: Option<String>,
}

/// A plugin with its settings, ready to be called.
pub struct Live {
    host: Arc<PluginHost>,
    package: Arc<Package>,
    settings: String,
    limits: Limits,
    counts: Arc<Counts>,
    /// From the last time it was loaded.
    known: std::sync::Mutex<Option<Arc<Learned>>>,
    /// What its instances are made of, once one was.
    program: OnceCell<Arc<Program>>,
    /// Of an instance, after the last call that it survived.
    memory: AtomicU64,
    slot: Mutex<Slot>,
}

/// A loaded instance.
struct Warm {
    footprint: Footprint,
    instance: Instance,
    hooks: Vec<Hook>,
    learned: Arc<Learned>,
}

#[derive(Default)]
struct Slot {
    warm: Option<Warm>,
    failures: u32,
    /// The last failure's words.
    last: String,
    rests_until: Option<Instant>,
}

impl Live {
    pub fn new(
        host: PluginHost,
        package: Arc<Package>,
        settings: &Settings,
        limits: Limits,
        counts: Arc<Counts>,
    ) -> Self {
        let host = Arc::new(host);
        let settings = Value::Object(settings.clone()).to_string();
        Self {
            host,
            package,
            settings,
            limits,
            counts,
            program: OnceCell::new(),
            memory: AtomicU64::new(0),
            known: Default::default(),
            slot: Mutex::default(),
        }
    }

    async fn program(&self, runtime: &Runtime) -> Result<Arc<Program>> {
        self.program.get_or_try_init(|| runtime.program(&self.package)).await.cloned()
    }

    /// How long a call of it may take, waiting included.
    pub fn wall(&self) -> Duration {
        self.limits.wall
    }

    /// What an instance had after the last call that it survived; 0 before.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// What it registered when it was loaded last.
    pub fn known(&self) -> Option<Arc<Learned>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is an instance. One at work counts.
    pub fn is_warm(&self) -> bool {
        self.slot.try_lock().map_or(true, |slot| slot.warm.is_some())
    }

    /// Loads the plugin now, so that its faults show to who installs it. Not counted: it was not at work.
    ///
    /// # Errors
    /// `plugin_load_failed` with the plugin's own words; those of [`Runtime::program`].
    pub async fn prove(&self, runtime: &Runtime) -> Result<Arc<Learned>> {
        self.program(runtime).await?;
        self.load(runtime).await.map_err(|failed| {
            let sentence = format!("{} could not be loaded. {}", self.package.manifest.slug, failed.sentence);
            Error::invalid("plugin_load_failed", sentence)
        })
    }

    /// What the plugin registered, loading it when it never was.
    ///
    /// # Errors
    /// Why it could not be loaded.
    pub async fn learned(&self, runtime: &Runtime) -> Result<Arc<Learned>, Failed> {
        match self.known() {
            Some(learned) => Ok(learned),
            None => self.load(runtime).await.inspect_err(|failed| self.count(failed)),
        }
    }

    /// Asks with a JSON payload and has an answer `within` that time, or none; what `read` makes of the JSON that comes
    /// back. What it refuses is a failure too. To have waited for others in vain is not.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn call<T>(
        &self,
        runtime: &Runtime,
        ask: &Ask<'_>,
        payload: &str,
        about: &About,
        within: Duration,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Failed> {
        let mut slot = self.turn(within).await?;
        // Out of the slot while it works: a caller that leaves takes the half-done instance with it.
        let warm = self.warm(&mut slot, runtime).await.inspect_err(|failed| self.count(failed))?;
        let started = Instant::now();
        let asked = timeout(within, self.ask(&mut slot, warm, ask, payload, about)).await;
        let outcome = asked.unwrap_or(Err(Failure::TimedOut { limit: within }));
        self.counts.called(started.elapsed());
        let outcome = match outcome {
            Ok(answer) => read(&answer).map_err(|reason| judge(&mut slot, &Failure::BadReply { reason })),
            Err(failure @ Failure::Raised { .. }) if matches!(ask, Ask::Provider(..)) => {
                Err(self.models_failure(&failure))
            }
            Err(failure) => Err(judge(&mut slot, &failure)),
        };
        if outcome.is_ok() {
            slot.failures = 0;
        }
        self.measure(started, outcome.is_ok());
        outcome.inspect_err(|failed| self.count(failed))
    }

    async fn ask(
        &self,
        slot: &mut Slot,
        mut warm: Warm,
        ask: &Ask<'_>,
        payload: &str,
        about: &About,
    ) -> Result<String, Failure> {
        let _in_call = self.host.begin_call(about);
        let outcome = match ask {
            Ask::Method(name) | Ask::Provider(name, None) => warm.instance.call_method(name, payload).await,
            Ask::Provider(name, Some(pieces)) => {
                warm.instance.call_method_streaming(name, payload, pieces.clone()).await
            }
            Ask::Hook(place, kind, name) => {
                match warm.hooks.get(*place).filter(|hook| hook.kind == *kind && hook.name == *name) {
                    Some(hook) => warm.instance.call_hook(hook, payload).await,
                    None => Err(Failure::NotCalled { reason: "it registers other hooks than before".to_owned() }),
                }
            }
        };
        if !outcome.as_ref().is_err_and(Failure::instance_is_dead) {
            let bytes = warm.instance.memory_bytes();
            self.memory.store(bytes, Ordering::Relaxed);
            warm.footprint.grew_to(bytes);
            slot.warm = Some(warm);
        }
        outcome
    }

    fn measure(&self, started: Instant, well: bool) {
        let labels = [
            ("plugin", self.package.manifest.slug.clone()),
            ("outcome", if well { "ok" } else { "failed" }.to_owned()),
        ];
        metrics::counter!("plugin_calls_total", &labels).increment(1);
        metrics::histogram!("plugin_call_seconds", &labels[..1]).record(started.elapsed().as_secs_f64());
    }

    async fn load(&self, runtime: &Runtime) -> Result<Arc<Learned>, Failed> {
        let mut slot = self.turn(WAIT_LIMIT).await?;
        let warm = self.warm(&mut slot, runtime).await?;
        let learned = warm.learned.clone();
        slot.warm = Some(warm);
        Ok(learned)
    }

    /// What a source of models raised: for its log, and for who asked.
    fn models_failure(&self, failure: &Failure) -> Failed {
        let said = match failure {
            Failure::Raised { message, .. } => clean(message, MAX_WORDS),
            other => words(other),
        };
        self.host.note(Level::Error, words(failure));
        Failed { said: Some(said), ..blameless(words(failure)) }
    }

    fn count(&self, failed: &Failed) {
        if failed.in_a_row.is_some() {
            self.host.note(Level::Error, failed.sentence.clone());
            self.counts.failed(&failed.sentence);
        }
    }

    /// Has another grant count from the next call of the host on, also within the present call.
    pub fn regrant(&self, powers: Powers) {
        self.host.regrant(powers);
    }

    /// Lets go of the instance in order, if there is one, after the call it is at.
    pub async fn end(&self) {
        let warm = self.slot.lock().await.warm.take();
        self.unload(warm).await;
    }

    /// The same, unless it is at work.
    pub async fn let_go(&self) {
        let warm = self.slot.try_lock().ok().and_then(|mut slot| slot.warm.take());
        self.unload(warm).await;
    }

    async fn unload(&self, warm: Option<Warm>) {
        if let Some(warm) = warm
            && let Err(failure) = warm.instance.unload().await
        {
            tracing::warn!(plugin = self.package.manifest.slug, "did not end in order: {failure}");
        }
    }

    async fn turn(&self, within: Duration) -> Result<tokio::sync::MutexGuard<'_, Slot>, Failed> {
        let turn = timeout(within.min(WAIT_LIMIT), self.slot.lock()).await;
        turn.map_err(|_| blameless(CROWDED))
    }

    /// The instance out of the slot, or a new one.
    async fn warm(&self, slot: &mut Slot, runtime: &Runtime) -> Result<Warm, Failed> {
        if let Some(warm) = slot.warm.take() {
            return Ok(warm);
        }
        let rest = slot.rests_until.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
        if !rest.is_zero() {
            let seconds = rest.as_secs_f32();
            let last = &slot.last;
            return Err(blameless(format!("It is left in peace for another {seconds:.1} s after it failed. {last}")));
        }
        let program = self.program(runtime).await.map_err(|error| blameless(error.message()))?;
        let _in_call = self.host.begin_call(&About::default());
        let host: Arc<PluginHost> = self.host.clone();
        match program.load(host, &self.package.manifest_text(), &self.settings, self.limits).await {
            Ok((_, loaded)) if loaded.config_schema.as_ref().is_some_and(|schema| schema.len() > MAX_SCHEMA) => {
                let reason = format!("its configuration's schema has more than {MAX_SCHEMA} bytes");
                Err(judge(slot, &Failure::BadReply { reason }))
            }
            Ok((instance, loaded)) => {
                let config_schema = loaded.config_schema.and_then(|schema| serde_json::from_str(&schema).ok());
                let config_schema = config_schema.or_else(|| self.package.manifest.config_schema.clone());
                let hooks = loaded.hooks.iter().map(view).collect();
                let learned = Arc::new(Learned { api: loaded.api, config_schema, hooks });
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(learned.clone());
                let footprint = Footprint::new(&self.counts, instance.memory_bytes());
                Ok(Warm { footprint, instance, hooks: loaded.hooks, learned })
            }
            Err(failure) => {
                let failed = judge(slot, &failure);
                rest_after(slot);
                Err(failed)
            }
        }
    }
}

/// An answer of at most so many bytes, in the shape that the contract has for it.
///
/// # Errors
/// What is wrong with it, to follow "it answered wrongly: ".
pub fn parsed<T: DeserializeOwned>(text: &str, most: usize) -> Result<T, String> {
    if text.len() > most {
        return Err(format!("it is longer than {} KiB", most >> 10));
    }
    serde_json::from_str(text).map_err(|cause| format!("it is not what the contract asks for ({cause})"))
}

fn judge(slot: &mut Slot, failure: &Failure) -> Failed {
    if failure.instance_is_dead() {
        rest_after(slot);
    }
    let sentence = words(failure);
    if matches!(failure, Failure::NotCalled { .. } | Failure::Dead) {
        return blameless(sentence);
    }
    slot.failures = slot.failures.saturating_add(1);
    slot.last.clone_from(&sentence);
    Failed { sentence, in_a_row: Some(slot.failures), said: None }
}

fn rest_after(slot: &mut Slot) {
    let rest = FIRST_REST.saturating_mul(1 << slot.failures.min(16)).min(LONGEST_REST);
    slot.rests_until = Some(Instant::now() + rest);
}

fn words(failure: &Failure) -> String {
    let whole = match failure.traceback() {
        Some(traceback) => format!("{failure}\n{traceback}"),
        None => failure.to_string(),
    };
    clean(whole.trim_end(), MAX_WORDS)
}

fn blameless(sentence: impl Into<String>) -> Failed {
    Failed { sentence: sentence.into(), in_a_row: None, said: None }
}

fn view(hook: &Hook) -> HookView {
    let kind = match hook.kind {
        Kind::Action => "action",
        Kind::Filter => "filter",
    };
    HookView { name: hook.name.clone(), kind: kind.to_owned(), priority: hook.priority }
}

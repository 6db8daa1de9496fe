//! One live instance of a plugin, and the limits around every call into it.
//!
//! Invariant: an instance whose call did not come back in order is never entered again.

use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use tokio::sync::mpsc::Sender;
use tokio::time::{error::Elapsed, timeout};
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::engine::{Program, Shared};
use crate::failure::{Failure, reason};
use crate::host::bindings::{self, resoftai::plugin::types as wit};
use crate::host::{Host, Reader, State};
use crate::seat::Seat;
use crate::ticker::{Running, TICK};

/// The largest JSON document that goes into or comes out of a plugin, in bytes.
pub const MAX_JSON_BYTES: usize = 16 << 20;
/// All bytes that one crossing of the border may copy out of the guest.
const MAX_CROSSING_BYTES: usize = 32 << 20;
/// Steps of computing time in one turn of a call that has computed for longer than one.
const TURN_TICKS: u64 = 5;
const MAX_HOOKS: usize = 256;
const MAX_NAME_BYTES: usize = 200;

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of the instance. CPython itself needs about 40 MiB, most of it shared between instances.
    pub memory_bytes: u64,
    /// Computing time of one call, counted in steps of 2 ms.
    pub cpu: Duration,
    /// Time of one call, waiting included.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 128 << 20, cpu: Duration::from_secs(2), wall: Duration::from_secs(10) }
    }
}

/// Whether a callback is told or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Is told that something happened; answers `null`.
    Action,
    /// Is given a value and answers the new one.
    Filter,
}

/// One callback that the plugin registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The callback's place, for [`Plugin::call_hook`].
    pub index: u32,
    /// For instance `code.analyze`.
    pub name: String,
    /// Action or filter.
    pub kind: Kind,
    /// Lower runs first, over all plugins.
    pub priority: i32,
}

/// What a plugin said about itself when it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// agent, llm_provider, code_quality, integration, workflow, template or plugin.
    pub api: String,
    /// What it calls its tool, role, provider, integration, workflow or template.
    pub tool_name: Option<String>,
    /// JSON Schema of its configuration, as JSON.
    pub config_schema: Option<String>,
    /// In the order of registration.
    pub hooks: Vec<Hook>,
}

/// One live instance. One call at a time; for more, load the plugin more than once.
pub struct Plugin {
    shared: Arc<Shared>,
    store: Store<State>,
    exports: bindings::Plugin,
    seat: Seat,
    limits: Limits,
    /// True from the start of a call to its orderly end, and for ever after a disorderly one.
    dead: bool,
}

type Outcome<T> = Result<wasmtime::Result<Result<T, wit::Raised>>, Elapsed>;

impl Program {
    /// Makes an instance, loads the plugin's code through `host` and activates it. Takes about 10 ms.
    ///
    /// `manifest` is the text of `plugin.json`, `config` a JSON object of the plugin's settings.
    ///
    /// # Errors
    /// What the plugin raised or which limit it met; there is no instance then.
    pub async fn load(
        &self,
        host: Arc<dyn Host>,
        manifest: &str,
        config: &str,
        limits: Limits,
    ) -> Result<(Plugin, Loaded), Failure> {
        let shared = Arc::clone(&self.shared);
        let seat = Seat::new(&shared.seats);
        let mut store = Store::new(&shared.engine, State::new(host, seat.clone(), limits.memory_bytes));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(MAX_CROSSING_BYTES);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            state.ticks_left = state.ticks_left.saturating_sub(state.turn);
            state.turn = state.ticks_left.min(TURN_TICKS);
            Ok(match state.turn {
                0 => UpdateDeadline::Interrupt,
                turn => UpdateDeadline::YieldCustom(turn, Box::pin(state.seat.take())),
            })
        });
        // Start-up code of the component runs while it is instantiated: it is a call like any other.
        let running = begin(&shared, &mut store, limits);
        let instantiated = timeout(limits.wall, seat.keep(self.pre.instantiate_async(&mut store))).await;
        let exports = match instantiated {
            Ok(Ok(exports)) => exports,
            Ok(Err(error)) => return Err(judge(&error, &store, limits)),
            Err(_) => return Err(Failure::TimedOut { limit: limits.wall }),
        };
        drop(running);
        let mut plugin = Plugin { shared, store, exports, seat, limits, dead: false };
        let running = plugin.begin(&[manifest, config])?;
        let call = plugin.exports.call_load(&mut plugin.store, manifest, config);
        let outcome = timeout(limits.wall, plugin.seat.keep(call)).await;
        let loaded = checked(plugin.end(outcome, running)?)?;
        Ok((plugin, loaded))
    }
}

impl Plugin {
    /// Runs one callback on a JSON payload and returns the JSON answer: a filter's new value, or `null`.
    ///
    /// # Errors
    /// See [`Failure`]; ask [`Failure::instance_is_dead`] whether this instance can go on.
    pub async fn call_hook(&mut self, hook: &Hook, payload: &str) -> Result<String, Failure> {
        let running = self.begin(&[payload])?;
        let call = self.exports.call_call_hook(&mut self.store, hook.index, payload);
        let outcome = timeout(self.limits.wall, self.seat.keep(call)).await;
        self.end(outcome, running).and_then(json)
    }

    /// Calls a public method of the plugin, or of the agent or provider that it brings.
    ///
    /// `args` is a JSON array (by position) or object (by name; names that the method does not take are left out).
    ///
    /// # Errors
    /// As [`Plugin::call_hook`].
    pub async fn call_method(&mut self, name: &str, args: &str) -> Result<String, Failure> {
        let running = self.begin(&[name, args])?;
        let call = self.exports.call_call_method(&mut self.store, name, args, false);
        let outcome = timeout(self.limits.wall, self.seat.keep(call)).await;
        self.end(outcome, running).and_then(json)
    }

    /// Calls a method as [`Plugin::call_method`] does and passes on what it makes piece by piece: text, at most
    /// [`MAX_JSON_BYTES`] in all. Returns the whole answer as JSON; a method that makes no pieces gives only that.
    ///
    /// The plugin waits while `pieces` is full, and that counts towards its wall limit. When the receiver is gone, its
    /// next piece is refused.
    ///
    /// # Errors
    /// As [`Plugin::call_hook`]; what came before stays valid.
    pub async fn call_method_streaming(
        &mut self,
        name: &str,
        args: &str,
        pieces: Sender<String>,
    ) -> Result<String, Failure> {
        let running = self.begin(&[name, args])?;
        self.store.data_mut().reader = Some(Reader { pieces, room: MAX_JSON_BYTES });
        let call = self.exports.call_call_method(&mut self.store, name, args, true);
        let outcome = timeout(self.limits.wall, self.seat.keep(call)).await;
        // Dropped with the call: who reads sees the end of the stream.
        self.store.data_mut().reader = None;
        self.end(outcome, running).and_then(json)
    }

    /// Linear memory of the instance, in bytes; what it shares with other instances is counted too.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.store.data().memory.used()
    }

    /// Deactivates and unloads the plugin; the instance is gone afterwards.
    ///
    /// # Errors
    /// As [`Plugin::call_hook`]; the instance is gone all the same.
    pub async fn unload(mut self) -> Result<(), Failure> {
        let running = self.begin(&[])?;
        let call = self.exports.call_unload(&mut self.store);
        let outcome = timeout(self.limits.wall, self.seat.keep(call)).await;
        self.end(outcome, running)
    }

    fn begin(&mut self, inputs: &[&str]) -> Result<Running, Failure> {
        if self.dead {
            return Err(Failure::Dead);
        }
        if let Some(input) = inputs.iter().find(|input| input.len() > MAX_JSON_BYTES) {
            let bytes = input.len();
            return Err(Failure::NotCalled { reason: format!("{bytes} bytes are more than {MAX_JSON_BYTES}") });
        }
        // A caller may drop the future of this call: the guest is then stuck in the middle of it.
        self.dead = true;
        Ok(begin(&self.shared, &mut self.store, self.limits))
    }

    fn end<T>(&mut self, outcome: Outcome<T>, _running: Running) -> Result<T, Failure> {
        match outcome {
            Err(_) => Err(Failure::TimedOut { limit: self.limits.wall }),
            Ok(Err(error)) => Err(judge(&error, &self.store, self.limits)),
            // Linear memory never shrinks: an instance that reached its limit is not worth keeping.
            Ok(Ok(Err(_))) if self.store.data().memory.refused => {
                Err(Failure::OutOfMemory { limit: self.limits.memory_bytes })
            }
            Ok(Ok(answer)) => {
                self.dead = false;
                answer.map_err(|raised| Failure::Raised { message: raised.message, traceback: raised.traceback })
            }
        }
    }
}

fn begin(shared: &Shared, store: &mut Store<State>, limits: Limits) -> Running {
    let ticks = limits.cpu.as_millis().div_ceil(TICK.as_millis());
    let state = store.data_mut();
    state.ticks_left = u64::try_from(ticks).unwrap_or(u64::MAX).max(1);
    state.turn = 1;
    state.memory.refused = false;
    let turn = state.turn;
    store.set_epoch_deadline(turn);
    shared.ticker.call()
}

fn judge(error: &wasmtime::Error, store: &Store<State>, limits: Limits) -> Failure {
    if matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt)) {
        return Failure::CpuExhausted { limit: limits.cpu };
    }
    if store.data().memory.refused {
        return Failure::OutOfMemory { limit: limits.memory_bytes };
    }
    Failure::Trapped { reason: reason(error) }
}

/// Callers parse the answer themselves; that it is one JSON document of bearable size is promised here.
fn json(answer: String) -> Result<String, Failure> {
    if answer.len() > MAX_JSON_BYTES {
        let bytes = answer.len();
        return Err(Failure::BadReply { reason: format!("{bytes} bytes are more than {MAX_JSON_BYTES}") });
    }
    match serde_json::from_str::<IgnoredAny>(&answer) {
        Ok(_) => Ok(answer),
        Err(error) => Err(Failure::BadReply { reason: format!("it is not JSON ({error})") }),
    }
}

fn checked(loaded: wit::Loaded) -> Result<Loaded, Failure> {
    if loaded.hooks.len() > MAX_HOOKS {
        let count = loaded.hooks.len();
        return Err(Failure::BadReply { reason: format!("{count} hooks are more than {MAX_HOOKS}") });
    }
    let names = loaded.hooks.iter().map(|hook| &hook.name).chain(&loaded.tool_name).chain([&loaded.api]);
    if names.map(String::len).any(|bytes| bytes > MAX_NAME_BYTES) {
        return Err(Failure::BadReply { reason: format!("a name is longer than {MAX_NAME_BYTES} bytes") });
    }
    let config_schema = loaded.config_schema.map(json).transpose()?;
    let hooks = (0..).zip(loaded.hooks).map(|(index, hook)| Hook {
        index,
        name: hook.name,
        kind: match hook.kind {
            wit::Kind::Action => Kind::Action,
            wit::Kind::Filter => Kind::Filter,
        },
        priority: hook.priority,
    });
    Ok(Loaded { api: loaded.api, tool_name: loaded.tool_name, config_schema, hooks: hooks.collect() })
}

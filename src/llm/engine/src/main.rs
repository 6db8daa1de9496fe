//! The child process that runs a GGUF model: an OpenAI-compatible HTTP server on the Unix listener it finds as standard
//! input, so that no model can take its parent's memory or life with it.
//!
//! Invariant: it opens no socket of its own, writes no file but what the kernel knows of this process, is the first to go
//! when the machine has no memory left, and ends with its parent. Exit codes: 0 the parent ended,
//! 1 the process could not be set up, 2 the arguments or the model file cannot be used.
#![allow(
    clippy::disallowed_methods,
    reason = "a process of its own: it has no clock, tasks or settings of the server's"
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod chat;
mod constraint;
mod engine;
mod error;
mod http;
mod log;
mod model;
mod parent;
mod queue;
mod sampler;
mod text;
mod vocabulary;

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};

use serde_json::json;
use tokio::sync::oneshot;

use args::Args;
use queue::Queue;

/// A sentence and the exit code it leads to.
struct Failure(String, u8);

fn main() -> ExitCode {
    log::panics_too();
    go_first();
    let Err(Failure(sentence, code)) = run();
    log::error(&sentence, json!({}));
    ExitCode::from(code)
}

fn run() -> Result<Infallible, Failure> {
    let args = Args::parse(std::env::args_os().skip(1)).map_err(|sentence| Failure(sentence, 2))?;
    parent::watch().map_err(|sentence| Failure(sentence, 1))?;
    set_threads(args.threads);
    let listener = listener().map_err(|cause| {
        Failure(format!("Standard input is not a listening Unix socket ({cause}). Hand one over as descriptor 0."), 1)
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    let runtime = runtime.map_err(|error| Failure(format!("The async runtime could not be started: {error}."), 1))?;
    runtime.block_on(serve(args, listener))
}

/// Tells the kernel to end this process before any other when memory runs out: a model is loaded again, the parent's work
/// is not. Everybody may say so of themselves; where nobody listens (no /proc), the kernel chooses by size.
fn go_first() {
    const MOST: &str = "1000";
    if let Err(cause) = std::fs::write("/proc/self/oom_score_adj", MOST) {
        let sentence = "The kernel could not be told to end this process first when memory runs out.";
        log::error(sentence, json!({"cause": cause.to_string()}));
    }
}

fn listener() -> std::io::Result<UnixListener> {
    let listener = UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The computing library takes its thread count from the environment alone, so the process replaces itself once with it
/// set. Where that fails (no /proc), all cores compute: slower for others, never wrong.
fn set_threads(threads: Option<usize>) {
    const COUNT: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = threads.unwrap_or(cores).min(cores).to_string();
    if COUNT.iter().all(|name| std::env::var(name).as_deref() == Ok(&wanted)) {
        return;
    }
    let mut again = Command::new("/proc/self/exe");
    again.args(std::env::args_os().skip(1)).envs(COUNT.map(|name| (name, &wanted)));
    let cause = again.exec();
    log::error("The number of threads could not be set; all cores compute.", json!({"cause": cause.to_string()}));
}

async fn serve(args: Args, listener: UnixListener) -> Result<Infallible, Failure> {
    let listener = tokio::net::UnixListener::from_std(listener);
    let listener = listener.map_err(|error| Failure(format!("The Unix socket cannot be listened on: {error}."), 1))?;
    let (queue, facts) = (Arc::new(Queue::default()), Arc::new(OnceLock::new()));
    let door = http::Door::new(args.name.clone(), Arc::clone(&queue), Arc::clone(&facts));
    let (failed, failure) = oneshot::channel();
    let path = args.model.display().to_string();
    let worker = std::thread::Builder::new().name("inference".to_owned()).spawn(move || {
        let (engine, loaded) = match engine::load(&args.model, args.context) {
            Ok(loaded) => loaded,
            Err(sentence) => return drop(failed.send(Failure(sentence, 2))),
        };
        // The cell is set nowhere else.
        let _first = facts.set(loaded);
        engine.run(&queue);
    });
    worker.map_err(|error| Failure(format!("The inference thread could not be started: {error}."), 1))?;
    tokio::select! {
        never = http::accept(listener, door) => match never {},
        failure = failure => Err(failure.unwrap_or_else(|_| {
            Failure(format!("The model file {path} made the inference thread panic: it is damaged, or this is a fault of the engine."), 2)
        })),
    }
}

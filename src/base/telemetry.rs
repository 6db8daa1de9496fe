//! Logs and metrics of the process.
//!
//! Invariant: logs are JSON lines, written off the request path, rotated daily and kept for a bounded number of files;
//! no secret is ever a field. Which requests are counted belongs to `server::middleware`.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;

/// How many daily log files are kept.
const KEPT_FILES: usize = 14;

/// Latency buckets in seconds, from a cached read to a slow model.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 300.0];

/// Which events are logged, to be changed.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// How often what was measured since is put into the buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts logging to `dir/resoftai.<date>.log` and, for systemd's journal, to standard error. Hold the guards: dropping
/// them flushes what is left.
///
/// # Errors
/// When the folder cannot be written or the level does not parse.
pub fn start_logs(dir: &Path, level: &str) -> Result<Vec<WorkerGuard>> {
    let unwritable = |cause: &dyn std::fmt::Display| {
        let message = format!(
            "Logs cannot be written to the folder {}: {cause}. Let this account write to it, or choose another data \
             directory with --data-dir.",
            dir.display()
        );
        Error::unavailable("log_folder", message)
    };
    std::fs::create_dir_all(dir).map_err(|cause| unwritable(&cause).caused_by(cause))?;
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("resoftai")
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(dir)
        .map_err(|cause| unwritable(&cause).caused_by(cause))?;
    let (files, files_guard) = tracing_appender::non_blocking(files);
    let (stderr, stderr_guard) = tracing_appender::non_blocking(std::io::stderr());
    let (filter, handle) = reload::Layer::new(filter(level)?);
    // A second start in one process fails below.
    let _ = FILTER.set(handle);
    tracing_subscriber::registry()
        .with(filter)
        .with(layer().json().flatten_event(true).with_writer(files))
        .with(layer().json().flatten_event(true).with_writer(stderr))
        .try_init()
        .map_err(Error::internal)?;
    Ok(vec![files_guard, stderr_guard])
}

/// Changes which events are logged from now on; without logs, it only checks.
///
/// # Errors
/// `invalid_log_level`.
pub fn set_level(level: &str) -> Result<()> {
    let filter = filter(level)?;
    match FILTER.get() {
        Some(handle) => handle.reload(filter).map_err(Error::internal),
        None => Ok(()),
    }
}

/// Which events are logged. A lone word must be a level: as the name of a module it would silence all others.
///
/// # Errors
/// `invalid_log_level`.
pub fn filter(level: &str) -> Result<EnvFilter> {
    let refused = || {
        let message =
            format!("`{level}` is neither a level such as `info` nor a filter such as `warn,resoftai=debug`.");
        Error::invalid("invalid_log_level", message).field("log.level")
    };
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    if !level.contains('[') && level.split(',').any(|part| !part.contains('=') && !is_level(part.trim())) {
        return Err(refused());
    }
    EnvFilter::try_new(level).map_err(|cause| refused().caused_by(cause))
}

/// The process's metrics recorder; installed at first use, rendered by `/metrics`.
///
/// # Errors
/// When another recorder was installed before.
pub fn metrics() -> Result<&'static PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle);
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)
        .map_err(Error::internal)?
        .build_recorder();
    let handle = HANDLE.get_or_init(|| recorder.handle());
    // Losing the race to another thread of the same process leaves the same handle in place.
    let _ = metrics::set_global_recorder(recorder);
    Ok(handle)
}

/// Keeps the recorder's memory bounded until the tasks are stopped: it holds every single measurement until somebody
/// scrapes, and perhaps nobody does.
///
/// # Errors
/// Those of [`metrics`].
pub fn keep_metrics_small(tasks: &Tasks) -> Result<()> {
    let handle = metrics()?;
    tasks.spawn_until_stop(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            handle.run_upkeep();
        }
    });
    Ok(())
}

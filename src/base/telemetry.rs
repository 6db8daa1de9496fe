//! Logs and metrics of the process.
//!
//! Invariant: logs are JSON lines, written off the request path, rotated daily and kept for a bounded number of files;
//! no secret is ever a field. Which requests are counted belongs to `server::middleware`.

use std::path::Path;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::base::error::{Error, Result};

/// How many daily log files are kept.
const KEPT_FILES: usize = 14;

/// Latency buckets in seconds, from a cached read to a slow model.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 300.0];

/// Starts logging to `dir/resoftai.<date>.log` and, for systemd's journal, to standard error. Hold the guards: dropping
/// them flushes what is left.
///
/// # Errors
/// When the folder cannot be written or the level does not parse.
pub fn start_logs(dir: &Path, level: &str) -> Result<Vec<WorkerGuard>> {
    std::fs::create_dir_all(dir)?;
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("resoftai")
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(dir)
        .map_err(|cause| {
            Error::unavailable("log_folder", format!("{} cannot be written.", dir.display())).caused_by(cause)
        })?;
    let (files, files_guard) = tracing_appender::non_blocking(files);
    let (stderr, stderr_guard) = tracing_appender::non_blocking(std::io::stderr());
    let filter = EnvFilter::try_new(level).map_err(|cause| {
        Error::invalid(
            "invalid_log_level",
            format!("log.level `{level}` is not a filter such as `info` or `resoftai=debug`."),
        )
        .field("log.level")
        .caused_by(cause)
    })?;
    tracing_subscriber::registry()
        .with(filter)
        .with(layer().json().flatten_event(true).with_writer(files))
        .with(layer().json().flatten_event(true).with_writer(stderr))
        .try_init()
        .map_err(Error::internal)?;
    Ok(vec![files_guard, stderr_guard])
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

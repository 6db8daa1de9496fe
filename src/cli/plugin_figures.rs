//! How a plugin did in the last day, by hook and method, for `resoftai plugin info`.

use serde_json::Value;

use crate::cli::Context;
use crate::cli::failure::{Exit, Result};
use crate::cli::output::Column;

const COLUMNS: [Column; 6] = [
    ("called", "name"),
    ("calls", "calls"),
    ("failed", "failures"),
    ("skipped", "skipped"),
    ("p50 ms", "p50_ms"),
    ("p95 ms", "p95_ms"),
];

/// The figures of the plugin at this path; null for who sees it but not how it does everywhere.
pub async fn of(path: &str, context: &Context) -> Result<Value> {
    match context.client.get(&format!("{path}/metrics")).await {
        Err(failure) if failure.exit() == Exit::NotAllowed => Ok(Value::Null),
        reply => reply,
    }
}

/// As a table, when there was a call.
pub fn show(figures: &Value, context: &Context) -> Result<()> {
    let hooks = figures["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if hooks.is_empty() {
        return Ok(());
    }
    context.out.line("")?;
    context.out.line("In the last 24 hours (p50: half of the calls took no longer; p95: 95 of 100):")?;
    context.out.table(hooks, &COLUMNS)
}

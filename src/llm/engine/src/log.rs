//! JSON lines on standard error: the parent reads them and owns their storage.
//!
//! Invariant: one complete line a write, never request or answer text. A closed standard error is no reason to stop.

use std::io::Write;

use serde_json::{Value, json};

/// Writes one line. `fields` is an object whose members join `level` and `message`.
pub fn line(level: &str, message: &str, fields: Value) {
    let mut entry = json!({"level": level, "message": message});
    if let (Value::Object(entry), Value::Object(fields)) = (&mut entry, fields) {
        entry.extend(fields);
    }
    let text = format!("{entry}\n");
    // Nobody is left to tell when this fails.
    let _closed = std::io::stderr().lock().write_all(text.as_bytes());
}

/// An event worth knowing.
pub fn info(message: &str, fields: Value) {
    line("info", message, fields);
}

/// Something failed.
pub fn error(message: &str, fields: Value) {
    line("error", message, fields);
}

/// Turns panics into log lines, so the parent never has to parse Rust's own format.
pub fn panics_too() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let cause = panic.payload_as_str().unwrap_or("no message");
        error("A thread of the engine panicked.", json!({"cause": cause, "place": place}));
    }));
}

//! Turns the component on stdin into compressed machine code on stdout: `plugin-compiler LEVEL`, a level of zstd.
//!
//! The build runs it for the Python runtime. Invariant: it opens no file, and what it writes to stdout is whole when it ends
//! with 0; otherwise stderr has one sentence.

use std::env;
use std::io::{Read, Write, stdin, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let level = match arguments.as_slice() {
        [level] => level.parse().ok(),
        _ => None,
    };
    let Some(level) = level else {
        return fail("usage: plugin-compiler LEVEL < COMPONENT > CODE");
    };
    match run(level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => fail(&sentence),
    }
}

fn run(level: i32) -> Result<(), String> {
    let mut component = Vec::new();
    stdin().read_to_end(&mut component).map_err(|error| format!("The component cannot be read: {error}."))?;
    let code = resoftai_sandbox::compile(&component, level).map_err(|error| error.to_string())?;
    let mut out = stdout();
    let written = out.write_all(&code).and_then(|()| out.flush());
    written.map_err(|error| format!("The machine code cannot be written: {error}."))
}

#[allow(clippy::print_stderr, reason = "a process speaks through its stderr")]
fn fail(sentence: &str) -> ExitCode {
    eprintln!("{sentence}");
    ExitCode::FAILURE
}

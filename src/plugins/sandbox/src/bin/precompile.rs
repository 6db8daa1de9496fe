//! Turns a component into the compressed machine code that the product carries. Part of the build, not of the product.

use std::process::ExitCode;
use std::{env, fs};

use resoftai_sandbox::{Sandbox, precompile};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        return fail("usage: precompile COMPONENT.wasm OUTPUT.cwasm.zst");
    };
    match run(input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => fail(&sentence),
    }
}

fn run(input: &str, output: &str) -> Result<(), String> {
    let component = fs::read(input).map_err(|error| format!("{input} cannot be read: {error}."))?;
    let compiled = precompile(&component).map_err(|error| error.to_string())?;
    // Compiler and runtime must agree; better to find out here than on a customer's machine.
    Sandbox::from_compressed(&compiled).map_err(|error| error.to_string())?;
    fs::write(output, compiled).map_err(|error| format!("{output} cannot be written: {error}."))
}

#[allow(clippy::print_stderr, reason = "a build tool speaks on its console")]
fn fail(sentence: &str) -> ExitCode {
    eprintln!("{sentence}");
    ExitCode::FAILURE
}

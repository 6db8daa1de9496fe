//! Finds the parts that other tools build before this package: the model engine, the plugin runtime, the web pages.
//!
//! A part that was not built is an empty one: the server says so when somebody asks for what it does.

use std::path::Path;
use std::{env, fs, io};

/// The variable that names a part's file to the compiler, and the file.
const PARTS: [(&str, &str); 4] = [
    ("RESOFTAI_PART_ENGINE", "engine-x86-64.zst"),
    ("RESOFTAI_PART_ENGINE_V3", "engine-x86-64-v3.zst"),
    ("RESOFTAI_PART_PYTHON_RUNTIME", "python-runtime.cwasm.zst"),
    ("RESOFTAI_PART_PLUGIN_COMPILER", "plugin-compiler.zst"),
];

// Cargo speaks to build scripts through the environment.
#[allow(clippy::disallowed_methods)]
fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let folder = Path::new(&root).join("target/parts");
    fs::create_dir_all(folder.join("ui"))?;
    for (variable, name) in PARTS {
        let part = folder.join(name);
        if !part.exists() {
            fs::write(&part, [])?;
        }
        println!("cargo::rerun-if-changed={}", part.display());
        println!("cargo::rustc-env={variable}={}", part.display());
    }
    println!("cargo::rerun-if-changed={}", folder.join("ui").display());
    if env::var("PROFILE").as_deref() == Ok("release") && !folder.join("ui/index.html").exists() {
        return Err(io::Error::other(
            "a release carries the web pages, and target/parts/ui has none: run `make ui` first",
        ));
    }
    Ok(())
}

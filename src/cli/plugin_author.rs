//! `resoftai plugin` for authors: what works on a folder on this machine, without a server.

use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use crate::base::crypto::sha256_hex;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::{Output, size};
use crate::cli::{plugin_folder, plugin_new, plugin_sign, plugin_test, write};
use crate::plugins::pack::ENDING;

/// Commands that need no server.
#[derive(Debug, Subcommand)]
pub enum AuthorCommand {
    /// Make a folder for a new plugin, with tests that pass.
    New(plugin_new::NewArgs),
    /// Run a plugin's own tests in the sandbox.
    Test(plugin_test::TestArgs),
    /// Pack a plugin's folder into one file, to be passed on and installed.
    ///
    /// The file is a zip archive with the plugin's files, their sums (SHA256SUMS) and a list of the libraries in it
    /// (sbom.cdx.json, CycloneDX). The same folder always gives the same bytes.
    Pack {
        /// The plugin's folder, with a plugin.json.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where to write it [default: SLUG-VERSION.rplugin].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// A wheel of a pure Python library for the plugin to carry, beside those in its wheels folder. May be repeated.
        #[arg(long = "wheel", value_name = "FILE.whl")]
        wheels: Vec<PathBuf>,
    },
    /// Make a key pair to sign plugins with.
    Keygen(plugin_sign::KeygenArgs),
    /// Sign a packed plugin.
    Sign(plugin_sign::SignArgs),
    /// Check a packed plugin: its files by their sums, and who signed it.
    Verify(plugin_sign::VerifyArgs),
}

pub fn run(command: &AuthorCommand, out: Output) -> Result<()> {
    match command {
        AuthorCommand::New(args) => plugin_new::run(args, out),
        AuthorCommand::Test(args) => plugin_test::run(args, out),
        AuthorCommand::Pack { folder, output, wheels } => pack(folder, output.as_deref(), wheels, out),
        AuthorCommand::Keygen(args) => plugin_sign::keygen(args, "plugins.trusted_keys", out),
        AuthorCommand::Sign(args) => plugin_sign::sign(args, out),
        AuthorCommand::Verify(args) => plugin_sign::verify(args, out),
    }
}

fn pack(folder: &Path, output: Option<&Path>, wheels: &[PathBuf], out: Output) -> Result<()> {
    let packed = plugin_folder::pack(folder, wheels)?;
    let (slug, version) = (&packed.manifest.slug, &packed.manifest.version);
    let name = format!("{slug}-{version}{ENDING}");
    let target = match output {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.to_owned(),
        None => PathBuf::from(name),
    };
    put(&target, &packed.bytes)?;
    let shown = json!({
        "file": target, "slug": slug, "version": version, "size": packed.bytes.len(), "files": packed.files,
        "sha256": sha256_hex(&packed.bytes), "vendored": packed.vendored, "remarks": packed.remarks,
    });
    for remark in &packed.remarks {
        out.note(remark)?;
    }
    let carried = match packed.vendored.as_slice() {
        [] => String::new(),
        all => format!(", carrying {}", all.join(", ")),
    };
    let bytes = size(packed.bytes.len() as u64);
    out.done(&shown, &format!("Packed {}: {} files, {bytes}{carried}.", target.display(), packed.files))
}

/// Writes a file that others may read as far as the umask allows.
pub fn put(target: &Path, bytes: &[u8]) -> Result<()> {
    write::put(target, bytes, 0o666).map_err(|cause| unwritten(target, &cause))
}

/// A file that could not be written.
pub fn unwritten(target: &Path, cause: &io::Error) -> Failure {
    Failure::usage(format!("Cannot write {}: {cause}.", target.display()))
}

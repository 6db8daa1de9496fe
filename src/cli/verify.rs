//! `resoftai verify`: whether a bundle or another file of a release is whole, and whose it is. Without a server.
//!
//! Invariant: with `--key`, exactly the keys given count, so that who brought a key needs to trust nothing else.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::base::error::Error;
use crate::base::minisign::{self, PublicKey, Signed};
use crate::cli::Global;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::Output;
use crate::cli::plugin_sign::read_text;
use crate::config::Config;
use crate::release::{self, bundle};

/// How a bundle's name ends.
const BUNDLE: &str = ".tar.gz";
/// What a signature's file is called behind the file's name.
const ENDING: &str = "minisig";

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A bundle, whose signature is inside; or another file.
    file: PathBuf,
    /// The signature's file [default: of a bundle the one inside, else FILE.minisig].
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// A public key of minisign's, or its file. May be repeated; others do not count then [default: the keys in the program
    /// and in release.trusted_keys].
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
}

pub fn run(args: &VerifyArgs, global: &Global, out: Output) -> Result<()> {
    let keys = keys(&args.keys, || Ok(Config::load(&global.sources(None))?.release_keys))?;
    let (file, name) = (open(&args.file)?, args.file.display());
    if args.signature.is_none() && args.file.to_string_lossy().ends_with(BUNDLE) {
        let found = bundle::verify(file, &keys)
            .map_err(|error: Error| Failure::new(Exit::Failed, error.code(), format!("{name}: {}", error.message())))?;
        let shown = json!({
            "file": args.file, "version": found.version, "files": found.files,
            "key": found.signed.key, "comment": found.signed.comment,
        });
        let done = format!(
            "{name} is version {}, all {} files are what key {} signed.",
            found.version, found.files, found.signed.key
        );
        return out.done(&shown, &done);
    }
    let Signed { key, comment } = beside(args, file, &keys)?;
    let shown = json!({"file": args.file, "key": key, "comment": comment});
    out.done(&shown, &format!("{name} is what key {key} signed, saying: {comment}"))
}

/// The keys that count: exactly those given, else those in the program and those that are `set`.
pub(super) fn keys(given: &[String], set: impl FnOnce() -> Result<Vec<PublicKey>>) -> Result<Vec<PublicKey>> {
    let keys = match given {
        [] => release::trusted(&set()?)?,
        given => given.iter().map(|key| public_key(key)).collect::<Result<_>>()?,
    };
    if keys.is_empty() {
        let detail = "This program was built without a key of who makes releases. Give one with --key.";
        return Err(Failure::new(Exit::Failed, "no_release_key", detail));
    }
    Ok(keys)
}

fn beside(args: &VerifyArgs, file: File, keys: &[PublicKey]) -> Result<Signed> {
    let signature = args.signature.clone().unwrap_or_else(|| args.file.with_added_extension(ENDING));
    let text = read_text(&signature, minisign::TEXT_LIMIT)?;
    minisign::verify(keys, &text, file).map_err(|why| {
        let detail = format!("The signature {} of {} does not count: {why}.", signature.display(), args.file.display());
        Failure::new(Exit::Failed, "release_signature", detail)
    })
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|cause| Failure::usage(format!("Cannot read {}: {cause}.", path.display())))
}

/// A key as it is, or out of a file.
fn public_key(key: &str) -> Result<PublicKey> {
    let file = Path::new(key);
    let text = if file.is_file() { read_text(file, minisign::TEXT_LIMIT)? } else { key.to_owned() };
    PublicKey::parse(&text).map_err(|why| Failure::usage(format!("The key cannot be used: {why}.")))
}

//! `resoftai plugin keygen`, `sign` and `verify`: who stands for a packed plugin. All without a server.
//!
//! Invariant: a private key is written once, readable by its owner only, and never shown.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::base::crypto::Key;
use crate::base::note::{self, Signer, Verifier};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::Output;
use crate::cli::plugin_author::{put, unwritten};
use crate::cli::plugin_folder::{self, MOST_BYTES};
use crate::cli::write;
use crate::plugins::sign::{self, Trust};
use crate::plugins::{Package, unpack};

/// A key's file, at most, in bytes.
const KEY_BYTES: u64 = 4096;

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// What the key is known by, such as example.org/ada; no spaces.
    name: String,
    /// Where to keep the private key; the public one goes beside it, with .pub at the end.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The packed plugin.
    file: PathBuf,
    /// File of the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write the signed plugin [default: in its place].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The packed plugin.
    file: PathBuf,
    /// A public key, or its file: the plugin must be signed with one of these. May be repeated.
    #[arg(long = "trust", value_name = "KEY")]
    trust: Vec<String>,
}

/// Makes a key pair whose public half goes into `setting`.
pub fn keygen(args: &KeygenArgs, setting: &str, out: Output) -> Result<()> {
    if !note::is_name(&args.name) {
        let detail = format!("{:?} cannot name a key: at most 200 characters, without spaces and +.", args.name);
        return Err(Failure::usage(detail));
    }
    let public = args.output.with_added_extension("pub");
    if let Some(there) = [&args.output, &public].into_iter().find(|path| path.exists()) {
        let detail = format!("{} is there already. A key is never overwritten: give another file.", there.display());
        return Err(Failure::new(Exit::Conflict, "file_exists", detail));
    }
    let seed = Key::random()?;
    let verifier = Signer::new(&seed)?.verifier(&args.name).to_string();
    let private = format!("{}\n", note::private_key(&args.name, &seed)?);
    write::put_new(&args.output, private.as_bytes(), 0o600).map_err(|cause| unwritten(&args.output, &cause))?;
    put(&public, format!("{verifier}\n").as_bytes())?;
    let shown = json!({"name": args.name, "key": args.output, "public_key": verifier, "public_key_file": public});
    let (key, public) = (args.output.display(), public.display());
    out.done(&shown, &format!("Made {key}; keep it safe. The public key, for {public} and {setting}:\n{verifier}"))
}

pub fn sign(args: &SignArgs, out: Output) -> Result<()> {
    let (name, signer) = private_key(&args.key, "resoftai plugin keygen")?;
    let signed = sign::sign(&plugin_folder::read(&args.file, MOST_BYTES)?, &name, &signer)?;
    let target = args.output.as_ref().unwrap_or(&args.file);
    put(target, &signed)?;
    let verifier = signer.verifier(&name).to_string();
    let shown = json!({"file": target, "signed_by": name, "public_key": verifier, "size": signed.len()});
    out.done(&shown, &format!("Signed {} as {name}.", target.display()))
}

pub fn verify(args: &VerifyArgs, out: Output) -> Result<()> {
    let keys = args.trust.iter().map(|key| public_key(key)).collect::<Result<Vec<_>>>()?;
    let package = Package::new(unpack(&plugin_folder::read(&args.file, MOST_BYTES)?)?)?;
    let trust = Trust { required: !keys.is_empty(), keys };
    let signers = trust.signers(&package)?;
    let manifest = &package.manifest;
    if trust.required && !signers.iter().any(|signer| signer.trusted) {
        let detail = format!("{} is not signed with a key that you trust.", args.file.display());
        return Err(Failure::new(Exit::Failed, "plugin_not_signed", detail));
    }
    let listed = package.has_sums();
    let shown = json!({"slug": manifest.slug, "version": manifest.version, "sums": listed, "signed_by": signers});
    let sums = if listed { "its files are what its sums say" } else { "it carries no sums to check its files by" };
    out.done(&shown, &format!("{} {}: {sums}.", manifest.slug, manifest.version))?;
    for signer in signers.iter().filter(|_| !out.is_json()) {
        let word =
            if signer.trusted { "signed by" } else { "says it is signed, with a key that is not given here, by" };
        out.line(&format!("{word} {} ({})", signer.name, signer.key_id))?;
    }
    Ok(())
}

/// A public key as it is, or out of a file.
pub fn public_key(key: &str) -> Result<Verifier> {
    let text = if Path::new(key).is_file() { read_text(Path::new(key), KEY_BYTES)? } else { key.to_owned() };
    Verifier::parse(&text).map_err(|why| Failure::usage(format!("The key cannot be used: {why}.")))
}

/// A private key out of its file, with its name; `keygen` is the command that makes one.
pub fn private_key(path: &Path, keygen: &str) -> Result<(String, Signer)> {
    note::read_private_key(&read_text(path, KEY_BYTES)?)
        .map_err(|why| Failure::usage(format!("{} cannot be used: {why}. Make a key with `{keygen}`.", path.display())))
}

/// A file of text that holds `most` bytes at most.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return Err(Failure::usage(format!("There is no file {}.", path.display())));
    }
    let bytes = plugin_folder::read(path, most)?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is not text.", path.display())))
}

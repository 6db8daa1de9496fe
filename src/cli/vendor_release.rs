//! `resoftai vendor release`: keys for releases, and signatures. All without a server.
//!
//! Invariant: a private key is written once, readable by its owner only, encrypted unless somebody says otherwise.

use std::fs::File;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::base::clock::Clock;
use crate::base::minisign::{self, PublicKey};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::input;
use crate::cli::output::Output;
use crate::cli::plugin_author::{put, unwritten};
use crate::cli::plugin_sign::read_text;
use crate::cli::write;
use crate::release::sign;

#[derive(Debug, Subcommand)]
pub enum VendorReleaseCommand {
    /// Make a key pair to sign releases with, of use to minisign too.
    Keygen(KeygenArgs),
    /// Sign a file of a release; of a bundle its SHA256SUMS.
    Sign(SignArgs),
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Where to keep the private key; the public one goes beside it, with .pub at the end.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Read the passphrase from stdin. Without this it is asked for.
    #[arg(long)]
    passphrase_stdin: bool,
    /// Keep the key as it is, for a machine that signs without a person.
    #[arg(long, conflicts_with = "passphrase_stdin")]
    without_passphrase: bool,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The file.
    file: PathBuf,
    /// File of the private key, also one that minisign made.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Which version the file is of; the signature says so.
    #[arg(long, value_name = "VERSION")]
    release: Option<String>,
    /// Where to write the signature [default: FILE.minisig].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read the key's passphrase from stdin. Without this it is asked for when there is one.
    #[arg(long)]
    passphrase_stdin: bool,
}

pub fn run(command: &VendorReleaseCommand, out: Output) -> Result<()> {
    match command {
        VendorReleaseCommand::Keygen(args) => keygen(args, out),
        VendorReleaseCommand::Sign(args) => sign_file(args, out),
    }
}

fn keygen(args: &KeygenArgs, out: Output) -> Result<()> {
    let file = args.output.with_added_extension("pub");
    if let Some(there) = [&args.output, &file].into_iter().find(|path| path.exists()) {
        let detail = format!("{} is there already. A key is never overwritten: give another file.", there.display());
        return Err(Failure::new(Exit::Conflict, "file_exists", detail));
    }
    let passphrase = match args.without_passphrase {
        true => None,
        false => Some(input::password(args.passphrase_stdin, "Passphrase of the key", true)?),
    };
    let (private, public) = sign::keygen(passphrase)?;
    write::put_new(&args.output, private.as_bytes(), 0o600).map_err(|cause| unwritten(&args.output, &cause))?;
    put(&file, public.as_bytes())?;
    let key = PublicKey::parse(&public).map_err(|why| Failure::new(Exit::Failed, "internal", why))?;
    let shown = json!({"key": args.output, "key_id": key.id(), "public_key": key.to_string(), "public_key_file": file});
    let (private, public) = (args.output.display(), file.display());
    out.done(
        &shown,
        &format!("Made {private}; keep it safe. The public key, for {public} and release.trusted_keys:\n{key}"),
    )
}

fn sign_file(args: &SignArgs, out: Output) -> Result<()> {
    let cannot = |cause: std::io::Error| Failure::usage(format!("Cannot read {}: {cause}.", args.file.display()));
    let file = File::open(&args.file).map_err(cannot)?;
    let asked = || input::password(args.passphrase_stdin, "Passphrase of the key", false);
    let key = sign::private_key(&read_text(&args.key, minisign::TEXT_LIMIT)?, asked)?;
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let mut comment = format!("timestamp:{}\tfile:{name}", Clock::system().now().unix_seconds());
    if let Some(version) = &args.release {
        comment.push_str("\tversion:");
        comment.push_str(version);
    }
    if comment.chars().any(|c| c != '\t' && c.is_control()) || comment.len() > 1000 {
        return Err(Failure::usage(
            "The file's name or the version cannot stand in a signature: give shorter, plain ones.",
        ));
    }
    let target = args.output.clone().unwrap_or_else(|| args.file.with_added_extension("minisig"));
    put(&target, sign::sign(&key, file, &comment)?.as_bytes())?;
    let shown = json!({"file": args.file, "signature": target, "comment": comment});
    out.done(&shown, &format!("Signed {}: {}.", args.file.display(), target.display()))
}

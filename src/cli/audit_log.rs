//! `resoftai audit prove`, `logs`, `log` and `key`: what an auditor takes along.
//!
//! Invariant: a copy of a log on disk is one that C2SP tlog-tiles describes, and its checkpoint is written last, so that a
//! copy that was cut off is the copy of before.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::audit::tree::hash::{Hash, TileId};
use crate::audit::tree::note::{Checkpoint, NOTE_LIMIT, Verifier};
use crate::audit::tree::outside::{ProofFile, Verification};
use crate::audit::tree::path::{Kind, Name};
use crate::cli::client::Client;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::{Context, ListArgs, lookup};

/// The most of a bundle: 256 entries of 65,535 bytes with their lengths.
const BUNDLE_LIMIT: usize = 256 * (2 + 65_535);
/// How often a proof is asked for, of an entry that has no place yet.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// The entry's number, as `audit list` shows it.
    entry: i64,
    /// Write the proof to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// Of this organisation; without it, of the site's own entries.
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// The folder; one that holds an earlier copy is brought up to date.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Of this organisation; without it, of the site's own entries.
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
}

/// Where the API has the log of an organisation, or the site's.
pub async fn address(context: &Context, org: Option<&str>) -> Result<String> {
    Ok(match org {
        Some(slug) => format!("/api/organizations/{}/audit/log", lookup::organization_id(context, slug).await?),
        None => "/api/audit/log".to_owned(),
    })
}

/// Where the files of a log come from.
pub enum Source {
    Folder(PathBuf),
    /// The address of the log below a server's.
    Server(Client, String),
}

impl Source {
    /// The file at `path`; fails when it is longer than `limit` bytes.
    pub async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>> {
        match self {
            Self::Folder(folder) => read_file(&folder.join(path), limit),
            Self::Server(client, base) => {
                let mut reply = client.open(&format!("{base}/{path}"), "*/*", None).await?;
                let mut bytes = Vec::new();
                while let Some(piece) = reply.piece().await? {
                    if bytes.len() + piece.len() > limit {
                        return Err(damaged(&format!("{path} has more than {limit} bytes")));
                    }
                    bytes.extend_from_slice(&piece);
                }
                Ok(bytes)
            }
        }
    }

    /// A file that is text.
    pub async fn text(&self, path: &str) -> Result<String> {
        String::from_utf8(self.get(path, NOTE_LIMIT).await?).map_err(|_| damaged(&format!("{path} is not text")))
    }

    /// The hashes of a tile, and the entries of one of leaves.
    async fn tile(&self, name: &Name) -> Result<Vec<u8>> {
        let limit = if name.kind == Kind::Entries { BUNDLE_LIMIT } else { 256 * 32 };
        self.get(&format!("tile/{name}"), limit).await
    }
}

/// The first `limit` bytes at most of a file.
pub fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let unreadable = |cause: std::io::Error| {
        let exit = if cause.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, "unreadable", format!("{} cannot be read: {cause}.", path.display()))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        Err(damaged(&format!("{} has more than {limit} bytes", path.display())))
    } else {
        Ok(bytes)
    }
}

pub fn damaged(why: &str) -> Failure {
    Failure::new(Exit::Failed, "audit_log_damaged", format!("This audit log does not verify: {why}."))
}

/// Follows a log from its first entry to its last; what it takes in goes to `keep` as well.
pub async fn follow(source: &Source, log: &mut Verification, size: u64, keep: Option<&Path>) -> Result<()> {
    let bar = bar(size, "entries");
    while let Some((tile, bundle)) = log.next() {
        let (hashes, entries) = (source.tile(&tile).await?, source.tile(&bundle).await?);
        let above = log.take(&hashes, &entries).map_err(|why| damaged(&why))?;
        for (name, bytes) in [(tile, &hashes), (bundle, &entries)] {
            keep.map_or(Ok(()), |folder| write_file(&folder.join(format!("tile/{name}")), bytes))?;
        }
        upper_tiles(source, log, size, above, keep).await?;
        bar.set_position(log.size());
    }
    log.finish();
    bar.finish_and_clear();
    Ok(())
}

/// Those that are of the tree with its present size; others grow still.
async fn upper_tiles(
    source: &Source,
    log: &mut Verification,
    size: u64,
    tiles: Vec<(TileId, Vec<Hash>)>,
    keep: Option<&Path>,
) -> Result<()> {
    for (id, hashes) in tiles {
        let name = Name::in_tree(Kind::Hashes(id.0), id.1, size).filter(|name| name.width == hashes.len());
        let Some(name) = name else { continue };
        let bytes = source.tile(&name).await?;
        if bytes != hashes.concat() {
            log.upper_tile_differs(id);
        }
        keep.map_or(Ok(()), |folder| write_file(&folder.join(format!("tile/{name}")), &bytes))?;
    }
    Ok(())
}

/// A bar on a terminal, nothing elsewhere.
pub fn bar(size: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{bar:30}} {{human_pos}} of {{human_len}} {what}  {{eta}}"));
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A file whole or not at all.
fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|cause| cause.error)?;
    Ok(())
}

pub async fn prove(args: &ProveArgs, context: &Context) -> Result<()> {
    let path = format!("/api/audit/{}/proof", args.entry);
    let mut attempt = 0;
    let proof = loop {
        match context.client.get(&path).await {
            Err(failure) if failure.code() == "not_placed_yet" && attempt < ATTEMPTS => attempt += 1,
            done => break done?,
        }
        tokio::time::sleep(PAUSE).await;
    };
    let file = proof_file(&proof)?;
    let (text, key) = (file.to_string(), file.key);
    let Some(out) = &args.out else {
        return if context.out.is_json() { context.out.value(&proof) } else { context.out.bytes(text.as_bytes()) };
    };
    write_file(out, text.as_bytes())?;
    let sentence = format!(
        "{} proves entry {}. Verify it anywhere: resoftai audit verify {} --key {key}",
        out.display(),
        args.entry,
        out.display()
    );
    context.out.done(&json!({"file": out, "entry_id": args.entry, "verifier_key": key}), &sentence)
}

fn proof_file(proof: &Value) -> Result<ProofFile> {
    let text = |name: &str| proof[name].as_str().map(str::to_owned);
    if proof["leaf"].is_null() {
        let detail = "Retention has dropped this entry: only its hash is left, and nothing that could be proven to be in the log.";
        return Err(Failure::new(Exit::Failed, "entry_dropped", detail));
    }
    let hash = |value: &Value| STANDARD.decode(value.as_str()?).ok()?.try_into().ok();
    let hashes = proof["hashes"].as_array().and_then(|hashes| hashes.iter().map(hash).collect());
    let file = (|| {
        Some(ProofFile {
            key: text("verifier_key")?,
            leaf: text("leaf")?,
            position: proof["position"].as_u64()?,
            hashes: hashes?,
            checkpoint: text("checkpoint")?,
        })
    })();
    file.ok_or_else(|| damaged("the server's answer is not a proof"))
}

pub async fn list(args: ListArgs, context: &Context) -> Result<()> {
    let page = context.client.list("/api/audit/logs", &[], args.most()).await?;
    let columns = [
        ("organization", "organization_id"),
        ("log", "origin"),
        ("entries", "tree_size"),
        ("signed", "checkpoint_at"),
        ("key", "verifier_key"),
    ];
    context.out.list(&page, &columns, "There is no log that you may see.")
}

pub async fn key(args: &KeyArgs, context: &Context) -> Result<()> {
    let base = address(context, args.org.as_deref()).await?;
    let key = Source::Server(context.client.clone(), base).text("key").await?;
    context.out.done(&json!({"verifier_key": key.trim()}), key.trim())
}

pub async fn copy(args: &LogArgs, context: &Context) -> Result<()> {
    let base = address(context, args.org.as_deref()).await?;
    let source = Source::Server(context.client.clone(), base);
    let (note, key) = (source.text("checkpoint").await?, source.text("key").await?);
    let verifier = Verifier::parse(&key).map_err(|why| damaged(&why))?;
    let checkpoint = verifier.open(&note).map_err(|why| damaged(&why))?;
    let earlier = earlier(&args.out, &verifier)?;
    let size = checkpoint.size;
    let mut log = Verification::new(checkpoint, earlier);
    follow(&source, &mut log, size, Some(&args.out)).await?;
    if let Some(first) = log.findings.first() {
        let detail = format!("{first} {} keeps the checkpoint that it had.", args.out.display());
        return Err(Failure::new(Exit::Failed, "audit_log_damaged", detail));
    }
    write_file(&args.out.join("key"), key.as_bytes())?;
    write_file(&args.out.join("checkpoint"), note.as_bytes())?;
    let value =
        json!({"folder": args.out, "entries": size, "without_body": log.without_body, "verifier_key": key.trim()});
    let sentence = format!("{} has the {size} entries of {}.", args.out.display(), verifier.origin());
    context.out.done(&value, &sentence)
}

/// The checkpoint of the copy that is there already.
fn earlier(folder: &Path, verifier: &Verifier) -> Result<Option<Checkpoint>> {
    let path = folder.join("checkpoint");
    if !path.exists() {
        return Ok(None);
    }
    let note = String::from_utf8_lossy(&read_file(&path, NOTE_LIMIT)?).into_owned();
    let opened = verifier.open(&note).map_err(|why| damaged(&format!("{}: {why}", path.display())));
    opened.map(Some)
}

//! `resoftai restore`: a backup put back, without a server.

use std::path::PathBuf;

use age::secrecy::SecretString;
use clap::Args;
use serde_json::{Value, json};

use crate::backup::restore::{self, Restored};
use crate::backup::{Opener, Progress, Repository};
use crate::base::clock::Clock;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::mirror_import::bar;
use crate::cli::output::{Column, Output, size};
use crate::cli::plugin_sign::read_text;
use crate::cli::{Global, input};
use crate::config::Config;

/// Between two looks at how far it is.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The folder of the repository.
    repository: PathBuf,
    /// The backup's name [default: the newest].
    backup: Option<String>,
    /// List the backups that are there, and restore none.
    #[arg(long)]
    list: bool,
    /// Read the passphrase from stdin. Without this, and without a key, it is asked for.
    #[arg(long, conflicts_with = "identity")]
    passphrase_stdin: bool,
    /// The file of a secret key of age, instead of a passphrase.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Take the place of what is in the data directory, which is moved aside and kept.
    #[arg(long)]
    replace: bool,
}

const COLUMNS: [Column; 6] = [
    ("BACKUP", "id"),
    ("OF", "made_at"),
    ("VERSION", "version"),
    ("FILES", "files"),
    ("BYTES", "bytes"),
    ("SITE", "installation_id"),
];

pub async fn run(args: &RestoreArgs, global: &Global, file: Option<&PathBuf>, out: Output) -> Result<()> {
    let opener = opener(args)?;
    let (folder, progress) = (args.repository.clone(), Progress::default());
    let repository = tokio::task::spawn_blocking(move || Repository::open(&folder, &opener)).await;
    let repository = repository.map_err(|cause| Failure::new(Exit::Failed, "internal", cause.to_string()))??;
    if args.list {
        let summaries = repository.summaries()?;
        let items = summaries.iter().map(|summary| json!(summary)).collect::<Vec<Value>>();
        return if out.is_json() { out.value(&json!({"items": items})) } else { out.table(&items, &COLUMNS) };
    }
    let id = match &args.backup {
        Some(id) => id.clone(),
        None => repository.ids()?.pop().ok_or_else(|| {
            let sentence = format!("{} holds no backup that is complete.", args.repository.display());
            Failure::new(Exit::NotFound, "not_found", sentence)
        })?,
    };
    let data_dir = Config::load(&global.sources(file))?.data_dir;
    let bar = bar(0, &out);
    let watched = progress.clone();
    let work = restore::restore(repository, &id, &data_dir, args.replace, Clock::system(), progress);
    let done = tokio::select! {
        done = work => done,
        () = async {
            loop {
                let (done, expected) = watched.get();
                bar.set_length(expected);
                bar.set_position(done);
                tokio::time::sleep(LOOK).await;
            }
        } => return Ok(()),
    };
    bar.finish_and_clear();
    told(&done?, &data_dir.display().to_string(), out)
}

fn opener(args: &RestoreArgs) -> Result<Opener> {
    let Some(identity) = &args.identity else {
        let passphrase = input::password(args.passphrase_stdin, "Passphrase of the backups", false)?;
        return Ok(Opener::Passphrase(SecretString::from(passphrase)));
    };
    let text = read_text(identity, 64 << 10)?;
    let key = text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-"));
    let key = key.ok_or_else(|| Failure::usage(format!("{} holds no secret key of age.", identity.display())))?;
    Ok(Opener::Identity(SecretString::from(key.to_owned())))
}

fn told(restored: &Restored, data_dir: &str, out: Output) -> Result<()> {
    let proof = &restored.proof;
    let mut sentence = format!(
        "Restored backup {} of {} ({}) to {data_dir}: {} rows, {} contents and {} audit entries are whole.",
        restored.backup.id,
        restored.backup.made_at,
        size(restored.backup.bytes),
        proof.rows,
        proof.contents,
        proof.audit_entries
    );
    if let Some(before) = &restored.before {
        sentence
            .push_str(&format!(" What was there before lies in {}; delete it when you are content.", before.display()));
    }
    if let Some(config) = &restored.config {
        sentence.push_str(&format!(" The configuration file of the backup is {}.", config.display()));
    }
    sentence.push_str(" Start the server: systemctl start resoftai");
    out.done(&json!(restored), &sentence)
}

//! `resoftai plugin dev`: a folder's plugin on a running server, followed while its author writes.
//!
//! Invariant: the server loads a version before it takes the place of the one before, so a broken folder changes nothing
//! there. What is watched is looked at, not subscribed to: it works on every file system.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::failure::Result;
use crate::cli::output::cell;
use crate::cli::{Context, input, plugin_folder};

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_millis(300);
/// Files and folders that are watched, at most.
const MOST: usize = 20_000;

#[derive(Debug, Args)]
pub struct DevArgs {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Stay, and bring every change to the server until Ctrl-C.
    #[arg(long, short)]
    watch: bool,
    /// A setting; the value is JSON where it parses as JSON, else a string. May be repeated.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = input::pair)]
    config: Vec<(String, Value)>,
}

/// When each file was changed last, and its size.
type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

pub async fn run(args: &DevArgs, context: &Context) -> Result<()> {
    let config = input::object(&args.config)?;
    let mut before = stamps(&args.folder);
    let brought = bring(&args.folder, &config, context).await;
    if !args.watch {
        return brought;
    }
    told(brought, context)?;
    context.out.note(&format!("Watching {}. Ctrl-C ends it.", args.folder.display()))?;
    loop {
        tokio::select! {
            ended = tokio::signal::ctrl_c() => return Ok(ended?),
            () = tokio::time::sleep(EVERY) => {}
        }
        let now = stamps(&args.folder);
        if now == before {
            continue;
        }
        // An editor may be in the middle of it: the change is taken when it rests.
        tokio::time::sleep(EVERY / 3).await;
        if stamps(&args.folder) != now {
            continue;
        }
        before = now;
        told(bring(&args.folder, &config, context).await, context)?;
    }
}

async fn bring(folder: &Path, config: &Map<String, Value>, context: &Context) -> Result<()> {
    let how = plugin_folder::How { config: config.clone(), replace: true, ..plugin_folder::How::default() };
    let plugin = plugin_folder::upload(&context.client, folder, &how).await?;
    let (slug, version, status) = (cell(&plugin, "slug"), cell(&plugin, "version"), cell(&plugin, "status"));
    context.out.done(&plugin, &format!("The server has {slug} {version}; it is {status}."))
}

/// A refusal is shown, and the watching goes on.
fn told(outcome: Result<()>, context: &Context) -> Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(failure) if failure.is_quiet() => Err(failure),
        Err(failure) => {
            failure.report(context.out.is_json());
            context.out.note("The server keeps the version it had.")
        }
    }
}

fn stamps(folder: &Path) -> Stamps {
    let mut found = Stamps::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::<_, std::io::Error>::ok) {
            let name = entry.file_name();
            if found.len() >= MOST || name.as_encoded_bytes().starts_with(b".") || name == "__pycache__" {
                continue;
            }
            let Ok(kind) = entry.metadata() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            }
            found.insert(entry.path(), (kind.modified().ok(), kind.len()));
        }
    }
    found
}

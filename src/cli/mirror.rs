//! `resoftai mirror`: what a site without internet is brought, from whom, and how old it is.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::base::crypto::sha256_hex;
use crate::cli::client::{escape, query_string};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{cell, size};
use crate::cli::{Context, ListArgs, download, input, mirror_folder, mirror_import, plugin_folder, write};
use crate::mirror::verify::MAX_ROOT;

pub const MIRROR: &str = "/api/mirror";

/// Whose repository.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OwnerArg {
    /// What comes from outside.
    Vendor,
    /// What the site signs itself.
    Own,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct RepositoryArg {
    /// Which repository is meant.
    #[arg(long, default_value = "vendor")]
    repository: OwnerArg,
}

impl RepositoryArg {
    pub fn code(self) -> &'static str {
        match self.repository {
            OwnerArg::Vendor => "vendor",
            OwnerArg::Own => "own",
        }
    }

    /// An address about this repository.
    pub fn address(self, what: &str) -> String {
        format!("{MIRROR}/{what}{}", query_string(&[("repository", Some(self.code().to_owned()))]))
    }
}

#[derive(Debug, Subcommand)]
pub enum MirrorCommand {
    #[command(flatten)]
    Folder(mirror_folder::FolderCommand),
    /// Trust a repository by its root, after its fingerprint was compared.
    Trust {
        /// The repository's root.json.
        root: PathBuf,
        #[command(flatten)]
        repository: RepositoryArg,
        /// Trust it instead of the one that is trusted, and forget what that one listed.
        #[arg(long)]
        replace: bool,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Bring a bundle, a repository's folder or another box's mirror in.
    ///
    /// Everything is verified before anything changes. An import that was cut off goes on where it was when it is begun again.
    Import(mirror_import::ImportArgs),
    /// Show what is mirrored, from whom, and how old it is.
    Status,
    /// List what the mirror holds.
    List {
        /// Of this kind: plugin, model, advisory, release or other.
        #[arg(long)]
        kind: Option<String>,
        /// A part of the name, title or description.
        #[arg(long)]
        q: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Write down what this site has, so that the next bundle can leave it out.
    State {
        #[command(flatten)]
        repository: RepositoryArg,
        /// Where to write it; without it, to stdout.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take one content out of the mirror, as a file.
    Get {
        /// Its name, as `mirror list` shows it.
        name: String,
        #[command(flatten)]
        repository: RepositoryArg,
        /// Where to write it [default: the last part of its name].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub async fn run(command: &MirrorCommand, context: &Context) -> Result<()> {
    match command {
        // Was done before a server was looked for.
        MirrorCommand::Folder(_) => Ok(()),
        MirrorCommand::Trust { root, repository, replace, yes } => {
            trust(root, *repository, (*replace, *yes), context).await
        }
        MirrorCommand::Import(args) => mirror_import::run(args, context).await,
        MirrorCommand::Status => status(context).await,
        MirrorCommand::List { kind, q, list } => {
            let filters = [("kind", kind.clone()), ("q", q.clone())];
            let page = context.client.list(&format!("{MIRROR}/contents"), &filters, list.most()).await?;
            let columns = [("name", "name"), ("title", "title"), ("repository", "repository"), ("bytes", "length")];
            context.out.list(
                &page,
                &columns,
                "The mirror holds nothing of that. Import a bundle: resoftai mirror import",
            )
        }
        MirrorCommand::State { repository, out } => state(*repository, out.as_deref(), context).await,
        MirrorCommand::Get { name, repository, output } => get(name, *repository, output.as_deref(), context).await,
    }
}

async fn trust(root: &Path, repository: RepositoryArg, (replace, yes): (bool, bool), context: &Context) -> Result<()> {
    let bytes = plugin_folder::read(root, MAX_ROOT)?;
    let sum = sha256_hex(&bytes);
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{} is no text, so it is no root.json.", root.display())))?;
    let question = format!("Is {sum} the fingerprint that the makers of this repository told you?");
    input::confirm(&question, yes)?;
    let body = json!({"repository": repository.code(), "root": text, "replace": replace});
    let shown = context.client.post(&format!("{MIRROR}/trust"), &body).await?;
    let words = format!("The site trusts root {} for {}: {sum}", cell(&shown, "pinned_version"), repository.code());
    context.out.done(&shown, &words)
}

async fn status(context: &Context) -> Result<()> {
    let status = context.client.get(MIRROR).await?;
    if context.out.is_json() {
        return context.out.value(&status);
    }
    let repositories = status["repositories"].as_array().map(Vec::as_slice).unwrap_or_default();
    if repositories.is_empty() {
        return context.out.line("No repository is trusted. Pin the root of one: resoftai mirror trust ROOT.json");
    }
    for repository in repositories {
        context.out.item(&for_people(repository), &FIELDS)?;
        if repository["days_left"].as_i64().is_some_and(|days| days < 0) {
            let policy = cell(&status, "expired");
            context.out.note(&format!("Warning: its metadata has expired; mirror.expired says {policy}."))?;
        }
    }
    context.out.line(&format!("room on the disk: {}", size(status["room"].as_u64().unwrap_or_default())))
}

const FIELDS: [(&str, &str); 9] = [
    ("repository", "repository"),
    ("root", "pinned_sha256"),
    ("root version", "root_version"),
    ("state", "timestamp_version"),
    ("imported", "imported_at"),
    ("by", "imported_by"),
    ("expires", "expires_at"),
    ("days left", "days_left"),
    ("holds", "holds"),
];

fn for_people(repository: &Value) -> Value {
    let counts = repository["counts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let holds: Vec<String> = counts
        .iter()
        .map(|count| {
            let bytes = size(count["bytes"].as_u64().unwrap_or_default());
            format!("{} {} ({bytes})", cell(count, "contents"), cell(count, "kind"))
        })
        .collect();
    let mut shown = repository.clone();
    shown["holds"] = holds.join(", ").into();
    if !shown["imported_at"].is_null() && shown["imported_by"].is_null() {
        shown["imported_by"] = "the operator of the box".into();
    }
    shown
}

async fn state(repository: RepositoryArg, out: Option<&Path>, context: &Context) -> Result<()> {
    let state = context.client.get(&repository.address("state")).await?;
    let Some(path) = out else { return context.out.value(&state) };
    write::put(path, format!("{state}\n").as_bytes(), 0o644)
        .map_err(|cause| Failure::usage(format!("Cannot write {}: {cause}.", path.display())))?;
    let count = state["contents"].as_array().map_or(0, Vec::len);
    let words = format!("Wrote {}: this site has {count} contents of {}.", path.display(), repository.code());
    context.out.done(&json!({"file": path, "contents": count}), &words)
}

async fn get(name: &str, repository: RepositoryArg, output: Option<&Path>, context: &Context) -> Result<()> {
    let filters = [("repository", Some(repository.code().to_owned())), ("q", Some(name.to_owned()))];
    let page = context.client.list(&format!("{MIRROR}/contents"), &filters, 20_000).await?;
    let Some(content) = page.items.iter().find(|content| content["name"] == name) else {
        let detail = format!("The mirror holds no {name}. What it holds: resoftai mirror list");
        return Err(Failure::new(Exit::NotFound, "not_found", detail));
    };
    let target = output.map_or_else(|| PathBuf::from(name.rsplit('/').next().unwrap_or(name)), Path::to_owned);
    let escaped: Vec<String> = name.split('/').map(escape).collect();
    let path = format!("{MIRROR}/contents/{}/{}", repository.code(), escaped.join("/"));
    let mut reply = context.client.open(&path, "*/*", None).await?;
    let bar = mirror_import::bar(content["length"].as_u64().unwrap_or_default(), &context.out);
    let written = download::save_showing(&mut reply, &target, 0o644, &bar).await?;
    bar.finish_and_clear();
    let words = format!("Wrote {}: {}.", target.display(), size(written));
    context.out.done(&json!({"file": target, "bytes": written, "sha256": content["sha256"]}), &words)
}

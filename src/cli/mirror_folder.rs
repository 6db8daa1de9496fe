//! `resoftai mirror` on the connected side: makes a repository, signs it, and packs it for the way. All without a server.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tough::schema::RoleType;

use crate::base::clock::Clock;
use crate::cli::failure::{Failure, Result};
use crate::cli::mirror_import::bar;
use crate::cli::output::{Output, size};
use crate::mirror::keys::Keys;
use crate::mirror::parts::Writer;
use crate::mirror::repository::{Days, MOST_KEYS, Repository, fingerprint};
use crate::mirror::routes::StateFile;
use crate::mirror::{Content, Kind, bundle};

/// Where the keys are.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// Folder of the keys, apart from what is passed on [default: FOLDER-keys].
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// Folder of the root's keys, which is best kept on a medium of its own [default: root in the folder of the keys].
    #[arg(long, value_name = "FOLDER")]
    root_keys: Option<PathBuf>,
}

impl KeysArgs {
    fn of(&self, folder: &Path) -> Keys {
        let mut beside = OsString::from(folder.as_os_str());
        beside.push("-keys");
        let mut keys = Keys::within(self.keys.as_deref().unwrap_or(Path::new(&beside)));
        if let Some(root) = &self.root_keys {
            keys.root.clone_from(root);
        }
        keys
    }
}

/// What a file is, where its name does not say it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum KindArg {
    Plugin,
    Model,
    Advisory,
    Release,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Plugin => Self::Plugin,
            KindArg::Model => Self::Model,
            KindArg::Advisory => Self::Advisory,
            KindArg::Release => Self::Release,
        }
    }
}

/// Whose keys are changed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleArg {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

impl From<RoleArg> for RoleType {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Root => Self::Root,
            RoleArg::Targets => Self::Targets,
            RoleArg::Snapshot => Self::Snapshot,
            RoleArg::Timestamp => Self::Timestamp,
        }
    }
}

#[derive(Debug, Args)]
pub struct DaysArgs {
    /// Days for which what is signed counts: longer than the time between two bundles.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

#[derive(Debug, Args)]
pub struct RootDaysArgs {
    /// Days for which the root counts.
    #[arg(long, value_name = "DAYS", default_value_t = 1825, value_parser = clap::value_parser!(u32).range(1..=7300))]
    root_days: u32,
}

/// Commands that need no server.
#[derive(Debug, Subcommand)]
pub enum FolderCommand {
    /// Make a repository and its keys.
    Init {
        /// The repository's folder.
        folder: PathBuf,
        #[command(flatten)]
        keys: KeysArgs,
        /// Keys of the root.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_KEYS)))]
        root_count: u8,
        /// How many of them have to sign a new root.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_KEYS)))]
        threshold: u8,
        #[command(flatten)]
        days: DaysArgs,
        #[command(flatten)]
        root_days: RootDaysArgs,
    },
    /// Put files into a repository; they count when it is signed.
    Add {
        /// The repository's folder.
        folder: PathBuf,
        /// Packed plugins (.rplugin), models (.gguf), advisories (OSV), releases.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What they are, where their names do not say it.
        #[arg(long)]
        kind: Option<KindArg>,
    },
    /// Take contents out of a repository; it counts when it is signed.
    Remove {
        /// The repository's folder.
        folder: PathBuf,
        /// Names, as `mirror show` lists them.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// List what a repository holds.
    Show {
        /// The repository's folder.
        folder: PathBuf,
    },
    /// Sign a repository's contents as its new state.
    Sign {
        /// The repository's folder.
        folder: PathBuf,
        #[command(flatten)]
        keys: KeysArgs,
        #[command(flatten)]
        days: DaysArgs,
    },
    /// Give a role new keys; the old ones count no more. Sites follow with the next bundle.
    Rotate {
        /// The repository's folder.
        folder: PathBuf,
        /// Whose keys.
        role: RoleArg,
        #[command(flatten)]
        keys: KeysArgs,
        #[command(flatten)]
        days: DaysArgs,
        #[command(flatten)]
        root_days: RootDaysArgs,
    },
    /// Pack a repository's signed state into a bundle for a medium.
    Export {
        /// The repository's folder.
        folder: PathBuf,
        /// The bundle's file, or a folder that becomes or stays a copy of the repository.
        #[arg(long, value_name = "FILE.tar|FOLDER")]
        to: PathBuf,
        /// Leave out what a site has: the file that `mirror state` wrote there.
        #[arg(long, value_name = "STATE")]
        since: Option<PathBuf>,
        /// Split the bundle into parts of at most this size, such as 4G or 650M.
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        split: Option<u64>,
    },
}

/// Reads a size: a number of bytes, or one with K, M, G or T behind it.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number = digits.parse::<u64>().ok().filter(|number| (1..=1 << 20).contains(number) || shift == 0);
    let size = number.and_then(|number| number.checked_shl(shift)).filter(|size| *size >= 4096);
    size.ok_or_else(|| format!("\"{text}\" is no size of at least 4096 bytes, such as 4G or 650M"))
}

/// # Errors
/// What keeps it from being done.
pub async fn run(command: &FolderCommand, out: Output) -> Result<()> {
    let now = Clock::system().now();
    match command {
        FolderCommand::Init { folder, keys, root_count, threshold, days, root_days } => {
            let days = Days { root: root_days.root_days, rest: days.days };
            let keys = keys.of(folder);
            let made = Repository::init(folder, keys.clone(), (*root_count, *threshold), days, now).await?;
            let sum = fingerprint(&made.root()?.1);
            let root = folder.join("metadata/1.root.json");
            let shown = json!({"folder": folder, "root": root, "fingerprint": sum, "root_keys": keys.root, "keys": keys.online});
            out.done(
                &shown,
                &format!(
                    "Made {}. Keep {} offline; nothing else can be trusted when it is lost.\nSites trust it by {}, whose \
                     fingerprint is\n{sum}",
                    folder.display(),
                    keys.root.display(),
                    root.display()
                ),
            )
        }
        FolderCommand::Add { folder, files, kind } => add(folder, files, *kind, out),
        FolderCommand::Remove { folder, names } => {
            let repository = Repository::open(folder, Keys::within(folder))?;
            let removed = names.iter().map(|name| repository.remove(name)).collect::<Result<Vec<_>, _>>()?;
            out.done(
                &json!({"removed": removed}),
                &format!("Took {} out. Sign next: resoftai mirror sign {}", names.join(", "), folder.display()),
            )
        }
        FolderCommand::Show { folder } => show(folder, out),
        FolderCommand::Sign { folder, keys, days } => {
            let signed = Repository::open(folder, keys.of(folder))?.sign(days.days, now).await?;
            let shown = json!({"version": signed.version, "contents": signed.contents, "expires": signed.expires});
            out.done(
                &shown,
                &format!(
                    "Signed state {} with {} contents; it counts until {}.",
                    signed.version, signed.contents, signed.expires
                ),
            )
        }
        FolderCommand::Rotate { folder, role, keys, days, root_days } => {
            let days = Days { root: root_days.root_days, rest: days.days };
            let role = RoleType::from(*role);
            let version = Repository::open(folder, keys.of(folder))?.rotate(role, days, now).await?;
            out.done(
                &json!({"role": role, "root_version": version}),
                &format!(
                    "The role {role} has new keys; root {version} says so. The next bundle brings it to the sites."
                ),
            )
        }
        FolderCommand::Export { folder, to, since, split } => export(folder, to, since.as_deref(), *split, out),
    }
}

fn add(folder: &Path, files: &[PathBuf], kind: Option<KindArg>, out: Output) -> Result<()> {
    let repository = Repository::open(folder, Keys::within(folder))?;
    let mut added = Vec::new();
    for file in files {
        added.push(repository.add(file, kind.map(Kind::from))?);
    }
    let names: Vec<&str> = added.iter().map(|content| content.name.as_str()).collect();
    let words = format!("Put {} in. Sign next: resoftai mirror sign {}", names.join(", "), folder.display());
    out.done(&json!({"added": added}), &words)
}

fn show(folder: &Path, out: Output) -> Result<()> {
    let repository = Repository::open(folder, Keys::within(folder))?;
    let (contents, (root, bytes)) = (repository.contents()?, repository.root()?);
    let sum = fingerprint(&bytes);
    if out.is_json() {
        return out.value(&json!({"root_version": root.version, "fingerprint": sum, "contents": contents}));
    }
    out.line(&format!("root {} {sum}", root.version))?;
    let rows: Vec<_> = contents
        .iter()
        .map(|content| json!({"name": content.name, "kind": content.kind, "size": size(content.length)}))
        .collect();
    out.table(&rows, &[("name", "name"), ("kind", "kind"), ("size", "size")])
}

fn export(folder: &Path, to: &Path, since: Option<&Path>, split: Option<u64>, out: Output) -> Result<()> {
    let repository = Repository::open(folder, Keys::within(folder))?;
    let metadata = repository.metadata()?;
    let has: Vec<String> = since.map(state).transpose()?.unwrap_or_default();
    let mut contents = repository.contents()?;
    contents.retain(|content| !has.contains(&content.sha256));
    contents.sort_by(|one, other| one.sha256.cmp(&other.sha256));
    contents.dedup_by(|one, other| one.sha256 == other.sha256);
    let total = contents.iter().map(|content| content.length).sum();
    let progress = bar(total, &out);
    let written = if to.extension().is_some_and(|ending| ending == "tar") {
        let mut writer = Writer::new(to, split);
        let packed = bundle::pack(&metadata)?;
        put(&mut writer, bundle::METADATA, &mut packed.as_slice(), packed.len() as u64)?;
        for content in &contents {
            let file = open(&repository, content)?;
            put(&mut writer, &bundle::path(content), &mut progress.wrap_read(file), content.length)?;
        }
        writer.write_all(&[0; bundle::END])?;
        writer.finish()?
    } else if split.is_some() {
        return Err(Failure::usage("Only a bundle's file can be split: end its name in .tar."));
    } else {
        copy(&repository, &metadata, &contents, to)?;
        Vec::new()
    };
    progress.finish_and_clear();
    let parts: Vec<_> =
        written.iter().map(|part| json!({"file": part.path, "bytes": part.length, "sha256": part.sha256})).collect();
    let length: u64 = if written.is_empty() { total } else { written.iter().map(|part| part.length).sum() };
    let shown = json!({"to": to, "contents": contents.len(), "bytes": length, "parts": parts});
    let into = if written.len() > 1 { format!(" in {} parts", written.len()) } else { String::new() };
    out.done(&shown, &format!("Wrote {}{into}: {} contents, {}.", to.display(), contents.len(), size(length)))
}

fn open(repository: &Repository, content: &Content) -> Result<fs::File> {
    let path = repository.place(content);
    fs::File::open(&path).map_err(|cause| Failure::usage(format!("Cannot read {}: {cause}.", path.display())))
}

fn put(writer: &mut Writer, path: &str, from: &mut impl std::io::Read, length: u64) -> Result<()> {
    writer.write_all(&bundle::head(path, length)?)?;
    let copied = std::io::copy(&mut std::io::Read::take(&mut *from, length), writer)?;
    if copied != length {
        return Err(Failure::usage(format!("{path} is shorter than what was signed. Add it anew and sign.")));
    }
    Ok(writer.write_all(&vec![0; bundle::padding(length)])?)
}

/// A copy of the repository, or what a site lacks of it, in a folder; `timestamp.json` comes last.
fn copy(
    repository: &Repository,
    metadata: &crate::mirror::verify::Metadata,
    contents: &[Content],
    to: &Path,
) -> Result<()> {
    for content in contents {
        let from = repository.place(content);
        let target = to.join(bundle::path(content));
        target.parent().map(fs::create_dir_all).transpose()?;
        let mut file = crate::cli::write::begin(&target, 0o644)?;
        std::io::copy(&mut open(repository, content)?, &mut file)
            .map_err(|cause| Failure::usage(format!("Cannot copy {}: {cause}.", from.display())))?;
        crate::cli::write::keep(file, &target)?;
    }
    let folder = to.join("metadata");
    fs::create_dir_all(&folder)?;
    let last = "timestamp.json";
    for (name, bytes) in metadata.iter().filter(|(name, _)| *name != last).chain(metadata.get_key_value(last)) {
        crate::cli::write::put(&folder.join(name), bytes, 0o644)?;
    }
    Ok(())
}

fn state(path: &Path) -> Result<Vec<String>> {
    let unreadable = |why: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "{} is no state of a site: {why}. Make it there: resoftai mirror state --out FILE",
            path.display()
        ))
    };
    let bytes = fs::read(path).map_err(|cause| unreadable(&cause))?;
    let state: StateFile = serde_json::from_slice(&bytes).map_err(|cause| unreadable(&cause))?;
    if state.format != 1 {
        return Err(unreadable(&format!("its format is {}", state.format)));
    }
    Ok(state.contents)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!((bytes("4096"), bytes("650M"), bytes("4g")), (Ok(4096), Ok(650 << 20), Ok(4 << 30)));
        for wrong in ["", "0", "4095", "1K", "x", "4GB", "-1", "99999999999999999999", "9999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}

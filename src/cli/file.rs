//! `resoftai file`: files of a project and their versions.
//!
//! A file is named by its id, or by `PROJECT:PATH` as in `shop:src/main.py`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::lookup::ProjectRef;
use crate::cli::output::{Column, cell, clean, size};
use crate::cli::{Context, ListArgs, deleted, input, lookup, suggest};

/// The largest file that is read to be sent.
const FILE_LIMIT: u64 = 8 * 1024 * 1024;

const COLUMNS: [Column; 7] = [
    ("id", "id"),
    ("path", "path"),
    ("language", "language"),
    ("size", "size"),
    ("version", "version"),
    ("findings", "worst"),
    ("updated", "updated_at"),
];

#[derive(Debug, Subcommand)]
pub enum FileCommand {
    /// List the files of a project.
    List {
        /// Its id or its name.
        project: ProjectRef,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Print a file.
    Show {
        /// Its id, or PROJECT:PATH.
        #[arg(value_parser = file_ref)]
        file: FileRef,
        /// As it was in this version.
        #[arg(long, value_name = "N")]
        version: Option<i64>,
        /// Write it here instead of stdout.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write a file: a new one, or a new version.
    Put {
        /// PROJECT:PATH, or the id of a file that is there.
        #[arg(value_parser = file_ref)]
        file: FileRef,
        /// What to write; `-` is stdin.
        local: PathBuf,
        /// Fail when the file is no longer at this version.
        #[arg(long, value_name = "N")]
        expected_version: Option<i64>,
    },
    /// Delete a file.
    Delete {
        /// Its id, or PROJECT:PATH.
        #[arg(value_parser = file_ref)]
        file: FileRef,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// List the versions of a file.
    Versions {
        /// Its id, or PROJECT:PATH.
        #[arg(value_parser = file_ref)]
        file: FileRef,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Make an old version the newest one.
    Restore {
        /// Its id, or PROJECT:PATH.
        #[arg(value_parser = file_ref)]
        file: FileRef,
        /// The version to have back.
        version: i64,
    },
}

/// How a file is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRef {
    Id(i64),
    Path { project: ProjectRef, path: String },
}

fn file_ref(given: &str) -> Result<FileRef, String> {
    let refused = || "it must be a file's id, or PROJECT:PATH as in shop:src/main.py".to_owned();
    match given.split_once(':') {
        None => given.parse().map(FileRef::Id).map_err(|_| refused()),
        Some((project, path)) if !path.is_empty() => {
            let project = project.parse().map_err(|_: String| refused())?;
            Ok(FileRef::Path { project, path: path.to_owned() })
        }
        Some(_) => Err(refused()),
    }
}

pub async fn run(command: &FileCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        FileCommand::List { project, list } => {
            let project = lookup::project_id(context, project).await?;
            let mut page = client.list(&format!("/api/projects/{project}/files"), &[], list.most()).await?;
            if !out.is_json() {
                page.items.iter_mut().for_each(humanise);
            }
            out.list(&page, &COLUMNS, "The project has no files yet.")
        }
        FileCommand::Show { file, version, output } => show(file, *version, output.as_deref(), context).await,
        FileCommand::Put { file, local, expected_version } => put(file, local, *expected_version, context).await,
        FileCommand::Delete { file, yes } => {
            let id = find(file, context).await?;
            let found = client.get(&format!("/api/files/{id}")).await?;
            let path = cell(&found, "path");
            input::confirm(&format!("Delete {path} of project {}?", found["project_id"]), *yes)?;
            client.delete(&format!("/api/files/{id}")).await?;
            out.done(&deleted(id), &format!("Deleted {path}."))
        }
        FileCommand::Versions { file, list } => {
            let id = find(file, context).await?;
            let mut page = client.list(&format!("/api/files/{id}/versions"), &[], list.most()).await?;
            if !out.is_json() {
                page.items.iter_mut().for_each(humanise);
            }
            let columns = [
                ("version", "version"),
                ("size", "size"),
                ("created", "created_at"),
                ("by", "created_by"),
                ("sha256", "sha256"),
            ];
            out.list(&page, &columns, "The file has no versions.")
        }
        FileCommand::Restore { file, version } => {
            let id = find(file, context).await?;
            let restored = client.act(&format!("/api/files/{id}/restore/{version}")).await?;
            let sentence =
                format!("{} is now version {}, as {version} was.", cell(&restored, "path"), restored["version"]);
            out.done(&restored, &sentence)
        }
    }
}

/// Sizes and findings as people read them.
pub fn humanise(file: &mut Value) {
    if let Some(bytes) = file["size"].as_u64() {
        file["size"] = json!(size(bytes));
    }
    if file["findings"].is_object() {
        file["worst"] = json!(findings(&file["findings"]));
    }
}

/// "2 high, 1 low", or "-".
pub fn findings(counts: &Value) -> String {
    let parts: Vec<String> = ["critical", "high", "medium", "low"]
        .iter()
        .filter_map(|level| counts[level].as_i64().filter(|count| *count > 0).map(|count| format!("{count} {level}")))
        .collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

async fn files_of(project: i64, context: &Context) -> Result<Vec<Value>> {
    context.client.all(&format!("/api/projects/{project}/files")).await
}

async fn find(file: &FileRef, context: &Context) -> Result<i64> {
    let (project, path) = match file {
        FileRef::Id(id) => return Ok(*id),
        FileRef::Path { project, path } => (lookup::project_id(context, project).await?, path),
    };
    let files = files_of(project, context).await?;
    match files.iter().find(|one| one["path"] == path.as_str()) {
        Some(found) => lookup::id(found),
        None => Err(suggest::not_found(&format!("file of project {project}"), path, &files, "path")),
    }
}

async fn show(file: &FileRef, version: Option<i64>, output: Option<&Path>, context: &Context) -> Result<()> {
    let id = find(file, context).await?;
    let path = match version {
        None => format!("/api/files/{id}"),
        Some(version) => format!("/api/files/{id}/versions/{version}"),
    };
    let found = context.client.get(&path).await?;
    let content = found["content"].as_str().unwrap_or_default();
    let is_binary = found["encoding"] == "base64";
    let bytes = if is_binary {
        STANDARD.decode(content).map_err(|cause| {
            Failure::new(Exit::Failed, "bad_content", format!("The server sent file {id} in broken base64: {cause}."))
        })?
    } else {
        content.as_bytes().to_vec()
    };
    if let Some(output) = output {
        std::fs::write(output, &bytes)?;
        let sentence = format!("Wrote {} ({}).", output.display(), size(bytes.len() as u64));
        return context.out.done(&json!({"file": output, "size": bytes.len()}), &sentence);
    }
    if context.out.is_json() {
        return context.out.value(&found);
    }
    match (context.out.is_terminal(), is_binary) {
        (false, _) => context.out.bytes(&bytes),
        (true, false) => context.out.bytes(clean(content).as_bytes()),
        (true, true) => {
            Err(Failure::usage(format!("{} is binary. Write it to a file with -o FILE.", cell(&found, "path"))))
        }
    }
}

async fn put(file: &FileRef, local: &Path, expected: Option<i64>, context: &Context) -> Result<()> {
    let bytes = read(local)?;
    let mut body = match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => json!({"content": text, "encoding": "utf-8"}),
        Ok(binary) => json!({"content": STANDARD.encode(binary), "encoding": "base64"}),
        Err(binary) => json!({"content": STANDARD.encode(binary.as_bytes()), "encoding": "base64"}),
    };
    if let FileRef::Path { project, path } = file {
        let project = lookup::project_id(context, project).await?;
        let files = files_of(project, context).await?;
        if !files.iter().any(|one| one["path"] == path.as_str()) {
            if expected.is_some() {
                return Err(suggest::not_found(&format!("file of project {project}"), path, &files, "path"));
            }
            body["path"] = json!(path);
            let made = context.client.post(&format!("/api/projects/{project}/files"), &body).await?;
            return context.out.done(&made, &format!("Created {}, id {}.", cell(&made, "path"), made["id"]));
        }
    }
    if let Some(version) = expected {
        body["expected_version"] = json!(version);
    }
    let id = find(file, context).await?;
    let written = context.client.put(&format!("/api/files/{id}"), &body).await?;
    context.out.done(&written, &format!("{} is now version {}.", cell(&written, "path"), written["version"]))
}

fn read(local: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if local == Path::new("-") {
        if std::io::stdin().is_terminal() {
            return Err(Failure::usage("Stdin is a terminal: pipe the file's content in, or name a file."));
        }
        std::io::stdin().take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    } else {
        let refused = |cause| Failure::usage(format!("Cannot read {}: {cause}.", local.display()));
        let file = std::fs::File::open(local).map_err(refused)?;
        file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(refused)?;
    }
    if bytes.len() as u64 > FILE_LIMIT {
        let detail = format!("{} is larger than {}, the most that is sent.", local.display(), size(FILE_LIMIT));
        return Err(Failure::new(Exit::Limit, "file_too_large", detail));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_id_or_by_path() {
        assert_eq!(file_ref("7"), Ok(FileRef::Id(7)));
        let path = "src/a:b.py".to_owned();
        assert_eq!(file_ref("12:src/a:b.py"), Ok(FileRef::Path { project: ProjectRef::Id(12), path }));
        for wrong in ["", "a", ":src", "12:"] {
            assert!(file_ref(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn findings_name_the_worst_first() {
        assert_eq!(findings(&json!({"low": 1, "medium": 0, "high": 2, "critical": 0})), "2 high, 1 low");
        assert_eq!(findings(&json!({"low": 0})), "-");
    }
}

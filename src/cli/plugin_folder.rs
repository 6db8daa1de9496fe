//! A plugin that lies on this machine, as a folder or packed, made ready to be sent to a server.
//!
//! Invariant: a folder is checked by the server's own rules before anything is sent; links are refused, not followed, so
//! nothing from outside the folder leaves this machine.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::client::{Client, query_string};
use crate::cli::failure::{Exit, Failure, Result};
use crate::plugins::pack::{self, ENDING, Packed};
use crate::plugins::package::{Files, MAX_TOTAL};

/// The most a file of archives may hold, in bytes; the server takes no more.
pub const MOST_BYTES: u64 = (MAX_TOTAL + (1 << 20)) as u64;
/// Archives that may be sent as they are.
const ARCHIVES: [&str; 3] = [ENDING, ".zip", ".tar"];

/// Whether this names something on this machine: a slug has neither slash nor dot.
pub fn is_here(plugin: &str) -> bool {
    plugin.contains('/') || plugin == "." || plugin == ".." || ARCHIVES.iter().any(|ending| plugin.ends_with(ending))
}

/// How a plugin is to be installed.
#[derive(Debug, Default)]
pub struct How {
    pub config: Map<String, Value>,
    /// In the place of one that is there.
    pub replace: bool,
    pub everywhere: Option<bool>,
    /// Why, although a scan says no.
    pub despite: Option<String>,
}

impl How {
    /// As the body of a request; `replace` each request says in its own way.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        if !self.config.is_empty() {
            body.insert("config".to_owned(), Value::Object(self.config.clone()));
        }
        if let Some(everywhere) = self.everywhere {
            body.insert("everywhere".to_owned(), everywhere.into());
        }
        if let Some(why) = &self.despite {
            body.insert("allow_findings".to_owned(), true.into());
            body.insert("reason".to_owned(), why.as_str().into());
        }
        Value::Object(body)
    }
}

/// Sends a folder, which is packed, or an archive to the server; the plugin as it answers.
///
/// # Errors
/// Wrong usage when it is no plugin; `plugin_too_large`; the server's own.
pub async fn upload(client: &Client, path: &Path, how: &How) -> Result<Value> {
    if !path.exists() {
        return Err(Failure::usage(format!("There is no file or folder {}.", path.display())));
    }
    let archive = if path.is_file() { read(path, MOST_BYTES)? } else { pack(path, &[])?.bytes };
    let config = (!how.config.is_empty()).then(|| Value::Object(how.config.clone()).to_string());
    let query = query_string(&[
        ("config", config),
        ("replace", how.replace.then(|| "true".to_owned())),
        ("everywhere", how.everywhere.map(|everywhere| everywhere.to_string())),
        ("allow_findings", how.despite.as_ref().map(|_| "true".to_owned())),
        ("reason", how.despite.clone()),
    ]);
    client.upload(&format!("/api/plugins/upload{query}"), "application/zip", archive).await
}

/// Packs `folder`, with these wheels beside those in its `wheels/`.
///
/// # Errors
/// Wrong usage, naming the file; `plugin_too_large`.
pub fn pack(folder: &Path, wheels: &[PathBuf]) -> Result<Packed> {
    let more = wheels.iter().map(|wheel| {
        let name = wheel.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Ok((name.to_owned(), read(wheel, MOST_BYTES)?))
    });
    let more = more.collect::<Result<Vec<_>>>()?;
    Ok(pack::pack(files(folder)?, more)?)
}

/// The files of a plugin's folder.
///
/// # Errors
/// Wrong usage when it is no plugin's folder.
pub fn files(folder: &Path) -> Result<Files> {
    let manifest = folder.join("plugin.json");
    if !manifest.is_file() {
        let detail = format!(
            "{} is not a plugin: there is no {}. Make one with `resoftai plugin new`.",
            folder.display(),
            manifest.display()
        );
        return Err(Failure::usage(detail));
    }
    // The folder itself may be a link; what lies in it may not.
    Ok(Files::read(&folder.canonicalize()?)?)
}

/// The whole of a file that holds no more than `most` bytes.
///
/// # Errors
/// Wrong usage when it cannot be read; `file_too_large`.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|cause| Failure::usage(format!("Cannot read {}: {cause}.", path.display())))?;
    if bytes.len() as u64 > most {
        let detail = format!("{} holds more than {most} bytes, which is more than is taken.", path.display());
        return Err(Failure::new(Exit::Limit, "file_too_large", detail));
    }
    Ok(bytes)
}

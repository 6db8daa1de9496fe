//! The new version tries itself on a copy of the site's database, while the old one goes on working.
//!
//! Invariant: this is what the old program asks of the new one, so its arguments and its answer stay as they are: each
//! version is asked by older ones.

use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{at, store};
use crate::base::error::{Error, Result};
use crate::base::tasks::blocking;
use crate::db::{Db, Options, Snapshot};
use crate::plugins::Package;

/// What the new version found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The steps of the schema that it adds.
    pub steps: Vec<String>,
    /// What is wrong with the database after them.
    pub problems: Vec<String>,
    /// Why plugins of the site will not work with it, each in a sentence.
    pub plugins: Vec<String>,
}

/// Copies the database of `data_dir` into `scratch`, brings the copy up to date and looks at all of it; and at the plugins.
/// What it costs grows with the size of the database.
///
/// # Errors
/// Those of a start on that database.
pub async fn rehearse(data_dir: &Path, scratch: &Path) -> Result<Rehearsal> {
    let copy = scratch.join("resoftai.db");
    let original = data_dir.join("resoftai.db");
    let (mut steps, mut problems) = (Vec::new(), Vec::new());
    if original.exists() {
        let snapshot = Db::snapshot_of(&original).await?;
        let (ran, to) = (snapshot.read(store::schema_steps)?, copy.clone());
        blocking(move || write(&snapshot, &to)).await?;
        let db = Db::open_sqlite(&copy, Options { readers: 1, queue: 16 }).await?;
        steps = db.read(store::schema_steps).await?;
        steps.retain(|step| !ran.contains(step));
        db.close().await;
        problems = Db::check_file(&copy).await?.problems;
    }
    let folder = data_dir.join("plugins");
    let plugins = blocking(move || unfit(&folder)).await?;
    Ok(Rehearsal { steps, problems, plugins })
}

fn write(snapshot: &Snapshot, to: &Path) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut file = BufWriter::with_capacity(1 << 20, made.map_err(|cause| at(to, &cause))?);
    snapshot.pages(&mut |page| file.write_all(page).map_err(|cause| at(to, &cause)))?;
    file.flush().map_err(|cause| at(to, &cause))
}

/// Why plugins in `folder` cannot be used by this version.
fn unfit(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|cause| at(folder, &cause))?,
    };
    let mut unfit = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| at(folder, &cause))?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            unfit.extend(Package::read(&path).err().map(|error: Error| error.message().to_owned()));
        }
    }
    unfit.sort();
    Ok(unfit)
}

//! The files that a program consists of, and their places on a machine.
//!
//! Invariant: before the first of them is replaced, all lie beside the data, from where they can be put back however often.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::{Places, at, remove, settle_disk};
use crate::base::error::Result;

/// The program's name in a bundle.
pub(super) const NAME: &str = "resoftai";
/// Where `install.sh` puts it.
const INSTALLED: &str = "/usr/bin/resoftai";
/// What else it puts in place: in the bundle, and on the machine. Folders are replaced as a whole.
const BESIDE: [(&str, &str); 7] = [
    ("uninstall.sh", "/usr/bin/resoftai-uninstall"),
    ("systemd/resoftai.service", "/usr/lib/systemd/system/resoftai.service"),
    ("systemd/resoftai.socket", "/usr/lib/systemd/system/resoftai.socket"),
    ("systemd/resoftai-settle.service", "/usr/lib/systemd/system/resoftai-settle.service"),
    ("systemd/resoftai.sysusers", "/usr/lib/sysusers.d/resoftai.conf"),
    ("systemd/resoftai.tmpfiles", "/usr/lib/tmpfiles.d/resoftai.conf"),
    ("docs", "/usr/share/doc/resoftai"),
];
/// Where units lie on machines that keep `/lib` apart from `/usr/lib`.
const UNITS: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// A program as it is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The file that is run.
    pub path: PathBuf,
    /// Whether systemd runs it, and its units and guides belong to it; else it is one file, and who runs it is not known.
    pub is_service: bool,
}

impl Program {
    /// The one at `path`.
    pub fn at(path: PathBuf) -> Self {
        let is_service = path == Path::new(INSTALLED) && Path::new("/run/systemd/system").is_dir();
        Self { path, is_service }
    }

    /// The package that brought it, which alone may replace it.
    pub(super) fn package(&self) -> Option<String> {
        let asks = [("dpkg-query", "--search"), ("rpm", "-qf")];
        asks.into_iter().find_map(|(command, flag)| {
            let said = Command::new(command).arg(flag).arg(&self.path).output().ok()?;
            let line = String::from_utf8(said.stdout).ok()?.lines().next()?.trim().to_owned();
            said.status.success().then_some(line)
        })
    }

    /// Each file: in a bundle, and where it lies here.
    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let mut files = vec![(NAME, self.path.clone())];
        if self.is_service {
            files.extend(BESIDE.map(|(name, place)| (name, here(place))));
        }
        files
    }

    /// Copies what is there beside the data.
    pub(super) fn keep(&self, places: &Places) -> Result<()> {
        let previous = places.previous();
        remove(&previous)?;
        for (name, place) in self.files() {
            if place.exists() {
                copy(&place, &previous.join(name))?;
            }
        }
        settle_disk(&previous)
    }

    /// Puts the files of the bundle in place.
    pub(super) fn replace(&self, places: &Places) -> Result<()> {
        for (name, place) in self.files() {
            let new = places.bundle().join(name);
            if new.exists() {
                put(&new, &place)?;
            }
        }
        self.placed()
    }

    /// Puts back what was kept; what was not there before goes.
    pub(super) fn put_back(&self, places: &Places) -> Result<()> {
        for (name, place) in self.files() {
            let old = places.previous().join(name);
            if old.exists() { put(&old, &place)? } else { remove(&place)? }
        }
        self.placed()
    }

    /// Tells the machine of what is new, and waits until the disk has it.
    fn placed(&self) -> Result<()> {
        for (_, place) in self.files() {
            if let Some(folder) = place.parent() {
                settle_disk(folder)?;
            }
        }
        if self.is_service {
            let places = self.files().into_iter().map(|(_, place)| place);
            // Only where SELinux is does the command exist, and only there do contexts matter.
            drop(Command::new("restorecon").arg("-R").args(places).output());
            drop(Command::new("systemctl").arg("daemon-reload").output());
        }
        Ok(())
    }
}

fn here(place: &str) -> PathBuf {
    let [usual, other] = UNITS;
    match place.strip_prefix(usual) {
        Some(rest) if !Path::new(usual).is_dir() => PathBuf::from(format!("{other}{rest}")),
        _ => PathBuf::from(place),
    }
}

/// `from` in the place of `to`, in one step for a file.
fn put(from: &Path, to: &Path) -> Result<()> {
    let named = |ending: &str| {
        let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        to.with_file_name(format!(".{name}.{ending}"))
    };
    let (new, old) = (named("new"), named("old"));
    remove(&new)?;
    copy(from, &new)?;
    if to.is_dir() {
        remove(&old)?;
        fs::rename(to, &old).map_err(|cause| at(to, &cause))?;
    }
    fs::rename(&new, to).map_err(|cause| at(to, &cause))?;
    remove(&old)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|cause| at(parent, &cause))?;
    }
    if from.is_dir() {
        fs::create_dir_all(to).map_err(|cause| at(to, &cause))?;
        for entry in fs::read_dir(from).map_err(|cause| at(from, &cause))? {
            let entry = entry.map_err(|cause| at(from, &cause))?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    super::copy_file(from, to)
}

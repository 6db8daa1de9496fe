//! A plugin's files, read once: from its folder, or out of an archive.
//!
//! Invariant: a package in hand is whole, bounded and closed in itself: relative paths of plain files, no link that leads
//! out. A running plugin keeps the files it was loaded from, whatever happens to the folder.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::manifest::{self, Manifest, wrong};
use super::paths::{check_path, clash, is_debris};
use super::sign::SignedBy;
use super::sums;
use crate::base::error::{Error, Kind, Result};

/// All files of a package together, in bytes.
pub const MAX_TOTAL: usize = 16 << 20;
const MAX_FILES: usize = 5_000;
/// How the binary form of every component begins.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Contents by path, `/` between folders.
#[derive(Debug, Default)]
pub struct Files {
    by_path: BTreeMap<String, Vec<u8>>,
    total: usize,
}

impl Files {
    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        MAX_TOTAL - self.total
    }

    /// # Errors
    /// `invalid_plugin` when the path leads out of the package or is there already, or the package is too large.
    pub fn add(&mut self, path: &str, content: Vec<u8>) -> Result<()> {
        check_path(path)?;
        if content.len() > self.room() || self.by_path.len() >= MAX_FILES {
            return Err(too_large());
        }
        self.total += content.len();
        match self.by_path.insert(path.to_owned(), content) {
            None => Ok(()),
            Some(_) => Err(wrong(format!("{path} is there twice. A package has each file once."))),
        }
    }

    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.by_path.get(path).map(Vec::as_slice)
    }

    /// Paths and contents, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.by_path.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    pub fn count(&self) -> usize {
        self.by_path.len()
    }

    /// Takes out the files whose path is meant.
    pub fn extract(&mut self, meant: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
        let out: Vec<_> = self.by_path.extract_if(.., |path, _| meant(path)).collect();
        self.total -= out.iter().map(|(_, content)| content.len()).sum::<usize>();
        out
    }

    /// All files in `folder`, without debris. Blocks.
    ///
    /// # Errors
    /// `plugin_folder_missing`; `invalid_plugin` for what is no plain file; `plugin_too_large`.
    pub fn read(folder: &Path) -> Result<Self> {
        let kind = fs::symlink_metadata(folder).map_err(|cause| unreadable(folder, &cause))?.file_type();
        if !kind.is_dir() {
            return Err(wrong(format!("{} is not a folder. Put the plugin's folder itself there.", folder.display())));
        }
        let mut files = Self::default();
        collect(folder, "", &mut files)?;
        Ok(files)
    }

    /// Without the one folder that everything lies in, if there is one and the manifest is inside it.
    #[must_use]
    pub fn unwrapped(mut self) -> Self {
        let folder = self.by_path.keys().next().and_then(|path| path.split_once('/')).map(|(top, _)| format!("{top}/"));
        let Some(folder) = folder.filter(|folder| self.by_path.contains_key(&format!("{folder}{}", manifest::FILE)))
        else {
            return self;
        };
        if self.by_path.keys().all(|path| path.starts_with(&folder)) {
            self.by_path =
                self.by_path.into_iter().map(|(path, content)| (path[folder.len()..].to_owned(), content)).collect();
        }
        self
    }
}

/// Why a package is refused for its size.
pub fn too_large() -> Error {
    let limits = format!("at most {MAX_FILES} files and {} MiB are allowed", MAX_TOTAL >> 20);
    Error::new(
        Kind::TooLarge,
        "plugin_too_large",
        format!("The plugin is too large: {limits}. Leave out what it does not need."),
    )
}

/// A plugin, ready to be loaded.
#[derive(Debug)]
pub struct Package {
    pub manifest: Manifest,
    /// Filled in where the site's trusted keys are known.
    pub signed_by: Vec<SignedBy>,
    files: Files,
}

impl Package {
    /// # Errors
    /// `invalid_plugin`, naming the file.
    pub fn new(files: Files) -> Result<Self> {
        let text = files.by_path.get(manifest::FILE).ok_or_else(|| {
            wrong(format!(
                "There is no {} at the top of the plugin. Write one; docs/plugins/index.md shows how.",
                manifest::FILE
            ))
        })?;
        let manifest = Manifest::parse(text)?;
        let entry = manifest.entry_file().unwrap_or_default();
        let Some(content) = files.by_path.get(entry) else {
            let sentence =
                format!("{} names {entry} as entry_point, but there is no such file. Add it.", manifest::FILE);
            return Err(wrong(sentence).field("entry_point"));
        };
        if manifest.is_component() && !content.starts_with(COMPONENT) {
            let sentence = format!(
                "{entry} is no WebAssembly component. Build one of the contract in plugin-sdk/wit; a core module alone is none."
            );
            return Err(wrong(sentence).field("entry_point"));
        }
        sums::verify(&files)?;
        if let Some((one, other)) = clash(files.by_path.keys().map(String::as_str)) {
            let sentence = format!("{one:?} and {other:?} can be taken for each other. Rename one of them.");
            return Err(wrong(sentence));
        }
        let inner = |path: &String| path.match_indices('/').any(|(at, _)| files.by_path.contains_key(&path[..at]));
        if let Some(path) = files.by_path.keys().find(|path| inner(path)) {
            return Err(wrong(format!("{path} lies in a folder that is also a file. Rename one of them.")));
        }
        Ok(Self { manifest, signed_by: Vec::new(), files })
    }

    /// Reads the plugin in `folder`, which must be named after its slug. Blocks.
    ///
    /// # Errors
    /// `plugin_folder_missing`; `invalid_plugin`, naming the file.
    pub fn read(folder: &Path) -> Result<Self> {
        let package = Self::new(Files::read(folder)?).map_err(|error| located(folder, &error))?;
        if folder.file_name().is_none_or(|name| name != package.manifest.slug.as_str()) {
            let slug = &package.manifest.slug;
            let sentence = format!("{} holds the plugin {slug}: rename the folder to {slug}.", folder.display());
            return Err(wrong(sentence).field("slug"));
        }
        Ok(package)
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Whether it brought the list of its files' sums.
    pub fn has_sums(&self) -> bool {
        self.files.get(sums::FILE).is_some()
    }

    pub fn into_parts(self) -> (Manifest, Files) {
        (self.manifest, self.files)
    }

    pub fn manifest_text(&self) -> String {
        self.content(manifest::FILE).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }

    /// The plugin's own component, if that is what it is.
    pub fn component(&self) -> Option<&[u8]> {
        let entry = self.manifest.is_component().then_some(self.manifest.entry_point.as_str());
        entry.and_then(|path| self.content(path))
    }

    pub fn paths(&self) -> Vec<String> {
        self.files.by_path.keys().cloned().collect()
    }

    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path)
    }

    /// Writes all files below `folder`, which must not exist, and has them on the disk when it returns. Blocks.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(folder)?;
        for (path, content) in &self.files.by_path {
            let path = folder.join(path);
            path.parent().map(make).transpose()?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content)?;
        }
        rustix::fs::syncfs(File::open(folder)?).map_err(std::io::Error::from)?;
        Ok(())
    }
}

fn located(folder: &Path, error: &Error) -> Error {
    let sentence = format!("{}: {error}", folder.display());
    let moved = Error::new(error.kind(), error.code(), sentence);
    match error.field_name() {
        Some(field) => moved.field(field),
        None => moved,
    }
}

fn unreadable(path: &Path, cause: &std::io::Error) -> Error {
    if cause.kind() == ErrorKind::NotFound {
        let sentence = format!("There is no {}. Copy the plugin's folder there, or upload it.", path.display());
        return Error::new(Kind::NotFound, "plugin_folder_missing", sentence);
    }
    wrong(format!("{} cannot be read: {cause}. Let the server's account read it.", path.display()))
}

fn collect(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|cause| unreadable(folder, &cause))? {
        let entry = entry.map_err(|cause| unreadable(folder, &cause))?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        let name = name
            .to_str()
            .ok_or_else(|| wrong(format!("{} has a name that is not UTF-8. Rename it.", path.display())))?;
        let relative = format!("{prefix}{name}");
        if is_debris(name) {
            continue;
        }
        if kind.is_dir() {
            check_path(&relative).map_err(|error| located(folder, &error))?;
            collect(&path, &format!("{relative}/"), files)?;
        } else if kind.is_file() {
            let content = read_file(&path, files.room())?;
            files.add(&relative, content).map_err(|error| located(folder, &error))?;
        } else {
            let what = if kind.is_symlink() { "a symbolic link" } else { "neither a file nor a folder" };
            return Err(wrong(format!("{} is {what}. Put the file itself there.", path.display())));
        }
    }
    Ok(())
}

fn read_file(path: &Path, room: usize) -> Result<Vec<u8>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|cause| unreadable(path, &cause))?;
    let mut content = Vec::new();
    let most = room as u64 + 1;
    file.take(most).read_to_end(&mut content).map_err(|cause| unreadable(path, &cause))?;
    if content.len() > room {
        return Err(too_large());
    }
    Ok(content)
}

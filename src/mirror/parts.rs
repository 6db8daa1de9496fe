//! A bundle's file, or the parts it was split into for media that hold no more.
//!
//! Invariant: parts behind one another are the file; a list of their sums beside them, which `sha256sum -c` checks, says how
//! many there are. A file gets its name when it is whole.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::base::crypto::Sha256;
use crate::base::error::{Error, Kind, Result};

/// What the list's name ends in.
const SUMS: &str = "SHA256SUMS";
/// Parts of one bundle, at most.
const MOST: usize = 999;

/// A part that was written.
#[derive(Debug, Clone)]
pub struct Part {
    pub path: PathBuf,
    pub length: u64,
    pub sha256: String,
}

/// Writes a bundle.
pub struct Writer {
    target: PathBuf,
    split: Option<u64>,
    open: Option<(NamedTempFile, Sha256, u64)>,
    done: Vec<Part>,
}

impl Writer {
    /// Into `target`, or, where it is split, into parts of at most `split` bytes beside it.
    pub fn new(target: &Path, split: Option<u64>) -> Self {
        Self { target: target.to_owned(), split, open: None, done: Vec::new() }
    }

    fn name(&self) -> PathBuf {
        match self.split {
            None => self.target.clone(),
            Some(_) => self.target.with_added_extension(format!("{:03}", self.done.len() + 1)),
        }
    }

    fn folder(&self) -> &Path {
        self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn close(&mut self) -> io::Result<()> {
        let Some((file, digest, length)) = self.open.take() else { return Ok(()) };
        let path = self.name();
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|refused| refused.error)?;
        self.done.push(Part { path, length, sha256: digest.hex() });
        Ok(())
    }

    /// Ends the bundle.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<Vec<Part>> {
        self.close()?;
        if self.split.is_some() {
            let name = |part: &Part| part.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let lines: String = self.done.iter().map(|part| format!("{}  {}\n", part.sha256, name(part))).collect();
            let mut list = NamedTempFile::new_in(self.folder())?;
            list.write_all(lines.as_bytes())?;
            list.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
            list.as_file().sync_all()?;
            list.persist(self.target.with_added_extension(SUMS)).map_err(|refused| refused.error)?;
        }
        Ok(self.done)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.as_ref().is_some_and(|(_, _, length)| self.split.is_some_and(|split| *length >= split)) {
            self.close()?;
            if self.done.len() >= MOST {
                return Err(io::Error::other(format!(
                    "the bundle would have more than {MOST} parts; make them larger"
                )));
            }
        }
        if self.open.is_none() {
            self.open = Some((NamedTempFile::new_in(self.folder())?, Sha256::default(), 0));
        }
        let Some((file, digest, length)) = &mut self.open else { return Ok(0) };
        let room = self.split.map_or(u64::MAX, |split| split - *length);
        let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        file.write_all(bytes)?;
        digest.update(bytes);
        *length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a bundle: its file, or its parts as one.
pub struct Reader {
    parts: Vec<(PathBuf, File, u64)>,
    /// Of the parts, where their list is there.
    sums: Vec<String>,
    at: u64,
}

impl Reader {
    /// Opens a bundle by its file, or by its list of sums or any of its parts; the others lie beside it or are named too.
    ///
    /// # Errors
    /// `mirror_part_missing`; `unreadable_file`.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let (files, sums) = match paths.iter().find_map(|path| stem(path)) {
            None => (paths.to_vec(), Vec::new()),
            Some(whole) => parts(&whole, paths)?,
        };
        let open = |path: PathBuf| {
            let file = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
            let (metadata, file) = file.map_err(|cause| {
                Error::invalid("unreadable_file", format!("{} cannot be read: {cause}.", path.display()))
            })?;
            Ok((path, file, metadata.len()))
        };
        Ok(Self { parts: files.into_iter().map(open).collect::<Result<_>>()?, sums, at: 0 })
    }

    /// Its length, in bytes.
    pub fn length(&self) -> u64 {
        self.parts.iter().map(|(_, _, length)| length).sum()
    }

    /// The first part that is not what the list of sums says.
    ///
    /// # Errors
    /// When a part cannot be read.
    pub fn damaged(&self) -> io::Result<Option<PathBuf>> {
        for ((path, ..), sum) in self.parts.iter().zip(&self.sums) {
            let (mut file, mut digest, mut piece) = (File::open(path)?, Sha256::default(), vec![0; 256 << 10]);
            loop {
                match file.read(&mut piece)? {
                    0 => break,
                    count => digest.update(&piece[..count]),
                }
            }
            if digest.hex() != *sum {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }
}

/// The bundle that a part or a list is of.
fn stem(path: &Path) -> Option<PathBuf> {
    let ending = path.extension()?.to_str()?;
    let numbered = ending.len() == 3 && ending.bytes().all(|byte| byte.is_ascii_digit());
    (numbered || ending == SUMS).then(|| path.with_extension(""))
}

fn parts(whole: &Path, given: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let list = whole.with_added_extension(SUMS);
    let named = |name: &str| given.iter().find(|path| path.file_name().is_some_and(|file| file == name)).cloned();
    let beside = |name: &str| whole.with_file_name(name);
    let listed = named(&list.file_name().unwrap_or_default().to_string_lossy()).unwrap_or(list);
    let Ok(text) = fs::read_to_string(&listed) else {
        let numbered = (1..=MOST).map(|number| whole.with_added_extension(format!("{number:03}")));
        let found: Vec<PathBuf> = numbered.take_while(|path| path.exists()).collect();
        return Ok((if found.is_empty() { given.to_vec() } else { found }, Vec::new()));
    };
    let (mut files, mut sums) = (Vec::new(), Vec::new());
    let all = text.lines().take(MOST).filter_map(|line| line.split_once("  ")).collect::<Vec<_>>();
    for (at, (sum, name)) in all.iter().enumerate() {
        let plain = !name.contains('/');
        let path = named(name).unwrap_or_else(|| beside(name));
        if !plain || !path.exists() {
            let sentence = format!(
                "Part {} of {} is missing: {name}. Put all parts into one folder, or name each of them.",
                at + 1,
                all.len()
            );
            return Err(Error::new(Kind::NotFound, "mirror_part_missing", sentence));
        }
        files.push(path);
        sums.push((*sum).to_owned());
    }
    Ok((files, sums))
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut start = 0;
        for (_, file, length) in &mut self.parts {
            if self.at < start + *length {
                file.seek(SeekFrom::Start(self.at - start))?;
                let left = usize::try_from(start + *length - self.at).unwrap_or(usize::MAX);
                let most = into.len().min(left);
                let count = file.read(&mut into[..most])?;
                self.at += count as u64;
                return Ok(count);
            }
            start += *length;
        }
        Ok(0)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.length(), by),
        };
        self.at = from.checked_add_signed(by).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_file_again() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..1000_u32).map(|number| (number % 251) as u8).collect();
        for split in [None, Some(1), Some(333), Some(500), Some(5000)] {
            let target = folder.path().join(format!("{}.tar", split.unwrap_or(0)));
            if split == Some(1) {
                let mut writer = Writer::new(&target, split);
                assert!(writer.write_all(&bytes).is_err(), "more than {MOST} parts");
                continue;
            }
            let mut writer = Writer::new(&target, split);
            writer.write_all(&bytes).unwrap();
            let written = writer.finish().unwrap();
            let mut read = Vec::new();
            let mut reader = Reader::open(&[written.last().unwrap().path.clone()]).unwrap();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes, "{split:?}");
            reader.seek(SeekFrom::Start(499)).unwrap();
            let mut two = [0; 2];
            reader.read_exact(&mut two).unwrap();
            assert_eq!(two, bytes[499..501]);
            assert_eq!(reader.damaged().unwrap(), None);
        }
    }

    #[test]
    fn a_missing_or_damaged_part_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.tar");
        let mut writer = Writer::new(&target, Some(4));
        writer.write_all(b"0123456789").unwrap();
        let parts = writer.finish().unwrap();
        assert_eq!(parts.len(), 3);
        fs::write(&parts[1].path, "4x67").unwrap();
        let list = target.with_added_extension(SUMS);
        assert_eq!(Reader::open(std::slice::from_ref(&list)).unwrap().damaged().unwrap(), Some(parts[1].path.clone()));
        fs::remove_file(&parts[1].path).unwrap();
        let error = Reader::open(&[list]).err().unwrap();
        assert_eq!(error.code(), "mirror_part_missing");
        assert!(error.message().contains("Part 2 of 3"), "{error}");
    }
}

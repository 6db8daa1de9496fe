//! The end of the server's logs.
//!
//! Invariant: at most so many bytes are read, the newest first, from the folder's own files, and lines stay whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Part;

/// The most files that are looked at.
const MOST: usize = 100;

/// The newest files of the folder, until `most` bytes are together.
pub(super) fn newest(folder: &Path, most: u64) -> Vec<Part> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_log(path)).take(MOST).collect();
    // Their names end with the date.
    files.sort_unstable();
    let (mut parts, mut left) = (Vec::new(), most);
    for file in files.iter().rev() {
        let Some(bytes) = end_of(file, left).filter(|bytes| !bytes.is_empty()) else { continue };
        left = left.saturating_sub(bytes.len() as u64);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        parts.push(Part { name: format!("logs/{name}"), bytes });
    }
    parts
}

fn is_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("resoftai") && name.ends_with(".log") && path.symlink_metadata().is_ok_and(|file| file.is_file())
}

/// The last `most` bytes, from the beginning of a line on.
fn end_of(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let from = length.saturating_sub(most);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    if from > 0 {
        let cut = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..cut);
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_come_first_and_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in
            [("resoftai.2026-01-01.log", "one\ntwo\n"), ("resoftai.2026-01-02.log", "three\n"), ("else.txt", "no")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let read = |most| {
            let parts = newest(dir.path(), most).into_iter();
            parts.map(|part| (part.name, String::from_utf8(part.bytes).unwrap())).collect::<Vec<_>>()
        };
        let part = |name: &str, text: &str| (format!("logs/resoftai.2026-01-{name}.log"), text.to_owned());
        assert_eq!(read(1000), [part("02", "three\n"), part("01", "one\ntwo\n")]);
        assert_eq!(read(12), [part("02", "three\n"), part("01", "two\n")]);
        assert_eq!(read(3), []);
    }
}

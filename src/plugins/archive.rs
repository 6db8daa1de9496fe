//! A plugin as one upload: tar or zip.
//!
//! Invariant: nothing touches the disk here; what comes out is bounded whatever the archive claims, and every path was
//! checked. Links are refused, not followed.

use std::io::{Cursor, Read};

use tar::EntryType;

use super::manifest::wrong;
use super::package::{Files, too_large};
use super::paths::is_debris;
use crate::base::error::Result;

/// Files and folders of a zip archive, at most.
const MAX_ENTRIES: usize = 10_000;
/// Bytes of a zip's end record without its comment.
const END_RECORD: usize = 22;

/// The files of a tar or zip archive, without the one folder around them. May compute for a while: call it off the
/// runtime's threads.
///
/// # Errors
/// `invalid_archive`-like sentences under `invalid_plugin`; `plugin_too_large`.
pub fn unpack(bytes: &[u8]) -> Result<Files> {
    let files = if bytes.starts_with(b"PK") { from_zip(bytes)? } else { from_tar(bytes)? };
    Ok(files.unwrapped())
}

fn damaged(why: &dyn std::fmt::Display) -> crate::base::error::Error {
    wrong(format!("The upload is no readable tar or zip archive: {why}. Send the folder packed by tar or zip."))
}

fn from_tar(bytes: &[u8]) -> Result<Files> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(damaged(&"it is compressed with gzip"));
    }
    let mut files = Files::default();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().map_err(|cause| damaged(&cause))? {
        let entry = entry.map_err(|cause| damaged(&cause))?;
        let path = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| wrong("A path in the archive is not UTF-8."))?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => take(&mut files, &path, entry)?,
            EntryType::Directory | EntryType::XGlobalHeader => {}
            other => return Err(refused(&path, other)),
        }
    }
    Ok(files)
}

fn refused(path: &str, kind: EntryType) -> crate::base::error::Error {
    let what = match kind {
        EntryType::Symlink | EntryType::Link => "a link",
        _ => "neither a file nor a folder",
    };
    wrong(format!("{path:?} in the archive is {what}. Pack the file itself."))
}

fn from_zip(bytes: &[u8]) -> Result<Files> {
    let mut files = Files::default();
    // The library makes one of entries that have the same name.
    let promised = entries_promised(bytes);
    if promised.is_none_or(|count| count > MAX_ENTRIES) {
        return Err(promised.map_or_else(|| damaged(&"its end is missing"), |_| too_large()));
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|cause| damaged(&cause))?;
    if promised != Some(archive.len()) {
        return Err(wrong("The archive holds a file twice. A package has each file once."));
    }
    for number in 0..archive.len() {
        let entry = archive.by_index(number).map_err(|cause| damaged(&cause))?;
        if entry.is_dir() {
            continue;
        }
        let path = entry.name().to_owned();
        if entry.is_symlink() {
            return Err(refused(&path, EntryType::Symlink));
        }
        take(&mut files, &path, entry)?;
    }
    Ok(files)
}

/// The number of entries in a zip's end record (APPNOTE 4.3.16), read before anything is made of them. Of an archive with
/// more than 65,534, which is too many here, it is 65,535.
fn entries_promised(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(END_RECORD + usize::from(u16::MAX));
    let at = from + bytes[from..].windows(4).rposition(|word| word == b"PK\x05\x06")?;
    let count = bytes.get(at + 10..at + 12)?;
    Some(usize::from(u16::from_le_bytes([count[0], count[1]])))
}

/// The size an entry claims is not believed: only what fits is read.
fn take(files: &mut Files, path: &str, entry: impl Read) -> Result<()> {
    let path = path.strip_prefix("./").unwrap_or(path);
    if is_debris(path) {
        return Ok(());
    }
    let room = files.room();
    let mut content = Vec::new();
    entry.take(room as u64 + 1).read_to_end(&mut content).map_err(|cause| damaged(&cause))?;
    if content.len() > room {
        return Err(too_large());
    }
    files.add(path, content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::plugins::package::{MAX_TOTAL, Package};

    const MANIFEST: &str =
        r#"{"name":"A","slug":"a","version":"1.0.0","category":"utility","entry_point":"main.py:A"}"#;

    fn tar_of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // Written raw: the library refuses to write what must be refused when read.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if *kind == EntryType::Symlink {
                header.set_link_name_literal("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, content) in entries {
            writer.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn tar_and_zip_with_and_without_a_folder_around() {
        let (file, manifest) = (EntryType::Regular, MANIFEST.as_bytes());
        for bytes in [
            tar_of(&[("plugin.json", file, manifest), ("main.py", file, b"x"), (".git/config", file, b"x")]),
            tar_of(&[("a/", EntryType::Directory, b""), ("a/plugin.json", file, manifest), ("a/main.py", file, b"x")]),
            tar_of(&[("./plugin.json", file, manifest), ("./main.py", file, b"x")]),
            zip_of(&[("plugin.json", manifest), ("main.py", b"x")]),
            zip_of(&[("a/plugin.json", manifest), ("a/main.py", b"x")]),
        ] {
            assert_eq!(Package::new(unpack(&bytes).unwrap()).unwrap().paths(), ["main.py", "plugin.json"]);
        }
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused() {
        let file = EntryType::Regular;
        for bytes in [
            tar_of(&[("../main.py", file, b"x")]),
            tar_of(&[("a/../../main.py", file, b"x")]),
            tar_of(&[("/etc/main.py", file, b"x")]),
            tar_of(&[("a\\main.py", file, b"x")]),
            tar_of(&[("main.py", EntryType::Symlink, b"")]),
            tar_of(&[("main.py", EntryType::Fifo, b"")]),
            tar_of(&[("main.py", file, b"x"), ("main.py", file, b"y")]),
            zip_of(&[("../main.py", b"x")]),
            zip_of(&[("/main.py", b"x")]),
            b"neither".to_vec(),
            b"PK\x03\x04 but no more".to_vec(),
            vec![0x1f, 0x8b, 8],
        ] {
            assert_eq!(unpack(&bytes).unwrap_err().code(), "invalid_plugin");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let bomb = zip_of(&[("main.py", &vec![0; MAX_TOTAL + 1])]);
        assert!(bomb.len() < MAX_TOTAL / 100);
        assert_eq!(unpack(&bomb).unwrap_err().code(), "plugin_too_large");
        let many: Vec<String> = (0..5_001).map(|number| format!("f{number}")).collect();
        let entries: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert_eq!(unpack(&zip_of(&entries)).unwrap_err().code(), "plugin_too_large");
    }

    proptest::proptest! {
        /// Whatever bytes come, there is an answer, and what is taken stays inside the folder.
        #[test]
        fn damage_is_refused_or_harmless(
            zip in proptest::bool::ANY,
            damage in proptest::collection::vec((0_usize..2_000, proptest::num::u8::ANY), 1..20),
        ) {
            let mut bytes = if zip {
                zip_of(&[("a/plugin.json", MANIFEST.as_bytes()), ("a/main.py", b"x")])
            } else {
                let file = EntryType::Regular;
                tar_of(&[("a/plugin.json", file, MANIFEST.as_bytes()), ("a/main.py", file, b"x")])
            };
            for (at, byte) in damage {
                let length = bytes.len();
                bytes[at % length] = byte;
            }
            if let Ok(package) = unpack(&bytes).and_then(Package::new) {
                proptest::prop_assert!(package.paths().iter().all(|path| crate::plugins::paths::check_path(path).is_ok()));
            }
        }
    }
}

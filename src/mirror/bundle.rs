//! A bundle: a repository's metadata and contents as one tar stream, the way they travel.
//!
//! Invariant: the metadata comes first, in one compressed entry, so that everything behind it can be judged as it arrives;
//! contents are not compressed again. Unpacked, the metadata below `metadata/`, a whole bundle is a TUF repository. Nothing
//! here believes what it reads: sizes are bounded, and what is read is verified by others.

use std::io::{Read, Write};

use bytes::Bytes;
use tar::{Archive, Builder, Entries, EntryType, Header};

use super::verify::Metadata;
use super::{Content, names};
use crate::base::error::{Error, Result};

/// The first entry.
pub const METADATA: &str = "metadata.tar.zst";
/// Folder of the contents.
const TARGETS: &str = "targets/";
/// The metadata, compressed and not, in bytes, and its files.
const MOST_PACKED: u64 = 64 << 20;
const MOST_UNPACKED: u64 = 128 << 20;
const MOST_FILES: usize = 2_100;
/// How hard the metadata is compressed: a bundle of one small change is mostly metadata.
const LEVEL: i32 = 19;
/// What ends a tar archive.
pub const END: usize = 1024;

fn unreadable(why: impl std::fmt::Display) -> Error {
    let sentence =
        format!("This is no bundle of a mirror, or a damaged one: {why}. Make it with `resoftai mirror export`.");
    Error::invalid("mirror_bundle", sentence)
}

/// Metadata as the first entry holds it; the same files give the same bytes.
///
/// # Errors
/// When the library refuses, which would be a fault of ours.
pub fn pack(metadata: &Metadata) -> Result<Vec<u8>> {
    let mut packer = zstd::Encoder::new(Vec::new(), LEVEL)?;
    let mut tar = Vec::new();
    for (name, bytes) in metadata {
        tar.extend(head(name, bytes.len() as u64)?);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + END, 0);
    packer.write_all(&tar)?;
    Ok(packer.finish()?)
}

/// What stands in the archive before `length` bytes of a file.
///
/// # Errors
/// When the path cannot be one in an archive.
pub fn head(path: &str, length: u64) -> Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o644);
    header.set_entry_type(EntryType::Regular);
    let mut builder = Builder::new(Vec::new());
    builder.append_data(&mut header, path, std::io::empty())?;
    let mut bytes = builder.into_inner()?;
    bytes.truncate(bytes.len() - END);
    Ok(bytes)
}

/// How many zeros stand behind `length` bytes of a file.
pub fn padding(length: u64) -> usize {
    usize::try_from(length.next_multiple_of(512) - length).unwrap_or_default()
}

/// Where a bundle has a content.
pub fn path(content: &Content) -> String {
    format!("{TARGETS}{}", names::place(&content.name, &content.sha256))
}

/// The hash of the content at `path` in a bundle.
pub fn hash(path: &str) -> Option<&str> {
    path.strip_prefix(TARGETS).and_then(names::placed).map(|(hash, _)| hash)
}

/// Reads the first entry.
///
/// # Errors
/// `mirror_bundle`.
pub fn first<R: Read>(entries: &mut Entries<'_, R>) -> Result<Metadata> {
    let mut entry = entries.next().ok_or_else(|| unreadable("it is empty"))?.map_err(unreadable)?;
    let size = entry.size();
    if entry.path_bytes().as_ref() != METADATA.as_bytes() || entry.header().entry_type() != EntryType::Regular {
        return Err(unreadable(format!("it does not begin with {METADATA}")));
    }
    if size > MOST_PACKED {
        return Err(unreadable(format!("its metadata has more than {MOST_PACKED} bytes")));
    }
    let mut packed = Vec::new();
    entry.read_to_end(&mut packed).map_err(unreadable)?;
    if packed.len() as u64 != size {
        return Err(unreadable("it ends within its metadata"));
    }
    unpack(&packed)
}

fn unpack(packed: &[u8]) -> Result<Metadata> {
    let plain = zstd::Decoder::new(packed).map_err(unreadable)?.take(MOST_UNPACKED);
    let mut archive = Archive::new(plain);
    let mut metadata = Metadata::new();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(unreadable)?;
        if entry.header().entry_type() != EntryType::Regular || name.contains('/') || metadata.len() >= MOST_FILES {
            return Err(unreadable("its metadata holds what is not a file, or too many files"));
        }
        let mut bytes = Vec::new();
        let size = entry.size();
        entry.read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 != size || std::str::from_utf8(&bytes).is_err() {
            return Err(unreadable(format!("the metadata file {name:?} is cut off or no text")));
        }
        metadata.insert(name, Bytes::from(bytes));
    }
    Ok(metadata)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        [("1.root.json", "{}"), ("timestamp.json", "[1]")].map(|(name, text)| (name.to_owned(), text.into())).into()
    }

    fn bundle(packed: &[u8], name: &str) -> Vec<u8> {
        let mut bytes = head(name, packed.len() as u64).unwrap();
        bytes.extend_from_slice(packed);
        bytes.resize(bytes.len() + padding(packed.len() as u64) + END, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Metadata> {
        first(&mut Archive::new(bytes).entries().unwrap())
    }

    #[test]
    fn metadata_comes_back_as_it_was_packed() {
        let packed = pack(&metadata()).unwrap();
        assert_eq!(pack(&metadata()).unwrap(), packed);
        assert_eq!(read(&bundle(&packed, METADATA)).unwrap(), metadata());
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        let packed = pack(&metadata()).unwrap();
        let whole = bundle(&packed, METADATA);
        for bytes in [
            &whole[..0],
            &whole[..512],
            &whole[..600],
            b"not a tar at all",
            &bundle(&packed, "other"),
            &bundle(b"x", METADATA),
        ] {
            assert_eq!(read(bytes).unwrap_err().code(), "mirror_bundle", "{} bytes", bytes.len());
        }
        let long = format!("{TARGETS}models/{}.{}.gguf", "a".repeat(64), "m".repeat(100));
        let mut archive = bundle(b"abc", &long);
        archive.truncate(archive.len() - END);
        let read = Archive::new(&archive[..]).entries().unwrap().next().unwrap().unwrap().path_bytes().into_owned();
        assert_eq!(hash(std::str::from_utf8(&read).unwrap()), Some("a".repeat(64).as_str()));
    }

    #[test]
    fn a_bomb_of_metadata_is_refused() {
        let bomb: Metadata = [("a".to_owned(), Bytes::from(vec![b' '; MOST_UNPACKED as usize + 1]))].into();
        let packed = pack(&bomb).unwrap();
        assert!(packed.len() < 1 << 20);
        assert_eq!(read(&bundle(&packed, METADATA)).unwrap_err().code(), "mirror_bundle");
    }
}

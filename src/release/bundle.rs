//! A bundle: one gzipped tar with one folder in it. First in the folder comes the signature, then the sums of all other
//! files, which it is of, then those files.
//!
//! Invariant: so each byte can be judged as it arrives: a file that no sum names is refused before it is read, one that
//! differs from its sum when it ends, and a sum without a file at the end. Sizes and counts are bounded, and there are no
//! links, devices or paths that lead elsewhere.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use tar::{Archive, Entries, Entry, EntryType};

use crate::base::crypto::{Sha256, sha256_hex};
use crate::base::error::{Error, Result};
use crate::base::minisign::{self, PublicKey, Signed};

/// The first file: the signature of the second.
pub const SIGNATURE: &str = "RESOFTAI-BUNDLE.minisig";
/// The second file, as `sha256sum` writes it.
pub const SUMS: &str = "SHA256SUMS";
/// The file that says which version this is.
pub const VERSION: &str = "VERSION";
/// The file that says when it was made, in seconds since 1970.
pub const BUILT: &str = "BUILT";
/// Of one bundle, unpacked, in bytes.
const MOST_BYTES: u64 = 4 << 30;
const MOST_FILES: usize = 20_000;
const MOST_SUMS: u64 = 4 << 20;
const LONGEST_VERSION: u64 = 64;
/// Zeros behind the last file, at most.
const MOST_PADDING: u64 = 64 * 1024;

/// A bundle that is whole and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub version: String,
    /// How many files the sums name.
    pub files: usize,
    pub signed: Signed,
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::invalid("release_bundle", format!("This bundle is not to be installed: {why}."))
}

fn unreadable(cause: impl std::fmt::Display) -> Error {
    refused(format!("it is damaged, or no bundle at all ({cause})"))
}

/// Reads a whole bundle and checks that one of `keys` stands for it.
///
/// # Errors
/// `release_bundle`, with what is wrong.
pub fn verify(packed: impl Read, keys: &[PublicKey]) -> Result<Bundle> {
    read(packed, keys, &Place(None))
}

/// Does the same and puts the files below `folder`, which has to be empty. What lies there counts only when this returns.
///
/// # Errors
/// `release_bundle`, with what is wrong; `release_unpack` when a file cannot be written.
pub fn unpack(packed: impl Read, keys: &[PublicKey], folder: &Path) -> Result<Bundle> {
    read(packed, keys, &Place(Some(folder.to_owned())))
}

fn read(packed: impl Read, keys: &[PublicKey], place: &Place) -> Result<Bundle> {
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(packed)).take(MOST_BYTES));
    let mut files = Files { entries: archive.entries().map_err(unreadable)?.raw(true), root: None, count: 0 };
    let signature = match files.next()? {
        Some((path, entry)) if path == SIGNATURE => text(entry, minisign::TEXT_LIMIT)?,
        Some((path, _)) if path == SUMS => return Err(refused(format!("nobody signed it; it has no {SIGNATURE}"))),
        _ => return Err(refused(format!("it does not begin with {SIGNATURE}"))),
    };
    let sums = match files.next()? {
        Some((path, entry)) if path == SUMS => text(entry, MOST_SUMS)?,
        _ => return Err(refused(format!("{SUMS} does not follow {SIGNATURE}"))),
    };
    let signed = minisign::verify(keys, &signature, sums.as_bytes())
        .map_err(|why| refused(format!("its signature does not count: {why}")))?;
    place.file(SIGNATURE, false)?.write_all(signature.as_bytes())?;
    place.file(SUMS, false)?.write_all(sums.as_bytes())?;
    let mut sums = parse(&sums)?;
    let count = sums.len();
    let mut version = None;
    while let Some((path, mut entry)) = files.next()? {
        let sum = sums.remove(&path).ok_or_else(|| refused(format!("{path} is not in {SUMS}, or twice in it")))?;
        let runs = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let mut out = place.file(&path, runs)?;
        let found = if path == VERSION {
            let text = text(entry, LONGEST_VERSION)?;
            let sum = sha256_hex(text.as_bytes());
            out.write_all(text.as_bytes())?;
            version = Some(text.trim().to_owned());
            sum
        } else {
            copy(&mut entry, &mut out)?
        };
        if found != sum {
            return Err(refused(format!("{path} is not what {SUMS} says")));
        }
    }
    if let Some(path) = sums.keys().next() {
        return Err(refused(format!("{path} is in {SUMS} and not in the bundle")));
    }
    end(archive)?;
    let version = version.ok_or_else(|| refused(format!("it has no {VERSION}")))?;
    match signed.field("version") {
        Some(said) if said != version => {
            Err(refused(format!("the signature is for version {said}, and this is {version}")))
        }
        _ => Ok(Bundle { version, files: count, signed }),
    }
}

/// The files of a bundle below its one folder.
struct Files<'a, R: Read> {
    entries: Entries<'a, R>,
    root: Option<String>,
    count: usize,
}

impl<'a, R: Read> Files<'a, R> {
    /// The next file; folders are passed over.
    fn next(&mut self) -> Result<Option<(String, Entry<'a, R>)>> {
        for entry in self.entries.by_ref() {
            let entry = entry.map_err(unreadable)?;
            self.count += 1;
            if self.count > MOST_FILES {
                return Err(refused(format!("it has more than {MOST_FILES} files")));
            }
            let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(unreadable)?;
            let (root, below) = path.split_once('/').unwrap_or((&path, ""));
            if self.root.get_or_insert_with(|| root.to_owned()) != root {
                return Err(refused("it has more than one folder"));
            }
            match entry.header().entry_type() {
                EntryType::Directory => {}
                EntryType::Regular if is_plain(below) => return Ok(Some((below.to_owned(), entry))),
                _ => return Err(refused(format!("{path:?} is no file as a bundle has them"))),
            }
        }
        Ok(None)
    }
}

/// Whether a path says where a file lies below a folder, in one way only.
fn is_plain(path: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "/._+-@".contains(c);
    path.len() <= 250 && path.chars().all(known) && !path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn text(entry: impl Read, most: u64) -> Result<String> {
    let mut text = String::new();
    entry.take(most + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > most { Err(refused(format!("a text in it has more than {most} bytes"))) } else { Ok(text) }
}

/// Where the files go: below a folder, or nowhere.
struct Place(Option<PathBuf>);

impl Place {
    fn file(&self, path: &str, runs: bool) -> Result<Box<dyn Write>> {
        let Some(folder) = &self.0 else { return Ok(Box::new(io::sink())) };
        let path = folder.join(path);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mode = if runs { 0o755 } else { 0o644 };
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)
        });
        let file = made.map_err(|cause| {
            let sentence =
                format!("{} cannot be written: {cause}. Make room, or look who may write there.", path.display());
            Error::unavailable("release_unpack", sentence)
        })?;
        Ok(Box::new(file))
    }
}

/// Copies a file and returns the digest of it.
fn copy(entry: &mut impl Read, out: &mut impl Write) -> Result<String> {
    let (mut digest, mut piece) = (Sha256::default(), vec![0; 64 * 1024]);
    loop {
        match entry.read(&mut piece).map_err(unreadable)? {
            0 => return Ok(digest.hex()),
            read => {
                digest.update(&piece[..read]);
                out.write_all(&piece[..read])?;
            }
        }
    }
}

/// Digests by path.
fn parse(sums: &str) -> Result<BTreeMap<String, String>> {
    let mut parsed = BTreeMap::new();
    for line in sums.lines() {
        let wrong = || refused(format!("{SUMS} has a line that cannot be read: {line:?}"));
        let (sum, path) = line.split_once("  ").ok_or_else(wrong)?;
        let known = sum.len() == 64 && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !known || !is_plain(path) || parsed.insert(path.to_owned(), sum.to_owned()).is_some() {
            return Err(wrong());
        }
    }
    Ok(parsed)
}

/// Nothing but zeros may follow, and nothing behind the compressed stream.
fn end<R: Read>(archive: Archive<std::io::Take<GzDecoder<BufReader<R>>>>) -> Result<()> {
    let mut rest = archive.into_inner();
    let mut padding = Vec::new();
    rest.by_ref().take(MOST_PADDING + 1).read_to_end(&mut padding).map_err(unreadable)?;
    let mut packed = rest.into_inner().into_inner();
    let more = !packed.fill_buf().map_err(unreadable)?.is_empty();
    if more || padding.len() as u64 > MOST_PADDING || padding.iter().any(|byte| *byte != 0) {
        return Err(refused("something follows behind its last file"));
    }
    Ok(())
}

//! The parts as one archive.
//!
//! Invariant: the same parts at the same time are the same bytes; names are ours alone, below one folder.

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::Part;
use crate::base::clock::Time;
use crate::base::error::Result;

/// A `.tar.gz` with the parts below `folder`.
///
/// # Errors
/// When a name is longer than archives have them.
pub fn pack(folder: &str, parts: &[Part], now: Time) -> Result<Vec<u8>> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for part in parts {
        let mut header = Header::new_gnu();
        header.set_size(part.bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.unix_seconds()).unwrap_or_default());
        archive.append_data(&mut header, format!("{folder}/{}", part.name), part.bytes.as_slice())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

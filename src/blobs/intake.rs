//! Contents that come as a stream, whose hashes are known before, and that may be larger than memory.
//!
//! Invariant: a content gets its name after all of it was read, has the announced length and hash, and is on the disk. Many
//! small ones are put on the disk together, so what was taken counts only after [`Intake::settle`].

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use object_store::ObjectStoreExt;
use tempfile::NamedTempFile;

use super::{ASIDE, Blobs, Inner, failed, key, make_folder};
use crate::base::crypto::Sha256;
use crate::base::disk::Disk;
use crate::base::error::{Error, Result};

/// What may wait to be put on the disk, in bytes and in contents.
const WAITING_BYTES: u64 = 64 << 20;
const WAITING: usize = 512;
const PIECE: usize = 256 << 10;

/// Contents on their way in. Dropped, what was not settled is gone.
pub struct Intake {
    inner: Arc<Inner>,
    waiting: Vec<(NamedTempFile, String)>,
    bytes: u64,
    piece: Vec<u8>,
}

impl Blobs {
    /// Takes contents in. Whoever does this names their hashes in a row first, so that none is swept meanwhile.
    pub fn intake(&self) -> Intake {
        Intake { inner: Arc::clone(&self.inner), waiting: Vec::new(), bytes: 0, piece: vec![0; PIECE] }
    }

    /// How many bytes the content with this hash has, without reading it; None when it is not there.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn size(&self, hash: &str) -> Result<Option<u64>> {
        match self.inner.store.head(&key(hash)?).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(failed(hash, cause)),
        }
    }

    /// The content with this hash, piece by piece, however large; who reads it checks what it comes to.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn stream(&self, hash: &str) -> Result<(u64, impl Stream<Item = Result<Bytes>> + Send + 'static)> {
        let found = self.inner.store.get(&key(hash)?).await.map_err(|cause| failed(hash, cause))?;
        let size = found.meta.size;
        Ok((size, found.into_stream().map(|piece| piece.map_err(Error::internal))))
    }

    /// Bytes that the disk has room for.
    ///
    /// # Errors
    /// When the disk does not say.
    pub fn room(&self) -> Result<u64> {
        Ok(Disk::of(&self.inner.folder)?.free)
    }
}

impl Intake {
    /// Reads one content to its end. Blocks.
    ///
    /// # Errors
    /// `content_mismatch` when it is not `length` bytes with the SHA-256 `hash`; `content_cut_off` when `from` fails;
    /// `disk_full`.
    pub fn take(&mut self, from: &mut impl Read, hash: &str, length: u64) -> Result<()> {
        key(hash)?;
        let mut file = NamedTempFile::new_in(self.inner.folder.join(ASIDE))?;
        let (mut digest, mut read) = (Sha256::default(), 0_u64);
        loop {
            let count = from.read(&mut self.piece).map_err(cut_off)?;
            if count == 0 {
                break;
            }
            read += count as u64;
            if read > length {
                return Err(mismatch(hash));
            }
            digest.update(&self.piece[..count]);
            file.write_all(&self.piece[..count])?;
        }
        if read != length || digest.hex() != hash {
            return Err(mismatch(hash));
        }
        self.waiting.push((file, hash.to_owned()));
        self.bytes += length;
        if self.bytes >= WAITING_BYTES || self.waiting.len() >= WAITING {
            self.settle()?;
        }
        Ok(())
    }

    /// Puts what was taken on the disk and under its names. Blocks.
    ///
    /// # Errors
    /// `disk_full`, and when the disk fails.
    pub fn settle(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let disk = std::fs::File::open(&self.inner.folder)?;
        // One for all of them costs less than one each, and again for their names.
        rustix::fs::syncfs(&disk).map_err(std::io::Error::from)?;
        for (file, hash) in self.waiting.drain(..) {
            let folder = self.inner.folder.join(&hash[..2]).join(&hash[2..4]);
            make_folder(&folder)?;
            self.inner.unused().remove(&hash);
            file.persist(folder.join(&hash)).map_err(|refused| refused.error)?;
        }
        rustix::fs::syncfs(&disk).map_err(std::io::Error::from)?;
        self.bytes = 0;
        Ok(())
    }
}

fn cut_off(cause: std::io::Error) -> Error {
    let sentence = format!("What was sent ended before it was complete: {cause}. What came is kept; send it again.");
    Error::invalid("content_cut_off", sentence).caused_by(cause)
}

fn mismatch(hash: &str) -> Error {
    let sentence =
        format!("A content is not the one that was announced as {hash}: it was changed or cut off. Get it again.");
    Error::invalid("content_mismatch", sentence)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::base::crypto::sha256_hex;

    #[tokio::test]
    async fn contents_get_their_names_when_they_are_whole_and_settled() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs")).await.unwrap();
        let hash = sha256_hex(b"abc");
        let mut intake = blobs.intake();
        for (bytes, length) in [(&b"abd"[..], 3), (b"ab", 3), (b"abcd", 3), (b"abc", 2)] {
            assert_eq!(intake.take(&mut &*bytes, &hash, length).unwrap_err().code(), "content_mismatch");
        }
        intake.take(&mut &b"abc"[..], &hash, 3).unwrap();
        assert_eq!(blobs.size(&hash).await.unwrap(), None);
        intake.settle().unwrap();
        assert_eq!(blobs.size(&hash).await.unwrap(), Some(3));
        assert_eq!(blobs.get(&hash, 3).await.unwrap(), "abc");
        let (size, pieces) = blobs.stream(&hash).await.unwrap();
        let pieces: Vec<_> = pieces.map(Result::unwrap).collect().await;
        assert_eq!((size, pieces.concat()), (3, b"abc".to_vec()));
        assert_eq!(std::fs::read_dir(dir.path().join("blobs/tmp")).unwrap().count(), 0);
    }
}

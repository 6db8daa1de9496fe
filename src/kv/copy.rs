//! Copying the whole store: out of one state of it, and into an empty one.
//!
//! A copy is records in the order of namespaces and keys, each `namespace length u16, key length u16, value length u32, end
//! i64`, little-endian, and then the three; `end` is microseconds since 1970, or the largest number for ever.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::view::{NEVER, Name, VALUES, Value};
use super::{Kv, MAX_KEY, MAX_NAMESPACE, MAX_VALUE, OwnedSemaphorePermit, WAIT_LIMIT, busy, failed, storage};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};

const HEADER: usize = 16;
/// Bytes that one transaction takes in.
const BATCH: usize = 4 << 20;

/// Keeps everybody from writing until it is dropped.
pub struct Pause(#[expect(dead_code, reason = "what it holds is the writer's turn")] OwnedSemaphorePermit);

/// One state of the store.
pub struct Snapshot(ReadOnlyTable<Name, Value>);

impl Kv {
    /// Waits for the writer's turn and keeps it.
    ///
    /// # Errors
    /// `kv_busy`.
    pub async fn pause(&self) -> Result<Pause> {
        let turn = Arc::clone(&self.inner.writer).acquire_owned();
        let turn = tokio::time::timeout(WAIT_LIMIT, turn).await.map_err(|_| busy())?;
        turn.map(Pause).map_err(Error::internal)
    }

    /// The state of now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.inner.with(|database| {
            let transaction = database.begin_read().map_err(|cause| failed(cause.into()))?;
            transaction.open_table(VALUES).map(Snapshot).map_err(|cause| failed(cause.into()))
        })
    }

    /// Puts a copy's records in; those that ended are left out.
    ///
    /// # Errors
    /// `kv_copy` when it is none.
    pub async fn load(&self, copy: &mut (impl Read + Send), now: Time) -> Result<u64> {
        let mut records = 0;
        let mut next = read(copy)?;
        while let Some(first) = next.take() {
            let namespace = first.namespace.clone();
            let (mut batch, mut bytes) = (vec![first], 0);
            while bytes < BATCH {
                next = read(copy)?;
                match next.take() {
                    Some(record) if record.namespace == namespace => {
                        bytes += record.value.len();
                        batch.push(record);
                    }
                    other => {
                        next = other;
                        break;
                    }
                }
            }
            if next.is_none() && bytes >= BATCH {
                next = read(copy)?;
            }
            records += batch.len() as u64;
            self.update(&namespace, move |view| {
                for record in batch.into_iter().filter(|record| record.end > now.0) {
                    let expires = (record.end != NEVER).then_some(Time(record.end));
                    view.put(&record.key, &record.value, expires)?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(records)
    }
}

impl Snapshot {
    /// Hands the copy to `take`, a record at a time.
    ///
    /// # Errors
    /// Those of `take`, or when the file cannot be read.
    pub fn copy(&self, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut record = Vec::new();
        for entry in self.0.iter().map_err(storage)? {
            let (place, content) = entry.map_err(storage)?;
            let ((namespace, key), (end, value)) = (place.value(), content.value());
            record.clear();
            let short = |length: usize| u16::try_from(length).map_err(Error::internal);
            record.extend_from_slice(&short(namespace.len())?.to_le_bytes());
            record.extend_from_slice(&short(key.len())?.to_le_bytes());
            record.extend_from_slice(&u32::try_from(value.len()).map_err(Error::internal)?.to_le_bytes());
            record.extend_from_slice(&end.to_le_bytes());
            record.extend_from_slice(namespace.as_bytes());
            record.extend_from_slice(key);
            record.extend_from_slice(value);
            take(&record)?;
        }
        Ok(())
    }
}

struct Record {
    namespace: String,
    key: Vec<u8>,
    value: Vec<u8>,
    end: i64,
}

/// The next record; None at the end.
fn read(copy: &mut impl Read) -> Result<Option<Record>> {
    let mut header = [0; HEADER];
    match copy.read_exact(&mut header[..1]) {
        Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut exact = |bytes: &mut [u8]| copy.read_exact(bytes).map_err(|_| damaged());
    exact(&mut header[1..])?;
    let [n0, n1, k0, k1, v0, v1, v2, v3, end @ ..] = header;
    let namespace = usize::from(u16::from_le_bytes([n0, n1]));
    let key = usize::from(u16::from_le_bytes([k0, k1]));
    let value = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
    if namespace > MAX_NAMESPACE || key > MAX_KEY || value > MAX_VALUE {
        return Err(damaged());
    }
    let mut part = |length: usize| {
        let mut bytes = vec![0; length];
        exact(&mut bytes).map(|()| bytes)
    };
    let namespace = String::from_utf8(part(namespace)?).map_err(|_| damaged())?;
    Ok(Some(Record { namespace, key: part(key)?, value: part(value)?, end: i64::from_le_bytes(end) }))
}

fn damaged() -> Error {
    Error::invalid("kv_copy", "The copy of the key-value store is damaged or cut off. Take another backup.")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, DAY};

    #[tokio::test]
    async fn a_copy_gives_the_same_store_and_a_cut_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let now = Time(1000 * DAY);
        let clock = Clock::from_fn(move || now);
        let store = Kv::open(&dir.path().join("a.redb"), clock.clone()).await.unwrap();
        for number in 0..300_u32 {
            let namespace = format!("space-{}", number % 3);
            let expires = (number % 2 == 0).then_some(now.plus(DAY));
            let value = vec![7; 40_000];
            store.put(&namespace, &number.to_be_bytes(), &value, expires).await.unwrap();
        }
        let pause = store.pause().await.unwrap();
        let snapshot = store.snapshot().unwrap();
        drop(pause);
        store.clear("space-1").await.unwrap();
        let mut copy = Vec::new();
        snapshot
            .copy(&mut |record| {
                copy.extend_from_slice(record);
                Ok(())
            })
            .unwrap();
        let other = Kv::open(&dir.path().join("b.redb"), clock.clone()).await.unwrap();
        assert_eq!(other.load(&mut copy.as_slice(), now).await.unwrap(), 300);
        for space in ["space-0", "space-1", "space-2"] {
            assert_eq!(other.usage(space).await.unwrap(), 100 * 40_004);
        }
        assert_eq!(other.get("space-1", &1_u32.to_be_bytes()).await.unwrap(), Some(vec![7; 40_000]));
        let late = Kv::open(&dir.path().join("c.redb"), Clock::from_fn(move || now.plus(2 * DAY))).await.unwrap();
        late.load(&mut copy.as_slice(), now.plus(2 * DAY)).await.unwrap();
        assert_eq!(late.usage("space-0").await.unwrap(), 50 * 40_004);
        let cut = &copy[..copy.len() - 1];
        let empty = Kv::open(&dir.path().join("d.redb"), clock).await.unwrap();
        assert_eq!(empty.load(&mut &*cut, now).await.unwrap_err().code(), "kv_copy");
    }
}

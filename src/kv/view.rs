//! The tables of the key-value store, and one namespace inside a transaction.
//!
//! Invariants: the usage of a namespace is the sum of its keys and values, changed in the same transaction as they are;
//! every value with an end has its line in the table of ends. Opening, waiting and threads belong to the parent.

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{failed, storage};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};

/// The longest namespace, in bytes.
pub const MAX_NAMESPACE: usize = 200;
/// The longest key, in bytes.
pub const MAX_KEY: usize = 1024;
/// The largest value, in bytes.
pub const MAX_VALUE: usize = 16 << 20;
/// Expired values that one write clears away: more than it can add, so they never pile up.
const SWEPT: usize = 64;
/// The end of what has none.
pub(super) const NEVER: i64 = i64::MAX;

pub(super) type Name = (&'static str, &'static [u8]);
pub(super) type Value = (i64, &'static [u8]);
type End = (i64, &'static str, &'static [u8]);

pub(super) const VALUES: TableDefinition<'_, Name, Value> = TableDefinition::new("values");
const ENDS: TableDefinition<'_, End, ()> = TableDefinition::new("ends");
const USAGE: TableDefinition<'_, &'static str, u64> = TableDefinition::new("usage");

/// Keys with their values.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) fn create_tables(database: &Database) -> Result<()> {
    let transaction = database.begin_write().map_err(|cause| failed(cause.into()))?;
    View::open(&transaction, "tables", Time(0))?;
    transaction.commit().map_err(|cause| failed(cause.into()))
}

pub(super) fn check_name(namespace: &str) -> Result<()> {
    match namespace.len() {
        1..=MAX_NAMESPACE => Ok(()),
        _ => {
            Err(Error::internal(format!("a namespace of {} bytes; 1 to {MAX_NAMESPACE} are allowed", namespace.len())))
        }
    }
}

fn too_large(what: &str, max: usize) -> Error {
    Error::new(Kind::TooLarge, "kv_too_large", format!("The {what} has more than the {max} bytes allowed. Shorten it."))
}

fn size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

fn get(table: &impl ReadableTable<Name, Value>, name: &str, key: &[u8], now: Time) -> Result<Option<Vec<u8>>> {
    let found = table.get((name, key)).map_err(storage)?;
    Ok(found.and_then(|found| {
        let (end, value) = found.value();
        (end > now.0).then(|| value.to_vec())
    }))
}

fn scan(
    table: &impl ReadableTable<Name, Value>,
    name: &str,
    prefix: &[u8],
    limit: usize,
    now: Time,
) -> Result<Entries> {
    let mut entries = Vec::new();
    for entry in table.range((name, prefix)..).map_err(storage)? {
        let (place, content) = entry.map_err(storage)?;
        let ((found, key), (end, value)) = (place.value(), content.value());
        if entries.len() >= limit || found != name || !key.starts_with(prefix) {
            break;
        }
        if end > now.0 {
            entries.push((key.to_vec(), value.to_vec()));
        }
    }
    Ok(entries)
}

fn usage(table: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64> {
    Ok(table.get(name).map_err(storage)?.map_or(0, |bytes| bytes.value()))
}

/// The tables of one snapshot.
pub(super) struct Read {
    values: ReadOnlyTable<Name, Value>,
    usage: ReadOnlyTable<&'static str, u64>,
}

impl Read {
    pub(super) fn new(transaction: &ReadTransaction) -> Result<Self> {
        let values = transaction.open_table(VALUES).map_err(|cause| failed(cause.into()))?;
        let usage = transaction.open_table(USAGE).map_err(|cause| failed(cause.into()))?;
        Ok(Self { values, usage })
    }

    pub(super) fn get(&self, name: &str, key: &[u8], now: Time) -> Result<Option<Vec<u8>>> {
        get(&self.values, name, key, now)
    }

    pub(super) fn scan(&self, name: &str, prefix: &[u8], limit: usize, now: Time) -> Result<Entries> {
        scan(&self.values, name, prefix, limit, now)
    }

    pub(super) fn usage(&self, name: &str) -> Result<u64> {
        usage(&self.usage, name)
    }

    pub(super) fn namespaces(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.usage.range(prefix..).map_err(storage)? {
            let name = entry.map_err(storage)?.0.value().to_owned();
            if !name.starts_with(prefix) {
                break;
            }
            names.push(name);
        }
        Ok(names)
    }
}

/// One namespace inside an update.
pub struct View<'t> {
    name: &'t str,
    now: Time,
    values: Table<'t, Name, Value>,
    ends: Table<'t, End, ()>,
    usage: Table<'t, &'static str, u64>,
}

impl<'t> View<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, name: &'t str, now: Time) -> Result<Self> {
        let values = transaction.open_table(VALUES).map_err(|cause| failed(cause.into()))?;
        let ends = transaction.open_table(ENDS).map_err(|cause| failed(cause.into()))?;
        let usage = transaction.open_table(USAGE).map_err(|cause| failed(cause.into()))?;
        Ok(Self { name, now, values, ends, usage })
    }

    /// The time this update sees.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The value of `key`, unless it expired.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.values, self.name, key, self.now)
    }

    /// Up to `limit` keys that start with `prefix`, in order, with their values.
    pub fn scan(&self, prefix: &[u8], limit: usize) -> Result<Entries> {
        scan(&self.values, self.name, prefix, limit, self.now)
    }

    /// Bytes of keys and values in the namespace, with what this update did so far: compare it with a quota and return
    /// an error to undo the update.
    pub fn usage(&self) -> Result<u64> {
        usage(&self.usage, self.name)
    }

    /// Sets `key`, for ever or until `expires`. Errors: `kv_too_large`.
    pub fn put(&mut self, key: &[u8], value: &[u8], expires: Option<Time>) -> Result<()> {
        if key.len() > MAX_KEY {
            return Err(too_large("key", MAX_KEY));
        }
        if value.len() > MAX_VALUE {
            return Err(too_large("value", MAX_VALUE));
        }
        self.remove(key)?;
        let end = expires.map_or(NEVER, |at| at.0);
        self.values.insert((self.name, key), (end, value)).map_err(storage)?;
        if end != NEVER {
            self.ends.insert((end, self.name, key), ()).map_err(storage)?;
        }
        self.count(|bytes| bytes.saturating_add(size(key, value)))
    }

    /// Removes `key`; whether it was there and had not expired.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool> {
        Ok(self.remove(key)?.is_some_and(|end| end > self.now.0))
    }

    /// Removes everything in the namespace.
    pub fn clear(&mut self) -> Result<()> {
        loop {
            let entries = scan(&self.values, self.name, &[], SWEPT, Time(i64::MIN))?;
            if entries.is_empty() {
                return Ok(());
            }
            for (key, _) in entries {
                self.remove(&key)?;
            }
        }
    }

    /// Takes `key` out of all tables; its end.
    fn remove(&mut self, key: &[u8]) -> Result<Option<i64>> {
        let removed = self.values.remove((self.name, key)).map_err(storage)?;
        let Some((end, bytes)) = removed.map(|old| (old.value().0, size(key, old.value().1))) else { return Ok(None) };
        if end != NEVER {
            self.ends.remove((end, self.name, key)).map_err(storage)?;
        }
        self.count(|before| before.saturating_sub(bytes))?;
        Ok(Some(end))
    }

    fn count(&mut self, change: impl FnOnce(u64) -> u64) -> Result<()> {
        match change(self.usage()?) {
            0 => self.usage.remove(self.name).map(drop),
            bytes => self.usage.insert(self.name, bytes).map(drop),
        }
        .map_err(storage)
    }
}

/// Clears away some of what expired, in any namespace.
pub(super) fn sweep(transaction: &WriteTransaction, now: Time) -> Result<()> {
    let ends = transaction.open_table(ENDS).map_err(|cause| failed(cause.into()))?;
    let mut due = Vec::new();
    for entry in ends.iter().map_err(storage)?.take(SWEPT) {
        let (place, ()) = entry.map(|(place, _)| (place, ())).map_err(storage)?;
        let (end, name, key) = place.value();
        if end > now.0 {
            break;
        }
        due.push((name.to_owned(), key.to_vec()));
    }
    drop(ends);
    for (name, key) in due {
        View::open(transaction, &name, now)?.remove(&key)?;
    }
    Ok(())
}

//! All SQL of failed sign-ins.

use super::{Count, Key, LONGEST, too_many_codes};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::{Tx, params};

/// What is left of the failures at `now`.
///
/// # Errors
/// When the database fails.
pub fn count(tx: &mut Tx<'_>, key: &Key, now: Time) -> Result<Count> {
    let kept = tx.query_row(
        "SELECT failures, until_at, forgiven_at FROM sign_in_failures WHERE key_hash = $1",
        &params![key.digest()],
        |row| {
            let failures: i64 = row.get(0)?;
            let failures = u32::try_from(failures).unwrap_or(u32::MAX);
            Ok(Count { failures, until: row.get(1)?, forgiven: row.get(2)? })
        },
    )?;
    let mut count = kept.unwrap_or_else(|| Count::new(now));
    count.decay(key, now);
    Ok(count)
}

/// [`count`] of an attempt's two keys.
///
/// # Errors
/// When the database fails.
pub fn counts(tx: &mut Tx<'_>, keys: &[Key; 2], now: Time) -> Result<[Count; 2]> {
    Ok([count(tx, &keys[0], now)?, count(tx, &keys[1], now)?])
}

/// Counts a code asked for, when it may be: the same rule as for failures, in one transaction.
///
/// # Errors
/// `codes_throttled` with the seconds to wait.
pub fn take(tx: &mut Tx<'_>, keys: &[Key; 2], now: Time) -> Result<()> {
    let counts = counts(tx, keys, now)?;
    let waits = keys.iter().zip(counts).filter_map(|(key, count)| count.wait(key, 0, now));
    if let Some(until) = waits.max() {
        return Err(too_many_codes(now, until));
    }
    fail(tx, keys, now)
}

/// Counts a failure of each, and forgets what is over.
///
/// # Errors
/// When the database fails.
pub fn fail(tx: &mut Tx<'_>, keys: &[Key], now: Time) -> Result<()> {
    tx.execute("DELETE FROM sign_in_failures WHERE until_at < $1", &params![now.plus(-LONGEST)])?;
    for key in keys {
        let mut count = count(tx, key, now)?;
        count.fail(key, now);
        tx.execute(
            "INSERT INTO sign_in_failures (key_hash, failures, until_at, forgiven_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (key_hash) DO UPDATE SET failures = excluded.failures, until_at = excluded.until_at, \
             forgiven_at = excluded.forgiven_at",
            &params![key.digest(), i64::from(count.failures), count.until, count.forgiven],
        )?;
    }
    Ok(())
}

/// Forgets the failures of a name, never those of an address: an attacker with one account must not reset the others'.
/// Whether there were any.
///
/// # Errors
/// When the database fails.
pub fn forget(tx: &mut Tx<'_>, name: &str) -> Result<bool> {
    let key = Key::name(name);
    Ok(tx.execute("DELETE FROM sign_in_failures WHERE key_hash = $1", &params![key.digest()])? > 0)
}

/// Failures of a name that count, and until when its sign-ins are refused.
///
/// # Errors
/// When the database fails.
pub fn state(tx: &mut Tx<'_>, name: &str, now: Time) -> Result<(u32, Option<Time>)> {
    let key = Key::name(name);
    let count = count(tx, &key, now)?;
    Ok((count.failures, count.locked(&key, now)))
}

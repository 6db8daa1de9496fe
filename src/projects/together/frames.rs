//! Several changes in one column: each behind its length in four bytes, the highest first.

/// What [`split`] takes apart again.
pub fn join(changes: &[Vec<u8>]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(changes.iter().map(|change| change.len() + 4).sum());
    for change in changes {
        // A change is smaller than a message, which is smaller than 4 GiB.
        joined.extend(u32::try_from(change.len()).unwrap_or(u32::MAX).to_be_bytes());
        joined.extend(change);
    }
    joined
}

/// The changes in `joined`, up to the first that is not whole.
pub fn split(mut joined: &[u8]) -> Vec<&[u8]> {
    let mut changes = Vec::new();
    while let Some((length, rest)) = joined.split_first_chunk::<4>() {
        let Some((change, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else { break };
        changes.push(change);
        joined = rest;
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_joined_comes_apart_again(changes: Vec<Vec<u8>>) {
            let joined = join(&changes);
            proptest::prop_assert_eq!(split(&joined), changes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}

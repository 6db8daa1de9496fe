//! A scale of times, and what can be read off it.
//!
//! Invariant: the scale never changes, so what was counted by it at different times and on different servers adds up. A time
//! that is read off it is at most 19 of 100 away from the true one (a factor of 2^¼), from 32 µs to nine minutes.

use std::time::Duration;

/// Places on the scale.
pub const BINS: usize = 50;
/// Where the places but the last end, in nanoseconds: each is √2 times the one before.
const ENDS: [u64; BINS - 1] = {
    let mut ends = [0; BINS - 1];
    let mut at = 0;
    while at < ends.len() {
        let first = if at.is_multiple_of(2) { 32_000 } else { 45_255 };
        ends[at] = first << (at / 2);
        at += 1;
    }
    ends
};

/// The place of a time.
pub fn bin(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    ENDS.partition_point(|end| *end < nanos)
}

/// The time that so many of 100 calls took at most, in milliseconds, from the counts by place; None without calls.
pub fn percentile(counts: &[i64; BINS], of_100: i64) -> Option<f64> {
    let total: i64 = counts.iter().sum();
    let rank = (total.saturating_mul(of_100) + 99) / 100;
    let mut so_far = 0;
    let place = counts.iter().position(|count| {
        so_far += count;
        so_far >= rank.max(1)
    });
    place.map(middle)
}

/// The geometric middle of a place, in milliseconds, to three digits that count.
fn middle(place: usize) -> f64 {
    let end = Duration::from_nanos(ENDS.get(place).copied().unwrap_or(ENDS[BINS - 2] * 2)).as_secs_f64() * 1000.0;
    let exact = end / std::f64::consts::SQRT_2.sqrt();
    let digits = 10_f64.powf(2.0 - exact.log10().floor());
    (exact * digits).round() / digits
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(times: &[u64]) -> [i64; BINS] {
        let mut counts = [0; BINS];
        times.iter().for_each(|micros| counts[bin(Duration::from_micros(*micros))] += 1);
        counts
    }

    #[test]
    fn nothing_is_read_off_an_empty_scale_and_what_is_off_it_stands_at_its_ends() {
        assert_eq!(percentile(&[0; BINS], 95), None);
        assert_eq!((bin(Duration::ZERO), bin(Duration::MAX)), (0, BINS - 1));
        assert_eq!(percentile(&counts(&[0]), 50), Some(0.0269));
    }

    proptest! {
        #[test]
        fn what_is_read_is_a_fifth_away_at_most_also_after_adding_up(
            mut one in prop::collection::vec(32_u64..500_000_000, 1..60),
            other in prop::collection::vec(32_u64..500_000_000, 0..60),
            of_100 in 1_i64..=100,
        ) {
            let (mut sum, more) = (counts(&one), counts(&other));
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            one.extend(other);
            one.sort_unstable();
            let rank = (one.len() * usize::try_from(of_100).unwrap()).div_ceil(100).max(1);
            let truth = Duration::from_micros(one[rank - 1]).as_secs_f64() * 1000.0;
            let read = percentile(&sum, of_100).unwrap();
            prop_assert!(read / truth < 1.2 && truth / read < 1.2, "{read} ms for {truth} ms");
        }
    }
}

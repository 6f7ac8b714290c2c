//! Latencies in bounded memory: buckets whose width is at most a part in 64 of what they hold, so that a percentile is off by
//! less than 1.6 %. Count, sum and longest are exact.
//!
//! ```text
//! nanoseconds   0 … 127        a bucket each
//!               128 … 255      64 buckets of 2
//!               256 … 511      64 buckets of 4      and so on, up to 2^64
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

/// Buckets in each doubling, as a power of two.
const BITS: u32 = 6;
/// Values below this have a bucket each.
const EXACT: u64 = 2 << BITS;
/// Doublings above [`EXACT`], and the exact ones.
const BUCKETS: usize = EXACT as usize + ((64 - BITS as usize - 1) << BITS);
/// Different texts of errors that are kept apart; the others are counted together.
const ERRORS_MAX: usize = 20;
/// Longest text of an error, in characters.
const ERROR_LENGTH_MAX: usize = 200;

/// Latencies, counted.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum_ns: u128,
    longest_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            sum_ns: 0,
            longest_ns: 0,
        }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(ns)] += 1;
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.longest_ns = self.longest_ns.max(ns);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Zero when there is none.
    pub(super) fn average(&self) -> Duration {
        let average = self.sum_ns.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(average).unwrap_or(u64::MAX))
    }

    /// Exact; zero when there is none.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_ns)
    }

    /// The latency that `thousandths` of all did not exceed, at most a bucket's width too long; zero when there is none.
    pub(super) fn percentile(&self, thousandths: u64) -> Duration {
        let rank = (u128::from(self.count) * u128::from(thousandths))
            .div_ceil(1_000)
            .max(1);
        let mut seen = 0_u128;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return Duration::from_nanos(last_of(index).min(self.longest_ns));
            }
        }
        self.longest()
    }
}

/// The bucket that a value falls into.
fn bucket_of(ns: u64) -> usize {
    if ns < EXACT {
        // Small, so the cast keeps it.
        return ns as usize;
    }
    // At least 1: the value has at least BITS + 2 bits.
    let shift = u64::BITS - ns.leading_zeros() - BITS - 1;
    // The upper half of the bits that are kept is always set, so a doubling has 2^BITS buckets.
    let kept = (ns >> shift) as usize - (1 << BITS);
    EXACT as usize + ((shift as usize - 1) << BITS) + kept
}

/// The largest value of a bucket.
fn last_of(index: usize) -> u64 {
    let Some(above) = index.checked_sub(EXACT as usize) else {
        return index as u64;
    };
    let shift = (above >> BITS) + 1;
    let kept = (above & ((1 << BITS) - 1)) + (1 << BITS);
    let first = (kept as u64) << shift;
    first + ((1 << shift) - 1)
}

/// What came of requests of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) latencies: Histogram,
    errors: BTreeMap<String, u64>,
    other_errors: u64,
}

impl Tally {
    pub(super) fn failed(&mut self, text: &str, count: u64) {
        let text: String = text.chars().take(ERROR_LENGTH_MAX).collect();
        if self.errors.len() < ERRORS_MAX || self.errors.contains_key(&text) {
            *self.errors.entry(text).or_default() += count;
        } else {
            self.other_errors += count;
        }
    }

    /// How many were answered well.
    pub(super) fn succeeded(&self) -> u64 {
        self.latencies.count()
    }

    /// Texts and how often each came.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&str, u64)> {
        let others = Some(("other errors", self.other_errors)).filter(|(_, count)| *count > 0);
        self.errors
            .iter()
            .map(|(text, count)| (text.as_str(), *count))
            .chain(others)
    }

    pub(super) fn error_count(&self) -> u64 {
        self.errors().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_that_is_narrow() {
        let mut values: Vec<u64> = (0..63)
            .flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << bit.min(61)])
            .collect();
        values.extend([u64::MAX, u64::MAX / 2, 1_234_567, 999_999_999]);
        for value in values {
            let index = bucket_of(value);
            let last = last_of(index);
            assert!(
                last >= value && last - value <= value / 64,
                "{value}: {index} ends at {last}"
            );
            assert!(
                index == 0 || last_of(index - 1) < value,
                "{value} is in {index}, not before"
            );
        }
        assert_eq!(last_of(BUCKETS - 1), u64::MAX);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        for value in 1..=10_000 {
            histogram.record(Duration::from_micros(value));
        }
        for (thousandths, expected) in [
            (0, 1),
            (500, 5_000),
            (900, 9_000),
            (990, 9_900),
            (999, 9_990),
            (1_000, 10_000),
        ] {
            let found = histogram.percentile(thousandths);
            let expected = Duration::from_micros(expected);
            assert!(
                found >= expected && found <= expected + expected / 60,
                "{thousandths}: {found:?}"
            );
        }
        assert_eq!(histogram.longest(), Duration::from_millis(10));
        assert_eq!(histogram.average(), Duration::from_nanos(5_000_500));
        assert_eq!(histogram.count(), 10_000);
    }

    #[test]
    fn one_value_is_every_percentile_and_none_is_nothing() {
        let mut histogram = Histogram::default();
        assert_eq!(
            (histogram.average(), histogram.percentile(500)),
            (Duration::ZERO, Duration::ZERO)
        );
        histogram.record(Duration::from_nanos(1_000_003));
        for thousandths in [0, 500, 1_000] {
            assert_eq!(histogram.percentile(thousandths), Duration::from_nanos(1_000_003));
        }
    }

    #[test]
    fn errors_are_all_counted_and_few_are_kept_apart() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            tally.failed(&format!("{number} {}", "x".repeat(1_000)), 2);
        }
        assert_eq!((tally.error_count(), tally.errors().count()), (2_000, ERRORS_MAX + 1));
        assert!(tally.errors().all(|(text, _)| text.len() <= ERROR_LENGTH_MAX));
        assert_eq!(tally.errors().last(), Some(("other errors", 1_960)));
        assert_eq!(tally.succeeded(), 0);
    }
}

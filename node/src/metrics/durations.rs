//! A histogram of durations that anybody may add to without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::text::Distribution;

/// How long something took, each time. Each bucket's bound is twice the one before.
#[derive(Debug)]
pub struct Durations {
    first: Duration,
    buckets: Box<[AtomicU64]>,
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Default for Durations {
    /// The buckets of etcd's disk latencies: 1 ms to 8.192 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(1), 14)
    }
}

impl Durations {
    /// So many buckets, the first for what took at most `first`.
    #[must_use]
    pub fn new(first: Duration, buckets: usize) -> Self {
        Self {
            first,
            buckets: (0..buckets).map(|_| AtomicU64::default()).collect(),
            count: AtomicU64::default(),
            nanos: AtomicU64::default(),
        }
    }

    fn bounds(&self) -> impl Iterator<Item = (Duration, &AtomicU64)> {
        let doubled = std::iter::successors(Some(self.first), |bound| Some(*bound * 2));
        doubled.zip(&self.buckets)
    }

    /// Adds one.
    pub fn add(&self, took: Duration) {
        if let Some((_, bucket)) = self.bounds().find(|(bound, _)| took <= *bound) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What there is now.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Distribution {
            buckets: self
                .bounds()
                .map(|(bound, bucket)| (bound.as_secs_f64(), now(bucket)))
                .collect(),
            count: now(&self.count),
            sum: Duration::from_nanos(now(&self.nanos)).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_holds_them() {
        let durations = Durations::new(Duration::from_millis(1), 3);
        for millis in [0, 1, 2, 3, 4, 5, 9000] {
            durations.add(Duration::from_millis(millis));
        }
        let expected = Distribution {
            buckets: vec![(0.001, 2), (0.002, 1), (0.004, 2)],
            count: 7,
            sum: 9.015,
        };
        assert_eq!(durations.distribution(), expected);
    }
}

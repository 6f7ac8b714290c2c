//! A histogram of durations that anybody may add to without a lock, with the buckets of etcd's disk latencies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::text::Page;

/// Bucket `i` counts what took at most 0.001·2^i seconds.
const BUCKETS: usize = 14;

/// How long something took, each time.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    nanos: AtomicU64,
}

fn bound(bucket: usize) -> Duration {
    Duration::from_millis(1 << bucket)
}

impl Durations {
    /// Adds one.
    pub fn add(&self, took: Duration) {
        if let Some(bucket) = (0..BUCKETS).find(|bucket| took <= bound(*bucket)) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Writes the family.
    pub fn write(&self, page: &mut Page, name: &'static str, help: &str) {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Before the buckets: what is added meanwhile is then in neither the sum nor beyond the last bound.
        let (count, nanos) = (now(&self.count), now(&self.nanos));
        let buckets = (0..BUCKETS).map(|bucket| (bound(bucket).as_secs_f64(), now(&self.buckets[bucket])));
        page.histogram(name, help, buckets, count, Duration::from_nanos(nanos).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_holds_them() {
        let durations = Durations::default();
        for millis in [0, 1, 2, 3, 8192, 9000] {
            durations.add(Duration::from_millis(millis));
        }
        let mut page = Page::default();
        durations.write(&mut page, "took_seconds", "How long.");
        let text = page.finish();
        for line in [
            "took_seconds_bucket{le=\"0.001\"} 2",
            "took_seconds_bucket{le=\"0.002\"} 3",
            "took_seconds_bucket{le=\"0.004\"} 4",
            "took_seconds_bucket{le=\"8.192\"} 5",
            "took_seconds_bucket{le=\"+Inf\"} 6",
            "took_seconds_sum 17.198",
            "took_seconds_count 6",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}: {text}");
        }
    }
}

//! How long to wait before a failed pass is tried again, per cluster.
//!
//! What it must keep true: the wait doubles with every failure in a row, up to a bound, and a success forgets them; two
//! clusters that fail at the same time do not come back at the same time; what is remembered is bounded by the clusters
//! that exist (a deleted one is forgotten).
//!
//! Deliberately not here: waiting that is no failure, which the plan decides.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Wait after the first failure. Most failures are conflicts that are over at once.
const FIRST: Duration = Duration::from_millis(500);
/// Longest wait. A namespace that forbids what a cluster needs should be noticed soon after it allows it.
const LONGEST: Duration = Duration::from_secs(60);
/// Doublings after which the longest wait is reached for sure; keeps the arithmetic small.
const DOUBLINGS_MAX: u32 = 10;

/// Failures in a row, by cluster.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Backoff {
    /// A pass failed; says how long to wait.
    #[must_use]
    pub fn failed(&self, cluster: &str) -> Duration {
        let mut failures = self.failures.lock().expect("no code panics while it holds this lock");
        let count = failures.entry(cluster.to_owned()).or_default();
        *count = count.saturating_add(1);
        wait(*count, share(cluster))
    }

    /// A pass succeeded, or the cluster is gone.
    pub fn forget(&self, cluster: &str) {
        self.failures
            .lock()
            .expect("no code panics while it holds this lock")
            .remove(cluster);
    }
}

/// The wait after `count` failures; `share` (0 to 255) spreads clusters over the upper quarter of it.
fn wait(count: u32, share: u8) -> Duration {
    let doubled = FIRST * 2_u32.pow(count.saturating_sub(1).min(DOUBLINGS_MAX));
    let full = doubled.min(LONGEST);
    full - full / 4 * u32::from(share) / 255
}

/// A number that differs between clusters and stays for one.
fn share(cluster: &str) -> u8 {
    cluster.bytes().fold(0, |sum: u8, byte| sum.rotate_left(3) ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(1, 0 => 500; "first")]
    #[test_case(2, 0 => 1_000; "second")]
    #[test_case(8, 0 => 60_000; "bounded")]
    #[test_case(u32::MAX, 0 => 60_000; "bounded for ever")]
    #[test_case(1, 255 => 375; "spread by a quarter")]
    fn waits(count: u32, share: u8) -> u128 {
        wait(count, share).as_millis()
    }

    #[test]
    fn a_success_forgets() {
        let backoff = Backoff::default();
        let first = backoff.failed("ns/demo");
        assert!(backoff.failed("ns/demo") > first);
        backoff.forget("ns/demo");
        assert_eq!(backoff.failed("ns/demo"), first);
    }
}

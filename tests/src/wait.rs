//! Waiting for a condition, with a bound: the only wait there is in the black-box tests.

use std::time::{Duration, Instant};

/// How often a condition is looked at. Short against every bound, long against one look.
const POLL: Duration = Duration::from_millis(20);

/// How long a cluster may take to settle after anything a test did to it, on a machine that is also compiling.
pub const SETTLE: Duration = Duration::from_secs(30);

/// Looks until `look` gives a value, at most for `bound`; the error is why it is not so yet.
///
/// # Panics
/// When the bound has passed, with what was waited for and the last reason.
pub async fn until<T>(what: &str, bound: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        let reason = match look().await {
            Ok(value) => return value,
            Err(reason) => reason,
        };
        assert!(
            started.elapsed() < bound,
            "waited {:?} for {what}; last seen: {reason}",
            started.elapsed()
        );
        pause(POLL).await;
    }
}

/// Lets `time` pass: for clients that write at a pace, and for faults that last a while. Not for hoping that something
/// has happened meanwhile.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

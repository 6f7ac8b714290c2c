//! What happens often and is said seldom: a log that repeats itself a thousand times a second hides everything else.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two times that the same is said.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// When something was said last.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether to say it now; if so, not again for ten seconds.
    pub fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|at| at.elapsed() >= SAY_EVERY);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_is_enough() {
        let seldom = Seldom::default();
        assert_eq!([seldom.is_due(), seldom.is_due()], [true, false]);
    }
}

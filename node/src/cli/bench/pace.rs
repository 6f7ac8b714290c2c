//! When the next request is due. Requests are numbered; number n of a run at a rate is due n intervals after its start, whoever
//! sends it, so that a run that fell behind catches up and the rate holds over the whole.

use std::time::Duration;

use super::flags::Until;

/// When requests are due, and when there are no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: u64,
    until: Until,
}

impl Pace {
    /// `rate` per second; 0 for as soon as possible.
    pub(super) fn new(rate: u64, until: Until) -> Self {
        Self { rate, until }
    }

    /// When a request is due, from the start; `None` when the run ends before it, seen from `now`.
    pub(super) fn due(&self, request: u64, now: Duration) -> Option<Duration> {
        let due = self.after(request);
        let within = match self.until {
            Until::Total(total) => request < total,
            Until::Elapsed(time) => due.max(now) < time,
        };
        within.then_some(due)
    }

    fn after(&self, requests: u64) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        let rest = u128::from(requests % self.rate) * 1_000_000_000 / u128::from(self.rate);
        // Less than a second, so it fits.
        Duration::new(requests / self.rate, u32::try_from(rest).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(0, 5, Some(0); "no rate: at once")]
    #[test_case(1_000, 0, Some(0); "the first at once")]
    #[test_case(1_000, 1, Some(1_000); "the next a millisecond later")]
    #[test_case(3, 10, Some(3_333_333); "thirds of a second")]
    #[test_case(1_000, 99, Some(99_000); "the last")]
    #[test_case(1_000, 100, None; "one too many")]
    fn a_number_of_requests(rate: u64, request: u64, expected_us: Option<u64>) {
        let due = Pace::new(rate, Until::Total(100)).due(request, Duration::from_secs(9));
        assert_eq!(due.map(|due| due.as_micros()), expected_us.map(u128::from));
    }

    #[test_case(0, 1_000_000, 999, true; "no rate: as long as there is time")]
    #[test_case(0, 0, 1_000, false; "the time is over")]
    #[test_case(10, 9, 0, true; "due in time")]
    #[test_case(10, 10, 0, false; "due too late")]
    #[test_case(10, 3, 1_000, false; "due in time, but it is later")]
    fn a_second(rate: u64, request: u64, now_ms: u64, expected: bool) {
        let pace = Pace::new(rate, Until::Elapsed(Duration::from_secs(1)));
        assert_eq!(pace.due(request, Duration::from_millis(now_ms)).is_some(), expected);
    }
}

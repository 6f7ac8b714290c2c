//! The cluster's lease time, as one member knows it: what the leader said last, and how long ago that was.
//!
//! No member's wall clock is ever asked; they may differ, and jump. Time passes by the monotonic clock of each member,
//! between two things that the leader said.
//!
//! What must stay true:
//! 1. What this member takes for the time is never ahead of the leader's own time line, but for the drift of two
//!    clocks within the interval at which the leader is asked. So a member that takes over ends nothing early.
//! 2. Within a term the time of the leader does not run backwards.
//! 3. A new leader's time line counts, even where it is behind: what it promised, it promised on its own time line. A
//!    leader falls behind only when it was restarted and could not ask before it led; leases then last longer.
//!
//! **A worked example.** A leader stamps a grant of 10 s with 5,000; it expires at 15,000. A follower applies the grant
//! 3 ms later and takes 5,000 for now: it is 3 ms behind. The leader dies 4 s later; the follower leads, at 9,000, and
//! ends the lease 6 s after: 10.003 s after the grant.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The cluster's lease time at this member.
pub struct TimeLine {
    anchor: Mutex<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    /// The term of the leader whose time this is.
    term: u64,
    /// This member stamps in this term.
    leads: bool,
    ms: u64,
    at: Instant,
}

impl Anchor {
    fn now(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.at).as_millis();
        self.ms.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

impl TimeLine {
    /// A time line that goes on from what the store was told last.
    pub fn new(ms: u64, at: Instant) -> Self {
        let anchor = Anchor {
            term: 0,
            leads: false,
            ms,
            at,
        };
        Self {
            anchor: Mutex::new(anchor),
        }
    }

    /// The time, as far as this member knows.
    pub fn now(&self, at: Instant) -> u64 {
        self.lock().now(at)
    }

    /// A command with a stamp of a term's leader was applied. It was stamped a while ago, so within a term only a later
    /// time counts.
    pub fn applied(&self, term: u64, ms: u64, at: Instant) {
        let mut anchor = self.lock();
        if term > anchor.term || (term == anchor.term && ms > anchor.now(at)) {
            anchor.follow(term, ms, at);
        }
    }

    /// The leader of a term said what time it is.
    pub fn told(&self, term: u64, ms: u64, at: Instant) {
        let mut anchor = self.lock();
        if term > anchor.term || (term == anchor.term && !anchor.leads) {
            anchor.follow(term, ms, at);
        }
    }

    /// A snapshot took the state's place, which was at this time: it is at least that late.
    pub fn at_least(&self, ms: u64, at: Instant) {
        let mut anchor = self.lock();
        if ms > anchor.now(at) {
            (anchor.ms, anchor.at) = (ms, at);
        }
    }

    /// The time to stamp with in a term, once [`TimeLine::lead`] was called for it.
    pub fn stamp(&self, term: u64, at: Instant) -> Option<u64> {
        let anchor = self.lock();
        (anchor.leads && anchor.term == term).then(|| anchor.now(at))
    }

    /// This member leads in a term and has applied everything of the terms before: from here on its own time counts.
    pub fn lead(&self, term: u64, at: Instant) -> u64 {
        let mut anchor = self.lock();
        if term >= anchor.term {
            (anchor.ms, anchor.at) = (anchor.now(at), at);
            (anchor.term, anchor.leads) = (term, true);
        }
        anchor.now(at)
    }

    fn lock(&self) -> MutexGuard<'_, Anchor> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Anchor {
    fn follow(&mut self, term: u64, ms: u64, at: Instant) {
        let leads = self.leads && term == self.term;
        *self = Self { term, leads, ms, at };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_worked_example() {
        let start = Instant::now();
        let follower = TimeLine::new(0, start);
        follower.applied(4, 5_000, after(start, 3));
        assert_eq!(follower.stamp(5, after(start, 4_003)), None, "it does not lead yet");
        assert_eq!(follower.lead(5, after(start, 4_003)), 9_000);
        assert_eq!(follower.stamp(5, after(start, 10_003)), Some(15_000));
    }

    #[test]
    fn within_a_term_time_does_not_run_backwards() {
        let start = Instant::now();
        let line = TimeLine::new(1_000, start);
        line.lead(7, start);
        // Its own stamps come back a little later than they were made.
        line.applied(7, 1_000, after(start, 5));
        assert_eq!(line.now(after(start, 5)), 1_005);
        line.applied(7, 1_003, after(start, 6));
        assert_eq!(line.stamp(7, after(start, 6)), Some(1_006));
        line.told(7, 500, after(start, 7));
        assert_eq!(line.stamp(7, after(start, 7)), Some(1_007));
        assert_eq!(line.stamp(8, after(start, 7)), None);
    }

    #[test]
    fn a_new_leaders_time_line_counts_even_where_it_is_behind() {
        let start = Instant::now();
        let line = TimeLine::new(90_000, start);
        line.applied(3, 10_000, start);
        assert_eq!(line.now(start), 10_000);
        line.applied(2, 99_000, start);
        line.told(2, 99_000, start);
        assert_eq!(line.now(start), 10_000, "old leaders are not heard");
        line.told(3, 9_500, after(start, 1_000));
        assert_eq!(line.now(after(start, 1_000)), 9_500, "what the leader says now counts");
        line.at_least(9_000, after(start, 1_000));
        line.at_least(9_600, after(start, 1_000));
        assert_eq!(line.now(after(start, 1_000)), 9_600);
    }
}

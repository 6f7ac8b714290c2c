//! The deciding half of leader election: which write, if any, may be made to the Lease now.
//!
//! What it must keep true:
//! 1. Nobody takes a lease that another holder has renewed within its duration *by our own monotonic clock*: the times
//!    written in the Lease are only compared for change, never with our clock, so skewed clocks cannot make two leaders.
//! 2. `leaseTransitions` never falls, and rises with every change of holder. It is the fencing epoch that nodes remember.
//! 3. Every write replaces exactly the record that was observed (the caller adds its resourceVersion).
//!
//! Deliberately not here: any call, any clock. Time comes in as a duration since an arbitrary start.
//!
//! Worked example, lease duration 15 s: at 0 s we see holder `b`, renewed "t1": `Wait`. At 10 s it reads "t2": the wait
//! starts anew. At 25 s it still reads "t2": fifteen seconds of silence, so `Replace` with transitions + 1.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// How long a lease lasts and how often it is renewed; client-go's values and meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A lease that was not renewed for this long may be taken by another.
    pub lease: Duration,
    /// A leader that could not renew for this long stops being one, and its process ends.
    pub renew_deadline: Duration,
    /// Pause between two attempts to take or renew.
    pub retry: Duration,
}

impl Default for Timing {
    /// 15 s, 10 s and 2 s: what Kubernetes' own controllers use. The five seconds between lease and deadline are the
    /// time a leader has to stop before another may start.
    fn default() -> Self {
        Timing {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What a Lease says, without its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty when it was released.
    pub holder: String,
    /// How long it is good for without renewal, whole seconds.
    pub duration_s: i32,
    /// When the holder took it (its wall clock; shown to people, compared by nobody).
    pub acquired: Option<Timestamp>,
    /// When the holder last renewed it (its wall clock; only compared for change).
    pub renewed: Option<Timestamp>,
    /// How often the holder changed.
    pub transitions: i32,
}

/// The one write that may be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// There is no Lease: create it.
    Create(Record),
    /// Replace the record last observed.
    Replace(Record),
    /// Somebody else holds it and may be alive.
    Wait,
}

/// One candidate's view of the Lease.
#[derive(Clone, Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    observed: Option<(Record, Duration)>,
    epoch_floor: i32,
}

impl Election {
    /// A candidate that has not looked yet. `identity` must be unique to this process.
    #[must_use]
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Election {
            identity: identity.into(),
            timing,
            observed: None,
            epoch_floor: 0,
        }
    }

    /// Takes note of what the Lease says (`None`: there is none), seen at `now`.
    pub fn observe(&mut self, record: Option<Record>, now: Duration) {
        match (record, &self.observed) {
            (Some(record), Some((seen, _))) if record == *seen => {}
            (Some(record), _) => self.observed = Some((record, now)),
            (None, _) => self.observed = None,
        }
    }

    /// Asks that the next write carries at least `transitions`: a node remembers an epoch that high, which happens when
    /// the Lease object was deleted and its count began anew.
    pub fn raise(&mut self, transitions: i32) {
        self.epoch_floor = self.epoch_floor.max(transitions);
    }

    /// Whether the record last observed names us.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.observed
            .as_ref()
            .is_some_and(|(record, _)| record.holder == self.identity)
    }

    /// The holder last observed, if it is not us.
    #[must_use]
    pub fn other_holder(&self) -> Option<&str> {
        let (record, _) = self.observed.as_ref()?;
        (!record.holder.is_empty() && record.holder != self.identity).then_some(record.holder.as_str())
    }

    /// Decides what to write at `now`; `wall` is the wall clock that goes into the record for people to read.
    #[must_use]
    pub fn next(&self, now: Duration, wall: Timestamp) -> Move {
        let Some((seen, since)) = &self.observed else {
            return Move::Create(self.record(wall, wall, self.epoch_floor));
        };
        if self.holds() {
            let acquired = seen.acquired.unwrap_or(wall);
            return Move::Replace(self.record(acquired, wall, seen.transitions.max(self.epoch_floor)));
        }
        let good_for = Duration::from_secs(u64::try_from(seen.duration_s).unwrap_or(0));
        if !seen.holder.is_empty() && now < *since + good_for {
            return Move::Wait;
        }
        Move::Replace(self.record(wall, wall, seen.transitions.saturating_add(1).max(self.epoch_floor)))
    }

    /// The record that gives the lease back, if we hold it: the next candidate need not wait.
    #[must_use]
    pub fn release(&self, wall: Timestamp) -> Option<Record> {
        let (seen, _) = self.observed.as_ref()?;
        // One second, because the API server demands a positive duration.
        self.holds().then(|| Record {
            holder: String::new(),
            duration_s: 1,
            renewed: Some(wall),
            ..seen.clone()
        })
    }

    fn record(&self, acquired: Timestamp, renewed: Timestamp, transitions: i32) -> Record {
        Record {
            holder: self.identity.clone(),
            duration_s: i32::try_from(self.timing.lease.as_secs()).unwrap_or(i32::MAX),
            acquired: Some(acquired),
            renewed: Some(renewed),
            transitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn held_by(holder: &str, renewed: i64, transitions: i32) -> Record {
        Record {
            holder: holder.to_owned(),
            duration_s: 15,
            acquired: Some(wall(0)),
            renewed: Some(wall(renewed)),
            transitions,
        }
    }

    /// What `a` decides at `now` after having seen the given records at the given seconds, in short.
    fn decide(seen: &[(u64, Option<Record>)], now: u64) -> String {
        let mut election = Election::new("a", Timing::default());
        for (second, record) in seen {
            election.observe(record.clone(), at(*second));
        }
        match election.next(at(now), wall(i64::try_from(now).unwrap())) {
            Move::Create(record) => format!("create {} {}", record.holder, record.transitions),
            Move::Replace(record) => format!("replace {} {}", record.holder, record.transitions),
            Move::Wait => "wait".to_owned(),
        }
    }

    #[test_case(&[(0, None)], 0 => "create a 0"; "nobody ever held it")]
    #[test_case(&[(0, Some(held_by("b", 0, 3)))], 0 => "wait"; "just seen for the first time")]
    #[test_case(&[(0, Some(held_by("b", -900, 3)))], 14 => "wait"; "its wall clock is far behind ours")]
    #[test_case(&[(0, Some(held_by("b", 0, 3)))], 15 => "replace a 4"; "silent for the whole duration")]
    #[test_case(&[(0, Some(held_by("b", 0, 3))), (10, Some(held_by("b", 9, 3)))], 24 => "wait"; "renewed meanwhile")]
    #[test_case(&[(0, Some(held_by("b", 0, 3))), (10, Some(held_by("b", 0, 3)))], 15 => "replace a 4"; "seen twice unchanged")]
    #[test_case(&[(0, Some(held_by("", 0, 3)))], 0 => "replace a 4"; "released")]
    #[test_case(&[(0, Some(held_by("a", 0, 3)))], 2 => "replace a 3"; "ours is renewed in the same epoch")]
    #[test_case(&[(0, Some(held_by("a", 0, 3)))], 60 => "replace a 3"; "ours, late, and nobody took it")]
    #[test_case(&[(0, Some(held_by("a", 0, 3))), (2, Some(held_by("b", 2, 4)))], 2 => "wait"; "taken from us")]
    #[test_case(&[(0, Some(held_by("a", 0, 3))), (2, None)], 2 => "create a 0"; "the Lease was deleted")]
    fn decisions(seen: &[(u64, Option<Record>)], now: u64) -> String {
        decide(seen, now)
    }

    #[test]
    fn a_raised_epoch_is_carried_by_every_kind_of_write() {
        let mut election = Election::new("a", Timing::default());
        election.raise(9);
        let Move::Create(created) = election.next(at(0), wall(0)) else {
            panic!("nothing observed, so create")
        };
        assert_eq!(created.transitions, 9);
        election.observe(Some(held_by("a", 0, 2)), at(0));
        let Move::Replace(renewed) = election.next(at(2), wall(2)) else {
            panic!("ours, so replace")
        };
        assert_eq!(renewed.transitions, 9);
        election.observe(Some(held_by("a", 0, 12)), at(4));
        let Move::Replace(renewed) = election.next(at(4), wall(4)) else {
            panic!("ours, so replace")
        };
        assert_eq!(renewed.transitions, 12, "never lowered");
    }

    #[test]
    fn only_the_holder_releases_and_the_count_stays() {
        let mut election = Election::new("a", Timing::default());
        election.observe(Some(held_by("b", 0, 3)), at(0));
        assert_eq!(election.release(wall(1)), None);
        assert_eq!(election.other_holder(), Some("b"));
        election.observe(Some(held_by("a", 0, 4)), at(1));
        let released = election.release(wall(1)).unwrap();
        assert_eq!((released.holder.as_str(), released.transitions), ("", 4));
        assert_eq!(election.other_holder(), None);
    }
}

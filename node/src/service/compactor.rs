//! Compaction without anybody asking: `--auto-compaction-mode` and `--auto-compaction-retention`, as in etcd.
//!
//! *Revision*: every five minutes, all but the newest so many revisions are forgotten. *Periodic*: what was the newest
//! revision one period ago is the bound; the revision is noted ten times per period (or per hour, if the period is
//! longer), and the compaction runs once per period (or hour).
//!
//! Must keep true: only the leader compacts, and a follower that becomes leader knows the past, because it took notes
//! as well; what decides takes the time as a value.

use std::collections::VecDeque;
use std::time::Duration;

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::CompactionRequest;
use kvorum_store::{Command, Who};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Service;

/// Between two compactions of mode revision.
const REVISION_INTERVAL: Duration = Duration::from_mins(5);
/// Longest time between two compactions of mode periodic.
const PERIODIC_INTERVAL_MAX: Duration = Duration::from_hours(1);
/// Notes taken between two compactions of mode periodic.
const NOTES_PER_INTERVAL: u32 = 10;

/// What is kept of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Everything, until somebody asks for a compaction.
    Everything,
    /// What was newest within this time.
    Period(Duration),
    /// So many revisions.
    Revisions(i64),
}

/// What to do at a tick of the clock.
struct Compactor {
    retention: Retention,
    /// Newest revisions of the past, the oldest first; at most one period's.
    notes: VecDeque<i64>,
    /// The last compaction.
    done_at: Option<Duration>,
    done: i64,
}

impl Compactor {
    fn new(retention: Retention) -> Self {
        Self {
            retention,
            notes: VecDeque::new(),
            done_at: None,
            done: 0,
        }
    }

    /// Between two ticks; `None` where there is nothing to do, ever.
    fn tick(&self) -> Option<Duration> {
        match self.retention {
            Retention::Everything => None,
            Retention::Revisions(_) => Some(REVISION_INTERVAL),
            Retention::Period(period) => Some(period.min(PERIODIC_INTERVAL_MAX) / NOTES_PER_INTERVAL),
        }
    }

    /// Notes the revision; answers up to where history may be forgotten now, if anything may.
    fn due(&mut self, now: Duration, revision: i64) -> Option<i64> {
        let bound = match self.retention {
            Retention::Everything => return None,
            Retention::Revisions(kept) => revision - kept,
            Retention::Period(period) => {
                let interval = period.min(PERIODIC_INTERVAL_MAX);
                let notes_max = period.as_nanos() / (interval / NOTES_PER_INTERVAL).as_nanos().max(1);
                self.notes.push_back(revision);
                if self.notes.len() as u128 <= notes_max {
                    return None;
                }
                let bound = self.notes.pop_front()?;
                if self.done_at.is_some_and(|at| now < at + interval) {
                    return None;
                }
                bound
            }
        };
        (bound > 0 && bound != self.done).then_some(bound)
    }

    fn compacted(&mut self, now: Duration, bound: i64) {
        (self.done_at, self.done) = (Some(now), bound);
    }
}

/// Compacts as the settings say, for as long as the process runs.
pub(super) async fn run(service: Service, retention: Retention) {
    let mut compactor = Compactor::new(retention);
    let Some(tick) = compactor.tick() else { return };
    let started = Instant::now();
    let mut clock = interval(tick);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock.tick().await;
    loop {
        clock.tick().await;
        let now = started.elapsed();
        let node = &service.inner.node;
        let Some(bound) = compactor.due(now, node.reader.revision()) else {
            continue;
        };
        if node.leadership.borrow().leader_id() != Some(service.inner.identity.member_id.get()) {
            continue;
        }
        let request = CompactionRequest {
            revision: bound,
            physical: false,
        };
        match service.write(Who::Member, Command::Compact(request)).await {
            Ok(_) => {
                tracing::info!("history before revision {bound} is compacted away");
                compactor.compacted(now, bound);
            }
            // Somebody compacted further already.
            Err(Refusal::Compacted) => compactor.compacted(now, bound),
            Err(refusal) => tracing::warn!("history before revision {bound} could not be compacted: {refusal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn revisions_are_counted() {
        let mut compactor = Compactor::new(Retention::Revisions(100));
        assert_eq!(compactor.due(MINUTE, 50), None);
        assert_eq!(compactor.due(MINUTE, 100), None);
        assert_eq!(compactor.due(MINUTE, 150), Some(50));
        compactor.compacted(MINUTE, 50);
        assert_eq!(compactor.due(MINUTE, 150), None, "nothing new");
        assert_eq!(compactor.due(MINUTE, 151), Some(51));
    }

    #[test]
    fn a_period_of_history_is_kept() {
        let mut compactor = Compactor::new(Retention::Period(10 * MINUTE));
        assert_eq!(compactor.tick(), Some(MINUTE));
        let mut done = Vec::new();
        for minute in 1..=40_u32 {
            // One revision a minute.
            if let Some(bound) = compactor.due(minute * MINUTE, minute.into()) {
                compactor.compacted(minute * MINUTE, bound);
                done.push((minute, bound));
            }
        }
        assert_eq!(done, [(11, 1), (21, 11), (31, 21)]);
    }

    #[test]
    fn a_long_period_compacts_every_hour() {
        let mut compactor = Compactor::new(Retention::Period(3 * PERIODIC_INTERVAL_MAX));
        assert_eq!(compactor.tick(), Some(6 * MINUTE));
        let mut done = Vec::new();
        for step in 1..=60_u32 {
            if let Some(bound) = compactor.due(step * 6 * MINUTE, step.into()) {
                compactor.compacted(step * 6 * MINUTE, bound);
                done.push((step, bound));
            }
        }
        assert_eq!(done, [(31, 1), (41, 11), (51, 21)]);
    }

    #[test]
    fn what_could_not_be_done_is_tried_again() {
        let mut compactor = Compactor::new(Retention::Revisions(1));
        assert_eq!(compactor.due(MINUTE, 9), Some(8));
        assert_eq!(compactor.due(MINUTE, 9), Some(8));
    }

    #[test]
    fn nothing_is_forgotten_unless_somebody_says_so() {
        let mut compactor = Compactor::new(Retention::Everything);
        assert_eq!((compactor.tick(), compactor.due(MINUTE, 1_000)), (None, None));
    }
}

//! The newest events, for watchers that are nearly level.
//!
//! What must stay true: from [`Recent::from`] on, every event that was published is here; whole revisions only.

use super::super::range::KeyRange;
use super::{key_of, revision_of, size_of};
use kvorum_api::mvccpb::Event;
use std::collections::VecDeque;
use std::sync::Arc;

/// Events remembered at most: a watcher that joins looks through them, under the hub's lock.
const EVENTS_MAX: usize = 1_024;

pub(super) struct Recent {
    from: i64,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    bytes_max: usize,
}

impl Recent {
    pub(super) fn new(from: i64, bytes_max: usize) -> Self {
        Self {
            from,
            events: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// The first revision that is remembered whole.
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// Remembers an event, and forgets the oldest revisions when there are too many.
    pub(super) fn add(&mut self, event: Arc<Event>) {
        self.bytes += size_of(&event);
        self.events.push_back(event);
        while self.events.len() > EVENTS_MAX || self.bytes > self.bytes_max {
            let Some(oldest) = self.events.front().map(|event| revision_of(event)) else {
                return;
            };
            while let Some(event) = self.events.pop_front_if(|event| revision_of(event) == oldest) {
                self.bytes -= size_of(&event);
            }
            self.from = oldest + 1;
        }
    }

    /// Forgets everything; events from `from` on follow.
    pub(super) fn restart(&mut self, from: i64) {
        self.events.clear();
        self.bytes = 0;
        self.from = from;
    }

    /// The events of a range from a revision on.
    pub(super) fn since(&self, revision: i64, range: &KeyRange) -> Vec<Arc<Event>> {
        let start = self.events.partition_point(|event| revision_of(event) < revision);
        let later = self.events.range(start..);
        later.filter(|event| range.contains(key_of(event))).cloned().collect()
    }
}

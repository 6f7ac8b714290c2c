//! What the threads of an open log and its readers share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{Failure, Fatal, metrics::Counters, queue::Queue, segment::Segment, supply::Supply};

type Segments = BTreeMap<u64, Arc<Segment>>;

/// The shared part of an open log.
pub(crate) struct Log {
    pub(crate) id: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) queue: Queue,
    pub(crate) supply: Supply,
    pub(crate) counters: Counters,
    pub(crate) fatal: Fatal,
    pub(crate) segments: RwLock<Segments>,
}

impl Log {
    /// Ends all writing because of `failure`: the hook first, since it should end the process before anybody can act
    /// on a half-written log; then everybody who waits. Only the first failure counts.
    pub(crate) fn fail(&self, failure: &Failure) {
        if let Some(dones) = self.queue.fail(failure) {
            (self.fatal)(failure);
            for done in dones {
                done(Err(failure.clone()));
            }
        }
    }

    /// The open segments. A map of handles cannot be left half-changed, so a poisoned lock is as good as any.
    pub(crate) fn segments(&self) -> RwLockReadGuard<'_, Segments> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open segments, to change them.
    pub(crate) fn segments_mut(&self) -> RwLockWriteGuard<'_, Segments> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("id", &self.id)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

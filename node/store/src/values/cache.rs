//! A bounded cache of records: first in, first out, with a second chance for what was read meanwhile.
//!
//! Marking a record as read needs no exclusive lock, which a true least-recently-used order would.

use crate::revision::Revision;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

/// Memory that one record costs beside its own bytes: map and queue entries, allocation.
const ENTRY_BYTES: usize = 128;

pub(super) struct Cache {
    slots: BTreeMap<Revision, Slot>,
    /// Every cached revision once, and some that were forgotten since.
    queue: VecDeque<Revision>,
    bytes: usize,
    bytes_max: usize,
}

struct Slot {
    record: Bytes,
    read: AtomicBool,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            queue: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn get(&self, revision: Revision) -> Option<Bytes> {
        let slot = self.slots.get(&revision)?;
        slot.read.store(true, Ordering::Relaxed);
        Some(slot.record.clone())
    }

    pub(super) fn add(&mut self, revision: Revision, record: Bytes) {
        let cost = cost(&record);
        if cost > self.bytes_max || self.slots.contains_key(&revision) {
            return;
        }
        self.bytes += cost;
        self.slots.insert(
            revision,
            Slot {
                record,
                read: AtomicBool::new(false),
            },
        );
        self.queue.push_back(revision);
        while self.bytes > self.bytes_max {
            self.evict();
        }
    }

    pub(super) fn forget(&mut self, revision: Revision) {
        if let Some(slot) = self.slots.remove(&revision) {
            self.bytes -= cost(&slot.record);
        }
        // The queue may come to hold more forgotten revisions than cached ones; then it is swept once.
        if self.queue.len() > 2 * self.slots.len() + ENTRY_BYTES {
            self.queue.retain(|revision| self.slots.contains_key(revision));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    fn evict(&mut self) {
        let oldest = self.queue.pop_front().expect("every cached record is in the queue");
        let Some(slot) = self.slots.get(&oldest) else { return };
        if slot.read.swap(false, Ordering::Relaxed) {
            self.queue.push_back(oldest);
        } else {
            self.bytes -= cost(&slot.record);
            self.slots.remove(&oldest);
        }
    }
}

fn cost(record: &Bytes) -> usize {
    record.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::{Cache, ENTRY_BYTES};
    use crate::revision::Revision;
    use bytes::Bytes;

    fn revision(main: i64) -> Revision {
        Revision::new(main, 0)
    }

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_read() {
        let mut cache = Cache::new(4 * (ENTRY_BYTES + 10));
        for main in 1..=100 {
            cache.add(revision(main), Bytes::from(vec![0; 10]));
            assert!(cache.bytes <= cache.bytes_max);
            assert!(
                main < 2 || cache.get(revision(1)).is_some(),
                "a record read all the time stays"
            );
        }
        let kept: Vec<_> = (1..=100).filter(|&main| cache.get(revision(main)).is_some()).collect();
        assert_eq!(kept, [1, 98, 99, 100]);
    }

    #[test]
    fn what_is_too_large_or_forgotten_is_not_kept() {
        let mut cache = Cache::new(1_000);
        cache.add(revision(1), Bytes::from(vec![0; 2_000]));
        assert_eq!(cache.get(revision(1)), None);
        for main in 2..1_000 {
            cache.add(revision(main), Bytes::new());
            cache.forget(revision(main));
        }
        assert_eq!((cache.bytes, cache.slots.len()), (0, 0));
        assert!(cache.queue.len() <= 2 * ENTRY_BYTES, "the queue is swept");
    }
}

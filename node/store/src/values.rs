//! Records by revision, wherever they are: just applied, in the cache, or in the engine.
//!
//! The engine is written behind the apply, so a record is *pending*, held in memory, until the batch with it was
//! committed; then it moves to a bounded cache, and from there only the engine has it. Readers look in that order,
//! and a record moves only after it can be found in its next place.
//!
//! Locks are held for lookups of a bounded number of records, never while the engine reads or writes.

mod cache;

use crate::revision::Revision;
use bytes::Bytes;
use cache::Cache;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Records looked up under one lock, so that a long read lets the writer in between.
const LOOKUPS_PER_LOCK: usize = 256;

/// The records in memory; shared by the writer, the commit behind it and every reader.
pub(crate) struct Values {
    memory: RwLock<Memory>,
}

struct Memory {
    pending: BTreeMap<Revision, Bytes>,
    pending_bytes: usize,
    cache: Cache,
}

impl Values {
    /// No records, and a cache for this many bytes.
    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        let memory = Memory {
            pending: BTreeMap::new(),
            pending_bytes: 0,
            cache: Cache::new(cache_bytes_max),
        };
        Self {
            memory: RwLock::new(memory),
        }
    }

    /// Holds records until [`Values::committed`] names them.
    pub(crate) fn hold(&self, records: impl IntoIterator<Item = (Revision, Bytes)>) {
        let mut memory = self.write();
        for (revision, record) in records {
            memory.pending_bytes += record.len();
            memory.pending.insert(revision, record);
        }
    }

    /// The engine now has every record up to `last`, and has none of `dropped` any more.
    pub(crate) fn committed(&self, last: Option<Revision>, dropped: &[Revision]) {
        let mut memory = self.write();
        let memory = &mut *memory;
        for revision in dropped {
            memory.cache.forget(*revision);
            // A record may be compacted away before it was ever committed.
            if let Some(record) = memory.pending.remove(revision) {
                memory.pending_bytes -= record.len();
            }
        }
        let Some(last) = last else { return };
        while let Some(entry) = memory.pending.first_entry()
            && *entry.key() <= last
        {
            let (revision, record) = entry.remove_entry();
            memory.pending_bytes -= record.len();
            memory.cache.add(revision, record);
        }
    }

    /// What memory has of `revisions`, in their order.
    pub(crate) fn find(&self, revisions: &[Revision]) -> Vec<Option<Bytes>> {
        let mut found = Vec::with_capacity(revisions.len());
        for some in revisions.chunks(LOOKUPS_PER_LOCK) {
            let memory = self.read();
            let find = |revision| {
                memory
                    .pending
                    .get(revision)
                    .cloned()
                    .or_else(|| memory.cache.get(*revision))
            };
            found.extend(some.iter().map(find));
        }
        found
    }

    /// Keeps a record that was read from the engine.
    pub(crate) fn remember(&self, revision: Revision, record: Bytes) {
        self.write().cache.add(revision, record);
    }

    /// The first pending records from `first` to `last`, at most `records_max`.
    pub(crate) fn pending(&self, first: Revision, last: Revision, records_max: usize) -> Vec<(Revision, Bytes)> {
        let memory = self.read();
        let range = memory.pending.range(first..=last).take(records_max);
        range.map(|(revision, record)| (*revision, record.clone())).collect()
    }

    /// Bytes of records that the engine does not have yet.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.read().pending_bytes
    }

    /// Forgets everything: another state takes this one's place.
    pub(crate) fn clear(&self) {
        let mut memory = self.write();
        memory.pending.clear();
        memory.pending_bytes = 0;
        memory.cache.clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Values;
    use crate::revision::Revision;
    use bytes::Bytes;

    fn record(main: i64) -> (Revision, Bytes) {
        (Revision::new(main, 0), Bytes::from(format!("record {main}")))
    }

    #[test]
    fn a_record_is_found_before_and_after_its_commit() {
        let values = Values::new(1 << 20);
        values.hold([record(2), record(3), record(4)]);
        let revisions = [2, 3, 4, 5].map(|main| Revision::new(main, 0));
        let expected = vec![Some(record(2).1), Some(record(3).1), Some(record(4).1), None];
        assert_eq!(values.find(&revisions), expected);
        values.committed(Some(revisions[1]), &[]);
        assert_eq!(values.find(&revisions), expected);
        assert_eq!(values.pending(revisions[0], revisions[3], 9), vec![record(4)]);
        assert_eq!(values.pending_bytes(), record(4).1.len());
        values.committed(Some(revisions[2]), &[revisions[0], revisions[2]]);
        assert_eq!(values.find(&revisions), vec![None, Some(record(3).1), None, None]);
        assert_eq!(values.pending_bytes(), 0);
    }

    #[test]
    fn many_are_found_across_locks() {
        let values = Values::new(1 << 20);
        values.hold((2..1_002).map(record));
        let revisions: Vec<_> = (2..1_002).map(|main| Revision::new(main, 0)).collect();
        assert!(values.find(&revisions).iter().all(Option::is_some));
    }
}

//! What the writer, the commits behind it and all readers share: the engine, the records in memory, the published
//! state.
//!
//! What must stay true:
//! 1. A published state never changes; publishing swaps one pointer, so a reader sees all of a batch or nothing of
//!    it.
//! 2. Batches reach the engine in the order in which they were taken.
//! 3. A record that a pinned view may ask for is not deleted: physical compaction goes no further than the compacted
//!    revision of the oldest pinned view.

use crate::engine::{Engine, EngineError};
use crate::hash::Fingerprint;
use crate::keyspace::{record_key, record_revision};
use crate::record;
use crate::revision::Revision;
use crate::state::State;
use crate::values::Values;
use bytes::Bytes;
use kvorum_api::mvccpb::KeyValue;
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Hashes of past revisions that are kept, so that members which published at different revisions find one in common.
const HASHES_MAX: usize = 4_096;

/// A read of at most this many records from the engine fills the cache; a longer one would only sweep it.
const CACHE_FILL_RECORDS_MAX: usize = 64;

/// Records looked up in memory at once: what memory forgets meanwhile is held until they were handed over.
const LOOKUPS_MAX: usize = 256;

pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) values: Values,
    /// Bytes of all records, applied or in the engine, that compaction has not dropped.
    pub(crate) bytes: AtomicU64,
    published: RwLock<Arc<State>>,
    /// How many pinned views there are of each compacted revision.
    pins: Mutex<BTreeMap<i64, usize>>,
    hashes: Mutex<VecDeque<(i64, Fingerprint)>>,
    /// Number of the batch to commit next; held over the engine's write, so that batches cannot overtake each other.
    due: Mutex<u64>,
    /// How often a snapshot took the state's place: odd while one does.
    replacements: AtomicU64,
}

impl Shared {
    pub(crate) fn new(engine: Arc<dyn Engine>, cache_bytes_max: usize, state: State) -> Self {
        Self {
            engine,
            values: Values::new(cache_bytes_max),
            bytes: AtomicU64::default(),
            published: RwLock::new(Arc::new(state)),
            pins: Mutex::default(),
            hashes: Mutex::default(),
            due: Mutex::default(),
            replacements: AtomicU64::default(),
        }
    }

    /// The newest published state.
    pub(crate) fn published(&self) -> Arc<State> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Publishes a state, with the hash of each revision since the last one.
    pub(crate) fn publish(&self, state: State, hashes: impl IntoIterator<Item = (i64, Fingerprint)>) {
        {
            let mut kept = lock(&self.hashes);
            kept.extend(hashes);
            let surplus = kept.len().saturating_sub(HASHES_MAX);
            kept.drain(..surplus);
        }
        let state = Arc::new(state);
        let before = std::mem::replace(
            &mut *self.published.write().unwrap_or_else(PoisonError::into_inner),
            state,
        );
        // Freeing what only the old state held can take a while, and is done outside the lock.
        drop(before);
    }

    /// The hash at a past revision, if it is among the last few thousand.
    pub(crate) fn recent_hash(&self, revision: i64) -> Option<Fingerprint> {
        let hashes = lock(&self.hashes);
        hashes
            .binary_search_by_key(&revision, |(own, _)| *own)
            .ok()
            .map(|place| hashes[place].1)
    }

    /// The published state, pinned: see invariant 3.
    pub(crate) fn pin(&self) -> Arc<State> {
        let mut pins = lock(&self.pins);
        // Taken under the lock, so that no compaction slips in between.
        let state = self.published();
        *pins.entry(state.compacted).or_default() += 1;
        state
    }

    pub(crate) fn unpin(&self, compacted: i64) {
        let mut pins = lock(&self.pins);
        let count = pins.get_mut(&compacted).expect("a view unpins what it pinned");
        *count -= 1;
        if *count == 0 {
            pins.remove(&compacted);
        }
    }

    /// How far history may be deleted by now.
    pub(crate) fn deletable(&self) -> i64 {
        let pins = lock(&self.pins);
        let published = self.published().compacted;
        pins.first_key_value()
            .map_or(published, |(oldest, _)| published.min(*oldest))
    }

    /// Locks the place of the next batch to commit.
    pub(crate) fn due(&self) -> MutexGuard<'_, u64> {
        lock(&self.due)
    }

    pub(crate) fn replacements(&self) -> u64 {
        self.replacements.load(Ordering::Acquire)
    }

    /// Says that a snapshot begins to take the state's place.
    pub(crate) fn begin_replacement(&self) {
        // After one that failed the number is odd already; it must change all the same, and stay odd.
        let number = self.replacements();
        self.replacements.store(
            if number.is_multiple_of(2) {
                number + 1
            } else {
                number + 2
            },
            Ordering::Release,
        );
    }

    /// Says that the snapshot has taken the state's place.
    pub(crate) fn end_replacement(&self) {
        lock(&self.hashes).clear();
        self.replacements.store(self.replacements() + 1, Ordering::Release);
    }

    /// Records of the published history from `first` to the end of `last_main`, in order, until there are `records_max`
    /// of them or `bytes_max` bytes are reached.
    pub(crate) fn replay(
        &self,
        first: Revision,
        last_main: i64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Records, EngineError> {
        let last = Revision::new(last_main, u32::MAX);
        // Pending records first: one that is committed meanwhile is then seen here, and the scan ends before it.
        let pending = self.values.pending(first, last, records_max);
        let end = pending
            .first()
            .map_or(Revision::new(last_main + 1, 0), |(revision, _)| *revision);
        let mut portion = Portion::new(records_max, bytes_max);
        let mut failure = None;
        self.engine
            .scan(&record_key(first)..&record_key(end), &mut |key, record| {
                match record_revision(key) {
                    Ok(revision) => portion.add(revision, Bytes::copy_from_slice(record)),
                    Err(error) => failure = Some(error),
                }
                if failure.is_some() || portion.found.cut {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        if let Some(error) = failure {
            return Err(error);
        }
        for (revision, record) in pending {
            if portion.found.cut {
                break;
            }
            portion.add(revision, record);
        }
        Ok(portion.found)
    }
}

/// Records in order, and whether more may follow.
pub(crate) struct Records {
    pub(crate) records: Vec<(Revision, Bytes)>,
    /// A bound ended the read, not the end of history.
    pub(crate) cut: bool,
}

/// Records until a bound is reached.
struct Portion {
    found: Records,
    records_max: usize,
    bytes_left: usize,
}

impl Portion {
    fn new(records_max: usize, bytes_max: usize) -> Self {
        let (records, cut) = (Vec::new(), false);
        Self {
            found: Records { records, cut },
            records_max,
            bytes_left: bytes_max,
        }
    }

    fn add(&mut self, revision: Revision, record: Bytes) {
        self.bytes_left = self.bytes_left.saturating_sub(record.len());
        self.found.records.push((revision, record));
        self.found.cut = self.bytes_left == 0 || self.found.records.len() >= self.records_max;
    }
}

/// Where a read finds records: the writer's own, not yet shared, then everyone's.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// In ascending order.
    pub(crate) staged: &'a [(Revision, Bytes)],
    pub(crate) shared: &'a Shared,
}

impl Source<'_> {
    /// The pairs that puts left at `revisions`, in their order.
    pub(crate) fn pairs(&self, revisions: &[Revision]) -> Result<Vec<KeyValue>, EngineError> {
        let mut pairs = Vec::with_capacity(revisions.len());
        self.visit(revisions, &mut |revision, record| {
            pairs.push(pair(revision, &record)?);
            Ok(())
        })?;
        Ok(pairs)
    }

    /// The pair that a put left at `revision`.
    pub(crate) fn pair(&self, revision: Revision) -> Result<KeyValue, EngineError> {
        let mut found = Err(EngineError::Missing { revision });
        self.visit(&[revision], &mut |revision, record| {
            found = pair(revision, &record);
            Ok(())
        })?;
        found
    }

    /// Hands over the records of `revisions` in their order, one after the other, so that any number of them takes the
    /// memory of one.
    pub(crate) fn visit(
        &self,
        revisions: &[Revision],
        take: &mut dyn FnMut(Revision, Bytes) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        for some in revisions.chunks(LOOKUPS_MAX) {
            let found = self.shared.values.find(some);
            let missing = found.iter().filter(|record| record.is_none()).count();
            let remember = missing <= CACHE_FILL_RECORDS_MAX;
            for (revision, record) in some.iter().zip(found) {
                let record = match record.or_else(|| self.staged(*revision)) {
                    Some(record) => record,
                    None => self.stored(*revision, remember)?,
                };
                take(*revision, record)?;
            }
        }
        Ok(())
    }

    fn staged(&self, revision: Revision) -> Option<Bytes> {
        let place = self.staged.binary_search_by_key(&revision, |(own, _)| *own).ok()?;
        Some(self.staged[place].1.clone())
    }

    fn stored(&self, revision: Revision, remember: bool) -> Result<Bytes, EngineError> {
        let replacements = self.shared.replacements();
        let record = self
            .shared
            .engine
            .get(&record_key(revision))?
            .ok_or(EngineError::Missing { revision })?;
        if remember && self.shared.replacements() == replacements {
            self.shared.values.remember(revision, record.clone());
        }
        Ok(record)
    }
}

fn pair(revision: Revision, record: &Bytes) -> Result<KeyValue, EngineError> {
    let key = record_key(revision);
    match record::decode(&key, record)? {
        (record::Kind::Put, pair) => Ok(pair),
        (record::Kind::Deletion, _) => Err(EngineError::corrupt(&key, "a deletion where the index has a put")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these plain values whole; the process is about to stop anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

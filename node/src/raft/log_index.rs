//! What the Raft log holds and where: the in-memory picture of the records in the WAL.
//!
//! Must keep true: entries are contiguous from `purged + 1` on; `slots[i]` is the entry at `first + i`; the recent
//! entries held in memory are a suffix of the slots. Pure: it reads and writes nothing itself.

use std::collections::VecDeque;

use kvorum_wal::Position;
use openraft::entry::RaftEntry;
use thiserror::Error;

use super::log_records::Record;
use super::{Entry, EntryId, Vote, entry_id};
use crate::recovery::evidence::LogEnds;

/// Bytes of recent entries kept in memory for followers that are nearly level; older ones are read from the WAL.
pub const RECENT_BYTES_MAX: usize = 64 << 20;
/// What an entry costs beside its payload, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 96;

#[derive(Debug, Clone, Copy)]
struct Slot {
    term: u64,
    position: Position,
    /// Bytes in the log of this entry and those before it, counted from some entry in the past.
    end: u64,
}

/// The picture of the log.
#[derive(Debug, Default)]
pub struct LogIndex {
    vote: Option<Vote>,
    committed: Option<EntryId>,
    purged: Option<EntryId>,
    /// What a replay found missing behind `purged`: a later purge must say that it was forgotten.
    missing: Option<Missing>,
    /// Index of `slots[0]`.
    first: u64,
    slots: VecDeque<Slot>,
    recent: VecDeque<Entry>,
    recent_bytes: usize,
}

/// Entries that a replay did not meet, before the first one that it did.
#[derive(Debug, Clone, Copy)]
struct Missing {
    expected: u64,
    found: u64,
    at: Position,
}

/// The records of the WAL contradict each other.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum ReplayError {
    /// An entry does not follow the one before.
    #[error("the log has entry {found} where {expected} was expected: a part of it is missing")]
    Gap {
        /// The index that should come next.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// An entry is of an earlier term than the one before.
    #[error("the log has entry {index} of term {found} behind one of term {before}: terms never fall")]
    Term {
        /// The entry.
        index: u64,
        /// Its term.
        found: u64,
        /// The term of the entry before.
        before: u64,
    },
}

/// Where a run of entries is to be had.
#[derive(Debug)]
pub enum Run {
    /// Here they are.
    Memory(Vec<Entry>),
    /// In the WAL, at these positions.
    Disk(Vec<Position>),
}

impl LogIndex {
    /// Takes in one record found at `position` when the WAL is opened.
    ///
    /// # Errors
    /// An entry that leaves a gap, or is of an earlier term than the one before.
    pub fn replay(&mut self, position: Position, record: Record) -> Result<(), ReplayError> {
        match record {
            Record::Entry(entry) => {
                let (expected, found) = (self.next(), entry.log_id().index());
                if self.slots.is_empty() && self.purged.is_none() {
                    self.first = found;
                } else if self.slots.is_empty() && found > expected {
                    // A purge lies at the beginning of a segment; what it left lay in the one before, which a later
                    // purge gave back.
                    let at = position;
                    self.missing = Some(Missing { expected, found, at });
                } else if found != expected {
                    return Err(ReplayError::Gap { expected, found });
                }
                let term = **entry.log_id().committed_leader_id();
                let before = self.last().map_or(0, |id| **id.committed_leader_id());
                if term < before {
                    let (index, found) = (found, term);
                    return Err(ReplayError::Term { index, found, before });
                }
                self.append(entry, position);
            }
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Committed(id) => self.committed = Some(id),
            Record::TruncateFrom(index) => self.truncate_from(index),
            Record::Purge(id) => self.purge(id),
        }
        Ok(())
    }

    /// Whether the next entry may be that of `index`. Where there is none yet, it may be any.
    pub fn goes_on_at(&self, index: u64) -> bool {
        let empty = self.slots.is_empty() && self.purged.is_none();
        empty || index == self.next()
    }

    /// Whether everything that was replayed fits together, once it is all there; otherwise also where it does not.
    ///
    /// # Errors
    /// Entries are missing that nothing says were forgotten.
    pub fn settled(&self) -> Result<(), (Position, ReplayError)> {
        match self.missing {
            None => Ok(()),
            Some(Missing { expected, found, at }) => Err((at, ReplayError::Gap { expected, found })),
        }
    }

    /// Adds the next entry.
    pub fn append(&mut self, entry: Entry, position: Position) {
        let id = entry.log_id();
        if self.slots.is_empty() {
            self.first = id.index();
        }
        debug_assert_eq!(
            id.index(),
            self.first + self.slots.len() as u64,
            "entries are contiguous"
        );
        let before = self.slots.back().map_or(0, |slot| slot.end);
        self.slots.push_back(Slot {
            term: **id.committed_leader_id(),
            position,
            end: before + position.bytes(),
        });
        self.recent_bytes += cost(&entry);
        self.recent.push_back(entry);
        while self.recent_bytes > RECENT_BYTES_MAX && self.recent.len() > 1 {
            self.drop_oldest_recent();
        }
    }

    /// Cuts off the entries from `index` on.
    pub fn truncate_from(&mut self, index: u64) {
        let keep = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        while self.slots.len() > keep {
            self.slots.pop_back();
            if let Some(entry) = self.recent.pop_back() {
                self.recent_bytes -= cost(&entry);
            }
        }
    }

    /// Forgets the entries up to and including `id`.
    pub fn purge(&mut self, id: EntryId) {
        while !self.slots.is_empty() && self.first <= id.index() {
            if self.recent.len() == self.slots.len() {
                self.drop_oldest_recent();
            }
            self.slots.pop_front();
            self.first += 1;
        }
        if self.purged.is_none_or(|purged| purged < id) {
            self.purged = Some(id);
        }
        self.missing = self.missing.filter(|missing| id.index() + 1 < missing.found);
    }

    /// Remembers the vote.
    pub fn set_vote(&mut self, vote: Vote) {
        self.vote = Some(vote);
    }

    /// Remembers what is known to be committed.
    pub fn set_committed(&mut self, id: Option<EntryId>) {
        self.committed = id;
    }

    /// The vote.
    pub fn vote(&self) -> Option<Vote> {
        self.vote
    }

    /// What was last known to be committed, as far as the log reaches.
    pub fn committed(&self) -> Option<EntryId> {
        self.committed.min(self.last())
    }

    /// The last entry forgotten.
    pub fn purged(&self) -> Option<EntryId> {
        self.purged
    }

    /// The last entry, or the last forgotten one where nothing follows it.
    pub fn last(&self) -> Option<EntryId> {
        match self.slots.back() {
            Some(slot) => Some(entry_id(slot.term, self.first + self.slots.len() as u64 - 1)),
            None => self.purged,
        }
    }

    /// What the log says of itself.
    pub fn ends(&self) -> LogEnds {
        LogEnds {
            purged: self.purged,
            last: self.last(),
            vote: self.vote,
        }
    }

    /// The first entry held.
    pub fn first(&self) -> Option<EntryId> {
        self.slots.front().map(|slot| entry_id(slot.term, self.first))
    }

    /// The oldest segment that still holds an entry.
    pub fn oldest_segment(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.position.segment)
    }

    /// Bytes of the entries behind the one at `index`; of all of them for `None`.
    pub fn bytes_behind(&self, index: Option<u64>) -> u64 {
        let end = self.slots.back().map_or(0, |slot| slot.end);
        end - self.end_of(self.count_to(index))
    }

    /// The last entry to forget so that those behind it up to `covered` take at most `bytes_max`; `None` where they do
    /// already.
    pub fn surplus(&self, covered: u64, bytes_max: u64) -> Option<u64> {
        let end = self.end_of(self.count_to(Some(covered)));
        if end - self.end_of(0) <= bytes_max {
            return None;
        }
        // The first entry that ends here or later is the last to go.
        let kept = end - bytes_max;
        let before = self.slots.partition_point(|slot| slot.end < kept);
        Some(self.first + before as u64)
    }

    /// The entries from `from` up to, not including, `to`, as far as they are here.
    pub fn run(&self, from: u64, to: u64) -> Run {
        let end = self.first + self.slots.len() as u64;
        let (from, to) = (from.max(self.first), to.min(end));
        if from >= to {
            return Run::Memory(Vec::new());
        }
        let recent_first = end - self.recent.len() as u64;
        if from >= recent_first {
            let range = offset(from, recent_first)..offset(to, recent_first);
            return Run::Memory(self.recent.range(range).cloned().collect());
        }
        let range = offset(from, self.first)..offset(to, self.first);
        Run::Disk(self.slots.range(range).map(|slot| slot.position).collect())
    }

    /// How many of the entries here lie at `index` or before it.
    fn count_to(&self, index: Option<u64>) -> usize {
        let count = index.map_or(0, |index| (index + 1).saturating_sub(self.first));
        usize::try_from(count).map_or(self.slots.len(), |count| count.min(self.slots.len()))
    }

    /// Where the first `count` entries end, in bytes, counted as in the slots.
    fn end_of(&self, count: usize) -> u64 {
        match count.checked_sub(1) {
            Some(last) => self.slots[last].end,
            None => self.slots.front().map_or(0, |slot| slot.end - slot.position.bytes()),
        }
    }

    fn next(&self) -> u64 {
        if self.slots.is_empty() {
            self.purged.map_or(self.first, |id| id.index() + 1)
        } else {
            self.first + self.slots.len() as u64
        }
    }

    fn drop_oldest_recent(&mut self) {
        if let Some(entry) = self.recent.pop_front() {
            self.recent_bytes -= cost(&entry);
        }
    }
}

fn offset(index: u64, base: u64) -> usize {
    usize::try_from(index - base).expect("an offset into memory fits in usize")
}

/// What an entry counts in memory and in messages, in bytes.
pub fn cost(entry: &Entry) -> usize {
    ENTRY_OVERHEAD_BYTES
        + match &entry.payload {
            openraft::EntryPayload::Normal(proposal) => proposal.0.len(),
            openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use openraft::EntryPayload;

    use super::*;
    use crate::raft::Proposal;

    fn at(offset: u64) -> Position {
        Position {
            segment: offset / 10,
            offset,
            len: 1,
        }
    }

    fn entry(term: u64, index: u64) -> Entry {
        openraft::Entry::new(
            entry_id(term, index),
            EntryPayload::Normal(Proposal(Bytes::from_static(b"x"))),
        )
    }

    fn indexes(run: Run) -> Vec<u64> {
        match run {
            Run::Memory(entries) => entries.iter().map(|entry| entry.log_id().index()).collect(),
            Run::Disk(positions) => positions.iter().map(|position| position.offset).collect(),
        }
    }

    fn filled() -> LogIndex {
        let mut log = LogIndex::default();
        for index in 0..20 {
            log.replay(at(index), Record::Entry(entry(1, index))).unwrap();
        }
        log
    }

    #[test]
    fn runs_are_cut_to_what_is_there() {
        let mut log = filled();
        log.purge(entry_id(1, 4));
        assert_eq!(indexes(log.run(0, 7)), [5, 6]);
        assert_eq!(indexes(log.run(18, 99)), [18, 19]);
        assert!(indexes(log.run(30, 40)).is_empty());
        assert_eq!(log.oldest_segment(), Some(0));
        log.purge(entry_id(1, 12));
        assert_eq!(log.oldest_segment(), Some(1));
    }

    #[test]
    fn truncation_and_purge_leave_the_right_last_entry() {
        let mut log = filled();
        log.truncate_from(15);
        assert_eq!(log.last(), Some(entry_id(1, 14)));
        log.append(entry(2, 15), at(40));
        assert_eq!(log.last(), Some(entry_id(2, 15)));
        log.purge(entry_id(2, 15));
        assert_eq!(log.last(), Some(entry_id(2, 15)));
        log.append(entry(2, 16), at(41));
        assert_eq!(indexes(log.run(0, 99)), [16]);
    }

    #[test]
    fn purging_beyond_the_end_restarts_after_it() {
        let mut log = filled();
        log.purge(entry_id(3, 100));
        assert_eq!(log.last(), Some(entry_id(3, 100)));
        log.replay(at(50), Record::Entry(entry(3, 101))).unwrap();
        assert_eq!(
            log.replay(at(51), Record::Entry(entry(3, 103))),
            Err(ReplayError::Gap {
                expected: 102,
                found: 103
            })
        );
    }

    /// Entries 0 to 9 lie in segment 0, a purge up to 4 is the first record of segment 1, then come the others. A purge up
    /// to 9 gives segment 0 back: what is replayed begins with the first purge.
    #[test]
    fn what_a_later_purge_gave_back_is_not_missing() {
        let replayed = |last: Option<Record>| {
            let mut log = LogIndex::default();
            log.replay(at(10), Record::Purge(entry_id(1, 4))).unwrap();
            for index in 10..15 {
                log.replay(at(index + 1), Record::Entry(entry(1, index))).unwrap();
            }
            last.into_iter().for_each(|last| log.replay(at(17), last).unwrap());
            log
        };
        let log = replayed(Some(Record::Purge(entry_id(1, 9))));
        assert_eq!(log.settled(), Ok(()));
        assert_eq!(
            (log.purged(), log.last()),
            (Some(entry_id(1, 9)), Some(entry_id(1, 14)))
        );
        assert_eq!(indexes(log.run(0, 99)), [10, 11, 12, 13, 14]);
        let gap = ReplayError::Gap { expected: 5, found: 10 };
        for last in [None, Some(Record::Purge(entry_id(1, 8)))] {
            assert_eq!(replayed(last).settled(), Err((at(11), gap.clone())));
        }
    }

    #[test]
    fn bytes_are_counted_behind_an_entry() {
        let mut log = filled();
        let each = at(0).bytes();
        for (index, count) in [(None, 20), (Some(0), 19), (Some(18), 1), (Some(19), 0), (Some(99), 0)] {
            assert_eq!(log.bytes_behind(index), count * each, "behind {index:?}");
        }
        log.truncate_from(15);
        assert_eq!(log.bytes_behind(Some(9)), 5 * each);
        log.purge(entry_id(1, 9));
        log.append(entry(2, 15), at(40));
        for index in [None, Some(3), Some(9)] {
            assert_eq!(log.bytes_behind(index), 6 * each, "behind {index:?}");
        }
        log.purge(entry_id(2, 15));
        assert_eq!((log.bytes_behind(None), log.bytes_behind(Some(2))), (0, 0));
    }

    #[test]
    fn what_a_snapshot_covers_is_kept_up_to_a_bound() {
        let mut log = filled();
        let each = at(0).bytes();
        for (covered, kept, surplus) in [
            (19, 20, None),
            (19, 19, Some(0)),
            (19, 5, Some(14)),
            (19, 0, Some(19)),
            (99, 5, Some(14)),
            (9, 10, None),
            (9, 5, Some(4)),
            (0, 0, Some(0)),
        ] {
            assert_eq!(log.surplus(covered, kept * each), surplus, "{kept} up to {covered}");
            assert_eq!(
                log.surplus(covered, kept * each + each / 2),
                surplus,
                "{kept} and a half up to {covered}"
            );
        }
        log.purge(entry_id(1, 9));
        for (covered, kept, surplus) in [(3, 0, None), (9, 0, None), (15, 5, Some(10)), (15, 6, None)] {
            assert_eq!(log.surplus(covered, kept * each), surplus, "{kept} up to {covered}");
        }
    }

    #[test]
    fn terms_never_fall() {
        let mut log = filled();
        log.replay(at(20), Record::Entry(entry(3, 20))).unwrap();
        let refused = log.replay(at(21), Record::Entry(entry(2, 21)));
        assert_eq!(
            refused,
            Err(ReplayError::Term {
                index: 21,
                found: 2,
                before: 3
            })
        );
        // What was cut off has no say.
        log.replay(at(22), Record::TruncateFrom(20)).unwrap();
        log.replay(at(23), Record::Entry(entry(2, 20))).unwrap();
    }

    #[test]
    fn old_entries_leave_memory_but_not_the_index() {
        let mut log = LogIndex::default();
        let big = Bytes::from(vec![0; RECENT_BYTES_MAX / 4]);
        for index in 0..8 {
            let payload = EntryPayload::Normal(Proposal(big.clone()));
            log.append(openraft::Entry::new(entry_id(1, index), payload), at(index));
        }
        assert!(matches!(log.run(0, 2), Run::Disk(positions) if positions.len() == 2));
        assert!(matches!(log.run(7, 8), Run::Memory(entries) if entries.len() == 1));
        log.truncate_from(2);
        assert_eq!(log.last(), Some(entry_id(1, 1)));
        assert!(matches!(log.run(0, 2), Run::Disk(positions) if positions.len() == 2));
    }
}

//! openraft's log on Kvorum's WAL.
//!
//! Must keep true:
//! 1. `append` reports completion to openraft only from the WAL's callback, after the sync that covers the entries.
//! 2. `save_vote`, `truncate_after` and `purge` return after their record was synced.
//! 3. Records reach the WAL in the order in which they change the picture in memory: both happen under one lock.
//! 4. A segment is given back only when neither an entry nor the only copy of vote or purge position lies in it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt as _};
use kvorum_faults::Wrong;
use kvorum_wal::{Batch, Position, Wal};
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use thiserror::Error;
use tokio::sync::oneshot;

use super::log_index::{LogIndex, ReplayError, Run, cost};
use super::log_records::{self, DecodeError, Record};
use super::{Entry, EntryId, Types, Vote};
use crate::recovery::evidence::LogEnds;

/// Bytes of entries in one message to a follower: large enough to fill a fast link, small enough not to delay the
/// heartbeat behind it on a slow one.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Bytes of entries read at once to be applied.
const APPLY_BYTES_MAX: usize = 1 << 20;

/// The Raft log of this member. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    wal: Wal,
    index: Mutex<Picture>,
}

#[derive(Default)]
struct Picture {
    log: LogIndex,
    /// A `Committed` record not yet written: it rides with the next batch, since losing it costs nothing but time.
    committed_unwritten: Option<EntryId>,
}

/// Why a record found in the WAL cannot be taken in.
#[derive(Debug, Error)]
pub enum ReplayRecordError {
    /// Not a record of this version.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Contradicts the records before it.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl LogStore {
    /// Opens the log in `dir`, creating it where there is none.
    ///
    /// # Errors
    /// What the WAL found wrong, with file and offset.
    pub fn open(dir: &Path, options: kvorum_wal::Options) -> Result<Self, kvorum_wal::OpenError> {
        let mut log = LogIndex::default();
        let wal = kvorum_wal::open(dir, options, &mut |position, kind, payload: &[u8]| {
            let record = log_records::decode(kind, payload)?;
            log.replay(position, record)?;
            Ok::<(), ReplayRecordError>(())
        })?;
        settled(dir, &log)?;
        let index = Mutex::new(Picture {
            log,
            committed_unwritten: None,
        });
        let shared = Arc::new(Shared { wal, index });
        #[cfg(feature = "simulation")]
        crate::simulation::log::drive(&shared, |shared| &shared.wal);
        Ok(Self { shared })
    }

    /// The last entry forgotten and the last entry held.
    pub fn bounds(&self) -> (Option<EntryId>, Option<EntryId>) {
        let picture = self.picture();
        (picture.log.purged(), picture.log.last())
    }

    /// Bytes of the entries behind the one at `index`; of all of them for `None`.
    pub fn bytes_behind(&self, index: Option<u64>) -> u64 {
        self.picture().log.bytes_behind(index)
    }

    /// The last entry to forget so that those behind it up to `covered` take at most `bytes_max`.
    pub fn surplus(&self, covered: u64, bytes_max: u64) -> Option<u64> {
        self.picture().log.surplus(covered, bytes_max)
    }

    /// What the log says of itself, to be held against the state.
    pub fn ends(&self) -> LogEnds {
        self.picture().log.ends()
    }

    /// The WAL's counters.
    pub fn wal(&self) -> &Wal {
        &self.shared.wal
    }

    fn is_purged(&self, index: u64) -> bool {
        self.picture()
            .log
            .purged()
            .is_some_and(|purged| index <= purged.index())
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        // A panic while the lock was held has already ended the process (main installs an aborting hook).
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `records` as one batch, applying `change` to the picture under the same lock; resolves after the sync.
    async fn write(
        &self,
        records: impl FnOnce(&LogIndex) -> Vec<Record>,
        change: impl FnOnce(&mut LogIndex, &[Position]),
    ) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut picture = self.picture();
            let mut batch = Batch::new();
            for record in records(&picture.log) {
                let (kind, payload) = log_records::encode(&record);
                batch.push(kind, payload).map_err(io::Error::other)?;
            }
            let positions = self.submit(batch, move |result| drop(sender.send(result)))?;
            change(&mut picture.log, &positions);
        }
        receiver.await.map_err(|_| io::Error::other("the log was closed"))?
    }

    fn submit(&self, batch: Batch, done: impl FnOnce(io::Result<()>) + Send + 'static) -> io::Result<Vec<Position>> {
        let done = move |result: Result<(), kvorum_wal::Failure>| done(result.map_err(io::Error::other));
        self.shared.wal.append(batch, done).map_err(io::Error::other)
    }

    fn entries(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let run = self.picture().log.run(from, to);
        match run {
            Run::Memory(mut entries) => {
                entries.truncate(within(entries.iter().map(cost), bytes_max));
                Ok(entries)
            }
            Run::Disk(positions) => {
                let count = within(positions.iter().map(|position| position.len as usize), bytes_max);
                positions[..count].iter().map(|position| self.read(*position)).collect()
            }
        }
    }

    /// The entries of a range, read some at a time: a member that is far behind applies more than its memory holds.
    fn stream(&self, from: u64, to: u64, bytes_max: usize) -> impl Stream<Item = io::Result<Entry>> + Send + use<> {
        let log = self.clone();
        let pieces = futures::stream::unfold(Some(from), move |from| {
            let read = from.and_then(|from| log.piece(from, to, bytes_max).transpose());
            std::future::ready(read.map(|read| {
                let next = read
                    .as_ref()
                    .ok()
                    .and_then(|entries| Some(entries.last()?.log_id().index() + 1));
                (read, next)
            }))
        });
        let entries = pieces.flat_map(|piece| {
            let (entries, error) = match piece {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            futures::stream::iter(entries.into_iter().map(Ok).chain(error.map(Err)))
        });
        // Whoever applies looks for more once more after the end.
        entries.fuse()
    }

    /// The next entries of a range; `None` when there are none left.
    fn piece(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Option<Vec<Entry>>> {
        if from >= to {
            return Ok(None);
        }
        let entries = self.entries(from, to, bytes_max)?;
        Ok(Some(entries).filter(|entries| !entries.is_empty()))
    }

    fn read(&self, position: Position) -> io::Result<Entry> {
        let payload = self.shared.wal.reader().read(position).map_err(io::Error::other)?;
        log_records::decode_entry(&payload).map_err(io::Error::other)
    }
}

/// Whether everything that was replayed of the log in `dir` fits together.
///
/// # Errors
/// A part of it is missing.
pub(crate) fn settled(dir: &Path, log: &LogIndex) -> Result<(), kvorum_wal::OpenError> {
    log.settled().map_err(|(at, reason)| kvorum_wal::OpenError::Damaged {
        file: dir.to_owned(),
        offset: at.offset,
        what: format!("segment {}: {reason}", at.segment),
    })
}

/// How many of `costs`, from the front, stay within `bytes_max`: at least one, so that a large entry still moves.
fn within(costs: impl Iterator<Item = usize>, bytes_max: usize) -> usize {
    let mut bytes = 0_usize;
    let mut count = 0;
    for cost in costs {
        bytes = bytes.saturating_add(cost);
        if count > 0 && bytes > bytes_max {
            break;
        }
        count += 1;
    }
    count
}

fn half_open(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (from, to) = half_open(&range);
        self.entries(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let read = self.entries(start, end, MESSAGE_BYTES_MAX);
        // Consensus keeps what a follower still needs, but a stream to it may outlive that for a moment. What it would send
        // then must not begin later than it was asked to: the follower's log would have a gap that nobody sees.
        let begins = |entries: &Vec<Entry>| entries.first().is_none_or(|first| first.log_id().index() == start);
        match read {
            Ok(entries) if begins(&entries) => Ok(entries),
            Err(error) if !self.is_purged(start) => Err(error),
            Ok(_) | Err(_) => Ok(Vec::new()),
        }
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = half_open(&range);
        self.stream(from, to, APPLY_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.picture().log.vote())
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let (last_purged_log_id, last_log_id) = self.bounds();
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        if Wrong::NoVote.is_asked() {
            self.picture().log.set_vote(vote);
            return Ok(());
        }
        #[cfg(feature = "simulation")]
        if crate::simulation::faults::is(crate::simulation::faults::Fault::VoteForgotten) {
            self.picture().log.set_vote(vote);
            crate::simulation::ledger::voted(self.shared.wal.recovery().log_id, &vote);
            return Ok(());
        }
        self.write(|_| vec![Record::Vote(vote)], |log, _| log.set_vote(vote))
            .await?;
        #[cfg(feature = "simulation")]
        crate::simulation::ledger::voted(self.shared.wal.recovery().log_id, &vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<EntryId>) -> Result<(), io::Error> {
        let mut picture = self.picture();
        picture.log.set_committed(committed);
        picture.committed_unwritten = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<EntryId>, io::Error> {
        Ok(self.picture().log.committed())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut batch = Batch::new();
        for entry in &entries {
            let (kind, payload) = log_records::entry_record(entry);
            batch.push(kind, payload).map_err(io::Error::other)?;
        }
        let mut picture = self.picture();
        if let Some(first) = entries
            .first()
            .filter(|first| !picture.log.goes_on_at(first.log_id().index()))
        {
            let text = format!(
                "entry {} does not follow the last one of this log",
                first.log_id().index()
            );
            return Err(io::Error::other(text));
        }
        if let Some(committed) = picture.committed_unwritten.take() {
            let (kind, payload) = log_records::encode(&Record::Committed(committed));
            batch.push(kind, payload).map_err(io::Error::other)?;
        }
        let positions = self.submit(batch, |result| callback.io_completed(result))?;
        for (entry, position) in entries.into_iter().zip(positions) {
            picture.log.append(entry, position);
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<EntryId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index() + 1);
        self.write(|_| vec![Record::TruncateFrom(from)], |log, _| log.truncate_from(from))
            .await
    }

    async fn purge(&mut self, id: EntryId) -> Result<(), io::Error> {
        let records = |log: &LogIndex| {
            let vote = log.vote().map(Record::Vote);
            let committed = log.committed().map(Record::Committed);
            [Some(Record::Purge(id)), vote, committed]
                .into_iter()
                .flatten()
                .collect()
        };
        let mut written_in = 0;
        self.write(records, |log, positions| {
            log.purge(id);
            written_in = positions.first().map_or(0, |position| position.segment);
        })
        .await?;
        let oldest = self
            .picture()
            .log
            .oldest_segment()
            .unwrap_or(written_in)
            .min(written_in);
        self.shared.wal.release(oldest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Proposal, entry_id};
    use bytes::Bytes;
    use openraft::EntryPayload;

    fn entry(index: u64) -> Entry {
        let payload = EntryPayload::Normal(Proposal(Bytes::from(vec![7; 1_000])));
        Entry::new(entry_id(1, index), payload)
    }

    /// A log of small segments with the first 50 entries.
    async fn filled(dir: &Path) -> LogStore {
        let mut options = kvorum_wal::Options::new(Arc::new(|failure: &kvorum_wal::Failure| panic!("{failure}")));
        (options.first_segment_bytes, options.segment_bytes) = (4096, 4096);
        let mut log = LogStore::open(dir, options).unwrap();
        log.append((0..50).map(entry), IOFlushed::noop()).await.unwrap();
        log
    }

    #[tokio::test]
    async fn what_is_sent_begins_where_it_was_asked_to_or_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path()).await;
        log.purge(entry_id(1, 30)).await.unwrap();
        assert_eq!(log.limited_get_log_entries(3, 40).await.unwrap(), []);
        let sent = log.limited_get_log_entries(31, 40).await.unwrap();
        assert_eq!(sent.first().map(|entry| entry.log_id().index()), Some(31));
    }

    #[tokio::test]
    async fn a_log_takes_no_gap() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path()).await;
        assert!(log.append([entry(51)], IOFlushed::noop()).await.is_err());
        log.append([entry(50)], IOFlushed::noop()).await.unwrap();
    }

    #[tokio::test]
    async fn a_long_range_comes_whole_though_it_is_read_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path()).await;
        let indexes = |entries: Vec<io::Result<Entry>>| -> Vec<u64> {
            entries
                .into_iter()
                .map(|entry| entry.unwrap().log_id().index())
                .collect()
        };
        for bytes_max in [1, 2_500, 1 << 20] {
            let read = log.stream(3, 48, bytes_max).collect().await;
            assert_eq!(
                indexes(read),
                (3..48).collect::<Vec<_>>(),
                "{bytes_max} bytes at a time"
            );
        }
        let mut one = std::pin::pin!(log.stream(48, 49, 1));
        assert!(one.next().await.is_some() && one.next().await.is_none());
        assert!(one.next().await.is_none(), "it may be asked again after its end");
        assert!(indexes(log.stream(48, 48, 1).collect().await).is_empty());
        assert_eq!(indexes(log.stream(48, 99, 1).collect().await), [48, 49]);
    }
}

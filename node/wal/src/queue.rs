//! What waits to be written: gives records their positions, bounds what waits, and serves it to readers.
//!
//! Positions are given under the same lock that orders the queue, so the order of positions is the order on disk. A
//! batch stays readable here until the sync that covers it; only then is it dropped and its place read from the file.
//! Deliberately knows no file.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use bytes::Bytes;

use crate::{
    AppendError, Batch, Failure, Position, TooLarge,
    batch::Record,
    format::{SEAL_BYTES, SEGMENT_HEADER_BYTES, footprint},
};

/// Bytes after which a group takes no further batch: some milliseconds of writing, so that the first of a long queue
/// need not wait for the last.
const GROUP_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Told when a batch is on disk, or why not.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// Where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Segment.
    pub(crate) segment: u64,
    /// Offset in it, in bytes.
    pub(crate) offset: u64,
    /// Its size, in bytes.
    pub(crate) capacity: u64,
}

/// A batch with its positions.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) records: Vec<(Position, Record)>,
    /// Segment and offset just behind it.
    end: (u64, u64),
    bytes: u64,
}

/// What the writer takes at once.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) batches: Vec<Arc<Placed>>,
    pub(crate) dones: Vec<Done>,
}

/// The queue between many callers and one writer.
#[derive(Debug)]
pub(crate) struct Queue {
    segment_bytes: u64,
    bytes_max: u64,
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    #[cfg(feature = "simulation")]
    wake: std::sync::OnceLock<Wake>,
}

/// Called where a thread would be woken.
#[cfg(feature = "simulation")]
struct Wake(Box<dyn Fn() + Send + Sync>);

#[cfg(feature = "simulation")]
impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

struct State {
    next: Cursor,
    /// Batches that are not on disk: those that the writer has taken, then those that wait.
    backlog: VecDeque<Arc<Placed>>,
    /// One for each batch that waits.
    dones: VecDeque<Done>,
    bytes: u64,
    /// Whether the writer sleeps: only then is it worth a system call to wake it.
    idle: bool,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Open,
    Closed,
    Failed(Failure),
}

impl Queue {
    /// An empty queue; records go to `next` first and later to segments of `segment_bytes`.
    pub(crate) fn new(next: Cursor, segment_bytes: u64, bytes_max: u64) -> Queue {
        let (backlog, dones) = (VecDeque::new(), VecDeque::new());
        let state = Mutex::new(State {
            next,
            backlog,
            dones,
            bytes: 0,
            idle: false,
            phase: Phase::Open,
        });
        Queue {
            segment_bytes,
            bytes_max,
            state,
            work: Condvar::new(),
            room: Condvar::new(),
            #[cfg(feature = "simulation")]
            wake: std::sync::OnceLock::new(),
        }
    }

    /// Places a batch and queues it; blocks while too much waits.
    pub(crate) fn push(&self, batch: Batch, done: Done) -> Result<Vec<Position>, AppendError> {
        let max = self.segment_bytes - SEGMENT_HEADER_BYTES - SEAL_BYTES;
        let lengths = batch.records.iter().map(|record| record.payload.len() as u64);
        if let Some(bytes) = lengths.max().filter(|bytes| footprint(*bytes as u32) > max) {
            return Err(TooLarge {
                bytes,
                max: max - footprint(0),
            }
            .into());
        }
        let bytes = batch
            .records
            .iter()
            .map(|record| footprint(record.payload.len() as u32))
            .sum();
        let mut state = self.lock();
        loop {
            match &state.phase {
                Phase::Closed => return Err(AppendError::Closed),
                Phase::Failed(failure) => return Err(failure.clone().into()),
                Phase::Open if state.bytes == 0 || state.bytes + bytes <= self.bytes_max => break,
                Phase::Open => state = self.room.wait(state).expect(UNPOISONED),
            }
        }
        let placed = state.place(batch, bytes, self.segment_bytes);
        let positions = placed.records.iter().map(|(at, _)| *at).collect();
        state.backlog.push_back(Arc::new(placed));
        state.dones.push_back(done);
        state.bytes += bytes;
        let idle = mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.work.notify_one();
        }
        #[cfg(feature = "simulation")]
        if let Some(wake) = self.wake.get() {
            (wake.0)();
        }
        Ok(positions)
    }

    #[cfg(not(feature = "simulation"))]
    /// Waits for work and takes a group of it. `None` when the queue is closed and empty, or has failed.
    pub(crate) fn take(&self) -> Option<Group> {
        let mut state = self.lock();
        while state.dones.is_empty() {
            match state.phase {
                Phase::Open => {
                    state.idle = true;
                    state = self.work.wait(state).expect(UNPOISONED);
                }
                Phase::Closed | Phase::Failed(_) => return None,
            }
        }
        Some(state.group())
    }

    /// A group, if one waits.
    #[cfg(feature = "simulation")]
    pub(crate) fn try_take(&self) -> Option<Group> {
        let mut state = self.lock();
        let waits = !state.dones.is_empty();
        waits.then(|| state.group())
    }

    /// Has `wake` called after every push.
    #[cfg(feature = "simulation")]
    pub(crate) fn on_work(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let first = self.wake.set(Wake(wake)).is_ok();
        assert!(first, "a log is driven by one hand");
    }

    /// Forgets the oldest `batches`: they are on disk.
    pub(crate) fn forget(&self, batches: usize) {
        let mut state = self.lock();
        let written: u64 = state.backlog.drain(..batches).map(|batch| batch.bytes).sum();
        state.bytes -= written;
        drop(state);
        self.room.notify_all();
    }

    /// Takes no more; what waits is still written.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Closed;
        }
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Takes and gives no more. Returns the `done`s that wait, or `None` when it had failed before.
    pub(crate) fn fail(&self, failure: &Failure) -> Option<Vec<Done>> {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Failed(_)) {
            return None;
        }
        state.phase = Phase::Failed(failure.clone());
        let dones = mem::take(&mut state.dones).into();
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
        Some(dones)
    }

    /// The payload of a record that is not on disk yet.
    pub(crate) fn find(&self, at: Position) -> Option<Bytes> {
        let state = self.lock();
        let batch = state
            .backlog
            .partition_point(|batch| batch.end <= (at.segment, at.offset));
        let records = &state.backlog.get(batch)?.records;
        let record = records.binary_search_by(|(position, _)| position.cmp(&at)).ok()?;
        Some(records[record].1.payload.clone())
    }

    /// Bytes that are not on disk yet.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// The segment that the next record goes to, at least.
    pub(crate) fn segment(&self) -> u64 {
        self.lock().next.segment
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

impl State {
    /// The next group, of what waits.
    fn group(&mut self) -> Group {
        let waiting = self.backlog.len() - self.dones.len();
        let mut group = Group::default();
        let mut bytes = 0;
        for batch in self.backlog.iter().skip(waiting) {
            bytes += batch.bytes;
            if !group.batches.is_empty() && bytes > GROUP_BYTES_MAX {
                break;
            }
            group.batches.push(Arc::clone(batch));
        }
        group.dones = self.dones.drain(..group.batches.len()).collect();
        group
    }

    fn place(&mut self, batch: Batch, bytes: u64, segment_bytes: u64) -> Placed {
        let placed = batch
            .records
            .into_iter()
            .map(|record| (self.next.advance(&record, segment_bytes), record));
        let records = placed.collect();
        Placed {
            records,
            end: (self.next.segment, self.next.offset),
            bytes,
        }
    }
}

impl Cursor {
    /// The position of `record`, in the next segment if this one has no room for it and a seal.
    fn advance(&mut self, record: &Record, segment_bytes: u64) -> Position {
        let len = u32::try_from(record.payload.len()).expect("a batch bounds the payload");
        if self.offset + footprint(len) + SEAL_BYTES > self.capacity {
            *self = Cursor {
                segment: self.segment + 1,
                offset: SEGMENT_HEADER_BYTES,
                capacity: segment_bytes,
            };
        }
        let at = Position {
            segment: self.segment,
            offset: self.offset,
            len,
        };
        self.offset += footprint(len);
        at
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State {
            next,
            backlog,
            dones,
            bytes,
            idle,
            phase,
        } = self;
        f.debug_struct("State")
            .field("next", next)
            .field("backlog", &backlog.len())
            .field("waiting", &dones.len())
            .field("bytes", bytes)
            .field("idle", idle)
            .field("phase", phase)
            .finish()
    }
}

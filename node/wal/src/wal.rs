//! The log handle: opens, starts the two threads, queues, and joins them at the end.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;

#[cfg(feature = "simulation")]
use crate::steps::Running;
#[cfg(not(feature = "simulation"))]
use crate::threads::Running;
use crate::{
    AppendError, Batch, Failure, Kind, Metrics, OpenError, Options, Position, Reader,
    directory::{Access, Directory},
    format::FLOOR,
    log::Log,
    metrics::Counters,
    queue::Queue,
    recovery::{Recovered, Recovery, recover},
    supply::Supply,
    survey::Refused,
    writer::Writer,
};

/// An open log. Dropping it closes it.
pub struct Wal {
    log: Arc<Log>,
    recovery: Recovery,
    /// The highest floor that was asked for.
    floor: Mutex<u64>,
    running: Mutex<Option<Running>>,
}

/// Opens the log in `dir`, or makes one (the parent directory must be there), and hands every record to `replay` in
/// order. By the time it returns, all that was replayed is on disk.
///
/// # Errors
/// Every case of [`OpenError`]; the log is then closed again.
pub fn open<E: Into<Refused>>(
    dir: &Path,
    options: Options,
    mut replay: impl FnMut(Position, Kind, &[u8]) -> Result<(), E>,
) -> Result<Wal, OpenError> {
    options.check()?;
    let (create, sync) = (options.create, options.sync);
    let directory = Directory::open(dir, Access::Write { create, sync })?;
    let recovered = recover(&directory, &options, &mut |at, kind, payload| {
        replay(at, kind, payload).map_err(Into::into)
    })?;
    let Recovered {
        recovery,
        segments,
        next,
        ready,
        floor,
    } = recovered;
    let live = Arc::clone(&segments[&next.segment]);
    let log = Arc::new(Log {
        id: recovery.log_id,
        segment_bytes: options.segment_bytes,
        queue: Queue::new(next, options.segment_bytes, options.queue_bytes_max),
        supply: Supply::new(ready, next.segment + 1, recovery.first_segment, floor),
        counters: Counters::default(),
        fatal: options.fatal,
        segments: RwLock::new(segments),
    });
    let directory = Arc::new(directory);
    let writer = Writer::new(Arc::clone(&log), &directory, live, next.offset);
    let running = Running::start(&log, directory, writer);
    let running = Mutex::new(Some(running.map_err(Failure::of("start the log's threads", dir))?));
    Ok(Wal {
        log,
        recovery,
        floor: Mutex::new(floor),
        running,
    })
}

impl Wal {
    /// Queues a batch and returns the positions of its records at once, in order. `done` is called on the log's thread
    /// after the sync that covers the batch, in the order of the appends; it must be quick and must not append. An
    /// empty batch is acknowledged after all that was appended before it.
    ///
    /// Back-pressure: takes a short lock, and blocks only while [`Options::queue_bytes_max`] bytes already wait. A
    /// single batch beyond that bound is taken when nothing else waits.
    ///
    /// # Errors
    /// `TooLarge`, `Closed` or `Failed`; nothing was queued then and `done` is dropped without being called.
    pub fn append(
        &self,
        batch: Batch,
        done: impl FnOnce(Result<(), Failure>) + Send + 'static,
    ) -> Result<Vec<Position>, AppendError> {
        self.log.queue.push(batch, Box::new(done))
    }

    /// A reader of this log.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.log))
    }

    /// Says that segments older than `before_segment` are not needed any more; the one being appended to always stays.
    /// Returns as soon as a note of it is queued; another thread removes them after the note is on disk. What was
    /// appended before is not waited for: release only what acknowledged records made superfluous.
    pub fn release(&self, before_segment: u64) {
        let before = before_segment.min(self.log.queue.segment());
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        if before <= *floor {
            return;
        }
        let mut note = Batch::new();
        note.push_tagged(FLOOR, Bytes::copy_from_slice(&before.to_le_bytes()));
        let log = Arc::downgrade(&self.log);
        let remove = move |noted: Result<(), Failure>| {
            if let (Ok(()), Some(log)) = (noted, log.upgrade()) {
                log.supply.remove(before);
            }
        };
        // A log that is closed or has failed keeps its segments: the next release after opening it removes them.
        if self.append(note, remove).is_ok() {
            *floor = before;
        }
    }

    /// What [`open`] found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// A snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        self.log
            .counters
            .snapshot(self.log.queue.bytes(), self.log.supply.is_disk_full())
    }

    /// Writes what is queued, calls every `done`, and closes the log; later calls do nothing. Readers keep working.
    /// From a `done` (which may hold the last handle) it does not wait for the end.
    pub fn close(&self) {
        self.log.queue.close();
        self.log.supply.close();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.finish();
        }
    }

    /// Does one step of the work that a real log's threads do; whether more waits.
    #[cfg(feature = "simulation")]
    pub fn step(&self) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_mut().is_some_and(Running::step)
    }

    /// Has `wake` called whenever there is something to do for [`Wal::step`]; once in the life of the log.
    #[cfg(feature = "simulation")]
    pub fn on_work(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.log.queue.on_work(Box::new(wake));
    }
}

/// A simulated member whose power goes drops its log, which must then write no more.
#[cfg(not(feature = "simulation"))]
impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("recovery", &self.recovery)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

//! The one thread that writes: takes a group, writes it with one call, syncs once, tells everybody.
//!
//! What it must keep true, since recovery relies on it (`tail`): a group is written only after the one before it was
//! synced; a segment is sealed only when the next one is there, and used only after the one before it was sealed and
//! synced.

#[cfg(not(feature = "simulation"))]
use std::thread;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    Batch, Failure,
    batch::Record,
    directory::Directory,
    format::{SEAL, SEGMENT_HEADER_BYTES, encode_record},
    log::Log,
    queue::{Group, Placed},
    segment::Segment,
};

/// A buffer that has grown beyond this is given back after its group, in bytes.
const BUFFER_BYTES_KEPT: usize = 8 * 1024 * 1024;

/// The writer: where it is, and what it is about to write there.
pub(crate) struct Writer {
    log: Arc<Log>,
    live: Arc<Segment>,
    /// Where the buffer goes.
    offset: u64,
    buffer: Vec<u8>,
    seal: Record,
    /// Nobody else makes the next segment where there are no threads.
    #[cfg(feature = "simulation")]
    directory: Arc<Directory>,
}

impl Writer {
    /// A writer that goes on at `offset` of `live`, in `directory`.
    #[cfg_attr(
        not(feature = "simulation"),
        expect(unused_variables, reason = "only a simulated writer makes segments")
    )]
    pub(crate) fn new(log: Arc<Log>, directory: &Arc<Directory>, live: Arc<Segment>, offset: u64) -> Writer {
        let mut batch = Batch::new();
        batch.push_tagged(SEAL, Bytes::new());
        let seal = batch.records.remove(0);
        Writer {
            log,
            live,
            offset,
            buffer: Vec::new(),
            seal,
            #[cfg(feature = "simulation")]
            directory: Arc::clone(directory),
        }
    }

    /// The thread's work: until the queue is closed and empty, or something fails.
    #[cfg(not(feature = "simulation"))]
    pub(crate) fn run(mut self) {
        let _fuse = Fuse(Arc::clone(&self.log));
        while let Some(group) = self.log.queue.take() {
            if self.serve(group).is_err() {
                return;
            }
        }
    }

    /// Writes and syncs a group and tells those who wait for it.
    pub(crate) fn serve(&mut self, group: Group) -> Result<(), Failure> {
        let Group { batches, dones } = group;
        let written = self.write(&batches);
        match &written {
            Ok(()) => {
                self.log.counters.groups.fetch_add(1, Relaxed);
                self.log.queue.forget(batches.len());
            }
            Err(failure) => self.log.fail(failure),
        }
        drop(batches);
        for done in dones {
            done(written.clone());
        }
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        written
    }

    /// Writes and syncs a group, going on to the next segment where the positions do.
    fn write(&mut self, batches: &[Arc<Placed>]) -> Result<(), Failure> {
        for (at, record) in batches.iter().flat_map(|batch| &batch.records) {
            if at.segment != self.live.home.segment {
                self.rotate()?;
            }
            let place = (self.live.home.segment, self.offset + self.buffer.len() as u64);
            assert_eq!(place, (at.segment, at.offset), "a record goes where its position says");
            self.encode(record, at.offset);
            self.log.counters.records.fetch_add(1, Relaxed);
        }
        self.flush()
    }

    /// Seals the live segment and goes on to the next, which is there before the seal is: so recovery knows that behind a
    /// seal a segment that is not there was lost.
    fn rotate(&mut self) -> Result<(), Failure> {
        #[cfg(feature = "simulation")]
        self.log.supply.step(&self.log, &self.directory)?;
        let next = self.log.supply.take()?;
        let seal = self.seal.clone();
        self.encode(&seal, self.offset + self.buffer.len() as u64);
        self.flush()?;
        assert_eq!(
            next.home.segment,
            self.live.home.segment + 1,
            "segments follow each other"
        );
        (self.live, self.offset) = (next, SEGMENT_HEADER_BYTES);
        Ok(())
    }

    fn encode(&mut self, record: &Record, offset: u64) {
        encode_record(&mut self.buffer, self.live.home, offset, self.offset, record);
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.live.write(&self.buffer, self.offset)?;
        let start = Instant::now();
        self.live.sync()?;
        self.log.counters.count_sync(start.elapsed());
        self.log.counters.bytes.fetch_add(self.buffer.len() as u64, Relaxed);
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(not(feature = "simulation"))]
/// Fails the log when the writer panics (a `done` of the caller may), so that nobody waits for ever.
struct Fuse(Arc<Log>);

#[cfg(not(feature = "simulation"))]
impl Drop for Fuse {
    fn drop(&mut self) {
        if thread::panicking() {
            let panic = std::io::Error::other("the writer's thread panicked");
            let path = std::path::Path::new("the log");
            self.0.fail(&Failure::of("go on", path)(panic));
            self.0.supply.stop();
        }
    }
}

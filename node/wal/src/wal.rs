//! The log handle.

use std::path::Path;

use crate::{AppendError, Batch, Failure, Kind, Metrics, OpenError, Options, Position, Reader};

/// What [`open`] found and did; for the one line that the caller logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The log's identity.
    pub log_id: u64,
    /// Whether the log was made just now.
    pub created: bool,
    /// Oldest segment.
    pub first_segment: u64,
    /// Newest segment that is in use.
    pub last_segment: u64,
    /// Records replayed.
    pub records: u64,
    /// The torn end that was cut off, if there was one. It held nothing that was acknowledged.
    pub cut: Option<Cut>,
}

/// A torn end that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Segment.
    pub segment: u64,
    /// Where the cut is, in bytes.
    pub offset: u64,
    /// How many bytes were overwritten with zeros.
    pub bytes: u64,
}

/// An open log. Dropping it closes it.
#[derive(Debug)]
pub struct Wal {}

/// Opens the log in `dir`, or makes one, and hands every record to `replay` in order.
///
/// # Errors
/// Every case of [`OpenError`]; the log is then closed again.
pub fn open<E>(
    dir: &Path,
    options: Options,
    replay: &mut dyn FnMut(Position, Kind, &[u8]) -> Result<(), E>,
) -> Result<Wal, OpenError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (_, _) = (dir, replay);
    options.check()?;
    Ok(Wal {})
}

impl Wal {
    /// Queues a batch and returns the positions of its records at once, in order. `done` is called on the log's thread
    /// after the sync that covers the batch, in the order of the appends; it must be quick and must not append.
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
        let (_, _) = (batch, done);
        Err(AppendError::Closed)
    }

    /// A reader of this log.
    pub fn reader(&self) -> Reader {
        Reader {}
    }

    /// Says that segments older than `before_segment` are not needed any more (at most up to the live one). Returns at
    /// once; they are removed by another thread after a note of it is on disk.
    pub fn release(&self, before_segment: u64) {
        let _ = before_segment;
    }

    /// What [`open`] found and did.
    pub fn recovery(&self) -> &Recovery {
        unreachable!("comes with recovery")
    }

    /// A snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    /// Writes what is queued, calls every `done`, and closes the log; later calls do nothing. Readers keep working.
    pub fn close(&self) {}
}

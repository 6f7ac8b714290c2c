//! What callers hand over and get back: kinds, batches and positions.
//!
//! A payload is checksummed as it is pushed, on the caller's thread and outside every lock.

use bytes::Bytes;

use crate::error::TooLarge;
use crate::format::footprint;

/// Largest payload of one record, in bytes: ten times etcd's largest request, and a quarter of a segment.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a record is; the meaning is the caller's. All 256 values are free for use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

/// Where a record lies. Ordered as the log is. Stays valid over restarts until its segment is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Offset of the record in its segment, in bytes.
    pub offset: u64,
    /// Length of the payload, in bytes.
    pub len: u32,
}

impl Position {
    /// What the record takes in its segment, framing included, in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        footprint(self.len)
    }
}

/// Records that are appended together, in order, and acknowledged together.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) records: Vec<Record>,
}

/// One record that waits for its position.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) tag: u16,
    pub(crate) payload: Bytes,
    pub(crate) checksum: u32,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a record. The payload should own its memory: it stays until it is written.
    ///
    /// # Errors
    /// `TooLarge` when the payload has more than [`PAYLOAD_BYTES_MAX`] bytes; the batch is then unchanged.
    pub fn push(&mut self, kind: Kind, payload: impl Into<Bytes>) -> Result<(), TooLarge> {
        let payload = payload.into();
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(TooLarge {
                bytes: payload.len() as u64,
                max: PAYLOAD_BYTES_MAX as u64,
            });
        }
        self.push_tagged(u16::from(kind.0), payload);
        Ok(())
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a record by its tag on disk, which has room for the log's own records beyond the callers' kinds.
    pub(crate) fn push_tagged(&mut self, tag: u16, payload: Bytes) {
        let checksum = crc32c::crc32c(&payload);
        self.records.push(Record { tag, payload, checksum });
    }
}

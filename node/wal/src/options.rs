//! How a log is opened, and the bounds of each choice.

use std::{fmt, sync::Arc};

use crate::error::{Failure, OpenError};

/// Called once, on one of the log's threads, when a write or sync has failed. It should end the process: after a failed
/// sync nobody can know what is on disk until the log is opened anew. If it returns, every waiting `done` gets the
/// failure and later appends are refused.
pub type Fatal = Arc<dyn Fn(&Failure) + Send + Sync>;

/// Default size of a segment: a second of heavy writing, so that preparing the next is always done in time.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Default size of the very first segment: prepared while the caller waits, so that a new member answers at once.
const FIRST_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Smallest segment: room for a header and a few records; for tests.
const SEGMENT_BYTES_MIN: u64 = 2048;
/// Largest segment: record headers hold offsets in 32 bits, and recovery reads a segment whole.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Default bound of the queue: a second of writing to a slow disk; more would only add latency.
const QUEUE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How to open a log.
#[derive(Clone)]
pub struct Options {
    /// Size of new segments, in bytes, a multiple of 512. Those on disk keep theirs. Default 64 MiB.
    pub segment_bytes: u64,
    /// Size of the very first segment of a new log, in bytes, a multiple of 512. Default 4 MiB.
    pub first_segment_bytes: u64,
    /// Bytes that may wait to be written; beyond that `append` blocks. Default 64 MiB.
    pub queue_bytes_max: u64,
    /// Whether to make a new log where there is none. A member that has an identity should say no. Default yes.
    pub create: bool,
    /// The log's identity: given to a new log, demanded of an old one. Default: drawn at random, not demanded.
    pub log_id: Option<u64>,
    /// Whether to sync at all. Only tests may turn it off. Default yes.
    pub sync: bool,
    /// What to do when the disk fails.
    pub fatal: Fatal,
}

impl Options {
    /// The defaults.
    pub fn new(fatal: Fatal) -> Options {
        Options {
            segment_bytes: SEGMENT_BYTES,
            first_segment_bytes: FIRST_SEGMENT_BYTES,
            queue_bytes_max: QUEUE_BYTES_MAX,
            create: true,
            log_id: None,
            sync: true,
            fatal,
        }
    }

    /// Checks the bounds, so that nothing later has to.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        for (name, bytes) in [
            ("segment_bytes", self.segment_bytes),
            ("first_segment_bytes", self.first_segment_bytes),
        ] {
            if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) || bytes % 512 != 0 {
                let rule = format!("a multiple of 512 from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}");
                return Err(OpenError::Options(format!("{name} is {bytes}; it must be {rule}")));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            segment_bytes,
            first_segment_bytes,
            queue_bytes_max,
            create,
            log_id,
            sync,
            fatal: _,
        } = self;
        f.debug_struct("Options")
            .field("segment_bytes", segment_bytes)
            .field("first_segment_bytes", first_segment_bytes)
            .field("queue_bytes_max", queue_bytes_max)
            .field("create", create)
            .field("log_id", log_id)
            .field("sync", sync)
            .finish_non_exhaustive()
    }
}

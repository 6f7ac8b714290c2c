//! The ordered byte store underneath: what the state needs of a disk, and no more.
//!
//! An engine is never the truth (docs/decisions/0004): the log and the snapshots are. So it need not survive a power
//! cut; it must only never show half of a batch. Everything lives in **one** ordered key space, because some engines
//! (sled) are atomic only within one tree.
//!
//! What an implementation must keep true, and [`conformance`] checks:
//! 1. A batch is seen whole or not at all, also by a reader that runs at the same time and after a crash of the
//!    process.
//! 2. Within a batch a later operation wins over an earlier one on the same key.
//! 3. A scan visits keys in ascending byte order, start included, end excluded, and stops when the visitor breaks.
//! 4. A write that returned is seen by every later call on any thread.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod memory;

use crate::revision::Revision;
use bytes::Bytes;
pub use memory::MemoryEngine;
use std::error::Error;
use std::ops::{ControlFlow, Range};

/// What a scan calls for each key and value; breaking ends the scan early without an error.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered store of bytes with atomic batches; see the module for its promises.
pub trait Engine: Send + Sync + 'static {
    /// The value of one key, or `None`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Visits every key of `range` in ascending order.
    fn scan(&self, range: Range<&[u8]>, visit: &mut Visit<'_>) -> Result<(), EngineError>;

    /// Applies every operation of the batch, or none.
    fn write(&self, batch: Batch) -> Result<(), EngineError>;

    /// Removes every key. Need not be atomic: callers mark the engine as unfinished first.
    fn clear(&self) -> Result<(), EngineError>;

    /// Hands what was written to the operating system; how durable that is, the engine's own documentation says.
    fn flush(&self) -> Result<(), EngineError>;
}

/// One operation of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets a key.
    Put(Vec<u8>, Bytes),
    /// Removes a key; removing an absent one is no error.
    Delete(Vec<u8>),
}

/// Operations that an engine applies together, in their order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

impl Batch {
    /// Adds a put.
    pub fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.operations.push(Operation::Put(key, value));
    }

    /// Adds a removal.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.bytes += key.len();
        self.operations.push(Operation::Delete(key));
    }

    /// The operations, in their order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl IntoIterator for Batch {
    type Item = Operation;
    type IntoIter = std::vec::IntoIter<Operation>;

    fn into_iter(self) -> Self::IntoIter {
        self.operations.into_iter()
    }
}

/// Why the state could not be read or written. The process must stop: its memory may no longer agree with its disk.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine itself failed.
    #[error("the engine could not {action}")]
    Failed {
        /// What was asked of it, as a verb phrase.
        action: &'static str,
        /// The engine's own error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no room on the disk, and the engine was told to wait for it no longer: the process ends.
    #[error("there is no room on the disk")]
    NoRoom {
        /// The engine's own error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The index names a record that the engine does not have.
    #[error("the record of revision {revision} is missing from the engine")]
    Missing {
        /// The record's revision.
        revision: Revision,
    },
    /// A record cannot be read.
    #[error("the engine's key {key} holds a bad record: {reason}")]
    Corrupt {
        /// The engine's key in hexadecimal.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two batches were committed in another order than they were taken.
    #[error("batch {given} of writes was committed where batch {expected} is due")]
    OutOfOrder {
        /// Number of the batch that was given.
        given: u64,
        /// Number of the batch that is due.
        expected: u64,
    },
}

impl EngineError {
    /// The error of an engine's own failure.
    pub fn failed(action: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed {
            action,
            source: Box::new(source),
        }
    }

    /// The error of a record under `key` that cannot be read.
    pub fn corrupt(key: &[u8], reason: impl ToString) -> Self {
        let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::Corrupt {
            key,
            reason: reason.to_string(),
        }
    }
}

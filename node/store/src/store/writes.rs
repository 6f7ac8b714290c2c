//! A batch on its way to the engine.

use crate::engine::{Batch, EngineError};
use crate::revision::Revision;
use crate::shared::Shared;
use std::sync::Arc;

/// What the engine has to be told; from [`crate::Store::take_writes`]. May be sent to another thread.
#[must_use = "records stay in memory until they are committed"]
pub struct Writes {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    pub(super) batch: Batch,
    pub(super) last_record: Option<Revision>,
    pub(super) dropped: Vec<Revision>,
}

impl Writes {
    /// Writes the batch, atomically with the position, membership and revision it belongs to. Blocks on the engine.
    ///
    /// Batches must come in the order in which they were taken. One that a snapshot has overtaken is passed over.
    pub fn commit(self) -> Result<(), EngineError> {
        let mut due = self.shared.due();
        if self.number < *due {
            return Ok(());
        }
        if self.number > *due {
            return Err(EngineError::OutOfOrder {
                given: self.number,
                expected: *due,
            });
        }
        self.shared.engine.write(self.batch)?;
        *due += 1;
        self.shared.values.committed(self.last_record, &self.dropped);
        Ok(())
    }

    /// Bytes to be written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batch.bytes()
    }
}

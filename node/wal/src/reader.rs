//! Reading records back by position, from any thread.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Position, ReadError, log::Log};

/// Reads records by position; cheap to clone, works while the log is written and after it was closed.
#[derive(Clone, Debug)]
pub struct Reader {
    log: Arc<Log>,
}

impl Reader {
    pub(crate) fn new(log: Arc<Log>) -> Reader {
        Reader { log }
    }

    /// The payload of the record at `at`: from memory while it waits to be written, then with one `pread`, checked.
    ///
    /// # Errors
    /// `Gone` when its segment was released; `Damaged` when the bytes there are not that record.
    pub fn read(&self, at: Position) -> Result<Bytes, ReadError> {
        // First the queue, then the file: a record leaves the queue only when it is in the file.
        if let Some(payload) = self.log.queue.find(at) {
            return Ok(payload);
        }
        let segment = self.log.segments().get(&at.segment).map(Arc::clone);
        segment.ok_or(ReadError::Gone(at.segment))?.read(at)
    }
}

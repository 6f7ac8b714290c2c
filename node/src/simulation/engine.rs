//! The engine of a simulated member: in memory, and gone with the process. That is no loss to what is tested: the engine
//! is never the truth, so every start is one after which it was not believed.

use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use kvorum_store::engine::{Batch, Engine, EngineError, MemoryEngine, Visit};

use crate::sled_engine::{Believed, Distrust};

pub use crate::sled_engine::OpenError;

/// Named as the real one, whose place it takes.
#[derive(Default)]
pub struct SledEngine(MemoryEngine);

pub(crate) fn look(_dir: &Path, _log_id: u64) -> io::Result<Result<Believed, Distrust>> {
    Ok(Err(Distrust::Nothing))
}

impl SledEngine {
    /// An empty one.
    ///
    /// # Errors
    /// Never; as the real one.
    pub fn open(
        _dir: &Path,
        _log_id: u64,
        trust: Result<Believed, Distrust>,
    ) -> Result<(Self, Result<Believed, Distrust>), OpenError> {
        Ok((Self::default(), trust))
    }

    /// None on disk.
    pub fn bytes(&self) -> u64 {
        0
    }

    /// There is nothing to measure.
    pub fn measure(&self) {}

    /// Never.
    pub fn waits_for_room(&self) -> bool {
        false
    }

    /// Nobody waits.
    pub fn give_up(&self) {}

    /// It is not believed after the end of the process.
    ///
    /// # Errors
    /// Never; as the real one.
    pub fn vouch(&self) -> io::Result<()> {
        Ok(())
    }

    /// As [`SledEngine::vouch`].
    ///
    /// # Errors
    /// Never; as the real one.
    pub fn close_clean(&self, _applied: Option<(u64, u64)>) -> io::Result<()> {
        Ok(())
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.0.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        self.0.scan(range, visit)
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.0.write(batch)
    }

    fn clear(&self) -> Result<(), EngineError> {
        self.0.clear()
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.0.flush()
    }
}

//! An engine in memory: for tests, and the honest second implementation of the trait.
//!
//! Keeps everything until it is dropped; nothing reaches a disk.

use super::{Batch, Engine, EngineError, Operation, Visit};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{PoisonError, RwLock};

/// Ordered bytes in memory.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    pairs: RwLock<BTreeMap<Vec<u8>, Bytes>>,
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        Ok(pairs.get(key).cloned())
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        if range.start >= range.end {
            return Ok(());
        }
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in pairs.range::<[u8], _>((Bound::Included(range.start), Bound::Excluded(range.end))) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        // One lock for the whole batch is what makes it atomic.
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        for operation in batch {
            match operation {
                Operation::Put(key, value) => {
                    pairs.insert(key, value);
                }
                Operation::Delete(key) => {
                    pairs.remove(&key);
                }
            }
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), EngineError> {
        self.pairs.write().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryEngine;
    use crate::engine::conformance;

    #[test]
    fn conforms() {
        conformance::check(&mut || Box::new(MemoryEngine::default()));
    }
}

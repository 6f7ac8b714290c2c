//! What the unit tests of several modules need: a store on the memory engine, and commands in few words.

use crate::{Command, LogPosition, MemoryEngine, Outcome, Store};
use bytes::Bytes;
use kvorum_api::etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest};
use std::sync::Arc;

/// A store and the log position it is at.
pub(crate) struct Bench {
    pub(crate) store: Store,
    index: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on(Store::open(Arc::new(MemoryEngine::default())).unwrap())
    }

    /// On a store at its beginning.
    pub(crate) fn on(store: Store) -> Self {
        Self { store, index: 0 }
    }

    pub(crate) fn next(&mut self) -> LogPosition {
        self.index += 1;
        LogPosition {
            term: 1,
            node: 1,
            index: self.index,
        }
    }

    /// Applies and publishes.
    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        let at = self.next();
        let outcome = self.store.apply(at, &command).unwrap();
        self.store.publish();
        outcome
    }

    /// Brings the engine level, as far as views let it.
    pub(crate) fn settle(&mut self) {
        self.store.publish();
        while let Some(writes) = self.store.take_writes() {
            writes.commit().unwrap();
        }
        self.store.publish();
    }
}

pub(crate) fn put(key: &str, value: &str) -> Command {
    Command::Put(PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..PutRequest::default()
    })
}

pub(crate) fn delete(key: &str) -> Command {
    Command::DeleteRange(DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..DeleteRangeRequest::default()
    })
}

pub(crate) fn compact(revision: i64) -> Command {
    Command::Compact(CompactionRequest {
        revision,
        physical: false,
    })
}

pub(crate) fn grant(id: i64, ttl: i64) -> Command {
    Command::LeaseGrant { id, ttl, now_ms: 1_000 }
}

/// A range over all keys.
pub(crate) fn everything() -> RangeRequest {
    RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..RangeRequest::default()
    }
}

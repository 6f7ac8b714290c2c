//! One command's changes to the key space, while they are being made.
//!
//! All of a command's changes share one revision, which the store reaches only if something did change. Later
//! operations of the command see the earlier ones; readers see none of them until the store publishes.

use crate::engine::EngineError;
use crate::hash::Fingerprint;
use crate::index::{Change, Newest, Span};
use crate::range::Sight;
use crate::record::{self, Kind};
use crate::revision::Revision;
use crate::store::Store;
use bytes::Bytes;
use kvorum_api::mvccpb::{Event, KeyValue};

/// Changes in the making; [`Draft::finish`] ends them.
pub(crate) struct Draft<'a> {
    store: &'a mut Store,
    /// Changes so far, which is the next sub-revision.
    changes: u32,
    events: Vec<Event>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(store: &'a mut Store) -> Self {
        Self {
            store,
            changes: 0,
            events: Vec::new(),
        }
    }

    /// The revision that the command stands at: the next one as soon as it has changed something.
    pub(crate) fn revision(&self) -> i64 {
        self.store.state.revision + i64::from(self.changes > 0)
    }

    /// The state with the changes so far.
    pub(crate) fn sight(&self) -> Sight<'_> {
        Sight {
            state: &self.store.state,
            source: self.store.source(),
            current: self.revision(),
        }
    }

    /// Sets a key. The lease, if any, exists.
    pub(crate) fn put(&mut self, key: &Bytes, value: &Bytes, lease: i64) -> Result<(), EngineError> {
        let revision = self.next();
        let mut encoded = Bytes::new();
        let mut hash = Fingerprint::default();
        let change = self.store.state.index.record(key, |before| {
            let before = before.filter(|before| before.is_live());
            let pair = KeyValue {
                key: key.clone(),
                create_revision: before.map_or(revision.main, |before| before.create),
                mod_revision: revision.main,
                version: before.map_or(0, |before| before.version) + 1,
                value: value.clone(),
                lease,
            };
            encoded = record::encode(Kind::Put, &pair);
            hash = Fingerprint::of(record::hashed(&encoded));
            Newest {
                revision,
                create: pair.create_revision,
                version: pair.version,
                lease,
                hash,
                bytes: record::bytes(&encoded),
            }
        });
        self.took(Kind::Put, revision, encoded, change, lease, hash)
    }

    /// Deletes the live keys of a span; answers how many there were.
    pub(crate) fn delete(&mut self, span: Span<'_>) -> Result<i64, EngineError> {
        let keys: Vec<_> = self
            .store
            .state
            .index
            .live_keys(span)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &keys {
            self.delete_key(key)?;
        }
        Ok(i64::try_from(keys.len()).expect("no memory holds 2^63 keys"))
    }

    /// Takes a lease away, with its keys, in the order of their bytes.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), EngineError> {
        for key in self.store.state.leases.keys(id) {
            self.delete(Span::Key(&key))?;
        }
        self.store.state.leases.remove(id);
        self.store.stage_lease(id, None);
        Ok(())
    }

    /// Ends the command; answers its events.
    pub(crate) fn finish(self) -> Vec<Event> {
        if self.changes > 0 {
            self.store.raise_revision();
        }
        self.events
    }

    fn delete_key(&mut self, key: &[u8]) -> Result<(), EngineError> {
        let revision = self.next();
        let pair = KeyValue {
            key: Bytes::copy_from_slice(key),
            mod_revision: revision.main,
            ..KeyValue::default()
        };
        let encoded = record::encode(Kind::Deletion, &pair);
        let bytes = record::bytes(&encoded);
        let change = self
            .store
            .state
            .index
            .record(key, |_| Newest::deletion(revision, bytes));
        self.took(Kind::Deletion, revision, encoded, change, 0, Fingerprint::default())
    }

    fn next(&self) -> Revision {
        Revision::new(self.store.state.revision + 1, self.changes)
    }

    /// Carries a change of the index into everything that must agree with it.
    fn took(
        &mut self,
        kind: Kind,
        revision: Revision,
        encoded: Bytes,
        change: Change,
        lease: i64,
        hash: Fingerprint,
    ) -> Result<(), EngineError> {
        let Change { key, before } = change;
        let state = &mut self.store.state;
        let old = before.unwrap_or_default();
        state.hash = state.hash.minus(old.hash).plus(hash);
        if old.lease != lease {
            if old.lease != 0 {
                state.leases.detach(old.lease, &key);
            }
            if lease != 0 {
                state.leases.attach(lease, &key);
            }
        }
        if before.is_some() {
            self.store.garbage.add(revision.main, key);
        }
        // Decoded from the record, so that an event that waits for a slow watcher holds no request's buffer.
        let (_, pair) = record::decode(b"", &encoded)?;
        self.events.push(record::event(kind, pair));
        self.store.stage(revision, encoded);
        self.changes += 1;
        Ok(())
    }
}

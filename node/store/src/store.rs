//! The store handle: the one writer of the state.
//!
//! ```text
//! apply, apply, …  →  publish()            readers see all of it at once
//!                  →  take_writes()        what the engine must be told; commit() it behind, on any thread
//! ```
//! What must stay true:
//! 1. The position moves with every entry and only forward; it reaches the engine in the batch that holds the entry's
//!    effects.
//! 2. Nothing is visible to readers before [`Store::publish`].
//! 3. A refused command changes nothing but the position.
//! 4. After an [`crate::EngineError`] the process stops: the memory may be ahead of what the engine will ever hold.

mod open;
mod writes;

use crate::alarm::AlarmChange;
use crate::auth::{self, Changed};
use crate::compaction::Garbage;
use crate::engine::{Batch, Engine};
use crate::hash::Fingerprint;
use crate::index::Version;
use crate::keyspace::{MEMBERSHIP, META, lease_key, record_key};
use crate::record;
use crate::revision::{LogPosition, Revision};
use crate::shared::{Shared, Source};
use crate::snapshot::{self, SnapshotError};
use crate::state::State;
use crate::view::Reader;
use bytes::Bytes;
pub use open::OpenError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
pub use writes::Writes;

/// Settings of a store. They change speed and memory, never what a command means.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes of records kept in memory after the engine has them.
    pub cache_bytes_max: usize,
}

impl Default for Options {
    /// 64 MiB of cache: the values of a busy control plane's hot objects, in a container of 512 MiB.
    fn default() -> Self {
        Self {
            cache_bytes_max: 64 << 20,
        }
    }
}

/// The one writer of the state; see the module.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: State,
    pub(crate) garbage: Garbage,
    /// Records applied but not yet shared with readers, in ascending order.
    pub(crate) staged: Vec<(Revision, Bytes)>,
    /// What the engine has to be told.
    batch: Batch,
    /// The newest record in `batch`.
    last_record: Option<Revision>,
    /// Records whose deletion is in `batch`.
    dropped: Vec<Revision>,
    hashes: Vec<(i64, Fingerprint)>,
    meta_changed: bool,
    membership_changed: bool,
    /// Number of the next batch to be taken.
    taken: u64,
}

impl Store {
    /// Opens the state that an engine holds, or an empty one.
    pub fn open(engine: Arc<dyn Engine>) -> Result<Self, OpenError> {
        Self::open_with(engine, Options::default())
    }

    /// Like [`Store::open`], with settings.
    pub fn open_with(engine: Arc<dyn Engine>, options: Options) -> Result<Self, OpenError> {
        let (state, garbage, bytes) = open::load(&*engine)?;
        let shared = Shared::new(engine, options.cache_bytes_max, state.clone());
        shared.bytes.store(bytes, Ordering::Relaxed);
        shared.publish(state.clone(), [(state.revision, state.hash)]);
        Ok(Self {
            shared: Arc::new(shared),
            state,
            garbage,
            staged: Vec::new(),
            batch: Batch::default(),
            last_record: None,
            dropped: Vec::new(),
            hashes: Vec::new(),
            meta_changed: false,
            membership_changed: false,
            taken: 0,
        })
    }

    /// Notes an entry without command: its position, and the membership if it carries one. Opaque to the store.
    ///
    /// # Panics
    /// When the position does not move forward; see [`Store::apply`].
    pub fn note(&mut self, at: LogPosition, membership: Option<Bytes>) {
        self.advance(at);
        if let Some(membership) = membership {
            // Copied, so that it does not keep the entry's buffer alive.
            self.state.membership = Some(Bytes::copy_from_slice(&membership));
            self.membership_changed = true;
        }
    }

    /// Makes everything applied so far visible to readers, at once.
    pub fn publish(&mut self) {
        self.share();
        self.shared.publish(self.state.clone(), self.hashes.drain(..));
    }

    /// What the engine has to be told since the last call, with one slice of pending compaction; `None` when there is
    /// nothing. While [`Store::is_compacting`] there may be more the next time, unless a view holds it back.
    ///
    /// Batches must be committed in the order in which they were taken.
    pub fn take_writes(&mut self) -> Option<Writes> {
        self.share();
        self.compact_slice();
        if self.membership_changed {
            let membership = self.state.membership.clone().unwrap_or_default();
            self.batch.put(MEMBERSHIP.to_vec(), membership);
        }
        if self.meta_changed || !self.batch.is_empty() {
            self.batch.put(META.to_vec(), self.state.meta().to_bytes());
        }
        (self.meta_changed, self.membership_changed) = (false, false);
        if self.batch.is_empty() {
            return None;
        }
        let number = self.taken;
        self.taken += 1;
        Some(Writes {
            shared: Arc::clone(&self.shared),
            number,
            batch: std::mem::take(&mut self.batch),
            last_record: self.last_record.take(),
            dropped: std::mem::take(&mut self.dropped),
        })
    }

    /// The last log entry that was applied or noted; `None` before the first.
    #[must_use]
    pub fn applied(&self) -> Option<LogPosition> {
        self.state.position
    }

    /// The membership that was noted last.
    #[must_use]
    pub fn membership(&self) -> Option<Bytes> {
        self.state.membership.clone()
    }

    /// The current revision, published or not.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.state.revision
    }

    /// The hash of the live state, published or not.
    #[must_use]
    pub fn hash(&self) -> Fingerprint {
        self.state.hash
    }

    /// Bytes of records and other changes that [`Store::take_writes`] would hand out.
    #[must_use]
    pub fn writes_bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Whether history that was compacted away still waits to be deleted, slice by slice, with
    /// [`Store::take_writes`].
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        self.garbage.is_due(self.state.compacted)
    }

    /// The engine underneath.
    #[must_use]
    pub fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.shared.engine)
    }

    /// A reader; all readers see the same.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Replaces the whole state by a snapshot. Readers stay valid: until the end they see the old state, or are told
    /// that it is being replaced. Writes taken before and not yet committed are passed over.
    ///
    /// After an error the engine holds half of a snapshot and refuses to be opened; install again, or clear it.
    pub fn install(&mut self, input: &mut dyn io::Read) -> Result<(), SnapshotError> {
        let mut due = self.shared.due();
        self.shared.begin_replacement();
        snapshot::read(input, &*self.shared.engine)?;
        let (state, garbage, bytes) = open::load(&*self.shared.engine)?;
        *due = self.taken;
        drop(due);
        (self.state, self.garbage) = (state, garbage);
        (self.batch, self.last_record) = (Batch::default(), None);
        self.staged.clear();
        self.dropped.clear();
        self.hashes.clear();
        (self.meta_changed, self.membership_changed) = (false, false);
        self.shared.values.clear();
        self.shared.bytes.store(bytes, Ordering::Relaxed);
        self.shared.end_replacement();
        self.shared
            .publish(self.state.clone(), [(self.state.revision, self.state.hash)]);
        Ok(())
    }

    /// Moves the position forward.
    pub(crate) fn advance(&mut self, at: LogPosition) {
        let forward = self
            .state
            .position
            .is_none_or(|last| at.index > last.index && at.term >= last.term);
        assert!(
            forward,
            "log entry {at} was given to a store that is at {:?}",
            self.state.position
        );
        self.state.position = Some(at);
        self.meta_changed = true;
    }

    /// Takes a record into the state: for the engine later, for reads of this writer at once.
    pub(crate) fn stage(&mut self, revision: Revision, record: Bytes) {
        let bytes = u64::from(record::bytes(&record));
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.batch.put(record_key(revision), record.clone());
        self.staged.push((revision, record));
        self.last_record = Some(revision);
    }

    /// Tells the engine of a lease's new state, or of its end.
    pub(crate) fn stage_lease(&mut self, id: i64, lease: Option<Bytes>) {
        match lease {
            Some(lease) => self.batch.put(lease_key(id), lease),
            None => self.batch.delete(lease_key(id)),
        }
    }

    /// Tells the engine of users and roles that changed.
    pub(crate) fn stage_auth(&mut self, changed: &Changed) {
        let auth = &self.state.auth;
        for name in &changed.users {
            match auth.user(name) {
                Some(user) => {
                    let (key, value) = auth::user_entry(name, user);
                    self.batch.put(key, value);
                }
                None => self.batch.delete(auth::user_key(name)),
            }
        }
        for name in &changed.roles {
            match auth.role(name) {
                Some(role) => {
                    let (key, value) = auth::role_entry(name, role);
                    self.batch.put(key, value);
                }
                None => self.batch.delete(auth::role_key(name)),
            }
        }
        let (key, value) = auth::switch_entry(auth.switch());
        self.batch.put(key, value);
    }

    /// Tells the engine of alarms that were raised or cleared.
    pub(crate) fn stage_alarms(&mut self, changes: &[AlarmChange]) {
        for change in changes {
            match change {
                AlarmChange::Raised(key) => self.batch.put(key.clone(), Bytes::new()),
                AlarmChange::Cleared(key) => self.batch.delete(key.clone()),
            }
        }
    }

    /// Ends a command that changed keys.
    pub(crate) fn raise_revision(&mut self) {
        self.state.revision += 1;
        self.hashes.push((self.state.revision, self.state.hash));
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            staged: &self.staged,
            shared: &self.shared,
        }
    }

    /// Puts staged records where readers look, who cannot know their revisions before they are published.
    fn share(&mut self) {
        if !self.staged.is_empty() {
            self.shared.values.hold(self.staged.drain(..));
        }
    }

    /// Deletes some of what was compacted away: from the index now, from the engine with the next batch.
    fn compact_slice(&mut self) {
        if !self.is_compacting() {
            return;
        }
        let bound = self.shared.deletable();
        for Version { revision, bytes, .. } in self.garbage.slice(&mut self.state.index, bound) {
            self.shared.bytes.fetch_sub(bytes.into(), Ordering::Relaxed);
            self.batch.delete(record_key(revision));
            self.dropped.push(revision);
        }
    }
}

#[cfg(test)]
mod tests;

//! The two ways to read: a [`Reader`] answers from the newest published state, a [`View`] from one frozen state.
//!
//! Neither ever blocks the writer, nor waits for it. A view pins history: as long as it lives, compaction deletes
//! nothing that the view can ask for, so hold one for a long read or a snapshot, and drop it then.

mod auth;
mod replay;

use crate::auth::{Act, Who};
use crate::engine::EngineError;
use crate::hash::Fingerprint;
use crate::lease::Lease;
use crate::outcome::{ReadError, header};
use crate::range::Sight;
use crate::record;
use crate::revision::LogPosition;
use crate::shared::{Shared, Source};
use crate::state::State;
use crate::txn;
use bytes::Bytes;
use kvorum_api::etcdserverpb::{
    LeaseLeasesResponse, LeaseStatus, LeaseTimeToLiveResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use kvorum_api::mvccpb::KeyValue;
pub use replay::Replay;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Answers from the newest published state. Cheap to clone, and the same for all threads.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Answers a range request; `serializable` is the caller's business, who has waited for what it needs.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, ReadError> {
        self.read(|sight| sight.range(request))
    }

    /// Answers a transaction that only reads; see [`crate::validate::is_read_only`].
    pub fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, ReadError> {
        self.read(|sight| txn::read(sight, request))
    }

    /// Answers a range request of this caller, who must be allowed to read the range: one state is asked for both.
    pub fn range_for(&self, who: &Who, request: &RangeRequest) -> Result<RangeResponse, ReadError> {
        let act = Act::Read {
            key: &request.key,
            range_end: &request.range_end,
        };
        self.read(|sight| {
            sight.permits(who, act)?;
            sight.range(request)
        })
    }

    /// Answers a transaction of this caller that only reads; see [`Reader::range_for`] and [`Reader::txn`].
    pub fn txn_for(&self, who: &Who, request: &TxnRequest) -> Result<TxnResponse, ReadError> {
        self.read(|sight| {
            sight.permits(who, Act::Txn(request))?;
            txn::read(sight, request)
        })
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.shared.published().revision
    }

    /// The revision below which history is gone; -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.shared.published().compacted
    }

    /// The current revision and the hash of the live state at it.
    #[must_use]
    pub fn hash(&self) -> (i64, Fingerprint) {
        let state = self.shared.published();
        (state.revision, state.hash)
    }

    /// The hash of the live state at the current revision, or at one of the last few thousand; no record is read.
    #[must_use]
    pub fn recent_hash(&self, revision: i64) -> Option<Fingerprint> {
        let (newest, hash) = self.hash();
        if newest == revision {
            return Some(hash);
        }
        self.shared.recent_hash(revision)
    }

    /// Remaining and granted time of a lease and, if asked for, its keys. An unknown lease has a time to live of -1.
    #[must_use]
    pub fn lease_time_to_live(&self, id: i64, keys: bool, now_ms: u64) -> LeaseTimeToLiveResponse {
        let state = self.shared.published();
        let mut response = LeaseTimeToLiveResponse {
            header: header(state.revision),
            id,
            ttl: -1,
            ..Default::default()
        };
        if let Some(lease) = state.leases.get(id) {
            response.ttl = seconds(lease.remaining_ms(now_ms));
            response.granted_ttl = lease.ttl;
            if keys {
                response.keys = state.leases.keys(id);
            }
        }
        response
    }

    /// Number of leases.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.shared.published().leases.len()
    }

    /// Whether there is any lease.
    #[must_use]
    pub fn has_leases(&self) -> bool {
        self.shared.published().leases.ids_by_expiry().next().is_some()
    }

    /// Every lease, the next to expire first.
    #[must_use]
    pub fn lease_leases(&self) -> LeaseLeasesResponse {
        let state = self.shared.published();
        let leases = state.leases.ids_by_expiry().map(|id| LeaseStatus { id }).collect();
        LeaseLeasesResponse {
            header: header(state.revision),
            leases,
        }
    }

    /// A lease, if there is one of this id.
    #[must_use]
    pub fn lease(&self, id: i64) -> Option<Lease> {
        self.shared.published().leases.get(id).copied()
    }

    /// At most `leases_max` leases that have expired by `now_ms`, the longest expired first.
    #[must_use]
    pub fn expired_leases(&self, now_ms: u64, leases_max: usize) -> Vec<i64> {
        self.shared.published().leases.expired(now_ms, leases_max)
    }

    /// The latest time that any command carried, in milliseconds: how far the cluster's lease clock is known to be.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        self.shared.published().clock_ms
    }

    /// Bytes that keys and their history take: every record that compaction has not dropped yet, with its key in the
    /// engine. What the engine needs besides is not counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that were applied but not yet committed to the engine; a bound on them is the node's to keep.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.shared.values.pending_bytes()
    }

    /// The newest epoch of a [`crate::Command::Fence`]; zero before the first.
    #[must_use]
    pub fn fence_epoch(&self) -> u64 {
        self.shared.published().fence
    }

    /// Number of keys that exist now.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shared.published().index.count(crate::index::Span::From(b""))
    }

    /// The newest state, frozen and pinned.
    #[must_use]
    pub fn view(&self) -> View {
        let replacements = self.shared.replacements();
        View {
            state: self.shared.pin(),
            shared: Arc::clone(&self.shared),
            replacements,
        }
    }

    fn read<T>(&self, read: impl Fn(&Sight<'_>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let state = self.shared.published();
        match read(&sight(&state, &self.shared)) {
            // A compaction deleted what this state still names: a pinned one is safe from that.
            Err(ReadError::Engine(EngineError::Missing { .. })) => self.view().read(read),
            answer => answer,
        }
    }
}

/// One state of the store, frozen: for long reads, for watches that catch up, and for snapshots.
pub struct View {
    state: Arc<State>,
    shared: Arc<Shared>,
    /// [`Shared::replacements`] when the view was taken.
    replacements: u64,
}

impl View {
    /// Answers a range request at this view.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, ReadError> {
        self.read(|sight| sight.range(request))
    }

    /// The pair that a key had at a revision; zero is the view's own.
    pub fn get(&self, key: &[u8], revision: i64) -> Result<Option<KeyValue>, ReadError> {
        self.read(|sight| {
            let revision = sight.readable(revision)?;
            let visible = self.state.index.get(key).and_then(|history| history.visible(revision));
            Ok(visible.map(|found| sight.source.pair(found)).transpose()?)
        })
    }

    /// The revision of the view.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.state.revision
    }

    /// The revision below which the view has no history; -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.state.compacted
    }

    /// The last log entry that the view contains.
    #[must_use]
    pub fn applied(&self) -> Option<LogPosition> {
        self.state.position
    }

    /// The membership that was noted last.
    #[must_use]
    pub fn membership(&self) -> Option<Bytes> {
        self.state.membership.clone()
    }

    /// The hash of the live state at this view.
    #[must_use]
    pub fn hash(&self) -> Fingerprint {
        self.state.hash
    }

    /// The hash of the live state at a revision; zero is the view's own. An old one reads every live record.
    pub fn hash_at(&self, revision: i64) -> Result<Fingerprint, ReadError> {
        self.read(|sight| {
            let revision = sight.readable(revision)?;
            if revision == self.state.revision {
                return Ok(self.state.hash);
            }
            let keys = self.state.index.all_keys(crate::index::Span::From(b""));
            let visible: Vec<_> = keys.filter_map(|(_, history)| history.visible(revision)).collect();
            let mut hash = Fingerprint::default();
            sight.source.visit(&visible, &mut |_, record| {
                hash = hash.plus(Fingerprint::of(record::hashed(&record)));
                Ok(())
            })?;
            Ok(hash)
        })
    }

    /// Number of live keys.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.state.index.count(crate::index::Span::From(b""))
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn read<T>(&self, read: impl Fn(&Sight<'_>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        match read(&sight(&self.state, &self.shared)) {
            // A pinned record is missing either because a snapshot took the state's place, or because data is lost.
            Err(ReadError::Engine(EngineError::Missing { .. })) if self.is_replaced() => Err(ReadError::Replaced),
            answer => answer,
        }
    }

    /// Whether a snapshot has taken, or is taking, the place of the state that this view froze.
    pub(crate) fn is_replaced(&self) -> bool {
        !self.replacements.is_multiple_of(2) || self.shared.replacements() != self.replacements
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.shared.unpin(self.state.compacted);
    }
}

fn sight<'a>(state: &'a State, shared: &'a Shared) -> Sight<'a> {
    Sight {
        state,
        source: Source { staged: &[], shared },
        current: state.revision,
    }
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1_000).unwrap_or(i64::MAX)
}

//! Numbers for `/metrics`, gathered without touching the request path.

use std::sync::Arc;

use kvorum_api::admin::NodeState;
use kvorum_api::etcdserverpb::AlarmMember;

use super::Service;
use super::counts::Counts;
use super::disk::DiskStats;
use super::status::committed_index;
use crate::grpc::counted::Calls;
use crate::raft::peer_counts::PeerCounts;

/// A snapshot of a member's counters and gauges.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Where the member stands.
    pub state: NodeState,
    /// Whether it knows a leader.
    pub has_leader: bool,
    /// How often the leader changed since the process started.
    pub leader_changes: u64,
    /// The term.
    pub term: u64,
    /// Index of the newest log entry.
    pub last_log_index: u64,
    /// Index of the newest committed entry.
    pub committed_index: u64,
    /// Index of the newest applied entry.
    pub applied_index: u64,
    /// The store's revision.
    pub revision: i64,
    /// Oldest revision whose history is kept.
    pub compact_revision: i64,
    /// Keys alive now.
    pub keys: usize,
    /// Bytes of the engine on disk.
    pub engine_bytes: u64,
    /// Watches.
    pub watches: kvorum_store::watch::Counts,
    /// Events that watchers were sent since the process started.
    pub watch_events: u64,
    /// Leases.
    pub leases: usize,
    /// Bytes of keys and their history.
    pub record_bytes: u64,
    /// Bytes of those beyond which writes are refused.
    pub quota_bytes: Option<u64>,
    /// Room on the disk.
    pub disk: DiskStats,
    /// The alarms that stand.
    pub alarms: Vec<AlarmMember>,
    /// What the process counted.
    pub counts: Arc<Counts>,
    /// The ids of the other members.
    pub others: Vec<u64>,
    /// What goes to and comes from them.
    pub peers: Arc<PeerCounts>,
    /// The WAL's counters and its histogram of syncs.
    pub wal: kvorum_wal::Metrics,
}

impl Service {
    /// The counters of calls over gRPC.
    pub fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.inner.counts.calls)
    }

    /// The counters and gauges now.
    pub fn stats(&self) -> Stats {
        let metrics = self.metrics();
        let node = &self.inner.node;
        let (watches, watch_events) = node.watches.counts();
        let me = self.inner.identity.member_id.get();
        let members = metrics.membership_config.membership().nodes();
        let others = members.map(|(id, _)| *id).filter(|id| *id != me).collect();
        Stats {
            state: self.state_of(&metrics),
            has_leader: metrics.current_leader.is_some(),
            leader_changes: node.leadership.borrow().changes,
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            committed_index: committed_index(&metrics),
            applied_index: *node.applied.borrow(),
            revision: node.reader.revision(),
            compact_revision: node.reader.compacted(),
            keys: node.reader.keys(),
            engine_bytes: node.engine.bytes(),
            watches,
            watch_events,
            leases: node.reader.leases(),
            record_bytes: node.reader.bytes(),
            quota_bytes: self.inner.quota_bytes,
            disk: self.inner.disk.stats(),
            alarms: self.alarms(),
            counts: Arc::clone(&self.inner.counts),
            others,
            peers: node.forwarder.dialler().counts(),
            wal: node.log.wal().metrics(),
        }
    }
}

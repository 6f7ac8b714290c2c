//! The one door to a member: every request, from whichever edge, comes through here.
//!
//! Must keep true:
//! 1. A request is validated before anything is proposed; a refused request changes nothing.
//! 2. A write is acknowledged only with the answer its own log entry gave. It is proposed at most once: where it is not
//!    known whether a proposal was taken, the caller is told so, never retried behind its back.
//! 3. A linearizable read answers only from state that includes everything acknowledged before it arrived.
//! 4. Every call ends within [`REQUEST_MS_MAX`].
//!
//! It deliberately knows neither HTTP nor gRPC, and decides nothing that the store decides.

pub mod admin;
pub mod alarms;
pub mod auth;
pub mod backup;
pub mod caller;
mod changing;
pub mod compactor;
mod comparison;
pub mod counts;
pub mod disk;
pub mod election;
pub mod kv;
pub mod leader_watch;
pub mod lease;
pub mod linearizable;
pub mod lock;
pub mod maintenance;
pub mod membership;
pub mod options;
pub mod proposals;
pub mod publish;
pub mod range_stream;
mod snapshots;
pub mod start;
pub mod stats;
pub mod status;
pub mod streams;
mod turns;
pub mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kvorum_api::Id;
use kvorum_api::admin::NodeState;
use kvorum_store::Reader;
use openraft::async_runtime::WatchReceiver;
use tokio_util::sync::CancellationToken;

use crate::auth::Believer;
use crate::background;
use crate::held::Held;
use crate::identity::Identity;
use crate::lease::renewals::Renewals;
use crate::lease::time_line::TimeLine;
use crate::raft::forward::Forwarder;
use crate::raft::leadership::Leadership;
use crate::raft::log_store::LogStore;
use crate::raft::read_index::ReadIndex;
use crate::raft::snapshots::SnapshotDir;
use crate::raft::state_machine::StateMachine;
use crate::raft::{self, Raft};
#[cfg(feature = "simulation")]
use crate::simulation::engine::SledEngine;
#[cfg(not(feature = "simulation"))]
use crate::sled_engine::SledEngine;
use crate::tls::PeerStream;
use crate::watch::Switchboard;

pub use admin::AdminError;
pub use caller::Caller;
use counts::Counts;
use disk::Disk;
pub use leader_watch::LeaderWatch;
pub use options::{Founder, Options};
pub use start::StartError;
pub use stats::Stats;
pub use status::Standing;

/// The longest a request may take: etcd's five seconds and two elections at its defaults.
pub const REQUEST_MS_MAX: u64 = 7_000;
/// [`REQUEST_MS_MAX`] as a duration.
const REQUEST_TIME_MAX: Duration = Duration::from_millis(REQUEST_MS_MAX);

/// A member, as the edges see it. Clones share it.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    cluster_id: Id,
    self_node: raft::MemberNode,
    version: &'static str,
    limits: kvorum_store::validate::Limits,
    held: Held,
    /// Silence after which a follower stands for election.
    election: Duration,
    progress_interval: Duration,
    /// Whether the leader was found when it was looked for last, for streams that need one.
    leader_found: tokio::sync::watch::Sender<bool>,
    /// Cancelled when the member stops: streams end.
    stopping: CancellationToken,
    believer: Believer,
    /// Bytes of keys and history beyond which writes are refused.
    quota_bytes: Option<u64>,
    disk: Disk,
    /// Whether the operator alone changes the members.
    managed: bool,
    /// Held while this member, as the leader, changes the membership.
    changing: tokio::sync::Mutex<()>,
    counts: Arc<Counts>,
    node: Node,
}

/// The running parts of a member.
struct Node {
    raft: Raft,
    log: LogStore,
    state: StateMachine,
    engine: Arc<SledEngine>,
    reader: Reader,
    applied: tokio::sync::watch::Receiver<u64>,
    leadership: tokio::sync::watch::Receiver<Arc<Leadership>>,
    forwarder: Forwarder,
    read_index: ReadIndex,
    watches: Arc<Switchboard>,
    time_line: Arc<TimeLine>,
    renewals: Renewals,
}

/// openraft's picture of itself, copied out of its watch channel.
type Metrics = openraft::RaftMetrics<raft::Types>;

impl Service {
    /// Cluster id and member id.
    pub fn ids(&self) -> (u64, u64) {
        (self.inner.cluster_id.get(), self.inner.identity.member_id.get())
    }

    /// The consensus handle, for peers' calls.
    ///
    /// # Errors
    /// Never for a member that runs; the signature leaves room for one that has stopped.
    pub fn raft(&self) -> io::Result<&Raft> {
        Ok(&self.inner.node.raft)
    }

    /// A connection from a member, whose bytes are counted from now on. Somebody else's are not: there may be many.
    #[must_use]
    pub fn counted(&self, from: u64, stream: PeerStream) -> PeerStream {
        let metrics = self.metrics();
        if metrics.membership_config.membership().get_node(&from).is_none() {
            return stream;
        }
        stream.counted(self.inner.node.forwarder.dialler().counts().of(from))
    }

    /// The snapshot files, for a snapshot that a peer sends.
    ///
    /// # Errors
    /// As [`Service::raft`].
    pub fn snapshots(&self) -> io::Result<&SnapshotDir> {
        Ok(self.inner.node.state.snapshots())
    }

    /// Serves one connection from another member until it ends.
    ///
    /// # Errors
    /// The peer does not belong to this cluster, or the connection broke.
    pub async fn serve_peer(&self, stream: PeerStream) -> io::Result<()> {
        raft::routes::serve(self, stream).await
    }

    /// Where this member stands.
    pub fn standing(&self) -> Standing {
        let metrics = self.metrics();
        Standing {
            state: self.state_of(&metrics),
            leader_id: metrics.current_leader.and_then(Id::new),
            term: metrics.current_term,
            reason: None,
        }
    }

    fn metrics(&self) -> Metrics {
        self.inner.node.raft.metrics().borrow_watched().clone()
    }

    fn state_of(&self, metrics: &Metrics) -> NodeState {
        let me = self.inner.identity.member_id.get();
        let membership = metrics.membership_config.membership();
        if membership.get_node(&me).is_none() {
            return NodeState::Waiting;
        }
        match metrics.state {
            openraft::ServerState::Leader => NodeState::Leader,
            openraft::ServerState::Candidate => NodeState::Candidate,
            openraft::ServerState::Learner | openraft::ServerState::Follower | openraft::ServerState::Shutdown => {
                if membership.voter_ids().any(|id| id == me) {
                    NodeState::Follower
                } else {
                    NodeState::Learner
                }
            }
        }
    }

    /// Hands leadership to the voter that is most level, if this member leads; returns when another leads or after a
    /// bounded wait.
    pub async fn hand_over(&self) {
        let metrics = self.metrics();
        let me = self.inner.identity.member_id.get();
        if metrics.state != openraft::ServerState::Leader {
            return;
        }
        let membership = metrics.membership_config.membership();
        let progress = metrics.replication.unwrap_or_default();
        let best = membership
            .voter_ids()
            .filter(|id| *id != me)
            .max_by_key(|id| progress.get(id).and_then(|at| at.as_ref().map(|at| at.index())));
        let Some(best) = best else { return };
        if let Err(error) = self.move_leader(best).await {
            tracing::warn!("leadership could not be handed over: {error}");
        }
    }

    /// Stops consensus, writes what the engine still lacks, marks it clean and closes the log.
    pub async fn shutdown(&self) {
        let node = &self.inner.node;
        node.engine.give_up();
        if let Err(error) = node.raft.shutdown().await {
            tracing::warn!("consensus did not stop in order: {error}");
        }
        let (state, log, engine) = (node.state.clone(), node.log.clone(), Arc::clone(&node.engine));
        let closing = background::run(move || {
            state.stop_engine();
            // Before the engine says what it holds: whoever finds it clean may count on the log to reach as far.
            log.wal().close();
            let applied = state.reader().view().applied();
            engine.close_clean(applied.map(|at| (at.term, at.index)))
        });
        match closing.await {
            Ok(Ok(())) => tracing::info!("the engine was closed clean"),
            Ok(Err(error)) => tracing::warn!("the engine will be rebuilt at the next start: {error}"),
            Err(error) => tracing::warn!("the engine will be rebuilt at the next start: {error}"),
        }
    }
}

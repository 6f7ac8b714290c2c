//! Starting a member: recover, join consensus, keep an eye on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::compactor::Retention;
use super::counts::Counts;
use super::disk::{self, Disk};
use super::{Inner, Node, Options, Service, compactor, comparison, leader_watch, snapshots};
use crate::auth::simple::SimpleTokens;
use crate::background;
use crate::fatal;
use crate::identity::Identity;
use crate::lease::time_line::TimeLine;
use crate::lease::{clock, expiry, renewals};
use crate::raft::forward::Forwarder;
use crate::raft::log_store::LogStore;
use crate::raft::network::Network;
use crate::raft::peers::Dialler;
use crate::raft::state_machine::StateMachine;
use crate::raft::{MemberNode, Raft, Types, leadership, read_index, settings};
use crate::recovery::{self, Recovered, RecoveryError};
#[cfg(feature = "simulation")]
use crate::simulation::engine::SledEngine;
#[cfg(not(feature = "simulation"))]
use crate::sled_engine::SledEngine;
use crate::telemetry::in_full;
use crate::watch::{Feed, Switchboard};

/// How often a start that waits for room on the disk looks for it.
const ROOM_LOOK_TIME: Duration = Duration::from_secs(1);

/// Why a member did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Who this member is, but not of which cluster.
    #[error("the cluster id is not known: neither the disk, nor the identity directory, nor the certificate names it")]
    NoClusterId,
    /// The timing makes no sense.
    #[error("heartbeat and election timeout: {0}")]
    Timing(String),
    /// The disk could not be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// Consensus did not start.
    #[error("consensus did not start: {0}")]
    Consensus(String),
}

/// What was recovered, ready to apply more, and what applying brings.
struct Applying {
    log: LogStore,
    engine: Arc<SledEngine>,
    state: StateMachine,
    feed: Arc<Feed>,
    time_line: Arc<TimeLine>,
    counts: Arc<Counts>,
}

impl Applying {
    fn new(recovered: Recovered, tokens: Option<Arc<SimpleTokens>>) -> Self {
        let Recovered {
            log,
            engine,
            store,
            snapshots,
        } = recovered;
        let feed = Arc::new(Feed::default());
        let time_line = Arc::new(TimeLine::new(store.reader().clock_ms(), Instant::now()));
        let counts = Arc::new(Counts::default());
        let (events, times) = (Arc::clone(&feed), Arc::clone(&time_line));
        let state = StateMachine::new(store, snapshots, events, times, tokens, Arc::clone(&counts));
        Self {
            log,
            engine,
            state,
            feed,
            time_line,
            counts,
        }
    }
}

impl Service {
    /// Recovers the disk and starts consensus. Returns before there is a leader.
    ///
    /// # Errors
    /// The disk cannot be trusted, or the options make no sense.
    pub async fn start(options: Options, self_node: MemberNode) -> Result<Self, StartError> {
        let Options {
            data_dir,
            identity,
            transport,
            timing,
            limits,
            held,
            progress_interval,
            believer,
            space,
            managed,
            founders,
            version,
        } = options;
        let cluster_id = identity.cluster_id.ok_or(StartError::NoClusterId)?;
        let member_id = identity.member_id.get();
        let Applying {
            log,
            engine,
            state,
            feed,
            time_line,
            counts,
        } = Applying::new(recover(&data_dir, &identity).await?, believer.simple_tokens());
        let dialler = Arc::new(Dialler::new(transport, cluster_id.get(), member_id));
        let config = Arc::new(settings::config(timing).map_err(StartError::Timing)?);
        let network = Network::new(Arc::clone(&dialler));
        let raft = consensus(Raft::new(member_id, config, network, log.clone(), state.clone()).await).await?;
        let (read_index, rounds) = read_index::channel();
        let (renewals, renewing) = renewals::channel();
        let node = Node {
            leadership: leadership::follow(&raft),
            reader: state.reader(),
            watches: Switchboard::start(&state.reader(), feed, Arc::clone(&held.watches)),
            applied: state.applied_index(),
            forwarder: Forwarder::new(dialler),
            raft,
            log,
            state,
            engine,
            read_index,
            time_line,
            renewals,
        };
        let service = Self {
            inner: Arc::new(Inner {
                identity,
                cluster_id,
                self_node,
                version,
                limits,
                held,
                election: Duration::from_millis(timing.election_ms),
                progress_interval,
                leader_found: tokio::sync::watch::Sender::new(false),
                stopping: CancellationToken::new(),
                believer,
                quota_bytes: space.quota_bytes,
                disk: Disk::new(data_dir, space.disk_reserve_bytes),
                managed,
                changing: tokio::sync::Mutex::default(),
                counts,
                node,
            }),
        };
        service.spawn_tasks(rounds, renewing, space.retention);
        service.found(founders).await?;
        Ok(service)
    }

    /// What runs beside requests, as long as the member does.
    fn spawn_tasks(&self, rounds: read_index::Rounds, renewing: renewals::Batches, retention: Retention) {
        tokio::spawn(compactor::run(self.clone(), retention));
        tokio::spawn(comparison::run(self.clone()));
        tokio::spawn(read_index::run(self.clone(), rounds));
        tokio::spawn(renewals::run(self.clone(), renewing));
        tokio::spawn(expiry::run(self.clone()));
        tokio::spawn(leader_watch::look(self.clone()));
        tokio::spawn(clock::follow(self.clone()));
        tokio::spawn(end_with_consensus(self.inner.node.raft.clone()));
        tokio::spawn(snapshots::take(self.clone()));
        tokio::spawn(disk::watch(self.clone()));
        tokio::spawn(self.clone().publish_client_urls());
    }

    /// Forms the cluster with all founders, where it was not formed before.
    async fn found(&self, founders: Vec<super::Founder>) -> Result<(), StartError> {
        let raft = &self.inner.node.raft;
        let failed = |error: String| StartError::Consensus(error);
        if founders.is_empty() || raft.is_initialized().await.map_err(|error| failed(error.to_string()))? {
            return Ok(());
        }
        tracing::info!(
            "forming cluster {} with {} members",
            self.inner.cluster_id,
            founders.len()
        );
        let members: BTreeMap<u64, MemberNode> = founders
            .into_iter()
            .map(|founder| (founder.id.get(), founder.node))
            .collect();
        raft.initialize(members)
            .await
            .map_err(|error| failed(error.to_string()))
    }
}

/// Consensus that has answered once. Until then its metrics tell of term zero and of no members: asked meanwhile, a member
/// of a cluster would say that it waits to be taken into one.
async fn consensus(started: Result<Raft, Fatal<Types>>) -> Result<Raft, StartError> {
    let failed = |error: Fatal<Types>| StartError::Consensus(error.to_string());
    let raft = started.map_err(failed)?;
    raft.is_initialized().await.map_err(failed)?;
    Ok(raft)
}

/// Recovers the disk, which takes as long as it takes, on a thread of its own. Nothing is touched on a full disk: there is
/// nothing to do but to wait for room.
async fn recover(data_dir: &Path, identity: &Identity) -> Result<Recovered, StartError> {
    let mut said = false;
    loop {
        let (dir, identity) = (data_dir.to_owned(), identity.clone());
        let recovering = background::run(move || {
            recovery::demand_room(&dir)?;
            recovery::recover(&dir, &identity)
        });
        let recovered = recovering
            .await
            .map_err(|error| StartError::Consensus(error.to_string()))?;
        match recovered {
            Err(error) if error.is_full() => {
                if !said {
                    tracing::error!(
                        "no room on the disk: {}. The start waits until there is",
                        in_full(&error)
                    );
                    said = true;
                }
                tokio::time::sleep(ROOM_LOOK_TIME).await;
            }
            recovered => return Ok(recovered?),
        }
    }
}

/// A member whose consensus met a fatal error must not linger: it ends the process.
async fn end_with_consensus(raft: Raft) {
    let mut metrics = raft.server_metrics();
    let running = |raft: &Raft| raft.metrics().borrow_watched().running_state.clone();
    while metrics.changed().await.is_ok() {}
    match running(&raft) {
        Ok(()) | Err(Fatal::Stopped) => {}
        Err(error) => fatal::die(format_args!("consensus failed: {error}")),
    }
}

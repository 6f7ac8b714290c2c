//! The operator's calls: bootstrap, membership, transfer of leadership.
//!
//! Must keep true:
//! 1. A call with an older fencing epoch than any the cluster has seen changes nothing; the epoch is replicated, so a
//!    new leader knows it too.
//! 2. A cluster is bootstrapped once, with the cluster id that is on the disk.
//! 3. Each call may be repeated: what is done already is done.
//! 4. The last voter is never removed, and the leader not before it handed over.
//!
//! Who may call is the edge's question.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kvorum_api::Id;
use kvorum_api::admin::{Bootstrap, LeadershipTransfer, NewMember, Rejection, Role};
use kvorum_api::problem::Problem;
use kvorum_store::{Command, Fencing, Response, Who};
use openraft::ChangeMembers;
use openraft::errors::{ClientWriteError, RaftError};
use thiserror::Error;
use tokio::time::timeout;

use super::{Metrics, REQUEST_TIME_MAX, Service};
use crate::raft::{MemberNode, Types};

/// A learner may vote once it holds this share of the leader's log, in percent, as in etcd.
const LEARNER_READY_PERCENT: u64 = 90;
/// The longest a transfer of leadership is waited for: a few round trips where it works at all.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(3);

/// Why a call of the operator was refused, with a sentence about this case.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct AdminError {
    /// The kind, which programs match on.
    pub rejection: Rejection,
    /// The sentence.
    pub detail: String,
}

impl AdminError {
    /// A refusal with its sentence.
    pub fn new(rejection: Rejection, detail: impl Into<String>) -> Self {
        Self {
            rejection,
            detail: detail.into(),
        }
    }
}

impl AdminError {
    /// The problem document for it.
    pub fn problem(&self) -> Problem {
        self.rejection.problem(self.detail.clone())
    }
}

type WriteError = RaftError<Types, ClientWriteError<Types>>;

impl Service {
    /// Makes this fresh member the first of its cluster.
    ///
    /// # Errors
    /// The call was meant for another member or another cluster.
    pub async fn bootstrap(&self, request: Bootstrap) -> Result<(), AdminError> {
        let Bootstrap {
            cluster_id, member_id, ..
        } = request;
        let me = self.inner.identity.member_id;
        if member_id != me {
            let detail = format!("this is member {me}, not {member_id}");
            return Err(AdminError::new(Rejection::MemberMismatch, detail));
        }
        if cluster_id != self.inner.cluster_id {
            let detail = format!(
                "this disk belongs to cluster {}, not {cluster_id}",
                self.inner.cluster_id
            );
            return Err(AdminError::new(Rejection::ClusterMismatch, detail));
        }
        let raft = &self.inner.node.raft;
        if !raft.is_initialized().await.map_err(unavailable)? {
            tracing::info!("forming cluster {cluster_id} with this member alone");
            raft.initialize(BTreeMap::from([(me.get(), self.inner.self_node.clone())]))
                .await
                .map_err(unavailable)?;
        }
        self.wait_linearizable().await.map_err(unavailable)
    }

    /// Adds a member that learns the log but does not vote.
    ///
    /// # Errors
    /// This member does not lead, the epoch is stale, the id belongs to another member, or no majority answers.
    pub async fn add_learner(&self, member: NewMember, epoch: u64) -> Result<(), AdminError> {
        let NewMember {
            id,
            name,
            peer_urls,
            client_urls,
        } = member;
        let node = MemberNode {
            name,
            peer_urls,
            client_urls,
        };
        let _turn = self.turn().await.map_err(unavailable)?;
        self.lead(epoch).await?;
        let metrics = self.metrics();
        match metrics.membership_config.membership().get_node(&id.get()) {
            Some(known) if *known == node => return Ok(()),
            Some(known) => {
                let detail = format!("member {id} is {} already, with other URLs or another name", known.name);
                return Err(AdminError::new(Rejection::MemberConflict, detail));
            }
            None => {}
        }
        tracing::info!("adding {} ({id}) as a learner", node.name);
        let adding = self.inner.node.raft.add_learner(id.get(), node, false);
        timeout(REQUEST_TIME_MAX, adding)
            .await
            .map_err(unavailable)?
            .map(drop)
            .map_err(write_error)
    }

    /// Lets a learner that is nearly level vote.
    ///
    /// # Errors
    /// As [`Service::add_learner`]; the learner is unknown or lags.
    pub async fn promote(&self, id: Id, epoch: u64) -> Result<(), AdminError> {
        let _turn = self.turn().await.map_err(unavailable)?;
        self.lead(epoch).await?;
        let metrics = self.metrics();
        if self.role(&metrics, id)? == Role::Voter {
            return Ok(());
        }
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|progress| progress.get(&id.get()).copied().flatten());
        let (matched, last) = (
            matched.map_or(0, |at| at.index()),
            metrics.last_log_index.unwrap_or_default(),
        );
        if matched.saturating_mul(100) < last.saturating_mul(LEARNER_READY_PERCENT) {
            let detail = format!("member {id} holds the log up to {matched} of {last}");
            return Err(AdminError::new(Rejection::LearnerNotReady, detail));
        }
        tracing::info!("promoting {id} to voter");
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id.get()])))
            .await
    }

    /// Removes a member for good.
    ///
    /// # Errors
    /// As [`Service::add_learner`]; it is the last voter, or it leads.
    pub async fn remove(&self, id: Id, epoch: u64) -> Result<(), AdminError> {
        let _turn = self.turn().await.map_err(unavailable)?;
        self.lead(epoch).await?;
        let metrics = self.metrics();
        let role = match self.role(&metrics, id) {
            Ok(role) => role,
            Err(_) => return Ok(()),
        };
        if role == Role::Voter && metrics.membership_config.membership().voter_ids().count() == 1 {
            return Err(AdminError::new(Rejection::UnsafeChange, "it is the last voter"));
        }
        if id == self.inner.identity.member_id {
            return Err(AdminError::new(
                Rejection::UnsafeChange,
                "it leads: transfer leadership first",
            ));
        }
        tracing::info!("removing {id}");
        let ids = BTreeSet::from([id.get()]);
        self.change(match role {
            Role::Voter => ChangeMembers::RemoveVoters(ids),
            Role::Learner => ChangeMembers::RemoveNodes(ids),
        })
        .await
    }

    /// Hands leadership to a voter.
    ///
    /// # Errors
    /// As [`Service::add_learner`]; the target does not vote, or did not take over in time.
    pub async fn transfer_leadership(&self, request: LeadershipTransfer, epoch: u64) -> Result<(), AdminError> {
        self.lead(epoch).await?;
        let target = request.target;
        let metrics = self.metrics();
        if self.role(&metrics, target) != Ok(Role::Voter) {
            return Err(AdminError::new(
                Rejection::BadTransferee,
                format!("{target} does not vote"),
            ));
        }
        self.move_leader(target.get()).await.map_err(unavailable)
    }

    /// Hands leadership to `target` and waits until another leads.
    ///
    /// # Errors
    /// Nobody took over in time.
    pub(super) async fn move_leader(&self, target: u64) -> Result<(), String> {
        let me = self.inner.identity.member_id.get();
        if target == me {
            return Ok(());
        }
        tracing::info!("handing leadership to {target:016x}");
        self.inner
            .node
            .raft
            .trigger()
            .transfer_leader(target)
            .await
            .map_err(|error| error.to_string())?;
        let mut leadership = self.inner.node.leadership.clone();
        let moved = leadership.wait_for(|now| now.leader_id().is_some_and(|leader| leader != me));
        match timeout(TRANSFER_TIME_MAX, moved).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("this member stops".into()),
            Err(_) => Err(format!(
                "{target:016x} did not take over in {} s",
                TRANSFER_TIME_MAX.as_secs()
            )),
        }
    }

    /// Checks that this member leads and that the epoch is not stale; remembers a newer one cluster-wide.
    async fn lead(&self, epoch: u64) -> Result<(), AdminError> {
        let leader = self.inner.node.leadership.borrow().leader_id();
        if leader != Some(self.inner.identity.member_id.get()) {
            let leader = leader.and_then(Id::new);
            return Err(AdminError::new(
                Rejection::NotLeader(leader),
                "only the leader changes the membership",
            ));
        }
        self.wait_linearizable().await.map_err(unavailable)?;
        let remembered = self.inner.node.reader.fence_epoch();
        if epoch < remembered {
            return Err(stale(epoch, remembered));
        }
        if epoch > remembered {
            let fencing = self
                .write(Who::Member, Command::Fence { epoch })
                .await
                .map_err(unavailable)?;
            if let Response::Fence(Fencing::Stale { remembered }) = fencing {
                return Err(stale(epoch, remembered));
            }
        }
        Ok(())
    }

    fn role(&self, metrics: &Metrics, id: Id) -> Result<Role, AdminError> {
        let member = self.members(metrics).into_iter().find(|member| member.id == id);
        match member {
            Some(member) => Ok(member.role),
            None => Err(AdminError::new(
                Rejection::MemberNotFound,
                format!("there is no member {id}"),
            )),
        }
    }

    async fn change(&self, change: ChangeMembers<u64, MemberNode>) -> Result<(), AdminError> {
        let changing = self.inner.node.raft.change_membership(change, false);
        timeout(REQUEST_TIME_MAX, changing)
            .await
            .map_err(unavailable)?
            .map(drop)
            .map_err(write_error)
    }
}

fn stale(epoch: u64, remembered: u64) -> AdminError {
    let detail = format!("epoch {epoch} is older than {remembered}, which another operator has used");
    AdminError::new(Rejection::StaleEpoch, detail)
}

fn unavailable(error: impl std::fmt::Display) -> AdminError {
    AdminError::new(Rejection::Unavailable, error.to_string())
}

fn write_error(error: WriteError) -> AdminError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            let leader = forward.leader_id.and_then(Id::new);
            AdminError::new(Rejection::NotLeader(leader), "leadership moved during the call")
        }
        RaftError::APIError(error @ ClientWriteError::ChangeMembershipError(_)) => {
            AdminError::new(Rejection::WrongState, error.to_string())
        }
        error => unavailable(error),
    }
}

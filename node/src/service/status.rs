//! What a member tells about itself and its cluster.

use kvorum_api::admin::{Member, NodeState, NodeStatus, Progress, Rejection, Role};
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_api::{Id, plain};
use kvorum_store::Act;

use super::admin::AdminError;
use super::alarms;
use super::{Caller, Metrics, Service};

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its role.
    pub state: NodeState,
    /// The leader it knows.
    pub leader_id: Option<Id>,
    /// The term.
    pub term: u64,
    /// Why it stands there, for states that need a reason.
    pub reason: Option<String>,
}

impl Service {
    /// All members.
    ///
    /// # Errors
    /// No leader can confirm a linearizable request.
    pub async fn member_list(
        &self,
        caller: &Caller,
        request: pb::MemberListRequest,
    ) -> Result<pb::MemberListResponse, Refusal> {
        if request.linearizable {
            self.wait_linearizable().await?;
        }
        self.permit(caller, Act::BeSomebody).await?;
        let mut header = None;
        self.fill(&mut header);
        Ok(pb::MemberListResponse {
            header,
            members: self.members(&self.metrics()).into_iter().map(wire).collect(),
        })
    }

    /// etcd's status of this member.
    ///
    /// # Errors
    /// While auth is on, the caller is nobody.
    pub async fn status(&self, caller: &Caller, _request: pb::StatusRequest) -> Result<pb::StatusResponse, Refusal> {
        self.permit(caller, Act::BeSomebody).await?;
        let metrics = self.metrics();
        let stats = self.stats();
        let without_leader = metrics
            .current_leader
            .is_none()
            .then(|| Refusal::NoLeader.message().to_owned());
        let alarms = self.alarms();
        let errors = without_leader.into_iter().chain(alarms.iter().map(alarms::text));
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(pb::StatusResponse {
            header: self.header(),
            version: crate::ETCD_VERSION.to_owned(),
            db_size: size(stats.engine_bytes),
            leader: metrics.current_leader.unwrap_or_default(),
            raft_index: committed_index(&metrics),
            raft_term: metrics.current_term,
            raft_applied_index: stats.applied_index,
            errors: errors.collect(),
            db_size_in_use: size(stats.record_bytes),
            is_learner: self.state_of(&metrics) == NodeState::Learner,
            storage_version: crate::CLUSTER_VERSION.to_owned(),
            // As in etcd, no quota is a negative one.
            db_size_quota: stats.quota_bytes.map_or(-1, size),
            downgrade_info: Some(pb::DowngradeInfo::default()),
        })
    }

    /// The cluster for people.
    ///
    /// # Errors
    /// While auth is on, the caller is nobody.
    pub async fn cluster(&self, caller: &Caller) -> Result<plain::Cluster, Refusal> {
        self.permit(caller, Act::BeSomebody).await?;
        let healthy = self.check_linearizable().await.is_ok();
        let metrics = self.metrics();
        let members = self.members(&metrics).into_iter().map(|member| {
            let Member {
                id,
                name,
                peer_urls,
                client_urls,
                role,
            } = member;
            let leader = metrics.current_leader == Some(id.get());
            plain::ClusterMember {
                id,
                name,
                role,
                leader,
                peer_urls,
                client_urls,
            }
        });
        Ok(plain::Cluster {
            cluster_id: self.inner.cluster_id,
            answered_by: self.inner.identity.member_id,
            version: self.inner.version.to_owned(),
            healthy,
            leader_id: metrics.current_leader.and_then(Id::new),
            term: metrics.current_term,
            revision: self.inner.node.reader.revision(),
            compact_revision: self.inner.node.reader.compacted().max(0),
            applied_index: *self.inner.node.applied.borrow(),
            members: members.collect(),
        })
    }

    /// Whether a linearizable read would be answered.
    ///
    /// # Errors
    /// No leader can confirm it in time.
    pub async fn check_linearizable(&self) -> Result<(), Refusal> {
        self.wait_linearizable().await
    }

    /// Whether a serializable read would be answered: always, while the process runs.
    ///
    /// # Errors
    /// Consensus has stopped on this member.
    pub fn check_serializable(&self) -> Result<(), Refusal> {
        if self.metrics().running_state.is_ok() {
            Ok(())
        } else {
            Err(Refusal::Stopped)
        }
    }

    /// Everything the operator wants to know, less the certificates, which the edge adds.
    pub fn admin_status(&self) -> NodeStatus {
        let metrics = self.metrics();
        NodeStatus {
            name: self.inner.identity.name.clone(),
            member_id: self.inner.identity.member_id,
            cluster_id: Some(self.inner.cluster_id),
            state: self.state_of(&metrics),
            reason: None,
            version: self.inner.version.to_owned(),
            term: metrics.current_term,
            leader_id: metrics.current_leader.and_then(Id::new),
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            applied_index: *self.inner.node.applied.borrow(),
            committed_index: committed_index(&metrics),
            members: self.members(&metrics),
            certificates: Vec::new(),
            fencing_epoch: self.inner.node.reader.fence_epoch(),
        }
    }

    /// How far the leader knows each member to be.
    ///
    /// # Errors
    /// This member does not lead.
    pub fn progress(&self) -> Result<Vec<Progress>, AdminError> {
        let metrics = self.metrics();
        let Some(replication) = metrics.replication else {
            return Err(AdminError::new(
                Rejection::NotLeader(metrics.current_leader.and_then(Id::new)),
                "only the leader knows how far the others are",
            ));
        };
        let matched = replication.into_iter().filter_map(|(id, at)| {
            Some(Progress {
                member_id: Id::new(id)?,
                matched_index: at.map_or(0, |at| at.index()),
            })
        });
        Ok(matched.collect())
    }

    pub(super) fn members(&self, metrics: &Metrics) -> Vec<Member> {
        let membership = metrics.membership_config.membership();
        let voters: std::collections::BTreeSet<u64> = membership.voter_ids().collect();
        let member = |(id, node): (&u64, &crate::raft::MemberNode)| {
            Some(Member {
                id: Id::new(*id)?,
                name: node.name.clone(),
                peer_urls: node.peer_urls.clone(),
                client_urls: node.client_urls.clone(),
                role: if voters.contains(id) {
                    Role::Voter
                } else {
                    Role::Learner
                },
            })
        };
        membership.nodes().filter_map(member).collect()
    }
}

pub(super) fn committed_index(metrics: &Metrics) -> u64 {
    metrics.local_committed.map_or(0, |at| at.index())
}

pub(super) fn wire(member: Member) -> pb::Member {
    let Member {
        id,
        name,
        peer_urls,
        client_urls,
        role,
    } = member;
    pb::Member {
        id: id.get(),
        name,
        peer_ur_ls: peer_urls,
        client_ur_ls: client_urls,
        is_learner: role == Role::Learner,
    }
}

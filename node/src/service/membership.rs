//! etcd's calls on the list of members, for clusters that no operator looks after.
//!
//! Must keep true:
//! 1. Where the operator manages the members, only the operator changes them: two hands would undo each other's work.
//! 2. A change is made by the leader alone, after a majority has confirmed that it still leads, and only if a majority
//!    of the voters that answer remains.
//! 3. Changes that come at once are made one after the other, each decided on what the one before left: members tell the
//!    leader where their clients go at any moment, and nobody may be refused for that. None waits for ever: `changing`.
//! 4. A new member begins as a learner. One that was added to vote is promoted by the leader as soon as it is level, so
//!    that adding a member never costs the majority; in etcd it counts at once.
//!
//! The id of an added member follows from the cluster's id and its peer URLs, so that the process, started with
//! `--initial-cluster-state existing`, knows itself without asking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kvorum_api::admin::{Member, Role};
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_store::Act;
use openraft::{ChangeMembers, Instant as _};
use tokio::time::{Instant, interval, timeout, timeout_at};

use super::proposals::leader_may_have_changed;
use super::status::wire;
use super::{Caller, Metrics, REQUEST_TIME_MAX, Service};
use crate::config::{added_member_id, urls};
use crate::raft::MemberNode;
use crate::raft::forward::{Ask, Change, Reply};
use crate::raft::line::LineError;

/// A learner may vote once it holds this share of the leader's log, in percent, as in etcd.
const LEARNER_READY_PERCENT: u64 = 90;
/// Learners at once, as in etcd: each takes the leader's bandwidth and gives nothing to the majority.
const LEARNERS_MAX: usize = 1;
/// Between two looks at a learner that is to vote.
const LEVEL_CHECK_TIME: Duration = Duration::from_millis(200);
/// A voter that has not answered the leader for this long does not count as there.
const SILENCE_MS_MAX: u64 = 5_000;

impl Service {
    /// Adds a member.
    ///
    /// # Errors
    /// The caller is not root, the operator manages the members, a URL is bad or taken, too many learn already, or no
    /// majority would answer.
    pub async fn member_add(
        &self,
        caller: &Caller,
        request: pb::MemberAddRequest,
    ) -> Result<pb::MemberAddResponse, Refusal> {
        self.permit_change(caller).await?;
        let mut peer_urls = checked(request.peer_ur_ls)?;
        peer_urls.sort();
        let id = added_member_id(self.inner.cluster_id, &peer_urls);
        let (peers, learner) = (peer_urls.clone(), request.is_learner);
        let members = self
            .change_members(Change::Add {
                id: id.get(),
                peer_urls,
                learner,
            })
            .await?;
        let added = pb::Member {
            id: id.get(),
            peer_ur_ls: peers,
            is_learner: learner,
            ..Default::default()
        };
        Ok(pb::MemberAddResponse {
            header: self.member_header(),
            member: Some(added),
            members,
        })
    }

    /// Removes a member for good.
    ///
    /// # Errors
    /// As [`Service::member_add`]; there is no such member, or too few would remain.
    pub async fn member_remove(
        &self,
        caller: &Caller,
        request: pb::MemberRemoveRequest,
    ) -> Result<pb::MemberRemoveResponse, Refusal> {
        self.permit_change(caller).await?;
        let members = self.change_members(Change::Remove { id: request.id }).await?;
        Ok(pb::MemberRemoveResponse {
            header: self.member_header(),
            members,
        })
    }

    /// Changes where a member is reached by the others.
    ///
    /// # Errors
    /// As [`Service::member_add`]; there is no such member.
    pub async fn member_update(
        &self,
        caller: &Caller,
        request: pb::MemberUpdateRequest,
    ) -> Result<pb::MemberUpdateResponse, Refusal> {
        self.permit_change(caller).await?;
        let change = Change::Update {
            id: request.id,
            peer_urls: request.peer_ur_ls,
        };
        let members = self.change_members(change).await?;
        Ok(pb::MemberUpdateResponse {
            header: self.member_header(),
            members,
        })
    }

    /// Lets a learner vote.
    ///
    /// # Errors
    /// As [`Service::member_add`]; there is no such member, it votes already, or lags.
    pub async fn member_promote(
        &self,
        caller: &Caller,
        request: pb::MemberPromoteRequest,
    ) -> Result<pb::MemberPromoteResponse, Refusal> {
        self.permit_change(caller).await?;
        let members = self.change_members(Change::Promote { id: request.id }).await?;
        Ok(pb::MemberPromoteResponse {
            header: self.member_header(),
            members,
        })
    }

    async fn permit_change(&self, caller: &Caller) -> Result<(), Refusal> {
        self.permit(caller, Act::Administer).await?;
        if self.inner.managed {
            return Err(Refusal::ManagedByOperator);
        }
        Ok(())
    }

    /// As in etcd, headers of these calls say no revision.
    fn member_header(&self) -> Option<pb::ResponseHeader> {
        let mut header = None;
        self.fill(&mut header);
        header
    }

    /// Has the leader make a change; the members afterwards.
    async fn change_members(&self, change: Change) -> Result<Vec<pb::Member>, Refusal> {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let mut leadership = self.inner.node.leadership.clone();
        loop {
            let seen = Arc::clone(&leadership.borrow_and_update());
            let attempt = async {
                let (leader, node) = seen.leader.as_ref()?;
                if *leader == self.inner.identity.member_id.get() {
                    return Some(Ok(self.change_here(change.clone()).await));
                }
                let ask = Ask::Change(change.clone());
                Some(self.inner.node.forwarder.ask(*leader, node, ask).await)
            };
            match timeout_at(deadline, attempt).await {
                Err(_) => return Err(Refusal::Timeout),
                Ok(Some(Ok(Reply::Done))) => break,
                Ok(Some(Ok(Reply::Failed(refusal)))) => return Err(refusal),
                Ok(Some(Err(LineError::Lost))) => return Err(Refusal::TimeoutConnectionLost),
                Ok(None | Some(Err(LineError::NotSent) | Ok(_))) => {}
            }
            if !leader_may_have_changed(&mut leadership, deadline).await {
                return Err(Refusal::Timeout);
            }
        }
        self.wait_linearizable().await?;
        Ok(self.members(&self.metrics()).into_iter().map(wire).collect())
    }

    /// The leader's side of a change.
    pub(super) async fn change_here(&self, change: Change) -> Reply {
        let _turn = match self.turn().await {
            Ok(turn) => turn,
            Err(refusal) => return Reply::Failed(refusal),
        };
        // Only now: whoever waited may have lost the leadership meanwhile.
        let me = self.inner.identity.member_id.get();
        if self.inner.node.leadership.borrow().leader_id() != Some(me) {
            return Reply::NotLeader;
        }
        if self.wait_linearizable().await.is_err() {
            return Reply::Failed(Refusal::Unhealthy);
        }
        let changed = match change {
            Change::Add { id, peer_urls, learner } => self.add(id, peer_urls, learner).await,
            // Leadership goes first; the next leader is asked again.
            Change::Remove { id } if id == me && self.voters().len() > 1 => {
                self.hand_over().await;
                return Reply::NotLeader;
            }
            Change::Remove { id } => self.remove_member(id).await,
            Change::Promote { id } => self.promote_member(id).await,
            Change::Update { id, peer_urls } => self.update_member(id, peer_urls).await,
        };
        match changed {
            Ok(()) => Reply::Done,
            Err(refusal) => Reply::Failed(refusal),
        }
    }

    async fn add(&self, id: u64, peer_urls: Vec<String>, learner: bool) -> Result<(), Refusal> {
        let metrics = self.metrics();
        let members = self.members(&metrics);
        if members.iter().any(|member| member.id.get() == id) {
            return Err(Refusal::MemberExists);
        }
        refuse_taken(&members, id, &peer_urls)?;
        if members.iter().filter(|member| member.role == Role::Learner).count() >= LEARNERS_MAX {
            return Err(Refusal::TooManyLearners);
        }
        let node = MemberNode {
            name: String::new(),
            peer_urls,
            client_urls: Vec::new(),
        };
        tracing::info!("adding {id:016x} as a learner");
        let adding = self.inner.node.raft.add_learner(id, node, false);
        done(timeout(REQUEST_TIME_MAX, adding).await)?;
        if !learner {
            tokio::spawn(self.clone().promote_when_level(id));
        }
        Ok(())
    }

    /// Promotes a learner as soon as it is level; gives up when it is gone, votes, or another member leads.
    async fn promote_when_level(self, id: u64) {
        let me = self.inner.identity.member_id.get();
        let mut clock = interval(LEVEL_CHECK_TIME);
        loop {
            clock.tick().await;
            let metrics = self.metrics();
            let leads = metrics.running_state.is_ok() && metrics.current_leader == Some(me);
            let learns = self.role_of(&metrics, id) == Some(Role::Learner);
            if !leads || !learns {
                return;
            }
            // Whoever has had it for so long is not waited for: the next look finds what came of it.
            let Ok(_turn) = self.turn().await else { continue };
            match self.promote_member(id).await {
                Ok(()) => return,
                Err(Refusal::LearnerNotReady) => {}
                Err(refusal) => tracing::debug!("{id:016x} does not vote yet: {refusal}"),
            }
        }
    }

    async fn remove_member(&self, id: u64) -> Result<(), Refusal> {
        let metrics = self.metrics();
        let ids = BTreeSet::from([id]);
        let change = match self.role_of(&metrics, id) {
            None => return Err(Refusal::MemberNotFound),
            Some(Role::Learner) => ChangeMembers::RemoveNodes(ids),
            Some(Role::Voter) => {
                let (voters, there) = (self.voters(), self.there(&metrics));
                let remaining = voters.len() - 1;
                if remaining == 0 {
                    return Err(Refusal::MemberNotEnoughStarted);
                }
                if there.iter().filter(|voter| **voter != id).count() < remaining / 2 + 1 {
                    return Err(Refusal::Unhealthy);
                }
                ChangeMembers::RemoveVoters(ids)
            }
        };
        tracing::info!("removing {id:016x}");
        self.change_raft(change).await
    }

    async fn promote_member(&self, id: u64) -> Result<(), Refusal> {
        let metrics = self.metrics();
        match self.role_of(&metrics, id) {
            None => return Err(Refusal::MemberNotFound),
            Some(Role::Voter) => return Err(Refusal::MemberNotLearner),
            Some(Role::Learner) => {}
        }
        let progress = metrics
            .replication
            .as_ref()
            .and_then(|progress| progress.get(&id).copied());
        let matched = progress.flatten().map_or(0, |at| at.index());
        let last = metrics.last_log_index.unwrap_or_default();
        if matched.saturating_mul(100) < last.saturating_mul(LEARNER_READY_PERCENT) {
            return Err(Refusal::LearnerNotReady);
        }
        tracing::info!("promoting {id:016x} to voter");
        self.change_raft(ChangeMembers::AddVoterIds(BTreeSet::from([id]))).await
    }

    async fn update_member(&self, id: u64, peer_urls: Vec<String>) -> Result<(), Refusal> {
        let metrics = self.metrics();
        let known = metrics.membership_config.membership().get_node(&id).cloned();
        let mut node = known.ok_or(Refusal::MemberNotFound)?;
        // Only now, as in etcd: a member that is not there is told first.
        let peer_urls = checked(peer_urls)?;
        refuse_taken(&self.members(&metrics), id, &peer_urls)?;
        node.peer_urls = peer_urls;
        self.change_raft(ChangeMembers::SetNodes(BTreeMap::from([(id, node)])))
            .await
    }

    async fn change_raft(&self, change: ChangeMembers<u64, MemberNode>) -> Result<(), Refusal> {
        let changing = self.inner.node.raft.change_membership(change, false);
        done(timeout(REQUEST_TIME_MAX, changing).await)
    }

    fn role_of(&self, metrics: &Metrics, id: u64) -> Option<Role> {
        let members = self.members(metrics);
        members.iter().find(|member| member.id.get() == id).map(|own| own.role)
    }

    fn voters(&self) -> Vec<u64> {
        self.metrics().membership_config.membership().voter_ids().collect()
    }

    /// The voters that answered the leader lately, itself among them.
    fn there(&self, metrics: &Metrics) -> Vec<u64> {
        let me = self.inner.identity.member_id.get();
        let heard = metrics.heartbeat.as_ref();
        let lately = |id: u64| {
            let last = heard.and_then(|heard| heard.get(&id).copied().flatten());
            last.is_some_and(|at| at.elapsed() < Duration::from_millis(SILENCE_MS_MAX))
        };
        let voters = metrics.membership_config.membership().voter_ids();
        voters.filter(|id| *id == me || lately(*id)).collect()
    }
}

/// The URLs of a request, at least one, each as members write it.
fn checked(urls: Vec<String>) -> Result<Vec<String>, Refusal> {
    if urls.is_empty() {
        return Err(Refusal::MemberBadUrls);
    }
    let written = urls.iter().map(|url| urls::member_url("peerURLs", url));
    written.collect::<Result<_, _>>().map_err(|_| Refusal::MemberBadUrls)
}

fn refuse_taken(members: &[Member], id: u64, urls: &[String]) -> Result<(), Refusal> {
    let others = members.iter().filter(|member| member.id.get() != id);
    let taken = others
        .flat_map(|member| &member.peer_urls)
        .any(|url| urls.contains(url));
    if taken { Err(Refusal::PeerUrlExists) } else { Ok(()) }
}

fn done<T, E: std::fmt::Display, Elapsed>(result: Result<Result<T, E>, Elapsed>) -> Result<(), Refusal> {
    match result {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!("the membership could not be changed: {error}");
            Err(Refusal::Unhealthy)
        }
        Err(_) => Err(Refusal::Timeout),
    }
}

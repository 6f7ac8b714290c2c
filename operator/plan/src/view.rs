//! What the answers amount to: who leads, who is a member, who is healthy.
//!
//! It must keep true: a member that could not be asked, or answered as somebody else, is not healthy (rule 1 of the
//! design); the membership is the leader's, and what others or the status say of it is only good enough to keep things as
//! they are (`authoritative`).

use crate::cluster::Cluster;
use crate::names::{ClusterId, MemberId, Slot};
use crate::observed::{Answer, Member, Node, NodeState, Observed, PodSeen, Role, Silence, SlotSeen};
use kvorum_crd::status::{BootstrapPhase, MemberRole};
use std::collections::BTreeSet;

/// Entries by which a log may trail the leader's and still count as caught up. Under load a healthy follower trails by
/// what is in flight, some hundreds; a thousand entries are sent in a fraction of an election timeout.
pub(crate) const LAG_ENTRIES_MAX: u64 = 1_000;

/// The smallest majority of so many voters.
pub(crate) fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// The observed world, read.
pub(crate) struct View<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) seen: &'a Observed,
    pub(crate) cluster_id: Option<ClusterId>,
    pub(crate) leader: Option<Leader>,
    /// The membership, as well as it is known.
    pub(crate) members: Vec<Member>,
}

/// The member that leads, as it says itself.
#[derive(Clone, Copy)]
pub(crate) struct Leader {
    pub(crate) slot: Slot,
    pub(crate) id: MemberId,
    /// Whether it served a linearizable read.
    pub(crate) serves: bool,
}

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    /// It has no pod, or its pod is going.
    Restarting,
    Silent(Silence),
    /// Its disk is empty, says the node; or the node has drawn a new id.
    IdentityMissing,
    /// Its disk is somebody else's.
    IdentityMismatch,
    /// It answers, but served no linearizable read.
    NotServing,
    /// The kubelet does not find it ready.
    NotReady,
}

impl Health {
    /// The word in `status.members[].reason`.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Healthy => None,
            Self::Restarting => Some("Restarting"),
            Self::Silent(Silence::NotAsked) => Some("Starting"),
            Self::Silent(Silence::Unreachable) => Some("Unreachable"),
            Self::Silent(Silence::TimedOut) => Some("TimedOut"),
            Self::Silent(Silence::Distrusted) => Some("Distrusted"),
            Self::Silent(Silence::Garbled) => Some("Garbled"),
            Self::IdentityMissing => Some("IdentityMissing"),
            Self::IdentityMismatch => Some("IdentityMismatch"),
            Self::NotServing => Some("NotServing"),
            Self::NotReady => Some("NotReady"),
        }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(cluster: &'a Cluster, seen: &'a Observed) -> Self {
        let cluster_id = seen.status.cluster_id.as_deref().and_then(|id| id.parse().ok());
        let mut view = Self {
            cluster,
            seen,
            cluster_id,
            leader: None,
            members: Vec::new(),
        };
        let leading = view
            .answers()
            .filter(|(_, answer)| answer.state == NodeState::Leader && answer.members.iter().any(|m| leads(m, answer)))
            .max_by_key(|(slot, answer)| (answer.term, std::cmp::Reverse(*slot)));
        let informed = view
            .answers()
            .filter(|(_, answer)| !answer.members.is_empty())
            .max_by_key(|(slot, answer)| (answer.term, std::cmp::Reverse(*slot)));
        view.members = match (leading, informed) {
            (Some((_, answer)), _) | (None, Some((_, answer))) => answer.members.clone(),
            (None, None) => view.remembered(),
        };
        view.leader = leading.map(|(slot, answer)| Leader {
            slot,
            id: answer.member_id,
            serves: answer.linearizable_read,
        });
        view
    }

    /// The answers of nodes that belong to this cluster.
    fn answers(&self) -> impl Iterator<Item = (Slot, &'a Answer)> {
        let ours = self.cluster_id;
        let answered = self
            .seen
            .slots
            .iter()
            .filter_map(|(slot, seen)| Some((*slot, seen.node.answer()?)));
        answered.filter(move |(_, answer)| ours.is_some() && answer.cluster_id == ours)
    }

    /// The membership as the status has it, for when nobody answers.
    fn remembered(&self) -> Vec<Member> {
        let entry = |member: &kvorum_crd::status::MemberStatus| {
            let role = match member.role {
                MemberRole::Voter => Role::Voter,
                MemberRole::Learner => Role::Learner,
                MemberRole::Joining | MemberRole::Removed => return None,
            };
            Some(Member {
                id: member.id.as_deref()?.parse().ok()?,
                name: member.name.clone(),
                role,
            })
        };
        self.seen.status.members.iter().filter_map(entry).collect()
    }

    /// Whether the membership is the leader's own, and the leader serves: only then may anything be taken away.
    pub(crate) fn authoritative(&self) -> bool {
        self.leader.is_some_and(|leader| leader.serves)
    }

    /// Whether a node already told of a membership of this cluster.
    pub(crate) fn exists(&self) -> bool {
        self.answers().any(|(_, answer)| !answer.members.is_empty())
    }

    /// Whether the bootstrap is known, safely, to have happened.
    pub(crate) fn completed(&self) -> bool {
        self.seen
            .status
            .bootstrap
            .as_ref()
            .is_some_and(|b| b.phase == BootstrapPhase::Completed)
    }

    pub(crate) fn slot(&self, slot: Slot) -> Option<&'a SlotSeen> {
        self.seen.slots.get(&slot)
    }

    pub(crate) fn pod(&self, slot: Slot) -> Option<&'a PodSeen> {
        self.slot(slot)?.pod.as_ref()
    }

    pub(crate) fn answer(&self, slot: Slot) -> Option<&'a Answer> {
        self.slot(slot)?.node.answer()
    }

    pub(crate) fn slot_of(&self, member: &Member) -> Option<Slot> {
        self.cluster.name.slot_of(&member.name)
    }

    /// The entry that stands for a slot. When two carry its name, it is the one its node answers to; failing that, the
    /// one that votes.
    pub(crate) fn member(&self, slot: Slot) -> Option<&Member> {
        let name = self.cluster.name.member(slot);
        let answered = self.answer(slot).map(|answer| answer.member_id);
        let mine = self.members.iter().filter(|member| member.name == name);
        mine.max_by_key(|member| (Some(member.id) == answered, member.role == Role::Voter))
    }

    pub(crate) fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.role == Role::Voter)
    }

    pub(crate) fn voter_count(&self) -> usize {
        self.voters().count()
    }

    pub(crate) fn is_leader(&self, id: MemberId) -> bool {
        self.leader.is_some_and(|leader| leader.id == id)
    }

    /// How a member is. A learner is healthy when it answers as one; a voter must also have served a linearizable read,
    /// and its pod must be ready.
    pub(crate) fn health(&self, member: &Member) -> Health {
        let Some(slot) = self.slot_of(member) else {
            return Health::Silent(Silence::Unreachable);
        };
        let Some(seen) = self.slot(slot) else {
            return Health::Restarting;
        };
        let Some(pod) = seen.pod.as_ref().filter(|pod| !pod.terminating) else {
            return Health::Restarting;
        };
        let answer = match &seen.node {
            Node::Silent(silence) => return Health::Silent(*silence),
            Node::Answered(answer) => answer,
        };
        let identity = self.identity(member, answer);
        let serves = match member.role {
            Role::Voter => answer.linearizable_read && matches!(answer.state, NodeState::Follower | NodeState::Leader),
            Role::Learner => answer.state == NodeState::Learner,
        };
        match identity {
            Some(broken) => broken,
            None if !serves => Health::NotServing,
            // A learner's node is never ready: readiness lets clients in, and a learner serves none.
            None if pod.ready_since.is_none() && member.role == Role::Voter => Health::NotReady,
            None => Health::Healthy,
        }
    }

    /// What is wrong with the identity that a member's node shows, if anything.
    fn identity(&self, member: &Member, answer: &Answer) -> Option<Health> {
        match answer.state {
            // Added a moment ago, it has not heard from the leader yet: on its way, with the disk that it was added with.
            NodeState::Waiting if member.role == Role::Learner && answer.member_id == member.id => None,
            NodeState::IdentityMissing | NodeState::Waiting => Some(Health::IdentityMissing),
            NodeState::IdentityMismatch => Some(Health::IdentityMismatch),
            NodeState::Learner | NodeState::Follower | NodeState::Candidate | NodeState::Leader => {
                let itself = answer.member_id == member.id && answer.cluster_id == self.cluster_id;
                (!itself).then_some(Health::IdentityMismatch)
            }
        }
    }

    /// Whether a member's log is close to the leader's; false when nobody could tell.
    pub(crate) fn caught_up(&self, id: MemberId) -> bool {
        let lag = self
            .seen
            .progress
            .as_ref()
            .and_then(|progress| Some(progress.last_log_index.saturating_sub(*progress.matched.get(&id)?)));
        self.is_leader(id) || lag.is_some_and(|entries| entries <= LAG_ENTRIES_MAX)
    }

    /// Voters other than this one that are healthy and caught up.
    pub(crate) fn sound_voters_without(&self, id: Option<MemberId>) -> usize {
        let sound = |m: &&Member| Some(m.id) != id && self.health(m) == Health::Healthy && self.caught_up(m.id);
        self.voters().filter(sound).count()
    }

    /// The slots that something exists of or shall exist of, in order.
    pub(crate) fn slots(&self) -> BTreeSet<Slot> {
        let members = self.members.iter().filter_map(|member| self.slot_of(member));
        self.cluster
            .replicas
            .slots()
            .chain(members)
            .chain(self.seen.slots.keys().copied())
            .collect()
    }

    /// A healthy, caught-up voter to hand leadership to, among those that `suits`: the lowest slot.
    pub(crate) fn successor(&self, suits: impl Fn(Slot) -> bool) -> Option<&Member> {
        let fit = |m: &&Member| {
            let slot = self.slot_of(m);
            !self.is_leader(m.id)
                && slot.is_some_and(&suits)
                && self.health(m) == Health::Healthy
                && self.caught_up(m.id)
        };
        self.voters().filter(fit).min_by_key(|m| self.slot_of(m))
    }
}

fn leads(member: &Member, answer: &Answer) -> bool {
    member.id == answer.member_id && member.role == Role::Voter
}

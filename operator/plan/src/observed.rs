//! The world as it was seen in one pass: plain values, and the time.
//!
//! It must keep true: what could not be learnt is a value (`Node::Silent`), never an error and never a guess, so that one
//! sick member cannot stop a pass, and so that nobody mistakes silence for health. The hands fill it; nothing here asks.

use crate::names::{ClusterId, MemberId, Slot};
use k8s_openapi::jiff::Timestamp;
use kvorum_crd::KvClusterStatus;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that one pass saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Observed {
    /// When it was seen.
    pub now: Timestamp,
    /// A random number, new in every pass: the planner's only dice (for the cluster's id).
    pub seed: u64,
    /// The status that the resource carries.
    pub status: KvClusterStatus,
    /// Every slot of which anything exists: a StatefulSet, a pod or a volume claim.
    pub slots: BTreeMap<Slot, SlotSeen>,
    /// What the leader told about the log of each member; `None` when no leader answered.
    pub progress: Option<Progress>,
    /// The certificates that exist.
    pub certificates: Certificates,
}

/// What exists of one slot, and what its node says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotSeen {
    /// The StatefulSet `demo-N`.
    pub statefulset: Option<StatefulSetSeen>,
    /// The pod `demo-N-0`.
    pub pod: Option<PodSeen>,
    /// The volume claim `data-demo-N-0`.
    pub claim: Option<ClaimSeen>,
    /// What the node said.
    pub node: Node,
}

/// A StatefulSet as seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct StatefulSetSeen {
    /// For preconditions.
    pub uid: String,
    /// Annotation `kvorum.dev/template-hash` of its pod template.
    pub template_hash: Option<String>,
    /// Whether the StatefulSet controller has seen this template (`status.observedGeneration == metadata.generation`);
    /// a pod deleted before that comes back from the old template.
    pub settled: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A pod as seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PodSeen {
    /// For preconditions.
    pub uid: String,
    /// Annotation `kvorum.dev/template-hash`.
    pub template_hash: Option<String>,
    /// When it became ready (condition `Ready`, last transition); `None` when it is not.
    pub ready_since: Option<Timestamp>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Why it does not run, in the kubelet's or scheduler's own word, such as `ImagePullBackOff` or `Unschedulable`.
    pub trouble: Option<String>,
    /// The Kubernetes node that it runs on.
    pub host: Option<String>,
}

/// A volume claim as seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimSeen {
    /// For preconditions.
    pub uid: String,
    /// Annotation `kvorum.dev/cluster-id`, which the StatefulSet's claim template stamps: the proof that it is ours.
    pub cluster_id: Option<ClusterId>,
    /// Whether it is older than the `KvCluster`: kept from an earlier one of the same name.
    pub kept: bool,
    /// Whether it carries an owner reference to the `KvCluster`, so that it goes with it.
    pub owned: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// What a node said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Node {
    /// It answered.
    Answered(Answer),
    /// It did not.
    Silent(Silence),
}

impl Default for Node {
    fn default() -> Self {
        Self::Silent(Silence::NotAsked)
    }
}

impl Node {
    /// The answer, if there was one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Silent(_) => None,
        }
    }
}

/// Why a node said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Silence {
    /// There is no running pod, or no certificate yet to ask it with.
    NotAsked,
    /// The connection was refused or broke, or its name did not resolve.
    Unreachable,
    /// The time was up.
    TimedOut,
    /// The certificates did not fit.
    Distrusted,
    /// It answered with an error or with something that is not a status.
    Garbled,
}

impl Silence {
    /// In words, for messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "its pod does not run yet",
            Self::Unreachable => "it cannot be reached",
            Self::TimedOut => "it did not answer in time",
            Self::Distrusted => "its certificate was not accepted",
            Self::Garbled => "its answer could not be understood",
        }
    }
}

/// A node's own status (`GET /v1/admin/status`), and whether it served a linearizable read in this pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// The id that the node drew when its disk was new.
    pub member_id: MemberId,
    /// The cluster that it belongs to; `None` while it waits.
    #[serde(default)]
    pub cluster_id: Option<ClusterId>,
    /// What it is doing.
    pub state: NodeState,
    /// Its own words on why it does not serve.
    #[serde(default)]
    pub reason: Option<String>,
    /// The version it runs.
    pub version: String,
    /// Its current term.
    #[serde(default)]
    pub term: u64,
    /// Who leads, as far as it knows.
    #[serde(default)]
    pub leader_id: Option<MemberId>,
    /// The membership as far as it knows.
    #[serde(default)]
    pub members: Vec<Member>,
    /// Whether it served a linearizable read in this pass.
    #[serde(default)]
    pub linearizable_read: bool,
    /// Fingerprints (SHA-256, hexadecimal) of the certificates it uses.
    #[serde(default)]
    pub fingerprints: BTreeSet<String>,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// Its disk is new and it is no member yet.
    Waiting,
    /// Its disk is empty where it should hold a member's data.
    IdentityMissing,
    /// Its disk holds another member's or another cluster's data.
    IdentityMismatch,
    /// It receives the log and does not vote.
    Learner,
    /// It follows.
    Follower,
    /// It wants to lead.
    Candidate,
    /// It leads.
    Leader,
}

impl NodeState {
    /// The word in messages and reasons.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::IdentityMissing => "IdentityMissing",
            Self::IdentityMismatch => "IdentityMismatch",
            Self::Learner => "Learner",
            Self::Follower => "Follower",
            Self::Candidate => "Candidate",
            Self::Leader => "Leader",
        }
    }
}

/// One entry of the membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// The name it was added with.
    pub name: String,
    /// Whether it votes.
    pub role: Role,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It does.
    Voter,
    /// It only receives the log.
    Learner,
}

/// What the leader told about the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// The leader's last log index.
    pub last_log_index: u64,
    /// The index up to which each member's log is known to match the leader's.
    pub matched: BTreeMap<MemberId, u64>,
}

/// The certificates that exist, each parsed from its Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificates {
    /// Authorities, by name of their Secret.
    pub authorities: BTreeMap<String, AuthoritySeen>,
    /// Leaves, by name of their Secret.
    pub leaves: BTreeMap<String, LeafSeen>,
}

/// An authority as seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthoritySeen {
    /// Annotation `kvorum.dev/cluster-id` of its Secret.
    #[serde(default)]
    pub cluster_id: Option<ClusterId>,
    /// SHA-256 of its certificate, hexadecimal.
    pub fingerprint: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// The certificates of one Secret as seen. Where a Secret holds several (a member's server and peer certificates), the
/// names are those that all of them carry and the times the narrowest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeafSeen {
    /// Fingerprints of the authorities that signed them.
    pub issuers: BTreeSet<String>,
    /// Fingerprints of the authorities whose certificates the Secret carries for checking others.
    pub trusted: BTreeSet<String>,
    /// DNS names.
    #[serde(default)]
    pub dns: BTreeSet<String>,
    /// IP addresses.
    #[serde(default)]
    pub ips: BTreeSet<String>,
    /// The URI.
    #[serde(default)]
    pub uri: Option<String>,
    /// When they begin.
    pub not_before: Timestamp,
    /// When they end.
    pub not_after: Timestamp,
}

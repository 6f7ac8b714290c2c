//! The one thing to do next, and the reasons for doing nothing.
//!
//! A pass takes at most one step. Every step names what it touches by identity (member id, uid), so that it cannot hit
//! anything else when the world has moved on; the hands read live state before the destructive ones and give up quietly
//! when it differs, as the next pass will decide afresh.

use crate::names::{ClusterId, MemberId, Slot};
use crate::rollout::Gate;
use kvorum_crd::status::BootstrapPhase;
use serde::Serialize;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// Write the plan's status, with the resourceVersion of the resource that was planned from as a precondition, and
    /// plan again at once. `intent` says which fact of the status must be safe before the world is changed.
    PersistIntent(Intent),
    /// `POST /v1/admin/bootstrap` at this slot. Before it: read the resource live, and give up unless its status carries
    /// exactly this cluster id and this bootstrap, still intended.
    Bootstrap {
        /// Where.
        slot: Slot,
        /// The cluster's id.
        cluster_id: ClusterId,
        /// The id that the node must have.
        member_id: MemberId,
    },
    /// `POST /v1/admin/members` at the leader: add as a learner. Idempotent.
    AddLearner {
        /// The slot that joins.
        slot: Slot,
        /// The id its node drew.
        id: MemberId,
        /// Its name.
        name: String,
        /// URL for peers.
        peer_url: String,
        /// URL for clients.
        client_url: String,
    },
    /// `POST /v1/admin/members/{id}/promote` at the leader.
    Promote {
        /// The learner.
        id: MemberId,
        /// Its name.
        name: String,
    },
    /// `DELETE /v1/admin/members/{id}` at the leader. Before it: read the status of the leader and of every voter live,
    /// and give up unless the leader still leads, still lists this member, and a quorum of the others still answers.
    Remove {
        /// The member.
        id: MemberId,
        /// Its name.
        name: String,
        /// Whether it votes.
        voter: bool,
    },
    /// `POST /v1/admin/transfer-leadership` at the leader.
    TransferLeader {
        /// Who leads.
        from: MemberId,
        /// Who shall lead.
        to: MemberId,
        /// Its name.
        name: String,
    },
    /// Delete the pod of this slot, with its uid as a precondition; the StatefulSet makes the new one.
    RestartPod {
        /// Where.
        slot: Slot,
        /// The pod's uid.
        pod_uid: String,
        /// Whether a healthy voter is lost meanwhile. When it is, before it: ask every voter live, and give up unless
        /// all of them still serve. When it is not, before it: read the pod live, and give up if it is ready now and
        /// was not when it was planned on; a stale picture of a pod that has come back must not cost its vote.
        healthy: bool,
    },
    /// Clear away what is left of a slot that is no member: delete its StatefulSet and its volume claim, each by uid.
    /// Before it: read the leader's status live, and give up if any member has this name, or this id.
    Discard {
        /// Where.
        slot: Slot,
        /// The StatefulSet's uid, if there is one.
        statefulset_uid: Option<String>,
        /// The claim's uid, if there is one.
        claim_uid: Option<String>,
        /// The id that its disk carries, as far as known.
        member_id: Option<MemberId>,
    },
    /// Nothing now.
    Wait(Reason),
}

/// A fact that must be safe in the status before the world is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Intent {
    /// The cluster's id.
    ClusterId(ClusterId),
    /// Where the cluster begins, or that it has begun.
    Bootstrap {
        /// Where.
        slot: Slot,
        /// The id that its node drew.
        member_id: MemberId,
        /// How far.
        phase: BootstrapPhase,
    },
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reason {
    /// Everything is as it should be.
    Settled,
    /// These slots' nodes have not answered yet.
    Starting(Vec<Slot>),
    /// These slots' voters are not healthy, and nothing but waiting is to be done about it.
    Recovering(Vec<Slot>),
    /// The node at which the cluster begins reported something unexpected.
    BootstrapBlocked {
        /// Where.
        slot: Slot,
        /// What stands in the way.
        why: Blocker,
    },
    /// No leader answered, or the leader could not serve a linearizable read.
    NoLeader,
    /// Too few voters are left to serve.
    QuorumLost,
    /// A learner has not caught up yet.
    CatchingUp {
        /// The learner's name.
        name: String,
    },
    /// A step is wanted, but a gate says no.
    Held {
        /// What is wanted.
        wanted: Wanted,
        /// Which gate.
        gate: Gate,
        /// The member on whose account it says no, if it is one member.
        on: Option<String>,
    },
    /// A volume of a slot is being deleted; it must be gone before a new one is made.
    VolumeLeaving(Slot),
    /// A person must act, since going on could lose data.
    ActionRequired {
        /// Where.
        slot: Slot,
        /// Why.
        why: Blocker,
    },
}

/// What stands in the way until a person acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Blocker {
    /// A voter's disk is empty.
    IdentityMissing,
    /// The disk holds another member's or another cluster's data.
    IdentityMismatch,
    /// The volume was not made for this cluster.
    ForeignVolume,
}

impl Blocker {
    /// The reason in conditions, members and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentityMissing => "IdentityMissing",
            Self::IdentityMismatch => "IdentityMismatch",
            Self::ForeignVolume => "ForeignVolume",
        }
    }
}

/// A step that a gate holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Wanted {
    /// To promote this learner.
    Promote {
        /// Its name.
        name: String,
    },
    /// To remove this member.
    Remove {
        /// Its name.
        name: String,
    },
    /// To restart this member's pod.
    Restart {
        /// Its name.
        name: String,
    },
}

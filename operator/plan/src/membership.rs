//! From the membership that is to the one that shall be, one change at a time.
//!
//! Slots `0..replicas` shall vote and nothing else shall be a member. In this order:
//!
//! 1. ghosts go: entries that no slot answers to;
//! 2. learners that cannot become voters go: their slot is unwanted, or its disk is another;
//! 3. wanted slots are added as learners (all of them, since a learner costs no quorum);
//! 4. learners that have caught up are promoted;
//! 5. voters of unwanted slots are removed, the broken first, then the highest, a leader only after it handed over;
//! 6. what is left of a slot that is no member is discarded: its StatefulSet and its volume.
//!
//! *Why discard the volume of a slot that was scaled away, though the spec says `Retain`?* Its member id is gone from the
//! membership for good, as in etcd: a disk with that id can never join again, and what is on it is a copy of what a quorum
//! holds. `Retain` speaks of the deletion of the cluster, where the volumes are the only copy. If the slot came back on the
//! old disk, its node would rightly refuse to be a new member. So the disk goes with the member, after the membership
//! without it was served by the leader, and only when its claim carries this cluster's id; a claim that does not is never
//! touched.
//!
//! *Caveat.* A voter whose disk is gone is not removed here while its slot is wanted: replacing it is a step of its own. It
//! counts against quorum and the status asks for action.

use crate::names::Slot;
use crate::observed::{ClaimSeen, Member, NodeState, Role};
use crate::rollout::Gate;
use crate::step::{Blocker, Reason, Step, Wanted};
use crate::verdict::Verdict;
use crate::view::{Health, View, quorum};
use k8s_openapi::jiff::SignedDuration;

/// How long a learner's pod must have been ready before it is promoted, in seconds: one period of its readiness probe.
const LEARNER_READY_SECONDS: i64 = 1;

/// The next change of membership. To be asked only when the membership is authoritative.
pub(crate) fn next(view: &View<'_>) -> Verdict {
    let parts: [fn(&View<'_>) -> Verdict; 7] =
        [remove_ghost, remove_lost_learner, add, promote, remove_voter, discard, broken_identity];
    Verdict::first(parts.iter().map(|part| part(view)))
}

fn remove_ghost(view: &View<'_>) -> Verdict {
    let ghost = |member: &&Member| match view.slot_of(member) {
        None => true,
        Some(slot) => {
            let answered = view.answer(slot).map(|answer| answer.member_id);
            let rightful = view.member(slot).filter(|rightful| rightful.id != member.id);
            rightful.is_some_and(|rightful| Some(rightful.id) == answered)
        }
    };
    Verdict::first(view.members.iter().filter(ghost).map(|member| remove(view, member)))
}

fn remove_lost_learner(view: &View<'_>) -> Verdict {
    let lost = |member: &&Member| {
        let unwanted = view.slot_of(member).is_none_or(|slot| !view.cluster.replicas.wants(slot));
        let other_disk = matches!(view.health(member), Health::IdentityMissing | Health::IdentityMismatch);
        member.role == Role::Learner && (unwanted || other_disk)
    };
    Verdict::first(view.members.iter().filter(lost).map(|member| remove(view, member)))
}

fn add(view: &View<'_>) -> Verdict {
    let missing = view.cluster.replicas.slots().filter(|slot| view.member(*slot).is_none());
    Verdict::first(missing.map(|slot| add_slot(view, slot)))
}

fn add_slot(view: &View<'_>, slot: Slot) -> Verdict {
    let seen = view.slot(slot);
    if seen.and_then(|seen| seen.claim.as_ref()).is_some_and(|claim| claim.deleting) {
        return match discard_slot(view, slot) {
            Verdict::Nothing => Verdict::Wait(Reason::VolumeLeaving(slot)),
            leaving @ (Verdict::Act(_) | Verdict::Wait(_)) => leaving,
        };
    }
    let Some(answer) = view.answer(slot) else { return Verdict::Wait(Reason::Starting(vec![slot])) };
    let known = view.members.iter().any(|member| member.id == answer.member_id);
    match answer.state {
        // Two slots with one disk: whatever happened, nothing may be deleted.
        _ if known => Verdict::Wait(Reason::ActionRequired { slot, why: Blocker::IdentityMismatch }),
        NodeState::Waiting => Verdict::Act(Step::AddLearner {
            slot,
            id: answer.member_id,
            name: view.cluster.name.member(slot),
            peer_url: view.cluster.peer_url(slot),
            client_url: view.cluster.client_url(slot),
        }),
        NodeState::IdentityMissing => discard_slot(view, slot),
        NodeState::IdentityMismatch | NodeState::Learner | NodeState::Follower | NodeState::Candidate | NodeState::Leader => {
            if answer.cluster_id == view.cluster_id {
                discard_slot(view, slot)
            } else {
                Verdict::Wait(Reason::ActionRequired { slot, why: Blocker::IdentityMismatch })
            }
        }
    }
}

fn promote(view: &View<'_>) -> Verdict {
    let learners = view.members.iter().filter(|member| member.role == Role::Learner);
    Verdict::first(learners.map(|member| promote_learner(view, member)))
}

fn promote_learner(view: &View<'_>, member: &Member) -> Verdict {
    let Some(slot) = view.slot_of(member) else { return Verdict::Nothing };
    let held = |gate| {
        let wanted = Wanted::Promote { name: member.name.clone() };
        Verdict::Wait(Reason::Held { wanted, gate, on: None })
    };
    let settled = SignedDuration::from_secs(LEARNER_READY_SECONDS);
    let stable = view.pod(slot).and_then(|pod| pod.ready_since).is_some_and(|t| view.seen.now.duration_since(t) >= settled);
    if let Health::Silent(_) | Health::Restarting = view.health(member) {
        return Verdict::Wait(Reason::Starting(vec![slot]));
    }
    if view.health(member) != Health::Healthy || !stable || !view.caught_up(member.id) {
        return Verdict::Wait(Reason::CatchingUp { name: member.name.clone() });
    }
    if view.sound_voters_without(None) + 1 < quorum(view.voter_count() + 1) {
        return held(Gate::QuorumWithTarget);
    }
    Verdict::Act(Step::Promote { id: member.id, name: member.name.clone() })
}

fn remove_voter(view: &View<'_>) -> Verdict {
    let unwanted = |member: &&Member| view.slot_of(member).is_some_and(|slot| !view.cluster.replicas.wants(slot));
    let mut leaving: Vec<&Member> = view.voters().filter(unwanted).collect();
    leaving.sort_by_key(|member| (view.health(member) == Health::Healthy, std::cmp::Reverse(view.slot_of(member))));
    Verdict::first(leaving.into_iter().map(|member| remove(view, member)))
}

/// Removes a member, if a quorum of sound voters remains; a leader hands over first.
fn remove(view: &View<'_>, member: &Member) -> Verdict {
    let held = |gate| {
        let wanted = Wanted::Remove { name: member.name.clone() };
        Verdict::Wait(Reason::Held { wanted, gate, on: None })
    };
    let voter = member.role == Role::Voter;
    if voter && view.sound_voters_without(Some(member.id)) < quorum(view.voter_count() - 1) {
        return held(Gate::QuorumWithoutTarget);
    }
    if view.is_leader(member.id) {
        return match view.successor(|slot| view.cluster.replicas.wants(slot)) {
            Some(next) => Verdict::Act(Step::TransferLeader { from: member.id, to: next.id, name: next.name.clone() }),
            None => held(Gate::Successor),
        };
    }
    Verdict::Act(Step::Remove { id: member.id, name: member.name.clone(), voter })
}

fn discard(view: &View<'_>) -> Verdict {
    let left_over = |slot: &Slot| !view.cluster.replicas.wants(*slot) && view.member(*slot).is_none();
    Verdict::first(view.seen.slots.keys().copied().filter(left_over).map(|slot| discard_slot(view, slot)))
}

/// Clears away what is left of a slot that is no member, as far as it is not on its way out already.
fn discard_slot(view: &View<'_>, slot: Slot) -> Verdict {
    let Some(seen) = view.slot(slot) else { return Verdict::Nothing };
    let answered = seen.node.answer().map(|answer| answer.member_id);
    // A disk that carries a member's id is that member's disk, whatever slot it turned up in.
    if view.members.iter().any(|member| Some(member.id) == answered) {
        return Verdict::Wait(Reason::ActionRequired { slot, why: Blocker::IdentityMismatch });
    }
    let ours = |claim: &&ClaimSeen| claim.cluster_id == view.cluster_id && !claim.deleting;
    let statefulset = seen.statefulset.as_ref().filter(|set| !set.deleting).map(|set| set.uid.clone());
    let claim = seen.claim.as_ref().filter(ours).map(|claim| claim.uid.clone());
    let foreign = seen.claim.as_ref().is_some_and(|claim| claim.cluster_id != view.cluster_id);
    if foreign && view.cluster.replicas.wants(slot) {
        return Verdict::Wait(Reason::ActionRequired { slot, why: Blocker::ForeignVolume });
    }
    if statefulset.is_none() && claim.is_none() {
        return Verdict::Nothing;
    }
    Verdict::Act(Step::Discard { slot, statefulset_uid: statefulset, claim_uid: claim, member_id: answered })
}

/// A voter whose disk is not its own any more: only a person, or a later step, can mend that.
fn broken_identity(view: &View<'_>) -> Verdict {
    let broken = |member: &Member| {
        let slot = view.slot_of(member)?;
        let why = match view.health(member) {
            Health::IdentityMissing => Blocker::IdentityMissing,
            Health::IdentityMismatch => Blocker::IdentityMismatch,
            Health::Healthy | Health::Restarting | Health::Silent(_) | Health::NotServing | Health::NotReady => return None,
        };
        Some(Verdict::Wait(Reason::ActionRequired { slot, why }))
    };
    Verdict::first(view.voters().filter_map(broken))
}

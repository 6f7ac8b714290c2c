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

/// The next change of membership. To be asked only when the membership is authoritative.
pub(crate) fn next(view: &View<'_>) -> Verdict {
    let parts: [fn(&View<'_>) -> Verdict; 7] = [
        remove_ghost,
        remove_lost_learner,
        add,
        promote,
        remove_voter,
        discard,
        broken_identity,
    ];
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
        let unwanted = view
            .slot_of(member)
            .is_none_or(|slot| !view.cluster.replicas.wants(slot));
        let other_disk = matches!(view.health(member), Health::IdentityMissing | Health::IdentityMismatch);
        member.role == Role::Learner && (unwanted || other_disk)
    };
    Verdict::first(view.members.iter().filter(lost).map(|member| remove(view, member)))
}

fn add(view: &View<'_>) -> Verdict {
    let missing = view
        .cluster
        .replicas
        .slots()
        .filter(|slot| view.member(*slot).is_none());
    Verdict::first(missing.map(|slot| add_slot(view, slot)))
}

fn add_slot(view: &View<'_>, slot: Slot) -> Verdict {
    let seen = view.slot(slot);
    if seen
        .and_then(|seen| seen.claim.as_ref())
        .is_some_and(|claim| claim.deleting)
    {
        return match discard_slot(view, slot) {
            Verdict::Nothing => Verdict::Wait(Reason::VolumeLeaving(slot)),
            leaving @ (Verdict::Act(_) | Verdict::Wait(_)) => leaving,
        };
    }
    let Some(answer) = view.answer(slot) else {
        return Verdict::Wait(Reason::Starting(vec![slot]));
    };
    let known = view.members.iter().any(|member| member.id == answer.member_id);
    match answer.state {
        // Two slots with one disk: whatever happened, nothing may be deleted.
        _ if known => Verdict::Wait(Reason::ActionRequired {
            slot,
            why: Blocker::IdentityMismatch,
        }),
        NodeState::Waiting => Verdict::Act(Step::AddLearner {
            slot,
            id: answer.member_id,
            name: view.cluster.name.member(slot),
            peer_url: view.cluster.peer_url(slot),
            client_url: view.cluster.client_url(slot),
        }),
        NodeState::IdentityMissing => discard_slot(view, slot),
        NodeState::IdentityMismatch
        | NodeState::Learner
        | NodeState::Follower
        | NodeState::Candidate
        | NodeState::Leader => {
            if answer.cluster_id == view.cluster_id {
                discard_slot(view, slot)
            } else {
                Verdict::Wait(Reason::ActionRequired {
                    slot,
                    why: Blocker::IdentityMismatch,
                })
            }
        }
    }
}

fn promote(view: &View<'_>) -> Verdict {
    let learners = view.members.iter().filter(|member| member.role == Role::Learner);
    Verdict::first(learners.map(|member| promote_learner(view, member)))
}

fn promote_learner(view: &View<'_>, member: &Member) -> Verdict {
    let Some(slot) = view.slot_of(member) else {
        return Verdict::Nothing;
    };
    let held = |gate| {
        let wanted = Wanted::Promote {
            name: member.name.clone(),
        };
        Verdict::Wait(Reason::Held { wanted, gate, on: None })
    };
    if let Health::Silent(_) | Health::Restarting = view.health(member) {
        return Verdict::Wait(Reason::Starting(vec![slot]));
    }
    if view.health(member) != Health::Healthy || !view.caught_up(member.id) {
        return Verdict::Wait(Reason::CatchingUp {
            name: member.name.clone(),
        });
    }
    if view.sound_voters_without(None) + 1 < quorum(view.voter_count() + 1) {
        return held(Gate::QuorumWithTarget);
    }
    Verdict::Act(Step::Promote {
        id: member.id,
        name: member.name.clone(),
    })
}

fn remove_voter(view: &View<'_>) -> Verdict {
    let unwanted = |member: &&Member| {
        view.slot_of(member)
            .is_some_and(|slot| !view.cluster.replicas.wants(slot))
    };
    let mut leaving: Vec<&Member> = view.voters().filter(unwanted).collect();
    leaving.sort_by_key(|member| {
        let healthy = view.health(member) == Health::Healthy;
        (
            healthy,
            view.is_leader(member.id),
            std::cmp::Reverse(view.slot_of(member)),
        )
    });
    Verdict::first(leaving.into_iter().map(|member| remove(view, member)))
}

/// Removes a member, if a quorum of sound voters remains; a leader hands over first.
fn remove(view: &View<'_>, member: &Member) -> Verdict {
    let held = |gate| {
        let wanted = Wanted::Remove {
            name: member.name.clone(),
        };
        Verdict::Wait(Reason::Held { wanted, gate, on: None })
    };
    let voter = member.role == Role::Voter;
    if voter && view.sound_voters_without(Some(member.id)) < quorum(view.voter_count() - 1) {
        return held(Gate::QuorumWithoutTarget);
    }
    if view.is_leader(member.id) {
        return match view.successor(|slot| view.cluster.replicas.wants(slot)) {
            Some(next) => Verdict::Act(Step::TransferLeader {
                from: member.id,
                to: next.id,
                name: next.name.clone(),
            }),
            None => held(Gate::Successor),
        };
    }
    Verdict::Act(Step::Remove {
        id: member.id,
        name: member.name.clone(),
        voter,
    })
}

fn discard(view: &View<'_>) -> Verdict {
    let left_over = |slot: &Slot| !view.cluster.replicas.wants(*slot) && view.member(*slot).is_none();
    Verdict::first(
        view.seen
            .slots
            .keys()
            .copied()
            .filter(left_over)
            .map(|slot| discard_slot(view, slot)),
    )
}

/// Clears away what is left of a slot that is no member, as far as it is not on its way out already.
fn discard_slot(view: &View<'_>, slot: Slot) -> Verdict {
    let Some(seen) = view.slot(slot) else {
        return Verdict::Nothing;
    };
    let answered = seen.node.answer().map(|answer| answer.member_id);
    // A disk that carries a member's id is that member's disk, whatever slot it turned up in.
    if view.members.iter().any(|member| Some(member.id) == answered) {
        return Verdict::Wait(Reason::ActionRequired {
            slot,
            why: Blocker::IdentityMismatch,
        });
    }
    let ours = |claim: &&ClaimSeen| claim.cluster_id == view.cluster_id && !claim.deleting;
    let statefulset = seen
        .statefulset
        .as_ref()
        .filter(|set| !set.deleting)
        .map(|set| set.uid.clone());
    let claim = seen.claim.as_ref().filter(ours).map(|claim| claim.uid.clone());
    let foreign = seen
        .claim
        .as_ref()
        .is_some_and(|claim| claim.cluster_id != view.cluster_id);
    if foreign && view.cluster.replicas.wants(slot) {
        return Verdict::Wait(Reason::ActionRequired {
            slot,
            why: Blocker::ForeignVolume,
        });
    }
    if statefulset.is_none() && claim.is_none() {
        return Verdict::Nothing;
    }
    Verdict::Act(Step::Discard {
        slot,
        statefulset_uid: statefulset,
        claim_uid: claim,
        member_id: answered,
    })
}

/// A voter whose disk is not its own any more: only a person, or a later step, can mend that.
fn broken_identity(view: &View<'_>) -> Verdict {
    let broken = |member: &Member| {
        let slot = view.slot_of(member)?;
        let why = match view.health(member) {
            Health::IdentityMissing => Blocker::IdentityMissing,
            Health::IdentityMismatch => Blocker::IdentityMismatch,
            Health::Healthy | Health::Restarting | Health::Silent(_) | Health::NotServing | Health::NotReady => {
                return None;
            }
        };
        Some(Verdict::Wait(Reason::ActionRequired { slot, why }))
    };
    Verdict::first(view.voters().filter_map(broken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Observed;
    use crate::testing::{id, mk_cluster, mk_world};
    use test_case::test_case;

    fn verdict(replicas: i32, world: Observed) -> String {
        let cluster = mk_cluster(replicas);
        match next(&View::new(&cluster, &world)) {
            Verdict::Act(Step::AddLearner { name, .. }) => format!("add {name}"),
            Verdict::Act(Step::Promote { name, .. }) => format!("promote {name}"),
            Verdict::Act(Step::Remove { name, id, .. }) => format!("remove {name} {id}"),
            Verdict::Act(Step::TransferLeader { name, .. }) => format!("transfer to {name}"),
            Verdict::Act(Step::Discard { slot, claim_uid, .. }) => {
                format!("discard {slot} {}", claim_uid.unwrap_or_default())
            }
            Verdict::Act(step) => format!("{step:?}"),
            Verdict::Wait(Reason::Held { gate, .. }) => format!("{gate:?}"),
            Verdict::Wait(reason) => format!("{reason:?}"),
            Verdict::Nothing => "nothing".to_owned(),
        }
    }

    /// A ghost beside the true member of a slot: an entry with its name and another id.
    fn ghost(mut world: Observed, slot: u32, role: Role) -> Observed {
        for seen in world.slots.values_mut() {
            if let crate::observed::Node::Answered(answer) = &mut seen.node {
                answer.members.push(Member {
                    id: id(50),
                    name: format!("demo-{slot}"),
                    role,
                });
            }
        }
        world
    }

    fn foreign_volume(mut world: Observed, slot: u32) -> Observed {
        world.slot_mut(slot).claim.as_mut().unwrap().cluster_id = None;
        world
    }

    fn volume_leaving(mut world: Observed, slot: u32) -> Observed {
        let seen = world.slot_mut(slot);
        seen.statefulset = None;
        seen.pod = None;
        seen.claim.as_mut().unwrap().deleting = true;
        world.silent(slot)
    }

    #[test_case(3, mk_world(3), "nothing"; "three of three")]
    // Growing.
    #[test_case(5, mk_world(3), "Starting([Slot(3)])"; "the new pod does not answer yet")]
    #[test_case(5, mk_world(4).no_member(3).waiting(3), "add demo-3"; "a new node waits")]
    #[test_case(5, mk_world(5).no_member(4).role(3, Role::Learner).waiting(4), "add demo-4"; "all are added before one is promoted")]
    #[test_case(5, mk_world(4).role(3, Role::Learner), "promote demo-3"; "a learner has caught up")]
    #[test_case(5, mk_world(4).role(3, Role::Learner).lagging(3), "Starting([Slot(4)])"; "it has not caught up")]
    #[test_case(3, mk_world(3).role(2, Role::Learner).lagging(2), "CatchingUp { name: \"demo-2\" }"; "nor here")]
    #[test_case(3, mk_world(3).role(2, Role::Learner).unready(2), "promote demo-2"; "a learner that is level need not be ready")]
    #[test_case(3, mk_world(3).role(2, Role::Learner).waiting(2), "CatchingUp { name: \"demo-2\" }"; "it was added but has not heard from the leader")]
    #[test_case(5, mk_world(4).role(3, Role::Learner).lagging(1).lagging(2), "Starting([Slot(4)])"; "a promotion would not give a quorum of sound voters")]
    // Shrinking.
    #[test_case(3, mk_world(5), "remove demo-4 00000000000000a4"; "the highest first")]
    #[test_case(3, mk_world(5).dead(3), "remove demo-3 00000000000000a3"; "the broken before the highest")]
    #[test_case(3, mk_world(5).led_by(4), "remove demo-3 00000000000000a3"; "another before the leader")]
    #[test_case(3, mk_world(4).led_by(3), "transfer to demo-0"; "the leader hands over first")]
    #[test_case(1, mk_world(3), "remove demo-2 00000000000000a2"; "three to one")]
    #[test_case(1, mk_world(2), "remove demo-1 00000000000000a1"; "two to one")]
    #[test_case(1, mk_world(3).dead(1), "remove demo-1 00000000000000a1"; "a dead one is spared easily")]
    #[test_case(1, mk_world(2).led_by(1).lagging(0), "QuorumWithoutTarget"; "nobody else is sound")]
    #[test_case(3, mk_world(4).led_by(3).dead(0).dead(1), "QuorumWithoutTarget"; "too few would remain")]
    #[test_case(3, mk_world(4).role(3, Role::Learner), "remove demo-3 00000000000000a3"; "a left-over learner goes")]
    // What is left over.
    #[test_case(3, mk_world(4).no_member(3), "discard 3 claim-3"; "a slot that is no member")]
    #[test_case(3, foreign_volume(mk_world(4).no_member(3), 3), "discard 3 "; "a volume that is not ours stays")]
    #[test_case(5, mk_world(4).no_member(3), "discard 3 claim-3"; "a wanted slot on the disk of a removed member")]
    #[test_case(5, volume_leaving(mk_world(4).no_member(3), 3), "VolumeLeaving(Slot(3))"; "the old volume is still there")]
    // Ghosts and lost disks.
    #[test_case(3, ghost(mk_world(3), 2, Role::Learner), "remove demo-2 00000000000000d2"; "a ghost learner")]
    #[test_case(3, ghost(mk_world(3), 2, Role::Voter), "remove demo-2 00000000000000d2"; "a ghost voter")]
    #[test_case(3, ghost(mk_world(3).silent(2), 2, Role::Voter), "nothing"; "who is the ghost cannot be told")]
    #[test_case(3, mk_world(3).role(2, Role::Learner).state(2, NodeState::IdentityMissing), "remove demo-2 00000000000000a2"; "a learner that lost its disk")]
    #[test_case(3, mk_world(3).state(2, NodeState::IdentityMissing).unready(2), "ActionRequired { slot: Slot(2), why: IdentityMissing }"; "a voter that lost its disk")]
    #[test_case(3, mk_world(3).state(2, NodeState::IdentityMismatch).unready(2), "ActionRequired { slot: Slot(2), why: IdentityMismatch }"; "a voter on another disk")]
    fn changes(replicas: i32, world: Observed, expected: &str) {
        assert_eq!(verdict(replicas, world), expected);
    }
}

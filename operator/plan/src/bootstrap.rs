//! From nothing to a cluster of one, once.
//!
//! The cluster's id and the first member's id are chosen, written to the status, and only then acted upon; every write of
//! the status carries the resourceVersion that was planned from. So a crash between any two calls, or a pass on a stale
//! status, leads to the same one cluster. A cluster that already exists on kept volumes is found and resumed instead:
//! nothing is bootstrapped while a kept volume has not spoken.

use crate::names::{ClusterId, MemberId, Slot};
use crate::observed::{Answer, NodeState};
use crate::step::{Blocker, Intent, Reason, Step};
use crate::view::View;
use kvorum_crd::status::BootstrapPhase;

/// The slot at which every cluster begins.
pub(crate) const FIRST: Slot = Slot(0);

/// The next step while there is no cluster yet; `None` once the status says that there is one.
pub(crate) fn next(view: &View<'_>) -> Option<Step> {
    let Some(cluster_id) = view.cluster_id else {
        return Some(choose_cluster_id(view));
    };
    if view.completed() {
        return None;
    }
    if view.exists() {
        return Some(completed(view));
    }
    Some(match view.answer(FIRST) {
        Some(answer) => begin(view, cluster_id, answer),
        None => Step::Wait(starting(view)),
    })
}

/// The id of the authorities that an earlier cluster of this name left behind, or else a new one.
fn choose_cluster_id(view: &View<'_>) -> Step {
    let authorities = &view.seen.certificates.authorities;
    let left_behind = authorities.values().find_map(|authority| authority.cluster_id);
    match left_behind.or_else(|| ClusterId::new(view.seen.seed)) {
        Some(id) => Step::PersistIntent(Intent::ClusterId(id)),
        // The dice fell on zero; the next pass throws them again.
        None => Step::Wait(Reason::Starting(Vec::new())),
    }
}

fn completed(view: &View<'_>) -> Step {
    let intended = view.seen.status.bootstrap.as_ref().and_then(|b| {
        let slot = view.cluster.name.slot_of(&b.member_name)?;
        Some((slot, b.member_id.parse::<MemberId>().ok()?))
    });
    let found = || {
        view.voters()
            .find_map(|member| Some((view.slot_of(member)?, member.id)))
    };
    match intended
        .filter(|(_, id)| view.members.iter().any(|m| m.id == *id))
        .or_else(found)
    {
        Some((slot, member_id)) => persist(slot, member_id, BootstrapPhase::Completed),
        None => Step::Wait(Reason::NoLeader),
    }
}

fn begin(view: &View<'_>, cluster_id: ClusterId, answer: &Answer) -> Step {
    let blocked = |why| Step::Wait(Reason::BootstrapBlocked { slot: FIRST, why });
    match answer.state {
        NodeState::Waiting => {}
        NodeState::IdentityMissing => return blocked(Blocker::IdentityMissing),
        NodeState::IdentityMismatch => return blocked(Blocker::IdentityMismatch),
        NodeState::Learner | NodeState::Follower | NodeState::Candidate | NodeState::Leader => {
            let foreign = answer.cluster_id.is_some_and(|id| id != cluster_id);
            return if foreign {
                blocked(Blocker::IdentityMismatch)
            } else {
                Step::Wait(starting(view))
            };
        }
    }
    if let Some(slot) = unheard_kept_volume(view) {
        return Step::Wait(Reason::Starting(vec![slot]));
    }
    if intended(view) == Some(answer.member_id) {
        Step::Bootstrap {
            slot: FIRST,
            cluster_id,
            member_id: answer.member_id,
        }
    } else {
        persist(FIRST, answer.member_id, BootstrapPhase::Intended)
    }
}

/// A slot whose volume was kept from an earlier cluster and whose node has not said that it is empty.
fn unheard_kept_volume(view: &View<'_>) -> Option<Slot> {
    let unheard = |slot: &Slot| {
        view.answer(*slot)
            .is_none_or(|answer| answer.state != NodeState::Waiting)
    };
    let kept = view.seen.slots.iter().filter(|(_, seen)| {
        seen.claim
            .as_ref()
            .is_some_and(|claim| claim.kept && claim.cluster_id == view.cluster_id)
    });
    kept.map(|(slot, _)| *slot).find(unheard)
}

fn intended(view: &View<'_>) -> Option<MemberId> {
    let bootstrap = view.seen.status.bootstrap.as_ref()?;
    (bootstrap.member_name == view.cluster.name.member(FIRST)).then(|| bootstrap.member_id.parse().ok())?
}

fn persist(slot: Slot, member_id: MemberId, phase: BootstrapPhase) -> Step {
    Step::PersistIntent(Intent::Bootstrap { slot, member_id, phase })
}

fn starting(view: &View<'_>) -> Reason {
    Reason::Starting(
        view.cluster
            .replicas
            .slots()
            .filter(|slot| view.answer(*slot).is_none())
            .collect(),
    )
}

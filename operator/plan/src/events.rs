//! Words: one sentence per step or reason to wait, and one event per decision.
//!
//! A step that is taken is an event. Waiting is not, as it is in the status; but a blocker that a person must clear, and a
//! quorum that is lost, are told once, when they come up.

use crate::bootstrap;
use crate::cluster::Cluster;
use crate::conditions;
use crate::names::Slot;
use crate::step::{Blocker, Intent, Reason, Step, Wanted};
use crate::view::View;
use crate::{Event, Severity};
use kvorum_crd::KvClusterStatus;
use kvorum_crd::conditions::{ConditionType, Truth};
use kvorum_crd::status::BootstrapPhase;

/// The events of a pass, from the step taken and from what the new status says that the old did not.
pub(crate) fn events(view: &View<'_>, step: &Step, status: &KvClusterStatus) -> Vec<Event> {
    let taken = taken(view.cluster, step);
    let alarms = [ConditionType::ActionRequired, ConditionType::QuorumLost].into_iter();
    let alarms = alarms.filter_map(|about| alarm(view, step, about, status));
    taken.into_iter().chain(alarms).collect()
}

fn taken(cluster: &Cluster, step: &Step) -> Option<Event> {
    let (reason, action, slot) = match step {
        Step::PersistIntent(Intent::Bootstrap {
            slot,
            phase: BootstrapPhase::Completed,
            ..
        }) => ("Bootstrapped", "Bootstrap", Some(*slot)),
        Step::PersistIntent(_) | Step::Wait(_) => return None,
        Step::Bootstrap { slot, .. } => ("Bootstrapping", "Bootstrap", Some(*slot)),
        Step::AddLearner { slot, .. } => ("MemberAdding", "AddLearner", Some(*slot)),
        Step::Promote { name, .. } => ("MemberPromoting", "Promote", cluster.name.slot_of(name)),
        Step::Remove { name, .. } => ("MemberRemoving", "Remove", cluster.name.slot_of(name)),
        Step::TransferLeader { name, .. } => ("LeadershipMoving", "TransferLeader", cluster.name.slot_of(name)),
        Step::RestartPod { slot, .. } => ("MemberRestarting", "RestartPod", Some(*slot)),
        Step::Discard { slot, .. } => ("MemberDiscarding", "Discard", Some(*slot)),
    };
    Some(Event {
        severity: Severity::Normal,
        reason,
        action,
        note: sentence(cluster, step),
        slot,
    })
}

/// A warning when a condition that calls for a person has just become true, or true for another reason.
fn alarm(view: &View<'_>, step: &Step, about: ConditionType, status: &KvClusterStatus) -> Option<Event> {
    let is = |c: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        c.type_ == about.as_str() && c.status == Truth::True.as_str()
    };
    let now = status.conditions.iter().find(is)?;
    let before = view.seen.status.conditions.iter().find(is);
    if before.is_some_and(|before| before.reason == now.reason && before.message == now.message) {
        return None;
    }
    let blocked = conditions::blocked(view, step).filter(|(_, why)| why.as_str() == now.reason);
    let reason = match blocked {
        Some((_, why)) => why.as_str(),
        None if about == ConditionType::QuorumLost => "QuorumLost",
        None => conditions::AUTHORITY_LOST,
    };
    Some(Event {
        severity: Severity::Warning,
        reason,
        action: "Observe",
        note: now.message.clone(),
        slot: blocked.map(|(slot, _)| slot),
    })
}

/// What a step does, or why nothing is done, in a sentence.
pub(crate) fn sentence(cluster: &Cluster, step: &Step) -> String {
    let member = |slot: &Slot| cluster.name.member(*slot);
    match step {
        Step::PersistIntent(Intent::ClusterId(id)) => format!("the cluster's id is {id}"),
        Step::PersistIntent(Intent::Bootstrap { slot, phase, .. }) => match phase {
            BootstrapPhase::Intended => format!("the cluster will begin at {}", member(slot)),
            BootstrapPhase::Completed => format!("the cluster began at {}", member(slot)),
        },
        Step::Bootstrap { slot, .. } => format!("beginning the cluster at {}", member(slot)),
        Step::AddLearner { name, id, .. } => format!("adding {name} ({id}) as a learner"),
        Step::Promote { name, id } => format!("promoting {name} ({id}) to a voter"),
        Step::Remove { name, id, .. } => format!("removing {name} ({id}) from the membership"),
        Step::TransferLeader { name, .. } => format!("handing leadership to {name}"),
        Step::RestartPod { slot, .. } => format!("restarting {} to take the new pod template", member(slot)),
        Step::Discard { slot, .. } => format!("clearing away what is left of {}, which is no member", member(slot)),
        Step::Wait(reason) => waiting(cluster, reason),
    }
}

fn waiting(cluster: &Cluster, reason: &Reason) -> String {
    match reason {
        Reason::Settled => "nothing is left to do".to_owned(),
        Reason::Starting(slots) => {
            let names: Vec<_> = slots.iter().map(|slot| cluster.name.member(*slot)).collect();
            format!("waiting for {} to answer", names.join(", "))
        }
        Reason::Recovering(slots) => {
            let names: Vec<_> = slots.iter().map(|slot| cluster.name.member(*slot)).collect();
            format!("waiting for {} to become healthy", names.join(", "))
        }
        Reason::NoLeader => "waiting for a leader that serves linearizable reads".to_owned(),
        Reason::QuorumLost => "too few voters answer to serve; nothing is done that could lose data".to_owned(),
        Reason::CatchingUp { name } => format!("waiting for {name} to catch up"),
        Reason::VolumeLeaving(slot) => {
            format!("waiting until the volume {} is gone", cluster.name.claim(*slot))
        }
        Reason::Held { wanted, gate, on } => {
            let verb = match wanted {
                Wanted::Promote { name } => format!("{name} is not promoted"),
                Wanted::Remove { name } => format!("{name} is not removed"),
                Wanted::Restart { name } => format!("{name} is not restarted"),
            };
            let because = on
                .as_ref()
                .map(|name| format!(" (waiting on {name})"))
                .unwrap_or_default();
            format!("{verb} until {}{because}", gate.as_str())
        }
        Reason::BootstrapBlocked { slot, why } | Reason::ActionRequired { slot, why } => blocked(cluster, *slot, *why),
    }
}

fn blocked(cluster: &Cluster, slot: Slot, why: Blocker) -> String {
    let (name, claim) = (cluster.name.member(slot), cluster.name.claim(slot));
    match why {
        Blocker::IdentityMissing => format!(
            "{name} refuses to start: its disk is empty, though it is a member; give volume {claim} its data back{}",
            if slot == bootstrap::FIRST {
                ""
            } else {
                ", or scale the cluster down past this member and up again"
            }
        ),
        Blocker::IdentityMismatch => format!(
            "{name} refuses to start: volume {claim} holds the data of another member or cluster; give it its own volume back, or move this one away"
        ),
        Blocker::ForeignVolume => format!(
            "volume {claim} was not made for this cluster, so it is not touched; move it away so that {name} gets a new one"
        ),
    }
}

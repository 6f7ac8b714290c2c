//! When a pod may be restarted to take a new template, and which named gate says no.
//!
//! A pod is outdated when the hash of the template that it was made from is not the hash of the template that we render.
//! Order: dead, not ready, learners, followers, and the leader last, after it handed over. What is already broken is
//! restarted with few questions, since nothing is lost by it and the new template may be the cure; a healthy voter only
//! when every gate says yes. So a bad template stops at the first member that it breaks.
//!
//! *Caveat.* A cluster of one has no redundancy to keep: its member restarts when all else is well, and is away meanwhile.

use crate::names::Slot;
use crate::observed::{Member, PodSeen, Role};
use crate::step::{Reason, Step, Wanted};
use crate::verdict::Verdict;
use crate::view::{Health, View, quorum};
use k8s_openapi::jiff::SignedDuration;
use serde::Serialize;
use std::collections::BTreeMap;

/// How long every voter's pod must have been ready before the next healthy one is restarted, in seconds: three periods of
/// the readiness probe, so that a member that dies at once is noticed.
const SOAK_SECONDS: i64 = 3;

/// What must hold before a step that could hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// The StatefulSet carries the new template, and its controller has seen it.
    TemplateSettled,
    /// A leader is known and serves linearizable reads.
    LeaderServes,
    /// Every voter answers, serves a linearizable read and is ready.
    VotersHealthy,
    /// Every voter's log is close to the leader's.
    CaughtUp,
    /// Every voter's pod has been ready for a while.
    Soaked,
    /// A quorum of healthy, caught-up voters remains without the target.
    QuorumWithoutTarget,
    /// A quorum of healthy, caught-up voters exists with the target as a voter.
    QuorumWithTarget,
    /// There is a healthy, caught-up voter to hand leadership to.
    Successor,
}

impl Gate {
    /// In words, after "it waits until …".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TemplateSettled => "the StatefulSet controller has seen the new template",
            Self::LeaderServes => "a leader serves linearizable reads",
            Self::VotersHealthy => "every voter is healthy",
            Self::CaughtUp => "every voter has caught up",
            Self::Soaked => "every voter has been ready for a while",
            Self::QuorumWithoutTarget => "a quorum of healthy voters remains without it",
            Self::QuorumWithTarget => "a quorum of healthy voters exists with it",
            Self::Successor => "there is a healthy voter to hand leadership to",
        }
    }
}

/// What a pod means to the cluster; the order is that of restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// It neither runs nor answers, or is no member.
    Dead,
    /// It is a voter and is not healthy, but may well vote.
    NotReady,
    /// It does not vote.
    Learner,
    /// It is a healthy voter.
    Follower,
    /// It leads.
    Leader,
}

/// A gate that said no.
struct No {
    gate: Gate,
    on: Option<String>,
}

/// Template hashes that the slots shall run.
pub(crate) type Templates = BTreeMap<Slot, String>;

/// Slots whose pod runs another template than it shall.
pub(crate) fn outdated(view: &View<'_>, templates: &Templates) -> Vec<Slot> {
    let old = |(slot, hash): (&Slot, &String)| {
        let pod = view.pod(*slot).filter(|pod| !pod.terminating)?;
        (pod.template_hash.as_ref() != Some(hash)).then_some(*slot)
    };
    templates.iter().filter_map(old).collect()
}

/// The next restart.
pub(crate) fn next(view: &View<'_>, templates: &Templates) -> Verdict {
    restart_first(view, templates, Class::Leader)
}

/// The next restart of something that is broken already; for when there is no leader to judge the rest by.
pub(crate) fn next_broken(view: &View<'_>, templates: &Templates) -> Verdict {
    restart_first(view, templates, Class::NotReady)
}

fn restart_first(view: &View<'_>, templates: &Templates, up_to: Class) -> Verdict {
    let classified = |slot: Slot| Some((class(view, slot)?, slot));
    let mut candidates: Vec<(Class, Slot)> = outdated(view, templates).into_iter().filter_map(classified).collect();
    // A leader is not even thought of while a follower is outdated, whatever holds the follower back.
    let followers = candidates.iter().any(|(class, _)| *class == Class::Follower);
    candidates.retain(|(class, _)| *class <= up_to && !(followers && *class == Class::Leader));
    candidates.sort();
    Verdict::first(
        candidates
            .into_iter()
            .map(|(class, slot)| restart(view, templates, class, slot)),
    )
}

fn class(view: &View<'_>, slot: Slot) -> Option<Class> {
    let pod = view.pod(slot)?;
    let running = pod.ready_since.is_some();
    Some(match view.member(slot) {
        None => {
            if running {
                Class::Learner
            } else {
                Class::Dead
            }
        }
        Some(member) if member.role == Role::Learner => {
            if running {
                Class::Learner
            } else {
                Class::Dead
            }
        }
        Some(member) => voter_class(view, member, running),
    })
}

fn voter_class(view: &View<'_>, member: &Member, running: bool) -> Class {
    match view.health(member) {
        Health::Healthy if view.is_leader(member.id) => Class::Leader,
        Health::Healthy => Class::Follower,
        Health::IdentityMissing | Health::IdentityMismatch => Class::Dead,
        // The kubelet may find it ready where we cannot reach it: then it may well vote.
        Health::Silent(_) | Health::Restarting if running => Class::NotReady,
        Health::Silent(_) | Health::Restarting => Class::Dead,
        Health::NotServing | Health::NotReady => Class::NotReady,
    }
}

fn restart(view: &View<'_>, templates: &Templates, class: Class, slot: Slot) -> Verdict {
    let Some(pod) = view.pod(slot) else {
        return Verdict::Nothing;
    };
    let name = view.cluster.name.member(slot);
    let leads = view.member(slot).is_some_and(|member| view.is_leader(member.id));
    match gates(view, templates, class, slot) {
        Err(No { gate, on }) => Verdict::Wait(Reason::Held {
            wanted: Wanted::Restart { name },
            gate,
            on,
        }),
        Ok(()) if leads && view.voter_count() > 1 => hand_over(view, templates, name),
        Ok(()) => Verdict::Act(step(class, slot, pod)),
    }
}

fn step(class: Class, slot: Slot, pod: &PodSeen) -> Step {
    let healthy = matches!(class, Class::Follower | Class::Leader);
    Step::RestartPod {
        slot,
        pod_uid: pod.uid.clone(),
        healthy,
    }
}

/// Leadership goes to a voter that runs the new template if there is one, so that it moves once.
fn hand_over(view: &View<'_>, templates: &Templates, name: String) -> Verdict {
    let outdated = outdated(view, templates);
    let successor = view
        .successor(|slot| !outdated.contains(&slot))
        .or_else(|| view.successor(|_| true));
    match (view.leader, successor) {
        (Some(leader), Some(next)) => Verdict::Act(Step::TransferLeader {
            from: leader.id,
            to: next.id,
            name: next.name.clone(),
        }),
        _ => Verdict::Wait(Reason::Held {
            wanted: Wanted::Restart { name },
            gate: Gate::Successor,
            on: None,
        }),
    }
}

/// All gates for one pod, in the order in which they are asked.
fn gates(view: &View<'_>, templates: &Templates, class: Class, slot: Slot) -> Result<(), No> {
    template_settled(view, templates, slot)?;
    let voter = view.member(slot).filter(|member| member.role == Role::Voter);
    match (class, voter) {
        (Class::Learner, _) | (_, None) => Ok(()),
        // Nothing serves, so nothing is lost; the new template may be the cure.
        (Class::Dead, Some(_)) if !view.authoritative() => Ok(()),
        (Class::Dead, Some(member)) => quorum_without(view, member),
        (Class::NotReady, Some(member)) => {
            leader_serves(view)?;
            quorum_without(view, member)
        }
        (Class::Follower | Class::Leader, Some(member)) => {
            leader_serves(view)?;
            voters_healthy(view)?;
            caught_up(view)?;
            soaked(view)?;
            if view.voter_count() > 1 {
                quorum_without(view, member)
            } else {
                Ok(())
            }
        }
    }
}

fn template_settled(view: &View<'_>, templates: &Templates, slot: Slot) -> Result<(), No> {
    let set = view.slot(slot).and_then(|seen| seen.statefulset.as_ref());
    let settled =
        set.is_some_and(|set| set.settled && !set.deleting && set.template_hash.as_ref() == templates.get(&slot));
    if settled {
        Ok(())
    } else {
        Err(No {
            gate: Gate::TemplateSettled,
            on: Some(view.cluster.name.member(slot)),
        })
    }
}

fn leader_serves(view: &View<'_>) -> Result<(), No> {
    if view.authoritative() {
        Ok(())
    } else {
        Err(No {
            gate: Gate::LeaderServes,
            on: None,
        })
    }
}

fn voters_healthy(view: &View<'_>) -> Result<(), No> {
    every_voter(view, Gate::VotersHealthy, |member| {
        view.health(member) == Health::Healthy
    })
}

fn caught_up(view: &View<'_>) -> Result<(), No> {
    every_voter(view, Gate::CaughtUp, |member| view.caught_up(member.id))
}

fn soaked(view: &View<'_>) -> Result<(), No> {
    let soak = SignedDuration::from_secs(SOAK_SECONDS);
    every_voter(view, Gate::Soaked, |member| {
        let ready = view.slot_of(member).and_then(|slot| view.pod(slot)?.ready_since);
        ready.is_some_and(|since| view.seen.now.duration_since(since) >= soak)
    })
}

fn every_voter(view: &View<'_>, gate: Gate, holds: impl Fn(&Member) -> bool) -> Result<(), No> {
    match view.voters().find(|member| !holds(member)) {
        Some(member) => Err(No {
            gate,
            on: Some(member.name.clone()),
        }),
        None => Ok(()),
    }
}

fn quorum_without(view: &View<'_>, member: &Member) -> Result<(), No> {
    let enough = view.sound_voters_without(Some(member.id)) >= quorum(view.voter_count());
    if enough {
        Ok(())
    } else {
        Err(No {
            gate: Gate::QuorumWithoutTarget,
            on: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{NodeState, Observed};
    use crate::testing::{mk_cluster, mk_world};
    use test_case::test_case;

    const NEW: &str = "1111111111111111";

    /// What the rollout says of a world in which all pods are to run `NEW`, in one word or two.
    fn verdict(voters: i32, mut world: Observed) -> String {
        for seen in world.slots.values_mut() {
            if let Some(set) = seen
                .statefulset
                .as_mut()
                .filter(|set| set.template_hash.as_deref() == Some(crate::testing::OLD))
            {
                set.template_hash = Some(NEW.to_owned());
            }
        }
        let cluster = mk_cluster(voters);
        let templates: Templates = world.slots.keys().map(|slot| (*slot, NEW.to_owned())).collect();
        let view = View::new(&cluster, &world);
        match next(&view, &templates) {
            Verdict::Act(Step::RestartPod { slot, healthy, .. }) => format!("restart {slot} healthy={healthy}"),
            Verdict::Act(Step::TransferLeader { name, .. }) => format!("transfer to {name}"),
            Verdict::Wait(Reason::Held { gate, on, .. }) => format!("{gate:?} {}", on.unwrap_or_default()),
            other => format!("{other:?}"),
        }
    }

    fn unsettled(mut world: Observed, slot: u32) -> Observed {
        world.slot_mut(slot).statefulset.as_mut().unwrap().settled = false;
        world
    }

    fn without_progress(mut world: Observed) -> Observed {
        world.progress = None;
        world
    }

    // Healthy: followers in order, the leader last.
    #[test_case(3, mk_world(3), "restart 1 healthy=true"; "a follower first")]
    #[test_case(3, mk_world(3).current(1, NEW), "restart 2 healthy=true"; "then the next")]
    #[test_case(3, mk_world(3).current(1, NEW).current(2, NEW), "transfer to demo-1"; "the leader hands over")]
    #[test_case(3, mk_world(3).led_by(1).current(1, NEW).current(2, NEW), "restart 0 healthy=true"; "and follows")]
    #[test_case(3, mk_world(3).current(0, NEW).current(1, NEW).current(2, NEW), "Nothing"; "all current")]
    #[test_case(1, mk_world(1), "restart 0 healthy=true"; "a cluster of one has nothing to hand over")]
    // Gates, each by its name.
    #[test_case(3, unsettled(mk_world(3), 1).current(2, NEW), "TemplateSettled demo-1"; "the controller has not seen the template")]
    #[test_case(3, mk_world(3).unserving(0), "LeaderServes "; "the leader does not serve")]
    #[test_case(3, mk_world(3).state(0, NodeState::Follower), "LeaderServes "; "nobody leads")]
    #[test_case(3, mk_world(3).current(2, NEW).dead(2), "VotersHealthy demo-2"; "another is down on the new template")]
    #[test_case(3, mk_world(3).current(2, NEW).silent(2), "VotersHealthy demo-2"; "another is ready but silent")]
    #[test_case(3, mk_world(3).current(2, NEW).terminating(2), "VotersHealthy demo-2"; "another is still going down")]
    #[test_case(3, mk_world(3).current(2, NEW).state(2, NodeState::IdentityMissing), "VotersHealthy demo-2"; "another lost its disk")]
    #[test_case(3, mk_world(3).lagging(2), "CaughtUp demo-2"; "another is behind")]
    #[test_case(3, without_progress(mk_world(3)), "CaughtUp demo-1"; "nobody could tell who is behind")]
    #[test_case(3, mk_world(3).current(2, NEW).ready_for(2, 1), "Soaked demo-2"; "another has just come back")]
    #[test_case(3, mk_world(2), "QuorumWithoutTarget "; "two voters cannot spare one")]
    // The broken go first, and with fewer questions.
    #[test_case(3, mk_world(3).dead(2), "restart 2 healthy=false"; "dead before healthy")]
    #[test_case(3, mk_world(3).dead(0).dead(1).dead(2), "restart 0 healthy=false"; "all dead and nothing serves")]
    #[test_case(5, mk_world(5).unready(3).dead(4), "restart 4 healthy=false"; "dead before not ready")]
    #[test_case(3, mk_world(3).unready(2), "restart 2 healthy=false"; "not ready before healthy")]
    #[test_case(3, mk_world(3).unready(2).current(1, NEW).dead(1), "QuorumWithoutTarget "; "not ready but its vote may be needed")]
    #[test_case(3, mk_world(3).silent(2).unserving(0), "LeaderServes "; "silent but ready may well vote")]
    #[test_case(3, mk_world(3).role(2, Role::Learner), "restart 2 healthy=false"; "learners before followers")]
    fn gates(voters: i32, world: Observed, expected: &str) {
        assert_eq!(verdict(voters, world), expected);
    }
}

//! From what is wanted and what was seen to the objects and the one next step.
//!
//! What it is for: `plan(cluster, observed)` decides everything that the operator does. It is a total function over plain
//! values: no client, no clock, no dice, no order that depends on a hash; same inputs, same plan, byte for byte.
//!
//! What it must keep true (rules of design.md, section 4):
//!
//! 1. A member that could not be asked counts against quorum (`view`).
//! 2. No step loses a voter unless a quorum of healthy, caught-up voters remains without it (`membership`, `rollout`).
//!    The one exception is the restart of a cluster of one, which has no redundancy to lose.
//! 3. The broken go first, the leader last and only after it handed over (`rollout`, `membership`).
//! 4. Intent is in the status before the world is changed (`bootstrap`, `Step::PersistIntent`).
//! 5. Every destructive step names its target by id or uid, and says what the hands must read live before it (`step`).
//! 6. One sick member never stops a pass: silence is a value, and waiting is an answer.
//!
//! How it decides: at most one step per pass. First the cluster must exist (`bootstrap`). While no leader serves, only
//! what is dead may be restarted. With a leader: repair and change the membership (`membership`), then roll the pods
//! (`rollout`). Where one part must wait, a later one may act; the first reason to wait is the one reported.
//!
//! A worked example, three members from nothing: `PersistIntent(ClusterId)`; objects for all three slots at once, so that
//! pods and volumes come up together; `PersistIntent(Bootstrap, Intended)`; `Bootstrap`; `PersistIntent(Bootstrap,
//! Completed)`; `AddLearner` demo-1, `AddLearner` demo-2; `Promote` each once it has caught up; `Wait(Settled)`.
//!
//! What it deliberately does not do: remember anything. What must survive is in the cluster: status, ConfigMaps, and the
//! membership itself.

mod bootstrap;
pub mod cluster;
mod conditions;
mod events;
mod membership;
pub mod names;
pub mod objects;
pub mod observed;
pub mod rollout;
mod status;
pub mod step;
#[cfg(test)]
mod testing;
pub mod validate;
mod verdict;
mod view;

pub use cluster::{Cluster, Settings};
pub use objects::Objects;
pub use observed::Observed;
pub use step::{Intent, Reason, Step};

use crate::names::Slot;
use crate::rollout::Templates;
use crate::validate::Refusal;
use crate::verdict::Verdict;
use crate::view::{Health, View};
use kvorum_crd::KvClusterStatus;
use serde::Serialize;
use std::time::Duration;

/// What one pass shall do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What shall exist; `None` as long as the cluster has no id, or when the spec was refused: then nothing is applied
    /// and nothing is an orphan.
    pub objects: Option<Objects>,
    /// The one thing to do, after the objects were applied.
    pub step: Step,
    /// When to look again, unless a watch says so earlier. Zero: at once.
    pub requeue_after: Duration,
    /// The status to write, if it differs from the one that is there.
    pub status: KvClusterStatus,
    /// What to tell, one per decision.
    pub events: Vec<Event>,
}

/// When to look again at a cluster that needs nothing: soon enough to notice lost quorum and a new leader, which no watch
/// tells of.
const SETTLED: Duration = Duration::from_secs(10);
/// When to look again while something is about to happen of which no watch tells.
const EXPECTING: Duration = Duration::from_millis(500);
/// When to look again while only a person, or time, can help.
const STUCK: Duration = Duration::from_secs(5);
/// When to look again at a spec that was refused: a change of it is watched, so this is only a fallback.
const REFUSED: Duration = Duration::from_secs(300);

/// Decides what to do about a cluster as it was seen. Total: there is no input for which it fails.
#[must_use]
pub fn plan(cluster: &Cluster, observed: &Observed) -> Plan {
    let view = View::new(cluster, observed);
    let mut objects = view.cluster_id.map(|id| objects::bundle(&view, id));
    let templates = objects.as_ref().map(templates).unwrap_or_default();
    let step = next(&view, &templates);
    if let (Step::Discard { slot, .. }, Some(objects)) = (&step, &mut objects) {
        objects.members.remove(slot);
    }
    let status = status::build(&view, objects.as_ref(), &templates, &step);
    let events = events::events(&view, &step, &status);
    Plan {
        objects,
        requeue_after: requeue_after(&step),
        step,
        status,
        events,
    }
}

/// The plan for a resource whose spec was refused: say so, touch nothing.
#[must_use]
pub fn refuse(generation: i64, refusal: &Refusal, observed: &Observed) -> Plan {
    let note = refusal.to_string();
    let status = status::refused(&observed.status, generation, &note, observed.now);
    let told = status.conditions == observed.status.conditions;
    let event = Event {
        severity: Severity::Warning,
        reason: "InvalidSpec",
        action: "Refuse",
        note,
        slot: None,
    };
    let events = if told { Vec::new() } else { vec![event] };
    Plan {
        objects: None,
        step: Step::Wait(Reason::Settled),
        requeue_after: REFUSED,
        status,
        events,
    }
}

fn templates(objects: &Objects) -> Templates {
    let hash = |(slot, member): (&Slot, &objects::MemberObjects)| {
        Some((*slot, objects::statefulset::template_hash(&member.statefulset)?.clone()))
    };
    objects.members.iter().filter_map(hash).collect()
}

fn next(view: &View<'_>, templates: &Templates) -> Step {
    let verdict = match bootstrap::next(view) {
        Some(Step::Wait(reason)) => Verdict::first([rollout::next_broken(view, templates), Verdict::Wait(reason)]),
        Some(step) => Verdict::Act(step),
        None if !view.authoritative() => {
            let why = if conditions::lost_quorum(view) {
                Reason::QuorumLost
            } else {
                Reason::NoLeader
            };
            Verdict::first([Verdict::Wait(why), rollout::next_broken(view, templates)])
        }
        None => Verdict::first([membership::next(view), rollout::next(view, templates), recovering(view)]),
    };
    match verdict {
        Verdict::Act(step) => step,
        Verdict::Wait(reason) => Step::Wait(reason),
        Verdict::Nothing => Step::Wait(Reason::Settled),
    }
}

/// The voters that are not healthy, when all else is done.
fn recovering(view: &View<'_>) -> Verdict {
    let sick = view.voters().filter(|member| view.health(member) != Health::Healthy);
    let slots: Vec<Slot> = sick.filter_map(|member| view.slot_of(member)).collect();
    if slots.is_empty() {
        Verdict::Nothing
    } else {
        Verdict::Wait(Reason::Recovering(slots))
    }
}

fn requeue_after(step: &Step) -> Duration {
    match step {
        Step::PersistIntent(_)
        | Step::Bootstrap { .. }
        | Step::AddLearner { .. }
        | Step::Promote { .. }
        | Step::Remove { .. }
        | Step::TransferLeader { .. }
        | Step::RestartPod { .. }
        | Step::Discard { .. } => Duration::ZERO,
        Step::Wait(reason) => match reason {
            Reason::Settled => SETTLED,
            Reason::Starting(_)
            | Reason::Recovering(_)
            | Reason::NoLeader
            | Reason::CatchingUp { .. }
            | Reason::Held { .. }
            | Reason::VolumeLeaving(_) => EXPECTING,
            Reason::QuorumLost | Reason::BootstrapBlocked { .. } | Reason::ActionRequired { .. } => STUCK,
        },
    }
}

/// An event on the `KvCluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Whether it is a warning.
    pub severity: Severity,
    /// CamelCase, one word.
    pub reason: &'static str,
    /// What the operator did: a verb.
    pub action: &'static str,
    /// A sentence.
    pub note: String,
    /// The slot whose pod it is about, if it is about one.
    pub slot: Option<Slot>,
}

/// Weight of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Severity {
    /// As planned.
    Normal,
    /// Something is wrong.
    Warning,
}

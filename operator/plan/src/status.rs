//! The status to write: ids, members, and the conditions of `conditions`.
//!
//! It must keep true: no number that moves by itself gets in, so that a cluster at rest is never written; a transition time
//! changes only when its condition does; what is remembered of a member that fell silent (its id, its version) is kept.

use crate::cluster::Cluster;
use crate::conditions::{Saying, sayings};
use crate::names::Slot;
use crate::objects::{Objects, selector};
use crate::observed::{Node, NodeState, Role};
use crate::rollout::Templates;
use crate::step::{Intent, Step};
use crate::view::{Health, View};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kvorum_crd::KvClusterStatus;
use kvorum_crd::conditions::{ConditionType, Truth};
use kvorum_crd::status::{Bootstrap, MemberRole, MemberStatus};

/// The whole status after a pass.
pub(crate) fn build(view: &View<'_>, objects: Option<&Objects>, templates: &Templates, step: &Step) -> KvClusterStatus {
    let cluster = view.cluster;
    let old = &view.seen.status;
    let members = members(view, objects);
    let ready = view
        .voters()
        .filter(|member| view.health(member) == Health::Healthy)
        .count();
    let sayings = sayings(view, objects, templates, step);
    let mut status = KvClusterStatus {
        observed_generation: Some(cluster.generation),
        cluster_id: old.cluster_id.clone(),
        bootstrap: old.bootstrap.clone(),
        conditions: conditions(&old.conditions, sayings, cluster.generation, view.seen.now),
        replicas: i32::try_from(view.members.len()).unwrap_or(i32::MAX),
        ready_members: i32::try_from(ready).unwrap_or(i32::MAX),
        summary: Some(format!("{ready}/{}", cluster.replicas.get())),
        leader: view.leader.map(|leader| cluster.name.member(leader.slot)),
        version: lowest_version(&members),
        selector: Some(selector_text(cluster)),
        members,
    };
    if let Step::PersistIntent(intent) = step {
        persist(cluster, &mut status, intent);
    }
    status
}

/// The status of a resource whose spec was refused: as it was, but saying so.
pub(crate) fn refused(old: &KvClusterStatus, generation: i64, sentence: &str, now: Timestamp) -> KvClusterStatus {
    let sayings = vec![
        Saying::new(ConditionType::Ready, Truth::False, "InvalidSpec", sentence),
        Saying::new(ConditionType::ActionRequired, Truth::True, "InvalidSpec", sentence),
    ];
    let mut status = old.clone();
    status.observed_generation = Some(generation);
    let untouched = old
        .conditions
        .iter()
        .filter(|c| !["Ready", "ActionRequired"].contains(&c.type_.as_str()))
        .cloned();
    status.conditions = conditions(&old.conditions, sayings, generation, now)
        .into_iter()
        .chain(untouched)
        .collect();
    status
}

fn persist(cluster: &Cluster, status: &mut KvClusterStatus, intent: &Intent) {
    match intent {
        Intent::ClusterId(id) => status.cluster_id = Some(id.to_string()),
        Intent::Bootstrap { slot, member_id, phase } => {
            let (member_name, member_id) = (cluster.name.member(*slot), member_id.to_string());
            status.bootstrap = Some(Bootstrap {
                member_name,
                member_id,
                phase: *phase,
            });
        }
    }
}

/// Conditions with the times of those that did not change kept.
fn conditions(old: &[Condition], sayings: Vec<Saying>, generation: i64, now: Timestamp) -> Vec<Condition> {
    let condition = |saying: Saying| {
        let same = old
            .iter()
            .find(|c| c.type_ == saying.about.as_str() && c.status == saying.truth.as_str());
        Condition {
            type_: saying.about.as_str().to_owned(),
            status: saying.truth.as_str().to_owned(),
            reason: saying.reason.to_owned(),
            message: saying.message,
            observed_generation: Some(generation),
            last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
        }
    };
    sayings.into_iter().map(condition).collect()
}

/// The members that are and those on their way, in order of slots.
fn members(view: &View<'_>, objects: Option<&Objects>) -> Vec<MemberStatus> {
    let bundled = |slot: &Slot| objects.is_some_and(|objects| objects.members.contains_key(slot));
    let listed = |slot: &Slot| bundled(slot) || view.member(*slot).is_some() || view.cluster.replicas.wants(*slot);
    view.slots()
        .into_iter()
        .filter(listed)
        .map(|slot| member(view, slot))
        .collect()
}

fn member(view: &View<'_>, slot: Slot) -> MemberStatus {
    let name = view.cluster.name.member(slot);
    let old = view.seen.status.members.iter().find(|member| member.name == name);
    let version = view.answer(slot).map(|answer| answer.version.clone());
    let entry = view.member(slot);
    let health = entry.map(|member| view.health(member));
    let role = match entry.map(|member| member.role) {
        Some(Role::Voter) => MemberRole::Voter,
        Some(Role::Learner) => MemberRole::Learner,
        None if view.cluster.replicas.wants(slot) => MemberRole::Joining,
        None => MemberRole::Removed,
    };
    let reason = match health {
        Some(Health::Healthy) if role == MemberRole::Learner => Some("CatchingUp"),
        Some(health) => health.reason(),
        None => Some(joining_reason(view, slot)),
    };
    let trouble = view.pod(slot).and_then(|pod| pod.trouble.clone());
    let identity = matches!(health, Some(Health::IdentityMissing | Health::IdentityMismatch));
    let healthy = health == Some(Health::Healthy);
    // A learner serves no client, however healthy it is.
    let ready = healthy && role == MemberRole::Voter;
    MemberStatus {
        id: entry
            .map(|member| member.id.to_string())
            .or_else(|| drawn_id(view, slot, old)),
        role,
        version: version.or_else(|| old.and_then(|member| member.version.clone())),
        ready,
        // The kubelet's word says more than ours, unless the node itself said what is wrong.
        reason: if healthy || identity {
            reason.map(str::to_owned)
        } else {
            trouble.or_else(|| reason.map(str::to_owned))
        },
        name,
    }
}

fn joining_reason(view: &View<'_>, slot: Slot) -> &'static str {
    match view.answer(slot) {
        Some(answer) => answer.state.as_str(),
        None => "Starting",
    }
}

/// The id that the node of a slot drew, which is no member yet: as it says, or as it said before it fell silent.
fn drawn_id(view: &View<'_>, slot: Slot, old: Option<&MemberStatus>) -> Option<String> {
    let seen = view.slot(slot)?;
    match &seen.node {
        Node::Answered(answer) => (answer.state == NodeState::Waiting).then(|| answer.member_id.to_string()),
        Node::Silent(_) => {
            seen.claim.as_ref().filter(|claim| !claim.deleting)?;
            old.filter(|member| member.role == MemberRole::Joining)?.id.clone()
        }
    }
}

fn lowest_version(members: &[MemberStatus]) -> Option<String> {
    let numbers = |version: &&String| {
        version
            .split(['.', '-'])
            .map(|n| n.parse().unwrap_or(0))
            .collect::<Vec<u64>>()
    };
    let joined = members
        .iter()
        .filter(|member| matches!(member.role, MemberRole::Voter | MemberRole::Learner));
    joined
        .filter_map(|member| member.version.as_ref())
        .min_by_key(numbers)
        .cloned()
}

fn selector_text(cluster: &Cluster) -> String {
    selector(cluster)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

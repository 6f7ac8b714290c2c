//! Status and conditions, from what was seen and what was decided.
//!
//! It must keep true: status says what was seen and why we wait, never what we hope; what is unknown is said to be unknown;
//! a transition time changes only when the condition does; no number that moves by itself gets in, so a cluster at rest is
//! never written.

use crate::cluster::Cluster;
use crate::names::Slot;
use crate::objects::{Action, Objects, selector};
use crate::observed::{Node, NodeState, Role};
use crate::rollout::{self, Templates};
use crate::step::{Intent, Reason, Step};
use crate::view::{Health, View, quorum};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kvorum_crd::KvClusterStatus;
use kvorum_crd::conditions::{ConditionType, Truth};
use kvorum_crd::status::{Bootstrap, MemberRole, MemberStatus};

/// What one condition says.
pub(crate) struct Saying {
    about: ConditionType,
    truth: Truth,
    reason: &'static str,
    message: String,
}

impl Saying {
    fn new(about: ConditionType, truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            about,
            truth,
            reason,
            message: message.into(),
        }
    }
}

/// The whole status after a pass.
pub(crate) fn status(
    view: &View<'_>,
    objects: Option<&Objects>,
    templates: &Templates,
    step: &Step,
) -> KvClusterStatus {
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

fn sayings(view: &View<'_>, objects: Option<&Objects>, templates: &Templates, step: &Step) -> Vec<Saying> {
    let parts = [
        available(view),
        fully_replicated(view),
        progressing(view, step),
        degraded(view),
        up_to_date(view, templates),
        tls_ready(view, objects),
        quorum_lost(view),
        action_required(view, step),
    ];
    let mut sayings = vec![ready(&parts)];
    sayings.extend(parts);
    sayings
}

/// The summary: the first of its parts that does not hold gives the reason.
fn ready(parts: &[Saying]) -> Saying {
    let find = |about| parts.iter().find(|part| part.about == about);
    let good = [
        ConditionType::Available,
        ConditionType::FullyReplicated,
        ConditionType::TlsReady,
    ];
    let lost = find(ConditionType::QuorumLost).filter(|part| part.truth == Truth::True);
    let blocked = find(ConditionType::ActionRequired).filter(|part| part.truth == Truth::True);
    let missing = good.into_iter().filter_map(find).find(|part| part.truth != Truth::True);
    match blocked.or(lost).or(missing) {
        Some(part) => Saying::new(ConditionType::Ready, Truth::False, part.reason, part.message.clone()),
        None => Saying::new(
            ConditionType::Ready,
            Truth::True,
            "Ready",
            "every wanted member votes and is healthy",
        ),
    }
}

fn available(view: &View<'_>) -> Saying {
    let about = ConditionType::Available;
    let serving = view
        .voters()
        .filter_map(|member| view.answer(view.slot_of(member)?))
        .any(|a| a.linearizable_read);
    if !view.completed() {
        Saying::new(about, Truth::False, "Bootstrapping", "the cluster does not exist yet")
    } else if serving {
        Saying::new(about, Truth::True, "Serving", "linearizable reads are served")
    } else if view
        .voters()
        .all(|member| matches!(view.health(member), Health::Silent(_) | Health::Restarting))
    {
        Saying::new(about, Truth::Unknown, "Silent", "no voter answers the operator")
    } else {
        Saying::new(about, Truth::False, "NotServing", "no voter served a linearizable read")
    }
}

fn fully_replicated(view: &View<'_>) -> Saying {
    let about = ConditionType::FullyReplicated;
    let wanted = |slot: Slot| view.member(slot).is_some_and(|member| member.role == Role::Voter);
    let missing: Vec<Slot> = view.cluster.replicas.slots().filter(|slot| !wanted(*slot)).collect();
    let surplus = view.members.len() + missing.len() > view.cluster.replicas.get() as usize;
    let sick = sick_voters(view);
    if !view.completed() {
        Saying::new(about, Truth::False, "Bootstrapping", "the cluster does not exist yet")
    } else if !missing.is_empty() {
        Saying::new(
            about,
            Truth::False,
            "Scaling",
            format!("not voting yet: {}", names(view.cluster, &missing)),
        )
    } else if surplus {
        Saying::new(
            about,
            Truth::False,
            "Scaling",
            "there are members that are not wanted any more",
        )
    } else if sick.is_empty() {
        Saying::new(
            about,
            Truth::True,
            "FullyReplicated",
            "exactly the wanted members vote, and all are healthy",
        )
    } else {
        Saying::new(about, Truth::False, "MembersUnhealthy", describe(&sick))
    }
}

fn progressing(view: &View<'_>, step: &Step) -> Saying {
    let about = ConditionType::Progressing;
    let sentence = crate::events::sentence(view.cluster, step);
    let (truth, reason) = match step {
        Step::PersistIntent(_) | Step::Bootstrap { .. } => (Truth::True, "Bootstrapping"),
        Step::AddLearner { .. } => (Truth::True, "AddingMember"),
        Step::Promote { .. } => (Truth::True, "PromotingMember"),
        Step::Remove { .. } => (Truth::True, "RemovingMember"),
        Step::TransferLeader { .. } => (Truth::True, "TransferringLeadership"),
        Step::RestartPod { .. } => (Truth::True, "RestartingMember"),
        Step::Discard { .. } => (Truth::True, "DiscardingMember"),
        Step::Wait(waiting) => match waiting {
            Reason::Settled => (Truth::False, "Settled"),
            Reason::Starting(_) => (Truth::True, "Starting"),
            Reason::Recovering(_) => (Truth::True, "Recovering"),
            Reason::CatchingUp { .. } => (Truth::True, "CatchingUp"),
            Reason::VolumeLeaving(_) => (Truth::True, "VolumeLeaving"),
            Reason::Held { .. } => (Truth::True, "Held"),
            Reason::NoLeader => (Truth::True, "NoLeader"),
            Reason::QuorumLost => (Truth::False, "QuorumLost"),
            Reason::BootstrapBlocked { why, .. } | Reason::ActionRequired { why, .. } => (Truth::False, why.as_str()),
        },
    };
    Saying::new(about, truth, reason, sentence)
}

fn degraded(view: &View<'_>) -> Saying {
    let about = ConditionType::Degraded;
    let sick = sick_voters(view);
    let broken = sick
        .iter()
        .find(|(_, health)| matches!(health, Health::IdentityMissing | Health::IdentityMismatch));
    match (broken, sick.first()) {
        (Some((_, health)), _) => Saying::new(
            about,
            Truth::True,
            health.reason().unwrap_or("MembersUnhealthy"),
            describe(&sick),
        ),
        (None, Some(_)) => Saying::new(about, Truth::True, "MembersUnhealthy", describe(&sick)),
        (None, None) => Saying::new(about, Truth::False, "Healthy", "every voter is healthy"),
    }
}

fn up_to_date(view: &View<'_>, templates: &Templates) -> Saying {
    let about = ConditionType::UpToDate;
    let old = rollout::outdated(view, templates);
    if old.is_empty() {
        Saying::new(about, Truth::True, "UpToDate", "every pod runs what the spec says")
    } else {
        let message = format!("on an older pod template: {}", names(view.cluster, &old));
        Saying::new(about, Truth::False, "TemplateOutdated", message)
    }
}

fn tls_ready(view: &View<'_>, objects: Option<&Objects>) -> Saying {
    let about = ConditionType::TlsReady;
    let Some(objects) = objects else {
        return Saying::new(about, Truth::False, "Issuing", "certificates are not made yet");
    };
    let leaves = objects.leaves.iter().map(|leaf| leaf.action);
    if leaves
        .chain(objects.authorities.iter().map(|a| a.action))
        .any(|action| action != Action::Keep)
    {
        return Saying::new(about, Truth::False, "Issuing", "certificates are being made");
    }
    let ends = view.seen.certificates.leaves.values().map(|leaf| leaf.not_after).min();
    let message = ends.map_or_else(
        || "there are no certificates".to_owned(),
        |end| {
            format!(
                "certificates are valid until {} and are renewed before",
                end.strftime("%Y-%m-%d")
            )
        },
    );
    Saying::new(about, Truth::True, "Valid", message)
}

fn quorum_lost(view: &View<'_>) -> Saying {
    let about = ConditionType::QuorumLost;
    if lost_quorum(view) {
        let message = format!(
            "{} of {} voters answer as themselves",
            able_voters(view),
            view.voter_count()
        );
        Saying::new(about, Truth::True, "TooFewVoters", message)
    } else {
        Saying::new(about, Truth::False, "QuorumKept", "enough voters are left to serve")
    }
}

/// Whether too few voters are left: none serves, and fewer than a quorum answer as who they are.
pub(crate) fn lost_quorum(view: &View<'_>) -> bool {
    view.completed() && !view.authoritative() && able_voters(view) < quorum(view.voter_count())
}

fn able_voters(view: &View<'_>) -> usize {
    let able = |health| matches!(health, Health::Healthy | Health::NotServing | Health::NotReady);
    view.voters().filter(|member| able(view.health(member))).count()
}

fn action_required(view: &View<'_>, step: &Step) -> Saying {
    let about = ConditionType::ActionRequired;
    let sentence = |reason: &Reason| crate::events::sentence(view.cluster, &Step::Wait(reason.clone()));
    if let Step::Wait(reason @ (Reason::ActionRequired { why, .. } | Reason::BootstrapBlocked { why, .. })) = step {
        return Saying::new(about, Truth::True, why.as_str(), sentence(reason));
    }
    match broken_voter(view) {
        Some((reason, why)) => Saying::new(about, Truth::True, why, sentence(&reason)),
        None => Saying::new(about, Truth::False, "NothingToDo", "the operator needs no help"),
    }
}

/// The first voter whose disk is not its own any more, whatever else the pass is about.
fn broken_voter(view: &View<'_>) -> Option<(Reason, &'static str)> {
    use crate::step::Blocker;
    view.voters().find_map(|member| {
        let why = match view.health(member) {
            Health::IdentityMissing => Blocker::IdentityMissing,
            Health::IdentityMismatch => Blocker::IdentityMismatch,
            Health::Healthy | Health::Restarting | Health::Silent(_) | Health::NotServing | Health::NotReady => {
                return None;
            }
        };
        let slot = view.slot_of(member)?;
        Some((Reason::ActionRequired { slot, why }, why.as_str()))
    })
}

fn sick_voters(view: &View<'_>) -> Vec<(String, Health)> {
    let sick = view.voters().map(|member| (member.name.clone(), view.health(member)));
    let mut sick: Vec<_> = sick.filter(|(_, health)| *health != Health::Healthy).collect();
    sick.sort_by(|a, b| a.0.cmp(&b.0));
    sick
}

fn describe(sick: &[(String, Health)]) -> String {
    let words = sick
        .iter()
        .map(|(name, health)| format!("{name}: {}", health.reason().unwrap_or("Healthy")));
    words.collect::<Vec<_>>().join(", ")
}

fn names(cluster: &Cluster, slots: &[Slot]) -> String {
    slots
        .iter()
        .map(|slot| cluster.name.member(*slot))
        .collect::<Vec<_>>()
        .join(", ")
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
        Some(health) => health.reason(),
        None => Some(joining_reason(view, slot)),
    };
    let trouble = view.pod(slot).and_then(|pod| pod.trouble.clone());
    let identity = matches!(health, Some(Health::IdentityMissing | Health::IdentityMismatch));
    MemberStatus {
        id: entry
            .map(|member| member.id.to_string())
            .or_else(|| drawn_id(view, slot, old)),
        role,
        version: version.or_else(|| old.and_then(|member| member.version.clone())),
        ready: health == Some(Health::Healthy),
        // The kubelet's word says more than ours, unless the node itself said what is wrong.
        reason: if health == Some(Health::Healthy) || identity {
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

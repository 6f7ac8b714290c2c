//! What the conditions say, from what was seen and what was decided.
//!
//! It must keep true: a condition says what was seen and why we wait, never what we hope; what is unknown is said to be
//! unknown; no message holds a number that moves by itself.
//!
//! What `Ready` means follows the convention of Kubernetes: the cluster is as its spec wants it, and nothing is left to do.
//! So it is not true while pods are rolled or members come and go, though clients are served all the while, as `Available`
//! says; `Progressing` says what is being done about it. Who waits for a change waits for `Ready=True` with the generation
//! of the spec in `observedGeneration`.

use crate::cluster::Cluster;
use crate::names::Slot;
use crate::objects::certificates::lost;
use crate::objects::{Action, Objects};
use crate::observed::Role;
use crate::rollout::{self, Templates};
use crate::step::{Blocker, Reason, Step};
use crate::view::{Health, View, quorum};
use kvorum_crd::conditions::{ConditionType, Truth};

/// The reason when an authority's Secret is gone although members depend on it.
pub(crate) const AUTHORITY_LOST: &str = "AuthorityLost";

/// What one condition says.
pub(crate) struct Saying {
    pub(crate) about: ConditionType,
    pub(crate) truth: Truth,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Saying {
    pub(crate) fn new(about: ConditionType, truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            about,
            truth,
            reason,
            message: message.into(),
        }
    }
}

/// What all conditions say; the summary first.
pub(crate) fn sayings(view: &View<'_>, objects: Option<&Objects>, templates: &Templates, step: &Step) -> Vec<Saying> {
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
        ConditionType::UpToDate,
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
            "every wanted member votes, is healthy and runs what the spec says",
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
    if let Some(sentence) = lost_authorities(view) {
        return Saying::new(about, Truth::False, AUTHORITY_LOST, sentence);
    }
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
    let blocked = blocked(view, step);
    match (blocked, lost_authorities(view)) {
        (Some((slot, why)), _) => {
            let sentence = crate::events::sentence(view.cluster, &Step::Wait(Reason::ActionRequired { slot, why }));
            Saying::new(about, Truth::True, why.as_str(), sentence)
        }
        (None, Some(sentence)) => Saying::new(about, Truth::True, AUTHORITY_LOST, sentence),
        (None, None) => Saying::new(about, Truth::False, "NothingToDo", "the operator needs no help"),
    }
}

/// What a person must do about authorities that are gone although members depend on them, if there are any.
fn lost_authorities(view: &View<'_>) -> Option<String> {
    let lost = lost(view);
    let sentence = || {
        format!(
            "Secret {} is lost: restore it from a backup, or delete the Secrets {}-*-tls to have everything issued anew; clients must then load the new authority",
            lost.join(" and Secret "),
            view.cluster.name
        )
    };
    (!lost.is_empty()).then(sentence)
}

/// The slot at which a person must act, and why: what the step waits for, or else the first voter whose disk is not its
/// own any more, whatever else the pass is about.
pub(crate) fn blocked(view: &View<'_>, step: &Step) -> Option<(Slot, Blocker)> {
    if let Step::Wait(Reason::ActionRequired { slot, why } | Reason::BootstrapBlocked { slot, why }) = step {
        Some((*slot, *why))
    } else {
        broken_voter(view)
    }
}

fn broken_voter(view: &View<'_>) -> Option<(Slot, Blocker)> {
    view.voters().find_map(|member| {
        let why = match view.health(member) {
            Health::IdentityMissing => Blocker::IdentityMissing,
            Health::IdentityMismatch => Blocker::IdentityMismatch,
            Health::Healthy | Health::Restarting | Health::Silent(_) | Health::NotServing | Health::NotReady => {
                return None;
            }
        };
        Some((view.slot_of(member)?, why))
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

//! A toy world: an API server, StatefulSets, pods, disks, nodes and one Raft group, none of which knows the planner.
//!
//! It is crude where crudeness is harmless (one leader is chosen at once) and exact where the planner's safety hangs on
//! it: what is on a disk, who is in the membership, which template a pod was made from, what a stale reader sees.

use crate::dice::Dice;
use k8s_openapi::jiff::Timestamp;
use kvorum_crd::{KvCluster, KvClusterStatus};
use kvorum_plan::names::{ClusterId, MemberId, Slot};
use kvorum_plan::observed::{
    Answer, Certificates, ClaimSeen, Member, Node, NodeState, Observed, PodSeen, Progress, Role, Silence, SlotSeen,
    StatefulSetSeen,
};
use std::collections::{BTreeMap, BTreeSet};

/// What an empty disk becomes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) id: Option<MemberId>,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) known: Vec<Member>,
    pub(crate) index: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) uid: String,
    pub(crate) cluster: ClusterId,
    pub(crate) deleting: bool,
    /// Kept from an earlier resource of the same name.
    pub(crate) kept: bool,
    pub(crate) disk: Disk,
}

#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) uid: String,
    pub(crate) hash: String,
    /// The template that the controller has seen; new pods are made from it.
    pub(crate) seen_hash: String,
    pub(crate) deleting: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) hash: String,
    pub(crate) terminating: bool,
    /// Set once the process runs.
    pub(crate) process: Option<Process>,
    pub(crate) ready_since: Option<Timestamp>,
}

/// What a node decided when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Good,
    IdentityMissing,
    IdentityMismatch,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) set: Option<Set>,
    pub(crate) pod: Option<Pod>,
    pub(crate) claim: Option<Claim>,
    /// `member-id` of the slot's ConfigMap.
    pub(crate) config: Option<MemberId>,
}

/// The Raft group as it really is.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: ClusterId,
    pub(crate) members: Vec<Member>,
    pub(crate) leader: Option<MemberId>,
    pub(crate) term: u64,
    pub(crate) last_index: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) millis: i64,
    pub(crate) resource: KvCluster,
    /// resourceVersion of the resource.
    pub(crate) version: u64,
    pub(crate) places: BTreeMap<Slot, Place>,
    pub(crate) group: Option<Group>,
    pub(crate) certificates: Certificates,
    /// Templates whose pods never run.
    pub(crate) broken_templates: BTreeSet<String>,
    uids: u64,
}

impl World {
    pub(crate) fn new(resource: KvCluster) -> Self {
        Self {
            millis: 1_800_000_000_000,
            resource,
            version: 1,
            places: BTreeMap::new(),
            group: None,
            certificates: Certificates::default(),
            broken_templates: BTreeSet::new(),
            uids: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis).unwrap()
    }

    pub(crate) fn uid(&mut self) -> String {
        self.uids += 1;
        format!("uid-{}", self.uids)
    }

    pub(crate) fn status(&self) -> KvClusterStatus {
        self.resource.status.clone().unwrap_or_default()
    }

    /// Writes the status, if nobody wrote the resource since `version`.
    pub(crate) fn write_status(&mut self, version: u64, status: KvClusterStatus) -> bool {
        if version != self.version {
            return false;
        }
        if self.resource.status.as_ref() != Some(&status) {
            self.resource.status = Some(status);
            self.version += 1;
        }
        true
    }

    pub(crate) fn write_spec(&mut self, change: impl FnOnce(&mut KvCluster)) {
        change(&mut self.resource);
        *self.resource.metadata.generation.get_or_insert(1) += 1;
        self.version += 1;
    }

    /// The member id of the process that runs at a slot, if it runs as itself.
    pub(crate) fn running(&self, slot: Slot) -> Option<MemberId> {
        let place = self.places.get(&slot)?;
        let pod = place.pod.as_ref()?;
        (pod.process == Some(Process::Good)).then_some(place.claim.as_ref()?.disk.id)?
    }

    /// Members whose process runs on their own disk.
    pub(crate) fn alive(&self) -> BTreeSet<MemberId> {
        let running: BTreeSet<MemberId> = self.places.keys().filter_map(|slot| self.running(*slot)).collect();
        let members = self.group.iter().flat_map(|group| &group.members);
        members
            .map(|member| member.id)
            .filter(|id| running.contains(id))
            .collect()
    }

    /// Voters that run, and how many there must be.
    pub(crate) fn strength(&self) -> (usize, usize) {
        let Some(group) = &self.group else { return (0, 1) };
        let alive = self.alive();
        let voters: Vec<_> = group
            .members
            .iter()
            .filter(|member| member.role == Role::Voter)
            .collect();
        (
            voters.iter().filter(|member| alive.contains(&member.id)).count(),
            voters.len() / 2 + 1,
        )
    }

    pub(crate) fn has_quorum(&self) -> bool {
        let (alive, quorum) = self.strength();
        alive >= quorum
    }

    pub(crate) fn slot_of(&self, id: MemberId) -> Option<Slot> {
        self.places.keys().copied().find(|slot| self.running(*slot) == Some(id))
    }

    /// Lets some time pass: controllers, kubelets and nodes do what they do.
    pub(crate) fn pass_time(&mut self, dice: &mut Dice) {
        self.millis += 50 + i64::try_from(dice.below(1_500)).unwrap();
        let slots: Vec<Slot> = self.places.keys().copied().collect();
        for slot in &slots {
            self.controllers(*slot, dice);
        }
        self.consensus(dice);
        for slot in slots {
            self.probe(slot);
        }
    }

    fn controllers(&mut self, slot: Slot, dice: &mut Dice) {
        let uid = self.uid();
        let broken = self.broken_templates.clone();
        let mut place = self.places.remove(&slot).unwrap();
        finalize(&mut place, dice);
        if let Some(set) = place.set.as_mut().filter(|set| !set.deleting) {
            if dice.percent(70) {
                set.seen_hash.clone_from(&set.hash);
            }
            if place.pod.is_none() && place.claim.as_ref().is_some_and(|claim| !claim.deleting) && dice.percent(80) {
                let hash = set.seen_hash.clone();
                place.pod = Some(Pod {
                    uid,
                    hash,
                    terminating: false,
                    process: None,
                    ready_since: None,
                });
            }
        }
        let starts = place
            .pod
            .as_ref()
            .is_some_and(|pod| pod.process.is_none() && !broken.contains(&pod.hash));
        if starts && dice.percent(60) {
            start(&mut place, dice);
        }
        if place.set.is_some() || place.pod.is_some() || place.claim.is_some() {
            self.places.insert(slot, place);
        }
    }

    fn consensus(&mut self, dice: &mut Dice) {
        let alive = self.alive();
        let quorum = self.has_quorum();
        let Some(group) = &mut self.group else { return };
        if !quorum {
            group.leader = None;
            return;
        }
        let voters: Vec<_> = group
            .members
            .iter()
            .filter(|m| m.role == Role::Voter && alive.contains(&m.id))
            .collect();
        if group.leader.is_none_or(|leader| !voters.iter().any(|m| m.id == leader)) {
            group.leader = Some(voters[usize::try_from(dice.below(voters.len() as u64)).unwrap()].id);
            group.term += 1;
        }
        group.last_index += dice.below(3_000);
        let group = group.clone();
        for place in self.places.values_mut() {
            let Some(claim) = place
                .claim
                .as_mut()
                .filter(|c| c.disk.id.is_some_and(|id| alive.contains(&id)))
            else {
                continue;
            };
            // A member that was just added waits on until the leader reaches it.
            if claim.disk.cluster.is_none() && dice.percent(40) {
                continue;
            }
            claim.disk.cluster = Some(group.id);
            claim.disk.known.clone_from(&group.members);
            let leads = claim.disk.id == group.leader;
            let sent = if leads { group.last_index } else { dice.below(8_000) };
            claim.disk.index = (claim.disk.index + sent).min(group.last_index);
        }
    }

    fn probe(&mut self, slot: Slot) {
        let (now, ready) = (self.now(), self.is_ready(slot));
        let Some(pod) = self.places.get_mut(&slot).and_then(|place| place.pod.as_mut()) else {
            return;
        };
        pod.ready_since = ready.then(|| pod.ready_since.unwrap_or(now));
    }

    /// Only voters are ever ready: a learner lets no client in.
    fn is_ready(&self, slot: Slot) -> bool {
        let Some((group, id)) = self.group.as_ref().zip(self.running(slot)) else {
            return false;
        };
        let votes = group
            .members
            .iter()
            .any(|member| member.id == id && member.role == Role::Voter);
        votes && group.leader.is_some()
    }

    fn lag(&self, slot: Slot) -> Option<u64> {
        let disk = &self.places.get(&slot)?.claim.as_ref()?.disk;
        Some(self.group.as_ref()?.last_index - disk.index.min(self.group.as_ref()?.last_index))
    }

    /// The true lag of a member, in entries.
    pub(crate) fn member_lag(&self, id: MemberId) -> Option<u64> {
        self.lag(self.slot_of(id)?)
    }

    /// What an observer sees whose API server cache is `cached`; some nodes do not answer it.
    pub(crate) fn observe(&self, cached: &Self, seed: u64, silent: &BTreeSet<Slot>) -> Observed {
        let mut slots = BTreeMap::new();
        for (slot, place) in &cached.places {
            let mut seen = seen(place);
            if silent.contains(slot) {
                seen.node = Node::Silent(Silence::TimedOut);
            } else if let Some(answer) = self.answer(*slot) {
                seen.node = Node::Answered(answer);
            }
            slots.insert(*slot, seen);
        }
        let asked = |id: MemberId| self.slot_of(id).is_some_and(|slot| !silent.contains(&slot));
        let leader = self.group.as_ref().filter(|group| group.leader.is_some_and(asked));
        let progress = leader.map(|group| Progress {
            last_log_index: group.last_index,
            matched: group
                .members
                .iter()
                .filter_map(|m| Some((m.id, group.last_index - self.member_lag(m.id)?)))
                .collect(),
        });
        let certificates = self.certificates.clone();
        Observed {
            now: self.now(),
            seed,
            status: cached.status(),
            slots,
            progress,
            certificates,
        }
    }

    fn answer(&self, slot: Slot) -> Option<Answer> {
        let place = self.places.get(&slot)?;
        let process = place.pod.as_ref()?.process?;
        let disk = &place.claim.as_ref()?.disk;
        let group = self.group.as_ref().filter(|group| Some(group.id) == disk.cluster);
        let role = disk
            .known
            .iter()
            .find(|member| Some(member.id) == disk.id)
            .map(|member| member.role);
        let leads = group.is_some_and(|group| group.leader.is_some() && group.leader == disk.id);
        let state = match process {
            Process::IdentityMissing => NodeState::IdentityMissing,
            Process::IdentityMismatch => NodeState::IdentityMismatch,
            Process::Good if disk.cluster.is_none() => NodeState::Waiting,
            Process::Good if leads => NodeState::Leader,
            Process::Good if role == Some(Role::Learner) => NodeState::Learner,
            Process::Good => NodeState::Follower,
        };
        let member = group.is_some_and(|group| group.members.iter().any(|m| Some(m.id) == disk.id));
        Some(Answer {
            member_id: disk.id.unwrap_or(MemberId::new(0xdead).unwrap()),
            cluster_id: disk.cluster,
            state,
            reason: None,
            version: "0.1.0".to_owned(),
            term: group.map_or(0, |group| group.term),
            leader_id: group.and_then(|group| group.leader),
            members: disk.known.clone(),
            linearizable_read: process == Process::Good && member && group.is_some_and(|g| g.leader.is_some()),
            fingerprints: BTreeSet::new(),
        })
    }
}

/// What is being deleted goes, in the order in which Kubernetes lets it go.
fn finalize(place: &mut Place, dice: &mut Dice) {
    if place.set.as_ref().is_some_and(|set| set.deleting)
        && let Some(pod) = &mut place.pod
    {
        pod.terminating = true;
    }
    if place.pod.as_ref().is_some_and(|pod| pod.terminating) && dice.percent(60) {
        place.pod = None;
    }
    if place.pod.is_none() {
        place.set.take_if(|set| set.deleting);
        place.claim.take_if(|claim| claim.deleting);
    }
}

/// A node starts: it looks at its disk and at the identity it was given, and decides who it is.
fn start(place: &mut Place, dice: &mut Dice) {
    let (Some(pod), Some(claim)) = (&mut place.pod, &mut place.claim) else {
        return;
    };
    pod.process = Some(match (claim.disk.id, place.config) {
        (None, Some(_)) => Process::IdentityMissing,
        (None, None) => {
            claim.disk.id = MemberId::new(dice.number());
            Process::Good
        }
        (Some(own), Some(given)) if own != given => Process::IdentityMismatch,
        (Some(_), _) => Process::Good,
    });
}

fn seen(place: &Place) -> SlotSeen {
    SlotSeen {
        statefulset: place.set.as_ref().map(|set| StatefulSetSeen {
            uid: set.uid.clone(),
            template_hash: Some(set.hash.clone()),
            settled: set.hash == set.seen_hash,
            deleting: set.deleting,
        }),
        pod: place.pod.as_ref().map(|pod| PodSeen {
            uid: pod.uid.clone(),
            template_hash: Some(pod.hash.clone()),
            ready_since: pod.ready_since,
            terminating: pod.terminating,
            trouble: None,
            host: None,
        }),
        claim: place.claim.as_ref().map(|claim| ClaimSeen {
            uid: claim.uid.clone(),
            cluster_id: Some(claim.cluster),
            kept: claim.kept,
            deleting: claim.deleting,
            owned: false,
        }),
        node: Node::Silent(Silence::NotAsked),
    }
}

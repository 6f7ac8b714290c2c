//! The operator's hands in the toy world: they apply, act and write, and may die or lose an answer at every call.
//!
//! Like the real ones they read live state before what cannot be undone. Every act is checked against the truth of the
//! world: `check` holds the invariants, one sentence each.

use crate::dice::Dice;
use crate::world::{Claim, Disk, Group, Pod, Set, World};
use k8s_openapi::jiff::SignedDuration;
use kvorum_crd::status::{Bootstrap, BootstrapPhase};
use kvorum_plan::names::{ClusterId, MemberId, Slot};
use kvorum_plan::objects::{Action, Leaf, LeafKind, Objects};
use kvorum_plan::observed::{AuthoritySeen, LeafSeen, Member, Observed, Role};
use kvorum_plan::{Cluster, Plan, Settings, Step, plan};
use std::collections::BTreeSet;

/// The operator died here; the next pass starts from nothing.
pub(crate) struct Died;

/// One operator, with its cache.
pub(crate) struct Hands {
    /// How often, in a hundred, a call is its last.
    pub(crate) dies: u64,
    /// What its cache holds.
    pub(crate) cached: World,
    /// The run's seed, to be named when something is wrong.
    pub(crate) seed: u64,
    /// How many clusters were ever begun.
    pub(crate) begun: u32,
}

impl Hands {
    /// One pass; the plan it made.
    pub(crate) fn pass(&mut self, world: &mut World, dice: &mut Dice, silent: &BTreeSet<Slot>) -> Plan {
        let observed = world.observe(&self.cached, dice.number(), silent);
        let cluster = Cluster::parse(&self.cached.resource, &Settings::default()).unwrap();
        let plan = plan(&cluster, &observed);
        if dice.percent(1) {
            assert_eq!(
                plan,
                kvorum_plan::plan(&cluster, &observed),
                "the same inputs gave another plan"
            );
        }
        let _outcome = self.carry_out(world, dice, &cluster, &observed, &plan);
        plan
    }

    fn call(&self, dice: &mut Dice) -> Result<(), Died> {
        if dice.percent(self.dies) { Err(Died) } else { Ok(()) }
    }

    fn carry_out(
        &mut self,
        world: &mut World,
        dice: &mut Dice,
        cluster: &Cluster,
        observed: &Observed,
        plan: &Plan,
    ) -> Result<(), Died> {
        let version = self.cached.version;
        if let Some(objects) = &plan.objects {
            self.apply(world, dice, objects)?;
        }
        self.call(dice)?;
        let before = world.strength();
        self.act(world, dice, cluster, observed, &plan.step);
        check_strength(self.seed, world, before, observed, &plan.step);
        self.call(dice)?;
        world.write_status(version, plan.status.clone());
        self.call(dice)
    }

    fn apply(&self, world: &mut World, dice: &mut Dice, objects: &Objects) -> Result<(), Died> {
        for authority in &objects.authorities {
            if authority.action != Action::Keep {
                let fingerprint = world.uid();
                let not_after = world.now() + SignedDuration::from_hours(24 * i64::from(authority.days));
                let seen = AuthoritySeen {
                    cluster_id: Some(authority.cluster_id),
                    fingerprint,
                    not_after,
                };
                world.certificates.authorities.insert(authority.secret.clone(), seen);
                self.call(dice)?;
            }
        }
        for leaf in objects.leaves.iter().filter(|leaf| leaf.action != Action::Keep) {
            issue(world, leaf);
            self.call(dice)?;
        }
        for (slot, member) in &objects.members {
            let id = member
                .config
                .data
                .as_ref()
                .and_then(|data| data["member-id"].parse::<MemberId>().ok());
            let spec = member.statefulset.spec.as_ref().unwrap();
            let annotations = spec.template.metadata.as_ref().unwrap().annotations.as_ref().unwrap();
            self.apply_member(world, *slot, id, &annotations["kvorum.dev/template-hash"]);
            self.call(dice)?;
        }
        Ok(())
    }

    fn apply_member(&self, world: &mut World, slot: Slot, id: Option<MemberId>, hash: &str) {
        let (set_uid, claim_uid) = (world.uid(), world.uid());
        let cluster = world.status().cluster_id.unwrap().parse().unwrap();
        let place = world.places.entry(slot).or_default();
        place.config = id;
        match &mut place.set {
            Some(set) => hash.clone_into(&mut set.hash),
            None => {
                let (hash, seen_hash) = (hash.to_owned(), hash.to_owned());
                place.set = Some(Set {
                    uid: set_uid,
                    hash,
                    seen_hash,
                    deleting: false,
                });
            }
        }
        place.claim.get_or_insert(Claim {
            uid: claim_uid,
            cluster,
            deleting: false,
            kept: false,
            disk: Disk::default(),
        });
    }

    fn act(&mut self, world: &mut World, dice: &mut Dice, cluster: &Cluster, observed: &Observed, step: &Step) {
        match step {
            Step::PersistIntent(_) | Step::Wait(_) => {}
            Step::Bootstrap {
                slot,
                cluster_id,
                member_id,
            } => {
                let name = cluster.name.member(*slot);
                self.begun += u32::from(begin(world, *slot, name, *cluster_id, *member_id));
            }
            Step::AddLearner { id, name, .. } => change_members(world, |members| {
                if !members.iter().any(|member| member.id == *id) {
                    members.push(Member {
                        id: *id,
                        name: name.clone(),
                        role: Role::Learner,
                    });
                }
            }),
            Step::Promote { id, .. } => {
                check_promotion(world, *id);
                change_members(world, |members| {
                    members
                        .iter_mut()
                        .filter(|m| m.id == *id)
                        .for_each(|member| member.role = Role::Voter);
                });
            }
            Step::Remove { id, .. } => {
                if live_quorum_without(world, *id) {
                    let leads = world.group.as_ref().is_some_and(|group| group.leader == Some(*id));
                    assert!(!leads, "a leader is removed only after it handed over");
                    change_members(world, |members| members.retain(|member| member.id != *id));
                }
            }
            Step::TransferLeader { to, .. } => {
                let alive = world.alive();
                if let Some(group) = world
                    .group
                    .as_mut()
                    .filter(|group| group.leader.is_some() && alive.contains(to))
                {
                    group.leader = Some(*to);
                    group.term += 1;
                }
            }
            Step::RestartPod { slot, pod_uid, healthy } => {
                let pod = observed.slots.get(slot).and_then(|seen| seen.pod.as_ref());
                let was_ready = pod.is_some_and(|pod| pod.ready_since.is_some());
                restart(world, *slot, pod_uid, *healthy, was_ready);
            }
            Step::Discard {
                slot,
                statefulset_uid,
                claim_uid,
                member_id,
            } => {
                self.discard(world, dice, cluster, *slot, (statefulset_uid, claim_uid), *member_id);
            }
        }
    }

    fn discard(
        &self,
        world: &mut World,
        dice: &mut Dice,
        cluster: &Cluster,
        slot: Slot,
        (set_uid, claim_uid): (&Option<String>, &Option<String>),
        member_id: Option<MemberId>,
    ) {
        let Some(group) = world.group.clone().filter(|group| group.leader.is_some()) else {
            return;
        };
        let name = cluster.name.member(slot);
        if group
            .members
            .iter()
            .any(|member| member.name == name || Some(member.id) == member_id)
        {
            return;
        }
        let Some(place) = world.places.get_mut(&slot) else {
            return;
        };
        if let Some(claim) = place
            .claim
            .as_mut()
            .filter(|claim| Some(&claim.uid) == claim_uid.as_ref())
        {
            let holds = group.members.iter().any(|member| Some(member.id) == claim.disk.id);
            assert!(!holds, "no volume of a member is deleted");
            claim.deleting = true;
        }
        if self.call(dice).is_err() {
            return;
        }
        if let Some(set) = place.set.as_mut().filter(|set| Some(&set.uid) == set_uid.as_ref()) {
            set.deleting = true;
            if let Some(pod) = &mut place.pod {
                pod.terminating = true;
                pod.process = None;
            }
        }
    }
}

/// The bootstrap call, after the live read that the resource still says so; whether a cluster was begun.
fn begin(world: &mut World, slot: Slot, name: String, cluster_id: ClusterId, member_id: MemberId) -> bool {
    let status = world.status();
    let intends = |b: Bootstrap| b.phase == BootstrapPhase::Intended && b.member_id == member_id.to_string();
    let live = status.bootstrap.is_some_and(intends) && status.cluster_id == Some(cluster_id.to_string());
    if !live || world.running(slot) != Some(member_id) || already(world, slot) {
        return false;
    }
    let members = vec![Member {
        id: member_id,
        name,
        role: Role::Voter,
    }];
    let claim = world.places.get_mut(&slot).and_then(|place| place.claim.as_mut());
    let disk = &mut claim.expect("a running node has a disk").disk;
    disk.cluster = Some(cluster_id);
    disk.known.clone_from(&members);
    world.group = Some(Group {
        id: cluster_id,
        members,
        leader: Some(member_id),
        term: 1,
        last_index: 1,
    });
    true
}

/// Deletes a pod by uid, after a live read: that all voters serve if it is a healthy voter's, and else that it has not
/// become ready since.
fn restart(world: &mut World, slot: Slot, uid: &str, healthy: bool, was_ready: bool) {
    let others_serve = !healthy || all_voters_serve(world);
    let pod = world.places.get_mut(&slot).and_then(|place| place.pod.as_mut());
    let recovered = |pod: &Pod| !healthy && !was_ready && pod.ready_since.is_some();
    if let Some(pod) = pod.filter(|pod| pod.uid == uid && others_serve && !recovered(pod)) {
        pod.terminating = true;
        pod.process = None;
        pod.ready_since = None;
    }
}

/// A node that is in a cluster refuses a second bootstrap.
fn already(world: &World, slot: Slot) -> bool {
    let claim = world.places.get(&slot).and_then(|place| place.claim.as_ref());
    claim.is_some_and(|claim| claim.disk.cluster.is_some())
}

/// Membership changes only where there is a leader.
fn change_members(world: &mut World, change: impl FnOnce(&mut Vec<Member>)) {
    if let Some(group) = world.group.as_mut().filter(|group| group.leader.is_some()) {
        change(&mut group.members);
    }
}

/// The live read before a removal: a quorum of the others answers.
fn live_quorum_without(world: &World, id: MemberId) -> bool {
    let alive = world.alive();
    let Some(group) = &world.group else { return false };
    let others: Vec<_> = group
        .members
        .iter()
        .filter(|m| m.role == Role::Voter && m.id != id)
        .collect();
    others.iter().filter(|member| alive.contains(&member.id)).count() > others.len() / 2
}

/// The live read before a healthy pod is restarted: every voter serves.
fn all_voters_serve(world: &World) -> bool {
    let alive = world.alive();
    let group = world.group.as_ref().filter(|group| group.leader.is_some());
    group.is_some_and(|group| {
        group
            .members
            .iter()
            .filter(|m| m.role == Role::Voter)
            .all(|m| alive.contains(&m.id))
    })
}

fn check_promotion(world: &World, id: MemberId) {
    let behind = world.member_lag(id);
    assert!(
        behind.is_none_or(|lag| lag <= 1_000),
        "a learner is promoted only when caught up, not {behind:?} behind"
    );
}

/// A quorum of voters that ran before our step runs after it. A cluster of one may restart its one member.
fn check_strength(seed: u64, world: &World, before: (usize, usize), observed: &Observed, step: &Step) {
    let after = world.strength();
    let single = matches!(step, Step::RestartPod { .. }) && after.1 == 1 && before.1 == 1;
    let kept = before.0 < before.1 || after.0 >= after.1 || single;
    assert!(
        kept,
        "seed {seed}: {step:?} lost the quorum: {before:?} became {after:?}\n{observed:#?}"
    );
}

fn issue(world: &mut World, leaf: &Leaf) {
    let authorities = &world.certificates.authorities;
    let signs = |authority: &str| match leaf.kind {
        LeafKind::Member(_) => true,
        LeafKind::Application | LeafKind::Operator => authority.ends_with("-client-ca"),
    };
    let signing = authorities.iter().filter(|(name, _)| signs(name));
    let issuers: BTreeSet<String> = signing.map(|(_, authority)| authority.fingerprint.clone()).collect();
    let seen = LeafSeen {
        trusted: issuers.clone(),
        issuers,
        dns: leaf.dns.clone(),
        ips: leaf.ips.clone(),
        uri: leaf.uri.clone(),
        not_before: world.now(),
        not_after: world.now() + SignedDuration::from_hours(24 * i64::from(leaf.days)),
    };
    world.certificates.leaves.insert(leaf.secret.clone(), seen);
}

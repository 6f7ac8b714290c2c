//! The planner against a toy world: chaos first, then heal, converge, and stay.
//!
//! A seed gives the whole run. During chaos the operator dies at any call, reads from stale caches, cannot reach nodes;
//! pods die; the spec changes between 1, 3, 5 and 7 members and between good and broken templates. All along: a quorum
//! that ran before one of our steps runs after it, no volume of a member is deleted, one cluster is begun, ever. Then the
//! faults stop, and the membership becomes exactly the wanted slots, on the last template, and stays.
//!
//! `KVORUM_SEEDS=100000` runs more seeds than the default, `KVORUM_SEED=17` one.

// Whole files of tests: here an `unwrap` is an assertion, and a run of one seed is printed to be read.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod dice;
mod hands;
mod world;

use dice::Dice;
use hands::Hands;
use kvorum_crd::KvCluster;
use kvorum_plan::names::Slot;
use kvorum_plan::observed::Role;
use kvorum_plan::{Plan, Reason, Step};
use std::collections::BTreeSet;
use world::{Disk, World};

/// Seeds of an ordinary run: some twenty seconds without optimisation. Optimised, 2,000 take less.
const SEEDS: u64 = 300;
/// Passes with faults.
const CHAOS_PASSES: u64 = 60;
/// Passes without faults within which every run must have converged.
const HEALING_PASSES: u64 = 600;
/// Passes after that in which nothing may change any more.
const RESTING_PASSES: u64 = 5;

fn resource() -> KvCluster {
    let spec = serde_json::json!({"replicas": 3});
    let mut resource = KvCluster::new("demo", serde_json::from_value(spec).unwrap());
    resource.metadata.namespace = Some("ns".to_owned());
    resource.metadata.uid = Some("uid".to_owned());
    resource.metadata.generation = Some(1);
    resource
}

fn settled(plan: &Plan) -> bool {
    plan.step == Step::Wait(Reason::Settled)
}

/// Somebody edits the spec: the size, the pod template, or both.
fn change_spec(world: &mut World, dice: &mut Dice) {
    let replicas = dice.pick(&[1, 3, 3, 5, 7]);
    let (change_size, change_template) = (dice.percent(60), dice.percent(50));
    let revision = dice.below(5).to_string();
    world.write_spec(|resource| {
        if change_size {
            resource.spec.replicas = replicas;
        }
        if change_template {
            resource.spec.pod.annotations.insert("revision".to_owned(), revision);
        }
    });
}

/// Marks templates with the revision 4 as broken: their pods never run.
fn mark_broken(world: &mut World, plan: &Plan) {
    let broken = world
        .resource
        .spec
        .pod
        .annotations
        .get("revision")
        .is_some_and(|revision| revision == "4");
    let Some(objects) = plan.objects.as_ref().filter(|_| broken) else {
        return;
    };
    for member in objects.members.values() {
        let template = &member.statefulset.spec.as_ref().unwrap().template;
        let annotations = template.metadata.as_ref().unwrap().annotations.as_ref().unwrap();
        if annotations.get("revision").is_some_and(|revision| revision == "4") {
            world
                .broken_templates
                .insert(annotations["kvorum.dev/template-hash"].clone());
        }
    }
}

/// Kills a random process, as a kubelet or a power cut would.
fn kill(world: &mut World, dice: &mut Dice) {
    let slots: Vec<Slot> = world.places.keys().copied().collect();
    if slots.is_empty() {
        return;
    }
    let slot = dice.pick(&slots);
    if let Some(pod) = &mut world.places.get_mut(&slot).unwrap().pod {
        pod.process = None;
        pod.ready_since = None;
    }
}

fn silent(world: &World, dice: &mut Dice) -> BTreeSet<Slot> {
    world.places.keys().copied().filter(|_| dice.percent(7)).collect()
}

fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut world = World::new(resource());
    let mut hands = Hands {
        dies: 5,
        seed,
        cached: world.clone(),
        begun: 0,
    };
    for _ in 0..CHAOS_PASSES {
        world.pass_time(&mut dice);
        if dice.percent(10) {
            change_spec(&mut world, &mut dice);
        }
        if dice.percent(15) {
            kill(&mut world, &mut dice);
        }
        // A stale cache: the operator sees the API server as it was some passes ago.
        if !dice.percent(25) {
            hands.cached = world.clone();
        }
        let silent = silent(&world, &mut dice);
        let plan = hands.pass(&mut world, &mut dice, &silent);
        mark_broken(&mut world, &plan);
    }
    heal(&mut world, &mut hands, &mut dice, seed);
    assert_eq!(hands.begun, 1, "seed {seed}: exactly one cluster is begun");
    check_end(&world, seed);
    stay(&mut world, &mut hands, &mut dice, seed);
}

/// The faults stop, and somebody asks for a sound cluster.
fn heal(world: &mut World, hands: &mut Hands, dice: &mut Dice, seed: u64) {
    hands.dies = 0;
    let replicas = dice.pick(&[1, 3, 5]);
    world.write_spec(|resource| {
        resource.spec.replicas = replicas;
        resource
            .spec
            .pod
            .annotations
            .insert("revision".to_owned(), "final".to_owned());
    });
    settle(world, hands, dice, seed);
}

/// Passes until nothing is left to do.
fn settle(world: &mut World, hands: &mut Hands, dice: &mut Dice, seed: u64) {
    let mut last = None;
    for pass in 0..HEALING_PASSES {
        world.pass_time(dice);
        hands.cached = world.clone();
        let plan = hands.pass(world, dice, &BTreeSet::new());
        if std::env::var_os("KVORUM_SEED").is_some() {
            println!("{pass}: {:?}", plan.step);
        }
        if settled(&plan) {
            return;
        }
        last = Some(plan.step);
    }
    panic!("seed {seed}: not settled; last step {last:?}\n{world:#?}");
}

/// Exactly the wanted slots vote, nobody else is a member, nothing else exists.
fn check_end(world: &World, seed: u64) {
    let group = world.group.as_ref().expect("the cluster exists");
    let wanted: BTreeSet<String> = (0..world.resource.spec.replicas)
        .map(|slot| format!("demo-{slot}"))
        .collect();
    let voters = group.members.iter().filter(|member| member.role == Role::Voter);
    let voters: BTreeSet<String> = voters.map(|member| member.name.clone()).collect();
    assert_eq!(voters, wanted, "seed {seed}: the wanted slots vote");
    assert_eq!(
        group.members.len(),
        wanted.len(),
        "seed {seed}: there is no learner and no ghost"
    );
    for place in world.places.values() {
        let standing = place.set.as_ref().filter(|set| !set.deleting);
        let current = standing.is_none_or(|set| place.pod.as_ref().is_some_and(|pod| pod.hash == set.hash));
        assert!(current, "seed {seed}: every pod runs the last template");
    }
    let standing = world
        .places
        .values()
        .filter(|place| place.set.as_ref().is_some_and(|set| !set.deleting))
        .count();
    assert_eq!(standing, wanted.len(), "seed {seed}: no StatefulSet is left over");
}

/// Once settled, the operator writes nothing and wants nothing.
fn stay(world: &mut World, hands: &mut Hands, dice: &mut Dice, seed: u64) {
    for pass in 0..RESTING_PASSES {
        world.pass_time(dice);
        hands.cached = world.clone();
        let version = world.version;
        let plan = hands.pass(world, dice, &BTreeSet::new());
        // The pass that finds it settled may still write that down.
        assert!(settled(&plan), "seed {seed}: {:?} after it had settled", plan.step);
        assert!(
            pass == 0 || world.version == version,
            "seed {seed}: the status was written at rest"
        );
    }
}

/// A world without faults that has settled.
fn calm() -> (World, Hands, Dice) {
    let mut dice = Dice::new(1);
    let mut world = World::new(resource());
    let mut hands = Hands {
        dies: 0,
        seed: 1,
        cached: world.clone(),
        begun: 0,
    };
    settle(&mut world, &mut hands, &mut dice, 1);
    (world, hands, dice)
}

#[test]
fn an_emptied_disk_is_reported_and_nothing_is_taken_away() {
    let (mut world, mut hands, mut dice) = calm();
    let members = world.group.clone().unwrap().members;
    let place = world.places.get_mut(&Slot(1)).unwrap();
    place.claim.as_mut().unwrap().disk = Disk::default();
    place.pod.as_mut().unwrap().process = None;
    for _ in 0..100 {
        world.pass_time(&mut dice);
        hands.cached = world.clone();
        let plan = hands.pass(&mut world, &mut dice, &BTreeSet::new());
        assert!(matches!(plan.step, Step::Wait(_)), "{:?}", plan.step);
    }
    assert_eq!(world.group.as_ref().unwrap().members, members);
    let action = world
        .status()
        .conditions
        .into_iter()
        .find(|condition| condition.type_ == "ActionRequired")
        .unwrap();
    assert_eq!(
        (action.status.as_str(), action.reason.as_str()),
        ("True", "IdentityMissing")
    );
}

#[test]
fn a_resource_that_comes_back_resumes_on_the_kept_volumes() {
    let (mut world, mut hands, mut dice) = calm();
    let members = world.group.clone().unwrap().members;
    world.resource = resource();
    world.resource.spec.replicas = 1;
    world.version += 1;
    for place in world.places.values_mut() {
        (place.set, place.pod, place.config) = (None, None, None);
        place.claim.as_mut().unwrap().kept = true;
    }
    // The id is found and made safe, then everything that was kept is started, wanted or not.
    for _ in 0..2 {
        world.pass_time(&mut dice);
        hands.cached = world.clone();
        hands.pass(&mut world, &mut dice, &BTreeSet::new());
    }
    let standing = world.places.values().filter(|place| place.set.is_some()).count();
    assert_eq!(standing, 3, "all kept volumes are looked at");
    assert_eq!(
        world.group.as_ref().unwrap().members,
        members,
        "the membership is the old one"
    );
    settle(&mut world, &mut hands, &mut dice, 1);
    assert_eq!(hands.begun, 1, "the cluster is not begun a second time");
    check_end(&world, 1);
}

#[test]
fn chaos_then_convergence() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("KVORUM_SEED") {
        return run(seed);
    }
    let seeds = number("KVORUM_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || (first..seeds).step_by(usize::try_from(threads).unwrap()).for_each(run));
        }
    });
}

//! Power cuts under load: whatever no sync covered may be gone, torn or there without what came before it. What was
//! acknowledged is there afterwards, at every member.
//!
//! The members run with the library of `tests/powercut` in them. Each round puts concurrent load on the cluster, ends
//! one member, a majority or all of them, by kill or in order, cuts their power, now and then once more while they
//! recover, and looks: every acknowledged write with its revision, one history for all clients, the same ids, no term
//! from before. That the check can fail is shown on members whose syncs do nothing.

mod disk;
mod full_disk;
pub(crate) mod ledger;
mod pretended;

use std::collections::BTreeMap;
use std::time::Duration;

use kvorum_powercut::{Outcome, Severity};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, id, number};
use kvorum_tests::power::Disk;
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, pause, until};
use kvorum_tests::workload::Workload;
use ledger::{Acknowledged, Ledger};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;

/// Rounds in an ordinary run, for each size of cluster; the long runs ask for more.
const ROUNDS: usize = 3;
/// Rounds of one cluster; then comes a new one, so that recovery stays short and first starts are cut too.
const ROUNDS_OF_ONE_CLUSTER: usize = 40;
/// Clients whose history is checked.
const CLIENTS: u32 = 6;
/// Keys they meet on.
const KEYS: u32 = 4;
/// How long load goes on before the cut, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 100..900;
/// How far recovery may get before a second cut, in milliseconds.
const RECOVERY_MS: std::ops::Range<u64> = 1..300;

/// A cluster whose power can be cut, answering.
async fn journalled(count: usize, disk: Disk) -> Cluster {
    let mut cluster = Cluster::founders(count, &[]);
    for index in 0..count {
        cluster.members[index].journalled(disk);
        cluster.start(index);
    }
    cluster.ready().await;
    cluster
}

/// What must never change: the cluster's id and every member's.
pub(crate) async fn ids(cluster: &Cluster) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    for member in cluster.everywhere() {
        let header = &answered(&member, "maintenance/status").await["header"];
        all.push((id(&header["cluster_id"]), id(&header["member_id"])));
    }
    all
}

/// Every member's term.
pub(crate) async fn terms(cluster: &Cluster) -> Vec<i64> {
    let mut all = Vec::new();
    for member in cluster.everywhere() {
        all.push(number(&answered(&member, "maintenance/status").await["raftTerm"]));
    }
    all
}

async fn answered(member: &Etcd, path: &str) -> serde_json::Value {
    until(path, SETTLE, || async {
        member.ask(path, &json!({})).await.map_err(|error| format!("{error:#}"))
    })
    .await
}

/// Whose power is cut, and how their processes end before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Leader,
    Any,
    Majority,
    All,
    /// Stopped in order: what lies in the engine is believed afterwards, so it must be on disk.
    StoppedFirst,
}

impl Kind {
    /// Every kind in turn, the slowest last, so that a short run is short.
    fn of(round: usize, members: usize) -> Kind {
        match (members, round % 4) {
            (1, 1) | (_, 3) => Kind::StoppedFirst,
            (1, _) | (_, 0) => Kind::All,
            (_, 1) => Kind::Majority,
            (_, 2) if round % 8 == 2 => Kind::Leader,
            _ => Kind::Any,
        }
    }

    async fn victims(self, cluster: &Cluster, random: &mut StdRng) -> Vec<usize> {
        let count = cluster.members.len();
        let mut all: Vec<usize> = (0..count).collect();
        all.shuffle(random);
        match self {
            Kind::Leader => vec![cluster.leader().await],
            Kind::Any => vec![all[0]],
            Kind::Majority => all[..count / 2 + 1].to_vec(),
            Kind::All | Kind::StoppedFirst => all,
        }
    }
}

/// Cuts the power of members that do not run, each as hard as it is drawn.
fn cut(cluster: &mut Cluster, victims: &[usize], random: &mut StdRng) -> Outcome {
    let mut sum = Outcome::default();
    for index in victims {
        sum += cluster.members[*index].cut(Severity::draw(random), random.random());
    }
    sum
}

/// Ends the victims, cuts their power and starts them again; how often power was cut.
async fn outage(cluster: &mut Cluster, kind: Kind, random: &mut StdRng, sum: &mut Outcome) -> usize {
    let victims = kind.victims(cluster, random).await;
    if kind == Kind::StoppedFirst {
        cluster.stop_together(&victims).await;
    } else {
        cluster.kill_together(&victims);
    }
    *sum += cut(cluster, &victims, random);
    let mut cuts = victims.len();
    while random.random_bool(0.25) {
        for index in &victims {
            cluster.start(*index);
        }
        pause(Duration::from_millis(random.random_range(RECOVERY_MS))).await;
        cluster.kill_together(&victims);
        *sum += cut(cluster, &victims, random);
        cuts += victims.len();
    }
    for index in &victims {
        cluster.start(*index);
    }
    cuts
}

/// What was done and seen, over all rounds.
#[derive(Default)]
struct Seen {
    kinds: BTreeMap<Kind, usize>,
    cuts: usize,
    outcome: Outcome,
    acknowledged: usize,
    operations: usize,
}

async fn rounds(name: &str, members: usize) {
    let (mut random, _) = seed::generator(name);
    let mut seen = Seen::default();
    let count = seed::count("KVORUM_POWER_CUTS", ROUNDS);
    let all: Vec<usize> = (0..count).collect();
    for some in all.chunks(ROUNDS_OF_ONE_CLUSTER) {
        let mut cluster = journalled(members, Disk::default()).await;
        let mut ledgers = Vec::new();
        for number in some {
            let name = format!("{name} {number}");
            ledgers.push(round(&name, *number, &mut cluster, &mut random, &mut seen).await);
        }
        for ledger in &ledgers {
            ledger.check(&cluster).await;
            seen.acknowledged += ledger.acknowledged();
        }
    }
    let Seen {
        kinds,
        cuts,
        outcome,
        acknowledged,
        operations,
    } = seen;
    println!("{name}: {count} rounds {kinds:?}, power of a member cut {cuts} times: {outcome:?}");
    println!("{name}: {acknowledged} acknowledged writes all there, {operations} operations linearizable");
    assert!(acknowledged > count * 10, "too few writes to mean anything");
}

async fn round(name: &str, number: usize, cluster: &mut Cluster, random: &mut StdRng, seen: &mut Seen) -> Acknowledged {
    let kind = Kind::of(number, cluster.members.len());
    let ids_before = ids(cluster).await;
    let prefix = format!("h{number}-");
    let load = Workload::start_on(&prefix, &cluster.everywhere(), CLIENTS, KEYS, random.random());
    let ledger = Ledger::start(number, cluster, random.random());
    pause(Duration::from_millis(random.random_range(LOAD_MS))).await;
    let before = terms(cluster).await;
    seen.cuts += outage(cluster, kind, random, &mut seen.outcome).await;
    *seen.kinds.entry(kind).or_default() += 1;
    cluster.ready().await;
    let recorder = load.finish().await;
    let ledger = ledger.finish().await;
    ledger.check(cluster).await;
    recorder.check(&format!("{name} {kind:?}"));
    seen.operations += recorder.operations().len();
    assert_eq!(ids(cluster).await, ids_before, "{name} {kind:?}: an id has changed");
    let after = terms(cluster).await;
    let back = before.iter().zip(&after).any(|(before, after)| after < before);
    assert!(!back, "{name} {kind:?}: terms {before:?}, then {after:?}");
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_keeps_what_it_acknowledged() {
    rounds("power of one", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_keep_what_they_acknowledged() {
    rounds("power of three", 3).await;
}

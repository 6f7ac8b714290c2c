//! kill -9 and stopped time: what was acknowledged is there afterwards, and nothing older is served as new.

use std::collections::BTreeMap;
use std::time::Duration;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, encode, number};
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, pause, until};
use kvorum_tests::workload::Workload;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;

use crate::power_cut::ledger::{Acknowledged, Ledger};

/// Rounds of one crash each, for each size of cluster; the long runs ask for more.
const ROUNDS: usize = 6;
/// Rounds of one cluster; then comes a new one, so that first starts are killed too and what is compared stays small.
const ROUNDS_OF_ONE_CLUSTER: usize = 50;
/// Clients whose history is checked, and the keys they meet on.
const CLIENTS: u32 = 6;
const KEYS: u32 = 4;
/// How long load goes on before the kill, and how long a restart may before a second one, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 100..700;
const RESTART_MS: std::ops::Range<u64> = 1..300;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Leader,
    Follower,
    Majority,
    All,
}

impl Kind {
    fn of(round: usize, members: usize) -> Kind {
        match round % 4 {
            _ if members == 1 => Kind::All,
            0 => Kind::Leader,
            1 => Kind::All,
            2 => Kind::Follower,
            _ => Kind::Majority,
        }
    }

    async fn victims(self, cluster: &Cluster, random: &mut impl Rng) -> Vec<usize> {
        let mut all: Vec<usize> = (0..cluster.members.len()).collect();
        all.shuffle(random);
        match self {
            Kind::Leader => vec![cluster.leader().await],
            Kind::Follower => vec![cluster.follower().await],
            Kind::Majority => all[..all.len() / 2 + 1].to_vec(),
            Kind::All => all,
        }
    }
}

/// What was done and seen, over all rounds.
#[derive(Default)]
struct Seen {
    rounds: BTreeMap<Kind, usize>,
    kills: usize,
    kills_inside: usize,
    acknowledged: usize,
    operations: usize,
}

impl Seen {
    fn print(&self, name: &str) {
        let Seen {
            rounds,
            kills,
            kills_inside,
            acknowledged,
            operations,
        } = self;
        let all: usize = rounds.values().sum();
        println!("{name}: {all} rounds {rounds:?}, {kills} members killed, {kills_inside} of them while they started");
        println!("{name}: {acknowledged} acknowledged writes all there, {operations} operations linearizable");
        assert!(*acknowledged > all * 10, "too few writes to mean anything");
    }
}

/// Kills the victims at one moment and starts them again, now and then once more while they start.
async fn crash(cluster: &mut Cluster, victims: &[usize], random: &mut impl Rng, seen: &mut Seen) {
    cluster.kill_together(victims);
    seen.kills += victims.len();
    let mut again = random.random_bool(0.25);
    loop {
        for index in victims {
            cluster.start(*index);
        }
        if !again {
            return;
        }
        pause(Duration::from_millis(random.random_range(RESTART_MS))).await;
        cluster.kill_together(victims);
        seen.kills += victims.len();
        seen.kills_inside += victims.len();
        again = random.random_bool(0.25);
    }
}

async fn round(name: &str, number: usize, cluster: &mut Cluster, random: &mut StdRng, seen: &mut Seen) -> Acknowledged {
    let kind = Kind::of(number, cluster.members.len());
    let prefix = format!("h{number}-");
    let load = Workload::start_on(&prefix, &cluster.everywhere(), CLIENTS, KEYS, random.random());
    let ledger = Ledger::start(number, cluster, random.random());
    let victims = kind.victims(cluster, random).await;
    pause(Duration::from_millis(random.random_range(LOAD_MS))).await;
    crash(cluster, &victims, random, seen).await;
    *seen.rounds.entry(kind).or_default() += 1;
    cluster.ready().await;
    let recorder = load.finish().await;
    let ledger = ledger.finish().await;
    ledger.check(cluster).await;
    recorder.check(&format!("{name} {number} {kind:?}"));
    seen.operations += recorder.operations().len();
    ledger
}

async fn rounds(name: &str, members: usize) {
    let (mut random, _) = seed::generator(name);
    let mut seen = Seen::default();
    let all: Vec<usize> = (0..seed::count("KVORUM_CRASH_ROUNDS", ROUNDS)).collect();
    for some in all.chunks(ROUNDS_OF_ONE_CLUSTER) {
        let mut cluster = Cluster::plain(members).await;
        let mut ledgers = Vec::new();
        for number in some {
            ledgers.push(round(name, *number, &mut cluster, &mut random, &mut seen).await);
        }
        for ledger in &ledgers {
            ledger.check(&cluster).await;
            seen.acknowledged += ledger.acknowledged();
        }
    }
    seen.print(name);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_alone_keeps_every_acknowledged_write() {
    rounds("crash of one", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_and_then_all_may_be_killed() {
    rounds("crash of three", 3).await;
}

/// Writes a key at a random member, at another one when that fails; the revision.
async fn put(members: &[Etcd], random: &mut impl Rng, key: &str, value: &str) -> i64 {
    let mut at = random.random_range(0..members.len());
    until("a write to be acknowledged", SETTLE, || {
        at += 1;
        let member = &members[at % members.len()];
        async move { member.put(key, value).await.map_err(|error| format!("{error:#}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_time_stood_still_serves_nothing_old() {
    let cluster = Cluster::plain(3).await;
    for round in 0..3 {
        let old = cluster.leader().await;
        let others: Vec<Etcd> = (0..3)
            .filter(|index| *index != old)
            .map(|index| cluster.at(index))
            .collect();
        let before = format!("{round}-before");
        others[0].put("key", &before).await.unwrap();
        cluster.pause(old);
        let after = format!("{round}-after");
        put(&others, &mut rand::rng(), "key", &after).await;
        cluster.resume(old);
        // The old leader may refuse for a while; whatever it answers must be the new value.
        until("the old leader to answer again", SETTLE, || async {
            match cluster.at(old).get("key").await {
                Ok(seen) => {
                    assert_eq!(seen.as_deref(), Some(after.as_str()), "a stale read at the old leader");
                    Ok(())
                }
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
        cluster.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_acknowledged_and_local_reads_go_on() {
    let mut cluster = Cluster::plain(3).await;
    cluster.at(0).put("key", "kept").await.unwrap();
    let survivor = cluster.leader().await;
    until("the survivor to hold the write", SETTLE, || async {
        let seen = cluster
            .at(survivor)
            .get_serializable("key")
            .await
            .map_err(|error| format!("{error:#}"))?;
        seen.filter(|value| value == "kept")
            .map(drop)
            .ok_or_else(|| "not yet".to_owned())
    })
    .await;
    for member in (0..3).filter(|member| *member != survivor) {
        cluster.kill(member);
    }
    let alone = cluster.at(survivor);
    let write = alone
        .call("kv/put", &json!({"key": encode("key"), "value": encode("lost")}))
        .await
        .unwrap();
    assert!(matches!(write.status, 503 | 504), "{} {}", write.status, write.text());
    let read = alone.call("kv/range", &json!({"key": encode("key")})).await.unwrap();
    assert!(matches!(read.status, 503 | 504), "{} {}", read.status, read.text());
    assert_eq!(alone.get_serializable("key").await.unwrap().as_deref(), Some("kept"));
    assert!(
        cluster.is_ready(survivor).await.is_err(),
        "it cannot serve a linearizable read, so it is not ready"
    );
    let alive = cluster
        .web
        .get(&format!("{}/livez", cluster.metrics_url(survivor)))
        .await
        .unwrap();
    assert_eq!(
        alive.status,
        200,
        "liveness must not depend on the others: {}",
        alive.text()
    );
    for member in (0..3).filter(|member| *member != survivor) {
        cluster.start(member);
    }
    cluster.ready().await;
    assert!(cluster.at(0).get("key").await.unwrap().is_some());
}

/// A leader's followers may have on disk what its own disk had not taken when it was killed. Leading on in the same term,
/// it would give the places of those entries to others, and the members would differ for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_comes_back_at_once_leads_no_longer_in_its_old_term() {
    let mut cluster = Cluster::plain(3).await;
    let (mut random, _) = seed::generator("crash of a leader");
    for round in 0..3 {
        let leader = cluster.leader().await;
        let before = term(&cluster.at(leader)).await;
        cluster.kill(leader);
        cluster.start(leader);
        cluster.ready().await;
        put(&cluster.everywhere(), &mut random, &format!("k{round}"), "v").await;
        for member in cluster.everywhere() {
            let after = term(&member).await;
            assert!(
                after > before,
                "a member writes on in term {before} of a leader that was killed"
            );
        }
    }
}

async fn term(member: &Etcd) -> i64 {
    let status = member.ask("maintenance/status", &json!({})).await.unwrap();
    number(&status["raftTerm"])
}

/// What a log may grow by while one member is away and hundreds of requests are answered by the others.
const LINES_WHILE_AWAY_MAX: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_is_mentioned_once_and_found_again() {
    let mut cluster = Cluster::plain(3).await;
    let (leader, dead) = (cluster.leader().await, cluster.follower().await);
    let before = cluster.members[leader].output();
    cluster.kill(dead);
    let at = cluster.at(leader);
    for write in 0..300 {
        at.put("key", &write.to_string()).await.unwrap();
        // A linearizable read asks the others whether this one still leads, and the dead one as well.
        assert_eq!(at.get("key").await.unwrap(), Some(write.to_string()));
    }
    let since = |cluster: &Cluster| cluster.members[leader].output()[before.len()..].to_owned();
    let said = since(&cluster);
    assert_eq!(said.matches("a member cannot be reached").count(), 1, "{said}");
    assert!(said.lines().count() < LINES_WHILE_AWAY_MAX, "{said}");
    cluster.start(dead);
    cluster.ready().await;
    until("the leader to say that it reaches the member", SETTLE, || {
        let said = since(&cluster);
        async move {
            if said.contains("a member is reached again") {
                Ok(())
            } else {
                Err(said)
            }
        }
    })
    .await;
}

//! kill -9 and stopped time: what was acknowledged is there afterwards, and nothing older is served as new.

use std::collections::BTreeMap;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, encode, number};
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, until};
use rand::Rng;
use serde_json::json;

/// Rounds of one crash each; the long runs ask for more.
const ROUNDS: usize = 6;
/// Writes between two crashes.
const WRITES: usize = 40;

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

/// Everything acknowledged must be there, as it was acknowledged, at every member.
async fn check(members: &[Etcd], acknowledged: &BTreeMap<String, (String, i64)>) {
    for (index, member) in members.iter().enumerate() {
        let all = json!({"key": encode("k"), "range_end": encode("l")});
        let reply = member.ask("kv/range", &all).await.unwrap();
        let kvs = reply["kvs"].as_array().cloned().unwrap_or_default();
        let found: BTreeMap<String, (String, i64)> = kvs
            .iter()
            .map(|kv| {
                let text = |field: &str| kvorum_tests::etcd::decode(&kv[field]);
                (text("key"), (text("value"), number(&kv["mod_revision"])))
            })
            .collect();
        let missing: Vec<_> = acknowledged
            .iter()
            .filter(|(key, wrote)| found.get(*key) != Some(wrote))
            .collect();
        assert!(
            missing.is_empty(),
            "n{index} lost {} of {}: {missing:?}",
            missing.len(),
            acknowledged.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_alone_keeps_every_acknowledged_write() {
    let mut cluster = Cluster::plain(1).await;
    let (mut random, _) = seed::generator("crash of one");
    let mut acknowledged = BTreeMap::new();
    for round in 0..seed::count("KVORUM_CRASH_ROUNDS", ROUNDS) {
        for write in 0..WRITES {
            let (key, value) = (format!("k{round}-{write}"), format!("v{}", random.random::<u32>()));
            let revision = put(&cluster.everywhere(), &mut random, &key, &value).await;
            acknowledged.insert(key, (value, revision));
        }
        cluster.kill(0);
        cluster.start(0);
        cluster.ready().await;
        check(&cluster.everywhere(), &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_and_then_all_may_be_killed() {
    let mut cluster = Cluster::plain(3).await;
    let (mut random, _) = seed::generator("crash of three");
    let mut acknowledged = BTreeMap::new();
    for round in 0..seed::count("KVORUM_CRASH_ROUNDS", ROUNDS) {
        // The leader every other time, so that it is never spared by chance.
        let victim = if round % 2 == 0 {
            cluster.leader().await
        } else {
            random.random_range(0..3)
        };
        for write in 0..WRITES {
            if write == WRITES / 2 {
                cluster.kill(victim);
            }
            let (key, value) = (format!("k{round}-{write}"), format!("v{}", random.random::<u32>()));
            let revision = put(&cluster.everywhere(), &mut random, &key, &value).await;
            acknowledged.insert(key, (value, revision));
        }
        cluster.start(victim);
        cluster.ready().await;
        check(&cluster.everywhere(), &acknowledged).await;
    }
    for member in 0..3 {
        cluster.kill(member);
    }
    for member in 0..3 {
        cluster.start(member);
    }
    cluster.ready().await;
    check(&cluster.everywhere(), &acknowledged).await;
    println!("{} acknowledged writes, all there", acknowledged.len());
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

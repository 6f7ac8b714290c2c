//! The operator dies again and again, at random moments, while a cluster is made, grows and shrinks. Whatever was half
//! done, in the end there is one cluster with exactly the members that were asked for.
//!
//! `KVORUM_OPERATOR_KILLS` says how often; `KVORUM_SEED` repeats a run's moments.

use crate::kvcluster::{KvCluster, Membership, NAME, PODS, names, text};
use crate::operator;
use crate::world::{Namespace, number, with_temp_ns};
use anyhow::{Result, ensure};
use kvorum_e2e::client::dice::Dice;
use kvorum_e2e::client::pause::pause;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How often, unless said otherwise: each takes as long as the Lease of the dead takes to end.
const KILLS: u64 = 5;
/// Longest time that a leader is left alone, in milliseconds: what it does to a cluster takes about as long.
const ALIVE_MS_MAX: u64 = 6000;
/// How long a change may take while the operator keeps dying, in seconds.
const CHANGE_SECONDS_MAX: u64 = 600;
/// How long it takes at most until somebody leads again, in seconds: the Lease, a pod, and a busy machine.
const LEADER_SECONDS_MAX: u64 = 90;
/// What is written before and must be there in the end.
const KEY: &str = "kept";

#[tokio::test]
async fn a_cluster_is_what_was_asked_for_whenever_the_operator_dies() {
    with_temp_ns("killed", |ns| async move {
        operator::installed(&ns.api).await?;
        let (kills, seed) = (number("KVORUM_OPERATOR_KILLS", KILLS)?, number("KVORUM_SEED", now())?);
        println!("KVORUM_OPERATOR_KILLS={kills} KVORUM_SEED={seed}");
        let over = AtomicBool::new(false);
        let killing = async {
            let killed = kill(&ns, kills, seed).await;
            over.store(true, Ordering::Release);
            killed
        };
        let (killed, lived) = tokio::join!(killing, live(&ns, &over));
        killed?;
        let (cluster, ids) = lived?;

        cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
        ensure!(ids.len() == 1, "the cluster had more than one id: {ids:?}");
        let mut wire_ids = BTreeSet::new();
        for slot in 0..3 {
            let Membership {
                cluster_id,
                voters,
                learners,
            } = cluster.membership(slot).await?;
            ensure!(
                voters == names(3) && learners.is_empty(),
                "{NAME}-{slot} says voters {voters:?}, learners {learners:?}"
            );
            wire_ids.insert(cluster_id);
        }
        ensure!(wire_ids.len() == 1, "the members are of several clusters: {wire_ids:?}");
        ensure!(
            cluster.get(2, KEY).await? == "from the beginning",
            "the first key is lost"
        );
        // What was scaled away takes its time to go, but it goes.
        let gone = || async {
            let (pods, claims) = (
                ns.list("pods", PODS).await?,
                ns.list("persistentvolumeclaims", "").await?,
            );
            Ok(pods.len() == 3 && claims.len() == 3)
        };
        ns.await_condition("everything that is left over to be gone", 60, gone)
            .await?;
        println!(
            "after {kills} kills: voters {:?}, no learner, one cluster id {ids:?}",
            names(3)
        );
        Ok(())
    })
    .await;
}

/// The cluster's life: 1→3→5→3, and again as long as the operator is being killed. Says which ids the cluster had.
async fn live(ns: &Namespace, over: &AtomicBool) -> Result<(KvCluster, BTreeSet<String>)> {
    let begun = Instant::now();
    let cluster = KvCluster::create(ns, 1).await?;
    let mut ids = BTreeSet::new();
    let mut round = 0;
    loop {
        for replicas in [1, 3, 5, 3] {
            cluster.scale(replicas).await?;
            let settled = cluster.await_settled(replicas, CHANGE_SECONDS_MAX).await?;
            ids.insert(text(&settled["status"]["clusterId"]));
            println!("{:6.1} s: {replicas} members", begun.elapsed().as_secs_f64());
            if round == 0 && replicas == 1 {
                cluster.put(0, KEY, "from the beginning").await?;
            }
        }
        round += 1;
        if over.load(Ordering::Acquire) {
            return Ok((cluster, ids));
        }
    }
}

/// Kills the leader so many times, each a random time after it began to lead, and now and then everybody.
async fn kill(ns: &Namespace, kills: u64, seed: u64) -> Result<()> {
    let begun = Instant::now();
    let mut dice = Dice::new(seed);
    for kill in 1..=kills {
        let leader = || operator::leader(&ns.api);
        let leader = ns
            .await_some("an operator that leads", LEADER_SECONDS_MAX, leader)
            .await?;
        let alive_ms = dice.roll(ALIVE_MS_MAX);
        pause(alive_ms).await;
        let everybody = dice.roll(4) == 0;
        let victims = if everybody {
            operator::pods(&ns.api).await?
        } else {
            vec![leader]
        };
        for victim in &victims {
            operator::kill(&ns.api, victim).await?;
        }
        println!(
            "{:6.1} s: kill {kill}, {alive_ms} ms into its rule: {}",
            begun.elapsed().as_secs_f64(),
            if everybody { "everybody" } else { "the leader" }
        );
    }
    Ok(())
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

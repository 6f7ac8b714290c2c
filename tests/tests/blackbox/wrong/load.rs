//! What is noticed while clients read, write, watch and hold leases; no other fault is needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvorum_faults::Wrong;
use kvorum_tests::checks::Violations;
use kvorum_tests::checks::holders::Holders;
use kvorum_tests::checks::watchers::Watchers;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::endpoint;
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, pause, until};
use kvorum_tests::workload::Workload;
use rand::Rng;

use super::{Noticed, all, is_noticed, one_follower};

/// Clients that read and write, and the keys they meet on.
const CLIENTS: u32 = 12;
const KEYS: u32 = 6;
/// Clients that hold leases: so many that one of them soon renews at a follower and then looks until the end.
const HOLDERS: usize = 12;
/// How long nodes that keep the rule are looked at. Those that break it are noticed sooner.
const LOOKED: Duration = Duration::from_secs(5);

/// Looks at what a checker finds, until it finds something where a rule is broken, for a while where none is.
async fn look(wrong: Option<Wrong>, checker: &'static str, found: impl Fn() -> Vec<String>) -> Option<Noticed> {
    let began = Instant::now();
    match wrong {
        None => pause(LOOKED).await,
        Some(wrong) => {
            let what = format!("{checker} to notice {}", wrong.name());
            until(&what, SETTLE, || async {
                if found().is_empty() {
                    Err("nothing was found".to_owned())
                } else {
                    Ok(())
                }
            })
            .await;
        }
    }
    let words = found().into_iter().next()?;
    let after = began.elapsed();
    Some(Noticed { checker, words, after })
}

async fn reading(wrong: Option<Wrong>) -> Option<Noticed> {
    let (_, seed) = seed::generator("wrong: reading");
    let cluster = all(3, wrong).await;
    let load = Workload::start(&cluster.everywhere(), CLIENTS, KEYS, seed);
    let recorder = Arc::clone(&load.recorder);
    let noticed = look(wrong, "headers", || recorder.header_violations()).await;
    let recorder = load.finish().await;
    println!("{} operations", recorder.operations().len());
    noticed
}

async fn watching(wrong: Option<Wrong>, cluster: Cluster) -> Option<Noticed> {
    let (mut random, seed) = seed::generator("wrong: watching");
    let violations = Violations::default();
    let endpoints: Vec<_> = (0..3).map(|index| endpoint(&cluster, index)).collect();
    let watchers = Watchers::start(&endpoints, random.random(), &violations);
    let load = Workload::start(&cluster.everywhere(), CLIENTS, KEYS, seed);
    let noticed = look(wrong, "watch", || violations.found()).await;
    load.finish().await;
    let changes = watchers.level(0, |watched| watched.changes).await;
    watchers.finish().await;
    println!("{changes} changes watched");
    noticed
}

async fn holding(wrong: Option<Wrong>) -> Option<Noticed> {
    let (_, seed) = seed::generator("wrong: holding");
    let cluster = all(3, wrong).await;
    let violations = Violations::default();
    let holders = Holders::start("l", &cluster.everywhere(), HOLDERS, seed, &violations);
    let began = Instant::now();
    if let Some(noticed) = look(wrong, "lease", || violations.found()).await {
        return Some(noticed);
    }
    // Also what comes to light when all leases are seen to their end.
    println!("{:?}", holders.finish().await);
    let words = violations.found().into_iter().next()?;
    let (checker, after) = ("lease", began.elapsed());
    Some(Noticed { checker, words, after })
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_without_a_read_index_are_noticed() {
    is_noticed(Wrong::NoReadIndex, reading).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_dropped_is_noticed() {
    is_noticed(Wrong::EventDropped, async |wrong| {
        watching(wrong, all(3, wrong).await).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_turned_around_are_noticed() {
    is_noticed(Wrong::OutOfOrder, async |wrong| {
        watching(wrong, one_follower(wrong).await).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_nobody_but_a_follower_knows_of_is_noticed() {
    is_noticed(Wrong::FollowerRenews, holding).await;
}

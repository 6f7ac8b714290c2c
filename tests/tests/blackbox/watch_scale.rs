//! Many watchers on one member, and one client that does not read: every event told once and in order, to everyone.
//!
//! A tenth of the full size by default; `KVORUM_WATCHERS=10000` is the full size (`make soak`).

use std::time::{Duration, Instant};

use kvorum_api::etcdserverpb::WatchCreateRequest;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::{Watching, channel, watch};
use kvorum_tests::seed;
use tokio::task::JoinSet;

/// Watchers of one stream, as of a client with many caches.
const PER_STREAM: usize = 100;
/// Streams of one connection, well below the server's limit.
const PER_CONNECTION: usize = 50;
/// Writes to the one key that a tenth of all watch, and to each of a few others.
const WRITES: usize = 50;

/// Resident memory of the member, in MiB.
fn resident(cluster: &Cluster) -> u64 {
    cluster.members[0].process.as_ref().unwrap().resident_mib()
}

/// Reads until every watcher of the stream was told of `WRITES` events of its key, in order; checks that each came once.
async fn all_told(mut watching: Watching, watchers: usize) -> usize {
    let mut told = vec![(0_usize, 0_i64); watchers];
    let mut missing = watchers * WRITES;
    while missing > 0 {
        let response = watching.next().await;
        assert!(!response.canceled, "{response:?}");
        let (count, last) = &mut told[usize::try_from(response.watch_id).unwrap()];
        for event in &response.events {
            let pair = event.kv.as_ref().unwrap();
            assert!(pair.mod_revision > *last, "out of order, or twice");
            assert_eq!(pair.value, count.to_string(), "one is missing");
            (*count, *last) = (*count + 1, pair.mod_revision);
            missing -= 1;
        }
    }
    watchers * WRITES
}

#[tokio::test(flavor = "multi_thread")]
async fn every_one_of_many_watchers_is_told_everything_once() {
    let watchers = seed::count("KVORUM_WATCHERS", 1_000);
    let cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    let before = resident(&cluster);
    let mut streams = Vec::new();
    let mut connection = channel(&cluster, 0).await;
    let mut keys: Vec<String> = (0..10).map(|number| format!("key{number}")).collect();
    for number in 0..watchers / PER_STREAM {
        if number % PER_CONNECTION == 0 {
            connection = channel(&cluster, 0).await;
        }
        let mut watching = Watching::open(connection.clone()).await.unwrap();
        // A tenth of all watch the one hot key; nine tenths are spread over others.
        let key = &keys[number % 10];
        for _ in 0..PER_STREAM {
            watching.create(watch(key, "")).await;
        }
        streams.push(watching);
    }
    let mut stalled = Watching::open(channel(&cluster, 0).await).await.unwrap();
    stalled.create(watch("key", "kez")).await;
    let watching = resident(&cluster);
    println!(
        "{watchers} watchers on {} streams: {before} MiB before, {watching} MiB with them",
        streams.len()
    );

    let started = Instant::now();
    let mut readers = JoinSet::new();
    for stream in streams {
        readers.spawn(all_told(stream, PER_STREAM));
    }
    keys.truncate((watchers / PER_STREAM).clamp(1, 10));
    let big = "x".repeat(100_000);
    for number in 0..WRITES {
        for key in &keys {
            etcd.put(key, &number.to_string()).await.unwrap();
        }
        // Only the stalled client watches these: far more than is held for it.
        etcd.put("key-big", &big).await.unwrap();
    }
    let written = started.elapsed();
    let told: usize = readers.join_all().await.into_iter().sum();
    let elapsed = started.elapsed();
    println!(
        "{} writes in {written:?}; {told} events told after {elapsed:?}; {} MiB at the end",
        WRITES * (keys.len() + 1),
        resident(&cluster)
    );
    assert!(
        elapsed < written + Duration::from_secs(30),
        "the stalled client held the others up"
    );

    // The stalled one reads at last: it is told everything as well, from history.
    let (mut revisions, expected) = (Vec::new(), WRITES * (keys.len() + 1));
    while revisions.len() < expected {
        let response = stalled.next().await;
        revisions.extend(
            response
                .events
                .iter()
                .map(|event| event.kv.as_ref().unwrap().mod_revision),
        );
    }
    assert!(
        revisions.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "all of them, once, in order"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_of_one_key() {
    let cluster = Cluster::plain(1).await;
    let connection = channel(&cluster, 0).await;
    let mut readers = JoinSet::new();
    for _ in 0..1_000 / PER_STREAM {
        let mut watching = Watching::open(connection.clone()).await.unwrap();
        for _ in 0..PER_STREAM {
            let from = WatchCreateRequest {
                start_revision: 2,
                ..watch("key0", "")
            };
            watching.create(from).await;
        }
        readers.spawn(all_told(watching, PER_STREAM));
    }
    let started = Instant::now();
    for number in 0..WRITES {
        cluster.at(0).put("key0", &number.to_string()).await.unwrap();
    }
    let told: usize = readers.join_all().await.into_iter().sum();
    assert_eq!(told, 1_000 * WRITES);
    println!("{told} events in {:?}, {} MiB", started.elapsed(), resident(&cluster));
    let metrics = cluster
        .web
        .get(&format!("{}/metrics", cluster.metrics_url(0)))
        .await
        .unwrap()
        .text();
    for (name, least) in [
        ("etcd_debugging_mvcc_events_total", 50_000),
        ("etcd_debugging_mvcc_watcher_total", 0),
    ] {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let value: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|value| value.parse().ok())
            .unwrap();
        assert!(value >= least, "{line}");
    }
}

//! What a member takes of memory and disk is bounded without anyone's help, however much is written: snapshots come again
//! and again, the log behind them is cut, the engine gives back what nobody wants, and memory does not grow with the state.
//!
//! A few hundred MiB by default; `KVORUM_LARGE_VALUES=4096` is the full size, in values of 1 MiB (`make soak`).

use std::collections::BTreeSet;
use std::path::Path;

use kvorum_api::etcdserverpb::PutRequest;
use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::channel;
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, until};
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;

const MIB: u64 = 1 << 20;
/// Values written by default, of 1 MiB each: enough for two snapshots and for what is kept of the log behind the second,
/// and more than a member may hold in memory.
const VALUES: usize = 448;
/// Clients that write at once.
const CLIENTS: usize = 4;
/// Values between two looks.
const PART: usize = 32;
/// What a member may take of memory: what was applied and is not in the engine yet (128 MiB), the newest entries and events,
/// the caches, and what the allocator does not give back.
const MEMORY_MIB_MAX: u64 = 512;
/// What the log may take beside what its rule says: segments are given back whole, one is made ahead, and for a second
/// nobody looks.
const LOG_SLACK_MIB: u64 = 384;
/// What the engine may take beside twice the state: three files of large values, and sled.
const ENGINE_SLACK_MIB: u64 = 256;

/// Bytes of the files in a folder, and their names.
fn files(folder: &Path) -> (u64, BTreeSet<String>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| Some((entry.metadata().ok()?.len(), entry.file_name())));
    files.fold((0, BTreeSet::new()), |(bytes, mut names), (len, name)| {
        names.insert(name.to_string_lossy().into_owned());
        (bytes + len, names)
    })
}

/// A value that no file system and no engine can make smaller.
fn value(random: &mut StdRng) -> Vec<u8> {
    let mut value = vec![0; 1 << 20];
    random.fill_bytes(&mut value);
    value
}

/// Writes the keys of `names`, each with a value of 1 MiB.
async fn write(cluster: &Cluster, names: impl Iterator<Item = String>, seed: u64) {
    let names: Vec<String> = names.collect();
    let mut writers = JoinSet::new();
    for (number, names) in names.chunks(names.len().div_ceil(CLIENTS)).enumerate() {
        let mut client = KvClient::new(channel(cluster, 0).await);
        let (names, mut random) = (names.to_vec(), StdRng::seed_from_u64(seed ^ number as u64));
        writers.spawn(async move {
            for name in names {
                let request = PutRequest {
                    key: name.into(),
                    value: value(&mut random).into(),
                    ..PutRequest::default()
                };
                client.put(request).await.unwrap();
            }
        });
    }
    writers.join_all().await;
}

/// What the member takes now, in MiB: memory, engine, snapshots, log.
fn taken(cluster: &Cluster) -> [u64; 4] {
    let member = &cluster.members[0];
    let resident = member
        .process
        .as_ref()
        .map_or(0, |process| process.resident_mib() * MIB);
    let folder = |name: &str| {
        let folder = member.folder.join("data").join(name);
        files(&folder).0 + files(&folder.join("sled")).0 + files(&folder.join("values")).0
    };
    [resident, folder("engine"), folder("snap"), folder("wal")].map(|bytes| bytes / MIB)
}

/// Writes 32 values, and holds what the member takes against the bounds, with `state` MiB of keys and history then.
async fn write_and_check(cluster: &Cluster, names: impl Iterator<Item = String>, seed: u64, state: u64) -> [u64; 4] {
    write(cluster, names, seed).await;
    let [memory, engine, snapshots, log] = taken(cluster);
    assert!(
        memory <= MEMORY_MIB_MAX,
        "{memory} MiB of memory with {state} MiB of keys"
    );
    assert!(
        engine <= 2 * state + ENGINE_SLACK_MIB,
        "{engine} MiB of engine with {state} MiB of keys"
    );
    assert!(
        snapshots <= 2 * state + PART as u64,
        "{snapshots} MiB of snapshots with {state} MiB of keys"
    );
    let bound = 256.max(state * 3 / 2) + LOG_SLACK_MIB;
    assert!(log <= bound, "{log} MiB of log with {state} MiB of keys");
    [memory, engine, snapshots, log]
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_write_makes_a_new_key_memory_stays_and_the_log_is_cut() {
    let count = seed::count("KVORUM_LARGE_VALUES", VALUES);
    let (mut random, _) = seed::generator("growth by new keys");
    let cluster = Cluster::plain(1).await;
    let data = cluster.members[0].folder.join("data");
    let (log, snapshots) = (data.join("wal"), data.join("snap"));
    let first = files(&log).1;
    let mut seen = BTreeSet::new();
    for part in 0..count / PART {
        let names = (0..PART).map(|number| format!("{part}-{number}"));
        let state = ((part + 1) * PART) as u64;
        let taken = write_and_check(&cluster, names, random.random(), state).await;
        seen.extend(files(&snapshots).1.into_iter().filter(|name| name.ends_with(".snap")));
        println!("{state} new keys of 1 MiB: MiB of memory, engine, snapshots, log: {taken:?}");
    }
    until(
        "a second snapshot, and the log behind it to be cut",
        SETTLE,
        async || {
            let (_, names) = files(&snapshots);
            seen.extend(names.into_iter().filter(|name| name.ends_with(".snap")));
            let kept: Vec<String> = files(&log).1.intersection(&first).cloned().collect();
            match (seen.len() > 1, kept.is_empty()) {
                (true, true) => Ok(()),
                _ => Err(format!("snapshots {seen:?}, and of the log's first files {kept:?}")),
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_few_keys_are_written_again_and_again_nothing_grows() {
    let count = seed::count("KVORUM_LARGE_VALUES", VALUES);
    let (mut random, _) = seed::generator("growth of a few keys");
    let cluster = Cluster::plain(1).await;
    for part in 0..count / PART {
        let names = (0..PART).map(|number| format!("{}", number % 8));
        // Before and after the compaction of the history.
        let taken = write_and_check(&cluster, names, random.random(), 2 * PART as u64).await;
        println!(
            "{} values of 8 keys: MiB of memory, engine, snapshots, log: {taken:?}",
            (part + 1) * PART
        );
        let etcd = cluster.at(0);
        let revision = etcd.revision().await.unwrap();
        etcd.ask("kv/compaction", &json!({"revision": revision.to_string()}))
            .await
            .unwrap();
    }
}

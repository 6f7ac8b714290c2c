//! What a member takes is bounded without anyone's help, however much is written: snapshots come again and again, and
//! the log behind them is cut.
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
use tokio::task::JoinSet;

const MIB: u64 = 1 << 20;
/// Values written by default, of 1 MiB each: enough for two snapshots and for what is kept of the log behind the second.
const VALUES: usize = 320;
/// Clients that write at once.
const CLIENTS: usize = 4;
/// What the log may take beside what its rule says: segments are given back whole, one is made ahead, and for a second
/// nobody looks.
const LOG_SLACK_BYTES: u64 = 384 * MIB;

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

#[tokio::test(flavor = "multi_thread")]
async fn where_every_write_makes_a_new_key_snapshots_come_again_and_the_log_is_cut() {
    let count = seed::count("KVORUM_LARGE_VALUES", VALUES);
    let (mut random, _) = seed::generator("growth of the log");
    let cluster = Cluster::plain(1).await;
    let folder = cluster.members[0].folder.join("data");
    let (log, snapshots) = (folder.join("wal"), folder.join("snap"));
    let (mut seen, mut largest) = (BTreeSet::new(), 0);
    let first = files(&log).1;
    // In parts, each of which waits for the look of a second that comes after it.
    for part in 0..count / 32 {
        let names = (0..32).map(|number| format!("{part}-{number}"));
        write(&cluster, names, random.random()).await;
        seen.extend(files(&snapshots).1.into_iter().filter(|name| name.ends_with(".snap")));
        let state = (part as u64 + 1) * 32 * MIB;
        largest = largest.max(files(&log).0);
        assert!(
            files(&log).0 <= (256 * MIB).max(state * 3 / 2) + LOG_SLACK_BYTES,
            "{} bytes of log with {state} bytes of keys",
            files(&log).0
        );
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
    println!(
        "{count} new keys of 1 MiB: {} snapshots or more, and at most {} MiB of log",
        seen.len(),
        largest / MIB
    );
}

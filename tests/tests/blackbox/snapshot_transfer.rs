//! A snapshot on its way to a member that is killed again and again: each time it goes on where it broke.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use kvorum_tests::cluster::{Cluster, program};
use kvorum_tests::etcd::encode;
use kvorum_tests::wait::{SETTLE, until};
use serde_json::json;

/// Large enough that a kill in the middle of it finds it in the middle.
const VALUES: usize = 64;
const VALUE_BYTES: usize = 1 << 20;
/// Parts of the snapshot at whose arrival the receiver is killed.
const KILLS: [f64; 3] = [0.2, 0.45, 0.7];
/// A whole transfer, in a build that is not optimized, on a machine that is also compiling.
const WHOLE: Duration = Duration::from_mins(2);

/// Makes a cluster of one whose state is in a snapshot and whose log is empty: whoever joins it needs the snapshot.
async fn cluster_of_a_snapshot() -> Cluster {
    let mut cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    for number in 0..VALUES {
        let value = format!("{number:016}").repeat(VALUE_BYTES / 16);
        etcd.put(&format!("large/{number}"), &value).await.unwrap();
    }
    let backup = cluster.members[0].folder.join("backup");
    let url = cluster.url(0);
    run(&["snapshot", "save", backup.to_str().unwrap(), "--endpoints", &url]);
    assert_eq!(cluster.stop(0).await, Some(0));
    cluster.wipe(0);
    let member = &mut cluster.members[0];
    *member.argument("--initial-cluster-token") = "with a snapshot".to_owned();
    let flags = [
        "--name",
        "--data-dir",
        "--initial-cluster",
        "--initial-cluster-token",
        "--initial-advertise-peer-urls",
    ];
    let mut arguments = vec![
        "snapshot".to_owned(),
        "restore".to_owned(),
        backup.display().to_string(),
    ];
    for flag in flags {
        arguments.extend([flag.to_owned(), member.argument(flag).clone()]);
    }
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    cluster.start(0);
    cluster.ready().await;
    cluster
}

fn run(arguments: &[&str]) {
    let output = Command::new(program()).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
}

/// Bytes in the member's files of one kind.
fn received(cluster: &Cluster, index: usize, suffix: &str) -> u64 {
    let folder = cluster.members[index].folder.join("data/snap");
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = files.filter(|file| file.path().extension().is_some_and(|found| found == suffix));
    found
        .map(|file| file.metadata().map_or(0, |metadata| metadata.len()))
        .sum()
}

async fn sent(cluster: &Cluster) -> u64 {
    let page = cluster
        .web
        .get(&format!("{}/metrics", cluster.metrics_url(0)))
        .await
        .unwrap();
    let text = page.text();
    let samples = text
        .lines()
        .filter(|line| line.starts_with("kvorum_network_snapshot_sent_bytes_total{"));
    let bytes = samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64);
    bytes.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_on_where_it_broke() {
    let mut cluster = cluster_of_a_snapshot().await;
    let bytes = received(&cluster, 0, "snap");
    assert!(bytes > (VALUES * VALUE_BYTES) as u64);
    let joined = cluster.joining("n1");
    let peer = format!(
        "http://{}:{}",
        cluster.members[joined].peer_address, cluster.members[joined].peer
    );
    let add = json!({"peerURLs": [peer], "isLearner": true});
    cluster.at(0).ask("cluster/member/add", &add).await.unwrap();
    let began = Instant::now();
    cluster.start(joined);
    for part in KILLS {
        let wanted = (bytes as f64 * part) as u64;
        let arrived = loop {
            // Looked at as often as can be: a kill that comes late finds nothing to break.
            let arrived = received(&cluster, joined, "partial") + received(&cluster, joined, "tmp");
            if arrived >= wanted {
                break arrived;
            }
            assert_eq!(
                received(&cluster, joined, "snap"),
                0,
                "it was there before it could break"
            );
            assert!(began.elapsed() < WHOLE, "{arrived} of {bytes} bytes");
            tokio::task::yield_now().await;
        };
        cluster.kill(joined);
        println!("killed at {arrived} of {bytes} bytes after {:?}", began.elapsed());
        cluster.start(joined);
    }
    let last = json!({"key": encode(format!("large/{}", VALUES - 1)), "serializable": true, "keys_only": true});
    until("the member to have it all", WHOLE, || async {
        let found = cluster.at(joined).ask("kv/range", &last).await;
        let found = found.map_err(|error| format!("{error:#}"))?;
        let here = found["kvs"].as_array().is_some_and(|kvs| !kvs.is_empty());
        if here { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    until("its files to be in order", SETTLE, || async {
        match received(&cluster, joined, "partial") + received(&cluster, joined, "tmp") {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left")),
        }
    })
    .await;
    let sent = sent(&cluster).await;
    println!(
        "{bytes} bytes there after {:?} and {} kills, {sent} sent in sum: {:.2} times",
        began.elapsed(),
        KILLS.len(),
        sent as f64 / bytes as f64
    );
    let said = cluster.members[0].output();
    assert!(said.contains("sending a snapshot, resumed at "), "{said}");
    assert!(sent >= bytes, "{sent} of {bytes} bytes");
    assert!(sent < bytes * 7 / 4, "{sent} of {bytes} bytes");
}

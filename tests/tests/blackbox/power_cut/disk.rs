//! Disks that fail: a sync that gives an error. No space left is another file's (`full_disk`).

use kvorum_powercut::Severity;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::power::Disk;
use kvorum_tests::seed;
use kvorum_tests::wait::SETTLE;
use rand::Rng;

use super::ledger::Ledger;

/// The exit code of a node that stopped itself.
const STOPPED_ITSELF: i32 = 70;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_ends_the_member_and_loses_nothing() {
    let (mut random, _) = seed::generator("failed sync");
    for round in 0..3 {
        let mut cluster = super::journalled(1, Disk::default()).await;
        cluster.stop(0).await;
        cluster.members[0].cut(Severity::Nothing, 0);
        let failing = random.random_range(4..60);
        cluster.members[0].journalled(Disk {
            sync_fails: Some(failing),
            ..Disk::default()
        });
        cluster.start(0);
        let ledger = Ledger::start(round, &cluster, random.random());
        let mut process = cluster.members[0].process.take().unwrap();
        let ended = process.gone(SETTLE).await;
        let ledger = ledger.finish().await;
        println!(
            "sync {failing} failed: {} writes acknowledged before, {ended}",
            ledger.acknowledged()
        );
        assert_eq!(ended.code(), Some(STOPPED_ITSELF));
        says_why(&cluster);
        cluster.members[0].cut(Severity::draw(&mut random), random.random());
        cluster.members[0].journalled(Disk::default());
        cluster.start(0);
        cluster.ready().await;
        ledger.check(&cluster).await;
    }
}

/// The last line of the log says what could not be synced, and how it failed: the log, a segment of it that is being
/// made, or the engine.
fn says_why(cluster: &Cluster) {
    let output = cluster.members[0].output();
    let last = output.lines().last().unwrap_or_default();
    for part in ["stopping at once", "Input/output error"] {
        assert!(last.contains(part), "no {part:?} in the last line: {last}");
    }
    assert!(
        [
            ".wal: cannot fdatasync",
            ".wal.new: cannot prepare",
            "the engine failed"
        ]
        .iter()
        .any(|what| last.contains(what)),
        "the last line does not say which file: {last}"
    );
}

/// Where the state lies must not hang on names that were never synced: a snapshot is worth nothing in a folder that a
/// power cut takes away.
#[tokio::test(flavor = "multi_thread")]
async fn the_folders_of_the_truth_are_durable_before_the_member_serves() {
    let mut cluster = super::journalled(1, Disk::default()).await;
    cluster.kill(0);
    cluster.members[0].cut(Severity::Everything, 0);
    for name in ["identity", "wal", "snap"] {
        let path = cluster.members[0].folder.join("data").join(name);
        assert!(path.exists(), "{} is gone", path.display());
    }
}

/// The engine is believed after a stop in order, so all of it must be on disk by then: large values too, which it keeps
/// in files of their own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_believed_after_a_stop_in_order_was_synced() {
    let mut cluster = super::journalled(1, Disk::default()).await;
    // The engine's own folder is only believed where it is, so it is made first.
    cluster.stop(0).await;
    cluster.members[0].cut(Severity::Nothing, 0);
    cluster.start(0);
    cluster.ready().await;
    let large = "v".repeat(400_000);
    cluster.at(0).put("large", &large).await.unwrap();
    assert_eq!(cluster.stop(0).await, Some(0));
    cluster.members[0].cut(Severity::Everything, 0);
    cluster.start(0);
    cluster.ready().await;
    let output = cluster.members[0].output();
    let recovered = output.lines().rfind(|line| line.contains("recovered the disk"));
    assert!(
        recovered.is_some_and(|line| line.contains("believed=true")),
        "{recovered:?}"
    );
    assert_eq!(cluster.at(0).get("large").await.unwrap(), Some(large));
}

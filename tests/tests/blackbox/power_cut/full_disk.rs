//! A full disk: what needs room is refused, everything else goes on, and so does the member when there is room again.

use std::os::unix::fs::MetadataExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use kvorum_api::etcdserverpb::PutRequest;
use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_powercut::Severity;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, encode, id, number};
use kvorum_tests::grpc;
use kvorum_tests::power::Disk;
use kvorum_tests::process::Process;
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, pause, until};
use rand::Rng;
use rustix::fs::FallocateFlags;
use serde_json::{Value, json};
use tonic::Code;

use super::ledger::Ledger;

/// How often is looked whether a member has ended.
const POLL: Duration = Duration::from_millis(50);
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
/// What the tests of the reserve take of the volume, and how much of it is over the reserve: others use it meanwhile.
const BALLAST_BYTES: u64 = 2 << 30;
const OVER_BYTES: u64 = 1 << 30;

/// The alarms that stand, as a member says: whose.
async fn alarmed(member: &Etcd) -> Result<Vec<u64>, String> {
    let answer = member.ask("maintenance/alarm", &json!({"alarm": "NOSPACE"})).await;
    let answer = answer.map_err(|error| format!("{error:#}"))?;
    let alarms = answer["alarms"].as_array().cloned().unwrap_or_default();
    Ok(alarms.iter().map(|alarm| id(&alarm["memberID"])).collect())
}

/// Waits until so many members say that they have no room.
async fn until_alarmed(member: &Etcd, count: usize) {
    until(&format!("{count} alarms"), SETTLE, || async {
        let alarmed = alarmed(member).await?;
        (alarmed.len() == count)
            .then_some(())
            .ok_or_else(|| format!("{alarmed:x?}"))
    })
    .await;
}

async fn until_written(member: &Etcd, key: &str) {
    until("a write to be taken", SETTLE, || async {
        member
            .put(key, "again")
            .await
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    })
    .await;
}

/// One number of a member's metrics.
async fn number_of(cluster: &Cluster, name: &str) -> Result<f64, String> {
    let page = cluster.web.get(&format!("{}/metrics", cluster.metrics_url(0))).await;
    let page = page.map_err(|error| format!("{error:#}"))?.text();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.and_then(|value| value.parse().ok())
        .ok_or_else(|| format!("no {name} in the metrics"))
}

/// What needs room is refused at a member, over JSON and gRPC.
async fn refuses_writes(cluster: &Cluster, index: usize) {
    let put = json!({"key": encode("more"), "value": encode("v")});
    let txn = json!({"success": [{"request_put": put}]});
    for (path, body) in [
        ("kv/put", &put),
        ("kv/txn", &txn),
        ("lease/grant", &json!({"TTL": "60"})),
    ] {
        let reply = cluster.at(index).call(path, body).await.unwrap();
        let said = (reply.status, reply.json()["message"].clone());
        assert_eq!(said, (429, Value::from(NO_SPACE)), "{path}");
    }
    let request = PutRequest {
        key: "more".into(),
        ..PutRequest::default()
    };
    let mut client = KvClient::new(grpc::channel(cluster, index).await);
    let status = client.put(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, NO_SPACE));
}

/// Reading, deleting `key` and compacting go on at a member.
async fn serves_the_rest(cluster: &Cluster, index: usize, key: &str) {
    let member = cluster.at(index);
    assert_eq!(member.get(key).await.unwrap().as_deref(), Some("kept"));
    assert_eq!(member.get_serializable(key).await.unwrap().as_deref(), Some("kept"));
    let deleted = member
        .ask("kv/deleterange", &json!({"key": encode(key)}))
        .await
        .unwrap();
    assert_eq!(number(&deleted["deleted"]), 1);
    assert_eq!(member.get(key).await.unwrap(), None);
    let revision = number(&deleted["header"]["revision"]).to_string();
    let compaction = json!({"revision": revision, "physical": true});
    member.ask("kv/compaction", &compaction).await.unwrap();
}

/// The last line of the log about a recovered disk.
fn recovered(cluster: &Cluster) -> String {
    let output = cluster.members[0].output();
    let line = output.lines().rfind(|line| line.contains("recovered the disk"));
    line.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_writes_alone_until_there_is_room() {
    let (mut random, _) = seed::generator("full disk");
    let mut cluster = super::journalled(1, Disk::default()).await;
    let member = cluster.at(0);
    member.put("kept", "kept").await.unwrap();
    until("a segment in hand", SETTLE, || async {
        match number_of(&cluster, "kvorum_wal_segments_made_total").await? {
            0.0 => Err("none yet".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    let ledger = Ledger::start_small(0, &cluster, random.random());
    for round in 0..3 {
        let key = format!("kept {round}");
        member.put(&key, "kept").await.unwrap();
        cluster.members[0].space(Some(0));
        until_alarmed(&member, 1).await;
        refuses_writes(&cluster, 0).await;
        serves_the_rest(&cluster, 0, &key).await;
        assert!(cluster.is_ready(0).await.is_ok(), "a full member still serves reads");
        assert_eq!(number_of(&cluster, "kvorum_disk_full").await, Ok(1.0));
        assert_eq!(cluster.members[0].process.as_mut().unwrap().ended(), None);
        cluster.members[0].space(None);
        until_alarmed(&member, 0).await;
        until_written(&member, "room").await;
        assert_eq!(number_of(&cluster, "kvorum_disk_full").await, Ok(0.0));
    }
    let ledger = ledger.finish().await;
    println!("{} writes acknowledged", ledger.acknowledged());
    ledger.check(&cluster).await;
    let output = cluster.members[0].output();
    for said in ["No space left on device", "too little room on the disk"] {
        assert!(output.contains(said), "{said}");
    }
    // What the engine held back and was given again is all there: it is believed after a stop in order.
    assert_eq!(cluster.stop(0).await, Some(0));
    cluster.members[0].cut(Severity::Nothing, 0);
    cluster.start(0);
    cluster.ready().await;
    let line = recovered(&cluster);
    assert!(line.contains("believed=true"), "{line}");
    ledger.check(&cluster).await;
}

/// Waits until a member has raised the alarm, or has ended; how it ended.
async fn alarmed_or_ended(cluster: &Cluster, process: &mut Process) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        let ended = process.ended();
        if ended.is_some() || alarmed(&cluster.at(0)).await.is_ok_and(|alarmed| alarmed.len() == 1) {
            return ended;
        }
        assert!(begun.elapsed() < SETTLE, "neither an alarm nor an end");
        pause(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_on_a_full_disk_loses_nothing() {
    let (mut random, _) = seed::generator("power cut on a full disk");
    let mut cluster = super::journalled(1, Disk::default()).await;
    let ledger = Ledger::start(0, &cluster, random.random());
    cluster.members[0].space(Some(random.random_range(0..2 << 20)));
    let mut process = cluster.members[0].process.take().unwrap();
    let ended = alarmed_or_ended(&cluster, &mut process).await;
    let ledger = ledger.finish().await;
    println!("{} writes acknowledged, ended {ended:?}", ledger.acknowledged());
    assert_eq!(ended, None, "{}", cluster.members[0].output());
    process.kill();
    cluster.members[0].cut(Severity::draw(&mut random), random.random());
    cluster.members[0].space(None);
    cluster.start(0);
    cluster.ready().await;
    until_alarmed(&cluster.at(0), 0).await;
    ledger.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_full_disk_waits_for_room_and_goes_on() {
    let mut cluster = super::journalled(1, Disk::default()).await;
    cluster.at(0).put("kept", "kept").await.unwrap();
    assert_eq!(cluster.stop(0).await, Some(0));
    // What a start takes of the disk before there is no more: nothing, its trial of a MiB, and some more.
    for space in [0, (1 << 20) + 100, (1 << 20) + 5_000] {
        cluster.members[0].cut(Severity::Nothing, 0);
        cluster.members[0].space(Some(space));
        cluster.start(0);
        until("word of the disk", SETTLE, || async {
            let output = cluster.members[0].output();
            let waits = output.contains("The start waits until there is") || output.contains("waits in memory");
            (waits || cluster.is_ready(0).await.is_ok()).then_some(()).ok_or(output)
        })
        .await;
        assert_eq!(cluster.members[0].process.as_mut().unwrap().ended(), None);
        cluster.members[0].space(None);
        cluster.ready().await;
        let line = recovered(&cluster);
        println!("{space} bytes: {line}");
        if space == 0 {
            assert!(line.contains("believed=true"), "nothing was touched: {line}");
        }
        until_alarmed(&cluster.at(0), 0).await;
        assert_eq!(cluster.at(0).get("kept").await.unwrap().as_deref(), Some("kept"));
        until_written(&cluster.at(0), "room").await;
        assert_eq!(cluster.stop(0).await, Some(0));
    }
}

/// Bytes that are free on the volume of the temporary folder.
fn free_bytes() -> u64 {
    let volume = rustix::fs::statvfs(std::env::temp_dir().as_path()).unwrap();
    volume.f_bavail * volume.f_frsize
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_refused_before_the_disk_is_full() {
    let free = free_bytes();
    assert!(free > BALLAST_BYTES + OVER_BYTES, "{free} bytes are free for this test");
    let reserve = (free - OVER_BYTES).to_string();
    let cluster = Cluster::plain_with(3, &["--disk-reserve-bytes", &reserve]).await;
    for (index, member) in cluster.everywhere().iter().enumerate() {
        member.put(&format!("kept {index}"), "kept").await.unwrap();
    }
    let ballast = cluster.members[0].folder.join("ballast");
    let file = std::fs::File::create(&ballast).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES).unwrap();
    assert!(file.metadata().unwrap().blocks() * 512 >= BALLAST_BYTES);
    let first = cluster.at(0);
    until_alarmed(&first, 3).await;
    // Cleared by hand it comes back; raised by hand, or for the quota, it stays until somebody clears it.
    let by_hand =
        |action: &str, member: u64| json!({"action": action, "alarm": "NOSPACE", "memberID": member.to_string()});
    let (me, _) = first.who().await.unwrap();
    first
        .ask("maintenance/alarm", &by_hand("DEACTIVATE", me))
        .await
        .unwrap();
    until_alarmed(&first, 3).await;
    first.ask("maintenance/alarm", &by_hand("ACTIVATE", me)).await.unwrap();
    for index in 0..3 {
        refuses_writes(&cluster, index).await;
        serves_the_rest(&cluster, index, &format!("kept {index}")).await;
        assert!(cluster.is_ready(index).await.is_ok());
    }
    std::fs::remove_file(&ballast).unwrap();
    drop(file);
    until_alarmed(&first, 1).await;
    assert_eq!(alarmed(&first).await, Ok(vec![me]));
    refuses_writes(&cluster, 1).await;
    first
        .ask("maintenance/alarm", &by_hand("DEACTIVATE", me))
        .await
        .unwrap();
    for member in cluster.everywhere() {
        until_written(&member, "room").await;
        assert_eq!(alarmed(&member).await, Ok(Vec::new()));
    }
}

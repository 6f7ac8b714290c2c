//! Leases: granted, kept alive, revoked and expired, at any member and over changes of leader.

use std::time::{Duration, Instant};

use futures::channel::mpsc;
use kvorum_api::etcdserverpb::lease_client::LeaseClient;
use kvorum_api::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, WatchCreateRequest,
};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, encode, number};
use kvorum_tests::grpc::{Watching, channel, watch};
use kvorum_tests::reference::Reference;
use kvorum_tests::wait::{pause, until};
use serde_json::{Value, json};
use tonic::Code;

async fn grant(etcd: &Etcd, id: i64, ttl: i64) -> i64 {
    let granted = etcd.ask("lease/grant", &json!({"ID": id, "TTL": ttl})).await.unwrap();
    number(&granted["ID"])
}

async fn put(etcd: &Etcd, key: &str, lease: i64) {
    let body = json!({"key": encode(key), "value": encode("v"), "lease": lease});
    etcd.ask("kv/put", &body).await.unwrap();
}

async fn left(etcd: &Etcd, id: i64) -> i64 {
    let answer = etcd.ask("lease/timetolive", &json!({"ID": id})).await.unwrap();
    number(&answer["TTL"])
}

/// An answer without who gave it.
fn normal(mut body: Value) -> Value {
    if let Some(Value::Object(header)) = body.get_mut("header") {
        header.retain(|field, _| field == "revision");
    }
    if let Some(Value::Object(header)) = body.pointer_mut("/result/header") {
        header.retain(|field, _| field == "revision");
    }
    if let Value::Object(map) = &mut body {
        map.remove("error");
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_calls_answer_as_etcds_do() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    let key = encode("k");
    let calls = [
        ("lease/grant", r#"{"ID":"7","TTL":"100"}"#.to_owned()),
        ("lease/grant", r#"{"ID":"7","TTL":"100"}"#.to_owned()),
        ("lease/grant", r#"{"ID":8,"TTL":1}"#.to_owned()),
        ("lease/grant", r#"{"ID":9,"TTL":0}"#.to_owned()),
        ("lease/grant", r#"{"ID":10,"TTL":-5}"#.to_owned()),
        ("lease/grant", r#"{"ID":11,"TTL":9000000001}"#.to_owned()),
        ("lease/grant", r#"{"ID":11,"TTL":9000000000}"#.to_owned()),
        ("kv/put", format!(r#"{{"key":"{key}","value":"{key}","lease":"7"}}"#)),
        ("kv/put", format!(r#"{{"key":"{key}","value":"{key}","lease":"77"}}"#)),
        ("lease/timetolive", r#"{"ID":"7","keys":true}"#.to_owned()),
        ("kv/lease/timetolive", r#"{"ID":"7"}"#.to_owned()),
        ("lease/timetolive", r#"{"ID":"77","keys":true}"#.to_owned()),
        ("lease/revoke", r#"{"ID":"8"}"#.to_owned()),
        ("lease/revoke", r#"{"ID":"9"}"#.to_owned()),
        ("kv/lease/revoke", r#"{"ID":"10"}"#.to_owned()),
        ("lease/leases", "{}".to_owned()),
        ("kv/lease/leases", String::new()),
        ("lease/keepalive", r#"{"ID":"7"}"#.to_owned()),
        ("lease/keepalive", r#"{"ID":"77"}"#.to_owned()),
        ("lease/revoke", r#"{"ID":"7"}"#.to_owned()),
        ("lease/revoke", r#"{"ID":"7"}"#.to_owned()),
        ("kv/range", format!(r#"{{"key":"{key}"}}"#)),
        ("lease/grant", r#"{"TTL":"x"}"#.to_owned()),
    ];
    for (path, body) in calls {
        let theirs = reference.etcd.send(path, &body).await.unwrap();
        let ours = cluster.at(0).send(path, &body).await.unwrap();
        assert_eq!(ours.status, theirs.status, "{path} {body}: {}", ours.text());
        if body.contains("\"x\"") {
            // The words are those of the JSON parser.
            continue;
        }
        let (mut theirs, mut ours) = (normal(theirs.json()), normal(ours.json()));
        if path.ends_with("timetolive") && ours["TTL"] != "-1" {
            // A second may begin between the two.
            let apart = number(&theirs["TTL"]) - number(&ours["TTL"]);
            assert!(apart.abs() <= 1, "{theirs} {ours}");
            (theirs["TTL"], ours["TTL"]) = (Value::Null, Value::Null);
        }
        assert_eq!(ours, theirs, "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_work_over_grpc_at_every_member() {
    let cluster = Cluster::managed(3).await;
    let mut clients = Vec::new();
    for index in 0..3 {
        clients.push(LeaseClient::new(channel(&cluster, index).await));
    }
    let granted = clients[0]
        .lease_grant(LeaseGrantRequest { ttl: 60, id: 0 })
        .await
        .unwrap();
    let granted = granted.into_inner();
    assert!(granted.id > 0 && granted.ttl == 60);
    put(&cluster.at(1), "k", granted.id).await;
    for client in &mut clients {
        let (sender, requests) = mpsc::unbounded();
        let mut answers = client.lease_keep_alive(requests).await.unwrap().into_inner();
        for (id, ttl) in [(granted.id, 60), (granted.id, 60), (12_345, 0)] {
            sender.unbounded_send(LeaseKeepAliveRequest { id }).unwrap();
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!((answer.id, answer.ttl), (id, ttl));
        }
        drop(sender);
        assert!(
            answers.message().await.unwrap().is_none(),
            "the stream ends with its requests"
        );
        let request = LeaseTimeToLiveRequest {
            id: granted.id,
            keys: true,
        };
        let answer = client.lease_time_to_live(request).await.unwrap().into_inner();
        assert!(
            (58..=60).contains(&answer.ttl) && answer.granted_ttl == 60,
            "{answer:?}"
        );
        assert_eq!(answer.keys, ["k"]);
    }
    let revoke = LeaseRevokeRequest { id: granted.id };
    clients[2].lease_revoke(revoke).await.unwrap();
    assert_eq!(cluster.at(0).get("k").await.unwrap(), None);
    let gone = clients[1].lease_revoke(revoke).await.unwrap_err();
    assert_eq!(
        (gone.code(), gone.message()),
        (Code::NotFound, "etcdserver: requested lease not found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_alive_goes_with_its_keys_and_what_is_stays() {
    let cluster = Cluster::plain(3).await;
    let etcd = cluster.at(0);
    let follower = cluster.follower().await;
    let (kept, left_alone) = (grant(&etcd, 0, 4).await, grant(&etcd, 0, 4).await);
    put(&etcd, "kept", kept).await;
    put(&etcd, "left/b", left_alone).await;
    put(&etcd, "left/a", left_alone).await;
    let mut watching = Watching::open(channel(&cluster, 1).await).await.unwrap();
    watching.create(watch("a", "z")).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(8) {
        let answer = cluster
            .at(follower)
            .ask("lease/keepalive", &json!({"ID": kept}))
            .await
            .unwrap();
        assert_eq!(answer["result"]["TTL"], "4");
        pause(Duration::from_millis(500)).await;
    }
    let expired = watching.next().await;
    let keys: Vec<_> = expired
        .events
        .iter()
        .map(|event| event.kv.as_ref().unwrap().key.clone())
        .collect();
    assert_eq!(keys, ["left/a", "left/b"], "one revision, in order");
    assert_eq!(etcd.get("kept").await.unwrap().as_deref(), Some("v"));
    assert_eq!(left(&etcd, left_alone).await, -1);
    let leases = etcd.ask("lease/leases", &json!({})).await.unwrap();
    assert_eq!(leases["leases"], json!([{"ID": kept.to_string()}]));
}

/// Waits until a key is gone; how long after `from`.
async fn gone(cluster: &Cluster, at: usize, key: &str, bound: Duration, from: Instant) -> Duration {
    until("the lease to end", bound, || async {
        match cluster.at(at).get(key).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("the key is there".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await;
    from.elapsed()
}

/// Everything that ever happened to a key, told from the start.
async fn history(cluster: &Cluster, at: usize, key: &str, count: usize) -> Vec<i32> {
    let mut watching = Watching::open(channel(cluster, at).await).await.unwrap();
    let from = WatchCreateRequest {
        start_revision: 1,
        ..watch(key, "")
    };
    watching.create(from).await;
    let mut kinds = Vec::new();
    while kinds.len() < count {
        kinds.extend(watching.next().await.events.iter().map(|event| event.r#type));
    }
    assert!(
        watching.is_quiet(Duration::from_millis(500)).await,
        "nothing happened twice"
    );
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_in_time_and_once_over_three_changes_of_leader() {
    let ttl = Duration::from_secs(10);
    let cluster = Cluster::managed(3).await;
    let operator = cluster.operator();
    let mut ids = Vec::new();
    for index in 0..3 {
        let status = operator.status(&cluster, index).await.unwrap();
        ids.push(status["member_id"].as_str().unwrap().to_owned());
    }
    let asked = Instant::now();
    let lease = grant(&cluster.at(0), 0, 10).await;
    let granted = Instant::now();
    put(&cluster.at(0), "k", lease).await;
    let mut leader = cluster.leader().await;
    for change in 0..3 {
        pause(Duration::from_millis(1_500)).await;
        let next = (leader + 1) % 3;
        operator.transfer(&cluster, &ids[next]).await;
        leader = next;
        let left = left(&cluster.at(change), lease).await;
        let expected = 10 - i64::try_from(granted.elapsed().as_secs()).unwrap();
        println!("change {change} after {:?}: {left} s left", granted.elapsed());
        assert!(
            (expected - 2..=expected).contains(&left),
            "{left} s left instead of {expected}"
        );
    }
    let shortest = gone(&cluster, leader, "k", ttl * 2, granted).await;
    let longest = asked.elapsed();
    println!("ended {shortest:?} after the grant was answered, {longest:?} after it was asked for");
    assert!(longest >= ttl, "early");
    assert!(shortest <= ttl + Duration::from_secs(1), "late");
    assert_eq!(history(&cluster, 0, "k", 2).await, [0, 1], "written once, deleted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_extends_nothing() {
    let mut cluster = Cluster::plain(3).await;
    let ttl = Duration::from_secs(20);
    let asked = Instant::now();
    let lease = grant(&cluster.at(0), 0, 20).await;
    put(&cluster.at(0), "k", lease).await;
    let leader = cluster.leader().await;
    pause(Duration::from_secs(4)).await;
    let renewing = Instant::now();
    let answer = cluster
        .at((leader + 1) % 3)
        .ask("lease/keepalive", &json!({"ID": lease}))
        .await;
    assert_eq!(answer.unwrap()["result"]["TTL"], "20");
    let renewed = Instant::now();
    cluster.kill(leader);
    let at = (leader + 1) % 3;
    let shortest = gone(&cluster, at, "k", ttl * 2, renewed).await;
    println!(
        "ended {shortest:?} after the keepalive, {:?} after the grant",
        asked.elapsed()
    );
    assert!(renewing.elapsed() >= ttl, "early: the keepalive was promised");
    assert!(shortest <= ttl + Duration::from_secs(1), "late");
    assert_eq!(
        history(&cluster, at, "k", 2).await,
        [0, 1],
        "written once, deleted once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_survives_a_restart_of_everything() {
    let mut cluster = Cluster::plain(1).await;
    let lease = grant(&cluster.at(0), 0, 5).await;
    put(&cluster.at(0), "k", lease).await;
    cluster.kill(0);
    pause(Duration::from_secs(6)).await;
    cluster.start(0);
    cluster.ready().await;
    assert_eq!(
        cluster.at(0).get("k").await.unwrap().as_deref(),
        Some("v"),
        "its time stood still"
    );
    assert!((1..=5).contains(&left(&cluster.at(0), lease).await));
    until("the lease to end", Duration::from_secs(8), || async {
        match cluster.at(0).get("k").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

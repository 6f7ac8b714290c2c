//! Alarms: raised by a full quota or by hand, seen everywhere, and cleared by hand alone.

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, encode, id, number};
use kvorum_tests::reference::Reference;
use kvorum_tests::sides::{Both, bad, good};
use serde_json::{Value, json};

const NO_SPACE: (u16, &str) = (429, "etcdserver: mvcc: database space exceeded");

async fn health(cluster: &Cluster, path: &str) -> (u16, Value) {
    let reply = cluster
        .web
        .get(&format!("{}{path}", cluster.metrics_url(0)))
        .await
        .unwrap();
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
}

async fn alarms(etcd: &Etcd) -> Vec<(u64, String)> {
    let answer = etcd.ask("maintenance/alarm", &json!({})).await.unwrap();
    let alarms = answer["alarms"].as_array().cloned().unwrap_or_default();
    let named = |alarm: &Value| {
        (
            id(&alarm["memberID"]),
            alarm["alarm"].as_str().unwrap_or_default().to_owned(),
        )
    };
    alarms.iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quota_stops_what_needs_room_until_somebody_makes_some() {
    let cluster = Cluster::plain_with(3, &["--quota-backend-bytes", "1000000"]).await;
    let etcd = cluster.at(0);
    let large = json!({"key": encode("large"), "value": encode("v".repeat(100_000))});
    let mut written = 0;
    let refused = loop {
        let reply = etcd.call("kv/put", &large).await.unwrap();
        if reply.status != 200 {
            break reply;
        }
        written += 1;
        assert!(written < 20, "the quota bounds nothing");
    };
    assert_eq!((refused.status, refused.json()["message"].as_str().unwrap()), NO_SPACE);
    assert_eq!(
        written, 9,
        "nine of 100 kB fit into a megabyte with what they cost besides"
    );
    let (me, _) = etcd.who().await.unwrap();
    let put = json!({"success": [{"request_put": {"key": encode("k"), "value": encode("v")}}]});
    for member in cluster.everywhere() {
        assert_eq!(alarms(&member).await, [(me, "NOSPACE".to_owned())]);
        for (path, body) in [("kv/put", json!({"key": encode("small")})), ("kv/txn", put.clone())] {
            let reply = member.call(path, &body).await.unwrap();
            assert_eq!(
                (reply.status, reply.json()["message"].as_str().unwrap()),
                NO_SPACE,
                "{path}"
            );
        }
        let status = member.ask("maintenance/status", &json!({})).await.unwrap();
        assert_eq!(status["errors"], json!([format!("memberID:{me} alarm:NOSPACE")]));
        assert_eq!(number(&status["dbSizeQuota"]), 1_000_000);
        assert!(number(&status["dbSizeInUse"]) > 900_000);
    }
    let sick = json!({"health": "false", "reason": "ALARM NOSPACE"});
    assert_eq!(health(&cluster, "/health").await, (503, sick));
    assert_eq!(health(&cluster, "/health?exclude=NOSPACE").await.0, 200);
    assert!(cluster.is_ready(0).await.is_ok(), "a full member still serves reads");
    // Reading, deleting and compacting go on.
    assert!(etcd.get("large").await.unwrap().is_some());
    let deleted = etcd
        .ask("kv/deleterange", &json!({"key": encode("large")}))
        .await
        .unwrap();
    let revision = number(&deleted["header"]["revision"]);
    etcd.ask(
        "kv/compaction",
        &json!({"revision": revision.to_string(), "physical": true}),
    )
    .await
    .unwrap();
    assert_eq!(
        etcd.call("kv/put", &large).await.unwrap().status,
        429,
        "an alarm never clears itself"
    );
    let clear = json!({"action": "DEACTIVATE", "memberID": me.to_string(), "alarm": "NOSPACE"});
    cluster.at(1).ask("maintenance/alarm", &clear).await.unwrap();
    for member in cluster.everywhere() {
        assert_eq!(alarms(&member).await, []);
        assert_eq!(member.call("kv/put", &large).await.unwrap().status, 200);
    }
    assert_eq!(health(&cluster, "/health").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_by_hand_are_etcds() {
    let cluster = Cluster::plain(3).await;
    let reference = Reference::start().await;
    let mut both = Both::new(&cluster, reference.as_ref());
    let alarm = |action: &str, kind: &str, member: &str| json!({"action": action, "alarm": kind, "memberID": member});
    let corrupt = (500, "etcdserver: corrupt cluster");
    let (key, put) = (
        json!({"key": encode("k")}),
        json!({"key": encode("k"), "value": encode("v")}),
    );
    let script = [
        good("", "kv/put", put.clone()),
        good("", "maintenance/alarm", json!({})),
        good("", "maintenance/alarm", alarm("ACTIVATE", "NONE", "5")),
        good("", "maintenance/alarm", alarm("ACTIVATE", "NOSPACE", "5")),
        good("", "maintenance/alarm", alarm("ACTIVATE", "NOSPACE", "5")),
        bad("", "kv/put", put.clone(), NO_SPACE.0, NO_SPACE.1),
        good("", "kv/range", key.clone()),
        good("", "kv/deleterange", key.clone()),
        good("", "maintenance/alarm", alarm("GET", "NOSPACE", "0")),
        good("", "maintenance/alarm", alarm("GET", "CORRUPT", "0")),
        // The member must be named.
        good("", "maintenance/alarm", alarm("DEACTIVATE", "NOSPACE", "0")),
        bad("", "kv/put", put.clone(), NO_SPACE.0, NO_SPACE.1),
        good("", "maintenance/alarm", alarm("DEACTIVATE", "NOSPACE", "5")),
        good("", "kv/put", put.clone()),
        good("", "maintenance/alarm", alarm("ACTIVATE", "CORRUPT", "7")),
        bad("", "kv/put", put.clone(), corrupt.0, corrupt.1),
        bad("", "kv/deleterange", key.clone(), corrupt.0, corrupt.1),
        bad("", "kv/compaction", json!({"revision": "2"}), corrupt.0, corrupt.1),
        good("", "kv/range", key.clone()),
        good("", "maintenance/alarm", alarm("GET", "NONE", "0")),
        good("", "maintenance/alarm", alarm("DEACTIVATE", "CORRUPT", "7")),
        good("", "kv/put", put),
    ];
    both.run(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_cluster_is_not_ready() {
    let mut cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    let raise = json!({"action": "ACTIVATE", "alarm": "CORRUPT", "memberID": "7"});
    etcd.ask("maintenance/alarm", &raise).await.unwrap();
    let sick = json!({"health": "false", "reason": "ALARM CORRUPT"});
    assert_eq!(health(&cluster, "/health").await, (503, sick));
    assert_eq!(health(&cluster, "/health?exclude=NOSPACE").await.0, 503);
    let refused = cluster.is_ready(0).await.unwrap_err();
    assert!(
        refused.contains("[-]data_corruption failed: alarm activated: CORRUPT"),
        "{refused}"
    );
    // It outlives a restart.
    cluster.stop(0).await;
    cluster.start(0);
    let etcd = cluster.at(0);
    kvorum_tests::wait::until("the member to answer", kvorum_tests::wait::SETTLE, async || {
        etcd.revision().await.map_err(|error| format!("{error:#}"))
    })
    .await;
    assert_eq!(alarms(&etcd).await, [(7, "CORRUPT".to_owned())]);
}

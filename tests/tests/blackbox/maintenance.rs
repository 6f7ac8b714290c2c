//! Care for one member: hashes, backups, leadership, versions, compaction that nobody asks for.

use kvorum_api::etcdserverpb::SnapshotRequest;
use kvorum_api::etcdserverpb::maintenance_client::MaintenanceClient;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{encode, number};
use kvorum_tests::reference::Reference;
use kvorum_tests::sides::{Both, bad, good};
use kvorum_tests::wait::{SETTLE, until};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tonic::transport::Endpoint;

#[tokio::test(flavor = "multi_thread")]
async fn members_with_equal_keys_have_equal_hashes() {
    let cluster = Cluster::plain(3).await;
    let etcd = cluster.at(0);
    for round in 0..20 {
        etcd.put(&format!("k{}", round % 5), &format!("v{round}"))
            .await
            .unwrap();
    }
    let revision = etcd.revision().await.unwrap();
    let ask = async |body: Value| {
        let mut answers = Vec::new();
        for member in cluster.everywhere() {
            // A linearizable read brings the member level.
            member.revision().await.unwrap();
            let answer = member.ask("maintenance/hashkv", &body).await.unwrap();
            answers.push((
                answer["hash"].clone(),
                number(&answer["hash_revision"]),
                number(&answer["compact_revision"]),
            ));
        }
        answers
    };
    let now = ask(json!({})).await;
    assert!(now.windows(2).all(|pair| pair[0] == pair[1]), "{now:?}");
    assert_eq!(now[0].1, revision);
    let old = ask(json!({"revision": "10"})).await;
    assert!(old.windows(2).all(|pair| pair[0] == pair[1]), "{old:?}");
    assert_ne!(old[0].0, now[0].0);
    etcd.put("k0", "other").await.unwrap();
    assert_eq!(
        ask(json!({"revision": revision.to_string()})).await,
        now,
        "a past revision keeps its hash"
    );
    assert_ne!(ask(json!({})).await[0].0, now[0].0);
    let mut whole = Vec::new();
    for member in cluster.everywhere() {
        member.revision().await.unwrap();
        whole.push(member.ask("maintenance/hash", &json!({})).await.unwrap()["hash"].clone());
    }
    assert!(
        whole[0].is_number() && whole.windows(2).all(|pair| pair[0] == pair[1]),
        "{whole:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_refusals_are_etcds() {
    let cluster = Cluster::plain(1).await;
    let reference = Reference::start().await;
    let mut both = Both::new(&cluster, reference.as_ref());
    let version = |action: &str, version: &str| json!({"action": action, "version": version});
    let script = [
        good("", "kv/put", json!({"key": encode("a")})),
        good("", "kv/put", json!({"key": encode("a")})),
        good("", "kv/put", json!({"key": encode("a")})),
        good("", "maintenance/defragment", json!({})),
        bad(
            "",
            "maintenance/hashkv",
            json!({"revision": "9"}),
            400,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        good("", "kv/compaction", json!({"revision": "3", "physical": true})),
        bad(
            "",
            "maintenance/hashkv",
            json!({"revision": "2"}),
            400,
            "etcdserver: mvcc: required revision has been compacted",
        ),
        bad(
            "",
            "maintenance/transfer-leadership",
            json!({"targetID": "7"}),
            400,
            "etcdserver: bad leader transferee",
        ),
        good("", "maintenance/downgrade", version("VALIDATE", "3.6.0")),
        bad(
            "",
            "maintenance/downgrade",
            version("VALIDATE", "3.5.0"),
            400,
            "etcdserver: invalid downgrade target version",
        ),
        bad(
            "",
            "maintenance/downgrade",
            version("VALIDATE", "3.7.0"),
            400,
            "etcdserver: invalid downgrade target version",
        ),
        bad(
            "",
            "maintenance/downgrade",
            version("VALIDATE", "x"),
            400,
            "etcdserver: wrong downgrade target version format",
        ),
        good("", "maintenance/downgrade", version("CANCEL", "")),
    ];
    both.run(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_to_whom_it_is_given() {
    let cluster = Cluster::plain(3).await;
    let leader = cluster.leader().await;
    let next = (leader + 1) % 3;
    let (target, _) = cluster.at(next).who().await.unwrap();
    let body = json!({"targetID": target.to_string()});
    let refused = cluster
        .at(next)
        .call("maintenance/transfer-leadership", &body)
        .await
        .unwrap();
    assert_eq!(
        (refused.status, refused.json()["message"].as_str()),
        (400, Some("etcdserver: not leader"))
    );
    cluster
        .at(leader)
        .ask("maintenance/transfer-leadership", &body)
        .await
        .unwrap();
    assert_eq!(cluster.leader().await, next);
}

/// An image as etcd's clients save it, checked as they check it.
fn checked(mut image: Vec<u8>) -> Vec<u8> {
    assert_eq!(image.len() % 512, 32, "blocks of 512 bytes, and a hash");
    let hash = image.split_off(image.len() - 32);
    assert_eq!(Sha256::digest(&image).to_vec(), hash);
    image
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_and_says_how_much_is_left() {
    let cluster = Cluster::plain(3).await;
    let etcd = cluster.at(0);
    for round in 0..50 {
        etcd.put(&format!("k{round}"), &"v".repeat(5_000)).await.unwrap();
    }
    let mut client = MaintenanceClient::new(Endpoint::from_shared(cluster.url(0)).unwrap().connect().await.unwrap());
    let mut stream = client.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    let (mut image, mut left) = (Vec::new(), None);
    while let Some(piece) = stream.message().await.unwrap() {
        assert!(left.is_none_or(|left| left >= piece.remaining_bytes));
        assert!(piece.blob.len() <= 32 << 10 && piece.version == "3.7.0");
        left = Some(piece.remaining_bytes);
        image.extend_from_slice(&piece.blob);
    }
    assert_eq!(left, Some(0));
    let image = checked(image);
    assert!(image.starts_with(b"KVRMSNAP") && image.len() > 250_000);
    let reply = etcd.call("maintenance/snapshot", &json!({})).await.unwrap();
    let text = reply.text();
    let mut over_json = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let blob = line["result"]["blob"].as_str().unwrap();
        over_json.extend(base64_simd::STANDARD.decode_to_vec(blob).unwrap());
    }
    assert_eq!(checked(over_json), image, "nothing was written meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_goes_by_itself_where_that_is_asked_for() {
    let flags = [
        "--auto-compaction-mode",
        "periodic",
        "--auto-compaction-retention",
        "1s",
    ];
    let cluster = Cluster::plain_with(3, &flags).await;
    let etcd = cluster.at(0);
    for round in 0..5 {
        etcd.put("key", &format!("v{round}")).await.unwrap();
    }
    let old = json!({"key": encode("key"), "revision": "3"});
    assert_eq!(etcd.call("kv/range", &old).await.unwrap().status, 200);
    for member in cluster.everywhere() {
        until("old history to be gone", SETTLE, async || {
            let reply = member
                .call("kv/range", &old)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let text = "etcdserver: mvcc: required revision has been compacted";
            if reply.json()["message"] == text {
                Ok(())
            } else {
                Err(reply.text())
            }
        })
        .await;
        assert_eq!(member.get("key").await.unwrap().as_deref(), Some("v4"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_etcds_names() {
    let cluster = Cluster::plain_with(1, &["--quota-backend-bytes", "5000000"]).await;
    let etcd = cluster.at(0);
    etcd.put("a", "1").await.unwrap();
    etcd.put("b", "1").await.unwrap();
    etcd.get("a").await.unwrap();
    etcd.ask("kv/deleterange", &json!({"key": encode("a")})).await.unwrap();
    let put = json!({"request_put": {"key": encode("c"), "value": encode("v")}});
    etcd.ask("kv/txn", &json!({"success": [put]})).await.unwrap();
    let raise = json!({"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "7"});
    etcd.ask("maintenance/alarm", &raise).await.unwrap();
    let page = cluster
        .web
        .get(&format!("{}/metrics", cluster.metrics_url(0)))
        .await
        .unwrap()
        .text();
    for line in [
        "etcd_mvcc_put_total 3",
        "etcd_mvcc_delete_total 1",
        "etcd_mvcc_txn_total 1",
        "etcd_server_quota_backend_bytes 5000000",
        "etcd_server_proposals_pending 0",
        "etcd_server_proposals_failed_total 0",
        "etcd_debugging_server_alarms{server_id=\"7\",alarm_type=\"NOSPACE\"} 1",
    ] {
        assert!(page.lines().any(|own| own == line), "{line} is not in\n{page}");
    }
    for name in [
        "etcd_mvcc_db_total_size_in_use_in_bytes ",
        "etcd_mvcc_db_total_size_in_bytes ",
        "etcd_mvcc_range_total ",
    ] {
        assert!(
            page.lines().any(|own| own.starts_with(name)),
            "{name} is not in\n{page}"
        );
    }
}

//! The port for probes and metrics, and how quickly a node answers after its start.

use std::time::Instant;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::wait::{SETTLE, until};

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_answer_in_plain_text() {
    let cluster = Cluster::plain(3).await;
    cluster.at(0).put("secret-key", "secret-value").await.unwrap();
    for at in 0..3 {
        let get = async |path: &str| {
            cluster
                .web
                .get(&format!("{}{path}", cluster.metrics_url(at)))
                .await
                .unwrap()
        };
        for path in ["/livez", "/readyz"] {
            let reply = get(path).await;
            assert_eq!((reply.status, reply.text().trim()), (200, "ok"), "{path}");
        }
        let verbose = get("/readyz?verbose").await;
        assert!(verbose.text().contains("[+]linearizable_read ok"), "{}", verbose.text());
        let health = get("/health").await;
        assert_eq!(
            (health.status, health.json()["health"].as_str()),
            (200, Some("true")),
            "{}",
            health.text()
        );
        let metrics = get("/metrics").await.text();
        for name in [
            "etcd_server_has_leader 1",
            "etcd_server_is_leader",
            "etcd_disk_wal_fsync_duration_seconds_count",
        ] {
            assert!(metrics.contains(name), "no {name} in:\n{metrics}");
        }
        assert!(!metrics.contains("secret"), "metrics hold no data");
        assert_eq!(get("/v1/kv/secret-key").await.status, 404, "this port serves no data");
        assert_eq!(get("/nothing").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_soon_after_its_start() {
    let mut cluster = Cluster::plain(1).await;
    for what in ["after an orderly stop", "after a crash"] {
        if what.ends_with("stop") {
            cluster.stop(0).await;
        } else {
            cluster.kill(0);
        }
        let started = Instant::now();
        cluster.start(0);
        until("the first answer", SETTLE, || async {
            cluster
                .at(0)
                .get("key")
                .await
                .map(drop)
                .map_err(|error| format!("{error:#}"))
        })
        .await;
        println!(
            "{what}: the first linearizable read was answered {:?} after the start",
            started.elapsed()
        );
    }
}

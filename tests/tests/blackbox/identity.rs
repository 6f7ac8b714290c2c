//! Members that must not join: an emptied disk, another cluster's disk, another authority's certificate. Each says so and
//! joins nothing, while the cluster goes on.

use std::time::Instant;

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::number;
use kvorum_tests::pki::Pki;
use kvorum_tests::wait::{SETTLE, until};
use serde_json::{Value, json};

/// How often a member that must not join is looked at, to see that it stays out.
const LOOKS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_disk_does_not_start_as_new() {
    let mut cluster = Cluster::managed(3).await;
    cluster.at(0).put("key", "1").await.unwrap();
    let operator = cluster.operator();
    let before = operator.status(&cluster, 0).await.unwrap()["members"].clone();
    let victim = cluster.leader().await;
    cluster.kill(victim);
    cluster.wipe(victim);
    cluster.start(victim);
    let status = operator.state(&cluster, victim, "IdentityMissing").await;
    assert!(
        status["reason"].as_str().is_some_and(|reason| reason.contains("empty")),
        "{status}"
    );
    let said = until("readyz to say why", SETTLE, || async {
        let reason = cluster
            .is_ready(victim)
            .await
            .expect_err("an emptied member must not be ready");
        if reason.contains("IdentityMissing") {
            Ok(reason)
        } else {
            Err(reason)
        }
    })
    .await;
    assert!(said.starts_with("503"), "{said}");
    assert!(
        cluster.members[victim].output().contains("IdentityMissing"),
        "the log must say it too"
    );
    let survivor = (victim + 1) % 3;
    for look in 0..LOOKS {
        cluster.at(survivor).put("key", &look.to_string()).await.unwrap();
        assert_eq!(
            operator.status(&cluster, victim).await.unwrap()["state"],
            "IdentityMissing"
        );
    }
    assert!(
        cluster.at(victim).get_serializable("key").await.is_err(),
        "it must serve no data"
    );
    assert_eq!(operator.status(&cluster, survivor).await.unwrap()["members"], before);

    // The way back: out with the old identity, in with a new one on the same disk.
    let lost = before
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["name"] == cluster.members[victim].name.as_str())
        .unwrap();
    operator.remove(&cluster, lost["id"].as_str().unwrap()).await;
    cluster.kill(victim);
    cluster.members[victim].write("identity", "member-id", "");
    cluster.start(victim);
    operator.join(&cluster, victim).await;
    cluster.ready().await;
    assert_eq!(
        cluster.at(victim).get("key").await.unwrap(),
        Some((LOOKS - 1).to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_disk_is_refused() {
    let mut cluster = Cluster::managed(1).await;
    let operator = cluster.operator();
    cluster.kill(0);
    cluster.members[0].write("identity", "member-id", "00000000000000ab");
    cluster.start(0);
    let status = operator.state(&cluster, 0, "IdentityMismatch").await;
    assert!(
        status["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("00000000000000ab")),
        "{status}"
    );
    assert!(cluster.is_ready(0).await.is_err());
    assert!(
        cluster.at(0).get_serializable("key").await.is_err(),
        "it must serve no data"
    );
}

/// Adds a place whose certificates come from `pki` instead of the cluster's own for peers.
fn intruder(cluster: &mut Cluster, pki: &Pki, with_our_peer_authority: bool) -> usize {
    let index = cluster.managed_place("n3");
    let own = cluster.pki.as_ref().unwrap();
    let peer = if with_our_peer_authority {
        own.peers.leaf(
            "n3",
            Some(format!("kvorum://{}/n3", pki.cluster)),
            kvorum_tests::pki::Use::Peer,
        )
    } else {
        pki.peer("n3")
    };
    let authority = if with_our_peer_authority {
        &own.peers.cert
    } else {
        &pki.peers.cert
    };
    cluster.members[index].write_certificates(&own.server("n3"), &peer, &own.clients.cert, authority);
    index
}

/// The member was added, but must never hold a byte of the cluster's data.
async fn stays_out(cluster: &Cluster, index: usize, id: &str) {
    let operator = cluster.operator();
    for look in 0..LOOKS {
        cluster.at(0).put("key", &look.to_string()).await.unwrap();
        let leader = cluster.leader().await;
        let progress = operator
            .call(cluster, leader, Method::GET, "progress", &Value::Null)
            .await
            .json();
        let matched = progress
            .as_array()
            .into_iter()
            .flatten()
            .find(|entry| entry["member_id"] == id)
            .cloned();
        assert_eq!(
            matched.map_or(0, |entry| entry["matched_index"].as_u64().unwrap_or_default()),
            0,
            "it was let in"
        );
        assert!(cluster.is_ready(index).await.is_err(), "it must not be ready");
    }
}

/// Adds the waiting intruder at the leader, as an operator that does not know better would.
async fn add(cluster: &Cluster, index: usize) -> String {
    let body = json!({
        "id": "0000000000abcdef", "name": "n3",
        "peer_urls": [format!("https://127.0.0.1:{}", cluster.members[index].peer)],
        "client_urls": [cluster.url(index)],
    });
    let leader = cluster.leader().await;
    let reply = cluster
        .operator()
        .call(cluster, leader, Method::POST, "members", &body)
        .await;
    assert!(reply.status < 300, "{} {}", reply.status, reply.text());
    "0000000000abcdef".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_another_authoritys_certificate_joins_nothing() {
    let mut cluster = Cluster::managed(3).await;
    let foreign = Pki::new(u64::from_str_radix(&cluster.pki.as_ref().unwrap().cluster, 16).unwrap());
    let index = intruder(&mut cluster, &foreign, false);
    cluster.start(index);
    cluster.operator().state(&cluster, index, "Waiting").await;
    let id = add(&cluster, index).await;
    stays_out(&cluster, index, &id).await;
    let leader = cluster.leader().await;
    let log = cluster.members[leader].output();
    assert!(
        log.to_lowercase().contains("certificate"),
        "the leader's log must name the certificate"
    );
    cluster.operator().remove(&cluster, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_another_clusters_id_joins_nothing() {
    let mut cluster = Cluster::managed(3).await;
    let index = intruder(&mut cluster, &Pki::new(0xabcd), true);
    cluster.start(index);
    let id = add(&cluster, index).await;
    until("the log to name the other cluster", SETTLE, || async {
        let leader = cluster.leader().await;
        let log = cluster.members[leader].output() + &cluster.members[index].output();
        if log.contains("000000000000abcd") {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    stays_out(&cluster, index, &id).await;
    cluster.operator().remove(&cluster, &id).await;
}

/// How often the member is killed. What it says before it knows is seen in some of the starts only.
const STARTS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_knows_its_cluster_from_its_first_answer_on() {
    let mut cluster = Cluster::managed(1).await;
    let operator = cluster.operator();
    let term = async |cluster: &Cluster| {
        let status = cluster.at(0).ask("maintenance/status", &json!({})).await;
        status.map(|status| number(&status["raftTerm"]))
    };
    let mut before = term(&cluster).await.unwrap();
    for _ in 0..STARTS {
        cluster.kill(0);
        cluster.start(0);
        // Without a pause, so that the very first answers are among them.
        let began = Instant::now();
        while cluster.is_ready(0).await.is_err() {
            assert!(began.elapsed() < SETTLE, "{:?}", cluster.is_ready(0).await);
            if let Ok(status) = operator.status(&cluster, 0).await {
                assert_ne!(
                    status["state"], "Waiting",
                    "a member of a cluster waits for nobody: {status}"
                );
            }
            if let Ok(now) = term(&cluster).await {
                assert!(now >= before, "term {now} after {before}");
            }
        }
        before = term(&cluster).await.unwrap();
    }
}

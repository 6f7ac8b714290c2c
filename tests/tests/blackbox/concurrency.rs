//! Locks and elections, over JSON and gRPC: turns in order, nothing left behind, etcd's answers.

use std::time::Duration;

use http::Method;
use kvorum_api::v3electionpb::election_client::ElectionClient;
use kvorum_api::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use kvorum_api::v3lockpb::lock_client::LockClient;
use kvorum_api::v3lockpb::{LockRequest, UnlockRequest};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, decode, encode, number};
use kvorum_tests::grpc::channel;
use kvorum_tests::reference::Reference;
use kvorum_tests::wait::{SETTLE, until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Code;

async fn grant(etcd: &Etcd, id: i64) -> i64 {
    let granted = etcd.ask("lease/grant", &json!({"ID": id, "TTL": 60})).await.unwrap();
    number(&granted["ID"])
}

/// Waits until so many keys stand in line below a prefix.
async fn in_line(etcd: &Etcd, prefix: &str, count: usize) {
    until("the line", SETTLE, || async {
        let keys = etcd.list(prefix).await.map_err(|error| format!("{error:#}"))?;
        if keys.len() == count {
            Ok(())
        } else {
            Err(format!("{keys:?}"))
        }
    })
    .await;
}

/// An answer without who gave it.
fn normal(mut body: Value) -> Value {
    if let Some(Value::Object(header)) = body.get_mut("header") {
        header.retain(|field, _| field == "revision");
    }
    if let Value::Object(map) = &mut body {
        map.remove("error");
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_etcds() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    for side in [&reference.etcd, &etcd] {
        grant(side, 10).await;
        grant(side, 11).await;
    }
    let (name, value) = (encode("e"), encode("v"));
    let calls = [
        ("lock/lock", json!({"name": name, "lease": 10})),
        ("lock/lock", json!({"name": name, "lease": 10})),
        ("lock/unlock", json!({"key": encode("e/a")})),
        ("lock/lock", json!({"name": name, "lease": "11"})),
        ("lock/unlock", json!({"key": encode("none")})),
        ("election/leader", json!({"name": encode("nobody")})),
        (
            "election/campaign",
            json!({"name": encode("x"), "lease": 10, "value": value}),
        ),
        (
            "election/campaign",
            json!({"name": encode("x"), "lease": 10, "value": encode("w")}),
        ),
        ("election/leader", json!({"name": encode("x")})),
        ("election/proclaim", json!({"value": value})),
        (
            "election/proclaim",
            json!({"leader": {"name": encode("x"), "key": encode("x/a"), "rev": 1, "lease": 10}}),
        ),
        (
            "election/proclaim",
            json!({"leader": {"name": encode("x"), "key": encode("x/a"), "rev": 6, "lease": 10}, "value": value}),
        ),
        ("election/resign", json!({})),
        ("election/resign", json!({"leader": {"key": encode("x/a"), "rev": 6}})),
        ("election/leader", json!({"name": encode("x")})),
    ];
    let mut differences = Vec::new();
    for (path, body) in calls {
        let theirs = reference.etcd.call(path, &body).await.unwrap();
        let ours = etcd.call(path, &body).await.unwrap();
        let (a, b) = (
            (theirs.status, normal(theirs.json())),
            (ours.status, normal(ours.json())),
        );
        if a != b {
            differences.push(format!("{path} {body}\n  etcd   {a:?}\n  kvorum {b:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // On purpose: etcd says 500 here.
    let refused = etcd
        .call("lock/lock", &json!({"name": name, "lease": 99}))
        .await
        .unwrap();
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (404, &json!(5)),
        "{}",
        refused.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_by_one_and_goes_to_the_next_in_line() {
    let cluster = Cluster::plain(3).await;
    let etcd = cluster.at(0);
    let mut waiting = Vec::new();
    for index in 0..4_usize {
        let lease = grant(&etcd, 0).await;
        let mut client = LockClient::new(channel(&cluster, index % 3).await);
        let request = LockRequest {
            name: "l".into(),
            lease,
        };
        waiting.push((lease, tokio::spawn(async move { client.lock(request).await })));
        in_line(&etcd, "l/", index + 1).await;
    }
    let mut unlock = LockClient::new(channel(&cluster, 2).await);
    for (turn, (lease, lock)) in waiting.into_iter().enumerate() {
        let locked = timeout(SETTLE, lock).await.unwrap().unwrap().unwrap().into_inner();
        assert_eq!(locked.key, format!("l/{lease:x}"));
        assert_eq!(etcd.list("l/").await.unwrap().len(), 4 - turn);
        if turn % 2 == 0 {
            unlock.unlock(UnlockRequest { key: locked.key }).await.unwrap();
        } else {
            // Who dies gives the lock up with its lease.
            etcd.ask("lease/revoke", &json!({"ID": lease})).await.unwrap();
        }
    }
    let refused = unlock
        .lock(LockRequest {
            name: "l".into(),
            lease: 12_345,
        })
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::NotFound, "etcdserver: requested lease not found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_is_not_in_line_any_more() {
    let cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    let (first, second) = (grant(&etcd, 0).await, grant(&etcd, 0).await);
    let lock = |lease: i64| json!({"name": encode("l"), "lease": lease});
    let held = etcd.ask("lock/lock", &lock(first)).await.unwrap();
    assert_eq!(decode(&held["key"]), format!("l/{first:x}"));
    let mut impatient = LockClient::new(channel(&cluster, 0).await);
    let request = LockRequest {
        name: "l".into(),
        lease: second,
    };
    let waited = timeout(Duration::from_secs(1), impatient.lock(request)).await;
    assert!(waited.is_err(), "somebody else holds it");
    in_line(&etcd, "l/", 1).await;
    // Without a lease of one's own there is one of a minute.
    etcd.ask("lock/unlock", &json!({"key": held["key"]})).await.unwrap();
    let held = etcd.ask("lock/lock", &json!({"name": encode("l")})).await.unwrap();
    let lease = i64::from_str_radix(decode(&held["key"]).trim_start_matches("l/"), 16).unwrap();
    let left = etcd.ask("lease/timetolive", &json!({"ID": lease})).await.unwrap();
    assert_eq!(left["grantedTTL"], "60");
}

/// Stands for election; done when it leads.
async fn campaign(cluster: &Cluster, lease: i64, value: &str) -> Campaign {
    let mut client = ElectionClient::new(channel(cluster, 0).await);
    let request = CampaignRequest {
        name: "e".into(),
        lease,
        value: value.to_owned().into(),
    };
    Campaign(tokio::spawn(async move {
        let leads = client.campaign(request).await.unwrap().into_inner();
        leads.leader.unwrap()
    }))
}

/// A campaign under way.
struct Campaign(JoinHandle<LeaderKey>);

impl Campaign {
    async fn won(self) -> LeaderKey {
        timeout(SETTLE, self.0).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elections_are_observed_from_campaign_to_resignation() {
    let cluster = Cluster::plain(3).await;
    let etcd = cluster.at(0);
    let mut client = ElectionClient::new(channel(&cluster, 1).await);
    let name = LeaderRequest { name: "e".into() };
    let mut observed = client.observe(name.clone()).await.unwrap().into_inner();
    let url = format!("{}/v3/election/observe", cluster.url(2));
    let body = json!({"name": encode("e")}).to_string();
    let web = cluster.web.clone().within(SETTLE);
    // Its head comes with the first leader.
    let lines = tokio::spawn(async move { web.open(Method::POST, &url, &[], body).await.unwrap() });
    let (one, two) = (grant(&etcd, 0).await, grant(&etcd, 0).await);
    let first = campaign(&cluster, one, "one").await.won().await;
    let second = campaign(&cluster, two, "two").await;
    in_line(&etcd, "e/", 2).await;
    assert!(!second.0.is_finished());
    let proclaim = ProclaimRequest {
        leader: Some(first.clone()),
        value: "one again".into(),
    };
    let mut values = Vec::new();
    let next = async |observed: &mut tonic::Streaming<_>| {
        let leader: Option<kvorum_api::v3electionpb::LeaderResponse> =
            timeout(SETTLE, observed.message()).await.unwrap().unwrap();
        String::from_utf8_lossy(&leader.unwrap().kv.unwrap().value).into_owned()
    };
    values.push(next(&mut observed).await);
    client.proclaim(proclaim).await.unwrap();
    values.push(next(&mut observed).await);
    let resign = ResignRequest { leader: Some(first) };
    client.resign(resign).await.unwrap();
    values.push(next(&mut observed).await);
    assert_eq!(values, ["one", "one again", "two"]);
    let second = second.won().await;
    let leader = client.leader(name.clone()).await.unwrap().into_inner().kv.unwrap();
    assert_eq!(leader.key, second.key);
    let mut lines = lines.await.unwrap();
    assert_eq!(decode(&lines.json().await["result"]["kv"]["value"]), "one");
    etcd.ask("lease/revoke", &json!({"ID": two})).await.unwrap();
    let nobody = client.leader(name).await.unwrap_err();
    assert_eq!(
        (nobody.code(), nobody.message()),
        (Code::Unknown, "election: no leader")
    );
}

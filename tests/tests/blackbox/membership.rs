//! Members join as learners, become voters, hand leadership on and leave, while clients write.

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::wait::{SETTLE, until};
use kvorum_tests::workload::Workload;
use serde_json::{Value, json};

/// Names and roles as a member sees them, sorted.
async fn roles(cluster: &Cluster, index: usize) -> Vec<(String, String)> {
    let status = cluster.operator().status(cluster, index).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members = status["members"].as_array().cloned().unwrap_or_default();
    let mut roles: Vec<_> = members
        .iter()
        .map(|member| (text(&member["name"]), text(&member["role"])))
        .collect();
    roles.sort();
    roles
}

/// Waits until every running member sees these roles.
async fn agreed(cluster: &Cluster, wanted: &[(&str, &str)]) {
    let wanted: Vec<(String, String)> = wanted
        .iter()
        .map(|(name, role)| ((*name).into(), (*role).into()))
        .collect();
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    for index in 0..cluster.members.len() {
        let member = &cluster.members[index];
        if member.process.is_some() && names.contains(&member.name.as_str()) {
            until(&format!("{} to see the members", member.name), SETTLE, || async {
                let seen = roles(cluster, index).await;
                if seen == wanted {
                    Ok(())
                } else {
                    Err(format!("{seen:?}"))
                }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_and_shrinks_under_load() {
    let mut cluster = Cluster::managed(1).await;
    let operator = cluster.operator();
    let load = Workload::start(&[cluster.at(0)], 6, 4, 3);
    for name in ["n1", "n2"] {
        let index = cluster.managed_place(name);
        cluster.start(index);
        operator.join(&cluster, index).await;
    }
    cluster.ready().await;
    agreed(&cluster, &[("n0", "Voter"), ("n1", "Voter"), ("n2", "Voter")]).await;
    let index = cluster.managed_place("n3");
    cluster.start(index);
    let id = operator.add(&cluster, index).await;
    agreed(
        &cluster,
        &[("n0", "Voter"), ("n1", "Voter"), ("n2", "Voter"), ("n3", "Learner")],
    )
    .await;
    assert_eq!(operator.state(&cluster, index, "Learner").await["state"], "Learner");
    operator.caught_up(&cluster, &id).await;
    operator.promote(&cluster, &id).await;
    operator.promote(&cluster, &id).await;
    operator.remove(&cluster, &id).await;
    operator.remove(&cluster, &id).await;
    agreed(&cluster, &[("n0", "Voter"), ("n1", "Voter"), ("n2", "Voter")]).await;
    cluster.kill(index);

    // Down to the one that has served the load all the time: leadership first, then the others leave.
    let first = operator.status(&cluster, 0).await.unwrap()["member_id"]
        .as_str()
        .unwrap()
        .to_owned();
    operator.transfer(&cluster, &first).await;
    for index in [2, 1] {
        let id = operator.status(&cluster, index).await.unwrap()["member_id"]
            .as_str()
            .unwrap()
            .to_owned();
        operator.remove(&cluster, &id).await;
        cluster.kill(index);
    }
    agreed(&cluster, &[("n0", "Voter")]).await;
    let recorder = load.finish().await;
    recorder.check("membership");
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::managed(3).await;
    let operator = cluster.operator();
    let load = Workload::start(&cluster.everywhere(), 6, 4, 5);
    for target in [0, 1, 2, 0, 2, 1] {
        let id = operator.status(&cluster, target).await.unwrap()["member_id"]
            .as_str()
            .unwrap()
            .to_owned();
        operator.transfer(&cluster, &id).await;
        until("leadership to arrive", SETTLE, || async {
            let leader = cluster.leader().await;
            if leader == target {
                Ok(())
            } else {
                Err(format!("n{leader} leads"))
            }
        })
        .await;
    }
    load.finish().await.check("transfer");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_changes_members_and_says_who_it_is() {
    let cluster = Cluster::managed(3).await;
    let operator = cluster.operator();
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let leader_id = operator.status(&cluster, leader).await.unwrap()["member_id"].clone();
    let member =
        json!({"id": "00000000000000ff", "name": "x", "peer_urls": ["https://127.0.0.1:1"], "client_urls": []});
    let calls = [
        (Method::POST, "members", member),
        (Method::POST, "members/00000000000000ff/promote", json!({})),
        (Method::DELETE, "members/00000000000000ff", Value::Null),
        (Method::POST, "transfer-leadership", json!({"target": leader_id})),
        (Method::GET, "progress", Value::Null),
    ];
    for (method, path, body) in calls {
        let reply = operator.call(&cluster, follower, method.clone(), path, &body).await;
        let json = reply.json();
        assert_eq!(
            (reply.status, json["code"].as_str()),
            (409, Some("NotLeader")),
            "{method} {path}: {}",
            reply.text()
        );
        assert_eq!(json["leader_id"], leader_id, "{method} {path}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_itself_may_be_removed() {
    let mut cluster = Cluster::managed(3).await;
    let operator = cluster.operator();
    cluster.at(0).put("key", "kept").await.unwrap();
    let leader = cluster.leader().await;
    let id = operator.status(&cluster, leader).await.unwrap()["member_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = cluster.follower().await;
    let target = operator.status(&cluster, target).await.unwrap()["member_id"]
        .as_str()
        .unwrap()
        .to_owned();
    operator.transfer(&cluster, &target).await;
    operator.remove(&cluster, &id).await;
    cluster.kill(leader);
    let survivor = (leader + 1) % 3;
    assert_eq!(cluster.at(survivor).get("key").await.unwrap().as_deref(), Some("kept"));
    assert_eq!(roles(&cluster, survivor).await.len(), 2);
}

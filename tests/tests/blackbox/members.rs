//! etcd's calls on the list of members, where no operator makes them.

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, id};
use kvorum_tests::reference::Reference;
use kvorum_tests::sides::{Both, bad, good};
use kvorum_tests::wait::{SETTLE, until};
use serde_json::{Value, json};

async fn members(etcd: &Etcd) -> Vec<Value> {
    let list = etcd
        .ask("cluster/member/list", &json!({"linearizable": true}))
        .await
        .unwrap();
    list["members"].as_array().cloned().unwrap_or_default()
}

async fn until_voter(etcd: &Etcd, url: &str) -> Value {
    until("the new member to vote", SETTLE, async || {
        let found = members(etcd)
            .await
            .into_iter()
            .find(|member| member["peerURLs"][0] == url);
        match found {
            Some(member) if member["isLearner"].is_null() && member["name"].is_string() => Ok(member),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_and_shrinks_by_etcds_calls() {
    let mut cluster = Cluster::plain(1).await;
    cluster.at(0).put("key", "before").await.unwrap();
    for (index, name) in [(1, "n1"), (2, "n2")] {
        assert_eq!(cluster.joining(name), index);
        let url = format!("http://127.0.0.1:{}", cluster.members[index].peer);
        // The request goes to whoever is there, also to one that does not lead.
        let etcd = cluster.at(index - 1);
        let added = etcd
            .ask("cluster/member/add", &json!({"peerURLs": [url]}))
            .await
            .unwrap();
        assert_eq!(
            (&added["member"]["peerURLs"][0], &added["member"]["isLearner"]),
            (&json!(url), &Value::Null)
        );
        assert!(added["header"]["revision"].is_null(), "{added}");
        // The others go on while it is not there.
        etcd.put("key", name).await.unwrap();
        cluster.start(index);
        let member = until_voter(&etcd, &url).await;
        assert_eq!(member["ID"], added["member"]["ID"]);
        cluster.ready().await;
        assert_eq!(cluster.at(index).get("key").await.unwrap().as_deref(), Some(name));
    }
    // The leader itself may be removed; another takes over first.
    let leader = cluster.leader().await;
    let (leader_id, _) = cluster.at(leader).who().await.unwrap();
    let follower = cluster.follower().await;
    let body = json!({"ID": leader_id.to_string()});
    let left = cluster.at(follower).ask("cluster/member/remove", &body).await.unwrap();
    assert_eq!(left["members"].as_array().unwrap().len(), 2);
    cluster.kill(leader);
    cluster.at(follower).put("key", "after").await.unwrap();
    let known = members(&cluster.at(follower)).await;
    assert!(known.iter().all(|member| id(&member["ID"]) != leader_id));
    // Its place can be taken again, on an empty disk.
    cluster.wipe(leader);
    if leader != 0 {
        let url = format!("http://127.0.0.1:{}", cluster.members[leader].peer);
        let etcd = cluster.at(follower);
        etcd.ask("cluster/member/add", &json!({"peerURLs": [url]}))
            .await
            .unwrap();
        cluster.start(leader);
        until_voter(&etcd, &url).await;
        cluster.ready().await;
        assert_eq!(cluster.at(leader).get("key").await.unwrap().as_deref(), Some("after"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_votes_when_it_is_told_to() {
    let mut cluster = Cluster::plain(1).await;
    let index = cluster.joining("n1");
    let url = format!("http://127.0.0.1:{}", cluster.members[index].peer);
    let etcd = cluster.at(0);
    let add = json!({"peerURLs": [url], "isLearner": true});
    let added = etcd.ask("cluster/member/add", &add).await.unwrap();
    assert_eq!(added["member"]["isLearner"], true);
    let promote = json!({"ID": added["member"]["ID"]});
    let refused = etcd.call("cluster/member/promote", &promote).await.unwrap();
    let text = "etcdserver: can only promote a learner member which is in sync with leader";
    assert_eq!((refused.status, refused.json()["message"].as_str()), (400, Some(text)));
    let other = json!({"peerURLs": ["http://127.0.0.1:9"], "isLearner": true});
    let refused = etcd.call("cluster/member/add", &other).await.unwrap();
    assert_eq!(
        refused.json()["message"],
        "etcdserver: too many learner members in cluster"
    );
    cluster.start(index);
    until("the learner to be level", SETTLE, async || {
        let reply = etcd
            .call("cluster/member/promote", &promote)
            .await
            .map_err(|error| format!("{error:#}"))?;
        if reply.status == 200 { Ok(()) } else { Err(reply.text()) }
    })
    .await;
    until_voter(&etcd, &url).await;
    let moved = json!({"ID": added["member"]["ID"], "peerURLs": [url, "http://127.0.0.1:9"]});
    let updated = etcd.ask("cluster/member/update", &moved).await.unwrap();
    let member = updated["members"]
        .as_array()
        .unwrap()
        .iter()
        .find(|own| own["ID"] == added["member"]["ID"]);
    assert_eq!(member.unwrap()["peerURLs"], moved["peerURLs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_are_made_one_after_the_other() {
    let cluster = Cluster::plain(3).await;
    let everywhere = cluster.everywhere();
    let listed = members(&everywhere[0]).await;
    // All at once, each by way of another member.
    let updates = listed
        .iter()
        .zip(&everywhere)
        .enumerate()
        .map(|(index, (own, member))| {
            let more = format!("http://127.0.0.1:{}", index + 1);
            let moved = json!({"ID": own["ID"], "peerURLs": [own["peerURLs"][0], more]});
            async move { member.ask("cluster/member/update", &moved).await.unwrap() }
        });
    futures::future::join_all(updates).await;
    let listed = members(&everywhere[0]).await;
    assert!(listed.iter().all(|own| own["peerURLs"].as_array().unwrap().len() == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_etcds() {
    let cluster = Cluster::plain(1).await;
    let reference = Reference::start().await;
    let mut both = Both::new(&cluster, reference.as_ref());
    let bad_urls = "etcdserver: given member URLs are invalid";
    let nobody = json!({"ID": "7"});
    let script = [
        bad("", "cluster/member/add", json!({}), 400, bad_urls),
        bad(
            "",
            "cluster/member/add",
            json!({"peerURLs": ["nonsense"]}),
            400,
            bad_urls,
        ),
        bad(
            "",
            "cluster/member/add",
            json!({"peerURLs": ["http://127.0.0.1"]}),
            400,
            bad_urls,
        ),
        bad(
            "",
            "cluster/member/remove",
            nobody.clone(),
            404,
            "etcdserver: member not found",
        ),
        bad(
            "",
            "cluster/member/promote",
            nobody.clone(),
            404,
            "etcdserver: member not found",
        ),
        bad(
            "",
            "cluster/member/update",
            json!({"ID": "7", "peerURLs": ["http://127.0.0.1:9"]}),
            404,
            "etcdserver: member not found",
        ),
        good("", "maintenance/alarm", json!({})),
    ];
    both.run(&script).await;
    // Of its own members it knows more.
    let etcd = cluster.at(0);
    let own = members(&etcd).await.remove(0);
    let last = etcd
        .call("cluster/member/remove", &json!({"ID": own["ID"]}))
        .await
        .unwrap();
    let text = "etcdserver: re-configuration failed due to not enough started members";
    assert_eq!((last.status, last.json()["message"].as_str()), (400, Some(text)));
    let voter = etcd
        .call("cluster/member/promote", &json!({"ID": own["ID"]}))
        .await
        .unwrap();
    assert_eq!(voter.json()["message"], "etcdserver: can only promote a learner member");
    let taken = etcd
        .call("cluster/member/add", &json!({"peerURLs": own["peerURLs"]}))
        .await
        .unwrap();
    assert_eq!(taken.json()["message"], "etcdserver: Peer URLs already exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_members_are_the_operators() {
    let cluster = Cluster::managed(1).await;
    let own = members(&cluster.at(0)).await.remove(0);
    for (path, body) in [
        ("cluster/member/add", json!({"peerURLs": ["https://127.0.0.1:9"]})),
        ("cluster/member/remove", json!({"ID": own["ID"]})),
        ("cluster/member/promote", json!({"ID": own["ID"]})),
        (
            "cluster/member/update",
            json!({"ID": own["ID"], "peerURLs": own["peerURLs"]}),
        ),
    ] {
        let reply = cluster.at(0).call(path, &body).await.unwrap();
        let text = "kvorum: the operator of this cluster changes its members";
        assert_eq!(
            (reply.status, reply.json()["message"].as_str()),
            (400, Some(text)),
            "{path}"
        );
    }
}

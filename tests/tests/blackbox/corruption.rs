//! A member whose data changed behind its back is found out by the others, and then nothing more is written.

use std::fs;
use std::path::Path;

use kvorum_api::error::Refusal;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{encode, id};
use kvorum_tests::wait::{SETTLE, until};
use serde_json::{Value, json};

/// What is put, and what a rotten disk makes of it.
const PUT: &str = "a value that was written";
const ROTTEN: &str = "a value that was rotting";

/// Replaces the value in the engine of a member that is stopped: its own checksums are right afterwards.
fn rot(engine: &Path) -> usize {
    let database = sled::Config::new().path(engine).open().unwrap();
    let mut changed = 0;
    let names = database.tree_names();
    for tree in names.iter().map(|name| database.open_tree(name).unwrap()) {
        for record in &tree {
            let (key, value) = record.unwrap();
            let place = value.windows(PUT.len()).position(|part| part == PUT.as_bytes());
            if let Some(place) = place {
                let mut rotten = value.to_vec();
                rotten[place..place + PUT.len()].copy_from_slice(ROTTEN.as_bytes());
                tree.insert(key, rotten).unwrap();
                changed += 1;
            }
        }
    }
    database.flush().unwrap();
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_differs_is_told_from_the_others() {
    let mut cluster = Cluster::plain(3).await;
    let sick = cluster.follower().await;
    let healthy = cluster.at((sick + 1) % 3);
    healthy.put("key", PUT).await.unwrap();
    let (sick_id, _) = cluster.at(sick).who().await.unwrap();
    assert_eq!(cluster.at(sick).get("key").await.unwrap().as_deref(), Some(PUT));

    let engine = cluster.members[sick].folder.join("data/engine");
    let running = fs::read(engine.join("trust")).unwrap();
    assert_eq!(cluster.stop(sick).await, Some(0));
    assert_eq!(rot(&engine.join("sled")), 1, "one record holds the value");
    // As after a kill: what changed since an orderly stop is noticed at the start, and put right.
    fs::write(engine.join("trust"), running).unwrap();
    cluster.start(sick);
    let alarm = until("the alarm", SETTLE, async || {
        let answer = healthy.ask("maintenance/alarm", &json!({})).await;
        let answer: Value = answer.map_err(|error| format!("{error:#}"))?;
        let alarms = answer["alarms"].as_array().cloned().unwrap_or_default();
        alarms.first().cloned().ok_or_else(|| "there is none".to_owned())
    })
    .await;
    assert_eq!((id(&alarm["memberID"]), &alarm["alarm"]), (sick_id, &json!("CORRUPT")));

    // Another key: what is overwritten differs no more.
    let put = json!({"key": encode("other"), "value": encode("more")});
    let refused = healthy.call("kv/put", &put).await.unwrap();
    assert_eq!(refused.json()["message"], Refusal::Corrupt.message(), "{refused:?}");
    let told = cluster
        .members
        .iter()
        .any(|member| member.output().contains("the members differ"));
    assert!(told, "the leader's log says what differs");

    // A person clears it after the member was dealt with; here it was not, so it comes back.
    let clear = json!({"action": "DEACTIVATE", "alarm": "CORRUPT", "memberID": sick_id.to_string()});
    healthy.ask("maintenance/alarm", &clear).await.unwrap();
    until("the alarm to come back", SETTLE, async || {
        let reply = healthy
            .call("kv/put", &put)
            .await
            .map_err(|error| format!("{error:#}"))?;
        if reply.json()["message"] == Refusal::Corrupt.message() {
            Ok(())
        } else {
            Err(format!("{reply:?}"))
        }
    })
    .await;
}

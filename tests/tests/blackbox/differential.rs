//! The same random requests to a real etcd and to Kvorum: every answer equal, field by field.
//!
//! Left out of the comparison: ids and terms in headers, which name who answered; the `error` field, an extra for
//! clients older than 3.6; and the text of refusals that quote etcd's own JSON parser (none of these requests does).

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::number;
use kvorum_tests::reference::Reference;
use kvorum_tests::requests::Requests;
use kvorum_tests::seed;
use kvorum_tests::web::Reply;
use rand::Rng;
use serde_json::{Value, json};

/// Requests in an ordinary run, each sent to both sides.
const REQUESTS: usize = 3_000;

/// Differences printed before the test gives up.
const DIFFERENCES_MAX: usize = 5;

/// An answer without what may rightly differ.
fn normal(reply: &Reply) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::Object(header)) = map.get_mut("header") {
                    header.retain(|field, _| field == "revision");
                }
                map.remove("error");
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut body = reply.json();
    strip(&mut body);
    json!({"status": reply.status, "body": body})
}

async fn compare(members: usize, serializable: bool) {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(members).await;
    let sides = cluster.everywhere();
    let (random, _) = seed::generator(&format!("differential, {members} member(s)"));
    let mut requests = Requests {
        random,
        revision: 1,
        serializable,
    };
    let count = seed::count("KVORUM_DIFFERENTIAL_REQUESTS", REQUESTS);
    let (mut differences, mut refusals) = (Vec::new(), 0);
    for step in 0..count {
        let (path, body) = requests.draw();
        let side = &sides[requests.random.random_range(0..sides.len())];
        let theirs = reference.etcd.call(path, &body).await.unwrap();
        let ours = side.call(path, &body).await.unwrap();
        refusals += usize::from(theirs.status != 200);
        requests.revision = requests.revision.max(number(&theirs.json()["header"]["revision"]));
        let (theirs, ours) = (normal(&theirs), normal(&ours));
        if theirs != ours {
            differences.push(format!(
                "step {step}: {path} {body}\n  etcd   {theirs}\n  kvorum {ours}"
            ));
        }
        if differences.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    assert!(
        differences.is_empty(),
        "{} difference(s):\n{}",
        differences.len(),
        differences.join("\n")
    );
    println!(
        "{count} requests, {refusals} of them refused alike, revision {}: no difference",
        requests.revision
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_answers_as_etcd_does() {
    compare(1, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_answer_as_etcd_does() {
    compare(3, false).await;
}

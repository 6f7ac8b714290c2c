//! Admin calls: only with the operator's certificate, only with a fencing epoch that is not older than one seen.

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::pki::{Authority, Use};
use kvorum_tests::web::Web;
use serde_json::{Value, json};

/// Every admin call, with a body that would be good.
fn calls() -> Vec<(Method, &'static str, Value)> {
    let member =
        json!({"id": "00000000000000ff", "name": "x", "peer_urls": ["https://127.0.0.1:1"], "client_urls": []});
    vec![
        (Method::GET, "status", Value::Null),
        (Method::GET, "progress", Value::Null),
        (
            Method::POST,
            "bootstrap",
            json!({"cluster_id": "00000000000000aa", "member_id": "00000000000000bb"}),
        ),
        (Method::POST, "members", member),
        (Method::POST, "members/00000000000000ff/promote", json!({})),
        (Method::DELETE, "members/00000000000000ff", Value::Null),
        (
            Method::POST,
            "transfer-leadership",
            json!({"target": "00000000000000ff"}),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_operator_may() {
    let cluster = Cluster::managed(1).await;
    let pki = cluster.pki.as_ref().unwrap();
    let before = cluster.operator().status(&cluster, 0).await.unwrap();
    let ca = pki.clients.cert.as_str();
    let elsewhere = pki.clients.leaf(
        "operator",
        Some("kvorum://00000000000000aa/operator".into()),
        Use::Client,
    );
    let member = pki
        .clients
        .leaf("n0", Some(format!("kvorum://{}/n0", pki.cluster)), Use::Client);
    let by_name = pki
        .clients
        .leaf(&format!("kvorum://{}/operator", pki.cluster), None, Use::Client);
    let strangers = [
        ("no certificate", Web::new(Some(ca), None)),
        ("an application's", Web::new(Some(ca), Some(&pki.application()))),
        ("another cluster's operator", Web::new(Some(ca), Some(&elsewhere))),
        ("a member's", Web::new(Some(ca), Some(&member))),
        ("the right text in the common name", Web::new(Some(ca), Some(&by_name))),
    ];
    for (who, web) in strangers {
        for (method, path, body) in calls() {
            let url = format!("{}/v1/admin/{path}", cluster.url(0));
            let reply = web
                .send(method.clone(), &url, &[("kvorum-fencing-epoch", "9")], body.to_string())
                .await
                .unwrap();
            let code = reply.json()["code"].clone();
            assert_eq!(
                (reply.status, code),
                (403, json!("NotOperator")),
                "{who}: {method} {path}: {}",
                reply.text()
            );
        }
    }
    let forged = Authority::new("forged").leaf(
        "operator",
        Some(format!("kvorum://{}/operator", pki.cluster)),
        Use::Client,
    );
    let url = format!("{}/v1/admin/status", cluster.url(0));
    assert!(
        Web::new(Some(ca), Some(&forged)).get(&url).await.is_err(),
        "a certificate of an unknown authority"
    );
    let after = cluster.operator().status(&cluster, 0).await.unwrap();
    assert_eq!(
        (&before["members"], &before["fencing_epoch"]),
        (&after["members"], &after["fencing_epoch"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_operator_shuts_the_older_out_even_after_a_restart() {
    let mut cluster = Cluster::managed(1).await;
    let operator = cluster.operator();
    let own = operator.status(&cluster, 0).await.unwrap()["member_id"].clone();
    let transfer = json!({"target": own});
    operator.set_epoch(7);
    operator
        .call(&cluster, 0, Method::POST, "transfer-leadership", &transfer)
        .await;
    cluster.kill(0);
    cluster.start(0);
    cluster.ready().await;
    let operator = cluster.operator();
    operator.set_epoch(6);
    let reply = operator
        .call(&cluster, 0, Method::POST, "transfer-leadership", &transfer)
        .await;
    assert_eq!(
        (reply.status, reply.json()["code"].as_str()),
        (409, Some("StaleEpoch")),
        "{}",
        reply.text()
    );
    let web = Web::new(
        Some(&cluster.pki.as_ref().unwrap().clients.cert),
        Some(&cluster.pki.as_ref().unwrap().operator()),
    );
    let url = format!("{}/v1/admin/transfer-leadership", cluster.url(0));
    let without = web.post(&url, &transfer).await.unwrap();
    assert_eq!(
        (without.status, without.json()["code"].as_str()),
        (400, Some("EpochRequired")),
        "{}",
        without.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_make_no_sense_change_nothing() {
    let cluster = Cluster::managed(1).await;
    let operator = cluster.operator();
    let before = operator.status(&cluster, 0).await.unwrap();
    let own = before["member_id"].as_str().unwrap().to_owned();
    let urls = json!(["https://127.0.0.1:1"]);
    let conflict = json!({"id": own, "name": "other", "peer_urls": urls, "client_urls": []});
    let other = json!({"cluster_id": "00000000000000aa", "member_id": own});
    let cases = [
        (Method::POST, "bootstrap".to_owned(), other, 409, "ClusterMismatch"),
        (
            Method::POST,
            "bootstrap".to_owned(),
            json!({"cluster_id": "nonsense"}),
            400,
            "Malformed",
        ),
        (Method::POST, "members".to_owned(), json!({"id": "1"}), 400, "Malformed"),
        (Method::POST, "members".to_owned(), conflict, 409, "MemberConflict"),
        (
            Method::POST,
            "members/00000000000000ff/promote".to_owned(),
            json!({}),
            404,
            "MemberNotFound",
        ),
        (
            Method::POST,
            "members/nonsense/promote".to_owned(),
            json!({}),
            400,
            "Malformed",
        ),
        (
            Method::DELETE,
            format!("members/{own}"),
            Value::Null,
            409,
            "UnsafeChange",
        ),
        (
            Method::POST,
            "transfer-leadership".to_owned(),
            json!({"target": "00000000000000ff"}),
            409,
            "BadTransferee",
        ),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, status, code) in cases {
        let reply = operator.call(&cluster, 0, method.clone(), &path, &body).await;
        let json = reply.json();
        if reply.status != status || json["code"] != code {
            wrong.push(format!(
                "{method} {path} {body}: expected {status} {code}, got {} {}",
                reply.status,
                reply.text()
            ));
        }
    }
    let after = operator.status(&cluster, 0).await.unwrap();
    assert_eq!(before["members"], after["members"]);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

//! `/v1/leases`: leases as a person with curl uses them.

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::web::Reply;
use serde_json::{Value, json};

async fn call(cluster: &Cluster, method: Method, path: &str, body: &str) -> Reply {
    let url = format!("{}{path}", cluster.url(0));
    cluster.web.send(method, &url, &[], body.to_owned()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_granted_used_kept_alive_looked_at_and_revoked() {
    let cluster = Cluster::plain(1).await;
    let granted = call(&cluster, Method::POST, "/v1/leases", r#"{"ttl":60}"#).await;
    assert_eq!(granted.status, 201, "{}", granted.text());
    let id = granted.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), &granted.json()["ttl"]), (16, &json!(60)));
    let put = call(&cluster, Method::PUT, &format!("/v1/kv/k?lease={id}"), "v").await;
    assert!(matches!(put.status, 200 | 201), "{}", put.text());
    let one = format!("/v1/leases/{id}");
    let kept = call(&cluster, Method::PUT, &one, "").await;
    assert_eq!((kept.status, kept.json()), (200, json!({"id": id, "ttl": 60})));
    let read = call(&cluster, Method::GET, &one, "").await.json();
    assert_eq!((&read["ttl"], &read["keys"]), (&json!(60), &json!([{"key": "k"}])));
    assert!((58..=60).contains(&read["remaining"].as_i64().unwrap()), "{read}");
    let all = call(&cluster, Method::GET, "/v1/leases", "").await.json();
    assert_eq!(all, json!({"leases": [id]}));
    assert_eq!(call(&cluster, Method::DELETE, &one, "").await.status, 204);
    assert_eq!(call(&cluster, Method::GET, "/v1/kv/k", "").await.status, 404);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let gone = call(&cluster, method.clone(), &one, "").await;
        assert_eq!(
            (gone.status, &gone.json()["code"]),
            (404, &json!("LeaseNotFound")),
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_a_problem() {
    let cluster = Cluster::plain(1).await;
    let chosen = r#"{"ttl":1,"id":"00000000000000ff"}"#;
    let granted = call(&cluster, Method::POST, "/v1/leases", chosen).await.json();
    assert_eq!(
        granted,
        json!({"id": "00000000000000ff", "ttl": 2}),
        "raised to the minimum"
    );
    for (method, path, body, status, code) in [
        (Method::POST, "/v1/leases", chosen, 400, "LeaseExists"),
        (Method::POST, "/v1/leases", "", 400, "Malformed"),
        (Method::POST, "/v1/leases", r#"{"ttl":"60"}"#, 400, "Malformed"),
        (Method::POST, "/v1/leases", r#"{"TTL":60}"#, 400, "Malformed"),
        (
            Method::POST,
            "/v1/leases",
            r#"{"ttl":9000000001}"#,
            400,
            "LeaseTtlTooLarge",
        ),
        (Method::POST, "/v1/leases?x", r#"{"ttl":60}"#, 400, "Malformed"),
        (Method::GET, "/v1/leases/0", "", 400, "Malformed"),
        (Method::GET, "/v1/leases/xyz", "", 400, "Malformed"),
        (Method::PUT, "/v1/leases/ab?x", "", 400, "Malformed"),
        (Method::DELETE, "/v1/leases", "", 405, "MethodNotAllowed"),
        (Method::POST, "/v1/leases/ab", "", 405, "MethodNotAllowed"),
    ] {
        let refused = call(&cluster, method.clone(), path, body).await;
        let problem: Value = refused.json();
        assert_eq!(
            (refused.status, &problem["code"]),
            (status, &json!(code)),
            "{method} {path} {body}"
        );
    }
}

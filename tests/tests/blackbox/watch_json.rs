//! Watches over etcd's JSON gateway: the same bodies to a real etcd and to Kvorum, line by line; and what Kvorum refuses
//! where etcd would hang.

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, encode};
use kvorum_tests::reference::Reference;
use kvorum_tests::stream::Stream;
use kvorum_tests::web::Web;
use serde_json::{Value, json};

/// Opens a watch; a head comes with the first line.
async fn open(web: &Web, url: &str, body: &str) -> Stream {
    let url = format!("{url}/v3/watch");
    let stream = web.open(Method::POST, &url, &[], body.to_owned()).await;
    stream.unwrap_or_else(|error| panic!("{body}: {error:#}"))
}

/// A line without what may rightly differ: who answered, and in which term.
fn normal(mut line: Value) -> Value {
    if let Some(Value::Object(header)) = line.pointer_mut("/result/header") {
        header.retain(|field, _| field == "revision");
    }
    line
}

/// Lines of a stream, until there are `count` events and other answers in sum. Events that came in one line or in
/// several are the same.
async fn lines(stream: &mut Stream, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    while found.len() < count {
        let line = normal(stream.json().await);
        match line.pointer("/result/events").and_then(Value::as_array) {
            Some(events) => {
                let id = &line["result"]["watch_id"];
                found.extend(events.iter().map(|event| json!({"watch_id": id, "event": event})));
            }
            None => found.push(line),
        }
    }
    found
}

/// The same history on both sides: revisions 2 to 13.
async fn prepare(etcd: &Etcd) {
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")] {
        etcd.put(key, value).await.unwrap();
    }
    etcd.ask("kv/deleterange", &json!({"key": encode("b")})).await.unwrap();
    let put = |key: &str| json!({"request_put": {"key": encode(key), "value": encode("t")}});
    let both = json!({"success": [put("a"), put("d")]});
    etcd.ask("kv/txn", &both).await.unwrap();
    for number in 8..=13 {
        etcd.put("e", &number.to_string()).await.unwrap();
    }
    etcd.ask("kv/compaction", &json!({"revision": "4"})).await.unwrap();
}

fn create(more: &Value) -> String {
    let mut request = json!({"key": encode("a"), "range_end": encode("z")});
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    json!({"create_request": request}).to_string()
}

/// Bodies, and how many answers and events each has.
fn bodies() -> Vec<(String, usize)> {
    let key = encode("a");
    vec![
        (create(&json!({"start_revision": "5"})), 11),
        (create(&json!({"start_revision": 4})), 12),
        (create(&json!({"startRevision": "5", "prevKv": true})), 11),
        (create(&json!({"start_revision": "5", "filters": ["NOPUT"]})), 2),
        (create(&json!({"start_revision": "5", "filters": ["NODELETE"]})), 10),
        (create(&json!({"start_revision": "5", "filters": [0]})), 2),
        (create(&json!({"start_revision": "5", "range_end": ""})), 2),
        (create(&json!({"start_revision": "5", "key": ""})), 11),
        (create(&json!({"start_revision": "5", "range_end": "AA=="})), 11),
        (create(&json!({"start_revision": "3"})), 2),
        (create(&json!({"start_revision": "-4"})), 1),
        (create(&json!({"watch_id": "44"})), 1),
        (create(&json!({"range_end": key})), 1),
        (format!("{}{}", create(&json!({})), create(&json!({}))), 2),
        (
            format!(
                "{}\n{}",
                create(&json!({"watch_id": "5"})),
                create(&json!({"watch_id": "5"}))
            ),
            2,
        ),
        (format!(r#"{}{{"cancel_request":{{}}}}"#, create(&json!({}))), 2),
        (format!(r#"{}{{"progress_request":{{}}}}"#, create(&json!({}))), 2),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_answer_as_etcds_do() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    prepare(&reference.etcd).await;
    prepare(&cluster.at(0)).await;
    let mut differences = Vec::new();
    for (body, count) in bodies() {
        let mut theirs = open(&cluster.web, &reference.urls[0], &body).await;
        let mut ours = open(&cluster.web, &cluster.url(0), &body).await;
        assert_eq!(ours.status, theirs.status);
        for header in ["content-type", "grpc-metadata-content-type"] {
            assert_eq!(ours.headers.get(header), theirs.headers.get(header), "{header}");
        }
        let (mut theirs, mut ours) = (lines(&mut theirs, count).await, lines(&mut ours, count).await);
        if body.contains("progress_request") {
            // etcd may answer the later question first.
            theirs.sort_by_key(Value::to_string);
            ours.sort_by_key(Value::to_string);
        }
        if theirs != ours {
            differences.push(format!("{body}\n  etcd   {theirs:?}\n  kvorum {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_lines_as_they_happen_at_a_follower() {
    let cluster = Cluster::managed(3).await;
    let follower = cluster.follower().await;
    let mut stream = open(&cluster.web, &cluster.url(follower), &create(&json!({}))).await;
    assert_eq!(stream.json().await["result"]["created"], true);
    for number in 0..20 {
        let revision = cluster.at(number % 3).put("k", &number.to_string()).await.unwrap();
        let line = stream.json().await;
        let event = &line["result"]["events"][0]["kv"];
        assert_eq!(event["value"], encode(number.to_string()));
        assert_eq!(event["mod_revision"], revision.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_at_once() {
    let cluster = Cluster::plain(1).await;
    for (body, message) in [
        ("", "a create_request, a cancel_request or a progress_request is needed"),
        (
            "{}",
            "a create_request, a cancel_request or a progress_request is needed",
        ),
        ("[]", "an object is expected"),
        ("create", "an object is expected"),
        (
            "{\"create_request\":{",
            "the request's body ends in the middle of a value",
        ),
    ] {
        let mut refused = open(&cluster.web, &cluster.url(0), body).await;
        assert_eq!(refused.status, 400, "{body}");
        let expected = json!({"error": {"code": 3, "message": message}});
        assert_eq!(refused.json().await, expected, "{body}");
        assert_eq!(refused.line().await, None);
    }
    let wrong = r#"{"create_request":{"key":7}}"#;
    let mut refused = open(&cluster.web, &cluster.url(0), wrong).await;
    assert_eq!(
        (refused.status, &refused.json().await["error"]["code"]),
        (400, &json!(3))
    );
    // After the first answer the status is said; the error is the last line.
    let late = create(&json!({})) + "{";
    let mut stream = open(&cluster.web, &cluster.url(0), &late).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.json().await["result"]["created"], true);
    assert_eq!(stream.json().await["error"]["code"], 3);
    assert_eq!(stream.line().await, None);
    let get = cluster.web.get(&format!("{}/v3/watch", cluster.url(0))).await.unwrap();
    assert_eq!(get.status, 501);
}

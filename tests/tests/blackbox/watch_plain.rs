//! `GET /v1/watch`: server-sent events and lines, resumed by revision.

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::encode;
use kvorum_tests::stream::Stream;
use serde_json::{Value, json};

const LINES: (&str, &str) = ("accept", "application/x-ndjson");

async fn open(cluster: &Cluster, at: usize, query: &str, headers: &[(&str, &str)]) -> Stream {
    let url = format!("{}/v1/watch?{query}", cluster.url(at));
    cluster.web.open(Method::GET, &url, headers, "").await.unwrap()
}

/// One server-sent event: its name, its id if it has one, its data.
async fn event(stream: &mut Stream) -> (String, Option<i64>, Value) {
    let (mut name, mut id, mut data) = (String::new(), None, Value::Null);
    loop {
        let line = stream.line().await.expect("the stream goes on");
        match line.split_once(": ") {
            Some(("event", text)) => name = text.to_owned(),
            Some(("id", text)) => id = Some(text.parse().unwrap()),
            Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
            _ if line.is_empty() => return (name, id, data),
            _ => panic!("{line}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_events_that_a_browser_can_resume_from() {
    let cluster = Cluster::plain(3).await;
    let follower = cluster.follower().await;
    let mut stream = open(&cluster, follower, "prefix=app/", &[]).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let (name, id, _) = event(&mut stream).await;
    assert_eq!((name.as_str(), id), ("progress", Some(1)));
    cluster.at(0).put("app/a", "1").await.unwrap();
    cluster.at(0).put("other", "1").await.unwrap();
    let (name, id, data) = event(&mut stream).await;
    assert_eq!((name.as_str(), id), ("put", Some(2)));
    assert_eq!(
        data,
        json!({"type": "put", "key": "app/a", "value": "1", "version": 1, "create_revision": 2, "mod_revision": 2})
    );
    // Two changes of one revision: only the last has an id, so that coming back cannot skip the other.
    let put = |key: &str| json!({"request_put": {"key": encode(key), "value": encode("2")}});
    let both = json!({"success": [put("app/a"), put("app/b")]});
    cluster.at(0).ask("kv/txn", &both).await.unwrap();
    assert_eq!(event(&mut stream).await.1, None);
    assert_eq!(event(&mut stream).await.1, Some(4));
    drop(stream);
    cluster
        .at(0)
        .ask("kv/deleterange", &json!({"key": encode("app/a")}))
        .await
        .unwrap();
    let back = (follower + 1) % 3;
    let mut stream = open(&cluster, back, "prefix=app/&previous&from=1", &[("last-event-id", "4")]).await;
    assert_eq!(event(&mut stream).await.1, Some(4));
    let (name, id, data) = event(&mut stream).await;
    assert_eq!((name.as_str(), id), ("delete", Some(5)));
    assert_eq!(
        (&data["key"], &data["previous"]["value"]),
        (&json!("app/a"), &json!("2"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_lines_for_those_who_accept_lines() {
    let cluster = Cluster::plain(1).await;
    for value in ["1", "2"] {
        cluster.at(0).put("k", value).await.unwrap();
    }
    cluster.at(0).put("kk", "1").await.unwrap();
    let mut stream = open(&cluster, 0, "key=k&from=2", &[LINES]).await;
    assert_eq!(stream.headers["content-type"], "application/x-ndjson");
    assert_eq!(stream.json().await, json!({"type": "progress", "revision": 1}));
    for (value, revision) in [("1", 2), ("2", 3)] {
        let line = stream.json().await;
        assert_eq!(
            (&line["value"], &line["mod_revision"]),
            (&json!(value), &json!(revision))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_a_problem() {
    let cluster = Cluster::plain(1).await;
    for value in ["1", "2", "3"] {
        cluster.at(0).put("k", value).await.unwrap();
    }
    cluster
        .at(0)
        .ask("kv/compaction", &json!({"revision": "3"}))
        .await
        .unwrap();
    for (query, header, status, code) in [
        ("", None, 400, "Malformed"),
        ("key=a&prefix=b", None, 400, "Malformed"),
        ("key=", None, 400, "EmptyKey"),
        ("key=a&from=0", None, 400, "Malformed"),
        ("key=a&from=x", None, 400, "Malformed"),
        ("key=a&form=3", None, 400, "Malformed"),
        ("key=a", Some("x"), 400, "Malformed"),
        ("key=a&from=2", None, 400, "Compacted"),
        ("key=a", Some("1"), 400, "Compacted"),
    ] {
        let headers: Vec<_> = header.iter().map(|value| ("last-event-id", *value)).collect();
        let mut refused = open(&cluster, 0, query, &headers).await;
        assert_eq!(refused.status, status, "{query}");
        assert_eq!(refused.headers["content-type"], "application/problem+json", "{query}");
        let problem: Value = loop {
            match refused.line().await {
                Some(_) => {}
                None => break serde_json::from_str(&refused.rest()).unwrap(),
            }
        };
        assert_eq!(problem["code"], code, "{query}");
    }
    let url = format!("{}/v1/watch?key=a", cluster.url(0));
    let post = cluster.web.send(Method::POST, &url, &[], "").await.unwrap();
    assert_eq!((post.status, post.header("allow")), (405, "GET"));
}

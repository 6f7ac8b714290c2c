//! Bad requests get their exact error, and change nothing.

use std::time::Duration;

use http::Method;
use kvorum_tests::cluster::{Cluster, program};
use kvorum_tests::etcd::{Etcd, encode};
use kvorum_tests::process::Process;
use kvorum_tests::reference::Reference;
use serde_json::{Value, json};

/// A bad request on one of etcd's paths, and what etcd 3.7.3 answers.
#[derive(Clone)]
struct Bad {
    path: &'static str,
    body: String,
    status: u16,
    code: i64,
    /// The exact text; empty where etcd's own names its parser.
    message: &'static str,
}

fn bad(path: &'static str, body: impl ToString, status: u16, code: i64, message: &'static str) -> Bad {
    Bad {
        path,
        body: body.to_string(),
        status,
        code,
        message,
    }
}

/// Bad requests whose answer has an exact text.
fn refusals() -> Vec<Bad> {
    [single_requests(), transactions()].concat()
}

fn invalid(path: &'static str, body: impl ToString, message: &'static str) -> Bad {
    bad(path, body, 400, 3, message)
}

fn single_requests() -> Vec<Bad> {
    let (key, value) = (encode("key"), encode("value"));
    let future = json!({"key": key, "revision": 1_000_000});
    vec![
        invalid("kv/put", "{}", "etcdserver: key is not provided"),
        invalid("kv/put", "", "etcdserver: key is not provided"),
        invalid("kv/range", "{}", "etcdserver: key is not provided"),
        invalid("kv/deleterange", "{}", "etcdserver: key is not provided"),
        invalid(
            "kv/put",
            json!({"key": key, "value": value, "ignore_value": true}),
            "etcdserver: value is provided",
        ),
        invalid(
            "kv/put",
            json!({"key": key, "lease": 5, "ignore_lease": true}),
            "etcdserver: lease is provided",
        ),
        invalid(
            "kv/put",
            json!({"key": encode("absent"), "ignore_value": true}),
            "etcdserver: key not found",
        ),
        invalid(
            "kv/range",
            json!({"key": key, "sort_order": 7}),
            "etcdserver: invalid sort option",
        ),
        bad(
            "kv/put",
            json!({"key": key, "value": value, "lease": 99}),
            404,
            5,
            "etcdserver: requested lease not found",
        ),
        bad(
            "kv/range",
            future,
            400,
            11,
            "etcdserver: mvcc: required revision is a future revision",
        ),
    ]
}

fn transactions() -> Vec<Bad> {
    let (key, value) = (encode("key"), encode("value"));
    let put = json!({"request_put": {"key": key, "value": value}});
    let many: Vec<Value> = (0..129)
        .map(|n| json!({"request_put": {"key": encode(format!("k{n}")), "value": value}}))
        .collect();
    let overlap = json!({"request_delete_range": {"key": encode("a"), "range_end": encode("z")}});
    let future = json!({"success": [{"request_range": {"key": key, "revision": 99_999}}]});
    vec![
        invalid(
            "kv/txn",
            json!({"success": many}),
            "etcdserver: too many operations in txn request",
        ),
        invalid(
            "kv/txn",
            json!({"success": [put, put]}),
            "etcdserver: duplicate key given in txn request",
        ),
        invalid(
            "kv/txn",
            json!({"failure": [put, overlap]}),
            "etcdserver: duplicate key given in txn request",
        ),
        invalid(
            "kv/txn",
            json!({"success": [{"request_put": {}}]}),
            "etcdserver: key is not provided",
        ),
        invalid(
            "kv/txn",
            json!({"compare": [{"target": "MOD"}]}),
            "etcdserver: key is not provided",
        ),
        invalid("kv/txn", json!({"success": [{}]}), "etcdserver: key not found"),
        bad(
            "kv/txn",
            future,
            400,
            11,
            "etcdserver: mvcc: required revision is a future revision",
        ),
    ]
}

/// Bodies that are no message at all: the code is etcd's, the text its parser's.
fn unreadable() -> Vec<Bad> {
    let bodies = [
        "{",
        "[",
        "\"text\"",
        "7",
        "{\"key\": 5}",
        "{\"key\": \"%%%\"}",
        "{\"key\": \"Zm9v\", \"limit\": 1.5}",
        "{\"key\": \"Zm9v\", \"serializable\": \"true\"}",
        "{\"key\": \"Zm9v\", \"limit\": \"9223372036854775808\"}",
        "\u{0}",
        "{\"key\": \"Zm9v\" \"limit\": 1}",
    ];
    bodies.iter().map(|body| bad("kv/range", body, 400, 3, "")).collect()
}

/// Sends every bad request; what was not answered as the table says.
async fn differences(name: &str, etcd: &Etcd) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in refusals().into_iter().chain(unreadable()) {
        let reply = etcd.send(case.path, &case.body).await.unwrap();
        let json = reply.json();
        let message = json["message"].as_str().unwrap_or_default();
        let right = reply.status == case.status
            && json["code"] == case.code
            && if case.message.is_empty() {
                !message.is_empty()
            } else {
                message == case.message
            }
            && reply.header("content-type").starts_with("application/json");
        if !right {
            let body: String = case.body.chars().take(80).collect();
            wrong.push(format!(
                "{name} {} {body}\n  expected {} {} {:?}\n  got {} {}",
                case.path,
                case.status,
                case.code,
                case.message,
                reply.status,
                reply.text()
            ));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_paths_refuse_as_etcd_does_and_change_nothing() {
    let cluster = Cluster::plain(3).await;
    let leader = cluster.leader().await;
    cluster.at(0).put("key", "before").await.unwrap();
    let before = cluster.at(0).revision().await.unwrap();
    let mut wrong = differences("leader", &cluster.at(leader)).await;
    wrong.extend(differences("follower", &cluster.at((leader + 1) % 3)).await);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(
        cluster.at(0).revision().await.unwrap(),
        before,
        "a refused request changed something"
    );
    assert_eq!(cluster.at(0).get("key").await.unwrap().as_deref(), Some("before"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_etcds_own() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let wrong = differences("etcd", &reference.etcd).await;
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_said_in_two_ways_as_in_etcd() {
    let cluster = Cluster::plain(1).await;
    let put = |bytes: usize| json!({"key": encode("large"), "value": encode(vec![b'x'; bytes])});
    let etcd = cluster.at(0);
    etcd.ask("kv/put", &put(1_400_000))
        .await
        .expect("below the limit of 1.5 MiB");
    let before = etcd.revision().await.unwrap();
    let large = etcd.call("kv/put", &put(1_700_000)).await.unwrap();
    assert_eq!(
        (large.status, large.json()["code"].as_i64()),
        (400, Some(3)),
        "{}",
        large.text()
    );
    assert_eq!(large.json()["message"], "etcdserver: request is too large");
    let huge = etcd.call("kv/put", &put(3_000_000)).await.unwrap();
    assert_eq!(
        (huge.status, huge.json()["code"].as_i64()),
        (429, Some(8)),
        "{}",
        huge.text()
    );
    let message = huge.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        message.starts_with("grpc: received message larger than max"),
        "{message}"
    );
    assert!(message.ends_with("vs. 2097152)"), "{message}");
    assert_eq!(etcd.revision().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_do_not_exist() {
    let cluster = Cluster::plain(1).await;
    let cases = [
        (Method::GET, "/v3/kv/put", 501, json!(12), "Method Not Allowed"),
        (Method::PUT, "/v3/kv/range", 501, json!(12), "Method Not Allowed"),
        (Method::POST, "/v3/kv/nothing", 404, json!(5), "Not Found"),
        (Method::POST, "/v3/", 404, json!(5), "Not Found"),
    ];
    for (method, path, status, code, message) in cases {
        let reply = cluster
            .web
            .send(method.clone(), &format!("{}{path}", cluster.url(0)), &[], "{}")
            .await
            .unwrap();
        let json = reply.json();
        assert_eq!(
            (reply.status, &json["code"], json["message"].as_str()),
            (status, &code, Some(message)),
            "{method} {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_paths_answer_with_problem_documents() {
    let cluster = Cluster::plain(1).await;
    let put = [("if-match", "\"7\"")];
    let nonsense = [("if-match", "seven")];
    type Case<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let cases: [Case; 12] = [
        (Method::GET, "/v1/kv/absent", &[], 404, "KeyNotFound"),
        (Method::GET, "/v1/nothing", &[], 404, "UnknownPath"),
        (Method::GET, "/v1", &[], 404, "UnknownPath"),
        (Method::POST, "/v1/kv/key", &[], 405, "MethodNotAllowed"),
        (Method::PATCH, "/v1/kv", &[], 405, "MethodNotAllowed"),
        (Method::POST, "/v1/cluster", &[], 405, "MethodNotAllowed"),
        (Method::PUT, "/v1/kv/key", &put, 412, "PreconditionFailed"),
        (Method::PUT, "/v1/kv/key", &nonsense, 400, "Malformed"),
        (Method::GET, "/v1/kv?limit=many", &[], 400, "Malformed"),
        (Method::GET, "/v1/kv?prefix=a&colour=red", &[], 400, "Malformed"),
        (Method::GET, "/v1/kv?revision=99999", &[], 400, "FutureRevision"),
        (Method::PUT, "/v1/kv/key?lease=nonsense", &[], 400, "Malformed"),
    ];
    let mut wrong = Vec::new();
    for (method, path, headers, status, code) in cases {
        let url = format!("{}{path}", cluster.url(0));
        let reply = cluster.web.send(method.clone(), &url, headers, "x").await.unwrap();
        let json = reply.json();
        let complete = ["type", "title", "detail"]
            .iter()
            .all(|field| json[field].as_str().is_some_and(|s| !s.is_empty()));
        let right = reply.status == status
            && json["code"] == code
            && json["status"] == status
            && complete
            && reply.header("content-type").starts_with("application/problem+json");
        if !right {
            wrong.push(format!(
                "{method} {path}: expected {status} {code}, got {} {}",
                reply.status,
                reply.text()
            ));
        }
    }
    let url = format!("{}/v1/kv/key", cluster.url(0));
    // Often, and more than a socket holds: a client that is still sending must see the answer and not a broken pipe.
    for bytes in [2_500_000, 12_000_000].repeat(10) {
        let large = cluster.web.send(Method::PUT, &url, &[], vec![b'x'; bytes]).await;
        let large = large.unwrap_or_else(|error| panic!("PUT of {bytes} bytes: {error:#}"));
        if large.status != 413 || large.json()["code"] != "TooLarge" {
            wrong.push(format!(
                "PUT of {bytes} bytes: expected 413 TooLarge, got {} {}",
                large.status,
                large.text()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(
        cluster.at(0).revision().await.unwrap(),
        1,
        "a refused request changed something"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_end_the_start_with_a_sentence() {
    let cases: [(&[&str], &str); 6] = [
        (&["--listen-client-urls", "ftp://127.0.0.1:1"], "--listen-client-urls"),
        (&["--listen-client-urls", "http://0.0.0.0:1"], "--listen-client-urls"),
        (&["--election-timeout", "10"], "--election-timeout"),
        (&["--initial-cluster-state", "maybe"], "--initial-cluster-state"),
        (&["--initial-cluster", "other=http://127.0.0.1:1"], "--initial-cluster"),
        (&["--listen-client-urls", "https://127.0.0.1:1"], "--cert-file"),
    ];
    for (flags, named) in cases {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data").display().to_string();
        let arguments: Vec<String> = ["serve", "--data-dir", &data]
            .iter()
            .chain(flags)
            .map(|argument| (*argument).to_owned())
            .collect();
        let mut process = Process::start(&program(), &arguments, &folder.path().join("log"));
        let ended = process.gone(Duration::from_secs(10)).await;
        let said = process.output();
        assert!(!ended.success(), "{flags:?} was accepted");
        assert!(said.contains(named) && !said.contains("panicked"), "{flags:?}: {said}");
    }
}

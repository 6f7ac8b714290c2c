//! Ways around permissions that etcd had once and mended: each is tried on a real etcd and on Kvorum, and fails on both.
//!
//! Previous values and comparisons that read, keys inside of nested transactions, keys behind leases, ranges of watches,
//! and maintenance without a user.

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::encode;
use kvorum_tests::reference::Reference;
use kvorum_tests::sides::{Both, Side, Step, bad, good};
use kvorum_tests::web::Web;
use serde_json::{Value, json};

fn denied(who: &'static str, path: &'static str, body: Value) -> Step {
    bad(who, path, body, 403, "etcdserver: permission denied")
}

fn nobody(path: &'static str, body: Value) -> Step {
    bad("", path, body, 400, "etcdserver: user name is empty")
}

fn user(name: &str) -> Value {
    json!({"name": name, "password": name})
}

fn key(key: &str) -> Value {
    json!({"key": encode(key)})
}

fn put(key: &str, more: &Value) -> Value {
    let mut put = json!({"key": encode(key), "value": encode("v")});
    for (name, value) in more.as_object().into_iter().flatten() {
        put[name] = value.clone();
    }
    put
}

fn permission(role: &str, kind: &str, key: &str, end: &str) -> Value {
    json!({"name": role, "perm": {"permType": kind, "key": encode(key), "range_end": encode(end)}})
}

/// Root; alice, who reads and writes from `a` to before `b`; bob, who may only write `d`. Key `b` hangs on lease 7, `a` and
/// `b` on lease 8, `a` alone on lease 9.
fn people() -> Vec<Step> {
    let mut steps: Vec<Step> = ["root", "alice", "bob"]
        .map(|name| good("", "auth/user/add", user(name)))
        .into();
    steps.extend([
        good("", "auth/user/grant", json!({"user": "root", "role": "root"})),
        good("", "auth/role/add", json!({"name": "a"})),
        good("", "auth/role/add", json!({"name": "d"})),
        good("", "auth/role/grant", permission("a", "READWRITE", "a", "b")),
        good("", "auth/role/grant", permission("d", "WRITE", "d", "")),
        good("", "auth/user/grant", json!({"user": "alice", "role": "a"})),
        good("", "auth/user/grant", json!({"user": "bob", "role": "d"})),
        good("", "lease/grant", json!({"ID": "7", "TTL": 1000})),
        good("", "lease/grant", json!({"ID": "8", "TTL": 1000})),
        good("", "lease/grant", json!({"ID": "9", "TTL": 1000})),
        good("", "kv/put", put("b", &json!({"lease": "7"}))),
        good("", "kv/put", put("b8", &json!({"lease": "8"}))),
        good("", "kv/put", put("a8", &json!({"lease": "8"}))),
        good("", "kv/put", put("a9", &json!({"lease": "9"}))),
        good("", "kv/put", put("d", &json!({}))),
        good("", "auth/enable", json!({})),
    ]);
    steps.extend(["root", "alice", "bob"].map(|name| good("", "auth/authenticate", user(name))));
    steps
}

/// Who may only write learns nothing of what was there.
fn previous_values() -> Vec<Step> {
    vec![
        good("bob", "kv/put", put("d", &json!({}))),
        denied("bob", "kv/range", key("d")),
        denied("bob", "kv/put", put("d", &json!({"prev_kv": true}))),
        denied("bob", "kv/deleterange", json!({"key": encode("d"), "prev_kv": true})),
        denied(
            "bob",
            "kv/txn",
            json!({"success": [{"request_put": put("d", &json!({"prev_kv": true}))}]}),
        ),
        denied(
            "bob",
            "kv/txn",
            json!({"compare": [{"key": encode("d"), "target": "VALUE", "value": encode("v")}]}),
        ),
    ]
}

/// What is inside of a transaction counts as if it stood alone, however deep, and whether or not it would be done.
fn nested_transactions() -> Vec<Step> {
    let nest = |inner: Value| json!({"request_txn": {"success": [{"request_txn": {"failure": [inner]}}]}});
    let never = json!({"key": encode("a"), "target": "VERSION", "result": "LESS", "version": "0"});
    vec![
        good(
            "alice",
            "kv/txn",
            json!({"success": [nest(json!({"request_range": key("a")}))]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"success": [nest(json!({"request_range": key("b")}))]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"failure": [nest(json!({"request_put": put("b", &json!({}))}))]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"success": [nest(json!({"request_delete_range": {"key": encode("b")}}))]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"compare": [never], "success": [{"request_put": put("b", &json!({}))}]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"success": [{"request_txn": {"compare": [{"key": encode("b"), "target": "MOD"}]}}]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"compare": [{"key": encode("a"), "range_end": encode("c"), "target": "MOD"}]}),
        ),
    ]
}

/// A lease is no way to keys that one may not read or write.
fn keys_behind_leases() -> Vec<Step> {
    vec![
        denied("alice", "lease/revoke", json!({"ID": "7"})),
        denied("alice", "lease/revoke", json!({"ID": "8"})),
        denied("alice", "lease/timetolive", json!({"ID": "7", "keys": true})),
        denied("alice", "lease/timetolive", json!({"ID": "8", "keys": true})),
        denied("alice", "kv/put", put("a1", &json!({"lease": "7"}))),
        denied(
            "alice",
            "kv/txn",
            json!({"success": [{"request_put": put("a1", &json!({"lease": "8"}))}]}),
        ),
        nobody("lease/grant", json!({"ID": "10", "TTL": 1000})),
        nobody("lease/revoke", json!({"ID": "7"})),
        nobody("lease/timetolive", json!({"ID": "7", "keys": true})),
        nobody("lease/leases", json!({})),
        good("alice", "kv/put", put("a9", &json!({"lease": "9"}))),
        good("alice", "lease/revoke", json!({"ID": "9"})),
    ]
}

/// Maintenance is for root; nobody is not root.
fn maintenance() -> Vec<Step> {
    let mut steps = Vec::new();
    for (path, body) in [
        ("maintenance/alarm", json!({"action": "ACTIVATE", "alarm": "NOSPACE"})),
        ("maintenance/defragment", json!({})),
        ("maintenance/hash", json!({})),
        ("maintenance/hashkv", json!({})),
        ("maintenance/transfer-leadership", json!({"targetID": "1"})),
        ("maintenance/downgrade", json!({"action": "CANCEL"})),
        ("kv/compaction", json!({"revision": "2"})),
        ("cluster/member/add", json!({"peerURLs": ["http://127.0.0.1:1"]})),
        ("cluster/member/remove", json!({"ID": "1"})),
        ("cluster/member/promote", json!({"ID": "1"})),
    ] {
        steps.push(denied("alice", path, body.clone()));
        steps.push(nobody(path, body));
    }
    // Any user may look at these.
    steps.push(good("alice", "maintenance/alarm", json!({})));
    steps.push(nobody("maintenance/alarm", json!({})));
    steps.push(nobody("maintenance/status", json!({})));
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_around_permissions_that_etcd_has_closed_is_open() {
    let cluster = Cluster::plain_with(1, &["--bcrypt-cost", "4"]).await;
    let reference = Reference::start_with(1, &["--unsafe-no-fsync", "--bcrypt-cost", "4"]).await;
    let mut both = Both::new(&cluster, reference.as_ref());
    let mut count = 0;
    for script in [
        people(),
        previous_values(),
        nested_transactions(),
        keys_behind_leases(),
        maintenance(),
    ] {
        both.run(&script).await;
        count += script.len();
    }
    println!("{count} steps, no difference");
    let watched = watches(&cluster.url(0), &both.ours).await;
    if let (Some(reference), Some(theirs)) = (&reference, &both.theirs) {
        assert_eq!(watched, watches(&reference.urls[0], theirs).await);
    }
}

/// The first answers to watches of alice's and nobody's: each range is either hers from end to end, or refused.
async fn watches(url: &str, side: &Side) -> Vec<Value> {
    let (web, url) = (Web::new(None, None), format!("{url}/v3/watch"));
    let mut answers = Vec::new();
    for (who, key, end) in [
        ("alice", "a", ""),
        ("alice", "a", "b"),
        ("alice", "a", "c"),
        ("alice", "b", ""),
        ("alice", "a", "\0"),
        ("alice", "\0", "\0"),
        ("bob", "d", ""),
        ("", "a", ""),
        ("root", "\0", "\0"),
    ] {
        let body = json!({"create_request": {"key": encode(key), "range_end": encode(end)}});
        let headers: Vec<(&str, &str)> = [("authorization", side.token(who))]
            .into_iter()
            .filter(|(_, token)| !token.is_empty())
            .collect();
        let mut stream = web.open(Method::POST, &url, &headers, body.to_string()).await.unwrap();
        let mut answer = stream.json().await;
        if let Some(result) = answer["result"].as_object_mut() {
            result.remove("header");
        }
        let allowed = matches!((who, key, end), ("alice", "a", "" | "b") | ("root", ..));
        let canceled = answer["result"]["canceled"]
            .as_bool()
            .unwrap_or(answer["result"].is_null());
        assert_eq!(canceled, !allowed, "{who} {key:?} {end:?}: {answer}");
        answers.push(json!([who, key, end, answer]));
    }
    answers
}

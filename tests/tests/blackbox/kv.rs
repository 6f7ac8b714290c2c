//! etcd's JSON for range, put, deleterange and txn: at every member, each sees at once what any other has written.

use std::time::{Duration, Instant};

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, decode, encode, id, number};
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, until};
use kvorum_tests::web::Web;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_member_sees_at_once_what_any_has_written() {
    let cluster = Cluster::plain(3).await;
    let members = cluster.everywhere();
    let mut newest = 1;
    for (writer, member) in members.iter().enumerate() {
        for round in 0..20 {
            let value = format!("{writer}-{round}");
            let revision = member.put("key", &value).await.unwrap();
            assert!(revision > newest, "revision {revision} after {newest}");
            newest = revision;
            for (reader, other) in members.iter().enumerate() {
                let seen = other.get("key").await.unwrap();
                assert_eq!(
                    seen.as_deref(),
                    Some(value.as_str()),
                    "written at n{writer}, read at n{reader}"
                );
            }
        }
    }
    assert_eq!(newest, 1 + 60, "one revision per put");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_at_every_member() {
    let cluster = Cluster::plain(3).await;
    let leader = cluster.leader().await;
    for (index, member) in cluster.everywhere().iter().enumerate() {
        let who = if index == leader { "leader" } else { "follower" };
        println!("n{index}, {who}");
        check_member(member, &format!("p{index}/")).await;
    }
}

/// A tour of the four calls on keys of its own.
async fn check_member(member: &Etcd, prefix: &str) {
    let key = |name: &str| encode(format!("{prefix}{name}"));
    let first = member.put(&format!("{prefix}a"), "1").await.unwrap();
    let again = put(member, json!({"key": key("a"), "value": encode("2"), "prev_kv": true})).await;
    assert_eq!(decode(&again["prev_kv"]["value"]), "1");
    assert_eq!(number(&again["prev_kv"]["mod_revision"]), first);
    for name in ["b", "c", "d"] {
        member.put(&format!("{prefix}{name}"), name).await.unwrap();
    }

    let end = encode(format!("{}0", prefix.trim_end_matches('/')));
    let page = range(member, json!({"key": key(""), "range_end": end, "limit": 2})).await;
    assert_eq!((number(&page["count"]), page["more"].as_bool()), (4, Some(true)));
    assert_eq!(keys(&page), [format!("{prefix}a"), format!("{prefix}b")]);
    let old = range(member, json!({"key": key("a"), "revision": first.to_string()})).await;
    assert_eq!(
        decode(&old["kvs"][0]["value"]),
        "1",
        "an old revision still reads as it was"
    );
    let now = range(member, json!({"key": key("a")})).await;
    assert_eq!(
        (
            number(&now["kvs"][0]["version"]),
            number(&now["kvs"][0]["create_revision"])
        ),
        (2, first)
    );
    let ids = range(member, json!({"key": key("a"), "keys_only": true})).await;
    assert!(ids["kvs"][0].get("value").is_none(), "{ids}");

    let swap = json!({
        "compare": [{"key": key("a"), "target": "VALUE", "value": encode("2")}],
        "success": [{"request_put": {"key": key("a"), "value": encode("3")}}, {"request_range": {"key": key("a")}}],
        "failure": [{"request_range": {"key": key("b")}}],
    });
    let taken = member.ask("kv/txn", &swap).await.unwrap();
    assert_eq!(taken["succeeded"], true);
    assert_eq!(
        decode(&taken["responses"][1]["response_range"]["kvs"][0]["value"]),
        "3",
        "later steps see earlier ones"
    );
    let refused = member.ask("kv/txn", &swap).await.unwrap();
    assert!(refused.get("succeeded").is_none(), "false is absent: {refused}");
    assert_eq!(
        decode(&refused["responses"][0]["response_range"]["kvs"][0]["value"]),
        "b"
    );

    let gone = member
        .ask(
            "kv/deleterange",
            &json!({"key": key(""), "range_end": end, "prev_kv": true}),
        )
        .await
        .unwrap();
    assert_eq!(
        (number(&gone["deleted"]), gone["prev_kvs"].as_array().map(Vec::len)),
        (4, Some(4))
    );
    let nothing = range(member, json!({"key": key(""), "range_end": end})).await;
    assert!(
        nothing.get("kvs").is_none() && nothing.get("count").is_none(),
        "zero is absent: {nothing}"
    );
    assert_eq!(
        number(&nothing["header"]["revision"]),
        number(&gone["header"]["revision"])
    );
}

async fn put(member: &Etcd, body: Value) -> Value {
    member.ask("kv/put", &body).await.unwrap()
}

async fn range(member: &Etcd, body: Value) -> Value {
    member.ask("kv/range", &body).await.unwrap()
}

fn keys(reply: &Value) -> Vec<String> {
    reply["kvs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|kv| decode(&kv["key"]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_status_say_the_same_everywhere() {
    let cluster = Cluster::plain(3).await;
    cluster.at(0).put("a", "1").await.unwrap();
    let mut seen = Vec::new();
    for member in cluster.everywhere() {
        let list = until("every member to have said where clients reach it", SETTLE, || async {
            let list = member.ask("cluster/member/list", &json!({})).await.unwrap();
            let members = list["members"].as_array().cloned().unwrap_or_default();
            let all = members.iter().all(|member| member["clientURLs"].is_array());
            if all { Ok(list) } else { Err(list.to_string()) }
        })
        .await;
        let mut members: Vec<(u64, String, String)> = list["members"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|m| {
                (
                    id(&m["ID"]),
                    m["name"].to_string(),
                    format!("{}{}", m["peerURLs"], m["clientURLs"]),
                )
            })
            .collect();
        members.sort();
        assert_eq!(members.len(), 3, "{list}");
        let status = member.ask("maintenance/status", &json!({})).await.unwrap();
        for field in [
            "version",
            "dbSize",
            "leader",
            "raftIndex",
            "raftTerm",
            "raftAppliedIndex",
        ] {
            assert!(status.get(field).is_some(), "status lacks {field}: {status}");
        }
        assert!(
            members.iter().any(|(member, _, _)| *member == id(&status["leader"])),
            "{status} {list}"
        );
        assert_ne!(id(&status["header"]["cluster_id"]), 0);
        seen.push((members, id(&status["header"]["cluster_id"]), id(&status["leader"])));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tls_port_speaks_http_1_and_2_with_and_without_a_client_certificate() {
    let cluster = Cluster::managed(1).await;
    let pki = cluster.pki.as_ref().unwrap();
    let (ca, application) = (pki.clients.cert.as_str(), pki.application());
    let clients = [
        ("HTTP/1.1", Web::new(Some(ca), None)),
        ("HTTP/2", Web::http2(Some(ca), None)),
        ("HTTP/1.1 with certificate", Web::new(Some(ca), Some(&application))),
        ("HTTP/2 with certificate", Web::http2(Some(ca), Some(&application))),
    ];
    for (name, web) in clients {
        let etcd = Etcd::new(web, cluster.url(0));
        etcd.put("key", name)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(etcd.get("key").await.unwrap().as_deref(), Some(name));
    }
    let stranger = Etcd::new(Web::new(None, None), cluster.url(0));
    assert!(
        stranger.get("key").await.is_err(),
        "a client that does not know the CA must not be satisfied"
    );
}

/// What one part of a transaction keeps must not depend on what another part removes: it is refused, as etcd refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_keeps_what_its_own_transaction_removed_is_refused_and_harms_nobody() {
    let cluster = Cluster::plain(1).await;
    let member = cluster.at(0);
    member.put("a", "1").await.unwrap();
    let key = encode("a");
    for kept in ["ignore_value", "ignore_lease"] {
        let mut put = json!({"key": key});
        put[kept] = true.into();
        let body = json!({"success": [
            {"request_txn": {"success": [{"request_delete_range": {"key": key}}]}},
            {"request_txn": {"success": [{"request_put": put}]}},
        ]});
        let reply = member.call("kv/txn", &body).await.unwrap();
        assert!(reply.status < 500, "{} {}", reply.status, reply.text());
        println!("{kept}: {} {}", reply.status, reply.text());
        assert!(member.get("a").await.is_ok(), "the member lives");
    }
}

/// Keys of the large store in an ordinary run; the long runs ask for a million.
const MANY_KEYS: usize = 60_000;

/// A count and a first page must not walk over what they do not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_and_a_page_take_no_longer_over_many_keys() {
    let cluster = Cluster::plain(1).await;
    let member = cluster.at(0);
    let many = seed::count("KVORUM_MANY_KEYS", MANY_KEYS);
    fill(&member, "few/", 1_000).await;
    fill(&member, "many/", many).await;
    let count = |prefix: &str| json!({"key": encode(prefix), "range_end": encode(end(prefix)), "count_only": true});
    let page = |prefix: &str| json!({"key": encode(prefix), "range_end": encode(end(prefix)), "limit": 10});
    let answer = member.ask("kv/range", &count("many/")).await.unwrap();
    assert_eq!(number(&answer["count"]), i64::try_from(many).unwrap());
    let answer = member.ask("kv/range", &page("many/")).await.unwrap();
    assert_eq!(keys(&answer).len(), 10);
    assert_eq!(
        (&answer["more"], number(&answer["count"])),
        (&json!(true), i64::try_from(many).unwrap())
    );
    for (what, few, more) in [
        ("count_only", count("few/"), count("many/")),
        ("limit=10", page("few/"), page("many/")),
    ] {
        let (few, more) = (median(&member, &few).await, median(&member, &more).await);
        println!("{what}: {few:?} over 1000 keys, {more:?} over {many}");
        // A walk over so many keys takes tens of milliseconds; the bound is far from both.
        assert!(
            more < few * 4 + Duration::from_millis(3),
            "{what}: {more:?} instead of {few:?}"
        );
    }
}

/// The end of a prefix that ends with a slash.
fn end(prefix: &str) -> String {
    prefix.replace('/', "0")
}

async fn fill(member: &Etcd, prefix: &str, count: usize) {
    let numbers: Vec<usize> = (0..count).collect();
    for chunk in numbers.chunks(128) {
        let puts: Vec<Value> = chunk
            .iter()
            .map(|number| json!({"request_put": {"key": encode(format!("{prefix}{number:07}")), "value": encode("v")}}))
            .collect();
        member.ask("kv/txn", &json!({"success": puts})).await.unwrap();
    }
}

/// The median time of an answer.
async fn median(member: &Etcd, request: &Value) -> Duration {
    let mut times = Vec::new();
    for _ in 0..51 {
        let begun = Instant::now();
        member.ask("kv/range", request).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

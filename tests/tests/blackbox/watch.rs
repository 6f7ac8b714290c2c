//! Watches over gRPC: every kind of request and answer, at every member.

use std::time::Duration;

use http::Method;
use kvorum_api::etcdserverpb::watch_create_request::FilterType;
use kvorum_api::etcdserverpb::{WatchCreateRequest, WatchResponse};
use kvorum_api::mvccpb::event::EventType;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::encode;
use kvorum_tests::grpc::{Watching, channel, watch};
use serde_json::json;
use tonic::Code;

/// Long enough to see a mistake, short enough not to be noticed.
const QUIET: Duration = Duration::from_millis(300);

/// Events as `PUT key=value@revision` and `DELETE key@revision`.
fn events(response: &WatchResponse) -> Vec<String> {
    let told = response.events.iter().map(|event| {
        let pair = event.kv.as_ref().unwrap();
        let (key, value) = (String::from_utf8_lossy(&pair.key), String::from_utf8_lossy(&pair.value));
        match event.r#type() {
            EventType::Put => format!("PUT {key}={value}@{}", pair.mod_revision),
            EventType::Delete => format!("DELETE {key}@{}", pair.mod_revision),
        }
    });
    told.collect()
}

/// Reads responses of one watcher until there are `count` events.
async fn told(watching: &mut Watching, id: i64, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let response = watching.next().await;
        assert!(!response.canceled && response.watch_id == id, "{response:?}");
        told.extend(events(&response));
    }
    told
}

async fn delete(cluster: &Cluster, key: &str, end: &str) {
    let body = json!({"key": encode(key), "range_end": encode(end)});
    cluster.at(0).ask("kv/deleterange", &body).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_tells_of_every_change() {
    let cluster = Cluster::managed(3).await;
    let mut watchings = Vec::new();
    for index in 0..3 {
        let mut watching = Watching::open(channel(&cluster, index).await).await.unwrap();
        assert_eq!(watching.create(watch("a", "b")).await.watch_id, 0);
        watchings.push(watching);
    }
    let mut expected = Vec::new();
    for round in 0..30 {
        let (key, value) = (format!("a{}", round % 4), format!("{round}"));
        let revision = cluster.at(round % 3).put(&key, &value).await.unwrap();
        expected.push(format!("PUT {key}={value}@{revision}"));
        cluster.at(0).put("other", &value).await.unwrap();
    }
    for watching in &mut watchings {
        assert_eq!(told(watching, 0, 30).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_is_one_response() {
    let cluster = Cluster::plain(1).await;
    let mut watching = Watching::open(channel(&cluster, 0).await).await.unwrap();
    watching.create(watch("a", "z")).await;
    let put = |key: &str| json!({"request_put": {"key": encode(key), "value": encode("1")}});
    let keys: Vec<String> = (0..100).map(|number| format!("k{number:03}")).collect();
    let puts: Vec<_> = keys.iter().map(|key| put(key)).collect();
    cluster.at(0).ask("kv/txn", &json!({"success": puts})).await.unwrap();
    delete(&cluster, "a", "z").await;
    for (revision, kind) in [(2, EventType::Put), (3, EventType::Delete)] {
        let response = watching.next().await;
        let seen: Vec<_> = response.events.iter().map(|event| event.kv.as_ref().unwrap()).collect();
        assert!(response.events.iter().all(|event| event.r#type() == kind));
        assert!(seen.iter().all(|pair| pair.mod_revision == revision));
        assert!(
            seen.iter()
                .map(|pair| &pair.key[..])
                .eq(keys.iter().map(String::as_bytes))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_start_in_the_past_now_and_in_the_future() {
    let cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    for number in 2..=2_500 {
        etcd.put("k", &number.to_string()).await.unwrap();
    }
    let mut watching = Watching::open(channel(&cluster, 0).await).await.unwrap();
    for (id, start_revision) in [(0, 2), (1, 2_400), (2, 0), (3, 2_503), (4, 2_501)] {
        let answer = watching
            .create(WatchCreateRequest {
                start_revision,
                watch_id: 0,
                ..watch("k", "")
            })
            .await;
        assert_eq!((answer.watch_id, answer.canceled), (id, false));
        if id < 2 {
            let expected: Vec<_> = (start_revision..=2_500)
                .map(|number| format!("PUT k={number}@{number}"))
                .collect();
            assert_eq!(told(&mut watching, id, expected.len()).await, expected);
        }
    }
    for number in 2_501..=2_504 {
        etcd.put("k", &number.to_string()).await.unwrap();
    }
    let mut seen = vec![Vec::new(); 5];
    while seen.iter().map(Vec::len).sum::<usize>() < 18 {
        let response = watching.next().await;
        seen[usize::try_from(response.watch_id).unwrap()].extend(events(&response));
    }
    let from = |first: i64| {
        (first..=2_504)
            .map(|number| format!("PUT k={number}@{number}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen, [from(2_501), from(2_501), from(2_501), from(2_503), from(2_501)]);
    assert!(watching.is_quiet(QUIET).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn previous_values_and_filters() {
    let cluster = Cluster::plain(1).await;
    let mut watching = Watching::open(channel(&cluster, 0).await).await.unwrap();
    for filters in [
        vec![],
        vec![FilterType::Noput],
        vec![FilterType::Nodelete],
        vec![FilterType::Noput, FilterType::Nodelete],
    ] {
        let filters = filters.into_iter().map(i32::from).collect();
        watching
            .create(WatchCreateRequest {
                prev_kv: true,
                filters,
                ..watch("k", "")
            })
            .await;
    }
    let etcd = cluster.at(0);
    for value in ["1", "2"] {
        etcd.put("k", value).await.unwrap();
    }
    delete(&cluster, "k", "").await;
    etcd.put("k", "3").await.unwrap();
    let mut seen = vec![Vec::new(); 4];
    while seen.iter().map(Vec::len).sum::<usize>() < 8 {
        let response = watching.next().await;
        for (text, event) in events(&response).into_iter().zip(&response.events) {
            let before = event
                .prev_kv
                .as_ref()
                .map(|pair| String::from_utf8_lossy(&pair.value).into_owned());
            seen[usize::try_from(response.watch_id).unwrap()].push(format!("{text} was {before:?}"));
        }
    }
    let all = [
        "PUT k=1@2 was None",
        "PUT k=2@3 was Some(\"1\")",
        "DELETE k@4 was Some(\"2\")",
        "PUT k=3@5 was None",
    ];
    assert_eq!(seen[0], all);
    assert_eq!(seen[1], all[2..3]);
    assert_eq!(seen[2], [all[0], all[1], all[3]]);
    assert!(seen[3].is_empty() && watching.is_quiet(QUIET).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_cancels_and_what_is_refused() {
    let cluster = Cluster::plain(1).await;
    let mut watching = Watching::open(channel(&cluster, 0).await).await.unwrap();
    let chosen = WatchCreateRequest {
        watch_id: 7,
        ..watch("k", "")
    };
    assert_eq!(watching.create(chosen.clone()).await.watch_id, 7);
    assert_eq!(watching.create(watch("k", "")).await.watch_id, 0);
    let negative = WatchCreateRequest {
        start_revision: -1,
        ..watch("k", "")
    };
    for (request, reason) in [
        (chosen, "mvcc: duplicate watch ID provided on the WatchStream"),
        (watch("k", "a"), "mvcc: watcher range is empty"),
        (negative, "etcdserver: mvcc: required revision has been compacted"),
    ] {
        let refused = watching.create(request).await;
        assert_eq!((refused.watch_id, refused.canceled), (-1, true));
        assert_eq!(refused.cancel_reason, reason);
    }
    watching.cancel(99);
    watching.cancel(7);
    let canceled = watching.next().await;
    assert_eq!(
        (canceled.watch_id, canceled.canceled, canceled.compact_revision),
        (7, true, 0)
    );
    cluster.at(0).put("k", "1").await.unwrap();
    assert_eq!(told(&mut watching, 0, 1).await, ["PUT k=1@2"]);
    assert!(
        watching.is_quiet(QUIET).await,
        "the cancelled watcher says nothing more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_start_is_cancelled_with_the_revision() {
    let cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    for number in 2..=10 {
        etcd.put("k", &number.to_string()).await.unwrap();
    }
    etcd.ask("kv/compaction", &json!({"revision": "6"})).await.unwrap();
    let mut watching = Watching::open(channel(&cluster, 0).await).await.unwrap();
    let from = |start_revision| WatchCreateRequest {
        start_revision,
        ..watch("k", "")
    };
    assert!(!watching.create(from(5)).await.canceled);
    let canceled = watching.next().await;
    assert_eq!(
        (canceled.watch_id, canceled.canceled, canceled.compact_revision),
        (0, true, 6)
    );
    assert_eq!(canceled.cancel_reason, "");
    assert!(!watching.create(from(6)).await.canceled);
    let expected: Vec<_> = (6..=10).map(|number| format!("PUT k={number}@{number}")).collect();
    assert_eq!(told(&mut watching, 1, 5).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_when_asked_for_and_now_and_then() {
    let cluster = Cluster::plain_with(1, &["--watch-progress-notify-interval", "200ms"]).await;
    let mut watching = Watching::open(channel(&cluster, 0).await).await.unwrap();
    watching.create(watch("k", "")).await;
    let revision = cluster.at(0).put("other", "1").await.unwrap();
    watching.ask_for_progress();
    let progress = watching.next().await;
    assert_eq!((progress.watch_id, progress.events.len()), (-1, 0));
    assert_eq!(progress.header.unwrap().revision, revision);

    let wants = WatchCreateRequest {
        progress_notify: true,
        ..watch("k", "")
    };
    assert_eq!(watching.create(wants).await.watch_id, 1);
    for _ in 0..3 {
        let progress = watching.next().await;
        assert_eq!((progress.watch_id, progress.events.len()), (1, 0));
        assert_eq!(progress.header.unwrap().revision, revision);
    }
    // A watcher that starts in the future is not level before.
    let mut future = Watching::open(channel(&cluster, 0).await).await.unwrap();
    let later = WatchCreateRequest {
        start_revision: revision + 2,
        ..watch("nobody", "")
    };
    future.create(later).await;
    future.ask_for_progress();
    assert!(future.is_quiet(QUIET).await);
    cluster.at(0).put("other", "2").await.unwrap();
    let revision = cluster.at(0).put("other", "3").await.unwrap();
    assert_eq!(future.next().await.header.unwrap().revision, revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_revision_is_split_only_for_those_who_allow_it() {
    let cluster = Cluster::plain_with(1, &["--max-request-bytes", "8388608"]).await;
    let mut watching = Watching::open(channel(&cluster, 0).await).await.unwrap();
    watching.create(watch("k", "l")).await;
    let fragment = WatchCreateRequest {
        fragment: true,
        ..watch("k", "l")
    };
    watching.create(fragment).await;
    let value = encode("v".repeat(500_000));
    let puts: Vec<_> = (0..10)
        .map(|number| json!({"request_put": {"key": encode(format!("k{number}")), "value": value}}))
        .collect();
    cluster.at(0).ask("kv/txn", &json!({"success": puts})).await.unwrap();
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    while whole.iter().sum::<usize>() < 10 || parts.iter().map(|(events, _)| *events).sum::<usize>() < 10 {
        let response = watching.next().await;
        if response.watch_id == 0 {
            assert!(!response.fragment);
            whole.push(response.events.len());
        } else {
            parts.push((response.events.len(), response.fragment));
        }
    }
    assert_eq!(whole, [10]);
    assert_eq!(parts, [(4, true), (4, true), (2, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_member_stops_and_when_a_needed_leader_is_gone() {
    let mut cluster = Cluster::plain(3).await;
    let follower = cluster.follower().await;
    let channel = channel(&cluster, follower).await;
    let mut patient = Watching::open(channel.clone()).await.unwrap();
    patient.create(watch("k", "")).await;
    let mut needy = Watching::open_with(channel.clone(), true).await.unwrap();
    needy.create(watch("k", "")).await;
    for other in (0..3).filter(|other| *other != follower) {
        cluster.kill(other);
    }
    let ended = needy.outcome().await.unwrap_err();
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );
    assert!(patient.is_quiet(QUIET).await);
    let refused = Watching::open_with(channel, true).await.err().unwrap();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );

    let reply = cluster
        .web
        .send(
            Method::POST,
            &format!("{}/v3/watch", cluster.url(follower)),
            &[("grpc-metadata-hasleader", "true")],
            r#"{"create_request":{"key":"aw=="}}"#,
        )
        .await
        .unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(
        reply.json(),
        json!({"error": {"code": 14, "message": "etcdserver: no leader"}})
    );

    let started = std::time::Instant::now();
    assert_eq!(cluster.stop(follower).await, Some(0));
    println!("stopped in {:?} with a watch open", started.elapsed());
    let ended = patient.outcome().await.unwrap_err();
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "etcdserver: server stopped")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_resumed_at_another_member_without_a_gap() {
    let mut cluster = Cluster::plain(3).await;
    let mut at = cluster.follower().await;
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    let mut next = 2;
    for round in 0..3 {
        let mut watching = Watching::open(channel(&cluster, at).await).await.unwrap();
        let from = WatchCreateRequest {
            start_revision: next,
            ..watch("k", "")
        };
        watching.create(from).await;
        for number in 0..200 {
            let writer = (at + 1 + number % 2) % 3;
            let revision = cluster.at(writer).put("k", &format!("{round}-{number}")).await.unwrap();
            expected.push(format!("PUT k={round}-{number}@{revision}"));
            next = revision + 1;
        }
        // Half of them are heard here, the others after the member is gone.
        let heard = told(&mut watching, 0, 100).await;
        next -= 200 - i64::try_from(heard.len()).unwrap();
        seen.extend(heard);
        cluster.kill(at);
        let mut resumed = Watching::open(channel(&cluster, (at + 1) % 3).await).await.unwrap();
        let from = WatchCreateRequest {
            start_revision: next,
            ..watch("k", "")
        };
        resumed.create(from).await;
        let missing = expected.len() - seen.len();
        seen.extend(told(&mut resumed, 0, missing).await);
        next += i64::try_from(missing).unwrap();
        cluster.start(at);
        cluster.ready().await;
        at = (at + 1) % 3;
    }
    assert_eq!(seen, expected);
}

//! The plain JSON of `/v1`: what a person with curl sees.

use http::Method;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::web::Reply;
use serde_json::json;

/// One call at one member.
async fn call(cluster: &Cluster, at: usize, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let url = format!("{}{path}", cluster.url(at));
    cluster
        .web
        .send(method, &url, headers, body.to_owned())
        .await
        .unwrap_or_else(|error| panic!("{url}: {error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_written_and_read_without_base64_at_every_member() {
    let cluster = Cluster::plain(3).await;
    for at in 0..3 {
        let path = format!("/v1/kv/greeting/{at}");
        let put = call(&cluster, at, Method::PUT, &path, &[], "good day").await;
        assert!(matches!(put.status, 200 | 201), "{} {}", put.status, put.text());
        let other = (at + 1) % 3;
        let get = call(&cluster, other, Method::GET, &path, &[], "").await;
        assert_eq!(get.status, 200, "{}", get.text());
        let entry = get.json();
        assert_eq!(
            (&entry["key"], &entry["value"]),
            (&json!(format!("greeting/{at}")), &json!("good day"))
        );
        assert_eq!(entry["version"], 1);
        assert_eq!(get.header("etag"), format!("\"{}\"", entry["mod_revision"]));
        let raw = call(
            &cluster,
            other,
            Method::GET,
            &path,
            &[("accept", "application/octet-stream")],
            "",
        )
        .await;
        assert_eq!(raw.text(), "good day");
        let deleted = call(&cluster, other, Method::DELETE, &path, &[], "").await;
        assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(1)));
        assert_eq!(call(&cluster, at, Method::GET, &path, &[], "").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_swaps_only_what_was_seen() {
    let cluster = Cluster::plain(1).await;
    let swap = async |header: (&str, &str), body: &str| {
        let reply = call(&cluster, 0, Method::PUT, "/v1/kv/lock", &[header], body).await;
        (
            reply.status,
            reply.header("etag").to_owned(),
            reply.json()["code"].clone(),
        )
    };
    let (status, first, _) = swap(("if-none-match", "*"), "me").await;
    assert!(
        matches!(status, 200 | 201),
        "a key that does not exist can be made: {status}"
    );
    let (status, _, code) = swap(("if-none-match", "*"), "you").await;
    assert_eq!(
        (status, code),
        (412, json!("PreconditionFailed")),
        "one that exists cannot"
    );
    let (status, second, _) = swap(("if-match", &first), "me again").await;
    assert_eq!(status, 200);
    assert_ne!(first, second);
    let (status, _, _) = swap(("if-match", &first), "you").await;
    assert_eq!(status, 412, "an old ETag no longer matches");
    let get = call(&cluster, 0, Method::GET, "/v1/kv/lock", &[], "").await;
    assert_eq!(
        (get.json()["value"].as_str(), get.header("etag")),
        (Some("me again"), second.as_str())
    );
    let unchanged = call(
        &cluster,
        0,
        Method::GET,
        "/v1/kv/lock",
        &[("if-none-match", &second)],
        "",
    )
    .await;
    assert!(matches!(unchanged.status, 200 | 304), "{}", unchanged.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_many_swappers_wins() {
    let cluster = Cluster::plain(3).await;
    let swap = |at: usize| {
        let (web, url) = (cluster.web.clone(), format!("{}/v1/kv/once", cluster.url(at % 3)));
        async move {
            web.send(Method::PUT, &url, &[("if-none-match", "*")], at.to_string())
                .await
                .unwrap()
                .status
        }
    };
    let statuses = futures::future::join_all((0..24).map(swap)).await;
    let winners = statuses.iter().filter(|status| matches!(status, 200 | 201)).count();
    assert_eq!(winners, 1, "{statuses:?}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 412).count(),
        23,
        "{statuses:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_not_text_come_back_whole() {
    let cluster = Cluster::plain(1).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let url = format!("{}/v1/kv/bytes", cluster.url(0));
    cluster.web.send(Method::PUT, &url, &[], bytes.clone()).await.unwrap();
    let json = cluster.web.get(&url).await.unwrap().json();
    assert!(json.get("value").is_none(), "{json}");
    let decoded = base64_simd::STANDARD
        .decode_to_vec(json["value_base64"].as_str().unwrap())
        .unwrap();
    assert_eq!(decoded, bytes);
    let raw = cluster
        .web
        .send(Method::GET, &url, &[("accept", "application/octet-stream")], "")
        .await
        .unwrap();
    assert_eq!(raw.body, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_any_characters_are_percent_encoded() {
    let cluster = Cluster::plain(1).await;
    for (path, key) in [
        ("a%20b", "a b"),
        ("%C3%A9t%C3%A9", "été"),
        ("a%2Fb", "a/b"),
        ("a/b/c", "a/b/c"),
        ("x%3Fy", "x?y"),
    ] {
        let path = format!("/v1/kv/{path}");
        call(&cluster, 0, Method::PUT, &path, &[], key).await;
        let entry = call(&cluster, 0, Method::GET, &path, &[], "").await.json();
        assert_eq!(
            (entry["key"].as_str(), entry["value"].as_str()),
            (Some(key), Some(key)),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_give_one_consistent_list() {
    let cluster = Cluster::plain(1).await;
    for number in 0..25 {
        call(&cluster, 0, Method::PUT, &format!("/v1/kv/p/{number:02}"), &[], "x").await;
    }
    call(&cluster, 0, Method::PUT, "/v1/kv/q", &[], "outside").await;
    let mut next = Some("/v1/kv?prefix=p/&limit=10".to_owned());
    let mut seen = Vec::new();
    let mut pages = 0;
    while let Some(path) = next {
        let page = call(&cluster, 0, Method::GET, &path, &[], "").await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let page = page.json();
        assert_eq!(
            page["count"],
            if pages == 0 { json!(25) } else { page["count"].clone() }
        );
        seen.extend(
            page["kvs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|kv| kv["key"].as_str().unwrap().to_owned()),
        );
        next = page["next"].as_str().map(str::to_owned);
        pages += 1;
        // A key that comes after the first page was read belongs to none of the later ones.
        call(&cluster, 0, Method::PUT, &format!("/v1/kv/p/{}5late", pages), &[], "x").await;
        assert!(pages < 10, "pages without end");
    }
    let wanted: Vec<String> = (0..25).map(|number| format!("p/{number:02}")).collect();
    assert_eq!((pages, seen), (3, wanted));
    let gone = call(&cluster, 0, Method::DELETE, "/v1/kv?prefix=p/", &[], "").await;
    assert_eq!(gone.json()["deleted"], 28, "{}", gone.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_describes_itself() {
    let cluster = Cluster::plain(3).await;
    for at in 0..3 {
        let reply = call(&cluster, at, Method::GET, "/v1/cluster", &[], "").await;
        let seen = reply.json();
        assert_eq!((reply.status, seen["healthy"].as_bool()), (200, Some(true)), "{seen}");
        let members = seen["members"].as_array().unwrap();
        assert_eq!(members.len(), 3);
        let leaders: Vec<_> = members.iter().filter(|member| member["leader"] == true).collect();
        assert_eq!(leaders.len(), 1, "{seen}");
        assert_eq!(leaders[0]["id"], seen["leader_id"]);
        assert_eq!(
            seen["leader_id"].as_str().map(str::len),
            Some(16),
            "ids are 16 hex digits: {seen}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_does_one_of_two_things_and_says_what_came_of_it() {
    let cluster = Cluster::plain(3).await;
    let txn = async |at: usize, body: serde_json::Value| {
        let reply = call(&cluster, at, Method::POST, "/v1/txn", &[], &body.to_string()).await;
        (reply.status, reply.json())
    };
    let take = json!({
        "if": [{"key": "lock", "exists": false}],
        "then": [{"put": {"key": "lock", "value": "me"}}, {"put": {"key_base64": "/w==", "value_base64": "/w=="}}],
        "else": [{"get": {"key": "lock"}}, {"get": {"prefix": "", "count_only": true}}],
    });
    let (status, first) = txn(0, take.clone()).await;
    assert_eq!((status, &first["succeeded"]), (200, &json!(true)), "{first}");
    let revision = &first["revision"];
    assert_eq!(
        first["results"],
        json!([{"put": {"key": "lock", "mod_revision": revision}}, {"put": {"key_base64": "/w==", "mod_revision": revision}}])
    );
    let (_, second) = txn(1, take).await;
    assert_eq!(second["succeeded"], false);
    let found = &second["results"][0]["get"]["kvs"][0];
    assert_eq!((&found["value"], &found["mod_revision"]), (&json!("me"), revision));
    assert_eq!(second["results"][1]["get"]["count"], 2);
    assert_eq!(
        &second["revision"], revision,
        "a transaction that only reads writes nothing"
    );
    let give_back = json!({
        "if": [{"key": "lock", "value": "me", "mod_revision": revision}],
        "then": [{"delete": {"prefix": "lo"}}, {"txn": {"then": [{"get": {"prefix": ""}}]}}],
    });
    let (_, third) = txn(2, give_back).await;
    assert_eq!(third["results"][0]["delete"]["deleted"], 1, "{third}");
    assert_eq!(third["results"][1]["txn"]["results"][0]["get"]["count"], 1, "{third}");
    for (body, detail) in [
        (
            json!({"then": [{"put": {"key": "a"}}]}),
            "put needs exactly one of value and value_base64",
        ),
        (json!({"if": [{"key": "a"}]}), "a condition needs a test"),
        (
            json!({"then": [{"put": {"key": "", "value": ""}}]}),
            "etcdserver: key is not provided",
        ),
        (
            json!({"then": [{"put": {"key": "a", "value": ""}}, {"put": {"key": "a", "value": ""}}]}),
            "etcdserver: duplicate key given in txn request",
        ),
    ] {
        let (status, problem) = txn(0, body).await;
        assert!(
            status == 400 && problem["detail"].as_str().unwrap_or_default().starts_with(detail),
            "{status} {problem}"
        );
    }
}

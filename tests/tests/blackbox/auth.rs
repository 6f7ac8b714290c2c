//! Users, roles and permissions: etcd's answers, at every member, side by side with a real etcd where there is one.

use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::{PutRequest, RangeRequest};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, encode};
use kvorum_tests::reference::Reference;
use kvorum_tests::sides::{Both, Side, Step, bad, good, run};
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

const DENIED: (u16, &str) = (403, "etcdserver: permission denied");
const NOBODY: (u16, &str) = (400, "etcdserver: user name is empty");

fn denied(who: &'static str, path: &'static str, body: Value) -> Step {
    bad(who, path, body, DENIED.0, DENIED.1)
}

fn nobody(path: &'static str, body: Value) -> Step {
    bad("", path, body, NOBODY.0, NOBODY.1)
}

/// A refusal with status 400, whatever comes after `etcdserver: `.
fn wrong(path: &'static str, body: Value, message: &str) -> Step {
    bad("", path, body, 400, &format!("etcdserver: {message}"))
}

fn key(key: &str) -> Value {
    json!({"key": encode(key)})
}

fn put(key: &str) -> Value {
    json!({"key": encode(key), "value": encode("v")})
}

fn span(key: &str, end: &str) -> Value {
    json!({"key": encode(key), "range_end": encode(end)})
}

fn name(name: &str) -> Value {
    json!({"name": name})
}

fn user(name: &str, password: &str) -> Value {
    json!({"name": name, "password": password})
}

fn grant(role: &str, kind: &str, key: &str, end: &str) -> Value {
    json!({"name": role, "perm": {"permType": kind, "key": encode(key), "range_end": encode(end)}})
}

/// Before auth is on: users, with every refusal.
fn users() -> Vec<Step> {
    vec![
        good("", "auth/status", json!({})),
        wrong("auth/authenticate", user("root", "r"), "authentication is not enabled"),
        wrong("auth/enable", json!({}), "root user does not exist"),
        good("", "auth/user/add", user("root", "r")),
        wrong("auth/enable", json!({}), "root user does not have root role"),
        wrong("auth/user/add", user("", "x"), "user name is empty"),
        wrong("auth/user/add", user("root", "x"), "user name already exists"),
        good(
            "",
            "auth/user/add",
            json!({"name": "cert", "options": {"no_password": true}}),
        ),
        good("", "auth/user/add", user("alice", "a")),
        good("", "auth/user/add", user("bob", "b")),
        wrong("auth/user/get", name("nobody"), "user name not found"),
        wrong("auth/user/delete", name("nobody"), "user name not found"),
        wrong("auth/user/changepw", user("nobody", "x"), "user name not found"),
        bad(
            "",
            "auth/user/add",
            user("long", &"p".repeat(73)),
            500,
            "bcrypt: password length exceeds 72 bytes",
        ),
        good("", "auth/user/list", json!({})),
    ]
}

/// Before auth is on: roles, with every refusal; then it is switched on.
fn roles() -> Vec<Step> {
    vec![
        wrong("auth/role/add", name(""), "role name is empty"),
        good("", "auth/role/add", name("reader")),
        wrong("auth/role/add", name("reader"), "role name already exists"),
        good("", "auth/role/add", name("writer")),
        wrong("auth/role/get", json!({"role": "nothing"}), "role name not found"),
        wrong("auth/role/grant", name("reader"), "permission not given"),
        wrong(
            "auth/role/grant",
            grant("nothing", "READ", "a", ""),
            "role name not found",
        ),
        wrong(
            "auth/role/grant",
            grant("reader", "READ", "", ""),
            "invalid auth management",
        ),
        wrong(
            "auth/role/grant",
            grant("reader", "READ", "b", "a"),
            "invalid auth management",
        ),
        good("", "auth/role/grant", grant("reader", "READ", "r/", "r0")),
        good("", "auth/role/grant", grant("reader", "WRITE", "z", "")),
        good("", "auth/role/grant", grant("reader", "READ", "z", "")),
        good("", "auth/role/grant", grant("writer", "WRITE", "w/", "w0")),
        good("", "auth/role/grant", grant("writer", "READWRITE", "x/", "\0")),
        wrong(
            "auth/role/revoke",
            json!({"role": "reader", "key": encode("q")}),
            "permission is not granted to the role",
        ),
        wrong(
            "auth/role/revoke",
            json!({"role": "nothing", "key": encode("q")}),
            "role name not found",
        ),
        good("", "auth/role/revoke", json!({"role": "reader", "key": encode("z")})),
        good("", "auth/role/get", json!({"role": "reader"})),
        good("", "auth/role/get", json!({"role": "writer"})),
        good("", "auth/role/list", json!({})),
        wrong(
            "auth/user/grant",
            json!({"user": "nobody", "role": "reader"}),
            "user name not found",
        ),
        wrong(
            "auth/user/grant",
            json!({"user": "alice", "role": "nothing"}),
            "role name not found",
        ),
        good("", "auth/user/grant", json!({"user": "alice", "role": "reader"})),
        good("", "auth/user/grant", json!({"user": "alice", "role": "writer"})),
        good("", "auth/user/grant", json!({"user": "alice", "role": "writer"})),
        good("", "auth/user/grant", json!({"user": "root", "role": "root"})),
        wrong("auth/role/get", json!({"role": "root"}), "role name not found"),
        wrong(
            "auth/user/revoke",
            json!({"name": "bob", "role": "reader"}),
            "role is not granted to the user",
        ),
        good("", "auth/user/get", name("alice")),
        good("", "auth/status", json!({})),
        good("", "kv/put", put("r/1")),
        good("", "kv/put", put("w/1")),
        good("", "kv/put", put("s")),
        good("", "auth/enable", json!({})),
        good("", "auth/status", json!({})),
    ]
}

/// Passwords, tokens, and what takes the root role.
fn people() -> Vec<Step> {
    vec![
        bad(
            "",
            "auth/authenticate",
            user("root", "x"),
            400,
            "etcdserver: authentication failed, invalid user ID or password",
        ),
        bad(
            "",
            "auth/authenticate",
            user("nobody", "x"),
            400,
            "etcdserver: authentication failed, invalid user ID or password",
        ),
        bad(
            "",
            "auth/authenticate",
            json!({}),
            400,
            "etcdserver: authentication failed, invalid user ID or password",
        ),
        bad(
            "",
            "auth/authenticate",
            user("cert", "x"),
            500,
            "auth: authentication failed, password was given for no password user",
        ),
        good("", "auth/authenticate", user("root", "r")),
        good("", "auth/authenticate", user("alice", "a")),
        good("", "auth/authenticate", user("bob", "b")),
        nobody("auth/enable", json!({})),
        nobody("auth/user/list", json!({})),
        denied("alice", "auth/user/list", json!({})),
        denied("alice", "auth/role/list", json!({})),
        denied("alice", "auth/user/add", user("eve", "e")),
        denied("alice", "auth/user/grant", json!({"user": "alice", "role": "root"})),
        denied("alice", "auth/disable", json!({})),
        denied("alice", "auth/user/get", name("bob")),
        good("alice", "auth/user/get", name("alice")),
        good("alice", "auth/role/get", json!({"role": "reader"})),
        denied("bob", "auth/role/get", json!({"role": "reader"})),
        good("root", "auth/user/list", json!({})),
        good("root", "auth/role/list", json!({})),
        good("root", "auth/enable", json!({})),
        bad(
            "root",
            "auth/user/delete",
            name("root"),
            400,
            "etcdserver: invalid auth management",
        ),
        bad(
            "root",
            "auth/user/revoke",
            json!({"name": "root", "role": "root"}),
            400,
            "etcdserver: invalid auth management",
        ),
        bad(
            "root",
            "auth/role/delete",
            json!({"role": "root"}),
            400,
            "etcdserver: invalid auth management",
        ),
        nobody("maintenance/status", json!({})),
        nobody("cluster/member/list", json!({})),
    ]
}

/// Keys: every way around a permission that etcd once had, and the ways that are right.
fn keys() -> Vec<Step> {
    let get = |key: &str| json!({"request_range": {"key": encode(key)}});
    let set = |key: &str| json!({"request_put": {"key": encode(key), "value": encode("v")}});
    let guess = |key: &str| json!({"key": encode(key), "target": "VALUE", "result": "EQUAL", "value": encode("v")});
    let prev = |mut body: Value| {
        body["prev_kv"] = json!(true);
        body
    };
    vec![
        nobody("kv/range", key("r/1")),
        nobody("kv/put", put("w/1")),
        nobody("kv/deleterange", key("w/1")),
        nobody("kv/txn", json!({"success": [get("r/1")]})),
        nobody("kv/compaction", json!({"revision": "2"})),
        good("alice", "kv/range", key("r/1")),
        good("alice", "kv/range", span("r/", "r0")),
        good("alice", "kv/range", span("x/1", "\0")),
        denied("alice", "kv/range", key("w/1")),
        denied("alice", "kv/range", key("s")),
        denied("alice", "kv/range", span("r/", "s")),
        denied("alice", "kv/range", span("r/", "\0")),
        denied("alice", "kv/range", span("\0", "\0")),
        denied("bob", "kv/range", key("r/1")),
        good("alice", "kv/put", put("w/1")),
        denied("alice", "kv/put", prev(put("w/1"))),
        good("alice", "kv/put", prev(put("x/1"))),
        denied("alice", "kv/put", put("r/1")),
        denied("alice", "kv/deleterange", prev(key("w/1"))),
        denied("alice", "kv/deleterange", span("w/", "\0")),
        good("alice", "kv/deleterange", key("w/1")),
        denied(
            "alice",
            "kv/txn",
            json!({"compare": [guess("s")], "success": [get("r/1")]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"success": [get("r/1")], "failure": [get("s")]}),
        ),
        denied("alice", "kv/txn", json!({"success": [set("s")]})),
        denied(
            "alice",
            "kv/txn",
            json!({"success": [{"request_txn": {"compare": [guess("s")], "success": [get("r/1")]}}]}),
        ),
        denied(
            "alice",
            "kv/txn",
            json!({"success": [{"request_txn": {"success": [{"request_txn": {"failure": [set("s")]}}]}}]}),
        ),
        good(
            "alice",
            "kv/txn",
            json!({"compare": [guess("r/1")], "success": [set("w/2")], "failure": [get("r/1")]}),
        ),
        denied("alice", "kv/compaction", json!({"revision": "2"})),
        good("root", "kv/range", span("\0", "\0")),
        good("root", "kv/compaction", json!({"revision": "2"})),
    ]
}

/// Changes of users while their tokens are in use.
fn changes() -> Vec<Step> {
    let invalid = (401, "etcdserver: invalid auth token");
    vec![
        good("root", "auth/user/changepw", user("alice", "new")),
        bad("alice", "kv/range", key("r/1"), invalid.0, invalid.1),
        bad(
            "",
            "auth/authenticate",
            user("alice", "a"),
            400,
            "etcdserver: authentication failed, invalid user ID or password",
        ),
        good("", "auth/authenticate", user("alice", "new")),
        good("alice", "kv/range", key("r/1")),
        good("root", "auth/user/revoke", json!({"name": "alice", "role": "reader"})),
        denied("alice", "kv/range", key("r/1")),
        good("root", "auth/role/delete", json!({"role": "writer"})),
        denied("alice", "kv/put", put("w/1")),
        good("root", "auth/user/get", name("alice")),
        good("root", "auth/user/delete", name("alice")),
        bad("alice", "kv/range", key("r/1"), invalid.0, invalid.1),
        good("root", "auth/status", json!({})),
        good("root", "auth/disable", json!({})),
        good("", "kv/range", key("r/1")),
        // A token of before says nothing while auth is off, as in etcd.
        good("alice", "kv/range", key("r/1")),
        good("", "auth/disable", json!({})),
        good("", "auth/enable", json!({})),
        bad("root", "kv/range", key("r/1"), invalid.0, invalid.1),
        good("", "auth/authenticate", user("root", "r")),
        good("root", "kv/range", key("r/1")),
    ]
}

async fn side_by_side(members: usize) {
    let cluster = Cluster::plain_with(members, &["--bcrypt-cost", "4"]).await;
    let reference = Reference::start().await;
    let mut both = Both::new(&cluster, reference.as_ref());
    let script: Vec<Step> = [users(), roles(), people(), keys(), changes()]
        .into_iter()
        .flatten()
        .collect();
    both.run(&script).await;
    println!("{} steps at {members} member(s)", script.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_knows_its_users_as_etcd_does() {
    side_by_side(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_knows_every_token() {
    side_by_side(3).await;
}

/// Makes root and alice, who may read and write what begins with `a`, and switches auth on; a side with both tokens.
async fn with_users(members: Vec<Etcd>) -> Side {
    let mut side = Side::new(members);
    let script = [
        good("", "auth/user/add", user("root", "r")),
        good("", "auth/user/grant", json!({"user": "root", "role": "root"})),
        good("", "auth/user/add", user("alice", "a")),
        good("", "auth/role/add", name("a")),
        good("", "auth/role/grant", grant("a", "READWRITE", "a", "b")),
        good("", "auth/user/grant", json!({"user": "alice", "role": "a"})),
        good("", "auth/enable", json!({})),
        good("", "auth/authenticate", user("root", "r")),
        good("", "auth/authenticate", user("alice", "a")),
        good("alice", "kv/put", put("a1")),
    ];
    let wrong = run(&script, &mut side, None).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    side
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_paths_take_a_token_too() {
    let cluster = Cluster::plain_with(1, &["--bcrypt-cost", "4"]).await;
    let side = with_users(cluster.everywhere()).await;
    let ask = async |path: &str, token: &str| {
        let headers = [("authorization", token)];
        let url = format!("{}{path}", cluster.url(0));
        let reply = cluster.web.send(http::Method::GET, &url, &headers, "").await.unwrap();
        (
            reply.status,
            reply.json()["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let alice = side.token("alice");
    assert_eq!(ask("/v1/kv/a1", alice).await.0, 200);
    assert_eq!(ask("/v1/kv/a1", &format!("Bearer {alice}")).await.0, 200);
    assert_eq!(ask("/v1/kv/b1", alice).await, (403, "PermissionDenied".into()));
    assert_eq!(ask("/v1/kv?prefix=", alice).await, (403, "PermissionDenied".into()));
    assert_eq!(ask("/v1/kv/a1", "").await, (400, "UserEmpty".into()));
    assert_eq!(ask("/v1/cluster", "").await, (400, "UserEmpty".into()));
    assert_eq!(ask("/v1/kv/a1", "nonsense").await, (401, "InvalidAuthToken".into()));
    assert_eq!(ask("/v1/cluster", alice).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_takes_a_token_and_users_outlive_a_restart() {
    let mut cluster = Cluster::plain_with(1, &["--bcrypt-cost", "4"]).await;
    let side = with_users(cluster.everywhere()).await;
    let url = cluster.url(0);
    let get = async |token: &str, key: &str| {
        let mut client = KvClient::new(Endpoint::from_shared(url.clone()).unwrap().connect().await.unwrap());
        let mut request = tonic::Request::new(RangeRequest {
            key: key.to_owned().into(),
            ..Default::default()
        });
        if !token.is_empty() {
            request.metadata_mut().insert("token", token.parse().unwrap());
        }
        let answer = client.range(request).await;
        answer
            .map(|answer| answer.into_inner().kvs.len())
            .map_err(|status| status.code())
    };
    assert_eq!(get(side.token("alice"), "a1").await, Ok(1));
    assert_eq!(get(side.token("alice"), "b1").await, Err(Code::PermissionDenied));
    assert_eq!(get("", "a1").await, Err(Code::InvalidArgument));
    assert_eq!(get("nonsense.1", "a1").await, Err(Code::Unauthenticated));
    cluster.stop(0).await;
    cluster.start(0);
    cluster.ready().await;
    assert_eq!(get("", "a1").await, Err(Code::InvalidArgument));
    let mut side = Side::new(cluster.everywhere());
    let again = [
        good("", "auth/authenticate", user("alice", "a")),
        good("alice", "kv/range", key("a1")),
    ];
    assert_eq!(run(&again, &mut side, None).await, [] as [String; 0]);
    let log = cluster.members[0].output();
    let secrets = [side.token("alice"), "password"];
    assert!(
        !secrets.iter().any(|secret| log.contains(secret)),
        "a secret is in the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_dies_when_nobody_uses_it() {
    let cluster = Cluster::plain_with(1, &["--bcrypt-cost", "4", "--auth-token-ttl", "1"]).await;
    let mut side = with_users(cluster.everywhere()).await;
    // The time to live is what is tested: left alone for longer, the token must be dead.
    let mut alone = tokio::time::interval(std::time::Duration::from_millis(1_500));
    alone.tick().await;
    alone.tick().await;
    let reply = cluster
        .at(0)
        .call_as(side.token("alice"), "kv/range", &key("a1"))
        .await
        .unwrap();
    assert_eq!(reply.status, 401, "{}", reply.text());
    let again = [
        good("", "auth/authenticate", user("alice", "a")),
        good("alice", "kv/range", key("a1")),
    ];
    assert_eq!(run(&again, &mut side, None).await, [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_tokens_are_old_as_soon_as_users_change() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret that all members share").unwrap();
    let flag = format!("jwt,sign-method=HS256,priv-key={},ttl=10m", secret.display());
    let cluster = Cluster::plain_with(3, &["--bcrypt-cost", "4", "--auth-token", &flag]).await;
    let reference = Reference::start_with(1, &["--unsafe-no-fsync", "--auth-token", &flag]).await;
    let mut both = Both {
        ours: with_users(cluster.everywhere()).await,
        theirs: match &reference {
            Some(reference) => Some(with_users(vec![reference.etcd.clone()]).await),
            None => None,
        },
    };
    let script = [
        good("alice", "kv/range", key("a1")),
        denied("alice", "kv/range", key("b1")),
        good("root", "auth/role/add", name("other")),
        bad(
            "alice",
            "kv/range",
            key("a1"),
            400,
            "etcdserver: revision of auth store is old",
        ),
        bad(
            "alice",
            "kv/put",
            put("a1"),
            400,
            "etcdserver: revision of auth store is old",
        ),
        // Calls for root look at its role alone.
        good("root", "auth/role/delete", json!({"role": "other"})),
        good("", "auth/authenticate", user("alice", "a")),
        good("alice", "kv/range", key("a1")),
    ];
    both.run(&script).await;
    if let Some(theirs) = &both.theirs {
        // The claims are etcd's: with the same secret, its tokens are good here.
        let reply = cluster
            .at(0)
            .call_as(theirs.token("alice"), "kv/range", &key("a1"))
            .await
            .unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificates_common_name_is_a_user_where_that_is_asked_for() {
    let mut cluster = Cluster::managed(1).await;
    cluster.stop(0).await;
    cluster.members[0]
        .arguments
        .extend(["--client-cert-auth", "--bcrypt-cost", "4"].map(str::to_owned));
    cluster.start(0);
    cluster.ready().await;
    let mut side = with_users(cluster.everywhere()).await;
    let pki = cluster.pki.as_ref().unwrap();
    let leaf = pki.clients.leaf("alice", None, kvorum_tests::pki::Use::Client);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&pki.clients.cert))
        .identity(Identity::from_pem(leaf.cert, leaf.key))
        .domain_name("localhost");
    let channel = Endpoint::from_shared(cluster.url(0)).unwrap().tls_config(tls).unwrap();
    let mut client = KvClient::new(channel.connect().await.unwrap());
    let put = |key: &str| PutRequest {
        key: key.to_owned().into(),
        ..Default::default()
    };
    assert!(client.put(put("a2")).await.is_ok());
    assert_eq!(client.put(put("b2")).await.unwrap_err().code(), Code::PermissionDenied);
    // A token counts before a certificate.
    let mut request = tonic::Request::new(put("b2"));
    request
        .metadata_mut()
        .insert("token", side.token("root").parse().unwrap());
    assert!(client.put(request).await.is_ok());
    // The harness's own certificate names nobody that is known here; the operator's calls need no user.
    let stranger = [denied("", "kv/range", key("a1"))];
    assert_eq!(run(&stranger, &mut side, None).await, [] as [String; 0]);
    assert!(cluster.operator().status(&cluster, 0).await.is_ok());
    assert!(cluster.is_ready(0).await.is_ok());
}

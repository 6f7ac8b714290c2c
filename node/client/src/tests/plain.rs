//! The plain JSON of `/v1` and the admin calls.

use super::server::{Reply, Server};
use super::{client, told};
use crate::{Expected, PageQuery};
use kvorum_api::Id;
use kvorum_api::admin::{NodeState, NodeStatus, Rejection, Role};
use kvorum_api::plain::Fault;
use kvorum_api::problem::Problem;

const WRITTEN: &str = r#"{"key":"k","mod_revision":7,"created":false}"#;

fn id(number: u64) -> Id {
    Id::new(number).unwrap()
}

fn refusal(problem: &Problem) -> Reply {
    Reply::Json(problem.status, String::from_utf8(problem.json_body()).unwrap())
}

#[tokio::test]
async fn keys_are_one_segment_of_the_path() {
    let server = Server::start(|_| Reply::Json(200, WRITTEN.into())).await;
    let client = client(&[&server]);
    client.kv_put(b"a/b c\xff?", "v", Expected::Absent, None).await.unwrap();
    client
        .kv_put(b"k", "v", Expected::Revision(5), Some(id(0xab)))
        .await
        .unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].line, "PUT /v1/kv/a%2Fb%20c%FF%3F");
    assert_eq!(
        (
            seen[0].headers["if-none-match"].to_str().unwrap(),
            seen[0].body.as_str()
        ),
        ("*", "v")
    );
    assert_eq!(seen[1].line, "PUT /v1/kv/k?lease=00000000000000ab");
    assert_eq!(seen[1].headers["if-match"], "\"5\"");
}

#[tokio::test]
async fn pages_are_asked_for() {
    let server = Server::start(|_| Reply::Json(200, r#"{"kvs":[],"count":0,"revision":3}"#.into())).await;
    let client = client(&[&server]);
    let query = PageQuery {
        prefix: b"a/".into(),
        limit: Some(2),
        after: Some(b"a/1".into()),
        revision: Some(3),
        ..PageQuery::default()
    };
    assert_eq!(client.kv_page(&query).await.unwrap().next, None);
    client.kv_next("/v1/kv?prefix=b").await.unwrap();
    let lines: Vec<_> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/kv?prefix=a%2F&limit=2&after=a%2F1&revision=3",
            "GET /v1/kv?prefix=b"
        ]
    );
}

#[tokio::test]
async fn missing_key_is_none_and_a_missing_path_is_not() {
    let server = Server::start(|seen| {
        let fault = if seen.line.ends_with("/k") {
            Fault::KeyNotFound
        } else {
            Fault::UnknownPath
        };
        refusal(&fault.problem("Not here."))
    })
    .await;
    let client = client(&[&server]);
    assert_eq!(client.kv_get(b"k").await.unwrap(), None);
    assert_eq!(told(&client.kv_get(b"x").await.unwrap_err()), "Problem: Not here.");
}

#[tokio::test]
async fn admin_calls_carry_the_epoch_and_hints_come_back() {
    let problem = Rejection::NotLeader(Some(id(2))).problem("The member n2 leads.");
    let server = Server::start(move |_| refusal(&problem)).await;
    let client = client(&[&server]);
    let error = client
        .admin(&client.endpoints()[0])
        .promote(id(9), 4)
        .await
        .unwrap_err();
    assert!(error.is_not_leader());
    assert_eq!(error.leader_hint(), Some(id(2)));
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/admin/members/0000000000000009/promote");
    assert_eq!(seen[0].headers["kvorum-fencing-epoch"], "4");
}

#[tokio::test]
async fn the_leader_is_found_by_its_hint() {
    let leader = Server::start(|_| Reply::Json(204, String::new())).await;
    let leader_url = leader.url();
    let follower = Server::start(move |seen| match seen.line.as_str() {
        "GET /v1/admin/status" => Reply::Json(200, serde_json::to_string(&follower_status(&leader_url)).unwrap()),
        _ => refusal(&Rejection::NotLeader(Some(id(2))).problem("The member n2 leads.")),
    })
    .await;
    client(&[&follower])
        .leader_admin()
        .remove_member(id(9), 1)
        .await
        .unwrap();
    assert_eq!(follower.seen().len(), 2);
    assert_eq!(leader.seen()[0].line, "DELETE /v1/admin/members/0000000000000009");
}

fn follower_status(leader_url: &str) -> NodeStatus {
    let member = |number: u64, url: &str| kvorum_api::admin::Member {
        id: id(number),
        name: format!("n{number}"),
        peer_urls: Vec::new(),
        client_urls: vec![url.to_owned()],
        role: Role::Voter,
    };
    NodeStatus {
        name: "n1".into(),
        member_id: id(1),
        cluster_id: Some(id(7)),
        state: NodeState::Follower,
        reason: None,
        version: "0.1.0".into(),
        term: 1,
        leader_id: Some(id(2)),
        last_log_index: 1,
        applied_index: 1,
        committed_index: 1,
        members: vec![member(1, "http://localhost:1"), member(2, leader_url)],
        certificates: Vec::new(),
        fencing_epoch: 0,
    }
}

//! The JSON of the admin calls, as the operator and the node both rely on it.

use super::*;
use expect_test::expect;
use test_case::test_case;

fn id(number: u64) -> Id {
    Id::new(number).unwrap()
}

fn status() -> NodeStatus {
    NodeStatus {
        name: "demo-0".into(),
        member_id: id(0xa),
        cluster_id: Some(id(0xc)),
        state: NodeState::Leader,
        reason: None,
        version: "0.1.0".into(),
        term: 3,
        leader_id: Some(id(0xa)),
        last_log_index: 12,
        applied_index: 11,
        committed_index: 11,
        members: vec![Member {
            id: id(0xa),
            name: "demo-0".into(),
            peer_urls: vec!["https://demo-0-0.demo-peers.ns.svc:2380".into()],
            client_urls: vec!["https://demo-0-0.demo-peers.ns.svc:2379".into()],
            role: Role::Voter,
        }],
        certificates: vec![Certificate {
            kind: CertificateKind::ClientCa,
            fingerprint: "00ff".into(),
            not_after: "2027-01-02T03:04:05Z".into(),
        }],
        fencing_epoch: 7,
    }
}

#[test]
fn status_round_trips() {
    let json = serde_json::to_string_pretty(&status()).unwrap();
    expect![[r#"
        {
          "name": "demo-0",
          "member_id": "000000000000000a",
          "cluster_id": "000000000000000c",
          "state": "Leader",
          "reason": null,
          "version": "0.1.0",
          "term": 3,
          "leader_id": "000000000000000a",
          "last_log_index": 12,
          "applied_index": 11,
          "committed_index": 11,
          "members": [
            {
              "id": "000000000000000a",
              "name": "demo-0",
              "peer_urls": [
                "https://demo-0-0.demo-peers.ns.svc:2380"
              ],
              "client_urls": [
                "https://demo-0-0.demo-peers.ns.svc:2379"
              ],
              "role": "Voter"
            }
          ],
          "certificates": [
            {
              "kind": "ClientCa",
              "fingerprint": "00ff",
              "not_after": "2027-01-02T03:04:05Z"
            }
          ],
          "fencing_epoch": 7
        }"#]]
    .assert_eq(&json);
    assert_eq!(serde_json::from_str::<NodeStatus>(&json).unwrap(), status());
}

#[test_case(NodeState::Waiting)]
#[test_case(NodeState::IdentityMissing)]
#[test_case(NodeState::IdentityMismatch)]
#[test_case(NodeState::Learner)]
#[test_case(NodeState::Follower)]
#[test_case(NodeState::Candidate)]
#[test_case(NodeState::Leader)]
fn state_names_are_the_json(state: NodeState) {
    assert_eq!(serde_json::to_value(state).unwrap(), state.name());
}

#[test]
fn not_leader_names_the_leader() {
    let problem = Rejection::NotLeader(Some(id(0xb))).problem("demo-1 leads.");
    let json = String::from_utf8(problem.json_body()).unwrap();
    expect![[r#"{"type":"urn:kvorum:problem:NotLeader","title":"only the leader does this","status":409,"code":"NotLeader","detail":"demo-1 leads.","leader_id":"000000000000000b"}"#]]
        .assert_eq(&json);
}

#[test]
fn zero_is_no_member() {
    assert!(serde_json::from_str::<LeadershipTransfer>(r#"{"target":"0"}"#).is_err());
}

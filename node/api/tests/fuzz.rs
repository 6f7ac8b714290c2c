//! Every decoder of this crate on inputs that nobody would send: a value or a named error, never a panic; and what was
//! decoded is encoded and decoded again to the same.

#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

use kvorum_api::error::Code;
use kvorum_api::plain::txn::{Operation, Txn};
use kvorum_api::plain::{Entry, Granted, LeaseWish, News, Page, Text};
use kvorum_api::problem::Problem;
use kvorum_api::{Id, admin, authpb, etcdserverpb, json, mvccpb, range, v3electionpb, v3lockpb};
use kvorum_fuzz as fuzz;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Decodes a body as one type of message.
type Check = fn(&[u8]);

fn message<M: DeserializeOwned + Serialize + Default + PartialEq + std::fmt::Debug>(body: &[u8]) {
    match json::decode::<M>(body) {
        Ok(message) => assert_eq!(json::decode::<M>(&json::encode(&message)).unwrap(), message),
        Err(failure) => assert!(failure.code == Code::InvalidArgument && !failure.message.is_empty()),
    }
}

macro_rules! messages {
    ($($package:ident: $($name:ident)*;)*) => { &[$($(message::<$package::$name>),*),*] };
}

/// Everything that the gateway takes, and what it sends with the most kinds of fields.
const MESSAGES: &[Check] = messages! {
    etcdserverpb: RangeRequest PutRequest DeleteRangeRequest TxnRequest CompactionRequest WatchRequest
        LeaseGrantRequest LeaseRevokeRequest LeaseKeepAliveRequest LeaseTimeToLiveRequest LeaseLeasesRequest
        MemberAddRequest MemberRemoveRequest MemberUpdateRequest MemberListRequest MemberPromoteRequest
        AlarmRequest StatusRequest DefragmentRequest HashRequest HashKvRequest SnapshotRequest MoveLeaderRequest
        DowngradeRequest AuthEnableRequest AuthDisableRequest AuthStatusRequest AuthenticateRequest
        AuthUserAddRequest AuthUserGetRequest AuthUserListRequest AuthUserDeleteRequest
        AuthUserChangePasswordRequest AuthUserGrantRoleRequest AuthUserRevokeRoleRequest AuthRoleAddRequest
        AuthRoleGetRequest AuthRoleListRequest AuthRoleDeleteRequest AuthRoleGrantPermissionRequest
        AuthRoleRevokePermissionRequest RangeResponse TxnResponse WatchResponse StatusResponse MemberListResponse
        AlarmResponse LeaseLeasesResponse AuthRoleGetResponse;
    v3lockpb: LockRequest UnlockRequest LockResponse;
    v3electionpb: CampaignRequest ProclaimRequest LeaderRequest ResignRequest LeaderResponse;
    mvccpb: Event KeyValue;
    authpb: User Role Permission;
};

fn every_message(body: &[u8]) {
    MESSAGES.iter().for_each(|check| check(body));
}

/// The names of all fields and of all values of enums, from the `.proto` files themselves, in both spellings.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/proto"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let fields = text.lines().filter_map(|line| line.split_once(" = "));
            let named = fields.filter_map(|(before, _)| before.split_whitespace().next_back());
            names.extend(named.flat_map(|name| [name.to_owned(), camel(name)]));
        }
    }
    assert!(names.iter().any(|name| name == "rangeEnd"), "the files have moved");
    names
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        out.push_str(&first.to_uppercase());
        out.push_str(rest);
    }
    out
}

/// JSON whose objects have the fields of messages and whose values are sometimes of their types.
fn value(names: Vec<String>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-4..9_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(|number| Value::from(number.to_string())),
        fuzz::bytes(9).prop_map(|bytes| Value::from(Text::from(bytes::Bytes::from(bytes)).to_base64())),
        select(names.clone()).prop_map(Value::from),
        fuzz::text(&["a", "/", "+", "=", "-", "\u{e9}", "\0", "1e3", "1.0"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        let pairs = vec((select(names.clone()), inner.clone()), 0..8);
        prop_oneof![
            4 => pairs.prop_map(|pairs| Value::Object(Map::from_iter(pairs))),
            1 => vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

/// Valid bodies to begin with.
const BODIES: [&str; 8] = [
    r#"{"key":"Zm9v","range_end":"Zm9w","limit":"3","sort_order":"DESCEND","sortTarget":2,"keys_only":true}"#,
    r#"{"key":"Zm9v","value":"YmFy","lease":"-77","prev_kv":true,"ignoreLease":false}"#,
    r#"{"compare":[{"result":"GREATER","target":"VERSION","key":"Zm9v","version":"3"}],"success":[{"requestPut":{"key":"YQ==","value":"Yg=="}}],"failure":[{"request_txn":{"success":[{"request_range":{"key":"YQ=="}}]}}]}"#,
    r#"{"create_request":{"key":"Zm9v","start_revision":"9","filters":["NOPUT","NODELETE"],"watch_id":"3"}}"#,
    r#"{"name":"alice","password":"x","options":{"no_password":true},"hashedPassword":"eA=="}"#,
    r#"{"name":"r","perm":{"permType":"READWRITE","key":"YQ==","range_end":"AA=="}}"#,
    r#"{"peerURLs":["http://a:1","http://b:2"],"ID":"18446744073709551615","isLearner":true}"#,
    r#"{"leader":{"name":"ZQ==","key":"ZQ==","rev":"5","lease":"6"},"value":"dg=="}"#,
];

fn bodies() -> Vec<Vec<u8>> {
    BODIES.iter().map(|body| body.as_bytes().to_vec()).collect()
}

#[test]
fn bodies_of_any_bytes() {
    fuzz::run("bodies of any bytes", 200, fuzz::bytes(64), |body| every_message(&body));
}

#[test]
fn bodies_with_the_names_of_fields() {
    fuzz::run("bodies with the names of fields", 150, value(names()), |value| {
        every_message(value.to_string().as_bytes());
    });
}

#[test]
fn bodies_that_were_valid() {
    fuzz::run("bodies that were valid", 300, fuzz::mutated(bodies()), |body| {
        every_message(&body)
    });
}

/// Reads a plain body; what was read is written and read again to the same.
fn plain<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(body: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(body) {
        assert_eq!(
            serde_json::from_slice::<T>(&serde_json::to_vec(&value).unwrap()).unwrap(),
            value
        );
    }
}

fn every_plain_body(body: &[u8]) {
    plain::<Entry>(body);
    plain::<Page>(body);
    plain::<LeaseWish>(body);
    plain::<Granted>(body);
    plain::<News>(body);
    plain::<Problem>(body);
    plain::<admin::NodeStatus>(body);
    plain::<admin::Bootstrap>(body);
    plain::<admin::NewMember>(body);
    plain::<admin::LeadershipTransfer>(body);
    plain::<admin::Progress>(body);
    if let Ok(txn) = serde_json::from_slice::<Txn>(body) {
        look_at(&txn);
    }
}

/// Asks a transaction everything that whoever carries it out asks.
fn look_at(txn: &Txn) {
    for condition in &txn.conditions {
        let _ = (condition.keys(), condition.values());
    }
    for operation in txn.then.iter().chain(&txn.otherwise) {
        match operation {
            Operation::Put(put) => drop((put.key(), put.value())),
            Operation::Get(get) => drop(get.keys()),
            Operation::Delete(delete) => drop(delete.keys()),
            Operation::Txn(inner) => look_at(inner),
        }
    }
}

const PLAIN: [&str; 8] = [
    r#"{"if":[{"key":"lock","exists":false},{"prefix_base64":"YQ==","version":{"gt":3},"lease":"beef"}],"then":[{"put":{"key":"l","value_base64":"YQ==","lease":"1"}},{"txn":{"then":[{"get":{"prefix":"j/","limit":3}}]}}],"else":[{"delete":{"key":"l"}}]}"#,
    r#"{"key":"a","value_base64":"/w==","version":1,"create_revision":2,"mod_revision":3,"lease":"00000000000000ff"}"#,
    r#"{"type":"put","key_base64":"/w==","value":"1","version":1,"create_revision":2,"mod_revision":3,"previous":{"key":"a","value":"b","version":1,"create_revision":2,"mod_revision":3}}"#,
    r#"{"type":"delete","key":"a","mod_revision":3}"#,
    r#"{"ttl":60,"id":"beef"}"#,
    r#"{"id":"beef","name":"n0","peer_urls":["https://a:1"],"client_urls":[]}"#,
    r#"{"cluster_id":"1","member_id":"2"}"#,
    r#"{"type":"about:blank","title":"t","status":404,"code":"not_found","detail":"d"}"#,
];

#[test]
fn plain_bodies() {
    let valid = PLAIN.iter().map(|body| body.as_bytes().to_vec()).collect();
    fuzz::run("plain bodies that were valid", 800, fuzz::mutated(valid), |body| {
        every_plain_body(&body)
    });
    let pieces = [
        "{", "}", "[", "]", ",", ":", "\"if\"", "\"then\"", "\"txn\"", "\"put\"", "\"key\"", "1", "null", "\"eq\"",
    ];
    fuzz::run("plain bodies of pieces", 500, fuzz::text(&pieces), |text| {
        every_plain_body(text.as_bytes())
    });
}

#[test]
fn nesting_is_refused_and_no_stack_ends() {
    for (open, close) in [
        (r#"{"then":[{"txn":"#, "}]}"),
        (r#"{"success":[{"request_txn":"#, "}]}"),
        (r#"{"unknown":"#, "}"),
        ("[", "]"),
        (r#"{"previous":"#, "}"),
    ] {
        let body = format!("{}{{}}{}", open.repeat(2_000), close.repeat(2_000));
        every_plain_body(body.as_bytes());
        every_message(body.as_bytes());
        every_message(open.repeat(2_000).as_bytes());
    }
}

#[test]
fn ids() {
    fuzz::run("ids", 1_000, fuzz::text(&["0", "f", "F", "+", "0x", " "]), |text| {
        if let Ok(id) = text.parse::<Id>() {
            assert_eq!(id.to_string().parse::<Id>(), Ok(id));
            assert_eq!(Some(id.get()), u64::from_str_radix(&text, 16).ok());
        }
    });
    fuzz::run("ids of numbers", 300, any::<u64>(), |number| {
        let id = Id::new(number);
        assert_eq!(id.map(Id::get), Some(number).filter(|number| *number != 0));
        assert!(id.is_none_or(|id| id.to_string().parse() == Ok(id)));
    });
}

#[test]
fn bytes_in_base64() {
    fuzz::run("bytes in base64", 500, fuzz::bytes(40), |bytes| {
        let text = Text::from(bytes::Bytes::from(bytes));
        assert_eq!(Text::from_base64(&text.to_base64()), Ok(text));
    });
    fuzz::run(
        "what is hardly base64",
        200,
        fuzz::text(&["A", "=", "/", "_", "\n"]),
        |text| {
            let _ = Text::from_base64(&text);
            every_message(format!("{{\"key\":{}}}", Value::from(text)).as_bytes());
        },
    );
}

#[test]
fn prefixes_hold_what_begins_with_them_and_nothing_else() {
    let byte = || prop_oneof![Just(0xff_u8), Just(0), any::<u8>()];
    let inputs = (vec(byte(), 1..5), vec(byte(), 0..7));
    fuzz::run("prefixes", 2_000, inputs, |(prefix, key)| {
        let (first, end) = (range::first_key(&prefix), range::prefix_end(&prefix));
        let inside = key >= first && (end == range::ZERO || key < end);
        assert_eq!(inside, key.starts_with(&prefix));
    });
}

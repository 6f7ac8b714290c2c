//! Every decoder of the node on inputs that nobody would send: query strings, settings, what members say to each other,
//! records of the log, tokens. A value or a named error, never a panic, and no memory for a length that lies.

#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvorum::auth::jwt::{Algorithm, Jwt};
use kvorum::auth::simple::Shown;
use kvorum::config::{Config, JwtSettings, Settings, TokenSettings};
use kvorum::duration;
use kvorum::http::kv::conditions::{self, Condition};
use kvorum::http::query::{self, Query};
use kvorum::raft::forward::{Ask, Change, Reply};
use kvorum::raft::frame::{self, Channel, Greeting, Hello};
use kvorum::raft::log_records::{self, Record};
use kvorum::raft::network::{Question, Response};
use kvorum::raft::{Answer, MemberNode, Membership, Proposal, StoredMembership, Vote, entry_id};
use kvorum::service::compactor::Retention;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::{
    PutRequest, PutResponse, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse, request_op,
    response_op,
};
use kvorum_api::mvccpb::KeyValue;
use kvorum_fuzz as fuzz;
use kvorum_store::Response as Stored;
use kvorum_wal::Kind;
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[test]
fn queries() {
    let names = ["limit", "prefix", "keys", "a b", "%"];
    let pieces = [
        "limit", "prefix", "keys", "=", "&", "%", "%2", "%ff", "+", "true", "false", "1", "\u{e9}",
    ];
    fuzz::run("queries", 1_500, fuzz::text(&pieces), |text| {
        for name in names {
            let mut query = Query::parse(Some(&text));
            let _ = (query.flag(name), query.all(name));
            let _ = query.bytes(name);
            let _ = query.switch(name);
            let _ = query.parsed::<u32>(name, "a number");
            let _ = query.finish();
        }
        let _ = query::decode_path(&text);
    });
    let pairs = vec((fuzz::bytes(6), fuzz::bytes(30)), 0..4);
    fuzz::run("queries that were written here", 1_000, pairs, |pairs| {
        let mut pairs = pairs;
        pairs.sort();
        pairs.dedup_by(|left, right| left.0 == right.0);
        let text: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", query::encode(name), query::encode(value)))
            .collect();
        let mut query = Query::parse(Some(&text.join("&")));
        for (name, value) in pairs.iter().filter(|(name, _)| std::str::from_utf8(name).is_ok()) {
            assert_eq!(
                query.bytes(std::str::from_utf8(name).unwrap()).unwrap().as_deref(),
                Some(&value[..])
            );
        }
        assert!(pairs.iter().any(|(name, _)| std::str::from_utf8(name).is_err()) || query.finish().is_ok());
        for (_, value) in &pairs {
            assert_eq!(query::decode_path(&query::encode(value)), value);
        }
    });
}

#[test]
fn conditions_of_requests() {
    let pieces = ["\"", "7", "0", "-", "W/", ",", "*", " ", "9223372036854775808", "+"];
    let inputs = (text(&pieces), text(&pieces), 1..9_i64);
    fuzz::run("conditions", 2_000, inputs, |(matching, none_matching, revision)| {
        let mut headers = http::HeaderMap::new();
        for (name, text) in [
            (http::header::IF_MATCH, matching),
            (http::header::IF_NONE_MATCH, none_matching),
        ] {
            if let Some(value) = text.and_then(|text| http::HeaderValue::from_str(&text).ok()) {
                headers.insert(name, value);
            }
        }
        if let Ok(Condition::At(revision)) = Condition::of_write(&headers) {
            assert!(revision > 0);
        }
        let _ = conditions::unchanged(&headers, revision);
        headers.clear();
        headers.insert(http::header::IF_MATCH, conditions::tag(revision).parse().unwrap());
        assert_eq!(Condition::of_write(&headers).unwrap(), Condition::At(revision));
    });
}

/// Whoever waits for it adds it to the present time.
fn can_be_waited_for(duration: Duration) -> bool {
    Instant::now().checked_add(duration).is_some()
}

#[test]
fn durations() {
    let pieces = [
        "ns",
        "us",
        "ms",
        "s",
        "m",
        "h",
        ".",
        "-",
        "+",
        "e",
        "1",
        "0",
        "9999999999",
        "inf",
        "nan",
    ];
    fuzz::run("durations", 2_000, fuzz::text(&pieces), |text| {
        match duration::parse(&text) {
            Ok(duration) => assert!(!duration.is_zero() && can_be_waited_for(duration), "{text:?}"),
            Err(reason) => assert!(!reason.is_empty()),
        }
    });
    fuzz::run(
        "durations that were written here",
        1_000,
        1..u64::from(u32::MAX),
        |ms| {
            assert_eq!(duration::parse(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
        },
    );
}

fn text(pieces: &[&'static str]) -> impl Strategy<Value = Option<String>> + use<> {
    option::of(fuzz::text(pieces))
}

fn urls() -> impl Strategy<Value = Option<String>> {
    let pieces = [
        "http://",
        "https://",
        "127.0.0.1",
        "localhost",
        "[::1]",
        ":",
        "2379",
        "0",
        "65536",
        ",",
        "/",
        "?",
        "@",
        " ",
        "0.0.0.0",
    ];
    prop_oneof![1 => Just(Some("http://127.0.0.1:1".to_owned())), 1 => text(&pieces)]
}

fn addresses() -> impl Strategy<Value = Settings> {
    (urls(), urls(), urls(), urls(), urls(), any::<Option<bool>>()).prop_map(|urls| Settings {
        listen_client_urls: urls.0,
        advertise_client_urls: urls.1,
        listen_peer_urls: urls.2,
        initial_advertise_peer_urls: urls.3,
        listen_metrics_urls: urls.4,
        allow_insecure_listen: urls.5,
        ..Settings::default()
    })
}

fn members() -> impl Strategy<Value = Settings> {
    let members = text(&["a", "=", ",", "http://127.0.0.1:1", "default", "b", " ", "%"]);
    let state = text(&["new", "existing", "managed"]);
    (members, state, text(&["a"]), text(&["a", "/", ".."])).prop_map(|(members, state, token, name)| Settings {
        initial_cluster: members,
        initial_cluster_state: state,
        initial_cluster_token: token,
        name,
        ..Settings::default()
    })
}

fn tokens_of_users() -> impl Strategy<Value = Settings> {
    let pieces = [
        "simple",
        "jwt",
        ",",
        "sign-method",
        "=",
        "HS256",
        "ttl",
        "5m",
        "priv-key",
        "pub-key",
        "99999999999h",
    ];
    let kinds = prop_oneof![Just(None), text(&pieces)];
    (kinds, any::<Option<u64>>(), option::of(0..40_u32)).prop_map(|(kind, ttl, cost)| Settings {
        auth_token: kind,
        auth_token_ttl: ttl,
        bcrypt_cost: cost,
        ..Settings::default()
    })
}

fn times() -> impl Strategy<Value = Settings> {
    let time = || text(&["1", "0", "h", "s", "ms", "9999999999", "."]);
    let mode = option::of(prop::sample::select(vec!["periodic", "revision", "size"]).prop_map(str::to_owned));
    (time(), time(), mode, any::<Option<i64>>()).prop_map(|(watch, retention, mode, quota)| Settings {
        watch_progress_notify_interval: watch,
        auto_compaction_retention: retention,
        auto_compaction_mode: mode,
        quota_backend_bytes: quota,
        ..Settings::default()
    })
}

fn limits() -> impl Strategy<Value = Settings> {
    let numbers = any::<(Option<u64>, Option<u64>, Option<u64>, Option<u32>)>();
    numbers.prop_map(|(heartbeat, election, bytes, operations)| Settings {
        heartbeat_interval: heartbeat,
        election_timeout: election,
        max_request_bytes: bytes,
        max_txn_ops: operations,
        ..Settings::default()
    })
}

/// One group is odd; were all of them, the first refusal would hide the others.
fn settings() -> impl Strategy<Value = Settings> {
    prop_oneof![addresses(), members(), tokens_of_users(), times(), limits()]
}

#[test]
fn settings_make_a_config_that_can_be_run_or_an_error_that_names_the_flag() {
    fuzz::run("settings", 1_000, settings(), |settings| {
        match Config::from_settings(settings) {
            Ok(config) => {
                let mut times = vec![
                    config.watch_progress_interval,
                    config.timing.heartbeat,
                    config.timing.election,
                ];
                times.push(match config.auth.token {
                    TokenSettings::Simple { ttl } => ttl,
                    TokenSettings::Jwt(jwt) => jwt.ttl,
                });
                if let Retention::Period(period) = config.space.retention {
                    times.push(period);
                }
                assert!(times.iter().all(|time| can_be_waited_for(*time)), "{times:?}");
            }
            Err(error) => assert!(error.flag.starts_with("--") && !error.reason.is_empty()),
        }
    });
}

#[test]
fn files_of_settings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.yaml");
    let valid = b"name: n0\nmax-txn-ops: 7\nclient-cert-auth: true\nlisten-client-urls: http://127.0.0.1:1\n".to_vec();
    // References in references are how YAML grows without end.
    let growing = b"a: &a [x, x]\nb: &b [*a, *a]\nname: [*b, *b]\n".to_vec();
    fuzz::run("files of settings", 500, fuzz::mutated(vec![valid, growing]), |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let settings = Settings {
            config_file: Some(path.clone()),
            ..Settings::default()
        };
        if let Err(error) = settings.with_file() {
            assert!(error.to_string().contains("settings.yaml"), "{error}");
        }
    });
}

fn postcard_of(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).unwrap()
}

fn framed(message: &impl Serialize) -> Vec<u8> {
    let mut buffer = Vec::new();
    frame::push(&mut buffer, message).unwrap();
    buffer
}

fn member() -> MemberNode {
    MemberNode {
        name: "a".into(),
        peer_urls: vec!["https://a:2380".into()],
        client_urls: vec!["https://a:2379".into()],
    }
}

fn membership() -> Membership {
    Membership::new(vec![[7].into()], BTreeMap::from([(7, member())])).unwrap()
}

fn answers() -> Vec<Answer> {
    let command = |response| Answer::Command { response, revision: 7 };
    let pair = KeyValue {
        key: "k".into(),
        value: "v".into(),
        ..KeyValue::default()
    };
    let range = RangeResponse {
        header: Some(ResponseHeader::default()),
        kvs: vec![pair],
        ..RangeResponse::default()
    };
    let part = ResponseOp {
        response: Some(response_op::Response::ResponseRange(range)),
    };
    let txn = TxnResponse {
        responses: vec![part],
        ..TxnResponse::default()
    };
    vec![
        Answer::Nothing,
        command(Err(Refusal::LeaseNotFound)),
        command(Ok(Stored::Txn(txn))),
        command(Ok(Stored::LeaseCheckpoint { ttls: vec![60, 0, -1] })),
        command(Ok(Stored::Authenticated { index: 9 })),
        command(Ok(Stored::Auth)),
    ]
}

fn asks() -> Vec<Ask> {
    let peer_urls = || vec!["http://a:1".to_owned()];
    vec![
        Ask::Propose(Bytes::from_static(b"command")),
        Ask::ReadIndex,
        Ask::ClientUrls {
            member_id: 7,
            name: "a".into(),
            client_urls: peer_urls(),
        },
        Ask::LeaseTime,
        Ask::Change(Change::Add {
            id: 1,
            peer_urls: peer_urls(),
            learner: true,
        }),
        Ask::Change(Change::Update {
            id: 1,
            peer_urls: peer_urls(),
        }),
        Ask::Change(Change::Remove { id: 1 }),
    ]
}

/// Reads the frames in `bytes` until an end or an error, as a member does.
fn receive_all<T: DeserializeOwned>(bytes: &[u8]) -> Vec<T> {
    let mut reader = bytes;
    let mut messages = Vec::new();
    // Reading from memory never waits.
    while let Some(Ok(Some(message))) = futures::FutureExt::now_or_never(frame::receive::<_, T>(&mut reader)) {
        messages.push(message);
    }
    messages
}

#[test]
fn frames_between_members() {
    let hello = Hello {
        cluster_id: 7,
        from: 1,
        to: 2,
        channel: Channel::Forward,
    };
    let mut valid = vec![
        framed(&hello),
        framed(&Greeting::WrongCluster { cluster_id: 7 }),
        framed(&Question::Append(openraft::raft::AppendEntriesRequest {
            vote: Vote::new_committed(4, 2),
            prev_log_id: Some(entry_id(1, 2)),
            entries: vec![
                openraft::Entry::new(
                    entry_id(3, 3),
                    EntryPayload::Normal(Proposal(Bytes::from_static(b"command"))),
                ),
                openraft::Entry::new(entry_id(3, 4), EntryPayload::Membership(membership())),
            ],
            leader_commit: None,
        })),
        framed(&Reply::Failed(Refusal::NoSpace)),
        framed(&Reply::LeaseTime { term: 1, ms: 2 }),
    ];
    valid.extend(asks().iter().map(framed));
    valid.extend(answers().into_iter().map(|answer| framed(&Reply::Answer(answer))));
    fuzz::run("frames", 2_000, fuzz::mutated(valid), |bytes| {
        receive_all::<Hello>(&bytes);
        receive_all::<Greeting>(&bytes);
        receive_all::<Question>(&bytes);
        receive_all::<Response>(&bytes);
        receive_all::<Reply>(&bytes);
        receive_all::<(u64, Reply)>(&bytes);
        for ask in receive_all::<Ask>(&bytes) {
            assert_eq!(receive_all::<Ask>(&framed(&ask)), [ask]);
        }
    });
}

#[test]
fn answers_that_travel() {
    let valid = answers().iter().map(postcard_of).collect();
    fuzz::run("answers", 3_000, fuzz::mutated(valid), |bytes| {
        if let Ok(answer) = postcard::from_bytes::<Answer>(&bytes) {
            assert_eq!(postcard::from_bytes::<Answer>(&postcard_of(&answer)).unwrap(), answer);
        }
    });
}

/// A transaction with so many inside each other and a put in the last, and the answer to it.
fn nested(depth: usize) -> (TxnRequest, TxnResponse) {
    let put = PutResponse {
        header: Some(ResponseHeader::default()),
        prev_kv: Some(KeyValue::default()),
    };
    let mut request = request_op::Request::RequestPut(PutRequest {
        key: "k".into(),
        ..PutRequest::default()
    });
    let mut response = response_op::Response::ResponsePut(put);
    for _ in 0..=depth {
        request = request_op::Request::RequestTxn(TxnRequest {
            success: vec![RequestOp { request: Some(request) }],
            ..TxnRequest::default()
        });
        let part = ResponseOp {
            response: Some(response),
        };
        response = response_op::Response::ResponseTxn(TxnResponse {
            responses: vec![part],
            ..TxnResponse::default()
        });
    }
    match (request, response) {
        (request_op::Request::RequestTxn(request), response_op::Response::ResponseTxn(response)) => (request, response),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_deepest_transaction_that_is_taken_has_an_answer_that_travels() {
    let limits = kvorum_store::Limits::default();
    let mut taken = 0;
    for depth in 0..60 {
        let (request, response) = nested(depth);
        let decoded = TxnRequest::decode(&request.encode_to_vec()[..]);
        if decoded.is_ok() && kvorum_store::validate::txn(&request, &limits).is_ok() {
            let answer = Answer::Command {
                response: Ok(Stored::Txn(response)),
                revision: 7,
            };
            let read = postcard::from_bytes::<Answer>(&postcard_of(&answer));
            assert_eq!(read, Ok(answer), "depth {depth}");
            taken = depth;
        }
    }
    assert!(taken >= 30, "{taken}");
}

#[test]
fn records_of_the_log() {
    let records = [
        Record::Entry(openraft::Entry::new(entry_id(3, 9), EntryPayload::Blank)),
        Record::Entry(openraft::Entry::new(
            entry_id(3, 9),
            EntryPayload::Normal(Proposal(Bytes::from_static(b"command"))),
        )),
        Record::Entry(openraft::Entry::new(
            entry_id(3, 9),
            EntryPayload::Membership(membership()),
        )),
        Record::Vote(Vote::new_committed(4, 2)),
        Record::Committed(entry_id(1, 2)),
        Record::TruncateFrom(12),
        Record::Purge(entry_id(2, 11)),
    ];
    let valid = records.iter().map(|record| log_records::encode(record).1).collect();
    fuzz::run(
        "records of the log",
        4_000,
        (0..7_u8, fuzz::mutated(valid)),
        |(kind, payload)| {
            if let Ok(record) = log_records::decode(Kind(kind), &payload) {
                let (kind, payload) = log_records::encode(&record);
                assert_eq!(log_records::decode(kind, &payload), Ok(record));
            }
        },
    );
    let stored = StoredMembership::new(Some(entry_id(1, 2)), membership());
    fuzz::run(
        "memberships",
        1_000,
        fuzz::mutated(vec![postcard_of(&stored)]),
        |bytes| {
            let _ = postcard::from_bytes::<StoredMembership>(&bytes);
        },
    );
}

#[test]
fn tokens() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret of some length").unwrap();
    let settings = JwtSettings {
        algorithm: Algorithm::HS256,
        public_key: None,
        private_key: Some(secret),
        ttl: Duration::from_mins(5),
    };
    let jwt = Jwt::load(&settings).unwrap();
    let good = jwt.sign("alice", 7).unwrap();
    let valid = vec![
        good.clone().into_bytes(),
        b"eyJhbGciOiJub25lIn0.eyJ1c2VybmFtZSI6ImEifQ.".to_vec(),
    ];
    fuzz::run("signed tokens", 3_000, fuzz::mutated(valid), |bytes| {
        let token = String::from_utf8_lossy(&bytes);
        let user = jwt.check(&token);
        assert!(user.is_none() || token == good, "{token} is believed");
        let _ = Shown::parse(&token);
    });
    fuzz::run(
        "users in signed tokens",
        300,
        (any::<String>(), 0..1_u64 << 40),
        |(user, revision)| {
            let token = jwt.sign(&user, revision).unwrap();
            assert_eq!(jwt.check(&token), (token.len() <= 16 << 10).then_some((user, revision)));
        },
    );
    fuzz::run(
        "simple tokens",
        1_000,
        fuzz::text(&["a", ".", "7", "+", "-", "18446744073709551616"]),
        |text| {
            let _ = Shown::parse(&text);
        },
    );
}

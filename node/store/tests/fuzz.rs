//! Every decoder of this crate on damaged inputs: a value or a named error, never a panic, and no memory for a length
//! that lies. Snapshots are damaged below their checksums too, since a fault of memory or of an older build would be.

#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::sync::Arc;

use bytes::Bytes;
use kvorum_api::authpb::Permission;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{
    AlarmRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserGrantRoleRequest, CompactionRequest,
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use kvorum_fuzz as fuzz;
use kvorum_store::auth::UserAdd;
use kvorum_store::{AuthCommand, Command, LeaseRemaining, LogPosition, MemoryEngine, Store, Who, snapshot};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// A transaction with something of each kind in it.
fn txn() -> TxnRequest {
    let request = |request| RequestOp { request: Some(request) };
    let inner = TxnRequest {
        success: vec![request(Request::RequestRange(RangeRequest {
            key: "a".into(),
            ..RangeRequest::default()
        }))],
        ..TxnRequest::default()
    };
    TxnRequest {
        success: vec![
            request(Request::RequestPut(put("t", 0))),
            request(Request::RequestTxn(inner)),
        ],
        ..TxnRequest::default()
    }
}

fn put(key: &'static str, lease: i64) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: "value".into(),
        lease,
        ..PutRequest::default()
    }
}

/// What makes a user with a role that may do something.
fn users() -> Vec<AuthCommand> {
    let user = UserAdd {
        name: "u".into(),
        password_hash: "hash".into(),
        no_password: false,
    };
    let permission = AuthRoleGrantPermissionRequest {
        name: "r".into(),
        perm: Some(Permission {
            perm_type: 2,
            key: "a".into(),
            range_end: "z".into(),
        }),
    };
    vec![
        AuthCommand::UserAdd(user),
        AuthCommand::RoleAdd(AuthRoleAddRequest { name: "r".into() }),
        AuthCommand::RoleGrantPermission(permission),
        AuthCommand::UserGrantRole(AuthUserGrantRoleRequest {
            user: "u".into(),
            role: "r".into(),
        }),
    ]
}

/// Commands of every kind, in an order in which each does something.
fn commands() -> Vec<Command> {
    let by_user = Who::User {
        name: "u".into(),
        auth_revision: 2,
    };
    let delete = DeleteRangeRequest {
        key: "b".into(),
        ..DeleteRangeRequest::default()
    };
    let compaction = CompactionRequest {
        revision: 2,
        physical: false,
    };
    let remaining = LeaseRemaining { id: 5, remaining_ms: 9 };
    let grant = |id, now_ms| Command::LeaseGrant { id, ttl: 60, now_ms };
    let alarm = AlarmRequest {
        action: 1,
        member_id: 7,
        alarm: 2,
    };
    let mut commands = vec![
        grant(5, 1),
        Command::Put(put("a", 5)),
        Command::Put(put("b", 0)),
        Command::Txn(txn()),
        Command::DeleteRange(delete),
        Command::Compact(compaction),
        Command::LeaseCheckpoint {
            now_ms: 2,
            leases: vec![remaining],
        },
        Command::Fence { epoch: 3 }.given_by(by_user),
        Command::Disk {
            member_id: 7,
            full: true,
        },
        Command::Disk {
            member_id: 7,
            full: false,
        },
        grant(-6, 7).given_by(Who::Member),
    ];
    commands.extend(users().into_iter().map(Command::Auth));
    // The last, because little is allowed after it.
    commands.push(Command::Alarm(alarm));
    commands
}

fn encoded(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    bytes
}

#[test]
fn commands_that_were_valid() {
    let valid = commands().iter().map(encoded).collect();
    fuzz::run("commands that were valid", 1_500, fuzz::mutated(valid), |bytes| {
        let timed = Command::is_timed(&bytes);
        if let Ok(command) = Command::decode(&bytes[..]) {
            assert_eq!(Command::decode(&encoded(&command)[..]), Ok(command.clone()));
            assert_eq!(
                timed,
                matches!(
                    match &command {
                        Command::As { command, .. } => command,
                        command => command,
                    },
                    Command::LeaseGrant { .. } | Command::LeaseCheckpoint { .. } | Command::LeaseExpire { .. }
                )
            );
        }
    });
}

#[test]
fn commands_nested_without_end() {
    let mut txn = TxnRequest::default();
    for depth in 0..2_000 {
        let bytes = encoded(&Command::Txn(txn.clone()));
        let decoded = Command::decode(&bytes[..]);
        assert!(depth > 40 || decoded == Ok(Command::Txn(txn.clone())), "depth {depth}");
        assert!(depth < 60 || decoded.is_err(), "depth {depth}");
        if decoded.is_err() {
            return;
        }
        txn = TxnRequest {
            success: vec![RequestOp {
                request: Some(Request::RequestTxn(txn)),
            }],
            ..TxnRequest::default()
        };
    }
}

/// A snapshot of a state that has something of everything.
fn image() -> Vec<u8> {
    let mut store = Store::open(Arc::new(MemoryEngine::default())).unwrap();
    for (index, command) in commands().iter().enumerate() {
        let at = LogPosition {
            term: 1,
            node: 1,
            index: index as u64 + 1,
        };
        let outcome = store.apply(at, command).unwrap();
        assert!(outcome.response.is_ok(), "{command:?}: {:?}", outcome.response);
    }
    store.note(
        LogPosition {
            term: 1,
            node: 1,
            index: 99,
        },
        Some(Bytes::from_static(b"members")),
    );
    store.publish();
    let mut image = Vec::new();
    snapshot::write(&store.reader().view(), &mut image).unwrap();
    image
}

/// Reads an image in every way, opens what came of it, and reads from that.
fn take(image: &[u8]) {
    let verified = snapshot::verify(&mut &image[..]);
    let _ = snapshot::peek(&mut &image[..]);
    let engine = Arc::new(MemoryEngine::default());
    let read = snapshot::read(&mut &image[..], &*engine);
    assert_eq!(verified.as_ref().ok(), read.as_ref().ok(), "checked and read alike");
    let Ok(store) = Store::open(engine) else { return };
    let everything = RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..RangeRequest::default()
    };
    let reader = store.reader();
    let _ = (
        reader.range(&everything),
        reader.lease_leases(),
        reader.view().hash_at(0),
    );
    let _ = reader.view().replay(0, usize::MAX, usize::MAX);
    if read.is_err() {
        assert_eq!(
            (store.revision(), store.applied()),
            (1, None),
            "nothing of a damaged snapshot is believed"
        );
    }
}

#[test]
fn snapshots_that_were_valid() {
    let image = image();
    take(&image);
    fuzz::run("snapshots that were valid", 300, fuzz::mutated(vec![image]), |image| {
        take(&image)
    });
}

/// The payloads of an image's frames.
fn frames(image: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut frames) = (&image[8..], Vec::new());
    loop {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        frames.push(rest[8..8 + length].to_vec());
        if length == 0 {
            return frames;
        }
        rest = &rest[8 + length..];
    }
}

/// An image of these payloads, with the checksums that belong to them.
fn sealed(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut image = b"KVRMSNAP".to_vec();
    for payload in frames {
        image.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        image.extend_from_slice(&crc32c::crc32c(payload).to_be_bytes());
        image.extend_from_slice(payload);
    }
    let hash = Sha256::digest(&image);
    image.extend_from_slice(&hash);
    image
}

#[test]
fn snapshots_damaged_below_their_checksums() {
    let original = frames(&image());
    assert_eq!(sealed(&original), image());
    assert_eq!(original.len(), 3, "a header, a chunk, the end");
    let damaged = (
        fuzz::mutated(vec![original[0].clone()]),
        fuzz::mutated(vec![original[1].clone()]),
        0..4_u8,
    );
    fuzz::run(
        "snapshots damaged below their checksums",
        300,
        damaged,
        |(header, chunk, which)| {
            let header = if which == 0 { header } else { original[0].clone() };
            let chunk = if which == 1 { original[1].clone() } else { chunk };
            take(&sealed(&[header, chunk, Vec::new()]));
        },
    );
}

/// The keys and values of a chunk.
fn entries(mut chunk: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    while !chunk.is_empty() {
        let length = |at: usize| u32::from_be_bytes(chunk[at..at + 4].try_into().unwrap()) as usize;
        let (key, value) = (length(0), length(4));
        entries.push((chunk[8..8 + key].to_vec(), chunk[8 + key..8 + key + value].to_vec()));
        chunk = &chunk[8 + key + value..];
    }
    entries
}

#[test]
fn a_record_of_revision_zero_is_refused() {
    let original = frames(&image());
    let mut entries = entries(&original[1]);
    let record = entries.iter_mut().find(|(key, _)| key[0] == 0x20).unwrap();
    record.0[1..].fill(0);
    let mut chunk = Vec::new();
    for (key, value) in &entries {
        chunk.extend_from_slice(&u32::try_from(key.len()).unwrap().to_be_bytes());
        chunk.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        chunk.extend_from_slice(&[&key[..], &value[..]].concat());
    }
    let sealed = sealed(&[original[0].clone(), chunk, Vec::new()]);
    let engine = Arc::new(MemoryEngine::default());
    snapshot::read(&mut &sealed[..], &*engine).unwrap();
    assert!(Store::open(engine).is_err());
}

#[test]
fn one_damaged_record_lease_user_role_or_alarm() {
    let original = frames(&image());
    let entries = entries(&original[1]);
    let places = 0..entries.len();
    let valid: Vec<Vec<u8>> = entries
        .iter()
        .flat_map(|(key, value)| [key.clone(), value.clone()])
        .collect();
    let damage = (places, fuzz::mutated(valid.clone()), fuzz::mutated(valid), 0..3_u8);
    fuzz::run("one damaged entry", 400, damage, |(place, key, value, which)| {
        let mut entries = entries.clone();
        if which != 0 {
            entries[place].1 = value;
        }
        if which != 1 {
            // The first byte says what it is; the rest is the damage.
            let kind = entries[place].0[0];
            entries[place].0 = [&[kind], key.get(1..).unwrap_or_default()].concat();
        }
        let mut chunk = Vec::new();
        for (key, value) in &entries {
            chunk.extend_from_slice(&u32::try_from(key.len()).unwrap().to_be_bytes());
            chunk.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
            chunk.extend_from_slice(&[&key[..], &value[..]].concat());
        }
        take(&sealed(&[original[0].clone(), chunk, Vec::new()]));
    });
}

#[test]
fn requests_are_checked_whatever_they_hold() {
    let bytes = || fuzz::mutated(vec![Vec::new(), b"a".to_vec(), b"b".to_vec(), vec![0]]).prop_map(Bytes::from);
    let range = (bytes(), bytes(), any::<(i64, i64, i32, i32, bool)>());
    fuzz::run("ranges of anything", 400, range, |(key, range_end, numbers)| {
        let (limit, revision, sort_order, sort_target, count_only) = numbers;
        let request = RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order,
            sort_target,
            count_only,
            ..RangeRequest::default()
        };
        let store = Store::open(Arc::new(MemoryEngine::default())).unwrap();
        let _ = kvorum_store::validate::range(&request);
        let _ = store.reader().range(&request);
    });
}

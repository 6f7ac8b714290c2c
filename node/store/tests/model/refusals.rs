//! Commands that passed no check, and commands of those who may not: whatever is refused leaves everything as it was.
//!
//! The door refuses most of these before they are proposed. But what it refuses may change between two versions that
//! are members of one cluster, and rights may change between its look and the log; so apply must withstand them all.

use super::steps;
use bytes::Bytes;
use kvorum_api::authpb::Permission;
use kvorum_api::etcdserverpb::compare::TargetUnion;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{
    AlarmRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use kvorum_fuzz as fuzz;
use kvorum_store::auth::{Authenticate, ChangePassword, UserAdd};
use kvorum_store::{AuthCommand, Command, Engine, LogPosition, MemoryEngine, Store, Who, snapshot};
use proptest::prelude::*;
use std::cell::Cell;
use std::sync::Arc;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["", "\0", "a", "b", "a\0", "z", "\u{7f}"]).prop_map(Bytes::from)
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -2..9_i64, 1 => any::<i64>()]
}

fn user() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["root", "u", "v", ""]).prop_map(str::to_owned)
}

fn role() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["root", "r", "s", ""]).prop_map(str::to_owned)
}

fn who() -> impl Strategy<Value = Who> {
    let by_user = (user(), 0..30_u64).prop_map(|(name, auth_revision)| Who::User { name, auth_revision });
    prop_oneof![1 => Just(Who::Nobody), 2 => Just(Who::Member), 4 => by_user]
}

fn put() -> impl Strategy<Value = PutRequest> {
    (bytes(), bytes(), number(), any::<(bool, bool, bool)>()).prop_map(|(key, value, lease, flags)| PutRequest {
        key,
        value,
        lease,
        prev_kv: flags.0,
        ignore_value: flags.1,
        ignore_lease: flags.2,
    })
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let numbers = (number(), number(), -1..7_i32, -1..7_i32);
    (bytes(), bytes(), numbers, any::<(bool, bool)>()).prop_map(|(key, range_end, numbers, flags)| RangeRequest {
        key,
        range_end,
        limit: numbers.0,
        revision: numbers.1,
        sort_order: numbers.2,
        sort_target: numbers.3,
        keys_only: flags.0,
        count_only: flags.1,
        ..RangeRequest::default()
    })
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (bytes(), bytes(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let union = prop_oneof![
        Just(None),
        bytes().prop_map(|value| Some(TargetUnion::Value(value))),
        number().prop_map(|number| Some(TargetUnion::Version(number))),
        number().prop_map(|number| Some(TargetUnion::Lease(number))),
    ];
    (bytes(), bytes(), -1..6_i32, -1..7_i32, union).prop_map(|(key, range_end, result, target, target_union)| Compare {
        key,
        range_end,
        result,
        target,
        target_union,
    })
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let leaf = prop_oneof![
        1 => Just(None),
        4 => put().prop_map(|put| Some(Request::RequestPut(put))),
        2 => delete().prop_map(|delete| Some(Request::RequestDeleteRange(delete))),
        2 => range().prop_map(|range| Some(Request::RequestRange(range))),
    ];
    let operation = leaf.prop_map(|request| RequestOp { request });
    operation
        .prop_recursive(3, 12, 4, |inner| {
            transaction(inner).prop_map(|txn| RequestOp {
                request: Some(Request::RequestTxn(txn)),
            })
        })
        .prop_flat_map(|one| transaction(Just(one)))
}

fn transaction(operation: impl Strategy<Value = RequestOp> + Clone) -> impl Strategy<Value = TxnRequest> {
    let operations = prop::collection::vec(operation, 0..4);
    (prop::collection::vec(compare(), 0..3), operations.clone(), operations).prop_map(|(compare, success, failure)| {
        TxnRequest {
            compare,
            success,
            failure,
        }
    })
}

fn auth() -> impl Strategy<Value = AuthCommand> {
    let permission = (-1..5_i32, bytes(), bytes()).prop_map(|(perm_type, key, range_end)| Permission {
        perm_type,
        key,
        range_end,
    });
    prop_oneof![
        2 => Just(AuthCommand::Enable),
        1 => Just(AuthCommand::Disable),
        3 => (user(), bytes(), any::<bool>()).prop_map(|(name, password_hash, no_password)| {
            AuthCommand::UserAdd(UserAdd { name, password_hash, no_password })
        }),
        1 => user().prop_map(|name| AuthCommand::UserDelete(AuthUserDeleteRequest { name })),
        1 => (user(), bytes()).prop_map(|(name, password_hash)| AuthCommand::ChangePassword(ChangePassword { name, password_hash })),
        3 => (user(), role()).prop_map(|(user, role)| AuthCommand::UserGrantRole(AuthUserGrantRoleRequest { user, role })),
        1 => (user(), role()).prop_map(|(name, role)| AuthCommand::UserRevokeRole(AuthUserRevokeRoleRequest { name, role })),
        2 => role().prop_map(|name| AuthCommand::RoleAdd(AuthRoleAddRequest { name })),
        1 => role().prop_map(|role| AuthCommand::RoleDelete(AuthRoleDeleteRequest { role })),
        3 => (role(), prop::option::of(permission)).prop_map(|(name, perm)| {
            AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest { name, perm })
        }),
        1 => (role(), bytes(), bytes()).prop_map(|(role, key, range_end)| {
            AuthCommand::RoleRevokePermission(AuthRoleRevokePermissionRequest { role, key, range_end })
        }),
        1 => (user(), 0..30_u64, bytes()).prop_map(|(name, auth_revision, token_hash)| {
            AuthCommand::Authenticate(Authenticate { name, auth_revision, token_hash })
        }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let alarm = (-1..4_i32, 0..3_u64, -1..4_i32).prop_map(|(action, member_id, alarm)| AlarmRequest {
        action,
        member_id,
        alarm,
    });
    let bare = prop_oneof![
        6 => steps::command(),
        4 => put().prop_map(Command::Put),
        2 => delete().prop_map(Command::DeleteRange),
        4 => txn().prop_map(Command::Txn),
        1 => number().prop_map(|revision| Command::Compact(CompactionRequest { revision, physical: true })),
        2 => (number(), number(), any::<u64>()).prop_map(|(id, ttl, now_ms)| Command::LeaseGrant { id, ttl, now_ms: now_ms >> 20 }),
        1 => number().prop_map(|id| Command::LeaseRevoke { id }),
        8 => auth().prop_map(Command::Auth),
        1 => alarm.prop_map(Command::Alarm),
        1 => (0..3_u64, any::<bool>()).prop_map(|(member_id, full)| Command::Disk { member_id, full }),
    ];
    (bare, who()).prop_map(|(command, who)| command.given_by(who))
}

/// Everything that the store is, less its place in the log.
fn everything(store: &Store) -> impl PartialEq + std::fmt::Debug + use<> {
    let reader = store.reader();
    let counters = (
        store.hash(),
        store.revision(),
        reader.compacted(),
        reader.fence_epoch(),
        reader.clock_ms(),
    );
    let mut image = Vec::new();
    snapshot::write(&reader.view(), &mut image).unwrap();
    // Behind the header, which holds the place, and before the hash of the whole.
    let header = u32::from_be_bytes(image[8..12].try_into().unwrap()) as usize;
    let rest = image[16 + header..image.len() - 32].to_vec();
    (counters, rest)
}

fn applied(store: &mut Store, index: u64, command: &Command) -> kvorum_store::Outcome {
    let outcome = store
        .apply(
            LogPosition {
                term: 1,
                node: 1,
                index,
            },
            command,
        )
        .unwrap();
    store.publish();
    outcome
}

#[test]
fn what_is_refused_changes_nothing_and_what_is_not_is_the_same_everywhere() {
    let (refused, done) = (Cell::new(0_u64), Cell::new(0_u64));
    let inputs = prop::collection::vec(command(), 1..60);
    fuzz::run("commands that nobody checked", 120, inputs, |commands| {
        let engine = Arc::new(MemoryEngine::default());
        let mut store = Store::open(engine.clone() as Arc<dyn Engine>).unwrap();
        let mut other = Store::open(Arc::new(MemoryEngine::default())).unwrap();
        for (index, command) in (1..).zip(&commands) {
            let before = everything(&store);
            let outcome = applied(&mut store, index, command);
            if outcome.response.is_err() {
                refused.set(refused.get() + 1);
                assert_eq!(everything(&store), before, "{command:?}");
                assert!(outcome.events.is_empty() && outcome.tokens.is_none(), "{command:?}");
            } else {
                done.set(done.get() + 1);
            }
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            let travelled = Command::decode(&bytes[..]).unwrap();
            assert_eq!(applied(&mut other, index, &travelled), outcome, "{command:?}");
        }
        assert_eq!(everything(&other), everything(&store));
        while let Some(writes) = store.take_writes() {
            writes.commit().unwrap();
        }
        assert_eq!(
            everything(&Store::open(engine).unwrap()),
            everything(&store),
            "opened anew"
        );
    });
    // Neither must starve the other, or this would show nothing.
    assert!(
        refused.get() > 500 && done.get() > 500,
        "{refused:?} refused, {done:?} done"
    );
}

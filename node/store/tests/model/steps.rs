//! Random commands and reads over few keys, so that they meet.

use bytes::Bytes;
use kvorum_api::etcdserverpb::compare::TargetUnion;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use kvorum_store::{Command, LeaseRemaining};
use proptest::prelude::*;

/// One step of a run.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Command(Command),
    Range(RangeRequest),
    Take,
    Commit,
    Reopen,
}

/// All keys.
pub(crate) fn everything() -> RangeRequest {
    RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..RangeRequest::default()
    }
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => command().prop_map(Step::Command),
        8 => range().prop_map(Step::Range),
        3 => Just(Step::Take),
        3 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => put().prop_map(Command::Put),
        4 => delete().prop_map(Command::DeleteRange),
        6 => txn(2).prop_map(Command::Txn),
        2 => (-1..40_i64).prop_map(|revision| Command::Compact(CompactionRequest { revision, physical: false })),
        2 => (0..4_i64, 1..50_i64, 0..9_000_u64).prop_map(|(id, ttl, now_ms)| Command::LeaseGrant { id, ttl, now_ms }),
        1 => lease().prop_map(|id| Command::LeaseRevoke { id }),
        1 => (0..9_000_u64, lease(), 0..9_000_u64).prop_map(|(now_ms, id, remaining_ms)| {
            Command::LeaseCheckpoint { now_ms, leases: vec![LeaseRemaining { id, remaining_ms }] }
        }),
        1 => (lease(), 0..90_000_u64).prop_map(|(id, now_ms)| Command::LeaseExpire { id, now_ms }),
        1 => (0..5_u64).prop_map(|epoch| Command::Fence { epoch }),
    ]
}

fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["a", "aa", "a\0", "b", "c", "\u{7f}"]).prop_map(Bytes::from)
}

fn end() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        3 => Just(Bytes::new()),
        1 => Just(Bytes::from("\0")),
        2 => key(),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["", "1", "2", "33"]).prop_map(Bytes::from)
}

fn lease() -> impl Strategy<Value = i64> {
    1..4_i64
}

fn put() -> impl Strategy<Value = PutRequest> {
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let lease = prop_oneof![3 => Just(0), 1 => lease()];
    (key(), value(), lease, flags).prop_map(
        |(key, value, lease, (prev_kv, ignore_value, ignore_lease))| PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { value },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let revision = prop_oneof![3 => Just(0), 2 => -1..60_i64];
    let bound = || prop_oneof![6 => Just(0), 1 => 1..60_i64];
    let limit = prop_oneof![2 => Just(0), 1 => -1..5_i64];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2), 0..3_i32, 0..5_i32);
    let bounds = (bound(), bound(), bound(), bound());
    (key(), end(), revision, limit, flags, bounds).prop_map(|(key, range_end, revision, limit, flags, bounds)| {
        RangeRequest {
            key,
            range_end,
            limit,
            revision,
            keys_only: flags.0,
            count_only: flags.1,
            sort_order: flags.2,
            sort_target: flags.3,
            serializable: false,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
        }
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let union = prop_oneof![
        value().prop_map(|value| Some(TargetUnion::Value(value))),
        (0..20_i64).prop_map(|number| Some(TargetUnion::Version(number))),
        (0..20_i64).prop_map(|number| Some(TargetUnion::CreateRevision(number))),
        (0..20_i64).prop_map(|number| Some(TargetUnion::ModRevision(number))),
        (0..4_i64).prop_map(|number| Some(TargetUnion::Lease(number))),
        Just(None),
    ];
    // Mostly the union of the target, but any other is legal and must be treated alike.
    (key(), end(), 0..4_i32, 0..5_i32, any::<bool>(), union).prop_map(
        |(key, range_end, result, any, own, target_union)| {
            let fitting = match &target_union {
                Some(TargetUnion::Version(_)) | None => 0,
                Some(TargetUnion::CreateRevision(_)) => 1,
                Some(TargetUnion::ModRevision(_)) => 2,
                Some(TargetUnion::Value(_)) => 3,
                Some(TargetUnion::Lease(_)) => 4,
            };
            Compare {
                key,
                range_end,
                result,
                target: if own { fitting } else { any },
                target_union,
            }
        },
    )
}

/// A transaction with children up to a depth.
fn txn(depth: u32) -> BoxedStrategy<TxnRequest> {
    let operation = if depth == 0 {
        leaf().boxed()
    } else {
        prop_oneof![4 => leaf(), 1 => child(depth - 1)].boxed()
    };
    let operations = || prop::collection::vec(operation.clone(), 0..4);
    (prop::collection::vec(compare(), 0..3), operations(), operations())
        .prop_map(|(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        })
        .boxed()
}

fn leaf() -> impl Strategy<Value = RequestOp> {
    let request = prop_oneof![
        put().prop_map(Request::RequestPut),
        delete().prop_map(Request::RequestDeleteRange),
        range().prop_map(Request::RequestRange),
    ];
    request.prop_map(|request| RequestOp { request: Some(request) })
}

fn child(depth: u32) -> impl Strategy<Value = RequestOp> {
    txn(depth).prop_map(|txn| RequestOp {
        request: Some(Request::RequestTxn(txn)),
    })
}

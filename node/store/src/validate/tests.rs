//! What needs no state; the scripts under `testscripts/txn` show the rest.

use super::{Limits, delete_range, is_read_only, is_serializable, lease_grant, put, range, size, txn};
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use test_case::test_case;

fn get(serializable: bool) -> RequestOp {
    let request = RangeRequest {
        key: "k".into(),
        serializable,
        ..RangeRequest::default()
    };
    RequestOp {
        request: Some(Request::RequestRange(request)),
    }
}

fn set() -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: "k".into(),
            ..PutRequest::default()
        })),
    }
}

fn nested(txn: TxnRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestTxn(txn)),
    }
}

fn then(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        success,
        ..TxnRequest::default()
    }
}

#[test]
fn empty_keys_are_refused() {
    assert_eq!(range(&RangeRequest::default()), Err(Refusal::EmptyKey));
    assert_eq!(put(&PutRequest::default()), Err(Refusal::EmptyKey));
    assert_eq!(delete_range(&DeleteRangeRequest::default()), Err(Refusal::EmptyKey));
}

#[test_case(0, 0 => Ok(()); "defaults")]
#[test_case(2, 4 => Ok(()); "last known")]
#[test_case(3, 0 => Err(Refusal::InvalidSortOption); "unknown order")]
#[test_case(0, 5 => Err(Refusal::InvalidSortOption); "unknown target")]
#[test_case(-1, 0 => Err(Refusal::InvalidSortOption); "negative")]
fn sort_options(sort_order: i32, sort_target: i32) -> Result<(), Refusal> {
    range(&RangeRequest {
        key: "k".into(),
        sort_order,
        sort_target,
        ..RangeRequest::default()
    })
}

#[test_case(9_000_000_000 => Ok(()); "longest")]
#[test_case(9_000_000_001 => Err(Refusal::LeaseTtlTooLarge); "longer")]
#[test_case(-1 => Ok(()); "raised to the minimum later")]
fn lease_times(ttl: i64) -> Result<(), Refusal> {
    lease_grant(&LeaseGrantRequest { ttl, id: 0 })
}

#[test]
fn sizes() {
    let limits = Limits::default();
    assert_eq!(size(limits.request_bytes_max, &limits), Ok(()));
    assert_eq!(
        size(limits.request_bytes_max + 1, &limits),
        Err(Refusal::RequestTooLarge)
    );
}

#[test]
fn nested_operations_use_what_is_left() {
    let limits = Limits {
        txn_ops_max: 10,
        ..Limits::default()
    };
    let deep = (0..10).fold(then(Vec::new()), |inner, _| then(vec![nested(inner)]));
    assert_eq!(txn(&deep, &limits), Ok(()));
    let deeper = then(vec![nested(then(vec![nested(deep)]))]);
    assert_eq!(txn(&deeper, &limits), Err(Refusal::TooManyOps));
    assert_eq!(txn(&deeper, &Limits::default()), Ok(()));
}

#[test]
fn a_transaction_too_deep_for_its_answer_to_be_read_is_refused() {
    let deep = |depth| (0..depth).fold(then(vec![set()]), |inner, _| then(vec![nested(inner)]));
    assert_eq!(txn(&deep(40), &Limits::default()), Ok(()));
    assert_eq!(txn(&deep(41), &Limits::default()), Err(Refusal::TooManyOps));
    let limits = Limits {
        txn_ops_max: 100_000,
        ..Limits::default()
    };
    assert_eq!(txn(&deep(41), &limits), Err(Refusal::TooManyOps));
}

#[test_case(then(vec![]), true, false; "empty: nothing allows an old answer")]
#[test_case(then(vec![get(true)]), true, true; "serializable get")]
#[test_case(then(vec![get(true), get(false)]), true, false; "one linearizable get")]
#[test_case(then(vec![get(true), set()]), false, false; "a put")]
#[test_case(then(vec![nested(then(vec![get(true)]))]), false, false; "nested counts as a write")]
#[test_case(TxnRequest { failure: vec![set()], ..then(vec![get(true)]) }, false, false; "a put in the other branch")]
fn reading_only(request: TxnRequest, read_only: bool, serializable: bool) {
    assert_eq!(
        (is_read_only(&request), is_serializable(&request)),
        (read_only, serializable)
    );
}

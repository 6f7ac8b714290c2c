//! The checks of requests that need no state: done once, at the door, before anything is proposed.
//!
//! They give etcd's answers, in etcd's order. Limits that an operator may set come in [`Limits`]; they are not part
//! of what a command means, because members may differ in them while they are being changed.

mod overlap;

use crate::lease::TTL_SECONDS_MAX;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

/// Most transactions inside each other. Protocol buffers nest a hundred levels, of which each of them takes two, and its
/// answer one more than its request: what is taken must have an answer that can be read. JSON allows hardly more either.
const TXN_DEPTH_MAX: usize = 40;

/// Limits that an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most compares, and most operations in each branch, of a transaction; nested ones use what is left.
    pub txn_ops_max: usize,
    /// Most bytes of an encoded request.
    pub request_bytes_max: usize,
}

impl Default for Limits {
    /// etcd's defaults: 128 operations, 1.5 MiB.
    fn default() -> Self {
        Self {
            txn_ops_max: 128,
            request_bytes_max: 3 << 19,
        }
    }
}

/// Checks the size of an encoded request.
pub fn size(bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    if bytes > limits.request_bytes_max {
        Err(Refusal::RequestTooLarge)
    } else {
        Ok(())
    }
}

/// Checks a range request.
pub fn range(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    let known = SortOrder::try_from(request.sort_order).is_ok() && SortTarget::try_from(request.sort_target).is_ok();
    if known { Ok(()) } else { Err(Refusal::InvalidSortOption) }
}

/// Checks a put.
pub fn put(request: &PutRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// Checks a deletion.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        Err(Refusal::EmptyKey)
    } else {
        Ok(())
    }
}

/// Checks a transaction, nested ones included.
pub fn txn(request: &TxnRequest, limits: &Limits) -> Result<(), Refusal> {
    txn_within(request, limits.txn_ops_max, TXN_DEPTH_MAX)?;
    // After the bound on operations, because this compares them with each other.
    overlap::check(&request.success)?;
    overlap::check(&request.failure)
}

/// Checks the grant of a lease.
pub fn lease_grant(request: &LeaseGrantRequest) -> Result<(), Refusal> {
    if request.ttl > TTL_SECONDS_MAX {
        Err(Refusal::LeaseTtlTooLarge)
    } else {
        Ok(())
    }
}

/// Whether a transaction can change nothing and needs no log entry: ranges only, at the top level, as in etcd.
#[must_use]
pub fn is_read_only(request: &TxnRequest) -> bool {
    ranges(request).all(|range| range.is_some())
}

/// Whether a transaction may be answered from local state: every operation is a serializable range, and there is one. A
/// transaction that only compares has not asked for an old answer.
#[must_use]
pub fn is_serializable(request: &TxnRequest) -> bool {
    ranges(request).next().is_some() && ranges(request).all(|range| range.is_some_and(|range| range.serializable))
}

fn ranges(request: &TxnRequest) -> impl Iterator<Item = Option<&RangeRequest>> {
    request
        .success
        .iter()
        .chain(&request.failure)
        .map(|operation| match &operation.request {
            Some(Request::RequestRange(range)) => Some(range),
            Some(Request::RequestPut(_) | Request::RequestDeleteRange(_) | Request::RequestTxn(_)) | None => None,
        })
}

fn txn_within(request: &TxnRequest, operations_max: usize, depth_max: usize) -> Result<(), Refusal> {
    let operations = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let Some(left) = operations_max.checked_sub(operations) else {
        return Err(Refusal::TooManyOps);
    };
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    request
        .success
        .iter()
        .chain(&request.failure)
        .try_for_each(|operation| self::operation(operation, left, depth_max))
}

fn operation(operation: &RequestOp, operations_max: usize, depth_max: usize) -> Result<(), Refusal> {
    match &operation.request {
        Some(Request::RequestRange(request)) => range(request),
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete_range(request),
        Some(Request::RequestTxn(request)) => {
            let depth_left = depth_max.checked_sub(1).ok_or(Refusal::TooManyOps)?;
            txn_within(request, operations_max, depth_left)
        }
        None => Err(Refusal::KeyNotFound),
    }
}

#[cfg(test)]
mod tests;

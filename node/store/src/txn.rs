//! Transactions: all compares, then one of two lists of operations, as one revision.
//!
//! Three steps, in this order. *Decide*: every compare, those of nested transactions included, is asked of the state
//! before the whole transaction, which gives the operations that will run. *Check*: whatever could refuse one of them
//! refuses the transaction. *Do*: the operations run in order, each seeing those before it, and cannot be refused any
//! more.

mod compare;

use crate::apply::{Stop, check_put, delete_range, put};
use crate::draft::Draft;
use crate::engine::EngineError;
use crate::outcome::{ReadError, header};
use crate::range::Sight;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::response_op::Response;
use kvorum_api::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest, TxnResponse,
};

/// A transaction whose compares were decided.
struct Decided<'a> {
    succeeded: bool,
    operations: Vec<Operation<'a>>,
}

enum Operation<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    DeleteRange(&'a DeleteRangeRequest),
    Txn(Decided<'a>),
    /// An operation without content; validation refuses it, so it only stands for itself here.
    Nothing,
}

/// Carries out a transaction.
pub(crate) fn apply(draft: &mut Draft<'_>, request: &TxnRequest) -> Result<TxnResponse, Stop> {
    let sight = draft.sight();
    let decided = decide(&sight, request)?;
    check(&sight, &decided)?;
    let mut response = run(draft, &decided)?;
    response.header = header(draft.revision());
    Ok(response)
}

/// Answers a transaction that only reads, without a log entry.
pub(crate) fn read(sight: &Sight<'_>, request: &TxnRequest) -> Result<TxnResponse, ReadError> {
    let decided = decide(sight, request)?;
    check(sight, &decided)?;
    let mut responses = Vec::with_capacity(decided.operations.len());
    for operation in &decided.operations {
        match operation {
            Operation::Range(request) => {
                responses.push(ResponseOp {
                    response: Some(Response::ResponseRange(sight.range(request)?)),
                });
            }
            // The caller has asked `validate::is_read_only`, so this is not reached; a write here must not be
            // answered.
            Operation::Put(_) | Operation::DeleteRange(_) | Operation::Txn(_) | Operation::Nothing => {
                return Err(Refusal::NotCapable.into());
            }
        }
    }
    Ok(TxnResponse {
        header: header(sight.current),
        succeeded: decided.succeeded,
        responses,
    })
}

fn decide<'a>(sight: &Sight<'_>, request: &'a TxnRequest) -> Result<Decided<'a>, EngineError> {
    let succeeded = compare::all(sight, &request.compare)?;
    let branch = if succeeded { &request.success } else { &request.failure };
    let operation = |operation: &'a RequestOp| {
        Ok(match &operation.request {
            Some(Request::RequestRange(request)) => Operation::Range(request),
            Some(Request::RequestPut(request)) => Operation::Put(request),
            Some(Request::RequestDeleteRange(request)) => Operation::DeleteRange(request),
            Some(Request::RequestTxn(request)) => Operation::Txn(decide(sight, request)?),
            None => Operation::Nothing,
        })
    };
    let operations = branch.iter().map(operation).collect::<Result<_, EngineError>>()?;
    Ok(Decided { succeeded, operations })
}

fn check(sight: &Sight<'_>, decided: &Decided<'_>) -> Result<(), Refusal> {
    for operation in &decided.operations {
        match operation {
            Operation::Range(request) => check_range(sight, request)?,
            Operation::Put(request) => check_put(sight, request)?,
            Operation::Txn(nested) => check(sight, nested)?,
            Operation::DeleteRange(_) | Operation::Nothing => {}
        }
    }
    Ok(())
}

/// Unlike a range of its own, one in a transaction with a negative revision is refused when below the compacted one.
fn check_range(sight: &Sight<'_>, request: &RangeRequest) -> Result<(), Refusal> {
    match request.revision {
        0 => Ok(()),
        revision if revision > sight.current => Err(Refusal::FutureRevision),
        revision if revision < sight.state.compacted => Err(Refusal::Compacted),
        _ => Ok(()),
    }
}

fn run(draft: &mut Draft<'_>, decided: &Decided<'_>) -> Result<TxnResponse, Stop> {
    let mut responses = Vec::with_capacity(decided.operations.len());
    for operation in &decided.operations {
        let response = match operation {
            Operation::Range(request) => Some(Response::ResponseRange(range(draft, request)?)),
            Operation::Put(request) => Some(Response::ResponsePut(put(draft, request)?)),
            Operation::DeleteRange(request) => Some(Response::ResponseDeleteRange(delete_range(draft, request)?)),
            Operation::Txn(nested) => Some(Response::ResponseTxn(run(draft, nested)?)),
            Operation::Nothing => None,
        };
        responses.push(ResponseOp { response });
    }
    // A nested answer has an empty header, as etcd's has: only the outermost one is filled in.
    Ok(TxnResponse {
        header: header(0),
        succeeded: decided.succeeded,
        responses,
    })
}

fn range(draft: &Draft<'_>, request: &RangeRequest) -> Result<kvorum_api::etcdserverpb::RangeResponse, Stop> {
    draft.sight().range(request).map_err(|error| match error {
        ReadError::Engine(error) => Stop::Engine(error),
        ReadError::Refused(_) | ReadError::Replaced => {
            unreachable!("the range was checked, and the writer's own state is not replaced under it")
        }
    })
}

//! `POST /v1/txn`: transactions for people, translated to etcd's and back.
//!
//! Must keep true: what is proposed is exactly what was written down; the store decides, nothing here does.

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use kvorum_api::Id;
use kvorum_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use kvorum_api::etcdserverpb::{self as pb, request_op::Request, response_op::Response};
use kvorum_api::plain::txn::{
    Condition, Found, Keys, Operation, OperationResult, Relation, Stored, TXN_PATH, Test, Txn, TxnError, TxnResult,
};
use kvorum_api::plain::{Deleted, Entry, Text};
use kvorum_api::range::{first_key, prefix_end};

use super::problem::{ProblemResponse, malformed, only};
use super::query::Query;
use super::{Edge, body};
use crate::service::Caller;

/// The path.
pub fn routes() -> Router<Edge> {
    Router::new().route(TXN_PATH, only("POST", post(txn)))
}

async fn txn(
    State(edge): State<Edge>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TxnResult>, ProblemResponse> {
    Query::parse(uri.query()).finish()?;
    let bytes = body::read(&headers, body, edge.message_bytes_max).await?;
    let txn: Txn = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let request = request(&txn).map_err(|error| malformed(error.to_string()))?;
    let answer = edge.service.txn(&caller, request).await?;
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    Ok(Json(result(&txn, answer, revision)))
}

/// etcd's form of a transaction.
fn request(txn: &Txn) -> Result<pb::TxnRequest, TxnError> {
    let mut compare = Vec::new();
    for condition in &txn.conditions {
        compares(condition, &mut compare)?;
    }
    let operations = |all: &[Operation]| all.iter().map(operation).collect::<Result<Vec<_>, _>>();
    Ok(pb::TxnRequest {
        compare,
        success: operations(&txn.then)?,
        failure: operations(&txn.otherwise)?,
    })
}

/// First key and end of a range, as etcd has them.
fn span(keys: Keys) -> (Bytes, Bytes) {
    match keys {
        Keys::One(key) => (key, Bytes::new()),
        Keys::Prefix(prefix) => (first_key(&prefix), prefix_end(&prefix)),
    }
}

fn compares(condition: &Condition, out: &mut Vec<pb::Compare>) -> Result<(), TxnError> {
    let before = out.len();
    let (key, range_end) = span(condition.keys()?);
    let mut add = |relation: Relation, target: CompareTarget, with: TargetUnion| {
        out.push(pb::Compare {
            result: result_of(relation).into(),
            target: target.into(),
            key: key.clone(),
            range_end: range_end.clone(),
            target_union: Some(with),
        });
    };
    if let Some(exists) = condition.exists {
        // A key that does not exist has version zero.
        let relation = if exists { Relation::Gt } else { Relation::Eq };
        add(relation, CompareTarget::Version, TargetUnion::Version(0));
    }
    for Test { relation, with } in condition.values()? {
        add(relation, CompareTarget::Value, TargetUnion::Value(with));
    }
    if let Some(Test { relation, with }) = condition.version {
        add(relation, CompareTarget::Version, TargetUnion::Version(with));
    }
    if let Some(Test { relation, with }) = condition.create_revision {
        add(relation, CompareTarget::Create, TargetUnion::CreateRevision(with));
    }
    if let Some(Test { relation, with }) = condition.mod_revision {
        add(relation, CompareTarget::Mod, TargetUnion::ModRevision(with));
    }
    if let Some(Test { relation, with }) = condition.lease {
        add(relation, CompareTarget::Lease, TargetUnion::Lease(lease(with)));
    }
    if out.len() == before {
        return Err(TxnError::NoTest);
    }
    Ok(())
}

fn result_of(relation: Relation) -> CompareResult {
    match relation {
        Relation::Eq => CompareResult::Equal,
        Relation::Ne => CompareResult::NotEqual,
        Relation::Gt => CompareResult::Greater,
        Relation::Lt => CompareResult::Less,
    }
}

fn lease(id: Id) -> i64 {
    id.get().cast_signed()
}

fn operation(operation: &Operation) -> Result<pb::RequestOp, TxnError> {
    let request = match operation {
        Operation::Put(put) => Request::RequestPut(pb::PutRequest {
            key: put.key()?,
            value: put.value()?,
            lease: put.lease.map_or(0, lease),
            ..Default::default()
        }),
        Operation::Get(get) => {
            let (key, range_end) = span(get.keys()?);
            Request::RequestRange(pb::RangeRequest {
                key,
                range_end,
                limit: get.limit.map_or(0, i64::from),
                revision: get.revision.map_or(0, i64::from),
                keys_only: get.keys_only,
                count_only: get.count_only,
                ..Default::default()
            })
        }
        Operation::Delete(delete) => {
            let (key, range_end) = span(delete.keys()?);
            Request::RequestDeleteRange(pb::DeleteRangeRequest {
                key,
                range_end,
                ..Default::default()
            })
        }
        Operation::Txn(txn) => Request::RequestTxn(request(txn)?),
    };
    Ok(pb::RequestOp { request: Some(request) })
}

/// The answer for people; `revision` is the whole transaction's.
fn result(txn: &Txn, answer: pb::TxnResponse, revision: i64) -> TxnResult {
    let done = if answer.succeeded { &txn.then } else { &txn.otherwise };
    let results = done.iter().zip(answer.responses);
    TxnResult {
        succeeded: answer.succeeded,
        revision,
        results: results
            .filter_map(|(operation, response)| operation_result(operation, response.response?, revision))
            .collect(),
    }
}

/// What one operation gave; `None` for an answer of another kind, which the store never gives.
fn operation_result(operation: &Operation, response: Response, revision: i64) -> Option<OperationResult> {
    Some(match (operation, response) {
        (Operation::Put(put), Response::ResponsePut(_)) => OperationResult::Put(Stored {
            key: Text::from(put.key().ok()?),
            mod_revision: revision,
        }),
        (Operation::Get(_), Response::ResponseRange(range)) => OperationResult::Get(Found {
            kvs: range.kvs.into_iter().map(Entry::from).collect(),
            count: range.count,
            more: range.more,
        }),
        (Operation::Delete(_), Response::ResponseDeleteRange(delete)) => OperationResult::Delete(Deleted {
            deleted: delete.deleted,
            revision,
        }),
        (Operation::Txn(txn), Response::ResponseTxn(answer)) => OperationResult::Txn(result(txn, answer, revision)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<pb::TxnRequest, String> {
        let txn: Txn = serde_json::from_str(json).map_err(|error| error.to_string())?;
        request(&txn).map_err(|error| error.to_string())
    }

    #[test]
    fn conditions_become_compares() {
        let txn = read(
            r#"{"if": [{"key": "a", "exists": true, "value": {"ne": "x"}}, {"prefix": "p/", "mod_revision": 3}]}"#,
        )
        .unwrap();
        let seen: Vec<_> = txn
            .compare
            .iter()
            .map(|it| (it.result(), it.target(), &it.key[..], &it.range_end[..]))
            .collect();
        assert_eq!(
            seen,
            [
                (CompareResult::Greater, CompareTarget::Version, &b"a"[..], &b""[..]),
                (CompareResult::NotEqual, CompareTarget::Value, b"a", b""),
                (CompareResult::Equal, CompareTarget::Mod, b"p/", b"p0"),
            ]
        );
    }

    #[test]
    fn a_condition_without_a_test_is_refused() {
        let error = read(r#"{"if": [{"key": "a"}]}"#).unwrap_err();
        assert!(error.starts_with("a condition needs a test: exists"), "{error}");
    }

    #[test]
    fn nested_errors_come_out() {
        let error = read(r#"{"else": [{"txn": {"then": [{"put": {"key": "a"}}]}}]}"#).unwrap_err();
        assert_eq!(error, "put needs exactly one of value and value_base64");
    }
}

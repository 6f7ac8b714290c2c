//! One key: read, write, delete.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG};
use http::{HeaderMap, StatusCode, Uri};
use kvorum_api::Id;
use kvorum_api::etcdserverpb::{self as pb, request_op::Request as Operation, response_op};
use kvorum_api::mvccpb::KeyValue;
use kvorum_api::plain::{Deleted, Entry, Fault, KV_PATH, Text, Written};

use super::conditions::{self, Condition};
use super::{Reading, operation, revision};
use crate::http::problem::ProblemResponse;
use crate::http::query::{Query, decode_path};
use crate::http::{Edge, body};
use crate::service::Caller;

type Answer<T> = Result<T, ProblemResponse>;

/// `GET /v1/kv/{key}`.
pub async fn read(State(edge): State<Edge>, caller: Caller, uri: Uri, headers: HeaderMap) -> Answer<Response> {
    let mut query = Query::parse(uri.query());
    let reading = Reading::take(&mut query)?;
    query.finish()?;
    let range = edge
        .service
        .range(&caller, reading.range(key(&uri), Bytes::new()))
        .await?;
    let Some(pair) = range.kvs.into_iter().next() else {
        return Err(no_such_key(&uri));
    };
    let tag = [(ETAG, conditions::tag(pair.mod_revision))];
    if conditions::unchanged(&headers, pair.mod_revision)? {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    if wants_bytes(&headers) {
        return Ok((tag, [(CONTENT_TYPE, "application/octet-stream")], pair.value).into_response());
    }
    Ok((tag, Json(Entry::from(pair))).into_response())
}

/// `PUT /v1/kv/{key}`: the body is the value.
pub async fn write(
    State(edge): State<Edge>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let mut query = Query::parse(uri.query());
    let lease = query.parsed::<Id>("lease", "a lease id of up to 16 hexadecimal digits")?;
    query.finish()?;
    let condition = Condition::of_write(&headers)?;
    let value = body::read(&headers, body, edge.message_bytes_max).await?;
    let key = key(&uri);
    let put = pb::PutRequest {
        key: key.clone(),
        value,
        lease: lease.map_or(0, |id| id.get().cast_signed()),
        ..Default::default()
    };
    let (created, mod_revision) = match condition {
        Condition::Any => {
            // The previous value tells whether there was one; a transaction with a put in both branches would tell it
            // too, but send the value to the log twice.
            let answer = edge
                .service
                .put(&caller, pb::PutRequest { prev_kv: true, ..put })
                .await?;
            (answer.prev_kv.is_none(), revision(answer.header.as_ref()))
        }
        condition => {
            let answer = guarded(&edge, &caller, condition, &key, Operation::RequestPut(put)).await?;
            (condition == Condition::Absent, revision(answer.header.as_ref()))
        }
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let written = Written {
        key: Text::from(key),
        mod_revision,
        created,
    };
    Ok((status, [(ETAG, conditions::tag(mod_revision))], Json(written)).into_response())
}

/// `DELETE /v1/kv/{key}`.
pub async fn remove(State(edge): State<Edge>, caller: Caller, uri: Uri, headers: HeaderMap) -> Answer<Json<Deleted>> {
    Query::parse(uri.query()).finish()?;
    let condition = Condition::of_write(&headers)?;
    let key = key(&uri);
    let delete = pb::DeleteRangeRequest {
        key: key.clone(),
        ..Default::default()
    };
    if condition == Condition::Any {
        let answer = edge.service.delete_range(&caller, delete).await?;
        return Ok(Json(Deleted {
            deleted: answer.deleted,
            revision: revision(answer.header.as_ref()),
        }));
    }
    let answer = guarded(&edge, &caller, condition, &key, Operation::RequestDeleteRange(delete)).await?;
    let deleted = answer.responses.iter().find_map(|response| match &response.response {
        Some(response_op::Response::ResponseDeleteRange(delete)) => Some(delete.deleted),
        _ => None,
    });
    Ok(Json(Deleted {
        deleted: deleted.unwrap_or_default(),
        revision: revision(answer.header.as_ref()),
    }))
}

/// Does `action` if `condition` holds of `key`; otherwise says at which revision the key is.
async fn guarded(
    edge: &Edge,
    caller: &Caller,
    condition: Condition,
    key: &Bytes,
    action: Operation,
) -> Answer<pb::TxnResponse> {
    let look = pb::RangeRequest {
        key: key.clone(),
        keys_only: true,
        ..Default::default()
    };
    let txn = pb::TxnRequest {
        compare: condition.compare(key.clone()).into_iter().collect(),
        success: vec![operation(action)],
        failure: vec![operation(Operation::RequestRange(look))],
    };
    let answer = edge.service.txn(caller, txn).await?;
    if answer.succeeded {
        Ok(answer)
    } else {
        Err(precondition_failed(answer))
    }
}

fn precondition_failed(answer: pb::TxnResponse) -> ProblemResponse {
    let found: Option<KeyValue> = answer
        .responses
        .into_iter()
        .find_map(|response| match response.response {
            Some(response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        });
    let detail = match found {
        Some(pair) => format!("the key was last changed at revision {}", pair.mod_revision),
        None => "the key does not exist".to_owned(),
    };
    Fault::PreconditionFailed.problem(detail).into()
}

fn no_such_key(uri: &Uri) -> ProblemResponse {
    Fault::KeyNotFound
        .problem(format!("there is no key {:?}", String::from_utf8_lossy(&key(uri))))
        .into()
}

/// The key that a path names. The router matched the prefix, so there is a rest; it may be empty.
fn key(uri: &Uri) -> Bytes {
    let rest = uri.path().strip_prefix(KV_PATH).unwrap_or_default();
    decode_path(rest.strip_prefix('/').unwrap_or_default())
}

fn wants_bytes(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/octet-stream")
    })
}

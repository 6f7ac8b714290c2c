//! The gateway's paths of etcd's `Maintenance` service. A backup is a stream of lines, each a JSON object with a
//! `result`; if it breaks off, the last line is an `error`.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use kvorum_api::error::{Failure, Refusal, StreamError};
use kvorum_api::etcdserverpb as pb;
use kvorum_api::json;
use serde::Serialize;
use std::convert::Infallible;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::{Edge, GATEWAY_CONTENT_TYPE, ask, decode, fail, other_methods, refuse};
use crate::service::Caller;

/// The paths.
pub(super) fn routes() -> Router<Edge> {
    Router::new()
        .route("/v3/maintenance/status", ask!(status))
        .route("/v3/maintenance/alarm", ask!(alarm))
        .route("/v3/maintenance/defragment", ask!(defragment))
        .route("/v3/maintenance/hash", ask!(hash))
        .route("/v3/maintenance/hashkv", ask!(hash_kv))
        .route("/v3/maintenance/transfer-leadership", ask!(move_leader_to))
        .route("/v3/maintenance/downgrade", ask!(downgrade))
        .route("/v3/maintenance/snapshot", post(snapshot).fallback(other_methods))
}

async fn snapshot(State(edge): State<Edge>, caller: Caller, headers: HeaderMap, body: Body) -> Response {
    let request: pb::SnapshotRequest = match decode(&headers, body, edge.message_bytes_max).await {
        Ok(request) => request,
        Err(failure) => return fail(&failure),
    };
    let pieces = match edge.service.snapshot(&caller, request).await {
        Ok(pieces) => pieces,
        Err(refusal) => return refuse(refusal),
    };
    let lines = ReceiverStream::new(pieces).map(|piece| Ok::<Bytes, Infallible>(line(piece)));
    let kind = [(CONTENT_TYPE.as_str(), "application/json"), GATEWAY_CONTENT_TYPE];
    (kind, Body::from_stream(lines)).into_response()
}

#[derive(Serialize)]
struct Line {
    result: pb::SnapshotResponse,
}

fn line(piece: Result<pb::SnapshotResponse, Refusal>) -> Bytes {
    let mut line = match piece {
        Ok(result) => json::encode(&Line { result }),
        Err(refusal) => json::encode(&StreamError::new(&Failure::from(refusal))),
    };
    line.push(b'\n');
    line.into()
}

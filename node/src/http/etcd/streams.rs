//! The gateway's streams: JSON values that follow each other in the request, one answer per line in the response.
//!
//! ```text
//! {"create_request":{…}}{"progress_request":{}}      →      {"result":{…}}\n{"result":{…}}\n…{"error":{…}}\n
//! ```
//! As in etcd, headers are sent with the first answer, so that an error before it has its own HTTP status; one after it
//! is the last line. Unlike etcd's, a stream whose request makes no sense is refused at once instead of hanging.

mod values;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use kvorum_api::error::{Code, Failure, StreamError};
use kvorum_api::etcdserverpb as pb;
use kvorum_api::json;
use serde::Serialize;

use super::{GATEWAY_CONTENT_TYPE, decode, other_methods};
use crate::grpc::NEEDS_LEADER;
use crate::held::Hold;
use crate::http::Edge;
use crate::service::Caller;
use crate::service::streams::keep_alives;
pub use values::values;

/// Headers whose rest is handed to the service as metadata.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// What is held of the request; see `connections`.
type Held = Extension<Arc<Hold>>;

/// `POST /v3/watch`.
pub fn watch() -> MethodRouter<Edge> {
    post(
        |State(edge): State<Edge>, caller: Caller, Extension(hold): Held, headers: HeaderMap, body: Body| async move {
            let requests = values::<pb::WatchRequest>(body, hold, edge.message_bytes_max).map(|request| {
                let request = request?;
                match request.request_union {
                    Some(_) => Ok(request),
                    None => Err(nothing_asked()),
                }
            });
            let mut requests = Box::pin(requests);
            let first = requests.next().await.unwrap_or_else(|| Err(nothing_asked()));
            let requests = Box::pin(futures::stream::iter([first]).chain(requests));
            match edge.service.watch(caller, needs_leader(&headers), requests).await {
                Ok(session) => respond(session.responses()).await,
                Err(refusal) => fail(&refusal.into()),
            }
        },
    )
    .fallback(other_methods)
}

/// `POST /v3/lease/keepalive`: one line for each value.
pub fn keep_alive() -> MethodRouter<Edge> {
    post(
        |State(edge): State<Edge>, caller: Caller, Extension(hold): Held, headers: HeaderMap, body: Body| async move {
            let requests = Box::pin(values::<pb::LeaseKeepAliveRequest>(body, hold, edge.message_bytes_max));
            match keep_alives(&edge.service, caller, needs_leader(&headers), requests).await {
                Ok(answers) => respond(answers).await,
                Err(refusal) => fail(&refusal.into()),
            }
        },
    )
    .fallback(other_methods)
}

/// `POST /v3/election/observe`: one line for each leader and each of its values.
pub fn observe() -> MethodRouter<Edge> {
    post(
        |State(edge): State<Edge>, caller: Caller, headers: HeaderMap, body: Body| async move {
            match decode(&headers, body, edge.message_bytes_max).await {
                Ok(request) => respond(edge.service.observe(caller, request)).await,
                Err(failure) => fail(&failure),
            }
        },
    )
    .fallback(other_methods)
}

fn nothing_asked() -> Failure {
    let reason = "a create_request, a cancel_request or a progress_request is needed";
    Failure::new(Code::InvalidArgument, reason)
}

/// Whether a request asks to be ended when there is no leader.
fn needs_leader(headers: &HeaderMap) -> bool {
    let value = headers.get(format!("{METADATA_PREFIX}{NEEDS_LEADER}"));
    value.is_some_and(|value| value == "true")
}

/// The response whose lines are `answers`; waits for the first.
pub async fn respond<Answer: Serialize + Send + 'static>(
    answers: impl Stream<Item = Result<Answer, Failure>> + Send + 'static,
) -> Response {
    let mut answers = Box::pin(answers);
    let first = match answers.next().await {
        Some(Err(failure)) => return fail(&failure),
        Some(Ok(answer)) => Some(Ok(answer)),
        None => None,
    };
    let lines = futures::stream::iter(first)
        .chain(answers)
        .map(|answer| match answer {
            Ok(answer) => line(&Line { result: &answer }),
            Err(failure) => line(&StreamError::new(&failure)),
        })
        .map(Ok::<Bytes, std::convert::Infallible>);
    let headers = [(CONTENT_TYPE.as_str(), "application/json"), GATEWAY_CONTENT_TYPE];
    (headers, Body::from_stream(lines)).into_response()
}

/// An error before the first answer: its own status, in the wrapper of streams.
fn fail(failure: &Failure) -> Response {
    let status = StatusCode::from_u16(failure.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = line(&StreamError::new(failure));
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[derive(Serialize)]
struct Line<'a, Answer> {
    result: &'a Answer,
}

fn line(value: &impl Serialize) -> Bytes {
    let mut line = json::encode(value);
    line.push(b'\n');
    line.into()
}

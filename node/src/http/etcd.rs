//! etcd's JSON gateway: `POST /v3/…`, the body is the request message in proto3 JSON.
//!
//! As in etcd, whatever the content type says is ignored, an empty body is an empty message, and what follows the first
//! JSON value is ignored; a wrong method is 501, an unknown path 404, both with a JSON error.

mod auth;
pub mod concurrency;
pub mod leases;
mod maintenance;
pub mod streams;

use std::future::Future;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use kvorum_api::error::{Code, Failure, Refusal};
use kvorum_api::json;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Edge;
use super::body::{self, BodyError};
use crate::service::{Caller, Service};

/// A path whose POST is one call of [`Service`].
macro_rules! ask {
    ($name:ident) => {
        $crate::http::etcd::call(|service: $crate::service::Service, caller, request| async move {
            service.$name(&caller, request).await
        })
    };
}
use ask;

/// Tells clients of the gateway that gRPC stands behind it; etcd sends it with every success.
const GATEWAY_CONTENT_TYPE: (&str, &str) = ("grpc-metadata-content-type", "application/grpc");

/// The gateway's paths.
pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/v3/kv/range", ask!(range))
        .route("/v3/kv/put", ask!(put))
        .route("/v3/kv/deleterange", ask!(delete_range))
        .route("/v3/kv/txn", ask!(txn))
        .route("/v3/kv/compaction", ask!(compact))
        .route("/v3/cluster/member/list", ask!(member_list))
        .route("/v3/cluster/member/add", ask!(member_add))
        .route("/v3/cluster/member/remove", ask!(member_remove))
        .route("/v3/cluster/member/update", ask!(member_update))
        .route("/v3/cluster/member/promote", ask!(member_promote))
        .merge(auth::routes())
        .merge(concurrency::routes())
        .merge(leases::routes())
        .merge(maintenance::routes())
        .route("/v3/watch", streams::watch())
        .layer(axum::middleware::map_response(allow_other_origins))
}

/// A path whose POST is `ask` and whose other methods are refused as etcd refuses them.
fn call<Ask, Asked, Request, Answer>(ask: Ask) -> MethodRouter<Edge>
where
    Ask: Fn(Service, Caller, Request) -> Asked + Clone + Send + Sync + 'static,
    Asked: Future<Output = Result<Answer, Refusal>> + Send,
    Request: prost::Message + DeserializeOwned + Default + 'static,
    Answer: Serialize + 'static,
{
    post(
        |State(edge): State<Edge>, caller: Caller, headers: HeaderMap, body: Body| async move {
            let request = match decode(&headers, body, edge.message_bytes_max).await {
                Ok(request) => request,
                Err(failure) => return fail(&failure),
            };
            match ask(edge.service, caller, request).await {
                Ok(answer) => succeed(&answer),
                Err(refusal) => refuse(refusal),
            }
        },
    )
    .fallback(other_methods)
}

async fn other_methods(method: Method) -> Response {
    if method == Method::OPTIONS {
        StatusCode::OK.into_response()
    } else {
        refuse(Refusal::MethodNotAllowed)
    }
}

/// etcd bounds the message, not its JSON, which base64 makes a third longer: so twice the bound is read, and the message
/// is measured when it is known.
async fn decode<Request>(headers: &HeaderMap, body: Body, message_bytes_max: u64) -> Result<Request, Failure>
where
    Request: prost::Message + DeserializeOwned + Default,
{
    let bytes = body::read(headers, body, message_bytes_max * 2)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge { size, max: _ } => too_large(size, message_bytes_max),
            BodyError::Broken(_) => Failure::new(Code::InvalidArgument, error.to_string()),
            BodyError::Refused(refusal) => refusal.into(),
        })?;
    let request: Request = json::decode(&bytes)?;
    let size = request.encoded_len() as u64;
    if size > message_bytes_max {
        Err(too_large(size, message_bytes_max))
    } else {
        Ok(request)
    }
}

fn too_large(size: u64, max: u64) -> Failure {
    Failure::new(Code::ResourceExhausted, BodyError::TooLarge { size, max }.to_string())
}

fn succeed<Answer: Serialize>(answer: &Answer) -> Response {
    (
        [(CONTENT_TYPE.as_str(), "application/json"), GATEWAY_CONTENT_TYPE],
        json::encode(answer),
    )
        .into_response()
}

/// The error response for one of etcd's refusals.
pub fn refuse(refusal: Refusal) -> Response {
    fail(&Failure::from(refusal))
}

/// The error response for any failure.
pub fn fail(failure: &Failure) -> Response {
    let status = StatusCode::from_u16(failure.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(CONTENT_TYPE, "application/json")], failure.json_body()).into_response();
    if status == StatusCode::UNAUTHORIZED
        && let Ok(message) = HeaderValue::from_str(&failure.message)
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, message);
    }
    response
}

/// etcd lets pages of any origin call its gateway; credentials are never sent by browsers for `*`.
async fn allow_other_origins(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("accept, content-type, authorization"),
    );
    response
}

//! Everything spoken on the client port: etcd's JSON and gRPC, plain JSON for people, the operator's calls.
//!
//! What must stay true:
//! 1. These handlers contain no rule: they decode, call [`Service`], encode. Deleting one loses no behaviour.
//! 2. Every request is bounded before it is read: headers, body, connections, handshakes.
//! 3. Who is on the other side is decided by the TLS handshake alone (`OtherSide`); a header carries at most a token, which
//!    `Service` checks.
//! 4. Every path answers in its own language: etcd's error JSON under `/v3`, problem documents under `/v1`, gRPC statuses
//!    for gRPC; also for paths that do not exist.

pub mod admin;
pub mod body;
pub mod caller;
pub mod cluster;
pub mod connections;
pub mod etcd;
pub mod kv;
pub mod leases;
pub mod openapi;
pub mod outside;
pub mod problem;
pub mod query;
pub mod txn;
pub mod watch;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kvorum_api::error::Refusal;
use kvorum_api::plain::Fault;

use crate::service::Service;
use crate::tls::{CallerName, Tls};
use crate::{grpc, health};

pub use problem::ProblemResponse;

/// etcd's allowance over the largest request for what surrounds it in a message.
pub const REQUEST_OVERHEAD_BYTES: u64 = 512 << 10;

/// What the edges of a running member share.
#[derive(Clone)]
pub struct Edge {
    /// The one door.
    pub service: Service,
    /// For the certificates in the operator's status.
    pub tls: Tls,
    /// Largest message of a client, in bytes: the largest request and what surrounds it.
    pub message_bytes_max: u64,
}

/// Who is on the other side of a connection: a request extension, put there by `connections`.
#[derive(Clone, Debug, Default)]
pub struct OtherSide {
    /// From the verified client certificate; `None` without one, and over plain text.
    pub name: Option<CallerName>,
}

/// All routes of a member's client port.
pub fn router(edge: Edge, probes: health::Probes) -> Router {
    let grpc = grpc::routes(&edge).reset_fallback();
    let paths = Router::new()
        .merge(etcd::routes())
        .merge(kv::routes())
        .merge(cluster::routes())
        .merge(watch::routes())
        .merge(leases::routes())
        .merge(txn::routes())
        .merge(openapi::routes())
        .merge(admin::routes())
        .with_state(edge);
    Router::new()
        .merge(grpc)
        .merge(paths)
        .merge(health::routes(probes))
        .fallback(unknown_path)
}

/// The answer to a path that nothing serves, in the language of its neighbours.
async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    if grpc::is_grpc(request.headers()) {
        return tonic::Status::unimplemented(format!("unknown method {path}")).into_http::<axum::body::Body>();
    }
    if path.starts_with("/v3/") {
        return etcd::refuse(Refusal::UnknownPath);
    }
    if path == "/v1" || path.starts_with("/v1/") {
        return ProblemResponse(Fault::UnknownPath.problem(format!("nothing is served at {path}"))).into_response();
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

//! The client port of a process that is no running member: the operator may ask why, everybody else is told that it is
//! not available.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use kvorum_api::admin::{Rejection, STATUS_PATH};
use kvorum_api::error::{Code, Failure};

use super::{ProblemResponse, admin, etcd};
use crate::health::{self, Probes, checks};
use crate::situation::Situation;

/// Its routes.
pub fn router(probes: Probes) -> Router {
    let paths = Router::new()
        .route(STATUS_PATH, get(status))
        .fallback(unavailable)
        .with_state(probes.clone());
    health::routes(probes).merge(paths)
}

async fn status(State(probes): State<Probes>, request: Request) -> Response {
    let Situation::Outside(stranger) = &*probes.situations.now() else {
        return unavailable(State(probes), request).await;
    };
    let (parts, _) = request.into_parts();
    match admin::demand_operator(&parts, stranger.cluster_id) {
        Ok(()) => Json(stranger.status(&probes.tls)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn unavailable(State(probes): State<Probes>, request: Request) -> Response {
    let why = checks::member(&probes.situations.now()).err();
    let detail = why.map_or_else(|| "not available yet".to_owned(), |why| why.to_string());
    let path = request.uri().path();
    if crate::grpc::is_grpc(request.headers()) {
        return tonic::Status::unavailable(detail).into_http::<axum::body::Body>();
    }
    if path.starts_with("/v3/") {
        return etcd::fail(&Failure::new(Code::Unavailable, detail));
    }
    if path.starts_with("/v1/") {
        return ProblemResponse(Rejection::Unavailable.problem(detail)).into_response();
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

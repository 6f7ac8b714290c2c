//! `GET /v1/cluster`: members, leader, revisions and health, for people.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use kvorum_api::plain::{CLUSTER_PATH, Cluster};

use super::Edge;
use super::problem::{ProblemResponse, only};
use crate::service::Caller;

/// The path.
pub fn routes() -> Router<Edge> {
    Router::new().route(CLUSTER_PATH, only("GET, HEAD", get(cluster)))
}

async fn cluster(State(edge): State<Edge>, caller: Caller) -> Result<Json<Cluster>, ProblemResponse> {
    Ok(Json(edge.service.cluster(&caller).await?))
}

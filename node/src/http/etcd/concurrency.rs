//! The gateway's paths for locks and elections.

use axum::Router;

use super::{call, streams};
use crate::http::Edge;
use crate::service::Service;

/// The paths.
pub fn routes() -> Router<Edge> {
    Router::new()
        .route(
            "/v3/lock/lock",
            call(|service: Service, caller, request| async move { service.lock(&caller, request).await }),
        )
        .route(
            "/v3/lock/unlock",
            call(|service: Service, caller, request| async move { service.unlock(&caller, request).await }),
        )
        .route(
            "/v3/election/campaign",
            call(|service: Service, caller, request| async move { service.campaign(&caller, request).await }),
        )
        .route(
            "/v3/election/proclaim",
            call(|service: Service, caller, request| async move { service.proclaim(&caller, request).await }),
        )
        .route(
            "/v3/election/leader",
            call(|service: Service, caller, request| async move { service.election_leader(&caller, request).await }),
        )
        .route("/v3/election/observe", streams::observe())
        .route(
            "/v3/election/resign",
            call(|service: Service, caller, request| async move { service.resign(&caller, request).await }),
        )
}

//! The gateway's paths for leases, with etcd's older aliases below `/v3/kv`.

use axum::Router;

use super::{call, streams};
use crate::http::Edge;
use crate::service::Service;

/// The paths.
pub fn routes() -> Router<Edge> {
    let revoke =
        || call(|service: Service, caller, request| async move { service.lease_revoke(&caller, request).await });
    let time_to_live =
        || call(|service: Service, caller, request| async move { service.lease_time_to_live(&caller, request).await });
    let leases =
        || call(|service: Service, caller, request| async move { service.lease_leases(&caller, request).await });
    Router::new()
        .route(
            "/v3/lease/grant",
            call(|service: Service, caller, request| async move { service.lease_grant(&caller, request).await }),
        )
        .route("/v3/lease/keepalive", streams::keep_alive())
        .route("/v3/lease/revoke", revoke())
        .route("/v3/kv/lease/revoke", revoke())
        .route("/v3/lease/timetolive", time_to_live())
        .route("/v3/kv/lease/timetolive", time_to_live())
        .route("/v3/lease/leases", leases())
        .route("/v3/kv/lease/leases", leases())
}

//! `/livez`, `/readyz` and `/metrics` of the operator, plain HTTP.
//!
//! What it must keep true: a replica that stands by is ready (it must not be taken out by a roll-out that waits for
//! readiness); liveness asks only whether this process still answers.
//!
//! Deliberately not here: figures (`metrics`).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::leader::Leadership;

/// Prometheus' text format, version 0.0.4.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Binds the address.
///
/// # Errors
/// The address is in use or not ours.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` is cancelled.
///
/// # Errors
/// Accepting connections failed for good.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    leadership: Leadership,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let page = move || {
        let text = metrics.render(leadership.leads());
        async move { ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response() }
    };
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .route("/metrics", get(page));
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

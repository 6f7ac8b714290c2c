//! Telling somebody that there is no place: one answer in the language of the request, then the end of the connection.
//!
//! Must keep true: it takes a bounded time, and leads nowhere: no request is looked at beyond its path.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kvorum_api::error::{Code, Failure, Refusal};
use kvorum_api::plain::Fault;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::{ProblemResponse, etcd};
use crate::grpc::{is_grpc, status};
use crate::tls::ClientTls;

/// The longest a refusal takes: a handshake, a request and an answer over a slow line.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);
/// What clients are told to wait, in seconds, before they come back.
const RETRY_AFTER_SECONDS: &str = "1";
/// In the words that clients of etcd see.
const TOO_MANY: &str = "kvorum: too many connections";

/// Refuses a connection. Whoever asks nothing in time is told nothing.
pub(super) async fn refuse(tcp: TcpStream, tls: Option<Arc<ClientTls>>) {
    let refusing = async {
        match tls {
            None => answer_once(tcp).await,
            Some(tls) => match tls.acceptor().accept(tcp).await {
                Ok(stream) => answer_once(stream).await,
                Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
            },
        }
    };
    let _ = timeout(REFUSAL_TIME_MAX, refusing).await;
}

async fn answer_once<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    let answered = Arc::new(Notify::new());
    let at_answer = Arc::clone(&answered);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        at_answer.notify_one();
        std::future::ready(Ok::<_, Infallible>(answer(&request)))
    });
    let protocols = super::protocols(false);
    let mut serving = pin!(protocols.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = serving.as_mut() => return,
        () = answered.notified() => {}
    }
    serving.as_mut().graceful_shutdown();
    // An error here is the client's, who has gone.
    let _ = serving.await;
}

/// The answer to a request for which there is no room.
pub(super) fn too_many_requests<B>(request: &Request<B>) -> Response<Body> {
    let refusal = Refusal::TooManyRequests;
    if is_grpc(request.headers()) {
        status(refusal).into_http::<Body>()
    } else if request.uri().path().starts_with("/v3/") {
        etcd::refuse(refusal)
    } else {
        ProblemResponse::from(refusal).into_response()
    }
}

fn answer<B>(request: &Request<B>) -> Response<Body> {
    let path = request.uri().path();
    let mut response = if is_grpc(request.headers()) {
        return tonic::Status::unavailable(TOO_MANY).into_http::<Body>();
    } else if path.starts_with("/v3/") {
        etcd::fail(&Failure::new(Code::Unavailable, TOO_MANY))
    } else {
        let detail = "this member has as many connections as it may: try again, or another member";
        ProblemResponse(Fault::TooManyConnections.problem(detail)).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    if request.version() <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

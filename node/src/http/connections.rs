//! From a listening socket to requests: handshakes, protocols, bounds, and an orderly end.
//!
//! One port speaks HTTP/1.1 and HTTP/2, over TLS or, where it listens in plain text, with prior knowledge. What must
//! stay true: nothing here grows without a bound, and when the process stops, what is under way is finished first.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::OtherSide;
use crate::tls::{CallerName, ClientTls, HANDSHAKE_MAX};

/// Most connections open at once on a port: enough for a thousand pods with a few each; about 50 KiB apiece with TLS.
/// The next one waits in the system's queue until another ends.
pub const CONNECTIONS_MAX: u32 = 16_384;
/// Most bytes of a request's headers.
pub const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Longest time for a request's headers to arrive, counted from the end of the request before: so it is also how long
/// an idle HTTP/1.1 connection is kept. Longer than the idle times of usual connection pools.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(300);
/// Most requests at once on one HTTP/2 connection; clients share one connection among many callers.
pub const STREAMS_MAX: u32 = 1_000;
/// Bytes in flight per stream, so that one large value does not wait for acknowledgements, and per connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// A silent HTTP/2 connection is asked whether it is alive, and dropped when it does not answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER_MAX: Duration = Duration::from_secs(20);
/// Longest time that requests under way may take to finish when the process stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Longest time that clients get to leave by themselves before idle connections are closed. HTTP/1.1 has no word for
/// "no more requests, please" but the header of an answer; a request that crosses the end of its connection gets none.
const LEAVE_MAX: Duration = Duration::from_millis(250);
/// Pause after the system refused a connection, usually because it has no file descriptors left: only the end of other
/// connections can help, and nothing tells us of it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The routes that requests are given to; they change when the process becomes a member.
#[derive(Clone)]
pub struct Routes(Arc<ArcSwap<Router>>);

impl Routes {
    /// Begins with these.
    #[must_use]
    pub fn new(router: Router) -> Routes {
        Routes(Arc::new(ArcSwap::from_pointee(router.with_state(()))))
    }

    /// The next request is given to these.
    pub fn replace(&self, router: Router) {
        self.0.store(Arc::new(router.with_state(())));
    }

    async fn call(
        self,
        mut request: Request<Incoming>,
        other_side: OtherSide,
        stop: CancellationToken,
    ) -> Result<Response<Body>, Infallible> {
        let version = request.version();
        request.extensions_mut().insert(other_side);
        let mut router = Router::clone(&self.0.load());
        let mut response = router.call(request.map(Body::new)).await?;
        if stop.is_cancelled() && version <= Version::HTTP_11 {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// Serves connections until `stop`; then lets those that are open finish, for at most [`DRAIN_MAX`].
pub async fn serve(listener: TcpListener, tls: Option<Arc<ClientTls>>, routes: Routes, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let graceful = GracefulShutdown::new();
    while let Some((tcp, slot)) = next(&listener, &slots, &stop).await {
        let (tls, routes, watcher, stop) = (tls.clone(), routes.clone(), graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            connection(tcp, tls, routes, watcher, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    // All slots are free when everybody has left.
    let _ = timeout(LEAVE_MAX, slots.acquire_many(CONNECTIONS_MAX)).await;
    if timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            "some connections were still busy {} s after the stop",
            DRAIN_MAX.as_secs()
        );
    }
}

/// The next connection with its slot; `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = stop
        .run_until_cancelled(Arc::clone(slots).acquire_owned())
        .await?
        .ok()?;
    loop {
        match stop.run_until_cancelled(listener.accept()).await? {
            Ok((tcp, _)) => return Some((tcp, slot)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await?;
            }
        }
    }
}

async fn connection(
    tcp: TcpStream,
    tls: Option<Arc<ClientTls>>,
    routes: Routes,
    watcher: Watcher,
    stop: CancellationToken,
) {
    // Small answers must not wait for more; a socket that refuses this is already closed.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else {
        return requests(tcp, OtherSide::default(), routes, watcher, stop).await;
    };
    match timeout(HANDSHAKE_MAX, tls.acceptor().accept(tcp)).await {
        Ok(Ok(stream)) => {
            let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let other_side = OtherSide {
                name: leaf.map(CallerName::of),
            };
            requests(stream, other_side, routes, watcher, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn requests<S>(stream: S, other_side: OtherSide, routes: Routes, watcher: Watcher, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        hyper::service::service_fn(move |request| routes.clone().call(request, other_side.clone(), stop.clone()));
    let protocols = protocols();
    let serving = protocols.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(serving).await {
        tracing::debug!(error, "a connection ended early");
    }
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_MAX)
        .max_buf_size(HEADER_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER_MAX);
    builder
}

#[cfg(test)]
mod tests;

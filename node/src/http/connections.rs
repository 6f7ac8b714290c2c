//! From a listening socket to requests: handshakes, protocols, bounds, and an orderly end.
//!
//! One port speaks HTTP/1.1 and HTTP/2, over TLS or, where it listens in plain text, with prior knowledge. What must
//! stay true: nothing here grows without a bound; nobody waits for a place, but gets one or is refused; and when the
//! process stops, what is under way is finished first.

mod accept;
mod arriving;
mod door;
mod leaving;
mod prompt;
mod refusal;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use kvorum_api::plain::WATCH_PATH;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::OtherSide;
use crate::held::Held;
use crate::tls::{CallerName, ClientTls, HANDSHAKE_MAX};
pub use accept::{Accept, Arrival, Listening};
use arriving::{Arriving, Form};
pub use door::{Door, Place, REFUSALS_MAX};
use leaving::Leaving;
use prompt::Prompt;

/// Most connections of clients at once where nobody says otherwise: enough for a thousand pods with a few each; about
/// 50 KiB apiece with TLS.
pub const CLIENTS_MAX: u32 = 16_384;
/// Most connections at once on the port for probes and metrics: the kubelet, a few scrapers, somebody's curl.
pub const PROBES_MAX: u32 = 64;
/// Most bytes of a request's headers.
pub const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Longest time for a request's headers to arrive, counted from the end of the request before: so it is also how long
/// an idle HTTP/1.1 connection is kept. Longer than the idle times of usual connection pools.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(300);
/// Most requests at once on one HTTP/2 connection; clients share one connection among many callers.
pub const STREAMS_MAX: u32 = 1_000;
/// Time for a connection to begin: a client that connects ahead of its first request does so for seconds, not minutes.
pub const BEGINNING_MAX: Duration = Duration::from_secs(30);
/// Bytes that may be on their way to us on one connection of HTTP/2, so that one large value does not wait for
/// acknowledgements; for the first connections, see [`Door`]. What nobody reads is held in memory.
pub const WIDE_WINDOW_BYTES: u32 = 1 << 20;
/// The same for the others: HTTP/2's own, below which it cannot be.
const NARROW_WINDOW_BYTES: u32 = (64 << 10) - 1;
/// Bytes of one stream's answers that are given to the protocol before the client makes room for them.
const SEND_BYTES_MAX: usize = 64 << 10;
/// A silent HTTP/2 connection is asked whether it is alive, and dropped when it does not answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER_MAX: Duration = Duration::from_secs(20);
/// Longest time that requests under way may take to finish when the process stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Longest time that clients get to leave by themselves before idle connections are closed. HTTP/1.1 has no word for
/// "no more requests, please" but the header of an answer; a request that crosses the end of its connection gets none.
const LEAVE_MAX: Duration = Duration::from_millis(250);

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
        request: Request<Incoming>,
        connection: Connection,
        stop: CancellationToken,
    ) -> Result<Response<Body>, Infallible> {
        let version = request.version();
        let mut response = self.answer(request, connection).await?;
        if stop.is_cancelled() && version <= Version::HTTP_11 {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn answer(
        self,
        mut request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response<Body>, Infallible> {
        let Connection { other_side, held, end } = connection;
        let Ok(hold) = held.requests.begin() else {
            return Ok(refusal::too_many_requests(&request));
        };
        let form = Form::of(request.uri().path());
        let answers = if is_watch(request.uri().path()) {
            held.watches
        } else {
            held.answers
        };
        // Over HTTP/2 a stream can be broken off; before, only the connection.
        let end = (request.version() <= Version::HTTP_11).then_some(end);
        request.extensions_mut().insert(other_side);
        request.extensions_mut().insert(Arc::clone(&hold));
        let request = request.map(|body| Body::new(Arriving::new(Body::new(body), Arc::clone(&hold), form)));
        let mut router = Router::clone(&self.0.load());
        let response = router.call(request).await?;
        if form == Form::Whole {
            hold.clear();
        }
        Ok(response.map(|body| Body::new(Leaving::new(body, answers, end, hold))))
    }
}

/// Whether the answers to a request are told of changes.
fn is_watch(path: &str) -> bool {
    matches!(path, "/etcdserverpb.Watch/Watch" | "/v3/watch" | WATCH_PATH)
}

/// What the requests of one connection have in common.
#[derive(Clone)]
struct Connection {
    other_side: OtherSide,
    held: Held,
    /// Ends it.
    end: CancellationToken,
}

/// What a port is served with.
#[derive(Clone)]
pub struct Port {
    /// Its name in the log.
    pub name: &'static str,
    /// `None` for plain text.
    pub tls: Option<Arc<ClientTls>>,
    /// Where requests go.
    pub routes: Routes,
    /// Who is let in.
    pub door: Arc<Door>,
    /// What is held for them.
    pub held: Held,
}

/// Serves connections until `stop`; then lets those that are open finish, for at most [`DRAIN_MAX`].
pub async fn serve(listener: TcpListener, port: Port, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let mut listening = Listening::new(listener, port.name);
    while let Some(arrival) = stop.run_until_cancelled(listening.next()).await {
        let Arrival::Connection(tcp, _) = arrival else {
            port.door.turn_away();
            continue;
        };
        match port.door.enter() {
            Some(place) => {
                let (port, watcher, stop) = (port.clone(), graceful.watcher(), stop.clone());
                tokio::spawn(connection(tcp, port, place, watcher, stop));
            }
            None => turn_away(tcp, &port),
        }
    }
    drop(listening);
    let _ = timeout(LEAVE_MAX, port.door.empty()).await;
    if timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            "some connections were still busy {} s after the stop",
            DRAIN_MAX.as_secs()
        );
    }
}

/// Refuses a connection, with a word where not too many are being told already.
fn turn_away(tcp: TcpStream, port: &Port) {
    let Some(word) = port.door.word() else { return };
    let tls = port.tls.clone();
    tokio::spawn(async move {
        refusal::refuse(tcp, tls).await;
        drop(word);
    });
}

async fn connection(tcp: TcpStream, port: Port, place: Place, watcher: Watcher, stop: CancellationToken) {
    // Small answers must not wait for more; a socket that refuses this is already closed.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = &port.tls else {
        return requests(tcp, OtherSide::default(), &port, &place, watcher, stop).await;
    };
    match timeout(HANDSHAKE_MAX, tls.acceptor().accept(tcp)).await {
        Ok(Ok(stream)) => {
            let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let other_side = OtherSide {
                name: leaf.map(CallerName::of),
            };
            requests(stream, other_side, &port, &place, watcher, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn requests<S>(
    stream: S,
    other_side: OtherSide,
    port: &Port,
    place: &Place,
    watcher: Watcher,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let heard = Arc::new(AtomicBool::new(false));
    let stream = Prompt::new(stream, BEGINNING_MAX, Arc::clone(&heard));
    let (routes, end) = (port.routes.clone(), CancellationToken::new());
    let connection = Connection {
        other_side,
        held: port.held.clone(),
        end: end.clone(),
    };
    let service = hyper::service::service_fn(move |request| {
        heard.store(true, Ordering::Relaxed);
        routes.clone().call(request, connection.clone(), stop.clone())
    });
    let protocols = protocols(place.is_wide());
    let serving = protocols.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Some(Err(error)) = end.run_until_cancelled(watcher.watch(serving)).await {
        tracing::debug!(error, "a connection ended early");
    }
}

fn protocols(is_wide: bool) -> auto::Builder<TokioExecutor> {
    let window = if is_wide {
        WIDE_WINDOW_BYTES
    } else {
        NARROW_WINDOW_BYTES
    };
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
        .max_send_buf_size(SEND_BYTES_MAX)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER_MAX);
    builder
}

#[cfg(test)]
mod tests;

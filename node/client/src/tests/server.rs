//! A small HTTP server on a port of its own, which hands every request to a closure and remembers it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a server does with a request.
pub(super) enum Reply {
    /// Answers with a status and a JSON body.
    Json(u16, String),
    /// Closes the connection without an answer.
    HangUp,
    /// Never answers.
    Silence,
}

/// A request as a server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: http::HeaderMap,
    pub(super) version: http::Version,
    pub(super) body: String,
}

type Answers = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A running server; it ends when dropped.
pub(super) struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(answers: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, answers).await
    }

    pub(super) async fn start_tls(tls: TlsAcceptor, answers: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(Some(tls), answers).await
    }

    async fn listen(tls: Option<TlsAcceptor>, answers: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answers): (_, Arc<Answers>) = (Arc::clone(&seen), Arc::new(answers));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accept(stream, tls.clone(), Arc::clone(&log), Arc::clone(&answers)));
            }
        });
        Self { url, seen, task }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Every request so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(stream: TcpStream, tls: Option<TlsAcceptor>, log: Arc<Mutex<Vec<Seen>>>, answers: Arc<Answers>) {
    match tls {
        None => serve(stream, log, answers).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, log, answers).await;
            }
        }
    }
}

async fn serve<S>(stream: S, log: Arc<Mutex<Vec<Seen>>>, answers: Arc<Answers>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
        async move {
            let (parts, body) = request.into_parts();
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let path = parts.uri.path_and_query().unwrap();
            let seen = Seen {
                line: format!("{} {path}", parts.method),
                headers: parts.headers,
                version: parts.version,
                body,
            };
            let reply = answers(&seen);
            log.lock().unwrap().push(seen);
            match reply {
                Reply::Json(status, json) => Ok(Response::builder()
                    .status(status)
                    .body(Full::new(Bytes::from(json)))
                    .unwrap()),
                // An error of the service makes hyper close the connection.
                Reply::HangUp => Err("hang up"),
                Reply::Silence => std::future::pending::<Result<_, &str>>().await,
            }
        }
    });
    // Errors are what the tests provoke.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An endpoint where nobody listens.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://localhost:{}", listener.local_addr().unwrap().port())
}

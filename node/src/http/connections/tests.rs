//! Real connections: each protocol, over TLS and in plain text, and the end of a port with a request under way.

use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http::{StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use test_case::test_case;
use tokio::sync::Notify;

use super::*;
use crate::tls::testing::{Authority, Leaf};

/// Says which protocol was spoken, by whom.
async fn echo(Extension(other_side): Extension<OtherSide>, request: Request<Body>) -> String {
    let name = other_side
        .name
        .and_then(|name| name.common_name)
        .unwrap_or_else(|| "nobody".into());
    let version = request.version();
    let size = request
        .into_body()
        .collect()
        .await
        .map_or(0, |body| body.to_bytes().len());
    format!("{version:?} {name} {size}")
}

struct Open {
    address: SocketAddr,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

/// A port with room for everybody.
async fn open(router: Router, tls: Option<ClientTls>) -> Open {
    open_for(CLIENTS_MAX, router, tls).await
}

async fn open_for(max: u32, router: Router, tls: Option<ClientTls>) -> Open {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let port = Port {
        name: "client",
        tls: tls.map(Arc::new),
        routes: Routes::new(router),
        door: Door::new(max),
        held: Held::new(1 << 20, 1 << 20),
    };
    let serving = serve(listener, port, stop.clone());
    Open {
        address,
        stop,
        serving: tokio::spawn(serving),
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Connects, over TLS with this identity where an authority is given.
async fn dial(address: SocketAddr, trust: Option<&Authority>, identity: Option<(String, String)>) -> Box<dyn Duplex> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let Some(authority) = trust else { return Box::new(tcp) };
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Box::new(
        connector
            .connect(ServerName::try_from("localhost").unwrap(), tcp)
            .await
            .unwrap(),
    )
}

/// One request on a connection of its own.
async fn ask(stream: Box<dyn Duplex>, version: Version, path: &str, body: Bytes) -> (StatusCode, String) {
    let request = Request::post(format!("http://localhost{path}"))
        .body(Full::new(body))
        .unwrap();
    let io = TokioIo::new(stream);
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[test_case(Version::HTTP_11, false, "HTTP/1.1 nobody 100000"; "http 1 in plain text")]
#[test_case(Version::HTTP_2, false, "HTTP/2.0 nobody 100000"; "http 2 with prior knowledge")]
#[test_case(Version::HTTP_11, true, "HTTP/1.1 shop 100000"; "http 1 over tls")]
#[test_case(Version::HTTP_2, true, "HTTP/2.0 shop 100000"; "http 2 over tls")]
#[tokio::test]
async fn one_port_speaks_it(version: Version, over_tls: bool, expected: &str) {
    let authority = Authority::new("clients");
    let dir = tempfile::tempdir().unwrap();
    let files = authority.write(dir.path(), "server", Leaf::new("server"));
    let tls = over_tls.then(|| ClientTls::load(files, true).unwrap());
    let port = open(Router::new().route("/", post(echo)), tls).await;
    let stream = match over_tls {
        true => dial(port.address, Some(&authority), Some(authority.sign(Leaf::new("shop")))).await,
        false => dial(port.address, None, None).await,
    };
    let (status, text) = ask(stream, version, "/", vec![b'x'; 100_000].into()).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, expected));
}

#[test_case(Version::HTTP_11; "http 1")]
#[test_case(Version::HTTP_2; "http 2")]
#[tokio::test]
async fn a_stop_lets_a_request_finish_and_takes_no_more(version: Version) {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at_door, released) = (Arc::clone(&arrived), Arc::clone(&go_on));
    let slow = move || async move {
        at_door.notify_one();
        released.notified().await;
        "finished"
    };
    let port = open(Router::new().route("/", post(slow)), None).await;
    let stream = dial(port.address, None, None).await;
    let asking = tokio::spawn(async move { ask(stream, version, "/", Bytes::new()).await });
    arrived.notified().await;
    port.stop.cancel();
    // The port is closed before the request is done.
    while TcpStream::connect(port.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.notify_one();
    assert_eq!(asking.await.unwrap(), (StatusCode::OK, "finished".to_owned()));
    timeout(DRAIN_MAX, port.serving)
        .await
        .expect("nothing is left to wait for")
        .unwrap();
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let port = open(Router::new().route("/", get(|| async { "never" })), None).await;
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut head = b"GET / HTTP/1.1\r\nhost: localhost\r\nlarge: ".to_vec();
    head.resize(HEADER_BYTES_MAX as usize * 2, b'x');
    // The answer may come, and the connection close, before all of it was taken.
    let _ = stream.write_all(&head).await;
    let mut answer = vec![0; 64];
    let read = stream.read(&mut answer).await.unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn routes_change_for_connections_that_are_open() {
    let routes = Routes::new(Router::new().route("/", get(|| async { "before" })));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port {
        name: "client",
        tls: None,
        routes: routes.clone(),
        door: Door::new(CLIENTS_MAX),
        held: Held::new(1 << 20, 1 << 20),
    };
    tokio::spawn(serve(listener, port, CancellationToken::new()));
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for expected in ["before", "after"] {
        let request = Request::get("/").body(Full::new(Bytes::new())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
        routes.replace(Router::new().route("/", get(|| async { "after" })));
    }
}

#[test_case(Version::HTTP_11, false; "http 1 in plain text")]
#[test_case(Version::HTTP_2, false; "http 2 with prior knowledge")]
#[test_case(Version::HTTP_11, true; "http 1 over tls")]
#[test_case(Version::HTTP_2, true; "http 2 over tls")]
#[tokio::test]
async fn whoever_finds_no_place_is_told_so(version: Version, over_tls: bool) {
    let authority = Authority::new("clients");
    let dir = tempfile::tempdir().unwrap();
    let files = authority.write(dir.path(), "server", Leaf::new("server"));
    let tls = over_tls.then(|| ClientTls::load(files, true).unwrap());
    let port = open_for(1, Router::new().route("/", post(echo)), tls).await;
    let dial = async || match over_tls {
        true => dial(port.address, Some(&authority), Some(authority.sign(Leaf::new("shop")))).await,
        false => dial(port.address, None, None).await,
    };
    // Asks nothing, and has the place all the same.
    let first = dial().await;
    let (status, text) = ask(dial().await, version, "/", Bytes::from_static(b"hello")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("\"code\":\"TooManyConnections\""), "{text}");
    drop(first);
    let asked = async {
        // Until the place is free again, and no longer.
        while ask(dial().await, version, "/", Bytes::from_static(b"hello")).await.0 != StatusCode::OK {}
    };
    timeout(DRAIN_MAX, asked).await.expect("a place for the next");
}

#[tokio::test]
async fn a_refusal_waits_for_nobody() {
    use tokio::io::AsyncReadExt as _;
    let port = open_for(1, Router::new(), None).await;
    let _first = TcpStream::connect(port.address).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..REFUSALS_MAX + 1 {
        silent.push(TcpStream::connect(port.address).await.unwrap());
    }
    // The one for whom there was no word sees the end at once; the others when their time is over.
    for mut stream in silent.into_iter().rev() {
        let read = timeout(DRAIN_MAX, stream.read_u8()).await.expect("an end");
        assert!(read.is_err());
    }
}

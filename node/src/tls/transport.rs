//! Connections between members: dial, accept, and one stream type for both, over TLS or plain text.
//!
//! A stream handed out over TLS has been verified to belong to a member of our cluster. Over plain text (tests,
//! loopback) nothing is verified here; the peer protocol itself still compares cluster and member ids.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::{HANDSHAKE_MAX, PeerName, PeerTls};
use crate::raft::peer_counts::PeerCount;

/// How long a peer may leave what was sent to it unacknowledged before the connection counts as broken. Longer than a
/// network takes to come back from a switch-over; a member that is only slow acknowledges all the same, its kernel does.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(5);
/// Idle time after which a peer is asked for a sign of life, and between two such questions.
const PEER_IDLE: Duration = Duration::from_secs(2);
/// Unanswered questions after which the connection counts as broken.
const PEER_PROBES: u32 = 3;

/// How members reach each other.
#[derive(Clone)]
pub enum PeerTransport {
    /// Plain text: tests and loopback.
    Plain,
    /// Mutual TLS.
    Tls(Arc<PeerTls>),
}

/// A connection to another member.
#[derive(Debug)]
pub struct PeerStream {
    inner: Inner,
    peer: Option<PeerName>,
    count: Option<Arc<PeerCount>>,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl PeerTransport {
    /// Dials `host:port`. Over TLS the certificate must carry `host` and the name of a member of our cluster.
    ///
    /// # Errors
    /// Nobody answers there, or not in time, or it is not a member of our cluster.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<PeerStream> {
        let tcp = TcpStream::connect((host, port)).await?;
        prepare(&tcp)?;
        let PeerTransport::Tls(tls) = self else {
            return Ok(PeerStream {
                inner: Inner::Plain(tcp),
                peer: None,
                count: None,
            });
        };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let handshake = timeout(HANDSHAKE_MAX, tls.connector().connect(name, tcp));
        let stream = handshake.await.map_err(|_| late())??;
        let peer = tls.verify_cluster(stream.get_ref().1).map_err(io::Error::other)?;
        Ok(PeerStream {
            inner: Inner::Tls(Box::new(stream.into())),
            peer: Some(peer),
            count: None,
        })
    }

    /// Takes up a connection that another member made.
    ///
    /// # Errors
    /// The handshake fails or takes too long, or the other side is not a member of our cluster.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<PeerStream> {
        prepare(&tcp)?;
        let PeerTransport::Tls(tls) = self else {
            return Ok(PeerStream {
                inner: Inner::Plain(tcp),
                peer: None,
                count: None,
            });
        };
        let stream = timeout(HANDSHAKE_MAX, tls.acceptor().accept(tcp))
            .await
            .map_err(|_| late())??;
        let peer = tls.verify_cluster(stream.get_ref().1).map_err(io::Error::other)?;
        Ok(PeerStream {
            inner: Inner::Tls(Box::new(stream.into())),
            peer: Some(peer),
            count: None,
        })
    }
}

/// A peer may vanish without a word: its machine loses power, or its pod's address goes to nobody. Without these, the
/// system waits a quarter of an hour for what it has sent to be taken, and for ever for what it waits to hear.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new()
        .with_time(PEER_IDLE)
        .with_interval(PEER_IDLE)
        .with_retries(PEER_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(PEER_SILENCE_MAX))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")
}

impl PeerStream {
    /// The same stream, whose bytes are counted from now on.
    #[must_use]
    pub fn counted(self, count: Arc<PeerCount>) -> Self {
        Self {
            count: Some(count),
            ..self
        }
    }

    /// The member whose certificate was verified; `None` over plain text.
    #[must_use]
    pub fn peer(&self) -> Option<&PeerName> {
        self.peer.as_ref()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut this.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Some(count) = &this.count {
            let read = buf.filled().len() - before;
            count.received_bytes.fetch_add(read as u64, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        if let (Some(count), Poll::Ready(Ok(written))) = (&this.count, &polled) {
            count.sent_bytes.fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

//! Connections between members: dial, accept, and one stream type for both, over TLS or plain text.
//!
//! A stream handed out over TLS has been verified to belong to a member of our cluster. Over plain text (tests,
//! loopback) nothing is verified here; the peer protocol itself still compares cluster and member ids.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::{HANDSHAKE_MAX, PeerName, PeerTls};
use crate::net::{self, TcpStream};
use crate::raft::peer_counts::PeerCount;

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
        net::prepare(&tcp)?;
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
        net::prepare(&tcp)?;
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

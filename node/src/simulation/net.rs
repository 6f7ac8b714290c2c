//! Connections of simulated members: turmoil's, and a way to break them.
//!
//! turmoil drops what is sent over a cut link and never sends it again, so that a connection would wait for ever for what
//! is missing. Real ones are broken by the system when nothing is acknowledged for some seconds (`net::system`);
//! [`break_between`] does that here.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpSocket;
use tokio::time::sleep;

use super::delay;
use crate::http::connections::Accept;

/// Open connections by their two ends, the lower address first.
type Wires = BTreeMap<(IpAddr, IpAddr), Vec<Weak<Wire>>>;

static WIRES: Mutex<Wires> = Mutex::new(BTreeMap::new());

/// A refusal is on its way for less than this, in milliseconds: turmoil's takes no time, and who dials again at once would
/// never end.
const REFUSED_MS: u64 = 5;

/// One end of a connection.
#[derive(Debug, Default)]
struct Wire {
    broken: AtomicBool,
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
}

/// Breaks every connection between two members; how many ends there were.
pub fn break_between(one: IpAddr, other: IpAddr) -> usize {
    let mut wires = WIRES.lock().unwrap_or_else(PoisonError::into_inner);
    let broken = wires.remove(&ends(one, other)).unwrap_or_default();
    drop(wires);
    let broken: Vec<Arc<Wire>> = broken.iter().filter_map(Weak::upgrade).collect();
    for wire in &broken {
        wire.broken.store(true, Relaxed);
        for side in [&wire.reader, &wire.writer] {
            let waker = side.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
    broken.len()
}

fn ends(one: IpAddr, other: IpAddr) -> (IpAddr, IpAddr) {
    (one.min(other), one.max(other))
}

impl Wire {
    fn check(&self, side: &Mutex<Option<Waker>>, context: &Context<'_>) -> io::Result<()> {
        if self.broken.load(Relaxed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        *side.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        Ok(())
    }
}

/// A connection.
#[derive(Debug)]
pub struct TcpStream {
    inner: turmoil::net::TcpStream,
    wire: Arc<Wire>,
}

impl TcpStream {
    fn new(inner: turmoil::net::TcpStream) -> io::Result<Self> {
        let wire = Arc::new(Wire::default());
        let between = ends(inner.local_addr()?.ip(), inner.peer_addr()?.ip());
        let mut wires = WIRES.lock().unwrap_or_else(PoisonError::into_inner);
        let wires = wires.entry(between).or_default();
        wires.retain(|wire| wire.strong_count() > 0);
        wires.push(Arc::downgrade(&wire));
        Ok(Self { inner, wire })
    }

    /// Connects to a host and port.
    ///
    /// # Errors
    /// Nobody listens there, or the link is cut.
    pub async fn connect(to: (&str, u16)) -> io::Result<Self> {
        match turmoil::net::TcpStream::connect(to).await {
            Ok(stream) => Self::new(stream),
            Err(error) => {
                sleep(Duration::from_millis(1) + delay(REFUSED_MS)).await;
                Err(error)
            }
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wire.check(&self.wire.reader, context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.check(&self.wire.writer, context)?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Accepts connections.
pub struct TcpListener(turmoil::net::TcpListener);

impl TcpListener {
    /// Listens at a port of this member.
    ///
    /// # Errors
    /// Somebody does already.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let all = (std::net::Ipv4Addr::UNSPECIFIED, port);
        Ok(Self(turmoil::net::TcpListener::bind(all).await?))
    }
}

impl Accept for TcpListener {
    type Connection = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = self.0.accept().await?;
        Ok((TcpStream::new(stream)?, from))
    }
}

/// Real sockets are not served by a member that is made for the simulation.
///
/// # Errors
/// Always.
pub fn listen(_socket: TcpSocket) -> io::Result<TcpListener> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this program was built for the simulation",
    ))
}

/// There is nothing to ask of a simulated connection.
///
/// # Errors
/// Never; as the system's.
pub fn prepare(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

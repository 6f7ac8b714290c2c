//! The system's network, and what connections between members ask of it.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpSocket;

pub use tokio::net::{TcpListener, TcpStream};

/// How long a peer may leave what was sent to it unacknowledged before the connection counts as broken. Longer than a
/// network takes to come back from a switch-over; a member that is only slow acknowledges all the same, its kernel does.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(5);
/// Idle time after which a peer is asked for a sign of life, and between two such questions.
const PEER_IDLE: Duration = Duration::from_secs(2);
/// Unanswered questions after which the connection counts as broken.
const PEER_PROBES: u32 = 3;

/// A peer may vanish without a word: its machine loses power, or its pod's address goes to nobody. Without these, the
/// system waits a quarter of an hour for what it has sent to be taken, and for ever for what it waits to hear.
///
/// # Errors
/// The system refused.
pub fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new()
        .with_time(PEER_IDLE)
        .with_interval(PEER_IDLE)
        .with_retries(PEER_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(PEER_SILENCE_MAX))
}

/// Begins to listen for other members.
///
/// # Errors
/// The system refused.
pub fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    crate::server::ports::listen(socket)
}

//! Taking connections from a listening socket, also when no file descriptors are left.
//!
//! The system keeps a connection that cannot be accepted in its queue, where the client waits without a word. One spare
//! descriptor is therefore kept: given up for a moment, it lets the connection be accepted and closed, which the client
//! sees at once.
//!
//! Must keep true: whatever the system answers, this neither ends nor turns round without a pause or a connection.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt as _;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::seldom::Seldom;

/// Pause after an error of the system that the next try would meet again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections are taken of.
pub trait Accept {
    /// A connection.
    type Connection;

    /// Waits for the next and says from where it comes.
    ///
    /// # Errors
    /// What the system says.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Connection, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    type Connection = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// A socket that listens.
pub struct Listening<L> {
    listener: L,
    /// What is behind it, for the log.
    port: &'static str,
    spare: Option<File>,
    said: Seldom,
}

/// Who came.
pub enum Arrival<C> {
    /// A connection.
    Connection(C, SocketAddr),
    /// Somebody who was turned away for want of descriptors.
    TurnedAway,
}

impl<L: Accept> Listening<L> {
    /// Takes connections of this socket; `port` names it in the log.
    pub fn new(listener: L, port: &'static str) -> Self {
        Self {
            listener,
            port,
            spare: spare(),
            said: Seldom::default(),
        }
    }

    /// Waits for the next. May be dropped and asked again: nobody is lost.
    pub async fn next(&mut self) -> Arrival<L::Connection> {
        loop {
            match self.listener.accept().await {
                Ok((tcp, from)) => return Arrival::Connection(tcp, from),
                Err(error) if is_out_of_descriptors(&error) => {
                    if self.said.is_due() {
                        tracing::error!(
                            "no file descriptors are left: connections to the {} port are closed at once. Raise the limit \
                             (ulimit -n, LimitNOFILE=) or lower --max-connections",
                            self.port
                        );
                    }
                    if self.turn_away() {
                        return Arrival::TurnedAway;
                    }
                }
                Err(error) if self.said.is_due() => {
                    tracing::warn!(%error, "a connection to the {} port could not be accepted", self.port);
                }
                Err(_) => {}
            }
            sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Accepts one with the spare descriptor and closes it; false when that did not work.
    fn turn_away(&mut self) -> bool {
        if self.spare.take().is_none() {
            self.spare = spare();
            return false;
        }
        let is_away = matches!(self.listener.accept().now_or_never(), Some(Ok(_)));
        self.spare = spare();
        is_away
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Neither this process nor, if so, the machine has any left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

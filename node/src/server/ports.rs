//! The sockets: all bound before anything else happens, so that an address in use is found at once.

use std::io;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::{Config, Listen};

/// Connections that the system keeps for us until they are accepted.
const BACKLOG: u32 = 1024;

/// The three ports.
pub struct Ports {
    /// For clients; they listen already.
    pub client: Vec<TcpListener>,
    /// For other members: bound, but refusing connections until there is a member to talk to.
    pub peer: Vec<TcpSocket>,
    /// For probes and metrics; they listen already.
    pub metrics: Vec<TcpListener>,
}

impl Ports {
    /// Binds everything the configuration names.
    ///
    /// # Errors
    /// An address is in use or not ours; the text names it.
    pub fn bind(config: &Config) -> anyhow::Result<Ports> {
        let listening = |all: &[Listen]| -> anyhow::Result<Vec<TcpListener>> {
            all.iter().map(|one| Ok(listen(bind(*one)?)?)).collect()
        };
        Ok(Ports {
            client: listening(&config.listen_client).context("--listen-client-urls")?,
            peer: config
                .listen_peer
                .iter()
                .map(|listen| bind(*listen))
                .collect::<anyhow::Result<_>>()
                .context("--listen-peer-urls")?,
            metrics: listening(&config.listen_metrics).context("--listen-metrics-urls")?,
        })
    }
}

/// Begins to listen.
///
/// # Errors
/// The system refused.
pub fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

fn bind(listen: Listen) -> anyhow::Result<TcpSocket> {
    let bound = || -> io::Result<TcpSocket> {
        let socket = if listen.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A restarted member takes its port back at once, whatever connections of the old process still linger.
        socket.set_reuseaddr(true)?;
        socket.bind(listen.address)?;
        Ok(socket)
    };
    bound().with_context(|| format!("cannot listen on {}", listen.address))
}

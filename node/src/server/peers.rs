//! Connections from other members.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::connections::{Arrival, Listening};
use crate::net::{TcpListener, TcpStream};
use crate::seldom::Seldom;
use crate::service::Service;
use crate::tls::PeerTransport;

/// Most connections from other members at once: a handful per member, with room for those that reconnect.
pub const CONNECTIONS_MAX: usize = 256;

/// Serves other members until `stop`, then drops their connections.
pub async fn serve(listener: TcpListener, transport: Arc<PeerTransport>, service: Service, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (complaints, said) = (Arc::new(Complaints::default()), Seldom::default());
    let mut listening = Listening::new(listener, "peer");
    let mut open = JoinSet::new();
    let accepting = async {
        loop {
            let Arrival::Connection(tcp, from) = listening.next().await else {
                continue;
            };
            while open.try_join_next().is_some() {}
            // Closed at once, it is tried again; left in the system's queue, a member would wait for a silent stranger.
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                if said.is_due() {
                    tracing::warn!("{CONNECTIONS_MAX} connections to the peer port are open: further ones are closed");
                }
                continue;
            };
            let (transport, service, complaints) = (Arc::clone(&transport), service.clone(), Arc::clone(&complaints));
            open.spawn(async move {
                connection(tcp, from, &transport, &service, &complaints).await;
                drop(slot);
            });
        }
    };
    stop.run_until_cancelled(accepting).await;
    open.shutdown().await;
}

async fn connection(
    tcp: TcpStream,
    from: SocketAddr,
    transport: &PeerTransport,
    service: &Service,
    complaints: &Complaints,
) {
    match transport.accept(tcp).await {
        Ok(stream) => match service.serve_peer(stream).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => complaints.about(from, &error),
            Err(error) => tracing::debug!(%from, %error, "a member's connection ended"),
        },
        Err(error) => complaints.about(from, &error),
    }
}

/// Says once what is wrong with those who try again and again.
#[derive(Default)]
struct Complaints(Mutex<Option<String>>);

impl Complaints {
    fn about(&self, from: SocketAddr, error: &std::io::Error) {
        let text = format!("{}: {error}", from.ip());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&text) {
            tracing::warn!("refused a connection to the peer port from {text}");
            *last = Some(text);
        }
    }
}

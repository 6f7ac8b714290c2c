//! Connections from other members.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::service::Service;
use crate::tls::PeerTransport;

/// Most connections from other members at once: a handful per member, with room for those that reconnect.
pub const CONNECTIONS_MAX: usize = 256;
/// Pause after the system refused a connection; see `http::connections`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves other members until `stop`, then drops their connections.
pub async fn serve(listener: TcpListener, transport: Arc<PeerTransport>, service: Service, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let complaints = Arc::new(Complaints::default());
    let mut open = JoinSet::new();
    let accepting = async {
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes it");
            match listener.accept().await {
                Ok((tcp, from)) => {
                    let (transport, service, complaints) =
                        (Arc::clone(&transport), service.clone(), Arc::clone(&complaints));
                    open.spawn(async move {
                        connection(tcp, from, &transport, &service, &complaints).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a member's connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while open.try_join_next().is_some() {}
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

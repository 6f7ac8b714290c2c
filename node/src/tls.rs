//! TLS of the two ports: who may speak, and certificates that change on disk while we run.
//!
//! What must stay true:
//! 1. A new certificate takes effect for every connection accepted or dialled after it was read; no restart.
//! 2. A set of files is used as a whole or not at all: it is parsed, and key and certificate are checked to belong
//!    together, before it replaces the one in use. On any error the old one stays, and log and metrics say so.
//! 3. On the peer port both sides show a certificate of the peer CA that names our cluster; a certificate of the client
//!    CA, or of another cluster, gets nothing.
//! 4. A session is never resumed across a change of CA, because every configuration has its own session store.
//!
//! Change is found by content (`reload`), never by modification time: a mounted Secret swaps a symbolic link.
//!
//! Caveat: connections that are open keep the certificate they were made with until they end.

pub mod client_port;
pub mod material;
pub mod names;
pub mod peer_port;
pub mod reload;
pub mod transport;

#[cfg(test)]
pub mod testing;

use std::sync::Arc;
use std::time::Duration;

use kvorum_api::admin::Certificate;

use crate::config::Config;

pub use client_port::ClientTls;
pub use material::TlsError;
pub use names::{CallerName, PeerName};
pub use peer_port::PeerTls;
pub use transport::{PeerStream, PeerTransport};

/// Longest time a TLS handshake may take, so that silent connections cannot pile up.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The certificates of both ports; `None` where a port speaks plain text.
#[derive(Clone, Default)]
pub struct Tls {
    /// The client port's.
    pub client: Option<Arc<ClientTls>>,
    /// The peer port's.
    pub peer: Option<Arc<PeerTls>>,
}

/// Makes ring the provider of all cryptography. Must be the first thing `main` does.
///
/// # Panics
/// Another provider was installed before, which is a mistake in this program.
pub fn install_provider() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing before this installs a provider");
}

impl Tls {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// A file cannot be read or used. An expired certificate is no error: it may be replaced while we run.
    pub fn load(config: &Config) -> Result<Tls, TlsError> {
        let client = match &config.client_tls {
            Some(files) => Some(Arc::new(ClientTls::load(files.clone(), config.client_cert_auth)?)),
            None => None,
        };
        let peer = match &config.peer_tls {
            Some(files) => Some(Arc::new(PeerTls::load(files.clone())?)),
            None => None,
        };
        Ok(Tls { client, peer })
    }

    /// Everything in use, for admin status and metrics.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        let client = self.client.iter().flat_map(|client| client.certificates());
        client
            .chain(self.peer.iter().flat_map(|peer| peer.certificates()))
            .collect()
    }
}

#[cfg(test)]
mod tests;

//! The peer port's TLS: both sides show a certificate of the peer CA that names our cluster.
//!
//! The chain, the dates and, on dialling, the host name are checked by the TLS library during the handshake. Whose
//! cluster it is, is checked right after it and before the first byte is read (`transport`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use kvorum_api::Id;
use kvorum_api::admin::{Certificate, CertificateKind};
use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, CommonState, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::material::{Bytes, Kinds, Material, TlsError};
use super::names::{CallerName, OPERATOR, PeerName};
use crate::config::TlsFiles;

const KINDS: Kinds = Kinds {
    leaf: CertificateKind::Peer,
    ca: CertificateKind::PeerCa,
};

/// The peer port's certificates, as they are on disk now or were when they last made sense.
pub struct PeerTls {
    files: TlsFiles,
    /// Set once this process runs as a member: from then on a certificate for somebody else is not taken up.
    pinned: AtomicBool,
    current: ArcSwap<Current>,
}

struct Current {
    own_name: PeerName,
    hash: [u8; 32],
    certificates: Vec<Certificate>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Why the other side of a verified connection is not one of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAPeer {
    /// It showed no certificate; the handshake should have refused it.
    #[error("the other side showed no certificate")]
    NoCertificate,
    /// Its certificate carries no name of ours.
    #[error("the other side's certificate carries no kvorum:// name of a member")]
    NoName,
    /// It belongs elsewhere.
    #[error("the other side is {name}, but this is cluster {expected}")]
    OtherCluster {
        /// Who it is.
        name: PeerName,
        /// Our cluster.
        expected: Id,
    },
}

impl PeerTls {
    /// Loads the files.
    ///
    /// # Errors
    /// They cannot be read or used together, or the certificate does not say which member of which cluster it is for.
    pub fn load(files: TlsFiles) -> Result<PeerTls, TlsError> {
        let material = Bytes::read(&files)?.parse(&files, KINDS)?;
        let current = ArcSwap::from_pointee(build(&files, material)?);
        Ok(PeerTls {
            files,
            pinned: AtomicBool::new(false),
            current,
        })
    }

    /// Reads the files again; `true` when they had changed and are now in use.
    ///
    /// # Errors
    /// They changed but cannot be used, or are for another member while this one runs; the old ones stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let bytes = Bytes::read(&self.files)?;
        if bytes.hash() == self.current.load().hash {
            return Ok(false);
        }
        let new = build(&self.files, bytes.parse(&self.files, KINDS)?)?;
        let own_name = self.own_name();
        if self.pinned.load(Ordering::Acquire) && new.own_name != own_name {
            return Err(TlsError::WrongName {
                path: self.files.cert.clone(),
                what: format!("the new certificate is for {}, but this is {own_name}", new.own_name),
            });
        }
        self.current.store(Arc::new(new));
        Ok(true)
    }

    /// From here on this process is who its certificate says, and stays so.
    pub fn pin(&self) {
        self.pinned.store(true, Ordering::Release);
    }

    /// Accepts members with the certificates of this moment.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().server))
    }

    /// Dials members with the certificates of this moment.
    #[must_use]
    pub fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.current.load().client))
    }

    /// Who the other side is, if it is a member of our cluster.
    ///
    /// # Errors
    /// It is not.
    pub fn verify_cluster(&self, connection: &CommonState) -> Result<PeerName, NotAPeer> {
        let leaf = connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or(NotAPeer::NoCertificate)?;
        let expected = self.current.load().own_name.cluster_id;
        let mut names = CallerName::of(leaf).names;
        if let Some(at) = names
            .iter()
            .position(|name| name.cluster_id == expected && name.name != OPERATOR)
        {
            return Ok(names.swap_remove(at));
        }
        match names.into_iter().find(|name| name.cluster_id != expected) {
            Some(name) => Err(NotAPeer::OtherCluster { name, expected }),
            None => Err(NotAPeer::NoName),
        }
    }

    /// Who our own certificate says we are.
    #[must_use]
    pub fn own_name(&self) -> PeerName {
        self.current.load().own_name.clone()
    }

    /// What is in use.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.current.load().certificates.clone()
    }
}

fn own_name(files: &TlsFiles, material: &Material) -> Result<PeerName, TlsError> {
    let names = CallerName::of(&material.chain[0]).names;
    names
        .into_iter()
        .find(|name| name.name != OPERATOR)
        .ok_or_else(|| TlsError::WrongName {
            path: files.cert.clone(),
            what: "carries no URI name kvorum://<cluster id>/<member name>".into(),
        })
}

fn build(files: &TlsFiles, material: Material) -> Result<Current, TlsError> {
    let own_name = own_name(files, &material)?;
    let Material {
        hash,
        chain,
        key,
        roots,
        certificates,
    } = material;
    let ca_path = files.ca.as_ref().expect("the configuration demands a peer CA");
    let roots = roots.expect("a CA file was named, so it was read");
    let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots))
        .build()
        .map_err(|source| TlsError::UnusableCa {
            path: ca_path.clone(),
            source,
        })?;
    let unusable = |source| TlsError::Unusable {
        path: files.cert.clone(),
        source,
    };
    let mut server = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(unusable)?;
    // Peers connect rarely and must be checked against the present CA each time: no resumption on either side.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(unusable)?;
    client.resumption = Resumption::disabled();
    Ok(Current {
        own_name,
        hash,
        certificates,
        server: Arc::new(server),
        client: Arc::new(client),
    })
}

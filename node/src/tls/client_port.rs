//! The client port's TLS: certificates of clients are asked for, and demanded where `--client-cert-auth` says so.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kvorum_api::admin::{Certificate, CertificateKind};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio_rustls::TlsAcceptor;

use super::material::{Bytes, Kinds, Material, TlsError};
use crate::config::TlsFiles;

const KINDS: Kinds = Kinds {
    leaf: CertificateKind::Server,
    ca: CertificateKind::ClientCa,
};

/// The client port's certificates, as they are on disk now or were when they last made sense.
pub struct ClientTls {
    files: TlsFiles,
    demand_certificate: bool,
    current: ArcSwap<Current>,
}

struct Current {
    hash: [u8; 32],
    certificates: Vec<Certificate>,
    server: Arc<ServerConfig>,
}

impl ClientTls {
    /// Loads the files.
    ///
    /// # Errors
    /// They cannot be read or used together.
    pub fn load(files: TlsFiles, demand_certificate: bool) -> Result<ClientTls, TlsError> {
        let material = Bytes::read(&files)?.parse(&files, KINDS)?;
        let current = ArcSwap::from_pointee(build(&files, material, demand_certificate)?);
        Ok(ClientTls {
            files,
            demand_certificate,
            current,
        })
    }

    /// Reads the files again; `true` when they had changed and are now in use.
    ///
    /// # Errors
    /// They changed but cannot be used; the old ones stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let bytes = Bytes::read(&self.files)?;
        if bytes.hash() == self.current.load().hash {
            return Ok(false);
        }
        let material = bytes.parse(&self.files, KINDS)?;
        self.current
            .store(Arc::new(build(&self.files, material, self.demand_certificate)?));
        Ok(true)
    }

    /// Accepts connections with the certificates of this moment.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().server))
    }

    /// What is in use.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.current.load().certificates.clone()
    }
}

fn build(files: &TlsFiles, material: Material, demand_certificate: bool) -> Result<Current, TlsError> {
    let Material {
        hash,
        chain,
        key,
        roots,
        certificates,
    } = material;
    let builder = match (roots, &files.ca) {
        (Some(roots), Some(path)) => {
            let verifier = WebPkiClientVerifier::builder(roots);
            let verifier = if demand_certificate {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier: Arc<dyn ClientCertVerifier> = verifier.build().map_err(|source| TlsError::UnusableCa {
                path: path.clone(),
                source,
            })?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
        _ => ServerConfig::builder().with_no_client_auth(),
    };
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Unusable {
            path: files.cert.clone(),
            source,
        })?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Current {
        hash,
        certificates,
        server: Arc::new(server),
    })
}

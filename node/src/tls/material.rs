//! One port's certificate files, read and understood: chain, key, CA, and what to report about them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kvorum_api::admin::{Certificate, CertificateKind};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::TlsFiles;

/// Most bytes of one file: a bundle of hundreds of certificates. Anything larger is a mistake in the mount.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a port's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {what}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The files do not work together: the key is not the certificate's, or a CA is unusable.
    #[error("{path} cannot be used")]
    Unusable {
        /// The certificate file.
        path: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The CA file cannot verify anybody.
    #[error("{path} cannot verify certificates")]
    UnusableCa {
        /// The CA file.
        path: PathBuf,
        /// What the TLS library said.
        source: rustls::server::VerifierBuilderError,
    },
    /// The peer certificate does not say whose it is, or says something new.
    #[error("{path}: {what}")]
    WrongName {
        /// The certificate file.
        path: PathBuf,
        /// What it says.
        what: String,
    },
}

/// One port's files, parsed. Nothing here was checked against a clock.
pub struct Material {
    /// SHA-256 over all files: the same hash means the same certificates.
    pub hash: [u8; 32],
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// The CA certificates, where the port has a CA.
    pub roots: Option<Arc<RootCertStore>>,
    /// What admin status and metrics report: the leaf, then each CA certificate.
    pub certificates: Vec<Certificate>,
}

/// Which kinds a port's files are reported as.
#[derive(Clone, Copy)]
pub struct Kinds {
    /// The leaf.
    pub leaf: CertificateKind,
    /// Each certificate of the CA file.
    pub ca: CertificateKind,
}

/// The files' bytes: read once, so that hash and content cannot disagree.
pub struct Bytes {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Option<Vec<u8>>,
}

impl Bytes {
    /// Reads all files of a port.
    ///
    /// # Errors
    /// One cannot be read or is larger than [`FILE_BYTES_MAX`].
    pub fn read(files: &TlsFiles) -> Result<Bytes, TlsError> {
        Ok(Bytes {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
            ca: files.ca.as_deref().map(read).transpose()?,
        })
    }

    /// Changes exactly when a file's content does.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [Some(&self.cert), Some(&self.key), self.ca.as_ref()]
            .into_iter()
            .flatten()
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// Parses the files.
    ///
    /// # Errors
    /// A file holds no certificate or key, or one that cannot be parsed.
    pub fn parse(&self, files: &TlsFiles, kinds: Kinds) -> Result<Material, TlsError> {
        let chain = certificates(&files.cert, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| malformed(&files.key, format!("no usable private key: {error}")))?;
        let mut reported = vec![describe(&files.cert, kinds.leaf, &chain[0])?];
        let mut roots = None;
        if let (Some(path), Some(bytes)) = (&files.ca, &self.ca) {
            let mut store = RootCertStore::empty();
            for ca in certificates(path, bytes)? {
                reported.push(describe(path, kinds.ca, &ca)?);
                store.add(ca).map_err(|source| TlsError::Unusable {
                    path: path.clone(),
                    source,
                })?;
            }
            roots = Some(Arc::new(store));
        }
        Ok(Material {
            hash: self.hash(),
            chain,
            key,
            roots,
            certificates: reported,
        })
    }
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, TlsError> {
    let path = path.as_ref();
    let unreadable = |source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(malformed(
            path,
            format!("{size} bytes are too many for certificates: at most {FILE_BYTES_MAX}"),
        ));
    }
    std::fs::read(path).map_err(unreadable)
}

/// At least one certificate.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = parsed.map_err(|error| malformed(path, format!("not PEM: {error}")))?;
    if found.is_empty() {
        return Err(malformed(path, "holds no certificate".into()));
    }
    Ok(found)
}

fn describe(path: &Path, kind: CertificateKind, der: &CertificateDer<'_>) -> Result<Certificate, TlsError> {
    let (_, parsed) = X509Certificate::from_der(der)
        .map_err(|error| malformed(path, format!("not an X.509 certificate: {error}")))?;
    let not_after = OffsetDateTime::from_unix_timestamp(parsed.validity().not_after.timestamp())
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .ok_or_else(|| malformed(path, "the end of its validity is not a date".into()))?;
    Ok(Certificate {
        kind,
        fingerprint: hex::encode(Sha256::digest(der)),
        not_after,
    })
}

fn malformed(path: &Path, what: String) -> TlsError {
    TlsError::Malformed {
        path: path.to_owned(),
        what,
    }
}

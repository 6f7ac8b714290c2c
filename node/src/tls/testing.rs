//! Certificates for tests: real authorities and leaves, written as the files that the configuration names.

use std::fs;
use std::path::{Path, PathBuf};

use kvorum_api::Id;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::config::TlsFiles;

/// The cluster that the tests belong to.
pub const CLUSTER: u64 = 0xc1;

/// [`CLUSTER`] as an id.
pub fn cluster() -> Id {
    Id::new(CLUSTER).unwrap()
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A leaf about to be signed.
pub struct Leaf {
    params: CertificateParams,
}

/// Installs the provider once for all tests of the process.
pub fn provider() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(super::install_provider);
}

impl Authority {
    /// A new authority; two calls give two that do not trust each other.
    pub fn new(name: &str) -> Authority {
        provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's certificate (PEM).
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs `leaf`: certificate and key (PEM).
    pub fn sign(&self, leaf: Leaf) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Signs `leaf` and writes `<stem>.crt`, `<stem>.key` and this authority as `<stem>-ca.crt`.
    pub fn write(&self, dir: &Path, stem: &str, leaf: Leaf) -> TlsFiles {
        let (certificate, key) = self.sign(leaf);
        let path = |end: &str| -> PathBuf { dir.join(format!("{stem}{end}")) };
        let files = TlsFiles {
            cert: path(".crt"),
            key: path(".key"),
            ca: Some(path("-ca.crt")),
        };
        fs::write(&files.cert, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        fs::write(path("-ca.crt"), self.pem()).unwrap();
        files
    }
}

impl Leaf {
    /// A leaf for localhost with this common name.
    pub fn new(common_name: &str) -> Leaf {
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Leaf { params }
    }

    /// A leaf of `name` in the cluster `cluster`.
    pub fn named(cluster: u64, name: &str) -> Leaf {
        Leaf::new(name).with_uri(&format!("kvorum://{cluster:016x}/{name}"))
    }

    /// With one more URI name.
    pub fn with_uri(mut self, uri: &str) -> Leaf {
        self.params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().unwrap()));
        self
    }

    /// Expired since yesterday.
    pub fn expired(mut self) -> Leaf {
        self.params.not_before = OffsetDateTime::now_utc() - Duration::days(2);
        self.params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
        self
    }
}

//! TLS with certificates made for the test: trust, client certificates, HTTP/2.

use std::sync::Arc;

use super::server::{Reply, Server};
use crate::{Client, Config, ConfigError, Error, Tls};
use kvorum_api::etcdserverpb::RangeRequest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// Certificate and key for a name.
    fn leaf(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    /// A server of this authority for `localhost` that demands a client certificate of the same authority.
    async fn server(&self) -> Server {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.pem()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let (certificate, key) = self.leaf("localhost");
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(&certificate).unwrap()],
                PrivateKeyDer::from_pem_slice(&key).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Server::start_tls(TlsAcceptor::from(Arc::new(config)), |_| Reply::Json(200, "{}".into())).await
    }
}

async fn ask(server: &Server, ca_pem: Vec<u8>, identity: Option<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
    let config = Config {
        tls: Some(Tls { ca_pem, identity }),
        ..Config::plaintext([server.url()])
    };
    Client::new(config)
        .unwrap()
        .range(&RangeRequest::default())
        .await
        .map(|_| ())
}

#[tokio::test]
async fn both_sides_are_checked() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let server = ours.server().await;

    ask(&server, ours.pem(), Some(ours.leaf("client"))).await.unwrap();
    assert_eq!(server.seen()[0].version, http::Version::HTTP_2);

    let error = ask(&server, foreign.pem(), Some(ours.leaf("client")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. }) && error.chain().contains("invalid peer certificate"),
        "{}",
        error.chain()
    );

    let error = ask(&server, ours.pem(), None).await.unwrap_err();
    assert!(error.chain().contains("CertificateRequired"), "{}", error.chain());

    ask(&server, ours.pem(), Some(foreign.leaf("client")))
        .await
        .unwrap_err();
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn material_is_checked_at_once() {
    let authority = Authority::new();
    let make = |ca_pem: Vec<u8>, identity| {
        Client::new(Config {
            tls: Some(Tls { ca_pem, identity }),
            ..Config::plaintext(["localhost:1"])
        })
        .map(|_| ())
    };
    assert!(make(authority.pem(), Some(authority.leaf("client"))).is_ok());
    assert!(matches!(make(b"rubbish".to_vec(), None), Err(ConfigError::Ca(_))));
    let (certificate, _) = authority.leaf("client");
    assert!(matches!(
        make(authority.pem(), Some((certificate.clone(), Vec::new()))),
        Err(ConfigError::Identity(_))
    ));
    let (_, other_key) = authority.leaf("client");
    assert!(matches!(
        make(authority.pem(), Some((certificate, other_key))),
        Err(ConfigError::Tls(_))
    ));
}

#[test]
fn an_encrypted_endpoint_needs_an_authority() {
    let made = Client::new(Config::plaintext(["https://localhost:1"]));
    assert!(matches!(made, Err(ConfigError::CaMissing { .. })));
    assert!(matches!(Client::new(Config::default()), Err(ConfigError::NoEndpoint)));
}

#[test]
fn keys_and_tokens_do_not_reach_logs() {
    let tls = Tls {
        ca_pem: Vec::new(),
        identity: Some((b"cert".to_vec(), b"KEY".to_vec())),
    };
    assert_eq!(format!("{tls:?}"), "Tls { identity: true, .. }");
    let config = Config {
        token: Some("secret".into()),
        ..Config::plaintext(["localhost:1"])
    };
    assert!(!format!("{:?}", Client::new(config).unwrap()).contains("secret"));
}

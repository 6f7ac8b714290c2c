//! From PEM to the TLS settings of a connection. Ring is named as the provider, so that no global default is needed.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{ConfigError, Tls};

/// The TLS settings; without material nobody is trusted, so that an `https` endpoint can only fail.
pub(crate) fn settings(tls: Option<&Tls>) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConfigError::Tls)?;
    let Some(Tls { ca_pem, identity }) = tls else {
        return Ok(builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth());
    };
    let builder = builder.with_root_certificates(roots(ca_pem)?);
    let Some((certificate, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate).map_err(ConfigError::Identity)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(ConfigError::Identity)?;
    builder.with_client_auth_cert(chain, key).map_err(ConfigError::Tls)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(ConfigError::Ca)? {
        roots.add(certificate).map_err(ConfigError::Tls)?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if chain.is_empty() {
        Err(rustls_pki_types::pem::Error::NoItemsFound)
    } else {
        Ok(chain)
    }
}

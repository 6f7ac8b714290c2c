//! What a client needs to know, checked once.

use std::time::Duration;

use crate::Endpoint;

/// Time for one call, all attempts together, unless the caller says otherwise; etcdctl's default too.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses like `https://host:2379`. Without a scheme it is `https` when `tls` is given and `http` otherwise.
    pub endpoints: Vec<String>,
    /// Certificates; required for `https`.
    pub tls: Option<Tls>,
    /// Time for one call, all attempts together.
    pub timeout: Duration,
    /// Value of the `Authorization` header, for a cluster with authentication switched on.
    pub token: Option<String>,
}

/// TLS material in PEM.
#[derive(Clone)]
pub struct Tls {
    /// Certificates of the authorities that the servers' certificates must come from.
    pub ca_pem: Vec<u8>,
    /// Own certificate chain and private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    // Not derived: a private key must never reach a log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a configuration makes no client.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is nothing to connect to.
    #[error("no endpoint is given")]
    NoEndpoint,
    /// An endpoint does not parse.
    #[error("endpoint {endpoint:?} is not like https://host:2379")]
    Endpoint {
        /// The text given.
        endpoint: String,
    },
    /// An `https` endpoint without TLS material.
    #[error("endpoint {endpoint} uses https, which needs the certificate of the cluster's authority")]
    CaMissing {
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// PEM of the authority does not parse.
    #[error("the authority's certificate does not parse")]
    Ca(#[source] rustls_pki_types::pem::Error),
    /// PEM of the own certificate or key does not parse.
    #[error("the client's certificate or key does not parse")]
    Identity(#[source] rustls_pki_types::pem::Error),
    /// Certificate and key are refused by the TLS library, for instance because they do not belong together.
    #[error("the TLS material is refused")]
    Tls(#[source] rustls::Error),
    /// The token cannot be a header.
    #[error("the token holds characters that no header may have")]
    Token,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            tls: None,
            timeout: TIMEOUT_DEFAULT,
            token: None,
        }
    }
}

impl Config {
    /// A configuration for these endpoints, without TLS.
    pub fn plaintext<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn parsed_endpoints(&self) -> Result<Vec<Endpoint>, ConfigError> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoints: Vec<Endpoint> = self
            .endpoints
            .iter()
            .map(|text| Endpoint::parse(text, scheme))
            .collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        match endpoints.iter().find(|endpoint| endpoint.is_https()) {
            Some(endpoint) if self.tls.is_none() => Err(ConfigError::CaMissing {
                endpoint: endpoint.clone(),
            }),
            _ => Ok(endpoints),
        }
    }
}

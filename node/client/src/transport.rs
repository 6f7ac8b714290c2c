//! One request to one endpoint: connections, deadlines, and errors told apart by whether anything can have been sent.
//!
//! HTTP/2 where TLS negotiates it, otherwise HTTP/1.1. A connection that stays silent is noticed by pings, so that a call
//! does not wait its whole time on a member that has vanished.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::{Config, ConfigError, Endpoint, Error, tls};

/// Time for a TCP connection; a member in reach answers in milliseconds, and the next endpoint waits for its turn.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence after which a connection in use is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Time for that sign; then the connection is dropped.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle time after which a connection is closed; longer than the operator's usual pause between calls.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Largest answer that is read. A range without a limit can be large; without a bound it could take all memory.
const ANSWER_BYTES_MAX: usize = 512 << 20;

/// A request to any endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// With a JSON body.
    pub(crate) fn json<T: serde::Serialize>(mut self, body: &T) -> Self {
        self.body = kvorum_api::json::encode(body).into();
        self.headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self
    }
}

/// An answer, complete.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) endpoint: Endpoint,
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// The connections of a client. Clones share them.
#[derive(Clone)]
pub(crate) struct Transport {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    token: Option<HeaderValue>,
}

impl Transport {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut tcp = HttpConnector::new();
        // The scheme is checked by the wrapper, which adds TLS.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::settings(config.tls.as_ref())?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector);
        let token = config
            .token
            .as_deref()
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| ConfigError::Token)?;
        Ok(Self { http, token })
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(crate) async fn send(&self, endpoint: &Endpoint, call: &Call, timeout: Duration) -> Result<Answer, Error> {
        let request = self.request(endpoint, call)?;
        match tokio::time::timeout(timeout, self.exchange(endpoint, request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                endpoint: endpoint.clone(),
                after: timeout,
            }),
        }
    }

    fn request(&self, endpoint: &Endpoint, call: &Call) -> Result<http::Request<Full<Bytes>>, Error> {
        let path = call.path.parse().map_err(|error| Error::Request {
            reason: format!("bad path: {error}"),
        })?;
        let mut request = http::Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = endpoint.uri(path);
        *request.headers_mut() = call.headers.clone();
        if let Some(token) = &self.token {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        }
        Ok(request)
    }

    /// Sends a request and returns when the head of the answer is there; its body may come in pieces for ever.
    pub(crate) async fn open(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        timeout: Duration,
    ) -> Result<http::Response<Incoming>, Error> {
        let request = self.request(endpoint, call)?;
        match tokio::time::timeout(timeout, self.begin(endpoint, request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                endpoint: endpoint.clone(),
                after: timeout,
            }),
        }
    }

    async fn begin(
        &self,
        endpoint: &Endpoint,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Error> {
        self.http.request(request).await.map_err(|error| {
            let (endpoint, connecting) = (endpoint.clone(), error.is_connect());
            let source = Box::new(error);
            if connecting {
                Error::Unreachable { endpoint, source }
            } else {
                Error::Broken { endpoint, source }
            }
        })
    }

    async fn exchange(&self, endpoint: &Endpoint, request: http::Request<Full<Bytes>>) -> Result<Answer, Error> {
        let response = self.begin(endpoint, request).await?;
        let status = response.status().as_u16();
        match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Ok(Answer {
                endpoint: endpoint.clone(),
                status,
                body: body.to_bytes(),
            }),
            Err(error) if error.is::<LengthLimitError>() => {
                let excerpt = format!("larger than {ANSWER_BYTES_MAX} bytes");
                Err(Error::Foreign {
                    endpoint: endpoint.clone(),
                    status,
                    excerpt,
                })
            }
            Err(source) => Err(Error::Broken {
                endpoint: endpoint.clone(),
                source,
            }),
        }
    }
}

impl fmt::Debug for Transport {
    // Not derived: the token must never reach a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transport").finish_non_exhaustive()
    }
}

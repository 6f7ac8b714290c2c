//! A small HTTP client, of the harness's own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::pki::Leaf;

/// How long one request may take before the harness gives it up. Longer than any timeout of the server (7 s).
const REQUEST: Duration = Duration::from_secs(12);

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A client with one identity. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    bound: Duration,
}

/// The rustls configuration of a client that trusts `authority` (PEM) and shows `identity`.
///
/// # Panics
/// When the PEM is damaged: it is the harness's own.
#[must_use]
pub fn tls(authority: Option<&str>, identity: Option<&Leaf>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authority {
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("our own PEM"))
            .expect("our own authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let cert = CertificateDer::from_pem_slice(leaf.cert.as_bytes()).expect("our own PEM");
            let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("our own PEM");
            builder
                .with_client_auth_cert(vec![cert], key)
                .expect("the key is the certificate's")
        }
    }
}

impl Web {
    /// A client over HTTP/1.1, with or without TLS as the URL says.
    #[must_use]
    pub fn new(authority: Option<&str>, identity: Option<&Leaf>) -> Web {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(authority, identity))
            .https_or_http()
            .enable_http1()
            .build();
        Web {
            client: Client::builder(TokioExecutor::new()).build(connector),
            bound: REQUEST,
        }
    }

    /// The same, over HTTP/2 (TLS only).
    #[must_use]
    pub fn http2(authority: Option<&str>, identity: Option<&Leaf>) -> Web {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(authority, identity))
            .https_only()
            .enable_http2()
            .build();
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
        Web { client, bound: REQUEST }
    }

    /// The same client, giving a request up after `bound`.
    #[must_use]
    pub fn within(mut self, bound: Duration) -> Web {
        self.bound = bound;
        self
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// No answer: no connection, a broken one, or too late.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).context("the test's own request")?;
        let exchange = async {
            let answer = self.client.request(request).await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Reply {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body,
            })
        };
        match tokio::time::timeout(self.bound, exchange).await {
            Ok(reply) => reply,
            Err(_) => bail!("no answer from {url} within {:?}", self.bound),
        }
    }

    /// Sends one request and waits for the head of its answer; the body may go on for ever.
    ///
    /// # Errors
    /// As [`Web::send`].
    pub(crate) async fn begin(&self, request: Request<Full<Bytes>>) -> anyhow::Result<http::Response<Incoming>> {
        match tokio::time::timeout(self.bound, self.client.request(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => bail!("no answer within {:?}", self.bound),
        }
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Web::send`].
    pub async fn get(&self, url: &str) -> anyhow::Result<Reply> {
        self.send(Method::GET, url, &[], Bytes::new()).await
    }

    /// POST of a JSON value.
    ///
    /// # Errors
    /// As [`Web::send`].
    pub async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send(
            Method::POST,
            url,
            &[("content-type", "application/json")],
            body.to_string(),
        )
        .await
    }
}

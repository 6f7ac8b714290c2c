//! One connection to the store and etcd's JSON on it: put, range, and a transaction that swaps.
//!
//! A failed operation drops its connection, so the next one opens a new one and meets whichever member the Service
//! chooses then. An operation is tried a second time only if the first was certainly never sent: a write sent twice could
//! take effect twice, the second time over somebody else's.

use crate::history::{Action, Outcome};
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the store is and how to be sure of it. The files are read anew for every connection, so that a renewed
/// certificate is used as soon as it is there.
#[derive(Clone, Debug, clap::Args)]
pub struct Address {
    /// The store's URL, such as <https://demo-client.default.svc:2379>
    #[arg(long, env = "KVORUM_URL")]
    pub url: String,
    /// The certificate of the authority that signs the store's
    #[arg(long, env = "KVORUM_CA_FILE")]
    pub ca_file: PathBuf,
    /// The client's own certificate, if the store asks for one
    #[arg(long, env = "KVORUM_CERT_FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// The key to it
    #[arg(long, env = "KVORUM_KEY_FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// How long one operation may take, in milliseconds
    #[arg(long, env = "KVORUM_TIMEOUT_MS", default_value_t = 2000)]
    pub timeout_ms: u64,
}

/// A client with at most one connection.
#[derive(Debug)]
pub struct Wire {
    address: Address,
    client: Option<Http>,
}

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why an operation has no result.
#[derive(Debug)]
pub struct Failure {
    /// A word for counting, such as `timeout` or the server's code.
    pub kind: String,
    /// Whether the operation certainly did not take place.
    pub harmless: bool,
    /// The whole story.
    pub source: anyhow::Error,
}

impl Failure {
    /// What the books say about an operation that failed so.
    pub fn outcome(&self) -> Outcome {
        if self.harmless {
            Outcome::Refused
        } else {
            Outcome::Unknown
        }
    }

    fn new(kind: &str, harmless: bool, source: impl Into<anyhow::Error>) -> Failure {
        Failure {
            kind: kind.to_owned(),
            harmless,
            source: source.into(),
        }
    }
}

impl Wire {
    /// A client that is not connected yet.
    pub fn new(address: Address) -> Wire {
        Wire { address, client: None }
    }

    /// Does one operation.
    pub async fn perform(&mut self, key: &str, action: &Action) -> Result<Outcome, Failure> {
        let (path, body) = request(key, action);
        let answer = self.call(path, &body).await?;
        outcome(action, &answer)
            .ok_or_else(|| Failure::new("not understood", false, anyhow!("cannot make sense of {answer}")))
    }

    /// Sends one JSON request and returns the answer of a request that succeeded.
    pub async fn call(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = match self.attempt(path, body).await {
            Err(failure) if failure.kind == "connect" => self.attempt(path, body).await,
            answer => answer,
        };
        if answer.is_err() {
            self.client = None;
        }
        answer
    }

    async fn attempt(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => connector(&self.address).map_err(|source| Failure::new("files", true, source))?,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.address.url.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|source| Failure::new("request", true, source))?;
        let limit = Duration::from_millis(self.address.timeout_ms);
        let exchange = tokio::time::timeout(limit, exchange(&client, request));
        let (status, text) = exchange
            .await
            .map_err(|source| Failure::new("timeout", false, source))??;
        self.client = Some(client);
        parse(status, &text)
    }
}

async fn exchange(client: &Http, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
    let response = client.request(request).await.map_err(|error| {
        let connecting = error.is_connect();
        Failure::new(
            if connecting { "connect" } else { "broken" },
            connecting,
            anyhow::Error::new(error),
        )
    })?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| Failure::new("broken", false, error))?;
    Ok((status, body.to_bytes()))
}

fn parse(status: StatusCode, text: &[u8]) -> Result<Value, Failure> {
    let value: Value = serde_json::from_slice(text)
        .with_context(|| format!("{status}: {}", String::from_utf8_lossy(text)))
        .map_err(|source| Failure::new("not JSON", false, source))?;
    if status.is_success() {
        return Ok(value);
    }
    let message = value["message"].as_str().unwrap_or("no message").to_owned();
    // A request that the server calls wrong was not carried out. Whatever else it says, it may have been.
    let harmless = status == StatusCode::BAD_REQUEST || status == StatusCode::NOT_FOUND;
    Err(Failure::new(
        &format!("{}: {message}", status.as_u16()),
        harmless,
        anyhow!("{status}: {message}"),
    ))
}

fn connector(address: &Address) -> Result<Http> {
    let mut roots = RootCertStore::empty();
    let reading = || format!("cannot read {}", address.ca_file.display());
    for certificate in CertificateDer::pem_file_iter(&address.ca_file).with_context(reading)? {
        roots.add(certificate.with_context(reading)?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots);
    let config = match (&address.cert_file, &address.key_file) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
        _ => config.with_no_client_auth(),
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(1)
        .build(https))
}

/// An operation as etcd's JSON: where to send it, and what.
pub fn request(key: &str, action: &Action) -> (&'static str, Value) {
    let key = base64(key);
    match action {
        Action::Get => ("/v3/kv/range", json!({"key": key})),
        Action::Put { value } => ("/v3/kv/put", json!({"key": key, "value": base64(value)})),
        Action::Delete => ("/v3/kv/deleterange", json!({"key": key})),
        Action::Swap { expected, value } => {
            let compare = match expected {
                Some(expected) => json!({"key": key, "target": "VALUE", "result": "EQUAL", "value": base64(expected)}),
                None => json!({"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}),
            };
            let success = json!({"request_put": {"key": key, "value": base64(value)}});
            let failure = json!({"request_range": {"key": key}});
            (
                "/v3/kv/txn",
                json!({"compare": [compare], "success": [success], "failure": [failure]}),
            )
        }
    }
}

/// What an answer says came of an operation; none when it makes no sense.
fn outcome(action: &Action, answer: &Value) -> Option<Outcome> {
    answer.get("header")?;
    match action {
        Action::Get => found(answer),
        Action::Put { .. } | Action::Delete => Some(Outcome::Written),
        Action::Swap { .. } if answer["succeeded"].as_bool() == Some(true) => Some(Outcome::Written),
        Action::Swap { .. } => found(&answer["responses"][0]["response_range"]),
    }
}

/// The value in a range's answer. etcd leaves empty lists out.
fn found(range: &Value) -> Option<Outcome> {
    let value = match range["kvs"].get(0) {
        None => None,
        Some(pair) => Some(text(pair["value"].as_str().unwrap_or_default())?),
    };
    range.is_object().then_some(Outcome::Read { value })
}

/// Base64, as JSON carries bytes.
pub fn base64(text: &str) -> String {
    base64_simd::STANDARD.encode_to_string(text)
}

/// The text behind base64.
pub fn text(base64: &str) -> Option<String> {
    String::from_utf8(base64_simd::STANDARD.decode_to_vec(base64).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(r#"{"header":{},"kvs":[{"key":"aw==","value":"YQ=="}],"count":"1"}"# => Some(Some("a".to_owned())))]
    #[test_case(r#"{"header":{}}"# => Some(None))]
    #[test_case(r#"{"error":"no"}"# => None)]
    fn reads(answer: &str) -> Option<Option<String>> {
        match outcome(&Action::Get, &serde_json::from_str(answer).unwrap())? {
            Outcome::Read { value } => Some(value),
            Outcome::Written | Outcome::Refused | Outcome::Unknown => panic!("not a read"),
        }
    }

    #[test]
    fn a_swap_whose_condition_does_not_hold_reads() {
        let answer = json!({"header": {}, "responses": [{"response_range": {"kvs": [{"value": "YQ=="}]}}]});
        let swap = Action::Swap {
            expected: None,
            value: "b".into(),
        };
        assert_eq!(
            outcome(&swap, &answer),
            Some(Outcome::Read {
                value: Some("a".into())
            })
        );
    }
}

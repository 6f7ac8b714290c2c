//! Plain access to the API server, for any kubeconfig: `kubectl proxy` does the authentication, and what comes and goes is
//! JSON. Changes are made with `kubectl` itself, as a user makes them.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kvorum_e2e::cluster::authority::ADMIN;
use kvorum_e2e::cluster::layout::Layout;
use kvorum_e2e::cluster::site::Site;
use kvorum_e2e::cluster::toolchain;
use kvorum_e2e::cluster::wait::Progress;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// How long one request or one `kubectl` may take, as a rule.
pub(crate) const CALL_SECONDS_MAX: u64 = 60;

/// How long `helm` may wait for what it installs.
const HELM_SECONDS_MAX: u64 = 180;

/// Kinds that scenarios look at, with where the API server keeps them.
const KINDS: &[(&str, &str)] = &[
    ("pods", "api/v1"),
    ("services", "api/v1"),
    ("configmaps", "api/v1"),
    ("secrets", "api/v1"),
    ("serviceaccounts", "api/v1"),
    ("events", "api/v1"),
    ("persistentvolumeclaims", "api/v1"),
    ("statefulsets", "apis/apps/v1"),
    ("deployments", "apis/apps/v1"),
    ("poddisruptionbudgets", "apis/policy/v1"),
    ("networkpolicies", "apis/networking.k8s.io/v1"),
    ("leases", "apis/coordination.k8s.io/v1"),
    ("kvclusters", "apis/kvorum.dev/v1alpha1"),
];

/// Access to one cluster. Clones share it; the proxy ends with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Killed when dropped.
    _proxy: Child,
    base: String,
    kubectl: PathBuf,
    helm: PathBuf,
    kubeconfig: OsString,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    /// Opens the cluster of `KUBECONFIG`, or the one on this machine.
    pub(crate) async fn open() -> Result<Api> {
        let site = Site::of_this_machine()?;
        let kubeconfig = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty());
        let kubeconfig = kubeconfig.unwrap_or_else(|| site.layout.kubeconfig(ADMIN).into());
        let (kubectl, helm) = programs(&site)?;
        let mut proxy = Command::new(&kubectl)
            .args(["proxy", "--port=0"])
            .env("KUBECONFIG", &kubeconfig)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start kubectl; `make e2e` builds it")?;
        let mut lines = BufReader::new(proxy.stdout.take().expect("standard output was asked for")).lines();
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line())
            .await??
            .unwrap_or_default();
        let address = line.rsplit(' ').next().filter(|address| address.contains(':'));
        let base = format!(
            "http://{}",
            address.with_context(|| format!("kubectl proxy says {line:?}"))?
        );
        let http = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Ok(Api {
            inner: Arc::new(Inner {
                _proxy: proxy,
                base,
                kubectl,
                helm,
                kubeconfig,
                http,
            }),
        })
    }

    /// Asks for a path of the API; none when it does not exist.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>> {
        let (status, body) = self.ask(Method::GET, path, CALL_SECONDS_MAX).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(serde_json::from_slice(&body)?)),
            status => bail!("{path}: {status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    /// Sends a request without a body and returns whatever comes within these seconds.
    pub(crate) async fn ask(&self, method: Method, path: &str, seconds: u64) -> Result<(StatusCode, Bytes)> {
        let exchange = async {
            let response = self.send(method, path, Bytes::new()).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(Duration::from_secs(seconds), exchange)
            .await
            .with_context(|| path.to_owned())?
    }

    /// Makes an object.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let exchange = async {
            let response = self.send(Method::POST, path, object.to_string().into()).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            ensure!(
                status.is_success(),
                "{path}: {status}: {}",
                String::from_utf8_lossy(&body)
            );
            Ok(serde_json::from_slice(&body)?)
        };
        tokio::time::timeout(Duration::from_secs(CALL_SECONDS_MAX), exchange)
            .await
            .with_context(|| path.to_owned())?
    }

    /// Sends a request; its answer may come in pieces for ever.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let uri = format!("{}/{}", self.inner.base, path.trim_start_matches('/'));
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        Ok(self.inner.http.request(request).await?)
    }

    /// Runs `kubectl` with something on its standard input; returns its standard output.
    pub(crate) async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        self.run(&self.inner.kubectl, arguments, input, CALL_SECONDS_MAX).await
    }

    /// Runs `helm`, which may take its time.
    pub(crate) async fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.run(&self.inner.helm, arguments, "", HELM_SECONDS_MAX).await
    }

    async fn run(&self, program: &Path, arguments: &[&str], input: &str, seconds: u64) -> Result<String> {
        let mut child = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", &self.inner.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        child
            .stdin
            .take()
            .expect("standard input was asked for")
            .write_all(input.as_bytes())
            .await?;
        let output = tokio::time::timeout(Duration::from_secs(seconds), child.wait_with_output()).await;
        let shown = format!(
            "{} {}",
            program.file_name().unwrap_or_default().display(),
            arguments.join(" ")
        );
        let output = output.with_context(|| format!("`{shown}` took too long"))??;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{shown}`: {}", stderr.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// `kubectl` and `helm`: the cluster's own, or the user's.
fn programs(site: &Site) -> Result<(PathBuf, PathBuf)> {
    let own = &site.programs;
    let found = match own.path("kubectl").is_absolute() {
        true => own.clone(),
        false => toolchain::user_programs(&site.cache, &Progress::quiet())?,
    };
    Ok((found.path("kubectl"), found.path("helm")))
}

/// Where the cluster under test keeps its files; none when it is not the one of this machine.
pub(crate) fn own_layout() -> Result<Option<Layout>> {
    let layout = Site::of_this_machine()?.layout;
    let ours = layout.kubeconfig(ADMIN);
    let used = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty());
    Ok(used.is_none_or(|used| used == ours).then_some(layout))
}

/// Where the API server keeps a namespace's objects of this kind.
pub(crate) fn path_of(kind: &str, namespace: &str) -> String {
    let (_, group) = KINDS
        .iter()
        .find(|(known, _)| *known == kind)
        .unwrap_or_else(|| panic!("unknown kind {kind}"));
    format!("{group}/namespaces/{namespace}/{kind}")
}

//! The stage of a scenario: a namespace that goes when the scenario ends, waits that are bounded, and a full account of
//! the namespace when the scenario fails.
//!
//! `KVORUM_KEEP_NS=1` keeps the namespace for a look at it.

use crate::api::{Api, CALL_SECONDS_MAX, path_of};
use anyhow::{Context, Result, bail};
use hyper::Method;
use kvorum_e2e::client::pause::pause;
use serde_json::Value;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The name under which scenarios change things.
const FIELD_MANAGER: &str = "scenario";
/// The chart's own example, which must work as it is.
pub(crate) const SAMPLE: &str = include_str!("../../../charts/kvorum-operator/examples/kvcluster.yaml");
/// How often a condition is looked at.
const LOOK_MS: u64 = 100;
/// How much of each log is shown after a failure.
const LOG_LINES_MAX: &str = "--tail=60";

/// A scenario's namespace.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    /// Access to the cluster.
    pub(crate) api: Api,
    /// Its name.
    pub(crate) name: String,
}

/// Runs a scenario in a namespace of its own. Panics when it fails, after telling what the namespace looked like.
pub(crate) async fn with_temp_ns<Scenario, Running>(title: &str, scenario: Scenario)
where
    Scenario: FnOnce(Namespace) -> Running,
    Running: Future<Output = Result<()>> + Send + 'static,
{
    let namespace = Namespace::create(title)
        .await
        .expect("cannot make a namespace; is a cluster up (`make e2e`)?");
    let begun = Instant::now();
    // On a task of its own, so that a failed assertion comes back here as an error.
    let outcome = match tokio::spawn(scenario(namespace.clone())).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(anyhow::anyhow!("{panic}")),
    };
    println!("{title}: took {:.0} s", begun.elapsed().as_secs_f64());
    if outcome.is_err() {
        namespace.tell().await;
    }
    if std::env::var_os("KVORUM_KEEP_NS").is_some() {
        println!("kept: namespace {}", namespace.name);
    } else {
        let removed = namespace.remove().await;
        outcome
            .as_ref()
            .map(|()| removed)
            .unwrap_or(Ok(()))
            .expect("cannot remove the namespace");
    }
    if let Err(error) = outcome {
        panic!("{title}: {error:#}");
    }
}

impl Namespace {
    async fn create(title: &str) -> Result<Namespace> {
        let api = Api::open().await?;
        let millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let name = format!("{title}-{:06}", millis % 1_000_000);
        api.kubectl(&["create", "namespace", &name], "").await?;
        let namespace = Namespace { api, name };
        // A pod cannot be made before its service account is.
        namespace
            .await_some("the default service account", 30, || {
                namespace.get("serviceaccounts", "default")
            })
            .await?;
        Ok(namespace)
    }

    async fn remove(&self) -> Result<()> {
        self.api
            .kubectl(&["delete", "namespace", &self.name, "--wait=false"], "")
            .await
            .map(drop)
    }

    /// Applies YAML, server side.
    pub(crate) async fn apply(&self, yaml: &str) -> Result<()> {
        let arguments = [
            "apply",
            "--server-side",
            "--field-manager",
            FIELD_MANAGER,
            "-n",
            &self.name,
            "-f",
            "-",
        ];
        self.api.kubectl(&arguments, yaml).await.map(drop)
    }

    /// Runs `kubectl` in this namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let all: Vec<&str> = ["-n", &self.name]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.api.kubectl(&all, "").await
    }

    /// An object, if it is there.
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        self.api.get(&format!("{}/{name}", path_of(kind, &self.name))).await
    }

    /// All objects of a kind that bear these labels.
    pub(crate) async fn list(&self, kind: &str, selector: &str) -> Result<Vec<Value>> {
        let query = selector.replace('=', "%3D").replace(',', "%2C").replace('/', "%2F");
        let list = self
            .api
            .get(&format!("{}?labelSelector={query}", path_of(kind, &self.name)))
            .await?;
        Ok(list
            .and_then(|list| list["items"].as_array().cloned())
            .unwrap_or_default())
    }

    /// Runs a command in a pod and returns what it printed.
    pub(crate) async fn exec(&self, pod: &str, command: &[&str]) -> Result<String> {
        let arguments: Vec<&str> = ["exec", pod, "--"].into_iter().chain(command.iter().copied()).collect();
        self.kubectl(&arguments).await
    }

    /// Asks a pod over plain HTTP, by way of the API server.
    pub(crate) async fn ask(&self, pod: &str, port: u16, path: &str) -> Result<String> {
        self.ask_within(pod, port, path, CALL_SECONDS_MAX).await
    }

    /// Asks a pod for something that may take this many seconds.
    pub(crate) async fn ask_within(&self, pod: &str, port: u16, path: &str, seconds: u64) -> Result<String> {
        let path = format!(
            "{}/{pod}:{port}/proxy/{}",
            path_of("pods", &self.name),
            path.trim_start_matches('/')
        );
        let (status, body) = self.api.ask(Method::GET, &path, seconds).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(text)
    }

    /// Waits until a condition holds. An error of the question counts as "not yet" and is told when time is up.
    pub(crate) async fn await_condition<Asking>(
        &self,
        what: &str,
        seconds: u64,
        mut question: impl FnMut() -> Asking,
    ) -> Result<()>
    where
        Asking: Future<Output = Result<bool>>,
    {
        self.await_some(what, seconds, || {
            let asking = question();
            async { Ok(asking.await?.then_some(())) }
        })
        .await
    }

    /// Waits until there is an answer.
    pub(crate) async fn await_some<T, Asking>(
        &self,
        what: &str,
        seconds: u64,
        mut question: impl FnMut() -> Asking,
    ) -> Result<T>
    where
        Asking: Future<Output = Result<Option<T>>>,
    {
        let begun = Instant::now();
        loop {
            let answer = question().await;
            let late = begun.elapsed() > Duration::from_secs(seconds);
            match answer {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) if late => bail!("waited {seconds} s for {what}, in vain"),
                Err(error) if late => return Err(error).with_context(|| format!("waited {seconds} s for {what}")),
                Ok(None) | Err(_) => pause(LOOK_MS).await,
            }
        }
    }

    /// Waits until a pod is ready.
    pub(crate) async fn await_ready_pod(&self, pod: &str, seconds: u64) -> Result<Value> {
        let ready = || async { Ok(self.get("pods", pod).await?.filter(is_ready)) };
        self.await_some(&format!("pod {pod} to be ready"), seconds, ready).await
    }

    /// Prints what a person would look at: objects, events and logs.
    async fn tell(&self) {
        println!("\n==== {} failed; what it looked like:", self.name);
        let objects = ["get", "kvc,sts,pods,pvc,svc", "-o", "wide", "--ignore-not-found"];
        let plain = ["get", "sts,pods,pvc,svc", "-o", "wide"];
        let shown = match self.kubectl(&objects).await {
            Ok(text) => Ok(text),
            Err(_) => self.kubectl(&plain).await,
        };
        println!("{}", text_or_error(shown));
        println!(
            "---- events\n{}",
            text_or_error(self.kubectl(&["get", "events", "--sort-by=.lastTimestamp"]).await)
        );
        for pod in self.list("pods", "").await.unwrap_or_default() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            println!("---- {name}: {}", pod["status"]["containerStatuses"]);
            println!(
                "{}",
                text_or_error(self.kubectl(&["logs", name, "--all-containers", LOG_LINES_MAX]).await)
            );
        }
    }
}

/// Whether a pod, or anything else with conditions, calls itself ready.
pub(crate) fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
}

/// Whether nobody else keeps the processors busy, so that a bound on time says something about Kvorum.
pub(crate) fn machine_is_quiet() -> bool {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    load < 2.0 * processors as f64
}

/// A number from the environment, for runs that shall be longer than usual.
pub(crate) fn number(variable: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text}")),
        Err(_) => Ok(otherwise),
    }
}

fn text_or_error(result: Result<String>) -> String {
    result.unwrap_or_else(|error| format!("{error:#}"))
}

//! The operator under test, installed from the chart as a user installs it. One serves all scenarios.

use crate::api::Api;
use crate::kvcluster::text;
use crate::world::Namespace;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use tokio::sync::OnceCell;

/// The release's name and its namespace's.
pub(crate) const RELEASE: &str = "kvorum-operator";
/// Where the operator runs.
pub(crate) const NAMESPACE: &str = "kvorum-system";
/// The chart of this checkout.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/kvorum-operator");
/// Labels of its pods.
const PODS: &str = "app.kubernetes.io/name=kvorum-operator,app.kubernetes.io/component=operator";
/// Where each of its pods tells its figures.
const METRICS_PORT: u16 = 8080;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Sees to it that the operator runs, as the chart of this checkout says.
pub(crate) async fn installed(api: &Api) -> Result<()> {
    INSTALLED
        .get_or_try_init(|| install(api, &["--set", "logFormat=text"]))
        .await
        .copied()
}

/// Installs or upgrades the release with these settings, and waits until it runs.
pub(crate) async fn install(api: &Api, settings: &[&str]) -> Result<()> {
    let mut arguments = vec!["upgrade", "--install", RELEASE, CHART, "--namespace", NAMESPACE];
    arguments.extend(["--create-namespace", "--wait", "--timeout", "120s"]);
    arguments.extend(settings);
    let registry = std::env::var("REGISTRY").unwrap_or_default();
    let operator = format!("image.repository={registry}/kvorum-operator");
    // As JSON, because to helm a bare brace begins a list.
    let node = format!("nodeImage=\"{registry}/kvorum:{{version}}\"");
    if !registry.is_empty() {
        arguments.extend(["--set", &operator, "--set-json", &node]);
    }
    api.helm(&arguments).await.map(drop)
}

/// Removes the release, and waits until its pods are gone.
pub(crate) async fn uninstall(api: &Api) -> Result<()> {
    api.helm(&[
        "uninstall",
        RELEASE,
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        "120s",
    ])
    .await?;
    let home = home(api);
    home.await_condition("the operator's pods to be gone", 60, || async {
        Ok(pods(api).await?.is_empty())
    })
    .await
}

/// The operator's own namespace.
pub(crate) fn home(api: &Api) -> Namespace {
    Namespace {
        api: api.clone(),
        name: NAMESPACE.to_owned(),
    }
}

/// Its pods, whatever state they are in.
pub(crate) async fn pods(api: &Api) -> Result<Vec<Value>> {
    home(api).list("pods", PODS).await
}

/// The pod that leads, by the Lease: one that is there and not on its way out.
pub(crate) async fn leader(api: &Api) -> Result<Option<Value>> {
    let lease = home(api).get("leases", RELEASE).await?.context("there is no Lease")?;
    let holder = text(&lease["spec"]["holderIdentity"]);
    // A random part follows the pod's name.
    let leads = |pod: &Value| holder.starts_with(&text(&pod["metadata"]["name"])) && !holder.is_empty();
    let here = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
    Ok(pods(api).await?.into_iter().find(|pod| leads(pod) && here(pod)))
}

/// Kills a pod of the operator: its process at once if it runs on this machine, so that nothing is finished or given
/// back, then the pod without any grace.
pub(crate) async fn kill(api: &Api, pod: &Value) -> Result<()> {
    for process in processes(&text(&pod["metadata"]["uid"])) {
        // It may have ended by itself since.
        let _ = kill_process(process, Signal::KILL);
    }
    let name = text(&pod["metadata"]["name"]);
    let arguments = [
        "delete",
        "pod",
        &name,
        "--grace-period=0",
        "--force",
        "--wait=false",
        "--ignore-not-found",
    ];
    home(api).kubectl(&arguments).await.map(drop)
}

/// The operator's processes in a pod, as far as they run on this machine.
fn processes(pod_uid: &str) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let ours = ids.filter(|id| {
        let groups = fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        let in_pod = groups.contains(pod_uid) || groups.contains(&pod_uid.replace('-', "_"));
        in_pod && name.trim() == "kvorum-operator"
    });
    ours.filter_map(Pid::from_raw).collect()
}

/// How often the operator has written to the API server so far, by its own count; Leases are not among it.
pub(crate) async fn writes_counted(api: &Api) -> Result<u64> {
    let mut total = 0;
    for pod in pods(api).await? {
        let name = text(&pod["metadata"]["name"]);
        let figures = home(api).ask(&name, METRICS_PORT, "metrics").await?;
        let counters = figures
            .lines()
            .filter(|line| line.starts_with("kvorum_operator_writes_total"));
        let counts = counters.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        total += counts.sum::<u64>();
    }
    Ok(total)
}

//! The chart: sound by its own linter and by the API server, in each of its forms; and whatever happens to the release,
//! clusters that run are left alone: their pods, their data.

use crate::api::Api;
use crate::kvcluster::{KvCluster, NAME};
use crate::operator::{self, CHART, NAMESPACE};
use crate::world::{Namespace, with_temp_ns};
use anyhow::{Result, ensure};

/// How long a change of the cluster may take, in seconds; a busy machine included.
const CHANGE_SECONDS_MAX: u64 = 180;
/// What is written before anything happens to the release.
const KEY: &str = "before";

#[tokio::test]
async fn everything_that_the_chart_renders_is_accepted() {
    with_temp_ns("chart", |ns| async move {
        operator::installed(&ns.api).await?;
        println!("{}", ns.api.helm(&["lint", "--strict", CHART]).await?.trim());
        let namespaced = format!("watchNamespaces={{{}}}", ns.name);
        let mut forms = vec![vec![], vec!["--set", namespaced.as_str()]];
        if has_service_monitors(&ns.api).await? {
            forms.push(vec!["--set", "serviceMonitor.enabled=true"]);
        }
        for form in forms {
            let yaml = render(&ns, &form).await?;
            let roles = yaml.matches("\nkind: ClusterRole\n").count();
            ensure!(
                roles == usize::from(form != ["--set", namespaced.as_str()]),
                "{roles} cluster roles with {form:?}"
            );
            let arguments = [
                "apply",
                "--server-side",
                "--force-conflicts",
                "--dry-run=server",
                "-f",
                "-",
            ];
            let accepted = ns.api.kubectl(&arguments, &yaml).await?;
            println!("{form:?}:\n{}", accepted.trim());
            ensure!(
                accepted.lines().count() == yaml.matches("\nkind: ").count(),
                "the API server took fewer objects than were rendered"
            );
        }
        // Without the CRD of the Prometheus operator it is still rendered, for those who have it.
        let monitored = render(&ns, &["--set", "serviceMonitor.enabled=true"]).await?;
        ensure!(monitored.contains("\nkind: ServiceMonitor\n"), "no ServiceMonitor");
        ensure!(
            render(&ns, &["--set", "replicaCount=none"]).await.is_err(),
            "the chart takes values that make no sense"
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_release_comes_and_goes_and_clusters_stay() {
    with_temp_ns("release", |ns| async move {
        operator::installed(&ns.api).await?;
        let outcome = come_and_go(&ns).await;
        // The other scenarios need the usual one, whatever happened.
        operator::install(&ns.api, &["--set", "logFormat=text"]).await?;
        outcome
    })
    .await;
}

async fn come_and_go(ns: &Namespace) -> Result<()> {
    let api = &ns.api;
    let cluster = KvCluster::create(ns, 3).await?;
    cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
    cluster.put(0, KEY, "untouched").await?;
    let pods = cluster.pod_uids().await?;
    let untouched = async |what: &str| -> Result<()> {
        ensure!(cluster.get(1, KEY).await? == "untouched", "{what}: the data is another");
        ensure!(cluster.pod_uids().await? == pods, "{what}: a pod was made anew");
        println!("{what}: the data and the pods are the same");
        Ok(())
    };

    operator::install(api, &["--set", "logFormat=json"]).await?;
    cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
    untouched("upgraded").await?;

    operator::uninstall(api).await?;
    ensure!(
        ns.get("kvclusters", NAME).await?.is_some(),
        "the cluster went with the release"
    );
    untouched("uninstalled").await?;

    let namespaced = format!("watchNamespaces={{{}}}", ns.name);
    operator::install(api, &["--set", "logFormat=text", "--set", &namespaced]).await?;
    let cluster_wide = api
        .get("apis/rbac.authorization.k8s.io/v1/clusterroles/kvorum-operator")
        .await?;
    ensure!(cluster_wide.is_none(), "the namespaced form has cluster-wide rights");
    untouched("installed again, for this namespace alone").await?;
    // And it works: the cluster takes a change.
    cluster.scale(5).await?;
    cluster.await_settled(5, CHANGE_SECONDS_MAX).await?;
    ensure!(
        cluster.get(4, KEY).await? == "untouched",
        "the new member has other data"
    );
    // Of a cluster elsewhere it knows nothing.
    let elsewhere = operator::home(api);
    let stranger = KvCluster::create(&elsewhere, 1).await?;
    cluster.scale(3).await?;
    let settled = cluster.await_settled(3, CHANGE_SECONDS_MAX).await;
    let stranger = stranger.resource().await;
    elsewhere.kubectl(&["delete", "kvc", NAME]).await?;
    let status = stranger?["status"].take();
    ensure!(
        settled.is_ok() && status.is_null(),
        "a cluster outside of the namespace was looked after: {status}, or: {settled:?}"
    );
    Ok(())
}

async fn render(ns: &Namespace, settings: &[&str]) -> Result<String> {
    let mut arguments = vec!["template", "dry-run", CHART, "--namespace", NAMESPACE];
    arguments.extend(settings);
    // Each object begins on a line of its own, the first too.
    Ok(format!("\n{}", ns.api.helm(&arguments).await?))
}

async fn has_service_monitors(api: &Api) -> Result<bool> {
    let crd = "apis/apiextensions.k8s.io/v1/customresourcedefinitions/servicemonitors.monitoring.coreos.com";
    Ok(api.get(crd).await?.is_some())
}

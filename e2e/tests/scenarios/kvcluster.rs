//! The cluster under test: made from the chart's own sample, changed as a user changes it, and asked how it is, both in
//! its status and at its members.

use crate::world::{Namespace, SAMPLE, is_ready};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;

/// The name in the sample.
pub(crate) const NAME: &str = "demo";
/// The node's program in its image.
const KVORUM: &str = "/usr/local/bin/kvorum";
/// Labels that every pod of the cluster bears.
pub(crate) const PODS: &str = "app.kubernetes.io/instance=demo,app.kubernetes.io/component=member";

/// A `KvCluster` of this namespace.
#[derive(Clone, Debug)]
pub(crate) struct KvCluster {
    namespace: Namespace,
}

/// The membership as a member tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The cluster's id, as the wire has it.
    pub(crate) cluster_id: String,
    /// Names of the members that vote.
    pub(crate) voters: BTreeSet<String>,
    /// Names of those that do not.
    pub(crate) learners: BTreeSet<String>,
}

impl KvCluster {
    /// Applies the sample with this many members.
    pub(crate) async fn create(namespace: &Namespace, replicas: u32) -> Result<KvCluster> {
        let yaml = SAMPLE.replace("replicas: 3", &format!("replicas: {replicas}"));
        ensure!(
            yaml.contains(&format!("replicas: {replicas}")),
            "the sample names no replicas"
        );
        namespace.apply(&yaml).await?;
        Ok(KvCluster {
            namespace: namespace.clone(),
        })
    }

    /// Asks for another number of members, by the scale subresource.
    pub(crate) async fn scale(&self, replicas: u32) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        self.namespace
            .kubectl(&["scale", "kvc", NAME, &replicas])
            .await
            .map(drop)
    }

    /// Asks for other pods: an annotation on them.
    pub(crate) async fn annotate_pods(&self, value: &str) -> Result<()> {
        let patch = serde_json::json!({"spec": {"pod": {"annotations": {"example.com/stamp": value}}}}).to_string();
        self.namespace
            .kubectl(&["patch", "kvc", NAME, "--type=merge", "-p", &patch])
            .await
            .map(drop)
    }

    /// The resource as it is.
    pub(crate) async fn resource(&self) -> Result<Value> {
        self.namespace
            .get("kvclusters", NAME)
            .await?
            .context("the KvCluster is gone")
    }

    /// Waits until the cluster is as its spec says: so many voters, each ready, and nothing left over.
    pub(crate) async fn await_settled(&self, replicas: u32, seconds: u64) -> Result<Value> {
        let settled = || async { Ok(Some(self.resource().await?).filter(|resource| is_settled(resource, replicas))) };
        let what = format!("{replicas} members and nothing else");
        let waited = self.namespace.await_some(&what, seconds, settled).await;
        match waited {
            Ok(resource) => Ok(resource),
            Err(error) => Err(error.context(format!("the status is {}", self.resource().await?["status"]))),
        }
    }

    /// One condition of the status, if the status is of the present spec.
    pub(crate) async fn condition(&self, kind: &str) -> Result<Option<Value>> {
        let resource = self.resource().await?;
        let generation = &resource["metadata"]["generation"];
        let conditions = resource["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions
            .into_iter()
            .find(|condition| condition["type"] == kind && condition["observedGeneration"] == *generation);
        Ok(found)
    }

    /// The pod of a slot, as it is now.
    pub(crate) async fn pod(&self, slot: u32) -> Result<Value> {
        let name = format!("{NAME}-{slot}-0");
        self.namespace.get("pods", &name).await?.context(name)
    }

    /// The uids of all pods of the cluster.
    pub(crate) async fn pod_uids(&self) -> Result<BTreeSet<String>> {
        let pods = self.namespace.list("pods", PODS).await?;
        Ok(pods.iter().map(|pod| text(&pod["metadata"]["uid"])).collect())
    }

    /// What a key holds, read at a member.
    pub(crate) async fn get(&self, slot: u32, key: &str) -> Result<String> {
        let value = self.command(slot, &["get", key, "--print-value-only"]).await?;
        Ok(value.trim_end().to_owned())
    }

    /// Writes a key at a member.
    pub(crate) async fn put(&self, slot: u32, key: &str, value: &str) -> Result<()> {
        self.command(slot, &["put", key, value]).await.map(drop)
    }

    /// The membership as the member of a slot tells it.
    pub(crate) async fn membership(&self, slot: u32) -> Result<Membership> {
        let list: Value = serde_json::from_str(&self.command(slot, &["member", "list", "-o", "json"]).await?)?;
        let members = list["members"].as_array().context("no members")?;
        let names = |learner: bool| {
            let are = members
                .iter()
                .filter(|member| member["isLearner"].as_bool().unwrap_or(false) == learner);
            are.map(|member| text(&member["name"])).collect()
        };
        Ok(Membership {
            cluster_id: list["header"]["cluster_id"].to_string(),
            voters: names(false),
            learners: names(true),
        })
    }

    async fn command(&self, slot: u32, arguments: &[&str]) -> Result<String> {
        let pod = format!("{NAME}-{slot}-0");
        let fixed = [
            "--endpoints=https://localhost:2379",
            "--cacert=/etc/kvorum/tls/client-ca.crt",
            "--cert=/etc/kvorum/tls/server.crt",
            "--key=/etc/kvorum/tls/server.key",
        ];
        let all: Vec<&str> = [KVORUM].iter().chain(arguments).chain(&fixed).copied().collect();
        self.namespace.exec(&pod, &all).await
    }
}

/// Names of the first so many members.
pub(crate) fn names(replicas: u32) -> BTreeSet<String> {
    (0..replicas).map(|slot| format!("{NAME}-{slot}")).collect()
}

/// Whether a resource says of its present spec that it is fulfilled, and lists exactly the first so many members as ready
/// voters.
fn is_settled(resource: &Value, replicas: u32) -> bool {
    let status = &resource["status"];
    let members = status["members"].as_array().cloned().unwrap_or_default();
    let sound = members
        .iter()
        .all(|member| member["role"] == "Voter" && member["ready"] == true);
    let listed: BTreeSet<String> = members.iter().map(|member| text(&member["name"])).collect();
    status["observedGeneration"] == resource["metadata"]["generation"]
        && is_ready(resource)
        && sound
        && listed == names(replicas)
}

/// The text of a JSON string; empty for anything else.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

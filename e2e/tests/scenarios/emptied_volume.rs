//! One member's volume is emptied behind its back. A member that forgot what it voted for could vote twice, so it must not
//! come back as if it were new: it refuses, the status and an event say so by its name, and the rest serves on. Then the
//! cluster is brought back as the status says.

use crate::crowd::{CLIENT, Crowd, client_image};
use crate::kvcluster::{KvCluster, NAME, names, text};
use crate::operator;
use crate::world::{Namespace, with_temp_ns};
use anyhow::{Context, Result, ensure};

/// The slot whose volume is emptied.
const SLOT: u32 = 2;
/// How long a change of the cluster may take, in seconds; a busy machine included.
const CHANGE_SECONDS_MAX: u64 = 180;
/// Longest time without an acknowledged write: two of three members serve all the while.
const GAP_MS_MAX: f64 = 5000.0;

#[tokio::test]
async fn a_member_without_its_data_refuses_and_says_so() {
    with_temp_ns("emptied", |ns| async move {
        operator::installed(&ns.api).await?;
        let cluster = KvCluster::create(&ns, 3).await?;
        let settled = cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
        let crowd = Crowd::start(&ns, NAME).await?;
        crowd.mark("emptied").await?;
        let pod = cluster.pod(SLOT).await?;
        empty_volume(&ns, &text(&pod["spec"]["nodeName"])).await?;

        says_so(&ns, &cluster).await?;

        crowd.mark("brought-back").await?;
        ns.kubectl(&["delete", "pod", EMPTIER, "--wait=true"]).await?;
        cluster.scale(1).await?;
        cluster.await_settled(1, CHANGE_SECONDS_MAX).await?;
        cluster.scale(3).await?;
        let again = cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
        ensure!(
            again["status"]["clusterId"] == settled["status"]["clusterId"],
            "it is another cluster"
        );
        let id = |resource: &serde_json::Value| resource["status"]["members"][SLOT as usize]["id"].clone();
        ensure!(
            id(&again) != id(&settled),
            "the member came back with the id that it forgot"
        );
        crowd.finish(GAP_MS_MAX).await.map(drop)
    })
    .await;
}

/// The status and an event say what is wrong, with which member, and what to do; the membership stays as it was.
async fn says_so(ns: &Namespace, cluster: &KvCluster) -> Result<()> {
    let name = format!("{NAME}-{SLOT}");
    let told = || async {
        let condition = cluster.condition("ActionRequired").await?;
        Ok(condition.filter(|it| it["status"] == "True" && it["reason"] == "IdentityMissing"))
    };
    let told = ns
        .await_some("the status to ask for action", CHANGE_SECONDS_MAX, told)
        .await?;
    let message = text(&told["message"]);
    println!("ActionRequired: {message}");
    ensure!(
        message.starts_with(&format!("{name} refuses to start: its disk is empty")),
        "the sentence names neither the member nor the reason: {message}"
    );
    let resource = cluster.resource().await?;
    let members = resource["status"]["members"].as_array().context("no members")?;
    let member = members
        .iter()
        .find(|it| it["name"] == name.as_str())
        .context("no such member")?;
    ensure!(
        member["ready"] == false && member["reason"] == "IdentityMissing" && member["role"] == "Voter",
        "the member is shown as {member}"
    );
    let event = || async {
        let events = ns.list("events", "").await?;
        let about = |it: &serde_json::Value| it["reason"] == "IdentityMissing" && text(&it["message"]).contains(&name);
        Ok(events.into_iter().find(about))
    };
    let event = ns.await_some("an event that says why", 30, event).await?;
    println!("event: {} {}: {}", event["type"], event["reason"], event["message"]);
    let membership = cluster.membership(0).await?;
    ensure!(
        membership.voters == names(3) && membership.learners.is_empty(),
        "the membership has changed: {membership:?}"
    );
    Ok(())
}

/// The pod that has the volume too.
const EMPTIER: &str = "emptier";
/// Lets nobody make a pod in the namespace for as long as it is there.
const NO_PODS: &str = r#"{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}}"#;

/// Empties the volume while its member is away: a second pod mounts it on the same node, and a quota keeps the member's
/// pod from coming back until it is done.
async fn empty_volume(ns: &Namespace, node: &str) -> Result<()> {
    ns.apply(&emptier(node)).await?;
    ns.await_ready_pod(EMPTIER, 60).await?;
    ns.apply(NO_PODS).await?;
    let counted = || async {
        let quota = ns
            .api
            .get(&format!("api/v1/namespaces/{}/resourcequotas/no-pods", ns.name))
            .await?;
        Ok(quota.is_some_and(|quota| quota["status"]["hard"]["pods"] == "0"))
    };
    ns.await_condition("the quota to be in force", 30, counted).await?;
    let member = format!("{NAME}-{SLOT}-0");
    ns.kubectl(&["delete", "pod", &member, "--wait=true"]).await?;
    ensure!(ns.get("pods", &member).await?.is_none(), "the member is back already");
    let count = ns.exec(EMPTIER, &[CLIENT, "empty", "/volume/data"]).await?;
    ensure!(count.trim().parse::<u32>()? > 0, "there was nothing on the volume");
    ns.kubectl(&["delete", "resourcequota", "no-pods"]).await.map(drop)
}

fn emptier(node: &str) -> String {
    let image = client_image();
    format!(
        r#"apiVersion: v1
kind: Pod
metadata: {{name: {EMPTIER}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: client
      image: {image}
      args: [wait]
      securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
      volumeMounts: [{{name: data, mountPath: /volume}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data-{NAME}-{SLOT}-0}}}}]
"#
    )
}

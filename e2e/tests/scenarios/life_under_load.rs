//! A cluster's whole life while clients write and read through its Service without pause: it grows, shrinks, loses each
//! pod in turn, and takes a new pod template. No acknowledged write may be lost, every read must be linearizable, and the
//! clients must not notice much. `KVORUM_LIFE_ROUNDS` says how often pods are deleted and rolled.

use crate::crowd::Crowd;
use crate::kvcluster::{KvCluster, NAME, PODS};
use crate::operator;
use crate::world::{Namespace, is_ready, number, with_temp_ns};
use anyhow::{Result, ensure};

/// How long a change of the cluster may take, in seconds; a busy machine included.
const CHANGE_SECONDS_MAX: u64 = 180;
/// The longest time without an acknowledged write, in any step. A member that goes hands leadership over first, so on a
/// quiet machine it is far less; a busy one may lose a whole election or two.
const GAP_MS_MAX: f64 = 5000.0;

/// How often pods are deleted and rolled, unless said otherwise.
const ROUNDS: u64 = 1;

#[tokio::test]
async fn nothing_is_lost_and_clients_hardly_notice() {
    with_temp_ns("life", |ns| async move {
        operator::installed(&ns.api).await?;
        let cluster = KvCluster::create(&ns, 1).await?;
        cluster.await_settled(1, CHANGE_SECONDS_MAX).await?;
        let crowd = Crowd::start(&ns, NAME).await?;
        for replicas in [3, 5, 3] {
            crowd.mark(&format!("scale-to-{replicas}")).await?;
            cluster.scale(replicas).await?;
            cluster.await_settled(replicas, CHANGE_SECONDS_MAX).await?;
        }
        for round in 1..=number("KVORUM_LIFE_ROUNDS", ROUNDS)? {
            for slot in 0..3 {
                crowd.mark(&format!("delete-{NAME}-{slot}")).await?;
                delete(&ns, &cluster, slot).await?;
            }
            crowd.mark("roll").await?;
            roll(&ns, &cluster, &format!("round-{round}")).await?;
        }
        crowd.finish(GAP_MS_MAX).await.map(drop)
    })
    .await;
}

/// Deletes a pod, and waits until its member is back.
async fn delete(ns: &Namespace, cluster: &KvCluster, slot: u32) -> Result<()> {
    let before = cluster.pod(slot).await?;
    let name = format!("{NAME}-{slot}-0");
    ns.kubectl(&["delete", "pod", &name, "--wait=false"]).await?;
    // The status may say for a moment more that all is well.
    let another = || async {
        let pod = ns.get("pods", &name).await?.filter(is_ready);
        Ok(pod.is_some_and(|pod| pod["metadata"]["uid"] != before["metadata"]["uid"]))
    };
    ns.await_condition(&format!("another {name}"), CHANGE_SECONDS_MAX, another)
        .await?;
    cluster.await_settled(3, CHANGE_SECONDS_MAX).await.map(drop)
}

/// Changes the pod template, and waits until every pod has the new one.
async fn roll(ns: &Namespace, cluster: &KvCluster, stamp: &str) -> Result<()> {
    cluster.annotate_pods(stamp).await?;
    cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
    for pod in ns.list("pods", PODS).await? {
        ensure!(
            pod["metadata"]["annotations"]["example.com/stamp"] == stamp,
            "{} has the old template",
            pod["metadata"]["name"]
        );
    }
    Ok(())
}

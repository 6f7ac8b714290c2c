//! From Kubernetes' objects to the planner's plain picture of them.
//!
//! What it must keep true: pure and total; what cannot be told is told as the less favourable (a pod without a condition
//! is not ready, an id that does not parse is none).
//!
//! Deliberately not here: the nodes' own words (`observe::members`).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kvorum_plan::names::{ClusterName, Slot};
use kvorum_plan::observed::{ClaimSeen, Node, PodSeen, SlotSeen, StatefulSetSeen};

use super::live::Live;

/// Annotation on a pod template and its pods by which the planner tells whether a pod runs the present template.
const TEMPLATE_HASH: &str = "kvorum.dev/template-hash";
/// Annotation on a volume claim: the cluster that it was made for.
const CLUSTER_ID: &str = "kvorum.dev/cluster-id";
/// Reasons of a waiting container that are no trouble: it is on its way.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Every slot of which anything exists; what its node says is filled in later. `resource` is the cluster's `KvCluster`.
#[must_use]
pub fn slots(name: &ClusterName, resource: &ObjectMeta, live: &Live) -> BTreeMap<Slot, SlotSeen> {
    let of_pod = |pod: &str| name.slot_of(pod.strip_suffix("-0")?);
    let mut all: BTreeSet<Slot> = live.statefulsets.keys().filter_map(|set| name.slot_of(set)).collect();
    all.extend(live.pods.keys().filter_map(|pod| of_pod(pod)));
    all.extend(
        live.claims
            .keys()
            .filter_map(|claim| of_pod(claim.strip_prefix("data-")?)),
    );
    let seen = |slot| SlotSeen {
        statefulset: live.statefulsets.get(&name.member(slot)).map(statefulset),
        pod: live.pods.get(&name.pod(slot)).map(pod),
        claim: live.claims.get(&name.claim(slot)).map(|found| claim(resource, found)),
        node: Node::default(),
    };
    all.into_iter().map(|slot| (slot, seen(slot))).collect()
}

fn statefulset(set: &StatefulSet) -> StatefulSetSeen {
    let template = set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let annotations = template.and_then(|metadata| metadata.annotations.as_ref());
    let observed = set.status.as_ref().and_then(|status| status.observed_generation);
    StatefulSetSeen {
        uid: set.uid().unwrap_or_default(),
        template_hash: annotations.and_then(|all| all.get(TEMPLATE_HASH)).cloned(),
        settled: observed.is_some() && observed == set.metadata.generation,
        deleting: set.metadata.deletion_timestamp.is_some(),
    }
}

fn pod(pod: &Pod) -> PodSeen {
    PodSeen {
        uid: pod.uid().unwrap_or_default(),
        template_hash: pod.annotations().get(TEMPLATE_HASH).cloned(),
        ready_since: pod.status.as_ref().and_then(ready_since),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        trouble: pod.status.as_ref().and_then(trouble),
        host: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
    }
}

/// When a pod became ready; `None` when it is not.
pub(crate) fn ready_since(status: &PodStatus) -> Option<Timestamp> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready")?;
    let since = condition.last_transition_time.as_ref()?.0;
    (condition.status == "True").then_some(since)
}

/// The first thing that keeps a pod from running, in Kubernetes' own word.
fn trouble(status: &PodStatus) -> Option<String> {
    let scheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled");
    if let Some(condition) = scheduled
        && condition.status == "False"
    {
        return Some(condition.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()));
    }
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    containers.filter_map(container_trouble).next()
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let reason = container.state.as_ref()?.waiting.as_ref()?.reason.clone()?;
    (!ON_ITS_WAY.contains(&reason.as_str())).then_some(reason)
}

fn claim(resource: &ObjectMeta, claim: &PersistentVolumeClaim) -> ClaimSeen {
    let owners = claim.owner_references();
    ClaimSeen {
        uid: claim.uid().unwrap_or_default(),
        cluster_id: claim.annotations().get(CLUSTER_ID).and_then(|id| id.parse().ok()),
        kept: claim.metadata.creation_timestamp < resource.creation_timestamp,
        owned: owners.iter().any(|owner| Some(&owner.uid) == resource.uid.as_ref()),
        deleting: claim.metadata.deletion_timestamp.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use test_case::test_case;

    fn demo() -> ClusterName {
        ClusterName::new("demo").unwrap()
    }

    fn named<K: serde::de::DeserializeOwned>(name: &str, value: serde_json::Value) -> (String, K) {
        (name.to_owned(), serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_slot_exists_when_anything_of_it_does() {
        let mut live = Live::default();
        live.statefulsets.extend([
            named("demo-0", json!({"metadata": {"name": "demo-0"}})),
            named("other-0", json!({"metadata": {"name": "other-0"}})),
        ]);
        live.pods
            .extend([named("demo-1-0", json!({"metadata": {"name": "demo-1-0"}}))]);
        live.claims.extend([named(
            "data-demo-2-0",
            json!({"metadata": {"name": "data-demo-2-0", "annotations": {"kvorum.dev/cluster-id": "00000000000000ab"}}}),
        )]);
        let seen = slots(&demo(), &ObjectMeta::default(), &live);
        assert_eq!(seen.keys().map(|slot| slot.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(seen[&Slot(0)].statefulset.is_some() && seen[&Slot(0)].pod.is_none());
        assert_eq!(
            seen[&Slot(2)].claim.as_ref().unwrap().cluster_id,
            "00000000000000ab".parse().ok()
        );
    }

    #[test_case(json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}) => Some("Unschedulable".into()); "no room")]
    #[test_case(json!({"containerStatuses": [{"name": "n", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}) => Some("ImagePullBackOff".into()); "no image")]
    #[test_case(json!({"containerStatuses": [{"name": "n", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}}}]}) => None; "on its way")]
    #[test_case(json!({}) => None; "nothing known")]
    fn troubles(status: serde_json::Value) -> Option<String> {
        trouble(&serde_json::from_value(status).unwrap())
    }

    #[test_case("True" => true)]
    #[test_case("False" => false)]
    #[test_case("Unknown" => false)]
    fn readiness(status: &str) -> bool {
        let status =
            json!({"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        ready_since(&serde_json::from_value(status).unwrap()).is_some()
    }

    #[test_case(Some(3), 3 => true; "seen")]
    #[test_case(Some(2), 3 => false; "not yet")]
    #[test_case(None, 3 => false; "never")]
    fn settled(observed: Option<i64>, generation: i64) -> bool {
        let set = json!({
            "metadata": {"generation": generation},
            "status": {"replicas": 1, "observedGeneration": observed},
        });
        statefulset(&serde_json::from_value(set).unwrap()).settled
    }
}
